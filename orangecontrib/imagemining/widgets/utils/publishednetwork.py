"""The network at a widget's input, or a published one in its place.

For widgets that look at networks or change them: lecturers take a published one without
training or loading anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from AnyQt.QtCore import Qt

from orangecontrib.imagemining.embedders import catalog
from orangecontrib.imagemining.weights import WEIGHTS, is_here
from orangecontrib.imagemining.weights.image_network import AnyNetwork
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.traintexts import missing_weights

__all__ = [
    "GIVEN",
    "PublishedCombo",
    "choice_problem",
    "chosen_network",
    "published_items",
]

#: The choice of the network at the input.
GIVEN = "given"

#: For the vectors of old workflows only.
_OLD = "squeezenet_imageanalytics"


def published_items(chosen: str = "") -> dict[str, str]:
    """Return names and labels of published networks, those that are here first.

    Parameters
    ----------
    chosen
        A name that is among them even if it is offered to nobody any more.
    """
    here: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, card in WEIGHTS.items():
        if name == _OLD and chosen != name:
            continue
        if is_here(card):
            here[name] = card.title
        else:
            others[name] = f"{card.title} (not downloaded)"
    return {**here, **others}


def choice_problem(choice: str, given: AnyNetwork | None) -> str:
    """Return why there is no network, "" if there is one; nothing is read."""
    if choice == GIVEN:
        if given is not None:
            return ""
        return (
            "Connect a network, as Train Network or Load Network gives one, or choose"
            " a published one"
        )
    if choice not in WEIGHTS:
        return f"There is no published network '{choice}'; choose another"
    return "" if is_here(WEIGHTS[choice]) else missing_weights(choice)


def chosen_network(choice: str, given: AnyNetwork | None) -> AnyNetwork | None:
    """Return the network that was chosen; published ones are read: in a thread.

    Raises
    ------
    ImageMiningError
        If it cannot be read.
    """
    return given if choice == GIVEN else catalog.network_from(choice)


class PublishedCombo(KeyCombo):
    """Offers the network at the input, and below it the published ones.

    Parameters
    ----------
    master, setting, callback
        As for `KeyCombo`; the setting is `GIVEN` or the name of a published network.
    """

    def __init__(self, master: Any, setting: str, callback: Callable[[], None]) -> None:
        super().__init__(master, setting, callback)
        self.show_given("")

    def show_given(self, title: str) -> None:
        """Say which network is at the input, "" if there is none."""
        chosen = getattr(self._master, self._setting)
        first = f"The network given: {title}" if title else "The network given (none)"
        self.set_items({GIVEN: first, **published_items(chosen)})
        model: Any = self.model()
        for place in range(self.count()):
            name = self.itemData(place)
            if name in WEIGHTS and not is_here(WEIGHTS[name]):
                model.item(place).setEnabled(name == chosen)
                tip = missing_weights(name)
                self.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
