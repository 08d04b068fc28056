#!/usr/bin/env python3
"""Does the network read ImageNet's samples as its authors' does?

Usage: .venv/bin/python benchmarks/top1.py FOLDER

FOLDER has ``labels.csv`` with columns ``file`` and ``index0`` (ImageNet class, 0-999)
and the files in ``images/``. Prints top-1 and top-5 for every network with weights.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS


def main(folder: Path) -> None:
    """Print a line a network."""
    with open(folder / "labels.csv", newline="", encoding="utf8") as stream:
        rows = list(csv.DictReader(stream))
    labels = np.array([int(row["index0"]) for row in rows])
    paths = [str(folder / "images" / row["file"]) for row in rows]
    for network, weights in WEIGHTS.items():
        result = LocalEmbedder(EmbedderSpec(network, "logits"))(paths)
        failed = [reason for reason in result.reasons if reason]
        order = np.argsort(-np.nan_to_num(result.vectors), axis=1)
        top1 = (order[:, 0] == labels).mean()
        top5 = (order[:, :5] == labels[:, np.newaxis]).any(axis=1).mean()
        print(
            f"{weights.title}: top-1 {top1:.1%}, top-5 {top5:.1%}"
            f" of {len(paths)} images, {len(failed)} failed"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
