"""What a command could not embed: told, and written into a file if one is wanted."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orangecontrib.imagemining.exceptions import ImageMiningError

if TYPE_CHECKING:
    from Orange.data import Table, Variable

__all__ = ["Skipped", "skipped_file"]

_SHOWN = 5  # skipped images that are named


class Skipped:
    """What could not be embedded, and why."""

    def __init__(self, write: Any) -> None:
        self.n = 0
        self._write = write
        self._first: list[str] = []
        self.is_kept = False

    def add(self, rows: Table, column: Variable) -> None:
        from orangecontrib.imagemining.tables.columns import image_sources

        sources = image_sources(rows, column)
        reasons = rows.get_column(rows.domain.metas[-1])
        for source, reason in zip(sources, reasons, strict=True):
            self.n += 1
            self._write([source or "", reason])
            if len(self._first) < _SHOWN:
                self._first.append(f"  {source or '(no image)'}: {reason}")

    def keep(self) -> None:
        """Have the file written although the work fails."""
        self.is_kept = True

    def describe(self) -> str:
        """Say how many, and the first few of them."""
        lines = [f"{self.n:,} skipped:", *self._first]
        if self.n > len(self._first):
            lines.append(f"  and {self.n - len(self._first):,} more (--skipped FILE)")
        return "\n".join(lines)


@contextmanager
def skipped_file(path: Path | None, force: bool) -> Iterator[Skipped]:
    """Give what notes skipped images, in a file if there is to be one."""
    if path is None:
        yield Skipped(lambda row: None)
        return
    from orangecontrib.imagemining.tables.writing import replacing

    failed: ImageMiningError | None = None
    with replacing(path, force) as temporary:
        # a path of letters that are no text is written as the system has it
        with temporary.open(
            "w", encoding="utf8", errors="surrogateescape", newline=""
        ) as file:
            dialect = csv.excel if path.suffix.lower() == ".csv" else csv.excel_tab
            write = csv.writer(file, dialect).writerow
            write(["path", "reason"])
            skipped = Skipped(write)
            try:
                yield skipped
            except ImageMiningError as ex:
                if not skipped.is_kept:
                    raise
                failed = ex
    if failed is not None:
        raise failed
