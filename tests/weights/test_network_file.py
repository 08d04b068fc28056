"""Files of trained networks: the same comes back, and nothing else."""

from __future__ import annotations

import json
import pickle
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from orangecontrib.imagemining.exceptions import (
    FilesExistError,
    TaskCancelled,
    WeightsError,
)
from orangecontrib.imagemining.specs import Layer, Preprocess
from orangecontrib.imagemining.weights import network_file
from orangecontrib.imagemining.weights.image_network import (
    AnyNetwork,
    ImageNetwork,
    NetworkCard,
    OnnxNetwork,
)
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    read_head,
    save_network,
)
from orangecontrib.imagemining.weights.network_json import (
    card_from_json,
    card_to_json,
)
from orangecontrib.imagemining.weights.tensors import shapes_of

CARD = NetworkCard(
    title="My cells, zrnje šče",
    architecture="toy",
    classes=("mitosis", "none", "žlahtna \udcff"),
    preprocess=Preprocess((7, 9), (0, 0.5, 0.25), (1, 2.0, 0.5), 1 / 255, "lanczos"),
    options={"width": 0.5, "sizes": [1, 2]},
    fit="pad",
    rendering="max&channels=DAPI",
    start="squeezenet1_1",
    recipe={"epochs": 3, "recipe": {"learning_rate": 0.1, "name": "everyday"}},
    figures={"accuracy": 0.875, "validation_loss": 1 / 3},
    trained_on="300 images",
    license="BSD-2-Clause",
    created="2026-01-02T03:04:05",
    notes="first\nsecond",
    layers=(Layer("features", 8, "what comes first"), Layer("logits", 3)),
)


def network(**changes: Any) -> ImageNetwork:
    random = np.random.default_rng(0)
    tensors = {
        "stem.weight": random.normal(size=(2, 3, 1, 1)).astype(np.float32),
        "classifier.bias": np.array([1, -2, np.float32(1e-40)], np.float32),
        "bn.num_batches_tracked": np.array(7, np.int64),
    }
    return ImageNetwork(replace(CARD, **changes), tensors)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cells.safetensors"


def header_of(content: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])  # type: ignore[no-any-return]


def with_header(content: bytes, header: dict[str, Any]) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(WeightsError) as error:
        load_network_file(path)
    return str(error.value)


# what comes back --------------------------------------------------------------


def test_the_same_comes_back(path: Path) -> None:
    saved = network()
    size = save_network(saved, path)
    assert size == path.stat().st_size
    loaded = load_network_file(path)
    assert loaded.card == saved.card
    assert loaded.card.layers == saved.card.layers
    assert loaded == saved
    assert loaded.name == saved.name
    assert list(loaded.tensors) != []
    for name, tensor in saved.tensors.items():
        found = loaded.tensors[name]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        np.testing.assert_array_equal(found, tensor)
        assert found.flags.aligned
        assert found.flags.writeable


def test_the_same_network_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    save_network(network(), path)
    other = tmp_path / "other.safetensors"
    turned = network()
    tensors = dict(reversed(turned.tensors.items()))
    save_network(ImageNetwork(turned.card, tensors), other)
    assert path.read_bytes() == other.read_bytes()


def test_other_programs_read_it(path: Path) -> None:
    saved = network()
    save_network(saved, path)
    with safe_open(path, "numpy") as file:
        assert set(file.keys()) == set(saved.tensors)
        for name, tensor in saved.tensors.items():
            np.testing.assert_array_equal(file.get_tensor(name), tensor)
        metadata = file.metadata()
    assert metadata["format"] == "Orange3-ImageMining network"
    assert metadata["version"] == "1"
    assert json.loads(metadata["card"])["classes"] == list(CARD.classes)


def test_head_without_the_numbers(path: Path) -> None:
    saved = network()
    save_network(saved, path)
    head = read_head(path)
    assert head.card == saved.card
    assert (head.sha256, head.name) == (saved.sha256, saved.name)
    assert head.n_parameters == saved.n_parameters == 9
    assert head.n_bytes == path.stat().st_size


def test_figures_that_are_no_numbers_are_left_out(path: Path) -> None:
    save_network(network(figures={"accuracy": 0.5, "loss": float("nan")}), path)
    assert load_network_file(path).card.figures == {"accuracy": 0.5}


def test_card_is_json() -> None:
    text = json.dumps(card_to_json(CARD), allow_nan=False)
    assert card_from_json(json.loads(text)) == CARD


def test_identity() -> None:
    one, same = network(), network(title="Other", notes="", figures={}, layers=())
    assert one == same
    assert one.sha256 == same.sha256
    assert hash(one) == hash(same)
    assert one.name == f"trained:my_cells_zrnje_e-{one.sha256[:12]}"
    for change in (
        {"classes": ("a", "b", "c")},
        {"fit": "crop"},
        {"architecture": "other"},
        {"options": {}},
        {"preprocess": Preprocess((8, 9))},
    ):
        assert network(**change) != one
    assert isinstance(one, AnyNetwork)
    assert pickle.loads(pickle.dumps(one)) == one


def test_onnx_networks_compare() -> None:
    one = OnnxNetwork("onnx:/a/b.onnx", "B", ("x", "y"), "12")
    assert isinstance(one, AnyNetwork)
    assert (one.path, one.classes) == ("/a/b.onnx", ("x", "y"))
    assert pickle.loads(pickle.dumps(one)) == one
    assert hash(one) == hash(OnnxNetwork("onnx:/a/b.onnx", "Other", ("x", "y"), "12"))
    assert one != OnnxNetwork("onnx:/a/b.onnx", "B", ("x", "y"), "34")
    assert one != network()


# writing ----------------------------------------------------------------------


def test_nothing_is_overwritten_unasked(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(FilesExistError, match=r"cells\.safetensors is there already"):
        save_network(network(), path)
    assert path.read_text() == "mine"
    save_network(network(), path, replace=True)
    assert load_network_file(path) == network()
    folder = path.with_name("folder.safetensors")
    folder.mkdir()
    with pytest.raises(FilesExistError, match="is a folder"):
        save_network(network(), folder, replace=True)


def test_what_breaks_off_leaves_nothing(path: Path) -> None:
    def stop(fraction: float, status: str = "") -> None:
        if fraction > 0.5:
            raise TaskCancelled("enough")

    save_network(network(title="before"), path)
    before = path.read_bytes()
    with pytest.raises(TaskCancelled):
        save_network(network(), path, replace=True, progress=stop)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cells\.safetensors cannot be written to"):
        save_network(network(), tmp_path / "no" / "cells.safetensors")


def test_a_link_stays_a_link(path: Path) -> None:
    target = path.with_name("target.safetensors")
    target.write_text("old")
    try:
        path.symlink_to(target)
    except OSError:
        pytest.skip("no links here")
    save_network(network(), path, replace=True)
    assert path.is_symlink()
    assert load_network_file(target) == network()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_others_may_read_it_as_any_file(path: Path) -> None:
    plain = path.with_name("plain")
    plain.touch()
    save_network(network(), path)
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o600)
    save_network(network(), path, replace=True)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_failed_networks_are_not_saved(path: Path, value: float) -> None:
    bad = network()
    bad.tensors["classifier.bias"][1] = value
    with pytest.raises(WeightsError, match="the training has failed"):
        save_network(bad, path)
    assert not path.exists()


def test_other_types_are_not_saved(path: Path) -> None:
    bad = network()
    bad.tensors["half"] = np.zeros(3, np.float16)
    with pytest.raises(WeightsError, match="'half' holds float16"):
        save_network(bad, path)


# reading what is damaged or hostile -------------------------------------------


def test_every_kind_of_flipped_bit_is_noticed(path: Path) -> None:
    save_network(network(), path)
    content = path.read_bytes()
    before = load_network_file(path)
    # all bits of all bytes would take a minute: another bit of each byte
    for place in range(len(content)):
        bit = (place * 5) % 8
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        try:
            after = load_network_file(path)
        except WeightsError:
            continue
        pytest.fail(f"bit {bit} of byte {place}: {after.card != before.card}")


def test_every_length_is_noticed(path: Path) -> None:
    save_network(network(), path)
    content = path.read_bytes()
    for length in [*range(0, len(content), 7), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError):
            load_network_file(path)
    assert "too long" in refusal(path, content + b"\0")


def test_rubbish_is_refused(path: Path) -> None:
    random = np.random.default_rng(1)
    for number in range(300):
        content = random.bytes(int(random.integers(0, 200)))
        if number % 2:  # a length that is possible
            content = struct.pack("<Q", max(len(content) - 8, 0)) + content
        path.write_bytes(content)
        with pytest.raises(WeightsError):
            load_network_file(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            load_network_file(path)


@pytest.mark.parametrize("length", [2**24 + 1, 2**40, 2**63, 2**64 - 1])
def test_huge_headers_are_not_read(path: Path, length: int) -> None:
    text = refusal(path, struct.pack("<Q", length) + b"{}" * 100)
    assert "is no file of a network" in text


def test_huge_tensors_take_no_memory(path: Path) -> None:
    save_network(network(), path)
    header = header_of(path.read_bytes())
    header["big"] = {
        "dtype": "F32",
        "shape": [2**40],
        "data_offsets": [44, 44 + 2**42],
    }
    assert "cut short" in refusal(path, with_header(path.read_bytes(), header))
    header["big"]["shape"] = [2**50]
    assert "impossible" in refusal(path, with_header(path.read_bytes(), header))


def test_tensors_that_overlap(path: Path) -> None:
    save_network(network(), path)
    header = header_of(path.read_bytes())
    header["classifier.bias"]["data_offsets"] = [8, 20]
    header["stem.weight"]["data_offsets"] = [8, 32]
    assert "overlap" in refusal(path, with_header(path.read_bytes(), header))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "2"}, "later version of this add-on"),
        ({"version": "0"}, "no version 0"),
        ({"version": "one"}, "no number"),
        ({"encoding": "huffman"}, "does not read; update"),
        ({"format": "pt"}, "not one of Save Network"),
        ({"card": "{}"}, "card has changed"),
        ({"sha256": "0" * 64}, "checksum is not the one it tells"),
        ({"sha256": 5}, "checksum is none"),
        ({"card_sha256": None}, "card has changed"),
    ],
)
def test_metadata_that_lie(path: Path, changes: dict[str, Any], words: str) -> None:
    save_network(network(), path)
    header = header_of(path.read_bytes())
    header["__metadata__"].update(changes)
    assert words in refusal(path, with_header(path.read_bytes(), header))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": []}, "classes"),
        ({"classes": ["a", "a", "b"]}, "classes"),
        ({"classes": "abc"}, "has to be a list"),
        ({"fit": "squeeze"}, "'fit'"),
        ({"architecture": "../toy"}, "no name"),
        ({"architecture": 3}, "has to be text"),
        ({"options": [1]}, "'options'"),
        ({"figures": {"accuracy": "good"}}, "has to be a number"),
        ({"layers": [{"name": "a", "size": 0}]}, "whole number"),
        ({"layers": [{"name": "a", "size": True}]}, "whole number"),
        ({"title": None}, "'title'"),
        ({"preprocess": {}}, "'size' is missing"),
        ({"preprocess": 3}, "damaged"),
    ],
)
def test_cards_that_make_no_sense(
    path: Path, changes: dict[str, Any], words: str
) -> None:
    save_network(network(), path)
    header = header_of(path.read_bytes())
    card = {**json.loads(header["__metadata__"]["card"]), **changes}
    put_card(header, json.dumps(card))
    text = refusal(path, with_header(path.read_bytes(), header))
    assert words in text
    assert "is damaged" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": [0, 7]}, "whole number"),
        ({"size": [7, 10**9]}, "whole number"),
        ({"std": [1, 0, 1]}, "deviation"),
        ({"mean": [1, 2]}, "three numbers"),
        ({"scale": 0}, "'scale'"),
        ({"interpolation": "best"}, "'interpolation'"),
        ({"channels": "XYZ"}, "'channels'"),
        ({"swapped_columns": [0, 99]}, "whole number"),
        ({"as_stored": 1}, "'as_stored'"),
    ],
)
def test_preprocessing_that_makes_no_sense(
    path: Path, changes: dict[str, Any], words: str
) -> None:
    save_network(network(), path)
    header = header_of(path.read_bytes())
    card = json.loads(header["__metadata__"]["card"])
    card["preprocess"].update(changes)
    put_card(header, json.dumps(card))
    assert words in refusal(path, with_header(path.read_bytes(), header))


def test_deep_cards(path: Path) -> None:
    save_network(network(), path)
    header = header_of(path.read_bytes())
    put_card(header, "[" * 100_000)
    assert "damaged" in refusal(path, with_header(path.read_bytes(), header))


def put_card(header: dict[str, Any], text: str) -> None:
    header["__metadata__"]["card"] = text
    header["__metadata__"]["card_sha256"] = network_file._sha256(text)


def test_other_safetensors_files(path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(WeightsError, match="not one of Save Network"):
        load_network_file(path)


def test_numbers_that_are_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = network()
    bad.tensors["classifier.bias"][0] = np.inf
    with monkeypatch.context() as patched:
        patched.setattr(network_file.np, "isfinite", lambda x: np.ones_like(x, bool))
        save_network(bad, path)
    with pytest.raises(WeightsError, match="'classifier.bias'.*values that are none"):
        load_network_file(path)


def test_numbers_of_another_architecture(path: Path) -> None:
    shapes = shapes_of("squeezenet1_1", 2)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    card = replace(CARD, architecture="squeezenet1_1", classes=("a", "b"), options={})
    save_network(ImageNetwork(card, tensors), path)
    assert load_network_file(path).card == card
    for wrong in (replace(card, classes=("a",)), replace(card, architecture="vgg11")):
        save_network(ImageNetwork(wrong, tensors), path, replace=True)
        with pytest.raises(WeightsError, match="damaged"):
            load_network_file(path)
