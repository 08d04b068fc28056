"""What each layer can spare: accuracy with its smallest weights gone, others untouched.

So Han et al. 2015 (section 5, figure 6) found how much each layer can be pruned. What
layers cost alone adds up when all are pruned; fine-tuning is to win it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.masks import largest
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["IMAGES", "SHARES", "Sensitivity", "sensitivities"]

#: Shares of a layer's weights that are tried.
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

#: So many validation images are looked at for each layer and share.
IMAGES = 256

_LEAST = 1e-9  # accuracies are shares of whole images; rounding is none of them


@dataclass(frozen=True)
class Sensitivity:
    """A row of the table: what a layer can spare.

    Attributes
    ----------
    layer : name of its module.
    shares : of its weights that were 0, ascending, beginning with 0.
    accuracies : of the network then, 0–1; as many. The trial ends with the first that
        is too low.
    chosen : the largest share that was not too much.
    """

    layer: str
    shares: tuple[float, ...]
    accuracies: tuple[float, ...]
    chosen: float


def sensitivities(
    working: Working,
    context: Context,
    tolerance: float,
    most: float = 0.9,
    layers: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> list[Sensitivity]:
    """Try how many of each layer's smallest weights can go, a layer at a time.

    Parameters
    ----------
    working
        Is left as it is.
    context
        Its validation images are looked at, up to `IMAGES` of them. When its time is
        up, layers not tried yet can spare nothing.
    tolerance
        Accuracy (0–1) that a layer alone may cost.
    most
        The largest share, 0–1.
    layers
        Names of those to try; None: all.
    progress
        Called before each trial; what it raises ends the work.

    Raises
    ------
    TrainingError
        If there are no validation images.
    """
    trial = working.copy()
    names = list(working.layers) if layers is None else list(layers)
    for name in names:
        trial.set_form(name, None)
    progress(0.0, "Judging the network as it is")
    before = context.judge(trial, IMAGES).accuracy
    tried = sorted({share for share in SHARES if share < most} | {most} - {0.0})
    found = []
    for number, name in enumerate(names):
        weight = trial.weight(name)
        kept = weight.clone()
        shares, accuracies, chosen = [0.0], [before], 0.0
        for place, share in enumerate(tried):
            if context.time_is_up:
                break
            done = (number + place / len(tried)) / len(names)
            progress(done, f"Trying {name} without {share:.0%} of its weights")
            (mask,) = largest([kept], share)
            with torch.no_grad():
                weight.copy_(kept * mask)
            accuracy = context.judge(trial, IMAGES).accuracy
            shares.append(share)
            accuracies.append(accuracy)
            if before - accuracy > tolerance + _LEAST:
                break
            chosen = share
        with torch.no_grad():
            weight.copy_(kept)
        found.append(Sensitivity(name, tuple(shares), tuple(accuracies), chosen))
    progress(1.0)
    return found
