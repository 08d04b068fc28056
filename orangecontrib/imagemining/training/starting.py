"""What a training begins with: a network, its weights, and which of them may change."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.exceptions import (
    ImageError,
    TrainingError,
    UnknownNameError,
    WeightsError,
)
from orangecontrib.imagemining.networks import Network, create_network, without_numbers
from orangecontrib.imagemining.networks.vgg import VGG
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.inputs import (
    architecture_of,
    options_of,
    preprocess_of,
)
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights import WEIGHTS, load_weights
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = [
    "Parts",
    "Started",
    "build_network",
    "parts_of",
    "rebuilt",
    "set_learning",
    "start_network",
    "training_mode",
]

_SEEDING = threading.Lock()


@dataclass
class Started:
    """A network that is ready to be trained.

    Attributes
    ----------
    network : on the processor.
    origin : which weights it began from, for its card; "" for none.
    license : of these weights.
    notes : what is to be told of the start, in sentences.
    """

    network: Network
    origin: str = ""
    license: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Parts:
    """Names of a network's modules, by when they run.

    Attributes
    ----------
    stages : of each stage; modules around others are not among them.
    head : after the last stage.
    classifier : the last linear map, those of auxiliary classifiers included.
    auxiliary : what prediction does without.
    """

    stages: list[set[str]]
    head: set[str]
    classifier: set[str]
    auxiliary: set[str]


def build_network(
    name: str, num_classes: int, options: Mapping[str, object], seed: int = 0
) -> Network:
    """Build a network; its fresh weights are decided by `seed` alone.

    Raises
    ------
    UnknownNameError
        If there is no such network, or it has no such option.
    TrainingError
        If an option has a value that it cannot have.
    """
    # weights begin by torch's global generator, which gets its own state back
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            network: Network = create_network(name, num_classes=num_classes, **options)
        except TypeError as ex:
            raise UnknownNameError(
                f"{name} cannot be built with {_shown(options)}: {ex}"
            ) from ex
        except ValueError as ex:
            if isinstance(ex, UnknownNameError):
                raise
            raise TrainingError(
                f"{name} cannot be built with {_shown(options)}: {ex}"
            ) from ex
    return network


def rebuilt(network: ImageNetwork) -> Network:
    """Return a trained network, built anew with its numbers, ready to predict.

    Raises
    ------
    WeightsError
        If its numbers are not those of its architecture.
    """
    card = network.card
    with without_numbers():
        built = build_network(card.architecture, len(card.classes), card.options)
    state = _tensors(network)
    try:
        built.load_state_dict(state, assign=True)
    except RuntimeError as ex:
        raise WeightsError(
            f"The numbers of {card.title} are not those of a {card.architecture}"
        ) from ex
    return built.eval()


def start_network(
    plan: Plan,
    classes: Sequence[str],
    given: ImageNetwork | None = None,
    progress: Progress = no_progress,
) -> Started:
    """Build a plan's network, and give it the weights that the plan says.

    Parameters
    ----------
    plan
        Network, options, start, seed.
    classes
        What its logits are to stand for.
    given
        The network to begin with, with start "given". Its classifier is kept if it
        knows the same classes, in whatever order; otherwise it begins anew. If its
        architecture is another one, what fits is taken.
    progress
        What it raises ends the work.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    WeightsError
        If the weights are not to be had, or are of a network that has nothing in
        common.
    TrainingError
        If the options do not go with the weights.
    """
    name = architecture_of(plan, given)
    options = options_of(plan, given)
    if plan.start == "nothing":
        network = build_network(name, len(classes), options, plan.seed)
        return Started(network)
    if plan.start == "published":
        return _published(plan, name, options, len(classes), progress)
    if given is None:
        raise TrainingError(
            "The training is to begin with a given network, and none is given"
        )
    if given.card.architecture != name:
        return _from_another(plan, name, options, classes, given)
    return _from_same(plan, name, options, classes, given)


def _published(
    plan: Plan,
    name: str,
    options: dict[str, object],
    n_classes: int,
    progress: Progress,
) -> Started:
    if plan.network not in WEIGHTS:
        raise TrainingError(
            f"No weights are published for {plan.network}; let it begin from nothing,"
            " or with a network that is given"
        )
    card = WEIGHTS[plan.network]
    network = build_network(name, card.num_classes, options, plan.seed)
    tensors = load_weights(card, progress=progress)
    state = {key: torch.from_numpy(tensor) for key, tensor in tensors.items()}
    own = network.state_dict()
    other = [key for key in state if key in own and own[key].shape != state[key].shape]
    auxiliary = [f"{key}." for key in _unrun(network)]
    missing = [
        key for key in own if key not in state and not key.startswith(tuple(auxiliary))
    ]
    if other or missing:
        raise TrainingError(
            f"The published weights are those of {card.title} as published, not with"
            f" {_shown(plan.options)}; leave these as they are, or begin from nothing"
        )
    network.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
    _reset_classifier(network, n_classes, plan.seed)
    return Started(network, f"{card.title}, {card.trained_on}", card.license)


def _from_same(
    plan: Plan,
    name: str,
    options: dict[str, object],
    classes: Sequence[str],
    given: ImageNetwork,
) -> Started:
    network = build_network(name, len(given.classes), options, plan.seed)
    try:
        network.load_state_dict(_tensors(given))
    except RuntimeError:
        # options that change shapes make it another network
        return _from_another(plan, name, options, classes, given)
    started = Started(network, given.name, given.card.license)
    if set(classes) != set(given.classes):
        _reset_classifier(network, len(classes), plan.seed)
        started.notes.append(
            f"{given.title} tells other classes apart, so its classifier begins anew"
        )
    elif tuple(classes) != given.classes:
        order = torch.tensor([given.classes.index(each) for each in classes])
        with torch.no_grad():
            for module in _modules(network, _classifiers(_like(name, options, given))):
                for parameter in module.parameters():
                    parameter.copy_(parameter[order].clone())
    return started


def _from_another(
    plan: Plan,
    name: str,
    options: dict[str, object],
    classes: Sequence[str],
    given: ImageNetwork,
) -> Started:
    """Begin a network with what fits of another one (VGG, section 3.1)."""
    network = build_network(name, len(classes), options, plan.seed)
    other = rebuilt(given)
    same_classes = tuple(classes) == given.classes
    if not same_classes:
        _reset_classifier(other, len(classes), plan.seed)
    own = network.state_dict()
    before = {key: value.clone() for key, value in own.items()}
    if isinstance(network, VGG) and isinstance(other, VGG):
        try:
            network.initialise_from(other)
        except RuntimeError as ex:
            raise WeightsError(
                f"{given.title} is too different from a {name} to begin with it"
            ) from ex
    else:
        for key, value in other.state_dict().items():
            if key in own and own[key].shape == value.shape:
                own[key].copy_(value)
    own = network.state_dict()
    taken = sum(own[key].numel() for key in own if not own[key].equal(before[key]))
    if not taken:
        raise WeightsError(
            f"{given.title} has nothing in common with a {name}; begin from nothing, or"
            " with another network"
        )
    total = sum(value.numel() for value in own.values())
    return Started(
        network,
        f"{given.name}, what fits of it",
        given.card.license,
        [f"{taken:,} of its {total:,} numbers begin as in {given.title}"],
    )


def parts_of(plan: Plan, n_classes: int, given: ImageNetwork | None = None) -> Parts:
    """Return which modules of a plan's network run when; nothing is computed.

    Raises
    ------
    TrainingError
        If images of the plan's size are too small for the network.
    """
    name, options = architecture_of(plan, given), options_of(plan, given)
    height, width = preprocess_of(plan, given).size
    with without_numbers():
        network = build_network(name, n_classes, options)
        images = torch.empty(2, 3, height, width)
    try:
        stages, head = _traced(network, images)
        if plan.recipe.auxiliary > 0 and plan.learns == "all":
            network.forward_training(images)
    except (ImageError, RuntimeError) as ex:
        what = f"Images of {width} × {height} pixels do not suit {name}"
        why = f"{ex}" if isinstance(ex, ImageError) else what
        raise TrainingError(
            f"{why}. Choose a larger size for the images, or another network"
        ) from ex
    ran = set().union(head, *stages)
    carriers = {key for key, module in network.named_modules() if _carries(module)}
    return Parts(stages, head, _classifiers(network), carriers - ran)


def set_learning(network: Network, parts: Parts, plan: Plan) -> set[str]:
    """Let only those parameters change that the plan says; return their modules' names.

    With "head" it is the last linear map; with "last" all of the head and the last
    stages; with "all" everything, auxiliary classifiers where the recipe gives them a
    weight. See `training_mode` for the rest.
    """
    if plan.learns == "head":
        names = parts.classifier - parts.auxiliary
    elif plan.learns == "last":
        count = min(plan.stages, len(parts.stages))
        names = parts.head.union(*parts.stages[len(parts.stages) - count :])
    else:
        names = parts.head.union(*parts.stages)
        if plan.recipe.auxiliary > 0:
            names = names | parts.auxiliary
    for key, module in network.named_modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(_owner(key) in names)
    return names


def training_mode(network: Network, learning: set[str]) -> None:
    """Put what learns into training mode, and leave the rest as in prediction.

    So batch normalisation that is not trained keeps its means, and nothing is dropped
    out of what is not trained.

    Parameters
    ----------
    network
        The network.
    learning
        Names of modules, by `set_learning`.
    """
    network.train()
    for key, module in network.named_modules():
        if _carries(module) and _owner(key) not in learning:
            module.eval()


def _owner(key: str) -> str:
    """Return the name of the module that what computes its weights belongs to."""
    return key.partition(".parametrizations.")[0]


def _carries(module: nn.Module) -> bool:
    """Tell whether a module computes by itself, not only by those inside it."""
    has_own = any(True for _ in module.parameters(recurse=False))
    has_own = has_own or any(True for _ in module.buffers(recurse=False))
    return has_own or not any(True for _ in module.children())


def _traced(network: Network, images: Tensor) -> tuple[list[set[str]], set[str]]:
    running: set[str] = set()

    def note(name: str) -> Any:
        return lambda module, inputs: running.add(name)

    handles = [
        module.register_forward_pre_hook(note(name))
        for name, module in network.named_modules()
        if _carries(module)
    ]
    stages = []
    network.eval()
    try:
        features = network.forward_features(images)  # looks at their size
        running.clear()
        for _ in network.run_stages(images):
            stages.append(set(running))
            running.clear()
        network.forward_head(features)
        return stages, set(running)
    finally:
        for handle in handles:
            handle.remove()


def _unrun(network: Network) -> set[str]:
    """Return the names of modules that are there for training alone."""
    return {
        name
        for name, module in network.named_modules()
        if "aux" in name.lower() and _carries(module)
    }


def _classifiers(network: Network) -> set[str]:
    """Return the names of the modules that `reset_classifier` replaces; it does so."""
    before = dict(network.named_modules())
    with without_numbers():
        network.reset_classifier(network.num_classes)
    return {
        key
        for key, module in network.named_modules()
        if before.get(key) is not module and _carries(module)
    }


def _like(name: str, options: Mapping[str, object], given: ImageNetwork) -> Network:
    with without_numbers():
        return build_network(name, len(given.classes), options)


def _modules(network: nn.Module, names: set[str]) -> list[nn.Module]:
    return [module for key, module in network.named_modules() if key in names]


def _reset_classifier(network: Network, n_classes: int, seed: int) -> None:
    with _SEEDING, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network.reset_classifier(n_classes)


def _tensors(network: ImageNetwork) -> dict[str, Tensor]:
    # a copy: the network's own are not to be changed
    return {key: torch.tensor(value) for key, value in network.tensors.items()}


def _shown(options: Mapping[str, object]) -> str:
    told = (
        # the shapes of all layers are for programs
        key if key == "reshaped" else f"{key}={value!r}"
        for key, value in options.items()
    )
    return ", ".join(told) or "these"
