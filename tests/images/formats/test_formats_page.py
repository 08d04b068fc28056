"""The table of doc/formats.md has the cases that are tested, no more and no less.

When cases change, ``python tests/images/formats/test_formats_page.py`` writes the table
anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import test_dicom
import test_microscopes
import test_pictures
import test_slides
import test_tiff

from orangecontrib.imagemining.images.formats._base import families

PAGE = Path(__file__).parents[3] / "doc" / "formats.md"
HEAD = "| format | bits | channels | compression | read | note |"

#: Of a case: format, bits, channels, compression, whether it is read, note.
Cell = tuple[str, str, str, str, bool, str]

ORDER = (
    "JPEG PNG GIF WebP BMP HEIC AVIF JPEG_2000 TIFF DICOM CZI LIF ND2 SVS NDPI MRXS"
).split()


def bits_of(text: str) -> str:
    """Say "8", "12 of 16" and "16 signed" as the page does."""
    if "bit" in text:
        return text
    number, _, rest = text.replace(" of ", " in ").partition(" ")
    if rest == "signed":
        return f"signed {number}-bit"
    return f"{number}-bit {rest}".strip()


def channels_of(text: str) -> str:
    first, _, rest = text.partition(", ")
    return {"planar": f"planar {first}", "0 is white": f"{first} with 0 white"}.get(
        rest, text
    )


def cases() -> list[Cell]:
    """Return all kinds of files that are tested."""
    found: list[Cell] = []
    for one in test_pictures.CASES:
        found.append((*one.row, True, one.note))
    for row, _, _ in test_pictures.NOT_READ:
        found.append((*row, False, ""))
    for row, bits, channels, compression in test_tiff.CASES:
        found.append(("TIFF", bits, channels, compression, row.read, row.note))
    for case in test_dicom.CASES:
        bits, channels, compression = map(str, case.row)
        read = case.expected is not None
        found.append(("DICOM", bits, channels, compression, read, ""))
    for case in (*test_microscopes.CASES, *test_slides.CASES):
        found.append((*case.row, True, ""))
    # cells are lists with commas; within a name there can be none
    return [
        (
            kind,
            bits_of(bits),
            channels_of(channels),
            re.sub(r", (.*)", r" (\1)", compression),
            read,
            note,
        )
        for kind, bits, channels, compression, read, note in found
    ]


def merged(rows: list[tuple[object, ...]], column: int) -> list[tuple[object, ...]]:
    """Join rows that differ in one column only."""
    joined: dict[tuple[object, ...], list[str]] = {}
    for row in rows:
        key = (*row[:column], None, *row[column + 1 :])
        joined.setdefault(key, []).append(str(row[column]))
    return [
        (*key[:column], ", ".join(dict.fromkeys(cells)), *key[column + 1 :])
        for key, cells in joined.items()
    ]


def table() -> list[str]:
    """Return the table's lines, as few as tell all cases."""
    rows: list[tuple[object, ...]] = sorted(cases(), key=place)
    for column in (3, 1, 2):
        rows = merged(rows, column)
    rows.sort(key=place)
    lines = [HEAD, "|---|---|---|---|---|---|"]
    for kind, *cells, read, note in rows:
        if kind != "TIFF":
            words = " | ".join(map(str, cells))
            line = f"| {kind} | {words} | {'read' if read else 'not read'} | {note} |"
            lines.append(line.replace("  |", " |"))
        elif str(test_tiff.ROWS[0]) not in lines:
            # its tests have rows already
            lines += map(str, test_tiff.ROWS)
    return lines


def place(row: tuple[object, ...]) -> tuple[int, bool]:
    kind = str(row[0]).replace(" ", "_")
    return (ORDER.index(kind) if kind in ORDER else len(ORDER), not row[4])


def on_page() -> list[str]:
    lines = PAGE.read_text(encoding="utf8").splitlines()
    start = lines.index(HEAD)
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    return lines[start:end]


def test_table_is_what_is_tested() -> None:
    told = set()
    for line in on_page()[2:]:
        kind, bits, channels, compression, read, _ = (
            cell.strip() for cell in line.strip("|").split("|")
        )
        assert read in ("read", "not read")
        for one in bits.split(", "):
            for other in channels.split(", "):
                for third in compression.split(", "):
                    cell = (kind, one, other, third, read == "read")
                    assert cell not in told, f"{cell} is there twice"
                    told.add(cell)
    tested = {cell[:5] for cell in cases()}
    assert told == tested


def test_table_is_written_by_this_file() -> None:
    assert on_page() == table()


def test_all_families_and_endings_are_named() -> None:
    text = PAGE.read_text(encoding="utf8")
    missing = [
        ending
        for family in families()
        for ending in family.endings
        if not re.search(rf"`{re.escape(ending)}`", text)
    ]
    assert not missing
    for family in families():
        if family.extra:
            assert f'pip install "Orange3-ImageMining[{family.extra}]"' in text


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf8")
    PAGE.write_text(page.replace("\n".join(on_page()), "\n".join(table())))
