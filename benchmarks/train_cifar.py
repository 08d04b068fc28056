#!/usr/bin/env python3
"""How well does ResNet-20 learn CIFAR-10 from nothing, in two hours on two cores?

Usage: .venv/bin/python benchmarks/train_cifar.py PLACE [--out FOLDER] [--epochs N]
           [--minutes N] [--device NAME] [--checkpoint FILE] [--images N]
           [--network FILE] [--erase SHARE] [--from FILE]

PLACE is a ``.tar.gz`` or a folder with ``train/<class>/`` and ``test/<class>/``. Of the
50,000 images for training 2,000 are kept for validation; the 10,000 of the test are
predicted once, at the end, by the network with the best validation. One cycle of
gradient descent in batches of 128; images are shifted by up to 4 pixels, mirrored, and
of a share of them a part is blanked. With --from, a network that this script made goes
through one more cycle. The test is also made with each image and its mirror image, the
answers averaged.

Prints a line an epoch, and writes it to train_cifar.csv in FOLDER (default
benchmarks/results), and at the end train_cifar.json. The same command goes on where it
was stopped or killed, from its checkpoint (default: in the system's temporary folder).
The network goes to FILE, where one is told.

The results that are kept, train_cifar_1 and train_cifar_2, are of two cycles:

    benchmarks/train_cifar.py PLACE --epochs 40 --erase 0 --network FILE
    benchmarks/train_cifar.py PLACE --epochs 30 --from FILE
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar import load_cifar  # type: ignore[import-not-found]
from torch import Tensor

from orangecontrib.imagemining.training.arithmetic import Arithmetic
from orangecontrib.imagemining.training.callbacks import Callback
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.evaluation import evaluate
from orangecontrib.imagemining.training.history import Epoch
from orangecontrib.imagemining.training.plan import (
    Augmentation,
    Plan,
    Recipe,
    plan_to_json,
)
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.training.trainer import Trainer
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)

OUT = Path(__file__).parent / "results"
CHECKPOINT = Path(tempfile.gettempdir()) / "train_cifar.checkpoint"

RECIPE = Recipe(
    name="one cycle",
    optimizer="sgd",
    learning_rate=0.1,
    batch=128,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="one-cycle",
    warmup=0.2,
    clip=None,
)
COLUMNS = (
    *("epoch", "seconds", "images_per_second", "learning_rate", "loss", "accuracy"),
    *("validation_loss", "validation_accuracy"),
)


class Lines(Callback):
    """Prints a line an epoch, and keeps the file up to date."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch(self, trainer: Any, epoch: Epoch) -> None:
        """Print and write."""
        print(
            f"epoch {epoch.epoch:g}: loss {epoch.loss:.3f}, right {epoch.accuracy:.1%};"
            f" validation {epoch.validation_loss:.3f}, {epoch.validation_accuracy:.1%};"
            f" {epoch.images_per_second:.0f} images/s, {epoch.seconds:.0f} s",
            flush=True,
        )
        write_log(trainer.history.epochs, self.path)


def write_log(epochs: list[Epoch], path: Path) -> None:
    """Write a line an epoch, from the first on."""
    part = path.with_suffix(".part")
    with open(part, "w", newline="", encoding="utf8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for epoch in epochs:
            writer.writerow([f"{getattr(epoch, name):.6g}" for name in COLUMNS])
    part.replace(path)


def with_mirror(network: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return what looks at images and at their mirror images; answers averaged."""

    def logits(pixels: Tensor) -> Tensor:
        both = [network(pixels), network(pixels.flip(-1))]
        return torch.stack(both).softmax(-1).mean(0).log()

    return logits


def main() -> None:
    """Train, test, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=115.0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--images", type=int, help="learn from so many, to try it")
    parser.add_argument("--network", type=Path, metavar="FILE")
    parser.add_argument("--erase", type=float, default=0.5, metavar="SHARE")
    parser.add_argument("--from", dest="given", type=Path, metavar="FILE")
    options = parser.parse_args()
    (x, y), (test_x, test_y), classes = load_cifar(options.place)
    if options.images:
        rng = np.random.default_rng(0)
        some = rng.permutation(len(y))[: options.images]
        x, y = x[some], y[some]
        some = rng.permutation(len(test_y))[: options.images]
        test_x, test_y = test_x[some], test_y[some]
    plan = Plan(
        network="resnet20_cifar",
        start="given" if options.given else "nothing",
        recipe=RECIPE,
        augmentation=Augmentation(
            crop="shift", shift=4, mirror=True, erase=options.erase
        ),
        batch=128,
        epochs=options.epochs,
        minutes=options.minutes,
        validation=0.04,
        device=options.device,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        plan,
        classes,
        ImageSet.from_arrays(x, y),
        start=load_network_file(options.given) if options.given else None,
        title="ResNet-20, CIFAR-10",
        callbacks=[Lines(options.out / "train_cifar.csv")],
        checkpoint=options.checkpoint,
    )
    if options.checkpoint.exists():
        print(f"Goes on from {options.checkpoint}", flush=True)
    trained = trainer.fit()
    history = trained.history
    write_log(history.epochs, options.out / "train_cifar.csv")
    if options.network is not None:
        save_network(trained.network, options.network, replace=True)
    network = rebuilt(trained.network)
    right, right_with_mirror = (
        evaluate(
            judged,
            ImageSet.from_arrays(test_x, test_y),
            plan,
            trained.network.card.preprocess,
            len(classes),
            Arithmetic(replace(plan, device="cpu")),
        ).accuracy
        for judged in (network, with_mirror(network))
    )
    minutes = sum(epoch.seconds for epoch in history.epochs) / 60
    result = {
        "test_accuracy": right,
        "test_accuracy_with_mirror_images": right_with_mirror,
        "begun_with": options.given and options.given.name,
        "tested": len(test_y),
        "trained_minutes": round(minutes, 1),
        "epochs": len(history.epochs),
        "best_epoch": None if history.best is None else history.best + 1,
        "stopped": history.stopped,
        "events": [event.text for event in history.events],
        "plan": plan_to_json(plan),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    text = json.dumps(result, indent=2) + "\n"
    (options.out / "train_cifar.json").write_text(text, encoding="utf8")
    options.checkpoint.unlink(missing_ok=True)
    print(
        f"\nTest: {right:.2%} of {len(test_y)} images right, "
        f"{right_with_mirror:.2%} with their mirror images; {minutes:.0f} minutes"
    )


if __name__ == "__main__":
    main()
