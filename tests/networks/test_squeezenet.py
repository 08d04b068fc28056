"""SqueezeNet's space of designs, its bypasses, its stages and sizes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.networks.squeezenet import Fire, SqueezeNet


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def as_printed(n_parameters: int) -> float:
    """Size at 32 bits each, as file listings print it: in MiB, rounded up."""
    size = 4 * n_parameters / 2**20
    return math.ceil(size) if size > 10 else math.ceil(10 * size) / 10


def fires(network: SqueezeNet) -> list[Fire]:
    return [module for module in network.features if isinstance(module, Fire)]


def test_parameters_of_1_0_are_those_of_table_1() -> None:
    network = SqueezeNet()
    table = [11_920, 12_432, 45_344, 49_440, 104_880, 111_024, 188_992, 197_184]
    assert parameters(network.features[0]) == 14_208
    assert [parameters(fire) for fire in fires(network)] == table
    assert parameters(network.classifier) == 513_000
    assert parameters(network) == 1_248_424


def test_modules_of_1_0_are_those_of_table_1() -> None:
    filters = [
        tuple(conv.out_channels for conv in (f.squeeze, f.expand1x1, f.expand3x3))
        for f in fires(SqueezeNet())
    ]
    assert filters == [
        *[(16, 64, 64)] * 2,
        *[(32, 128, 128)] * 2,
        *[(48, 192, 192)] * 2,
        *[(64, 256, 256)] * 2,
    ]


@pytest.mark.parametrize(
    ("squeeze_ratio", "pct_3x3", "printed"),
    [
        (0.125, 0.5, 4.8),  # Figure 3 (a)
        (0.5, 0.5, 13),  # (a) and (b)
        (0.75, 0.5, 19),  # (a)
        (0.5, 0.01, 5.7),  # (b)
        (0.5, 0.99, 21),  # (b)
    ],
)
def test_sizes_of_designs_are_the_papers(
    squeeze_ratio: float, pct_3x3: float, printed: float
) -> None:
    network = create_network(
        "squeezenet1_0", squeeze_ratio=squeeze_ratio, pct_3x3=pct_3x3
    )
    assert as_printed(parameters(network)) == printed


def test_designs_follow_section_5_1() -> None:
    network = SqueezeNet(
        base_e=64, incr_e=32, pct_3x3=0.25, freq=3, squeeze_ratio=0.5, num_classes=4
    ).eval()
    expand = [64, 64, 64, 96, 96, 96, 128, 128]
    assert [f.expand3x3.out_channels for f in fires(network)] == [
        e // 4 for e in expand
    ]
    assert [f.expand1x1.out_channels for f in fires(network)] == [
        e * 3 // 4 for e in expand
    ]
    assert [f.squeeze.out_channels for f in fires(network)] == [e // 2 for e in expand]
    assert network.stage_sizes == [96, 96, 128] and network.num_features == 128
    with torch.inference_mode():
        layers = network.layers()
        vectors = network.embed(torch.zeros(2, 3, 40, 50), [x.name for x in layers])
    assert [vectors[x.name].shape for x in layers] == [(2, x.size) for x in layers]


def test_shares_are_rounded_to_the_nearest() -> None:
    network = SqueezeNet(pct_3x3=0.01, squeeze_ratio=0.3)
    threes = [f.expand3x3.out_channels for f in fires(network)]
    assert threes == [1, 1, 3, 3, 4, 4, 5, 5]
    assert [f.squeeze.out_channels for f in fires(network)][::2] == [38, 77, 115, 154]


def test_impossible_designs_are_told() -> None:
    with pytest.raises(ValueError, match="fire2 would have 0 filters to squeeze"):
        SqueezeNet(squeeze_ratio=0.001)
    with pytest.raises(ValueError, match="fire2 .* 0 of 3×3"):
        SqueezeNet(pct_3x3=0)
    with pytest.raises(ValueError, match="'2.0'"):
        SqueezeNet("2.0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'double'"):
        SqueezeNet(bypass="double")  # type: ignore[arg-type]


def test_parameters_of_bypasses() -> None:
    vanilla = 1_248_424
    simple = create_network("squeezenet1_0_simple_bypass")
    assert parameters(simple) == vanilla
    assert as_printed(vanilla) == 4.8  # Table 3
    by_hand = vanilla
    by_hand += 96 * 128 + 128  # around fire2: 1×1 weights and biases
    by_hand += 128 * 256 + 256  # around fire4
    by_hand += 256 * 384 + 384  # around fire6
    by_hand += 384 * 512 + 512  # around fire8
    complex_ = create_network("squeezenet1_0_complex_bypass")
    assert parameters(complex_) == by_hand == 1_589_672
    # Table 3 has 7.7: not what sections 5 and 6 and Figure 2 give
    assert as_printed(by_hand) == 6.1


@pytest.mark.parametrize(
    ("bypass", "around"),
    [
        ("none", {}),
        ("simple", dict.fromkeys((3, 5, 7, 9), "Identity")),
        (
            "complex",
            {n: "Identity" if n % 2 else "Conv2d" for n in range(2, 10)},
        ),
    ],
)
def test_bypasses_are_where_section_6_has_them(
    bypass: str, around: dict[int, str]
) -> None:
    network = SqueezeNet(bypass=bypass)  # type: ignore[arg-type]
    found = {
        number: type(fire.bypass).__name__
        for number, fire in enumerate(fires(network), start=2)
        if fire.bypass is not None
    }
    assert found == around


@pytest.mark.parametrize("in_channels", [6, 5])
def test_bypass_is_added(in_channels: int) -> None:
    torch.manual_seed(0)
    fire = Fire(in_channels, 2, 4, 2, bypass="complex")
    alone = Fire(in_channels, 2, 4, 2)
    alone.load_state_dict(fire.state_dict(), strict=False)
    x = torch.randn(2, in_channels, 5, 4)
    with torch.inference_mode():
        added = x if in_channels == 6 else fire.bypass(x)  # type: ignore[misc]
        torch.testing.assert_close(fire(x), alone(x) + added)


@pytest.mark.parametrize(
    "name",
    ["squeezenet1_0", "squeezenet1_0_simple_bypass", "squeezenet1_0_complex_bypass"],
)
def test_gradients_reach_all_parameters(name: str) -> None:
    torch.manual_seed(0)
    network = create_network(name, num_classes=3, dropout=0.0)
    logits = network(torch.randn(6, 3, 60, 60))
    torch.nn.functional.cross_entropy(logits, torch.arange(6) % 3).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


def test_begins_as_the_authors_settings_say() -> None:
    torch.manual_seed(0)
    network = SqueezeNet()
    weight = fires(network)[7].expand3x3.weight  # 256 filters of 3×3 on 64 channels
    assert weight.std().item() == pytest.approx((1 / (9 * 64)) ** 0.5, rel=0.01)
    assert network.classifier[1].weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not any(p.any() for k, p in network.named_parameters() if "bias" in k)


def test_dropout_after_fire9_in_training_only() -> None:
    torch.manual_seed(0)
    network = SqueezeNet(num_classes=7)
    features = torch.rand(1, 512, 3, 3)
    (dropout,) = (m for m in network.modules() if isinstance(m, torch.nn.Dropout))
    assert dropout is network.classifier[0] and dropout.p == 0.5
    head = network.forward_head
    with torch.no_grad():
        network.eval()
        assert torch.equal(head(features), head(features))
        network.train()
        assert not torch.equal(head(features), head(features))


def test_stages_are_means_of_fire5_fire7_and_fire9() -> None:
    torch.manual_seed(0)
    network = create_network("squeezenet1_1").eval()
    x = torch.randn(2, 3, 97, 97)
    with torch.inference_mode():
        vectors = network.embed(x, ["stages", "features"])
        fire5 = network.features[:8](x).mean((2, 3))  # type: ignore[index,operator]
    assert vectors["stages"].shape == (2, 256 + 384 + 512)
    torch.testing.assert_close(vectors["stages"][:, :256], fire5)
    torch.testing.assert_close(vectors["stages"][:, 640:], vectors["features"])


def test_pooling_rounds_up() -> None:
    # Caffe's 227: 113 after conv1, then 56, 28, 14; rounding down gives 13 at the end
    features = create_network("squeezenet1_1").forward_features
    with torch.inference_mode():
        assert features(torch.zeros(1, 3, 227, 227)).shape == (1, 512, 14, 14)
        assert features(torch.zeros(1, 3, 230, 227)).shape == (1, 512, 14, 14)


def test_variant_of_the_old_add_on() -> None:
    network = create_network("squeezenet_imageanalytics").eval()
    with torch.inference_mode():
        # one pixel of padding: 114 after the first convolution, then 56, 27, 13
        features = network.forward_features(torch.zeros(1, 3, 227, 227))
        assert features.shape == (1, 512, 13, 13)
        # and the mean of what is negative too
        last = network.classifier[1]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, -3)
        assert (network(torch.zeros(1, 3, 75, 75)) == -3).all()


def test_small_images_keep_their_size_at_first() -> None:
    network = SqueezeNet("1.0", 10, small_images=True).eval()
    first = network.features[0]
    assert isinstance(first, nn.Conv2d)
    assert (first.kernel_size, first.stride, first.padding) == ((3, 3), (1, 1), (1, 1))
    with torch.inference_mode():
        stages = network.forward_stages(torch.zeros(1, 3, 32, 32))
        # pooling, rounded up, three times: 16, 8, 4
        assert [stage.shape[2] for stage in stages] == [8, 8, 4]
        least = torch.zeros(1, 3, network.min_size, network.min_size)
        assert network(least).shape == (1, 10)
    network.min_size -= 1
    with pytest.raises(RuntimeError), torch.inference_mode():
        network(least[:, :, 1:, 1:])


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_designs_are_those_of_the_class(name: str) -> None:
    options = {
        **{"base_e": 16, "incr_e": 8, "freq": 4, "pct_3x3": 0.25},
        **{"squeeze_ratio": 0.5, "bypass": "complex", "last_relu": False},
    }
    network = create_network(name, num_classes=3, small_images=True, **options)
    assert isinstance(network, SqueezeNet)
    version = "1.0" if name == "squeezenet1_0" else "1.1"
    same = SqueezeNet(version, 3, small_images=True, **options)  # type: ignore[arg-type]
    shapes = [
        {key: value.shape for key, value in each.state_dict().items()}
        for each in (network, same)
    ]
    assert shapes[0] == shapes[1]
    assert isinstance(network.classifier[2], nn.Identity)
    fire = network.features[3]
    assert isinstance(fire, Fire)
    widths = [c.out_channels for c in (fire.squeeze, fire.expand1x1, fire.expand3x3)]
    assert widths == [8, 12, 4]


def test_without_the_last_relu_mean_and_classifier_commute() -> None:
    torch.manual_seed(0)
    network = create_network("squeezenet1_1", num_classes=4, last_relu=False).eval()
    with torch.inference_mode():
        vectors = network.embed(torch.randn(2, 3, 60, 70), ["features", "logits"])
        last = network.classifier[1]  # type: ignore[index]
        logits = vectors["features"] @ last.weight[:, :, 0, 0].T + last.bias
    torch.testing.assert_close(vectors["logits"], logits, atol=1e-5, rtol=1e-4)
