from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
    Variable,
)

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.images import Measures
from orangecontrib.imagemining.tables import image_columns, image_sources
from orangecontrib.imagemining.tables.listing import (
    guess_path_column,
    path_columns,
    table_with_images,
)


def texts(*columns: list[Any], names: str = "abcdef", **more: Any) -> Table:
    """Return a table of text columns, with a feature and a class."""
    n = len(columns[0])
    domain = Domain(
        [ContinuousVariable("age")],
        DiscreteVariable("kind", ("x", "y")),
        [StringVariable(name) for name, _ in zip(names, columns, strict=False)],
    )
    return Table.from_numpy(
        domain,
        np.arange(n, dtype=float)[:, None],
        np.arange(n) % 2.0,
        np.array(columns, object).T,
        **more,
    )


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    return make_folder({"cats": 2, ".": 1})


def test_rows_become_images(folder: Path) -> None:
    data = texts(["cats/0.png", "0.png"], ["one", "two"])
    data.name = "cells"
    data.attributes = {"note": 1}
    result = table_with_images(data, data.domain["a"], str(folder))
    table = result.table
    assert table.domain.attributes == data.domain.attributes
    assert table.domain.class_vars == data.domain.class_vars
    assert [v.name for v in table.domain.metas] == ["a", "b", "size", "width", "height"]
    assert table.X.tolist() == [[0], [1]] and table.Y.tolist() == [0, 1]
    assert table.ids.tolist() == data.ids.tolist()
    assert (table.name, table.attributes) == ("cells", {"note": 1})
    size = (folder / "cats" / "0.png").stat().st_size
    assert table.metas[0].tolist() == ["cats/0.png", "one", size, 40, 30]
    assert image_columns(table.domain) == [result.column]
    assert result.column.attributes == {"type": "image", "origin": str(folder)}
    assert image_sources(table, result.column) == [
        str(folder / "cats" / "0.png"),
        str(folder / "0.png"),
    ]
    # the input is as it was
    assert data.domain["a"].attributes == {} and len(data.domain.metas) == 2


def test_spellings_lead_to_the_image(folder: Path) -> None:
    image = folder / "cats" / "0.png"
    spellings = [
        " cats/0.png ",
        '"cats/0.png"',
        "cats\\0.png",
        ".\\cats\\0.png",
        str(image),
        image.as_uri(),
    ]
    data = texts(spellings)
    result = table_with_images(data, data.domain["a"], str(folder))
    assert result.not_there == []
    for source in image_sources(result.table, result.column):
        assert source is not None and os.path.samefile(source, image)
    assert result.table.metas[:, 2].tolist() == [40] * 6


def test_names_that_are_spelt_oddly_are_left_alone(folder: Path) -> None:
    odd = [" 0.png", "cats\\0.png", "'0.png'"]
    for name in odd:
        (folder / "cats" / "0.png").rename(folder / name)
        data = texts([name])
        result = table_with_images(data, data.domain["a"], str(folder))
        assert result.table.metas[0, 0] == name
        assert result.not_there == []
        (folder / name).rename(folder / "cats" / "0.png")


def test_missing_rows_stay_and_are_told(folder: Path) -> None:
    (folder / "words.png").write_text("words")
    data = texts(
        ["0.png", "gone.png", "", "?", None, "http://127.0.0.1:1/a.png", "words.png"]
    )
    result = table_with_images(data, data.domain["a"], str(folder), camera_notes=True)
    assert len(result.table) == 7
    assert result.not_there == ["gone.png"]
    assert (result.n_empty, result.n_addresses, result.n_unreadable) == (3, 1, 1)
    assert result.n_relative == 0
    widths = result.table.get_column("width")
    assert widths[0] == 40 and np.isnan(widths[1:]).all()
    sizes = result.table.get_column("size")
    assert sizes[6] == 5 and np.isnan(sizes[1:6]).all()
    assert [v.name for v in result.table.domain.metas[-5:]] == [
        "date taken",
        "camera",
        "latitude",
        "longitude",
        "orientation",
    ]
    assert image_sources(result.table, result.column)[1:6] == [
        str(folder / "gone.png"),
        None,
        None,
        None,
        "http://127.0.0.1:1/a.png",
    ]


def test_relative_paths_without_a_base_are_not_looked_for_anywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    data = texts(["0.png", str(folder / "0.png")])
    result = table_with_images(data, data.domain["a"])
    assert result.not_there == ["0.png"]
    assert result.n_relative == 1
    assert "origin" not in result.column.attributes


def test_base_that_is_an_address() -> None:
    data = texts(["a.png", "b c.png"])
    result = table_with_images(data, data.domain["a"], "http://127.0.0.1:1/cells")
    assert result.n_addresses == 2
    assert image_sources(result.table, result.column) == [
        "http://127.0.0.1:1/cells/a.png",
        "http://127.0.0.1:1/cells/b%20c.png",
    ]


@pytest.mark.parametrize("place", ["attributes", "metas", "class_vars"])
def test_categorical_column(folder: Path, place: str) -> None:
    path = DiscreteVariable("path", ("cats/0.png", "0.png"))
    columns: dict[str, list[Variable]] = {"attributes": [], "class_vars": []}
    columns["metas"] = [ContinuousVariable("m")]
    columns[place] = [*columns[place], path]
    domain = Domain(columns["attributes"], columns["class_vars"], columns["metas"])
    data = Table.from_list(
        domain,
        [[v] if place != "metas" else [1, v] for v in (1, 0, None)]
        if place == "metas"
        else [[v, 1] for v in (1, 0, None)],
    )
    result = table_with_images(data, data.domain["path"], str(folder))
    assert result.column.is_string and result.column in result.table.domain.metas
    assert result.table.get_column(result.column).tolist() == [
        "0.png",
        "cats/0.png",
        "",
    ]
    assert result.n_empty == 1
    # it is no feature any more; a class stays one
    assert result.table.domain.attributes == ()
    assert (result.table.domain.class_var is path) == (place == "class_vars")
    assert result.table.get_column("m").tolist() == [1, 1, 1]


def test_names_that_are_taken(folder: Path) -> None:
    data = texts(["0.png"], ["big"], names=["a", "size"])
    table = table_with_images(data, data.domain["a"], str(folder)).table
    names = [v.name for v in table.domain.metas]
    assert names == ["a", "size", "size (1)", "width", "height"]
    again = table_with_images(table, table.domain["a"], str(folder)).table
    assert len({v.name for v in again.domain.metas}) == 8


def test_no_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Table, "LOCKING", True)
    data = texts(["0.png"])[:0]
    result = table_with_images(data, data.domain["a"], str(folder), camera_notes=True)
    assert len(result.table) == 0 and len(result.table.domain.metas) == 9


@pytest.mark.parametrize(
    ("columns", "guess"),
    [
        ([["x.png", "y.png"], ["one", "two"]], "a"),
        ([["one", "two"], ["c:\\x.png", "y.JPG "]], "b"),
        # with folders rather than without
        ([["x.png", "y.png"], ["d/x.png", "d/y.png"]], "b"),
        ([["http://a.b/x.png?1", "?"], ["see x.png for", ""]], "a"),
        ([["one", "two"], ["x.txt", "y.png"]], None),
        ([["", "?"], [None, ""]], None),
    ],
)
def test_guess(columns: list[list[Any]], guess: str | None) -> None:
    column = guess_path_column(texts(*columns))
    assert (column and column.name) == guess


def test_guess_of_categories_and_of_images() -> None:
    path = DiscreteVariable("path", ("a.png", "b.png"))
    note = StringVariable("note")
    data = Table.from_list(Domain([path], None, [note]), [[0, "one"], [1, "two"]])
    assert [c.name for c in path_columns(data.domain)] == ["note", "path"]
    assert guess_path_column(data) is path
    note.attributes["type"] = "image"
    assert guess_path_column(data) is note


def test_can_be_cancelled_and_goes_on(folder: Path) -> None:
    data = texts(["0.png", "cats/0.png"])
    measures = Measures()

    def stop(fraction: float, status: str = "") -> None:
        if fraction > 0:
            raise TaskCancelled

    column, base = data.domain["a"], str(folder)
    with pytest.raises(TaskCancelled):
        table_with_images(data, column, base, progress=stop, measures=measures)
    told: list[float] = []
    table_with_images(
        data, column, base, False, lambda f, s="": told.append(f), measures
    )
    assert told == sorted(told) and told[-1] == 1
