"""What trainings begin with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trainings import CLASSES, RESNET, SQUEEZENET, images, train
from torch.nn.utils import parametrize

from orangecontrib.imagemining.exceptions import TrainingError, WeightsError
from orangecontrib.imagemining.networks import create_network, network_names
from orangecontrib.imagemining.training.inputs import (
    architecture_of,
    options_of,
    preprocess_of,
)
from orangecontrib.imagemining.training.plan import Plan, Recipe
from orangecontrib.imagemining.training.recipes import with_recipe
from orangecontrib.imagemining.training.starting import (
    build_network,
    parts_of,
    rebuilt,
    set_learning,
    start_network,
    training_mode,
)
from orangecontrib.imagemining.weights import load_weights, weights_of

VGG = Plan(
    network="vgg11",
    options={"width": 0.0625, "small_images": True, "hidden": 16},
    start="nothing",
    size=(32, 32),
)


def state(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def test_seed_decides_and_nobody_is_disturbed():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_network("toy", 3, {}, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    second = build_network("toy", 3, {}, seed=1)
    other = build_network("toy", 3, {}, seed=2)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    assert not torch.equal(first.stem[0].weight, other.stem[0].weight)


def test_published():
    plan = Plan(seed=1)
    started = start_network(plan, CLASSES)
    published = load_weights(weights_of("squeezenet1_1"))
    own = state(started.network)
    for name, tensor in published.items():
        if name.startswith("classifier"):
            assert own[name].shape[0] == 3
        else:
            assert np.array_equal(own[name], tensor)
    assert isinstance(started.network.classifier[2], torch.nn.Identity)
    assert started.origin.startswith("SqueezeNet 1.1, ImageNet")
    assert started.license == weights_of("squeezenet1_1").license
    again = state(start_network(plan, CLASSES).network)
    assert np.array_equal(own["classifier.1.weight"], again["classifier.1.weight"])
    assert own["classifier.1.weight"].std() == pytest.approx(0.01, rel=0.1)


def test_published_fits_as_published_only():
    plan = Plan(options={"squeeze_ratio": 0.5})
    with pytest.raises(TrainingError, match="squeeze_ratio=0.5; leave these"):
        start_network(plan, CLASSES)
    with pytest.raises(TrainingError, match="No weights are published for toy"):
        start_network(Plan(network="toy"), CLASSES)


def test_given_with_the_same_classes_goes_on():
    first = train(SQUEEZENET).network
    plan = replace(SQUEEZENET, start="given", network="", options={}, seed=8)
    started = start_network(plan, CLASSES, first)
    assert (started.origin, started.notes) == (first.name, [])
    for name, tensor in state(started.network).items():
        assert np.array_equal(tensor, first.tensors[name])
    assert architecture_of(plan, first) == "squeezenet1_1"
    assert options_of(plan, first) == first.card.options


def test_given_with_its_classes_in_another_order():
    first = train(SQUEEZENET).network
    plan = replace(SQUEEZENET, start="given", network="")
    turned = start_network(plan, CLASSES[::-1], first).network.eval()
    x = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        assert torch.allclose(turned(x), rebuilt(first)(x).flip(1), atol=1e-6)
    assert turned(x).std() > 1e-4


def test_given_with_other_classes_begins_its_classifier_anew():
    first = train(SQUEEZENET).network
    plan = replace(SQUEEZENET, start="given", network="")
    started = start_network(plan, ("cat", "dog"), first)
    own = state(started.network)
    assert own["classifier.1.weight"].shape[0] == 2
    changed = [
        name
        for name in own
        if own[name].shape != first.tensors[name].shape
        or not np.array_equal(own[name], first.tensors[name])
    ]
    assert changed == ["classifier.1.weight", "classifier.1.bias"]
    assert "tells other classes apart" in started.notes[0]


@pytest.mark.parametrize("classes", [CLASSES, ("cat", "dog")])
def test_deeper_from_a_shallower_one(classes):
    """VGG, section 3.1: four convolutions and the fully connected layers."""
    shallow = train(
        replace(RESNET, **vars_of(VGG), epochs=1), images=images(24, side=32)
    ).network
    plan = replace(VGG, network="vgg16", start="given", seed=5)
    started = start_network(plan, classes, shallow)
    own = started.network
    given = rebuilt(shallow)
    fresh = build_network("vgg16", len(classes), options_of(plan, shallow), seed=5)
    convolutions = [m for m in own.features if isinstance(m, torch.nn.Conv2d)]
    others = [m for m in given.features if isinstance(m, torch.nn.Conv2d)]
    fresh_ones = [m for m in fresh.features if isinstance(m, torch.nn.Conv2d)]
    # in vgg16 the first of block 1, of block 2, the first and second of block 3
    for place, (there, here) in enumerate(zip((0, 2, 4, 5), range(4), strict=True)):
        assert torch.equal(convolutions[there].weight, others[here].weight), place
    for place in (1, 3, 6, 7, 12):
        assert torch.equal(convolutions[place].weight, fresh_ones[place].weight)
    assert torch.equal(own.classifier[0].weight, given.classifier[0].weight)
    assert torch.equal(own.classifier[3].weight, given.classifier[3].weight)
    same = classes == CLASSES
    assert same == (
        own.classifier[6].weight.shape == given.classifier[6].weight.shape
        and torch.equal(own.classifier[6].weight, given.classifier[6].weight)
    )
    assert "begin as in" in started.notes[0]
    assert started.origin == f"{shallow.name}, what fits of it"


def vars_of(plan):
    return {"network": plan.network, "options": plan.options, "size": plan.size}


def test_nothing_in_common():
    first = train(RESNET).network
    with pytest.raises(WeightsError, match="nothing in common with a toy"):
        start_network(Plan(network="toy", start="given"), ("a", "b"), first)


def test_rebuilt_refuses_other_numbers():
    network = train(RESNET).network
    broken = replace(network, tensors={**network.tensors, "fc.weight": np.zeros(3)})
    with pytest.raises(WeightsError, match="not those of a resnet_cifar"):
        rebuilt(broken)


@pytest.mark.parametrize("name", network_names())
def test_parts_of_every_network(name):
    """All modules are known, and what resets the classifier is found."""
    plan = Plan(network=name, start="nothing", size=(299, 299))
    parts = parts_of(plan, 3)
    with torch.device("meta"):
        network = create_network(name, num_classes=3, **options_of(plan))
    modules = dict(network.named_modules())
    assert len(parts.stages) == len(network.stage_sizes)
    everything = parts.head.union(parts.auxiliary, *parts.stages)
    owners = {
        key
        for key, module in modules.items()
        if any(True for _ in module.parameters(recurse=False))
    }
    assert owners <= everything
    assert all("aux" in key.lower() for key in parts.auxiliary & owners)
    assert parts.classifier <= everything
    for key in parts.classifier:
        assert modules[key].weight.shape[0] == 3
    # no parameter of the auxiliary kind learns where only the last part is to
    for learns in ("head", "last"):
        names = set_learning(network, parts, replace(plan, learns=learns))
        assert names & owners
        assert not names & parts.auxiliary
    assert set_learning(network, parts, plan) >= owners


def test_what_does_not_learn_is_as_in_prediction():
    plan = replace(SQUEEZENET, learns="last")
    network = build_network("squeezenet1_1", 3, options_of(plan))
    names = set_learning(network, parts_of(plan, 3), plan)
    training_mode(network, names)
    learning = {
        name.split(".")[1] if name.startswith("features") else "head"
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }
    fires = {
        str(number)
        for number, module in enumerate(network.features)
        if type(module).__name__ == "Fire"
    }
    assert learning == {"head", *sorted(fires, key=int)[-2:]}
    assert network.classifier[0].training
    plan = replace(plan, learns="head")
    names = set_learning(network, parts_of(plan, 3), plan)
    training_mode(network, names)
    assert names == {"classifier.1"}
    assert not network.classifier[0].training


class Doubled(torch.nn.Module):
    """Computes weights of what is trained, and holds something itself."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.tensor(2.0))

    def forward(self, original):
        return self.factor * original


def test_computed_weights_learn_as_their_layer():
    plan = replace(RESNET, learns="head")
    network = build_network("resnet_cifar", 3, RESNET.options)
    for layer in (network.conv1, network.fc):
        parametrize.register_parametrization(layer, "weight", Doubled())
    learning = set_learning(network, parts_of(plan, 3), plan)
    training_mode(network, learning)
    learn = {name for name, each in network.named_parameters() if each.requires_grad}
    assert learn == {"fc.bias", "fc.parametrizations.weight.original"}
    assert network.fc.parametrizations.weight[0].training
    assert not network.conv1.parametrizations.weight[0].training
    assert not network.bn1.training


def test_preprocess():
    plain = preprocess_of(Plan(network="squeezenet1_1"))
    assert plain == weights_of("squeezenet1_1").preprocess
    plain = preprocess_of(Plan(network="resnet18"))
    small = preprocess_of(Plan(network="resnet18", size=(112, 112)))
    assert (small.size, small.shortest) == ((112, 112), 128)
    assert small.mean == plain.mean
    assert preprocess_of(Plan(network="resnet20_cifar")).size == (32, 32)
    first = train(RESNET).network
    given = preprocess_of(Plan(network="", start="given"), first)
    assert given == first.card.preprocess
    assert given.size == (16, 16)


@pytest.mark.parametrize(
    "recipe, name, options, side",
    [
        ("everyday", "resnet_cifar", {"n": 1, "width": 4}, 16),
        ("squeezenet", "squeezenet1_1", {"base_e": 8, "incr_e": 8}, 32),
        ("vgg", "vgg16", VGG.options, 32),
        ("inception", "inception_v3", {"width": 0.0625}, 75),
        ("inception", "inception_resnet_v2", {"width": 0.0625}, 75),
    ],
)
def test_recipes_take_a_step(recipe, name, options, side):
    """With all that belongs to them, on a narrow network of their kind."""
    plan = Plan(
        network=name,
        options=options,
        start="nothing",
        size=(side, side),
        batch=4,
        epochs=1,
        validation=0,
        precision="float32",
        device="cpu",
    )
    data = images(4, side=side)
    fresh = build_network(name, 3, options_of(plan), plan.seed).state_dict()
    trained = train(with_recipe(plan, recipe), images=data)
    assert np.isfinite(trained.history.epochs[0].loss)
    moved = [
        key
        for key, tensor in trained.network.tensors.items()
        if not np.array_equal(tensor, fresh[key].numpy())
    ]
    assert len(moved) > len(fresh) / 2


def test_auxiliary_loss_reaches_its_head():
    from orangecontrib.imagemining.training.callbacks import Callback

    moved = []

    class Look(Callback):
        def on_step(self, trainer):
            moved.append(trainer.network.AuxLogits.fc.weight.grad is not None)

    plan = Plan(
        network="inception_v3",
        options={"width": 0.0625},
        start="nothing",
        recipe=Recipe(auxiliary=0.3),
        size=(75, 75),
        batch=4,
        epochs=1,
        validation=0,
        device="cpu",
    )
    data = images(4, side=75)
    train(plan, images=data, callbacks=[Look()])
    train(replace(plan, recipe=Recipe(auxiliary=0.0)), images=data, callbacks=[Look()])
    assert moved == [True, False]
