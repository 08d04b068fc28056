"""What comes out of a compression: networks with their prices, and a table of layers.

Without torch, so that widgets can show it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from orangecontrib.imagemining.weights.image_network import AnyNetwork

__all__ = ["Candidate", "Compressed", "LayerReport"]


@dataclass(frozen=True)
class LayerReport:
    """A row of the report, as in SqueezeNet's Table 1.

    Attributes
    ----------
    name : of the layer's module.
    kind : "convolution", "fully connected", "normalisation".
    shape : of its weights, as (filters, channels, height, width).
    output : (channels, height, width) of what it gives for the network's images.
    parameters : how many numbers it had, biases too.
    kept : how many of them are not 0 now; of removed filters none are.
    sparsity : share of its weights that are 0, 0–1.
    bits : of a weight: 32, 16, or those that tell its shared values apart.
    n_bytes : share in the file, codebooks and scales included, before the layers' are
        put together.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    kept: int
    sparsity: float
    bits: int
    n_bytes: int


@dataclass(frozen=True)
class Candidate:
    """A network on the way, and what it costs.

    Attributes
    ----------
    step : number of the step that it comes of, from 1; 0: as it was.
    what : the step, in words.
    n_bytes : of its file, really coded.
    n_parameters : numbers that are not 0.
    accuracy : share right of the validation images, or, without labels, share answered
        as the network before answered; NaN if there are no images.
    loss : cross-entropy, likewise.
    seconds : that it took from the beginning.
    network : that is it; None where it is not kept any more.
    top5 : share of the validation images whose class is among the five likeliest; NaN
        with fewer than six classes, or if it is not known.
    """

    step: int
    what: str
    n_bytes: int
    n_parameters: int
    accuracy: float
    loss: float
    seconds: float
    network: AnyNetwork | None = field(default=None, repr=False)
    top5: float = math.nan


@dataclass(frozen=True, eq=False)
class Compressed:
    """What came of a compression.

    Attributes
    ----------
    network : the result.
    chosen : place of it in `trail`.
    trail : all candidates in their order; the first is the network as it was.
    layers : of the result.
    notes : what people should know, in sentences: a target that was not reached, what
        was left out, why it stopped.
    labelled : whether accuracies are of labels; otherwise of the answers before.
    bytes_before : of the network's numbers as they were, most of them of 32 bits.
    """

    network: AnyNetwork
    chosen: int
    trail: list[Candidate]
    layers: list[LayerReport]
    notes: list[str] = field(default_factory=list)
    labelled: bool = True
    bytes_before: int = 0

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than the network's numbers were."""
        return self.ratio_of(self.trail[self.chosen])

    def ratio_of(self, candidate: Candidate) -> float:
        """Return how many times smaller a candidate is than the numbers were."""
        before = self.bytes_before or self.trail[0].n_bytes
        return before / candidate.n_bytes
