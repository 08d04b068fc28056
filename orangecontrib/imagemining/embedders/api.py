"""For scripts: images in, vectors out, in a line or two."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from orangecontrib.imagemining.embedders.base import AnyEmbedder, Embeddings
from orangecontrib.imagemining.embedders.catalog import card_of
from orangecontrib.imagemining.embedders.local import LocalEmbedder
from orangecontrib.imagemining.exceptions import FolderNotFoundError, NoImagesError
from orangecontrib.imagemining.images import find_images, local_path
from orangecontrib.imagemining.images.sources import escaped
from orangecontrib.imagemining.specs import EmbedderSpec, Progress, no_progress
from orangecontrib.imagemining.weights import WEIGHTS, fetch, is_here

if TYPE_CHECKING:
    from orangecontrib.imagemining.embedders.cache import VectorStore
    from orangecontrib.imagemining.embedders.remote import RemoteEmbedder

__all__ = ["Embedder", "EmbeddedImages", "Image"]

#: An image: a path or address as text, which may have words behind a # that say which
#: part of the file is meant; or a path, which is a whole file whatever it is called.
Image = str | os.PathLike[str]
#: One, or a folder; or several. None and NaN, as pandas has them, are no image.
Images = Image | Iterable[Image | float | None]


@dataclass
class EmbeddedImages(Embeddings):
    """What became of images, in the order in which they were given.

    Attributes
    ----------
    vectors : (n images, size) float32; rows of images without a vector are NaN.
    reasons : for each image None, or in words why it has no vector.
    n_known : how many of the vectors were known already, and not computed anew.
    paths : of the images, or their addresses; "" where none was given.
    trouble : why a server did not do all; "" if it did, or none was asked.
    """

    paths: list[str] = field(default_factory=list)
    trouble: str = ""


class Embedder:
    """Turns images into vectors.

    Needs neither Orange nor a screen. Vectors are kept on this computer, so that those
    of the same images are there at once the next time.

    Parameters
    ----------
    network
        Its name: ``squeezenet1_1`` needs no download. ``orange-imagemining networks``
        lists them; one of your own is ``onnx:`` and its path, one of timm's ``timm:``
        and its name.
    layer
        Where in the network the numbers are taken; by default where most do.
    views
        How often each image is looked at: 1, 2 (mirrored), 8 (turned and mirrored), 10,
        12 or 144 (crops); with VGG also "dense" and "dense-multiscale".
    fit
        How an image meets the network's square: "stretch", "crop" or "pad".
    precision
        "float32", exact; or "fast", nearly the same numbers sooner where the processor
        can.
    download
        Whether weights that are not on this computer may be fetched.
    server
        Address of an embedding server that has the network; "" for this computer. The
        images' pixels are sent there.
    token
        For servers that need one; by default that which Orange keeps for this address.
    progress
        Called with the fraction done, and a text or "", as the work goes on; what it
        raises ends the work.
    options
        Passed on to `LocalEmbedder`; with a server to `RemoteEmbedder`: `limits`,
        `patience` and `most`, and `cache` as for `LocalEmbedder`.

    Raises
    ------
    UnknownNameError
        If there is no such network, layer, number of views, fit or precision.
    WeightsError
        If the network's weights cannot be fetched.
    ServerError
        If the server's address is none, or the token cannot be one.

    Examples
    --------
    >>> from pathlib import Path
    >>> import orangecontrib.imagemining
    >>> from orangecontrib.imagemining.embedders import Embedder
    >>> samples = Path(orangecontrib.imagemining.__file__).parent / "samples"
    >>> paths = sorted((samples / "synthetic-yeast" / "ER").glob("*.jpg"))[:2]
    >>> embedder = Embedder("squeezenet1_1", layer="features")
    >>> result = embedder([*paths, "nowhere.jpg"])
    >>> result.vectors.shape
    (3, 512)
    >>> [reason is None for reason in result.reasons]
    [True, True, False]
    """

    def __init__(
        self,
        network: str = "squeezenet1_1",
        layer: str | None = None,
        *,
        views: int | str = 1,
        fit: str = "stretch",
        precision: str = "float32",
        download: bool = False,
        server: str = "",
        token: str | None = None,
        progress: Progress = no_progress,
        **options: Any,
    ) -> None:
        if layer is None:
            layer = card_of(network).layers[0].name
        self.spec = EmbedderSpec(network, layer, views, fit, precision)
        self.progress = progress
        self._embedder: AnyEmbedder
        if server:
            self._embedder = _remote(self.spec, server, token, **options)
            return
        self._embedder = LocalEmbedder(self.spec, **options)
        weights = WEIGHTS.get(network)
        if download and weights is not None and not is_here(weights):
            fetch(weights, progress)

    @property
    def size(self) -> int:
        """Length of a vector."""
        return self._embedder.size

    def __call__(self, images: Images) -> EmbeddedImages:
        """Embed images.

        Parameters
        ----------
        images
            Paths or addresses; or one folder, whose images are taken in natural order
            with those of its sub-folders; or one image. Where one of several is None or
            NaN, so is its vector.

        Returns
        -------
        A vector or a reason for each. An image that cannot be read does not end the
        work.

        Raises
        ------
        FolderError
            If a folder is not there, cannot be searched, or has no images.
        WeightsError
            If the network's weights are not on this computer.
        ServerError
            If the server could do nothing. If it did some and was gone then, that is
            told in `trouble`; calling it again goes on from there.
        """
        paths = _paths_of(images)
        result = self._embedder(paths, self.progress)
        trouble = getattr(result, "trouble", "")
        return EmbeddedImages(
            result.vectors, result.reasons, result.n_known, paths, trouble
        )

    def stream(self, images: Images, batch: int = 1024) -> Iterator[EmbeddedImages]:
        """Embed images a batch at a time, so that memory does not grow with the set.

        Parameters
        ----------
        images
            As for calling it. What is iterated over is taken as it is needed.
        batch
            How many images at a time; `progress` is told of each batch anew.

        Yields
        ------
        What became of each batch, in order.

        Raises
        ------
        ValueError
            If a batch is to have less than one image.
        FolderError, WeightsError, ServerError
            As when called.
        """
        if batch < 1:
            raise ValueError(f"A batch has one image at least, not {batch}")
        if isinstance(images, str | os.PathLike):
            images = _paths_of(images)
        rest = iter(images)
        while some := list(islice(rest, batch)):
            yield self(some)


def _remote(
    spec: EmbedderSpec,
    server: str,
    token: str | None,
    cache: VectorStore | None = None,
    **options: Any,
) -> RemoteEmbedder:
    # those who need no server need not load what speaks with one
    from orangecontrib.imagemining.embedders.connection import address_of
    from orangecontrib.imagemining.embedders.remote import RemoteEmbedder
    from orangecontrib.imagemining.embedders.remotestore import StoredVectors
    from orangecontrib.imagemining.embedders.servers import token_of

    if token is None:
        token = token_of(address_of(server))
    return RemoteEmbedder(server, spec, token, StoredVectors(spec, cache), **options)


def _paths_of(images: Images) -> list[str]:
    if not isinstance(images, str | os.PathLike):
        return [_source(image) for image in images]
    if not os.path.isdir(images):
        path = local_path(_source(images))
        # a name without an ending is that of a folder, which was mistyped
        if path and not os.path.splitext(path)[1] and not os.path.lexists(path):
            raise FolderNotFoundError(f"There is no folder {path}")
        return [_source(images)]
    found = find_images(images)
    if not found.paths:
        others = found.describe_others()
        raise NoImagesError(
            f"There are no images in {os.fspath(images)}"
            + (f"; it has {others}" if others else ""),
            found.types,
        )
    root = os.path.abspath(images)
    return [escaped(os.path.join(root, *path.split("/"))) for path in found.paths]


def _source(image: Image | float | None) -> str:
    if image is None or (isinstance(image, float) and math.isnan(image)):
        return ""
    if isinstance(image, float):
        raise TypeError(f"An image is a path or an address, not {image}")
    return image if isinstance(image, str) else escaped(os.fspath(image))
