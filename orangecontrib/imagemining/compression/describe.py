"""What a network consists of, what it costs, and how long it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orangecontrib.imagemining.compression.described import (
    Described,
    LayerInfo,
    Times,
)
from orangecontrib.imagemining.compression.tracing import (
    Node,
    Trace,
    is_layer,
    kind_of,
    timed,
    trace,
)
from orangecontrib.imagemining.exceptions import ImageError, WeightsError
from orangecontrib.imagemining.networks import Network, without_numbers
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.starting import build_network, rebuilt
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.compressed_file import compressed_size
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.weights.tensors import Tensors

__all__ = ["describe", "describe_card", "measure", "measure_card"]

_PRUNED = 0.05  # share of zeros from which on coding a file pays
_SMALL = 4096  # numbers of a tensor that the file puts together with others
_RUNS = 15
_LEAST_RUNS = 3


def describe(network: ImageNetwork, progress: Progress = no_progress) -> Described:
    """Return what a trained, published or compressed network consists of.

    Parameters
    ----------
    network
        Nothing of it is run.
    progress
        What it raises ends the work.

    Raises
    ------
    WeightsError
        If its numbers are not those of its architecture.
    ImageError
        If its images are too small for it.
    """
    progress(0, f"Looking at {network.title}…")
    built, traced = _blueprint(network.card)
    _check(network, built)
    layers = []
    names = _layer_names(built, traced)
    for number, (name, module, node) in enumerate(names):
        progress(0.6 * number / len(names))
        layers.append(
            _layer(built, name, module, node, network.tensors, network.stored)
        )
    learned = [name for name, _ in built.named_parameters()]
    n_bytes = sum(t.nbytes for t in network.tensors.values())
    nonzero = sum(int(np.count_nonzero(network.tensors[name])) for name in learned)
    parameters = sum(network.tensors[name].size for name in learned)
    is_coded = (
        bool(network.stored)
        or "compression" in network.card.recipe
        or nonzero < (1 - _PRUNED) * parameters
    )
    progress(0.6, f"Coding {network.title}…" if is_coded else "")
    if not is_coded:
        layers = [_uncoded(layer) for layer in layers]
    file_bytes = n_bytes
    if is_coded:
        file_bytes = compressed_size(
            network, lambda part, text="": progress(0.6 + 0.4 * part)
        )
    return Described(
        title=network.title,
        architecture=network.card.architecture,
        size=network.card.preprocess.size,
        n_classes=len(network.classes),
        layers=tuple(layers),
        file_bytes=file_bytes,
        n_bytes=n_bytes,
        parameters=parameters,
        nonzero=nonzero,
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        preprocess=network.card.preprocess,
    )


def describe_card(card: NetworkCard) -> Described:
    """Return what a network consists of whose numbers are not at hand.

    Raises
    ------
    UnknownNameError
        If there is no such architecture.
    ImageError
        If its images are too small for it.
    """
    built, traced = _blueprint(card)
    layers = tuple(
        _uncoded(_layer(built, name, module, node, None, {}))
        for name, module, node in _layer_names(built, traced)
    )
    n_bytes = sum(t.nbytes for t in built.state_dict().values())
    parameters = sum(p.numel() for p in built.parameters())
    return Described(
        title=card.title,
        architecture=card.architecture,
        size=card.preprocess.size,
        n_classes=len(card.classes),
        layers=layers,
        file_bytes=n_bytes,
        n_bytes=n_bytes,
        parameters=parameters,
        nonzero=parameters,
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        has_weights=False,
        preprocess=card.preprocess,
        notes=("Its weights are not on this computer: this is the architecture alone",),
    )


def measure(
    network: ImageNetwork, seconds: float = 2.0, progress: Progress = no_progress
) -> Times:
    """Measure how long a network takes for one image on this computer's processor.

    Parameters
    ----------
    network
        Is run with torch's threads as they are.
    seconds
        About how long to measure; at least three runs are made.
    progress
        What it raises ends the work.

    Raises
    ------
    WeightsError
        If its numbers are not those of its architecture.
    """
    progress(0, f"Measuring {network.title}…")
    return _measured(rebuilt(network), network.card, seconds, progress)


def measure_card(
    card: NetworkCard, seconds: float = 2.0, progress: Progress = no_progress
) -> Times:
    """Do the same with made-up numbers, which take as long as others.

    Raises
    ------
    UnknownNameError
        If there is no such architecture.
    """
    progress(0, f"Measuring {card.title}…")
    with without_numbers():
        built = build_network(card.architecture, len(card.classes), card.options)
    generator = torch.Generator().manual_seed(0)
    state = {
        name: (
            torch.zeros(value.shape, dtype=value.dtype)
            if not value.is_floating_point()
            else torch.rand(value.shape, generator=generator) * 0.1 + 0.01
        )
        for name, value in built.state_dict().items()
    }
    built.load_state_dict(state, assign=True)
    return _measured(built.eval(), card, seconds, progress)


def _measured(
    built: Network, card: NetworkCard, seconds: float, progress: Progress
) -> Times:
    traced = _blueprint(card)[1]
    height, width = card.preprocess.size
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, height, width, generator=generator)
    # as images are embedded and predicted
    image = image.to(memory_format=torch.channels_last)
    built.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    totals: list[float] = []
    rows: list[list[float]] = []
    begun = time.perf_counter()
    # the first runs find room and kernels, and do not count
    for run in range(-2, _RUNS):
        progress(min(1.0, (time.perf_counter() - begun) / max(seconds, 1e-9)))
        start = time.perf_counter()
        with torch.inference_mode():
            built(image)
        total = time.perf_counter() - start
        row = timed(built, image)
        if run >= 0:
            totals.append(total)
            rows.append(row)
        if run >= _LEAST_RUNS - 1 and time.perf_counter() - begun > seconds:
            break
    layers = [math.nan] * len(_layer_names(built, traced))
    if all(len(row) == len(traced.events) for row in rows):
        layers[: len(traced.nodes)] = [0.0] * len(traced.nodes)
        for place, event in zip(traced.events, zip(*rows, strict=True), strict=True):
            if place >= 0:
                layers[place] += median(event)
    return Times(median(totals), tuple(layers), len(totals), torch.get_num_threads())


def _blueprint(card: NetworkCard) -> tuple[Network, Trace]:
    """Return a network without numbers, and how an image goes through it."""
    height, width = card.preprocess.size
    with without_numbers():
        built = build_network(card.architecture, len(card.classes), card.options)
        image = torch.empty(1, 3, height, width)
    try:
        return built, trace(built.eval(), image)
    except ImageError:
        raise
    except RuntimeError as ex:
        raise WeightsError(
            f"{card.title} cannot look at images of {width} × {height} pixels ({ex})"
        ) from ex


def _check(network: ImageNetwork, built: nn.Module) -> None:
    for name, value in built.state_dict().items():
        own = network.tensors.get(name)
        if own is None or tuple(own.shape) != tuple(value.shape):
            what = "is missing" if own is None else f"has the shape {own.shape}"
            raise WeightsError(
                f"The numbers of {network.title} are not those of a"
                f" {network.card.architecture}: '{name}' {what}"
            )


def _layer_names(
    built: nn.Module, traced: Trace
) -> list[tuple[str, nn.Module, Node | None]]:
    """Return what runs, then what only training needs."""
    found: list[tuple[str, nn.Module, Node | None]] = []
    ran = set()
    modules = dict(built.named_modules())
    for node in traced.nodes:
        block = modules.get(node.block, built)
        found.append((node.name, node.module or block, node))
        ran.add(node.name)
    found += [
        (name, module, None)
        for name, module in modules.items()
        if name not in ran
        and is_layer(module)
        and any(True for _ in module.parameters(recurse=False))
    ]
    return found


def _layer(
    built: nn.Module,
    name: str,
    module: nn.Module,
    node: Node | None,
    tensors: Tensors | None,
    stored: Mapping[str, Coded | NDArray[Any]],
) -> LayerInfo:
    own: dict[str, Tensor] = {}
    if node is None or node.module is not None:
        own = dict(module.named_parameters(name, recurse=False))
    weight = own.get(f"{name}.weight")
    everything = [*own]
    if own:
        everything += [key for key, _ in module.named_buffers(name, recurse=False)]
    parameters = nonzero = sum(p.numel() for p in own.values())
    sparsity, bits, n_bytes, estimate = math.nan, 32 if own else 0, 0, 0.0
    if tensors is None:
        buffers = dict(module.named_buffers(name, recurse=False)) if own else {}
        n_bytes = sum(t.nbytes for t in [*own.values(), *buffers.values()])
    else:
        nonzero = sum(int(np.count_nonzero(tensors[key])) for key in own)
        n_bytes = sum(tensors[key].nbytes for key in everything if key in tensors)
        estimate = sum(
            _coded_bytes(stored.get(key, tensors[key]))
            for key in everything
            if key in tensors
        )
        if weight is not None:
            values = tensors[f"{name}.weight"]
            sparsity = 1 - np.count_nonzero(values) / max(1, values.size)
            bits = _bits(stored.get(f"{name}.weight"))
    kind = node.kind if node is not None else kind_of(module)
    block = node.block if node is not None else ""
    return LayerInfo(
        name=name,
        kind=kind,
        detail=_detail(module if node is None or node.module else None, node),
        activation=node.activation if node is not None else "",
        shape=tuple(weight.shape) if weight is not None else (),
        output=node.out_shape if node is not None else (),
        parameters=parameters,
        nonzero=nonzero,
        sparsity=float(sparsity),
        bits=bits,
        multiply_adds=_multiply_adds(module, node),
        n_bytes=n_bytes,
        stored_bytes=round(estimate),
        inputs=node.inputs if node is not None else (),
        block=block,
        block_kind=type(built.get_submodule(block)).__name__ if block else "",
        runs=node is not None,
    )


def _uncoded(layer: LayerInfo) -> LayerInfo:
    return replace(layer, stored_bytes=layer.n_bytes)


def _multiply_adds(module: nn.Module, node: Node | None) -> int:
    if node is None or node.module is None:
        return 0
    if isinstance(module, nn.Conv2d):
        inputs = module.in_channels // module.groups * math.prod(module.kernel_size)
        return math.prod(node.out_shape) * inputs
    if isinstance(module, nn.Linear):
        return math.prod(node.out_shape) * module.in_features
    return 0


def _detail(module: nn.Module | None, node: Node | None) -> str:
    if isinstance(module, nn.Conv2d):
        parts = [_sides(module.kernel_size), _step(module.stride)]
        if module.groups > 1:
            parts.append(f"{module.groups} groups")
        if module.dilation not in (1, (1, 1)):
            parts.append(f"dilation {_sides(module.dilation)}")
        return ", ".join(filter(None, parts))
    if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
        how = "max" if isinstance(module, nn.MaxPool2d) else "mean"
        step = module.stride if module.stride is not None else module.kernel_size
        sides = _sides(module.kernel_size)
        return ", ".join(filter(None, [f"{how} {sides}", _step(step)]))
    if isinstance(module, nn.LocalResponseNorm):
        return f"over {module.size} channels"
    if node is not None and node.kind == "mean" and len(node.in_shape) == 3:
        return "of {} × {} positions".format(*node.in_shape[1:])
    return ""


def _sides(value: int | Iterable[int]) -> str:
    sides = [value, value] if isinstance(value, int) else list(value)
    return "×".join(map(str, sides))


def _step(value: int | Iterable[int]) -> str:
    sides = [value] if isinstance(value, int) else sorted(set(value))
    return "" if sides == [1] else f"step {'×'.join(map(str, sides))}"


def _bits(stored: Coded | NDArray[Any] | None) -> int:
    if stored is None:
        return 32
    if isinstance(stored, Coded):
        return max(1, math.ceil(math.log2(max(2, len(stored.values)))))
    return int(8 * stored.dtype.itemsize)


def _coded_bytes(stored: Coded | NDArray[Any]) -> float:
    """Return about how many bytes numbers need, by how often which are there."""
    if isinstance(stored, Coded):
        more = 0 if stored.scales is None else stored.scales.nbytes
        return _entropy_bytes(stored.codes.ravel()) + stored.values.nbytes + more
    if stored.size < _SMALL:  # tables of what is how frequent would not pay
        return stored.nbytes
    rows = np.ascontiguousarray(stored).ravel().view(np.uint8)
    planes = rows.reshape(stored.size, -1).T
    return sum(_entropy_bytes(plane) for plane in planes)


def _entropy_bytes(symbols: NDArray[Any]) -> float:
    counts = np.bincount(symbols)
    counts = counts[counts > 0]
    shares = counts / max(1, counts.sum())
    return float(-(counts * np.log2(shares)).sum() / 8)
