#!/usr/bin/env python3
"""How well do the embedders tell categories apart, and how fast are they?

Usage: .venv/bin/python benchmarks/embedders.py [--most N] [--network NAME] FOLDER…

Each folder has a sub-folder for each category. For every embedder, layer and number of
views it prints the classification accuracy (CA) of scikit-learn's logistic regression
in 10-fold stratified cross-validation, mean and standard deviation over three seeds,
and images/s. At most N images a category are taken (default 200), evenly spaced.
Embedders whose weights are not on this computer are left out.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.images import find_images
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS, is_here

SEEDS = (0, 1, 2)
#: Number of views, for the layers named; the others are looked at once.
_VIEWS = (1, 8)
_LAYERS = ("features", "stages", "logits")


def sample(folder: Path, most: int) -> tuple[list[str], NDArray[np.str_]]:
    """Return paths and categories, at most so many a category, two at least."""
    by_category: dict[str, list[str]] = defaultdict(list)
    for image in find_images(folder).images:
        by_category[image.category].append(str(folder / image.path))
    paths, categories = [], []
    for category, images in by_category.items():
        step = max(1, -(-len(images) // most))
        chosen = images[::step]
        if len(chosen) > 1:
            paths += chosen
            categories += [category] * len(chosen)
    return paths, np.array(categories)


def accuracies(x: NDArray[np.float32], y: NDArray[np.str_]) -> list[float]:
    """Return the classification accuracy for each seed of the folds."""
    model = LogisticRegression(max_iter=300)
    result = []
    for seed in SEEDS:
        folds = StratifiedKFold(10, shuffle=True, random_state=seed)
        result.append(float((cross_val_predict(model, x, y, cv=folds) == y).mean()))
    return result


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--network", choices=WEIGHTS, help="this one alone")
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    # few images in a class and few iterations: known, and the same for all
    warnings.simplefilter("ignore")
    # a few hundred rows are solved several times faster on one thread
    threadpool_limits(1, user_api="blas")
    print("| set | images | embedder | layer | views | CA | ± | images/s |")
    print("|---|---:|---|---|---:|---:|---:|---:|")
    for folder in arguments.folders:
        paths, categories = sample(folder, arguments.most)
        for network, weights in WEIGHTS.items():
            if not is_here(weights) or arguments.network not in (None, network):
                continue
            # warm up
            LocalEmbedder(EmbedderSpec(network, weights.layers[0].name))(paths[:1])
            for layer in weights.layers:
                for views in _VIEWS if layer.name in _LAYERS else (1,):
                    if views not in weights.views:
                        continue
                    spec = EmbedderSpec(network, layer.name, views)
                    start = time.perf_counter()
                    result = LocalEmbedder(spec, cache=VectorStore.in_memory())(paths)
                    speed = len(paths) / (time.perf_counter() - start)
                    good = np.array([reason is None for reason in result.reasons])
                    scores = accuracies(result.vectors[good], categories[good])
                    print(
                        f"| {folder.name} | {good.sum()} | {weights.title} |"
                        f" {layer.name} | {views} | {np.mean(scores):.3f} |"
                        f" {np.std(scores):.3f} | {speed:.0f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
