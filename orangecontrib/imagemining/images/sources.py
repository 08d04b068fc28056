"""What part of a file is an image, and how its numbers become colours.

A table's cell names a file; of files that hold many pictures it also says which one::

    cells.tif#t=2&z=5          one plane of a stack
    cells.tif#s=1&c=0          the first channel alone, of the second series
    slide.svs#xywh=0,2048,512,512   a tile, in pixels of the whole slide

How all images of a column are read is said once, in the column's attributes, in the
same words: ``stack=max&channels=0:red,2:green&contrast=range:0,4095``. Joined, they are
an image's *source*: one string that says all that is needed to show the same pixels
again, to whoever reads it. Ordinary images have neither, and are plain paths.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

__all__ = [
    "COLOURS",
    "CONTRASTS",
    "STACKS",
    "Part",
    "Rendering",
    "Source",
    "escaped",
    "join_source",
    "parse_source",
    "split_source",
]

#: How a stack becomes one image: its first or middle plane, or a projection of all.
STACKS = ("first", "middle", "max", "mean")

#: How numbers become brightness. "auto": 8 bits as stored, of more bits the percentiles
#: 0.1 and 99.9 of the image; "stored": the whole range of the numbers' type; "full":
#: of the bits that are used; "percentiles": those of the image; "range": the given
#: numbers, equal for all images.
CONTRASTS = ("auto", "stored", "full", "percentiles", "range")

#: What channels can be shown in; the parts of red, green and blue.
COLOURS = {
    "grey": (1.0, 1.0, 1.0),
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "cyan": (0.0, 1.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
}

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_PART = re.compile(r"(?:[stzc]=\d{1,9}|xywh=\d{1,9},\d{1,9},\d{1,9},\d{1,9})")
_WORD = re.compile(
    r"stack=(?:first|middle|max|mean)"
    rf"|channels=(?:auto|grey|rgb|\d{{1,4}}:(?:{'|'.join(COLOURS)})"
    rf"(?:,\d{{1,4}}:(?:{'|'.join(COLOURS)})){{0,2}})"
    rf"|contrast=(?:auto|stored|full|percentiles:{_NUMBER},{_NUMBER}"
    rf"|range:{_NUMBER},{_NUMBER}(?:;{_NUMBER},{_NUMBER})*)"
)


@dataclass(frozen=True)
class Part:
    """Which of a file's pictures; what is None is left to the `Rendering`.

    Attributes
    ----------
    series, t, z, c : from 0: which series (scene, position), time point, focus plane
        and channel.
    xywh : left, top, width and height in pixels of the whole (slides).
    """

    series: int | None = None
    t: int | None = None
    z: int | None = None
    c: int | None = None
    xywh: tuple[int, int, int, int] | None = None

    def __str__(self) -> str:
        words = [
            f"{key}={value}"
            for key, value in zip(
                "stzc", (self.series, self.t, self.z, self.c), strict=True
            )
            if value is not None
        ]
        if self.xywh is not None:
            words.append(f"xywh={','.join(map(str, self.xywh))}")
        return "&".join(words)

    def describe(self) -> str:
        """Say which part in words for people, who count from 1; "" for the whole."""
        words = [
            f"{name}{value + 1}"
            for name, value in (
                ("series ", self.series),
                ("z=", self.z),
                ("t=", self.t),
                ("channel ", self.c),
            )
            if value is not None
        ]
        if self.xywh is not None:
            words.append("x={} y={}".format(*self.xywh))
        return " ".join(words)


@dataclass(frozen=True)
class Rendering:
    """How numbers become the picture that viewer and network see.

    Attributes
    ----------
    stack : one of `STACKS`.
    channels : "auto": photographs as they are; else the channels (three at most) in
        the colours that the file gives them. "grey": one brightness. "rgb": the
        first three channels as red, green and blue. Or pairs of a channel's number
        and its colour, one of `COLOURS`.
    contrast : one of `CONTRASTS`.
    percentiles : per cent of the pixels below black, and not above white.
    ranges : for "range": black and white, in the image's own numbers; one pair for all
        channels or one for each.
    """

    stack: str = "first"
    channels: str | tuple[tuple[int, str], ...] = "auto"
    contrast: str = "auto"
    percentiles: tuple[float, float] = (0.1, 99.9)
    ranges: tuple[tuple[float, float], ...] = ()

    def __str__(self) -> str:
        """Return the words of what differs from the default; "" if nothing does."""
        words = []
        if self.stack != "first":
            words.append(f"stack={self.stack}")
        if isinstance(self.channels, tuple):
            pairs = ",".join(f"{number}:{colour}" for number, colour in self.channels)
            words.append(f"channels={pairs}")
        elif self.channels != "auto":
            words.append(f"channels={self.channels}")
        if self.contrast == "percentiles":
            words.append(f"contrast=percentiles:{_pair(self.percentiles)}")
        elif self.contrast == "range":
            words.append(f"contrast=range:{';'.join(map(_pair, self.ranges))}")
        elif self.contrast != "auto":
            words.append(f"contrast={self.contrast}")
        return "&".join(words)

    @classmethod
    def parse(cls, text: str) -> Rendering:
        """Return what `str` made a text of; what is not understood is the default."""
        return _parse(text)[1]


@dataclass(frozen=True)
class Source:
    """A source taken apart.

    Attributes
    ----------
    place : path or address of the file.
    part : which of its pictures.
    rendering : how it is shown.
    """

    place: str
    part: Part = Part()
    rendering: Rendering = Rendering()


def split_source(source: str) -> tuple[str, str]:
    """Return path or address of the file, and the words behind it ("" if none).

    A ``#`` within a file's name is part of it, unless only our words follow.
    """
    place, mark, words = source.rpartition("#")
    if not mark or not _are_ours(words):
        return source, ""
    return place, words


def join_source(place: str, part: str = "", rendering: str = "") -> str:
    """Return the source of a place, which may have words already, with these."""
    own_place, own = split_source(place)
    words = "&".join(word for word in (own, part, rendering) if word)
    # a place that has its empty words keeps them, or its name would be taken for words
    return f"{own_place}#{words}" if words or own_place != place else place


def parse_source(source: str) -> Source:
    """Take a source apart; of words that occur twice the last holds."""
    place, words = split_source(source)
    return Source(place, *_parse(words))


def escaped(path: str) -> str:
    """Return the source of a whole file, whatever its name looks like."""
    return path if split_source(path) == (path, "") else f"{path}#"


def _are_ours(words: str) -> bool:
    return words == "" or all(
        _PART.fullmatch(word) or _WORD.fullmatch(word) for word in words.split("&")
    )


def _parse(words: str) -> tuple[Part, Rendering]:
    part, rendering = Part(), Rendering()
    for word in words.split("&"):
        key, _, value = word.partition("=")
        if _PART.fullmatch(word):
            if key == "xywh":
                x, y, width, height = map(int, value.split(","))
                part = replace(part, xywh=(x, y, width, height))
            else:
                name = "series" if key == "s" else key
                part = replace(part, **{name: int(value)})  # type: ignore[arg-type]
        elif _WORD.fullmatch(word):
            rendering = _with_word(rendering, key, value)
    return part, rendering


def _with_word(rendering: Rendering, key: str, value: str) -> Rendering:
    if key == "stack":
        return replace(rendering, stack=value)
    if key == "channels":
        if ":" not in value:
            return replace(rendering, channels=value)
        colours = [pair.partition(":") for pair in value.split(",")]
        return replace(rendering, channels=tuple((int(n), c) for n, _, c in colours))
    kind, _, numbers = value.partition(":")
    pairs = [
        (float(low), float(high))
        for low, _, high in (pair.partition(",") for pair in numbers.split(";"))
        if low
    ]
    if any(not math.isfinite(number) for pair in pairs for number in pair):
        return rendering
    if kind == "percentiles":
        low, high = pairs[0]
        if not 0 <= low < high <= 100:
            return rendering
        return replace(rendering, contrast=kind, percentiles=(low, high))
    if kind == "range":
        return replace(rendering, contrast=kind, ranges=tuple(pairs))
    return replace(rendering, contrast=kind)


def _pair(numbers: tuple[float, float]) -> str:
    # the shortest text that reads back as the same number
    return ",".join(repr(float(n)).removesuffix(".0") for n in numbers)
