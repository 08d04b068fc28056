"""Lessons 10 to 40: their workflows do what their pages say.

The figures on the pages are those of one processor: others round otherwise, which
moves an image or two.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from AnyQt.QtCore import QItemSelectionModel
from Orange.data import Table, Variable
from Orange.evaluation import AUC, CA, Results
from workflow_runner import TUTORIALS, Runner, no_errors, opened

# Orange's own widgets warn of much, and so does scikit-learn below them
pytestmark = pytest.mark.filterwarnings("ignore")

PAGES = Path(__file__).parents[2] / "tutorials"
MOVED = 3  # images that may lie elsewhere than on the page
CATEGORIES = ("cytoplasm", "endosome", "ER")


def page(name: str) -> str:
    return (PAGES / name / "README.md").read_text("utf8")


def rows(text: str, n_columns: int) -> dict[str, list[str]]:
    """Return the tables of a page that have so many columns, by their first one."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and "---" not in line
    ]
    return {row[0]: row[1:] for row in cells if len(row) == n_columns}


def counts(table: Table, column: Variable | None = None) -> Counter[str]:
    return Counter(str(row[column or table.domain.class_var]) for row in table)


def test_10_clustering() -> None:
    text = page("10-clustering-images")
    with opened(TUTORIALS / "10-clustering-images.ows") as runner:
        runner.finish()
        no_errors(runner)
        matrix = runner.input("MDS", "Distances")
        assert matrix.shape == (120, 120)
        # cosine distances of vectors without negative numbers
        assert 0 <= matrix.min() and 0.01 < matrix.max() < 1
        table = matrix.row_items
        assert table.X.shape == (120, 512)
        assert table.domain.class_var.values == CATEGORIES

        tree = runner.widget("Hierarchical Clustering")
        assert tree.linkage == 4  # Ward
        branch = tree.root.left
        tree.dendrogram.set_selected_items([tree.dendrogram.item(branch)])
        runner.finish()
        selected = runner.input("Images of a Branch", "Data")
        n_images, n_er = map(int, re.findall(r"\*\*(\d+)\*\*", text))
        assert abs(len(selected) - n_images) <= MOVED
        assert abs(counts(selected)["ER"] - n_er) <= MOVED
        viewer = runner.widget("Images of a Branch")
        assert len(viewer.view.order) == len(selected)
        subset = runner.widget("MDS").subset_data
        assert set(subset.ids) == set(selected.ids)

        mds = runner.widget("MDS")
        mds.graph.select_by_indices(np.arange(5))
        runner.finish()
        assert len(runner.input("Images on the Map", "Data")) == 5
        assert len(runner.widget("Images on the Map").view.order) == 5

        tree.top_n, tree.selection_method = 3, 2
        tree._selection_method_changed()
        runner.finish()
        clustered = runner.input("Images of a Branch", "Data")
        cluster = clustered.domain["Cluster"]
        assert {viewer.group_combo.itemText(i) for i in range(4)} >= {"Cluster"}
        for name, numbers in rows(text, 5).items():
            if name == "branch":
                continue
            members = clustered[[str(row[cluster]) == name for row in clustered]]
            found = counts(members)
            expected = [len(members), *(found[category] for category in CATEGORIES)]
            for n, number in zip(expected, numbers, strict=True):
                assert abs(n - int(number)) <= MOVED, name


def test_20_classifying() -> None:
    text = page("20-classifying-images")
    with opened(TUTORIALS / "20-classifying-images.ows") as runner:
        runner.finish()
        no_errors(runner)
        results = runner.input("Confusion Matrix", "Evaluation Results")
        assert len(results.folds) == 10
        check_scores(
            results, re.search(r"CA is ([\d.]+)\*\* and \*\*AUC ([\d.]+)", text)
        )

        confused = Counter(zip(results.actual, results.predicted[0], strict=True))
        table = rows(text, 4)
        for i, category in enumerate(CATEGORIES):
            for j, number in enumerate(table[category]):
                assert abs(confused[i, j] - int(number)) <= MOVED

        matrix = runner.widget("Confusion Matrix")
        index = matrix.tablemodel.index(2 + 2, 1 + 2)  # ER taken for endosome
        matrix.tableview.selectionModel().select(
            index, QItemSelectionModel.SelectionFlag.ClearAndSelect
        )
        runner.finish()
        wrong = runner.input("Chosen Images", "Data")
        assert counts(wrong) == {"ER": confused[2, 1]}
        viewer = runner.widget("Chosen Images")
        groups = [
            viewer.group_combo.itemText(i) for i in range(viewer.group_combo.count())
        ]
        assert "category(Logistic Regression)" in groups

        matrix.select_wrong()
        runner.finish()
        wrong = runner.input("Chosen Images", "Data")
        assert len(wrong) == np.sum(results.actual != results.predicted[0])
        assert len(viewer.view.order) == len(wrong)
        subset = runner.widget("MDS").subset_data
        assert isinstance(subset, Table) and set(subset.ids) == set(wrong.ids)


def check_scores(results: Results, found: re.Match[str] | None) -> None:
    assert found
    assert len(results.actual) == 120
    assert CA(results)[0] == pytest.approx(float(found[1]), abs=MOVED / 120)
    assert AUC(results)[0] == pytest.approx(float(found[2]), abs=0.01)


def test_30_predicting() -> None:
    expected = rows(page("30-predicting-new-images"), 4)
    with opened(TUTORIALS / "30-predicting-new-images.ows") as runner:
        runner.finish()
        no_errors(runner)
        images = runner.input("Predictions", "Data")
        # nobody has labelled or embedded them
        assert not images.domain.class_vars and not images.domain.attributes

        combo = runner.widget("Predictions").controls.shown_probs
        assert combo.itemText(2) == "Classes known to the model"
        combo.setCurrentIndex(2)
        combo.activated.emit(2)
        runner.finish()
        predicted = runner.input("Save a Table", "Data")
        names = [str(row["image name"]) for row in predicted]
        assert names == [name for name in expected if name.startswith("synthetic")]
        for row in predicted:
            category, probability, _ = expected[str(row["image name"])]
            assert row["Logistic Regression"] == category
            found = row[f"Logistic Regression ({category})"]
            assert found == pytest.approx(float(probability), abs=0.05)

        viewer = runner.widget("What Is It?")
        assert viewer.group_combo.currentText() == "Logistic Regression"
        folders = runner.widget("Sort into Folders")
        assert folders.category_combo.currentText() == "Logistic Regression"
        assert "3 sub-folders" in folders.preview_label.text()

        predictions = runner.widget("Predictions")
        predictions.predictionsview.selectRow(11)
        runner.finish()
        (one,) = runner.input("What Is It?", "Data")
        assert str(one["image name"]) == "synthetic-new-12"


def test_30_what_the_new_images_are() -> None:
    # what the page tells the teacher, and what the script drew
    text = (PAGES.parent / "scripts" / "make_samples.py").read_text("utf8")
    drawn = re.findall(r'"(\w*)"', text.partition("NEW = (")[2].partition("\n)")[0])
    told = page("30-predicting-new-images").partition("In order: ")[2].partition(".")[0]
    assert [word.strip(" \n*") for word in told.split(",")] == [
        category or "nothing" for category in drawn
    ]


def test_40_layers_and_views() -> None:
    expected = rows(page("40-network-and-layer"), 6)
    with opened(TUTORIALS / "40-network-and-layer.ows") as runner:
        runner.finish()
        no_errors(runner)
        for name in ("Features", "Stages", "Logits", "Features, 8 Views"):
            n_numbers, *_ = cells = expected[f"*{name}*"]
            table = runner.input(f"Score {name}", "Data")
            assert table.X.shape == (120, int(n_numbers.replace(",", "")))
            check_scores(results_of(runner, f"Score {name}"), scores_in(cells))
        grid = runner.widget("Grid of Features")
        assert grid.grid is not None
        assert runner.widget("Map of Features, 8 Views").tsne_embedding is not None


def scores_in(cells: list[str]) -> re.Match[str] | None:
    return re.search(r"([\d.]+) ([\d.]+)", " ".join(cells[1:3]))


def results_of(runner: Runner, title: str) -> Results:
    (learner,) = runner.widget(title).learners.values()
    return learner.results.value
