from __future__ import annotations

import unicodedata

import pytest

from orangecontrib.imagemining.exceptions import PatternError
from orangecontrib.imagemining.images.names import (
    CategoryPattern,
    NamePatterns,
    natural_key,
    stem_of,
)

FILES = [
    "1.png",
    "11.png",
    "cell_red.tif",
    "cell_RED.TIF",
    "raw/1.png",
    "raw/old/2.png",
    "a/masks/1.png",
    "cell mask.jpg",
    "[x].png",
]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("*_red.tif", ["cell_red.tif", "cell_RED.TIF"]),
        ("?.png", ["1.png", "raw/1.png", "raw/old/2.png", "a/masks/1.png"]),
        # the name of a file is that file, in any folder
        ("1.png", ["1.png", "raw/1.png", "a/masks/1.png"]),
        # another word may stand anywhere in the name
        ("MASK", ["cell mask.jpg"]),
        (".tif", ["cell_red.tif", "cell_RED.TIF"]),
        (" ?1.png ; mask;; ", ["11.png", "cell mask.jpg"]),
        # with folders
        ("raw/", ["raw/1.png", "raw/old/2.png"]),
        ("raw/*", ["raw/1.png", "raw/old/2.png"]),
        ("raw/?.png", ["raw/1.png"]),
        ("raw/old", ["raw/old/2.png"]),
        ("raw/old/", ["raw/old/2.png"]),
        (r".\raw\1.png", ["raw/1.png"]),
        ("/raw//1.png", ["raw/1.png"]),
        ("masks/", ["a/masks/1.png"]),
        ("mask?/", ["a/masks/1.png"]),
        # a bracket is a letter like others
        ("[x].png", ["[x].png"]),
        ("*", FILES),
        ("", []),
        (" ; ", []),
    ],
)
def test_patterns_as_people_type_them(text: str, meant: list[str]) -> None:
    patterns = NamePatterns(text)
    assert [path for path in FILES if patterns.fits(path)] == meant
    assert bool(patterns) == bool(text.strip(" ;"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("mask", ["a/masks"]),
        ("masks/", ["a/masks"]),
        ("raw/*", ["raw", "raw/old"]),
        ("raw/old", ["raw/old"]),
        ("*.png", []),
        ("raw/*.png", []),
    ],
)
def test_folders_that_patterns_mean(text: str, meant: list[str]) -> None:
    patterns = NamePatterns(text)
    folders = ["raw", "raw/old", "a", "a/masks"]
    assert [folder for folder in folders if patterns.fits_folder(folder)] == meant


def test_accents_are_the_same_however_they_are_written() -> None:
    name = unicodedata.normalize("NFD", "café_Ü.png")
    assert NamePatterns("CAFÉ_*").fits(name)
    assert NamePatterns(unicodedata.normalize("NFD", "é")).fits("café.png")
    assert CategoryPattern("café_{category}").category(name) == "Ü"


@pytest.mark.parametrize(
    ("pattern", "categories"),
    [
        ("{category}_*", {"cat_01.png": "cat", "a/my_cat_1.jpg": "my", "x.png": ""}),
        ("*-{category}.*", {"01-cat.png": "cat", "a-b-cat.png": "cat", "cat.png": ""}),
        ("*_{category}_*", {"img_cat_01.png": "cat", "img_cat_01_b.png": "cat"}),
        ("*_{category}", {"img_cat.png": "cat", "a_b_c.d.png": "c.d"}),
        ("{category}{number}", {"cat12.png": "cat", "cat.png": "", "b1c2.png": "b1c"}),
        ("{number}{category}", {"12cat3.png": "cat3"}),
        ("IMG {Category} (*)", {"img big cat (1).png": "big cat"}),
        ("{category}??", {"cat01.png": "cat", "01.png": ""}),
        # a letter before the category may be in it, too
        ("c{category}_*", {"cocci_1.png": "occi"}),
        ("*/{category}/*", {"a/b/c.png": "b", "b/c.png": "", "a/b/c/d.png": ""}),
        ("{category}/*", {"a/1.png": "a", "1.png": ""}),
        (r"*\{ category }\*", {"a/b/c.png": "b"}),
        ("{category}.png", {"cat.png": "cat", "cat.PNG": "cat", "cat.jpg": ""}),
        ("[{category}]*", {"[cat] 1.png": "cat", "cat 1.png": ""}),
        ("{category}_*", {" _1.png": ""}),
    ],
)
def test_category_in_the_name(pattern: str, categories: dict[str, str]) -> None:
    category_of = CategoryPattern(pattern).category
    assert {path: category_of(path) for path in categories} == categories


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("", "Write {category}"),
        ("cat_*", "Write {category}"),
        ("{category", "Write {category}"),
        ("{category}_{category}", "only once"),
        ("{category}*", "between {category} and"),
        ("*{category}_", "between {category} and"),
        ("{category}?*", "between {category} and"),
        ("{label}_*", "{label} is not known"),
    ],
)
def test_pattern_that_is_not_clear(pattern: str, told: str) -> None:
    with pytest.raises(PatternError) as raised:
        CategoryPattern(pattern)
    assert told in str(raised.value)


def test_names_that_fit_almost_take_no_time() -> None:
    # a plain regular expression of these would take years
    many = "*a" * 12
    name = "a" * 200 + ".png"
    assert not NamePatterns(f"{many}*b").fits(name)
    assert CategoryPattern(f"{many}*b{{category}}c{many}*d").category(name) == ""


def test_natural_order() -> None:
    names = ["B1", "b10", "b9", "b09", "a", "a/z", "a 1/z", "10", "9", "a_1", "aa"]
    assert sorted(names, key=natural_key) == [
        "9",
        "10",
        "a",
        "a/z",
        "a 1/z",
        "a_1",
        "aa",
        "B1",
        "b09",
        "b9",
        "b10",
    ]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("cells.tif", "cells"),
        ("cells 1.OME.TIF", "cells 1"),
        ("a.b.ome.tiff", "a.b"),
        ("cells.ome.png", "cells.ome"),
        (".ome.tif", ".ome"),
        ("notes", "notes"),
    ],
)
def test_the_ending_of_ome_tiff_has_two_words(name: str, stem: str) -> None:
    assert stem_of(name) == stem
