"""Inception-v4: more and more uniform Inception modules.

Szegedy et al. 2016, arXiv:1602.07261, Figures 3 to 9 and Table 1. Parameters are named
as in timm, so that the weights published there fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from orangecontrib.imagemining.networks._base import Network, pooled
from orangecontrib.imagemining.networks._blocks import (
    Conv,
    Paths,
    convolutions,
    initialise,
    narrowed,
    reduction_a,
    same_pool,
    small_pool,
)
from orangecontrib.imagemining.networks._registry import register_network

__all__ = ["InceptionV4", "inception_v4"]


def _stem(conv: Conv) -> list[nn.Module]:
    """Figure 3."""
    return [
        conv(3, 32, 3, stride=2, same=False),
        conv(32, 32, 3, same=False),
        conv(32, 64, 3),
        Paths(
            {"pool": small_pool()},
            {"conv": conv(64, 96, 3, stride=2, same=False)},
        ),
        Paths(
            {"branch0": nn.Sequential(conv(160, 64, 1), conv(64, 96, 3, same=False))},
            {
                "branch1": nn.Sequential(
                    conv(160, 64, 1),
                    conv(64, 64, (1, 7)),
                    conv(64, 64, (7, 1)),
                    conv(64, 96, 3, same=False),
                )
            },
        ),
        Paths(
            {"conv": conv(192, 192, 3, stride=2, same=False)},
            {"pool": small_pool()},
        ),
    ]


def _inception_a(conv: Conv) -> Paths:
    """Figure 4."""
    return Paths(
        {"branch0": conv(384, 96, 1)},
        {"branch1": nn.Sequential(conv(384, 64, 1), conv(64, 96, 3))},
        {"branch2": nn.Sequential(conv(384, 64, 1), conv(64, 96, 3), conv(96, 96, 3))},
        {"branch3": nn.Sequential(same_pool(), conv(384, 96, 1))},
    )


def _inception_b(conv: Conv) -> Paths:
    """Figure 5."""
    return Paths(
        {"branch0": conv(1024, 384, 1)},
        {
            "branch1": nn.Sequential(
                conv(1024, 192, 1), conv(192, 224, (1, 7)), conv(224, 256, (7, 1))
            )
        },
        {
            "branch2": nn.Sequential(
                conv(1024, 192, 1),
                conv(192, 192, (7, 1)),
                conv(192, 224, (1, 7)),
                conv(224, 224, (7, 1)),
                conv(224, 256, (1, 7)),
            )
        },
        {"branch3": nn.Sequential(same_pool(), conv(1024, 128, 1))},
    )


def _reduction_b(conv: Conv) -> Paths:
    """Figure 8."""
    return Paths(
        {
            "branch0": nn.Sequential(
                conv(1024, 192, 1), conv(192, 192, 3, stride=2, same=False)
            )
        },
        {
            "branch1": nn.Sequential(
                conv(1024, 256, 1),
                conv(256, 256, (1, 7)),
                conv(256, 320, (7, 1)),
                conv(320, 320, 3, stride=2, same=False),
            )
        },
        {"branch2": small_pool()},
    )


def _inception_c(conv: Conv) -> Paths:
    """Figure 6."""
    return Paths(
        {"branch0": conv(1536, 256, 1)},
        {
            "branch1_0": conv(1536, 384, 1),
            "fork": {
                "branch1_1a": conv(384, 256, (1, 3)),
                "branch1_1b": conv(384, 256, (3, 1)),
            },
        },
        {
            "branch2_0": conv(1536, 384, 1),
            "branch2_1": conv(384, 448, (3, 1)),
            "branch2_2": conv(448, 512, (1, 3)),
            "fork": {
                "branch2_3a": conv(512, 256, (1, 3)),
                "branch2_3b": conv(512, 256, (3, 1)),
            },
        },
        {"branch3": nn.Sequential(same_pool(), conv(1536, 256, 1))},
    )


class InceptionV4(Network):
    """Inception-v4.

    Stages: the stem, and the modules A, B and C on grids of 35 × 35, 17 × 17 and 8 × 8
    positions, which is what an image of 299² gives.

    Parameters
    ----------
    num_classes
        Number of logits.
    dropout
        Share of the last features left out in training (Figure 9: 0.8 are kept).
    width
        What all numbers of filters are multiplied with, a multiple of 1/16.

    Raises
    ------
    ValueError
        If there is no network of that width.
    """

    min_size = 75

    #: Positions in `features` after which a stage ends.
    _STAGE_ENDS = (5, 9, 17, 21)

    def __init__(
        self, num_classes: int = 1000, dropout: float = 0.2, width: float = 1.0
    ) -> None:
        conv = convolutions(width)
        super().__init__()
        self.num_classes = num_classes
        self.stage_sizes = [narrowed(n, width) for n in (384, 384, 1024, 1536)]
        self.num_features = self.stage_sizes[-1]
        self.stage_names = ["the stem", "Inception-A", "Inception-B", "Inception-C"]
        self.features = nn.Sequential(
            *_stem(conv),
            *(_inception_a(conv) for _ in range(4)),
            reduction_a(conv, 384, 192, 224, 256, 384),
            *(_inception_b(conv) for _ in range(7)),
            _reduction_b(conv),
            *(_inception_c(conv) for _ in range(3)),
        )
        self.dropout = nn.Dropout(dropout)
        self.last_linear = nn.Linear(self.num_features, num_classes)
        initialise(self)

    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self._STAGE_ENDS:
                yield x

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        vector = pooled(features)
        return vector if pre_logits else self.last_linear(self.dropout(vector))

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.last_linear = nn.Linear(self.num_features, num_classes)
        initialise(self.last_linear)


@register_network
def inception_v4(
    num_classes: int = 1000, dropout: float = 0.2, width: float = 1.0
) -> InceptionV4:
    """Inception-v4: 42,679,816 parameters with 1,000 classes."""
    return InceptionV4(num_classes, dropout, width)
