"""VGG: depth out of nothing but 3×3 convolutions.

Simonyan and Zisserman 2015, arXiv:1409.1556, configurations A to E of Table 1.
Parameters are named as in torchvision, so that the weights published there fit (those
without LRN and without 1×1 convolutions; with and without batch normalisation, which
came after the paper).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from orangecontrib.imagemining.networks._base import Network, grid_means
from orangecontrib.imagemining.networks._registry import register_network

__all__ = [
    "CONFIGURATIONS",
    "VGG",
    "vgg11",
    "vgg11_bn",
    "vgg11_lrn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg16_c",
    "vgg16_c_bn",
    "vgg19",
    "vgg19_bn",
]

#: Numbers of filters in the five blocks of Table 1.
_WIDTHS = (64, 128, 256, 512, 512)

#: Sides of the filters of each convolution in each block of Table 1.
CONFIGURATIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}

_GRID = 7  # positions a side that the fully connected layers see
_HIDDEN, _HIDDEN_SMALL = 4096, 512  # values that these layers give


class VGG(Network):
    """Five blocks of convolutions, halved by pooling, and three fully connected layers.

    Stages: the five blocks, with their pooling.

    Parameters
    ----------
    configuration
        Column of Table 1, "A" to "E".
    num_classes
        Number of logits.
    batch_norm
        Whether each convolution is batch-normalised.
    lrn
        Whether the first convolution's responses are normalised (A-LRN).
    hidden
        Number of values that the first two fully connected layers give; None: 4096, or
        512 with `small_images`, times `width`.
    dropout
        Share of the values left out in training, after each of the first two fully
        connected layers (section 3.1: 0.5).
    dense
        What becomes of an image that is not 224²: with True the fully connected layers
        are applied as convolutions, at each 7 × 7 positions of the last stage, and
        their outputs averaged (section 3.2), which needs 224 pixels a side; with False
        the last stage is brought to 7 × 7 positions by means. The parameters are the
        same, and may be used either way.
    width
        What the numbers of filters are multiplied with.
    small_images
        Whether the fully connected layers see one position instead of 7 × 7, as images
        of 32² leave it; larger ones are brought to it by means.
    start
        How weights begin: "glorot" as the paper's authors found to do without
        pre-training (end of section 3.1), or "normal", of variance 0.01, as they began
        with A. See also `initialise_from`.

    Raises
    ------
    ValueError
        If there is no such configuration or beginning, or no filter would be left.
    """

    def __init__(
        self,
        configuration: str,
        num_classes: int = 1000,
        *,
        batch_norm: bool = False,
        lrn: bool = False,
        hidden: int | None = None,
        dropout: float = 0.5,
        dense: bool = False,
        width: float = 1.0,
        small_images: bool = False,
        start: Literal["glorot", "normal"] = "glorot",
    ) -> None:
        super().__init__()
        if configuration not in CONFIGURATIONS:
            raise ValueError(
                f"VGG has no configuration '{configuration}', only"
                f" {', '.join(CONFIGURATIONS)}"
            )
        if start not in ("glorot", "normal"):
            raise ValueError(f"weights begin by 'glorot' or 'normal', not by '{start}'")
        widths = [round(filters * width) for filters in _WIDTHS]
        if hidden is None:
            hidden = round((_HIDDEN_SMALL if small_images else _HIDDEN) * width)
        if min(*widths, hidden) < 1:
            raise ValueError(f"a width of {width} leaves no filters")
        self.num_classes = num_classes
        self.num_features = hidden
        self.stage_sizes = widths
        self.stage_names = [f"pool{number}" for number in range(1, len(_WIDTHS) + 1)]
        self.dense = dense
        self._grid = 1 if small_images else _GRID
        # what the fully connected layers need without any resizing
        self._dense_size = 2 ** len(_WIDTHS) * self._grid
        self.min_size = self._dense_size if dense else 2 ** len(_WIDTHS)
        self._start = start
        self.features = nn.Sequential()
        channels = 3
        for sides, filters in zip(CONFIGURATIONS[configuration], widths, strict=True):
            for side in sides:
                conv = nn.Conv2d(channels, filters, side, padding=side // 2)
                self.features.append(conv)
                if batch_norm:
                    self.features.append(nn.BatchNorm2d(filters))
                self.features.append(nn.ReLU(inplace=True))
                if lrn and channels == 3:
                    self.features.append(_response_normalisation())
                channels = filters
            self.features.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.classifier = nn.Sequential(
            nn.Linear(channels * self._grid**2, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, num_classes),
        )
        self._initialise(self)

    def _initialise(self, root: nn.Module) -> None:
        for module in root.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                if self._start == "normal":
                    nn.init.normal_(module.weight, std=0.1)
                else:
                    nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def initialise_from(self, shallower: VGG) -> None:
        """Begin with what a shallower network has learned (section 3.1).

        Its first four convolutions, with their batch normalisation if both have it, and
        its fully connected layers are copied to where this network has the same ones;
        the rest stays as it is.

        Parameters
        ----------
        shallower
            Configuration A, trained.

        Raises
        ------
        ValueError
            If it tells other classes apart.
        """
        if shallower.num_classes != self.num_classes:
            raise ValueError(
                f"the networks have {shallower.num_classes} and {self.num_classes}"
                " classes"
            )
        own, others = self._convolutions(), shallower._convolutions()
        for place in list(others)[:4]:
            for layer, other in zip(own[place], others[place], strict=False):
                layer.load_state_dict(other.state_dict())
        self.classifier.load_state_dict(shallower.classifier.state_dict())

    def _convolutions(self) -> dict[tuple[int, int], list[nn.Module]]:
        """Return the convolutions by block and number within it.

        Each with its batch normalisation, if it has one.
        """
        places: dict[tuple[int, int], list[nn.Module]] = {}
        block = number = 1
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                places[block, number] = [layer]
                number += 1
            elif isinstance(layer, nn.BatchNorm2d):
                places[block, number - 1].append(layer)
            elif isinstance(layer, nn.MaxPool2d):
                block += 1
                number = 1
        return places

    def run_stages(self, x: Tensor) -> Iterator[Tensor]:
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                yield x

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        layers = self.classifier[:-1] if pre_logits else self.classifier
        if self.dense:
            return self._convolved(layers, features).mean(dim=(2, 3))
        return layers(grid_means(features, self._grid).flatten(1))

    def score_map(self, x: Tensor) -> Tensor:
        """Return logits at each place of an image, (n, num_classes, h, w).

        Raises
        ------
        ImageError
            If the images are smaller than 224² (32² for small images).
        """
        self._check_size(x, self._dense_size)
        return self._convolved(self.classifier, self.forward_features(x))

    def _convolved(self, layers: nn.Module, features: Tensor) -> Tensor:
        # a linear map of 7 × 7 positions, applied wherever these fit, is a convolution
        # of which it holds the weights; cutting the positions out saves reordering a
        # matrix of 400 MB at every call
        height, width = (side - self._grid + 1 for side in features.shape[-2:])
        places = functional.unfold(features, self._grid).transpose(1, 2)
        return layers(places).transpose(1, 2).unflatten(2, (height, width))

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.classifier[-1] = nn.Linear(self.num_features, num_classes)
        self._initialise(self.classifier[-1])


def _response_normalisation() -> nn.Module:
    # section 2.1: the parameters of Krizhevsky et al. 2012, section 3.3 (k = 2, n = 5,
    # alpha = 1e-4, beta = 0.75), whose alpha torch divides by n
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


@register_network
def vgg11(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG of 11 layers, configuration A: 132,863,336 parameters with 1,000 classes.

    Table 2 of the paper: 133 million. Options: see `VGG`.
    """
    return VGG("A", num_classes, **options)


@register_network
def vgg11_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Configuration A, batch-normalised: 132,868,840 parameters with 1,000 classes."""
    return VGG("A", num_classes, batch_norm=True, **options)


@register_network
def vgg11_lrn(num_classes: int = 1000, **options: Any) -> VGG:
    """Configuration A-LRN: 132,863,336 parameters with 1,000 classes.

    Table 2 of the paper: 133 million. No weights are published.
    """
    return VGG("A", num_classes, lrn=True, **options)


@register_network
def vgg13(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG of 13 layers, configuration B: 133,047,848 parameters with 1,000 classes.

    Table 2 of the paper: 133 million.
    """
    return VGG("B", num_classes, **options)


@register_network
def vgg13_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Configuration B, batch-normalised: 133,053,736 parameters with 1,000 classes."""
    return VGG("B", num_classes, batch_norm=True, **options)


@register_network
def vgg16_c(num_classes: int = 1000, **options: Any) -> VGG:
    """Configuration C, with 1×1 filters: 133,638,952 parameters with 1,000 classes.

    Table 2 of the paper: 134 million. No weights are published.
    """
    return VGG("C", num_classes, **options)


@register_network
def vgg16_c_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Configuration C, batch-normalised: 133,647,400 parameters with 1,000 classes."""
    return VGG("C", num_classes, batch_norm=True, **options)


@register_network
def vgg16(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG of 16 layers, configuration D: 138,357,544 parameters with 1,000 classes.

    Table 2 of the paper: 138 million.
    """
    return VGG("D", num_classes, **options)


@register_network
def vgg16_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Configuration D, batch-normalised: 138,365,992 parameters with 1,000 classes."""
    return VGG("D", num_classes, batch_norm=True, **options)


@register_network
def vgg19(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG of 19 layers, configuration E: 143,667,240 parameters with 1,000 classes.

    Table 2 of the paper: 144 million.
    """
    return VGG("E", num_classes, **options)


@register_network
def vgg19_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """Configuration E, batch-normalised: 143,678,248 parameters with 1,000 classes."""
    return VGG("E", num_classes, batch_norm=True, **options)
