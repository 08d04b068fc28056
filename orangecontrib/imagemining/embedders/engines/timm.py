"""Runs networks of the package timm, with the weights and preprocessing it has."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import timm
import torch
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.specs import VIEWS, Layer, Preprocess, Weights

__all__ = ["TimmEngine", "timm_weights"]

# imports inside timm set and unset switches of its own: one network at a time
_LOCK = threading.Lock()

_FETCHING = (OSError, RuntimeError, ValueError, KeyError)


@lru_cache(maxsize=64)
def timm_weights(name: str) -> Weights:
    """Return layers, preprocessing and licence of a network as timm has them.

    Parameters
    ----------
    name
        "resnet18.a1_in1k", as in timm's lists; without the part after the point, the
        weights that timm prefers.

    Raises
    ------
    UnknownNameError
        If timm has no such network, or no weights for it.
    WeightsError
        If it takes no pictures in colour.
    """
    _check_name(name)
    published = timm.get_pretrained_cfg(name)
    with _LOCK, torch.device("meta"):  # its shape alone, without numbers
        network = _create(name, pretrained=False)
    config = timm.data.resolve_model_data_config(network)
    channels, height, width = config["input_size"]
    if channels != 3:
        raise WeightsError(
            f"timm's {name} takes {channels} channels, not red-green-blue"
        )
    size = int(getattr(network, "head_hidden_size", None) or network.num_features)
    layers = [Layer("features", size, "what the last layer gets")]
    if network.num_classes > 0:
        layers.append(Layer("logits", int(network.num_classes), "the last layer"))
    preprocess, advice = _preprocess(config, height, width)
    of_imagenet = network.num_classes == 1000 and "in1k" in (published.tag or name)
    return Weights(
        title=f"{name} (timm)",
        name=name,
        network=f"timm:{name}",
        kind="of timm",
        url=_address(published),
        layers=tuple(layers),
        num_classes=int(network.num_classes),
        preprocess=preprocess,
        license=published.license or "see timm",
        trained_on=(
            "ImageNet, 1,000 classes"
            if of_imagenet
            else f"what timm calls '{published.tag or name}'"
        ),
        views=VIEWS if height == width else (1,),
        advice=advice,
    )


class TimmEngine:
    """A network of timm, ready to run.

    Parameters
    ----------
    name
        As for `timm_weights`.

    Raises
    ------
    WeightsError
        If its weights cannot be fetched or do not fit.
    """

    def __init__(self, name: str) -> None:
        weights = timm_weights(name)
        try:
            with _LOCK:
                self._network = _create(name, pretrained=True)
        except _FETCHING as ex:
            reason = " ".join(str(ex).split("\n", 1)[0].split())[:200]
            raise WeightsError(
                f"timm could not load the weights of {name} ({reason}). They are at"
                f" {weights.url}; timm keeps what it fetched in the folder of"
                " huggingface_hub (environment variable HF_HOME)"
            ) from ex
        self._name = name
        self._sizes = {layer.name: layer.size for layer in weights.layers}
        self._network.eval()
        self._network.requires_grad_(False)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(weights.preprocess.mean).reshape(shape)
        self._std = torch.tensor(weights.preprocess.std).reshape(shape)
        self._scale = weights.preprocess.scale

    def run(
        self, pixels: NDArray[np.uint8], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the layers' vectors, (n, size of the layer) float32 each.

        Parameters
        ----------
        pixels
            (n, height, width, 3) in red, green, blue.
        layers
            "features", "logits" or both.

        Raises
        ------
        UnknownNameError
            If there is no such layer.
        WeightsError
            If a vector has another length than expected.
        """
        for name in layers:
            if name not in self._sizes:
                raise UnknownNameError(
                    f"timm's {self._name} has no layer '{name}', only"
                    f" {', '.join(self._sizes)}"
                )
        vectors = {}
        with torch.inference_mode():
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            x = (x * self._scale - self._mean) / self._std
            features = self._network.forward_features(x)
            for name in layers:
                vector = self._network.forward_head(
                    features, pre_logits=name == "features"
                )
                if tuple(vector.shape[1:]) != (self._sizes[name],):
                    raise WeightsError(
                        f"timm's {self._name} gives no vector of {self._sizes[name]}"
                        f" numbers as '{name}', but {tuple(vector.shape[1:])}"
                    )
                vectors[name] = vector.numpy()
        return vectors


def _check_name(name: str) -> None:
    # a name with a source, such as hf-hub:somebody/something, would fetch a description
    # of a network from anywhere
    if ":" in name or "/" in name or not timm.models.is_model_pretrained(name):
        raise UnknownNameError(
            f"timm {timm.__version__} has no pretrained network '{name}'; its names are"
            " in the list of pretrained models at https://huggingface.co/timm"
        )


def _create(name: str, pretrained: bool) -> Any:
    return timm.create_model(name, pretrained=pretrained)


def _preprocess(
    config: dict[str, Any], height: int, width: int
) -> tuple[Preprocess, str]:
    """Return what timm does to images in our words, and how to have it so."""
    share = config["crop_pct"]
    mode = config["crop_mode"]
    shortest = math.floor(min(height, width) / share)
    advice = ""
    if mode == "center":
        advice = "Trained with the centre cut out of each image: choose to crop."
    elif mode == "border":
        advice = "Trained with whole images in a frame: choose to pad."
    elif share < 1:
        advice = (
            f"Trained with images stretched to {shortest} × {shortest} pixels and"
            " then cut; here they are stretched only, so numbers differ a little."
        )
    if config["interpolation"] not in ("lanczos", "bicubic", "bilinear"):
        raise WeightsError(f"The filter '{config['interpolation']}' is not known here")
    interpolation: Literal["lanczos", "bicubic", "bilinear"] = config["interpolation"]
    return (
        Preprocess(
            size=(height, width),
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            scale=1 / 255,
            interpolation=interpolation,
            shortest=shortest if mode == "center" else None,
        ),
        advice,
    )


def _address(published: Any) -> str:
    if published.hf_hub_id:
        return f"https://huggingface.co/{published.hf_hub_id}"
    return published.url or "https://huggingface.co/timm"
