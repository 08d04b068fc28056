"""A compression of a toy network, for tests of steps: all parts are real.

::

    context = small_context(CompressionPlan(steps=(Prune(share=0.5, epochs=1),)))
    working = Working(context.given)
    run(context.plan.steps[0], working, context)

What a step offers and notes is in ``context.trail`` and ``context.notes``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from orangecontrib.imagemining.compression.course import Course
from orangecontrib.imagemining.compression.judging import answers
from orangecontrib.imagemining.compression.plan import CompressionPlan, Step
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.plan import Augmentation, Plan, Recipe
from orangecontrib.imagemining.training.trainer import Trainer
from orangecontrib.imagemining.weights.image_network import ImageNetwork

CLASSES = ("dark", "light", "striped")

#: Quick, in float32, on the processor.
QUICK: dict[str, Any] = {
    "recipe": Recipe(name="fine-tuning", learning_rate=0.02, batch=8),
    "augmentation": Augmentation(mirror=False),
    "batch": 8,
    "precision": "float32",
    "device": "cpu",
}


def toy_images(n: int = 48, seed: int = 0, noise: int = 60) -> ImageSet:
    """Return images of 16 × 16 pixels of the three classes, in turn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    pixels = rng.integers(0, noise, (n, 16, 16, 3), dtype=np.uint8)
    pixels[labels == 1] += 150
    pixels[labels == 2, ::4] += 150
    return ImageSet.from_arrays(pixels, labels)


@lru_cache(maxsize=8)
def trained(architecture: str = "toy", options: tuple[Any, ...] = ()) -> ImageNetwork:
    """Return a network that tells all of the images apart; trained once.

    Parameters
    ----------
    architecture
        "toy" has 435 numbers; "resnet_cifar" batch normalisation; "squeezenet1_1" with
        its options 1×1 convolutions.
    options
        Of its builder: pairs of names and values.
    """
    plan = Plan(
        network=architecture,
        options=dict(options),
        start="nothing",
        recipe=Recipe(optimizer="adamw", learning_rate=0.02, batch=8, weight_decay=0.0),
        augmentation=Augmentation(mirror=False),
        size=(16, 16),
        batch=8,
        epochs=6,
        validation=0.25,
        precision="float32",
        device="cpu",
        seed=1,
    )
    return Trainer(plan, CLASSES, toy_images(), title="Stripes").fit().network


#: Networks for tests: architecture and options.
TOY = ("toy", ())
RESNET = ("resnet_cifar", (("n", 1), ("width", 4)))
SQUEEZENET = (
    "squeezenet1_1",
    (("base_e", 8), ("incr_e", 8), ("small_images", True)),
)


def quick_plan(*steps: Step, **changes: Any) -> CompressionPlan:
    """Return a plan of these steps that takes a moment."""
    return CompressionPlan(steps=steps, **{**QUICK, **changes})


def small_context(
    plan: CompressionPlan | None = None,
    *,
    network: ImageNetwork | None = None,
    with_images: bool = True,
    labelled: bool = True,
    **arguments: Any,
) -> Course:
    """Return the context of a compression that is about to begin.

    Parameters
    ----------
    plan
        Is made quick if it is not.
    network
        By default the trained toy.
    with_images
        Whether there are any: 36 to learn from, 12 to judge by.
    labelled
        Whether their labels are told.
    arguments
        Further ones of `Course`.
    """
    plan = replace(plan or CompressionPlan(), **QUICK)
    network = network or trained()
    images = toy_images(48 if with_images else 0)
    if not labelled:
        images = answers(Working(network), images, plan)
    course = Course(
        plan,
        network,
        images.subset(range(0, 36) if with_images else []),
        images.subset(range(36, 48) if with_images else []),
        labelled=labelled,
        **arguments,
    )
    course.begin_step(1, (plan.steps or (Step(),))[0])
    return course
