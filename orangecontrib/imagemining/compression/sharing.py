"""Weights that share few values, which are then trained (Han et al. 2016, section 3).

The weights of a layer become the values nearest to them out of a codebook found by
k-means, or, with `Share.thrift`, values that cost few bits for how near they are. After
that only the codebooks (and biases and normalisation) are trained: the gradient of a
value is the sum of the gradients of the weights that share it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orangecontrib.imagemining.compression.codebooks import (
    Codebook,
    codebook_of,
    thrifty_codebook_of,
)
from orangecontrib.imagemining.compression.compensation import (
    compensated,
    input_moments,
)
from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.forms import Form
from orangecontrib.imagemining.compression.plan import Share
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.weights.coded import Coded

__all__ = ["Shared", "run", "share_layer", "share_layers"]

_CHUNK = 2**22  # numbers at once, so that those between need little memory
_KEPT = 13  # lowest bits of a float32 that values have not: 10 of 23 are left


class Shared(Form):
    """Weights out of a codebook that is trained.

    What is trained is, of each value, the value times the root of how many weights
    share it. So a step of gradient descent moves the value as it would have moved its
    weights on average, and rates that suit dense weights suit codebooks too: with the
    values themselves the sum of thousands of gradients would be far too long a step.

    Values are computed with as they are kept, with 11 significant bits, as float16 has
    them: the low bytes cost nothing in the file. Gradients pass this rounding as if it
    were not there.

    Parameters
    ----------
    codes
        Of the weight's shape, uint8: which value each has.
    pruned
        Whether value 0 is 0 and stays it: weights of code 0 are pruned.
    bits
        That tell the values apart; by default as many as there are values.
    """

    codes: Tensor
    scales: Tensor

    def __init__(self, codes: Tensor, pruned: bool, bits: int | None = None) -> None:
        super().__init__()
        counts = _counts(codes)
        self._bits = bits or max(math.ceil(math.log2(len(counts))), 1)
        scales = counts.clamp(min=1).rsqrt()
        if pruned:
            scales[0] = 0.0
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales.float())
        self.register_buffer("mask", codes != 0 if pruned else None)

    @property
    def bits(self) -> int:
        """How many bits tell a weight's value, before coding."""
        return self._bits

    def values(self, original: Tensor) -> Tensor:
        """Return the codebook of what is trained, (k,) float32."""
        values = original * self.scales
        # exact: the difference of two numbers so near each other is not rounded
        return values + (_short(values.detach()) - values.detach())

    def forward(self, original: Tensor) -> Tensor:
        """Return the weights."""
        lookup: Any = _Lookup
        weight: Tensor = lookup.apply(self.values(original), self.codes)
        return weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return what gives each value as the mean of the weights that share it."""
        sums = _sums(weight.detach(), self.codes, len(self.scales))
        return sums.to(weight.dtype) * self.scales

    def stored(self, original: Tensor) -> Coded:
        """Return codes and codebook, ascending and without values that nothing has."""
        with torch.no_grad():
            values = self.values(original).cpu().numpy() + np.float32(0)  # no −0
        codes = self.codes.cpu().contiguous().numpy()
        used = np.bincount(codes.ravel(), minlength=len(values)) > 0
        kept = np.unique(values[used])
        # values may have changed places while they were trained
        order = np.searchsorted(kept, values).clip(max=len(kept) - 1)
        return Coded(kept, order.astype(np.uint8)[codes])


class _Lookup(torch.autograd.Function):
    """Look values up by codes; back go sums, without an index of 8 bytes a weight."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, codes: Tensor) -> Tensor:
        ctx.save_for_backward(codes)
        ctx.k = len(values)
        weight = torch.empty_like(codes, dtype=values.dtype)  # strides as the codes
        flat, places = _flat(weight), _flat(codes)
        for start in range(0, len(flat), _CHUNK):
            part = slice(start, start + _CHUNK)
            flat[part] = values.index_select(0, places[part].int())
        return weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (codes,) = ctx.saved_tensors
        (gradient,) = gradients
        return _sums(gradient, codes, ctx.k).to(gradient.dtype), None


def run(step: Share, working: Working, context: Context) -> None:
    """Have all convolutions and fully connected layers share values, and train these.

    The network is offered before the training. Zeros stay zeros. Biases and
    normalisation stay float32 numbers.

    Raises
    ------
    TrainingError
        If the plan names a layer that is not there, or weights are no numbers.
    """
    for name in step.layer_bits:
        if name not in working.layers:
            raise TrainingError(
                f"Bits are planned for the layer '{name}', which the network does not"
                f" have. It has {', '.join(working.layers)}"
            )
    moments = None
    if step.compensate:
        images = context.images if len(context.images) else context.validation
        if not len(images):
            raise TrainingError(
                "Errors can be made up for only with images, and there are none; give"
                " images, or leave this out"
            )
        moments = input_moments(
            working,
            context.plan,
            images,
            lambda fraction, status="": context.report(0.7 * fraction, status),
        )
    left = share_layers(
        step, working, context.plan.seed, moments, progress=context.report
    )
    if left:
        context.note(
            f"{len(left)} layers have few values already and are left as they are"
        )
    if step.epochs:
        context.offer(working, "Shared values, not trained yet")
        context.tune(working, step.epochs, "Training the shared values")


def share_layers(
    step: Share,
    working: Working,
    seed: int = 0,
    moments: Mapping[str, NDArray[np.float64]] | None = None,
    progress: Progress = no_progress,
) -> list[str]:
    """Have the layers share values, without training.

    Parameters
    ----------
    step
        Bits, start and thrift.
    working
        Is changed in place.
    seed
        For a random start.
    moments
        By `compensation.input_moments`, to make up for errors; None: each weight gets
        the nearest value.
    progress
        Called before each layer; what it raises ends the work.

    Returns
    -------
    Names of the layers that have few values already by another step.
    """
    left = []
    layers = working.layers
    for number, (name, layer) in enumerate(layers.items()):
        progress(number / len(layers), f"Sharing values of {name}")
        form = working.form(name)
        if form is not None and form.bits <= 8 and not isinstance(form, Shared):
            left.append(name)
            continue
        bits = step.bits
        if isinstance(layer, nn.Linear) and step.linear_bits is not None:
            bits = step.linear_bits
        bits = step.layer_bits.get(name, bits)
        own = None if moments is None else moments.get(name)
        share_layer(working, name, bits, step.start, step.thrift, seed, own)
    progress(1.0)
    return left


def share_layer(
    working: Working,
    layer: str,
    bits: int,
    start: str = "linear",
    thrift: float = 0.0,
    seed: int = 0,
    moments: NDArray[np.float64] | None = None,
) -> None:
    """Have the weights of a layer share at most 2 ** bits values.

    Weights that are pruned, or exactly 0, share the value 0, which is one of them.

    Parameters
    ----------
    working
        Is changed in place.
    layer
        Name of its module.
    bits
        1–8.
    start, seed
        As for `codebooks.codebook_of`.
    thrift
        As `Share.thrift`.
    moments
        How the layer's inputs go together; see `share_layers`.

    Raises
    ------
    TrainingError
        If weights are no numbers.
    """
    weight = working.weight(layer).cpu().contiguous()
    numbers = weight.numpy()
    if not np.isfinite(numbers).all():
        raise TrainingError(f"The weights of {layer} are no numbers any more")
    there = numbers != 0
    pruned = not there.all()
    rest = numbers[there] if pruned else numbers
    if not rest.size:
        book = Codebook(np.zeros(1, np.float32), np.zeros(0))
    elif thrift > 0:
        # an error counts by its share of the sum of the layer's squares
        price = thrift * 1e-8 * float(np.square(rest, dtype=np.float64).sum())
        book = thrifty_codebook_of(rest, 2**bits, price, numbers.size - rest.size)
    else:
        book = codebook_of(rest, 2**bits - pruned, start, seed)
    if moments is None or not rest.size:
        codes = book.codes(numbers)
    else:
        flat = numbers.reshape(len(numbers), -1)
        mask = there.reshape(flat.shape) if pruned else None
        codes = compensated(flat, moments, book.values, book.borders, mask)
        codes = codes.reshape(numbers.shape)
    values = book.values
    if pruned or thrift > 0:
        values, codes = _with_zero_first(values, codes, there)
    held = torch.from_numpy(codes)
    if weight.ndim == 4:
        held = held.contiguous(memory_format=torch.channels_last)
    working.set_form(layer, None)
    if moments is not None:
        # the means of weights that were moved are not those that were rounded to
        with torch.no_grad():
            working.weight(layer).copy_(torch.from_numpy(values[codes]))
    working.set_form(layer, Shared(held, pruned or thrift > 0, bits))


def _with_zero_first(
    values: NDArray[np.float32], codes: NDArray[np.uint8], there: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return values and codes with 0 as the first value, that of all not there."""
    zero = np.flatnonzero(values == 0)
    places = np.arange(1, len(values) + 1, dtype=np.int64)
    if len(zero):
        places[zero[0] :] -= 1
        places[zero[0]] = 0
    values = np.concatenate([np.zeros(1, np.float32), values[values != 0]])
    codes = places.astype(np.uint8)[codes]
    codes[~there] = 0
    return values, codes


def _flat(tensor: Tensor) -> Tensor:
    """Return a dense tensor's numbers in the order that they lie in memory, a view."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    return tensor.permute(0, 2, 3, 1).reshape(-1)


def _like(tensor: Tensor, codes: Tensor) -> Tensor:
    """Return a tensor's numbers in the order that the codes lie in memory."""
    if codes.is_contiguous():
        return tensor.reshape(-1)
    return tensor.permute(0, 2, 3, 1).reshape(-1)


def _sums(numbers: Tensor, codes: Tensor, k: int) -> Tensor:
    """Return the sum of the numbers of each code, (k,)."""
    flat, places = _like(numbers, codes), _flat(codes)
    # Apple's GPUs have no float64
    exact = torch.float32 if numbers.device.type == "mps" else torch.float64
    sums = torch.zeros(k, dtype=exact, device=numbers.device)
    for start in range(0, len(flat), _CHUNK):
        part = slice(start, start + _CHUNK)
        sums += torch.bincount(places[part].int(), flat[part].to(exact), k)
    return sums


def _counts(codes: Tensor) -> Tensor:
    flat = _flat(codes)
    counts = torch.zeros(int(flat.max()) + 1, dtype=torch.int64)
    for start in range(0, len(flat), _CHUNK):
        counts += torch.bincount(flat[start : start + _CHUNK], minlength=len(counts))
    return counts


def _short(values: Tensor) -> Tensor:
    """Return float32 numbers rounded to 11 significant bits."""
    whole = values.contiguous().view(torch.int32)
    # what carries over goes on into the exponent, which is the next number
    rounded = (whole + (1 << _KEPT - 1)) & -(1 << _KEPT)
    return rounded.view(torch.float32)
