"""Scores as Orange's own widgets compute them, and the most confused pair."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from AnyQt.QtCore import Qt
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)
from Orange.widgets.evaluate.owtestandscore import OWTestAndScore
from Orange.widgets.model.owlogisticregression import OWLogisticRegression
from Orange.widgets.tests import base

from orangecontrib.imagemining.report.evaluate import (
    FOLDS,
    Evaluation,
    RightOf,
    cross_validate,
    most_confused,
    right_of_each,
)
from orangecontrib.imagemining.report.files import ReportError
from orangecontrib.imagemining.report.sample import draw_rows

DISPLAY = Qt.ItemDataRole.DisplayRole


def blobs(sizes: dict[str, int], seed: int = 0) -> Table:
    """Return overlapping categories; "" stands for none."""
    rng = np.random.default_rng(seed)
    names = [name for name in sizes if name]
    domain = Domain(
        [ContinuousVariable(f"x{i}") for i in range(4)],
        DiscreteVariable("category", names),
        [StringVariable("name")],
    )
    x, y = [], []
    for name, n in sizes.items():
        index = names.index(name) if name else np.nan
        x.append(rng.normal(size=(n, 4)) + rng.normal(size=4))
        y += [index] * n
    metas = np.array([[str(i)] for i in range(len(y))], object)
    return Table.from_numpy(domain, np.vstack(x), np.array(y, float), metas)


class TestAgainstWidgets(base.WidgetTest):  # type: ignore[misc]
    def scores_of_widget(self, table: Table) -> tuple[dict[str, float], np.ndarray]:
        """Return what Test and Score shows, and its confusion matrix."""
        folds = OWTestAndScore.NFolds.index(FOLDS)
        # scikit-learn's warnings about the arguments that Orange gives it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            learner = self.create_widget(OWLogisticRegression)
            widget = self.create_widget(
                OWTestAndScore,
                stored_settings={
                    "n_folds": folds,
                    "__version__": OWTestAndScore.settings_version,
                },
            )
            self.send_signal(
                widget.Inputs.learner,
                self.get_output(learner.Outputs.learner, widget=learner),
                0,
                widget=widget,
            )
            self.send_signal(widget.Inputs.train_data, table, widget=widget)
            results = self.get_output(
                widget.Outputs.evaluations_results, widget=widget, wait=60000
            )
        view, model = widget.score_table.view, widget.score_table.model
        shown = {
            model.horizontalHeaderItem(i).text(): float(model.item(0, i).data(DISPLAY))
            for i in range(1, model.columnCount())
            if not view.isColumnHidden(i)
        }
        confusion = np.zeros((len(table.domain.class_var.values),) * 2, int)
        pairs = zip(results.actual, results.predicted[0], strict=True)
        for actual, predicted in pairs:
            confusion[int(actual), int(predicted)] += 1
        return shown, confusion

    def check(self, table: Table, stratified: bool) -> Evaluation:
        expected, confusion = self.scores_of_widget(table)
        evaluation = cross_validate(table)
        self.assertEqual(list(evaluation.scores), list(expected))
        self.assertLessEqual(
            {"AUC", "CA", "F1", "Prec", "Recall"}, set(evaluation.scores)
        )
        for name, value in expected.items():
            self.assertEqual(evaluation.scores[name], value, name)
        np.testing.assert_array_equal(evaluation.confusion, confusion)
        self.assertIs(evaluation.stratified, stratified)
        self.assertGreater(np.trace(confusion), 0)
        self.assertLess(np.trace(confusion), confusion.sum())
        return evaluation

    def test_many_categories(self) -> None:
        evaluation = self.check(blobs({"a": 30, "b": 25, "c": 20}), True)
        self.assertEqual(evaluation.notes, ())

    def test_two_categories(self) -> None:
        evaluation = self.check(blobs({"a": 30, "b": 25}), True)
        self.assertEqual(evaluation.categories, ("a", "b"))
        self.assertEqual(evaluation.notes, ())

    def test_rare_category_and_images_without(self) -> None:
        table = blobs({"a": 30, "b": 25, "rare": 1, "": 3})
        evaluation = self.check(table, False)
        without, rare = evaluation.notes
        self.assertIn("3 images lie outside", without)
        self.assertIn("rare has 1 image: it cannot", rare)
        self.assertIn("not stratified", rare)
        self.assertIn("always wrong here", rare)
        self.assertIn("add images to rare, or leave its folder out.", rare)
        self.assertEqual(right_of_each(evaluation)[0], RightOf("rare", 0, 1))
        share = evaluation.right / evaluation.images
        self.assertAlmostEqual(evaluation.scores["CA"], share)
        self.assertEqual(evaluation.confusion.sum(), 56)


@pytest.mark.parametrize(
    "sizes, reason",
    [
        ({"a": 20}, "all of one category (a)"),
        ({"a": 20, "b": 0}, "all of one category (a)"),
        ({"a": 0, "": 20}, "all of one category:"),
        ({"a": 5, "b": 4}, "at least 10 images"),
        ({"a": 10, "b": 1}, "needs more images"),
    ],
)
def test_too_little(sizes: dict[str, int], reason: str) -> None:
    with pytest.raises(ReportError) as caught:
        cross_validate(blobs(sizes))
    assert reason in str(caught.value)


def test_no_categories() -> None:
    table = Table.from_numpy(Domain([ContinuousVariable("x")]), np.ones((20, 1)))
    with pytest.raises(ReportError, match="no categories"):
        cross_validate(table)


def test_progress() -> None:
    told: list[float] = []
    cross_validate(blobs({"a": 12, "b": 12}), lambda done, status="": told.append(done))
    assert told[0] == 0 and told[-1] == 1
    assert told == sorted(told) and len(told) > FOLDS


def evaluation(confusion: list[list[int]]) -> Evaluation:
    names = tuple("abcdef"[: len(confusion)])
    return Evaluation({}, names, np.array(confusion), True, ())


def test_most_confused_counts_both_ways() -> None:
    # the largest single number is a -> b (5); b and c are confused 4 + 3 times
    pair = most_confused(evaluation([[20, 5, 0], [0, 30, 4], [1, 3, 10]]))
    assert pair is not None
    assert (pair.first, pair.second) == ("b", "c")
    assert (pair.mistakes, pair.images) == (7, 34 + 14)
    assert str(pair) == (
        "b and c. Of the 48 images of these two, 7 were confused: 4 of b taken for c,"
        " 3 the other way."
    )


@pytest.mark.parametrize(
    "confusion, told",
    [
        ([[9, 2], [5, 9]], "7 were confused: 5 of b taken for a, 2 the other way."),
        ([[9, 0], [1, 9]], "1 was confused: 1 of b taken for a, none the other way."),
        (
            [[9000, 1200], [0, 9]],
            "1,200 were confused: 1,200 of a taken for b, none the other way.",
        ),
    ],
)
def test_the_more_frequent_mistake_is_told_first(
    confusion: list[list[int]], told: str
) -> None:
    assert str(most_confused(evaluation(confusion))).endswith(f"two, {told}")


def test_right_of_each_begins_with_the_worst() -> None:
    # b has the most mistakes, but c the larger share; nothing is known of d
    found = right_of_each(
        evaluation([[40, 0, 0, 0], [9, 60, 0, 0], [5, 0, 10, 0], [0, 0, 0, 0]])
    )
    assert list(map(str, found)) == [
        "c 10 of 15 (67 %)",
        "b 60 of 69 (87 %)",
        "a 40 of 40 (100 %)",
    ]


@pytest.mark.parametrize(
    "right, images, percent",
    [(0, 7, 0), (1, 1000, 1), (33, 40, 83), (999, 1000, 99), (7, 7, 100)],
)
def test_percent(right: int, images: int, percent: int) -> None:
    assert RightOf("a", right, images).percent == percent


def test_most_confused_of_equals_is_the_smaller() -> None:
    pair = most_confused(evaluation([[90, 3, 0], [0, 50, 1], [0, 2, 10]]))
    assert pair is not None
    assert (pair.first, pair.second) == ("b", "c")


def test_none_confused() -> None:
    assert most_confused(evaluation([[3, 0], [0, 4]])) is None


def test_rows_are_drawn_evenly() -> None:
    table = blobs({"many": 100, "some": 20, "few": 3, "": 50})
    rows = draw_rows(table, 63)
    drawn = table.Y[rows]
    sizes = [int((drawn == i).sum()) for i in range(3)] + [int(np.isnan(drawn).sum())]
    assert sizes == [20, 20, 3, 20]
    assert list(rows) == sorted(set(rows))
    np.testing.assert_array_equal(rows, draw_rows(table, 63))
    assert len(draw_rows(table, 1000)) == 173
    assert len(draw_rows(table, 2)) == 2
