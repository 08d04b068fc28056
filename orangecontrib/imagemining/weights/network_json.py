"""A trained network's card as JSON, and back, each thing looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from orangecontrib.imagemining.specs import FITS, Layer, Preprocess
from orangecontrib.imagemining.weights.image_network import NetworkCard

__all__ = ["card_from_json", "card_to_json"]

_MAX_SIDE = 4096  # pixels
_MAX_CLASSES = 100_000
_MAX_TEXT = 2**20  # characters
_TEXTS = ("rendering", "start", "trained_on", "license", "created", "notes")


def card_to_json(card: NetworkCard) -> dict[str, Any]:
    """Return the card as what `json.dumps` takes. Figures that are none are left out.

    Parameters
    ----------
    card
        Whose options and recipe are JSON-able.
    """
    return {
        "title": card.title,
        "architecture": card.architecture,
        "options": dict(card.options),
        "classes": list(card.classes),
        "preprocess": asdict(card.preprocess),
        "fit": card.fit,
        **{name: getattr(card, name) for name in _TEXTS},
        "recipe": dict(card.recipe),
        "figures": {
            name: float(value)
            for name, value in card.figures.items()
            if math.isfinite(value)
        },
        "layers": [
            {"name": each.name, "size": each.size, "description": each.description}
            for each in card.layers
        ],
    }


def card_from_json(content: Any) -> NetworkCard:
    """Return the card that `card_to_json` made this of.

    Raises
    ------
    ValueError
        If something cannot have been meant so; the text says what.
    KeyError
        If something is missing that has to be there.
    """
    if not isinstance(content, dict):
        raise ValueError("its card is none")
    classes = tuple(_text(each, "class") for each in _list(content, "classes"))
    if not 1 <= len(classes) <= _MAX_CLASSES or len(set(classes)) < len(classes):
        raise ValueError("its classes are none, too many, or the same twice")
    if content["fit"] not in FITS:
        raise ValueError(f"'fit' has to be {' or '.join(FITS)}")
    architecture = _text(content["architecture"], "architecture")
    if not architecture.isidentifier():
        raise ValueError("its architecture has no name")
    return NetworkCard(
        title=_text(content["title"], "title"),
        architecture=architecture,
        classes=classes,
        preprocess=_preprocess(content["preprocess"]),
        options=_mapping(content, "options"),
        fit=content["fit"],
        **{name: _text(content.get(name, ""), name) for name in _TEXTS},
        recipe=_mapping(content, "recipe"),
        figures={
            name: _number(value, name)
            for name, value in _mapping(content, "figures").items()
        },
        layers=tuple(_layer(each) for each in content.get("layers", [])),
    )


def _preprocess(content: Any) -> Preprocess:
    height, width = content["size"]
    for side in (height, width):
        _whole(side, "size", 1, _MAX_SIDE)
    numbers = {
        name: tuple(_number(number, name) for number in content[name])
        for name in ("mean", "std")
    }
    if {len(each) for each in numbers.values()} != {3} or min(numbers["std"]) <= 0:
        raise ValueError("mean and deviation are to be three numbers each")
    scale = _number(content["scale"], "scale")
    if scale <= 0:
        raise ValueError("'scale' has to be above 0")
    swapped = content.get("swapped_columns")
    if swapped is not None:
        first, second = (_whole(each, "column", 0, width - 1) for each in swapped)
        swapped = (first, second)
    shortest = content.get("shortest")
    if shortest is not None:
        _whole(shortest, "shortest", 1, 2 * _MAX_SIDE)
    as_stored = content.get("as_stored", False)
    if not isinstance(as_stored, bool):
        raise ValueError("'as_stored' has to be true or false")
    return Preprocess(
        size=(height, width),
        mean=numbers["mean"],  # type: ignore[arg-type]  # three
        std=numbers["std"],  # type: ignore[arg-type]
        scale=scale,
        interpolation=_one_of(
            content, "interpolation", ("lanczos", "bicubic", "bilinear")
        ),
        channels=_one_of(content, "channels", ("RGB", "BGR")),
        as_stored=as_stored,
        swapped_columns=swapped,
        shortest=shortest,
    )


def _layer(content: Any) -> Layer:
    return Layer(
        _text(content["name"], "layer"),
        _whole(content["size"], "size of a layer", 1, 2**24),
        _text(content.get("description", ""), "description"),
    )


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        raise ValueError(f"'{what}' has to be text")
    return value


def _number(value: Any, what: str) -> float:
    """Return it as it is: 1 and 1.0 are written, and so summed up, in two ways."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"'{what}' has to be a number")
    if not math.isfinite(value):
        raise ValueError(f"'{what}' has to be finite")
    return value


def _whole(value: Any, what: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"'{what}' has to be a whole number from {least} to {most}")
    return value


def _list(content: Mapping[str, Any], name: str) -> list[Any]:
    value = content[name]
    if not isinstance(value, list):
        raise ValueError(f"'{name}' has to be a list")
    return value


def _mapping(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name, {})
    if not isinstance(value, dict):
        raise ValueError(f"'{name}' has to be a table of names and values")
    return value


def _one_of(content: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Any:
    if content[name] not in known:
        raise ValueError(f"'{name}' has to be {' or '.join(known)}")
    return content[name]
