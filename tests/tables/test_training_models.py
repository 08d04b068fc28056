"""Trained networks predict tables of images as Orange's models do."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coloured import COLOURS, TOY, coloured_table
from Orange.base import Model
from Orange.data import DiscreteVariable, Domain, StringVariable, Table
from Orange.data.table import DomainTransformationError

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.trained import lend_network
from orangecontrib.imagemining.exceptions import TableError, UnknownNameError
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import image_sources
from orangecontrib.imagemining.tables.networkmodel import (
    EnsembleModel,
    ImageNetworkModel,
)
from orangecontrib.imagemining.tables.training import TableTraining, train_on_table
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights.image_network import ImageNetwork

PLAN = replace(TOY, epochs=12)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TableTraining:
    return train_on_table(coloured_table(tmp_path_factory.mktemp("train")), PLAN)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> ImageNetwork:
    """A network that knows the classes in another order."""
    table = coloured_table(tmp_path_factory.mktemp("other"), seed=5)
    turned = DiscreteVariable("category", ("red", "green", "blue"))
    back = table.transform(Domain([], turned, table.domain.metas))
    with back.unlocked(back.Y):
        back.Y[:] = 2 - table.Y
    return train_on_table(back, replace(PLAN, seed=3)).network


def classless(table: Table) -> Table:
    return table.transform(Domain([], None, table.domain.metas))


def test_new_images(trained: TableTraining, tmp_path: Path) -> None:
    new = coloured_table(tmp_path, n=2, seed=9)
    model = trained.model
    values, probabilities = model(classless(new), Model.ValueProbs)
    assert values.tolist() == [0, 0, 1, 1, 2, 2]
    # the same values in another variable are the same: nothing is rounded anew
    assert new.domain.class_var is not model.domain.class_var
    assert model.get_backmappers(new)[0] is None
    assert np.allclose(probabilities.sum(axis=1), 1)
    spec = EmbedderSpec(lend_network(trained.network), "probabilities")
    sources = image_sources(new, new.domain["image"])
    assert np.array_equal(probabilities, LocalEmbedder(spec)(sources).vectors)
    assert model(new[3]) == 1  # a row alone
    assert model.predict_storage(new[3])[0].tolist() == [1]


def test_classes_are_matched_by_name(trained: TableTraining, tmp_path: Path) -> None:
    colours = {"red": COLOURS["red"], "blue": COLOURS["blue"], "yellow": (160, 160, 0)}
    new = coloured_table(tmp_path, colours, n=2)
    assert new.domain.class_var.values == ("blue", "red", "yellow")
    values, probabilities = trained.model(new[:4], Model.ValueProbs)
    assert values.tolist() == [0, 0, 1, 1]
    own = trained.model(classless(new[:4]), Model.Probs)
    # green is none of the data's classes
    kept = own[:, [0, 2]] / own[:, [0, 2]].sum(axis=1, keepdims=True)
    assert np.allclose(probabilities[:, :2], kept)
    assert (probabilities[:, 2] == 0).all()


def test_images_without_prediction(trained: TableTraining, tmp_path: Path) -> None:
    new = coloured_table(tmp_path, n=2).copy()
    (tmp_path / "red" / "0.png").write_bytes(b"no image")
    with new.unlocked(new.metas):
        new[0, "image"] = ""
    for table in (new, classless(new)):
        values, probabilities = trained.model(table, Model.ValueProbs)
        missing = [True, False, False, False, True, False]
        # Orange's Predictions need a value: that which was most frequent
        assert values.tolist() == [0, 0, 1, 1, 0, 2]
        assert np.isnan(probabilities).all(axis=1).tolist() == missing
        assert not np.isnan(probabilities[1:4]).any()
    _, reasons = trained.model.probabilities(new)
    assert reasons[0] == "No image is given in this row"
    assert reasons[1] is None
    assert reasons[4]


def test_value_where_there_is_no_image(trained: TableTraining, tmp_path: Path) -> None:
    new = coloured_table(tmp_path, n=2)
    (tmp_path / "red" / "0.png").write_bytes(b"no image")
    variable = trained.model.domain.class_var
    shares = (0.2, 0.5, 0.3)
    model = ImageNetworkModel(trained.network, variable, shares=shares)
    values, probabilities = model(new, Model.ValueProbs)
    assert values.tolist() == [0, 0, 1, 1, 1, 2]
    assert np.isnan(probabilities[4]).all()
    model.fills_in = True
    values, probabilities = model(new, Model.ValueProbs)
    assert values.tolist() == [0, 0, 1, 1, 1, 2]
    assert probabilities[4].tolist() == [0.2, 0.5, 0.3]
    wide = DiscreteVariable("category", ("none", "blue", "green", "red"))
    assert ImageNetworkModel(trained.network, wide)(classless(new))[4] == 1


def test_shares_are_those_of_the_training(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    some = table[[row for row in range(24) if row not in (0, 1, 2, 3, 8, 9, 20)]]
    result = train_on_table(some, replace(TOY, validation=0.0))
    assert result.model.shares == (4 / 17, 6 / 17, 7 / 17)


def test_column_is_found(trained: TableTraining, tmp_path: Path) -> None:
    new = coloured_table(tmp_path, n=1)
    own = new.domain["image"]
    photo, scan = StringVariable("photo"), StringVariable("scan")
    for column in (photo, scan):
        column.attributes = dict(own.attributes)
    names = new.get_column("image")[:, np.newaxis]

    def table(*columns: StringVariable) -> Table:
        metas = np.hstack([names] * len(columns)) if columns else None
        return Table.from_numpy(
            Domain([], None, columns), np.empty((3, 0)), None, metas
        )

    assert trained.model(table(photo)).tolist() == [0, 1, 2]
    with pytest.raises(DomainTransformationError, match=r"\(photo, scan\).*image"):
        trained.model(table(photo, scan))
    assert trained.model(table(photo, own)).tolist() == [0, 1, 2]
    with pytest.raises(DomainTransformationError, match="no column of them"):
        trained.model(table())


def test_images_are_read_as_in_training(tmp_path: Path) -> None:
    table = coloured_table(tmp_path / "train")
    table.domain["image"].attributes["rendering"] = "channels=grey"
    model = train_on_table(table, TOY).model
    new = coloured_table(tmp_path / "new", n=1)
    probabilities = model(classless(new), Model.Probs)
    spec = EmbedderSpec(lend_network(model.network), "probabilities")
    grey = image_sources(new, new.domain["image"], "channels=grey")
    assert all(source and source.endswith("#channels=grey") for source in grey)
    assert np.array_equal(probabilities, LocalEmbedder(spec)(grey).vectors)
    plain = LocalEmbedder(spec)(image_sources(new, new.domain["image"])).vectors
    assert not np.allclose(probabilities, plain)


def test_features_are_not_asked_for(trained: TableTraining, tmp_path: Path) -> None:
    # whatever else the training's table had, new tables need it not
    assert len(trained.model.domain.attributes) == 0
    new = coloured_table(tmp_path, n=1)
    wide = new.transform(
        Domain([new.domain["width"]], new.domain.class_var, [new.domain["image"]])
    )
    assert trained.model(wide).tolist() == [0, 1, 2]


def test_pickled_in_another_process(trained: TableTraining, tmp_path: Path) -> None:
    new = classless(coloured_table(tmp_path / "new", n=2, seed=4))
    expected = trained.model(new, Model.Probs)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps((trained.model, new)))
    script = (
        "import pickle, sys, numpy as np\n"
        "model, new = pickle.load(open(sys.argv[1], 'rb'))\n"
        "assert 'torch' not in sys.modules\n"
        "np.save(sys.argv[2], model(new, model.Probs))\n"
    )
    out = tmp_path / "out.npy"
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "model.pickle", out],
        check=True,
        timeout=120,
        env={**__import__("os").environ, "IMAGEMINING_HOME": str(tmp_path / "home")},
    )
    assert np.array_equal(np.load(out), expected)


def test_equality(trained: TableTraining, other: ImageNetwork) -> None:
    model = trained.model
    copy = pickle.loads(pickle.dumps(model))
    assert copy == model
    assert hash(copy) == hash(model)
    variable, column = model.domain.class_var, model.column
    assert (
        ImageNetworkModel(trained.network, variable, column, shares=model.shares)
        == model
    )
    photo = StringVariable("photo")
    assert ImageNetworkModel(trained.network, variable, photo) != model
    assert ImageNetworkModel(trained.network, variable, column, views=2) != model
    assert ImageNetworkModel(other, variable, column) != model
    card = replace(trained.network.card, rendering="channels=grey")
    assert ImageNetworkModel(replace(trained.network, card=card), variable) != model
    assert EnsembleModel([trained.network], variable, column) != model
    copy.fills_in = True
    assert copy != model


def test_class_of_a_network_from_a_file(other: ImageNetwork) -> None:
    model = ImageNetworkModel(other)
    assert model.domain.class_var.name == "category"
    assert model.domain.class_var.values == ("red", "green", "blue")
    assert model.name == other.title
    with pytest.raises(TableError, match="no value red"):
        ImageNetworkModel(other, DiscreteVariable("kind", ("green", "blue")))


def test_views(trained: TableTraining, tmp_path: Path) -> None:
    new = classless(coloured_table(tmp_path, n=1))
    sources = image_sources(new, new.domain["image"])
    model = ImageNetworkModel(trained.network, views=10)
    spec = EmbedderSpec(lend_network(trained.network), "probabilities", 10)
    expected = LocalEmbedder(spec)(sources).vectors
    assert np.array_equal(model(new, Model.Probs), expected)
    assert not np.array_equal(expected, trained.model(new, Model.Probs))
    with pytest.raises(UnknownNameError):
        ImageNetworkModel(trained.network, views=7)


def test_ensemble(trained: TableTraining, other: ImageNetwork, tmp_path: Path) -> None:
    new = classless(coloured_table(tmp_path, n=2, seed=7))
    variable = DiscreteVariable("category", ("green", "red", "blue", "pink"))
    ensemble = EnsembleModel([trained.network, other], variable)
    probabilities = ensemble(new, Model.Probs)
    first = ImageNetworkModel(trained.network)(new, Model.Probs)[:, [1, 2, 0]]
    second = ImageNetworkModel(other)(new, Model.Probs)[:, [1, 0, 2]]
    assert np.allclose(probabilities[:, :3], (first + second) / 2)
    assert (probabilities[:, 3] == 0).all()
    assert ensemble(new).tolist() == [2, 2, 0, 0, 1, 1]
    assert pickle.loads(pickle.dumps(ensemble)) == ensemble
    turned = EnsembleModel([other, trained.network], variable)
    assert np.allclose(turned(new, Model.Probs), probabilities)
    (tmp_path / "green" / "0.png").write_bytes(b"no image")
    missing = np.isnan(ensemble(new, Model.Probs)).all(axis=1)
    assert missing.tolist() == [False] * 2 + [True] + [False] * 3


def test_ensemble_of_other_classes(trained: TableTraining, tmp_path: Path) -> None:
    two = {"blue": COLOURS["blue"], "pink": (160, 80, 120)}
    plan = Plan(network="toy", start="nothing", size=(16, 16), epochs=1)
    network = train_on_table(coloured_table(tmp_path, two), plan).network
    with pytest.raises(TableError) as info:
        EnsembleModel([trained.network, network])
    assert f"{trained.network.title} knows green, {network.title} does not" in str(
        info.value
    )
    with pytest.raises(TableError, match="No network"):
        EnsembleModel([])
