"""What Evaluate Networks does in a thread, and how it shows it; no Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from Orange.base import Model
from Orange.data import Table, Variable
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.embedders import views_of
from orangecontrib.imagemining.embedders.trained import prediction_spec
from orangecontrib.imagemining.exceptions import TableError
from orangecontrib.imagemining.tables.evaluating import (
    Evaluation,
    Scores,
    evaluate_networks,
)
from orangecontrib.imagemining.tables.networkmodel import (
    EnsembleModel,
    ImageNetworkModel,
)
from orangecontrib.imagemining.weights.image_network import AnyNetwork
from orangecontrib.imagemining.widgets.utils.networkfiles import megabytes
from orangecontrib.imagemining.widgets.utils.pacetext import with_pace
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

__all__ = ["HEADERS", "Evaluated", "Views", "cells", "run_evaluate", "run_views"]

HEADERS = (
    "Network",
    "Top-1",
    "Top-5",
    "Log loss",
    "Images/s",
    "Parameters",
    "Size in memory",
)
_NONE = "–"


@dataclass
class Views:
    """How often, or how, all networks can look at images.

    Attributes
    ----------
    views : in the order in which they are offered.
    network : name of one of the networks, by which their cost is told.
    """

    views: list[int | str]
    network: str


@dataclass
class Evaluated:
    """What came of it.

    Attributes
    ----------
    evaluation : None where there are no images.
    model : the ensemble, or the only network, as a model; None if they cannot be put
        together.
    """

    evaluation: Evaluation | None
    model: Model | None


def run_views(networks: Sequence[AnyNetwork], state: TaskState) -> Views:
    """Ask what the networks can do, for which some have to be built."""
    progress_of(state)(0, "Looking at the networks…")
    names = [prediction_spec(network).network for network in networks]
    common = [set(views_of(name)) for name in names]
    views = [each for each in views_of(names[0]) if all(each in s for s in common)]
    return Views(views, names[0])


def run_evaluate(
    networks: Sequence[AnyNetwork],
    data: Table | None,
    column: Variable | None,
    views: int | str,
    state: TaskState,
) -> Evaluated:
    progress = progress_of(state)
    model = _model(networks, data, views)
    if data is None or column is None:
        return Evaluated(None, model)
    evaluation = evaluate_networks(
        data, column, networks, views, progress=with_pace(progress)
    )
    return Evaluated(evaluation, model)


def _model(
    networks: Sequence[AnyNetwork], data: Table | None, views: int | str
) -> Model | None:
    variable = data.domain.class_var if data is not None else None
    known = set(networks[0].classes)
    if variable is None or not variable.is_discrete or known - {*variable.values}:
        variable = None  # the model brings a variable of its own
    try:
        if len(networks) == 1:
            return ImageNetworkModel(networks[0], variable, views=views)
        return EnsembleModel(networks, variable, views=views)
    except TableError:
        return None  # other classes: `Evaluation.why_no_ensemble` tells


def cells(scores: Scores) -> list[str]:
    """Return a row of the window's table."""
    return [
        scores.title,
        _text(100 * scores.top1, "{:.2f} %"),
        _text(100 * scores.top5, "{:.2f} %"),
        _text(scores.log_loss, "{:.4f}"),
        _text(scores.speed, "{:,.0f}" if scores.speed >= 10 else "{:.1f}"),
        _text(scores.n_parameters, "{:,.0f}"),
        _NONE if math.isnan(scores.n_bytes) else megabytes(scores.n_bytes),
    ]


def _text(number: float, form: str) -> str:
    return _NONE if math.isnan(number) else form.format(number)
