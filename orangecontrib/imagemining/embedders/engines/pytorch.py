"""Runs networks by torch: on a graphics processor, or on the processor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.engines.building import built
from orangecontrib.imagemining.embedders.engines.choice import EngineChoice
from orangecontrib.imagemining.embedders.trained import (
    drop_oldest,
    is_trained,
    trained_network,
    weights_for,
)
from orangecontrib.imagemining.networks import (
    Network,
    create_network,
    without_numbers,
)
from orangecontrib.imagemining.weights import load_weights

__all__ = [
    "Normalised",
    "TorchEngine",
    "dense_engine_for",
    "device_is_here",
    "engine_for",
    "load",
    "network_of",
    "use_one_core",
]


class Normalised(torch.nn.Module):
    """A network that takes pixels: (n, height, width, 3) uint8 in, vectors out.

    Parameters
    ----------
    network
        With its weights.
    mean, std, scale
        As in `specs.Preprocess`.
    layers
        Layers that `forward` returns the vectors of, in this order.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        network: Network,
        mean: Sequence[float],
        std: Sequence[float],
        scale: float,
        layers: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.layers = list(layers)
        self.scale = scale
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).reshape(shape), False)
        self.register_buffer("std", torch.tensor(std).reshape(shape), False)

    def vectors(
        self, pixels: torch.Tensor, layers: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Return the layers' vectors."""
        x = pixels.permute(0, 3, 1, 2).float()
        return self.network.embed((x * self.scale - self.mean) / self.std, layers)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        vectors = self.vectors(pixels, self.layers)
        return tuple(vectors[name] for name in self.layers)


class TorchEngine:
    """A network with its published or trained weights, ready to run.

    Parameters
    ----------
    network
        Name of a network that has weights.
    dense
        Apply it at all positions of images of any size. Those that end with the mean
        over positions do so by themselves; VGG takes images from 224².
    device
        "cpu", "cuda" or "mps".
    precision
        "float32" or "bfloat16".

    Raises
    ------
    WeightsError
        If they are not to be had.
    """

    def __init__(
        self,
        network: str,
        dense: bool = False,
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        weights = weights_for(network)
        self.network: Network
        architecture = weights.network or network
        if dense and architecture.startswith("vgg"):
            # the same parameters, which are not to be in memory twice
            parameters = engine_for(network, device).network.state_dict()
            options: dict[str, Any] = {}
            if is_trained(network):
                options = dict(trained_network(network).card.options)
            with without_numbers():
                self.network = create_network(
                    architecture, num_classes=weights.num_classes, **options, dense=True
                )
            self.network.load_state_dict(parameters, assign=True)
        else:
            self.network = network_of(network)
        # convolutions run nearly twice as fast with channels last
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.eval()
        preprocess = weights.preprocess
        self._module = Normalised(
            self.network, preprocess.mean, preprocess.std, preprocess.scale
        )
        self._module.to(device)
        self._device = device
        self._precision = precision
        # a graphics processor does one thing at a time; the memory is that of one batch
        self._lock: AbstractContextManager[Any] = (
            nullcontext() if device == "cpu" else threading.Lock()
        )

    def run(
        self, pixels: NDArray[np.uint8], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the layers' vectors, (n, size of the layer) float32 each.

        Parameters
        ----------
        pixels
            (n, height, width, 3), in the network's order of colours.
        layers
            Names of layers.
        """
        if self._device == "cpu" and len(pixels) > 1:
            # as fast as together, and a vector does not depend on its neighbours
            alone = [self._run(image[np.newaxis], layers) for image in pixels]
            return {name: np.concatenate([v[name] for v in alone]) for name in layers}
        return self._run(pixels, layers)

    def _run(
        self, pixels: NDArray[np.uint8], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        with self._lock, torch.inference_mode(), self._arithmetic():
            x = torch.from_numpy(pixels).to(self._device)
            vectors = self._module.vectors(x, layers)
            return {name: v.float().cpu().numpy() for name, v in vectors.items()}

    def _arithmetic(self) -> AbstractContextManager[Any]:
        if self._precision == "bfloat16":
            return torch.autocast(self._device, torch.bfloat16)
        if self._device == "cuda":
            # by itself torch rounds what convolutions multiply to 10 bits there
            return torch.backends.cudnn.flags(allow_tf32=False)
        return nullcontext()


def network_of(name: str) -> Network:
    """Return a network with its published or trained weights, channels first.

    Raises
    ------
    WeightsError
        If they are not to be had.
    """
    if is_trained(name):
        return built(trained_network(name))
    weights = weights_for(name)
    tensors = load_weights(weights)
    network: Network = create_network(
        weights.network or name, num_classes=weights.num_classes
    )
    network.load_state_dict(
        {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    )
    return network.eval()


def device_is_here(device: str) -> bool:
    """Tell whether torch can use "cuda", "mps" or "cpu"."""
    if device == "cuda":
        return torch.cuda.is_available()
    return device == "cpu" or torch.backends.mps.is_available()


_Key = tuple[str, str, str]
_ENGINES: dict[_Key, TorchEngine] = {}
_DENSE: dict[_Key, TorchEngine] = {}
_LOCK = threading.Lock()
_DENSE_LOCK = threading.Lock()


def engine_for(
    network: str, device: str = "cpu", precision: str = "float32"
) -> TorchEngine:
    """Return the network's engine, loading it the first time."""
    key = (network, device, precision)
    with _LOCK:
        if key not in _ENGINES:
            _ENGINES[key] = TorchEngine(network, False, device, precision)
            drop_oldest(_ENGINES)
        return _ENGINES[key]


def load(network: str, choice: EngineChoice) -> TorchEngine:
    """Return a network's engine; see `choice.EngineKind`."""
    return engine_for(network, choice.device, choice.precision)


def dense_engine_for(
    network: str, device: str = "cpu", precision: str = "float32"
) -> TorchEngine:
    """Return the engine that applies VGG at all positions of an image.

    It shares the parameters of `engine_for`'s.
    """
    key = (network, device, precision)
    with _DENSE_LOCK:
        if key not in _DENSE:
            _DENSE[key] = TorchEngine(network, True, device, precision)
            drop_oldest(_DENSE)
        return _DENSE[key]


def use_one_core() -> None:
    """Make torch compute on one core when called from this thread.

    To be called once in a thread of one's own; other threads keep what they have.
    """
    with _LOCK:
        n_threads = torch.get_num_threads()
        torch.set_num_threads(1)
        # torch takes the last number set as that of threads to come: give back theirs.
        # This thread has made its choice, a thread that is over keeps none.
        restore = threading.Thread(target=torch.set_num_threads, args=(n_threads,))
        restore.start()
        restore.join()
