"""The picture of the confusion matrix, and lines that keep names together."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orangecontrib.imagemining.report.console import Console, unbroken
from orangecontrib.imagemining.report.evaluate import Evaluation
from orangecontrib.imagemining.report.matrix import draw_matrix
from orangecontrib.imagemining.report.page import Page

Capture = pytest.CaptureFixture[str]
Color = tuple[int, int, int]


def drawn(
    confusion: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], set[Color]]:
    """Return a matrix's texts, and the colours of larger areas of its picture."""
    texts: list[str] = []
    write = Page.text

    def remember(page: Page, x: float, y: float, text: str, *a: Any, **k: Any) -> None:
        texts.append(text)
        write(page, x, y, text, *a, **k)

    monkeypatch.setattr(Page, "text", remember)
    names = ("common", "rare", "other")[: len(confusion)]
    png = draw_matrix(Evaluation({}, names, np.array(confusion), True, ()), "Title")
    with Image.open(io.BytesIO(png)) as image:
        areas: Any = image.convert("RGB").getcolors(1 << 20)
    return texts, {color for n, color in areas if n > 3000}


def has(colors: set[Color], color: Color) -> bool:
    # versions of the drawing library round differently
    return any(np.abs(np.subtract(found, color)).max() <= 2 for found in colors)


def test_rows_tell_their_images_and_few_are_pale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts, colors = drawn([[20, 0], [1, 0]], monkeypatch)
    assert texts[1] == "Title"
    assert texts[2].startswith("Blue: right, red: wrong; the darker, the larger")
    assert texts[3].startswith("Pale rows: fewer than 10 images")
    assert {"common", "common (20)", "rare", "rare (1)"} <= set(texts)
    # the only image of its row does not stand out, whole as its share is
    assert has(colors, (33, 102, 171))
    assert not any(r > 150 and g < 150 for r, g, _ in colors)
    assert has(colors, (242, 214, 212))


def test_without_small_rows_nothing_is_pale(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, colors = drawn([[20, 0], [10, 0]], monkeypatch)
    assert not any(text.startswith("Pale") for text in texts)
    assert has(colors, (191, 51, 43))


def test_an_item_is_not_broken(capsys: Capture) -> None:
    console = Console()
    items = [unbroken(f"kind {i} {i}00") for i in range(9)]
    console.say_item("Title", ", ".join(items))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "Title       kind 0 000, kind 1 100, kind 2 200, kind 3 300, kind 4 400,"
    )
    assert lines[1] == "            kind 5 500, kind 6 600, kind 7 700, kind 8 800"
