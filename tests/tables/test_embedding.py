"""Embeddings in tables, and models that embed new images by themselves."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from Orange.classification import LogisticRegressionLearner
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)
from PIL import Image

from orangecontrib.imagemining.embedders import LocalEmbedder, class_names
from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import (
    embed_table,
    image_sources,
    table_from_folder,
)
from orangecontrib.imagemining.tables.embedding import (
    ComputeEmbeddings,
    EmbeddingColumn,
    PlainColumn,
)
from orangecontrib.imagemining.weights import WEIGHTS

FEATURES = EmbedderSpec("squeezenet1_1", "features")
OLD = EmbedderSpec("squeezenet_imageanalytics", "logits")
OLD_DATA = Path(__file__).parents[1] / "data" / "old_workflows"


def coloured(folder: Path, seed: int, n: int = 4) -> Path:
    """Write n reddish and n bluish pictures."""
    for category, channel in (("blue", 2), ("red", 0)):
        (folder / category).mkdir(parents=True)
        for index in range(n):
            seed += 1
            pixels = np.array(picture(seed)) // 3
            pixels[:, :, channel] += 160
            Image.fromarray(pixels).save(folder / category / f"{index}.png")
    return folder


def embedded(folder: Path, spec: EmbedderSpec = FEATURES) -> Table:
    table = table_from_folder(folder).table
    result = embed_table(table, table.domain["image"], spec).embedded
    assert result is not None
    return result


def test_all_else_is_kept(make_folder: Callable[..., Path]) -> None:
    table = table_from_folder(make_folder({"a": 2, "b": 1})).table
    number = ContinuousVariable("number")
    table = table.add_column(number, np.arange(3.0))
    table.name, table.attributes = "my table", {"key": "value"}
    result = embed_table(table, table.domain["image"], FEATURES)
    out = result.embedded
    assert result.skipped is None
    assert out.domain.attributes[0] is number
    assert len(out.domain.attributes) == 1 + 512
    assert out.domain.class_vars == table.domain.class_vars
    assert out.domain.metas == table.domain.metas
    assert out.domain["image"].attributes == table.domain["image"].attributes
    np.testing.assert_array_equal(out.ids, table.ids)
    np.testing.assert_array_equal(out.Y, table.Y)
    np.testing.assert_array_equal(out.X[:, 0], [0, 1, 2])
    assert out.name == "my table" and out.attributes == {"key": "value"}
    assert table.X.shape == (3, 1)


class Corpus(Table):
    """A table of another kind, as other add-ons have."""


def test_kind_of_table_is_kept(make_folder: Callable[..., Path]) -> None:
    table = table_from_folder(make_folder({"a": 2})).table
    (Path(table.domain["image"].attributes["origin"]) / "a" / "0.png").write_text("x")
    corpus = Corpus.from_table(table.domain, table)
    result = embed_table(corpus, corpus.domain["image"], FEATURES)
    assert type(result.embedded) is Corpus
    assert type(result.skipped) is Corpus


def test_names_tell_network_layer_and_views(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 1})
    assert embedded(folder).domain.attributes[3].name == "squeezenet1_1_features_3"
    eight = embedded(folder, EmbedderSpec("squeezenet1_1", "stages", 8))
    assert eight.domain.attributes[3].name == "squeezenet1_1_stages_8views_3"


def test_second_embedding_of_the_same_kind_gets_other_names(
    make_folder: Callable[..., Path],
) -> None:
    once = embedded(make_folder({"a": 1}))
    twice = embed_table(once, once.domain["image"], FEATURES).embedded
    names = [variable.name for variable in twice.domain.attributes]
    assert len(set(names)) == len(names) == 1024
    np.testing.assert_array_equal(twice.X[:, :512], twice.X[:, 512:])


def test_skipped_rows_have_reasons(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 3})
    (folder / "a" / "1.png").write_bytes(b"")
    table = table_from_folder(folder).table
    result = embed_table(table, table.domain["image"], FEATURES)
    assert len(result.embedded) == 2
    assert not np.isnan(result.embedded.X).any()
    (row,) = result.skipped
    assert str(row["image"]) == "a/1.png"
    assert "empty" in str(row["reason"])
    assert result.skipped.ids[0] == table.ids[1]


def test_reason_column_does_not_collide(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 1})
    (folder / "a" / "0.png").write_bytes(b"")
    table = table_from_folder(folder).table
    table = table.add_column(StringVariable("reason"), ["mine"], to_metas=True)
    skipped = embed_table(table, table.domain["image"], FEATURES).skipped
    assert str(skipped[0]["reason"]) == "mine"
    assert "empty" in str(skipped[0]["reason (1)"])


def test_columns_compute_themselves(make_folder: Callable[..., Path]) -> None:
    out = embedded(make_folder({"a": 2, "b": 2}))
    new = table_from_folder(make_folder({"c": 3}, "new")).table
    expected = embedded(Path(new.domain["image"].attributes["origin"]))
    transformed = new.transform(out.domain)
    np.testing.assert_allclose(transformed.X, expected.X, rtol=1e-4, atol=1e-3)


def test_unreadable_images_of_a_transformed_table_are_missing_values(
    make_folder: Callable[..., Path],
) -> None:
    out = embedded(make_folder({"a": 1}))
    folder = make_folder({"c": 2}, "new")
    (folder / "c" / "0.png").write_bytes(b"")
    new = table_from_folder(folder).table.transform(out.domain)
    assert np.isnan(new.X[0]).all()
    assert np.isfinite(new.X[1]).all()


def test_image_column_of_another_name(make_folder: Callable[..., Path]) -> None:
    out = embedded(make_folder({"a": 1}))
    photo, other = StringVariable("photo"), StringVariable("other")
    photo.attributes = {"type": "image", "origin": str(make_folder({"a": 1}))}
    rows = [["a/0.png", "a/0.png"]]
    table = Table.from_list(Domain([], None, [photo, other]), rows)
    np.testing.assert_allclose(table.transform(out.domain).X, out.X, rtol=1e-5)
    other.attributes = {"type": "image"}
    assert np.isnan(table.transform(out.domain).X).all()


def test_tables_without_images_have_missing_values(
    make_folder: Callable[..., Path],
) -> None:
    out = embedded(make_folder({"a": 1}))
    iris = Table("iris")[:3]
    assert np.isnan(iris.transform(out.domain).X).all()
    assert len(Table.concatenate([out, iris.transform(out.domain)])) == 4


def test_model_predicts_from_new_images(tmp_path: Path) -> None:
    model = LogisticRegressionLearner()(embedded(coloured(tmp_path / "old", 0)))
    model = pickle.loads(pickle.dumps(model))
    new = table_from_folder(coloured(tmp_path / "new", 100)).table
    assert not new.domain.attributes
    np.testing.assert_array_equal(model(new), new.Y)


def test_two_embeddings_of_one_kind_are_the_same_columns(
    make_folder: Callable[..., Path],
) -> None:
    first = embedded(make_folder({"a": 1}))
    second = embedded(make_folder({"b": 1}, "other"))
    assert first.domain.attributes == second.domain.attributes
    merged = Table.concatenate([first, second])
    assert merged.X.shape == (2, 512)


def test_equality_and_hash() -> None:
    image, other = StringVariable("image"), StringVariable("other")
    stages = EmbedderSpec("squeezenet1_1", "stages")
    shared = ComputeEmbeddings(image, FEATURES)
    same = ComputeEmbeddings(StringVariable("image"), FEATURES)
    assert shared == same and hash(shared) == hash(same)
    assert shared != ComputeEmbeddings(other, FEATURES)
    assert shared != ComputeEmbeddings(image, stages)
    assert shared != "something else"
    column = EmbeddingColumn(shared, 3)
    assert column == EmbeddingColumn(same, 3)
    assert hash(column) == hash(EmbeddingColumn(same, 3))
    assert column != EmbeddingColumn(shared, 4)
    assert column != EmbeddingColumn(ComputeEmbeddings(image, stages), 3)


def test_images_are_embedded_once_a_table(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = embedded(make_folder({"a": 1}))
    new = table_from_folder(make_folder({"c": 3}, "new")).table
    calls = []
    original = ComputeEmbeddings.__call__

    def counting(self: ComputeEmbeddings, table: Table) -> object:
        calls.append(len(table))
        return original(self, table)

    monkeypatch.setattr(ComputeEmbeddings, "__call__", counting)
    new.transform(out.domain)
    assert calls == [3]


def test_several_embedders_side_by_side(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 3})
    (folder / "a" / "1.png").write_bytes(b"")
    table = table_from_folder(folder).table
    crop = EmbedderSpec("squeezenet1_1", "stages", 2, "crop")
    fractions: list[float] = []

    def progress(fraction: float, status: str = "") -> None:
        fractions.append(fraction)

    # one that is given twice is the same columns
    result = embed_table(
        table, table.domain["image"], [FEATURES, crop, FEATURES], progress
    )
    names = [variable.name for variable in result.embedded.domain.attributes]
    assert names[0] == "squeezenet1_1_features_0" and len(names) == 512 + 1152
    assert names[512] == "squeezenet1_1_stages_crop_2views_0"
    for spec, part in ((FEATURES, np.s_[:, :512]), (crop, np.s_[:, 512:])):
        alone = embed_table(table, table.domain["image"], spec).embedded
        np.testing.assert_array_equal(result.embedded.X[part], alone.X)
    (row,) = result.skipped
    assert "empty" in str(row["reason"])
    assert fractions == sorted(fractions) and fractions[-1] == 1
    # and they compute themselves
    new = table_from_folder(make_folder({"c": 2}, "new")).table
    again = new.transform(result.embedded.domain)
    assert again.X.shape == (2, 1664) and np.isfinite(again.X).all()


def test_images_that_one_of_several_embedders_skips(
    make_folder: Callable[..., Path],
) -> None:
    folder = make_folder({"a": 2})
    Image.new("RGB", (700, 20)).save(folder / "a" / "2.png")
    table = table_from_folder(folder).table
    crops = EmbedderSpec("squeezenet1_1", "features", 144)
    result = embed_table(table[1:], table.domain["image"], [FEATURES, crops])
    assert len(result.embedded) == 1 and len(result.skipped) == 1
    assert "too long" in str(result.skipped[0]["reason"])
    assert np.isfinite(result.embedded.X).all()


def test_no_embedder_and_unknown_ones_among_several(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_from_folder(make_folder({"a": 1})).table
    column = table.domain["image"]
    with pytest.raises(UnknownNameError, match="No embedder"):
        embed_table(table, column, [])
    # before the first has taken its time
    monkeypatch.setattr(LocalEmbedder, "__call__", None)
    with pytest.raises(UnknownNameError):
        embed_table(table, column, [FEATURES, EmbedderSpec("vgg99", "features")])


def test_likeliest_classes(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder({"a": 3})
    (folder / "a" / "1.png").write_bytes(b"")
    table = table_from_folder(folder).table
    column = table.domain["image"]
    spec = EmbedderSpec("squeezenet1_1", "features", 2)
    out = embed_table(table, column, spec, classes=True).embedded
    new = out.domain.metas[len(table.domain.metas) :]
    assert [variable.name for variable in new[:3]] == [
        "squeezenet1_1_class_2views_1",
        "squeezenet1_1_probability_2views_1",
        "squeezenet1_1_class_2views_2",
    ]
    assert len(new) == 10 and out.X.shape == (2, 512)
    probabilities = LocalEmbedder(EmbedderSpec("squeezenet1_1", "probabilities", 2))(
        image_sources(out, column)
    ).vectors
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    for row, expected in zip(out, probabilities, strict=True):
        order = np.argsort(-expected)[:5]
        names = [str(row[variable]) for variable in new[::2]]
        assert names == [class_names()[index] for index in order]
        shares = [float(row[variable]) for variable in new[1::2]]
        np.testing.assert_allclose(shares, expected[order], rtol=1e-5)
    # what is computed again, of a model's table or another one, is the same
    domain = pickle.loads(pickle.dumps(out.domain))
    assert domain == out.domain and hash(domain.metas[-1]) == hash(out.domain.metas[-1])
    again = table.transform(domain)
    np.testing.assert_array_equal(again.metas[[0, 2], 2:], out.metas[:, 2:])
    assert np.isnan(again.metas[1, -10:].astype(float)).all()
    other = embed_table(table, column, FEATURES, classes=True).embedded
    assert other.domain.metas[-1] != out.domain.metas[-1]


def test_classes_of_one_network_come_once_and_only_where_they_are_known(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_from_folder(make_folder({"a": 1})).table
    column = table.domain["image"]
    stages = EmbedderSpec("squeezenet1_1", "stages")
    out = embed_table(table, column, [FEATURES, stages], classes=True).embedded
    assert len(out.domain.metas) == len(table.domain.metas) + 10
    twice = embed_table(out, column, FEATURES, classes=True).embedded
    names = [variable.name for variable in twice.domain.metas]
    assert len(set(names)) == len(names) == len(table.domain.metas) + 20
    faces = replace(WEIGHTS["squeezenet1_1"], trained_on="faces")
    monkeypatch.setitem(WEIGHTS, "squeezenet1_1", faces)
    none = embed_table(table, column, FEATURES, classes=True).embedded
    assert none.domain.metas == table.domain.metas


def old_output() -> Table:
    """Return what Orange3-ImageAnalytics made of its images: plain columns."""
    with np.load(OLD_DATA / "vectors.npz") as content:
        pairs = [
            (path, vector)
            for path, vector in zip(content["paths"], content["vectors"], strict=True)
            if path.startswith("images/")
        ]
    image = StringVariable("image")
    image.attributes = {"type": "image", "origin": str(OLD_DATA)}
    category = DiscreteVariable("category", ("discs", "stripes"))
    columns = [ContinuousVariable(f"n{index}") for index in range(1000)]
    return Table.from_numpy(
        Domain(columns, category, [image]),
        np.array([vector for _, vector in pairs], float),
        np.array([float("stripes" in path) for path, _ in pairs]),
        np.array([[path] for path, _ in pairs], object),
    )


def without_vectors(table: Table) -> Table:
    return table.transform(Domain([], table.domain.class_vars, table.domain.metas))


def ours(table: Table) -> Table:
    images = without_vectors(table)
    embedded = embed_table(images, images.domain["image"], OLD).embedded
    assert embedded is not None
    return embedded


def test_model_of_the_old_add_on_goes_on_working() -> None:
    old = old_output()
    model = LogisticRegressionLearner()(old[::2])
    model = pickle.loads(pickle.dumps(model))
    new = ours(old)
    expected = model(old, model.Probs)
    assert len(set(model(old))) == 2
    np.testing.assert_allclose(model(new, model.Probs), expected, atol=1e-5)


def test_old_columns_equal_plain_ones() -> None:
    old = old_output()
    new = ours(old)
    assert [v.name for v in new.domain.attributes[::999]] == ["n0", "n999"]
    assert new.domain.attributes == old.domain.attributes
    assert hash(new.domain.attributes[7]) == hash(old.domain.attributes[7])
    assert new.domain.attributes[7] != new.domain.attributes[8]
    # one stands in for the other, without embedding anything
    np.testing.assert_array_equal(new.transform(old.domain).X, new.X)
    changed = old.copy()
    with changed.unlocked(changed.X):
        changed.X[:] = 5
    np.testing.assert_array_equal(changed.transform(new.domain).X, changed.X)


def test_old_columns_compute_themselves_where_there_are_none() -> None:
    old = old_output()
    images = without_vectors(old)
    domain = pickle.loads(pickle.dumps(ours(old).domain))
    np.testing.assert_allclose(images.transform(domain).X, old.X, rtol=1e-3, atol=1e-3)
    # as there, a table without them has missing values in the plain ones
    assert np.isnan(images.transform(old.domain).X).all()


def test_old_embedding_twice_keeps_both() -> None:
    twice = embed_table(ours(old_output()), StringVariable("image"), OLD).embedded
    names = [variable.name for variable in twice.domain.attributes]
    assert names[1000] == "n0 (1)" and len(set(names)) == 2000


def test_equality_of_plain_columns() -> None:
    shared = ComputeEmbeddings(StringVariable("image"), OLD)
    column = PlainColumn(shared, 3, "n3")
    assert column == PlainColumn(shared, 3, "n3")
    assert hash(column) == hash(PlainColumn(shared, 3, "n3"))
    assert column != PlainColumn(shared, 4, "n3")
    assert column != PlainColumn(shared, 3, "n4")
    assert column != EmbeddingColumn(shared, 3)
