"""How much a client has under way at once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Line"]

_FEWEST_BYTES, _FIRST_BYTES, _MOST_BYTES = 64 * 2**10, 2**20, 4 * 2**20
_QUICK = 3.0  # seconds; what took no longer may be larger the next time
_SLOWER = 3.0  # times as long an image as at the best: more at once is of no use
_FORGETTING = 1.002  # what was the best counts a little less with every answer


class Line:
    """Lets a number of requests through at once, which adapts.

    One more for each round of good answers; half as many after a bad one; and somewhat
    fewer while an image takes several times as long as at the best, because then what
    is sent only waits at the server, or on the way. So do the bytes of a request:
    twice as many after a quick one, half after one that did not get through.

    Parameters
    ----------
    most
        Requests at once, at the very most.

    Attributes
    ----------
    limit : requests at once now; what is behind the point does not count yet.
    n_bytes : bytes of images that a request should have now, at most.
    """

    def __init__(self, most: int) -> None:
        self._most = float(max(most, 1))
        self._best = math.inf  # seconds an image
        self._n = 0
        self._changed = asyncio.Condition()
        self.limit = min(2.0, self._most)
        self.n_bytes = _FIRST_BYTES

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for one's turn, and have it for the length of the block."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._n < int(self.limit))
            self._n += 1
        try:
            yield
        finally:
            self._n -= 1
            async with self._changed:
                self._changed.notify_all()

    def went_well(self, seconds: float, n_images: int) -> None:
        """Note a good answer.

        Parameters
        ----------
        seconds
            That it took in all.
        n_images
            That it was about.
        """
        pace = seconds / max(n_images, 1)
        self._best = min(self._best * _FORGETTING, pace)
        if pace > _SLOWER * self._best:
            self.limit = max(min(2.0, self._most), 0.9 * self.limit)
        else:
            self.limit = min(self._most, self.limit + 1 / self.limit)
        if seconds <= _QUICK:
            self.n_bytes = min(_MOST_BYTES, 2 * self.n_bytes)

    def went_badly(self) -> None:
        """Note that the server has too much to do, or did not answer in time."""
        self.limit = max(1.0, self.limit / 2)

    def was_too_much(self, n_bytes: int) -> None:
        """Note that a request of so many bytes did not get through."""
        self.n_bytes = max(_FEWEST_BYTES, min(self.n_bytes, n_bytes) // 2)

    def has_room(self, n_bytes: int) -> bool:
        """Tell whether a request of so many bytes is likely to get through."""
        # the last of its images may have made it somewhat larger
        return n_bytes <= 2 * self.n_bytes
