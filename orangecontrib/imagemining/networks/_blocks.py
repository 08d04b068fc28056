"""What the Inception families are built of: convolutions and paths side by side."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = [
    "Conv",
    "ConvBN",
    "Modules",
    "Paths",
    "convolutions",
    "initialise",
    "narrowed",
    "reduction_a",
    "same_pool",
    "small_pool",
]

_COLOURS = 3

#: Modules by the names under which their parameters are published.
Modules = dict[str, nn.Module]


class ConvBN(nn.Module):
    """A convolution without bias, batch normalisation, ReLU.

    Parameters
    ----------
    in_channels, out_channels
        Numbers of channels that come in and go out.
    kernel
        Its side, or (height, width).
    stride
        Step.
    same
        Whether zeros are added around, so that a step of 1 keeps the size; "V" in the
        figures of the Inception-v4 paper stands for those without.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        same: bool = True,
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if same else (0, 0)
        self.conv = nn.Conv2d(
            in_channels, out_channels, sides, stride, padding, bias=False
        )
        # the authors' constant, which is not torch's
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.bn(self.conv(x)))


#: Makes a `ConvBN` of the arguments that it is given.
Conv = Callable[..., ConvBN]


def convolutions(width: float) -> Conv:
    """Return what makes the convolutions of a narrow network.

    It is called as `ConvBN`, with the numbers of channels of the whole network, which
    are all multiples of 16; only the three colours stay three.

    Parameters
    ----------
    width
        What the numbers are multiplied with.

    Raises
    ------
    ValueError
        If that would give no whole numbers.
    """
    if width <= 0 or 16 * width % 1:
        raise ValueError(f"the width is to be a multiple of 1/16, not {width}")

    def conv(
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        same: bool = True,
    ) -> ConvBN:
        if in_channels != _COLOURS:
            in_channels = narrowed(in_channels, width)
        return ConvBN(in_channels, narrowed(out_channels, width), kernel, stride, same)

    return conv


def narrowed(channels: int, width: float) -> int:
    """Return how many channels are left of these in a network of this width."""
    return round(channels * width)


class Paths(nn.Module):
    """Chains of modules side by side, whose outputs are concatenated.

    Parameters
    ----------
    paths
        Each a chain, as modules by name, which all belong to one level of names. Where
        a chain holds modules by name instead of a module, it forks at its end: each of
        them gets the same input.
    """

    def __init__(self, *paths: dict[str, nn.Module | Modules]) -> None:
        super().__init__()
        self._chains: list[list[tuple[str, ...]]] = []
        for path in paths:
            chain = []
            for name, step in path.items():
                modules = step if isinstance(step, dict) else {name: step}
                for key, module in modules.items():
                    self.add_module(key, module)
                chain.append(tuple(modules))
            self._chains.append(chain)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for chain in self._chains:
            y = [x]
            for names in chain:
                y = [getattr(self, name)(y[0]) for name in names]
            outputs += y
        return torch.cat(outputs, dim=1)


def same_pool(count_border: bool = False) -> nn.Module:
    """Return a mean over 3 × 3 positions that keeps the size.

    Parameters
    ----------
    count_border
        Whether the zeros around have a share in the mean.
    """
    return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=count_border)


def small_pool() -> nn.Module:
    """Return a maximum over 3 × 3 positions that halves the size."""
    return nn.MaxPool2d(3, stride=2)


def reduction_a(
    conv: Conv,
    channels: int,
    k: int,
    l: int,  # noqa: E741
    m: int,
    n: int,
) -> Paths:
    """Return Reduction-A of the Inception-v4 paper: Figure 7, from 35² to 17².

    Parameters
    ----------
    conv
        Makes its convolutions.
    channels
        Channels that come in; m + n more go out.
    k, l, m, n
        Numbers of filters, by Table 1.
    """
    return Paths(
        {"branch0": conv(channels, n, 3, stride=2, same=False)},
        {
            "branch1": nn.Sequential(
                conv(channels, k, 1),
                conv(k, l, 3),
                conv(l, m, 3, stride=2, same=False),
            )
        },
        {"branch2": small_pool()},
    )


def initialise(root: nn.Module, linear_std: float = 0.01) -> None:
    """Fill convolutions by He's rule for ReLUs, linear maps by a narrow Gaussian.

    The Inception papers do not say how theirs began; batch normalisation makes it
    nearly indifferent for the convolutions. Residuals begin as He's rule says, too:
    their scaling is what keeps them small.

    Parameters
    ----------
    root
        The module, itself included, in which all are filled.
    linear_std
        Standard deviation of the linear maps' weights.
    """
    for module in root.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=linear_std)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
