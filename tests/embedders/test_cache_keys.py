"""What makes a vector another one."""

from __future__ import annotations

import hashlib
import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path

import onnx_files as files
import pytest

from orangecontrib.imagemining.embedders.cache import keys, spec_key
from orangecontrib.imagemining.embedders.catalog import (
    inspect_network,
    make_card,
    name_of_file,
)
from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS, identity_of, store
from orangecontrib.imagemining.weights.cards import (
    card_path,
    load_card,
    save_card,
)

SPEC = EmbedderSpec("squeezenet1_1", "features")


def test_each_part_of_an_embedder_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [
        SPEC,
        replace(SPEC, network="squeezenet_imageanalytics", layer="logits"),
        replace(SPEC, layer="logits"),
        replace(SPEC, views=2),
        replace(SPEC, fit="crop"),
        replace(SPEC, precision="fast"),
        replace(SPEC, network="vgg16"),
        replace(SPEC, network="vgg19"),
    ]
    made = [spec_key(each) for each in others]
    made.append(spec_key(SPEC, "openvino"))
    assert len(set(made)) == len(made)
    assert made[0] == spec_key(EmbedderSpec("squeezenet1_1", "features"))
    monkeypatch.setattr(keys, "READING", keys.READING + 1)
    assert spec_key(SPEC) != made[0]


def test_preprocessing_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = spec_key(SPEC)
    card = WEIGHTS["squeezenet1_1"]
    changed = replace(card.preprocess, interpolation="bilinear")
    monkeypatch.setitem(
        WEIGHTS, "squeezenet1_1", replace(card, preprocess=changed, title="other")
    )
    assert spec_key(SPEC) != before
    monkeypatch.setitem(WEIGHTS, "squeezenet1_1", replace(card, title="other"))
    assert spec_key(SPEC) == before


def test_weights_are_told_apart_by_their_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = WEIGHTS["vgg16"]
    assert not card.tensors_sha256
    assert identity_of(card, tmp_path) == card.sha256  # not here: what is published
    assert identity_of(WEIGHTS["squeezenet1_1"]) == (
        WEIGHTS["squeezenet1_1"].tensors_sha256
    )
    path = tmp_path / store.file_name(card)
    path.write_bytes(b"numbers")
    sha = "6ad1dee8cdb3a0a8b8ba6ad0a5ad8a40"  # of something else
    first = identity_of(card, tmp_path)
    assert first == hashlib.sha256(b"numbers").hexdigest()
    path.write_bytes(b"other numbers")
    assert identity_of(card, tmp_path) != first
    # once noted, it is not read again: what differs from the note is not loaded
    Path(f"{path}.sha256").write_text(f"{sha}  {path.name}\n")
    assert identity_of(card, tmp_path) == sha


def test_an_own_network_counts_by_its_content(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "own.onnx")
    save_card(make_card(inspect_network(path)), path)
    layer = load_card(path).layers[0].name

    def key(place: Path) -> bytes:
        return spec_key(EmbedderSpec(name_of_file(place), layer))

    before = key(path)
    moved = tmp_path / "elsewhere" / "other.onnx"
    moved.parent.mkdir()
    shutil.copy(path, moved)
    save_card(replace(load_card(path), file=moved.name, title="Other"), moved)
    assert key(moved) == before
    # other preprocessing in the card
    save_card(replace(load_card(moved), mean=(1.0, 2.0, 3.0)), moved, replace=True)
    assert key(moved) != before
    # another of its outputs under the layer's name
    first, second = load_card(path).layers
    swapped = (replace(first, output=second.output), second)
    save_card(replace(load_card(path), file=moved.name), moved, replace=True)
    assert key(moved) == before
    save_card(
        replace(load_card(path), file=moved.name, layers=swapped), moved, replace=True
    )
    assert key(moved) != before
    # other numbers in the network, its card left as it was
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert key(path) != before
    path.unlink()
    with pytest.raises(WeightsError):
        key(path)
    assert card_path(path).is_file()


def test_timm_counts_by_the_state_that_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = types.SimpleNamespace(HF_HUB_CACHE=str(tmp_path))
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", constants)
    url = "https://huggingface.co/timm/resnet18.a1_in1k"
    assert keys._revision(url) == ""
    refs = tmp_path / "models--timm--resnet18.a1_in1k" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("abc123\n")
    assert keys._revision(url) == "abc123"
    assert keys._revision("https://example.org/weights.pth") == ""


def test_unknown_network() -> None:
    with pytest.raises(UnknownNameError):
        spec_key(EmbedderSpec("vgg99", "features"))
