#!/usr/bin/env python3
"""How good and how fast are the grids of Image Grid?

Usage: .venv/bin/python benchmarks/grid.py (FOLDER | --synthetic) [--images N]

Embeds the images below FOLDER by SqueezeNet's features; with --synthetic, groups of
random vectors take their place. Where these are fewer than N (default 20,000) they are
repeated with a little noise. Prints

1. the cost of the assignment that is used beyond 2,500 images against the exact one, at
   2,500 images, for the projections of these vectors and for made-up positions, on a
   full grid and on one with spare cells;
2. time and peak memory of assigning N images;
3. time and peak memory from N vectors to the grid, for each projection.

Each of 2 and 3 runs in a fresh process, whose memory includes Python and Orange, on two
cores where the system lets us choose.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_EXACT = 2500
CHILD = "--one"  # how this file calls itself


def real_vectors(folder: Path) -> Floats:
    """Return the embeddings of a folder's images."""
    from orangecontrib.imagemining.specs import EmbedderSpec
    from orangecontrib.imagemining.tables import embed_table, table_from_folder

    table = table_from_folder(folder).table
    spec = EmbedderSpec("squeezenet1_1", "features")
    start = time.perf_counter()
    embedded = embed_table(table, table.domain["image"], spec).embedded
    if embedded is None:
        sys.exit("None of the images can be read")
    print(f"{len(embedded)} images embedded in {time.perf_counter() - start:.0f} s")
    vectors: Floats = np.asarray(embedded.X, float)
    return vectors


def synthetic_vectors(n: int) -> Floats:
    """Return vectors in groups, of the length that SqueezeNet's features have."""
    rng = np.random.default_rng(0)
    means = rng.normal(0, 1, (20, 512))
    return means[rng.integers(20, size=n)] + rng.normal(0, 1, (n, 512))


def repeated(vectors: Floats, n: int) -> Floats:
    """Return `n` of the vectors, in disorder; from the second round on with noise."""
    rng = np.random.default_rng(0)
    rows = np.resize(rng.permutation(len(vectors)), n)
    more = vectors[rows]
    again = slice(len(vectors), None)
    more[again] += rng.normal(0, 0.1, more[again].shape) * vectors.std(axis=0)
    return more


def made_up(n: int) -> Iterator[tuple[str, Floats]]:
    """Yield names and positions, from easy to odd."""
    rng = np.random.default_rng(0)
    yield "uniform", rng.random((n, 2))
    yield "normal", rng.normal(size=(n, 2))
    means = rng.random((10, 2))
    yield "10 groups", means[rng.integers(10, size=n)] + rng.normal(0, 0.03, (n, 2))
    shares = rng.dirichlet(np.full(5, 0.5))
    means = rng.random((5, 2))
    labels = rng.choice(5, n, p=shares)
    yield "5 unequal groups", means[labels] + rng.normal(0, 0.02, (n, 2))
    yield "far outliers", rng.standard_t(2, (n, 2))
    angle = rng.random(n) * 2 * np.pi
    yield "a ring", np.column_stack([np.cos(angle), np.sin(angle)])
    yield "a line", np.column_stack([angle, angle])
    yield "two points", rng.integers(2, size=(n, 1)) * np.ones(2)


def compare(vectors: Floats) -> None:
    """Print what the approximation costs, against the exact assignment."""
    from orangecontrib.imagemining.tables.grid import assign
    from orangecontrib.imagemining.tables.projection import PROJECTIONS, project

    table = table_of(repeated(vectors, N_EXACT))
    sets = [
        (f"{label} of the images", project(table, key))
        for key, label in PROJECTIONS.items()
    ]
    sets += made_up(N_EXACT)
    print(f"\n{N_EXACT} images: cost of the approximation against the exact one")
    print(f"{'positions':24}{'grid':>9}{'ratio':>9}{'exact s':>9}{'approx. s':>11}")
    worst = 0.0
    for name, positions in sets:
        for rows, columns in ((50, 50), (50, 55), (60, 80)):
            start = time.perf_counter()
            exact = assign(positions, rows, columns)
            middle = time.perf_counter()
            near = assign(positions, rows, columns, max_exact=0)
            end = time.perf_counter()
            ratio = near.cost / exact.cost
            worst = max(worst, ratio)
            print(
                f"{name:24}{columns:>5}×{rows}{ratio:9.4f}"
                f"{middle - start:9.1f}{end - middle:11.1f}",
                flush=True,
            )
    print(f"the worst of them: {100 * (worst - 1):.1f} % above the exact cost")


def table_of(vectors: Floats):  # type: ignore[no-untyped-def]  # Orange has no types
    """Return a table with these features."""
    from Orange.data import ContinuousVariable, Domain, Table

    names = [f"f{index}" for index in range(vectors.shape[1])]
    return Table.from_numpy(Domain([ContinuousVariable(n) for n in names]), vectors)


def one(path: str, method: str) -> None:
    """Measure one thing, as the fresh process does, and print it."""
    from orangecontrib.imagemining.tables.grid import assign, grid_shape
    from orangecontrib.imagemining.tables.projection import project

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    data = np.load(path)
    source = table_of(data) if method else None
    start = time.perf_counter()
    positions = data if source is None else project(source, method)
    middle = time.perf_counter()
    layout = assign(positions, *grid_shape(len(positions)))
    end = time.perf_counter()
    if method:
        np.save(Path(path).with_name(f"{method}.npy"), positions)
    print(json.dumps([middle - start, end - middle, peak_memory(), layout.cost]))


def peak_memory() -> float:
    """Return the most that this process ever used, in MiB; NaN where it is unknown."""
    # not getrusage: on Linux that counts what the parent had when it called us
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def measure(path: Path, method: str = "") -> tuple[float, float, float, float]:
    """Return seconds of projecting and assigning, MiB, and the cost."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, CHILD, str(path), method],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    first, second, memory, cost = json.loads(done.stdout.splitlines()[-1])
    return first, second, memory, cost


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--images", type=int, default=20_000)
    arguments = parser.parse_args()
    if arguments.synthetic:
        vectors = synthetic_vectors(arguments.images)
    elif arguments.folder:
        vectors = real_vectors(arguments.folder)
    else:
        parser.error("give a folder of images, or --synthetic")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{os.cpu_count()} cores{load}")
    compare(vectors)
    n = arguments.images
    with tempfile.TemporaryDirectory() as folder:
        print(f"\n{n} vectors of {vectors.shape[1]} numbers to the grid")
        print(f"{'projection':24}{'project s':>11}{'assign s':>10}{'MiB':>7}")
        path = Path(folder) / "vectors.npy"
        np.save(path, repeated(vectors, n))
        for method in ("tsne", "mds", "pca"):
            first, second, memory, _ = measure(path, method)
            print(f"{method:24}{first:11.1f}{second:10.1f}{memory:7.0f}", flush=True)
        print(f"\n{n} positions to the grid")
        print(f"{'positions':24}{'assign s':>11}{'MiB':>7}")
        sets = [("t-SNE of the images", np.load(Path(folder) / "tsne.npy"))]
        for name, positions in [*sets, *made_up(n)]:
            path = Path(folder) / "positions.npy"
            np.save(path, positions)
            _, second, memory, _ = measure(path)
            print(f"{name:24}{second:11.1f}{memory:7.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        one(*sys.argv[2:4])
    else:
        main()
