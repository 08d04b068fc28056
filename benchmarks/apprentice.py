#!/usr/bin/env python3
"""What does a teacher bring a ResNet-20 of ternary or 4-bit weights on CIFAR-10?

Usage: .venv/bin/python benchmarks/apprentice.py PLACE [--teacher FILE] [--images N]
           [--epochs N] [--only "NAME;NAME"] [--out FOLDER] [--work FOLDER]

PLACE is a ``.tar.gz`` or a folder with ``train/<class>/`` and ``test/<class>/``. All
students see the same N images (default 3,000) so many times (default 6), shifted by up
to 4 pixels and mirrored; 500 others are for validation. Schemes B and C have the
network in FILE as their teacher (as `train_cifar.py` writes it); as long as it is not
there, what needs no trained teacher is run. Without --teacher one is trained on these
images, twice as long. At the end a much smaller network learns with and without the
teacher. 5,000 images of the test are predicted once a run. Seconds are those of the
processor.

Prints a line a run and writes apprentice.json to the folder of --out (default
benchmarks/results). What each run came to is kept in the folder of --work (default: in
the system's temporary folder), so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cifar import load_cifar  # type: ignore[import-not-found]
from torch import nn

from orangecontrib.imagemining.compression import distil, lowbits
from orangecontrib.imagemining.compression.beginning import (
    as_image_network,
    fresh_network,
    recipe_from_nothing,
)
from orangecontrib.imagemining.compression.course import Course
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    Distil,
    FineTune,
    LowBits,
    Step,
)
from orangecontrib.imagemining.compression.tasks import Apprentice
from orangecontrib.imagemining.compression.tuning import training_plan
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.arithmetic import Arithmetic
from orangecontrib.imagemining.training.batches import Batches
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.history import History
from orangecontrib.imagemining.training.inputs import preprocess_of
from orangecontrib.imagemining.training.plan import Augmentation, Plan, Recipe
from orangecontrib.imagemining.training.task import Classification, Task
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)

OUT = Path(__file__).parent / "results"
WORK = Path(tempfile.gettempdir()) / "apprentice"
VALIDATED = 500
SMALL = {"n": 1, "width": 8}


class Watched(Course):
    """Keeps what was learned, to be looked at afterwards."""

    task: Task | None = None
    history = History()

    def tune(
        self,
        working: Working,
        epochs: int,
        status: str,
        task: Task | None = None,
        others: Sequence[nn.Module] = (),
        recipe: Recipe | None = None,
    ) -> History:
        """Fine-tune, and keep the task."""
        self.task = task
        self.history = super().tune(working, epochs, status, task, others, recipe)
        return self.history


def steps(epochs: int) -> dict[str, Step]:
    """Return what is to be run, by name."""
    found: dict[str, Step] = {"32 bits from nothing": FineTune(epochs)}
    for bits, words in ((2, "ternary"), (4, "4 bits")):
        one = LowBits(epochs, bits=bits)
        found[f"{words} from nothing"] = replace(one, scheme="none", start="nothing")
        found[f"{words} from given"] = replace(one, scheme="none")
        for scheme in "CBA":
            found[f"{words} {scheme}"] = replace(one, scheme=scheme)
    small = Distil(epochs, "resnet_cifar", SMALL, temperature=2.0)
    found["small, labels alone"] = replace(small, beta=1.0, gamma=0.0)
    found["small, with teacher"] = small
    eight = LowBits(epochs, bits=2, activations=8, scheme="C")
    return {**found, "ternary C, 8-bit activations": eight}


def needs_teacher(name: str) -> bool:
    """Tell whether a run looks at the given network."""
    return not name.endswith(("from nothing", " A"))


def run(name: str, step: Step, course: Watched, test: ImageSet) -> dict[str, Any]:
    """Do a run, and return what it came to."""
    begun = time.process_time()
    working = Working(course.given)
    course.begin_step(1, step)
    if isinstance(step, LowBits):
        lowbits.run(step, working, course)
    elif isinstance(step, Distil):
        distil.run(step, working, course)
    else:
        fresh = fresh_network(working.card, course.plan.seed + 1)
        working.rebuild(as_image_network(fresh, working.card))
        recipe = recipe_from_nothing(working.network, None)
        course.tune(working, step.epochs, name, Classification(), recipe=recipe)
    seconds = time.process_time() - begun
    right = predicted(working, course.plan, test)
    task = course.task
    epochs = course.history.epochs
    return {
        "accuracy": float(right.mean()),
        "n_bytes": working.n_bytes,
        "losses": task.losses.means(len(course.images))
        if isinstance(task, Apprentice)
        else {"student to labels": epochs[-1].loss},
        "validation": [round(each.validation_accuracy, 4) for each in epochs],
        "notes": course.notes,
        "seconds": round(seconds),
        "right": np.packbits(right).tobytes().hex(),
    }


def predicted(working: Working, plan: CompressionPlan, test: ImageSet) -> Any:
    """Return which of the images are read right, (n,) bool."""
    how = training_plan(working, plan, 1)
    arithmetic = Arithmetic(replace(how, device="cpu"))
    right = np.zeros(len(test), bool)
    with Batches(
        test, how, working.card.preprocess, training=False, batch=250
    ) as batches:
        for each in batches:
            with torch.inference_mode(), arithmetic.prediction():
                guess = working.network(each.pixels).argmax(dim=1).cpu().numpy()
            right[each.rows] = guess == test.labels[each.rows]
    return right


def once(path: Path, do: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a file says, which is written first if it is not there."""
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(json.dumps(do()), encoding="utf8")
        part.replace(path)
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
    return content


def untrained(classes: tuple[str, ...], preprocess: Preprocess) -> ImageNetwork:
    """Return a ResNet-20 with fresh weights: the design, for students from nothing."""
    card = NetworkCard("ResNet-20", "resnet20_cifar", classes, preprocess)
    return as_image_network(fresh_network(card, 0), card)


def mcnemar(first: str, second: str, n: int) -> tuple[int, int, float]:
    """Compare two runs on the same images.

    Returns
    -------
    How many images only the first reads right, how many only the second, and the
    probability of a difference at least as large by chance (exact, two-sided).
    """
    a, b = (
        np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))[:n].astype(bool)
        for text in (first, second)
    )
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    total, least = only_a + only_b, min(only_a, only_b)
    logs = [
        math.lgamma(total + 1)
        - math.lgamma(k + 1)
        - math.lgamma(total - k + 1)
        - total * math.log(2)
        for k in range(least + 1)
    ]
    return only_a, only_b, min(1.0, 2 * sum(map(math.exp, logs)))


def pairs() -> list[tuple[str, str]]:
    """Return which runs are compared."""
    found = [("small, with teacher", "small, labels alone")]
    for words in ("ternary", "4 bits"):
        nothing = f"{words} from nothing"
        found += [(f"{words} A", nothing), (f"{words} B", nothing)]
        found += [(f"{words} C", f"{words} from given"), (f"{words} C", f"{words} B")]
        found += [(nothing, "32 bits from nothing")]
    return found


def main() -> None:
    """Do all runs that are not done yet, and compare them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("--teacher", type=Path, metavar="FILE")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--tested", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--only", default="", metavar="NAME;NAME")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER")
    parser.add_argument("--work", type=Path, default=WORK, metavar="FOLDER")
    options = parser.parse_args()
    (x, y), (test_x, test_y), classes = load_cifar(options.place)
    order = np.random.default_rng(0).permutation(len(y))
    # train_cifar.py keeps others for validation: its teacher knows some of these
    validated, some = order[:VALIDATED], order[VALIDATED:][: options.images]
    images = ImageSet.from_arrays(x[some], y[some])
    validation = ImageSet.from_arrays(x[validated], y[validated])
    tested = np.random.default_rng(1).permutation(len(test_y))[: options.tested]
    test = ImageSet.from_arrays(test_x[tested], test_y[tested])
    preprocess = preprocess_of(Plan(network="resnet20_cifar", start="nothing"))
    given = untrained(classes, preprocess)
    plan = CompressionPlan(
        tolerance=None,
        distil=False,
        augmentation=Augmentation(crop="shift", shift=4, mirror=True),
        batch=64,
        device="cpu",
    )
    folder = options.work
    folder.mkdir(parents=True, exist_ok=True)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.teacher is None:
        options.teacher = folder / "teacher.safetensors"
        if not options.teacher.exists():
            train_teacher(options.teacher, given, plan, images, validation)
    only = options.only.split(";") if options.only else None
    todo = {k: v for k, v in steps(options.epochs).items() if not only or k in only}
    runs: dict[str, dict[str, Any]] = {}
    teacher: ImageNetwork | None = None
    while todo:
        if teacher is None and options.teacher.exists():
            teacher = load_network_file(options.teacher)
            path = folder / "teacher.json"
            runs["the teacher"] = once(path, partial(tested_alone, teacher, plan, test))
            print(line("the teacher", runs["the teacher"], len(test)), flush=True)
        can = [name for name in todo if teacher is not None or not needs_teacher(name)]
        if not can:
            time.sleep(10)
            continue
        name, step = can[0], todo.pop(can[0])
        network = given
        if needs_teacher(name) and teacher is not None:
            network = teacher
        course = Watched(replace(plan, steps=(step,)), network, images, validation)
        path = folder / f"{name.replace(' ', '-').replace(',', '')}.json"
        runs[name] = once(path, partial(run, name, step, course, test))
        print(line(name, runs[name], len(test)), flush=True)
        write(runs, options, len(test))
    for each in compared(runs, len(test)):
        (first, second), (a, b) = each["runs"], each["only"]
        gain = (a - b) / len(test)
        print(f"{first} – {second}: {gain:+.2%}, p = {each['p']:.2g}")


def tested_alone(
    network: ImageNetwork, plan: CompressionPlan, test: ImageSet
) -> dict[str, Any]:
    """Return what a network comes to as it is."""
    working = Working(network)
    right = predicted(working, plan, test)
    return {
        "accuracy": float(right.mean()),
        "n_bytes": working.n_bytes,
        "losses": {},
        "seconds": 0,
        "right": np.packbits(right).tobytes().hex(),
    }


def train_teacher(
    path: Path,
    given: ImageNetwork,
    plan: CompressionPlan,
    images: ImageSet,
    validation: ImageSet,
) -> None:
    """Train a teacher on the same images, and write it to a file."""
    course = Watched(plan, given, images, validation)
    working = Working(given)
    recipe = recipe_from_nothing(working.network, None)
    course.tune(working, 12, "Teacher", Classification(), recipe=recipe)
    save_network(working.image_network(), path)


def line(name: str, result: dict[str, Any], n: int) -> str:
    """Return a run in a line."""
    right = result["accuracy"]
    spread = 1.96 * math.sqrt(right * (1 - right) / n)
    losses = ", ".join(f"{k} {v:.3f}" for k, v in result["losses"].items())
    return (
        f"{name}: {right:.2%} ± {spread:.2%}, {result['n_bytes']:,} bytes,"
        f" {result['seconds']} s; {losses}"
    )


def compared(runs: dict[str, dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """Return comparisons of the runs that are there."""
    found = []
    for first, second in pairs():
        if first in runs and second in runs:
            a, b, chance = mcnemar(runs[first]["right"], runs[second]["right"], n)
            found.append({"runs": [first, second], "only": [a, b], "p": chance})
    return found


def write(runs: dict[str, dict[str, Any]], options: Any, n: int) -> None:
    """Write what there is."""
    content = {
        "images": options.images,
        "epochs": options.epochs,
        "tested": n,
        "runs": {
            name: {k: v for k, v in result.items() if k != "right"}
            for name, result in runs.items()
        },
        "compared": compared(runs, n),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    text = json.dumps(content, indent=2) + "\n"
    (options.out / "apprentice.json").write_text(text, encoding="utf8")


if __name__ == "__main__":
    main()
