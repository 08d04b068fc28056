"""Small networks with made-up numbers, for tests of trained ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard

__all__ = ["compressed_network", "network_of"]


def network_of(
    architecture: str = "toy",
    classes: tuple[str, ...] = ("a", "b", "c"),
    size: tuple[int, int] = (16, 16),
    seed: int = 0,
    **changes: Any,
) -> ImageNetwork:
    """Return an untrained network whose logits differ from image to image.

    Parameters
    ----------
    architecture, classes, size
        As in its card.
    seed
        Of its numbers.
    changes
        Further fields of the card.
    """
    card = NetworkCard(
        title=changes.pop("title", "My cells"),
        architecture=architecture,
        classes=classes,
        preprocess=changes.pop(
            "preprocess",
            Preprocess(size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25), 1 / 255),
        ),
        **changes,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        module = create_network(
            architecture, num_classes=len(classes), **dict(card.options)
        )
        for name, tensor in module.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                tensor.normal_(std=0.3)
    # what torch has is not to change what is given away
    tensors = {name: t.clone().numpy() for name, t in module.state_dict().items()}
    return ImageNetwork(card, tensors)


def compressed_network(seed: int = 0) -> ImageNetwork:
    """Return a network whose weights share 4 values each; its biases are of 16 bits."""
    network = network_of(seed=seed)
    tensors, stored = dict(network.tensors), {}
    for name, tensor in tensors.items():
        if tensor.ndim > 1:
            values = np.quantile(tensor, [0.1, 0.4, 0.6, 0.9]).astype(np.float32)
            codes = np.searchsorted(values[1:], tensor).astype(np.uint8)
            stored[name] = Coded(values, codes)
            tensors[name] = stored[name].decoded
        elif name.endswith("bias"):
            stored[name] = tensor.astype(np.float16)
            tensors[name] = stored[name].astype(np.float32)
    return ImageNetwork(network.card, tensors, stored)
