"""Gives networks on their way other shapes: what filters and ranks have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from orangecontrib.imagemining.compression.channels import model_of
from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.networks import reshaped_option
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["check_forms", "rebuild_with"]


def check_forms(working: Working, what: str) -> None:
    """Look whether a network's layers can get other shapes.

    Parameters
    ----------
    working
        The network on its way.
    what
        The step, for people: it begins the sentence.

    Raises
    ------
    TrainingError
        If weights are held in other ways than pruned.
    """
    for layer, form in working.forms.items():
        if not isinstance(form, Masked):
            raise TrainingError(
                f"{what} is not possible any more: the weights of {layer} are shared or"
                " rounded already. Put this step before the one that does so"
            )


def rebuild_with(
    working: Working,
    tensors: Mapping[str, NDArray[Any]],
    masks: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Have a network on its way go on with tensors of other shapes.

    Parameters
    ----------
    working
        Is changed: numbers, the card's option ``reshaped`` and layers.
    tensors
        All of the network, by name.
    masks
        Of layers that are pruned.
    """
    option = reshaped_option(
        model_of(working.card, plain=True),
        {name: tensor.shape for name, tensor in tensors.items()},
    )
    options = {**working.card.options, "reshaped": option}
    if not option:
        del options["reshaped"]
    card = replace(working.card, options=options, layers=())
    working.rebuild(ImageNetwork(card, dict(tensors)))
    working.card = replace(card, layers=tuple(working.network.layers()))
    for layer, mask in masks.items():
        working.set_form(layer, Masked(torch.from_numpy(mask)))
