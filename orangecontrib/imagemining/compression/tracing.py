"""Follows an image through a network: what runs, in which order, and what feeds what.

Layers that torch has modules for are seen by hooks; sums, concatenations and means by
watching the functions that are called in between.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from orangecontrib.imagemining.compression.described import IMAGE

__all__ = ["Node", "Trace", "timed", "trace"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALISATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
)
_POOLINGS = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

_SUMS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
_CONCATENATIONS = {"cat", "concat", "concatenate"}
_MEANS = {"mean", "amax", "adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"}
_SAME_SHAPE = {"batch_norm", "dropout", "local_response_norm"}
_ACTIVATIONS = {
    "relu": "ReLU",
    "relu_": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "leaky ReLU",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "silu": "SiLU",
    "gelu": "GELU",
    "hardswish": "hard swish",
    "softmax": "softmax",
}


@dataclass
class Node:
    """Something that runs.

    Attributes
    ----------
    name : of its module; of a function, of the module in which it is called.
    kind : as in `described.LayerInfo`.
    module : torch's; None for a function.
    inputs : places of the nodes that feed it, `IMAGE` for the image.
    in_shape, out_shape : without the axis of images.
    activation : what is applied to its output.
    block : name of the outermost module of several layers around it, "" for none.
    """

    name: str
    kind: str
    module: nn.Module | None
    inputs: tuple[int, ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    activation: str = ""
    block: str = ""


@dataclass
class Trace:
    """How an image goes through a network.

    Attributes
    ----------
    nodes : in the order in which they run.
    events : for each call that `timed` measures, the node to which its time belongs.
    """

    nodes: list[Node]
    events: list[int]


def is_layer(module: nn.Module) -> bool:
    """Tell whether a module is looked at as a whole."""
    known = (*_CONVOLUTIONS, nn.Linear, *_NORMALISATIONS, *_POOLINGS)
    if isinstance(module, known):
        return True
    is_leaf = not any(True for _ in module.children())
    return is_leaf and any(True for _ in module.parameters(recurse=False))


def kind_of(module: nn.Module) -> str:
    """Return what a module is, as in `described.LayerInfo`."""
    if isinstance(module, _CONVOLUTIONS):
        return "convolution"
    if isinstance(module, nn.Linear):
        return "fully connected"
    if isinstance(module, _NORMALISATIONS):
        return "normalisation"
    return "pooling" if isinstance(module, _POOLINGS) else "other"


class _Watch(TorchFunctionMode, ABC):
    """Sees functions between layers; `begin` and `end` are told of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.within = 0  # layers, whose own functions are no concern
        self.path: list[tuple[str, nn.Module]] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if self.within:
            return _run(func, args, kwargs or {})
        return self.called(func, args, kwargs or {})

    @abstractmethod
    def called(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a function between layers."""

    def begin(self, name: str, module: nn.Module, x: Any) -> None:
        """A layer begins."""

    def end(self, name: str, module: nn.Module, x: Any, y: Any) -> None:
        """A layer ends."""

    @contextmanager
    def on(self, network: nn.Module) -> Iterator[None]:
        """Watch a network."""
        with ExitStack() as stack:
            for name, module in network.named_modules():
                if module is network:
                    continue
                before, after = self._hooks(name, module)
                stack.enter_context(_removed(module.register_forward_pre_hook(before)))
                stack.enter_context(_removed(module.register_forward_hook(after)))
            with self:
                yield

    def _hooks(
        self, name: str, module: nn.Module
    ) -> tuple[Callable[..., None], Callable[..., None]]:
        layer = is_layer(module)

        def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.path.append((name, module))
            if layer:
                self.within += 1
                if self.within == 1:
                    self.begin(name, module, inputs[0])

        def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if layer:
                if self.within == 1:
                    self.end(name, module, inputs[0], output)
                self.within -= 1
            self.path.pop()

        return before, after


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


class _Tracer(_Watch):
    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.events: list[int] = []
        self.sources: dict[int, tuple[int, ...]] = {}
        self.kept: list[Any] = []  # as long as they live, their ids are their own
        self.begun: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())

    def note(self, tensor: Tensor, sources: tuple[int, ...]) -> None:
        self.kept.append(tensor)
        self.sources[id(tensor)] = sources

    def begin(self, name: str, module: nn.Module, x: Any) -> None:
        # what works in place changes the input's source at the end
        self.begun = self.sources.get(id(x), ()), tuple(x.shape[1:])

    def end(self, name: str, module: nn.Module, x: Any, y: Any) -> None:
        self._add(name, kind_of(module), module, *self.begun, y)

    def _add(
        self,
        name: str,
        kind: str,
        module: nn.Module | None,
        inputs: tuple[int, ...],
        in_shape: tuple[int, ...],
        y: Tensor,
    ) -> None:
        block = ""
        for other, outer in self.path:
            is_whole = outer is module or not any(True for _ in outer.children())
            if not is_whole and not isinstance(outer, _CONTAINERS):
                block = other
                break
        shape = tuple(y.shape[1:])
        self.nodes.append(
            Node(name, kind, module, inputs, in_shape, shape, block=block)
        )
        self.events.append(len(self.nodes) - 1)
        self.note(y, (len(self.nodes) - 1,))

    def called(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        name = getattr(func, "__name__", "")
        given = [t for t in _tensors((args, kwargs)) if id(t) in self.sources]
        shapes = [tuple(t.shape[1:]) for t in given]
        ways = [self.sources[id(t)] for t in given]
        y = _run(func, args, kwargs)
        outputs = _tensors(y)
        if not given or not outputs:
            self.events.append(IMAGE)
            return y
        sources = tuple(dict.fromkeys(place for way in ways for place in way))
        first = outputs[0]
        kind = ""
        if name in _CONCATENATIONS:
            kind = "concatenation"
        elif name in _SUMS and len(given) > 1:
            kind = "sum"
        elif name in _MEANS and tuple(first.shape[1:]) != shapes[0]:
            kind = "mean" if name in ("mean", "adaptive_avg_pool2d") else "pooling"
        elif len(sources) > 1:
            kind = "other"
        if kind:
            where = self.path[-1][0] if self.path else ""
            own = f"{where}.{kind}" if where else kind
            self._add(own, kind, None, sources, shapes[0], first)
            return y
        if name in _ACTIVATIONS and sources[0] != IMAGE:
            node = self.nodes[sources[0]]
            node.activation = node.activation or _ACTIVATIONS[name]
        for each in outputs:
            self.note(each, sources)
        self.events.append(sources[0])
        return y


class _Timer(_Watch):
    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.start = 0.0

    def begin(self, name: str, module: nn.Module, x: Any) -> None:
        self.start = time.perf_counter()

    def end(self, name: str, module: nn.Module, x: Any, y: Any) -> None:
        self.seconds.append(time.perf_counter() - self.start)

    def called(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        start = time.perf_counter()
        y = func(*args, **kwargs)
        self.seconds.append(time.perf_counter() - start)
        return y


def _run(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a function; without numbers, tell the shape of what it gives.

    For these functions on its device "meta" torch would load its compiler, which takes
    seconds.
    """
    name = getattr(func, "__name__", "")
    x = args[0] if args else None
    if name in _CONCATENATIONS and isinstance(x, (list, tuple)) and _is_meta(x[0]):
        axis = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        shape = list(x[0].shape)
        shape[axis] = sum(each.shape[axis] for each in x)
        return x[0].new_empty(shape)
    if not isinstance(x, Tensor) or not _is_meta(x):
        return func(*args, **kwargs)
    if name in _ACTIVATIONS or name in _SAME_SHAPE:
        is_same = name.endswith("_") or kwargs.get("inplace", False)
        return x if is_same else torch.empty_like(x)
    if name in _SUMS and isinstance(args[1], Tensor) and args[1].shape == x.shape:
        return torch.empty_like(x)
    if name == "mean":
        return torch.sum(*args, **kwargs)
    if name == "linear":
        return x.new_empty(*x.shape[:-1], args[1].shape[0])
    return func(*args, **kwargs)


def _is_meta(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_meta


def trace(network: nn.Module, image: Tensor) -> Trace:
    """Follow an image through a network.

    Parameters
    ----------
    network
        In evaluation mode; without numbers (torch's device "meta") it costs nothing.
    image
        (1, 3, height, width) on the same device.
    """
    tracer = _Tracer()
    with torch.inference_mode(), tracer.on(network):
        tracer.note(image, (IMAGE,))
        network(image)
    return Trace(tracer.nodes, tracer.events)


def timed(network: nn.Module, image: Tensor) -> list[float]:
    """Run a network once; return the seconds of each of its trace's events."""
    timer = _Timer()
    with torch.inference_mode(), timer.on(network):
        network(image)
    return timer.seconds


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for each in value.values() for t in _tensors(each)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [t for each in value for t in _tensors(each)]
    return []
