#!/usr/bin/env python3
"""How long does a user wait before anything is to be seen?

Usage: .venv/bin/python benchmarks/start.py IMAGE

Three times each, in fresh processes, the median is printed:

* how much longer it takes to import the widget Image Embedding than Orange's own
  widgets of data, which an Orange that is running has imported already;
* from a widget that is there to the first vector (SqueezeNet): loading the network,
  reading and embedding one image;
* the same the very first time, when the network is prepared, with an empty folder of
  the user's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROUNDS = 3

IMPORT = """
import sys, time
import Orange.widgets.data.owtable, Orange.widgets.data.owfile
import Orange.widgets.utils.concurrent, Orange.widgets.utils.itemmodels
start = time.perf_counter()
import orangecontrib.imagemining.widgets.owimageembedding
print(time.perf_counter() - start)
"""

FIRST = """
import sys, time
from orangecontrib.imagemining.widgets import owimageembedding
start = time.perf_counter()
from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.specs import EmbedderSpec
run = LocalEmbedder(
    EmbedderSpec("squeezenet1_1", "features"), cache=VectorStore.in_memory()
)
assert run([sys.argv[1]]).reasons == [None]
print(time.perf_counter() - start)
"""


def seconds(code: str, home: str, arguments: Sequence[str] = ()) -> float:
    """Return what a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"IMAGEMINING_HOME": home, "QT_QPA_PLATFORM": "offscreen"},
    )
    return float(done.stdout.split()[-1])


def show(text: str, found: list[float]) -> None:
    """Print a line."""
    rounds = ", ".join(f"{each:.2f}" for each in found)
    print(f"{text}: {statistics.median(found):.2f} s ({rounds})", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path)
    image = [str(parser.parse_args().image)]
    with tempfile.TemporaryDirectory() as home:
        seconds(IMPORT, home)  # files come from the disk once
        show("import, beyond Orange's", [seconds(IMPORT, home) for _ in range(ROUNDS)])
        firsts = []
        for number in range(ROUNDS):
            folder = str(Path(home, str(number)))
            firsts.append(seconds(FIRST, folder, image))
        show("first vector, network prepared for the first time", firsts)
        laters = [seconds(FIRST, folder, image) for _ in range(ROUNDS)]
        show("first vector, network prepared before", laters)


if __name__ == "__main__":
    main()
