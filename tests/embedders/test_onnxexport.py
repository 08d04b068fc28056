"""Trained networks as ONNX files: for other programs, and as own networks here."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import picture
from trained_networks import network_of

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.catalog import (
    card_of,
    name_of_file,
    network_from,
)
from orangecontrib.imagemining.embedders.engines import exported
from orangecontrib.imagemining.embedders.engines.building import built
from orangecontrib.imagemining.embedders.onnxexport import copy_onnx, export_onnx
from orangecontrib.imagemining.embedders.trained import prediction_spec
from orangecontrib.imagemining.exceptions import (
    FilesExistError,
    TaskCancelled,
    WeightsError,
)
from orangecontrib.imagemining.networks._base import _parts, grid_means
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights.cards import card_path, load_card
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork

ODD = Preprocess((48, 40), (3, 2, 1), (50, 60, 70), 1.0, "bicubic", "BGR", True, (0, 7))
FAMILIES: dict[str, dict[str, Any]] = {
    "toy": {"size": (16, 20)},
    "squeezenet1_1": {"size": (48, 48)},
    "squeezenet1_0_complex_bypass": {"preprocess": ODD},
    "resnet20_cifar": {"size": (32, 32)},
    # 64 pixels leave 2 × 2 positions, 80 leave 2: the grid of 7 × 7 has to be spread
    "vgg11_bn": {"size": (80, 64), "options": {"width": 0.05}},
}
# these take seconds each, and hundreds of megabytes
LARGE: dict[str, dict[str, Any]] = {
    "alexnet": {"size": (70, 80)},
    "resnet50": {"size": (64, 64)},
    "inception_v3": {"size": (96, 96)},
    "inception_v4": {"size": (96, 96)},
    "inception_resnet_v1": {"size": (96, 96)},
    "inception_resnet_v2": {"size": (96, 96)},
}
if os.environ.get("IMAGEMINING_TEST_ALL_NETWORKS"):
    FAMILIES.update(LARGE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cells.onnx"


def by_torch(network: ImageNetwork, rgb: np.ndarray) -> dict[str, np.ndarray]:
    """Return what torch says of (n, height, width, 3) pixels in red, green, blue."""
    preprocess = network.card.preprocess
    if preprocess.channels == "BGR":
        rgb = rgb[..., ::-1]
    if preprocess.swapped_columns:
        first, second = preprocess.swapped_columns
        rgb = rgb.copy()
        rgb[:, :, [first, second]] = rgb[:, :, [second, first]]
    x = (rgb * preprocess.scale - preprocess.mean) / preprocess.std
    pixels = torch.from_numpy(x.astype(np.float32).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        vectors = built(network).embed(pixels, ["logits", "features"])
        vectors["probabilities"] = torch.softmax(vectors["logits"], 1)
    return {name: vector.numpy() for name, vector in vectors.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_another_program_gets_what_torch_gets(path: Path, family: str) -> None:
    network = network_of(family, **FAMILIES[family])
    size = export_onnx(network, path)
    assert size == path.stat().st_size
    height, width = network.card.preprocess.size
    pixels = np.random.default_rng(0).integers(0, 256, (5, height, width, 3))
    session = onnxruntime.InferenceSession(
        path.read_bytes(), providers=["CPUExecutionProvider"]
    )
    (port,) = session.get_inputs()
    assert (port.name, port.type) == ("image", "tensor(float)")
    assert port.shape[1:] == [3, height, width]
    image = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    names = ["logits", "probabilities", "features"]
    assert [output.name for output in session.get_outputs()] == names
    expected = by_torch(network, pixels)
    for n in (1, 5):
        found = session.run(names, {"image": image[:n]})
        for name, vectors in zip(names, found, strict=True):
            right = expected[name][:n]
            assert vectors.shape == right.shape
            error = np.abs(vectors - right).max() / np.abs(right).max()
            assert error <= 1e-4, name
    np.testing.assert_allclose(found[1].sum(axis=1), 1, atol=1e-5)
    logits = expected["logits"]
    assert np.ptp(logits, axis=0).max() > 0.01 * np.abs(logits).max()


def test_what_the_file_tells(path: Path) -> None:
    network = network_of(license="CC0", classes=("a", "žaba", "c"))
    export_onnx(network, path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 17
    told = {pair.key: pair.value for pair in model.metadata_props}
    assert json.loads(told["classes"]) == ["a", "žaba", "c"]
    assert (told["title"], told["licence"]) == ("My cells", "CC0")
    assert told["sha256"] == network.sha256
    assert json.loads(told["card"])["architecture"] == "toy"


def test_read_here_with_one_click(path: Path, tmp_path: Path) -> None:
    network = network_of(
        fit="crop", license="CC0", trained_on="30 images", rendering="max"
    )
    export_onnx(network, path)
    name = name_of_file(path)
    loaded = network_from(name)
    assert isinstance(loaded, OnnxNetwork)
    assert (loaded.title, loaded.classes) == ("My cells", ("a", "b", "c"))
    assert (loaded.fit, loaded.rendering) == ("crop", "max")
    card = card_of(name)
    assert [layer.name for layer in card.layers] == ["features", "logits"]
    assert (card.license, card.trained_on, card.classes) == (
        "CC0",
        "30 images",
        loaded.classes,
    )
    image = tmp_path / "1.png"
    picture(1).save(image)
    vectors = [
        LocalEmbedder(prediction_spec(each, 2))([str(image)]).vectors
        for each in (network, loaded)
    ]
    np.testing.assert_allclose(*vectors, atol=1e-5)


def test_nothing_is_overwritten_unasked(path: Path) -> None:
    network = network_of()
    path.write_text("mine")
    with pytest.raises(FilesExistError, match=r"cells\.onnx is there"):
        export_onnx(network, path)
    path.unlink()
    card_path(path).write_text("mine too")
    with pytest.raises(FilesExistError, match=r"cells\.onnx\.json is there"):
        export_onnx(network, path)
    # what is no card is never replaced
    with pytest.raises(FilesExistError, match="is no card"):
        export_onnx(network, path, replace=True)
    assert [each.name for each in path.parent.iterdir()] == ["cells.onnx.json"]
    assert card_path(path).read_text() == "mine too"
    card_path(path).unlink()
    export_onnx(network, path)
    export_onnx(network_of(title="Second"), path, replace=True)
    assert load_card(path).title == "Second"


def test_what_breaks_off_leaves_nothing(path: Path) -> None:
    def stop(fraction: float, status: str = "") -> None:
        if status.startswith("Writing"):
            raise TaskCancelled("enough")

    with pytest.raises(TaskCancelled):
        export_onnx(network_of(), path, progress=stop)
    assert [*path.parent.iterdir()] == []
    with pytest.raises(WeightsError, match="cannot be written to"):
        export_onnx(network_of(), path.parent / "no" / "cells.onnx")


def test_a_file_that_computes_something_else_is_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exported, "_MOST_ERROR", -1.0)
    with pytest.raises(WeightsError, match="My cells cannot be saved as ONNX"):
        export_onnx(network_of(), path)
    assert not path.exists()


def test_copies(path: Path, tmp_path: Path) -> None:
    export_onnx(network_of(), path)
    loaded = network_from(name_of_file(path))
    assert isinstance(loaded, OnnxNetwork)
    target = tmp_path / "copy.onnx"
    assert copy_onnx(loaded, target) == path.stat().st_size
    assert target.read_bytes() == path.read_bytes()
    assert load_card(target) == replace(load_card(path), file="copy.onnx")
    with pytest.raises(FilesExistError):
        copy_onnx(loaded, target)
    copy_onnx(loaded, target, replace=True)
    with pytest.raises(WeightsError, match="own file"):
        copy_onnx(loaded, path, replace=True)
    export_onnx(network_of(seed=1), path, replace=True)
    with pytest.raises(WeightsError, match="changed since it was loaded"):
        copy_onnx(loaded, target, replace=True)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 7), (8, 13), (14, 20)])
def test_means_over_a_grid(size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size)
    right = torch.nn.functional.adaptive_avg_pool2d(features, 7)
    torch.testing.assert_close(grid_means(features, 7), right)
    # as it is written into ONNX files
    rows, columns = (_parts(side, 7) for side in size)
    torch.testing.assert_close(rows @ features @ columns.T, right)
