"""Training the last linear map alone, on embeddings that are known or soon made."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.trained import (
    lend_network,
    published_network,
)
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.specs import EmbedderSpec, Progress
from orangecontrib.imagemining.tables.labelled import LabelledImages
from orangecontrib.imagemining.tables.preparing import Prepared, Work, prepare
from orangecontrib.imagemining.training.history import Epoch, History
from orangecontrib.imagemining.training.inputs import architecture_of, preprocess_of
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights import WEIGHTS
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["train_head_of"]

#: Vectors and classes.
_Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]
_EMBEDDING = 0.9  # share of the progress bar


def train_head_of(work: Work) -> tuple[ImageNetwork, History, Prepared]:
    """Train the last linear map of a network, and leave the rest as it is.

    The images' vectors are those of the layer "features"; they are kept as all
    embeddings are, so that the next time takes seconds.

    Parameters
    ----------
    work
        What is to be done; its plan's size and fit decide how images are embedded.

    Returns
    -------
    The network, a history with a line an iteration, and the images.

    Raises
    ------
    TrainingError
        If the rest of the network is to begin from nothing.
    TableError
        If too few images can be read.
    UnknownNameError
        If images cannot meet the network as the plan says.
    """
    import torch

    from orangecontrib.imagemining.training.evaluation import judged
    from orangecontrib.imagemining.training.head import (
        classifier_inputs,
        put_into,
        train_head,
    )
    from orangecontrib.imagemining.training.results import figures_of, network_of
    from orangecontrib.imagemining.training.starting import start_network

    plan = work.plan
    base = _network_below(plan, work.given)
    name = plan.network if base is None else lend_network(base)
    embedder = LocalEmbedder(EmbedderSpec(name, "features", fit=plan.fit))

    def read(
        images: LabelledImages, progress: Progress
    ) -> tuple[_Labelled, list[str | None]]:
        result = embedder(images.sources, embedding)
        good = np.array([reason is None for reason in result.reasons], bool)
        return (result.vectors[good], images.labels[good]), result.reasons

    def take(
        some: _Labelled, rows: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> _Labelled:
        return some[0][rows], labels

    def embedding(fraction: float, status: str = "") -> None:
        work.progress(_EMBEDDING * fraction, status)

    def fitting(fraction: float, status: str = "") -> None:
        work.progress(_EMBEDDING + (1 - _EMBEDDING) * fraction, status)

    learn, judge, ready = prepare(work, read, take)
    work.tell(ready)
    begun = time.perf_counter()
    n_classes = len(ready.classes)
    started = start_network(plan, ready.classes, work.given)
    learn, judge = (
        (classifier_inputs(started.network, some[0]), some[1])
        for some in (learn, judge)
    )
    has_judge = len(judge[1]) > 0
    head = train_head(
        *learn, plan, n_classes, judge if has_judge else None, progress=fitting
    )
    seconds = time.perf_counter() - begun
    history = History(
        [
            Epoch(
                number,
                seconds / len(head.steps),
                len(learn[1]) * len(head.steps) / max(seconds, 1e-9),
                math.nan,  # no steps of a chosen length are made
                step.loss,
                step.accuracy,
                step.validation_loss,
                step.validation_accuracy,
            )
            for number, step in enumerate(head.steps, start=1)
        ]
    )
    last = history.epochs[-1]
    if has_judge:
        judged_by = judged(
            torch.from_numpy(head.logits(judge[0])),
            judge[1],
            np.arange(len(judge[1])),
            n_classes,
        )
        last = replace(last, confusion=judged_by.confusion, worst=judged_by.worst)
        history.epochs[-1] = last
    put_into(started.network, head)
    network = network_of(
        started.network.state_dict(),
        plan,
        ready.classes,
        preprocess_of(plan, work.given),
        given=work.given,
        title=work.title,
        origin=started.origin,
        license=started.license,
        figures=figures_of(last, len(learn[1]), len(judge[1])),
        about=work.about,
        layers=started.network.layers(),
    )
    return network, history, ready


def _network_below(plan: Plan, given: ImageNetwork | None) -> ImageNetwork | None:
    """Return the network that embeds the images; None for the published one.

    Raises
    ------
    TrainingError
        If there is none.
    """
    if plan.start == "nothing" or (given is None and plan.network not in WEIGHTS):
        raise TrainingError(
            "The last linear map alone cannot be learned by a network that begins from"
            " nothing: what it gets says nothing yet. Begin with published weights, or"
            " have everything learn"
        )
    preprocess = preprocess_of(plan, given)
    if given is None:
        if preprocess == WEIGHTS[plan.network].preprocess:
            return None
        given = published_network(plan.network)
    elif architecture_of(plan, given) != given.card.architecture:
        raise TrainingError(
            f"{given.title} is no {plan.network}; where the last linear map alone"
            " learns, the rest is to be the given network's"
        )
    return replace(given, card=replace(given.card, preprocess=preprocess))
