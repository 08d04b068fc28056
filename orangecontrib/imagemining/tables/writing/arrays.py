"""Embedded tables for other programs than Orange: NumPy's .npz, and Parquet.

``.npz``, all of it readable with ``allow_pickle=False``:

``vectors``
    (n, size) float32.
``paths``, ``names``, ``categories``
    (n,) texts: path or address; the file's name without its ending; the class, "" if
    there is none.
``columns``
    (size,) texts: names of the vectors' columns in Orange.
``embedder``
    One text: the embedder as JSON.
``classes``, ``probabilities``
    (n, 5) texts and float32, only if asked for: what the images are taken for.

``.parquet``, a row an image: ``path``; the table's classes, features and metas under
their names (categories as dictionaries, what is missing as null) but for the column of
images, which ``path`` stands for; and ``vector``, a list of fixed length of float32. A
name that a column of the table has already gets a number. The file's metadata have the
embedder as JSON under ``orange-imagemining``.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from Orange.data import Table, Variable
from Orange.data.util import get_unique_names

from orangecontrib.imagemining.exceptions import SaveError
from orangecontrib.imagemining.images import is_url
from orangecontrib.imagemining.images.names import stem_of
from orangecontrib.imagemining.images.sources import split_source
from orangecontrib.imagemining.tables.columns import image_sources
from orangecontrib.imagemining.tables.writing.base import Layout, VectorWriter

__all__ = ["NpzWriter", "ParquetWriter", "need_pyarrow"]

_TEXTS_AT_ONCE = 4096
_COPIED_AT_ONCE = 2**20


def need_pyarrow() -> Any:
    """Return the package that writes Parquet.

    Raises
    ------
    SaveError
        If it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as ex:
        raise SaveError(
            f"Files of Parquet need the Python package pyarrow ({ex}); install it:"
            ' pip install "Orange3-ImageMining[parquet]"'
        ) from ex
    return pyarrow


class NpzWriter(VectorWriter):
    """Writes ``.npz``. The vectors lie beside it until it is known how many come."""

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        path.touch()
        self._raw_path = path.with_name(f"{path.name}.vectors")
        self._raw = self._raw_path.open("w+b")
        self._columns: list[str] = []
        self._texts: dict[str, list[str]] = {"paths": [], "names": [], "categories": []}
        self._classes: list[list[str]] = []
        self._probabilities: list[NDArray[np.float32]] = []

    def add(self, part: Table) -> None:
        size, n_classes = self.layout.size, self.layout.n_classes
        sources = image_sources(part, self.layout.column)
        self._columns = [each.name for each in part.domain.attributes[-size:]]
        self._texts["paths"] += [source or "" for source in sources]
        self._texts["names"] += _names(part, sources)
        self._texts["categories"] += _categories(part)
        self._raw.write(_vectors(part, size).tobytes())
        if n_classes:
            new = part.domain.metas[-n_classes:]
            values = part.metas[:, -n_classes:].astype(float)
            self._classes += [
                [v.values[int(x)] for v, x in zip(new[::2], row, strict=True)]
                for row in values[:, ::2]
            ]
            self._probabilities.append(values[:, 1::2].astype(np.float32))

    def finish(self) -> None:
        n = len(self._texts["paths"])
        # vectors hardly shrink, and take long to
        with zipfile.ZipFile(self.path, "w", zipfile.ZIP_STORED) as archive:
            with _member(archive, "vectors", "<f4", (n, self.layout.size)) as stream:
                self._raw.seek(0)
                shutil.copyfileobj(self._raw, stream, _COPIED_AT_ONCE)
            for name, texts in self._texts.items():
                _write_texts(archive, name, texts, (n,))
            _write_texts(archive, "columns", self._columns, (len(self._columns),))
            _write_texts(archive, "embedder", [_as_json(self.layout)], ())
            if self._probabilities:
                shares = np.concatenate(self._probabilities)
                flat = [name for row in self._classes for name in row]
                _write_texts(archive, "classes", flat, shares.shape)
                with _member(archive, "probabilities", "<f4", shares.shape) as stream:
                    stream.write(shares.tobytes())

    def close(self) -> None:
        self._raw.close()
        self._raw_path.unlink(missing_ok=True)


def _member(
    archive: zipfile.ZipFile, name: str, dtype: str, shape: tuple[int, ...]
) -> IO[bytes]:
    # without a fixed time the same vectors would give other files
    entry = zipfile.ZipInfo(f"{name}.npy")
    stream = archive.open(entry, "w", force_zip64=True)
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[no-untyped-call]
    return stream


def _write_texts(
    archive: zipfile.ZipFile, name: str, texts: list[str], shape: tuple[int, ...]
) -> None:
    dtype = f"<U{max(map(len, texts), default=0) or 1}"
    with _member(archive, name, dtype, shape) as stream:
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            stream.write(np.array(some, dtype).tobytes())


class ParquetWriter(VectorWriter):
    """Writes ``.parquet``, a group of rows for each part."""

    def __init__(self, path: Path, layout: Layout) -> None:
        super().__init__(path, layout)
        self._arrow = need_pyarrow()
        self._file = path.open("wb")
        self._writer: Any = None

    def add(self, part: Table) -> None:
        pa = self._arrow
        size = self.layout.size
        domain = part.domain
        others = [
            variable
            for variable in (
                *domain.class_vars,
                *domain.attributes[:-size],
                *domain.metas,
            )
            if variable.name != self.layout.column.name
        ]
        names = [variable.name for variable in others]
        path, vector = get_unique_names(names, ["path", "vector"], equal_numbers=False)
        vectors = pa.array(_vectors(part, size).reshape(-1))
        columns = [
            pa.array(image_sources(part, self.layout.column), pa.string()),
            *(self._column(part, variable) for variable in others),
            pa.FixedSizeListArray.from_arrays(vectors, size),
        ]
        names = [path, *names, vector]
        table = pa.table(dict(zip(names, columns, strict=True)))
        if self._writer is None:
            note = {"orange-imagemining": _as_json(self.layout)}
            self._writer = pa.parquet.ParquetWriter(
                self._file,
                table.schema.with_metadata(note),
                # the numbers of vectors hardly ever repeat
                use_dictionary=names[:-1],
            )
        self._writer.write_table(table.cast(self._writer.schema))

    def _column(self, part: Table, variable: Variable) -> Any:
        pa = self._arrow
        values = part.get_column(variable)
        if variable.is_string:
            texts = [None if value in ("", None) else str(value) for value in values]
            return pa.array(texts, pa.string())
        numbers = np.asarray(values, float)
        missing = np.isnan(numbers)
        if variable.is_discrete:
            places = pa.array(
                np.where(missing, 0, numbers).astype(np.int32), mask=missing
            )
            return pa.DictionaryArray.from_arrays(
                places, pa.array(variable.values, pa.string())
            )
        if variable.is_time and variable.have_date:
            micros = np.where(missing, 0, numbers * 1e6).round().astype(np.int64)
            return pa.array(micros, pa.int64(), mask=missing).cast(pa.timestamp("us"))
        return pa.array(numbers, mask=missing)

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._file.close()

    def close(self) -> None:
        self._file.close()


def _vectors(part: Table, size: int) -> NDArray[np.float32]:
    vectors = part.X[:, -size:]
    if hasattr(vectors, "toarray"):
        vectors = vectors.toarray()
    return np.ascontiguousarray(vectors, "<f4")


def _names(part: Table, sources: list[str | None]) -> list[str]:
    for variable in part.domain.metas:
        if variable.name == "image name" and variable.is_string:
            return [str(name) for name in part.get_column(variable)]
    names = []
    for source in sources:
        place = split_source(source or "")[0]
        if is_url(place):
            place = place.partition("?")[0]
        names.append(stem_of(place.replace("\\", "/").rpartition("/")[2]))
    return names


def _categories(part: Table) -> list[str]:
    variable = part.domain.class_var
    if variable is None or not variable.is_discrete:
        return [""] * len(part)
    return ["" if np.isnan(y) else variable.values[int(y)] for y in part.Y]


def _as_json(layout: Layout) -> str:
    return json.dumps({**asdict(layout.spec), "size": layout.size})
