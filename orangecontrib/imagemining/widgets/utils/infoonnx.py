"""What an ONNX file tells about the network in it; no Qt."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from orangecontrib.imagemining.compression.described import (
    IMAGE,
    Described,
    LayerInfo,
    Times,
)
from orangecontrib.imagemining.embedders.catalog import card_of, engine_for, path_of
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Progress
from orangecontrib.imagemining.weights.cards import load_card
from orangecontrib.imagemining.weights.image_network import OnnxNetwork

__all__ = ["describe_onnx", "measure_onnx"]

#: Places of data, weights and bias among the inputs of operators with weights.
_WEIGHTED = {
    "Conv": (0, 1, 2),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1, None),
    "QLinearConv": (0, 3, 8),
    "QLinearMatMul": (0, 3, None),
    "QGemm": (0, 3, 6),
    "ConvInteger": (0, 1, None),
    "MatMulInteger": (0, 1, None),
}
_POOLINGS = {
    "MaxPool": "max",
    "AveragePool": "mean",
    "QLinearAveragePool": "mean",
}
_MEANS = ("GlobalAveragePool", "QLinearGlobalAveragePool", "ReduceMean")
_SUMS = ("Add", "Sum", "QLinearAdd")
_CONCATENATIONS = ("Concat", "QLinearConcat")
_ACTIVATIONS = {
    "Relu": "ReLU",
    "Clip": "ReLU6",
    "LeakyRelu": "leaky ReLU",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
}
_KEPT = ("DequantizeLinear", "QuantizeLinear", "Identity", "Cast", "Transpose")
_RUNS = 15


def describe_onnx(network: OnnxNetwork) -> Described:
    """Return what an ONNX file tells; its layers if the package onnx is installed.

    Raises
    ------
    WeightsError
        If the file is missing or damaged.
    """
    path, card = path_of(network.name), card_of(network.name)
    try:
        parts = [path.with_name(part) for part in load_card(path).parts]
        file_bytes = sum(Path(each).stat().st_size for each in (path, *parts))
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read ({ex.strerror or ex})") from ex
    described = Described(
        title=network.title,
        architecture="ONNX",
        size=card.preprocess.size,
        n_classes=len(network.classes),
        layers=(),
        file_bytes=file_bytes,
        n_bytes=math.nan,
        parameters=math.nan,
        nonzero=math.nan,
        multiply_adds=math.nan,
        has_weights=False,
        preprocess=card.preprocess,
    )
    try:
        import onnx
    except ImportError:
        note = "What is in an ONNX file can be told with the Python package onnx"
        return replace(described, notes=(note,))
    try:
        model = onnx.load(str(path), load_external_data=False)
        model = _with_shapes(onnx, model, card.preprocess.size)
        graph = _Graph(onnx, model.graph, has_values=not parts)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as ex:
        raise WeightsError(f"{path.name} is damaged, or no ONNX file ({ex})") from ex
    except Exception as ex:  # protobuf's and onnx's own have no common base
        if type(ex).__module__.partition(".")[0] not in ("onnx", "google"):
            raise
        raise WeightsError(f"{path.name} is damaged, or no ONNX file ({ex})") from ex
    layers = graph.layers
    has_shapes = all(layer.output for layer in layers)
    note = "The file does not tell all shapes, so multiply-adds are not known"
    return replace(
        described,
        layers=tuple(layers),
        n_bytes=sum(layer.n_bytes for layer in layers),
        parameters=sum(layer.parameters for layer in layers),
        nonzero=sum(layer.nonzero for layer in layers),
        multiply_adds=(
            sum(layer.multiply_adds for layer in layers) if has_shapes else math.nan
        ),
        has_weights=not parts,
        notes=() if has_shapes else (note,),
    )


def measure_onnx(network: OnnxNetwork, seconds: float, progress: Progress) -> Times:
    """Measure how long ONNX Runtime takes for one image, on the processor.

    Raises
    ------
    WeightsError
        If the network cannot be run.
    """
    progress(0, f"Measuring {network.title}…")
    card, engine = card_of(network.name), engine_for(network.name)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (1, *card.preprocess.size, 3), dtype=np.uint8)
    layers = [card.layers[0].name]
    found: list[float] = []
    begun = time.perf_counter()
    for run in range(-2, _RUNS):
        progress(min(1.0, (time.perf_counter() - begun) / max(seconds, 1e-9)))
        start = time.perf_counter()
        engine.run(pixels, layers)
        if run >= 0:
            found.append(time.perf_counter() - start)
        if run >= 2 and time.perf_counter() - begun > seconds:
            break
    return Times(median(found), (), len(found))


def _with_shapes(onnx: Any, model: Any, size: tuple[int, int]) -> Any:
    """Return the model with all shapes, for one image of this size."""
    for port in model.graph.input:
        dims = port.type.tensor_type.shape.dim
        if len(dims) == 4:
            dims[0].dim_value = 1
            known = [dim.dim_value for dim in dims]
            rows, columns = (1, 2) if known[3] in (1, 3) else (2, 3)
            dims[rows].dim_value, dims[columns].dim_value = size
    del model.graph.value_info[:]
    for port in model.graph.output:
        port.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model)


class _Graph:
    """Goes through a graph once and notes its layers."""

    def __init__(self, onnx: Any, graph: Any, has_values: bool) -> None:
        self._onnx, self._has_values = onnx, has_values
        self.layers: list[LayerInfo] = []
        self._numbers = {tensor.name: tensor for tensor in graph.initializer}
        self._shapes = {
            value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
            for value in [*graph.value_info, *graph.output, *graph.input]
        }
        self._sources: dict[str, tuple[int, ...]] = {
            port.name: (IMAGE,)
            for port in graph.input
            if port.name not in self._numbers
        }
        for number, node in enumerate(graph.node):
            self._read(node, number)

    def _read(self, node: Any, number: int) -> None:
        kind = node.op_type
        given = [name for name in node.input if name in self._sources]
        if kind == "Constant":
            self._note_constant(node)
            return
        if not given:
            if kind in _KEPT and node.input and node.input[0] in self._numbers:
                self._numbers[node.output[0]] = self._numbers[node.input[0]]
            return
        ways = [place for name in given for place in self._sources[name]]
        sources = tuple(dict.fromkeys(ways))
        weights = _WEIGHTED.get(kind)
        if weights is not None and self._number(node, weights[1]) is not None:
            self._add_weighted(node, number, sources, weights)
        elif kind == "BatchNormalization":
            own = [self._number(node, 1), self._number(node, 2)]
            self._add(node, number, "normalisation", sources, tensors=own)
        elif kind in _POOLINGS:
            sides = "×".join(map(str, _attribute(node, "kernel_shape")))
            step = sorted(set(_attribute(node, "strides")))
            detail = f"{_POOLINGS[kind]} {sides}"
            detail += "" if step in ([], [1]) else f", step {step[0]}"
            self._add(node, number, "pooling", sources, detail)
        elif kind in _MEANS:
            self._add(node, number, "mean", sources)
        elif kind in _SUMS and len(given) > 1:
            self._add(node, number, "sum", sources)
        elif kind in _CONCATENATIONS and len(given) > 1:
            self._add(node, number, "concatenation", sources)
        elif len(sources) > 1:
            self._add(node, number, "other", sources, kind)
        else:
            self._pass(node, sources)

    def _pass(self, node: Any, sources: tuple[int, ...]) -> None:
        place = sources[0]
        if place != IMAGE:
            layer = self.layers[place]
            activation = layer.activation or _ACTIVATIONS.get(node.op_type, "")
            bias = [n for n in node.input if n in self._numbers]
            more = 0
            if node.op_type == "Add" and layer.kind == "fully connected" and bias:
                more = math.prod(self._numbers[bias[0]].dims)
            self.layers[place] = replace(
                layer,
                activation=activation,
                parameters=layer.parameters + more,
                nonzero=layer.nonzero + more,
                n_bytes=layer.n_bytes + 4 * more,
                stored_bytes=layer.stored_bytes + 4 * more,
            )
        for name in node.output:
            self._sources[name] = sources

    def _add_weighted(
        self,
        node: Any,
        number: int,
        sources: tuple[int, ...],
        places: tuple[int, int, int | None],
    ) -> None:
        weight = self._number(node, places[1])
        tensors = [weight]
        if places[2] is not None:
            tensors.append(self._number(node, places[2]))
        shape, output = tuple(weight.dims), self._output(node)
        if len(shape) > 2:
            step = sorted(set(_attribute(node, "strides")))
            detail = "×".join(map(str, shape[2:]))
            detail += "" if step in ([], [1]) else f", step {step[0]}"
            adds = math.prod(output) * math.prod(shape[1:]) if output else 0
            self._add(node, number, "convolution", sources, detail, tensors, adds)
        else:
            adds = math.prod(shape)
            self._add(node, number, "fully connected", sources, "", tensors, adds)

    def _add(
        self,
        node: Any,
        number: int,
        kind: str,
        sources: tuple[int, ...],
        detail: str = "",
        tensors: list[Any] | None = None,
        multiply_adds: int = 0,
    ) -> None:
        own = [tensor for tensor in tensors or [] if tensor is not None]
        sizes = [math.prod(tensor.dims) for tensor in own]
        bits = [self._bits(tensor) for tensor in own]
        nonzero = [self._nonzero(tensor) for tensor in own]
        stored = sum(n * b // 8 for n, b in zip(sizes, bits, strict=True))
        is_weighted = bool(own) and kind != "normalisation"
        self.layers.append(
            LayerInfo(
                name=node.name or f"{node.op_type} {number}",
                kind=kind,
                detail=detail,
                shape=tuple(own[0].dims) if own else (),
                output=self._output(node),
                parameters=sum(sizes),
                nonzero=sum(nonzero),
                sparsity=1 - nonzero[0] / sizes[0]
                if is_weighted and sizes[0]
                else math.nan,
                bits=bits[0] if own else 0,
                multiply_adds=multiply_adds,
                n_bytes=4 * sum(sizes),
                stored_bytes=stored,
                inputs=sources,
            )
        )
        for name in node.output:
            self._sources[name] = (len(self.layers) - 1,)

    def _number(self, node: Any, place: int) -> Any:
        """Return the tensor at an input, None if it is computed or not there."""
        if place >= len(node.input):
            return None
        return self._numbers.get(node.input[place])

    def _note_constant(self, node: Any) -> None:
        for attribute in node.attribute:
            if attribute.name == "value":
                self._numbers[node.output[0]] = attribute.t

    def _output(self, node: Any) -> tuple[int, ...]:
        """Return the shape that comes out, () if it is not known."""
        shape = self._shapes.get(node.output[0], ())[1:]
        return shape if all(shape) else ()

    def _bits(self, tensor: Any) -> int:
        kind = self._onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        return 8 * np.dtype(kind).itemsize

    def _nonzero(self, tensor: Any) -> int:
        if not self._has_values:
            return math.prod(tensor.dims)
        return int(np.count_nonzero(self._onnx.numpy_helper.to_array(tensor)))


def _attribute(node: Any, name: str) -> list[int]:
    for attribute in node.attribute:
        if attribute.name == name:
            return list(attribute.ints)
    return []
