"""Networks with fewer filters and layers in two, built from data."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.networks import (
    Factorised,
    Network,
    create_network,
    reshaped_option,
    without_numbers,
)

SMALL = {"base_e": 16, "incr_e": 8}
# fire2: 2 → 1 squeeze, 8 + 8 → 8 + 5; fire9: 20 → 12 of 3×3
FIRES: dict[str, dict[str, int]] = {
    "outputs": {
        "features.3.squeeze": 1,
        "features.3.expand3x3": 5,
        "features.12.expand3x3": 12,
    },
    "inputs": {
        "features.3.expand1x1": 1,
        "features.3.expand3x3": 1,
        "features.4.squeeze": 13,
        "classifier.1": 32,
    },
    "ranks": {"features.12.expand1x1": 2},
}


def small(**options: Any) -> Network:
    return create_network("squeezenet1_1", num_classes=3, **SMALL, **options)


def test_the_network_tells_the_truth() -> None:
    network = small(reshaped=FIRES).eval()
    assert (network.num_features, network.stage_sizes[-1]) == (32, 32)
    x = torch.rand(2, 3, 32, 32)
    layers = {layer.name: layer.size for layer in network.layers()}
    vectors = network.embed(x, [*layers])
    assert {name: v.shape[1] for name, v in vectors.items()} == layers
    assert network.get_submodule("features.3.squeeze").out_channels == 1
    network.reset_classifier(7)
    assert network(x).shape == (2, 7)


def test_fresh_numbers_are_neither_lost_nor_blown_up() -> None:
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        layer = torch.nn.Linear(200, 100)
        x = torch.randn(500, 200)
        two = Factorised(layer, 20)
        ratio = float(two(x).std() / layer(x).std())
    assert ratio == pytest.approx(1, abs=0.3)
    assert torch.equal(two[1].bias, layer.bias)


def test_names_and_shapes_are_the_same_with_and_without_numbers() -> None:
    option = json.loads(json.dumps(FIRES))
    with without_numbers():
        empty = small(reshaped=option).eval()
    assert all(p.is_meta for p in empty.parameters())
    filled = small(reshaped=option).eval()
    state = filled.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes == {n: tuple(t.shape) for n, t in empty.state_dict().items()}
    assert shapes["features.12.expand1x1.0.weight"] == (2, 5, 1, 1)
    assert shapes["features.12.expand1x1.1.weight"] == (20, 2, 1, 1)
    assert "features.12.expand1x1.1.bias" in shapes
    assert (empty.num_features, empty.stage_sizes) == (32, filled.stage_sizes)
    empty.load_state_dict(state, assign=True)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(empty(x), filled(x))
    # what the tensors' shapes say is the option again
    assert reshaped_option(small(), shapes) == FIRES
    unchanged = {name: t.shape for name, t in small().state_dict().items()}
    assert reshaped_option(small(), unchanged) == {}
    with pytest.raises(ValueError, match="no tensor"):
        reshaped_option(small(), {})


def test_other_numbers_of_classes() -> None:
    for n in (2, 11):
        network = create_network(
            "squeezenet1_1", num_classes=n, reshaped=FIRES, **SMALL
        )
        assert network(torch.rand(1, 3, 32, 32)).shape == (1, n)


def test_batch_normalisation_auxiliary_classifier_and_grid() -> None:
    inner = {
        "outputs": {"AuxLogits.conv0.conv": 5, "AuxLogits.conv0.bn": 5},
        "inputs": {"AuxLogits.conv1.conv": 5},
    }
    network = create_network(
        "inception_v3", num_classes=3, width=1 / 16, reshaped=inner
    )
    assert network.AuxLogits.conv0.bn.running_var.shape == (5,)
    logits = network.eval().forward_training(torch.rand(1, 3, 75, 75))
    assert [each.shape for each in logits] == [(1, 3), (1, 3)]
    last = {
        "outputs": {"features.18": 20, "classifier.3": 9},
        "inputs": {"classifier.0": 20 * 49, "classifier.6": 9},
        "ranks": {"classifier.0": 4},
    }
    network = create_network("vgg11", num_classes=3, width=1 / 16, reshaped=last).eval()
    assert (network.num_features, network.stage_sizes) == (9, [4, 8, 16, 32, 20])
    assert isinstance(network.classifier[0], Factorised)
    vectors = network.embed(torch.rand(1, 3, 40, 40), ["features"])
    assert vectors["features"].shape == (1, 9)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"filters": {}}, "no part 'filters'"),
        ({"outputs": {"features.99": 1}}, "no layer 'features.99' with outputs"),
        ({"outputs": {"features.1": 1}}, "no layer 'features.1' with outputs"),
        ({"ranks": {"": 1}}, "no layer ''"),
        ({"inputs": {"__class__": 1}}, "no layer '__class__'"),
    ],
)
def test_unknown_names(option: Any, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        small(reshaped=option)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ([1], "has to be a table"),
        ({"outputs": [1]}, "'outputs' has to be a table"),
        ({"outputs": {"features.0": 0}}, "cannot have 0 outputs"),
        ({"outputs": {"features.0": 2.0}}, "cannot have 2.0 outputs"),
        ({"outputs": {"features.0": True}}, "cannot have True outputs"),
        ({"outputs": {"features.0": 65}}, "has 64 outputs, it cannot have 65"),
        ({"outputs": {"features.0": 2**40}}, "it cannot have"),
        ({"outputs": {"features.0": 60}}, "'features.3.squeeze' gets 60 channels"),
        ({"outputs": {"classifier.1": 2}}, "there have to be 3 logits"),
        ({"ranks": {"features.0": 2}}, "only fully connected layers and 1×1"),
        (
            {"ranks": {"features.3.squeeze": 3}},
            "squeeze' cannot have rank 3, 2 at most",
        ),
    ],
)
def test_impossible_shapes(option: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(reshaped=option)


def test_residuals_that_do_not_fit() -> None:
    option = {
        "outputs": {"layer1.0.conv2": 3, "layer1.0.bn2": 3},
    }
    with pytest.raises(ValueError, match="do not fit each other"):
        create_network("resnet_cifar", n=1, width=4, reshaped=option)


def test_a_factorised_convolution_keeps_its_stride() -> None:
    option = {"ranks": {"layer2.0.downsample.0": 9}}
    with without_numbers():
        network = create_network("resnet50", num_classes=2, reshaped=option)
    first, second = network.layer2[0].downsample[0]
    assert (first.stride, second.stride) == ((2, 2), (1, 1))
    assert (first.bias, second.bias) == (None, None)
