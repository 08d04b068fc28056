"""What files of networks have in common, whatever their format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.exceptions import FilesExistError, WeightsError
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.weights.tensors import (
    fitted,
    known_networks,
    shapes_of,
)

__all__ = [
    "NetworkHead",
    "check_place",
    "check_shapes",
    "damaged",
    "known_shapes",
    "no_number",
    "without_doubles",
]

_OF_NO_SHAPE = {"dropout", "last_relu"}  # options that change no tensor


@dataclass(frozen=True)
class NetworkHead:
    """What a network's file tells without its numbers being read.

    Attributes
    ----------
    card : what has to be known of the network.
    sha256 : `ImageNetwork.sha256`, as the file tells it; only reading all proves it.
    name : of the network among all networks.
    n_parameters : how many numbers, counters of batches left out.
    n_bytes : size of the file.
    """

    card: NetworkCard
    sha256: str
    name: str
    n_parameters: int
    n_bytes: int


def check_place(path: Path, replace: bool) -> None:
    """See that nothing is overwritten that was not to be.

    Raises
    ------
    FilesExistError
        If there is something of that name and `replace` is not set, or it is a folder.
    """
    if path.is_dir():
        raise FilesExistError(f"{path} is a folder; choose another name")
    if os.path.lexists(path) and not replace:
        raise FilesExistError(f"{path} is there already")


def known_shapes(card: NetworkCard) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of a network's tensors; None if only building it tells them."""
    if set(card.options) - _OF_NO_SHAPE or card.architecture not in known_networks():
        return None
    return shapes_of(card.architecture, len(card.classes))


def check_shapes(path: Path, network: ImageNetwork) -> None:
    """See that the tensors are those of the architecture, where that is known.

    Raises
    ------
    WeightsError
        If they are not.
    """
    shapes = known_shapes(network.card)
    if shapes is None:
        return
    try:
        fitted(network.tensors, network.card.architecture, shapes)
    except WeightsError as ex:
        raise WeightsError(damaged(path.name, str(ex))) from ex


def damaged(name: str, reason: str) -> str:
    """Return what is told of a damaged file."""
    return f"{name} is damaged ({reason}). Get the file again, or save it anew"


def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; for `json.loads`.

    Raises
    ------
    ValueError
        If it has a key twice.
    """
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("it tells the same thing twice")
    return content


def no_number(text: str) -> float:
    """Refuse NaN and infinities; for `json.loads`.

    Raises
    ------
    ValueError
        Always.
    """
    raise ValueError(f"{text} is no number")
