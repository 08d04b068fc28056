"""Embedded tables in Orange's formats."""

from __future__ import annotations

import csv
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from Orange.data import Domain, Table
from Orange.data.io import CSVReader, ExcelReader, PickleReader, TabReader

from orangecontrib.imagemining.exceptions import SaveError
from orangecontrib.imagemining.tables.writing.base import Layout, VectorWriter

__all__ = ["EXCEL_LETTERS", "ExcelWriter", "PickleWriter", "TextWriter"]

_COMPRESSED = (".gz", ".bz2", ".xz")
#: Of a cell.
EXCEL_LETTERS = 32_767


class TextWriter(VectorWriter):
    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        kind = next(each for each in reversed(path.suffixes) if each not in _COMPRESSED)
        self._format = CSVReader if kind == ".csv" else TabReader
        self._file: IO[str] = self._format.open(
            str(path), mode="wt", newline="", encoding="utf-8"
        )
        self._write = csv.writer(
            self._file, delimiter=self._format.DELIMITERS[0]
        ).writerow
        self._domain: Domain | None = None

    def add(self, part: Table) -> None:
        if self._domain is None:
            self._domain = _with_digits(part.domain, self.layout.size)
            part.domain = self._domain
            self._format.write_headers(self._write, part, not self.layout.plain)
        part.domain = self._domain
        self._format.write_data(self._write, part)

    def finish(self) -> None:
        self._file.close()

    close = finish


def _with_digits(domain: Domain, size: int) -> Domain:
    """Return the domain with vectors that are written as they are.

    Orange writes six digits of a number. Nine tell every number of 4 bytes from the
    others. There is no setting for that, and Orange knows each subclass of its
    variables for good as a kind of column, so the method is replaced in these copies.
    """
    old = len(domain.attributes) - size
    attributes = list(domain.attributes[:old])
    for variable in domain.attributes[old:]:
        copy = variable.copy(compute_value=None)
        copy.attributes = variable.attributes
        copy.repr_val = "{:.9g}".format
        attributes.append(copy)
    return Domain(attributes, domain.class_vars, domain.metas)


class ExcelWriter(VectorWriter):
    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        import xlsxwriter

        # of a sheet that is broken off, too, nothing is to be left
        self._rows = TemporaryDirectory(prefix=f"{path.name}-", dir=path.parent)
        self._book = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                # a file may be called =A1, or begin like an address
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "tmpdir": self._rows.name,
            },
        )
        self._sheet = self._book.add_worksheet()
        self._row = 0

    def add(self, part: Table) -> None:
        if not self._row:
            headers = [ExcelReader.header_names(part)]
            if not self.layout.plain:
                headers += [
                    ExcelReader.header_types(part),
                    ExcelReader.header_flags(part),
                ]
            for header in headers:
                self._write(header)
        domain = part.domain
        weights = part.has_weights()
        variables = (*domain.class_vars, *domain.metas)
        # Orange itself writes numbers as texts
        formats = [
            None
            if variable.is_continuous and not variable.is_time
            else ExcelReader.formatter(variable)
            for variable in variables
        ]
        y = part.Y if part.Y.ndim == 2 else part.Y[:, None]
        for row in range(len(part)):
            values = chain(y[row], part.metas[row])
            self._write(
                [
                    *([float(part.W[row])] if weights else []),
                    *(
                        value if form is None else form(value)
                        for value, form in zip(values, formats, strict=True)
                    ),
                    *_dense(part.X[row]),
                ]
            )

    def _write(self, cells: list[Any]) -> None:
        for place, cell in enumerate(cells):
            if not isinstance(cell, str):
                if np.isfinite(cell):
                    self._sheet.write_number(self._row, place, cell)
            elif self._sheet.write_string(self._row, place, cell):
                raise SaveError(
                    f"A sheet of Excel cannot hold a text of {len(cell):,} letters,"
                    f" only {EXCEL_LETTERS:,}; choose another format"
                )
        self._row += 1

    def finish(self) -> None:
        import xlsxwriter.exceptions

        try:
            self._book.close()
        except xlsxwriter.exceptions.FileCreateError as ex:
            cause = ex.args[0]
            raise cause if isinstance(cause, OSError) else OSError(str(ex)) from ex

    def close(self) -> None:
        try:
            self._sheet.row_data_fh.close()
        finally:  # a full disk does not even let it be closed
            self._rows.cleanup()


def _dense(row: Any) -> Any:
    return row.toarray()[0] if hasattr(row, "toarray") else row


class PickleWriter(VectorWriter):
    takes_parts = False

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        path.touch()
        self._table: Table | None = None

    def add(self, part: Table) -> None:
        self._table = part if self._table is None else _joined(self._table, part)

    def finish(self) -> None:
        PickleReader.write_file(str(self.path), self._table)

    def close(self) -> None:
        self._table = None


def _joined(first: Table, second: Table) -> Table:
    second.domain = first.domain
    return Table.concatenate([first, second])
