#!/usr/bin/env python3
"""SqueezeNet's Figure 3 in small: what do squeezing, 3×3 filters and bypasses bring?

Usage: .venv/bin/python benchmarks/squeezenet_designs.py PLACE [--out FOLDER]
           [--epochs N] [--images N] [--width N] [--seeds N]

PLACE is CIFAR-10, a ``.tar.gz`` or a folder with ``train/<class>/`` and
``test/<class>/``. SqueezeNet 1.0 with its first convolution made for images of 32²,
and modules of --width expand filters more after each two (the paper: 128), learns from
nothing: with squeeze ratios from 0.125 to 1 at half 3×3 filters (Figure 3a), with 1 %
to 99 % of 3×3 filters at a squeeze ratio of 0.5 (Figure 3b), and with simple and
complex bypasses at the paper's ratio of 0.125 (Table 3). All with one plan: it is
short, so the accuracies are far below what these networks can reach.

Draws squeezenet_designs.svg in FOLDER (default benchmarks/results), and prints a table,
which is also in squeezenet_designs.json. Each network is written as soon as it is done,
and is not trained again by the same command.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cifar import load_cifar  # type: ignore[import-not-found]

from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.plan import (
    Augmentation,
    Plan,
    Recipe,
    plan_to_json,
)
from orangecontrib.imagemining.training.trainer import Trainer

OUT = Path(__file__).parent / "results"
RATIOS = (0.125, 0.25, 0.5, 0.75, 1.0)
SHARES = (0.01, 0.125, 0.25, 0.5, 0.75, 0.99)
BYPASSES = ("none", "simple", "complex")

#: Networks without normalisation learn slowly at first: AdamW gets a short run through.
#: At four times this rate some die, all of a layer's outputs being 0 from then on.
RECIPE = Recipe(
    name="one cycle",
    optimizer="adamw",
    learning_rate=5e-4,
    batch=32,
    weight_decay=0.01,
    schedule="one-cycle",
    warmup=0.3,
    clip=1.0,
    dropout=0.0,
)


def designs(width: int) -> list[dict[str, Any]]:
    """Return the options of all networks, each once."""
    wanted: list[dict[str, Any]] = [
        *({"squeeze_ratio": ratio, "pct_3x3": 0.5} for ratio in RATIOS),
        *({"squeeze_ratio": 0.5, "pct_3x3": share} for share in SHARES),
        *({"squeeze_ratio": 0.125, "pct_3x3": 0.5, "bypass": b} for b in BYPASSES),
    ]
    found: list[dict[str, Any]] = []
    for each in wanted:
        options = {"bypass": "none", "base_e": width, "incr_e": width, **each}
        if options not in found:
            found.append(options)
    return found


def trained(
    options: dict[str, Any], plan: Plan, images: ImageSet, test: ImageSet
) -> dict[str, Any]:
    """Train one network, and return its size and accuracy."""
    plan = replace(plan, options={**plan.options, **options})
    begun = time.perf_counter()
    classes = [str(number) for number in range(10)]
    result = Trainer(plan, classes, images, test).fit()
    last = result.history.epochs[-1]
    size = sum(
        tensor.size
        for name, tensor in result.network.tensors.items()
        if not name.startswith(("classifier",))
    )
    total = sum(tensor.size for tensor in result.network.tensors.values())
    return {
        "options": options,
        "seed": plan.seed,
        "parameters": int(total),
        "parameters_without_classifier": int(size),
        "accuracy": last.validation_accuracy,
        "loss": last.validation_loss,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def mean_of(results: list[dict[str, Any]], **options: Any) -> tuple[float, float]:
    """Return size in MiB of float32 and mean accuracy of all seeds of one network."""
    found = [
        each
        for each in results
        if all(each["options"].get(key) == value for key, value in options.items())
    ]
    size = found[0]["parameters"] * 4 / 2**20
    return size, float(np.mean([each["accuracy"] for each in found]))


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy over size, as the paper does."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "squeezenet"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), sharey=True)
    ratios = [
        mean_of(results, squeeze_ratio=r, pct_3x3=0.5, bypass="none") for r in RATIOS
    ]
    shares = [
        mean_of(results, squeeze_ratio=0.5, pct_3x3=s, bypass="none") for s in SHARES
    ]
    for axis, points, names, title in (
        (axes[0], ratios, [f"{r:g}" for r in RATIOS], "squeeze ratio"),
        (axes[1], shares, [f"{s:.3g}" for s in SHARES], "share of 3×3 filters"),
    ):
        sizes, accuracies = zip(*points, strict=True)
        axis.plot(sizes, [100 * a for a in accuracies], "o-", color="tab:blue")
        for size, accuracy, name in zip(sizes, accuracies, names, strict=True):
            axis.annotate(
                name, (size, 100 * accuracy), (0, 7), textcoords="offset points"
            )
        axis.set_title(title)
        axis.set_xlabel("size (MiB of float32)")
    axes[0].set_ylabel("accuracy (%)")
    found = [
        mean_of(results, squeeze_ratio=0.125, pct_3x3=0.5, bypass=b) for b in BYPASSES
    ]
    axes[2].plot(BYPASSES, [100 * accuracy for _, accuracy in found], "o")
    axes[2].margins(x=0.2)
    axes[2].set_title("bypass")
    every = [100 * accuracy for _, accuracy in [*ratios, *shares, *found]]
    axes[0].set_ylim(max(0, min(every) - 5), max(every) + 3)
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def tell(results: list[dict[str, Any]]) -> None:
    """Print a line a network as Markdown."""
    print("\n| squeeze ratio | 3×3 | bypass | parameters | accuracy | time |")
    print("|---|---|---|---|---|---|")
    seen = []
    for each in results:
        options = each["options"]
        if options in seen:
            continue
        seen.append(options)
        _, accuracy = mean_of(results, **options)
        seconds = sum(e["seconds"] for e in results if e["options"] == options)
        print(
            f"| {options['squeeze_ratio']:g} | {options['pct_3x3']:.1%} |"
            f" {options['bypass']} | {each['parameters']:,} | {accuracy:.1%} |"
            f" {seconds:.0f} s |"
        )


def main() -> None:
    """Train all of them, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--tested", type=int, default=5_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    (x, y), (test_x, test_y), _ = load_cifar(options.place)
    rng = np.random.default_rng(0)
    some = rng.permutation(len(y))[: options.images]
    tested = rng.permutation(len(test_y))[: options.tested]
    images = ImageSet.from_arrays(x[some], y[some])
    test = ImageSet.from_arrays(test_x[tested], test_y[tested])
    plan = Plan(
        network="squeezenet1_0",
        options={"small_images": True, "last_relu": False},
        start="nothing",
        size=(32, 32),
        recipe=RECIPE,
        augmentation=Augmentation(mirror=True),
        batch=32,
        epochs=options.epochs,
    )
    settings = {
        "plan": plan_to_json(plan),
        "images": len(some),
        "tested": len(tested),
        "width": options.width,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "squeezenet_designs.json"
    results: list[dict[str, Any]] = []
    if path.exists():
        content = json.loads(path.read_text(encoding="utf8"))
        if content["settings"] == settings:
            results = content["results"]
    done = [(each["options"], each["seed"]) for each in results]
    for seed in range(options.seeds):
        for design in designs(options.width):
            if (design, seed) in done:
                continue
            result = trained(design, replace(plan, seed=seed), images, test)
            results.append(result)
            part = path.with_suffix(".part")
            content = {"settings": settings, "results": results}
            part.write_text(json.dumps(content) + "\n", encoding="utf8")
            part.replace(path)
            print(
                f"{design}: {result['parameters']:,} parameters,"
                f" {result['accuracy']:.1%} in {result['seconds']:.0f} s",
                flush=True,
            )
    draw(results, options.out / "squeezenet_designs.svg")
    tell(results)


if __name__ == "__main__":
    main()
