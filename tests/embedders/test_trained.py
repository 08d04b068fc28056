"""Trained networks by their names, run like any other."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from trained_networks import network_of

from orangecontrib.imagemining.embedders import (
    LocalEmbedder,
    check_spec,
    fits_of,
    knows_imagenet,
    views_of,
)
from orangecontrib.imagemining.embedders import trained as trained_module
from orangecontrib.imagemining.embedders.cache import VectorStore, spec_key
from orangecontrib.imagemining.embedders.catalog import (
    card_of,
    engine_and_choice,
    forget_network,
    keep_network,
    kept_networks,
    lend_network,
    network_from,
    network_names,
    version_of,
)
from orangecontrib.imagemining.embedders.engines import (
    choice,
    exported,
    loading,
    pytorch,
)
from orangecontrib.imagemining.embedders.engines.building import built
from orangecontrib.imagemining.embedders.trained import (
    checked_network,
    kept_path,
    prediction_spec,
    published_network,
    trained_network,
)
from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.images import ImageReader, prepare
from orangecontrib.imagemining.specs import EmbedderSpec, Preprocess
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork
from orangecontrib.imagemining.weights.network_file import save_network


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test engines and a folder of its own, on a computer without a GPU."""
    for module, name in (
        (loading, "_LOADED"),
        (loading, "_FAILED"),
        (pytorch, "_ENGINES"),
        (pytorch, "_DENSE"),
        (trained_module, "_LENT"),
    ):
        monkeypatch.setattr(module, name, {})
    trained_module._CARDS.clear()
    monkeypatch.setattr(choice, "_torch_device", lambda: "cpu")
    monkeypatch.delenv("IMAGEMINING_ENGINE", raising=False)
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "home"))


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    paths = []
    for seed in range(3):
        path = tmp_path / f"{seed}.png"
        picture(seed, (40, 30)).save(path)
        paths.append(str(path))
    return paths


def probabilities_by_torch(network: ImageNetwork, path: str) -> np.ndarray:
    """Return what the network says of an image, computed by hand."""
    card = network.card
    with ImageReader() as reader:
        pixels = prepare(reader.read(path), card.preprocess, card.fit)
    preprocess = card.preprocess
    x = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None]
    mean, std = (
        torch.tensor(each).reshape(1, 3, 1, 1)
        for each in (preprocess.mean, preprocess.std)
    )
    with torch.no_grad():
        logits = built(network)((x * preprocess.scale - mean) / std)
        return torch.softmax(logits, 1)[0].numpy()


# names ------------------------------------------------------------------------


def test_lent_as_long_as_somebody_holds_it() -> None:
    network = network_of()
    twin = ImageNetwork(network.card, network.tensors)
    name = lend_network(network)
    assert lend_network(twin) == name
    assert network_from(name) is network
    del network
    gc.collect()
    assert network_from(name) is twin  # equal, but held by somebody else
    del twin
    gc.collect()
    with pytest.raises(WeightsError, match="'my_cells' is not here: connect"):
        card_of(name)
    assert not (trained_module.data_folder() / "networks").exists()


def test_an_embedder_holds_its_network(images: list[str]) -> None:
    name = lend_network(network_of())
    gc.collect()
    with pytest.raises(WeightsError):
        card_of(name)
    network = network_of()
    embedder = LocalEmbedder(EmbedderSpec(lend_network(network), "features"))
    del network
    gc.collect()
    assert np.isfinite(embedder(images).vectors).all()


def test_kept_and_forgotten() -> None:
    network = network_of()
    name = keep_network(network)
    path = kept_path(name)
    assert path.name == f"{name.removeprefix('trained:')}.safetensors"
    content = path.read_bytes()
    assert keep_network(network) == name
    assert path.read_bytes() == content
    expected = network.sha256
    del network
    gc.collect()
    assert trained_network(name).sha256 == expected
    assert [*kept_networks()] == [name]
    assert name not in network_names()
    # a damaged one is written anew by whoever has it
    path.write_bytes(content[:-1])
    assert kept_networks() == {}
    keep_network(network_of())
    assert path.read_bytes() == content
    forget_network(name)
    assert not path.exists()
    gc.collect()
    with pytest.raises(WeightsError, match="is not here"):
        card_of(name)
    with pytest.raises(UnknownNameError, match="No network"):
        forget_network(name)


def test_a_file_under_another_name_is_not_taken() -> None:
    name = keep_network(network_of())
    other = network_of(seed=1).name
    kept_path(name).rename(kept_path(other))
    gc.collect()
    for ask in (card_of, trained_network):
        with pytest.raises(WeightsError, match="another network"):
            ask(other)


@pytest.mark.parametrize("name", ["trained:../x", "trained:a/b", "trained:š", "other"])
def test_names_that_none_can_have(name: str) -> None:
    with pytest.raises(UnknownNameError):
        kept_path(name)


def test_card() -> None:
    network = network_of(
        fit="pad", figures={"accuracy": 0.9}, notes="Mine", license="CC0"
    )
    card = card_of(lend_network(network))
    assert card.title == "My cells"
    assert card.network == "toy"
    assert card.classes == ("a", "b", "c")
    assert card.fit == "pad"
    assert card.license == "CC0"
    assert card.advice == "Mine; 90.0% of the images it was tried on right"
    sizes = {layer.name: layer.size for layer in card.layers}
    assert sizes["features"] == 8
    assert sizes["logits"] == 3
    assert card.layers[0].name == "features"
    assert not knows_imagenet(network.name)
    assert version_of(network.name) is None
    assert EmbedderSpec(network.name, "features").column_prefix == "my_cells_features"


def test_views() -> None:
    small = network_of()
    assert views_of(lend_network(small)) == (1, 2, 8, 10, 12, 144)
    long = network_of(size=(16, 24))
    assert views_of(lend_network(long)) == (1, 2, 10, 12, 144)
    large = network_of(size=(224, 224))
    assert views_of(lend_network(large))[-2:] == ("dense", "dense-multiscale")
    assert fits_of(large.name) == ("stretch", "crop", "pad")


def test_published_weights_as_a_network() -> None:
    network = published_network("squeezenet1_1")
    assert network.classes[0] == "tench"
    assert len(network.classes) == 1000
    assert network.n_parameters == 1_235_496
    assert network_from("squeezenet1_1") == network
    assert checked_network(network).card.layers[0].name == "logits"
    with pytest.raises(UnknownNameError, match="timm alone"):
        network_from("timm:resnet18")


def test_what_cannot_be_built() -> None:
    network = network_of()
    for card, words in (
        (replace(network.card, architecture="gone"), "does not have: gone"),
        (replace(network.card, options={"depth": 3}), "does not take these options"),
        (replace(network.card, classes=("a", "b")), "classifier.bias"),
    ):
        with pytest.raises(WeightsError, match=words):
            checked_network(ImageNetwork(card, network.tensors))
    more = {**network.tensors, "more": np.zeros(2, np.float32)}
    with pytest.raises(WeightsError, match="'more' has"):
        checked_network(ImageNetwork(network.card, more))
    halves = {
        name: tensor.astype(np.float64) for name, tensor in network.tensors.items()
    }
    with pytest.raises(WeightsError, match="float64"):
        checked_network(ImageNetwork(network.card, halves))


# vectors ----------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_probabilities_are_those_of_torch(images: list[str], fit: str) -> None:
    network = network_of(fit=fit)
    spec = prediction_spec(network)
    assert spec == EmbedderSpec(network.name, "probabilities", 1, fit)
    found = LocalEmbedder(spec)(images).vectors
    for path, row in zip(images, found, strict=True):
        np.testing.assert_allclose(
            row, probabilities_by_torch(network, path), atol=1e-6
        )
    assert np.ptp(found, axis=0).max() > 1e-3


def test_all_layers_and_engines_agree(images: list[str]) -> None:
    network = network_of("resnet20_cifar", size=(32, 32))
    name = lend_network(network)
    by_default = engine_and_choice(name)[1]
    assert by_default.name == "torch"
    assert "it trained the network" in by_default.reason
    for layer in (*(each.name for each in card_of(name).layers), "probabilities"):
        vectors = {}
        for engine in ("torch", "onnxruntime"):
            embedder = LocalEmbedder(
                EmbedderSpec(name, layer), cache=VectorStore.in_memory(), engine=engine
            )
            result = embedder(images)
            assert embedder.choice.name == engine
            assert result.reasons == [None] * 3
            assert result.vectors.shape == (3, check_spec(embedder.spec).size)
            vectors[engine] = result.vectors
        size = np.abs(vectors["torch"]).max()
        np.testing.assert_allclose(*vectors.values(), rtol=0, atol=1e-4 * size)


def test_fast_mode(images: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_has_bfloat16", lambda: True)
    network = network_of("resnet20_cifar", size=(32, 32))
    name = lend_network(network)
    fast = choice.choose_engine(name, precision="fast")
    assert (fast.name, fast.precision) == ("openvino", "bfloat16")
    dense = choice.choose_engine(name, precision="fast", views="dense")
    assert (dense.name, dense.precision) == ("torch", "bfloat16")
    monkeypatch.setattr(choice, "_is_installed", lambda package: package == "torch")
    assert choice.choose_engine(name, precision="fast").name == "torch"


def test_crops_and_dense_views(images: list[str]) -> None:
    network = network_of(size=(224, 224))
    for views in (2, 10, 144, "dense"):
        found = LocalEmbedder(prediction_spec(network, views))(images).vectors
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        assert np.ptp(found, axis=0).max() > 1e-3
    # all places of a network that ends with a mean: any size goes through it
    engine = engine_and_choice(network.name, views="dense")[0]
    wide = np.random.default_rng(0).integers(0, 256, (1, 300, 256, 3), np.uint8)
    by_engine = engine.run(wide, ["logits"])["logits"]
    assert by_engine.shape == (1, 3)


def test_vectors_are_known_by_content_not_by_name(images: list[str]) -> None:
    network = network_of()
    same = network_of(title="Renamed", notes="other words")
    other = network_of(seed=1)
    specs = [prediction_spec(each) for each in (network, same, other)]
    assert len({spec.network for spec in specs}) == 3
    keys = [spec_key(spec) for spec in specs]
    assert keys[0] == keys[1] != keys[2]
    LocalEmbedder(specs[0])(images)
    assert LocalEmbedder(specs[1])(images).n_known == 3
    assert LocalEmbedder(specs[2])(images).n_known == 0


def test_few_engines_are_held(images: list[str]) -> None:
    networks = [network_of(seed=seed) for seed in range(7)]
    for network in networks:
        LocalEmbedder(prediction_spec(network))(images)
    assert [key[0] for key in pytorch._ENGINES] == [n.name for n in networks[-4:]]


def test_few_prepared_files_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exported, "_N_TRAINED", 2)
    networks = [network_of(seed=seed) for seed in range(4)]
    for network in networks:
        exported.exported_network(lend_network(network))
    folder = exported.export_path(networks[-1].name).parent
    assert {path for path in folder.iterdir() if path.suffix == ".onnx"} == {
        exported.export_path(network.name) for network in networks[-2:]
    }
    assert len([*folder.iterdir()]) == 4  # each with its note


_PREDICT = """
import json, sys
from pathlib import Path
from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.trained import prediction_spec
from orangecontrib.imagemining.weights.network_file import load_network_file
network = load_network_file(Path(sys.argv[1]))
result = LocalEmbedder(prediction_spec(network, 2))(sys.argv[2:])
print(json.dumps([network.name, result.vectors.tobytes().hex(), result.n_known]))
"""


def test_saved_and_reloaded_elsewhere_predicts_bit_for_bit(
    images: list[str], tmp_path: Path
) -> None:
    network = network_of("resnet20_cifar", size=(32, 32), fit="crop")
    path = tmp_path / "cells.safetensors"
    save_network(network, path)
    here = LocalEmbedder(prediction_spec(network, 2))(images).vectors
    environment = {**os.environ, "IMAGEMINING_HOME": str(tmp_path / "elsewhere")}
    done = subprocess.run(
        [sys.executable, "-c", _PREDICT, str(path), *images],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, there, n_known = json.loads(done.stdout.splitlines()[-1])
    assert name == network.name
    assert n_known == 0
    assert there == here.tobytes().hex()


def test_spec_of_an_onnx_network() -> None:
    network = OnnxNetwork("onnx:/a/b.onnx", "B", ("x", "y"), fit="pad")
    assert prediction_spec(network) == EmbedderSpec(
        "onnx:/a/b.onnx", "probabilities", 1, "pad"
    )
    assert prediction_spec(network, 144).fit == "stretch"


def test_options_and_odd_preprocessing(images: list[str]) -> None:
    network = network_of(
        "squeezenet1_0",
        options={"base_e": 16, "incr_e": 8, "squeeze_ratio": 0.25},
        preprocess=Preprocess(
            (64, 48), (3, 2, 1), (50, 60, 70), 1.0, "bicubic", "BGR", False, (0, 47)
        ),
    )
    found = LocalEmbedder(prediction_spec(network))(images).vectors
    np.testing.assert_allclose(
        found[1], probabilities_by_torch(network, images[1]), atol=1e-6
    )
