"""How well the categories can be told apart: what Test and Score would show.

The numbers are those of Orange's widgets Logistic Regression and Test and Score with
their own settings and ten folds: same learner, same folds, same scorers.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from Orange.classification import LogisticRegressionLearner
from Orange.data import Table
from Orange.data.filter import HasClass
from Orange.evaluation import CrossValidation, scoring

from orangecontrib.imagemining.report.console import count, shorten
from orangecontrib.imagemining.report.files import ReportError
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = [
    "FOLDS",
    "ConfusedPair",
    "Evaluation",
    "RightOf",
    "cross_validate",
    "most_confused",
    "right_of_each",
]

FOLDS = 10
_SEED = 42  # of Test and Score, which draws the same folds every time


@dataclass(frozen=True)
class Evaluation:
    """What came out of a cross-validation.

    Attributes
    ----------
    scores : name of the score -> its value, averaged over categories; those that Test
        and Score shows unless told otherwise, in its order. NaN: not defined.
    categories : their names.
    confusion : (actual category, predicted category), numbers of images.
    stratified : whether each fold has its share of each category.
    notes : what the reader should know about it, in sentences.
    """

    scores: dict[str, float]
    categories: tuple[str, ...]
    confusion: NDArray[np.int64]
    stratified: bool
    notes: tuple[str, ...]

    @property
    def right(self) -> int:
        """Images put into their category."""
        return int(np.trace(self.confusion))

    @property
    def images(self) -> int:
        """All images that were tested on."""
        return int(self.confusion.sum())


@dataclass(frozen=True)
class ConfusedPair:
    """Two categories, and how often they are taken for each other.

    Attributes
    ----------
    first, second : their names.
    mistakes : images of the one predicted to be of the other, both ways together.
    images : images of both categories together.
    forth : those of the mistakes that are images of `first`.
    """

    first: str
    second: str
    mistakes: int
    images: int
    forth: int

    def __str__(self) -> str:
        first, second = shorten(self.first, 30), shorten(self.second, 30)
        told = (
            f"{first} and {second}. Of the {count(self.images, 'image')} of these two,"
            f" {self.mistakes:,} {'was' if self.mistakes == 1 else 'were'} confused:"
        )
        more, less = self.forth, self.mistakes - self.forth
        if more < less:
            first, second, more, less = second, first, less, more
        back = f"{less:,}" if less else "none"
        return f"{told} {more:,} of {first} taken for {second}, {back} the other way."


@dataclass(frozen=True)
class RightOf:
    """How many images of a category were put into it.

    Attributes
    ----------
    category : its name.
    right : images put into it that belong there.
    images : images that belong there.
    """

    category: str
    right: int
    images: int

    @property
    def percent(self) -> int:
        """Share of the images in per cent; 0 and 100 are kept for none and all."""
        if self.right in (0, self.images):
            return 100 if self.right else 0
        # halves upwards, as everybody rounds; `round` goes to the even number
        nearest = (200 * self.right + self.images) // (2 * self.images)
        return min(max(nearest, 1), 99)

    def __str__(self) -> str:
        name = shorten(self.category, 30)
        return f"{name} {self.right:,} of {self.images:,} ({self.percent} %)"


def cross_validate(table: Table, progress: Progress = no_progress) -> Evaluation:
    """Test logistic regression in ten folds.

    Folds are stratified unless a category has fewer images than there are folds.

    Parameters
    ----------
    table
        Embedded images; those without a category are left out.

    Raises
    ------
    ReportError
        If there is too little to test on; the message says what is missing.
    """
    table, notes = _with_category(table)
    sizes = np.bincount(table.Y.astype(int), minlength=len(_categories(table)))
    _check_enough(table, sizes)
    small = [(table.domain.class_var.values[i], sizes[i]) for i in np.argsort(sizes)]
    small = [(name, size) for name, size in small if 0 < size < FOLDS]
    if small:
        notes.append(_about_small(small))

    def tell(fraction: float) -> None:
        progress(fraction, f"{round(fraction * FOLDS)} of {FOLDS} folds")

    tell(0)
    sampler = CrossValidation(k=FOLDS, random_state=_SEED, stratified=not small)
    # scikit-learn warns at each fold about arguments that Orange passes it, and about
    # scores of categories that were never predicted, for which 0 is what is wanted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = sampler(table, [widget_learner()], callback=tell)
        if results.failed[0]:
            raise _explained(results.failed[0])
        scores = {scorer.name: _score(scorer, results) for scorer in _scorers(table)}
    return Evaluation(
        scores,
        _categories(table),
        _confusion(results.actual, results.predicted[0], len(sizes)),
        not small,
        tuple(notes),
    )


def most_confused(evaluation: Evaluation) -> ConfusedPair | None:
    """Return the two categories that are most often taken for each other.

    Counted are the mistakes between the two in both directions. Of pairs with equally
    many, the one with the fewer images is taken, then the one that comes first. None
    if there are no mistakes.
    """
    mistakes = np.triu(evaluation.confusion + evaluation.confusion.T, 1)
    if not mistakes.any():
        return None
    sizes = evaluation.confusion.sum(axis=1)
    first, second = min(
        zip(*np.nonzero(mistakes == mistakes.max()), strict=True),
        key=lambda pair: int(sizes[pair[0]] + sizes[pair[1]]),
    )
    return ConfusedPair(
        evaluation.categories[first],
        evaluation.categories[second],
        int(mistakes.max()),
        int(sizes[first] + sizes[second]),
        int(evaluation.confusion[first, second]),
    )


def right_of_each(evaluation: Evaluation) -> list[RightOf]:
    """Return how each category with images fared, the worst first."""
    rows = zip(evaluation.categories, evaluation.confusion, strict=True)
    each = [
        RightOf(name, int(row[i]), int(row.sum()))
        for i, (name, row) in enumerate(rows)
        if row.any()
    ]
    return sorted(each, key=lambda category: category.right / category.images)


def _categories(table: Table) -> tuple[str, ...]:
    return tuple(table.domain.class_var.values)


def _with_category(table: Table) -> tuple[Table, list[str]]:
    """Leave out what has no category; say so."""
    if table.domain.class_var is None:
        raise ReportError(
            "The images have no categories: put them into a sub-folder for each"
        )
    missing = int(np.isnan(table.Y).sum())
    if not missing:
        return table, []
    return HasClass()(table), [
        f"{count(missing, 'image lies', 'images lie')} outside the sub-folders, so"
        " without a category, and took no part in this."
    ]


def _check_enough(table: Table, sizes: NDArray[np.intp]) -> None:
    present = np.flatnonzero(sizes)
    if len(present) < 2:
        only = f" ({_categories(table)[present[0]]})" if len(present) else ""
        raise ReportError(
            f"The images are all of one category{only}: there is nothing to tell apart"
        )
    if len(table) < FOLDS:
        raise ReportError(
            f"{FOLDS}-fold cross-validation needs at least {FOLDS} images with a"
            f" category, and there are {len(table)}"
        )


def _about_small(small: list[tuple[str, int]]) -> str:
    """Say what is done about categories with fewer images than folds."""
    named = ", ".join(
        f"{shorten(name, 30)} has {count(int(size), 'image')}"
        for name, size in small[:5]
    )
    more = len(small) - 5
    if more > 0:
        named += f" and {count(more, 'other has', 'others have')} fewer than {FOLDS}"
    cannot = "it cannot" if len(small) == 1 else "they cannot"
    text = (
        f"{named}: {cannot} be in each of {FOLDS} folds. As in Test and Score, the"
        " folds were therefore drawn without regard to categories (not stratified)."
    )
    single = [shorten(name, 30) for name, size in small if size == 1]
    if single:
        others = f" and {len(single) - 5} more" if len(single) > 5 else ""
        text += (
            " The only image of a category is always wrong here, as no other is left"
            f" to learn from: add images to {', '.join(single[:5])}{others}, or leave"
            f" {'its folder' if len(single) == 1 else 'their folders'} out."
        )
    return text


def _explained(failure: Exception) -> Exception:
    """Return a reason in words, if we have one, for training that failed."""
    if not isinstance(failure, ValueError):
        return failure
    error = ReportError(
        "In one of the folds there was nothing left to tell apart when the images of a"
        " small category were set aside; it needs more images"
    )
    error.__cause__ = failure
    return error


def widget_learner() -> LogisticRegressionLearner:
    """Return what the widget Logistic Regression makes unless told otherwise."""
    return LogisticRegressionLearner(
        penalty="l2",
        dual=False,
        tol=0.0001,
        C=1,
        class_weight=None,
        fit_intercept=True,
        intercept_scaling=1.0,
        max_iter=10000,
        random_state=0,
    )


def _scorers(table: Table) -> list[type[scoring.Score]]:
    """Return the scores that Test and Score shows unless told otherwise."""
    usable = [
        scorer
        for scorer in scoring.Score.registry.values()
        # abstract is not meant to be inherited
        if scorer.is_scalar
        and not scorer.__dict__.get("abstract")
        and scorer.class_types
        and scorer.default_visible
        and scorer.is_compatible(table.domain)
    ]
    return sorted(usable, key=lambda scorer: int(scorer.priority))


def _score(scorer: type[scoring.Score], results: object) -> float:
    arguments = {"average": "weighted", "target": None} if scorer.is_binary else {}
    try:
        return float(scorer(results, **arguments)[0])
    except ValueError:  # not defined for these results; Test and Score leaves it empty
        return np.nan


def _confusion(
    actual: NDArray[np.float64], predicted: NDArray[np.float64], n: int
) -> NDArray[np.int64]:
    confusion = np.zeros((n, n), np.int64)
    np.add.at(confusion, (actual.astype(int), predicted.astype(int)), 1)
    return confusion
