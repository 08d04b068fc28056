"""What Image Embedding does in a thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from Orange.data import Table, Variable
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.embedders.catalog import (
    TIMM,
    add_own_network,
    card_of,
    engine_for,
    inspect_network,
    keep_network,
    make_card,
    remember_own_network,
)
from orangecontrib.imagemining.specs import EmbedderSpec, Progress
from orangecontrib.imagemining.tables import EmbeddingResult, embed_table
from orangecontrib.imagemining.weights import fetch, import_file, weights_of
from orangecontrib.imagemining.weights.cards import card_path
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork
from orangecontrib.imagemining.widgets.utils.pacetext import (
    duration,
    pace_in_words,
    with_pace,
)
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

if TYPE_CHECKING:
    from orangecontrib.imagemining.embedders.engines.onnx import NetworkFile

__all__ = [
    "Brought",
    "fetch_weights",
    "Given",
    "Inspected",
    "add_own",
    "look_into",
    "main_reasons",
    "run",
    "run_bringing",
    "summary",
    "take_file",
    "take_given",
    "take_timm",
]


@dataclass
class Brought:
    """A network whose weights are here now.

    Attributes
    ----------
    network : its name.
    """

    network: str


def run(
    data: Table,
    column: Variable,
    specs: Sequence[EmbedderSpec],
    classes: bool,
    engine: str,
    server: str,
    state: TaskState,
) -> EmbeddingResult:
    progress = with_pace(progress_of(state))
    return embed_table(data, column, specs, progress, classes, server, engine=engine)


@dataclass
class Given(Brought):
    """A network that came by an input, and can be embedded by now.

    Attributes
    ----------
    fit : how images met it when it was trained.
    """

    fit: str


@dataclass
class Inspected:
    """An own network about which something has still to be asked.

    Attributes
    ----------
    file : what its file says.
    """

    file: NetworkFile


def take_timm(name: str) -> Job:
    """Return the job that gets one of timm's networks, with its weights."""

    def job(progress: Progress) -> Brought:
        # timm fetches by itself, and does not say how far it is
        progress(0, f"timm gets {name}")
        network = f"{TIMM}{name}"
        card_of(network)
        engine_for(network)
        return Brought(network)

    return job


#: What brings a network here, or looks into one.
Job = Callable[[Progress], Brought | Inspected]


def run_bringing(job: Job, state: TaskState) -> Brought | Inspected:
    return job(progress_of(state))


def take_given(network: AnyNetwork) -> Job:
    """Return the job that makes the network of an input one that can be chosen."""

    def job(progress: Progress) -> Given:
        progress(0, f"Taking {network.title}")
        if isinstance(network, ImageNetwork):
            keep_network(network)  # models of its columns may be used another day
        return Given(network.name, card_of(network.name).fit)

    return job


def fetch_weights(network: str) -> Job:
    """Return a function that downloads a network's weights."""

    def job(progress: Progress) -> Brought:
        fetch(weights_of(network), progress)
        return Brought(network)

    return job


def take_file(network: str, path: Path) -> Job:
    """Return a function that takes a network's weights from a file."""

    def job(progress: Progress) -> Brought:
        import_file(network, path, progress=progress)
        return Brought(network)

    return job


def look_into(path: Path) -> Job:
    """Return a function that adds an own network, or looks what is to be asked.

    A network that has its card already needs no questions.
    """

    def job(progress: Progress) -> Brought | Inspected:
        progress(0, f"Reading {path.name}")
        if card_path(path).is_file():
            return Brought(remember_own_network(path))
        return Inspected(inspect_network(path))

    return job


def add_own(file: NetworkFile, settings: dict[str, Any]) -> Job:
    """Return a function that tries an own network and writes its card."""

    def job(progress: Progress) -> Brought:
        progress(0, f"Trying {file.path.name}")
        card = make_card(file, **settings)
        return Brought(add_own_network(file.path, card))

    return job


def summary(result: EmbeddingResult, seconds: float) -> str:
    """Return what became of the images, and how fast."""
    n_good = len(result.embedded) if result.embedded else 0
    n_bad = len(result.skipped) if result.skipped else 0
    text = f"{n_good:,} image{'s' * (n_good != 1)} embedded"
    if result.n_known:
        n_known = min(result.n_known, n_good)
        text += f", {f'{n_known:,}' if n_known < n_good else 'all'} from the cache"
    if n_bad:
        text += f", {n_bad:,} skipped"
    if seconds >= 1:
        text += f" in {duration(seconds)} ({pace_in_words(n_good / seconds)})"
    return f"{text}."


def main_reasons(skipped: Table) -> str:
    """Return the commonest reasons, with how often each."""
    reasons = Counter(str(row.metas[-1]) for row in skipped)
    texts = [f"{reason} ({count} ×)" for reason, count in reasons.most_common(2)]
    if len(reasons) > 2:
        texts.append("… see Skipped Images")
    return "; ".join(texts)
