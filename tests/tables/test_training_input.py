"""What of a table can be learned from, and what users are told of the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coloured import TOY, coloured_table, table_of
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)

from orangecontrib.imagemining.exceptions import (
    TableError,
    TrainingError,
    UnknownNameError,
    WeightsError,
)
from orangecontrib.imagemining.tables.labelled import labelled_images
from orangecontrib.imagemining.tables.training import train_on_table
from orangecontrib.imagemining.training.plan import Plan


def fails(table: Table, plan: Plan = TOY, error: type[Exception] = TableError) -> str:
    """Return the message, seeing to it that no image was read before."""

    def progress(fraction: float, status: str = "") -> None:
        raise AssertionError("work began")

    with pytest.raises(error) as info:
        train_on_table(table, plan, progress=progress)
    return str(info.value)


def with_class(table: Table, variables: Sequence[Any]) -> Table:
    return table.transform(Domain([], variables, table.domain.metas))


def test_no_rows(tmp_path: Path) -> None:
    assert "no rows" in fails(coloured_table(tmp_path)[:0])


def test_no_image_column(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    bare = table.transform(Domain([], table.domain.class_var, []))
    assert "no column of images" in fails(bare)


def test_no_class(tmp_path: Path) -> None:
    assert "no class" in fails(with_class(coloured_table(tmp_path), []))


def test_several_classes(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    other = DiscreteVariable("kind", ("x", "y"))
    message = fails(with_class(table, [table.domain.class_var, other]))
    assert "category, kind" in message


def test_class_that_is_a_number(tmp_path: Path) -> None:
    table = with_class(coloured_table(tmp_path), [ContinuousVariable("weight")])
    assert "weight is a number" in fails(table)


def test_one_class(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    only = table[table.Y == 1]
    assert "of one class, green" in fails(only)


def test_all_rows_without_class_or_image(tmp_path: Path) -> None:
    table = coloured_table(tmp_path).copy()
    with table.unlocked(table.Y):
        table.Y[:] = np.nan
    assert "both an image and a class" in fails(table)


def test_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no image column 'photo'"):
        train_on_table(coloured_table(tmp_path), TOY, column="photo")


def test_column_is_chosen(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    second = StringVariable("second")
    second.attributes = dict(table.domain["image"].attributes)
    wide = table.add_column(second, table.get_column("image"), to_metas=True)
    assert labelled_images(wide).column.name == "image"
    assert labelled_images(wide, "second").column is second


def test_images_too_small_for_the_network(tmp_path: Path) -> None:
    plan = Plan(network="toy", start="nothing", size=(6, 6))
    message = fails(coloured_table(tmp_path), plan, TrainingError)
    assert "6 × 6 pixels are too few" in message


def test_network_that_is_not_there(tmp_path: Path) -> None:
    plan = Plan(network="nonesuch", start="nothing")
    assert "nonesuch" in fails(coloured_table(tmp_path), plan, UnknownNameError)


def test_weights_that_are_not_here(tmp_path: Path) -> None:
    plan = Plan(network="vgg16", start="published")
    message = fails(coloured_table(tmp_path), plan, WeightsError)
    assert "not on this computer" in message


def test_given_network_that_is_not_given(tmp_path: Path) -> None:
    plan = Plan(network="toy", start="given")
    assert "none is given" in fails(coloured_table(tmp_path), plan, TrainingError)


def test_impossible_plan(tmp_path: Path) -> None:
    plan = Plan(network="toy", start="nothing", epochs=0)
    assert "epochs" in fails(coloured_table(tmp_path), plan, TrainingError)


def test_rows_left_out(tmp_path: Path) -> None:
    table = coloured_table(tmp_path).copy()
    (tmp_path / "blue" / "1.png").write_bytes(b"no image")
    with table.unlocked(table.Y, table.metas):
        table.Y[3] = np.nan
        table[9, "image"] = ""
    result = train_on_table(table, TOY)
    assert [row for row, _ in result.left_out] == [1, 3, 9]
    assert [why for _, why in result.left_out][1:] == [
        "It has no class",
        "No image is given in this row",
    ]
    assert result.notes[0] == "1 row without a class is left out"
    assert result.notes[1].startswith("1 image cannot be used and is left out: ")
    ready = result.prepared
    rows = sorted([*ready.training_rows, *ready.validation_rows])
    assert rows == [row for row in range(24) if row not in (1, 3, 9)]
    sources = dict(
        zip(
            [*ready.training_rows, *ready.validation_rows],
            [*ready.training, *ready.validation],
            strict=True,
        )
    )
    assert sources[0].endswith("blue/0.png")
    assert sources[23].endswith("red/7.png")


def test_class_with_one_image_is_learned_from(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    one = table[[row for row in range(24) if table.Y[row] != 2 or row == 20]]
    result = train_on_table(one, TOY)
    assert result.notes == [
        "There is but one image of red: it is learned from, and whether others of its"
        " kind are recognized is not known"
    ]
    assert 16 in result.prepared.training_rows
    assert result.network.classes == ("blue", "green", "red")


def test_classes_with_one_image_are_named_in_one_sentence(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    result = train_on_table(table[[*range(8), 8, 16]], TOY)
    assert result.notes == [
        "There is but one image of each of 2 classes (green, red): they are learned"
        " from, and whether others of their kind are recognized is not known"
    ]


def test_class_whose_images_cannot_be_read_is_none(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    for number in range(8):
        (tmp_path / "green" / f"{number}.png").write_bytes(b"no image")
    result = train_on_table(table, TOY)
    assert result.network.classes == ("blue", "red")
    # the class keeps its values, those that nothing is known of have no share
    assert result.model.domain.class_var is table.domain.class_var
    values, probabilities = result.model(table[:1], result.model.ValueProbs)
    assert probabilities.shape == (1, 3)
    assert probabilities[0, 1] == 0


def test_nothing_can_be_read(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(TableError, match="No image can be read"):
        train_on_table(table, TOY)


def test_classes_that_a_given_network_does_not_know(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    two = train_on_table(table[table.Y < 2], TOY).network
    plan = Plan(network="toy", start="given", size=(16, 16), epochs=1, validation=0)
    result = train_on_table(table, plan, start=two)
    assert result.notes == [
        f"{two.title} does not know red, so its classifier begins anew"
    ]
    assert result.network.classes == ("blue", "green", "red")
    again = train_on_table(table[table.Y < 2], plan, start=result.network)
    assert "knows more classes than the data have (red)" in again.notes[0]
    assert train_on_table(table[table.Y < 2], plan, start=two).notes == []


def test_small_images_are_told(tmp_path: Path) -> None:
    plan = Plan(network="toy", start="nothing", size=(64, 64), epochs=1)
    result = train_on_table(coloured_table(tmp_path), plan)
    assert result.notes == [
        "Most images have 24 × 24 pixels and are enlarged to 64 × 64 for the network; a"
        " smaller size trains faster"
    ]


def test_validation_table(tmp_path: Path) -> None:
    table = coloured_table(tmp_path / "train")
    others = coloured_table(
        tmp_path / "more", {"yellow": (200, 200, 0), "red": (200, 0, 0)}
    )
    told = []
    result = train_on_table(table, TOY, validation=others, prepared=told.append)
    assert told == [result.prepared]
    ready = result.prepared
    assert ready.training_rows == list(range(24))
    assert ready.validation_rows == list(range(8))  # red comes first
    assert all("more" in source for source in ready.validation)
    assert result.notes == [
        "Validation: Images of classes not learned are left out: yellow"
    ]
    confusion = result.history.epochs[-1].confusion
    assert confusion is not None
    assert confusion.sum(axis=1).tolist() == [0, 0, 8]


def test_validation_table_without_class(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    with pytest.raises(TableError, match="no class"):
        train_on_table(table, TOY, validation=with_class(table, []))


def test_what_the_column_says_is_kept(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    table.domain["image"].attributes["rendering"] = "channels=grey"
    result = train_on_table(table, TOY)
    assert result.network.card.rendering == "channels=grey"
    assert all(s.endswith("#channels=grey") for s in result.prepared.training)


@pytest.mark.parametrize("learns", ["all", "head"])
def test_cancelling(tmp_path: Path, learns: str) -> None:
    class Enough(Exception):
        pass

    def progress(fraction: float, status: str = "") -> None:
        if fraction > 0.5:
            raise Enough

    table = coloured_table(tmp_path)
    plan: Callable[..., Plan] = Plan
    if learns == "head":
        chosen = plan(learns="head")
    else:
        chosen = TOY
    with pytest.raises(Enough):
        train_on_table(table, chosen, progress=progress)


def test_tables_without_a_name(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    assert train_on_table(table, TOY).network.title == "toy untitled"
