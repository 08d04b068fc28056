"""Runs our networks by OpenVINO on the processor."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.engines import quiet
from orangecontrib.imagemining.embedders.engines.choice import EngineChoice
from orangecontrib.imagemining.embedders.engines.exported import exported_network
from orangecontrib.imagemining.embedders.engines.graph import with_outputs_only
from orangecontrib.imagemining.embedders.pipeline import n_cores

__all__ = ["OpenVinoEngine", "load"]

openvino = quiet.openvino()

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine:
    """A network with its published weights, ready to run.

    Parameters
    ----------
    network
        Name of one of ours that has weights.
    precision
        "float32" or "bfloat16".

    Raises
    ------
    ExportError
        If it cannot be had as an ONNX file.
    WeightsError
        If its weights are not to be had.
    """

    def __init__(self, network: str, precision: str = "float32") -> None:
        self._network = network
        self._precision = _PRECISIONS[precision]
        self._core = openvino.Core()
        self._compiled: dict[frozenset[str], Any] = {}
        self._lock = threading.Lock()
        self._of_thread = threading.local()
        exported_network(network)  # so that what is wrong with it comes to light now

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
        key = frozenset(layers)
        # requests are not shared between threads
        if not hasattr(self._of_thread, "requests"):
            self._of_thread.requests = {}
        requests: dict[frozenset[str], Any] = self._of_thread.requests
        request = requests.get(key)
        if request is None:
            request = requests[key] = self._compile(key).create_infer_request()
        request.infer({"pixels": np.ascontiguousarray(pixels)})
        return {
            name: np.array(request.get_tensor(name).data, np.float32) for name in layers
        }

    def _compile(self, layers: frozenset[str]) -> Any:
        with self._lock:
            if layers not in self._compiled:
                content = with_outputs_only(exported_network(self._network), layers)
                settings = {
                    "INFERENCE_PRECISION_HINT": self._precision,
                    # a core for each thread that calls
                    "NUM_STREAMS": n_cores(),
                    "INFERENCE_NUM_THREADS": n_cores(),
                }
                model = self._core.read_model(io.BytesIO(content))
                self._compiled[layers] = self._core.compile_model(
                    model, "CPU", settings
                )
            return self._compiled[layers]


def load(network: str, choice: EngineChoice) -> OpenVinoEngine:
    """Return a network's engine; see `choice.EngineKind`."""
    return OpenVinoEngine(network, choice.precision)
