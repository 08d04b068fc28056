"""Inception-v3: convolutions taken apart, and a batch-normalised auxiliary classifier.

Szegedy et al. 2015, arXiv:1512.00567: Table 1 for the outline, Figures 5 to 7 and 10
for the modules, section 4 and Figure 8 for the auxiliary classifier. The numbers of
filters, which the paper leaves to a file beside it, are those of the published weights.
Parameters are named as in torchvision, so that the weights published there fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

from orangecontrib.imagemining.networks._base import Network, pooled
from orangecontrib.imagemining.networks._blocks import (
    Conv,
    Paths,
    convolutions,
    initialise,
    narrowed,
    same_pool,
    small_pool,
)
from orangecontrib.imagemining.networks._registry import register_network

__all__ = ["InceptionV3", "inception_v3"]


_GRID, _POSITIONS = 17, 5  # a side, of what the auxiliary classifier gets and sees


def _grid35(conv: Conv, channels: int, pooled_width: int) -> Paths:
    """Figure 5; the second path has a 5×5 convolution, as the published network."""
    return Paths(
        {"branch1x1": conv(channels, 64, 1)},
        {"branch5x5_1": conv(channels, 48, 1), "branch5x5_2": conv(48, 64, 5)},
        {
            "branch3x3dbl_1": conv(channels, 64, 1),
            "branch3x3dbl_2": conv(64, 96, 3),
            "branch3x3dbl_3": conv(96, 96, 3),
        },
        {
            "pool": same_pool(count_border=True),
            "branch_pool": conv(channels, pooled_width, 1),
        },
    )


def _to_grid17(conv: Conv, channels: int) -> Paths:
    """Figure 10."""
    return Paths(
        {"branch3x3": conv(channels, 384, 3, stride=2, same=False)},
        {
            "branch3x3dbl_1": conv(channels, 64, 1),
            "branch3x3dbl_2": conv(64, 96, 3),
            "branch3x3dbl_3": conv(96, 96, 3, stride=2, same=False),
        },
        {"pool": small_pool()},
    )


def _grid17(conv: Conv, channels: int, width: int) -> Paths:
    """Figure 6, with n = 7."""
    return Paths(
        {"branch1x1": conv(channels, 192, 1)},
        {
            "branch7x7_1": conv(channels, width, 1),
            "branch7x7_2": conv(width, width, (1, 7)),
            "branch7x7_3": conv(width, 192, (7, 1)),
        },
        {
            "branch7x7dbl_1": conv(channels, width, 1),
            "branch7x7dbl_2": conv(width, width, (7, 1)),
            "branch7x7dbl_3": conv(width, width, (1, 7)),
            "branch7x7dbl_4": conv(width, width, (7, 1)),
            "branch7x7dbl_5": conv(width, 192, (1, 7)),
        },
        {"pool": same_pool(count_border=True), "branch_pool": conv(channels, 192, 1)},
    )


def _to_grid8(conv: Conv, channels: int) -> Paths:
    """Figure 10's idea, with the 7×7 convolution taken apart."""
    return Paths(
        {
            "branch3x3_1": conv(channels, 192, 1),
            "branch3x3_2": conv(192, 320, 3, stride=2, same=False),
        },
        {
            "branch7x7x3_1": conv(channels, 192, 1),
            "branch7x7x3_2": conv(192, 192, (1, 7)),
            "branch7x7x3_3": conv(192, 192, (7, 1)),
            "branch7x7x3_4": conv(192, 192, 3, stride=2, same=False),
        },
        {"pool": small_pool()},
    )


def _grid8(conv: Conv, channels: int) -> Paths:
    """Figure 7."""
    return Paths(
        {"branch1x1": conv(channels, 320, 1)},
        {
            "branch3x3_1": conv(channels, 384, 1),
            "fork": {
                "branch3x3_2a": conv(384, 384, (1, 3)),
                "branch3x3_2b": conv(384, 384, (3, 1)),
            },
        },
        {
            "branch3x3dbl_1": conv(channels, 448, 1),
            "branch3x3dbl_2": conv(448, 384, 3),
            "fork": {
                "branch3x3dbl_3a": conv(384, 384, (1, 3)),
                "branch3x3dbl_3b": conv(384, 384, (3, 1)),
            },
        },
        {"pool": same_pool(count_border=True), "branch_pool": conv(channels, 192, 1)},
    )


class AuxiliaryHead(nn.Module):
    """The classifier on top of the last 17 × 17 grid (section 4, Figure 8).

    Only training needs it: it regularises. Grids of less than 17 × 17 positions, as of
    smaller images than the paper's, are brought by means to the 5 × 5 that it looks at.

    Parameters
    ----------
    conv
        Makes its convolutions.
    channels
        Channels of the grid.
    num_classes
        Number of logits.
    """

    def __init__(self, conv: Conv, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv0 = conv(channels, 128, 1)
        self.conv1 = conv(128, 768, 5, same=False)
        self.fc = nn.Linear(self.conv1.conv.out_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[-2:]) < _GRID:
            x = functional.adaptive_avg_pool2d(x, _POSITIONS)
        else:
            x = functional.avg_pool2d(x, kernel_size=5, stride=3)
        return self.fc(pooled(self.conv1(self.conv0(x))))


class InceptionV3(Network):
    """Inception-v3.

    Stages: the stem, and the modules on grids of 35 × 35, 17 × 17 and 8 × 8 positions,
    which is what an image of 299² gives.

    Parameters
    ----------
    num_classes
        Number of logits.
    dropout
        Share of the last features left out in training. The paper does not say; 0.2 is
        what its successor has (Inception-v4, Figure 9).
    auxiliary
        Whether to have the auxiliary classifier, whose parameters are among the
        published ones.
    width
        What all numbers of filters are multiplied with, a multiple of 1/16.

    Raises
    ------
    ValueError
        If there is no network of that width.
    """

    min_size = 75

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.2,
        auxiliary: bool = True,
        width: float = 1.0,
    ) -> None:
        conv = convolutions(width)
        super().__init__()
        self.num_classes = num_classes
        self.stage_sizes = [narrowed(n, width) for n in (192, 288, 768, 2048)]
        self.num_features = self.stage_sizes[-1]
        self.stage_names = ["the stem", "Mixed_5d", "Mixed_6e", "Mixed_7c"]
        self.Conv2d_1a_3x3 = conv(3, 32, 3, stride=2, same=False)
        self.Conv2d_2a_3x3 = conv(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = conv(32, 64, 3)
        self.pool1 = small_pool()
        self.Conv2d_3b_1x1 = conv(64, 80, 1)
        self.Conv2d_4a_3x3 = conv(80, 192, 3, same=False)
        self.pool2 = small_pool()
        self.Mixed_5b = _grid35(conv, 192, 32)
        self.Mixed_5c = _grid35(conv, 256, 64)
        self.Mixed_5d = _grid35(conv, 288, 64)
        self.Mixed_6a = _to_grid17(conv, 288)
        self.Mixed_6b = _grid17(conv, 768, 128)
        self.Mixed_6c = _grid17(conv, 768, 160)
        self.Mixed_6d = _grid17(conv, 768, 160)
        self.Mixed_6e = _grid17(conv, 768, 192)
        self.AuxLogits = AuxiliaryHead(conv, 768, num_classes) if auxiliary else None
        self.Mixed_7a = _to_grid8(conv, 768)
        self.Mixed_7b = _grid8(conv, 1280)
        self.Mixed_7c = _grid8(conv, 2048)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.num_features, num_classes)
        initialise(self)

    #: The stages' modules, in the order in which they run.
    _STAGES = (
        (
            "Conv2d_1a_3x3",
            "Conv2d_2a_3x3",
            "Conv2d_2b_3x3",
            "pool1",
            "Conv2d_3b_1x1",
            "Conv2d_4a_3x3",
            "pool2",
        ),
        ("Mixed_5b", "Mixed_5c", "Mixed_5d"),
        ("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
        ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
    )

    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        for names in self._STAGES:
            for name in names:
                x = getattr(self, name)(x)
            yield x

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        vector = pooled(features)
        return vector if pre_logits else self.fc(self.dropout(vector))

    def forward_training(self, x: Tensor) -> list[Tensor]:
        """Return the logits, then those of the auxiliary classifier if it is there."""
        if self.AuxLogits is None:
            return super().forward_training(x)
        *_, grid17, features = self.forward_stages(x)
        return [self.forward_head(features), self.AuxLogits(grid17)]

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes)
        initialise(self.fc)
        if self.AuxLogits is not None:
            features = self.AuxLogits.fc.in_features
            self.AuxLogits.fc = nn.Linear(features, num_classes)
            initialise(self.AuxLogits.fc)


@register_network
def inception_v3(
    num_classes: int = 1000,
    dropout: float = 0.2,
    auxiliary: bool = True,
    width: float = 1.0,
) -> InceptionV3:
    """Inception-v3: 27,161,264 parameters with 1,000 classes and auxiliary classifier.

    Without it there are 3,326,696 fewer.
    """
    return InceptionV3(num_classes, dropout, auxiliary, width)
