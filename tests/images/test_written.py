from __future__ import annotations

import os

import pytest

from orangecontrib.imagemining.images.written import clean_path, looks_like_image


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a/b.png", "a/b.png"),
        ("  a b.png\t", "a b.png"),
        ('"a/b.png"', "a/b.png"),
        ("'a/b.png'", "a/b.png"),
        ("“ a/b.png ”", "a/b.png"),
        ('"a.png', '"a.png'),
        ("\ufeffa.png", "a.png"),
        (r"cells\a\b.png", "cells/a/b.png"),
        (r"C:\cells\b.png", "C:/cells/b.png"),
        (r"\\server\cells\b.png", "//server/cells/b.png"),
        ("http://a.b/c.png", "http://a.b/c.png"),
        (" HTTPS://a.b/c%20d.png ", "HTTPS://a.b/c%20d.png"),
        ("file://[", "file://["),
        (r" cells\a.tif#t=1&z=2 ", "cells/a.tif#t=1&z=2"),
        ("a.tif#z=1#", "a.tif#z=1#"),
        ("~x.png", "~x.png"),
        ("", ""),
    ],
)
def test_paths_as_people_write_them(text: str, path: str) -> None:
    assert clean_path(text) == path


@pytest.mark.skipif(os.name == "nt", reason="paths have a drive there")
def test_file_addresses_and_the_users_folder() -> None:
    assert clean_path("file:///cells/a%20b.png") == "/cells/a b.png"
    home = os.path.expanduser("~")
    assert clean_path("~/a.png") == f"{home}/a.png"
    assert clean_path(r"~\a\b.png") == f"{home}/a/b.png"


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("a.png", True),
        ("a.tif#z=1", True),
        ("a.txt#z=1", False),
        ('"cells\\A.TIF"', True),
        ("http://a.b/c.jpg?size=3#top", True),
        ("data:image/png;base64,xyz", True),
        ("http://a.b/", False),
        ("http://[.png", False),
        ("a.txt", False),
        ("png", False),
        ("", False),
    ],
)
def test_what_looks_like_an_image(text: str, likely: bool) -> None:
    assert looks_like_image(text) == likely
