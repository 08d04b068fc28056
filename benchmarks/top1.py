#!/usr/bin/env python3
"""Does the network read ImageNet's samples as its authors' does?

Usage: .venv/bin/python benchmarks/top1.py FOLDER
           [--network NAME [--weights FILE]] [--fit crop]

FOLDER has ``labels.csv`` with columns ``file`` and ``index0`` (ImageNet class, 0-999)
and the files in ``images/``. Prints top-1 and top-5 for every network whose weights are
on this computer, or for the one named, with the weights in FILE, which are taken for
this run alone.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from pathlib import Path

import numpy as np

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS, import_file, is_here


def main(folder: Path, networks: list[str], fit: str) -> None:
    """Print a line a network."""
    with open(folder / "labels.csv", newline="", encoding="utf8") as stream:
        rows = list(csv.DictReader(stream))
    labels = np.array([int(row["index0"]) for row in rows])
    paths = [str(folder / "images" / row["file"]) for row in rows]
    for network in networks:
        result = LocalEmbedder(EmbedderSpec(network, "logits", fit=fit))(paths)
        failed = [reason for reason in result.reasons if reason]
        order = np.argsort(-np.nan_to_num(result.vectors), axis=1)
        top1 = (order[:, 0] == labels).mean()
        top5 = (order[:, :5] == labels[:, np.newaxis]).any(axis=1).mean()
        print(
            f"{WEIGHTS[network].title}: top-1 {top1:.1%}, top-5 {top5:.1%}"
            f" of {len(paths)} images, {len(failed)} failed"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", choices=WEIGHTS)
    parser.add_argument("--weights", type=Path, metavar="FILE")
    parser.add_argument("--fit", default="stretch", help="stretch, crop or pad")
    options = parser.parse_args()
    if options.weights and not options.network:
        parser.error("--weights needs --network")
    with tempfile.TemporaryDirectory() as home:
        if options.weights:
            os.environ["IMAGEMINING_HOME"] = home
            import_file(options.network, options.weights)
        here = [
            name
            for name, card in WEIGHTS.items()
            # faces are no classes of ImageNet
            if card.num_classes == 1000 and is_here(card)
        ]
        main(
            options.folder, [options.network] if options.network else here, options.fit
        )
