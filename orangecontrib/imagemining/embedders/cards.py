"""The card of an own network; see `weights.cards`."""

from __future__ import annotations

from orangecontrib.imagemining.weights.cards import (
    CARD_FORMAT,
    MAX_SIDE,
    Card,
    CardLayer,
    Colours,
    Interpolation,
    Layout,
    card_path,
    is_card,
    load_card,
    save_card,
    write_json,
)

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
