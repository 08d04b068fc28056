"""What a compression came to: a row a layer, as SqueezeNet's Table 1."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from orangecontrib.imagemining.compression.describe import describe
from orangecontrib.imagemining.compression.described import LayerInfo
from orangecontrib.imagemining.compression.results import LayerReport
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork

__all__ = ["integer_reports", "layer_reports"]


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
