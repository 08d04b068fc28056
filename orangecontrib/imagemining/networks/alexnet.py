"""AlexNet, by which SqueezeNet's paper measures itself (its Table 2).

Krizhevsky et al. 2012 (ImageNet classification with deep convolutional neural
networks), in the form of Krizhevsky 2014, arXiv:1404.5997, footnote 1: one tower, no
response normalisation, 64, 192, 384, 256 and 256 filters. Parameters are named as in
torchvision, so that the weights published there fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from orangecontrib.imagemining.networks._base import Network, grid_means
from orangecontrib.imagemining.networks._registry import register_network

__all__ = ["AlexNet", "alexnet"]


class AlexNet(Network):
    """Five convolutions and three fully connected layers.

    Stages: the five convolutions, with the pooling that follows. Inputs of other sizes
    than 224² are brought to 6 × 6 positions by means before the fully connected layers.

    Parameters
    ----------
    num_classes
        Number of logits.
    dropout
        Share of the values left out in training, before each of the first two fully
        connected layers (Krizhevsky et al. 2012, section 4.2: 0.5).
    """

    min_size = 63

    #: Positions in `features` after which a stage ends.
    _STAGE_ENDS = (2, 5, 7, 9, 12)

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = 4096
        self.stage_sizes = [64, 192, 384, 256, 256]
        self.stage_names = [f"conv{number}" for number in range(1, 6)]
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )
        self._initialise(self)
        # Krizhevsky et al. 2012, section 5: positive inputs for these layers' ReLUs
        # speed up the beginning
        for layer in (
            self.features[3],
            self.features[8],
            self.features[10],
            self.classifier[1],
            self.classifier[4],
        ):
            nn.init.ones_(layer.bias)  # type: ignore[arg-type]

    @staticmethod
    def _initialise(root: nn.Module) -> None:
        # Krizhevsky et al. 2012, section 5
        for module in root.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self._STAGE_ENDS:
                yield x

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        vector = grid_means(features, 6).flatten(1)
        return (self.classifier[:-1] if pre_logits else self.classifier)(vector)

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classifier[-1] = nn.Linear(self.num_features, num_classes)
        self._initialise(self.classifier[-1])


@register_network
def alexnet(num_classes: int = 1000, dropout: float = 0.5) -> AlexNet:
    """AlexNet: 61,100,840 parameters with 1,000 classes, 233 MiB.

    SqueezeNet's Table 2 has 240 MB for the form of 2012.
    """
    return AlexNet(num_classes, dropout)
