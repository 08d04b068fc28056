"""How embedded tables are put together: without a copy too many, and all else kept."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from conftest import picture
from numpy.typing import NDArray
from Orange.data import ContinuousVariable, Domain, StringVariable, Table
from Orange.distance import Euclidean
from PIL import Image

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import embed_table, table_from_folder
from orangecontrib.imagemining.tables.embedded import embed_in_parts
from orangecontrib.imagemining.tables.embedding import ComputeEmbeddings
from orangecontrib.imagemining.tables.widening import with_features

FEATURES = EmbedderSpec("squeezenet1_1", "features")


class MadeUp:
    """A store that knows all vectors: the image's number in all places."""

    def lookup(
        self, sources: list[str], spec: bytes, size: int, progress: Any = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        vectors = np.empty((len(sources), size), np.float32)
        vectors[:] = np.array([int(source) for source in sources])[:, None]
        return vectors, np.ones(len(sources), bool)


def numbered(n: int, n_attributes: int = 0) -> Table:
    image = StringVariable("image")
    image.attributes = {"type": "image"}
    attributes = [ContinuousVariable(f"x{index}") for index in range(n_attributes)]
    return Table.from_numpy(
        Domain(attributes, None, [image]),
        np.ones((n, n_attributes)),
        metas=np.array([[str(row)] for row in range(n)], object),
    )


def test_no_more_than_twice_the_table_is_needed() -> None:
    n = 20_000
    few, table = numbered(10), numbered(n)
    embed_table(few, few.domain["image"], FEATURES, cache=MadeUp())
    tracemalloc.start()
    try:
        embedded = embed_table(
            table, table.domain["image"], FEATURES, cache=MadeUp()
        ).embedded
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    own = embedded.X.nbytes + embedded.metas.nbytes
    assert own > 8 * n * 512
    assert most < 1.8 * own
    np.testing.assert_array_equal(embedded.X[:, 511], np.arange(n))


def test_the_second_embedding_needs_no_more_either() -> None:
    n = 5_000
    table = numbered(n, 1000)
    tracemalloc.start()
    try:
        embedded = embed_table(
            table, table.domain["image"], FEATURES, cache=MadeUp()
        ).embedded
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1.6 * embedded.X.nbytes
    assert (embedded.X[:, :1000] == 1).all()
    np.testing.assert_array_equal(embedded.X[:, 1000], np.arange(n))


def test_orange_gets_the_numbers_it_can_take() -> None:
    table = numbered(4)
    embedded = embed_table(
        table, table.domain["image"], FEATURES, cache=MadeUp()
    ).embedded
    # as float32 they would be refused here
    distances = Euclidean(embedded)
    np.testing.assert_allclose(distances[0, 3], 3 * np.sqrt(512))
    assert embedded.X.dtype == np.float64


def test_parts_are_the_whole_in_order() -> None:
    table = numbered(10)
    seen: list[float] = []
    parts = [
        part.embedded
        for part in embed_in_parts(
            table,
            table.domain["image"],
            FEATURES,
            lambda fraction, status="": seen.append(fraction),
            rows=4,
            cache=MadeUp(),
        )
    ]
    assert [len(part) for part in parts] == [4, 4, 2]
    assert all(part.domain == parts[0].domain for part in parts)
    numbers = np.concatenate([part.X[:, 0] for part in parts])
    np.testing.assert_array_equal(numbers, np.arange(10))
    np.testing.assert_array_equal(np.concatenate([p.ids for p in parts]), table.ids)
    assert seen == sorted(seen) and seen[-1] == 1 and 0.4 in seen


def test_known_ones_are_counted(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 3})
    table = table_from_folder(folder).table
    column = table.domain["image"]
    assert embed_table(table[:2], column, FEATURES).n_known == 0
    assert embed_table(table, column, FEATURES).n_known == 2
    assert embed_table(table, column, FEATURES, classes=True).n_known == 3
    stages = replace(FEATURES, layer="stages")
    assert embed_table(table, column, [FEATURES, stages]).n_known == 0


@pytest.mark.parametrize("n_attributes, stays", [(2000, True), (10, False)])
def test_sparse_features(n_attributes: int, stays: bool) -> None:
    table = numbered(6, n_attributes)
    attributes = [
        ContinuousVariable(f"x{index}", sparse=True) for index in range(n_attributes)
    ]
    words = scipy.sparse.random(6, n_attributes, 0.1, "csr", random_state=0)
    table = Table.from_numpy(
        Domain(attributes, None, table.domain.metas), words, metas=table.metas
    )
    good = np.array([True, False, True, True, True, True])
    vectors = np.arange(6 * 512, dtype=np.float32).reshape(6, 512)
    new = [ContinuousVariable(f"n{index}") for index in range(512)]
    wide = with_features(table, good, new, [vectors])
    # as Orange itself decides
    assert scipy.sparse.issparse(table.transform(wide.domain).X) == stays
    assert scipy.sparse.issparse(wide.X) == stays
    dense = wide.X.toarray() if stays else wide.X
    np.testing.assert_array_equal(dense[:, -512:], vectors[good])
    np.testing.assert_array_equal(dense[:, :-512], words.toarray()[good])
    assert list(wide.get_column("image")) == ["0", "2", "3", "4", "5"]


def test_weights_and_views_of_tables(make_folder: Callable[..., Path]) -> None:
    table = table_from_folder(make_folder({"a": 3, "b": 1})).table
    with table.unlocked():
        table.set_weights(2.0)
        table.W[1] = 5
    out = embed_table(table[1:3], table.domain["image"], FEATURES).embedded
    np.testing.assert_array_equal(out.W, [5, 2])
    np.testing.assert_array_equal(out.ids, table.ids[1:3])


# what a model learned from is how it sees new images ------------------------------


def deep(path: Path, seed: int) -> None:
    """Write a picture of 16 bits, of which a few are used."""
    grey = np.array(picture(seed).convert("L"), np.uint16)
    Image.fromarray(grey * 16).save(path)


def test_new_images_are_read_as_those_learned_from(tmp_path: Path) -> None:
    for name, seed in (("old", 1), ("new", 2)):
        (tmp_path / name).mkdir()
        deep(tmp_path / name / "x.png", seed)
    old = table_from_folder(tmp_path / "old").table
    old.domain["image"].attributes["rendering"] = "contrast=stored"
    learned = embed_table(old, old.domain["image"], FEATURES).embedded
    new = table_from_folder(tmp_path / "new").table
    new.domain["image"].attributes["rendering"] = "contrast=percentiles:5,95"
    domain = pickle.loads(pickle.dumps(learned.domain))
    seen = new.transform(domain).X

    embedder = LocalEmbedder(FEATURES)
    place = str(tmp_path / "new" / "x.png")
    stored, spread = embedder(
        [f"{place}#contrast=stored", f"{place}#contrast=percentiles:5,95"]
    ).vectors
    assert np.abs(stored - spread).max() > 0.1
    np.testing.assert_allclose(seen[0], stored, rtol=1e-5)
    # columns of another rendering are not the same columns
    as_spread = embed_table(new, new.domain["image"], FEATURES).embedded
    np.testing.assert_allclose(as_spread.X[0], spread, rtol=1e-5)
    assert as_spread.domain.attributes[0] != learned.domain.attributes[0]


def test_columns_stored_before_there_were_renderings(
    make_folder: Callable[..., Path],
) -> None:
    table = table_from_folder(make_folder({"a": 1})).table
    spec = EmbedderSpec("squeezenet1_1", "features")  # one that may be changed
    compute = ComputeEmbeddings(table.domain["image"], spec)
    # as it was pickled then
    del compute.__dict__["rendering"]
    del compute.spec.__dict__["precision"]
    old = pickle.loads(pickle.dumps(compute))
    assert "rendering" not in old.__dict__ and "precision" not in old.spec.__dict__
    now = ComputeEmbeddings(table.domain["image"], FEATURES)
    assert old == now and hash(old) == hash(now)
    np.testing.assert_array_equal(old(table), now(table))
    assert old != ComputeEmbeddings(
        table.domain["image"], replace(FEATURES, precision="fast")
    )
