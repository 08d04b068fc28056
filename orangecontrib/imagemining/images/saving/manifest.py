"""The list of saved images, as a file that spreadsheets open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["MANIFEST", "ManifestRow", "manifest_bytes"]

#: Name of the file.
MANIFEST = "manifest.csv"

# What makes spreadsheets take a cell for a formula, also as Asian keyboards write it
_FORMULA = tuple("=+-@＝＋－＠")
_LONGEST = (
    2000  # letters of a cell: an image written out as an address may have millions
)


@dataclass(frozen=True)
class ManifestRow:
    """What became of an image.

    Attributes
    ----------
    file : path below the manifest's folder, parts joined with "/"; "" if not saved.
    source : path or address it came from.
    category : as the data have it.
    original_size, size : (width, height) in pixels, before and after; None if unknown.
    status, reason : what happened, and why.
    """

    file: str
    source: str
    category: str
    original_size: tuple[int, int] | None
    size: tuple[int, int] | None
    status: str
    reason: str


def manifest_bytes(rows: Iterable[ManifestRow]) -> bytes:
    """Return the manifest's content: UTF-8, with a byte-order mark for Excel.

    A file's name or a category may be made so that a spreadsheet runs it as a formula.
    Paths that begin like one get "./" before them and lead to the same file; other
    texts get an apostrophe, unless they are numbers: "-1" stays.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(
        "file source category original_width original_height width height status"
        " reason".split()
    )
    for row in rows:
        writer.writerow(
            [
                _path(row.file),
                _path(row.source),
                _text(row.category),
                *_numbers(row.original_size),
                *_numbers(row.size),
                row.status,
                _text(row.reason),
            ]
        )
    # names that are not proper text are written so that one sees what is there
    return text.getvalue().encode("utf-8-sig", errors="backslashreplace")


def _numbers(size: tuple[int, int] | None) -> Sequence[int | str]:
    return size or ("", "")


def _path(path: str) -> str:
    return _shortened(f"./{path}" if path.lstrip().startswith(_FORMULA) else path)


def _text(text: str) -> str:
    if text.lstrip().startswith(_FORMULA):
        try:
            float(text)
        except ValueError:
            text = f"'{text}"
    return _shortened(text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
