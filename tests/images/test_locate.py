from __future__ import annotations

import pytest

from orangecontrib.imagemining.images import is_url, local_path, locate


@pytest.mark.parametrize(
    ("value", "origin", "expected"),
    [
        ("a.png", "", "a.png"),
        ("a.png", "/data", "/data/a.png"),
        ("/other/a.png", "/data", "/other/a.png"),
        ("cats/a.png", "file:///my%20data", "/my data/cats/a.png"),
        ("a b.png", "http://host/x", "http://host/x/a%20b.png"),
        ("a.png", "https://host/x/", "https://host/x/a.png"),
        ("http://host/a.png", "/data", "http://host/a.png"),
        ("HTTP://host/a.png", "/data", "HTTP://host/a.png"),
        ("data:image/png;base64,AA==", "/data", "data:image/png;base64,AA=="),
        (" http://host/a.png ", "/data", "http://host/a.png"),
        (" cells/1.png ", "/data", "/data/ cells/1.png "),
        ("a:b.png", "/data", "/data/a:b.png"),
    ],
)
def test_locate(value: str, origin: str, expected: str) -> None:
    assert locate(value, origin) == expected


@pytest.mark.parametrize(
    ("source", "url", "path"),
    [
        ("/a.png", False, "/a.png"),
        ("C:\\cells.png", False, "C:\\cells.png"),
        ("file:///a%20b.png", False, "/a b.png"),
        ("file://localhost/a.png", False, "/a.png"),
        ("ftp://host/a.png", True, None),
        ("data:,x", True, None),
    ],
)
def test_kind_of_source(source: str, url: bool, path: str | None) -> None:
    assert is_url(source) is url
    assert local_path(source) == path
