"""Open an image as people see it: upright, in grey or RGB, 8 bits."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import (
    ImageError,
    ImageTooLargeError,
)
from orangecontrib.imagemining.images.contrast import scale_to_8_bits
from orangecontrib.imagemining.images.formats import PREFIX, family_of
from orangecontrib.imagemining.images.formats._base import Family, ImageFile, Series
from orangecontrib.imagemining.images.formats._pillow import (
    OrdinaryFile,
    as_seen,
    identify,
    in_rgb,
    is_plain,
    orientation_of,
    upright,
    upright_size,
)
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.locate import local_path
from orangecontrib.imagemining.images.quick import decode_smaller
from orangecontrib.imagemining.images.rendering import raw_samples, render, size_of
from orangecontrib.imagemining.images.sources import (
    Part,
    Rendering,
    Source,
    parse_source,
)
from orangecontrib.imagemining.images.stream import (
    DECODER_ERRORS,
    Stream,
    damaged,
    open_path,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["ImageReader", "open_file", "scale_to_8_bits"]


def open_file(stream: Stream, path: str | None, limits: Limits) -> ImageFile:
    """Open a file of any family by its content, and read its metadata.

    Parameters
    ----------
    stream
        At its beginning; whoever opened it closes it, after the result.
    path
        Where it is, None for what was fetched.
    limits
        On the pixels of ordinary pictures; of others nothing is decoded yet.

    Raises
    ------
    ImageError
        One of its kinds, with the reason in words.
    """
    return _open_family(_family(stream, path), stream, path, limits)


def _family(stream: Stream, path: str | None) -> Family | None:
    family = family_of(stream.read(PREFIX), path)
    stream.seek(0)
    return family


def _open_family(
    family: Family | None, stream: Stream, path: str | None, limits: Limits
) -> ImageFile:
    if family is None:
        return OrdinaryFile(stream, limits)
    try:
        return family.open(cast("BinaryIO", stream), path, limits)
    except ImportError as ex:
        name = "Orange3-ImageMining" + (f"[{family.extra}]" if family.extra else "")
        raise ImageError(
            f"{family.name} files need a part that is not installed; install it with"
            f' pip install "{name}"'
        ) from ex
    except DECODER_ERRORS as ex:
        raise damaged(ex) from ex


class ImageReader:
    """Opens images from files and addresses, from several threads at once.

    Images are named by their sources (see `images.sources`): path or address, and
    behind a ``#`` which of the file's pictures, and how it is shown. The content tells
    the format, never the name.

    Parameters
    ----------
    limits
        What an image may cost; by default as the environment says.

    Use it in a ``with`` statement: it keeps connections to servers until its end.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits.from_environment()
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to servers."""
        if self._client is not None:
            self._client.close()

    def read(
        self, source: str, as_stored: bool = False, data: bytes | None = None
    ) -> Image.Image:
        """Return the image upright, decoded, of mode L or RGB.

        Transparent parts become white, as on paper. Of animations the first frame is
        taken, of stacks the first plane, unless the source says another. What has more
        than 8 bits is stretched (see `sources.CONTRASTS`). Of pyramids with more pixels
        than the limit, the largest level within it is taken.

        Parameters
        ----------
        source
            Path or address, with or without words behind ``#``.
        as_stored
            Nothing of this: the first frame's pixels as the file has them, in RGB. Only
            of what Pillow reads, and if the source has no words.
        data
            The whole file's content, if the caller has it already.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        return self._read(source, data, as_stored=as_stored)[0]

    def read_near(self, source: str, side: int) -> tuple[Image.Image, tuple[int, int]]:
        """Return the image as `read` does, perhaps smaller, and its size as a whole.

        For the eye only: JPEGs are decoded at a half, quarter or eighth where that
        leaves both sides `side` pixels at least, which is several times as fast. Of
        pyramids the smallest level is read that suffices.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        return self._read(source, None, near=side)

    def read_at_least(
        self, source: str, size: tuple[int, int], data: bytes | None = None
    ) -> Image.Image:
        """Return the image as `read` does, perhaps smaller, for a network.

        JPEGs are decoded smaller where nothing that matters to networks is lost; of
        pyramids the smallest level is read that suffices.

        Parameters
        ----------
        source
            Path or address, with or without words behind ``#``.
        size
            Height and width of the upright image that will do, in pixels.
        data
            The whole file's content, if the caller has it already.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        return self._read(source, data, at_least=size)[0]

    def content(self, source: str) -> bytes:
        """Return the whole file that a source is in, as `data` takes it.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        with self._open(source, None)[0] as stream:
            return stream.read()

    def size(self, source: str) -> tuple[int, int]:
        """Return (width, height) in pixels of the upright image, without decoding it.

        Of tiles it is that of the tile.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        asked = parse_source(source)
        stream, path = self._open(source, None)
        with stream:
            family = _family(stream, path)
            if family is None and asked.part == Part():
                return upright_size(identify(stream, self.limits))
            with closing(_open_family(family, stream, path, self.limits)) as file:
                return size_of(file.series, asked.part)

    def contents(self, source: str) -> tuple[Series, ...]:
        """Return what a file holds, from its metadata alone; its words do not matter.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        with self._file(source, self.limits) as (file, _):
            return file.series

    def samples(self, source: str) -> list[NDArray[np.generic]]:
        """Return raw numbers of each channel that the source shows.

        They are those of the chosen planes or the projection, before any contrast, for
        choosing one black and one white for many images (`black_and_white`).

        Returns
        -------
        One-dimensional arrays of at most 100,000 finite numbers each, spread over the
        image, of the numbers' own type (means: float64): one for grey pictures, one for
        photographs (the three colours together), otherwise one for each channel in the
        order of the rendering, which is also that of its ranges.

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words.
        """
        with self._file(source, self.limits) as (file, asked):
            return raw_samples(file, asked.part, asked.rendering, self.limits)

    @contextmanager
    def raw(
        self, source: str
    ) -> Iterator[tuple[io.BufferedIOBase, str, tuple[int, int]]]:
        """Give a file's bytes as they are, Pillow's name of its format, its size.

        The file is known by its beginning and not decoded, so that it may have any
        number of pixels. The size is that of the upright image. Formats that Pillow
        does not know have a name for people ("DICOM").

        Raises
        ------
        ImageError
            One of its kinds, with the reason in words; also when reading the bytes.
        """
        limits = replace(self.limits, max_pixels=sys.maxsize)
        asked = parse_source(source)
        data = self._fetch(asked.place) if local_path(source) is None else None
        stream, path = self._open(source, data)
        with stream, self._opened(stream, path, limits) as file:
            kind, size = file.format, size_of(file.series, asked.part)
        # anew: the format's package may have closed it
        with self._open(source, data)[0] as stream:
            yield stream, kind, size

    def _read(
        self,
        source: str,
        data: bytes | None,
        near: int | None = None,
        at_least: tuple[int, int] | None = None,
        as_stored: bool = False,
    ) -> tuple[Image.Image, tuple[int, int]]:
        asked = parse_source(source)
        try:
            stream, path = self._open(source, data)
            with stream:
                family = _family(stream, path)
                if as_stored and _is_whole(asked) and _may_be_plain(family):
                    with suppress(ImageError):
                        image = identify(stream, self.limits)
                        return _read_plain(image, stream, None, None, True)
                    stream.seek(0)
                if family is None:
                    image = identify(stream, self.limits)
                    if is_plain(image, asked.part, asked.rendering):
                        return _read_plain(image, stream, near, at_least, as_stored)
                    stream.seek(0)
                if at_least is not None:
                    near = max(at_least)
                with closing(_open_family(family, stream, path, self.limits)) as file:
                    picture = render(
                        file, asked.part, asked.rendering, self.limits, near
                    )
                    whole = size_of(file.series, asked.part)
                    _keep_profile(file, asked, picture)
            return (in_rgb(picture) if as_stored else picture), whole
        except MemoryError as ex:
            raise ImageTooLargeError("Too large for this computer's memory") from ex

    @contextmanager
    def _file(self, source: str, limits: Limits) -> Iterator[tuple[ImageFile, Source]]:
        try:
            stream, path = self._open(source, None)
            with stream, self._opened(stream, path, limits) as file:
                yield file, parse_source(source)
        except MemoryError as ex:
            raise ImageTooLargeError("Too large for this computer's memory") from ex

    @contextmanager
    def _opened(
        self, stream: Stream, path: str | None, limits: Limits
    ) -> Iterator[ImageFile]:
        with closing(open_file(stream, path, limits)) as file:
            yield file

    def _open(self, source: str, data: bytes | None) -> tuple[Stream, str | None]:
        path = local_path(source)
        if data is not None:
            return Stream(io.BytesIO(data)), path
        if path is None:
            return Stream(io.BytesIO(self._fetch(parse_source(source).place))), None
        return open_path(path), path

    def _fetch(self, url: str) -> bytes:
        # a reader of files need not load the web client
        from orangecontrib.imagemining.images.fetch import fetch, new_client

        with self._lock:
            if self._client is None:
                self._client = new_client(self.limits)
        return fetch(url, self.limits, self._client)


def _keep_profile(file: ImageFile, asked: Source, picture: Image.Image) -> None:
    """Let a picture in its own colours keep what tells their meaning."""
    profile = getattr(file, "icc_profile", b"")
    own = asked.rendering.channels == "auto"
    if profile and own and file.series[asked.part.series or 0].dtype == "uint8":
        picture.info["icc_profile"] = profile


def _is_whole(asked: Source) -> bool:
    return asked.part == Part() and asked.rendering == Rendering()


def _may_be_plain(family: Family | None) -> bool:
    """Tell whether Pillow, too, reads files of this family."""
    return family is not None and family.name in ("PNG", "TIFF", "JPEG 2000")


def _read_plain(
    image: Image.Image,
    stream: Stream,
    near: int | None,
    at_least: tuple[int, int] | None,
    as_stored: bool,
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode what Pillow has opened, and make it L or RGB."""
    whole = None
    try:
        if image.format == "JPEG" and near is not None:
            whole = upright_size(image)
            image.draft(None, (near, near))
        if image.format == "JPEG" and at_least is not None:
            whole = upright_size(image)
            decode_smaller(image, at_least, orientation_of(image))
        stream.forbid_half_pictures(image)
        image.load()
    except DECODER_ERRORS as ex:
        raise damaged(ex) from ex
    if as_stored:
        return in_rgb(image), image.size
    image = upright(image)
    return as_seen(image), whole or image.size
