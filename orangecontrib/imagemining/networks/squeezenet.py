"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters.

Iandola et al. 2016, arXiv:1602.07360 (sections 3.1-3.3 and Table 1). Version 1.1 is
its authors' later release: the same accuracy for 2.4 times less computation, by a
3×3 first convolution and earlier pooling. Parameters are named as in torchvision, so
that the weights published there fit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.networks._base import Network, pooled
from orangecontrib.imagemining.networks._registry import register_network

__all__ = ["Fire", "SqueezeNet", "squeezenet1_1"]


class Fire(nn.Module):
    """Squeeze by 1×1 filters, expand by 1×1 and 3×3 ones side by side (section 3.2).

    Parameters
    ----------
    in_channels
        Channels that come in.
    squeeze
        Number of 1×1 filters in the squeeze layer (s1x1 in the paper).
    expand
        Number of 1×1 and likewise of 3×3 filters (e1x1, e3x3); 2 · expand come out.
    """

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, kernel_size=1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, kernel_size=1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.squeeze(x))
        return torch.relu_(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


def _pool() -> nn.MaxPool2d:
    # the authors' Caffe rounds the size up; rounding down loses the last column
    return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)


class SqueezeNet(Network):
    """SqueezeNet 1.1.

    Parameters
    ----------
    num_classes
        Number of logits.
    dropout
        Share of fire9's outputs left out in training (section 3.3: 0.5).
    """

    #: Positions in `features` after which a stage ends: fire5, fire7 and fire9.
    _STAGE_ENDS = (7, 10, 12)

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_features = 512
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=3, stride=2),
            nn.ReLU(inplace=True),
            _pool(),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            _pool(),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            _pool(),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(self.num_features, num_classes, kernel_size=1),
            nn.ReLU(inplace=True),
        )
        self._initialise(self, self.classifier[1])

    @staticmethod
    def _initialise(root: nn.Module, last: nn.Module) -> None:
        # He's uniform for the convolutions; the last layer near zero, as in the
        # authors' solver (Gaussian of 0.01)
        for module in root.modules():
            if isinstance(module, nn.Conv2d):
                if module is last:
                    nn.init.normal_(module.weight, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def stage_sizes(self) -> list[int]:
        return [256, 384, 512]

    def forward_stages(self, x: Tensor) -> list[Tensor]:
        stages = []
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self._STAGE_ENDS:
                stages.append(x)
        return stages

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        if pre_logits:
            return pooled(features)
        return pooled(self.classifier(features))

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        last = nn.Conv2d(self.num_features, num_classes, kernel_size=1)
        self._initialise(last, last)
        self.classifier[1] = last


@register_network
def squeezenet1_1(num_classes: int = 1000, dropout: float = 0.5) -> SqueezeNet:
    """SqueezeNet 1.1: 1,235,496 parameters with 1,000 classes."""
    return SqueezeNet(num_classes, dropout)
