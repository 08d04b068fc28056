"""The last linear map alone: on embeddings, which are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coloured import TOY, coloured_table
from Orange.base import Model
from Orange.data import Table

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.trained import lend_network
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import image_sources
from orangecontrib.imagemining.tables.learner import TrainNetworkLearner
from orangecontrib.imagemining.tables.training import train_on_table
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights.image_network import ImageNetwork

HEAD = Plan(network="", start="given", learns="head", validation=0.25)
OTHERS = {"black": (0, 0, 0), "red": (160, 0, 0), "white": (190, 190, 190)}


def of_layer(network: ImageNetwork, layer: str, table: Table) -> np.ndarray:
    embedder = LocalEmbedder(EmbedderSpec(lend_network(network), layer))
    return embedder(image_sources(table, table.domain["image"])).vectors


@pytest.fixture(scope="module")
def below(tmp_path_factory: pytest.TempPathFactory) -> ImageNetwork:
    table = coloured_table(tmp_path_factory.mktemp("below"))
    return train_on_table(table, replace(TOY, epochs=6)).network


def test_rest_stays_as_it_was(below: ImageNetwork, tmp_path: Path) -> None:
    table = coloured_table(tmp_path, OTHERS)
    result = train_on_table(table, HEAD, start=below, title="shades")
    network = result.network
    assert network.title == "shades"
    assert network.card.architecture == "toy"
    assert network.classes == ("black", "red", "white")
    for name, tensor in below.tensors.items():
        same = np.array_equal(tensor, network.tensors[name])
        assert same == (not name.startswith("classifier"))
    features = of_layer(below, "features", table)
    assert np.array_equal(of_layer(network, "features", table), features)
    weight, bias = (network.tensors[f"classifier.{n}"] for n in ("weight", "bias"))
    logits = of_layer(network, "logits", table)
    assert np.allclose(logits, features @ weight.T + bias, atol=1e-4)
    values = result.model(table)
    assert (values == table.Y).mean() > 0.9
    assert "does not know black, white," in result.notes[0]


def test_history(below: ImageNetwork, tmp_path: Path) -> None:
    table = coloured_table(tmp_path, OTHERS)
    table.domain["image"].attributes["rendering"] = "stack=max"
    result = train_on_table(table, HEAD, start=below)
    last = result.history.epochs[-1]
    assert [epoch.epoch for epoch in result.history.epochs] == list(
        range(1, len(result.history.epochs) + 1)
    )
    assert len(result.log) == len(result.history.epochs)
    assert last.loss <= result.history.epochs[0].loss
    assert last.confusion is not None
    assert last.confusion.sum() == len(result.prepared.validation) == 6
    right = np.trace(last.confusion) / 6
    assert np.isclose(last.validation_accuracy, right)
    judged = table[result.prepared.validation_rows]
    assert np.isclose((result.model(judged) == judged.Y).mean(), right)
    card = result.network.card
    assert card.figures["accuracy"] == last.validation_accuracy
    assert card.figures["images"] == 18
    assert card.rendering == "stack=max"
    assert card.start == below.name
    assert card.recipe["learns"] == "head"


def test_nothing_to_validate_with(below: ImageNetwork, tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    result = train_on_table(table, replace(HEAD, validation=0.0), start=below)
    assert np.isnan(result.log.get_column("validation accuracy")).all()
    assert len(result.prepared.training) == 24


def test_images_that_cannot_be_read(below: ImageNetwork, tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    (tmp_path / "green" / "3.png").write_bytes(b"no image")
    result = train_on_table(table, HEAD, start=below)
    assert [row for row, _ in result.left_out] == [11]
    rows = [*result.prepared.training_rows, *result.prepared.validation_rows]
    assert sorted(rows) == [row for row in range(24) if row != 11]


def test_another_size(below: ImageNetwork, tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    result = train_on_table(table, replace(HEAD, size=(9, 9)), start=below)
    assert result.network.card.preprocess.size == (9, 9)
    smaller = replace(
        below, card=replace(below.card, preprocess=result.network.card.preprocess)
    )
    expected = of_layer(smaller, "features", table)
    assert np.array_equal(of_layer(result.network, "features", table), expected)
    assert not np.array_equal(expected, of_layer(below, "features", table))


def test_published_weights(tmp_path: Path) -> None:
    table = coloured_table(tmp_path, n=4)
    plan = Plan(network="squeezenet1_1", learns="head", validation=0.25)
    result = train_on_table(table, plan)
    assert (result.model(table) == table.Y).all()
    assert result.network.card.start.startswith("SqueezeNet 1.1")
    spec = EmbedderSpec("squeezenet1_1", "features")
    sources = image_sources(table, table.domain["image"])
    # those of Image Embedding, so that they need not be computed again
    assert LocalEmbedder(spec)(sources).n_known == 12


def test_learner(below: ImageNetwork, tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    model = TrainNetworkLearner(HEAD, below)(table)
    expected = train_on_table(table, HEAD, start=below).model
    assert np.array_equal(model(table, Model.Probs), expected(table, Model.Probs))


def test_network_that_begins_from_nothing(tmp_path: Path) -> None:
    plan = Plan(network="toy", start="nothing", learns="head")
    with pytest.raises(TrainingError, match="says nothing yet"):
        train_on_table(coloured_table(tmp_path), plan)


def test_given_network_of_another_kind(below: ImageNetwork, tmp_path: Path) -> None:
    plan = replace(HEAD, network="resnet20_cifar")
    with pytest.raises(TrainingError, match="is no resnet20_cifar"):
        train_on_table(coloured_table(tmp_path), plan, start=below)
