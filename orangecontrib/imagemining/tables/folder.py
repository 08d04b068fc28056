"""A folder of images as a table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from Orange.data import DiscreteVariable, Domain, StringVariable, Table

from orangecontrib.imagemining.exceptions import NoImagesError, UnknownNameError
from orangecontrib.imagemining.images import (
    CategoryPattern,
    FileFilter,
    FindResult,
    FolderScan,
    FoundImage,
    Measure,
    Measures,
    natural_key,
)
from orangecontrib.imagemining.images.names import stem_of
from orangecontrib.imagemining.images.sources import escaped, split_source
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.columns import RENDERING
from orangecontrib.imagemining.tables.contents import Found, look
from orangecontrib.imagemining.tables.measures import measure_columns, measure_values
from orangecontrib.imagemining.tables.planes import Rows, list_rows
from orangecontrib.imagemining.tables.reading import Reading

__all__ = [
    "CategorySource",
    "Changes",
    "FolderMemory",
    "FolderOptions",
    "FolderTable",
    "category_reader",
    "table_from_folder",
]

CategorySource = Literal["folder", "path", "pattern", "none"]

_NAMED = 3  # files that are named, of all that changed


@dataclass(frozen=True)
class FolderOptions:
    """Which images of a folder, and what to note of them.

    Attributes
    ----------
    wanted : which files.
    category_from : "folder" for the first folder below the one listed, "path" for all
        folders down to the image, "pattern" for a part of its name, "none".
    category_pattern : for "pattern", see `CategoryPattern`.
    per_category : how many of each category, drawn at random; 0 for all.
    camera_notes : with columns for what the camera noted (EXIF).
    reading : what becomes a row, and how the images are read.
    """

    wanted: FileFilter = field(default_factory=FileFilter)
    category_from: CategorySource = "folder"
    category_pattern: str = ""
    per_category: int = 0
    camera_notes: bool = False
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True)
class Changes:
    """What is different in a folder since it was listed the last time.

    Attributes
    ----------
    added, removed, changed : paths of the images, in natural order.
    """

    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    changed: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def describe(self) -> str:
        """Say how many, and the first few of them."""
        parts = []
        for name in ("added", "removed", "changed"):
            paths = getattr(self, name)
            if paths:
                names = ", ".join(paths[:_NAMED]) + ", …" * (len(paths) > _NAMED)
                parts.append(f"{len(paths):,} {name} ({names})")
        return ", ".join(parts)


class FolderMemory:
    """What is known of a folder, so that it need not be looked up again.

    Other options then cost no look at the disk. Not to be used by two threads at once.
    """

    def __init__(self) -> None:
        self._root: str | None = None
        self._scan = FolderScan("")
        self.measures = Measures()
        self._listed: tuple[FileFilter, frozenset[str]] | None = None

    def renew(self) -> None:
        """List the folder again the next time, and look which files changed."""
        if self._root is not None:
            self._scan = FolderScan(self._root)
        self.measures.renew()

    def find(self, root: str, wanted: FileFilter, progress: Progress) -> FindResult:
        """Find images; what is known of another folder is forgotten."""
        if root != self._root:
            self._root = root
            self._scan = FolderScan(root)
            self.measures = Measures(root)
            self._listed = None
        return self._scan.find(wanted, progress)

    def changes(self, found: FindResult, wanted: FileFilter) -> Changes | None:
        """Compare with the last time; None if other files were wanted then."""
        paths = frozenset(found.paths)
        listed, self._listed = self._listed, (wanted, paths)
        if listed is None or listed[0] != wanted:
            return None
        return Changes(
            *(
                sorted(group, key=natural_key)
                for group in (
                    paths - listed[1],
                    listed[1] - paths,
                    {split_source(p)[0] for p in self.measures.changed} & paths,
                )
            )
        )


@dataclass
class FolderTable:
    """A table of a folder's images.

    Attributes
    ----------
    table : one row an image; class ``category`` if there are any; metas
        ``image name``, ``image``, ``size`` (bytes), ``width`` and ``height`` (pixels),
        those of `PLANE_COLUMNS` that say something, and what the camera noted if that
        was asked for.
    found : what lies in the folder; its images are all that were wanted, also
        those that were not drawn into the table.
    n_without_category : how many of them have no category.
    changes : since the last time; None if that is not known.
    n_files : whose images are in the table.
    inside : what these hold.
    reasons : why slides did not become tiles, and how many for each.
    """

    table: Table
    found: FindResult
    n_without_category: int = 0
    changes: Changes | None = None
    n_files: int = 0
    inside: Found = field(default_factory=Found)
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_categories(self) -> int:
        """Number of categories, 0 if there are none."""
        variable = self.table.domain.class_var
        return len(variable.values) if variable else 0


def category_reader(source: str, pattern: str = "") -> Callable[[str], str]:
    """Return what gives an image's category for its path, "" if it has none.

    Raises
    ------
    PatternError
        If it is not clear what `pattern` means.
    UnknownNameError
        If there is no such source.
    """
    if source not in ("folder", "path", "pattern", "none"):
        raise UnknownNameError(f"Categories cannot be taken from '{source}'")
    if source == "pattern":
        return CategoryPattern(pattern).category
    if source == "path":
        return lambda path: path.rpartition("/")[0]
    if source == "none":
        return lambda path: ""
    return lambda path: FoundImage(path).category


def table_from_folder(
    folder: str | os.PathLike[str],
    progress: Progress = no_progress,
    options: FolderOptions | None = None,
    memory: FolderMemory | None = None,
) -> FolderTable:
    """List the images below `folder`.

    Images that cannot be read are listed too, with width and height missing: whoever
    opens them says why.

    Parameters
    ----------
    folder
        Where to look.
    progress
        Told how many are found, while it is not known how many there are; then the
        fraction that is measured.
    options
        Which images, and their categories; by default all, by the folders at the top.
    memory
        Keeps what is found out, for the next time.

    Raises
    ------
    FolderNotFoundError
        If the folder is not there.
    FolderError
        If it may not be listed, or has no such images.
    PatternError
        If it is not clear what the pattern of the categories means.
    UnknownNameError
        If categories cannot be taken from where `options` says.

    Examples
    --------
    >>> from pathlib import Path
    >>> import orangecontrib.imagemining
    >>> from orangecontrib.imagemining.tables import table_from_folder
    >>> samples = Path(orangecontrib.imagemining.__file__).parent / "samples"
    >>> table = table_from_folder(samples / "synthetic-yeast").table
    >>> len(table), table.domain.class_var.values
    (120, ('cytoplasm', 'endosome', 'ER'))
    """
    options = options or FolderOptions()
    memory = memory or FolderMemory()
    root = os.path.abspath(folder)
    category_of = category_reader(options.category_from, options.category_pattern)
    found = memory.find(root, options.wanted, progress)
    if not found.paths:
        raise NoImagesError(_explain_none(root, found), found.types)
    paths = found.paths
    categories = [category_of(path) for path in paths]
    if options.category_from == "pattern" and not any(categories):
        n = len(paths)
        raise NoImagesError(
            f"The pattern {options.category_pattern} fits none of the {n:,} names,"
            f" such as {paths[0]}",
            found.types,
        )
    n_without = categories.count("")
    if options.per_category > 0:
        drawn = draw(paths, categories, options.per_category)
        paths = [paths[i] for i in drawn]
        categories = [categories[i] for i in drawn]

    def part(start: float, end: float) -> Progress:
        return lambda done, status="": progress(start + (end - start) * done, status)

    cells = [escaped(path) for path in paths]
    measures = memory.measures.measure(cells, options.camera_notes, part(0, 0.8))
    series, inside = look(memory.measures, cells)
    rows = list_rows(
        cells,
        series,
        options.reading,
        root,
        part(0.8, 0.95),
    )
    progress(0.95, "Making the table…")
    rendering = str(options.reading.rendering(inside.channels))
    table = _make_table(root, paths, categories, measures, rows, rendering, options)
    progress(1)
    # last, so that nothing is compared with a listing that was broken off
    changes = memory.changes(found, options.wanted)
    return FolderTable(
        table, found, n_without, changes, len(paths), inside, rows.reasons
    )


def draw(paths: Sequence[str], categories: Sequence[str], n: int) -> list[int]:
    """Draw at most `n` images of each category at random; those without are one more.

    Which ones depends on their paths alone: the same are drawn the next time, on
    another computer, and when other images are added or left out.

    Returns
    -------
    Their positions, in order.
    """
    lots: dict[str, list[tuple[bytes, int]]] = {}
    for i, (path, category) in enumerate(zip(paths, categories, strict=True)):
        name = path.encode("utf8", "surrogateescape")
        lot = hashlib.blake2b(name, digest_size=8).digest()
        lots.setdefault(category, []).append((lot, i))
    return sorted(i for group in lots.values() for _, i in sorted(group)[:n])


def _explain_none(root: str, found: FindResult) -> str:
    left_out = found.describe_left_out()
    text = f"There are no images in {root}"
    if left_out:
        text = f"No images are left in {root}; left out: {left_out}"
    if found.n_others:
        text += f"; it has {found.describe_others()}"
    if found.unreadable:
        text += (
            f"; {len(found.unreadable)} of its sub-folders may not be read, the first"
            f" is {found.unreadable[0]}"
        )
    return text


def _make_table(
    root: str,
    paths: Sequence[str],
    categories: Sequence[str],
    measures: Sequence[Measure],
    rows: Rows,
    rendering: str,
    options: FolderOptions,
) -> Table:
    names = sorted({name for name in categories if name}, key=natural_key)
    image = StringVariable("image")
    image.attributes = {"type": "image", "origin": root}
    if rendering:
        image.attributes[RENDERING] = rendering
    columns = measure_columns(options.camera_notes)
    domain = Domain(
        [],
        [DiscreteVariable("category", names)] if names else [],
        [StringVariable("image name"), image, *columns, *rows.columns],
    )
    stems = [stem_of(path.rpartition("/")[2]) for path in paths]
    metas = np.empty((len(rows.cells), len(domain.metas)), object)
    metas[:, 0] = [
        stems[file] + name for file, name in zip(rows.files, rows.names, strict=True)
    ]
    metas[:, 1] = rows.cells
    n = 2 + len(columns)
    metas[:, 2:n] = measure_values(measures, options.camera_notes)[rows.files]
    rows.put_sizes(metas[:, 3:5])
    metas[:, n:] = rows.values
    classes = _classes(categories, names)[rows.files] if names else None
    table = Table.from_numpy(domain, np.empty((len(metas), 0)), classes, metas)
    table.name = os.path.basename(root) or root
    return table


def _classes(categories: Sequence[str], names: Sequence[str]) -> NDArray[np.float64]:
    index = {name: float(number) for number, name in enumerate(names)}
    return np.array([[index.get(name, np.nan)] for name in categories], float)
