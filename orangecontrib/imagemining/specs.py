"""What the rooms tell each other: frozen dataclasses, standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "VIEWS",
    "EmbedderSpec",
    "Layer",
    "Preprocess",
    "Progress",
    "Weights",
    "no_progress",
]

#: ``progress(fraction, status="")``: called by everything that takes long; it may
#: raise `TaskCancelled` to stop the caller.
Progress = Callable[..., None]

#: How often an image may be looked at: as it is, or in its eight turns by 90° and
#: mirror images, whose vectors are averaged.
VIEWS = (1, 8)


def no_progress(fraction: float, status: str = "") -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes the array that a network's weights were trained on.

    Attributes
    ----------
    size : (height, width) in pixels.
    mean, std : one number a channel, in the units of `scale`, in the order of
        `channels`.
    scale : what a pixel of 0–255 is multiplied with first (1 or 1/255).
    interpolation : filter for resizing.
    channels : order in which the network expects the colours.
    as_stored : take the pixels as the file has them: neither turned upright as the
        camera noted, nor transparent parts made white, nor grey stretched to 8 bits.
    swapped_columns : two columns of pixels that change places after resizing.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: float = 1.0
    interpolation: Literal["lanczos", "bicubic", "bilinear"] = "bilinear"
    channels: Literal["RGB", "BGR"] = "RGB"
    as_stored: bool = False
    swapped_columns: tuple[int, int] | None = None


@dataclass(frozen=True)
class Layer:
    """A named place of a network where vectors are taken.

    Attributes
    ----------
    name : key, as stored in settings.
    size : length of the vector.
    description : what it is, for people.
    """

    name: str
    size: int
    description: str = field(default="", compare=False)


@dataclass(frozen=True)
class Weights:
    """Everything needed to get the same numbers twice.

    Attributes
    ----------
    title : what people call the network.
    name : file name, without ending, under which they are kept.
    source : distribution and path of the file that carries them.
    source_sha256 : checksum of that file.
    tensors_sha256 : checksum of names, shapes and values after conversion; it does
        not depend on how the file is written.
    layers : where vectors can be taken, with their sizes; the first is the default.
    preprocess : what the images must go through for these weights.
    license, trained_on : whose they are.
    top1, top5 : share of images read right, as published (None: not published).
    views : how often an image may be looked at.
    advice : what to know before choosing it; shown to users.
    plain_columns : beginning of the columns' names where they must equal, for Orange,
        those that another add-on wrote (see `tables.embedding`); "" for names that
        tell network and layer.
    """

    title: str
    name: str
    source: tuple[str, str]
    source_sha256: str
    tensors_sha256: str
    layers: tuple[Layer, ...]
    preprocess: Preprocess
    license: str
    trained_on: str
    top1: float | None = None
    top5: float | None = None
    views: tuple[int, ...] = VIEWS
    advice: str = ""
    plain_columns: str = ""


@dataclass(frozen=True)
class EmbedderSpec:
    """Which vector is computed of an image: equal specs give equal vectors.

    Attributes
    ----------
    network : name in the registry of networks.
    layer : name of one of its layers.
    views : 1, or 8 for the mean over turns by 90° and mirror images.
    """

    network: str
    layer: str
    views: int = 1

    @property
    def column_prefix(self) -> str:
        """Beginning of the names of this embedder's columns."""
        views = f"_{self.views}views" if self.views != 1 else ""
        return f"{self.network}_{self.layer}{views}"
