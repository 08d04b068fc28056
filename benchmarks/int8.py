#!/usr/bin/env python3
"""How much faster is int8 in ONNX Runtime, and what does it cost?

Usage: .venv/bin/python benchmarks/int8.py FOLDER… [--networks NAME…] [--most N]
           [--calibration N] [--rounds N] [--threads N] [--methods NAME…] [--out FILE]

Each folder has a sub-folder for each category. Of every network an int8 file is made,
by calibration with images of all folders. Then are measured, in one process, in turns
and on as many threads each:

* images a second: its float32 file and its int8 file in ONNX Runtime, and the engine
  that Image Embedding chooses; medians over the rounds, by the wall's clock and by the
  processor's (which other programs disturb less);
* the cosine of features, int8 against float32: mean and lowest, and the share of images
  whose likeliest class is the same;
* the accuracy of scikit-learn's logistic regression on both, in 5-fold stratified
  cross-validation, means over three seeds, for each folder.

Networks without published weights here have random ones: their speeds mean something,
their vectors nothing, so that only speed is told.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from orangecontrib.imagemining.compression.int8 import integer_file, plain
from orangecontrib.imagemining.compression.int8_folding import folded
from orangecontrib.imagemining.embedders.catalog import engine_and_choice
from orangecontrib.imagemining.embedders.trained import lend_network, published_network
from orangecontrib.imagemining.images import find_images
from orangecontrib.imagemining.networks.portable import (
    PORTABLE_OUTPUTS,
    Portable,
    onnx_content,
)
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.data import read_images
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.starting import build_network, rebuilt
from orangecontrib.imagemining.weights import WEIGHTS, is_here
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.weights.onnx_network import ONNX_INPUT
from orangecontrib.imagemining.weights.quiet import onnxruntime

RESULT = Path(__file__).parent / "results" / "int8.json"
SEEDS = (0, 1, 2)
SIZES = {"inception_v3": 299}
BATCH = 4

Array = NDArray[Any]


def sample(folder: Path, most: int) -> tuple[list[str], list[str]]:
    """Return paths and categories, about as many of each category, `most` in all."""
    by_category: dict[str, list[str]] = defaultdict(list)
    for image in find_images(folder).images:
        by_category[image.category].append(str(folder / image.path))
    by_category = {k: v for k, v in by_category.items() if len(v) >= 5}
    share = max(most // max(len(by_category), 1), 5)
    paths, categories = [], []
    for category, images in by_category.items():
        chosen = images[:: max(1, -(-len(images) // share))]
        paths += chosen
        categories += [category] * len(chosen)
    return paths, categories


def network_for(name: str) -> tuple[ImageNetwork, bool]:
    """Return a network, and whether its weights are published ones."""
    if name in WEIGHTS and is_here(WEIGHTS[name]):
        return published_network(name), True
    side = SIZES.get(name, 224)
    preprocess = Preprocess((side, side), (124, 117, 104), (58, 57, 57))
    classes = tuple(map(str, range(1000)))
    card = NetworkCard(f"random {name}", name, classes, preprocess)
    built = build_network(name, len(classes), {})
    tensors = {key: value.numpy() for key, value in built.state_dict().items()}
    return ImageNetwork(card, tensors), False


def session_of(content: bytes, threads: int) -> Any:
    """Return what runs an ONNX file."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return runtime.InferenceSession(content, options, ["CPUExecutionProvider"])


def speeds(runs: dict[str, Any], n_images: int, rounds: int) -> dict[str, Any]:
    """Return images a second of each, by both clocks, having run them in turns."""
    wall, cpu = defaultdict(list), defaultdict(list)
    for number in range(rounds + 1):
        for name, run in runs.items():
            begun = time.perf_counter(), time.process_time()
            run()
            if number:  # the first is for warming up
                wall[name].append(time.perf_counter() - begun[0])
                cpu[name].append(time.process_time() - begun[1])
    return {
        name: {
            "images_per_second": n_images / float(np.median(wall[name])),
            "images_per_processor_second": n_images / float(np.median(cpu[name])),
        }
        for name in runs
    }


def accuracy(vectors: Array, categories: list[str]) -> float:
    """Return the share that logistic regression reads right."""
    x, y = vectors / np.abs(vectors).mean(), np.array(categories)
    scores = []
    for seed in SEEDS:
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        model = LogisticRegression(max_iter=300)
        scores.append(float((cross_val_predict(model, x, y, cv=folds) == y).mean()))
    return float(np.mean(scores))


def outputs(session: Any, images: Array) -> dict[str, Array]:
    """Return what a file gives for images, by output."""
    found = defaultdict(list)
    for start in range(0, len(images), BATCH):
        values = session.run(None, {ONNX_INPUT: images[start : start + BATCH]})
        for name, value in zip(PORTABLE_OUTPUTS, values, strict=True):
            found[name].append(value)
    return {name: np.concatenate(values) for name, values in found.items()}


def compared(exact: dict[str, Array], found: dict[str, Array]) -> dict[str, float]:
    """Return how near int8 is to float32."""
    a, b = exact["features"].astype(float), found["features"].astype(float)
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    same = exact["logits"].argmax(1) == found["logits"].argmax(1)
    return {
        "cosine_mean": float(cosines.mean()),
        "cosine_lowest": float(cosines.min()),
        "same_class": float(same.mean()),
    }


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return all that is measured of a network."""
    network, published = network_for(name)
    card = network.card
    sets = {folder.name: sample(folder, arguments.most) for folder in arguments.folders}
    paths = [path for each, _ in sets.values() for path in each]
    images, reasons = read_images(
        paths,
        [0] * len(paths),
        Plan(fit="stretch", size=card.preprocess.size),
        card.preprocess,
    )
    assert not any(reasons), next(filter(None, reasons))
    rows = np.linspace(0, len(images) - 1, min(arguments.calibration, len(images)))
    looked = images.prepared(rows.astype(int))
    pixels = images.prepared(range(len(images)))
    example = plain(pixels[:BATCH], card.preprocess)
    exact_content = onnx_content(
        Portable(folded(rebuilt(network), card.preprocess.size), card.preprocess),
        torch.from_numpy(example),
        ONNX_INPUT,
        PORTABLE_OUTPUTS,
    )
    exact = session_of(exact_content, arguments.threads)
    result: dict[str, Any] = {
        "weights": "published" if published else "random",
        "size": list(card.preprocess.size),
        "bytes_float32": len(exact_content),
    }
    del exact_content
    plain_pixels = plain(pixels, card.preprocess)
    right = outputs(exact, plain_pixels) if published else {}
    for method in arguments.methods:
        _, file = integer_file(network, looked, method)
        session = session_of(file.content, arguments.threads)
        if published:
            found = outputs(session, plain_pixels)
            how = result.setdefault(method, compared(right, found))
            start = 0
            for folder, (chosen, categories) in sets.items():
                part = slice(start, start + len(chosen))
                start += len(chosen)
                how[folder] = {
                    "images": len(chosen),
                    "float32": accuracy(right["features"][part], categories),
                    "int8": accuracy(found["features"][part], categories),
                }
            print(name, method, json.dumps(how), flush=True)
        result["bytes_int8"] = len(file.content)
    engine, choice = engine_and_choice(name if published else lend_network(network))
    some = np.ascontiguousarray(pixels[:BATCH])
    result["engine"] = f"{choice.name}, {choice.precision}"
    result["speed"] = speeds(
        {
            "float32": lambda: exact.run(["features"], {ONNX_INPUT: example}),
            "int8": lambda: session.run(["features"], {ONNX_INPUT: example}),
            "engine": lambda: engine.run(some, ["features"]),
        },
        BATCH,
        arguments.rounds,
    )
    for clock in ("images_per_second", "images_per_processor_second"):
        rates = {how: each[clock] for how, each in result["speed"].items()}
        result[f"int8_by_float32_{clock}"] = rates["int8"] / rates["float32"]
    return result


def main() -> None:
    """Print, and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["squeezenet1_1", "resnet50", "inception_v3", "vgg16"],
    )
    parser.add_argument("--most", type=int, default=400, help="images of a folder")
    parser.add_argument("--calibration", type=int, default=128, help="images")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=["minmax"])
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    # few iterations: known, and the same for all
    warnings.simplefilter("ignore")
    threadpool_limits(1, user_api="blas")
    torch.set_num_threads(arguments.threads)
    results: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "onnxruntime": onnxruntime().__version__,
        "torch": torch.__version__,
        "threads": arguments.threads,
        "calibration": arguments.calibration,
        "networks": {},
    }
    for name in arguments.networks:
        results["networks"][name] = measure(name, arguments)
        print(name, json.dumps(results["networks"][name], indent=2), flush=True)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
