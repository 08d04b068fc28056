"""Tables of what networks consist of, and of networks compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from Orange.data import ContinuousVariable, Domain, StringVariable, Table

from orangecontrib.imagemining.compression.described import Described, Times

__all__ = ["Compared", "comparison_table", "layers_table"]


@dataclass(frozen=True)
class Compared:
    """A row of the comparison, as in SqueezeNet's Table 2.

    Attributes
    ----------
    described : the network.
    times : how long it takes; None if that was not measured.
    top1, top5 : share of images read right, 0–1; NaN if that is not known.
    judged : where these are from, in words; "" for nowhere.
    """

    described: Described
    times: Times | None = None
    top1: float = math.nan
    top5: float = math.nan
    judged: str = ""

    @property
    def seconds(self) -> float:
        """For one image; NaN if it was not measured."""
        return math.nan if self.times is None else self.times.total


def comparison_table(rows: Sequence[Compared], reference: int) -> Table:
    """Return networks compared, a row each.

    Parameters
    ----------
    rows
        The networks.
    reference
        Which of them the ratios are of.
    """
    numbers = [
        ContinuousVariable("file bytes", number_of_decimals=0),
        ContinuousVariable("times smaller", number_of_decimals=2),
        ContinuousVariable("bytes at 32 bits", number_of_decimals=0),
        ContinuousVariable("parameters", number_of_decimals=0),
        ContinuousVariable("not zero", number_of_decimals=0),
        ContinuousVariable("multiply-adds", number_of_decimals=0),
        ContinuousVariable("ms per image", number_of_decimals=3),
        ContinuousVariable("top-1", number_of_decimals=4),
        ContinuousVariable("top-5", number_of_decimals=4),
    ]
    metas = [
        StringVariable(name) for name in ("network", "architecture", "accuracy from")
    ]
    largest = rows[reference].described.file_bytes if rows else math.nan
    values = [
        [
            row.described.file_bytes,
            largest / row.described.file_bytes,
            row.described.n_bytes,
            row.described.parameters,
            row.described.nonzero if row.described.has_weights else math.nan,
            row.described.multiply_adds,
            1000 * row.seconds,
            row.top1,
            row.top5,
        ]
        for row in rows
    ]
    texts = [
        [row.described.title, row.described.architecture, row.judged] for row in rows
    ]
    table = _table(numbers, metas, values, texts)
    table.name = "networks"
    return table


def layers_table(described: Described, times: Times | None = None) -> Table:
    """Return a network's layers, a row each, in the order in which they run."""
    numbers = [
        ContinuousVariable("parameters", number_of_decimals=0),
        ContinuousVariable("not zero", number_of_decimals=0),
        ContinuousVariable("sparsity", number_of_decimals=4),
        ContinuousVariable("bits", number_of_decimals=0),
        ContinuousVariable("bytes at 32 bits", number_of_decimals=0),
        ContinuousVariable("bytes in file", number_of_decimals=0),
        ContinuousVariable("multiply-adds", number_of_decimals=0),
        ContinuousVariable("ms", number_of_decimals=3),
    ]
    names = ("layer", "kind", "detail", "weights", "output", "activation")
    metas = [StringVariable(name) for name in names]
    seconds = times.layers if times is not None else ()
    values, texts = [], []
    for place, layer in enumerate(described.layers):
        known = described.has_weights
        values.append(
            [
                layer.parameters,
                layer.nonzero if known else math.nan,
                layer.sparsity,
                layer.bits or math.nan,
                layer.n_bytes,
                layer.stored_bytes,
                layer.multiply_adds,
                1000 * seconds[place] if seconds else math.nan,
            ]
        )
        texts.append(
            [
                layer.name,
                layer.kind if layer.runs else f"{layer.kind} (training only)",
                layer.detail,
                " × ".join(map(str, layer.shape)),
                " × ".join(map(str, layer.output)),
                layer.activation,
            ]
        )
    table = _table(numbers, metas, values, texts)
    table.name = f"layers of {described.title}"
    return table


def _table(
    numbers: list[ContinuousVariable],
    metas: list[StringVariable],
    values: list[list[float]],
    texts: list[list[str]],
) -> Table:
    domain = Domain(numbers, metas=metas)
    n = len(values)
    return Table.from_numpy(
        domain,
        np.array(values, float).reshape(n, len(numbers)),
        metas=np.array(texts, dtype=object).reshape(n, len(metas)),
    )
