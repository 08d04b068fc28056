#!/usr/bin/env python3
"""How much memory does an embedded table take while it is made?

Usage: .venv/bin/python benchmarks/memory.py [--rows N] [--out FILE]

Makes a table of N images (default 100,000) with 512 numbers each, on the way that Image
Embedding goes, but with made-up vectors that a store is said to have known already.
Prints the size of the table's own arrays, and how far the process's memory rose above
what it had before, at most, as a multiple of it. With --out it then goes the way of
`orange-imagemining embed`, which holds a part of the vectors at a time, and prints the
same for writing that file. Linux and macOS only.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from Orange.data import DiscreteVariable, Domain, StringVariable, Table

from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.specs import EmbedderSpec, Progress, no_progress
from orangecontrib.imagemining.tables.embedded import embed_in_parts, embed_table
from orangecontrib.imagemining.tables.writing import Layout, check_size, writing

SPEC = EmbedderSpec("squeezenet1_1", "features")
_MB = 2**20


class MadeUp:
    """A store that knows all vectors."""

    def lookup(
        self,
        sources: list[str],
        spec: bytes,
        size: int,
        progress: Progress = no_progress,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return numbers for all."""
        rng = np.random.default_rng(len(sources))
        vectors = np.empty((len(sources), size), np.float32)
        for start in range(0, len(sources), 1000):
            block = vectors[start : start + 1000]
            block[:] = rng.random(block.shape, np.float32)
        return vectors, np.ones(len(sources), bool)


def images(n: int) -> Table:
    """Return a table as Import Images makes it."""
    image = StringVariable("image")
    image.attributes = {"type": "image", "origin": "/nowhere"}
    category = DiscreteVariable("category", ("a", "b"))
    paths = [[f"a/image-{row:07}.jpg"] for row in range(n)]
    return Table.from_numpy(
        Domain([], category, [image]),
        np.empty((n, 0)),
        np.arange(n) % 2.0,
        np.array(paths, object),
    )


def peak() -> int:
    """Return the most memory that this process ever had, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    store = cast(VectorStore, MadeUp())
    # what is loaded, and made once, is not the table's
    few = images(10)
    embed_table(few, few.domain["image"], SPEC, cache=store)
    table = images(options.rows)
    column = table.domain["image"]
    before = peak()
    start = time.perf_counter()
    if options.out:
        layout = Layout(column, SPEC)
        check_size(options.out, table, layout)
        with writing(options.out, layout, force=True) as writer:
            rows = 4096 if writer.takes_parts else len(table)
            for part in embed_in_parts(table, column, SPEC, rows=rows, cache=store):
                assert part.embedded is not None
                writer.add(part.embedded)
        own = options.rows * 512 * 4
        what = f"{options.out.name}; vectors of {own / _MB:.0f} MB"
    else:
        embedded = embed_table(table, column, SPEC, cache=store).embedded
        assert embedded is not None
        own = sum(a.nbytes for a in (embedded.X, embedded.Y, embedded.metas))
        what = f"table of {own / _MB:.0f} MB ({embedded.X.dtype})"
    seconds = time.perf_counter() - start
    rise = peak() - before
    print(
        f"{options.rows:,} x 512: {what}; peak {rise / _MB:.0f} MB above what there was"
        f" ({rise / own:.2f} times), {seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
