"""Training as Orange's evaluation calls it: fold after fold, alike each time."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coloured import TOY, coloured_table
from Orange import evaluation
from Orange.base import Model
from Orange.data import Domain, Table
from Orange.evaluation import CA, CrossValidation

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.tables.decoded import DecodedImages
from orangecontrib.imagemining.tables.learner import TrainNetworkLearner
from orangecontrib.imagemining.tables.training import train_on_table
from orangecontrib.imagemining.training.inputs import preprocess_of
from orangecontrib.imagemining.weights import data_folder


def evaluated(sampler: Any, *tables: Table, learner: TrainNetworkLearner) -> Any:
    return sampler(*tables, [learner], suppresses_exceptions=False)


def test_cross_validation_is_the_script(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    learner = TrainNetworkLearner(TOY)
    sampler = CrossValidation(k=3, random_state=42, store_data=True)
    results = evaluated(sampler, table, learner=learner)
    for fold, (train, test) in zip(
        results.folds, sampler.get_indices(table), strict=True
    ):
        model = train_on_table(table[train], TOY).model
        values, probabilities = model(table[test], Model.ValueProbs)
        assert np.array_equal(results.predicted[0][fold], values)
        assert np.array_equal(results.probabilities[0][fold], probabilities)
    assert 0 <= CA(results)[0] <= 1


def test_test_data_is_the_script(tmp_path: Path) -> None:
    table = coloured_table(tmp_path / "train")
    new = coloured_table(tmp_path / "test", n=3, seed=2)
    results = evaluated(
        evaluation.TestOnTestData(), table, new, learner=TrainNetworkLearner(TOY)
    )
    expected = train_on_table(table, TOY).model(new, Model.Probs)
    # the data's class is another variable of the same values
    assert np.array_equal(results.probabilities[0], expected)


def test_images_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = coloured_table(tmp_path)
    read: list[str] = []
    original = ImageReader.read_at_least

    def read_at_least(self: ImageReader, source: str, *rest: Any) -> Any:
        read.append(source)
        return original(self, source, *rest)

    monkeypatch.setattr(ImageReader, "read_at_least", read_at_least)
    learner = TrainNetworkLearner(TOY)
    # as Test & Score does, which trains copies of the learners that it is given
    for rows in (range(0, 24, 2), range(24), range(1, 24, 2)):
        copy.deepcopy(learner)(table[list(rows)])
    assert len(read) == len(set(read)) == 24
    learner.decoded.clear()
    learner(table)
    assert len(read) == 48


def test_files_that_changed_are_read_again(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    learner = TrainNetworkLearner(TOY)
    before = learner(table)
    coloured_table(tmp_path, seed=8)
    after = learner(table)
    assert after.network != before.network
    assert after.network == TrainNetworkLearner(TOY)(table).network


def test_pool_of_images(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    sources = [str(tmp_path / "red" / f"{number}.png") for number in range(8)]
    sources.insert(3, str(tmp_path / "nothing.png"))
    sources.append(sources[0])
    preprocess = preprocess_of(TOY)
    plans = [TOY, replace(TOY, augmentation=replace(TOY.augmentation, crop="area"))]
    for plan in plans:
        pool = DecodedImages()
        for rows in ([0, 1, 2, 3], [5, 0, 4], list(range(10)), [9, 8]):
            chosen = [sources[row] for row in rows]
            labels = np.array(rows, np.int64)
            images, reasons = pool.read(chosen, labels, plan, preprocess)
            alone, expected = DecodedImages().read(chosen, labels, plan, preprocess)
            assert reasons == expected
            assert [reason is None for reason in reasons] == [r != 3 for r in rows]
            good = [row for row in rows if row != 3]
            assert images.labels.tolist() == good
            assert images.rows.tolist() == [rows.index(row) for row in good]
            every = list(range(len(good)))
            assert np.array_equal(images.prepared(every), alone.prepared(every))
            for number in every:
                assert np.array_equal(images.whole(number), alone.whole(number))
            assert np.array_equal(images.sizes, alone.sizes)
    assert len(table) == 24


def test_pool_has_a_bound(tmp_path: Path) -> None:
    coloured_table(tmp_path)
    sources = [str(tmp_path / "red" / f"{number}.png") for number in range(8)]
    labels = np.zeros(8, np.int64)
    pool = DecodedImages(most=8 * 16 * 16 * 3 - 1)
    images, _ = pool.read(sources, labels, TOY, preprocess_of(TOY))
    assert len(images) == 8
    assert pool.n_bytes == 0
    roomy = DecodedImages()
    roomy.read(sources, labels, TOY, preprocess_of(TOY))
    assert roomy.n_bytes == 8 * 16 * 16 * 3
    assert pickle.loads(pickle.dumps(roomy)).n_bytes == 0


def test_nothing_is_kept_in_the_users_folders(tmp_path: Path) -> None:
    def files() -> list[Path]:
        return sorted(path for path in data_folder().rglob("*") if path.is_file())

    table = coloured_table(tmp_path)
    model = TrainNetworkLearner(TOY)(table)
    before = files()
    evaluated(CrossValidation(k=2), table, learner=TrainNetworkLearner(TOY))
    assert files() == before
    assert not model.keeps_vectors


def test_images_that_cannot_be_read_spoil_no_scores(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    (tmp_path / "green" / "2.png").write_bytes(b"no image")
    results = evaluated(
        CrossValidation(k=2, random_state=1), table, learner=TrainNetworkLearner(TOY)
    )
    assert not np.isnan(results.predicted).any()
    assert not np.isnan(results.probabilities).any()
    assert np.isfinite(CA(results)[0])


def test_rows_without_class(tmp_path: Path) -> None:
    table = coloured_table(tmp_path).copy()
    with table.unlocked(table.Y):
        table.Y[[0, 10]] = np.nan
    model = TrainNetworkLearner(TOY)(table)
    assert model.used_vals[0].tolist() == [0, 1, 2]
    assert model.fills_in
    expected = train_on_table(table[~np.isnan(table.Y)], TOY).network
    assert model.network == expected


def test_data_domain_is_of_no_concern(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    domain = table.domain
    wide = table.transform(
        Domain([domain["width"], domain["height"]], domain.class_var, [domain["image"]])
    )
    model = TrainNetworkLearner(TOY)(wide)
    assert model.original_domain == wide.domain
    assert [meta.name for meta in model.domain.metas] == ["image"]
    assert np.array_equal(model(table, Model.Probs), model(wide, Model.Probs))


@pytest.mark.parametrize(
    ("columns", "words"),
    [(("category", ""), "no column of images"), (("", "image"), "no class")],
)
def test_columns_that_do_not_do(
    tmp_path: Path, columns: Sequence[str], words: str
) -> None:
    table = coloured_table(tmp_path)
    class_var, meta = (table.domain[name] if name else None for name in columns)
    bad = table.transform(Domain([], class_var, [meta] if meta else []))
    learner = TrainNetworkLearner(TOY)
    assert words in str(learner.incompatibility_reason(bad.domain))
    assert learner.incompatibility_reason(table.domain) is None
    with pytest.raises(ValueError, match=words):
        learner(bad)


def test_progress_and_name(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    learner = TrainNetworkLearner(TOY)
    learner.name = "cells"
    told: list[float] = []

    def progress(fraction: float, status: str = "") -> None:
        told.append(fraction)

    assert learner(table, progress).name == "cells"
    assert told[-1] == 1
    assert sum(0.1 < fraction < 1 for fraction in told) > 4
    assert learner.params == {"plan": TOY, "start": None, "column": ""}


def test_pickled_learner(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    learner = TrainNetworkLearner(TOY)
    model = learner(table)
    again = pickle.loads(pickle.dumps(learner))
    assert again.plan == TOY
    assert again(table) == model
    assert copy.deepcopy(learner).decoded is learner.decoded


def test_given_up(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    learner = TrainNetworkLearner(TOY)
    told: list[float] = []

    def progress(fraction: float, status: str = "") -> None:
        told.append(fraction)
        if fraction > 0.5:
            learner.give_up()  # as from another thread

    with pytest.raises(TaskCancelled):
        copy.copy(learner)(table, progress)
    assert 0.5 < told[-1] < 0.95
    with pytest.raises(TaskCancelled):
        learner(table)
    assert pickle.loads(pickle.dumps(learner))(table).network


def test_given_network(tmp_path: Path) -> None:
    table = coloured_table(tmp_path)
    start = train_on_table(table, TOY).network
    plan = replace(TOY, start="given", epochs=1)
    model = TrainNetworkLearner(plan, start)(table)
    assert model.network == train_on_table(table, plan, start=start).network
    assert model.network != start
