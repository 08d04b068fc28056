"""The smallest weights become 0, and stay it (Han et al. 2015).

The share of zeros rises in rounds with fine-tuning between, quickly at first and then
slowly: 1 − (1 − r / n)³ of it after round r of n (Zhu and Gupta 2017, section 3). While
many weights are there, many can be spared; those that go last are missed most, and
follow the longest training.

A pruned weight is 0 by its form, whatever happens to the number behind it: gradients
and momentum do not reach the network's answers. Dense–sparse–dense training (Han et al.
2017) is a `Prune`, and a `Densify` that has the zeros grow again.
"""

from __future__ import annotations

from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.masks import MOST, Amounts, masks_of
from orangecontrib.imagemining.compression.plan import (
    Densify,
    LowBits,
    Prune,
    Share,
    plan_to_json,
)
from orangecontrib.imagemining.compression.sensitivity import (
    Sensitivity,
    sensitivities,
)
from orangecontrib.imagemining.compression.sharing import share_layers
from orangecontrib.imagemining.compression.working import Working, packed_size
from orangecontrib.imagemining.exceptions import TrainingError

__all__ = ["apply_masks", "densify", "planned_size", "risen", "run"]

_HALVINGS = 8
_CORRECTIONS = 2
_TOLD = 12  # layers that are named in a sentence


def risen(number: int, rounds: int) -> float:
    """Return what part of the share is reached after a round, counted from 1."""
    return 1.0 - (1.0 - number / rounds) ** 3


def run(step: Prune, working: Working, context: Context) -> None:
    """Prune in rounds, with fine-tuning after each; the network is offered between.

    Without epochs there is one round. With `target_bytes`, the share is searched for by
    halving, with the size of the file that the network would have after the sharing
    that the plan has behind this step; what cannot be reached is noted, and as much
    pruned as can be.

    Raises
    ------
    TrainingError
        If the plan names a layer that is not there, or weights have another form.
    """
    amounts = _amounts(step, working, context)
    goal = None
    if step.target_bytes is not None:
        goal = _Size(step, context)
        amounts = goal.search(working, amounts)
    rounds = step.rounds if step.epochs else 1
    for number in range(1, rounds + 1):
        apply_masks(working, amounts.times(risen(number, rounds)))
        zeros = _zeros(working)
        context.tune(
            working,
            step.epochs,
            f"Round {number} of {rounds}: training with {zeros:.0%} of the weights 0",
        )
        if number < rounds:
            context.offer(working, f"{zeros:.0%} of the weights pruned")
    if goal is not None:
        goal.hold(working)


def densify(step: Densify, working: Working, context: Context) -> None:
    """Have pruned weights grow again, from 0 exactly, with all others.

    Raises
    ------
    TrainingError
        If nothing is pruned.
    """
    pruned = [name for name, form in working.forms.items() if isinstance(form, Masked)]
    if not pruned:
        raise TrainingError(
            "There are no pruned weights that could grow again; put Prune before this"
            " step, and sharing of values behind it"
        )
    for name in pruned:
        working.set_form(name, None)
    context.tune(working, step.epochs, "Training all weights again")


def apply_masks(working: Working, amounts: Amounts) -> None:
    """Set the smallest weights to 0 and keep them there."""
    for name, mask in masks_of(working, amounts).items():
        if not mask.all():
            working.set_form(name, Masked(mask))


def planned_size(step: Prune, working: Working, context: Context) -> int:
    """Return how many bytes the file has, once weights share values as planned.

    Parameters
    ----------
    step
        One of the plan's; the `Share` or `LowBits` next behind it counts. Without any,
        weights are 32-bit numbers.
    working
        Is left as it is.
    context
        Its plan, which the file's card tells.
    """
    steps = context.plan.steps
    place = next((i for i, each in enumerate(steps) if each is step), len(steps))
    for follower in steps[place + 1 :]:
        if isinstance(follower, (Share, LowBits)):
            working = working.copy()
            if isinstance(follower, LowBits):
                follower = Share(bits=follower.bits)
            share_layers(follower, working, context.plan.seed)
            break
    recipe = {"compression": plan_to_json(context.plan), "training": {}}
    return packed_size(working.image_network(recipe=recipe))


def _amounts(step: Prune, working: Working, context: Context) -> Amounts:
    names = list(working.layers)
    for name in step.shares:
        if name not in names:
            raise TrainingError(
                f"A share is planned for the layer '{name}', which the network does not"
                f" have. It has {', '.join(names)}"
            )
    for name, form in working.forms.items():
        if not isinstance(form, Masked):
            raise TrainingError(
                f"The weights of {name} share few values already; put pruning before"
                " the step that makes them do so"
            )
    rest = [name for name in names if name not in step.shares]
    if step.by == "global":
        return Amounts({}, tuple(rest), step.share, step.shares)
    if step.by == "layer":
        return Amounts(dict.fromkeys(rest, step.share), fixed=step.shares)
    if not len(context.validation):
        raise TrainingError(
            "What layers can spare is measured on images, and there are none; give"
            " images, or prune the same share of each layer"
        )
    found = sensitivities(
        working,
        context,
        step.tolerance,
        step.share,
        rest,
        lambda fraction, status="": context.report(0.7 * fraction, status),
    )
    context.note(_told(found))
    if context.time_is_up:
        context.note(
            "The time was over before it was known what all layers can spare; of those"
            " not tried nothing is pruned"
        )
    return Amounts({each.layer: each.chosen for each in found}, fixed=step.shares)


def _told(found: list[Sensitivity]) -> str:
    """Return what layers can spare, in a sentence."""
    if len(found) <= _TOLD:
        told = ", ".join(f"{each.layer} {_percent(each.chosen)}" for each in found)
        return f"Tried one by one, layers bear zeros: {told}"
    order = sorted(found, key=lambda each: each.chosen)
    least, middle, most = order[0], order[len(order) // 2], order[-1]
    return (
        f"Tried one by one, layers bear from {_percent(least.chosen)} ({least.layer})"
        f" to {_percent(most.chosen)} ({most.layer}) zeros, half of the {len(order)}"
        f" layers at least {_percent(middle.chosen)}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _zeros(working: Working) -> float:
    n = n_zeros = 0
    for name in working.layers:
        weight = working.weight(name)
        n += weight.numel()
        n_zeros += weight.numel() - int(weight.count_nonzero())
    return n_zeros / max(n, 1)


class _Size:
    """A size of the file that is to be kept to.

    Parameters
    ----------
    step, context
        As in `run`.
    """

    def __init__(self, step: Prune, context: Context) -> None:
        assert step.target_bytes is not None
        self.step = step
        self.context = context
        # figures on the card, and codebooks that are trained, change a little
        self.limit = step.target_bytes - max(256, step.target_bytes // 100)
        self.base = Amounts()
        self.place = 0.0
        self.is_possible = True

    def search(self, working: Working, base: Amounts) -> Amounts:
        """Return the smallest amounts around `base` with which the file fits."""
        self.base = base
        smallest = self._size(working, 1.0, 0)
        self.is_possible = smallest <= self.limit
        if not self.is_possible:
            self.place = 1.0
            self.context.note(
                f"{self.step.target_bytes:,} bytes cannot be reached by pruning: with"
                f" {MOST:.0%} of the weights 0 the file has {smallest:,}, which is the"
                " nearest"
            )
            return base.towards(1.0)
        self._halve(working)
        return base.towards(self.place)

    def hold(self, working: Working) -> None:
        """Prune more where training has made the file larger than it may be."""
        for number in range(1, _CORRECTIONS + 1):
            size = planned_size(self.step, working, self.context)
            if not self.is_possible or size <= self.limit:
                return
            self._halve(working)
            apply_masks(working, self.base.towards(self.place))
            if self.step.epochs and number < _CORRECTIONS:
                self.context.tune(working, 1, "Training once more, slightly smaller")

    def _halve(self, working: Working) -> None:
        low, high = self.place, 1.0
        if low == 0.0 and self._size(working, 0.0, 1) <= self.limit:
            return
        for number in range(_HALVINGS):
            middle = (low + high) / 2
            if self._size(working, middle, number + 2) <= self.limit:
                high = middle
            else:
                low = middle
        self.place = high

    def _size(self, working: Working, place: float, number: int) -> int:
        self.context.report(
            0.7 + 0.3 * number / (_HALVINGS + 2), "Looking for how much is to be pruned"
        )
        trial = working.copy()
        apply_masks(trial, self.base.towards(place))
        return planned_size(self.step, trial, self.context)
