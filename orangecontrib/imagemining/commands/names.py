"""Names that users write, and what they may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from orangecontrib.imagemining.exceptions import UnknownNameError

if TYPE_CHECKING:
    from orangecontrib.imagemining.specs import Weights
    from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["card_named", "check_name", "network_named"]


def check_name(what: str, name: str, known: Iterable[str], where: str = "") -> None:
    """See whether there is something of that name.

    Parameters
    ----------
    what
        Kind of thing.
    name
        As written.
    known
        The names that there are.
    where
        How to see them all; "" to list them.

    Raises
    ------
    UnknownNameError
        If there is not; it says what is nearest.
    """
    known = list(known)
    if name in known:
        return
    by_small = {each.lower(): each for each in known}
    near = get_close_matches(name.lower(), by_small, n=1)
    text = f"There is no {what} '{name}'"
    if near:
        text += f"; did you mean '{by_small[near[0]]}'?"
        text += f" {where}" if where else ""
    elif where:
        text += f". {where}"
    else:
        text += f", only {', '.join(known) or 'none'}"
    raise UnknownNameError(text)


def card_named(network: str) -> Weights:
    """Return what is to be known about a network.

    Raises
    ------
    UnknownNameError
        If there is none of that name; it says what is nearest.
    WeightsError
        If it is an own network, a trained one, or one of timm's, that cannot be had.
    """
    from orangecontrib.imagemining.embedders.catalog import (
        ONNX,
        TIMM,
        card_of,
        is_trained,
        network_names,
    )

    if not (is_trained(network) or network.startswith((ONNX, TIMM))):
        everything = "All of them: orange-imagemining networks"
        check_name("network", network, network_names(), everything)
    return card_of(network)


def network_named(network: str) -> tuple[str, ImageNetwork | None]:
    """Return the name of a network that may be told by its file.

    Parameters
    ----------
    network
        A name, which is returned as it is, or a file that Save Network wrote.

    Returns
    -------
    The name, and what was in the file: under that name it is found as long as the
    object lives.

    Raises
    ------
    WeightsError
        If the file cannot be read, or is damaged.
    """
    from orangecontrib.imagemining.weights.network_file import NETWORK_SUFFIXES

    if not network.lower().endswith(NETWORK_SUFFIXES):
        return network, None
    from orangecontrib.imagemining.embedders.catalog import lend_network
    from orangecontrib.imagemining.weights.network_file import load_network_file

    held = load_network_file(Path(network))
    return lend_network(held), held
