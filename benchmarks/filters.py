"""Are networks that lost filters really faster?

Each network runs in turn with and without the share of its filters, image by image, on
one core. Numbers are fresh: how fast it is does not depend on them. Run as::

    OMP_NUM_THREADS=1 python benchmarks/filters.py

It prints a row a network and share: numbers and multiply-adds that are left, and how
many times faster an image goes through (the median of pairs).
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from torch import nn

from orangecontrib.imagemining.compression.filters import (
    filter_norms,
    filters_left,
    prunable,
    without_filters,
)
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard

#: Architecture, options, side of the images.
NETWORKS: list[tuple[str, dict[str, Any], int]] = [
    ("squeezenet1_1", {}, 224),
    ("vgg11", {"width": 0.25}, 224),
    ("vgg11", {"width": 0.25, "small_images": True}, 32),
    ("resnet20_cifar", {}, 32),
]
SHARES = (0.3, 0.5)


def working_of(architecture: str, options: dict[str, Any], side: int) -> Working:
    """Return a network with fresh numbers."""
    preprocess = Preprocess((side, side), (0.5,) * 3, (0.2,) * 3, 1 / 255)
    classes = tuple(map(str, range(10)))
    module = create_network(architecture, num_classes=len(classes), **options)
    tensors = {name: t.numpy() for name, t in module.state_dict().items()}
    card = NetworkCard(architecture, architecture, classes, preprocess, options)
    return Working(ImageNetwork(card, tensors))


def prune(working: Working, share: float) -> None:
    """Remove the same share of each layer's filters, the weakest."""
    removed = {}
    for layer, n in prunable(working).items():
        order = filter_norms(working, layer).argsort(kind="stable")
        removed[layer] = order[: n - filters_left(n, share)].tolist()
    without_filters(working, removed)


def multiply_adds(working: Working, x: torch.Tensor) -> int:
    """Return how many multiplications there are for an image."""
    total = 0

    def count(module: Any, inputs: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += output[0].numel() * module.weight[0].numel()

    handles = [
        module.register_forward_hook(count)
        for module in working.network.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.inference_mode():
        working.network(x)
    for handle in handles:
        handle.remove()
    return total


def seconds(network: nn.Module, x: torch.Tensor, n: int) -> float:
    """Return how long the processor works at an image, one out of n in a row.

    Of this process alone, so that others on the same machine count little.
    """
    start = time.process_time()
    for _ in range(n):
        network(x)
    return (time.process_time() - start) / n


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    for architecture, options, side in NETWORKS:
        full = working_of(architecture, options, side)
        x = torch.randn(1, 3, side, side).contiguous(memory_format=torch.channels_last)
        before = full.image_network().n_parameters, multiply_adds(full, x)
        n = max(1, round(2e8 / before[1]))
        for share in SHARES:
            small = full.copy()
            prune(small, share)
            after = small.image_network().n_parameters, multiply_adds(small, x)
            with torch.inference_mode():
                seconds(full.network, x, n), seconds(small.network, x, n)
                times = [
                    (seconds(full.network, x, n), seconds(small.network, x, n))
                    for _ in range(pairs)
                ]
            ratio = statistics.median(one / other for one, other in times)
            best = min(one for one, _ in times), min(other for _, other in times)
            print(
                f"{architecture} {options or ''} {side}², {share:.0%} of the filters"
                f" gone: numbers {after[0] / before[0]:.0%}, multiply-adds"
                f" {after[1] / before[1]:.0%}, {ratio:.2f} times faster"
                f" ({1000 * best[0]:.2f} → {1000 * best[1]:.2f} ms at best)"
            )


if __name__ == "__main__":
    main()
