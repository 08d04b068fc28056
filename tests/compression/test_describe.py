from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from trained_networks import network_of

from orangecontrib.imagemining.compression.describe import (
    describe,
    describe_card,
    measure,
    measure_card,
)
from orangecontrib.imagemining.compression.described import IMAGE, Described, LayerInfo
from orangecontrib.imagemining.exceptions import (
    ImageError,
    TaskCancelled,
    WeightsError,
)
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.compressed_file import compressed_size
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard


def card_of(architecture: str, side: int, classes: int = 1000) -> NetworkCard:
    names = tuple(map(str, range(classes)))
    preprocess = Preprocess((side, side))
    return NetworkCard("It", architecture, names, preprocess)


def layer(described: Described, name: str) -> LayerInfo:
    (found,) = [each for each in described.layers if each.name == name]
    return found


@pytest.mark.parametrize(
    ("architecture", "side", "parameters", "multiply_adds"),
    [
        # parameters as published; multiplications added up by hand, layer by layer,
        # for SqueezeNet 1.1; for the others near the published billions
        ("squeezenet1_0", 224, 1_248_424, 818_924_576),
        ("squeezenet1_1", 224, 1_235_496, 349_151_936),
        ("vgg16", 224, 138_357_544, 15.47e9),
        ("resnet18", 224, 11_689_512, 1.814e9),
        ("inception_v3", 299, 27_161_264, 5.713e9),
        ("alexnet", 224, 61_100_840, 0.714e9),
    ],
)
def test_published_figures(
    architecture: str, side: int, parameters: int, multiply_adds: float
) -> None:
    described = describe_card(card_of(architecture, side))
    assert described.parameters == parameters
    assert described.multiply_adds == pytest.approx(multiply_adds, rel=4e-4)
    assert sum(each.parameters for each in described.layers) == parameters
    assert not described.has_weights
    assert math.isnan(described.sparsity)


def test_toy_by_hand() -> None:
    described = describe(network_of())
    rows = [
        (e.name, e.kind, e.shape, e.output, e.parameters, e.multiply_adds)
        for e in described.layers
    ]
    # images of 16 × 16: 7 × 7 positions after the first step of 2, then 3 × 3
    assert rows == [
        ("stem.0", "convolution", (4, 3, 3, 3), (4, 7, 7), 112, 4 * 49 * 27),
        ("body.0", "convolution", (8, 4, 3, 3), (8, 3, 3), 296, 8 * 9 * 36),
        ("mean", "mean", (), (8,), 0, 0),
        ("classifier", "fully connected", (3, 8), (3,), 27, 24),
    ]
    assert [e.activation for e in described.layers] == ["ReLU", "ReLU", "", ""]
    assert [e.inputs for e in described.layers] == [(IMAGE,), (0,), (1,), (2,)]
    assert [e.detail for e in described.layers[:3]] == [
        "3×3, step 2",
        "3×3, step 2",
        "of 3 × 3 positions",
    ]
    assert described.parameters == described.nonzero == 435
    assert described.file_bytes == described.n_bytes == 4 * 435
    assert described.layers[0].stored_bytes == described.layers[0].n_bytes == 448
    assert described.sparsity == 0
    assert {e.bits for e in described.layers if e.shape} == {32}


def test_ways_that_part_and_meet() -> None:
    described = describe_card(card_of("squeezenet1_0_complex_bypass", 224))
    places = {each.name: place for place, each in enumerate(described.layers)}
    squeeze = places["features.3.squeeze"]
    ways = [places[f"features.3.expand{side}"] for side in ("1x1", "3x3")]
    assert all(described.layers[way].inputs == (squeeze,) for way in ways)
    joined = layer(described, "features.3.concatenation")
    assert joined.inputs == tuple(ways)
    assert joined.output == (128, 54, 54)
    total = layer(described, "features.3.sum")
    bypass = layer(described, "features.3.bypass")
    assert total.inputs == (
        places["features.3.concatenation"],
        places["features.3.bypass"],
    )
    # both begin with what the pooling gives
    assert bypass.inputs == described.layers[squeeze].inputs
    assert {each.block for each in (joined, total, bypass)} == {"features.3"}
    assert {each.block_kind for each in (joined, total, bypass)} == {"Fire"}


def test_residual_sum_and_what_only_training_needs() -> None:
    described = describe_card(card_of("resnet20_cifar", 32, 10))
    places = {each.name: place for place, each in enumerate(described.layers)}
    assert described.layers[places["layer1.0.sum"]].inputs == (
        places["layer1.0.bn2"],
        places["bn1"],
    )
    assert described.layers[places["layer1.0.sum"]].activation == "ReLU"
    described = describe_card(card_of("inception_v3", 299))
    unused = [each for each in described.layers if not each.runs]
    assert {each.name.partition(".")[0] for each in unused} == {"AuxLogits"}
    assert sum(each.parameters for each in unused) == 3_326_696
    assert not any(each.multiply_adds or each.output for each in unused)


def test_zeros_codes_and_halves() -> None:
    given = network_of()
    tensors = {name: tensor.copy() for name, tensor in given.tensors.items()}
    weight = tensors["stem.0.weight"]
    weight[:] = np.where(np.arange(weight.size).reshape(weight.shape) % 4, 0, 0.5)
    tensors["body.0.weight"] = tensors["body.0.weight"].astype("f2").astype("f4")
    codes = (weight > 0).astype(np.uint8)
    stored: dict[str, Any] = {
        "stem.0.weight": Coded(np.array([0, 0.5], np.float32), codes),
        "body.0.weight": tensors["body.0.weight"].astype("f2"),
    }
    network = ImageNetwork(given.card, tensors, stored)
    described = describe(network)
    first, second = described.layers[:2]
    assert (first.sparsity, first.bits) == (0.75, 1)
    assert first.nonzero == 27 + np.count_nonzero(tensors["stem.0.bias"])
    # 108 codes of which a quarter are 1, two values and a bias of four numbers
    entropy = 108 * (0.25 * 2 + 0.75 * math.log2(4 / 3)) / 8
    assert first.stored_bytes == round(entropy + 8 + 4 * 4)
    assert (second.sparsity, second.bits) == (0, 16)
    assert (second.stored_bytes, second.n_bytes) == (2 * 288 + 4 * 8, 4 * 296)
    assert described.file_bytes == compressed_size(network) != described.n_bytes
    assert described.nonzero == described.parameters - 81
    assert described.layers[3].bits == 32


def test_fewer_filters() -> None:
    reshaped = {"outputs": {"stem.0": 2}, "inputs": {"body.0": 2}}
    described = describe(network_of(options={"reshaped": reshaped}))
    assert described.layers[0].shape == (2, 3, 3, 3)
    assert [e.multiply_adds for e in described.layers] == [2646, 1296, 0, 24]
    assert described.parameters == 56 + 152 + 27


def test_numbers_of_another_network() -> None:
    given = network_of()
    tensors = dict(given.tensors)
    del tensors["body.0.bias"]
    with pytest.raises(WeightsError, match=r"not those of a toy: 'body\.0\.bias' is m"):
        describe(ImageNetwork(given.card, tensors))
    small = replace(given.card, preprocess=Preprocess((5, 5)))
    with pytest.raises(ImageError, match="too few"):
        describe(ImageNetwork(small, given.tensors))


def test_times() -> None:
    network = network_of("resnet20_cifar", size=(32, 32))
    times = measure(network, seconds=0)
    layers = describe(network).layers
    assert times.runs == 3
    assert len(times.layers) == len(layers)
    assert all(seconds > 0 for seconds in times.layers)
    assert times.total > 0
    # the auxiliary classifier does not run
    card = replace(card_of("inception_v3", 75, 3), options={"width": 1 / 16})
    times = measure_card(card, seconds=0)
    runs = [each.runs for each in describe_card(card).layers]
    assert [not math.isnan(seconds) for seconds in times.layers] == runs


def test_cancelled() -> None:
    seen = []

    def stop(fraction: float, status: str = "") -> None:
        seen.append(status)
        if len(seen) > 2:
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        measure(network_of(), seconds=60, progress=stop)
    assert seen[0] == "Measuring My cells…"
