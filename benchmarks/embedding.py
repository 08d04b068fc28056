#!/usr/bin/env python3
"""How fast is embedding: beside the old add-on, and beside what the machine can do?

Usage: .venv/bin/python benchmarks/embedding.py FOLDER [--old PYTHON] [--images N]
       .venv/bin/python benchmarks/embedding.py FOLDER --many

Embeds the first N images (default 1,000) below FOLDER by SqueezeNet 1.1's logits, three
rounds of each way in turn, every time in a fresh process:

* the old add-on Orange3-ImageAnalytics, if PYTHON names an interpreter that has it (a
  third of the images);
* what a user would write by hand: torch, and a DataLoader of two workers (a third);
* this add-on in float32, and in fast mode where the processor has one;
* this add-on once more, when the images are known.

The times are of the whole embedding, reading included; imports and loading the network
come before. In each round it also measures two limits of the machine: how fast all its
cores decode the images, and how fast they multiply matrices. Together they bound what
can be: 1 / (1 / decoded a second + operations an image / operations a second). Then
VGG-16 and Inception-v3 with made-up weights, on some of the images. Printed are
medians, per cent of the limit, and ratios.

With --many: 20,000 images, FOLDER's again and again under other names and with other
contents, beside 1,000: images/s and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

CHILD = "--one"  # how this file calls itself
ROUNDS = 3
SQUEEZENET = "squeezenet1_1"

OLD = """
import json, sys, time
from orangecontrib.imageanalytics.image_embedder import ImageEmbedder
paths = json.load(sys.stdin)["paths"]
run = ImageEmbedder(model="squeezenet")
run(paths[:1])
start = time.perf_counter()
vectors = run(paths)
seconds = time.perf_counter() - start
assert all(vector is not None for vector in vectors)
print(json.dumps({"speed": len(paths) / seconds}))
"""


# what is measured, each in a process of its own ---------------------------------------


def ours(
    paths: list[str], network: str, precision: str = "float32", again: bool = False
) -> dict[str, Any]:
    """Embed by this add-on; `again`: when all is known."""
    from orangecontrib.imagemining.embedders import LocalEmbedder
    from orangecontrib.imagemining.embedders.cache import VectorStore
    from orangecontrib.imagemining.specs import EmbedderSpec

    spec = EmbedderSpec(network, "logits", precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        LocalEmbedder(spec, cache=VectorStore.in_memory())(paths[:1])
        store = VectorStore(Path(folder, "vectors.sqlite"))
        if again:
            LocalEmbedder(spec, cache=store)(paths)
        run = LocalEmbedder(spec, cache=store)
        start = time.perf_counter()
        result = run(paths)
        seconds = time.perf_counter() - start
        store.close()
    reasons = [reason for reason in result.reasons if reason]
    if reasons:
        sys.exit(f"{len(reasons)} images were skipped: {reasons[0]}")
    assert result.n_known == (len(paths) if again else 0) or len(paths) == 1
    return {
        "speed": len(paths) / seconds,
        "memory": peak_memory(),
        "table": result.vectors.nbytes / 2**20,
        "engine": run.choice.describe(),
    }


def made_up(paths: list[str], network: str) -> dict[str, Any]:
    """Embed by a network of this add-on with weights that mean nothing."""
    import torch

    from orangecontrib.imagemining.embedders.engines import exported, pytorch
    from orangecontrib.imagemining.networks import create_network
    from orangecontrib.imagemining.weights import weights_of

    card = weights_of(network)
    torch.manual_seed(0)
    built = create_network(card.network or network, num_classes=card.num_classes)
    tensors = {name: t.detach().numpy() for name, t in built.state_dict().items()}
    setattr(pytorch, "load_weights", lambda weights: tensors)  # noqa: B010
    setattr(exported, "identity_of", lambda weights: "made up")  # noqa: B010
    return ours(paths, network)


def by_hand(paths: list[str]) -> dict[str, Any]:
    """Embed as one would write it down: Pillow, torch, a DataLoader."""
    import numpy as np
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from orangecontrib.imagemining.embedders.engines.pytorch import network_of
    from orangecontrib.imagemining.weights import weights_of

    preprocess = weights_of(SQUEEZENET).preprocess
    mean = torch.tensor(preprocess.mean).reshape(3, 1, 1)

    class Pictures(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, row: int) -> torch.Tensor:
            image = Image.open(paths[row]).convert("RGB")
            image = image.resize((227, 227), Image.Resampling.LANCZOS)
            pixels = torch.from_numpy(np.array(image)[:, :, ::-1].copy())
            return pixels.permute(2, 0, 1).float() - mean

    network = network_of(SQUEEZENET)
    loader = DataLoader(Pictures(), batch_size=32, num_workers=2)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 227, 227))
        start = time.perf_counter()
        vectors = torch.cat([network(batch) for batch in loader])
    assert len(vectors) == len(paths)
    return {"speed": len(paths) / (time.perf_counter() - start)}


def limits(paths: list[str]) -> dict[str, Any]:
    """Return images decoded a second, and GFLOP/s of matrix products, on all cores."""
    import numpy as np
    import torch
    from PIL import Image

    def decode(path: str) -> None:
        with Image.open(path) as image:
            image.load()

    with ThreadPoolExecutor(n_cores()) as pool:
        list(pool.map(decode, paths[:20]))
        start = time.perf_counter()
        list(pool.map(decode, paths))
        decoded = len(paths) / (time.perf_counter() - start)
    best = 0.0
    for size in (1024, 2048):
        a, b = (np.random.default_rng(i).random((size, size), "f4") for i in (0, 1))
        ta, tb = torch.from_numpy(a), torch.from_numpy(b)
        products: tuple[Callable[[], object], ...] = (
            lambda a=a, b=b: a @ b,  # type: ignore[misc]
            lambda a=ta, b=tb: torch.mm(a, b),  # type: ignore[misc]
        )
        for multiply in products:
            for _ in range(12):
                start = time.perf_counter()
                multiply()
                seconds = time.perf_counter() - start
                best = max(best, 2 * size**3 / seconds / 1e9)
    return {"decoded": decoded, "gflops": best}


def operations(network: str) -> dict[str, Any]:
    """Return the GFLOP of an image: two for a multiplication and addition."""
    import torch

    from orangecontrib.imagemining.networks import create_network
    from orangecontrib.imagemining.weights import weights_of

    card = weights_of(network)
    total = 0

    def count(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        positions = output[0].numel() // weight.shape[0]
        total += 2 * weight.numel() * positions

    with torch.device("meta"):
        built = create_network(card.network or network, num_classes=card.num_classes)
        built.eval()
        for module in built.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.register_forward_hook(count)
        with torch.no_grad():
            built(torch.zeros(1, 3, *card.preprocess.size))
    return {"gflop": total / 1e9}


def fast_here(network: str) -> dict[str, Any]:
    """Tell what fast mode would compute in."""
    from orangecontrib.imagemining.embedders.engines.choice import choose_engine

    choice = choose_engine(network, precision="fast")
    return {"precision": choice.precision, "reason": choice.reason}


WAYS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each for each in (ours, made_up, by_hand, limits, operations)
} | {"fast_here": fast_here}


# measuring ----------------------------------------------------------------------------


def n_cores() -> int:
    """Return the number of cores that we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> float:
    """Return the most that this process ever used, in MiB; NaN where it is unknown."""
    # not getrusage: on Linux that counts what the parent had when it called us
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def measure(home: str, way: str, **arguments: Any) -> dict[str, Any]:
    """Return what a fresh process prints."""
    return _child(
        [sys.executable, "-W", "ignore", __file__, CHILD, way], home, arguments
    )


def measure_old(python: str, paths: list[str]) -> dict[str, Any]:
    """Return what the old add-on's Python prints."""
    with tempfile.TemporaryDirectory() as home:
        # it keeps vectors in the user's cache, and would find them there
        return _child([python, "-W", "ignore", "-c", OLD], home, {"paths": paths})


def _child(command: list[str], home: str, arguments: Any) -> dict[str, Any]:
    places = ["HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"]
    places.append("IMAGEMINING_HOME")
    done = subprocess.run(
        command,
        input=json.dumps(arguments),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | dict.fromkeys(places, home) | {"QT_QPA_PLATFORM": "offscreen"},
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def limit_of(gflop: float, found: dict[str, float]) -> float:
    """Return images/s that the machine allows: times of the two limits add up."""
    return 1 / (1 / found["decoded"] + gflop / found["gflops"])


def compare(paths: list[str], old: str | None, home: str) -> None:
    """Measure all ways in turn, and print a table."""
    third = paths[: max(len(paths) // 3, 1)]
    fast = measure(home, "fast_here", network=SQUEEZENET)
    runs: dict[str, list[dict[str, Any]]] = {}

    def note(name: str, found: dict[str, Any]) -> None:
        runs.setdefault(name, []).append(found)
        speed = found.get("speed")
        text = f"{speed:.1f} images/s" if speed else json.dumps(found)
        print(f"  {name}: {text}", flush=True)

    for number in range(ROUNDS):
        print(f"round {number + 1}")
        note("limits", measure(home, "limits", paths=paths))
        if old:
            note("old add-on", measure_old(old, third))
        note("by hand", measure(home, "by_hand", paths=third))
        note("float32", measure(home, "ours", paths=paths, network=SQUEEZENET))
        if fast["precision"] != "float32":
            arguments = {"network": SQUEEZENET, "precision": "fast"}
            note("fast", measure(home, "ours", paths=paths, **arguments))
        note(
            "known", measure(home, "ours", paths=paths, network=SQUEEZENET, again=True)
        )
    for network, n in (("vgg16", 24), ("inception_v3", 60)):
        note(network, measure(home, "made_up", paths=paths[:n], network=network))

    machine = _machine(runs.pop("limits"))
    print(
        f"\n{len(paths)} images, {n_cores()} cores; decoding alone"
        f" {machine['decoded']:.0f} images/s, matrix products"
        f" {machine['gflops']:.0f} GFLOP/s"
    )
    if fast["precision"] == "float32":
        print(f"no fast mode here: {fast['reason']}")
    medians = {
        name: statistics.median(found["speed"] for found in all_found)
        for name, all_found in runs.items()
    }
    print("| way | images/s | % of the limit | × old | × by hand |")
    print("|---|---:|---:|---:|---:|")
    for name, speed in medians.items():
        network = name if name in ("vgg16", "inception_v3") else SQUEEZENET
        share = ""
        if name in ("float32", "vgg16", "inception_v3"):
            gflop = measure(home, "operations", network=network)["gflop"]
            limit = limit_of(gflop, machine)
            share = f"{100 * speed / limit:.0f} % of {limit:.1f}"
        times = ["", ""]
        if network == SQUEEZENET:
            others = (medians.get("old add-on"), medians["by hand"])
            times = [f"{speed / other:.1f}" if other else "" for other in others]
        print(f"| {name} | {speed:,.1f} | {share} | {times[0]} | {times[1]} |")


def _machine(found: list[dict[str, float]]) -> dict[str, float]:
    return {
        "decoded": statistics.median(each["decoded"] for each in found),
        "gflops": max(each["gflops"] for each in found),
    }


def many(paths: list[str], home: str, n: int = 20_000, few: int = 1000) -> None:
    """Measure whether many images are as fast as few, and how much they take."""
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for number in range(n):
            source = Path(paths[number % len(paths)])
            copy = Path(folder, f"{number}{source.suffix}")
            # what follows the end of an image makes it another file, not another image
            copy.write_bytes(source.read_bytes() + f"{number}".encode())
            copies.append(str(copy))
        results: dict[int, list[dict[str, Any]]] = {}
        # that which prepares the network takes more memory
        measure(home, "ours", paths=copies[:1], network=SQUEEZENET)
        for count in (few, n, few):
            found = measure(home, "ours", paths=copies[:count], network=SQUEEZENET)
            results.setdefault(count, []).append(found)
            print(
                f"{count} images: {found['speed']:.1f} images/s, at most"
                f" {found['memory']:.0f} MiB, of which table {found['table']:.0f} MiB",
                flush=True,
            )
    speeds = {c: statistics.mean(f["speed"] for f in r) for c, r in results.items()}
    memory = {c: max(f["memory"] - f["table"] for f in r) for c, r in results.items()}
    print(
        f"{n} beside {few} images: {100 * speeds[n] / speeds[few] - 100:+.1f} % of"
        f" speed, {memory[n] - memory[few]:+.0f} MiB besides the table"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--old", help="Python interpreter that has the old add-on")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--many", action="store_true", help="20,000 images")
    arguments = parser.parse_args()
    paths = [str(p) for p in sorted(arguments.folder.rglob("*")) if p.is_file()]
    paths = [p for p in paths if p.lower().endswith((".jpg", ".jpeg", ".png"))]
    if not paths:
        sys.exit(f"There are no images in {arguments.folder}")
    with tempfile.TemporaryDirectory() as home:
        if arguments.many:
            many(paths, home)
        else:
            compare(paths[: arguments.images], arguments.old, home)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        print(json.dumps(WAYS[sys.argv[2]](**json.load(sys.stdin))))
    else:
        main()
