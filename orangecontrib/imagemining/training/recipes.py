"""The papers' recipes, each number with its source, and an everyday one.

Standard library only, so that widgets can show them without torch.
"""

from __future__ import annotations

import math
from dataclasses import replace

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.training.plan import Augmentation, Plan, Recipe

__all__ = [
    "AUGMENTATIONS",
    "RECIPES",
    "recipe_advice",
    "scaled_rate",
    "with_recipe",
]

#: Recipes by name; the first is the default.
RECIPES: dict[str, Recipe] = {
    # by benchmarks/train_everyday.py, SqueezeNet fine-tuned on three sets: within the
    # spread as good as AdamW (3e-4) and as lower rates, and not upset on any set
    "everyday": Recipe(
        name="everyday",
        optimizer="sgd",
        learning_rate=0.01,
        batch=32,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="one-cycle",
        warmup=0.2,
        clip=1.0,
    ),
    # Iandola et al. 2016, section 3.3.1: 0.04, falling linearly; the rest is in the
    # solver settings for Caffe that the section refers to (batches of 32, 16 of which
    # make a step; Caffe decays biases as well)
    "squeezenet": Recipe(
        name="squeezenet",
        optimizer="sgd",
        learning_rate=0.04,
        batch=512,
        momentum=0.9,
        weight_decay=2e-4,
        decays="all",
        schedule="linear",
        clip=None,
        dropout=0.5,
    ),
    # Simonyan and Zisserman 2015, section 3.1
    "vgg": Recipe(
        name="vgg",
        optimizer="sgd",
        learning_rate=0.01,
        batch=256,
        momentum=0.9,
        weight_decay=5e-4,
        decays="all",
        schedule="plateau",
        decay=0.1,
        stall=5,
        drops=3,
        clip=None,
        dropout=0.5,
    ),
    # Szegedy et al. 2015, sections 4, 7 and 8; 2016, section 4. The momentum and the
    # decay of the averages are in the script that they published with their software
    "inception": Recipe(
        name="inception",
        optimizer="rmsprop",
        learning_rate=0.045,
        batch=32,
        momentum=0.9,
        weight_decay=0.0,
        rms_decay=0.9,
        epsilon=1.0,
        schedule="exponential",
        decay=0.94,
        every=2.0,
        clip=2.0,
        label_smoothing=0.1,
        auxiliary=0.3,
        averaging=0.9999,
        dropout=0.2,
    ),
}

#: What goes with them.
AUGMENTATIONS: dict[str, Augmentation] = {
    "everyday": Augmentation(crop="area", area=(0.35, 1.0), mirror=True, colour=0.2),
    # of AlexNet, as Caffe does it by itself: a part of 227² out of 256², mirrored
    "squeezenet": Augmentation(crop="jitter", sides=(256 / 227, 256 / 227)),
    # section 3.1
    "vgg": Augmentation(crop="jitter", sides=(256 / 224, 512 / 224), rgb_shift=0.1),
    # of their earlier network (Szegedy et al. 2014, section 6): 8 % to 100 % of the
    # area, ratios of sides between 3/4 and 4/3, colours changed
    "inception": Augmentation(crop="area", area=(0.08, 1.0), colour=0.4),
}

_ADVICE = {
    "everyday": (
        "For most uses, and for beginning with published weights: gradient descent"
        " with momentum; the learning rate rises for the first fifth of the run and"
        " falls along a cosine to the end (one cycle), be that counted in epochs or in"
        " minutes. Gradients are clipped at 1.0: without that, fine-tuned SqueezeNet"
        " fell to guessing on one of three sets at a third of this rate."
    ),
    "squeezenet": (
        "As SqueezeNet was trained from nothing (Iandola et al. 2016, section 3.3.1):"
        " gradient descent, learning rate 0.04, falling linearly to 0, dropout 0.5."
        " Momentum 0.9, weight decay 2e-4 and batches of 512 (32 images, 16 times) are"
        " from the solver settings to which the section refers."
    ),
    "vgg": (
        "As VGG was trained from nothing (Simonyan and Zisserman 2015, section 3.1):"
        " gradient descent in batches of 256, momentum 0.9, weight decay 5e-4, dropout"
        " 0.5 after the first two fully connected layers, learning rate 0.01 divided by"
        " 10 when the validation stalls, three times, then it ends (how long a stall"
        " is, the paper does not say: here 5 epochs). Images: shorter side between 256"
        " and 512 for a network of 224, a random part, mirrored, colours shifted. The"
        " paper began deeper networks with what fits of a trained shallower one, which"
        " plans of scripts can say, too."
    ),
    "inception": (
        "As Inception-v3, -v4 and Inception-ResNet were trained from nothing (Szegedy"
        " et al. 2015, sections 4, 7 and 8; 2016, sections 3.3 and 4): RMSProp with"
        " decay 0.9 and ε 1.0 inside the root, learning rate 0.045, times 0.94 every"
        " two epochs, gradients clipped at 2.0, label smoothing 0.1, an auxiliary"
        " classifier with batch normalisation, evaluation with running averages of the"
        " parameters. The paper of 2015 gives batches of 32 images for each of 50"
        " computers and does not say whether these stepped together; here the rate is"
        " taken to be for 32 images. Momentum 0.9, the averages' decay 0.9999 and the"
        " weight 0.3 of the auxiliary loss are not in the papers, but in their authors'"
        " software and in Szegedy et al. 2014. Inception-ResNet: its residuals are"
        " scaled by 0.1–0.3 (2016, section 3.3), which is an option of the network."
    ),
}


def recipe_advice(name: str) -> str:
    """Return what a recipe is and where its numbers are from, for people.

    Raises
    ------
    UnknownNameError
        If there is no such recipe.
    """
    _check(name)
    return _ADVICE[name]


def with_recipe(plan: Plan, name: str) -> Plan:
    """Return a plan with the recipe and the augmentation of this name.

    Raises
    ------
    UnknownNameError
        If there is no such recipe.

    Examples
    --------
    >>> from orangecontrib.imagemining.training.plan import Plan
    >>> from orangecontrib.imagemining.training.recipes import with_recipe
    >>> plan = with_recipe(Plan(epochs=3, size=(96, 96)), "everyday")
    >>> plan.recipe.optimizer, plan.recipe.learning_rate, plan.epochs
    ('sgd', 0.01, 3)
    """
    _check(name)
    return replace(plan, recipe=RECIPES[name], augmentation=AUGMENTATIONS[name])


def scaled_rate(recipe: Recipe, batch: int) -> tuple[float, str]:
    """Return the highest learning rate for a batch, and a sentence that says so.

    In proportion to the batch: as many images then move the weights as far. For
    "adamw", whose steps do not grow with the gradients, to its root.

    Parameters
    ----------
    recipe
        Its rate is for batches of `recipe.batch`.
    batch
        Images whose gradients make a step: the plan's `batch` times `accumulate`.
    """
    ratio = batch / recipe.batch
    by_root = recipe.optimizer == "adamw"
    rate = recipe.learning_rate * (math.sqrt(ratio) if by_root else ratio)
    if batch == recipe.batch:
        return rate, f"Learning rate {rate:.3g}, for batches of {batch} images"
    how = "the root of the ratio" if by_root else "in proportion"
    return rate, (
        f"Learning rate {rate:.3g}: {recipe.learning_rate:.3g} is for batches of"
        f" {recipe.batch} images and is scaled to {batch}, {how}"
    )


def _check(name: str) -> None:
    if name not in RECIPES:
        raise UnknownNameError(
            f"There is no recipe '{name}', only {', '.join(RECIPES)}"
        )
