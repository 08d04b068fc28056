"""What doc/network-files.md says of files is so."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from safetensors import safe_open
from trained_networks import network_of

from orangecontrib.imagemining.embedders.onnxexport import export_onnx
from orangecontrib.imagemining.weights.network_file import save_network

PAGE = Path(__file__).parents[2] / "doc" / "network-files.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    network = network_of(classes=("mitosis", "none"), figures={"accuracy": 0.93})
    save_network(network, tmp_path / "cells.safetensors")
    export_onnx(network, tmp_path / "cells.onnx")
    for seed in (1, 2):
        picture(seed).save(tmp_path / f"{seed}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_examples_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf8"), re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert (folder / "copy.safetensors").is_file()
    vectors = names["vectors"]
    assert isinstance(vectors, np.ndarray)
    assert vectors.shape == (2, 8)
    assert names["card"]["classes"] == ["mitosis", "none"]  # type: ignore[index]
    assert capsys.readouterr().out.strip() in ("mitosis", "none")


def test_checksums_are_as_described(folder: Path) -> None:
    with safe_open(folder / "cells.safetensors", "numpy") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        total.update(tensor.tobytes())
    card = json.loads(metadata["card"])
    names = ("architecture", "classes", "fit", "options", "preprocess")
    decisive = {name: card[name] for name in names}
    decisive["tensors"] = total.hexdigest()
    text = json.dumps(decisive, sort_keys=True)
    assert hashlib.sha256(text.encode("ascii")).hexdigest() == metadata["sha256"]
    in_utf8 = metadata["card"].encode("utf8")
    assert hashlib.sha256(in_utf8).hexdigest() == metadata["card_sha256"]


def test_all_fields_are_described(folder: Path) -> None:
    text = PAGE.read_text("utf8")
    with safe_open(folder / "cells.safetensors", "numpy") as file:
        metadata = file.metadata()
    card = json.loads(metadata["card"])
    named = {*metadata, *card, *card["preprocess"]} | {"layers"}
    assert not [name for name in named if f"`{name}`" not in text]


def test_options_change_the_identity() -> None:
    one = network_of()
    other = replace(one, card=replace(one.card, fit="crop"))
    assert one.sha256 != other.sha256
