"""A source's words mean what they say, and a file's name is never taken for words."""

from __future__ import annotations

import pytest

from orangecontrib.imagemining.images.sources import (
    Part,
    Rendering,
    Source,
    escaped,
    join_source,
    parse_source,
    split_source,
)


@pytest.mark.parametrize(
    ("source", "place", "words"),
    [
        ("cells.tif", "cells.tif", ""),
        ("cells.tif#z=5", "cells.tif", "z=5"),
        ("cells.tif#s=1&t=2&z=5&c=0", "cells.tif", "s=1&t=2&z=5&c=0"),
        ("slide.svs#xywh=0,2048,512,512", "slide.svs", "xywh=0,2048,512,512"),
        ("a.tif#stack=max&contrast=full", "a.tif", "stack=max&contrast=full"),
        ("https://host/a.tif?x=1#z=5", "https://host/a.tif?x=1", "z=5"),
        # names of files that have a # of their own
        ("well #5.png", "well #5.png", ""),
        ("plate#1/well#A2.png", "plate#1/well#A2.png", ""),
        ("plate#1/well.png#z=3", "plate#1/well.png", "z=3"),
        ("a.tif#z=5.png", "a.tif#z=5.png", ""),
        ("a.tif#z=5#", "a.tif#z=5", ""),
        ("a.tif#z=5#t=1", "a.tif#z=5", "t=1"),
        ("a.tif#z=-5", "a.tif#z=-5", ""),
        ("a.tif#z=5&q=1", "a.tif#z=5&q=1", ""),
        ("a.tif#stack=most", "a.tif#stack=most", ""),
        ("a.tif#channels=0:pink", "a.tif#channels=0:pink", ""),
        ("a#", "a", ""),
    ],
)
def test_split(source: str, place: str, words: str) -> None:
    assert split_source(source) == (place, words)
    assert parse_source(source).place == place


@pytest.mark.parametrize(
    ("words", "part", "rendering"),
    [
        ("z=5", Part(z=5), Rendering()),
        ("s=3&t=0&z=1&c=2", Part(3, 0, 1, 2), Rendering()),
        ("xywh=1,2,3,4", Part(xywh=(1, 2, 3, 4)), Rendering()),
        ("z=1&z=2", Part(z=2), Rendering()),
        ("stack=mean", Part(), Rendering(stack="mean")),
        ("channels=grey", Part(), Rendering(channels="grey")),
        (
            "channels=0:red,12:cyan",
            Part(),
            Rendering(channels=((0, "red"), (12, "cyan"))),
        ),
        ("contrast=stored", Part(), Rendering(contrast="stored")),
        (
            "contrast=percentiles:0.5,99",
            Part(),
            Rendering(contrast="percentiles", percentiles=(0.5, 99)),
        ),
        (
            "z=2&contrast=range:-5,1e3;0.25,7",
            Part(z=2),
            Rendering(contrast="range", ranges=((-5, 1000), (0.25, 7))),
        ),
    ],
)
def test_words_there_and_back(words: str, part: Part, rendering: Rendering) -> None:
    assert parse_source(f"a#{words}") == Source("a", part, rendering)
    again = join_source("a", str(part), str(rendering))
    assert parse_source(again) == Source("a", part, rendering)
    assert Rendering.parse(str(rendering)) == rendering


def test_defaults_have_no_words() -> None:
    assert str(Part()) == str(Rendering()) == ""
    assert join_source("a.png", "", "") == "a.png"
    assert parse_source("a.png") == Source("a.png")


@pytest.mark.parametrize(
    "words",
    [
        "contrast=percentiles:50,50",
        "contrast=percentiles:-1,99",
        "contrast=percentiles:1,101",
        "contrast=range:0,1e999",
    ],
)
def test_nonsense_is_the_default(words: str) -> None:
    assert Rendering.parse(words) == Rendering()


@pytest.mark.parametrize("number", [0.1, 1 / 3, 1e-30, 4095.0, -2.5e20, 1e17])
def test_numbers_come_back_exactly(number: float) -> None:
    rendering = Rendering(contrast="range", ranges=((number, 2 * number),))
    assert Rendering.parse(str(rendering)) == rendering


def test_join() -> None:
    assert join_source("a.tif", "z=1", "stack=max") == "a.tif#z=1&stack=max"
    assert join_source("a.tif#z=1", rendering="stack=max") == "a.tif#z=1&stack=max"
    # what comes later holds
    assert parse_source(join_source("a.tif#z=1", "z=2")).part == Part(z=2)


@pytest.mark.parametrize("name", ["a.tif", "a#b.tif", "a.tif#z=5", "a#", "a#b#z=1"])
def test_any_file_has_a_source(name: str) -> None:
    assert split_source(escaped(name)) == (name, "")
    assert parse_source(join_source(escaped(name), "t=3")) == Source(name, Part(t=3))
