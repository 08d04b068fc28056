"""VGG's configurations without a published twin, and its dense evaluation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.networks.vgg import VGG


def small(configuration: str = "A", **options: object) -> VGG:
    """A network whose fully connected layers are small, for speed."""
    torch.manual_seed(0)
    return VGG(configuration, 5, hidden=16, **options)  # type: ignore[arg-type]


def parameters_by_hand(convolutions: list[tuple[int, int, int]]) -> int:
    """Add up these convolutions (side, channels in, out) and the three linear maps."""
    fully_connected = 7 * 7 * 512 * 4096 + 4096
    fully_connected += 4096 * 4096 + 4096
    fully_connected += 4096 * 1000 + 1000
    return fully_connected + sum(
        side**2 * channels * width + width for side, channels, width in convolutions
    )


def parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in create_network(name).parameters())


def test_parameters_of_a_lrn() -> None:
    by_hand = parameters_by_hand(
        [
            (3, 3, 64),
            (3, 64, 128),
            (3, 128, 256),
            (3, 256, 256),
            (3, 256, 512),
            (3, 512, 512),
            (3, 512, 512),
            (3, 512, 512),
        ]
    )
    assert parameters("vgg11_lrn") == by_hand  # the normalisation has none
    assert round(by_hand / 1e6) == 133  # Table 2


def test_parameters_of_c() -> None:
    convolutions = [
        (3, 3, 64),
        (3, 64, 64),
        (3, 64, 128),
        (3, 128, 128),
        (3, 128, 256),
        (3, 256, 256),
        (1, 256, 256),
        (3, 256, 512),
        (3, 512, 512),
        (1, 512, 512),
        (3, 512, 512),
        (3, 512, 512),
        (1, 512, 512),
    ]
    by_hand = parameters_by_hand(convolutions)
    assert parameters("vgg16_c") == by_hand
    assert round(by_hand / 1e6) == 134  # Table 2
    # normalisation adds a factor and a sum for each filter
    normalisation = sum(2 * width for _, _, width in convolutions)
    assert parameters("vgg16_c_bn") == by_hand + normalisation


@pytest.mark.parametrize(
    ("configuration", "options"),
    [("A", {"lrn": True}), ("C", {}), ("C", {"batch_norm": True})],
)
def test_gradients_reach_all_parameters(
    configuration: str, options: dict[str, object]
) -> None:
    network = small(configuration, **options)
    x = torch.randn(10, 3, 40, 33)
    loss = nn.functional.cross_entropy(network(x), torch.arange(10) % 5)
    loss.backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, key


def test_response_normalisation_is_krizhevskys() -> None:
    network = small(lrn=True).eval()
    x = 300 * torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        a = network.features[:2](x)
        normalised = network.features[2](a)
    for channel in (0, 1, 30, 63):
        around = a[:, max(channel - 2, 0) : channel + 3]
        expected = a[:, channel] / (2 + 1e-4 * around.square().sum(1)) ** 0.75
        torch.testing.assert_close(normalised[:, channel], expected)


@pytest.mark.parametrize("layer", ["features", "logits"])
def test_dense_equals_fully_connected_at_the_papers_size(layer: str) -> None:
    network = small().eval()
    dense = small(dense=True).eval()
    dense.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        vectors = dense.embed(x, [layer])[layer]
        torch.testing.assert_close(vectors, network.embed(x, [layer])[layer])


def test_dense_is_the_convolutional_network_of_section_3_2() -> None:
    dense = small(dense=True).eval()
    first, second, third = (dense.classifier[i] for i in (0, 3, 6))
    convolutions = nn.Sequential(
        nn.Conv2d(512, 16, 7), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU()
    )
    last = nn.Conv2d(16, 5, 1)
    for conv, linear in (
        (convolutions[0], first),
        (convolutions[2], second),
        (last, third),
    ):
        shape = conv.weight.shape
        conv.load_state_dict(
            {"weight": linear.weight.reshape(shape), "bias": linear.bias}
        )
    x = torch.randn(2, 3, 300, 256)
    with torch.inference_mode():
        features = convolutions(dense.forward_features(x))
        expected = last(features)
        assert expected.shape == (2, 5, 3, 2)
        torch.testing.assert_close(dense.score_map(x), expected)
        vectors = dense.embed(x, ["features", "logits"])
    torch.testing.assert_close(vectors["features"], features.mean((2, 3)))
    torch.testing.assert_close(vectors["logits"], expected.mean((2, 3)))


def test_dense_needs_the_papers_size() -> None:
    x = torch.zeros(1, 3, 223, 240)
    with pytest.raises(ImageError, match="240 × 223 pixels .* 224 × 224"):
        small(dense=True)(x)
    with pytest.raises(ImageError, match="240 × 223 pixels .* 224 × 224"):
        small().score_map(x)


def test_deeper_network_begins_with_the_shallower() -> None:
    shallow = small("A")
    deep = small("D")
    before = {key: value.clone() for key, value in deep.state_dict().items()}
    deep.initialise_from(shallow)
    # conv1_1, conv2_1, conv3_1 and conv3_2 of either
    for ours, theirs in ((0, 0), (5, 3), (10, 6), (12, 8)):
        assert torch.equal(deep.features[ours].weight, shallow.features[theirs].weight)
    for index in (0, 3, 6):
        assert torch.equal(
            deep.classifier[index].weight, shallow.classifier[index].weight
        )
    after = deep.state_dict()
    same = {key for key in before if torch.equal(before[key], after[key])}
    weights = {f"features.{i}.weight" for i in (2, 7, 14, 17, 19, 21, 24, 26, 28)}
    assert weights < same


def test_deeper_network_does_not_begin_with_other_classes() -> None:
    with pytest.raises(ValueError, match="7 and 5 classes"):
        small("B").initialise_from(VGG("A", 7, hidden=16))


def test_beginnings() -> None:
    conv = small(start="normal").features[8]  # 256 filters of 3×3 on 256 channels
    assert conv.weight.std().item() == pytest.approx(0.1, rel=0.01)
    assert not conv.bias.any()
    conv = small().features[8]
    assert conv.weight.std().item() == pytest.approx((1 / (9 * 256)) ** 0.5, rel=0.01)
    assert not conv.bias.any()


def test_wrong_names_are_told() -> None:
    with pytest.raises(ValueError, match="'F', only A, B, C, D, E"):
        small("F")
    with pytest.raises(ValueError, match="not by 'zeros'"):
        small(start="zeros")


def test_dropout_in_training_only() -> None:
    network = small()
    features = torch.randn(1, 512, 7, 7)
    with torch.no_grad():
        network.eval()
        assert torch.equal(
            network.forward_head(features), network.forward_head(features)
        )
        network.train()
        assert not torch.equal(
            network.forward_head(features), network.forward_head(features)
        )
        values = network.forward_head(torch.ones(64, 512, 7, 7), pre_logits=True)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert (values == 0).float().mean() > 0.4


def test_width_narrows_all_layers() -> None:
    with torch.device("meta"):
        network = create_network("vgg16", num_classes=10, width=0.25)
    assert network.stage_sizes == [16, 32, 64, 128, 128]
    assert network.num_features == 1024
    assert isinstance(network, VGG)
    assert [m.in_features for m in network.classifier if isinstance(m, nn.Linear)] == [
        *(7 * 7 * 128, 1024, 1024)
    ]
    with pytest.raises(ValueError, match="no filters"):
        VGG("A", width=0.001)


def test_small_images_need_no_giant_layers() -> None:
    torch.manual_seed(0)
    network = VGG("A", 10, small_images=True, width=0.25).eval()
    assert [m.in_features for m in network.classifier if isinstance(m, nn.Linear)] == [
        *(128, 128, 128)
    ]
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        features = network.forward_features(x)
        assert features.shape == (2, 128, 1, 1)
        vector = network.classifier(features.flatten(1))
        torch.testing.assert_close(network(x), vector)
        # applied everywhere it is the same, where there is one place
        torch.testing.assert_close(network.score_map(x)[:, :, 0, 0], vector)


def test_batch_normalisation_goes_along_into_deeper_nets() -> None:
    shallow, deep = small(batch_norm=True), small("D", batch_norm=True)
    for module in shallow.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
    before = [layer.running_mean for layer in deep.features if is_norm(layer)]
    before = [mean.clone() for mean in before]
    deep.initialise_from(shallow)
    theirs = [layer.running_mean for layer in shallow.features if is_norm(layer)]
    own = [layer.running_mean for layer in deep.features if is_norm(layer)]
    # conv1_1, conv2_1, conv3_1 and conv3_2 of 13
    for place, source in {0: 0, 2: 1, 4: 2, 5: 3}.items():
        assert torch.equal(own[place], theirs[source])
    for place in (1, 3, 6, 7):
        assert torch.equal(own[place], before[place])
    plain = small("D")
    plain.initialise_from(shallow)
    torch.testing.assert_close(plain.features[0].weight, shallow.features[0].weight)


def is_norm(layer: nn.Module) -> bool:
    return isinstance(layer, nn.BatchNorm2d)
