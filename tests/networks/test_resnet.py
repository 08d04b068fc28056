"""ResNet's CIFAR form, which has no published twin, and what the values do not show."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.networks.resnet import Basic, ResNet


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85), (110, 1.7)]
)
def test_parameters_of_cifars_form(depth: int, millions: float) -> None:
    # 6n + 2 layers: a first convolution, three stages of n blocks of two, a linear map
    n = (depth - 2) // 6

    def conv(width_in: int, width: int) -> int:
        return 9 * width_in * width + 2 * width  # 3×3 weights, and normalisation's two

    by_hand = conv(3, 16)
    by_hand += 2 * n * conv(16, 16)
    by_hand += conv(16, 32) + (2 * n - 1) * conv(32, 32)
    by_hand += conv(32, 64) + (2 * n - 1) * conv(64, 64)
    by_hand += 64 * 10 + 10  # the linear map; shortcuts have none
    network = create_network(f"resnet{depth}_cifar")
    assert sum(p.numel() for p in network.parameters()) == by_hand
    # Table 6 of the paper
    assert by_hand / 1e6 == pytest.approx(millions, rel=0.02)


def test_cifars_stages_have_the_papers_sizes() -> None:
    with torch.inference_mode():
        stages = create_network("resnet20_cifar").eval()
        shapes = [x.shape for x in stages.forward_stages(torch.zeros(1, 3, 32, 32))]
    assert shapes == [(1, 16, 32, 32), (1, 32, 16, 16), (1, 64, 8, 8)]


def test_gradients_reach_all_parameters_of_cifars_form() -> None:
    torch.manual_seed(0)
    network = create_network("resnet20_cifar")
    x = torch.randn(8, 3, 32, 32)
    torch.nn.functional.cross_entropy(network(x), torch.arange(8)).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


def test_shortcut_without_parameters() -> None:
    block = Basic(2, 6, stride=2, zero_pad=True).eval()
    torch.nn.init.zeros_(block.bn2.weight)  # the block adds nothing of its own
    x = torch.rand(1, 2, 5, 4)
    with torch.inference_mode():
        y = block(x)
    assert y.shape == (1, 6, 3, 2)
    torch.testing.assert_close(y[:, :2], x[:, :, ::2, ::2])
    assert not y[:, 2:].any()


def test_begins_by_hes_rule() -> None:
    torch.manual_seed(0)
    network = create_network("resnet18")
    weight = network.layer3[0].conv2.weight  # type: ignore[index]
    assert weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.01)
    assert network.fc.weight.std().item() == pytest.approx(0.01, rel=0.01)  # type: ignore[union-attr]


def test_training_differs_from_evaluation() -> None:
    torch.manual_seed(0)
    network = ResNet(Basic, (1, 1, 1), 5, small_images=True)
    x = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        training = network.train()(x)  # by the batch's means, which it remembers
        first = network.eval()(x)
        torch.testing.assert_close(first, network(x))
        torch.testing.assert_close(first[:2], network(x[:2]))
    assert not torch.allclose(training, first)


@pytest.mark.parametrize(("n", "width"), [(1, 16), (3, 8), (5, 16)])
def test_depth_and_width_of_cifars_form(n: int, width: int) -> None:
    network = create_network("resnet_cifar", n=n, width=width)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) + 1 == 6 * n + 2
    assert network.stage_sizes == [width, 2 * width, 4 * width]
    # section 4.2: 32, 16 and 8 positions a side
    stages = network.forward_stages(torch.zeros(1, 3, 32, 32))
    assert [stage.shape[1:] for stage in stages] == [
        (width, 32, 32),
        (2 * width, 16, 16),
        (4 * width, 8, 8),
    ]


def test_papers_depth_is_the_same_network() -> None:
    shapes = [
        {key: value.shape for key, value in create_network(name).state_dict().items()}
        for name in ("resnet_cifar", "resnet20_cifar")
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("options", [{"n": 0}, {"width": 0}])
def test_networks_of_nothing_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="1 at least"):
        create_network("resnet_cifar", **options)


def test_features_are_dropped_out_in_training_alone() -> None:
    torch.manual_seed(0)
    network = create_network("resnet_cifar", n=1, dropout=0.5).train()
    features = torch.ones(1, 64, 1, 1)
    plain = network.fc(torch.ones(1, 64))  # type: ignore[operator]
    assert not torch.equal(network.forward_head(features), plain)
    torch.testing.assert_close(network.eval().forward_head(features), plain)
    assert torch.equal(network.forward_head(features, True), torch.ones(1, 64))
