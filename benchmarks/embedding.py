#!/usr/bin/env python3
"""How fast is embedding, beside the old add-on?

Usage: .venv/bin/python benchmarks/embedding.py FOLDER [--old PYTHON] [--images N]

Embeds the first N images (default 300) below FOLDER by SqueezeNet's logits, three
times, each in a fresh process, in turn with the old add-on Orange3-ImageAnalytics
if PYTHON names an interpreter that has it. The times are of the whole embedding,
reading included; imports and loading the network come before. Prints images/s of each
round and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = """
import json, sys, time
from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorCache
from orangecontrib.imagemining.specs import EmbedderSpec
paths = json.load(sys.stdin)
run = LocalEmbedder(EmbedderSpec("squeezenet1_1", "logits"), cache=VectorCache())
run(paths[:1])
start = time.perf_counter()
result = LocalEmbedder(run.spec, cache=VectorCache())(paths)
seconds = time.perf_counter() - start
assert not any(result.reasons), result.reasons
print(len(paths) / seconds)
"""

OLD = """
import json, sys, time
from orangecontrib.imageanalytics.image_embedder import ImageEmbedder
paths = json.load(sys.stdin)
run = ImageEmbedder(model="squeezenet")
run(paths[:1])
start = time.perf_counter()
vectors = run(paths)
seconds = time.perf_counter() - start
assert all(vector is not None for vector in vectors)
print(len(paths) / seconds)
"""


def measure(python: str, code: str, paths: list[str]) -> float:
    """Return images/s as a fresh process prints them."""
    with tempfile.TemporaryDirectory() as home:
        # the old add-on keeps vectors in the user's cache, and would find them there
        places = ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA")
        done = subprocess.run(
            [python, "-W", "ignore", "-c", code],
            input=json.dumps(paths),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ
            | dict.fromkeys(places, home)
            | {"QT_QPA_PLATFORM": "offscreen"},
        )
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--old", help="Python interpreter that has the old add-on")
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    paths = [str(p) for p in sorted(arguments.folder.rglob("*")) if p.is_file()]
    paths = [p for p in paths if p.lower().endswith((".jpg", ".jpeg", ".png"))]
    paths = paths[: arguments.images]
    runs: dict[str, list[float]] = {"this add-on": []}
    if arguments.old:
        runs["old add-on"] = []
    for _ in range(3):
        runs["this add-on"].append(measure(sys.executable, OURS, paths))
        if arguments.old:
            runs["old add-on"].append(measure(arguments.old, OLD, paths))
    for name, speeds in runs.items():
        rounds = ", ".join(f"{speed:.1f}" for speed in speeds)
        print(f"{name}: {rounds} images/s ({len(paths)} images a round)")
    if arguments.old:
        ours, old = (statistics.median(speeds) for speeds in runs.values())
        print(f"ratio of the medians: {ours / old:.1f}")


if __name__ == "__main__":
    main()
