"""Weights of very few bits, trained as such: ternary, or of 3–8 bits.

Full-precision weights are kept beside and are what is trained: each step computes with
the few values that are nearest to them, and the gradient of these is theirs ("straight
through"). Ternary weights −s, 0, s are those of Li and Liu 2016 (arXiv:1605.04711),
section 2; those of k bits have 2 ** k − 1 levels, as far apart on both sides of 0. The
schemes with a teacher are those of Mishra and Marr 2017 ("Apprentice"), whose first and
last layers stay in full precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from orangecontrib.imagemining.compression.beginning import (
    as_image_network,
    fresh_network,
    in_words,
    recipe_from_nothing,
)
from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.forms import Form, Masked
from orangecontrib.imagemining.compression.normalising import look_anew
from orangecontrib.imagemining.compression.plan import LowBits
from orangecontrib.imagemining.compression.tasks import Apprentice
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError, UnknownNameError
from orangecontrib.imagemining.training.arithmetic import use_dropout
from orangecontrib.imagemining.training.task import Classification
from orangecontrib.imagemining.weights.coded import Coded

__all__ = ["SCHEMES", "LowBit", "Rounded", "few_bits", "rounded_activations", "run"]

#: Schemes in words.
SCHEMES = {
    "none": "without a teacher",
    "A": "teacher and student trained together",
    "B": "a trained teacher, the student from fresh weights",
    "C": "a trained teacher, the student from its full-precision weights",
}

#: Share of the mean size of weights below which a ternary one is 0 (Li and Liu 2016,
#: section 2.2, where it is derived for weights of a uniform or normal distribution).
THRESHOLD = 0.7

_TINY = torch.finfo(torch.float32).tiny


class LowBit(Form):
    """Weights of few values, with a scale a filter.

    A scale a layer is no better: of a ResNet-20 trained on CIFAR-10, rounded without
    any training, 76 % of 1,500 images were right with either and ternary weights, and
    84.1 % instead of 81.0 % with 3 bits and scales a filter. Nor is the step with the
    least squared error (84.0 %).

    Parameters
    ----------
    bits
        2: −s, 0, s, where s is the mean size of the filter's weights that are larger
        than `THRESHOLD` times the mean size of all. 3–8: the 2 ** bits − 1 multiples,
        from −(2 ** (bits − 1) − 1), of a step by which the largest reaches the filter's
        largest weight.
    mask
        What is not pruned; the rest is 0, and no scale looks at it. None: all.
    """

    def __init__(self, bits: int, mask: Tensor | None = None) -> None:
        super().__init__()
        if not 2 <= bits <= 8:
            raise TrainingError(f"Weights of few bits have 2 to 8 of them, not {bits}")
        self._bits = bits
        self.register_buffer("mask", mask)

    @property
    def bits(self) -> int:
        """How many bits tell a weight."""
        return self._bits

    def forward(self, original: Tensor) -> Tensor:
        """Return the nearest weights of few values, (filters, …) as given."""
        weight: Tensor = _Straight.apply(original, self)  # type: ignore[no-untyped-call]
        return weight

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the weights, which are to be trained as they are."""
        return weight

    def levels(self, original: Tensor) -> tuple[Tensor, Tensor]:
        """Return each weight's level and each filter's scale; their product is it.

        Parameters
        ----------
        original
            (filters, …) float32.

        Returns
        -------
        Whole numbers from −(2 ** (bits − 1) − 1), as float32, of the same shape; and
        scales (filters,), float32.
        """
        flat = original.detach().float().flatten(1)
        mask = None if self.mask is None else self.mask.flatten(1)
        if mask is not None:
            flat = flat * mask
        size = flat.abs()
        if self._bits == 2:
            count = flat.shape[1] if mask is None else mask.sum(1, keepdim=True)
            total = size.sum(1, keepdim=True)
            large = size > THRESHOLD * total / torch.as_tensor(count).clamp(min=1)
            scales = (size * large).sum(1) / large.sum(1).clamp(min=1)
            levels = flat.sign() * large
        else:
            most = 2 ** (self._bits - 1) - 1
            scales = size.amax(1) / most
            steps = scales.clamp(min=_TINY)[:, None]
            levels = (flat / steps).round().clamp(-most, most)
        # adding 0 makes −0 of rounding 0: files know one zero
        return (levels + 0.0).reshape(original.shape), scales

    def stored(self, original: Tensor) -> Coded | NDArray[Any] | None:
        """Return the levels as codes, and a scale a filter."""
        levels, scales = self.levels(original)
        most = 2 ** (self._bits - 1) - 1
        return Coded(
            values=np.arange(-most, most + 1, dtype=np.float32),
            codes=(levels + most).to(torch.uint8).cpu().contiguous().numpy(),
            scales=scales.cpu().numpy(),
        )


class _Straight(torch.autograd.Function):
    """Few values ahead, and back the gradient as if nothing had been done."""

    @staticmethod
    def forward(ctx: Any, original: Tensor, form: LowBit) -> Tensor:
        ctx.mask = form.mask
        levels, scales = form.levels(original)
        return levels * scales.reshape((-1,) + (1,) * (original.ndim - 1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return (gradient if ctx.mask is None else gradient * ctx.mask), None


class Rounded:
    """What goes into a layer, rounded to 8 bits: a hook before the layer.

    There are 256 values between the smallest and the largest that were seen, 0 among
    them; while the layer is trained, the two follow each batch by a tenth. Gradients go
    straight through, except of what lies outside.

    Attributes
    ----------
    low, high : the smallest, 0 at most, and the largest; None at first.
    """

    def __init__(self) -> None:
        self.low: Tensor | None = None
        self.high: Tensor | None = None

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the layer's inputs, rounded."""
        first, *others = inputs
        if layer.training or self.low is None:
            self._look(first.detach().float())
        return (self._rounded(first), *others)

    def _look(self, values: Tensor) -> None:
        low, high = values.amin().clamp(max=0), values.amax().clamp(min=0)
        if self.low is not None and self.high is not None:
            low = self.low.to(low) + 0.1 * (low - self.low.to(low))
            high = self.high.to(high) + 0.1 * (high - self.high.to(high))
        self.low, self.high = low, high

    def _rounded(self, values: Tensor) -> Tensor:
        assert self.low is not None and self.high is not None
        low, high = self.low.to(values.device), self.high.to(values.device)
        step = ((high - low) / 255).clamp(min=_TINY)
        first = (low / step).round()  # so that 0 is one of the values
        kept = values.float().clamp(first * step, (first + 255) * step)
        near = (kept.detach() / step).round() * step
        return kept + (near - kept).detach()


@contextmanager
def rounded_activations(working: Working, bits: int, keep: str) -> Iterator[None]:
    """Have what goes into layers of few bits rounded, within.

    Parameters
    ----------
    working
        Its network is the same again afterwards.
    bits
        8, or 32 for none of this.
    keep
        As in `LowBits`.
    """
    layers = working.layers
    names = few_bits(working, keep) if bits == 8 else []
    handles = [layers[name].register_forward_pre_hook(Rounded()) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def few_bits(working: Working, keep: str) -> list[str]:
    """Return the names of the layers that get few bits."""
    names = list(working.layers)
    return names[1:-1] if keep == "ends" else names


def run(step: LowBits, working: Working, context: Context) -> None:
    """Give a network weights of few bits, and train it so.

    With scheme "A" a teacher of the same design learns beside the student, both from
    fresh weights; with "B" and "C" the teacher is the network as it was given. Zeros of
    pruned weights stay.

    Raises
    ------
    TrainingError
        If the step asks for what cannot be, or there are no images to train a student
        from fresh weights with.
    """
    _check(step, working, context)
    trains = step.epochs > 0 and len(context.images) > 0
    # before anything is changed: it may be impossible
    task, teacher = _task(step, working, context) if trains else (None, None)
    anew = _begins_anew(step)
    if anew:
        _begin_anew(working, context.plan.seed + 1)
    for name in few_bits(working, step.keep):
        working.set_form(name, LowBit(step.bits, working.mask(name)))
    if not anew:
        look_anew(working, context)
    what = "Ternary weights" if step.bits == 2 else f"Weights of {step.bits} bits"
    if not trains:
        context.note(f"{what} as they are, without training")
        return
    if not anew and len(context.validation):
        context.offer(working, f"{what}, before training")
    if not context.labelled and step.scheme == "none":
        context.note(
            "Without labels and without a teacher it learned the classes that the given"
            " network takes for the most probable"
        )
    recipe = recipe_from_nothing(working.network, step.learning_rate) if anew else None
    with rounded_activations(working, step.activations, step.keep):
        context.tune(
            working,
            step.epochs,
            f"{what}, {SCHEMES[step.scheme]}",
            task,
            [] if teacher is None else [teacher],
            recipe,
        )
        if step.activations == 8 and len(context.validation):
            exact = context.judge(working).accuracy
    if isinstance(task, Apprentice) and task.losses.means():
        context.note(_told(step, task, teacher, working, context))
    if step.activations == 8 and len(context.validation):
        plain = context.judge(working).accuracy
        context.note(
            f"It was trained with activations of 8 bits. With these {exact:.1%} of the"
            f" validation images are right; with floating-point ones, by which the"
            f" network computes wherever it is used, {plain:.1%}"
        )


def _task(
    step: LowBits, working: Working, context: Context
) -> tuple[Apprentice | Classification, nn.Module | None]:
    """Return what is learned, and the teacher if it learns, too."""
    if step.scheme == "none":
        return Classification(), None
    weights = (step.alpha, step.beta, step.gamma, step.temperature)
    if step.scheme != "A":
        task = Apprentice(context.teacher(), *weights, labelled=context.labelled)
        return task, None
    teacher = fresh_network(working.card, context.plan.seed)
    use_dropout(teacher, None, torch.Generator().manual_seed(context.plan.seed))
    joint = Apprentice(teacher, *weights, joint=True, labelled=context.labelled)
    return joint, teacher


def _told(
    step: LowBits,
    task: Apprentice,
    teacher: nn.Module | None,
    working: Working,
    context: Context,
) -> str:
    """Return what the teacher was good for, in a sentence."""
    parts = []
    if teacher is not None and len(context.validation):
        teacher.to("cpu").eval()
        full = Working(as_image_network(teacher, working.card))
        right = context.judge(full).accuracy
        parts.append(f"the teacher reads {right:.1%} of the validation images right")
    losses = in_words(task, len(context.images), parts)
    return f"Scheme {step.scheme} ({SCHEMES[step.scheme]}). {losses}"


def _begins_anew(step: LowBits) -> bool:
    if step.start == "scheme":
        return step.scheme in ("A", "B")
    return step.start == "nothing"


def _begin_anew(working: Working, seed: int) -> None:
    """Give the network fresh weights; what is pruned stays so."""
    masks = {name: working.mask(name) for name in working.layers}
    fresh = fresh_network(working.card, seed)
    working.rebuild(as_image_network(fresh, working.card))
    for name, mask in masks.items():
        if mask is not None:
            working.set_form(name, Masked(mask))


def _check(step: LowBits, working: Working, context: Context) -> None:
    for name, value, allowed in (
        ("scheme", step.scheme, tuple(SCHEMES)),
        ("keep", step.keep, ("ends", "none")),
        ("start", step.start, ("scheme", "given", "nothing")),
    ):
        if value not in allowed:
            raise UnknownNameError(
                f"'{name}' is to be one of {', '.join(allowed)}, not {value!r}"
            )
    if step.bits not in range(2, 9):
        raise TrainingError(
            f"Weights of few bits have 2 (ternary) to 8 of them, not {step.bits!r}"
        )
    if step.activations not in (8, 32):
        raise TrainingError(
            "Activations have 8 bits, or 32 as floating-point numbers, not"
            f" {step.activations!r}"
        )
    if not few_bits(working, step.keep):
        raise TrainingError(
            "The network has no layers between its first and its last one; have these"
            " few bits, too"
        )
    if _begins_anew(step) and not (step.epochs and len(context.images)):
        raise TrainingError(
            f"Scheme {step.scheme} begins from fresh weights, which have to be trained:"
            " give it images and epochs, or choose scheme C"
        )
