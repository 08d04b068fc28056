"""The knobs of networks' designs against what builders take."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from orangecontrib.imagemining import networks
from orangecontrib.imagemining.networks import Network, create_network, network_names
from orangecontrib.imagemining.networks.vgg import VGG
from orangecontrib.imagemining.training.designs import (
    Knob,
    design_options,
    options_for_training,
)
from orangecontrib.imagemining.training.inputs import options_of
from orangecontrib.imagemining.training.plan import Plan

KNOBS = [
    (name, option, knob)
    for name in network_names()
    for option, knob in design_options(name).items()
]
IDS = [f"{name}-{option}" for name, option, _ in KNOBS]


def signature(name: str) -> dict[str, inspect.Parameter]:
    for family in vars(networks).values():
        if inspect.ismodule(family) and hasattr(family, name):
            builder = getattr(family, name)
    found = dict(inspect.signature(builder).parameters)
    return {**inspect.signature(VGG).parameters, **found} if "vgg" in name else found


def build(name: str, **options: object) -> Network:
    with torch.device("meta"):
        network: Network = create_network(name, **options)
        return network.eval()


@pytest.mark.parametrize(("name", "option", "knob"), KNOBS, ids=IDS)
def test_knobs_are_options_of_builders(name: str, option: str, knob: Knob) -> None:
    assert signature(name)[option].default == knob.default
    assert knob.words and not knob.words.endswith(".")
    if knob.is_range:
        low, high = knob.allowed
        assert low <= knob.default <= high and type(low) is type(knob.default)
    else:
        assert knob.default in knob.allowed


@pytest.mark.parametrize(("name", "option", "knob"), KNOBS, ids=IDS)
def test_what_is_allowed_can_be_built(name: str, option: str, knob: Knob) -> None:
    for value in {knob.allowed[0], knob.allowed[-1]}:
        # as it comes out of a file
        value = json.loads(json.dumps(value))
        network = build(name, num_classes=3, **{option: value})
        side = max(network.min_size, 32)
        assert network(torch.empty(2, 3, side, side, device="meta")).shape == (2, 3)


@pytest.mark.parametrize(
    "name", ["squeezenet1_0", "resnet_cifar", "vgg11", "inception_resnet_v2"]
)
def test_knobs_change_the_network(name: str) -> None:
    whole = sum(p.numel() for p in build(name).parameters())
    for option, knob in design_options(name).items():
        if option not in ("last_relu", "scales", "small_images"):
            other = [value for value in knob.allowed if value != knob.default][-1]
            changed = build(name, **{option: other}).parameters()
            assert sum(p.numel() for p in changed) != whole, option


def test_unknown_networks_have_no_knobs() -> None:
    assert design_options("nothing") == design_options("toy") == {}


@pytest.mark.parametrize("name", network_names())
def test_negative_logits_are_possible(name: str) -> None:
    torch.manual_seed(0)
    options = options_for_training(name)
    taken = signature(name)
    assert all(option in taken for option in options)
    if "last_relu" in taken:
        assert options == {"last_relu": False}


def test_head_alone_is_never_cut_off() -> None:
    plan = Plan(network="squeezenet1_1", options={"last_relu": True})
    assert options_of(plan)["last_relu"] is True
    assert options_of(replace(plan, learns="head"))["last_relu"] is False


def test_needs_no_torch() -> None:
    code = (
        "import sys; import orangecontrib.imagemining.training.designs;"
        " assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
