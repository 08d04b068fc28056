"""The embedding servers that the user knows, and embedding there what is not known.

Addresses, and whether images may be sent there, are in ``servers.json`` in the user's
data folder; tokens are in the system's keyring, as Orange keeps its own. Neither is in
workflows or models, which have addresses alone: nothing is sent on somebody else's
word.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from orangecontrib.imagemining.embedders.base import check_spec
from orangecontrib.imagemining.embedders.catalog import card_of
from orangecontrib.imagemining.embedders.connection import address_of
from orangecontrib.imagemining.embedders.remote import RemoteEmbedder, RemoteEmbeddings
from orangecontrib.imagemining.embedders.remotestore import StoredVectors
from orangecontrib.imagemining.exceptions import ServerError
from orangecontrib.imagemining.specs import EmbedderSpec, Progress, no_progress
from orangecontrib.imagemining.weights import data_folder, is_here
from orangecontrib.imagemining.weights.folders import write_atomically

__all__ = [
    "KEYRING",
    "Server",
    "ServerEmbedder",
    "Visit",
    "agree",
    "can_run_here",
    "forget_server",
    "has_agreed",
    "is_private",
    "known_servers",
    "remember_server",
    "token_of",
    "use_token",
]

#: What tokens are kept under in the system's keyring; Orange's `CredentialManager`
#: puts "Orange3 - " before the names that it is given.
KEYRING = "Orange3 - Image Mining servers"

_FORMAT = "Orange3-ImageMining servers"
_PATIENCE = 60.0  # seconds without success after which a server counts as gone
_NOT_SENT = "Not sent: the server did not get to it"
_TOKENS: dict[str, str] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Server:
    """An embedding server that the user has named.

    Attributes
    ----------
    address : as `connection.address_of` returns it.
    name : what the user calls it; "" for its address.
    agreed : whether the user has agreed to images being sent there.
    """

    address: str
    name: str = ""
    agreed: bool = False

    @property
    def title(self) -> str:
        """What to call it."""
        return f"{self.name} ({self.address})" if self.name else self.address


def known_servers() -> list[Server]:
    """Return the user's servers, in the order in which they were added."""
    try:
        return _read(_place())
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []  # set aside when the next one is remembered


def remember_server(server: Server, instead: str = "") -> None:
    """Add a server, or change what is known of it.

    Parameters
    ----------
    server
        Takes the place of the one with this address.
    instead
        Address of another one whose place it takes; "" for none.

    Raises
    ------
    ServerError
        If its address is none, or it cannot be noted.
    """
    server = replace(server, address=address_of(server.address))
    with _LOCK:
        servers = known_servers()
        gone = {server.address, instead}
        places = [n for n, each in enumerate(servers) if each.address in gone]
        servers = [each for each in servers if each.address not in gone]
        servers.insert(places[0] if places else len(servers), server)
        _write(servers)


def forget_server(address: str) -> None:
    """Have a server listed no more; whoever meets its address again is asked again.

    Raises
    ------
    ServerError
        If that cannot be noted.
    """
    with _LOCK:
        _TOKENS.pop(address, None)
        _write([each for each in known_servers() if each.address != address])


def has_agreed(address: str) -> bool:
    """Tell whether the user has agreed to images being sent to an address."""
    return any(each.agreed for each in known_servers() if each.address == address)


def agree(address: str) -> None:
    """Note that images may be sent to an address.

    Raises
    ------
    ServerError
        If it is none, or cannot be noted.
    """
    address = address_of(address)
    known = [each for each in known_servers() if each.address == address]
    remember_server(replace(known[0] if known else Server(address), agreed=True))


def is_private(address: str) -> bool:
    """Tell whether nobody on the way can see what is sent to an address."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    here = host in ("localhost", "::1") or host.startswith("127.")
    return parts.scheme == "https" or here


def token_of(address: str) -> str | None:
    """Return the token for a server, if one is kept; the system may ask the user."""
    if address in _TOKENS:
        return _TOKENS[address]
    try:
        import keyring

        return keyring.get_password(KEYRING, address)
    except Exception:  # each system's keyring has errors of its own
        return None  # the server says if it wants one


def use_token(address: str, token: str) -> None:
    """Use a token as long as this program runs, where no keyring takes it."""
    _TOKENS[address] = token


def can_run_here(network: str) -> bool:
    """Tell whether a network can run on this computer, without fetching anything.

    Raises
    ------
    UnknownNameError, WeightsError
        As `catalog.card_of`.
    """
    card = card_of(network)
    return ":" in network or is_here(card)


class Visit:
    """A server, as long as a piece of work takes; it is not asked again once it failed.

    Parameters
    ----------
    address
        Of the server. Its token is looked up.
    agreed_only
        Whether to send nothing to an address that the user has not agreed to.
    patience
        Seconds without any success after which the server counts as gone; by default
        a minute.

    Attributes
    ----------
    trouble : why it did not do all that it was asked; "" if it did.

    Raises
    ------
    ServerError
        If the address is none.
    """

    def __init__(
        self, address: str, agreed_only: bool = False, patience: float | None = None
    ) -> None:
        self.address = address_of(address)
        self.trouble = ""
        self._patience = _PATIENCE if patience is None else patience
        self._token: str | None = None
        self._may_send = not agreed_only or has_agreed(self.address)
        self._is_new = True

    def embed(
        self,
        spec: EmbedderSpec,
        also: Sequence[str],
        images: Sequence[str | None],
        progress: Progress,
    ) -> RemoteEmbeddings:
        """Embed images; see `ServerEmbedder`."""
        known = StoredVectors(spec)
        error = ServerError(self.trouble)
        if not self._may_send:
            error = ServerError(
                f"The images would have to be sent to {self.address}, and nobody has"
                " agreed to that on this computer. Choose this server in Image"
                " Embedding and agree, or download the network's weights there"
            )
        elif not self.trouble:
            if self._is_new:
                self._token, self._is_new = token_of(self.address), False
            embedder = RemoteEmbedder(
                self.address,
                spec,
                self._token,
                known,
                patience=self._patience,
                also=also,
            )
            try:
                result = embedder(images, progress)
                self.trouble = result.trouble
                return result
            except ServerError as ex:
                error = ex
        return self._what_is_known(known, images, error)

    def _what_is_known(
        self, known: StoredVectors, images: Sequence[str | None], error: ServerError
    ) -> RemoteEmbeddings:
        """Return what was embedded before; raise the error if there is nothing."""
        vectors, found = known.lookup(images)
        wanted = np.array([bool(image) for image in images], bool)
        if (wanted & ~found).any():
            if not found.any():
                raise error
            self.trouble = str(error)
        reasons = [
            None if known else _NOT_SENT if image else "No image is given in this row"
            for image, known in zip(images, found, strict=True)
        ]
        return RemoteEmbeddings(vectors, reasons, int(found.sum()), self.trouble)


class ServerEmbedder:
    """Has images embedded by a server that is visited, but for those known already.

    What this computer or any server computed before is found in the user's store. When
    the server cannot be used, what is known is returned all the same, and the visit's
    `trouble` tells why it is not more.

    Parameters
    ----------
    visit
        To the server.
    spec
        Which vector to compute.
    also
        Layers computed in the same go for embedders to come.
    """

    def __init__(
        self, visit: Visit, spec: EmbedderSpec, also: Sequence[str] = ()
    ) -> None:
        self.visit = visit
        self.spec = spec
        self._also = also
        self._layer = check_spec(spec)

    @property
    def size(self) -> int:
        """Length of a vector."""
        return self._layer.size

    def __call__(
        self, images: Sequence[str | None], progress: Progress = no_progress
    ) -> RemoteEmbeddings:
        """Embed the images at these paths or addresses (None: there is no image).

        Raises
        ------
        ServerError
            If the server could do nothing, and nothing is known.
        """
        return self.visit.embed(self.spec, self._also, images, progress)


def _place() -> Path:
    return data_folder() / "servers.json"


def _read(place: Path) -> list[Server]:
    """Read the list; raises whatever a file may be that is none."""
    try:
        content = json.loads(place.read_text(encoding="utf8"))
    except FileNotFoundError:
        return []
    if content["format"] != _FORMAT:
        raise ValueError("not a list of servers")
    return [
        Server(str(each["address"]), str(each["name"]), each["agreed"] is True)
        for each in content["servers"]
    ]


def _write(servers: Sequence[Server]) -> None:
    place = _place()
    content = {
        "format": _FORMAT,
        "version": 1,
        "servers": [
            {"address": each.address, "name": each.name, "agreed": each.agreed}
            for each in servers
        ],
    }
    try:
        try:
            _read(place)
        except (ValueError, TypeError, KeyError, RecursionError):
            os.replace(place, place.with_name("servers-damaged.json"))
        text = json.dumps(content, ensure_ascii=False, indent=1)
        write_atomically(place, text.encode())
    except OSError as ex:
        raise ServerError(
            f"The list of servers cannot be written to {place}: {ex.strerror or ex}"
        ) from ex
