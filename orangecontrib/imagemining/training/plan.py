"""Everything that decides about a training, as data: two equal plans train alike.

Standard library only, so that widgets can show and change it without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["LEARNS", "STARTS", "Augmentation", "Plan", "Recipe"]

#: What the weights are at the beginning: the published ones, those of a network that is
#: given, or fresh ones.
STARTS = ("published", "given", "nothing")

#: What is trained: the last linear map, on vectors of the rest, which is left as it is;
#: the last stages too; or everything.
LEARNS = ("head", "last", "all")


@dataclass(frozen=True)
class Augmentation:
    """How images are changed anew each time that they are seen.

    Attributes
    ----------
    crop : how a part of the network's shape is taken. "none": the image is fitted whole
        as in prediction. "shift": it moves by up to `shift` pixels, with zeros around
        (CIFAR's way). "jitter": its shorter side becomes a random number in `sides`,
        then a random part (VGG, section 3.1). "area": a random part of a share of its
        area in `area` and a ratio of sides in 3/4–4/3, stretched (Inception).
    shift : pixels.
    sides : smallest and largest shorter side, in units of the network's side
        (VGG: 256/224 and 512/224).
    area : smallest and largest share.
    mirror : whether half of the images are mirrored left to right.
    turn : "none"; "flips": also upside down; "quarters": also by 90°, for images
        without an up, as under a microscope.
    rgb_shift : standard deviation of the shift along the colours' principal components
        (AlexNet's 0.1, as VGG), 0 for none.
    colour : strength of random changes of brightness, contrast and saturation, 0–1.
    erase : share of images of which a random rectangle is blanked, 0–1.
    """

    crop: Literal["none", "shift", "jitter", "area"] = "none"
    shift: int = 4
    sides: tuple[float, float] = (256 / 224, 512 / 224)
    area: tuple[float, float] = (0.35, 1.0)
    mirror: bool = True
    turn: Literal["none", "flips", "quarters"] = "none"
    rgb_shift: float = 0.0
    colour: float = 0.0
    erase: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """How weights follow the gradients. See `training.recipes` for the papers'.

    Attributes
    ----------
    name : of the recipe that it was made from.
    optimizer : how gradients become steps.
    learning_rate : at its highest, for batches of `batch` images; it is scaled to the
        batch that is used, linearly (by the root for "adamw").
    batch : the batch that `learning_rate` is for.
    momentum : of "sgd" and "rmsprop"; the first beta of "adamw".
    weight_decay : L2, or decoupled for "adamw".
    rms_decay, epsilon : of "rmsprop" (epsilon inside the root).
    schedule : "constant"; "linear": down to 0; "plateau": times `decay` when the
        validation stalls for `stall` epochs, `drops` times, then the end;
        "exponential": times `decay` every `every` epochs; "one-cycle": up over `warmup`
        of the run, then down along a cosine.
    decay, every, stall, drops, warmup : see there.
    clip : largest norm of all gradients together, None for any.
    label_smoothing : share of the truth that is spread over all classes.
    auxiliary : weight of auxiliary classifiers' losses.
    averaging : decay a step of the running averages of parameters with which is
        evaluated, None for none.
    dropout : share that is left out before the classifier; None: as the network has it.
    """

    name: str = "everyday"
    optimizer: Literal["sgd", "adamw", "rmsprop"] = "sgd"
    learning_rate: float = 0.01
    batch: int = 32
    momentum: float = 0.9
    weight_decay: float = 5e-4
    rms_decay: float = 0.9
    epsilon: float = 1.0
    schedule: Literal["constant", "linear", "plateau", "exponential", "one-cycle"] = (
        "one-cycle"
    )
    decay: float = 0.1
    every: float = 2.0
    stall: int = 5
    drops: int = 3
    warmup: float = 0.2
    clip: float | None = None
    label_smoothing: float = 0.0
    auxiliary: float = 0.3
    averaging: float | None = None
    dropout: float | None = None


@dataclass(frozen=True)
class Plan:
    """What is trained, how, and for how long.

    Attributes
    ----------
    network : name in the registry of networks; with start "given", of the one given.
    options : what the network's builder is given beside ``num_classes``.
    start : one of `STARTS`.
    learns : one of `LEARNS`.
    stages : with "last", how many stages are trained, counted from the end.
    recipe, augmentation : see there.
    size : (height, width) of what the network sees; None: as its weights ask for, or
        (224, 224).
    fit : one of `specs.FITS`, for evaluation and prediction.
    batch : images a step.
    accumulate : steps whose gradients are summed up before weights change.
    epochs : how often each image is seen, at most.
    minutes : how long it may take, at most; None: any. Schedules that span the run then
        follow the share of the time that has gone, where that is ahead.
    patience : epochs without a better validation after which it ends; 0: never.
    validation : share of the images that is kept for validation where none are given,
        of each class alike; 0: none.
    class_weights : whether rare classes count as much as frequent ones.
    precision : "float32", or "mixed": bfloat16 where the processor is faster with it;
        "auto" takes mixed where it is.
    device : "auto", "cpu", "cuda", "mps".
    seed : of all that is random.
    """

    network: str = "squeezenet1_1"
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str = "published"
    learns: str = "all"
    stages: int = 1
    recipe: Recipe = Recipe()
    augmentation: Augmentation = Augmentation()
    size: tuple[int, int] | None = None
    fit: str = "stretch"
    batch: int = 32
    accumulate: int = 1
    epochs: int = 10
    minutes: float | None = None
    patience: int = 0
    validation: float = 0.1
    class_weights: bool = False
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0
