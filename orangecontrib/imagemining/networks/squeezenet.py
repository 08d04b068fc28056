"""SqueezeNet: AlexNet's accuracy with a fiftieth of its parameters.

Iandola et al. 2016, arXiv:1602.07360: section 3 and Table 1 for the network, section 5
for the space of designs that it is one of, section 6 for bypasses. Version 1.1 is its
authors' later release: the same accuracy for 2.4 times less computation, by a 3×3 first
convolution and earlier pooling. Parameters are named as in torchvision, so that the
weights published there fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.networks._base import Network, pooled
from orangecontrib.imagemining.networks._registry import register_network

__all__ = [
    "Fire",
    "SqueezeNet",
    "squeezenet1_0",
    "squeezenet1_0_complex_bypass",
    "squeezenet1_0_simple_bypass",
    "squeezenet1_1",
    "squeezenet_imageanalytics",
]

#: Which modules have a way around them (section 6).
Bypass = Literal["none", "simple", "complex"]

#: First convolution (filters, side) and the modules after which pooling follows.
_VERSIONS = {"1.0": (96, 7, (4, 8)), "1.1": (64, 3, (3, 5))}


class Fire(nn.Module):
    """Squeeze by 1×1 filters, expand by 1×1 and 3×3 ones side by side (section 3.2).

    Parameters
    ----------
    in_channels
        Channels that come in.
    squeeze
        Number of 1×1 filters in the squeeze layer (s1x1 in the paper).
    expand1x1, expand3x3
        Numbers of filters in the expand layer (e1x1, e3x3); their sum comes out.
    bypass
        Whether the input is added to the output: "simple" as it is, if it has as many
        channels; "complex" by way of a 1×1 convolution, if it has not.
    """

    def __init__(
        self,
        in_channels: int,
        squeeze: int,
        expand1x1: int,
        expand3x3: int,
        bypass: Bypass = "none",
    ) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze, kernel_size=1)
        self.expand1x1 = nn.Conv2d(squeeze, expand1x1, kernel_size=1)
        self.expand3x3 = nn.Conv2d(squeeze, expand3x3, kernel_size=3, padding=1)
        out_channels = expand1x1 + expand3x3
        self.bypass: nn.Module | None = None
        if bypass != "none" and in_channels == out_channels:
            self.bypass = nn.Identity()
        elif bypass == "complex":
            self.bypass = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu_(self.squeeze(x))
        y = torch.relu_(torch.cat([self.expand1x1(y), self.expand3x3(y)], dim=1))
        return y if self.bypass is None else y + self.bypass(x)


class SqueezeNet(Network):
    """SqueezeNet and its relatives: a convolution, fire2 to fire9, a convolution.

    Stages: fire5, fire7 and fire9.

    Parameters
    ----------
    version
        "1.0" as in the paper, or "1.1".
    num_classes
        Number of logits.
    dropout
        Share of fire9's outputs left out in training (section 3.3: 0.5).
    base_e
        Number of expand filters in the first modules (section 5.1).
    incr_e
        How many more there are after each `freq` modules.
    pct_3x3
        Share of the expand filters that are 3×3, between 0 and 1.
    freq
        Number of modules of equal width.
    squeeze_ratio
        Number of squeeze filters, as a share of the expand filters.
    bypass
        Which modules have a way around them (section 6): "none"; "simple": those that
        give as many channels as they get (fire3, 5, 7 and 9); "complex": all, the
        others by way of 1×1 convolutions.
    padding
        Zeros around the image, for the first convolution.
    ceil_mode
        Whether pooling rounds sizes up. The authors' Caffe does; rounding down loses
        the last row and column where they do not fit.
    last_relu
        Whether negative values at positions are cut before their mean becomes a logit.
    small_images
        Whether to begin as images of 32² need it, which the paper does not have: a 3×3
        convolution without steps, zeros around it. All that follows is the same.

    Raises
    ------
    ValueError
        If there is no such version or bypass, or a module would be without filters.
    """

    def __init__(
        self,
        version: Literal["1.0", "1.1"] = "1.0",
        num_classes: int = 1000,
        dropout: float = 0.5,
        *,
        base_e: int = 128,
        incr_e: int = 128,
        pct_3x3: float = 0.5,
        freq: int = 2,
        squeeze_ratio: float = 0.125,
        bypass: Bypass = "none",
        padding: int = 0,
        ceil_mode: bool = True,
        last_relu: bool = True,
        small_images: bool = False,
    ) -> None:
        def pool() -> nn.MaxPool2d:
            return nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=ceil_mode)

        super().__init__()
        if version not in _VERSIONS:
            raise ValueError(f"SqueezeNet has no version '{version}'")
        if bypass not in ("none", "simple", "complex"):
            raise ValueError(f"bypasses are none, simple or complex, not '{bypass}'")
        channels, side, pooled_after = _VERSIONS[version]
        stride = 2
        if small_images:
            side, stride, padding = 3, 1, 1
        self.features = nn.Sequential(
            nn.Conv2d(3, channels, side, stride, padding),
            nn.ReLU(inplace=True),
            pool(),
        )
        self._stage_ends = []
        self.stage_sizes = []
        self.stage_names = []
        for number in range(2, 10):
            expand = base_e + incr_e * ((number - 2) // freq)
            expand3x3 = round(expand * pct_3x3)
            squeeze = round(expand * squeeze_ratio)
            if min(squeeze, expand3x3, expand - expand3x3) < 1:
                raise ValueError(
                    f"fire{number} would have {squeeze} filters to squeeze,"
                    f" {expand - expand3x3} of 1×1 and {expand3x3} of 3×3 to expand"
                )
            self.features.append(
                Fire(channels, squeeze, expand - expand3x3, expand3x3, bypass)
            )
            channels = expand
            if number in (5, 7, 9):
                self._stage_ends.append(len(self.features) - 1)
                self.stage_sizes.append(channels)
                self.stage_names.append(f"fire{number}")
            if number in pooled_after:
                self.features.append(pool())
        self.num_classes = num_classes
        self.num_features = channels
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(self.num_features, num_classes, kernel_size=1),
            nn.ReLU(inplace=True) if last_relu else nn.Identity(),
        )
        self._initialise(self, self.classifier[1])
        least = 1
        for _ in range(3):  # what each pooling needs to give as much as the next needs
            least = 2 * least if ceil_mode else 2 * least + 1
        self.min_size = stride * (least - 1) + side - 2 * padding

    @staticmethod
    def _initialise(root: nn.Module, last: nn.Module) -> None:
        # section 3.3.1 refers to the authors' settings for Caffe: its "xavier", that is
        # uniform of variance 1 / inputs, and a Gaussian of 0.01 for the last layer
        for module in root.modules():
            if isinstance(module, nn.Conv2d):
                if module is last:
                    nn.init.normal_(module.weight, std=0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        for position, layer in enumerate(self.features):
            x = layer(x)
            if position in self._stage_ends:
                yield x

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
def squeezenet1_0(
    num_classes: int = 1000,
    dropout: float = 0.5,
    base_e: int = 128,
    incr_e: int = 128,
    pct_3x3: float = 0.5,
    freq: int = 2,
    squeeze_ratio: float = 0.125,
    bypass: Bypass = "none",
    last_relu: bool = True,
    small_images: bool = False,
) -> SqueezeNet:
    """SqueezeNet 1.0: 1,248,424 parameters with 1,000 classes (Table 1).

    The other numbers are those of section 5.1 and span its space of designs, the
    bypasses those of section 6; see `SqueezeNet`.
    """
    return SqueezeNet(
        "1.0",
        num_classes,
        dropout,
        base_e=base_e,
        incr_e=incr_e,
        pct_3x3=pct_3x3,
        freq=freq,
        squeeze_ratio=squeeze_ratio,
        bypass=bypass,
        last_relu=last_relu,
        small_images=small_images,
    )


@register_network
def squeezenet1_0_simple_bypass(
    num_classes: int = 1000, dropout: float = 0.5, last_relu: bool = True
) -> SqueezeNet:
    """SqueezeNet 1.0 with ways around fire3, 5, 7 and 9 (section 6).

    Like 1.0 it has 1,248,424 parameters with 1,000 classes.
    """
    return SqueezeNet("1.0", num_classes, dropout, bypass="simple", last_relu=last_relu)


@register_network
def squeezenet1_0_complex_bypass(
    num_classes: int = 1000, dropout: float = 0.5, last_relu: bool = True
) -> SqueezeNet:
    """SqueezeNet 1.0 with ways around all modules (section 6).

    It has 1,589,672 parameters with 1,000 classes, 6.1 MiB. Table 3 prints 7.7 MB,
    which the four 1×1 convolutions of the paper's Figure 2 do not add up to.
    """
    return SqueezeNet(
        "1.0", num_classes, dropout, bypass="complex", last_relu=last_relu
    )


@register_network
def squeezenet1_1(
    num_classes: int = 1000,
    dropout: float = 0.5,
    base_e: int = 128,
    incr_e: int = 128,
    pct_3x3: float = 0.5,
    freq: int = 2,
    squeeze_ratio: float = 0.125,
    bypass: Bypass = "none",
    last_relu: bool = True,
    small_images: bool = False,
) -> SqueezeNet:
    """SqueezeNet 1.1: 1,235,496 parameters with 1,000 classes.

    The other numbers are as for `squeezenet1_0`.
    """
    return SqueezeNet(
        "1.1",
        num_classes,
        dropout,
        base_e=base_e,
        incr_e=incr_e,
        pct_3x3=pct_3x3,
        freq=freq,
        squeeze_ratio=squeeze_ratio,
        bypass=bypass,
        last_relu=last_relu,
        small_images=small_images,
    )


@register_network
def squeezenet_imageanalytics(
    num_classes: int = 1000, dropout: float = 0.5
) -> SqueezeNet:
    """SqueezeNet 1.1 as Orange3-ImageAnalytics runs it, for the sake of its vectors.

    Like 1.1 it has 1,235,496 parameters with 1,000 classes.
    """
    return SqueezeNet(
        "1.1", num_classes, dropout, padding=1, ceil_mode=False, last_relu=False
    )
