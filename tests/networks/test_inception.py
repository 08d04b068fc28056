"""The Inception families against their papers' figures and tables."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orangecontrib.imagemining.networks import Network, create_network
from orangecontrib.imagemining.networks._blocks import ConvBN, Paths
from orangecontrib.imagemining.networks.inception_resnet import (
    InceptionResNetV2,
    Residual,
)


def build(name: str, **options: object) -> Network:
    with torch.device("meta"):
        return create_network(name, **options).eval()


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        # Table 1 of the Inception-v3 paper
        ("inception_v3", [(192, 35), (288, 35), (768, 17), (2048, 8)]),
        # Figures 9 and 15 of the Inception-v4 paper
        ("inception_v4", [(384, 35), (384, 35), (1024, 17), (1536, 8)]),
        ("inception_resnet_v1", [(256, 35), (256, 35), (896, 17), (1792, 8)]),
    ],
)
def test_grids_are_the_papers(name: str, stages: list[tuple[int, int]]) -> None:
    outputs = build(name).forward_stages(torch.empty(1, 3, 299, 299, device="meta"))
    assert [x.shape for x in outputs] == [(1, c, side, side) for c, side in stages]


@pytest.mark.parametrize(
    ("name", "module", "klmn"),
    [
        ("inception_v4", "features.10", (192, 224, 256, 384)),
        ("inception_resnet_v1", "mixed_6a", (192, 192, 256, 384)),
        ("inception_resnet_v2", "mixed_6a", (256, 256, 384, 384)),
    ],
)
def test_reduction_a_is_that_of_table_1(
    name: str, module: str, klmn: tuple[int, ...]
) -> None:
    reduction = build(name).get_submodule(module)
    convolutions = [m for m in reduction.modules() if isinstance(m, nn.Conv2d)]
    n, k, l, m = (conv.out_channels for conv in convolutions)  # noqa: E741
    assert (k, l, m, n) == klmn
    assert [conv.stride for conv in convolutions] == [(2, 2), (1, 1), (1, 1), (2, 2)]


def test_paths_fork_and_are_concatenated_in_order() -> None:
    double, negative = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
    for conv, factor in ((double, 2.0), (negative, -1.0)):
        nn.init.constant_(conv.weight, factor)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    paths = Paths(
        {"same": nn.Identity()},
        {"first": double, "fork": {"left": double, "right": negative}},
    )
    x = torch.rand(1, 1, 2, 2)
    torch.testing.assert_close(paths(x), torch.cat([x, 4 * x, -2 * x], 1))
    assert {key.partition(".")[0] for key in paths.state_dict()} == {
        *("first", "left", "right")
    }


def test_auxiliary_classifier_is_that_of_figure_8() -> None:
    network = build("inception_v3")
    shapes = []
    for module in (network.AuxLogits.conv0, network.AuxLogits.conv1):  # type: ignore[union-attr]
        assert isinstance(module, ConvBN)  # section 4: both are batch-normalised
        module.register_forward_hook(lambda _m, _x, y: shapes.append(y.shape[1:]))
    x = torch.empty(2, 3, 299, 299, device="meta")
    network(x)
    network.embed(x, ["logits"])
    assert not shapes  # for training only
    logits, auxiliary = network.forward_training(x)
    assert logits.shape == auxiliary.shape == (2, 1000)
    assert shapes == [(128, 5, 5), (768, 1, 1)]


def test_auxiliary_classifier_sees_small_images_too() -> None:
    x = torch.empty(2, 3, 75, 298, device="meta")
    logits, auxiliary = build("inception_v3").forward_training(x)
    assert logits.shape == auxiliary.shape == (2, 1000)


def test_auxiliary_classifier_can_be_left_out() -> None:
    x = torch.empty(2, 3, 299, 299, device="meta")
    without = build("inception_v3", auxiliary=False)
    (logits,) = without.forward_training(x)
    assert logits.shape == (2, 1000)
    without.reset_classifier(3)
    # 128 · 768 and 5² · 128 · 768 weights, normalisation, the linear map
    head = 768 * 128 + 25 * 128 * 768 + 2 * (128 + 768) + 768 * 1000 + 1000
    whole = sum(p.numel() for p in build("inception_v3").parameters())
    without = build("inception_v3", auxiliary=False)
    assert sum(p.numel() for p in without.parameters()) == whole - head


def test_residuals_are_scaled() -> None:
    torch.manual_seed(0)
    paths = ((2, 1),), ((3, 1), (4, (1, 3)))
    module = Residual(5, 0.1, *paths).eval()
    x = torch.randn(2, 5, 6, 7)
    with torch.inference_mode():
        residual = module.conv2d(torch.cat([module.branch0(x), module.branch1(x)], 1))
        torch.testing.assert_close(module(x), (x + 0.1 * residual).clamp(min=0))
        module.relu = False
        torch.testing.assert_close(module(x), x + 0.1 * residual)


def test_scales_can_be_chosen() -> None:
    with torch.device("meta"):
        network = InceptionResNetV2(scales=(0.1, 0.2, 0.3))
    scales = [m.scale for m in network.modules() if isinstance(m, Residual)]
    assert scales == [0.1] * 10 + [0.2] * 20 + [0.3] * 9 + [1]


def test_embedding_of_v1_has_length_1() -> None:
    torch.manual_seed(0)
    network = create_network("inception_resnet_v1").eval()
    x = torch.randn(2, 3, 80, 90)
    with torch.inference_mode():
        vectors = network.embed(x, ["embedding", "features", "logits"])
        described = network.last_bn(network.last_linear(vectors["features"]))  # type: ignore[operator]
        logits = network.logits(described)  # type: ignore[operator]
    length = described.square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(vectors["embedding"], described / length)
    torch.testing.assert_close(vectors["logits"], logits)


@pytest.mark.parametrize(
    "name", ["inception_v3", "inception_v4", "inception_resnet_v1"]
)
def test_dropout_in_training_only(name: str) -> None:
    network = build(name)
    (dropout,) = (m for m in network.modules() if isinstance(m, nn.Dropout))
    assert dropout.p == pytest.approx(0.2)  # Figures 9 and 15: 0.8 are kept
    # only what is behind the last stage is needed, and needs values
    network = network.to_empty(device="cpu")
    for tensor in (*network.parameters(), *network.buffers()):
        nn.init.ones_(tensor)
    features = torch.randn(3, network.stage_sizes[-1], 1, 1)
    with torch.no_grad():
        first = network.forward_head(features)
        assert torch.equal(first, network.forward_head(features))
        dropout.train()
        assert not torch.equal(first, network.forward_head(features))
        # the vectors that people take are not thinned out
        network.eval()
        vector = network.forward_head(features, pre_logits=True)
    assert torch.equal(vector, features.flatten(1))


NARROW = ["inception_v3", "inception_v4", "inception_resnet_v1", "inception_resnet_v2"]


@pytest.mark.parametrize("name", NARROW)
def test_narrow_networks_have_that_share_of_each_layer(name: str) -> None:
    whole, narrow = (
        build(name, num_classes=16),
        build(name, num_classes=1, width=0.0625),
    )
    ours = dict(narrow.state_dict())
    for key, tensor in whole.state_dict().items():
        expected = [
            n if n == 3 and key.endswith("weight") else n / 16 for n in tensor.shape[:2]
        ]
        assert list(ours[key].shape[:2]) == expected, key
    assert narrow.stage_sizes == [n // 16 for n in whole.stage_sizes]
    x = torch.empty(2, 3, 96, 80, device="meta")
    assert all(y.shape == (2, 1) for y in narrow.train().forward_training(x))
    assert [layer.size for layer in narrow.layers()][1:] == [
        layer.size // 16 for layer in whole.layers()
    ][1:]
    narrow.reset_classifier(5)


@pytest.mark.parametrize("width", [0.3, 0, -1])
def test_widths_that_give_no_whole_numbers_are_refused(width: float) -> None:
    for name in NARROW:
        with pytest.raises(ValueError, match="multiple of 1/16"):
            build(name, width=width)


@pytest.mark.parametrize("name", ["inception_resnet_v1", "inception_resnet_v2"])
def test_builders_take_scales(name: str) -> None:
    for scales, expected in (([0.1, 0.2, 0.3], {0.1, 0.2, 0.3, 1}), (0.3, {0.3, 1})):
        modules = build(name, width=0.0625, scales=scales).modules()
        assert {m.scale for m in modules if isinstance(m, Residual)} == expected
    with pytest.raises(ValueError, match="three scales, not 2"):
        build(name, width=0.0625, scales=[0.1, 0.2])
