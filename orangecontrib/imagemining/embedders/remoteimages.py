"""What is sent of an image: the pixels that the network would get, or the image."""

from __future__ import annotations

import io
from dataclasses import replace

from PIL import Image

from orangecontrib.imagemining.embedders.catalog import card_of
from orangecontrib.imagemining.embedders.pipeline import Contents, FileContent
from orangecontrib.imagemining.embedders.protocol import ImageBody
from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import CROPS, prepare
from orangecontrib.imagemining.images.crops import enough_for
from orangecontrib.imagemining.specs import DENSE_VIEWS, EmbedderSpec

__all__ = ["ImageSender"]


class ImageSender:
    """Makes images ready to be sent.

    They are opened, scaled and cut as `LocalEmbedder` does it, and the very pixels that
    the network gets are sent as PNG, which loses nothing: the server's vector is that
    of the whole image to the last bit, wherever it would be computed to the last bit
    alike. For views that look at parts of the image, the image is sent as it is
    decoded, as PNG too. Nothing else of a file is sent: neither its name nor what a
    camera wrote into it.

    Parameters
    ----------
    spec
        Which vector is wanted.
    """

    def __init__(self, spec: EmbedderSpec) -> None:
        self._spec = spec
        self._preprocess = card_of(spec.network).preprocess
        self._whole = spec.views in CROPS or spec.views in DENSE_VIEWS

    def read(self, source: str, contents: Contents) -> FileContent:
        """Return what a path or address holds, with its digest or the reason why not.

        Never raises because of it.
        """
        return contents.complete(contents.read(source))

    def body_of(
        self, file: FileContent, contents: Contents
    ) -> tuple[ImageBody, FileContent]:
        """Return an image as it is sent, and what is left of its file: no content.

        Raises
        ------
        ImageError
            If it cannot be read.
        """
        if file.reason:
            raise ImageError(file.reason)
        image = self._open(file, contents)
        file = replace(contents.after_reading(file), data=None)
        if self._whole:
            return ImageBody(_png(image), "file"), file
        pixels = prepare(image, self._preprocess, self._spec.fit)
        return ImageBody(_png(Image.fromarray(pixels)), "prepared"), file

    def _open(self, file: FileContent, contents: Contents) -> Image.Image:
        reader = contents.reader
        if self._preprocess.as_stored:
            return reader.read(file.source, True, file.data)
        enough = enough_for(self._preprocess, self._spec.views)
        return reader.read_at_least(file.source, enough, file.data)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    # what is to do with colours or the camera is not for the server
    image.info.clear()
    # higher levels take several times as long for a few per cent
    image.save(stream, "PNG", compress_level=1)
    return stream.getvalue()
