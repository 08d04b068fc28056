"""Inception-ResNet: Inception modules that learn what to add to their input.

Szegedy et al. 2016, arXiv:1602.07261, Figures 7 and 10 to 20, Table 1, section 3.3.
Parameters are named as in facenet-pytorch (v1) and timm (v2), so that the weights
published there fit. As published, the networks differ from the figures: v2 has the stem
of Inception-v3, 10, 20 and 10 modules, one more convolution at the end, and 1088
channels where Figure 17 prints 1154; v1 ends by way of 512 numbers, which describe
faces; the last module of either is neither scaled nor followed by a ReLU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from orangecontrib.imagemining.networks._base import Network, pooled
from orangecontrib.imagemining.networks._blocks import (
    Conv,
    ConvBN,
    Paths,
    convolutions,
    initialise,
    narrowed,
    reduction_a,
    same_pool,
    small_pool,
)
from orangecontrib.imagemining.networks._registry import register_network
from orangecontrib.imagemining.specs import Layer

__all__ = [
    "SCALES",
    "InceptionResNetV1",
    "InceptionResNetV2",
    "Residual",
    "inception_resnet_v1",
    "inception_resnet_v2",
]

#: What residuals of the modules A, B and C are multiplied with: section 3.3 has 0.1 to
#: 0.3, the published networks these.
SCALES = (0.17, 0.1, 0.2)


class Residual(nn.Module):
    """Paths side by side, whose scaled sum is added to the input (Figure 20).

    The sum is a linear 1×1 convolution (section 3.2).

    Parameters
    ----------
    channels
        Channels that come in and go out.
    scale
        What the residual is multiplied with before it is added.
    paths
        Convolutions side by side: numbers of filters with their kernels, in order.
    relu
        Whether a ReLU follows.
    width
        What all these numbers are multiplied with.
    """

    def __init__(
        self,
        channels: int,
        scale: float,
        *paths: tuple[tuple[int, int | tuple[int, int]], ...],
        relu: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        channels = narrowed(channels, width)
        self._paths = [f"branch{number}" for number in range(len(paths))]
        for name, path in zip(self._paths, paths, strict=True):
            before = channels
            row = []
            for filters, kernel in path:
                row.append(ConvBN(before, narrowed(filters, width), kernel))
                before = narrowed(filters, width)
            self.add_module(name, row[0] if len(row) == 1 else nn.Sequential(*row))
        together = sum(narrowed(path[-1][0], width) for path in paths)
        self.conv2d = nn.Conv2d(together, channels, kernel_size=1)
        self.scale = scale
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        outputs = [getattr(self, name)(x) for name in self._paths]
        x = x + self.scale * self.conv2d(torch.cat(outputs, dim=1))
        return torch.relu_(x) if self.relu else x


def _three(scales: Sequence[float] | float) -> tuple[float, float, float]:
    if isinstance(scales, (int, float)):
        return (scales, scales, scales)
    if len(scales) != 3:
        raise ValueError(f"there are three scales, not {len(scales)}")
    a, b, c = scales
    return a, b, c


def _reduction_b(conv: Conv, channels: int, widths: tuple[int, int, int, int]) -> Paths:
    """Return Reduction-B: Figures 12 (v1) and 18 (v2), from 17² to 8²."""
    first, second, third, fourth = widths
    return Paths(
        {
            "branch0": nn.Sequential(
                conv(channels, 256, 1), conv(256, first, 3, stride=2, same=False)
            )
        },
        {
            "branch1": nn.Sequential(
                conv(channels, 256, 1), conv(256, second, 3, stride=2, same=False)
            )
        },
        {
            "branch2": nn.Sequential(
                conv(channels, 256, 1),
                conv(256, third, 3),
                conv(third, fourth, 3, stride=2, same=False),
            )
        },
        {"branch3": small_pool()},
    )


class _InceptionResNet(Network):
    """What both versions share: a row of modules, which end stages here and there."""

    min_size = 75

    #: The stages' modules, in the order in which they run.
    _STAGES: tuple[tuple[str, ...], ...]

    def __init__(self, conv: Conv) -> None:
        super().__init__()
        self.conv2d_1a = conv(3, 32, 3, stride=2, same=False)
        self.conv2d_2a = conv(32, 32, 3, same=False)
        self.conv2d_2b = conv(32, 64, 3)
        self.maxpool_3a = small_pool()
        self.conv2d_3b = conv(64, 80, 1)
        self.conv2d_4a = conv(80, 192, 3, same=False)

    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        for names in self._STAGES:
            for name in names:
                x = getattr(self, name)(x)
            yield x


_STEM = ("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a")


class InceptionResNetV1(_InceptionResNet):
    """Inception-ResNet-v1.

    Stages: the stem, and the modules A, B and C on grids of 35 × 35, 17 × 17 and 8 × 8
    positions, which is what an image of 299² gives. The layer `embedding` is what the
    published network describes faces by: 512 numbers out of the features,
    batch-normalised, of length 1.

    Parameters
    ----------
    num_classes
        Number of logits.
    dropout
        Share of the last features left out in training (Figure 15: 0.8 are kept).
    scales
        What residuals of the modules A, B and C are multiplied with; one number holds
        for all three.
    width
        What all numbers of filters are multiplied with, a multiple of 1/16.

    Raises
    ------
    ValueError
        If there is no network of that width, or these are not three scales.
    """

    _STAGES = (
        (*_STEM, "conv2d_4b"),
        ("repeat_1",),
        ("mixed_6a", "repeat_2"),
        ("mixed_7a", "repeat_3", "block8"),
    )

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.2,
        scales: Sequence[float] | float = SCALES,
        width: float = 1.0,
    ) -> None:
        def module_c(scale: float, relu: bool) -> Residual:
            second = ((192, 1), (192, (1, 3)), (192, (3, 1)))
            return Residual(1792, scale, ((192, 1),), second, relu=relu, width=width)

        conv = convolutions(width)
        super().__init__(conv)
        a, b, c = _three(scales)
        self.num_classes = num_classes
        self.stage_sizes = [narrowed(n, width) for n in (256, 256, 896, 1792)]
        self.num_features = self.stage_sizes[-1]
        described = narrowed(512, width)
        self.stage_names = ["the stem", "the modules A", "those B", "those C"]
        self.conv2d_4b = conv(192, 256, 3, stride=2, same=False)
        self.repeat_1 = nn.Sequential(  # Figure 10
            *(
                Residual(
                    256,
                    a,
                    ((32, 1),),
                    ((32, 1), (32, 3)),
                    ((32, 1), (32, 3), (32, 3)),
                    width=width,
                )
                for _ in range(5)
            )
        )
        self.mixed_6a = reduction_a(conv, 256, 192, 192, 256, 384)
        self.repeat_2 = nn.Sequential(  # Figure 11
            *(
                Residual(
                    896,
                    b,
                    ((128, 1),),
                    ((128, 1), (128, (1, 7)), (128, (7, 1))),
                    width=width,
                )
                for _ in range(10)
            )
        )
        self.mixed_7a = _reduction_b(conv, 896, (384, 256, 256, 256))
        # Figure 13
        self.repeat_3 = nn.Sequential(*(module_c(c, True) for _ in range(5)))
        self.block8 = module_c(1, False)
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(self.num_features, described, bias=False)
        self.last_bn = nn.BatchNorm1d(described, eps=0.001)
        self.logits = nn.Linear(described, num_classes)
        initialise(self)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        vector = pooled(features)
        return vector if pre_logits else self.logits(self._described(vector))

    def layers(self) -> list[Layer]:
        """Return the layers that vectors can be taken from, with their sizes."""
        described = Layer(
            "embedding",
            self.logits.in_features,
            "what the network describes a face by",
        )
        return [*super().layers(), described]

    def head_vector(self, name: str, features: Tensor) -> Tensor:
        if name == "embedding":
            return functional.normalize(self._described(pooled(features)))
        return super().head_vector(name, features)

    def classifier_input(self, vector: Tensor) -> Tensor:
        """Return the 512 numbers that describe a face, before they have length 1."""
        return self._described(vector)

    def _described(self, vector: Tensor) -> Tensor:
        return self.last_bn(self.last_linear(self.dropout(vector)))

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.logits = nn.Linear(self.logits.in_features, num_classes)
        initialise(self.logits)


class InceptionResNetV2(_InceptionResNet):
    """Inception-ResNet-v2.

    Stages: the stem, and the modules A, B and C on grids of 35 × 35, 17 × 17 and 8 × 8
    positions, which is what an image of 299² gives.

    Parameters
    ----------
    num_classes
        Number of logits.
    dropout
        Share of the last features left out in training (Figure 15: 0.8 are kept).
    scales
        What residuals of the modules A, B and C are multiplied with; one number holds
        for all three.
    width
        What all numbers of filters are multiplied with, a multiple of 1/16.

    Raises
    ------
    ValueError
        If there is no network of that width, or these are not three scales.
    """

    _STAGES = (
        (*_STEM, "maxpool_5a", "mixed_5b"),
        ("repeat",),
        ("mixed_6a", "repeat_1"),
        ("mixed_7a", "repeat_2", "block8", "conv2d_7b"),
    )

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.2,
        scales: Sequence[float] | float = SCALES,
        width: float = 1.0,
    ) -> None:
        def module_c(scale: float, relu: bool) -> Residual:
            second = ((192, 1), (224, (1, 3)), (256, (3, 1)))
            return Residual(2080, scale, ((192, 1),), second, relu=relu, width=width)

        conv = convolutions(width)
        super().__init__(conv)
        a, b, c = _three(scales)
        self.num_classes = num_classes
        self.stage_sizes = [narrowed(n, width) for n in (320, 320, 1088, 1536)]
        self.num_features = self.stage_sizes[-1]
        self.stage_names = ["the stem", "the modules A", "those B", "those C"]
        self.maxpool_5a = small_pool()
        self.mixed_5b = Paths(
            {"branch0": conv(192, 96, 1)},
            {"branch1": nn.Sequential(conv(192, 48, 1), conv(48, 64, 5))},
            {
                "branch2": nn.Sequential(
                    conv(192, 64, 1), conv(64, 96, 3), conv(96, 96, 3)
                )
            },
            {"branch3": nn.Sequential(same_pool(), conv(192, 64, 1))},
        )
        self.repeat = nn.Sequential(  # Figure 16
            *(
                Residual(
                    320,
                    a,
                    ((32, 1),),
                    ((32, 1), (32, 3)),
                    ((32, 1), (48, 3), (64, 3)),
                    width=width,
                )
                for _ in range(10)
            )
        )
        self.mixed_6a = reduction_a(conv, 320, 256, 256, 384, 384)
        self.repeat_1 = nn.Sequential(  # Figure 17
            *(
                Residual(
                    1088,
                    b,
                    ((192, 1),),
                    ((128, 1), (160, (1, 7)), (192, (7, 1))),
                    width=width,
                )
                for _ in range(20)
            )
        )
        self.mixed_7a = _reduction_b(conv, 1088, (384, 288, 288, 320))
        # Figure 19
        self.repeat_2 = nn.Sequential(*(module_c(c, True) for _ in range(9)))
        self.block8 = module_c(1, False)
        self.conv2d_7b = conv(2080, 1536, 1)
        self.dropout = nn.Dropout(dropout)
        self.classif = nn.Linear(self.num_features, num_classes)
        initialise(self)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        vector = pooled(features)
        return vector if pre_logits else self.classif(self.dropout(vector))

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classif = nn.Linear(self.num_features, num_classes)
        initialise(self.classif)


@register_network
def inception_resnet_v1(
    num_classes: int = 1000,
    dropout: float = 0.2,
    scales: Sequence[float] | float = SCALES,
    width: float = 1.0,
) -> InceptionResNetV1:
    """Inception-ResNet-v1: 23,995,624 parameters with 1,000 classes."""
    return InceptionResNetV1(num_classes, dropout, scales, width)


@register_network
def inception_resnet_v2(
    num_classes: int = 1000,
    dropout: float = 0.2,
    scales: Sequence[float] | float = SCALES,
    width: float = 1.0,
) -> InceptionResNetV2:
    """Inception-ResNet-v2: 55,843,464 parameters with 1,000 classes."""
    return InceptionResNetV2(num_classes, dropout, scales, width)
