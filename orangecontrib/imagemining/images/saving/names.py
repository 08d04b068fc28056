"""Names for files and folders that every system takes, and that never collide."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Container
from urllib.parse import unquote, urlsplit

from orangecontrib.imagemining.images.locate import local_path
from orangecontrib.imagemining.images.names import image_suffixes

__all__ = ["UniqueNames", "comparable", "name_of", "safe_name", "split_ending"]

_MAX_BYTES = 255  # of a name in UTF-8, with its ending

# Windows' devices, whatever the ending: "NUL.png" is one too
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"
}
_RESERVED = frozenset('<>:"/\\|?*')
# needed to write Persian, Indian scripts and some emoji; some systems pass over them
_JOINERS = "\u200c\u200d"


def safe_name(text: str, default: str) -> str:
    """Return `text` as a name that Windows, macOS and Linux take.

    What they reserve becomes "_": characters, a leading dot (which hides a file), the
    names of Windows' devices. Other dots stay. Invisible marks, and spaces and dots at
    the end, are dropped; letters are composed (NFC). It is not shortened: see
    `UniqueNames`.

    Parameters
    ----------
    text
        Without the ending, for a file.
    default
        Returned if nothing is left of `text`.
    """
    name = "".join(map(_safe_character, unicodedata.normalize("NFC", text)))
    name = unicodedata.normalize("NFC", name).strip().rstrip(". ")
    if not name:
        return default
    if name.startswith("."):
        name = "_" + name[1:]
    if name.partition(".")[0].rstrip().upper() in _DEVICES:
        name = "_" + name
    return name


def _safe_character(character: str) -> str:
    if character in _RESERVED:
        return "_"
    if character.isspace():
        return " "
    kind = unicodedata.category(character)
    if kind == "Cf":
        # among them those that make a name look as if it ended otherwise
        return character if character in _JOINERS else ""
    # control characters, halves of pairs, code points without a meaning
    return "_" if kind in ("Cc", "Cs", "Cn") else character


def comparable(name: str) -> str:
    """Return what two names have in common that some system takes for one.

    Case and the ways to write an accent are set aside: macOS and Windows tell
    "A.png" and "a.png" not apart, macOS not "é" and "e" with an accent.
    """
    if name.isascii():
        return name.lower()
    for joiner in _JOINERS:
        name = name.replace(joiner, "")
    folded = unicodedata.normalize("NFD", name).upper().casefold()
    return unicodedata.normalize("NFD", folded)


def split_ending(name: str) -> tuple[str, str]:
    """Split off the ending of an image's name: "a.1.jpg" is "a.1", ".jpg".

    What is no image's ending belongs to the name: "a.1" is "a.1", "".
    """
    stem, ending = os.path.splitext(name)
    return (stem, ending) if ending.lower() in image_suffixes() else (name, "")


def name_of(source: str) -> str:
    """Return the last part of a path or address, with its ending; "" if it has none."""
    path = local_path(source)
    if path is not None:
        return os.path.basename(path)
    if re.match("data:", source, re.IGNORECASE):
        return ""
    try:
        path = urlsplit(source).path
    except ValueError:  # not a proper address, which fetching it will tell
        return ""
    return unquote(path.rstrip("/").rpartition("/")[2])


class UniqueNames:
    """The names in one folder, each given once: "a.png", then "a (2).png".

    Names that differ in case or in the way to write an accent count as the same.

    Parameters
    ----------
    reserved
        Names that are not given.
    """

    def __init__(self, *reserved: str) -> None:
        self._taken = {comparable(name) for name in reserved}
        # taken with all endings that there are
        self._stems: set[str] = set()
        self._next: dict[tuple[str, tuple[str, ...]], int] = {}

    def claim(
        self,
        stem: str,
        endings: tuple[str, ...] = ("",),
        avoid: Container[str] = frozenset(),
    ) -> str:
        """Return `stem`, numbered and shortened as need be; nobody else gets it.

        Parameters
        ----------
        stem
            A safe name without its ending.
        endings
            The file's ending. Several if it is not known yet which of them it will
            be: then none of them is given to another.
        avoid
            `comparable` names that are not given either.
        """
        tail = max(endings, key=len)
        asked = (comparable(stem), endings)
        for number in itertools.count(self._next.get(asked, 1)):
            name = _fitted(stem, f" ({number})" if number > 1 else "", tail)
            key = comparable(name)
            names = [key + ending.lower() for ending in endings]
            if key in self._stems or any(n in self._taken or n in avoid for n in names):
                continue
            if len(endings) > 1:
                self._stems.add(key)
            else:
                self._taken.add(names[0])
            self._next[asked] = number + 1
            return name
        raise AssertionError  # numbers do not end


def _fitted(stem: str, number: str, tail: str) -> str:
    """Shorten `stem` so that the name with number and ending is not too long."""
    room = _MAX_BYTES - len((number + tail).encode())
    if len(stem.encode()) > room:
        # a letter that is cut through goes as a whole
        stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return stem + number
