"""Small networks with made-up numbers, for tests of trained ones."""

from __future__ import annotations

from typing import Any

import torch

from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard

__all__ = ["network_of"]


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
