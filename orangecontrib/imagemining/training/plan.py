"""Everything that decides about a training, as data: two equal plans train alike.

Standard library only, so that widgets can show and change it without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar

from orangecontrib.imagemining.exceptions import TrainingError, UnknownNameError
from orangecontrib.imagemining.specs import FITS

__all__ = [
    "CROPS",
    "DECAYS",
    "DEVICES",
    "LEARNS",
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "STARTS",
    "TURNS",
    "Augmentation",
    "Plan",
    "Recipe",
    "check_plan",
    "plan_from_json",
    "plan_to_json",
]

#: What the weights are at the beginning: the published ones, those of a network that is
#: given, or fresh ones.
STARTS = ("published", "given", "nothing")

#: What is trained: the last linear map, on vectors of the rest, which is left as it is;
#: the last stages too; or everything.
LEARNS = ("head", "last", "all")

#: What can be chosen in the fields of these names; told there.
CROPS = ("none", "shift", "jitter", "area")
TURNS = ("none", "flips", "quarters")
OPTIMIZERS = ("sgd", "adamw", "rmsprop")
SCHEDULES = ("constant", "linear", "plateau", "exponential", "one-cycle")
DECAYS = ("all", "weights")
PRECISIONS = ("auto", "float32", "mixed")
DEVICES = ("auto", "cpu", "cuda", "mps")


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
    decays : what it applies to: "weights", those of convolutions and linear maps; or
        "all", biases and normalisations too, as in Caffe.
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
        evaluated, None for none. After t steps it is (1 + t) / (10 + t) at most, so
        that the beginning is soon forgotten.
    dropout : share that is left out wherever the network leaves some out; None: as the
        network has it.
    """

    name: str = "everyday"
    optimizer: Literal["sgd", "adamw", "rmsprop"] = "sgd"
    learning_rate: float = 0.01
    batch: int = 32
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decays: Literal["all", "weights"] = "weights"
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
    clip: float | None = 1.0
    label_smoothing: float = 0.0
    auxiliary: float = 0.3
    averaging: float | None = None
    dropout: float | None = None


@dataclass(frozen=True)
class Plan:
    """What is trained, how, and for how long.

    Attributes
    ----------
    network : name in the registry of networks or of published weights. With start
        "given", that of a trained network or "" for the one given; the name of another
        architecture has that one begin with what fits of the given one (VGG, section
        3.1: "deeper nets from a shallower one").
    options : what the network's builder is given beside ``num_classes``.
    start : one of `STARTS`.
    learns : one of `LEARNS`.
    stages : with "last", how many stages are trained, counted from the end. What is
        not trained is as in prediction: nothing is dropped out there, and batch
        normalisation keeps its means.
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
    precision : "float32"; "mixed": bfloat16 for what it is exact enough for; "auto":
        mixed where the processor computes in bfloat16 by itself.
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


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as what `json.dumps` takes; cards of networks keep it so."""
    content = asdict(plan)
    content["options"] = dict(plan.options)
    content["size"] = None if plan.size is None else list(plan.size)
    for name in ("sides", "area"):
        content["augmentation"][name] = list(content["augmentation"][name])
    return content


def plan_from_json(content: Mapping[str, Any]) -> Plan:
    """Make a plan of what `plan_to_json` returned; what is missing has its default.

    Raises
    ------
    UnknownNameError
        If there are fields that plans do not have, or names that nobody knows.
    TrainingError
        If a value is impossible.
    """
    values = _known(content, Plan, "plan")
    for name, kind in (("recipe", Recipe), ("augmentation", Augmentation)):
        if name in values:
            inner = _known(values[name], kind, name)
            for pair in ("sides", "area"):
                if isinstance(inner.get(pair), list):
                    inner[pair] = tuple(inner[pair])
            values[name] = kind(**inner)
    if isinstance(values.get("size"), list):
        values["size"] = tuple(values["size"])
    plan = Plan(**values)
    check_plan(plan)
    return plan


def check_plan(plan: Plan) -> None:
    """Look whether a plan makes sense, before anything long begins.

    Whether there is such a network is not looked at.

    Raises
    ------
    UnknownNameError
        If a name is none of those that can be chosen.
    TrainingError
        If a number is of the wrong kind or outside its range.
    """
    recipe, augmentation = plan.recipe, plan.augmentation
    _one_of("start", plan.start, STARTS)
    _one_of("learns", plan.learns, LEARNS)
    _one_of("fit", plan.fit, FITS)
    _one_of("precision", plan.precision, PRECISIONS)
    _one_of("device", plan.device, DEVICES)
    _one_of("crop", augmentation.crop, CROPS)
    _one_of("turn", augmentation.turn, TURNS)
    _one_of("optimizer", recipe.optimizer, OPTIMIZERS)
    _one_of("schedule", recipe.schedule, SCHEDULES)
    _one_of("decays", recipe.decays, DECAYS)
    _of_kind("network", plan.network, str, "a name")
    _of_kind("options", plan.options, Mapping, "values by name")
    _of_kind("class_weights", plan.class_weights, bool, "true or false")
    _of_kind("mirror", augmentation.mirror, bool, "true or false")
    _of_kind("name", recipe.name, str, "a name")
    for owner, names in _WHOLE.items():
        for name, smallest in names.items():
            _whole(name, _value(plan, owner, name), smallest)
    for owner, ranges in _RANGES.items():
        for name, (least, most, may_be_none) in ranges.items():
            value = _value(plan, owner, name)
            if not (value is None and may_be_none):
                _within(name, value, least, most)
    if plan.size is not None:
        _pair("size", plan.size)
        for pixels in plan.size:
            _whole("size", pixels, 1)
    _pair("sides", augmentation.sides)
    _pair("area", augmentation.area)
    for side in augmentation.sides:
        _within("sides", side, 1, 16)
    for share in augmentation.area:
        _within("area", share, _TINY, 1)
    if augmentation.turn == "quarters" and plan.size and len(set(plan.size)) > 1:
        raise TrainingError(
            f"Images of {plan.size[1]} × {plan.size[0]} pixels cannot be turned by 90°;"
            " choose a square size or another turn"
        )


_Kind = TypeVar("_Kind")
_TINY = 1e-12  # stands for "more than nothing"

#: Whole numbers, and the least that each may be.
_WHOLE: dict[str, dict[str, int]] = {
    "": {
        "stages": 1,
        "batch": 1,
        "accumulate": 1,
        "epochs": 1,
        "patience": 0,
        "seed": 0,
    },
    "recipe": {"batch": 1, "stall": 1, "drops": 0},
    "augmentation": {"shift": 0},
}

#: Other numbers: the least, the most, and whether there may be none.
_RANGES: dict[str, dict[str, tuple[float, float, bool]]] = {
    "": {"minutes": (_TINY, 1e6, True), "validation": (0, 0.9, False)},
    "recipe": {
        "learning_rate": (_TINY, 1e3, False),
        "momentum": (0, 0.9999, False),
        "weight_decay": (0, 1, False),
        "rms_decay": (0, 0.9999, False),
        "epsilon": (_TINY, 10, False),
        "decay": (_TINY, 1, False),
        "every": (_TINY, 1e6, False),
        "warmup": (0, 1, False),
        "clip": (_TINY, 1e6, True),
        "label_smoothing": (0, 0.99, False),
        "auxiliary": (0, 10, False),
        "averaging": (0, 0.999999, True),
        "dropout": (0, 0.99, True),
    },
    "augmentation": {
        "rgb_shift": (0, 10, False),
        "colour": (0, 1, False),
        "erase": (0, 1, False),
    },
}


def _value(plan: Plan, owner: str, name: str) -> Any:
    return getattr(getattr(plan, owner) if owner else plan, name)


def _known(content: Any, kind: type[_Kind], what: str) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise TrainingError(f"A {what} is to be fields by name, not {content!r}")
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for name in content:
        if name not in names:
            raise UnknownNameError(
                f"A {what} has no field '{name}', only {', '.join(names)}"
            )
    return dict(content)


def _one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UnknownNameError(
            f"'{name}' is to be one of {', '.join(allowed)}, not {value!r}"
        )


def _of_kind(name: str, value: object, kind: type, words: str) -> None:
    if not isinstance(value, kind):
        raise TrainingError(f"'{name}' is to be {words}, not {value!r}")


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise TrainingError(
            f"'{name}' is to be a whole number from {least}, not {value!r}"
        )


def _within(name: str, value: object, least: float, most: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # type: ignore[operator]
        begin = "above 0" if least == _TINY else f"from {least:g}"
        raise TrainingError(
            f"'{name}' is to be a number {begin} to {most:g}, not {value!r}"
        )


def _pair(name: str, value: object) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise TrainingError(f"'{name}' is to be two numbers, not {value!r}")
    if name != "size" and value[0] > value[1]:
        raise TrainingError(
            f"'{name}' is to be the smaller number and the larger one, not {value!r}"
        )
