"""What Save Network and Load Network do in a thread, and what they say; no Qt."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from Orange.base import Model
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.embedders.catalog import (
    card_of,
    engine_for,
    inspect_network,
    make_card,
    name_of_file,
    network_from,
)
from orangecontrib.imagemining.embedders.onnxexport import (
    ONNX_SUFFIX,
    copy_onnx,
    export_onnx,
)
from orangecontrib.imagemining.embedders.trained import checked_network, with_layers
from orangecontrib.imagemining.exceptions import TableError, WeightsError
from orangecontrib.imagemining.tables.networkmodel import ImageNetworkModel
from orangecontrib.imagemining.training.designs import (
    design_options,
    options_for_training,
)
from orangecontrib.imagemining.weights.cards import card_path, load_card, save_card
from orangecontrib.imagemining.weights.compressed_file import (
    COMPRESSED_SUFFIX,
    compressed_size,
)
from orangecontrib.imagemining.weights.image_network import (
    AnyNetwork,
    ImageNetwork,
    NetworkCard,
    OnnxNetwork,
)
from orangecontrib.imagemining.weights.network_file import (
    NETWORK_SUFFIXES,
    load_network_file,
    save_network,
)
from orangecontrib.imagemining.widgets.utils.tasks import progress_of
from orangecontrib.imagemining.widgets.utils.trainchoices import written
from orangecontrib.imagemining.widgets.utils.traintexts import network_title

if TYPE_CHECKING:
    from orangecontrib.imagemining.embedders.engines.onnx import NetworkFile

__all__ = [
    "SUFFIXES",
    "Loaded",
    "Measured",
    "NoCard",
    "Saved",
    "describe_network",
    "is_compressed",
    "is_onnx",
    "megabytes",
    "run_describe",
    "run_load",
    "run_measure",
    "run_save",
    "signature",
    "written_by",
]

#: Endings of the files that Load Network reads.
SUFFIXES = (*NETWORK_SUFFIXES, ONNX_SUFFIX)

_FIGURES = {
    "accuracy": "accuracy",
    "validation_accuracy": "accuracy on validation images",
    "validation_loss": "loss on validation images",
    "accuracy_before": "accuracy before compressing",
}


@dataclass
class Saved:
    """What was written: the file, and how many bytes it has."""

    path: Path
    n_bytes: int


@dataclass
class Measured:
    """How large a compressed network's file will be.

    Attributes
    ----------
    network : which it is.
    n_bytes : of the file.
    """

    network: ImageNetwork
    n_bytes: int

    @property
    def words(self) -> str:
        """The size, and how much is saved."""
        ratio = self.network.n_bytes / self.n_bytes
        return (
            f"{megabytes(self.n_bytes)} as {COMPRESSED_SUFFIX}, {ratio:.1f} × smaller"
        )


@dataclass
class Loaded:
    """What was in a file, and the model that is made of it.

    Attributes
    ----------
    path : of the file.
    network : what is in it.
    model : predicts by it; None if it does not know its classes.
    items : what there is to know of it, in words.
    """

    path: Path
    network: AnyNetwork
    model: Model | None
    items: dict[str, str]


@dataclass
class NoCard:
    """An ONNX file about which something has to be asked.

    Attributes
    ----------
    file : what it says about itself.
    """

    file: NetworkFile


def is_onnx(path: str | Path) -> bool:
    """Tell by its ending what a file is to be."""
    return str(path).lower().endswith(ONNX_SUFFIX)


def is_compressed(network: AnyNetwork | None) -> bool:
    """Tell whether a network can be kept in less space than its numbers take."""
    if not isinstance(network, ImageNetwork):
        return False
    # zeros alone are kept like other numbers, but take hardly any space
    return bool(network.stored) or "compression" in network.card.recipe


def written_by(path: Path) -> list[Path]:
    """Return the files that saving a network there writes."""
    return [path, card_path(path)] if is_onnx(path) else [path]


def run_save(network: AnyNetwork, path: Path, state: TaskState) -> Saved:
    """Write a network; the user has been asked about files that exist."""
    progress = progress_of(state)
    progress(0, f"Saving {path.name}…")
    if isinstance(network, ImageNetwork):
        if is_onnx(path):
            size = export_onnx(network, path, replace=True, progress=progress)
        else:
            size = save_network(with_layers(network), path, True, progress)
    elif isinstance(network, OnnxNetwork) and is_onnx(path):
        size = copy_onnx(network, path, replace=True, progress=progress)
    else:
        raise WeightsError(
            f"{network.title} is an ONNX network and can be saved as ONNX only"
        )
    return Saved(path, size)


def run_measure(network: ImageNetwork, state: TaskState) -> Measured:
    """Code a compressed network to tell how large its file will be."""
    progress = progress_of(state)
    return Measured(network, compressed_size(with_layers(network), progress))


def run_load(path: Path, state: TaskState) -> Loaded | NoCard:
    """Read a file, and try the network that is in it."""
    progress = progress_of(state)
    progress(0, f"Reading {path.name}…")
    if is_onnx(path):
        if path.is_file() and not card_path(path).is_file():
            return NoCard(inspect_network(path))
        return _loaded_onnx(path)
    network = load_network_file(path, lambda part, text="": progress(0.8 * part, text))
    progress(0.8, f"Checking {path.name}…")
    network = checked_network(network)
    items = describe_network(network)
    if is_compressed(network):
        items["File"] = f"{megabytes(path.stat().st_size)}, compressed"
    return Loaded(path, network, _model(network), items)


def run_describe(
    file: NetworkFile, settings: Mapping[str, Any], state: TaskState
) -> Loaded:
    """Try an ONNX network as the user described it, write its card, and load it."""
    progress_of(state)(0, f"Trying {file.path.name}…")
    save_card(make_card(file, **settings), file.path)
    return _loaded_onnx(file.path)


def _loaded_onnx(path: Path) -> Loaded:
    name = name_of_file(path)
    network = network_from(name)
    engine_for(name)  # sees that the file is the one of its card, and can be run
    items = {
        "Name": network.title,
        "Network": f"ONNX, {_size_text(card_of(name).preprocess.size)}",
        "Classes": _classes_text(network.classes),
        "Trained on": card_of(name).trained_on if network.classes else "",
        "Licence": card_of(name).license,
        "Notes": load_card(path).notes,
        "File": megabytes(path.stat().st_size),
    }
    return Loaded(path, network, _model(network), _told(items))


def _model(network: AnyNetwork) -> Model | None:
    try:
        return ImageNetworkModel(network)
    except TableError:
        return None  # it does not know its classes: it can embed


def describe_network(network: AnyNetwork) -> dict[str, str]:
    """Return what there is to know of a network, in words, by what it is about."""
    if not isinstance(network, ImageNetwork):
        classes = _classes_text(network.classes)
        return _told({"Name": network.title, "Network": "ONNX", "Classes": classes})
    card = network.card
    figures = [
        f"{_FIGURES.get(name, name.replace('_', ' '))} {_figure(name, value)}"
        # what counts most comes first
        for name, value in sorted(card.figures.items(), key=_rank)
    ]
    design = [network_title(card.architecture), *_chosen(card)]
    items = {
        "Name": card.title,
        "Network": ", ".join([*design, _size_text(card.preprocess.size)]),
        "Classes": _classes_text(card.classes),
        "Reached": ", ".join(figures),
        "Trained on": card.trained_on,
        "Began from": card.start.removeprefix("trained:"),
        "Licence": card.license,
        "Trained": card.created.replace("T", " ")[:16],
        "Notes": card.notes,
        "Size": f"{network.n_parameters:,} parameters, {megabytes(network.n_bytes)}",
    }
    return _told(items)


def _chosen(card: NetworkCard) -> list[str]:
    """Return what somebody has chosen of a network's design, in words."""
    knobs = design_options(card.architecture)
    # what training sets by itself is nobody's choice
    usual = options_for_training(card.architecture)
    found = []
    for name, value in card.options.items():
        knob = knobs.get(name)
        value = tuple(value) if isinstance(value, list) else value  # of a file
        if name == "reshaped":  # the shapes of all layers are for programs
            found.append("smaller layers")
        elif name in usual or (knob is not None and value == knob.default):
            continue
        else:
            words = name if knob is None else knob.words[:1].lower() + knob.words[1:]
            found.append(words if value is True else f"{words} {written(value)}")
    return found


def _rank(figure: tuple[str, float]) -> int:
    names = [*_FIGURES]
    return names.index(figure[0]) if figure[0] in names else len(names)


def _told(items: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in items.items() if text}


def _classes_text(classes: tuple[str, ...]) -> str:
    if not classes:
        return "not known"
    shown = ", ".join(classes[:6])
    return f"{len(classes):,}: {shown}{', …' if len(classes) > 6 else ''}"


def _size_text(size: tuple[int, int]) -> str:
    return f"images of {size[1]} × {size[0]} pixels"


def _figure(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if "accuracy" in name else f"{value:.4g}"


def megabytes(n_bytes: float) -> str:
    """Return how large something is, for people."""
    if n_bytes < 10**6:
        return f"{n_bytes / 10**3:,.1f} kB"
    return f"{n_bytes / 10**6:,.1f} MB"


def signature(path: Path) -> tuple[int, int] | None:
    """Return what changes when a file is written anew; None if there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size
