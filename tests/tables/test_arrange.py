from __future__ import annotations

import numpy as np
import pytest
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.tables.arrange import (
    ArrangeSpec,
    Group,
    arrange,
    file_name,
    numbered_rows,
    text_of,
)

IMAGE = StringVariable("image")
DOMAIN = Domain(
    [ContinuousVariable("size")],
    DiscreteVariable("kind", ["cat", "Dog"]),
    [IMAGE, StringVariable("note")],
)
NAN = np.nan
TABLE = Table.from_list(
    DOMAIN,
    [
        [3.0, "Dog", "p/cell10.png", "Ärger"],
        [NAN, "cat", "p/cell2.png", ""],
        [1.0, NAN, "p/cell1.png", "blue sky"],
        [3.0, "cat", "q/Cell3.png", "sky"],
    ],
)


def order(**choice: object) -> list[int]:
    return arrange(TABLE, IMAGE, ArrangeSpec(**choice)).order.tolist()


def test_order_of_the_table() -> None:
    arrangement = arrange(TABLE, IMAGE, ArrangeSpec())
    assert arrangement.order.tolist() == [0, 1, 2, 3] and arrangement.groups == []


@pytest.mark.parametrize(
    "sort, descending, expected",
    [
        ("size", False, [2, 0, 3, 1]),
        ("size", True, [0, 3, 2, 1]),
        ("kind", False, [1, 3, 0, 2]),
        ("image", False, [2, 1, 0, 3]),
        ("image", True, [3, 0, 1, 2]),
        ("note", False, [2, 3, 0, 1]),
        ("note", True, [0, 3, 2, 1]),
    ],
)
def test_sorting(sort: str, descending: bool, expected: list[int]) -> None:
    assert order(sort=sort, descending=descending) == expected


@pytest.mark.parametrize(
    "words, expected",
    [
        ("sky", [2, 3]),
        ("SKY blue", [2]),
        ("ärg", [0]),
        ("dog", [0]),
        ("p/ cat", [1]),
        ("cell3", [3]),
        ("elephant", []),
        ("none", []),
        ("  ", [0, 1, 2, 3]),
    ],
)
def test_filter(words: str, expected: list[int]) -> None:
    assert order(words=words) == expected


def test_groups() -> None:
    arrangement = arrange(TABLE, IMAGE, ArrangeSpec(group="kind", sort="image"))
    assert arrangement.order.tolist() == [1, 3, 0, 2]
    assert arrangement.groups == [
        Group("cat", 0, 2),
        Group("Dog", 2, 3),
        Group("kind missing", 3, 4),
    ]
    arrangement = arrange(TABLE, IMAGE, ArrangeSpec(group="kind", words="dog"))
    assert arrangement.groups == [Group("Dog", 0, 1)]


def test_no_rows() -> None:
    spec = ArrangeSpec(group="kind", sort="note", words="a")
    arrangement = arrange(TABLE[:0], IMAGE, spec)
    assert arrangement.order.tolist() == [] and arrangement.groups == []


def test_cancel() -> None:
    def stop(fraction: float, status: str = "") -> None:
        raise TaskCancelled("stop")

    with pytest.raises(TaskCancelled):
        arrange(TABLE, IMAGE, ArrangeSpec(sort="note"), stop)
    with pytest.raises(TaskCancelled):
        arrange(TABLE, IMAGE, ArrangeSpec(words="a"), stop)


def test_texts() -> None:
    size, kind, image = DOMAIN["size"], DOMAIN["kind"], IMAGE
    assert text_of(size, 3.0) == "3" and text_of(size, NAN) == ""
    assert text_of(kind, 1.0) == "Dog" and text_of(kind, NAN) == ""
    assert text_of(image, "a") == "a" and text_of(image, None) == ""


def test_equal_images_are_told_apart() -> None:
    twice = Table.concatenate([TABLE[:2], TABLE[:1]])
    assert numbered_rows(twice, IMAGE) == [
        ("p/cell10.png", 0),
        ("p/cell2.png", 0),
        ("p/cell10.png", 1),
    ]


def test_file_name() -> None:
    assert file_name("a/b/c.png") == "c.png"
    assert file_name("C:\\x\\y.png") == "y.png"
    assert file_name("http://h/p/") == "p"
    assert file_name("one") == "one"
    # people count from 1
    assert file_name("a/b.tif#t=1&z=4") == "b.tif z=5 t=2"
    assert file_name("http://h/b.lif#s=2&c=0") == "b.lif series 3 channel 1"
    assert file_name("s.svs#xywh=0,512,256,256") == "s.svs x=0 y=512"
    assert file_name("a/odd#z=1#") == "odd#z=1"
