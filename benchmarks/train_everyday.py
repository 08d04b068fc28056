#!/usr/bin/env python3
"""Which optimizer is the everyday recipe to have? AdamW or SGD, with one cycle.

Usage: .venv/bin/python benchmarks/train_everyday.py FOLDER... [--out FILE]
           [--images N] [--tested N] [--epochs N] [--size PIXELS] [--seeds N]

Each FOLDER has a folder of images for each class; classes with fewer than five are left
out. SqueezeNet 1.1 is fine-tuned on N images of each set, drawn with the share of each
class, and predicts others: with both optimizers at several learning rates, everything
else being equal. Prints accuracies as Markdown. Each training is written to FILE
(default benchmarks/results/train_everyday.json) as soon as it is done, and is not done
again by the same command.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from orangecontrib.imagemining.tables import image_sources, table_from_folder
from orangecontrib.imagemining.training.arithmetic import Arithmetic
from orangecontrib.imagemining.training.data import ImageSet, read_images
from orangecontrib.imagemining.training.evaluation import evaluate
from orangecontrib.imagemining.training.inputs import preprocess_of
from orangecontrib.imagemining.training.plan import Augmentation, Plan, Recipe
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.training.trainer import Trainer

OUT = Path(__file__).parent / "results" / "train_everyday.json"
#: Optimizer, learning rate at its highest for batches of 32, clipping.
VARIANTS: tuple[tuple[str, float, float | None], ...] = (
    ("sgd", 0.003, None),
    ("adamw", 0.0003, None),
    ("adamw", 0.001, None),
    ("sgd", 0.01, 1.0),
    ("sgd", 0.001, None),
    ("sgd", 0.003, 1.0),
    ("adamw", 0.0003, 1.0),
)
DECAYS = {"sgd": 5e-4, "adamw": 0.05}
LEAST = 5


def read(
    folder: Path, plan: Plan, n_learned: int, n_tested: int
) -> tuple[ImageSet, ImageSet, list[str]]:
    """Return images to learn from, images to predict, and the classes."""
    table = table_from_folder(folder).table
    sources: NDArray[Any] = np.array(image_sources(table, table.domain["image"]))
    labels = table.Y.astype(int)
    values = table.domain.class_var.values
    counts = np.bincount(labels, minlength=len(values))
    classes = [name for name, n in zip(values, counts, strict=True) if n >= LEAST]
    kept = np.flatnonzero(counts[labels] >= LEAST)
    numbers = np.array([classes.index(values[label]) for label in labels[kept]])
    n_learned = min(n_learned, 2 * len(kept) // 3)
    n_tested = min(n_tested, len(kept) - n_learned)
    learn, test = train_test_split(
        np.arange(len(kept)),
        train_size=n_learned,
        test_size=n_tested,
        stratify=numbers,
        random_state=0,
    )
    sets = [
        read_images(list(sources[kept][rows]), numbers[rows], plan, preprocess_of(plan))
        for rows in (learn, test)
    ]
    return sets[0][0], sets[1][0], classes


def right_after(plan: Plan, learn: ImageSet, test: ImageSet, classes: list[str]) -> Any:
    """Train, and return the share that is predicted right, and the loss."""
    network = Trainer(plan, classes, learn).fit().network
    found = evaluate(
        rebuilt(network),
        test,
        plan,
        network.card.preprocess,
        len(classes),
        Arithmetic(plan),
    )
    return found.accuracy, found.loss


def tell(results: list[dict[str, Any]]) -> None:
    """Print a line an optimizer and rate, a column a set."""
    sets = list(dict.fromkeys(each["set"] for each in results))
    print(f"\n| optimizer, rate | {' | '.join(sets)} | mean |")
    print("|---|" + "---|" * (len(sets) + 1))
    for optimizer, rate, clip in VARIANTS:
        cells = []
        for name in sets:
            found = [
                each["accuracy"]
                for each in results
                if (each["set"], each["optimizer"], each["rate"], each["clip"])
                == (name, optimizer, rate, clip)
            ]
            cells.append(float(np.mean(found)) if found else np.nan)
        line = " | ".join(f"{cell:.1%}" for cell in (*cells, np.mean(cells)))
        clipped = "" if clip is None else f", clipped at {clip:g}"
        print(f"| {optimizer}, {rate:g}{clipped} | {line} |")


def main() -> None:
    """Train with all of them on all sets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--tested", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    settings = [options.images, options.tested, options.epochs, options.size]
    results: list[dict[str, Any]] = []
    if options.out.exists():
        content = json.loads(options.out.read_text(encoding="utf8"))
        if content["settings"] == settings:
            results = content["results"]
    plan = Plan(
        size=(options.size, options.size),
        augmentation=Augmentation(crop="area", area=(0.35, 1.0), colour=0.2),
        epochs=options.epochs,
        validation=0.0,
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for folder in options.folders:
            sets = None
            for optimizer, rate, clip in VARIANTS:
                key = {
                    "set": folder.name,
                    "optimizer": optimizer,
                    "rate": rate,
                    "clip": clip,
                    "seed": seed,
                }
                if any(key.items() <= each.items() for each in results):
                    continue
                if sets is None:
                    sets = read(folder, plan, options.images, options.tested)
                begun = time.perf_counter()
                recipe = Recipe(
                    optimizer=optimizer,  # type: ignore[arg-type]
                    learning_rate=rate,
                    weight_decay=DECAYS[optimizer],
                    schedule="one-cycle",
                    clip=clip,
                )
                accuracy, loss = right_after(
                    replace(plan, recipe=recipe, seed=seed), *sets
                )
                result = {
                    **key,
                    "accuracy": accuracy,
                    "loss": loss,
                    "seconds": round(time.perf_counter() - begun, 1),
                }
                print(result, flush=True)
                results.append(result)
                content = {"settings": settings, "results": results}
                part = options.out.with_suffix(".part")
                part.write_text(json.dumps(content) + "\n", encoding="utf8")
                part.replace(options.out)
    tell(results)


if __name__ == "__main__":
    main()
