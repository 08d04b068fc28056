"""What every network in the registry keeps."""

from __future__ import annotations

import pytest
import torch

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.networks import (
    create_network,
    network_names,
    register_network,
)

SIZE = {"toy": (20, 24)}


@pytest.fixture(params=network_names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def images(name: str) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 3, *SIZE.get(name, (75, 91)))


def test_logits_and_features_have_their_sizes(name: str) -> None:
    network = create_network(name, num_classes=7).eval()
    x = images(name)
    features = network.forward_features(x)
    assert features.ndim == 4
    assert network(x).shape == (2, 7)
    vector = network.forward_head(features, pre_logits=True)
    assert vector.shape == (2, network.num_features)


def test_layers_tell_the_truth(name: str) -> None:
    network = create_network(name).eval()
    layers = network.layers()
    vectors = network.embed(images(name), [layer.name for layer in layers])
    assert {k: v.shape for k, v in vectors.items()} == {
        layer.name: (2, layer.size) for layer in layers
    }


def test_unknown_layer_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="'nothing'"):
        create_network(name).embed(images(name), ["nothing"])


def test_gradients_reach_all_parameters(name: str) -> None:
    torch.manual_seed(0)
    network = create_network(name, num_classes=3)
    network(images(name)).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key


def test_reset_classifier(name: str) -> None:
    network = create_network(name)
    network.reset_classifier(4)
    assert network.num_classes == 4
    assert network.eval()(images(name)).shape == (2, 4)


def test_unknown_network_is_named() -> None:
    with pytest.raises(UnknownNameError, match="'vgg99'.*squeezenet1_1"):
        create_network("vgg99")


def test_second_registration_raises() -> None:
    def toy() -> None: ...

    with pytest.raises(ValueError, match="twice"):
        register_network(toy)  # type: ignore[type-var]
