#!/usr/bin/env python3
"""Write the table of published weights into doc/weights.md.

Usage: .venv/bin/python scripts/make_weights_table.py
"""

from __future__ import annotations

from pathlib import Path

from orangecontrib.imagemining.specs import Weights
from orangecontrib.imagemining.weights import WEIGHTS

PAGE = Path(__file__).parents[1] / "doc" / "weights.md"
BEGIN = "| network | to download | trained on | top-1 / top-5 | licence |\n"


def table() -> str:
    """Return the table, a line for each network in the registry."""
    return BEGIN + "|---|---|---|---|---|\n" + "".join(map(_line, WEIGHTS.values()))


def with_table(page: str) -> str:
    """Return the page with the table as it is to be.

    Parameters
    ----------
    page
        The page, with a table that begins as ours does.
    """
    before, _, after = page.partition(BEGIN)
    rest = after.partition("\n\n")[2]
    return f"{before}{table()}\n{rest}"


def _line(card: Weights) -> str:
    if card.source[0]:
        size = f"nothing (package {card.source[0]})"
    elif card.file_size is None:
        size = f"[size unknown]({card.url})"
    else:
        size = f"[{card.file_size / 2**20:.3g} MB]({card.url})"
    right = "–"
    if card.top1 and card.top5:
        right = f"{card.top1:.1%} / {card.top5:.1%}"
    cells = (card.title, size, card.trained_on, right, card.license)
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf8")), encoding="utf8")
