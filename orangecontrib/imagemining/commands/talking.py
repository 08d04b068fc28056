"""Asking, and telling how far the work is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["confirm", "in_bytes", "mb", "meter", "rate", "say", "warn", "working"]

_EVERY = 30.0  # seconds between two lines where there is no terminal
_BAR = (
    "{percentage:3.0f} % |{bar:24}| {n_fmt} of {total_fmt} images,"
    " {rate_noinv_fmt}, {remaining} left{postfix}"
)
_UNITS = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}


def say(text: str) -> None:
    """Print what was asked for."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def warn(text: str) -> None:
    """Print what is to be known besides."""
    encoding = sys.stderr.encoding or "utf-8"
    print(
        text.encode(encoding, "replace").decode(encoding), file=sys.stderr, flush=True
    )


def confirm(question: str, yes: bool) -> bool:
    """Ask whether to do something; only y or yes means that it is to be done.

    Parameters
    ----------
    question
        In words.
    yes
        Whether that was said already, on the command line.

    Raises
    ------
    ImageMiningError
        If there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ImageMiningError(f"{question} There is nobody to ask: say --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def working(title: str, quiet: bool = False) -> AbstractContextManager[Progress]:
    """Return a callback that shows a bar, on terminals only."""
    if quiet:
        return nullcontext(no_progress)
    from orangecontrib.imagemining.report.console import Console

    return Console().bar(title)


@contextmanager
def meter(
    n: int, quiet: bool = False, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Return a callback that tells how many images are done, and how long it takes.

    A bar on terminals; elsewhere a line now and then.

    Parameters
    ----------
    n
        How many there are.
    quiet
        Whether to tell nothing.
    clock
        Gives seconds.
    """
    if quiet:
        yield no_progress
        return
    if not sys.stderr.isatty():
        yield _Lines(n, clock)
        return
    from tqdm import tqdm

    with tqdm(
        total=n,
        unit=" images",
        bar_format=_BAR,
        miniters=0,
        leave=False,
        dynamic_ncols=True,
    ) as bar:

        def progress(fraction: float, status: str = "") -> None:
            # the number of images is there already
            if status and not status.endswith(" images"):
                bar.set_postfix_str(status, refresh=True)
            elif bar.postfix:
                bar.set_postfix_str("", refresh=False)
            bar.update(round(min(fraction, 1.0) * n) - bar.n)

        yield progress


class _Lines:
    def __init__(self, n: int, clock: Callable[[], float]) -> None:
        self._n = n
        self._clock = clock
        self._start = self._last = clock()

    def __call__(self, fraction: float, status: str = "") -> None:
        now = self._clock()
        done = round(min(fraction, 1.0) * self._n)
        if now - self._last < _EVERY or not done:
            return
        self._last = now
        seconds = now - self._start
        left = seconds / done * (self._n - done)
        warn(
            f"{done:,} of {self._n:,} images, {rate(done, seconds)} images/s,"
            f" {_duration(left)} left"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def rate(n: int, seconds: float) -> str:
    """Return how many a second, with as many digits as mean something."""
    speed = n / max(seconds, 1e-9)
    return f"{speed:,.{0 if speed >= 100 else 1}f}"


def mb(n_bytes: float) -> str:
    """Return a size in words."""
    if n_bytes >= 2**30:
        return f"{n_bytes / 2**30:.1f} GB"
    return f"{n_bytes / 2**20:.{0 if n_bytes >= 10 * 2**20 else 1}f} MB"


def in_bytes(text: str) -> int:
    """Return the bytes that "500 MB", "2GB" or "0" stand for.

    Raises
    ------
    ImageMiningError
        If it is not clear.
    """
    import re

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B?)\s*", text.upper())
    if not found:
        raise ImageMiningError(f"'{text}' is no size; write it as 500MB or 2GB")
    unit = found[2] if found[2] in _UNITS else f"{found[2]}B"
    return int(float(found[1]) * _UNITS[unit])
