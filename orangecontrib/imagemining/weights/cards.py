"""The card of an own network: what an ONNX file does not say about itself.

A small JSON file beside the network, ``painters.onnx.json`` for ``painters.onnx``. It
is described for its users in ``doc/own-networks.md``; keep that page up to date.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from orangecontrib.imagemining.exceptions import FilesExistError, WeightsError
from orangecontrib.imagemining.specs import FITS, Layer, Preprocess

__all__ = [
    "CARD_FORMAT",
    "MAX_SIDE",
    "Card",
    "CardLayer",
    "Colours",
    "Interpolation",
    "Layout",
    "card_path",
    "is_card",
    "load_card",
    "save_card",
    "write_json",
]

CARD_FORMAT = "Orange3-ImageMining network card"
CARD_VERSION = 1
MAX_SIDE = 4096  # pixels; more is a slip of the keyboard
_MAX_BYTES = 2**20  # a card has some hundreds

Colours = Literal["RGB", "BGR", "grey"]
Layout = Literal["NCHW", "NHWC"]
Interpolation = Literal["lanczos", "bicubic", "bilinear"]


@dataclass(frozen=True)
class CardLayer:
    """A vector that the network gives.

    Attributes
    ----------
    name : of the layer, as stored in settings and shown.
    output : name of the network's output.
    size : length of the vector.
    """

    name: str
    output: str
    size: int


@dataclass(frozen=True)
class Card:
    """Everything needed to run an own network as its makers meant it.

    Attributes
    ----------
    file : name of the ONNX file.
    sha256 : checksum of that file.
    layers : its outputs as vectors; the first is the default.
    size : (height, width) of the image in pixels.
    input : name of the network's input.
    colours : order of the channels; "grey" for networks with one.
    layout : order of the axes: images, channels, rows, columns or channels last.
    mean, deviation : one number a channel, in that order: each pixel becomes
        (pixel × scale − mean) / deviation.
    scale : what pixels of 0–255 are multiplied with first.
    interpolation : filter for resizing.
    batch : how many images are given at once: 0 for any number.
    parts : names and checksums of further files that hold the network's numbers.
    title, licence, notes, trained_on : for people.
    classes : what the layer "logits" stands for, in its order; () if nobody told.
    fit : one of `specs.FITS`: how images met its shape in training.
    rendering : how images were read that it was trained on, in the words behind a
        source's # (see `images.sources`); "" for as files have it.
    """

    file: str
    sha256: str
    layers: tuple[CardLayer, ...]
    size: tuple[int, int]
    input: str
    colours: Colours = "RGB"
    layout: Layout = "NCHW"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)
    scale: float = 1.0
    interpolation: Interpolation = "bilinear"
    batch: int = 0
    parts: dict[str, str] = field(default_factory=dict)
    title: str = ""
    licence: str = ""
    notes: str = ""
    trained_on: str = ""
    classes: tuple[str, ...] = ()
    fit: str = "stretch"
    rendering: str = ""

    def __post_init__(self) -> None:
        self._check()

    @property
    def n_channels(self) -> int:
        """Number of channels that the network takes."""
        return 1 if self.colours == "grey" else 3

    @property
    def preprocess(self) -> Preprocess:
        """What is done to the image before it comes to the engine."""
        mean, deviation = (
            cast("tuple[float, float, float]", numbers * (3 // len(numbers)))
            for numbers in (self.mean, self.deviation)
        )
        return Preprocess(
            size=self.size,
            mean=mean,
            std=deviation,
            scale=self.scale,
            interpolation=self.interpolation,
            channels="BGR" if self.colours == "BGR" else "RGB",
        )

    def spec_layers(self) -> tuple[Layer, ...]:
        """Return the layers as the other rooms know them."""
        return tuple(
            Layer(layer.name, layer.size, f"output '{layer.output}'")
            for layer in self.layers
        )

    def _check(self) -> None:
        """Raise WeightsError for what nobody can have meant."""
        names = [layer.name for layer in self.layers]
        if not names:
            raise WeightsError("Choose at least one output of the network")
        if not all(name.strip() for name in names):
            raise WeightsError("A layer needs a name")
        if len(set(names)) < len(names):
            raise WeightsError("Two layers have the same name; give them other names")
        if not all(1 <= side <= MAX_SIDE for side in self.size):
            raise WeightsError(
                f"The image size {self.size[1]} × {self.size[0]} is not possible;"
                f" give width and height from 1 to {MAX_SIDE} pixels"
            )
        for what, numbers in (("mean", self.mean), ("deviation", self.deviation)):
            if len(numbers) != self.n_channels:
                raise WeightsError(
                    f"The {what} needs {self.n_channels} number(s), one a channel"
                    f" ({self.colours}), not {len(numbers)}"
                )
        if not all(map(math.isfinite, (*self.mean, *self.deviation, self.scale))):
            raise WeightsError("Mean, deviation and scale have to be numbers")
        if self.classes:
            sizes = {layer.name: layer.size for layer in self.layers}
            n_logits = sizes.get("logits")
            if n_logits != len(self.classes) or len(set(self.classes)) < n_logits:
                raise WeightsError(
                    "The names of classes need a layer 'logits' of as many numbers, and"
                    " each class a name of its own"
                )
        if self.scale == 0 or not all(number > 0 for number in self.deviation):
            raise WeightsError(
                "The deviation has to be above 0 and the scale must not be 0: every"
                " image would look the same to the network"
            )


def card_path(path: Path) -> Path:
    """Return where the card of an ONNX file is kept."""
    return path.with_name(f"{path.name}.json")


def load_card(path: Path) -> Card:
    """Read the card beside an ONNX file.

    Raises
    ------
    WeightsError
        If there is none, or it makes no sense.
    """
    place = card_path(path)
    try:
        # a card is small: of anything else no more is read than to see that
        with open(place, "rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError as ex:
        raise WeightsError(
            f"The network {path.name} has no card ({place.name} in its folder); choose"
            " the network's file anew and say how it is to be fed"
        ) from ex
    except (OSError, ValueError) as ex:
        reason = getattr(ex, "strerror", None) or ex
        raise WeightsError(f"The card {place} cannot be read ({reason})") from ex
    try:
        if len(content) > _MAX_BYTES:
            raise ValueError("it is too large")
        return _from_json(json.loads(content.decode("utf8")))
    except RecursionError as ex:
        raise WeightsError(f"The card {place} is damaged (nested too deep)") from ex
    except KeyError as ex:
        raise WeightsError(f"The card {place} is damaged ({ex} is missing)") from ex
    except (ValueError, TypeError, AttributeError) as ex:
        raise WeightsError(f"The card {place} is damaged ({ex})") from ex
    except WeightsError as ex:
        raise WeightsError(f"The card {place} cannot be used: {ex}") from ex


def save_card(card: Card, path: Path, replace: bool = False) -> Path:
    """Write the card beside its ONNX file and return where.

    Parameters
    ----------
    card
        To be kept.
    path
        The ONNX file.
    replace
        Whether a card that is there may be replaced; ask before.

    Raises
    ------
    FilesExistError
        If there is a card already, or a file of that name that is no card: the latter
        is never replaced.
    WeightsError
        If it cannot be written.
    """
    place = card_path(path)
    if os.path.lexists(place):
        if not is_card(place):
            raise FilesExistError(
                f"{place} is there already and is no card of a network; rename one of"
                " the two files"
            )
        if not replace:
            raise FilesExistError(f"{path.name} has a card already: {place}")
    try:
        write_json(place, _to_json(card))
    except OSError as ex:
        raise WeightsError(
            f"The card cannot be written into {place.parent} ({ex.strerror}); copy the"
            " network into a folder of yours"
        ) from ex
    return place


def write_json(place: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    Raises
    ------
    OSError
        If that is not possible.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # a name of its own: two programs may be at it at once
    name = f".{place.name}-{os.getpid()}-{threading.get_ident()}"
    part = place.with_name(name)
    try:
        with open(part, "x", encoding="utf8") as stream:
            stream.write(text)
        os.replace(part, place)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def is_card(place: Path) -> bool:
    """Tell whether a file is the card of a network."""
    try:
        with open(place, "rb") as stream:
            content = json.loads(stream.read(_MAX_BYTES + 1).decode("utf8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == CARD_FORMAT


def _to_json(card: Card) -> dict[str, Any]:
    return {
        "format": CARD_FORMAT,
        "version": CARD_VERSION,
        "title": card.title,
        "licence": card.licence,
        "notes": card.notes,
        **_if_told(card),
        "file": card.file,
        "sha256": card.sha256,
        "parts": card.parts,
        "input": {
            "name": card.input,
            "height": card.size[0],
            "width": card.size[1],
            "colours": card.colours,
            "layout": card.layout,
            "interpolation": card.interpolation,
            "scale": card.scale,
            "mean": list(card.mean),
            "deviation": list(card.deviation),
            "batch": card.batch,
        },
        "layers": [
            {"name": layer.name, "output": layer.output, "size": layer.size}
            for layer in card.layers
        ],
    }


def _if_told(card: Card) -> dict[str, Any]:
    """Return what only cards of networks that were trained here have."""
    told = {
        "trained_on": card.trained_on,
        "classes": list(card.classes),
        "fit": card.fit if card.fit != "stretch" else "",
        "rendering": card.rendering,
    }
    return {name: value for name, value in told.items() if value}


def _from_json(content: Any) -> Card:
    if not isinstance(content, dict) or content.get("format") != CARD_FORMAT:
        raise ValueError("it is no card of a network")
    version = _whole(content["version"], "version", 1)
    if version > CARD_VERSION:
        raise WeightsError("it was written by a newer version of this add-on; update")
    given = content["input"]
    return Card(
        file=_text(content["file"], "file"),
        sha256=_text(content["sha256"], "sha256"),
        parts={
            _text(name, "parts"): _text(checksum, "parts")
            for name, checksum in content.get("parts", {}).items()
        },
        title=_text(content.get("title", ""), "title"),
        licence=_text(content.get("licence", ""), "licence"),
        notes=_text(content.get("notes", ""), "notes"),
        trained_on=_text(content.get("trained_on", ""), "trained_on"),
        classes=tuple(_text(each, "classes") for each in content.get("classes", [])),
        fit=_one_of(content.get("fit", "stretch"), "fit", FITS),
        rendering=_text(content.get("rendering", ""), "rendering"),
        input=_text(given["name"], "name"),
        size=(_whole(given["height"], "height"), _whole(given["width"], "width")),
        colours=_one_of(given["colours"], "colours", ("RGB", "BGR", "grey")),
        layout=_one_of(given["layout"], "layout", ("NCHW", "NHWC")),
        interpolation=_one_of(
            given["interpolation"], "interpolation", ("lanczos", "bicubic", "bilinear")
        ),
        scale=_number(given["scale"], "scale"),
        mean=tuple(_number(number, "mean") for number in given["mean"]),
        deviation=tuple(_number(number, "deviation") for number in given["deviation"]),
        batch=_whole(given["batch"], "batch", 0),
        layers=tuple(
            CardLayer(
                _text(layer["name"], "name of a layer"),
                _text(layer["output"], "output of a layer"),
                _whole(layer["size"], "size of a layer", 1),
            )
            for layer in content["layers"]
        ),
    )


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"'{what}' has to be text")
    return value


def _whole(value: Any, what: str, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"'{what}' has to be a whole number from {least}")
    return value


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"'{what}' has to be a number")
    return float(value)


def _one_of(value: Any, what: str, known: Sequence[str]) -> Any:
    if value not in known:
        raise ValueError(f"'{what}' has to be {' or '.join(known)}")
    return value
