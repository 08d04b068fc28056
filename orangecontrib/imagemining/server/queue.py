"""A queue in which nobody is kept waiting by what another one asks for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sized
from typing import Generic, Protocol, TypeVar

__all__ = ["FairQueue"]


class _Waiting(Sized, Protocol):
    """A request with a number of images."""

    @property
    def client(self) -> str:
        """Whose it is."""


T = TypeVar("T", bound=_Waiting)


class FairQueue(Generic[T]):
    """Images of requests of clients: each client in turn, each of its requests in turn.

    Not for several threads at once by itself.

    Parameters
    ----------
    room
        How many images may wait. A client that has less than its share of it is let in
        even if others have filled it, until there are twice as many.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._n = 0
        self._clients: OrderedDict[str, OrderedDict[int, tuple[T, int]]] = OrderedDict()
        self._held: dict[str, int] = {}

    def __len__(self) -> int:
        return self._n

    def put(self, ticket: T) -> bool:
        """Let in all images of a request; False if there is no room for them."""
        n, client = len(ticket), ticket.client
        held = self._held.get(client, 0)
        if self._n + n > self._room:
            share = self._room // (len(self._held) + (client not in self._held))
            if held + n > share or self._n + n > 2 * self._room:
                return False
        if n:
            self._clients.setdefault(client, OrderedDict())[id(ticket)] = (ticket, 0)
            self._held[client] = held + n
            self._n += n
        return True

    def take(self) -> tuple[T, int] | None:
        """Return the next image, as its request and place; None if there is none."""
        if not self._clients:
            return None
        client, requests = next(iter(self._clients.items()))
        key, (ticket, place) = next(iter(requests.items()))
        self._forget(client, 1)
        if place + 1 < len(ticket):
            requests[key] = (ticket, place + 1)
            requests.move_to_end(key)
        else:
            del requests[key]
        if requests:
            self._clients.move_to_end(client)
        else:
            del self._clients[client]
        return ticket, place

    def drop(self, ticket: T) -> int:
        """Forget what waits of a request; return how many images that were."""
        requests = self._clients.get(ticket.client, OrderedDict())
        found = requests.pop(id(ticket), None)
        if found is None:
            return 0
        if not requests:
            del self._clients[ticket.client]
        n = len(ticket) - found[1]
        self._forget(ticket.client, n)
        return n

    def _forget(self, client: str, n: int) -> None:
        self._n -= n
        self._held[client] -= n
        if not self._held[client]:
            del self._held[client]
