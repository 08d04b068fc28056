"""Embeds images on a server."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.base import Embeddings, check_spec
from orangecontrib.imagemining.embedders.cache.keys import preparation_of
from orangecontrib.imagemining.embedders.catalog import ONNX, card_of
from orangecontrib.imagemining.embedders.connection import Connection, address_of
from orangecontrib.imagemining.embedders.pipeline import FileContent
from orangecontrib.imagemining.embedders.remoterun import (
    LoopThread,
    Order,
    Outcome,
    Run,
)
from orangecontrib.imagemining.exceptions import ServerError
from orangecontrib.imagemining.images import Limits
from orangecontrib.imagemining.specs import EmbedderSpec, Progress, no_progress

__all__ = ["KnownVectors", "RemoteEmbedder", "RemoteEmbeddings", "about_server"]

_POLL = 0.1  # seconds after which a waiting run looks whether it is to stop
_LATER = "Not embedded yet; send again to continue"
_LOOKING_UP = 0.02  # share of the progress bar


class KnownVectors(Protocol):
    """Where vectors are found that are known, and kept as they come.

    `find` is called from several threads at once, the others from the caller's.
    """

    def lookup(
        self, images: Sequence[str | None], progress: Progress = ...
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return (n, size) vectors, and which of them are known; reads no image."""

    def find(
        self, file: FileContent, layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return what is known of a file's content, wherever it lies, by layer."""

    def keep(
        self,
        files: Sequence[FileContent],
        vectors: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Keep vectors of images that were just embedded, (n, size) by layer.

        Without any layer: the files are where vectors were found by their content.
        """


@dataclass
class RemoteEmbeddings(Embeddings):
    """What became of a list of images.

    Attributes
    ----------
    vectors, reasons, n_known : as of `Embeddings`.
    trouble : why the server did not do all; "" if it did. What it did is here, and
        images that it did not get to have a reason that says so.
    """

    trouble: str = ""


class RemoteEmbedder:
    """Has images embedded by a server, and by the network asked for or not at all.

    Images are opened, scaled and cut here, as `LocalEmbedder` does it, and their pixels
    are sent; see `remoteimages.ImageSender`. A bad connection costs time, never
    results: see `connection.Connection` for what is tried again.

    Parameters
    ----------
    address
        Of the server.
    spec
        Which vector to compute.
    token
        For servers that need one.
    known
        Vectors known already; those that come are kept there at once. Without it
        nothing is kept, and what is broken off begins anew.
    limits
        What an image may cost; by default as the environment says.
    patience
        Seconds without any success after which the server counts as gone; ten times as
        many if it answers, but that it is busy. An answer is waited for that long, but
        for 170 seconds at most.
    most
        Requests under way at once at most; how many adapts to the server.
    also
        Layers computed in the same go, and kept in `known`, for embedders to come.

    Raises
    ------
    UnknownNameError
        If `spec` or `also` names what does not exist.
    ServerError
        If the address is none, or the token cannot be one.
    """

    def __init__(
        self,
        address: str,
        spec: EmbedderSpec,
        token: str | None = None,
        known: KnownVectors | None = None,
        limits: Limits | None = None,
        patience: float = 120.0,
        most: int = 8,
        also: Sequence[str] = (),
    ) -> None:
        self.address = address_of(address)
        self.spec = spec
        names = dict.fromkeys([spec.layer, *(also if known is not None else ())])
        self._sizes = {
            name: check_spec(replace(spec, layer=name)).size for name in names
        }
        self._known = known
        self._limits = limits
        self._network = _public(spec.network)
        self._token, self._patience, self._most = token, patience, most
        self._connection()  # a token that cannot be one is told now

    @property
    def size(self) -> int:
        """Length of a vector."""
        return self._sizes[self.spec.layer]

    def __call__(
        self, images: Sequence[str | None], progress: Progress = no_progress
    ) -> RemoteEmbeddings:
        """Embed the images at these paths or addresses (None: there is no image).

        What `progress` raises ends the work within a second. What was embedded until
        then is in `known`.

        Raises
        ------
        ServerError
            If the server could do nothing at all: it cannot be reached, refuses, or has
            another network under that name. If it did some, that is told in `trouble`.
        """

        def look_up(fraction: float, status: str = "") -> None:
            progress(_LOOKING_UP * fraction, status)

        n = len(images)
        if self._known is None:
            vectors = np.full((n, self.size), np.nan, np.float32)
            found = np.zeros(n, np.bool_)
        else:
            vectors, found = self._known.lookup(images, look_up)
        result = RemoteEmbeddings(vectors, [None] * n, int(found.sum()))
        todo = []
        for row, source in enumerate(images):
            if not source:
                result.reasons[row] = "No image is given in this row"
            elif not found[row]:
                result.reasons[row] = _LATER
                todo.append((row, source))
        if todo:
            self._compute(todo, result, progress)
        if not result.trouble:
            progress(1, f"{n} of {n} images")
        return result

    def _compute(
        self, todo: list[tuple[int, str]], result: RemoteEmbeddings, progress: Progress
    ) -> None:
        order = Order(
            self._connection,
            self.check_offer,
            self._find,
            self.spec,
            self._network,
            self._sizes,
            self._limits,
        )
        run = Run(order, todo)
        n, n_done = len(result.reasons), 0
        progress(_LOOKING_UP, f"Asking {self.address}")
        run.start()
        try:
            while (outcomes := run.next(_POLL)) is not None:
                self._take(outcomes, result)
                n_done += len(outcomes)
                share = _LOOKING_UP + (1 - _LOOKING_UP) * n_done / len(todo)
                # why nothing happens, as long as nothing does
                why = f"; {self.address}: {run.waiting}" if run.waiting else ""
                progress(share, f"{n - len(todo) + n_done} of {n} images{why}")
        finally:
            rest = run.stop()
            self._take(rest, result)
        if run.error is not None:
            if not isinstance(run.error, ServerError) or not n_done + len(rest):
                raise run.error
            result.trouble = str(run.error)

    def _take(self, outcomes: list[Outcome], result: RemoteEmbeddings) -> None:
        """Note what became of images, and keep it."""
        for each in outcomes:
            result.reasons[each.row] = each.reason
            if each.vectors:
                result.vectors[each.row] = each.vectors[self.spec.layer]
                result.n_known += not each.is_new
        if self._known is None:
            return
        good = [each for each in outcomes if each.vectors]
        new = [each for each in good if each.is_new]
        if new:
            vectors = {
                name: np.stack([each.vectors[name] for each in new])
                for name in self._sizes
            }
            self._known.keep([each.file for each in new], vectors)
        if old := [each.file for each in good if not each.is_new]:
            self._known.keep(old, {})

    def _connection(self) -> Connection:
        return Connection(self.address, self._token, self._patience, self._most)

    def _find(self, file: FileContent) -> dict[str, NDArray[np.float32]]:
        if self._known is None or not file.digest:
            return {}
        return self._known.find(file, list(self._sizes))

    def check_offer(self, about: dict[str, Any]) -> None:
        """Refuse a server that does not have this very network.

        Parameters
        ----------
        about
            What it says of itself.

        Raises
        ------
        ServerError
            If it has no such network, layer, views, fit or precision, or other weights.
        """
        spec, card = self.spec, card_of(self.spec.network)
        offers = {each["name"]: each for each in about["networks"]}
        offer = offers.get(self._network)
        if offer is None:
            raise ServerError(
                f"The server {self.address} does not offer {card.title}, only"
                f" {', '.join(offers) or 'nothing'}"
            )
        for name in ("tensors_sha256", "sha256"):
            ours, theirs = getattr(card, name), offer.get(name, "")
            if ours and theirs and ours != theirs:
                raise ServerError(
                    f"The server {self.address} has other weights for {card.title};"
                    " its numbers would be others"
                )
        if offer.get("preparation", ours := preparation_of(spec.network)) != ours:
            raise ServerError(
                f"The server {self.address} prepares images for {card.title} otherwise"
                " than this computer, so its numbers would be others; both need the"
                " same version of this add-on, and of an own network the same card"
            )
        layers = {each["name"]: each["size"] for each in offer["layers"]}
        lacking = [
            f"the layer '{name}'"
            for name, size in self._sizes.items()
            if layers.get(name) != size
        ]
        if not _offers(offer.get("views"), spec):
            lacking.append(f"views {spec.views} with the fit '{spec.fit}'")
        if spec.precision not in offer.get("precisions", [spec.precision]):
            lacking.append(f"the precision '{spec.precision}'")
        if lacking:
            raise ServerError(
                f"The server {self.address} does not offer {' and '.join(lacking)} of"
                f" {card.title}"
            )


def about_server(
    address: str,
    token: str | None = None,
    patience: float = 5.0,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Return what a server offers, to show that it can be used.

    Parameters
    ----------
    address, token
        As for `RemoteEmbedder`.
    patience
        Seconds after which it counts as not there.
    progress
        Called ten times a second; what it raises ends the waiting.

    Returns
    -------
    What doc/server-protocol.md says of ``GET /networks``.

    Raises
    ------
    ServerError
        If it cannot be reached, or refuses.
    """
    connection = Connection(address_of(address), token, patience)
    found: list[dict[str, Any]] = []

    async def ask() -> None:
        async with connection:
            found.append(await connection.about())

    ended = threading.Event()
    thread = LoopThread(ask, "ask-server", ended.set)
    thread.start()
    try:
        while not ended.wait(_POLL):
            progress(0, connection.waiting or f"Asking {address_of(address)}")
    finally:
        thread.stop()
    if thread.error is not None:
        raise thread.error
    return found[0]


def _offers(views: Any, spec: EmbedderSpec) -> bool:
    """Tell whether a server's list of views, if it has one, has these."""
    if not isinstance(views, list):
        return True
    return any(
        isinstance(each, dict)
        and each.get("views") == spec.views
        and spec.fit in each.get("fits", [spec.fit])
        for each in views
    )


def _public(network: str) -> str:
    """Return a network's name on servers: those of own ones have no folder there."""
    if not network.startswith(ONNX):
        return network
    return f"{ONNX}{network.rpartition('/')[2].removesuffix('.onnx')}"
