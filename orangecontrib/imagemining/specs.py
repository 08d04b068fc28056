"""What the rooms tell each other: frozen dataclasses, standard library only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "DENSE_VIEWS",
    "FITS",
    "PRECISIONS",
    "PROBABILITIES",
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

#: How often an image may be looked at, each time whole or in part; the vectors are
#: averaged. `images.crops` tells what the numbers of crops stand for.
VIEWS = (1, 2, 8, 10, 12, 144)

#: Looking at an image everywhere at once, in one size or several, and at its mirror
#: image: for VGG, whose paper does it so.
DENSE_VIEWS = ("dense", "dense-multiscale")

#: How an image meets a network of another shape: stretched to it; cut to its shape,
#: keeping the centre; or whole, with margins.
FITS = ("stretch", "crop", "pad")

#: How exactly a network computes: "float32" gives the same numbers everywhere; "fast"
#: gives nearly the same ones sooner, where the processor can (see `embedders.engines`).
PRECISIONS = ("float32", "fast")

#: Layer of what a network says of an image: the probabilities of its classes. The one
#: of any view sum to 1, and so does their mean over views.
PROBABILITIES = "probabilities"


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
    shortest : what the image's shorter side is brought to before the centre, of `size`,
        is cut out of it, as published; None if nothing is.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: float = 1.0
    interpolation: Literal["lanczos", "bicubic", "bilinear"] = "bilinear"
    channels: Literal["RGB", "BGR"] = "RGB"
    as_stored: bool = False
    swapped_columns: tuple[int, int] | None = None
    shortest: int | None = None


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
    name : file name, without ending, under which they are kept once converted.
    network : name of the network in the registry of networks; several weights may be
        of one network.
    num_classes : number of the network's logits.
    stage_sizes : numbers of channels at the ends of its stages.
    kind : what it is good for, in two or three words.
    source : distribution and path in it, of weights that come as a package.
    source_sha256 : checksum of that file.
    url : address of the published file, of weights that are fetched; their file keeps
        its name.
    file_size : bytes of that file, to show (publishers round them); None: not known.
    sha256 : checksum of that file, or as many first digits as are published; "" if none
        are. Then the checksum of the first file that fits is noted, and holds from
        there on.
    tensors_sha256 : checksum of names, shapes and values after conversion; it does
        not depend on how the file is written. "": not published.
    layers : where vectors can be taken, with their sizes; the first is the default.
    preprocess : what the images must go through for these weights.
    license, trained_on : whose they are.
    top1, top5 : share of images read right, as published (None: not published).
    views : how often an image may be looked at.
    advice : what to know before choosing it; shown to users.
    plain_columns : beginning of the columns' names where they must equal, for Orange,
        those that another add-on wrote (see `tables.embedding`); "" for names that
        tell network and layer.
    fit : one of `FITS`: how images met its shape in training, as far as that is known.
    classes : what its logits stand for, in their order, where somebody trained it; of
        networks trained on ImageNet `embedders.class_names` tells.
    """

    title: str
    name: str
    layers: tuple[Layer, ...]
    preprocess: Preprocess
    license: str
    trained_on: str
    network: str = ""
    num_classes: int = 1000
    stage_sizes: tuple[int, ...] = ()
    kind: str = ""
    source: tuple[str, str] = ("", "")
    source_sha256: str = ""
    url: str = ""
    file_size: int | None = None
    sha256: str = ""
    tensors_sha256: str = ""
    top1: float | None = None
    top5: float | None = None
    views: tuple[int, ...] = VIEWS
    advice: str = ""
    plain_columns: str = ""
    fit: str = "stretch"
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EmbedderSpec:
    """Which vector is computed of an image: equal specs give equal vectors.

    Attributes
    ----------
    network : name in the registry of networks.
    layer : name of one of its layers.
    views : one of `VIEWS` or `DENSE_VIEWS`; the vector is the mean over them.
    fit : one of `FITS`. Views that see to it themselves have "stretch" here.
    precision : one of `PRECISIONS`.

    Examples
    --------
    >>> from orangecontrib.imagemining.specs import EmbedderSpec
    >>> EmbedderSpec("squeezenet1_1", "stages", views=8).column_prefix
    'squeezenet1_1_stages_8views'
    """

    network: str
    layer: str
    views: int | str = 1
    fit: str = "stretch"
    precision: str = "float32"

    @property
    def column_prefix(self) -> str:
        """Beginning of the names of this embedder's columns."""
        views = "" if self.views == 1 else f"_{self.views}"
        views += "views" if views and isinstance(self.views, int) else ""
        fit = "" if self.fit == "stretch" else f"_{self.fit}"
        exactness = "" if self.precision == "float32" else f"_{self.precision}"
        return f"{_short(self.network)}_{self.layer}{fit}{views}{exactness}"


def _short(network: str) -> str:
    """Return the name without where it is from.

    That is "timm:", or an ONNX file's folder, or the digits that tell a trained network
    from others of its title.
    """
    if ":" not in network:
        return network
    if network.startswith("trained:"):
        return network.partition(":")[2].rpartition("-")[0]
    name = network.partition(":")[2].replace("\\", "/")
    return name.rpartition("/")[2].removesuffix(".onnx")
