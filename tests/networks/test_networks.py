"""What every network in the registry keeps.

Networks are run on torch's device "meta", which works out shapes without numbers: the
large ones cost nothing then. Their numbers are looked at in test_conformance.py.
"""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
import torch

from orangecontrib.imagemining import networks
from orangecontrib.imagemining.exceptions import ImageError, UnknownNameError
from orangecontrib.imagemining.networks import (
    Network,
    create_network,
    network_names,
    register_network,
)


@pytest.fixture(params=network_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def build(name: str, **options: object) -> Network:
    with torch.device("meta"):
        return create_network(name, **options).eval()


def images(height: int, width: int) -> torch.Tensor:
    return torch.empty(2, 3, height, width, device="meta")


def sizes(network: Network) -> list[tuple[int, int]]:
    least = network.min_size
    return [(least, least), (least + 130, least + 7), (320, 448)]


def test_logits_and_features_have_their_sizes(name: str) -> None:
    network = build(name, num_classes=7)
    for height, width in sizes(network):
        x = images(height, width)
        features = network.forward_features(x)
        assert features.shape[:2] == (2, network.stage_sizes[-1])
        assert features.ndim == 4 and 0 not in features.shape
        assert network.forward_head(features).shape == (2, 7)
        vector = network.forward_head(features, pre_logits=True)
        assert vector.shape == (2, network.num_features)
    assert network(x).shape == (2, 7)


def test_layers_tell_the_truth(name: str) -> None:
    network = build(name)
    layers = network.layers()
    names = [layer.name for layer in layers]
    assert names[:3] == ["logits", "features", "stages"]
    assert {"stage1", "stage1:max", "stage1:avg+max"} < set(names)
    assert len(set(names)) == len(names)
    assert all(layer.description for layer in layers)
    vectors = network.embed(images(320, 256), names)
    assert {k: v.shape for k, v in vectors.items()} == {
        layer.name: (2, layer.size) for layer in layers
    }


def test_stages_have_their_sizes(name: str) -> None:
    network = build(name)
    stages = network.forward_stages(images(320, 256))
    assert [stage.shape[1] for stage in stages] == network.stage_sizes
    assert len(network.stage_names) == len(stages)
    sides = [stage.shape[2] for stage in stages]
    assert sides == sorted(sides, reverse=True)


def test_too_small_an_image_is_told_in_words(name: str) -> None:
    network = build(name)
    least = network.min_size
    for height, width in [(least - 1, 400), (400, least - 1)]:
        with pytest.raises(
            ImageError, match=f"{width} × {height} .* {least} × {least}"
        ):
            network(images(height, width))
        with pytest.raises(ImageError, match="too few"):
            network.embed(images(height, width), ["stage1"])


def test_smallest_size_is_not_larger_than_need_be(name: str) -> None:
    network = build(name)
    least = network.min_size
    if least == 1:
        return
    network.min_size = 1
    with pytest.raises(RuntimeError):
        network(images(least - 1, 400))


def test_unknown_layer_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="'nothing'.*stage1:max"):
        build(name).embed(images(320, 320), ["nothing"])


def test_gradients_reach_all_parameters(name: str) -> None:
    network = build(name, num_classes=3).train()
    outputs = network.forward_training(images(320, 320))
    assert {output.shape for output in outputs} == {(2, 3)}
    torch.stack(outputs).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key


def test_reset_classifier(name: str) -> None:
    network = build(name)
    before = network.state_dict()
    with torch.device("meta"):
        network.reset_classifier(4)
    assert network.num_classes == 4
    assert network(images(320, 320)).shape == (2, 4)
    assert network.layers()[0].size == 4
    after = network.state_dict()
    assert before.keys() == after.keys()
    changed = {key for key in before if before[key].shape != after[key].shape}
    # a weight and a bias, of the auxiliary classifier as well if there is one
    outputs = network.train().forward_training(images(320, 320))
    assert len(changed) == 2 * len(outputs)
    assert {output.shape for output in outputs} == {(2, 4)}


def test_number_of_parameters_is_the_one_in_the_docstring(name: str) -> None:
    text = inspect.getdoc(_builder(name)) or ""
    (number,) = re.findall(r"([\d,]+) parameters", text)
    parameters = build(name).parameters()
    assert sum(p.numel() for p in parameters) == int(number.replace(",", ""))


def _builder(name: str) -> object:
    for family in vars(networks).values():
        if inspect.ismodule(family) and hasattr(family, name):
            return getattr(family, name)
    raise AssertionError(f"{name} is in no family")


def test_all_families_are_there() -> None:
    assert set(network_names()) == {
        "alexnet",
        *("inception_resnet_v1", "inception_resnet_v2", "inception_v3", "inception_v4"),
        *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
        *(f"resnet{depth}_cifar" for depth in (20, 32, 56, 110)),
        "resnet_cifar",
        *("squeezenet1_0", "squeezenet1_1", "squeezenet_imageanalytics"),
        *(f"squeezenet1_0_{kind}_bypass" for kind in ("simple", "complex")),
        "toy",
        *(f"vgg{depth}{bn}" for depth in (11, 13, 16, 19) for bn in ("", "_bn")),
        *("vgg11_lrn", "vgg16_c", "vgg16_c_bn"),
    }


def test_stages_are_pooled_over_positions() -> None:
    torch.manual_seed(0)
    network = create_network("toy").eval()
    x = torch.randn(2, 3, 30, 21)
    names = ["stage1", "stage1:max", "stage1:avg+max", "stage2", "stages", "features"]
    with torch.inference_mode():
        vectors = network.embed(x, names)
        first, last = network.forward_stages(x)
    assert list(vectors) == names
    mean, most = first.mean((2, 3)), first.flatten(2).max(2).values
    torch.testing.assert_close(vectors["stage1"], mean)
    torch.testing.assert_close(vectors["stage1:max"], most)
    torch.testing.assert_close(vectors["stage1:avg+max"], torch.cat([mean, most], 1))
    both = torch.cat([mean, last.mean((2, 3))], 1)
    torch.testing.assert_close(vectors["stages"], both)
    torch.testing.assert_close(vectors["features"], vectors["stage2"])


def test_runs_no_deeper_than_needed() -> None:
    network = create_network("toy").eval()
    deeper = []
    network.body.register_forward_hook(lambda *_: deeper.append(True))  # type: ignore[operator]
    network.embed(torch.zeros(1, 3, 9, 9), ["stage1:max", "stage1"])
    assert not deeper
    network.embed(torch.zeros(1, 3, 9, 9), ["stages"])
    assert deeper


def test_unknown_network_is_named() -> None:
    with pytest.raises(UnknownNameError, match="'vgg99'.*squeezenet1_1"):
        create_network("vgg99")


def test_second_registration_raises() -> None:
    def toy() -> None: ...

    with pytest.raises(ValueError, match="twice"):
        register_network(toy)  # type: ignore[type-var]


def test_shapes_do_without_the_compiler() -> None:
    # which takes seconds to load
    code = (
        "import sys, torch\n"
        "from orangecontrib.imagemining.networks import *\n"
        "from orangecontrib.imagemining.networks import without_numbers\n"
        "for name in ('squeezenet1_1', 'resnet18', 'vgg11', 'alexnet'):\n"
        "    with without_numbers():\n"
        "        network = create_network(name, num_classes=3)\n"
        "    assert all(p.is_meta for p in network.parameters())\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "network = create_network('toy', num_classes=3)\n"
        "assert not any(p.is_meta for p in network.parameters())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
