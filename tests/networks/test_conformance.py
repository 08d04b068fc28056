"""The networks against the published definitions, by value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import formula
import numpy as np
import pytest
import torch

from orangecontrib.imagemining.networks import Network, create_network

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
NAMES = [path.stem for path in sorted(REFERENCE.glob("*.npz"))]


@pytest.fixture(scope="module", autouse=True)
def _memory() -> Iterator[None]:
    yield
    formula.forget()


@pytest.fixture(scope="module", params=NAMES)
def published(request: pytest.FixtureRequest) -> SimpleNamespace:
    """A reference, and the network of its name under the same weights."""
    name, _, size = request.param.rpartition("_")
    with np.load(REFERENCE / f"{request.param}.npz", allow_pickle=False) as content:
        reference = dict(content)
    # without values of its own, which would be drawn only to be replaced
    with torch.device("meta"):
        network = create_network(name)
    weights = formula.formula_weights(json.loads(str(reference["shapes"])))
    network.load_state_dict(weights, strict=True, assign=True)
    return SimpleNamespace(network=network.eval(), size=int(size), **reference)


def test_all_published_networks_are_there() -> None:
    assert len(NAMES) == 18


def test_number_of_parameters(published: SimpleNamespace) -> None:
    parameters = published.network.parameters()
    assert sum(p.numel() for p in parameters) == published.parameters


def test_vectors_are_those_of_the_published_network(published: SimpleNamespace) -> None:
    network: Network = published.network
    images = formula.formula_images(published.size)
    with torch.inference_mode():
        vectors = network.embed(images, ["features", "logits"])
        # the ways to the same numbers
        if published.size < 200:
            torch.testing.assert_close(network(images), vectors["logits"])
    for layer, values in vectors.items():
        expected = getattr(published, layer)
        assert values.shape == expected.shape
        error = np.abs(values.numpy() - expected).max() / np.abs(expected).max()
        assert error < 1e-4, (layer, error)
