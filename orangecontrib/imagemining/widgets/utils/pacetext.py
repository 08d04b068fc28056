"""How fast it goes, and how long it will take; no Qt."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

from orangecontrib.imagemining.specs import Progress

__all__ = ["PaceText", "duration", "pace_in_words", "with_pace"]

_COUNTS = re.compile(r"([\d,]+) of ([\d,]+) images")
_SECONDS_SEEN = 15.0  # the pace is that of so long
_SECONDS_FIRST = 1.0  # before, it is not known
_SECONDS_SHOWN = 0.1  # as often as anybody can read


class PaceText:
    """Adds pace and time left to texts such as "12 of 500 images".

    Parameters
    ----------
    clock
        Tells the seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kind = ""
        self._seen: deque[tuple[float, int]] = deque()

    def __call__(self, status: str) -> str:
        """Return "12 of 500 images · 6 images/s · 81 s left"; other texts as they are.

        What was known before the first such text does not count as pace. What follows
        a semicolon stays at the end.
        """
        match = _COUNTS.search(status)
        if match is None:
            return status
        done, total = (int(text.replace(",", "")) for text in match.groups())
        now = self._clock()
        kind = f"{status[: match.start()]}{total}"
        if kind != self._kind or (self._seen and done < self._seen[-1][1]):
            self._kind = kind
            self._seen.clear()
        self._seen.append((now, done))
        # one that is older than that stays, so that the pace is of all that time
        while len(self._seen) > 2 and now - self._seen[1][0] >= _SECONDS_SEEN:
            self._seen.popleft()
        parts = [f"{status[: match.start()]}{done:,} of {total:,} images"]
        seconds, n = now - self._seen[0][0], done - self._seen[0][1]
        if seconds >= _SECONDS_FIRST and n and done < total:
            pace = n / seconds
            parts.append(pace_in_words(pace))
            parts.append(f"{duration((total - done) / pace)} left")
        tail = status[match.end() :]
        return " · ".join(parts) + (tail if tail.startswith(";") else "")


def pace_in_words(pace: float) -> str:
    """Return a number of images a second, with as many digits as mean something."""
    return f"{pace:,.0f} images/s" if pace >= 10 else f"{pace:.2g} images/s"


def with_pace(progress: Progress, pace: PaceText | None = None) -> Progress:
    """Return a `progress` whose texts tell the pace, and change at times to read."""
    pace = pace or PaceText()
    last, last_kind = -_SECONDS_SHOWN, ""

    def told(fraction: float, status: str = "") -> None:
        nonlocal last, last_kind
        if not status:
            progress(fraction)
            return
        text = pace(status)
        kind = re.sub(r"\d", "", status)
        now = time.monotonic()
        if kind == last_kind and now - last < _SECONDS_SHOWN and fraction < 1:
            progress(fraction)
            return
        last, last_kind = now, kind
        progress(fraction, text)

    return told


def duration(seconds: float) -> str:
    """Return a time as people say it: "21 s", "3 min", "1 h 20 min"."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours < 10 and minutes else f"{hours:,} h"
