"""What a network consists of, as data. Without torch, so that widgets can show it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from orangecontrib.imagemining.specs import Preprocess

__all__ = ["IMAGE", "Described", "LayerInfo", "Times"]

#: Place of the image among what feeds a layer.
IMAGE = -1


@dataclass(frozen=True)
class LayerInfo:
    """A layer: something with numbers, a pooling, or a place where ways meet.

    Attributes
    ----------
    name : of its module; of a sum and the like, of the module in which it happens.
    kind : "convolution", "fully connected", "normalisation", "pooling", "mean",
        "sum", "concatenation", "training only" or "other".
    detail : what more there is to say, such as "3×3, step 2".
    activation : what is applied to its output, such as "ReLU"; "" for nothing.
    shape : of its weights, as (filters, channels, height, width); () for none.
    output : (channels, height, width) of what it gives for an image of the network's
        size, or (values,); () where it does not run.
    parameters : how many numbers are learned, biases too. What normalisation counts
        for itself, means and variances, is not among them.
    nonzero : how many of them are not 0.
    sparsity : share of its weights that are 0, 0–1; NaN without weights.
    bits : of a weight: 32, 16, or those that tell its shared values apart; 0 without
        weights.
    multiply_adds : for one image.
    n_bytes : of all its numbers at 32 bits each.
    stored_bytes : share in the network's file; an estimate where that is coded, by the
        frequencies of values.
    inputs : places of the layers that feed it, `IMAGE` for the image.
    block : name of the outermost module made of several layers that it belongs to, ""
        for none.
    block_kind : class of that module.
    runs : whether prediction needs it; auxiliary classifiers are for training.
    """

    name: str
    kind: str
    detail: str = ""
    activation: str = ""
    shape: tuple[int, ...] = ()
    output: tuple[int, ...] = ()
    parameters: int = 0
    nonzero: int = 0
    sparsity: float = math.nan
    bits: int = 0
    multiply_adds: int = 0
    n_bytes: int = 0
    stored_bytes: int = 0
    inputs: tuple[int, ...] = ()
    block: str = ""
    block_kind: str = ""
    runs: bool = True


@dataclass(frozen=True)
class Described:
    """What a network consists of.

    Attributes
    ----------
    title : what people call it.
    architecture : its name in the registry of networks, or the kind of its file.
    size : (height, width) of its images; (0, 0) if it is not known.
    n_classes : number of its logits.
    layers : in the order in which they run; those that only training needs come last.
    file_bytes : of its file: coded, of networks that are compressed; of others, all
        numbers at 32 bits.
    n_bytes : of all its numbers at 32 bits each; NaN if it is not known.
    has_weights : whether the numbers are there; otherwise what is told of zeros is that
        none are known.
    parameters, nonzero, multiply_adds : as of a layer, of all together; NaN if they
        are not known.
    notes : what is not known, and why, in sentences.
    """

    title: str
    architecture: str
    size: tuple[int, int]
    n_classes: int
    layers: tuple[LayerInfo, ...]
    file_bytes: int
    n_bytes: float
    parameters: float
    nonzero: float
    multiply_adds: float
    has_weights: bool = True
    preprocess: Preprocess | None = None
    notes: tuple[str, ...] = ()

    @property
    def sparsity(self) -> float:
        """Share of the numbers that are 0, 0–1; NaN if it is not known."""
        if not self.has_weights or not self.parameters > 0:
            return math.nan
        return 1 - self.nonzero / self.parameters


@dataclass(frozen=True)
class Times:
    """How long a network takes for one image on this computer.

    Attributes
    ----------
    total : seconds, of the whole without anybody looking at its layers.
    layers : seconds of each layer, in their order, with what follows it directly (such
        as ReLU); NaN for those that do not run. Empty if only the whole was measured.
    runs : of how many measurements these are the medians.
    threads : how many of the processor's cores worked.
    """

    total: float
    layers: tuple[float, ...] = ()
    runs: int = 0
    threads: int = 0
    notes: tuple[str, ...] = field(default=())
