"""ResNet: blocks that learn what to add to their input.

He et al. 2015, arXiv:1512.03385: Table 1 for ImageNet's form, section 4.2 for CIFAR's.
Parameters are named as in torchvision, so that the weights published there fit; as
there, a bottleneck halves the size in its 3×3 convolution, where the paper has it in
the first 1×1 one (other values, the same parameters).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from orangecontrib.imagemining.networks._base import Network, pooled
from orangecontrib.imagemining.networks._registry import register_network

__all__ = [
    "Basic",
    "Bottleneck",
    "ResNet",
    "resnet18",
    "resnet20_cifar",
    "resnet32_cifar",
    "resnet34",
    "resnet50",
    "resnet56_cifar",
    "resnet101",
    "resnet110_cifar",
    "resnet152",
    "resnet_cifar",
]


def _conv(in_channels: int, out_channels: int, side: int, stride: int = 1) -> nn.Conv2d:
    # section 3.4: batch normalisation follows each convolution, so none has a bias
    return nn.Conv2d(
        in_channels, out_channels, side, stride, padding=side // 2, bias=False
    )


class ZeroPad(nn.Module):
    """The shortcut without parameters: every `stride`-th position, zeros as channels.

    Option A of section 3.3.

    Parameters
    ----------
    extra
        Number of channels to add.
    stride
        Step.
    """

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra = extra
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, 0, self.extra))


class Basic(nn.Module):
    """Two 3×3 convolutions and a shortcut (Figure 5, left).

    Parameters
    ----------
    in_channels
        Channels that come in.
    width
        Number of filters of each convolution.
    stride
        Step of the first convolution.
    zero_pad
        Whether a shortcut that changes the shape is one without parameters.
    """

    expansion = 1

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, zero_pad: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride, zero_pad)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu_(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions and a shortcut (Figure 5, right).

    Parameters
    ----------
    in_channels
        Channels that come in.
    width
        Number of filters of the first two; four times as many go out.
    stride
        Step of the 3×3 convolution.
    zero_pad
        Whether a shortcut that changes the shape is one without parameters.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, stride: int = 1, zero_pad: bool = False
    ) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = _conv(in_channels, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = _conv(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride, zero_pad)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.bn1(self.conv1(x)))
        y = torch.relu_(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu_(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(
    in_channels: int, out_channels: int, stride: int, zero_pad: bool
) -> nn.Module | None:
    if stride == 1 and in_channels == out_channels:
        return None
    if zero_pad:
        return ZeroPad(out_channels - in_channels, stride)
    return nn.Sequential(
        _conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
    )


class ResNet(Network):
    """Stages of residual blocks, the mean over positions, a linear map.

    Each stage but the first halves the size, rounding up, so any input size will do.

    Parameters
    ----------
    block
        Kind of block.
    depths
        Number of blocks in each stage.
    num_classes
        Number of logits.
    small_images
        Whether to begin as for CIFAR's images of 32² (section 4.2): a 3×3 convolution,
        16 filters in the first stage, shortcuts without parameters; otherwise as for
        ImageNet (Table 1).
    width
        Filters of the first stage; None: 16 with `small_images`, otherwise 64.
    dropout
        Share of the last features left out in training; the paper has none.
    """

    def __init__(
        self,
        block: type[Basic] | type[Bottleneck],
        depths: Sequence[int],
        num_classes: int = 1000,
        small_images: bool = False,
        width: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = channels = width or (16 if small_images else 64)
        self.pool: nn.Module
        if small_images:
            self.conv1 = _conv(3, channels, 3)
            self.pool = nn.Identity()
        else:
            self.conv1 = _conv(3, channels, 7, stride=2)
            self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self._stages = [f"layer{number}" for number in range(1, len(depths) + 1)]
        self.stage_sizes = []
        self.stage_names = []
        for name, depth in zip(self._stages, depths, strict=True):
            stage = nn.Sequential()
            for index in range(depth):
                stride = 2 if index == 0 and self.stage_sizes else 1
                stage.append(block(channels, width, stride, zero_pad=small_images))
                channels = width * block.expansion
            self.add_module(name, stage)
            self.stage_sizes.append(channels)
            self.stage_names.append(f"the {depth} blocks of width {width}")
            width *= 2
        self.num_features = channels
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        self._initialise(self)

    @staticmethod
    def _initialise(root: nn.Module) -> None:
        # sections 3.4 and 4.2: as in He et al. 2015, arXiv:1502.01852, equation 10,
        # and its section 3.1 for the last layer
        for module in root.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        x = self.pool(torch.relu_(self.bn1(self.conv1(x))))
        for name in self._stages:
            x = getattr(self, name)(x)
            yield x

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        vector = pooled(features)
        return vector if pre_logits else self.fc(self.dropout(vector))

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.fc = nn.Linear(self.num_features, num_classes)
        self._initialise(self.fc)


@register_network
def resnet18(num_classes: int = 1000, dropout: float = 0.0) -> ResNet:
    """ResNet of 18 layers: 11,689,512 parameters with 1,000 classes (Table 1)."""
    return ResNet(Basic, (2, 2, 2, 2), num_classes, dropout=dropout)


@register_network
def resnet34(num_classes: int = 1000, dropout: float = 0.0) -> ResNet:
    """ResNet of 34 layers: 21,797,672 parameters with 1,000 classes (Table 1)."""
    return ResNet(Basic, (3, 4, 6, 3), num_classes, dropout=dropout)


@register_network
def resnet50(num_classes: int = 1000, dropout: float = 0.0) -> ResNet:
    """ResNet of 50 layers: 25,557,032 parameters with 1,000 classes (Table 1)."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, dropout=dropout)


@register_network
def resnet101(num_classes: int = 1000, dropout: float = 0.0) -> ResNet:
    """ResNet of 101 layers: 44,549,160 parameters with 1,000 classes (Table 1)."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, dropout=dropout)


@register_network
def resnet152(num_classes: int = 1000, dropout: float = 0.0) -> ResNet:
    """ResNet of 152 layers: 60,192,808 parameters with 1,000 classes (Table 1)."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, dropout=dropout)


@register_network
def resnet20_cifar(num_classes: int = 10, dropout: float = 0.0) -> ResNet:
    """ResNet of 20 layers for images of 32²: 269,722 parameters with 10 classes.

    Table 6 of the paper: 0.27 million.
    """
    return ResNet(Basic, (3, 3, 3), num_classes, small_images=True, dropout=dropout)


@register_network
def resnet32_cifar(num_classes: int = 10, dropout: float = 0.0) -> ResNet:
    """ResNet of 32 layers for images of 32²: 464,154 parameters with 10 classes.

    Table 6 of the paper: 0.46 million.
    """
    return ResNet(Basic, (5, 5, 5), num_classes, small_images=True, dropout=dropout)


@register_network
def resnet56_cifar(num_classes: int = 10, dropout: float = 0.0) -> ResNet:
    """ResNet of 56 layers for images of 32²: 853,018 parameters with 10 classes.

    Table 6 of the paper: 0.85 million.
    """
    return ResNet(Basic, (9, 9, 9), num_classes, small_images=True, dropout=dropout)


@register_network
def resnet110_cifar(num_classes: int = 10, dropout: float = 0.0) -> ResNet:
    """ResNet of 110 layers for images of 32²: 1,727,962 parameters with 10 classes.

    Table 6 of the paper: 1.7 million.
    """
    return ResNet(Basic, (18, 18, 18), num_classes, small_images=True, dropout=dropout)


@register_network
def resnet_cifar(
    num_classes: int = 10, n: int = 3, width: int = 16, dropout: float = 0.0
) -> ResNet:
    """ResNet of 6n + 2 layers for images of 32², with any n and width (section 4.2).

    With these it is `resnet20_cifar`: 269,722 parameters with 10 classes.

    Raises
    ------
    ValueError
        If a stage would be without blocks or filters.
    """
    if n < 1 or width < 1:
        raise ValueError(f"a ResNet needs n and width of 1 at least, not {n}, {width}")
    return ResNet(Basic, (n, n, n), num_classes, True, width, dropout)
