"""Networks that have lost filters and ranks are networks like others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from small_context import CLASSES, toy_images
from trained_networks import network_of

from orangecontrib.imagemining.compression.filters import prunable, without_filters
from orangecontrib.imagemining.compression.lowrank import run
from orangecontrib.imagemining.compression.plan import LowRank
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.catalog import card_of, lend_network
from orangecontrib.imagemining.embedders.engines.building import built
from orangecontrib.imagemining.embedders.onnxexport import export_onnx
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.images import ImageReader, prepare
from orangecontrib.imagemining.specs import EmbedderSpec, no_progress
from orangecontrib.imagemining.training.plan import Augmentation, Plan, Recipe
from orangecontrib.imagemining.training.trainer import Trainer
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)


class Quiet:
    """A context of which only its voice is needed."""

    report = staticmethod(no_progress)

    def note(self, text: str) -> None:
        self.text = text

    def tune(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def reshaped() -> ImageNetwork:
    """A SqueezeNet with a third of its filters gone, and layers in two."""
    options = {"base_e": 32, "incr_e": 8, "last_relu": False, "small_images": True}
    given = network_of(
        "squeezenet1_1", options=options, size=(16, 16), classes=CLASSES, title="Small"
    )
    for name, tensor in given.tensors.items():
        if name.endswith("weight"):
            tensor *= 2.2  # so that much comes out in the end
    working = Working(given)
    without_filters(
        working, {layer: range(n // 3) for layer, n in prunable(working).items()}
    )
    run(LowRank(energy=0.6), working, Quiet())  # type: ignore[arg-type]
    made = working.image_network()
    assert made.card.options["reshaped"].keys() == {"inputs", "outputs", "ranks"}
    assert made.n_parameters < 0.5 * given.n_parameters
    return made


def test_all_its_vectors_by_embedders(reshaped: ImageNetwork, tmp_path: Path) -> None:
    lend_network(reshaped)
    path = str(tmp_path / "image.png")
    picture(1, (20, 16)).save(path)
    card = reshaped.card
    with ImageReader() as reader:
        pixels = prepare(reader.read(path), card.preprocess, card.fit)
    mean, std = np.array(card.preprocess.mean), np.array(card.preprocess.std)
    x = ((pixels * card.preprocess.scale - mean) / std).transpose(2, 0, 1)[None]
    network = Working(reshaped).network
    layers = {layer.name: layer.size for layer in card_of(reshaped.name).layers}
    assert layers["features"] == 56 - 2 * (28 // 3)
    with torch.inference_mode():
        expected = network.embed(torch.from_numpy(x.astype("float32")), [*layers])
        logits = network(torch.from_numpy(x.astype("float32")))
    assert torch.equal(logits, expected["logits"]) and logits.std() > 0.01
    for layer in ("features", "stages", "stage2:avg+max", "logits"):
        (vector,) = LocalEmbedder(EmbedderSpec(reshaped.name, layer))([path]).vectors
        assert len(vector) == layers[layer]
        np.testing.assert_allclose(vector, expected[layer][0], atol=1e-4, rtol=1e-3)


def test_files(reshaped: ImageNetwork, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_network(reshaped, path)
    again = load_network_file(path)
    assert again == reshaped
    assert again.card.options == reshaped.card.options
    assert export_onnx(again, tmp_path / "small.onnx") > 4 * reshaped.n_parameters
    # a card that says other shapes than its numbers have
    options = {**reshaped.card.options, "reshaped": {"ranks": {"features.0": 2}}}
    for card in (
        replace(reshaped.card, options=options, layers=()),
        replace(reshaped.card, options={}, layers=()),
    ):
        with pytest.raises(WeightsError):
            built(replace(reshaped, card=card))


@pytest.mark.parametrize("learns", ["all", "head"])
def test_training_goes_on(reshaped: ImageNetwork, learns: str) -> None:
    plan = Plan(
        network="",
        start="given",
        learns=learns,
        recipe=Recipe(learning_rate=0.01, batch=8),
        augmentation=Augmentation(mirror=False),
        size=(16, 16),
        batch=8,
        epochs=1,
        validation=0.25,
        precision="float32",
        device="cpu",
    )
    classes = CLASSES if learns == "all" else ("a", "b", "c")
    made = Trainer(plan, classes, toy_images(), start=reshaped).fit().network
    assert made.card.options["reshaped"] == reshaped.card.options["reshaped"]
    assert made.n_parameters == reshaped.n_parameters
    changed = {
        name
        for name, tensor in made.tensors.items()
        if not np.array_equal(tensor, reshaped.tensors[name])
    }
    if learns == "head":
        assert changed == {"classifier.1.weight", "classifier.1.bias"}
    else:
        assert changed > {"classifier.1.weight", "features.0.weight"}
    assert Working(made).network(torch.zeros(1, 3, 16, 16)).shape == (1, 3)
