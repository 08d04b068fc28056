"""The card of an own network, as a file."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orangecontrib.imagemining.exceptions import FilesExistError, WeightsError
from orangecontrib.imagemining.weights import cards
from orangecontrib.imagemining.weights.cards import (
    Card,
    CardLayer,
    card_path,
    load_card,
    save_card,
)

CARD = Card(
    file="own.onnx",
    sha256="ab" * 32,
    parts={"own.onnx.data": "cd" * 32},
    layers=(CardLayer("features", "545", 2048), CardLayer("logits", "out", 10)),
    size=(224, 200),
    input="image",
    colours="BGR",
    layout="NHWC",
    mean=(103.5, 116.25, 123.0),
    deviation=(1.0, 2.0, 3.0),
    scale=0.5,
    interpolation="bicubic",
    batch=4,
    title="Žuželke – 昆虫",
    licence="MIT",
    notes="for beetles",
)


def test_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    assert save_card(CARD, path) == tmp_path / "own.onnx.json"
    assert load_card(path) == CARD
    assert [file.name for file in tmp_path.iterdir()] == ["own.onnx.json"]
    grey = replace(CARD, colours="grey", mean=(0.5,), deviation=(0.25,))
    save_card(grey, path, replace=True)
    assert load_card(path) == grey


def test_a_card_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    save_card(CARD, path)
    with pytest.raises(FilesExistError, match="has a card already"):
        save_card(replace(CARD, title="other"), path)
    assert load_card(path) == CARD


@pytest.mark.parametrize("content", ["{}", "my notes", "[1]", '{"format": "x"}'])
def test_a_file_that_is_no_card_is_never_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "own.onnx"
    card_path(path).write_text(content)
    with pytest.raises(FilesExistError, match="is no card"):
        save_card(CARD, path, replace=True)
    assert card_path(path).read_text() == content
    with pytest.raises(WeightsError, match="damaged"):
        load_card(path)


def test_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.onnx"
    save_card(CARD, path)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cards.os, "replace", full)
    with pytest.raises(WeightsError, match="No space left"):
        save_card(replace(CARD, title="other"), path, replace=True)
    assert load_card(path) == CARD
    assert len(list(tmp_path.iterdir())) == 1


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be written"):
        save_card(CARD, tmp_path / "gone" / "own.onnx")


def test_missing_card(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no card \(own.onnx.json"):
        load_card(tmp_path / "own.onnx")


def changed(path: Path, **changes: Any) -> None:
    """Save the card with entries changed ("input.mean" as input__mean) or gone."""
    save_card(CARD, path)
    content = json.loads(card_path(path).read_text("utf8"))
    for key, value in changes.items():
        inside, _, last = key.rpartition("__")
        where = content[inside] if inside else content
        if value is None:
            del where[last]
        else:
            where[last] = value
    card_path(path).write_text(json.dumps(content), "utf8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "newer version of this add-on"),
        ({"version": "1"}, "'version' has to be a whole number"),
        ({"version": None}, "'version' is missing"),
        ({"sha256": None}, "'sha256' is missing"),
        ({"sha256": 3}, "'sha256' has to be text"),
        ({"parts": ["a"]}, "damaged"),
        ({"input": None}, "'input' is missing"),
        ({"input": 7}, "damaged"),
        ({"input__height": 0}, "'height' has to be a whole number from 1"),
        ({"input__height": 1e3}, "'height' has to be a whole number"),
        ({"input__height": True}, "'height' has to be a whole number"),
        ({"input__width": 99999}, "not possible"),
        ({"input__colours": "rgb"}, "'colours' has to be RGB or BGR or grey"),
        ({"input__layout": "HWC"}, "'layout' has to be NCHW or NHWC"),
        ({"input__interpolation": "nearest"}, "'interpolation' has to be"),
        ({"input__scale": "1/255"}, "'scale' has to be a number"),
        ({"input__mean": [1, 2]}, "mean needs 3 number"),
        ({"input__mean": [1, 2, float("nan")]}, "have to be numbers"),
        ({"input__deviation": [1, 1, -1]}, "above 0"),
        ({"input__batch": -1}, "'batch'"),
        ({"layers": []}, "at least one output"),
        ({"layers": [{"name": "a", "output": "b"}]}, "'size' is missing"),
        ({"layers": [{"name": "a", "output": "b", "size": 1}] * 2}, "same name"),
    ],
)
def test_card_that_makes_no_sense(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "own.onnx"
    changed(path, **changes)
    with pytest.raises(WeightsError, match=message) as caught:
        load_card(path)
    assert str(card_path(path)) in str(caught.value)


def test_what_newer_cards_may_add_and_what_may_lack(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    changed(path, colour_space="sRGB", title=None, notes=None, parts=None)
    assert load_card(path) == replace(CARD, title="", notes="", parts={})


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 10**5, b" " * 2**21, b""])
def test_rubbish(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.onnx"
    card_path(path).write_bytes(content)
    with pytest.raises(WeightsError, match="damaged"):
        load_card(path)


def test_the_card_in_the_documentation_is_one(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "doc" / "own-networks.md"
    example = re.search(r"```json\n(.*?)```", page.read_text("utf8"), re.S)
    assert example is not None
    path = tmp_path / "own.onnx"
    card_path(path).write_text(example[1], "utf8")
    card = load_card(path)
    assert set(json.loads(example[1])) == set(cards._to_json(card))
    assert set(json.loads(example[1])["input"]) == set(cards._to_json(card)["input"])
