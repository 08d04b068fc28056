"""What the values of AlexNet do not show."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orangecontrib.imagemining.networks import create_network


def test_begins_as_the_paper_says() -> None:
    torch.manual_seed(0)
    network = create_network("alexnet")
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    for module in (*convolutions[1:], *linear):
        assert module.weight.std().item() == pytest.approx(0.01, rel=0.02)
    # section 5: ones in the second, fourth and fifth convolution and the hidden layers
    biases = [set(m.bias.tolist()) for m in (*convolutions, *linear)]
    assert biases == [{0.0}, {1.0}, {0.0}, {1.0}, {1.0}, {1.0}, {1.0}, {0.0}]


def test_size_is_that_of_squeezenets_table_2() -> None:
    with torch.device("meta"):
        parameters = create_network("alexnet").parameters()
    # 32 bits each; its form of 2012, by which the paper goes, has 60,965,224: 240 MB
    assert 4 * sum(p.numel() for p in parameters) / 1e6 == pytest.approx(240, rel=0.02)


def test_dropout_before_the_first_two_linear_maps() -> None:
    with torch.device("meta"):
        network = create_network("alexnet", dropout=0.3)
    kinds = [type(m) for m in network.classifier]  # type: ignore[union-attr]
    assert kinds == [
        *(nn.Dropout, nn.Linear, nn.ReLU),
        *(nn.Dropout, nn.Linear, nn.ReLU),
        nn.Linear,
    ]
    dropouts = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    assert [m.p for m in dropouts] == [0.3, 0.3]
