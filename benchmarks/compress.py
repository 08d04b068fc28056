#!/usr/bin/env python3
"""How small does a trained network become, and what does each step cost?

Usage: .venv/bin/python benchmarks/compress.py PLACE NETWORK [--epochs N] [--rounds N]
           [--sparsity S] [--bits N] [--linear-bits N] [--thrift T] [--images N]
           [--train N] [--rate R] [--out FILE] [--save FILE]

PLACE is CIFAR-10 as ``.tar.gz``, or a folder with a folder of images for each class, of
which four fifths are learned from and the rest is tested with. NETWORK is the file of a
network that was trained on the same part of them (``train_cifar.py --network`` writes
one); where it is not there, SqueezeNet 1.1 is fine-tuned at 128 × 128 pixels for
--train epochs first, and written there.

Deep Compression is done to it: pruning in rounds, sharing, coding (Han et al. 2016).
What is chosen is chosen by validation images out of those that are learned from; the
test images are looked at for the table alone. Prints it as SqueezeNet's Table 2, and
writes it (default benchmarks/results/compress_….json).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cifar import load_cifar  # type: ignore[import-not-found]

from orangecontrib.imagemining.compression.pipeline import compress
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    FineTune,
    Prune,
    Share,
    plan_to_json,
)
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.training.arithmetic import Arithmetic
from orangecontrib.imagemining.training.data import ImageSet, read_images, split
from orangecontrib.imagemining.training.evaluation import evaluate
from orangecontrib.imagemining.training.inputs import preprocess_of
from orangecontrib.imagemining.training.plan import Augmentation, Plan
from orangecontrib.imagemining.training.recipes import AUGMENTATIONS, RECIPES
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.training.trainer import Trainer
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)

OUT = Path(__file__).parent / "results"
FLOWERS = Plan(
    recipe=RECIPES["everyday"],
    augmentation=AUGMENTATIONS["everyday"],
    size=(128, 128),
    validation=0.0,
)


Parts = tuple[ImageSet, ImageSet, ImageSet, tuple[str, ...]]


def cifar(place: Path) -> Parts:
    """Return images to learn from, to judge by and to test with, and the classes.

    To judge by are those that ``train_cifar.py`` kept for it, too.
    """
    (x, y), (test_x, test_y), classes = load_cifar(place)
    images = ImageSet.from_arrays(x, y)
    learn, judge = split(images.labels, 0.04, seed=0)
    test = ImageSet.from_arrays(test_x, test_y)
    return images.subset(learn), images.subset(judge), test, classes


def folder(place: Path) -> Parts:
    """Return the same of a folder of folders."""
    kinds = sorted(p for p in place.iterdir() if p.is_dir())
    files = [(p, n) for n, kind in enumerate(kinds) for p in sorted(kind.iterdir())]
    paths, labels = zip(*files, strict=True)
    images, reasons = read_images(
        [str(path) for path in paths], list(labels), FLOWERS, preprocess_of(FLOWERS)
    )
    left_out = sum(reason is not None for reason in reasons)
    print(f"{len(images)} images, {left_out} left out")
    train, test = split(images.labels, 0.2, seed=0)
    classes = tuple(kind.name for kind in kinds)
    learn, judge = split(images.labels[train], 0.1, seed=1)
    parts = (images.subset(rows) for rows in (train[learn], train[judge], test))
    return (*parts, classes)  # type: ignore[return-value]


def right(network: ImageNetwork, images: ImageSet) -> tuple[float, float]:
    """Return top-1 and the loss."""
    plan = Plan(batch=128, fit=network.card.fit, device="cpu")
    seen = evaluate(
        rebuilt(network),
        images,
        plan,
        network.card.preprocess,
        len(network.classes),
        Arithmetic(plan),
    )
    return seen.accuracy, seen.loss


def main() -> None:
    """Compress, test, and write what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("network", type=Path)
    parser.add_argument("--epochs", type=int, default=2, help="after each step")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sparsity", type=float, default=0.7)
    parser.add_argument("--bits", type=int, default=5)
    parser.add_argument("--linear-bits", type=int)
    parser.add_argument("--thrift", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--images", type=int, help="learn from so many, to try it")
    parser.add_argument("--train", type=int, default=15, metavar="EPOCHS")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--save", type=Path, metavar="FILE")
    options = parser.parse_args()
    is_cifar = options.place.is_file()
    images, judge, test, classes = (cifar if is_cifar else folder)(options.place)
    if not options.network.exists():
        print(f"Training for {options.train} epochs", flush=True)
        trainer = Trainer(
            replace(FLOWERS, epochs=options.train), classes, images, judge
        )
        save_network(trainer.fit().network, options.network)
    network = load_network_file(options.network)
    if options.images:
        some = np.random.default_rng(0).permutation(len(images))[: options.images]
        images = images.subset(np.sort(some))
    share = Share(
        bits=options.bits,
        linear_bits=options.linear_bits,
        thrift=options.thrift,
        compensate=options.thrift > 0,
    )
    plan = CompressionPlan(
        steps=(
            Prune(
                share=options.sparsity,
                by="global" if is_cifar else "sensitivity",
                rounds=options.rounds,
                epochs=options.epochs,
            ),
            FineTune(epochs=options.epochs),
            replace(share, epochs=options.epochs),
        ),
        tolerance=0.005,
        augmentation=Augmentation("shift") if is_cifar else FLOWERS.augmentation,
        batch=128 if is_cifar else 32,
    )
    plan = replace(
        plan,
        recipe=replace(
            plan.recipe, learning_rate=options.rate, batch=plan.batch, clip=None
        ),
    )
    rows: list[dict[str, Any]] = []

    def tell(candidate: Candidate) -> None:
        row: dict[str, Any] = {
            "step": candidate.step,
            "what": candidate.what,
            "bytes": candidate.n_bytes,
            "validation": candidate.accuracy,
            "seconds": round(candidate.seconds, 1),
        }
        if isinstance(candidate.network, ImageNetwork):
            row["test"], row["test_loss"] = right(candidate.network, test)
        rows.append(row)
        print(
            f"{row['what']}: {row['bytes']:,} bytes,"
            f" {network.n_bytes / row['bytes']:.1f}x, validation"
            f" {row['validation']:.2%}, test {row.get('test', np.nan):.2%},"
            f" {row['seconds']:.0f} s",
            flush=True,
        )

    result = compress(network, plan, images, judge, on_candidate=tell)
    chosen = rows[result.chosen]
    print("\n| step | bytes | times smaller | validation | test | points lost |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        lost, ratio = rows[0]["test"] - row["test"], network.n_bytes / row["bytes"]
        print(
            f"| {row['what']} | {row['bytes']:,} | {ratio:.1f} |"
            f" {row['validation']:.2%} | {row['test']:.2%} | {lost:+.2%} |"
        )
    print(f"\nChosen: {chosen['what']}. {' '.join(result.notes)}")
    name = f"compress_{'cifar' if is_cifar else options.place.name}.json"
    out = options.out or OUT / name
    content = {
        "network": network.card.title,
        "architecture": network.card.architecture,
        "tested": len(test),
        "float_bytes": network.n_bytes,
        "plan": plan_to_json(plan),
        "rows": rows,
        "chosen": result.chosen,
        "notes": result.notes,
    }
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf8")
    if options.save is not None and isinstance(result.network, ImageNetwork):
        save_network(result.network, options.save, replace=True)


if __name__ == "__main__":
    main()
