"""Networks on labelled images: the figures are those computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from Orange.data import Domain, Table
from trained_networks import network_of

from orangecontrib.imagemining.embedders.catalog import name_of_file, network_from
from orangecontrib.imagemining.embedders.onnxexport import export_onnx
from orangecontrib.imagemining.exceptions import (
    TableError,
    TaskCancelled,
    UnknownNameError,
)
from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.tables.evaluating import (
    ENSEMBLE,
    Evaluation,
    evaluate_networks,
)
from orangecontrib.imagemining.tables.networkmodel import network_probabilities
from orangecontrib.imagemining.weights.image_network import OnnxNetwork

CLASSES = ("a", "b", "c")


@pytest.fixture
def images(make_folder: Callable[..., Path]) -> Table:
    return table_from_folder(make_folder({"a": 3, "b": 2, "c": 4})).table


def evaluate(data: Table, *networks: object, **options: object) -> Evaluation:
    return evaluate_networks(data, data.domain["image"], networks, **options)  # type: ignore


def said(data: Table, network: object, views: int = 1) -> np.ndarray:
    """Return the probabilities of the data's images."""
    origin = Path(data.domain["image"].attributes["origin"])
    sources = [str(origin / name) for name in data.get_column("image")]
    probabilities, reasons = network_probabilities(network, sources, views)  # type: ignore
    assert reasons == [None] * len(data)
    return probabilities.astype(float)


def test_figures(images: Table) -> None:
    first = network_of(seed=0)
    second = network_of("resnet20_cifar", size=(32, 32), seed=3, title="Second")
    result = evaluate(images, first, second, views=2)
    assert [each.title for each in result.scores] == ["My cells", "Second", ENSEMBLE]
    truth = images.Y.astype(int)
    ps = [said(images, network, 2) for network in (first, second)]
    ps.append((ps[0] + ps[1]) / 2)
    for scores, p in zip(result.scores, ps, strict=True):
        assert scores.top1 == (p.argmax(axis=1) == truth).mean()
        assert math.isnan(scores.top5)  # of three classes
        loss = -np.log(p[np.arange(len(truth)), truth]).mean()
        assert scores.log_loss == pytest.approx(loss, rel=1e-6)
        assert scores.speed > 0
    assert result.scores[0].n_parameters == first.n_parameters == 435
    assert result.scores[0].n_bytes == 435 * 4
    assert result.scores[2].n_parameters == 435 + second.n_parameters
    assert result.scores[2].speed < min(each.speed for each in result.scores[:2])
    assert result.n_images == 9
    assert result.left_out == []
    assert result.why_no_ensemble == ""
    # as tables
    table = result.table
    assert [str(name) for name in table.get_column("network")] == [
        "My cells",
        "Second",
        ENSEMBLE,
    ]
    assert [*table.get_column("top-1")] == [each.top1 for each in result.scores]
    assert [*table.get_column("images")] == [9, 9, 9]
    predictions = result.predictions
    assert len(predictions) == 9
    np.testing.assert_array_equal(predictions.Y, images.Y)
    for place, name in enumerate(CLASSES):
        np.testing.assert_allclose(
            predictions.get_column(f"p({name})"), ps[2][:, place], atol=1e-6
        )
    assert predictions.domain["predicted"].values == CLASSES
    np.testing.assert_array_equal(
        predictions.get_column("predicted"), ps[2].argmax(axis=1)
    )


def test_top_five(make_folder: Callable[..., Path]) -> None:
    classes = tuple("abcdefg")
    data = table_from_folder(make_folder(dict.fromkeys(classes, 2))).table
    network = network_of(classes=classes)
    p = said(data, network)
    best = np.argsort(-p, axis=1)[:, :5]
    hits = [int(y) in row for y, row in zip(data.Y, best, strict=True)]
    (scores,) = evaluate(data, network).scores
    assert scores.top5 == np.mean(hits)
    assert 0 < scores.top5 < 1


def test_classes_in_another_order(images: Table) -> None:
    network = network_of(classes=("c", "a", "b"))
    p = said(images, network)
    names = [images.domain.class_var.values[int(y)] for y in images.Y]
    likeliest = [network.classes[place] for place in p.argmax(1)]
    right = np.mean([a == b for a, b in zip(likeliest, names, strict=True)])
    straight = network_of(seed=1)
    result = evaluate(images, straight, network)
    assert result.scores[1].top1 == right
    together = (said(images, straight) + p[:, [1, 2, 0]]) / 2
    assert result.scores[2].top1 == (together.argmax(1) == images.Y).mean()
    of_truth = together[np.arange(len(images)), images.Y.astype(int)]
    assert result.scores[2].log_loss == pytest.approx(-np.log(of_truth).mean())


def test_unknown_classes_and_bad_images_are_left_out(
    images: Table, tmp_path: Path
) -> None:
    (tmp_path / "pictures" / "a" / "0.png").write_text("no picture")
    data = images.copy()
    with data.unlocked(data.Y):
        data.Y[1] = np.nan
    network = network_of(classes=("a", "b", "x"))
    result = evaluate(data, network_of(seed=2), network)
    assert result.left_out == [
        ("My cells does not know the class c", 4),
        ("A text file, not an image", 1),
        ("They have no class", 1),
    ]
    assert result.n_images == 3
    assert [*result.predictions.Y] == [0, 1, 1]
    assert len(result.scores) == 2
    assert "tell other classes apart, such as c" in result.why_no_ensemble


def test_known_vectors_tell_no_speed(images: Table) -> None:
    network = network_of()
    assert evaluate(images, network).scores[0].speed > 0
    again = evaluate(images, network)
    assert math.isnan(again.scores[0].speed)
    assert np.isnan(again.table.get_column("images/s")[0])


def test_onnx_networks(images: Table, tmp_path: Path) -> None:
    network = network_of()
    path = tmp_path / "cells.onnx"
    export_onnx(network, path)
    loaded = network_from(name_of_file(path))
    (scores,) = evaluate(images, loaded).scores
    assert scores.log_loss == pytest.approx(
        evaluate(images, network).scores[0].log_loss, abs=1e-5
    )
    assert scores.n_bytes == path.stat().st_size
    assert math.isnan(scores.n_parameters)


def test_names_of_columns_that_are_taken(images: Table) -> None:
    once = evaluate(images, network_of()).predictions
    twice = evaluate(once, network_of()).predictions
    names = [variable.name for variable in twice.domain.metas]
    assert len(set(names)) == len(names)
    assert "predicted (1)" in names
    assert "p(a) (1)" in names


def test_what_cannot_be_judged(images: Table) -> None:
    network = network_of()
    with pytest.raises(TableError, match="no categorical class"):
        evaluate(images.transform(Domain([], None, images.domain.metas)), network)
    with pytest.raises(TableError, match="does not know the class a"):
        evaluate(images[:2], network_of(classes=("x", "y")))
    with pytest.raises(TableError, match="not known which classes B"):
        evaluate(images, OnnxNetwork("onnx:/b.onnx", "B"))
    with pytest.raises(UnknownNameError, match="3 views"):
        evaluate(images, network, views=3)


def test_it_can_be_stopped(images: Table) -> None:
    def stop(fraction: float, status: str = "") -> None:
        if fraction > 0.3:
            raise TaskCancelled("enough")

    with pytest.raises(TaskCancelled):
        evaluate(images, network_of(), progress=stop)
