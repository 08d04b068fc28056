"""Patterns that people type for the names of files."""

from __future__ import annotations

import fnmatch
import os
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from orangecontrib.imagemining.exceptions import PatternError

__all__ = [
    "PLAIN_SUFFIXES",
    "CategoryPattern",
    "NamePatterns",
    "ending_of",
    "image_suffixes",
    "natural_key",
    "stem_of",
]

#: Endings of formats whose files hold one ordinary picture: those of telephones, of the
#: web, of painting programs.
PLAIN_SUFFIXES = frozenset(
    ".apng .avif .avifs .bmp .dib .gif .heic .heif .hif .ico .j2c .j2k .jfif .jp2 .jpe"
    " .jpeg .jpf .jpg .jpx .pbm .pcx .pfm .pgm .png .pnm .ppm .qoi .tga .webp".split()
)

_DIGITS = re.compile("[0-9]+")
_TOKEN = re.compile(
    r"\{\s*(?P<place>[^{}/]*?)\s*\}|(?P<any>\*+)|(?P<one>\?)|[^*?{]+|\{"
)
_NUMBER = "(?<![0-9])[0-9]+(?![0-9])"


def image_suffixes() -> frozenset[str]:
    """Return the endings of all formats that `open` reads.

    They are for listing folders only; the content decides when opening.
    """
    # the formats' own files are not to wait for this one, nor this one for them
    from orangecontrib.imagemining.images.formats import _base

    return _suffixes_of(tuple(family.endings for family in _base.families()))


@cache
def _suffixes_of(endings: tuple[tuple[str, ...], ...]) -> frozenset[str]:
    return PLAIN_SUFFIXES.union((".tif", ".tiff"), *endings)


def ending_of(name: str) -> str:
    """Return the ending of a file's name in small letters, with its dot."""
    return os.path.splitext(name)[1].lower()


def stem_of(name: str) -> str:
    """Return a file's name without its ending; that of OME-TIFF has two words."""
    stem, ending = os.path.splitext(name)
    if ending.lower() in (".tif", ".tiff", ".btf") and stem.lower().endswith(".ome"):
        return stem[:-4] or stem
    return stem


def natural_key(path: str) -> str:
    """Return what to sort by, so that 2 comes before 10, whatever the case.

    One string, not a list of parts: strings compare many times faster.
    """

    def as_number(match: re.Match[str]) -> str:
        digits = match[0].lstrip("0")
        # a longer number is a larger one; the 0 keeps it where digits belong
        return f"0{chr(len(digits))}{digits}"

    # what a folder holds comes before what a longer name holds: "a/z" before "a 1/b"
    key = _DIGITS.sub(as_number, path.casefold().replace("/", "\0"))
    return f"{key}\0\0{path}"  # the text itself settles ties


def _composed(text: str) -> str:
    # macOS gives names whose accents are letters of their own; keyboards do not
    return text if text.isascii() else unicodedata.normalize("NFC", text)


class NamePatterns:
    """The files and folders that a line such as ``*_red.tif; masks/`` means.

    Parameters
    ----------
    text
        Patterns with ";" between them. ``*`` stands for any letters, ``?`` for one;
        small and capital letters are the same.

    Without "/", a pattern is about the name: with ``*`` or ``?`` the whole name, else
    the name of an image (``1.png``) is that file, and any other word (``mask``) is
    looked for anywhere in the name. With "/", it is about the path below the folder
    searched, and includes what lies below the place it means. ``masks/`` is every
    folder of that name.
    """

    def __init__(self, text: str) -> None:
        names: list[str] = []
        paths: list[str] = []
        for part in text.split(";"):
            # people paste paths of their own system
            pattern = _composed(part.strip().replace("\\", "/"))
            while pattern.startswith("./"):
                pattern = pattern[2:]
            below = pattern.endswith("/")
            pattern = re.sub("/+", "/", pattern).strip("/")
            if not pattern:
                continue
            if "/" in pattern or below:
                paths.append(f"{pattern}/*")
                if "/" not in pattern:
                    paths.append(f"*/{pattern}/*")
                elif not below:
                    paths.append(pattern)
            elif {"*", "?"} & set(pattern) or ending_of(pattern) in image_suffixes():
                names.append(pattern)
            else:
                names.append(f"*{pattern}*")
        self._names = _any_of(names)
        self._paths = _any_of(paths)

    def __bool__(self) -> bool:
        return bool(self._names or self._paths)

    def fits(self, path: str) -> bool:
        """Tell whether the file at `path`, with "/" between folders, is meant."""
        path = _composed(path)
        if self._names and self._names.match(path.rpartition("/")[2]):
            return True
        return bool(self._paths and self._paths.match(path))

    def fits_folder(self, path: str) -> bool:
        """Tell whether all that lies in the folder at `path` is meant."""
        path = _composed(path)
        if self._names and self._names.match(path.rpartition("/")[2]):
            return True
        return bool(self._paths and self._paths.match(f"{path}/"))


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    # a bracket is a letter like others for those who do not program
    texts = [fnmatch.translate(pattern.replace("[", "[[]")) for pattern in patterns]
    return re.compile("|".join(texts), re.IGNORECASE)


class CategoryPattern:
    """Where in a file's name its category stands, such as ``{category}_*``.

    Parameters
    ----------
    text
        The name, with ``{category}`` in the place of the category, ``{number}`` for
        a number, ``*`` for any letters and ``?`` for one. The ending may be left out.
        With "/" it is about the path below the folder: ``*/{category}/*`` is the
        second folder; none of the places reaches beyond a "/".

    The category ends where what follows it begins for the first time; it does not
    contain what stands between it and a ``*`` before it.

    Raises
    ------
    PatternError
        If it is not clear what is meant; the message says how to write it.
    """

    def __init__(self, text: str) -> None:
        tokens = _tokens(_composed(text.strip().replace("\\", "/").strip("/")))
        kinds = [token.kind for token in tokens]
        if "category" not in kinds:
            raise PatternError(
                "Write {category} where the category stands, such as {category}_*"
            )
        if kinds.count("category") > 1:
            raise PatternError("{category} may stand only once")
        place = kinds.index("category")
        for beside in (kinds[:place][::-1], kinds[place + 1 :]):
            if next((kind for kind in beside if kind != "?"), "") == "*":
                raise PatternError(
                    "Put a letter or sign between {category} and *, so that it is"
                    " clear where the category ends"
                )
        self._expression = re.compile(
            _expression(tokens[:place], tokens[place + 1 :]), re.IGNORECASE | re.DOTALL
        )
        # else "?" would take a letter of the ending where the name is too short
        self._with_ending = any("." in token.text for token in tokens)
        self._with_folders = any("/" in token.text for token in tokens)

    def category(self, path: str) -> str:
        """Return the category of the image at `path`, "" if the name does not fit."""
        name = _composed(path if self._with_folders else path.rpartition("/")[2])
        match = self._expression.fullmatch(os.path.splitext(name)[0])
        if match is None and self._with_ending:
            match = self._expression.fullmatch(name)
        return match["category"].strip() if match else ""


class _Token(NamedTuple):
    kind: Literal["text", "*", "?", "number", "category"]
    text: str = ""

    @property
    def expression(self) -> str:
        if self.kind == "number":
            return _NUMBER
        return "[^/]" if self.kind == "?" else re.escape(self.text)


def _tokens(pattern: str) -> list[_Token]:
    tokens = []
    for match in _TOKEN.finditer(pattern):
        place = match["place"]
        if place is not None:
            if place.lower() == "category":
                tokens.append(_Token("category"))
            elif place.lower() == "number":
                tokens.append(_Token("number"))
            else:
                raise PatternError(
                    f"{match[0]} is not known; write {{category}}, {{number}}, * or ?"
                )
        elif match["any"]:
            tokens.append(_Token("*"))
        elif match["one"]:
            tokens.append(_Token("?"))
        else:
            tokens.append(_Token("text", match[0]))
    return tokens


def _expression(before: Sequence[_Token], after: Sequence[_Token]) -> str:
    """Return the regular expression of a pattern, its parts in linear time each."""
    first, *middle = _between_stars(before)
    parts = [first]
    category = "[^/]+?"
    if middle:
        *middle, last = middle
        parts += [_next(run, f"b{index}") for index, run in enumerate(middle)]
        parts.append(f"[^/]*?{last}")
        run = before[-1 - [token.kind for token in before][::-1].index("*") :][1:]
        if all(token.kind == "text" for token in run):
            category = f"(?:(?!{last})[^/])+?"
    parts.append(f"(?P<category>{category})")
    first, *middle = _between_stars(after)
    parts.append(first)
    if middle:
        *middle, last = middle
        parts += [_next(run, f"a{index}") for index, run in enumerate(middle)]
        parts.append(f"[^/]*{last}")
    return "".join(parts)


def _between_stars(tokens: Sequence[_Token]) -> list[str]:
    runs = [""]
    for token in tokens:
        if token.kind == "*":
            runs.append("")
        else:
            runs[-1] += token.expression
    return runs


def _next(run: str, name: str) -> str:
    # the first place where it fits, for good: trying all of them would take
    # hours on names that fit almost
    return f"(?=(?P<{name}>[^/]*?{run}))(?P={name})"
