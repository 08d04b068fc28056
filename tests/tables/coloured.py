"""Pictures that are easy to tell apart, as tables; and a plan to learn them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from Orange.data import Table
from PIL import Image

from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.training.plan import Plan, Recipe

COLOURS = {"blue": (0, 0, 160), "green": (0, 160, 0), "red": (160, 0, 0)}

#: Learns them in a second.
TOY = Plan(
    network="toy",
    start="nothing",
    size=(16, 16),
    recipe=Recipe(optimizer="adamw", learning_rate=0.05, batch=8, weight_decay=0.0),
    batch=8,
    epochs=2,
    validation=0.25,
    precision="float32",
    device="cpu",
)


def coloured_table(
    folder: Path,
    colours: Mapping[str, tuple[int, int, int]] = COLOURS,
    n: int = 8,
    side: int = 24,
    seed: int = 0,
) -> Table:
    """Return a table of n pictures of each colour, as Import Images makes it."""
    rng = np.random.default_rng(seed)
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(n):
            noise = rng.integers(0, 60, (side, side, 3))
            pixels = np.clip(noise + colour, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return table_from_folder(folder).table


def table_of(folder: Path) -> Table:
    """Return such a table without a name of its own."""
    table = coloured_table(folder)
    bare = Table.from_numpy(table.domain, table.X, table.Y, table.metas)
    return bare
