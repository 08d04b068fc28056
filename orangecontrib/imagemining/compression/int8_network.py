"""Networks of whole numbers: how they compute while they are trained, and as files.

A file has weights of 8 bits, biases of 32, and between layers `QuantizeLinear` and
`DequantizeLinear`, by which ONNX Runtime knows what it may compute in integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.compression.int8_folding import put
from orangecontrib.imagemining.compression.int8_places import Places
from orangecontrib.imagemining.compression.int8_ranges import LEVELS, Scale, Seen
from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.networks.portable import (
    PORTABLE_OUTPUTS,
    Portable,
    onnx_content,
)
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights.onnx_network import ONNX_INPUT

__all__ = [
    "MOST",
    "Calibration",
    "calibrated",
    "integer_content",
    "layers_of",
    "rounded_weight",
    "simulated",
    "vectors_of",
]

#: The largest of a weight's whole numbers; the smallest is −127.
MOST = 127

_MOST_BIAS = 2**30


@dataclass(frozen=True)
class Calibration:
    """What calibration tells of a network's places.

    Attributes
    ----------
    scales : by the places' numbers.
    before : number of the place before each layer, by its name.
    """

    scales: list[Scale]
    before: dict[str, int]


def vectors_of(network: Network, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and features of normalised images.

    The steps up to the logits are those of the network's own call, in the same order,
    so that places have the same numbers in training and in files.
    """
    features = network.forward_features(x)
    logits = network.forward_head(features)
    return logits, network.forward_head(features, pre_logits=True)


def layers_of(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield names and modules of convolutions and fully connected layers."""
    for name, module in network.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            yield name, module


def calibrated(
    network: Network, batches: Sequence[Iterable[Tensor]], method: str
) -> Calibration:
    """Look at what goes through a network, and choose scales.

    Parameters
    ----------
    network
        In evaluation mode, with normalisation folded.
    batches
        Twice the same normalised images, (n, 3, h, w) each: first the ends of ranges
        are looked at, then what is between.
    method
        One of `int8_ranges.METHODS`.
    """
    seen: dict[int, Seen] = {}
    spreading = False

    def look(place: int, x: Tensor, looked: bool) -> Tensor:
        known = seen.setdefault(place, Seen())
        if looked:
            (known.spread if spreading else known.stretch)(x)
        return x

    places = Places(look, ((name, layer.weight) for name, layer in layers_of(network)))
    with torch.inference_mode():
        for spreading in (False, True):  # noqa: B007  # `look` asks for it
            for pixels in batches[spreading]:
                places.begin(pixels)
                with places:
                    vectors_of(network, pixels)
    scales = [seen[place].scale(method) for place in sorted(seen)]
    return Calibration(scales, places.before)


@contextmanager
def simulated(network: Network, calibration: Calibration) -> Iterator[None]:
    """Have a network compute with rounded numbers between its layers, for a while.

    Gradients go through what lies within the ranges as if it were not rounded.

    Parameters
    ----------
    network
        Its own call is changed, as trainings use it.
    calibration
        Of the same network.
    """

    def rounded(place: int, x: Tensor, looked: bool) -> Tensor:
        scale = calibration.scales[place]
        return torch.fake_quantize_per_tensor_affine(
            x.float(), scale.step, scale.zero, 0, LEVELS
        )

    within: list[Places] = []

    def enter(module: nn.Module, args: Any) -> None:
        places = Places(rounded)
        places.begin(args[0])
        within.append(places)
        places.__enter__()  # type: ignore[no-untyped-call]

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        within.pop().__exit__(None, None, None)  # type: ignore[no-untyped-call]

    handles = [
        network.register_forward_pre_hook(enter),
        network.register_forward_hook(leave, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def rounded_weight(weight: Tensor, most: int = MOST) -> tuple[Tensor, Tensor]:
    """Return whole numbers and a step a filter whose products are about the weights.

    Parameters
    ----------
    weight
        (filters, …) float32.
    most
        The largest whole number.

    Returns
    -------
    int8 of the same shape, and (filters,) float32: a filter's largest size through
    `most`; 0 where all of it is 0.
    """
    steps = weight.detach().abs().flatten(1).amax(dim=1) / most
    return _whole(weight, steps, most), steps


def _whole(weight: Tensor, steps: Tensor, most: int) -> Tensor:
    shape = (-1,) + (1,) * (weight.dim() - 1)
    divisors = torch.where(steps > 0, steps, 1.0).reshape(shape)
    return (weight.detach() / divisors).round().clamp(-most, most).to(torch.int8)


def integer_content(
    network: Network,
    preprocess: Preprocess,
    calibration: Calibration,
    example: Tensor,
    most: int = MOST,
) -> tuple[bytes, tuple[Tensor, Tensor]]:
    """Return a network as the ONNX file of one of whole numbers.

    Parameters
    ----------
    network
        With normalisation folded; it is used up.
    preprocess
        What is done to pixels within the file.
    calibration
        Of the network.
    example
        (n, 3, height, width) float32, pixels of 0–255.
    most
        The largest whole number of a weight.

    Returns
    -------
    The file's content; and logits and features that it should give for the example.
    """
    for name, layer in list(layers_of(network)):
        if name in calibration.before:
            scale = calibration.scales[calibration.before[name]]
            kind = _Convolution if isinstance(layer, nn.Conv2d) else _Linear
            put(network, name, kind(layer, scale.step, most))
    module = _Portable(network, preprocess, calibration.scales).eval()
    with torch.no_grad():
        logits, _, features = module(example)
    content = onnx_content(module, example, ONNX_INPUT, PORTABLE_OUTPUTS)
    return content, (logits, features)


class _Portable(Portable):
    """A network that rounds between its layers."""

    steps: Tensor
    zeros: Tensor

    def __init__(
        self, network: Network, preprocess: Preprocess, scales: Sequence[Scale]
    ) -> None:
        super().__init__(network, preprocess)
        for place, scale in enumerate(scales):
            step = torch.tensor(scale.step, dtype=torch.float32)
            self.register_buffer(f"step{place}", step)
            zero = torch.tensor(scale.zero, dtype=torch.uint8)
            self.register_buffer(f"zero{place}", zero)

    def vectors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def rounded(place: int, x: Tensor, looked: bool) -> Tensor:
            step = getattr(self, f"step{place}")
            return _rounded(x, step, getattr(self, f"zero{place}"))

        places = Places(rounded)
        places.begin(x)
        with places:
            return vectors_of(self.network, x)


class _Whole(nn.Module):
    """A layer's numbers as whole ones."""

    codes: Tensor
    steps: Tensor
    zeros: Tensor
    bias_codes: Tensor | None
    bias_steps: Tensor
    bias_zeros: Tensor

    def __init__(self, layer: Any, step: float, most: int) -> None:
        super().__init__()
        _, steps = rounded_weight(layer.weight, most)
        if layer.bias is not None:
            # biases are counted in steps of the products: where a filter's weights are
            # next to nothing against its bias, that would be more than 32 bits hold
            least = layer.bias.detach().double().abs() / (step * _MOST_BIAS)
            steps = torch.maximum(steps, least.float())
        steps = torch.where(steps > 0, steps, 1.0)
        self.register_buffer("codes", _whole(layer.weight, steps, most))
        self.register_buffer("steps", steps)
        # ONNX Runtime multiplies matrices of integers only where zeros are told
        self.register_buffer("zeros", torch.zeros(len(steps), dtype=torch.int8))
        self.register_buffer("bias_codes", None)
        if layer.bias is not None:
            products = steps * torch.tensor(step, dtype=torch.float32)
            codes = (layer.bias.detach().double() / products.double()).round()
            self.register_buffer("bias_codes", codes.to(torch.int32))
            self.register_buffer("bias_steps", products)
            zeros = torch.zeros(len(steps), dtype=torch.int32)
            self.register_buffer("bias_zeros", zeros)

    def numbers(self) -> tuple[Tensor, Tensor | None]:
        """Return weights and biases."""
        weight = _told(self.codes, self.steps, self.zeros)
        if self.bias_codes is None:
            return weight, None
        return weight, _told(self.bias_codes, self.bias_steps, self.bias_zeros)


class _Convolution(_Whole):
    def __init__(self, layer: nn.Conv2d, step: float, most: int) -> None:
        super().__init__(layer, step, most)
        self.how: dict[str, Any] = {
            name: getattr(layer, name)
            for name in ("stride", "padding", "dilation", "groups")
        }

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, *self.numbers(), **self.how)


class _Linear(_Whole):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, *self.numbers())


class _Rounded(torch.autograd.Function):
    """Numbers rounded to those that 8 bits tell apart."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, zero: Tensor) -> Tensor:
        whole = ((x / step).round() + zero.float()).clamp(0, LEVELS)
        return (whole - zero.float()) * step

    @staticmethod
    def symbolic(g: Any, x: Any, step: Any, zero: Any) -> Any:
        whole = g.op("QuantizeLinear", x, step, zero)
        return g.op("DequantizeLinear", whole, step, zero).setType(x.type())


class _Told(torch.autograd.Function):
    """What whole numbers stand for, with a step a filter."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor, steps: Tensor, zeros: Tensor) -> Tensor:
        steps = steps.reshape((-1,) + (1,) * (codes.dim() - 1))
        return codes.float() * steps

    @staticmethod
    def symbolic(g: Any, codes: Any, steps: Any, zeros: Any) -> Any:
        numbers = g.op("DequantizeLinear", codes, steps, zeros, axis_i=0)
        return numbers.setType(codes.type().with_dtype(torch.float32))


_rounded: Callable[[Tensor, Tensor, Tensor], Tensor] = _Rounded.apply
_told: Callable[[Tensor, Tensor, Tensor], Tensor] = _Told.apply
