"""How well trained networks, and their ensemble, tell labelled images apart."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
    Variable,
)
from Orange.data.util import get_unique_names

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.catalog import engine_and_choice, path_of
from orangecontrib.imagemining.embedders.engines.choice import AUTO
from orangecontrib.imagemining.embedders.trained import prediction_spec
from orangecontrib.imagemining.exceptions import TableError, WeightsError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.columns import image_sources
from orangecontrib.imagemining.tables.networkmodel import rendering_for
from orangecontrib.imagemining.tables.widening import with_metas
from orangecontrib.imagemining.weights.cards import load_card
from orangecontrib.imagemining.weights.image_network import (
    AnyNetwork,
    ImageNetwork,
    OnnxNetwork,
)

__all__ = ["ENSEMBLE", "Evaluation", "Scores", "evaluate_networks"]

ENSEMBLE = "Ensemble"
_LEAST = 1e-7  # a probability of 0 would make the loss infinite
_TOP = 5
_MANY = 100  # classes; columns for the probabilities of more are of no use


@dataclass(frozen=True)
class Scores:
    """How well one network, or the ensemble, did.

    Attributes
    ----------
    title : of the network.
    top1 : share of images whose class is the likeliest one, 0–1.
    top5 : share of images whose class is among the five likeliest; NaN with fewer than
        six classes.
    log_loss : mean of −ln of the probability of the true class.
    speed : images a second on this computer, reading included; NaN if all were known.
    n_parameters : how many numbers it has; NaN if that is not known.
    n_bytes : their size as they are; NaN if that is not known.
    """

    title: str
    top1: float
    top5: float
    log_loss: float
    speed: float
    n_parameters: float
    n_bytes: float


@dataclass
class Evaluation:
    """What came of trying networks on a table.

    Attributes
    ----------
    scores : of each network, then of the ensemble if there is one.
    n_images : how many images they were tried on: those that all could say something
        about, and whose class all know.
    table : `scores` as a table.
    predictions : these images, with class and probabilities by the ensemble, or by the
        first network if there is none; of more than 100 classes only the likeliest
        one's probability.
    left_out : why rows were left out, and how many, the commonest reason first.
    why_no_ensemble : in words; "" if there is one, or there is one network only.
    """

    scores: list[Scores]
    n_images: int
    table: Table
    predictions: Table
    left_out: list[tuple[str, int]] = field(default_factory=list)
    why_no_ensemble: str = ""


def evaluate_networks(
    data: Table,
    column: Variable,
    networks: Sequence[AnyNetwork],
    views: int | str = 1,
    *,
    engine: str = AUTO,
    progress: Progress = no_progress,
) -> Evaluation:
    """Try networks on labelled images, alone and together.

    The ensemble averages the networks' probabilities, as in section 4.4 of VGG's paper
    (Simonyan and Zisserman 2015). All are judged by the same images.

    Parameters
    ----------
    data
        With a categorical class.
    column
        Which of its columns has the images.
    networks
        One or more that know their classes.
    views
        How often each image is looked at; see `embedders.views_of`.
    engine
        As for `LocalEmbedder`.
    progress
        What it raises ends the work.

    Raises
    ------
    TableError
        If there is no categorical class, a network does not know its classes, or no
        image is left that can be judged.
    UnknownNameError
        If a network cannot look at images that often.
    WeightsError
        If a network is not to be had.
    """
    truth = _truth(data)
    _need_classes(networks)
    embedders = [
        LocalEmbedder(prediction_spec(network, views), engine=engine)
        for network in networks
    ]
    reasons: list[str] = ["" if name else "They have no class" for name in truth]
    for network in networks:
        known = set(network.classes)
        for row, name in enumerate(truth):
            if name and name not in known:
                reasons[row] = f"{network.title} does not know the class {name}"
    rows = [row for row, reason in enumerate(reasons) if not reason]
    found: list[NDArray[np.float32]] = []
    speeds = []
    for number, (network, embedder) in enumerate(zip(networks, embedders, strict=True)):

        def share(fraction: float, status: str = "", number: int = number) -> None:
            title = networks[number].title
            text = f"{title}: {status}" if status else ""
            progress((number + fraction) / len(networks), text)

        sources = image_sources(data, column, rendering_for(network))
        share(0, "loading")
        spec = embedder.spec
        # so that it does not count as time for images
        engine_and_choice(spec.network, engine, spec.precision, spec.views)
        start = time.monotonic()
        result = embedder([sources[row] for row in rows], share)
        seconds = time.monotonic() - start
        n_new = len(rows) - result.n_known
        speeds.append(n_new / seconds if n_new and seconds > 0 else math.nan)
        found.append(result.vectors)
        for row, reason in zip(rows, result.reasons, strict=True):
            reasons[row] = reasons[row] or reason or ""
    good = [place for place, row in enumerate(rows) if not reasons[row]]
    left_out = Counter(filter(None, reasons)).most_common()
    if not good:
        why = f": {left_out[0][0]}" if left_out else ""
        raise TableError(f"There is no image that the networks can be judged by{why}")
    kept = [rows[place] for place in good]
    names = [truth[row] for row in kept]
    probabilities = [each[good].astype(float) for each in found]
    scores = [
        _scores(network.title, each, network.classes, names, speed, *_size(network))
        for network, each, speed in zip(networks, probabilities, speeds, strict=True)
    ]
    best, classes = probabilities[0], networks[0].classes
    why_not = _why_no_ensemble(networks)
    if len(networks) > 1 and not why_not:
        best = _mean(probabilities, networks)
        scores.append(_ensemble(scores, best, classes, names))
    return Evaluation(
        scores,
        len(good),
        _as_table(scores, len(good), views),
        _predictions(data[kept], best, classes),
        left_out,
        why_not,
    )


def _truth(data: Table) -> list[str]:
    variable = data.domain.class_var
    if variable is None or not variable.is_discrete:
        raise TableError(
            "The data have no categorical class to hold predictions against; choose one"
            " by Select Columns"
        )
    values = data.get_column(variable)
    return [variable.values[int(v)] if np.isfinite(v) else "" for v in values]


def _need_classes(networks: Sequence[AnyNetwork]) -> None:
    for network in networks:
        if not network.classes:
            raise TableError(
                f"It is not known which classes {network.title} tells apart; it can"
                " embed images, but not be judged"
            )


def _why_no_ensemble(networks: Sequence[AnyNetwork]) -> str:
    first = networks[0]
    for network in networks[1:]:
        different = sorted({*first.classes} ^ {*network.classes})
        if different:
            return (
                f"No ensemble: {first.title} and {network.title} tell other classes"
                f" apart, such as {different[0]}"
            )
    return ""


def _mean(
    probabilities: Sequence[NDArray[np.float64]], networks: Sequence[AnyNetwork]
) -> NDArray[np.float64]:
    """Return the mean, in the order of the first network's classes."""
    total = np.zeros_like(probabilities[0])
    for each, network in zip(probabilities, networks, strict=True):
        places = {name: place for place, name in enumerate(network.classes)}
        total += each[:, [places[name] for name in networks[0].classes]]
    result: NDArray[np.float64] = total / len(networks)
    return result


def _scores(
    title: str,
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    names: Sequence[str],
    speed: float,
    n_parameters: float,
    n_bytes: float,
) -> Scores:
    places = {name: place for place, name in enumerate(classes)}
    truth = np.array([places[name] for name in names])
    # the first of several equally likely ones counts as the likeliest
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank = (order == truth[:, np.newaxis]).argmax(axis=1)
    of_truth = probabilities[np.arange(len(truth)), truth]
    return Scores(
        title=title,
        top1=float((rank == 0).mean()),
        top5=float((rank < _TOP).mean()) if len(classes) > _TOP else math.nan,
        log_loss=float(-np.log(np.maximum(of_truth, _LEAST)).mean()),
        speed=speed,
        n_parameters=n_parameters,
        n_bytes=n_bytes,
    )


def _ensemble(
    scores: Sequence[Scores],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    names: Sequence[str],
) -> Scores:
    # each image goes through all of them
    speed = 1 / sum(1 / each.speed for each in scores)
    n_parameters = sum(each.n_parameters for each in scores)
    n_bytes = sum(each.n_bytes for each in scores)
    return _scores(
        ENSEMBLE, probabilities, classes, names, speed, n_parameters, n_bytes
    )


def _size(network: AnyNetwork) -> tuple[float, float]:
    """Return numbers of parameters and of bytes, NaN where they are not known."""
    if isinstance(network, ImageNetwork):
        return network.n_parameters, network.n_bytes
    if isinstance(network, OnnxNetwork):
        path = path_of(network.name)
        try:
            parts = [path.with_name(part) for part in load_card(path).parts]
            return math.nan, sum(Path(each).stat().st_size for each in (path, *parts))
        except (OSError, WeightsError):
            pass
    return math.nan, math.nan


def _as_table(scores: Sequence[Scores], n_images: int, views: int | str) -> Table:
    numbers = [
        ContinuousVariable("top-1", number_of_decimals=4),
        ContinuousVariable("top-5", number_of_decimals=4),
        ContinuousVariable("log loss", number_of_decimals=4),
        ContinuousVariable("images/s", number_of_decimals=1),
        ContinuousVariable("parameters", number_of_decimals=0),
        ContinuousVariable("bytes", number_of_decimals=0),
        ContinuousVariable("images", number_of_decimals=0),
    ]
    domain = Domain(numbers, metas=[StringVariable("network"), StringVariable("views")])
    values = [
        [
            each.top1,
            each.top5,
            each.log_loss,
            each.speed,
            each.n_parameters,
            each.n_bytes,
            n_images,
        ]
        for each in scores
    ]
    metas = np.array([[each.title, str(views)] for each in scores], dtype=object)
    table = Table.from_numpy(domain, np.array(values, float), metas=metas)
    table.name = "evaluation"
    return table


def _predictions(
    data: Table, probabilities: NDArray[np.float64], classes: Sequence[str]
) -> Table:
    likeliest = probabilities.argmax(axis=1)
    wanted = ["predicted", *(f"p({name})" for name in classes)]
    if len(classes) > _MANY:
        probabilities = probabilities.max(axis=1, keepdims=True)
        wanted[1:] = ["p(predicted)"]
    domain = data.domain
    taken = [variable.name for variable in (*domain.variables, *domain.metas)]
    if not set(taken).isdisjoint(wanted):
        wanted = get_unique_names(taken, wanted, equal_numbers=True)
    columns: list[Variable] = [
        DiscreteVariable(wanted[0], tuple(classes)),
        *(ContinuousVariable(name, number_of_decimals=4) for name in wanted[1:]),
    ]
    return with_metas(data, columns, np.column_stack([likeliest, probabilities]))
