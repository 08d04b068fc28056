#!/usr/bin/env python3
"""Does training keep the computer busy, in how much memory, and how soon does it start?

Usage: .venv/bin/python benchmarks/training.py CIFAR [--photos FOLDER] [--seconds N]

CIFAR is a ``.tar.gz``, or a folder with ``train/<class>/*.jpg`` in it; FOLDER has a
folder a class, with images of any size. Everything is measured in a process of its own:

* small images: reading the 50,000 of CIFAR, then ResNet-20 with shifts and mirrors in
  batches of 128 for some seconds;
* photographs: SqueezeNet 1.1 in batches of 32 of 224², with VGG's scale jitter, mirrors
  and shifts of colour, and with Inception's parts;
* start: 300 of the photographs, to the end of the first step, and what of it is the
  reading; as in Train Network, which loads torch when data arrive, and from a process
  that has loaded nothing.

Of the first two is printed: how much of all cores was used (processor time by wall
time), images a second, how many there are in a bare loop over one batch that is in
memory already, and the most memory that the process had. Linux and macOS only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

WARM_STEPS = 5


def files_of(folder: Path, most: int | None = None) -> tuple[list[str], list[int]]:
    """Return paths of images, evenly spread, and the numbers of their folders."""
    found = [
        (str(path), number)
        for number, kind in enumerate(sorted(p for p in folder.iterdir() if p.is_dir()))
        for path in sorted(kind.iterdir())
    ]
    step = 1 if most is None else max(len(found) // most, 1)
    paths, labels = zip(*found[::step][:most], strict=True)
    return list(paths), list(labels)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak() -> float:
    """Return the most memory that this process ever had, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


def measure(folder: str, how: str, seconds: float) -> dict[str, float]:
    """Train for some seconds, and return what was seen; in a process of its own."""
    if how == "ahead":
        from orangecontrib.imagemining.training.ahead import load_ahead

        load_ahead().join()
    begun = time.perf_counter()
    from orangecontrib.imagemining.training.batches import Batches
    from orangecontrib.imagemining.training.callbacks import Callback
    from orangecontrib.imagemining.training.data import read_images
    from orangecontrib.imagemining.training.inputs import preprocess_of
    from orangecontrib.imagemining.training.plan import Augmentation, Plan
    from orangecontrib.imagemining.training.trainer import Trainer

    augmentations = {
        "shift": Augmentation("shift"),
        "jitter": Augmentation("jitter", rgb_shift=0.1),
        "area": Augmentation("area"),
        "ahead": Augmentation("jitter", rgb_shift=0.1),
    }
    small = how == "shift"
    plan = Plan(
        network="resnet_cifar" if small else "squeezenet1_1",
        start="nothing" if small else "published",
        augmentation=augmentations[how],
        batch=128 if small else 32,
        size=None if small else (224, 224),
        epochs=1000,
        validation=0,
    )

    class Watch(Callback):
        """Notes times, and stops."""

        def __init__(self) -> None:
            self.first = self.wall = self.cpu = self.images = 0.0
            self.steps = 0

        def on_step(self, trainer: Trainer) -> None:
            self.steps += 1
            if self.steps == 1:
                self.first = time.perf_counter() - begun
            elif self.steps == WARM_STEPS:
                self.wall, self.cpu = time.perf_counter(), time.process_time()
            elif self.steps > WARM_STEPS:
                self.images += plan.batch
                if time.perf_counter() - self.wall > seconds:
                    self.wall = time.perf_counter() - self.wall
                    self.cpu = time.process_time() - self.cpu
                    trainer.stop("Measured")
            if not seconds:
                trainer.stop("Started")

    preprocess = preprocess_of(plan)
    loaded = time.perf_counter()
    sources, labels = files_of(
        Path(folder), None if small else 2000 if seconds else 300
    )
    images, _ = read_images(sources, labels, plan, preprocess)
    read = time.perf_counter()
    watch = Watch()
    classes = [str(number) for number in range(max(labels) + 1)]
    trainer = Trainer(plan, classes, images, callbacks=[watch])
    trainer.fit()
    result = {
        "import": loaded - begun,
        "read": read - loaded,
        "n": len(images),
        "pixels": images.n_bytes / 2**20,
        "first": watch.first,
    }
    if seconds:
        with Batches(images, plan, preprocess, training=True) as batches:
            batch = next(iter(batches))
        trainer.step([batch])
        begun = time.perf_counter()
        steps = 0
        while time.perf_counter() - begun < seconds / 2:
            trainer.step([batch])
            steps += 1
        bare = steps * plan.batch / (time.perf_counter() - begun)
        result |= {
            "busy": watch.cpu / watch.wall / cores(),
            "speed": watch.images / watch.wall,
            "bare": bare,
            "peak": peak(),
        }
    return result


def measured(folder: Path, how: str, seconds: float) -> dict[str, float]:
    """Return what `measure` does, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, str(folder)]
        + ["--seconds", str(seconds), "--child", how],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def show(name: str, seen: dict[str, Any]) -> None:
    """Print a line."""
    print(
        f"{name}: {seen['n']:,} images read in {seen['read']:.1f} s"
        f" ({seen['n'] / seen['read']:.0f}/s), {seen['pixels']:.0f} MB of pixels;"
        f" {seen['busy']:.0%} of {cores()} cores busy; {seen['speed']:.0f} images/s,"
        f" bare loop {seen['bare']:.0f}; peak {seen['peak']:.0f} MB",
        flush=True,
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.cifar, options.child, options.seconds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = options.cifar
        if place.is_file():
            with tarfile.open(place) as archive:
                archive.extractall(folder, filter="data")
            place = Path(folder)
        train = next(p for p in [place, *place.rglob("train")] if p.name == "train")
        show("small images", measured(train, "shift", options.seconds))
    if options.photos:
        for how in ("jitter", "area"):
            seen = measured(options.photos, how, options.seconds)
            show(f"photographs, {how}", seen)
        for how, words in (("ahead", "torch loaded"), ("jitter", "nothing loaded")):
            seen = measured(options.photos, how, 0)
            print(
                f"start, {words}: {seen['first']:.1f} s to the end of the first step"
                f" (import {seen['import']:.1f}, reading {seen['n']} images"
                f" {seen['read']:.1f})"
            )


if __name__ == "__main__":
    main()
