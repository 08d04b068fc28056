"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.networks._reshaped import build_reshaped

if TYPE_CHECKING:
    from orangecontrib.imagemining.networks._base import Network

__all__ = ["create_network", "network_names", "register_network"]

Builder = TypeVar("Builder", bound="Callable[..., Network]")
_BUILDERS: dict[str, Callable[..., Network]] = {}


def register_network(build: Builder) -> Builder:
    """Register the function under its own name.

    Raises
    ------
    ValueError
        If a network of that name exists already.
    """
    name = build.__name__
    if name in _BUILDERS:
        raise ValueError(f"network '{name}' is registered twice")
    _BUILDERS[name] = build
    return build


def network_names() -> list[str]:
    """Return the names of all networks, sorted.

    Examples
    --------
    >>> from orangecontrib.imagemining.networks import network_names
    >>> "squeezenet1_1" in network_names()
    True
    """
    return sorted(_BUILDERS)


def create_network(name: str, reshaped: object = None, **options: object) -> Network:
    """Build the network `name` with fresh weights.

    Parameters
    ----------
    name
        One of `network_names()`.
    reshaped
        Shapes of modules that have lost filters or became two; see
        `_reshaped.build_reshaped`. None: all are as designed.
    options
        What its builder takes, at least ``num_classes``.

    Raises
    ------
    UnknownNameError
        If there is no such network, or it has not the modules that are told.
    ValueError
        If it cannot be given these shapes.

    Examples
    --------
    >>> import torch
    >>> from orangecontrib.imagemining.networks import create_network
    >>> network = create_network("toy", num_classes=3).eval()
    >>> network(torch.zeros(2, 3, 16, 16)).shape
    torch.Size([2, 3])
    >>> features = network.forward_features(torch.zeros(2, 3, 16, 16))
    >>> network.forward_head(features, pre_logits=True).shape
    torch.Size([2, 8])
    """
    if name not in _BUILDERS:
        raise UnknownNameError(
            f"There is no network '{name}'; known are {', '.join(network_names())}"
        )
    build = _BUILDERS[name]
    if reshaped is None:
        return build(**options)
    return build_reshaped(lambda: build(**options), reshaped)
