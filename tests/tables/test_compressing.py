"""Compressing networks with tables of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from coloured import COLOURS, TOY, coloured_table
from Orange.data import ContinuousVariable, DiscreteVariable, Domain, Table

from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    FineTune,
    Half,
    Prune,
    Share,
    Step,
)
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.exceptions import TableError, TrainingError
from orangecontrib.imagemining.tables.compressing import (
    TableCompression,
    compress_on_table,
    report_table,
    trail_table,
)
from orangecontrib.imagemining.tables.decoded import DecodedImages
from orangecontrib.imagemining.tables.training import train_on_table
from orangecontrib.imagemining.training.plan import Recipe
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return coloured_table(tmp_path_factory.mktemp("coloured"), n=5)


@pytest.fixture(scope="module")
def network(table: Table) -> ImageNetwork:
    return train_on_table(table, replace(TOY, epochs=8), title="Colours").network


def plan(*steps: Step, **changes: object) -> CompressionPlan:
    quick = {
        "recipe": Recipe(learning_rate=0.01, batch=8),
        "batch": 8,
        "precision": "float32",
        "device": "cpu",
        "tolerance": None,
    }
    return CompressionPlan(steps=steps, **{**quick, **changes})  # type: ignore[arg-type]


def column(table: Table, name: str) -> list[float]:
    return table.get_column(name).tolist()


def check_tables(result: TableCompression) -> None:
    trail = result.compressed.trail
    assert column(result.trail, "bytes") == [each.n_bytes for each in trail]
    ratios = [result.compressed.ratio_of(each) for each in trail]
    assert column(result.trail, "ratio") == ratios
    assert column(result.trail, "top-1") == [each.accuracy for each in trail]
    chosen = result.trail.get_column("chosen").tolist()
    assert chosen.index("result") == result.compressed.chosen


def test_with_classes(table: Table, network: ImageNetwork) -> None:
    seen: list[Candidate] = []
    result = compress_on_table(
        table,
        network,
        plan(Prune(share=0.5, by="layer", rounds=1, epochs=1), Share(bits=5)),
        on_candidate=seen.append,
    )
    compressed = result.compressed
    assert compressed.labelled and not result.left_out
    assert [each.n_bytes for each in seen] == [e.n_bytes for e in compressed.trail]
    assert compressed.trail[0].accuracy == 1.0
    check_tables(result)
    report = result.report
    assert report.get_column("layer").tolist() == ["stem.0", "body.0", "classifier"]
    assert report.get_column("shape")[1] == "8 × 4 × 3 × 3"
    assert column(report, "sparsity") == pytest.approx([0.5] * 3, abs=0.02)
    assert column(report, "parameters before") == [112, 296, 27]
    card = compressed.network.card  # type: ignore[union-attr]
    assert f"15 images of {table.name}" in card.notes


def test_classes_are_known_by_their_names(table: Table, network: ImageNetwork) -> None:
    # numbered otherwise than the network's
    class_var = table.domain.class_var
    turned = DiscreteVariable(class_var.name, tuple(reversed(class_var.values)))
    other = table.transform(Domain([], turned, table.domain.metas))
    with other.unlocked(other.Y):
        other.Y[:] = len(COLOURS) - 1 - table.Y
    result = compress_on_table(other, network, plan(Half()))
    assert result.compressed.trail[0].accuracy == 1.0


def test_without_classes_answers_are_learned(
    table: Table, network: ImageNetwork
) -> None:
    bare = table.transform(Domain([], None, table.domain.metas))
    result = compress_on_table(bare, network, plan(FineTune(epochs=1), Half()))
    assert not result.compressed.labelled
    assert result.compressed.trail[0].accuracy == 1.0
    check_tables(result)


def test_validation_has_a_table_of_its_own(
    table: Table, network: ImageNetwork, tmp_path: Path
) -> None:
    others = coloured_table(tmp_path, {"red": (0, 0, 160), "blue": (0, 0, 160)}, n=2)
    result = compress_on_table(table, network, plan(Half()), validation=others)
    # the images called red are blue
    assert result.compressed.trail[0].accuracy == 0.5


def test_no_table_at_all(network: ImageNetwork) -> None:
    result = compress_on_table(None, network, plan(Share(bits=3)))
    assert np.isnan(column(result.trail, "top-1")).all()
    assert result.compressed.chosen == 1 and result.left_out == []
    assert column(result.trail, "bytes")[1] < column(result.trail, "bytes")[0]


def test_what_cannot_be_read_is_listed(
    table: Table, network: ImageNetwork, tmp_path: Path
) -> None:
    data = coloured_table(tmp_path, n=3)
    (tmp_path / "green" / "1.png").write_bytes(b"no image")
    with data.unlocked(data.Y):
        data.Y[0] = np.nan
    rows = [row for row, name in enumerate(data.metas[:, 1]) if "green" in str(name)]
    result = compress_on_table(data, network, plan(Half()))
    left_out = dict(result.left_out)
    assert left_out[0] == "It has no class" and len(left_out) == 2
    assert set(left_out) & set(rows)
    assert any("1 image cannot be used" in note for note in result.notes)
    bare = data.transform(Domain([], None, data.domain.metas))
    result = compress_on_table(bare, network, plan(Half()))
    assert len(result.left_out) == 1 and "1 of 9 rows" in result.notes[0]


def test_images_are_read_once(table: Table, network: ImageNetwork) -> None:
    decoded = DecodedImages()
    told: list[float] = []
    for _ in range(2):
        compress_on_table(
            table,
            network,
            plan(Half()),
            decoded=decoded,
            progress=lambda fraction, status="": told.append(fraction),
        )
    assert decoded.n_bytes and told[-1] == 1.0
    half = told[: told.index(1.0) + 1]
    assert half == sorted(half)


def test_bad_input_is_told(table: Table, network: ImageNetwork, tmp_path: Path) -> None:
    strange = coloured_table(tmp_path, {"red": (160, 0, 0), "pink": (200, 80, 80)}, n=2)
    with pytest.raises(TrainingError, match="Colours does not know pink.*Select Col"):
        compress_on_table(strange, network, plan(Half()))
    with pytest.raises(TrainingError, match="is an ONNX file"):
        compress_on_table(table, OnnxNetwork("onnx:/a.onnx", "A"), plan(Half()))
    with pytest.raises(TableError, match="no rows"):
        compress_on_table(table[:0], network, plan(Half()))
    with pytest.raises(TableError, match="no column of images"):
        numbers = Table.from_numpy(Domain([ContinuousVariable("x")]), np.ones((2, 1)))
        compress_on_table(numbers, network, plan(Half()))
    with pytest.raises(TableError, match="is a number"):
        number = Domain([], ContinuousVariable("y"), table.domain.metas)
        compress_on_table(table.transform(number), network, plan(Half()))
    with pytest.raises(TrainingError, match="no images"):
        compress_on_table(None, network, plan(FineTune(epochs=1)))
    with pytest.raises(TrainingError, match="no steps"):
        compress_on_table(table, network, plan())


def test_empty_tables() -> None:
    assert len(report_table([])) == 0 and len(trail_table([])) == 0
