"""Progress told often enough for people, and not more often."""

from __future__ import annotations

import time

from orangecontrib.imagemining.specs import Progress

__all__ = ["paced"]


def paced(progress: Progress, seconds: float = 0.05) -> Progress:
    """Return a `progress` that may be called all the time.

    It passes on the first call, and then one in so many seconds: within that time a
    task stops that was asked to.
    """
    last = -seconds

    def sometimes(fraction: float, status: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            progress(fraction, status)

    return sometimes
