"""SqueezeNet 1.1 against the published definition, by value."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from orangecontrib.imagemining.networks import create_network

REFERENCE = Path(__file__).parents[1] / "data" / "squeezenet1_1_224.npz"


def formula_weights(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Return weights that depend on names and shapes alone.

    The reference vectors were made by the published definition (torchvision 0.28) with
    these weights, and with the input of `formula_images`.
    """
    weights = {}
    for name, shape in shapes.items():
        u = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1, 1, shape)
        u = 0.1 * u if len(shape) == 1 else u * math.sqrt(6 / np.prod(shape[1:]))
        weights[name] = torch.from_numpy(np.asarray(u, np.float32))
    return weights


def formula_images(size: int) -> torch.Tensor:
    values = np.random.RandomState(size).standard_normal((2, 3, size, size))
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="module")
def reference() -> dict[str, NDArray[np.float32]]:
    with np.load(REFERENCE, allow_pickle=False) as content:
        return dict(content)


@pytest.fixture(scope="module")
def network(reference: dict[str, NDArray[np.float32]]) -> torch.nn.Module:
    network = create_network("squeezenet1_1")
    shapes = json.loads(str(reference["shapes"]))
    network.load_state_dict(formula_weights(shapes), strict=True)
    return network.eval()


def test_number_of_parameters(network: torch.nn.Module) -> None:
    assert sum(p.numel() for p in network.parameters()) == 1_235_496


@pytest.mark.parametrize("layer", ["logits", "features"])
def test_vectors_are_those_of_the_published_network(
    network: torch.nn.Module, reference: dict[str, NDArray[np.float32]], layer: str
) -> None:
    with torch.inference_mode():
        vectors = network.embed(formula_images(224), [layer])[layer].numpy()  # type: ignore[operator]
    error = np.abs(vectors - reference[layer]).max() / np.abs(reference[layer]).max()
    assert error < 1e-4


def test_stages_are_means_of_fire5_fire7_and_fire9(network: torch.nn.Module) -> None:
    x = formula_images(97)
    with torch.inference_mode():
        vectors = network.embed(x, ["stages", "features"])  # type: ignore[operator]
        fire5 = network.features[:8](x).mean((2, 3))  # type: ignore[index]
    assert vectors["stages"].shape == (2, 256 + 384 + 512)
    torch.testing.assert_close(vectors["stages"][:, :256], fire5)
    torch.testing.assert_close(vectors["stages"][:, 640:], vectors["features"])


def test_pooling_rounds_up() -> None:
    # Caffe's 227: 113 after conv1, then 56, 28, 14; rounding down gives 13 at the end
    features = create_network("squeezenet1_1").forward_features
    with torch.inference_mode():
        assert features(torch.zeros(1, 3, 227, 227)).shape == (1, 512, 14, 14)
        assert features(torch.zeros(1, 3, 230, 227)).shape == (1, 512, 14, 14)
