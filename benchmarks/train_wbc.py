#!/usr/bin/env python3
"""Is a fine-tuned network better than logistic regression on its embeddings?

Usage: .venv/bin/python benchmarks/train_wbc.py FOLDER [--out FILE] [--folds 10]
           [--epochs N] [--size PIXELS] [--seed N]

FOLDER has a folder of images for each class; classes with fewer images than --least
(default 2) are left out. Both methods see the same stratified folds: SqueezeNet 1.1 is
fine-tuned by the learner that the widget Train Network gives out, and Orange's logistic
regression, as it is by default, learns from the embeddings that Image Embedding makes
by default.

What a fold came to is written to FILE (default benchmarks/results/train_wbc.json) at
once; the same command goes on after the last fold that is there. Prints the scores of
all folds together, how the two differ from fold to fold, and how many images only one
of them reads right (McNemar's test).
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from Orange.classification import LogisticRegressionLearner
from Orange.data import Table
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold

from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import embed_table, table_from_folder
from orangecontrib.imagemining.tables.learner import TrainNetworkLearner
from orangecontrib.imagemining.training.plan import Augmentation, Plan, plan_to_json
from orangecontrib.imagemining.training.recipes import AUGMENTATIONS, RECIPES
from orangecontrib.imagemining.weights import weights_of

NETWORK = "squeezenet1_1"
OUT = Path(__file__).parent / "results" / "train_wbc.json"


def embedded_folder(folder: Path, least: int) -> Table:
    """Return a folder's images with their embeddings, classes too small left out."""
    table = table_from_folder(folder).table
    labels, values = table.Y.astype(int), table.domain.class_var.values
    counts = np.bincount(labels, minlength=len(values))
    kept = table[counts[labels] >= least]
    for value, count in zip(values, counts, strict=True):
        print(f"{value}: {count}" + " (left out)" * bool(count < least))
    spec = EmbedderSpec(NETWORK, weights_of(NETWORK).layers[0].name)
    embedded = embed_table(kept, kept.domain["image"], spec).embedded
    assert embedded is not None
    return embedded


def run(
    table: Table, plan: Plan, folds: int, seed: int, out: Path
) -> list[dict[str, Any]]:
    """Return what each fold came to; what the file has already is not done again."""
    settings = {
        "plan": plan_to_json(plan),
        "folds": folds,
        "seed": seed,
        "rows": len(table),
        "classes": list(table.domain.class_var.values),
    }
    done: list[dict[str, Any]] = []
    if out.exists():
        content = json.loads(out.read_text(encoding="utf8"))
        if content["settings"] == settings:
            done = content["results"]
    learner = TrainNetworkLearner(plan)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for number, (train, test) in enumerate(splitter.split(table.X, table.Y)):
        if number < len(done):
            continue
        begun = time.perf_counter()
        tuned = learner(table[train])(table[test])
        seconds = time.perf_counter() - begun
        logistic = LogisticRegressionLearner()(table[train])(table[test])
        fold = {
            "truth": table.Y[test].astype(int).tolist(),
            "fine-tuned": np.asarray(tuned).astype(int).tolist(),
            "logistic": np.asarray(logistic).astype(int).tolist(),
            "seconds": round(seconds, 1),
        }
        done.append(fold)
        content = {
            "settings": settings,
            "machine": f"{platform.processor() or platform.machine()}",
            "results": done,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_suffix(".part")
        part.write_text(json.dumps(content) + "\n", encoding="utf8")
        part.replace(out)
        right = [
            accuracy_score(fold["truth"], fold[name])
            for name in ("fine-tuned", "logistic")
        ]
        print(
            f"fold {number + 1} of {folds}: fine-tuned {right[0]:.1%}, logistic"
            f" {right[1]:.1%}, {seconds:.0f} s",
            flush=True,
        )
    return done


def tell(results: list[dict[str, Any]]) -> None:
    """Print the comparison as Markdown."""

    def together(name: str) -> NDArray[np.int64]:
        return np.concatenate([fold[name] for fold in results])

    truth = together("truth")
    print("\n| | accuracy | F1, mean of classes | F1, weighted |")
    print("|---|---|---|---|")
    for name in ("fine-tuned", "logistic"):
        found = together(name)
        macro = f1_score(truth, found, average="macro")
        weighted = f1_score(truth, found, average="weighted")
        accuracy = accuracy_score(truth, found)
        print(f"| {name} | {accuracy:.1%} | {macro:.3f} | {weighted:.3f} |")
    differences = [
        accuracy_score(fold["truth"], fold["fine-tuned"])
        - accuracy_score(fold["truth"], fold["logistic"])
        for fold in results
    ]
    right, other = together("fine-tuned") == truth, together("logistic") == truth
    only, only_other = int((right & ~other).sum()), int((~right & other).sum())
    print(
        f"\nFold by fold, fine-tuned less logistic: mean {np.mean(differences):+.1%},"
        f" standard deviation {np.std(differences, ddof=1):.1%};"
        f" better in {sum(d > 0 for d in differences)}, equal in"
        f" {sum(d == 0 for d in differences)}, worse in"
        f" {sum(d < 0 for d in differences)} of {len(differences)} folds."
    )
    print(
        f"Of {len(truth)} images only fine-tuning reads {only} right, only logistic"
        f" regression {only_other} (McNemar, exact: p ="
        f" {mcnemar(only, only_other):.3f})."
    )
    print(f"Time for all folds: {sum(fold['seconds'] for fold in results):.0f} s.")


def mcnemar(one: int, other: int) -> float:
    """Return the probability of a difference as large if there were none."""
    n, k = one + other, min(one, other)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n if n else 1.0
    return min(1.0, 2 * tail)


def main() -> None:
    """Compare both, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--least", type=int, default=2, help="images a class")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, help="pixels; by default 227")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = embedded_folder(options.folder, options.least)
    plan = Plan(
        network=NETWORK,
        recipe=RECIPES["everyday"],
        # cells have no up
        augmentation=replace(cells_augmentation(), turn="quarters"),
        size=(options.size, options.size) if options.size else None,
        epochs=options.epochs,
        validation=0.0,  # all images of the fold are learned from
        seed=options.seed,
    )
    tell(run(table, plan, options.folds, options.seed, options.out))


def cells_augmentation() -> Augmentation:
    """Return the everyday augmentation, but never with a small part of a cell."""
    return replace(AUGMENTATIONS["everyday"], area=(0.6, 1.0))


if __name__ == "__main__":
    main()
