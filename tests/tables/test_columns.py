from __future__ import annotations

import numpy as np
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)

from orangecontrib.imagemining.tables import (
    image_columns,
    image_sources,
    possible_image_columns,
)


def image_variable(name: str, origin: str = "") -> StringVariable:
    variable = StringVariable(name)
    variable.attributes = {"type": "image"}
    if origin:
        variable.attributes["origin"] = origin
    return variable


def test_columns_marked_as_images() -> None:
    number = ContinuousVariable("number")
    number.attributes = {"type": "image"}
    kind = DiscreteVariable("kind", ("a.png", "b.png"))
    kind.attributes = {"type": "image"}
    text = image_variable("text")
    domain = Domain([number, kind], None, [StringVariable("other"), text])
    assert image_columns(domain) == [text, kind]


def test_column_that_was_chosen_though_not_marked() -> None:
    text, number = StringVariable("other"), ContinuousVariable("number")
    marked = image_variable("text")
    domain = Domain([number], None, [text, marked])
    assert image_columns(domain, "other") == [marked, text]
    assert image_columns(domain, "text") == [marked]
    for impossible in ("number", "nothing"):
        assert image_columns(domain, impossible) == [marked]


def test_columns_that_may_hold_images() -> None:
    names = [StringVariable(name) for name in "abc"]
    names[1].attributes = {"type": "image"}
    number = ContinuousVariable("number")
    kind = DiscreteVariable("kind", ("x",))
    domain = Domain([kind], None, [number, *names, DiscreteVariable("d")])
    columns = possible_image_columns(domain)
    assert [column.name for column in columns] == ["b", "a", "c", "d"]


def test_sources_are_below_the_origin() -> None:
    column = image_variable("image", "/data")
    table = Table.from_list(
        Domain([], None, [column]), [["a.png"], ["/b.png"], ["http://h/c.png"], [""]]
    )
    assert image_sources(table, column) == [
        "/data/a.png",
        "/b.png",
        "http://h/c.png",
        None,
    ]


def test_origin_is_that_of_the_table_at_hand() -> None:
    here, there = image_variable("image", "/here"), image_variable("image", "/there")
    table = Table.from_list(Domain([], None, [there]), [["a.png"]])
    assert image_sources(table, here) == ["/there/a.png"]


def test_categorical_column() -> None:
    column = DiscreteVariable("image", ("a.png", "b.png"))
    column.attributes = {"type": "image", "origin": "/data"}
    table = Table.from_numpy(Domain([column]), np.array([[1.0], [np.nan], [0.0]]))
    assert image_sources(table, column) == ["/data/b.png", None, "/data/a.png"]
