"""Networks of whole numbers: what is rounded where, and what the file holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from small_context import RESNET, SQUEEZENET, TOY, toy_images, trained
from torch import nn

from orangecontrib.imagemining.compression.int8 import integer_file, plain
from orangecontrib.imagemining.compression.int8_folding import folded
from orangecontrib.imagemining.compression.int8_network import (
    calibrated,
    layers_of,
    rounded_weight,
    simulated,
)
from orangecontrib.imagemining.compression.int8_ranges import scale_for
from orangecontrib.imagemining.compression.lowbits import LowBit
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.training.batches import normalised
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.weights.image_network import ImageNetwork

IMAGES = toy_images(24, seed=5).prepared(range(24))


def pixels_of(network: ImageNetwork) -> torch.Tensor:
    return normalised(torch.from_numpy(IMAGES), network.card.preprocess)


def logits_of(content: bytes, network: ImageNetwork) -> np.ndarray:
    session = onnxruntime.InferenceSession(content)
    image = plain(IMAGES, network.card.preprocess)
    (logits,) = session.run(["logits"], {"image": image})
    return logits


def optimised(content: bytes, folder: Path) -> Counter[str]:
    """Return the kinds of nodes that ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    model = onnx.load(folder / "optimised.onnx")
    return Counter(node.op_type for node in model.graph.node)


def test_steps_of_weights() -> None:
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    weight[2] = 0
    weight[0, 0] = 0
    codes, steps = rounded_weight(weight)
    largest = weight.abs().flatten(1).amax(1)
    torch.testing.assert_close(steps, largest / 127, rtol=1e-6, atol=0)
    assert codes.dtype == torch.int8
    assert codes.abs().amax() == 127
    error = (codes.float() * steps[:, None, None, None] - weight).abs()
    assert (error <= 0.5001 * steps[:, None, None, None]).all()
    assert not codes[2].any() and not codes[0, 0].any()


def test_normalisation_is_folded() -> None:
    network = rebuilt(trained(*RESNET))
    whole = folded(network, (16, 16))
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in whole.modules())
    x = pixels_of(trained(*RESNET))
    with torch.no_grad():
        torch.testing.assert_close(whole(x), network(x), rtol=1e-4, atol=1e-4)


def test_where_is_rounded() -> None:
    given = trained(*SQUEEZENET)
    x = pixels_of(given)
    whole = folded(rebuilt(given), (16, 16))
    found = calibrated(whole, [[x], [x]], "minmax")
    before = found.before
    assert before.keys() == {name for name, _ in layers_of(whole)}
    # the image; the first convolution, before and behind pooling; each squeeze layer;
    # each expand layer, concatenated and pooled; the last convolution
    assert len(found.scales) == 1 + 1 + 8 + 8 + 1
    # what goes into both is rounded once
    for name in before:
        if name.endswith("expand1x1"):
            assert before[name] == before[name.replace("1x1", "3x3")]
    first = found.scales[before["features.0"]]
    torch.testing.assert_close(
        torch.tensor([first.low, first.high]),
        torch.stack(x.aminmax()),
        rtol=0,
        atol=first.step,
    )
    # behind ReLUs there is nothing below 0; the last is what the logits are means of
    zeros = [scale.zero for scale in found.scales]
    assert zeros[0] > 0
    assert zeros[1:-1] == [0] * (len(zeros) - 2)


@pytest.mark.parametrize("kind", [TOY, RESNET, SQUEEZENET])
def test_trainings_round_as_files_do(kind: Any) -> None:
    given = trained(*kind)
    x = pixels_of(given)
    calibration, file = integer_file(given, IMAGES, "minmax")
    working = Working(given)
    for name in working.layers:
        working.set_form(name, LowBit(8))
    with simulated(working.network, calibration), torch.no_grad():
        found = working.network(x)
        assert torch.equal(working.network(x), found)
    # afterwards it is as before
    with torch.no_grad():
        exact = working.network(x)
    expected = logits_of(file.content, given)
    size = np.abs(expected).max()
    np.testing.assert_allclose(found.numpy(), expected, atol=0.02 * size)
    assert not np.array_equal(found.numpy(), exact.numpy())
    np.testing.assert_allclose(exact.numpy(), expected, atol=0.1 * size)


def test_gradients_go_through() -> None:
    working = Working(trained())
    for name in working.layers:
        working.set_form(name, LowBit(8))
    x = pixels_of(trained())
    calibration, _ = integer_file(trained(), IMAGES, "minmax")
    with simulated(working.network, calibration):
        working.network(x).square().sum().backward()
    for parameter in working.network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("kind", "nodes"),
    [(RESNET, {"QLinearAdd": 3}), (SQUEEZENET, {"QLinearConcat": 8})],
)
def test_computed_in_integers(kind: Any, nodes: dict[str, int], tmp_path: Path) -> None:
    given = trained(*kind)
    _, file = integer_file(given, IMAGES, "minmax")
    assert file.bits == 8
    onnx.checker.check_model(onnx.load_from_string(file.content), full_check=True)
    found = optimised(file.content, tmp_path)
    layers = [module for _, module in layers_of(rebuilt(given))]
    n_convolutions = sum(isinstance(layer, nn.Conv2d) for layer in layers)
    assert found["QLinearConv"] == n_convolutions
    assert found["QGemm"] == len(layers) - n_convolutions
    assert {name: found[name] for name in nodes} == nodes
    if kind == SQUEEZENET:
        # the image is rounded; all that follows, pooling too, is on integers' scales
        assert found["QuantizeLinear"] == 1
    assert not {"Conv", "Gemm", "Add", "Relu"} & found.keys()


def test_weights_in_the_file() -> None:
    given = trained(*RESNET)
    _, file = integer_file(given, IMAGES, "minmax")
    graph = onnx.load_from_string(file.content).graph
    numbers = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for name, layer in layers_of(folded(rebuilt(given), (16, 16))):
        codes, steps = (
            numbers[f"network.{name}.{what}"] for what in ("codes", "steps")
        )
        weight = layer.weight.detach().numpy()
        assert codes.dtype == np.int8
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        np.testing.assert_allclose(steps, largest / 127, rtol=1e-5)
        steps = steps.reshape((-1,) + (1,) * (weight.ndim - 1))
        assert (np.abs(codes * steps - weight) <= 0.501 * steps).all()
    floats = [n.size for n in numbers.values() if n.dtype == np.float32]
    wholes = [n.size for n in numbers.values() if n.dtype == np.int8]
    assert sum(floats) < sum(wholes) / 10


def test_filters_without_weights_keep_their_bias() -> None:
    given = trained()
    name, layer = next(layers_of(rebuilt(given)))
    tensors = {key: value.copy() for key, value in given.tensors.items()}
    tensors[f"{name}.weight"][:2] = 0
    tensors[f"{name}.weight"][1, 0, 0, 0] = 1e-12
    tensors[f"{name}.bias"][:2] = 0.75, -1.25
    changed = ImageNetwork(given.card, tensors)
    _, file = integer_file(changed, IMAGES, "minmax")
    found = logits_of(file.content, changed)
    with torch.no_grad():
        expected = rebuilt(changed)(pixels_of(changed)).numpy()
    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())
    graph = onnx.load_from_string(file.content).graph
    numbers = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    biases = (
        numbers[f"network.{name}.bias_codes"] * numbers[f"network.{name}.bias_steps"]
    )
    np.testing.assert_allclose(biases[:2], [0.75, -1.25], rtol=1e-4)
    assert scale_for(0, 0).step == 1
