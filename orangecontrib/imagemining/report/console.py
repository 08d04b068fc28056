"""What the report says, on the screen and in its text file, and its progress bars."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from orangecontrib.imagemining.specs import Progress

__all__ = ["Console", "count", "printable", "shorten", "unbroken"]

_WIDTH = 80  # letters in a line, unless one word has more
_INDENT = 12
_UNBROKEN = "\u00a0"  # no name that is shown has one: `printable` takes them out
_BAR = "{desc:<20}{percentage:3.0f} % |{bar:24}| {remaining} left{postfix}"


class Console:
    """Prints lines, and remembers them."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        """Everything said and noted so far."""
        return "".join(f"{line}\n" for line in self._lines)

    def say(self, line: str = "") -> None:
        """Print a line."""
        self.note(line)
        # a terminal may lack letters that file names have
        encoding = sys.stdout.encoding or "utf-8"
        print(line.encode(encoding, "replace").decode(encoding), flush=True)

    def say_item(self, title: str, text: str) -> None:
        """Print a title and, in as many lines as it needs, what belongs to it."""
        for line in _wrapped(text, _WIDTH - _INDENT):
            self.say(f"{title:<{_INDENT}}{line}")
            title = ""

    def say_path(self, title: str, path: str | os.PathLike[str]) -> None:
        """Print a title and a path, in one line, from which it can be copied."""
        self.say(f"{title:<{_INDENT}}{printable(os.fspath(path))}")

    def say_sentences(self, text: str) -> None:
        """Print text in lines that fit on a screen."""
        for line in _wrapped(text, _WIDTH):
            self.say(line)

    def note(self, line: str) -> None:
        """Remember a line without printing it."""
        self._lines.append(line)

    @contextmanager
    def bar(self, title: str) -> Iterator[Progress]:
        """Return a callback that shows a progress bar, on terminals only."""
        with tqdm(
            total=1.0,
            desc=title,
            bar_format=_BAR,
            # tqdm's guess of how many steps to pass over is meant for whole numbers
            miniters=0,
            leave=False,
            disable=None,
            dynamic_ncols=True,
        ) as bar:

            def progress(fraction: float, status: str = "") -> None:
                if status:
                    bar.set_postfix_str(status, refresh=False)
                bar.update(min(fraction, 1.0) - bar.n)
                if not fraction:
                    # the next report may be far, and this one too soon to be shown
                    bar.refresh()

            yield progress


def _wrapped(text: str, width: int) -> list[str]:
    # words are names of files and categories too
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_UNBROKEN, " ") for line in lines] or [""]


def unbroken(text: str) -> str:
    """Return `text` as `Console` keeps it in one line, where a line has room for it."""
    return text.replace(" ", _UNBROKEN)


def count(n: int, noun: str, plural: str = "") -> str:
    """Return "1 image", "2 images" or "1,000 images"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def printable(text: str) -> str:
    """Return `text` without what would move the cursor or cannot be written."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def shorten(text: str, length: int) -> str:
    """Return `text`, or its beginning and end if it has more letters than `length`."""
    text = printable(text)
    if len(text) <= length:
        return text
    tail = (length - 1) // 3
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"
