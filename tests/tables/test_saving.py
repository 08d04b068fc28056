from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
    TimeVariable,
)

from orangecontrib.imagemining.images.saving.plan import ImageToSave, plan_saving
from orangecontrib.imagemining.images.saving.write import SavedImage, save_images
from orangecontrib.imagemining.tables.saving import (
    category_columns,
    count_categories,
    images_to_save,
    name_columns,
    not_saved,
)


@pytest.fixture
def table() -> Table:
    image = StringVariable("image")
    image.attributes = {"type": "image", "origin": "/cells"}
    domain = Domain(
        [ContinuousVariable("area"), DiscreteVariable("stain", ("red", "blue"))],
        DiscreteVariable("type", ("a", "b")),
        [
            image,
            StringVariable("note"),
            ContinuousVariable("number", number_of_decimals=0),
            TimeVariable("taken", have_date=1),
        ],
    )
    nan = np.nan
    return Table.from_numpy(
        domain,
        np.array([[1.5, 0], [2, 1], [3, nan]]),
        np.array([0, nan, 1.0]),
        np.array(
            [
                ["x/1.png", "first", 7, 0],
                ["x/2.png", "", nan, nan],
                ["", "third", 12, 86400],
            ],
            object,
        ),
    )


def names(table: Table, column: str) -> list[str]:
    listed = images_to_save(table, table.domain["image"], table.domain[column])
    return [image.name for image in listed]


def test_columns_that_are_offered(table: Table) -> None:
    assert [v.name for v in name_columns(table.domain)] == [
        "image",
        "note",
        "number",
        "taken",
        "type",
        "stain",
    ]
    assert [v.name for v in category_columns(table.domain)] == ["type", "note", "stain"]


def test_images_alone(table: Table) -> None:
    assert images_to_save(table, table.domain["image"]) == [
        ImageToSave("/cells/x/1.png", "", None),
        ImageToSave("/cells/x/2.png", "", None),
        ImageToSave(None, "", None),
    ]


def test_names_of_each_kind(table: Table) -> None:
    assert names(table, "note") == ["first", "", "third"]
    assert names(table, "number") == ["7", "", "12"]
    assert names(table, "type") == ["a", "", "b"]
    assert names(table, "image") == ["x/1.png", "x/2.png", ""]
    assert names(table, "taken") == ["1970-01-01", "", "1970-01-02"]


def test_missing_texts_as_files_write_them(table: Table) -> None:
    with table.unlocked(table.metas):
        table.metas[:, 1] = ["?", " . ", np.nan]
    assert names(table, "note") == ["", "", ""]


def test_categories(table: Table) -> None:
    for column, expected in (
        ("type", ["a", "", "b"]),
        ("stain", ["red", "blue", ""]),
        ("note", ["first", "", "third"]),
    ):
        listed = images_to_save(
            table, table.domain["image"], None, table.domain[column]
        )
        assert [image.category for image in listed] == expected
        assert count_categories(table, table.domain[column]) == 3
    assert count_categories(table[:1], table.domain["type"]) == 1
    assert count_categories(table[:0], table.domain["type"]) == 0


def test_rows_that_were_not_saved(table: Table) -> None:
    outcomes = [
        SavedImage("failed", reason="broken"),
        SavedImage("saved", "2.png"),
        SavedImage("skipped", reason="there already"),
    ]
    rest = not_saved(table, outcomes)
    assert list(rest.ids) == [table.ids[0], table.ids[2]]
    assert [str(row["reason"]) for row in rest] == ["broken", "there already"]
    assert rest.domain.class_var is table.domain.class_var
    assert not_saved(table, [SavedImage("saved", "a.png")] * 3) is None
    assert not_saved(table[:0], []) is None


def test_from_table_to_files_and_a_list_that_orange_opens(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    for seed, name in enumerate(("ä.png", "b.png")):
        picture(seed).save(source / name)
    image = StringVariable("picture")
    image.attributes = {"type": "image", "origin": str(source)}
    domain = Domain([], DiscreteVariable("kind", ("k1", "k2")), [image])
    table = Table.from_numpy(
        domain,
        np.empty((3, 0)),
        np.array([1.0, 0, np.nan]),
        np.array([["ä.png"], ["b.png"], ["gone.png"]], object),
    )
    listed = images_to_save(table, image, None, domain.class_var)
    result = save_images(plan_saving(listed, out))
    assert (out / "k2" / "ä.png").read_bytes() == (source / "ä.png").read_bytes()
    assert (out / "k1" / "b.png").read_bytes() == (source / "b.png").read_bytes()
    assert len(not_saved(table, result.images)) == 1

    manifest = Table.from_file(str(out / "manifest.csv"))
    columns = [variable.name for variable in manifest.domain.variables]
    columns += [variable.name for variable in manifest.domain.metas]
    assert "file" in columns
    assert [str(row["file"]) for row in manifest][:2] == ["k2/ä.png", "k1/b.png"]
    assert [float(row["width"]) for row in manifest][:2] == [40, 40]
