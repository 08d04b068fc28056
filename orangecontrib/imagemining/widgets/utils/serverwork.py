"""What Image Embedding does about servers in a thread; no Qt."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from orangecontrib.imagemining.embedders.remote import RemoteEmbedder, about_server
from orangecontrib.imagemining.embedders.servers import (
    KEYRING,
    Server,
    forget_server,
    remember_server,
    token_of,
    use_token,
)
from orangecontrib.imagemining.exceptions import ImageMiningError, TaskCancelled
from orangecontrib.imagemining.specs import EmbedderSpec, Progress
from orangecontrib.imagemining.widgets.utils.embeddertexts import card_or_none, title_of
from orangecontrib.imagemining.widgets.utils.pacetext import pace_in_words

__all__ = ["forget", "keep", "keep_token", "try_server"]

_N_TRIED, _SIDE = 16, 256  # made-up images, and their pixels
_PATIENCE = 20.0  # seconds


def keep(server: Server, instead: str, token: str | None) -> str:
    """Note a server and its token; return what the user should know, or "".

    Parameters
    ----------
    server
        To be noted.
    instead
        Address of the one that it was until now; "" for none.
    token
        None: it is that of the one before.

    Raises
    ------
    ServerError
        If it cannot be noted.
    """
    moved = bool(instead) and instead != server.address
    if token is None and moved:
        token = token_of(instead)
    remember_server(server, instead)
    if moved:
        _drop_token(instead)
    return keep_token(server.address, token) if token else ""


def keep_token(address: str, token: str) -> str:
    """Put a token into the system's keyring; return what the user should know."""
    setattr(_manager(), address, token)  # it logs errors, and goes on
    if token_of(address) != token:
        use_token(address, token)
        return (
            "This system keeps no passwords, so the token holds until Orange is closed."
        )
    import keyring

    ring: Any = keyring.get_keyring()
    (used, *_) = getattr(ring, "backends", [ring])
    if type(used).__name__ == "PlaintextKeyring":
        return (
            "This system has no keyring: Orange keeps the token in a file of yours that"
            " is not encrypted."
        )
    return ""


def forget(address: str) -> str:
    """Forget a server, its token and the agreement to send images there.

    Raises
    ------
    ServerError
        If that cannot be noted.
    """
    forget_server(address)
    _drop_token(address)
    return ""


def _drop_token(address: str) -> None:
    if token_of(address) is not None:
        delattr(_manager(), address)


def _manager() -> Any:
    # with it comes keyring, which takes a moment that only tokens need
    from Orange.widgets.credentials import CredentialManager

    return CredentialManager(KEYRING.removeprefix("Orange3 - "))


def try_server(address: str, network: str, progress: Progress) -> str:
    """Return, in words, whether a server can be used, what it offers, and how fast.

    No image of the user's is sent, but some that are made up.

    Parameters
    ----------
    address
        Of the server.
    network
        The one that is tried, where it is offered.
    progress
        What it raises ends the trial.
    """
    try:
        token = token_of(address)
        started = time.monotonic()
        about = about_server(address, token, _PATIENCE, progress)
        seconds = time.monotonic() - started
        offers = [each for each in about["networks"] if isinstance(each, dict)]
        titles = [str(each.get("title") or each.get("name")) for each in offers]
        names = [str(each.get("name")) for each in offers]
        tried = network if network in names else next(filter(card_or_none, names), "")
        answers = f"answers in {max(round(1000 * seconds), 1):,} ms"
        if tried:
            pace = _pace(address, token, tried, progress)
            answers += f", embeds {pace_in_words(pace)} by {title_of(tried)}"
        lacking = "" if network in names else f" {title_of(network)} is not among them."
        return (
            f"Reachable: {about.get('server') or 'a server'}, {answers}.\n"
            f"Networks: {', '.join(titles) or 'none'}.{lacking}"
        )
    except TaskCancelled:
        return ""
    except ImageMiningError as ex:
        return str(ex)


def _pace(address: str, token: str | None, network: str, progress: Progress) -> float:
    """Return how many images a second a server embeds, once it is warm."""
    card = card_or_none(network)
    assert card is not None
    spec = EmbedderSpec(network, card.layers[0].name)
    embedder = RemoteEmbedder(address, spec, token, patience=_PATIENCE)
    rng = np.random.default_rng()  # others each time: a server may remember
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(_N_TRIED + 1):
            small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            path = Path(folder) / f"{number}.png"
            Image.fromarray(small).resize((_SIDE, _SIDE)).save(path)
            paths.append(str(path))
        embedder(paths[:1], progress)  # it may have to load the network first
        started = time.monotonic()
        embedder(paths[1:], progress)
        return _N_TRIED / max(time.monotonic() - started, 1e-3)
