#!/usr/bin/env python3
"""How small does SqueezeNet 1.1 become, and what does it cost?

Usage: .venv/bin/python benchmarks/share_squeezenet.py FOLDER [--out FILE] [--images N]
           [--distil] [--thrifts T …] [--epochs N] [--prune SHARE] [--rate R]
           [--half {0,1}]

FOLDER has ``labels.csv`` with columns ``file`` and ``index0`` (ImageNet class, 0-999)
and the files in ``images/``. The published weights are to be on this computer.

Without training, weights share 256 to 16 values a layer (k-means), or as many as pay
for their bits (``thrift``). With --distil, every second image is for tuning, without
its label: errors of rounding are made up for on these images, and then shared values,
biases and so on learn the answers that the network gave before; with --prune, the
smallest weights go first, by each layer's sensitivity, SHARE of them at most. What is
left is told on the other images; --half 1 exchanges the two.

Prints bytes of the file, with and without the card (most of it names of classes),
top-1, and how often the answer is that of the 32-bit network; writes them as JSON
(default benchmarks/results/share_squeezenet.json) after each line.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from orangecontrib.imagemining.compression.compensation import input_moments
from orangecontrib.imagemining.compression.pipeline import compress
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    Prune,
    Share,
    Step,
)
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.compression.sharing import share_layers
from orangecontrib.imagemining.compression.tuning import training_plan
from orangecontrib.imagemining.compression.working import Working, packed_size
from orangecontrib.imagemining.embedders.trained import published_network
from orangecontrib.imagemining.training.batches import Batches
from orangecontrib.imagemining.training.data import ImageSet, read_images
from orangecontrib.imagemining.training.plan import Recipe
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.packed.container import write_container

NETWORK = "squeezenet1_1"
OUT = Path(__file__).parent / "results" / "share_squeezenet.json"
BITS = (8, 7, 6, 5, 4)
THRIFTS = (3.0, 6.0, 10.0, 15.0, 20.0, 30.0)


class Lines:
    """Measures networks, prints a line each, and writes them all."""

    def __init__(self, out: Path, about: dict[str, Any], plan: CompressionPlan) -> None:
        self.out = out
        self.content: dict[str, Any] = {**about, "rows": []}
        self.plan = plan
        self.begun = time.perf_counter()
        self.answers: dict[int, np.ndarray] = {}
        print("| what | bytes | without card | images | top-1 | answers as before |")
        print("|---|---|---|---|---|---|")

    def add(
        self,
        what: str,
        network: ImageNetwork,
        images: ImageSet,
        **more: Any,
    ) -> None:
        """Measure a network; the first one on the images is what was before."""
        working = Working(network)
        logits = []
        with Batches(
            images,
            training_plan(working, self.plan, 1),
            working.card.preprocess,
            training=False,
            device="cpu",
        ) as batches:
            for batch in batches:
                with torch.inference_mode():
                    logits.append(working.network(batch.pixels))
        guess = torch.cat(logits).argmax(1).numpy()
        before = self.answers.setdefault(id(images), guess)
        row = {
            "what": what,
            "bytes": packed_size(network),
            "bytes without card": len(
                write_container({}, {**network.tensors, **network.stored})
            ),
            "images": len(images),
            "top-1": float((guess == images.labels).mean()),
            "top-1 before": float((before == images.labels).mean()),
            "as before": float((guess == before).mean()),
            "zeros": float(
                np.mean(
                    np.concatenate(
                        [network.tensors[f"{n}.weight"].ravel() for n in working.layers]
                    )
                    == 0
                )
            ),
            "seconds": round(time.perf_counter() - self.begun),
            **more,
        }
        self.content["rows"].append(row)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.write_text(json.dumps(self.content, indent=2) + "\n", encoding="utf8")
        print(
            f"| {what} | {row['bytes']:,} | {row['bytes without card']:,} |"
            f" {len(images)} | {row['top-1']:.1%} | {row['as before']:.1%} |",
            flush=True,
        )


def without_training(given: ImageNetwork, images: ImageSet, lines: Lines) -> None:
    """Share values of 8 to 4 bits, and thriftily."""
    lines.add("32-bit numbers", given, images)
    for step, what in [
        *((Share(bits=bits), f"{bits} bits") for bits in BITS),
        *((Share(thrift=thrift), f"thrift {thrift:g}") for thrift in THRIFTS[:4]),
    ]:
        working = Working(given)
        share_layers(step, working)
        lines.add(what, working.image_network(), images)


def with_distillation(
    given: ImageNetwork,
    images: ImageSet,
    lines: Lines,
    thrifts: list[float],
    epochs: int,
    prune: float,
    half: int,
) -> None:
    """Tune on every second image, without labels; tell on the others."""
    rows = np.arange(len(images))
    tuning, test = images.subset(rows[half::2]), images.subset(rows[1 - half :: 2])
    lines.add("32-bit numbers", given, test)
    moments = input_moments(Working(given), lines.plan, tuning)
    for thrift in thrifts:
        for kept in (None, moments):
            working = Working(given)
            share_layers(Share(thrift=thrift), working, moments=kept)
            words = "" if kept is None else ", errors made up for"
            lines.add(f"thrift {thrift:g}{words}", working.image_network(), test)
    if not epochs:
        return
    steps: list[Step] = []
    if prune:
        steps.append(Prune(share=prune, rounds=2, epochs=epochs))
    steps.append(Share(thrift=thrifts[-1], compensate=True, epochs=epochs))

    def tell(candidate: Candidate) -> None:
        if candidate.step and isinstance(candidate.network, ImageNetwork):
            lines.add(
                f"tuned: {candidate.what}",
                candidate.network,
                test,
                **{
                    "as before, tuning": candidate.accuracy,
                    "loss, tuning": candidate.loss,
                },
            )

    found = compress(
        given,
        replace(lines.plan, steps=tuple(steps)),
        tuning,
        labelled=False,
        on_candidate=tell,
    )
    print("\n".join(found.notes))


def main() -> None:
    """Read arguments and images, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--images", type=int)
    parser.add_argument("--distil", action="store_true")
    parser.add_argument("--thrifts", type=float, nargs="+", default=list(THRIFTS))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--prune", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.001)
    parser.add_argument("--half", type=int, choices=(0, 1), default=0)
    options = parser.parse_args()
    with open(options.folder / "labels.csv", newline="", encoding="utf8") as stream:
        rows = list(csv.DictReader(stream))[: options.images]
    given = published_network(NETWORK)
    plan = CompressionPlan(
        tolerance=None,
        recipe=Recipe(name="fine-tuning", learning_rate=options.rate),
        precision="float32",
        device="cpu",
    )
    images, reasons = read_images(
        [str(options.folder / "images" / row["file"]) for row in rows],
        [int(row["index0"]) for row in rows],
        training_plan(Working(given), plan, 1),
        given.card.preprocess,
    )
    about = {
        "network": NETWORK,
        "float32": given.n_bytes,
        "images": len(images),
        "left out": len(rows) - len(images),
        "options": {k: str(v) for k, v in vars(options).items() if k != "folder"},
    }
    print(f"{NETWORK}: {given.n_bytes:,} bytes as 32-bit numbers, {len(images)} images")
    print(*filter(None, reasons), sep="\n")
    lines = Lines(options.out, about, plan)
    if options.distil:
        with_distillation(
            given,
            images,
            lines,
            options.thrifts,
            options.epochs,
            options.prune,
            options.half,
        )
    else:
        without_training(given, images, lines)


if __name__ == "__main__":
    main()
