"""Everything that decides about a compression, as data.

A plan is a row of steps, each of a kind with its own numbers, and what is wanted of the
whole. Standard library only, so that widgets can show and change it without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.plugins import load_plugins
from orangecontrib.imagemining.training.designs import Knob
from orangecontrib.imagemining.training.plan import Augmentation, Recipe

__all__ = [
    "STEPS",
    "CompressionPlan",
    "Densify",
    "Distil",
    "FineTune",
    "Half",
    "Int8",
    "LowBits",
    "LowRank",
    "Prune",
    "PruneFilters",
    "Share",
    "Step",
    "StepKind",
    "kind_of",
    "plan_from_json",
    "plan_to_json",
    "register_step",
    "step_kinds",
]


@dataclass(frozen=True)
class Step:
    """One step of a pipeline.

    Attributes
    ----------
    epochs : how often images are seen for fine-tuning; 0 for none. Steps in several
        rounds train so long after each round.
    """

    epochs: int = 0


@dataclass(frozen=True)
class Prune(Step):
    """Set the smallest weights to 0 and keep them there (Han et al. 2015).

    Attributes
    ----------
    share : of the weights that become 0, 0–1.
    by : "layer": the same share of each layer; "global": the smallest of all layers
        together; "sensitivity": of each layer as much as costs no more than
        `tolerance`, measured layer by layer; `share` is then the most.
    shares : of single layers, by module name, before anything else; the first and the
        last layer are pruned like others unless told here.
    rounds : in how many steps the share is reached.
    tolerance : for "sensitivity": accuracy (0–1) that a layer alone may cost.
    target_bytes : share of zeros is searched for so that the file has at most so many
        bytes, sharing and coding as planned behind it; None: `share` holds.
    """

    share: float = 0.67
    by: str = "sensitivity"
    shares: Mapping[str, float] = field(default_factory=dict)
    rounds: int = 3
    tolerance: float = 0.01
    target_bytes: int | None = None


@dataclass(frozen=True)
class Densify(Step):
    """Let pruned weights grow again from 0: the last D of dense–sparse–dense."""


@dataclass(frozen=True)
class PruneFilters(Step):
    """Remove whole filters: the network becomes smaller and faster, and stays dense.

    Attributes
    ----------
    share : of the filters of each layer that go, 0–1.
    by : "layer" or "sensitivity", as for `Prune`.
    rounds, tolerance : as there.
    """

    share: float = 0.3
    by: str = "layer"
    rounds: int = 1
    tolerance: float = 0.01


@dataclass(frozen=True)
class LowRank(Step):
    """Factorise fully connected layers and 1×1 convolutions by their singular values.

    Attributes
    ----------
    energy : share of the sum of squared singular values that is kept, 0–1.
    layers : "linear", "pointwise" or "both". Layers that would not become smaller stay.
    """

    energy: float = 0.95
    layers: str = "both"


@dataclass(frozen=True)
class Share(Step):
    """Have the weights of a layer share few values, which are then trained.

    Attributes
    ----------
    bits : of convolutions, 2–8: at most 2 ** bits values, 0 for pruned ones included.
    linear_bits : of fully connected layers; None: as convolutions.
    layer_bits : of single layers, by module name.
    start : where k-means begins: "linear", "density" or "random" (Han et al. 2016,
        section 3.2).
    thrift : 0: each weight gets the nearest value. Above: values that come often are
        preferred where others are hardly nearer, which the coder makes a smaller file
        of; a bit may cost so many hundred-millionths of the sum of a layer's squared
        weights. 3 costs hardly anything, 30 a lot; larger layers get coarser values.
    compensate : whether the error of each weight is made up for by those of the same
        filter that follow, as far as some images show how inputs go together; for them
        no labels are needed, and nothing is trained.
    """

    bits: int = 8
    linear_bits: int | None = None
    layer_bits: Mapping[str, int] = field(default_factory=dict)
    start: str = "linear"
    thrift: float = 0.0
    compensate: bool = False


@dataclass(frozen=True)
class LowBits(Step):
    """Train with weights of very few bits (Apprentice: Mishra and Marr 2017).

    Attributes
    ----------
    bits : 2 for ternary weights (−s, 0, s), or 4 (or 3–8).
    activations : bits of activations, 8, or 32 for floating point.
    scheme : "none": without a teacher; "A": teacher and student trained together; "B":
        a trained teacher, the student from fresh weights; "C": a trained teacher, the
        student from its full-precision weights, fine-tuned.
    alpha, beta, gamma : weights of the three losses, α H(y, teacher) + β H(y, student)
        + γ H(z_teacher, student).
    temperature : of the teacher's and student's soft targets in the third.
    keep : which layers stay in full precision: "ends" (first and last), "none".
    start : "scheme": as the scheme says, and from the weights that are there for
        "none"; "given" or "nothing": from those, or from fresh weights, whatever the
        scheme.
    learning_rate : of networks from fresh weights, for batches of 32 images; None:
        0.025 where batches are normalised, otherwise 0.01. Others are trained by the
        plan's recipe.
    """

    epochs: int = 5
    bits: int = 2
    activations: int = 32
    scheme: str = "C"
    alpha: float = 1.0
    beta: float = 0.5
    gamma: float = 0.5
    temperature: float = 1.0
    keep: str = "ends"
    start: str = "scheme"
    learning_rate: float | None = None


@dataclass(frozen=True)
class Distil(Step):
    """Train a smaller architecture to answer as the network does.

    Attributes
    ----------
    network : name of the architecture, in the registry of networks.
    options : what its builder is given beside ``num_classes``.
    start : "nothing" or "published".
    beta, gamma, temperature : as in `LowBits`; without labels, beta is 0.
    learning_rate : with start "nothing"; as in `LowBits`.
    """

    epochs: int = 10
    network: str = "squeezenet1_1"
    options: Mapping[str, Any] = field(default_factory=dict)
    start: str = "nothing"
    beta: float = 0.5
    gamma: float = 0.5
    temperature: float = 2.0
    learning_rate: float | None = None


@dataclass(frozen=True)
class FineTune(Step):
    """Train on as the network is: zeros stay zeros, shared values stay shared."""

    epochs: int = 1


@dataclass(frozen=True)
class Int8(Step):
    """Weights and activations of 8 bits, run by ONNX Runtime; the last step, if any.

    Attributes
    ----------
    epochs : of training with fake quantisation; 0: calibration alone.
    images : how many are looked at for the ranges of activations.
    method : "minmax", "percentile" or "entropy": how ranges are made of what was seen.
    """

    images: int = 256
    method: str = "minmax"


@dataclass(frozen=True)
class Half(Step):
    """Keep weights as 16-bit floating-point numbers."""


@dataclass(frozen=True)
class StepKind:
    """What the program has to know of a kind of step.

    Attributes
    ----------
    name : under which plans are kept, in JSON.
    step : its class, a frozen dataclass. One that inherits from another kind's class
        may stand in a plan wherever that one may.
    title : what people call it.
    run : what does it, ``run(step, working, context)`` (see `compression.context`); or
        "module:function", which is imported when it is needed, so that plans can be
        shown without torch.
    about : what it does, in a sentence or two, for people; our own kinds have theirs
        in the widget.
    knobs : its numbers, by the names of its fields: ranges are looked at before
        anything long begins, and the widget shows them. Our own kinds have more to look
        at, in `checks`.
    words : what to say of a step behind its title, such as "4 bits"; None: nothing.
    needs_images : whether it cannot be done without images, even without epochs.
    """

    name: str
    step: type[Step]
    title: str
    run: str | Callable[[Any, Any, Any], None]
    about: str = ""
    knobs: Mapping[str, Knob] = field(default_factory=dict)
    words: Callable[[Any], str] | None = None
    needs_images: bool = False


#: Kinds of steps by the names that plans are kept under.
STEPS: dict[str, type[Step]] = {}

_KINDS: dict[type[Step], StepKind] = {}


def register_step(kind: StepKind) -> StepKind:
    """Add a kind of step.

    Raises
    ------
    ValueError
        If there is one of that name or class already.
    """
    if kind.name in STEPS or kind.step in _KINDS:
        raise ValueError(f"there is a kind of step '{kind.name}' already")
    STEPS[kind.name] = kind.step
    _KINDS[kind.step] = kind
    return kind


def step_kinds() -> tuple[StepKind, ...]:
    """Return all kinds of steps, our own first."""
    return tuple(_KINDS.values())


def kind_of(step: Step | type[Step]) -> StepKind:
    """Return what is to be known of a step's kind.

    Raises
    ------
    TrainingError
        If it is no step, or of a kind that is not registered.
    """
    kind = _KINDS.get(step if isinstance(step, type) else type(step))
    if kind is None:
        raise TrainingError(f"{step!r} is no step of a compression")
    return kind


_ROOM = "orangecontrib.imagemining.compression"

for _kind in (
    StepKind("prune", Prune, "Prune weights", f"{_ROOM}.pruning:run"),
    StepKind("densify", Densify, "Let weights grow again", f"{_ROOM}.pruning:densify"),
    StepKind("filters", PruneFilters, "Prune filters", f"{_ROOM}.filters:run"),
    StepKind("low rank", LowRank, "Low rank", f"{_ROOM}.lowrank:run"),
    StepKind("share", Share, "Share values", f"{_ROOM}.sharing:run"),
    StepKind("low bits", LowBits, "Low precision", f"{_ROOM}.lowbits:run"),
    StepKind("distil", Distil, "Smaller architecture", f"{_ROOM}.distil:run"),
    StepKind("fine-tune", FineTune, "Fine-tune", f"{_ROOM}.plainsteps:fine_tune"),
    StepKind("int8", Int8, "Int8", f"{_ROOM}.int8:run"),
    StepKind("half", Half, "Half precision", f"{_ROOM}.plainsteps:half"),
):
    register_step(_kind)


@dataclass(frozen=True)
class CompressionPlan:
    """What is done to a network, and what is wanted.

    Attributes
    ----------
    steps : in their order.
    tolerance : accuracy (0–1) that may be lost on the validation images, against the
        network as it was: the smallest network within it is the result, or one that is
        hardly larger and more accurate (`choosing.Goal` tells what holds for both
        wishes, and for Int8). None: what the last step gives.
    target_bytes : size of the file that is wanted at most; None: any. Of those within
        it the most accurate is the result; where there is none, that is said with the
        nearest.
    minutes : how long it may take; None: any. Steps share it by their epochs.
    distil : whether fine-tuning follows the answers of the network as it was, beside
        the labels; without labels it does so alone.
    gamma, temperature : weight of these answers against 1 − γ of the labels, and their
        softness (Hinton et al. 2015).
    recipe : of fine-tuning; its rate is meant for it, lower than training's.
    augmentation, batch, validation, precision, device, seed : as in `training.plan`.
    """

    steps: tuple[Step, ...] = ()
    tolerance: float | None = 0.005
    target_bytes: int | None = None
    minutes: float | None = None
    distil: bool = True
    gamma: float = 0.5
    temperature: float = 2.0
    recipe: Recipe = field(
        default_factory=lambda: Recipe(name="fine-tuning", learning_rate=0.003)
    )
    augmentation: Augmentation = Augmentation()
    batch: int = 32
    validation: float = 0.2
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0


def plan_to_json(plan: CompressionPlan, short: bool = False) -> dict[str, Any]:
    """Return a plan as what `json.dumps` takes.

    Parameters
    ----------
    plan
        The plan.
    short
        Whether what is as by default is left out.
    """
    content = asdict(plan)
    content["steps"] = [
        {"kind": kind_of(step).name, **asdict(step)} for step in plan.steps
    ]
    for name in ("sides", "area"):
        content["augmentation"][name] = list(content["augmentation"][name])
    if short:
        usual = plan_to_json(CompressionPlan())
        content = {k: v for k, v in content.items() if v != usual[k]}
    return content


def plan_from_json(content: Mapping[str, Any]) -> CompressionPlan:
    """Return the plan again; what is missing has its default.

    Raises
    ------
    TrainingError
        If it is none, or has what this version does not know.
    """
    try:
        given = dict(content)
        steps = []
        for entry in given.pop("steps", ()):
            numbers = dict(entry)
            name = numbers.pop("kind")
            if name not in STEPS:
                raise ValueError(f"steps of the kind '{name}' are not known here")
            steps.append(STEPS[name](**numbers))
        if "recipe" in given:
            given["recipe"] = Recipe(**given["recipe"])
        if "augmentation" in given:
            augmentation = dict(given["augmentation"])
            for name in {"sides", "area"} & augmentation.keys():
                augmentation[name] = tuple(augmentation[name])
            given["augmentation"] = Augmentation(**augmentation)
        return CompressionPlan(steps=tuple(steps), **given)
    except (KeyError, TypeError, ValueError, AttributeError) as ex:
        raise TrainingError(f"This is no plan of a compression ({ex})") from ex


load_plugins("compression")  # last: they need what is above
