"""Everything that decides about a compression, as data.

A plan is a row of steps, each of a kind with its own numbers, and what is wanted of the
whole. Standard library only, so that widgets can show and change it without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orangecontrib.imagemining.exceptions import TrainingError
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
    "plan_from_json",
    "plan_to_json",
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


#: Kinds of steps by the names that plans are kept under.
STEPS: dict[str, type[Step]] = {
    "prune": Prune,
    "densify": Densify,
    "filters": PruneFilters,
    "low rank": LowRank,
    "share": Share,
    "low bits": LowBits,
    "distil": Distil,
    "fine-tune": FineTune,
    "int8": Int8,
    "half": Half,
}


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
    names = {kind: name for name, kind in STEPS.items()}
    content = asdict(plan)
    content["steps"] = [
        {"kind": names[type(step)], **asdict(step)} for step in plan.steps
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
            steps.append(STEPS[numbers.pop("kind")](**numbers))
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
