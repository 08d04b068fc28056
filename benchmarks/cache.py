#!/usr/bin/env python3
"""How fast are images found that were embedded before, and what does a kill cost?

Usage: .venv/bin/python benchmarks/cache.py FOLDER [--images N] [--kills N] [--seed N]

Copies the first N images (default 2,000; they are repeated, with other contents, if
there are fewer) below FOLDER to a temporary folder, with a store of its own. Embeds
them by SqueezeNet's features in a process that is killed at random moments, and then
begun anew, until all is done; every image that goes through the network is counted.
Then all is embedded again three times, in a fresh process each, and once more under
other names. Prints how many images were computed twice, how many were lost, and the
images/s of the second runs: of the look-up alone, and of the whole embedding with
imports left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# prints the number of each image that the network is given, and of each that is kept
WORK = """
import json, os, sys, time
from pathlib import Path
from orangecontrib.imagemining.embedders import LocalEmbedder, cache
from orangecontrib.imagemining.specs import EmbedderSpec
paths = json.loads(Path(sys.argv[1]).read_text())
spec = EmbedderSpec("squeezenet1_1", "features")
run = LocalEmbedder(spec)
def say(word, sources):
    # a line in one go, from whatever thread
    line = " ".join([word, *(Path(source).stem for source in sources)])
    os.write(1, f"{line}\\n".encode())
put_many, embed = cache.VectorStore.put_many, LocalEmbedder._embed
def put(store, rows):
    rows = list(rows)
    put_many(store, rows)
    say("kept", [row.source for row in rows if row.vectors])
def counted(*arguments):
    outcomes = embed(*arguments)
    say("computed", [each.file.source for each in outcomes if each.is_new])
    return outcomes
cache.VectorStore.put_many, LocalEmbedder._embed = put, counted
key = cache.spec_key(spec)
start = time.perf_counter()
found = cache.shared_store().lookup(paths, key, run.size)[1]
looked_up = time.perf_counter() - start
print("found", int(found.sum()), flush=True)
start = time.perf_counter()
result = run(paths)
seconds = time.perf_counter() - start
store = cache.shared_store()
print("end", json.dumps({
    "lookup": len(paths) / looked_up, "embedding": len(paths) / seconds,
    "known": result.n_known, "skipped": sum(map(bool, result.reasons)),
    "vectors": store.n_vectors(), "bytes": store.size(), "message": store.message,
}))
"""


def start(listing: Path, home: Path) -> subprocess.Popen[str]:
    """Start embedding in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WORK, str(listing)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"IMAGEMINING_HOME": str(home)},
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for the process, and return what it found out."""
    lines = process.communicate()[0].splitlines()
    if process.returncode or not lines:
        raise SystemExit("embedding failed")
    return dict(json.loads(lines[-1].removeprefix("end ")))


def copies(folder: Path, target: Path, n: int) -> list[str]:
    """Write n images, no two of the same content, and return their paths."""
    found = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    found = [p for p in found if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    if not found:
        raise SystemExit(f"There are no images below {folder}")
    paths = []
    for number in range(n):
        source = found[number % len(found)]
        path = target / f"{number}{source.suffix.lower()}"
        # what follows the end of a picture is passed over
        path.write_bytes(source.read_bytes() + f"{number}".encode())
        paths.append(str(path))
    return paths


def kill_again_and_again(
    listing: Path, home: Path, n: int, n_kills: int, chance: random.Random
) -> None:
    """Embed, kill, embed, …, and print what was lost."""
    computed: list[str] = []
    kept: set[str] = set()
    batch = 0
    lost = 0
    begun = time.perf_counter()
    # the moments are spread over the whole job
    for number in range(n_kills + 1):
        process = start(listing, home)
        assert process.stdout is not None
        moment = chance.randrange(1, max(2 * n // (n_kills + 1), 2))
        before = len(kept)
        for line in process.stdout:
            word, *names = line.split()
            if word == "found":
                lost += max(len(kept) - int(names[0]), 0)
            elif word == "computed":
                computed += names
                batch = max(batch, len(names))
            elif word == "kept":
                kept.update(names)
            if number < n_kills and len(kept) - before >= moment:
                # most of the time a batch is being computed
                time.sleep(0.05 * chance.random())
                process.kill()
                moment = n
        process.stdout.close()
        process.wait()
    twice = len(computed) - len(set(computed))
    seconds = time.perf_counter() - begun
    print(f"{n} images, {n_kills} kills, {seconds:.0f} s")
    print(
        f"computed twice: {twice}, {twice / max(n_kills, 1):.0f} a kill (a batch has"
        f" {batch}, one is under way on each core); lost: {lost}"
    )
    print(f"never computed: {n - len(set(computed))}")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "images").mkdir()
        (place / "renamed").mkdir()
        paths = copies(options.folder, place / "images", options.images)
        listing = place / "paths.json"
        listing.write_text(json.dumps(paths))
        home = place / "home"
        chance = random.Random(options.seed)
        n = len(paths)
        kill_again_and_again(listing, home, n, options.kills, chance)
        for name in ("second run", "third run", "fourth run"):
            figures = finish(start(listing, home))
            print(
                f"{name}: {figures['known']} of {n} known;"
                f" look-up {figures['lookup']:,.0f} images/s,"
                f" embedding {figures['embedding']:,.0f} images/s"
            )
        renamed = [
            shutil.move(path, place / "renamed" / f"x{Path(path).name}")
            for path in paths
        ]
        listing.write_text(json.dumps([str(path) for path in renamed]))
        figures = finish(start(listing, home))
        print(
            f"renamed: {figures['known']} of {n} known,"
            f" embedding {figures['embedding']:,.0f} images/s"
        )
        megabytes = figures["bytes"] / 2**20
        print(f"the store: {figures['vectors']:,} vectors, {megabytes:.1f} MB")
        if figures["message"]:
            print(figures["message"])


if __name__ == "__main__":
    main()
