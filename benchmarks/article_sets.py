"""The images: folders, the samples, and the article's own sets by Orange's Datasets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from Orange.data import DiscreteVariable, Domain, Table
from Orange.misc.environ import data_dir

from orangecontrib.imagemining.exceptions import ImageError, TableError
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.report.sample import draw_rows
from orangecontrib.imagemining.tables import (
    image_columns,
    image_sources,
    table_from_folder,
)
from orangecontrib.imagemining.tables.opening import open_table

__all__ = ["ARTICLE_SETS", "ImageSet", "from_folder", "from_orange", "prepared"]

#: The article's sets: what they are, and words that tell them among Orange's.
ARTICLE_SETS = {
    "bone healing (mouse)": ("bone",),
    "oocytes (mouse)": ("oocyte",),
    "protein localisation (yeast)": ("yeast", "locali"),
    "development of Dictyostelium": ("dicty",),
}


@dataclass
class ImageSet:
    """Images with categories, ready to be analysed.

    Attributes
    ----------
    name : of the set.
    table : image column ``image`` among the metas, and a class.
    too_small : categories left out for having too few images -> how many they have.
    repeated : images left out since the very same file is there already.
    unreadable : images that cannot be read, or have no category.
    found : images before any was left out.
    """

    name: str
    table: Table
    too_small: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    unreadable: int = 0
    found: int = 0


def from_folder(folder: Path) -> Table:
    """Return the images of a folder, its sub-folders the categories."""
    return table_from_folder(str(folder)).table


def prepared(name: str, table: Table, most: int, least: int) -> ImageSet:
    """Return a set without what would spoil the comparison.

    Exact copies would be learned from and tested on in one; categories that cannot be
    in each fold cannot be judged.

    Parameters
    ----------
    name
        Of the set.
    table
        With one image column and a categorical class.
    most
        Images at most; more are drawn at random, evenly over the categories.
    least
        Images that a category needs.

    Raises
    ------
    ValueError
        If fewer than two categories are left.
    """
    column = image_columns(table.domain)[0]
    kept, unreadable, repeated = [], 0, 0
    seen: set[bytes] = set()
    with ImageReader() as reader:
        for row, source in enumerate(image_sources(table, column)):
            if source is None or np.isnan(table.Y[row]):
                unreadable += 1
                continue
            try:
                digest = hashlib.blake2b(reader.content(source)).digest()
                reader.read(source)
            except ImageError:
                unreadable += 1
                continue
            if digest in seen:
                repeated += 1
                continue
            seen.add(digest)
            kept.append(row)
    found, table = len(table), table[kept]
    variable = table.domain.class_var
    labels = table.Y.astype(int)
    sizes = np.bincount(labels, minlength=len(variable.values))
    names = [v for v, size in zip(variable.values, sizes, strict=True) if size >= least]
    if len(names) < 2:
        raise ValueError(f"{name} has fewer than two categories of {least} images")
    too_small = {
        v: int(size)
        for v, size in zip(variable.values, sizes, strict=True)
        if 0 < size < least
    }
    table = table[sizes[labels] >= least]
    # the column is called the same in all sets
    image = column.copy(name="image")
    image.attributes = dict(table.domain[column].attributes)
    category = DiscreteVariable("category", names)
    domain = Domain([], category, [image])
    values = [names.index(variable.values[int(y)]) for y in table.Y]
    paths = np.array([[str(row[column])] for row in table], object)
    table = Table.from_numpy(
        domain, np.zeros((len(table), 0)), np.array(values, float), paths
    )
    return ImageSet(
        name, table[draw_rows(table, most)], too_small, repeated, unreadable, found
    )


def from_orange(
    index: str = "",
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> tuple[dict[str, Table], dict[str, Any]]:
    """Fetch the article's sets from the list that Orange's widget Datasets shows.

    Parameters
    ----------
    index
        Address of the list; by default the widget's own.
    folder
        Where sets are kept; by default the widget's own folder, so that what one of
        the two has fetched is there for the other.
    say
        Told what is found.

    Returns
    -------
    Name -> table, of the sets that are there; and what to write down about them:
    ``asked``, ``listed`` (how many sets the list has), ``sets`` (the article's name ->
    the list's title, or why there is none) and ``trouble`` ("" if the list was had).
    """
    # it brings Qt along, which nothing else here needs
    from Orange.widgets.data import owdatasets
    from requests.exceptions import RequestException

    index = index or owdatasets.OWDataSets.INDEX_URL
    keep = folder or Path(data_dir()) / owdatasets.OWDataSets.DATASET_DIR
    about: dict[str, Any] = {"asked": index, "listed": 0, "sets": {}, "trouble": ""}
    try:
        listed = owdatasets.list_remote(index)
    except (RequestException, ValueError) as ex:
        about["trouble"] = f"no list of data sets could be had ({type(ex).__name__})"
        say(f"{index}: {about['trouble']}; going on without")
        return {}, about
    about["listed"] = len(listed)
    tables: dict[str, Table] = {}
    for name, words in ARTICLE_SETS.items():
        about["sets"][name] = "not in the list"
        for path, info in sorted(listed.items()):
            told = " ".join([*path, *map(str, info.values())]).lower()
            if not all(word in told for word in (*words, "image")):
                continue
            title = str(info.get("title") or "/".join(path))
            try:
                place = owdatasets.ensure_local(index, path, os.fspath(keep))
                table = open_table(Path(place))
            except (RequestException, OSError, TableError) as ex:
                about["sets"][name] = f"{title}: could not be fetched"
                say(f"{title}: {ex}")
                continue
            category = table.domain.class_var
            if (
                not image_columns(table.domain)
                or category is None
                or not category.is_discrete
            ):
                about["sets"][name] = f"{title}: no images with categories"
                continue
            say(f"{title}: {len(table)} images")
            about["sets"][name] = title
            tables[name] = table
            break
    return tables, about
