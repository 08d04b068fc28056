"""What a compression came to: a row a layer, and a row a step.

As Tables 1 and 2 of SqueezeNet's paper (Iandola et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orangecontrib.imagemining.compression.describe import describe
from orangecontrib.imagemining.compression.described import LayerInfo
from orangecontrib.imagemining.compression.results import (
    Candidate,
    Compressed,
    LayerReport,
)
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork

__all__ = ["StepShare", "integer_reports", "layer_reports", "step_shares"]


@dataclass(frozen=True)
class StepShare:
    """A row of the table of steps.

    Attributes
    ----------
    candidate : the network after it.
    ratio : how many times smaller the file is than the numbers were at the beginning.
    of_before : size as a share of the candidate before, 0–1.
    lost : accuracy that was lost since the beginning, 0–1; NaN if not known.
    chosen : whether it is the result.
    """

    candidate: Candidate
    ratio: float
    of_before: float
    lost: float
    chosen: bool


def layer_reports(
    network: AnyNetwork, given: ImageNetwork | None = None
) -> list[LayerReport]:
    """Return what became of each layer.

    Parameters
    ----------
    network
        The result. Of a file of ONNX nothing can be told.
    given
        The network as it was; None: layers had as many numbers as they have, and so
        they do in another architecture. A layer that was divided in two (by low rank)
        has its numbers before in the first of them, and 0 in the other.
    """
    if not isinstance(network, ImageNetwork):
        return []
    before: dict[str, int] = {}
    if given is not None and network.card.architecture == given.card.architecture:
        before = {
            layer.name: layer.parameters
            for layer in describe(given).layers
            if layer.parameters
        }
    reports = []
    counted = set()
    for layer in describe(network).layers:
        if not layer.parameters:
            continue
        name = _origin(layer.name, before)
        # of another architecture nothing is known before
        parameters = layer.parameters if name is None else before[name]
        if name is not None and name in counted:
            parameters = 0
        counted.add(name)
        reports.append(_report(layer, parameters))
    return reports


def integer_reports(network: ImageNetwork, given: ImageNetwork) -> list[LayerReport]:
    """Return what became of each layer in a file of 8-bit numbers.

    Weights have a byte each there, biases four; normalisation has become part of the
    layers before it.

    Parameters
    ----------
    network
        That the file was made from.
    given
        As for `layer_reports`.
    """
    rows = []
    for row in layer_reports(network, given):
        if row.kind == "normalisation":
            rows.append(replace(row, n_bytes=0))
            continue
        weights = math.prod(row.shape)
        biases = row.shape[0] if row.shape else 0
        rows.append(replace(row, bits=8, n_bytes=weights + 4 * biases))
    return rows


def step_shares(compressed: Compressed) -> list[StepShare]:
    """Return what each step did, in their order; the first row is as it was."""
    trail = compressed.trail
    return [
        StepShare(
            each,
            compressed.ratio_of(each),
            each.n_bytes / trail[max(place - 1, 0)].n_bytes,
            trail[0].accuracy - each.accuracy,
            place == compressed.chosen,
        )
        for place, each in enumerate(trail)
    ]


def _report(layer: LayerInfo, parameters: int) -> LayerReport:
    return LayerReport(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        output=layer.output,
        parameters=parameters,
        kept=layer.nonzero,
        sparsity=0.0 if math.isnan(layer.sparsity) else layer.sparsity,
        bits=layer.bits or 32,
        n_bytes=layer.stored_bytes,
    )


def _origin(name: str, before: Mapping[str, int]) -> str | None:
    """Return the layer that this one was, or a part of which it is."""
    while name:
        if name in before:
            return name
        name = name.rpartition(".")[0]
    return None
