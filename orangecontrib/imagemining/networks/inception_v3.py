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
    ConvBN,
    Paths,
    initialise,
    same_pool,
    small_pool,
)
from orangecontrib.imagemining.networks._registry import register_network

__all__ = ["InceptionV3", "inception_v3"]


def _grid35(channels: int, pooled_width: int) -> Paths:
    """Figure 5; the second path has a 5×5 convolution, as the published network."""
    return Paths(
        {"branch1x1": ConvBN(channels, 64, 1)},
        {"branch5x5_1": ConvBN(channels, 48, 1), "branch5x5_2": ConvBN(48, 64, 5)},
        {
            "branch3x3dbl_1": ConvBN(channels, 64, 1),
            "branch3x3dbl_2": ConvBN(64, 96, 3),
            "branch3x3dbl_3": ConvBN(96, 96, 3),
        },
        {
            "pool": same_pool(count_border=True),
            "branch_pool": ConvBN(channels, pooled_width, 1),
        },
    )


def _to_grid17(channels: int) -> Paths:
    """Figure 10."""
    return Paths(
        {"branch3x3": ConvBN(channels, 384, 3, stride=2, same=False)},
        {
            "branch3x3dbl_1": ConvBN(channels, 64, 1),
            "branch3x3dbl_2": ConvBN(64, 96, 3),
            "branch3x3dbl_3": ConvBN(96, 96, 3, stride=2, same=False),
        },
        {"pool": small_pool()},
    )


def _grid17(channels: int, width: int) -> Paths:
    """Figure 6, with n = 7."""
    return Paths(
        {"branch1x1": ConvBN(channels, 192, 1)},
        {
            "branch7x7_1": ConvBN(channels, width, 1),
            "branch7x7_2": ConvBN(width, width, (1, 7)),
            "branch7x7_3": ConvBN(width, 192, (7, 1)),
        },
        {
            "branch7x7dbl_1": ConvBN(channels, width, 1),
            "branch7x7dbl_2": ConvBN(width, width, (7, 1)),
            "branch7x7dbl_3": ConvBN(width, width, (1, 7)),
            "branch7x7dbl_4": ConvBN(width, width, (7, 1)),
            "branch7x7dbl_5": ConvBN(width, 192, (1, 7)),
        },
        {"pool": same_pool(count_border=True), "branch_pool": ConvBN(channels, 192, 1)},
    )


def _to_grid8(channels: int) -> Paths:
    """Figure 10's idea, with the 7×7 convolution taken apart."""
    return Paths(
        {
            "branch3x3_1": ConvBN(channels, 192, 1),
            "branch3x3_2": ConvBN(192, 320, 3, stride=2, same=False),
        },
        {
            "branch7x7x3_1": ConvBN(channels, 192, 1),
            "branch7x7x3_2": ConvBN(192, 192, (1, 7)),
            "branch7x7x3_3": ConvBN(192, 192, (7, 1)),
            "branch7x7x3_4": ConvBN(192, 192, 3, stride=2, same=False),
        },
        {"pool": small_pool()},
    )


def _grid8(channels: int) -> Paths:
    """Figure 7."""
    return Paths(
        {"branch1x1": ConvBN(channels, 320, 1)},
        {
            "branch3x3_1": ConvBN(channels, 384, 1),
            "fork": {
                "branch3x3_2a": ConvBN(384, 384, (1, 3)),
                "branch3x3_2b": ConvBN(384, 384, (3, 1)),
            },
        },
        {
            "branch3x3dbl_1": ConvBN(channels, 448, 1),
            "branch3x3dbl_2": ConvBN(448, 384, 3),
            "fork": {
                "branch3x3dbl_3a": ConvBN(384, 384, (1, 3)),
                "branch3x3dbl_3b": ConvBN(384, 384, (3, 1)),
            },
        },
        {"pool": same_pool(count_border=True), "branch_pool": ConvBN(channels, 192, 1)},
    )


class AuxiliaryHead(nn.Module):
    """The classifier on top of the last 17 × 17 grid (section 4, Figure 8).

    Only training needs it: it regularises.

    Parameters
    ----------
    channels
        Channels of the grid.
    num_classes
        Number of logits.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv0 = ConvBN(channels, 128, 1)
        self.conv1 = ConvBN(128, 768, 5, same=False)
        self.fc = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
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
    """

    min_size = 75

    #: What an auxiliary classifier needs: 17 positions a side.
    _auxiliary_size = 299

    def __init__(
        self, num_classes: int = 1000, dropout: float = 0.2, auxiliary: bool = True
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = 2048
        self.stage_sizes = [192, 288, 768, 2048]
        self.stage_names = ["the stem", "Mixed_5d", "Mixed_6e", "Mixed_7c"]
        self.Conv2d_1a_3x3 = ConvBN(3, 32, 3, stride=2, same=False)
        self.Conv2d_2a_3x3 = ConvBN(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = ConvBN(32, 64, 3)
        self.pool1 = small_pool()
        self.Conv2d_3b_1x1 = ConvBN(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvBN(80, 192, 3, same=False)
        self.pool2 = small_pool()
        self.Mixed_5b = _grid35(192, 32)
        self.Mixed_5c = _grid35(256, 64)
        self.Mixed_5d = _grid35(288, 64)
        self.Mixed_6a = _to_grid17(288)
        self.Mixed_6b = _grid17(768, 128)
        self.Mixed_6c = _grid17(768, 160)
        self.Mixed_6d = _grid17(768, 160)
        self.Mixed_6e = _grid17(768, 192)
        self.AuxLogits = AuxiliaryHead(768, num_classes) if auxiliary else None
        self.Mixed_7a = _to_grid8(768)
        self.Mixed_7b = _grid8(1280)
        self.Mixed_7c = _grid8(2048)
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
        """Return the logits, then those of the auxiliary classifier, if there is one.

        Raises
        ------
        ImageError
            If the images are too small for it.
        """
        if self.AuxLogits is None:
            return super().forward_training(x)
        self._check_size(x, self._auxiliary_size)
        *_, grid17, features = self.forward_stages(x)
        return [self.forward_head(features), self.AuxLogits(grid17)]

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes)
        initialise(self.fc)
        if self.AuxLogits is not None:
            self.AuxLogits.fc = nn.Linear(768, num_classes)
            initialise(self.AuxLogits.fc)


@register_network
def inception_v3(
    num_classes: int = 1000, dropout: float = 0.2, auxiliary: bool = True
) -> InceptionV3:
    """Inception-v3: 27,161,264 parameters with 1,000 classes and auxiliary classifier.

    Without it there are 3,326,696 fewer.
    """
    return InceptionV3(num_classes, dropout, auxiliary)
