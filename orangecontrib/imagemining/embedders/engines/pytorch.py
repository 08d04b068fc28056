"""Runs networks by torch on the processor."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from orangecontrib.imagemining.networks import Network, create_network
from orangecontrib.imagemining.weights import load_weights, weights_of

__all__ = ["TorchEngine", "dense_engine_for", "engine_for", "use_one_core"]


class TorchEngine:
    """A network with its published weights, ready to run.

    Parameters
    ----------
    network
        Name of a network that has weights.
    dense
        For VGG: apply it at all positions of images of any size from 224².

    Raises
    ------
    WeightsError
        If they are not to be had.
    """

    def __init__(self, network: str, dense: bool = False) -> None:
        weights = weights_of(network)
        name = weights.network or network
        self._network: Network
        if dense:
            # the same parameters, which are not to be in memory twice
            parameters = engine_for(network)._network.state_dict()
            with torch.device("meta"):
                self._network = create_network(
                    name, num_classes=weights.num_classes, dense=True
                )
            self._network.load_state_dict(parameters, assign=True)
        else:
            tensors = load_weights(weights)
            self._network = create_network(name, num_classes=weights.num_classes)
            self._network.load_state_dict(
                {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
            )
        # convolutions on processors run nearly twice as fast with channels last
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network.eval()
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
            (n, height, width, 3), in the network's order of colours.
        layers
            Names of layers.
        """
        with torch.inference_mode():
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
            x = (x * self._scale - self._mean) / self._std
            vectors = self._network.embed(x, layers)
            return {name: vector.numpy() for name, vector in vectors.items()}


_ENGINES: dict[str, TorchEngine] = {}
_DENSE: dict[str, TorchEngine] = {}
_LOCK = threading.Lock()
_DENSE_LOCK = threading.Lock()


def engine_for(network: str) -> TorchEngine:
    """Return the network's engine, loading it the first time."""
    with _LOCK:
        if network not in _ENGINES:
            _ENGINES[network] = TorchEngine(network)
        return _ENGINES[network]


def dense_engine_for(network: str) -> TorchEngine:
    """Return the engine that applies VGG at all positions of an image.

    It shares the parameters of `engine_for`'s.
    """
    with _DENSE_LOCK:
        if network not in _DENSE:
            _DENSE[network] = TorchEngine(network, dense=True)
        return _DENSE[network]


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
