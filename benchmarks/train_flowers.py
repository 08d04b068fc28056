#!/usr/bin/env python3
"""What does training all of a network bring over training its last map alone?

Usage: .venv/bin/python benchmarks/train_flowers.py FOLDER [--out FILE] [--epochs N]
           [--size PIXELS] [--per-class N] [--seed N]

FOLDER has a folder of images for each class. Four fifths of each class are learned
from, the rest is predicted: by SqueezeNet 1.1 of which only the last linear map was
trained, on its embeddings, and by one that was fine-tuned throughout. Prints accuracy,
margin and time as Markdown, and writes both (default
benchmarks/results/train_flowers.json). --per-class takes some of each class, to try it.
The training in progress is kept beside FILE, so the same command goes on with it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from Orange.data import Table
from sklearn.model_selection import train_test_split

from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.tables.training import train_on_table
from orangecontrib.imagemining.training.callbacks import Callback
from orangecontrib.imagemining.training.history import Epoch
from orangecontrib.imagemining.training.plan import Plan, plan_to_json
from orangecontrib.imagemining.training.recipes import AUGMENTATIONS, RECIPES

_TOO_LONG = ("confusion", "worst")
OUT = Path(__file__).parent / "results" / "train_flowers.json"


class Line(Callback):
    """Prints a line an epoch."""

    def on_epoch(self, trainer: Any, epoch: Epoch) -> None:
        """Print it."""
        print(
            f"epoch {epoch.epoch:g}: loss {epoch.loss:.3f}, right {epoch.accuracy:.1%},"
            f" {epoch.images_per_second:.0f} images/s, {epoch.seconds:.0f} s",
            flush=True,
        )


def parts(folder: Path, per_class: int | None, seed: int) -> tuple[Table, Table]:
    """Return the images to learn from and those to predict."""
    table = table_from_folder(folder).table
    labels = table.Y.astype(int)
    rng = np.random.default_rng(seed)
    rows = np.arange(len(table))
    if per_class is not None:
        rows = np.sort(
            np.concatenate(
                [
                    rng.permutation(np.flatnonzero(labels == label))[:per_class]
                    for label in np.unique(labels)
                ]
            )
        )
    train, test = train_test_split(
        rows, test_size=0.2, stratify=labels[rows], random_state=seed
    )
    return table[np.sort(train)], table[np.sort(test)]


def trained(
    name: str, plan: Plan, train: Table, test: Table, checkpoint: Path | None
) -> dict[str, Any]:
    """Train, predict, and return what came of it."""
    print(f"\n{name}", flush=True)
    begun = time.perf_counter()
    result = train_on_table(train, plan, callbacks=[Line()], checkpoint=checkpoint)
    # over interruptions, the epochs' own time is what counts
    epochs = sum(epoch.seconds for epoch in result.history.epochs)
    seconds = max(time.perf_counter() - begun, epochs)
    begun = time.perf_counter()
    predicted = np.asarray(result.model(test))
    right = predicted == test.Y
    return {
        "name": name,
        "plan": plan_to_json(plan),
        "right": int(right.sum()),
        "tested": len(test),
        "trained": len(train),
        "seconds": round(seconds, 1),
        "seconds_testing": round(time.perf_counter() - begun, 1),
        "left_out": len(result.left_out),
        "epochs": [
            {k: v for k, v in epoch.to_json().items() if k not in _TOO_LONG}
            for epoch in result.history.epochs
        ],
    }


def tell(results: list[dict[str, Any]]) -> None:
    """Print accuracies with their standard errors, the margin, and times."""
    print("\n| what learns | accuracy | right | time |")
    print("|---|---|---|---|")
    shares = []
    for result in results:
        share = result["right"] / result["tested"]
        shares.append(share)
        error = math.sqrt(share * (1 - share) / result["tested"])
        print(
            f"| {result['name']} | {share:.1%} ± {error:.1%} | {result['right']} of"
            f" {result['tested']} | {result['seconds'] / 60:.1f} min |"
        )
    print(f"\nMargin: {shares[1] - shares[0]:+.1%}")


def main() -> None:
    """Train both, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, help="pixels; by default 227")
    parser.add_argument("--per-class", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train, test = parts(options.folder, options.per_class, options.seed)
    print(f"{len(train)} images to learn from, {len(test)} to predict")
    plan = Plan(
        recipe=RECIPES["everyday"],
        augmentation=AUGMENTATIONS["everyday"],
        size=(options.size, options.size) if options.size else None,
        epochs=options.epochs,
        validation=0.0,
        seed=options.seed,
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out.with_suffix(".checkpoint")
    head = trained("head only", replace(plan, learns="head"), train, test, None)
    everything = trained("everything", plan, train, test, checkpoint)
    results = [head, everything]
    options.out.write_text(json.dumps(results) + "\n", encoding="utf8")
    checkpoint.unlink(missing_ok=True)
    tell(results)


if __name__ == "__main__":
    main()
