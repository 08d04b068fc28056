"""Runs our networks by ONNX Runtime on the processor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.engines import quiet
from orangecontrib.imagemining.embedders.engines.choice import EngineChoice
from orangecontrib.imagemining.embedders.engines.exported import exported_network
from orangecontrib.imagemining.embedders.engines.graph import with_outputs_only

__all__ = ["RuntimeEngine", "load", "session_of"]

onnxruntime = quiet.onnxruntime()

_LARGE = 64 * 2**20
_FEW = 2


class RuntimeEngine:
    """A network with its published weights, ready to run on one core a call.

    Parameters
    ----------
    network
        Name of one of ours that has weights.

    Raises
    ------
    ExportError
        If it cannot be had as an ONNX file that computes what torch computes.
    WeightsError
        If its weights are not to be had.
    """

    def __init__(self, network: str) -> None:
        self._network = network
        self._sessions: dict[frozenset[str], Any] = {}
        self._lock = threading.Lock()
        model = exported_network(network)
        self._multiplies = b"Gemm" in model or b"MatMul" in model
        # the numbers of a large one are not to be held twice
        self._model = model if len(model) <= _LARGE else None

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
        session = self._session(frozenset(layers))
        names = list(layers)
        pixels = np.ascontiguousarray(pixels)
        # matrix products read all of their numbers once a batch; convolutions are
        # quicker on so few images that these stay near the processor
        at_once = max(len(pixels), 1) if self._multiplies else _FEW
        parts = [
            self._run(session, names, pixels[start : start + at_once])
            for start in range(0, max(len(pixels), 1), at_once)
        ]
        vectors = [np.concatenate(each) for each in zip(*parts, strict=True)]
        return dict(zip(names, vectors, strict=True))

    def _run(
        self,
        session: Any,
        names: list[str],
        pixels: NDArray[np.uint8],
    ) -> list[NDArray[np.float32]]:
        if len(pixels) == 1 and self._multiplies:
            # products of one row may be summed up in another order than those of
            # several: an image's vector is not to depend on how many come with it
            pixels = np.repeat(pixels, 2, axis=0)
            return [vector[:1] for vector in session.run(names, {"pixels": pixels})]
        return session.run(names, {"pixels": pixels})  # type: ignore[no-any-return]

    def _session(self, layers: frozenset[str]) -> Any:
        with self._lock:
            if layers not in self._sessions:
                model = self._model
                if model is None:
                    self._sessions.clear()
                    model = exported_network(self._network)
                self._sessions[layers] = session_of(with_outputs_only(model, layers))
            return self._sessions[layers]


def load(network: str, choice: EngineChoice) -> RuntimeEngine:
    """Return a network's engine; see `choice.EngineKind`."""
    return RuntimeEngine(network)


def session_of(model: bytes) -> Any:
    """Return what runs an ONNX file, on the core of the thread that calls it."""
    options = onnxruntime.SessionOptions()
    # the embedder runs a thread a core, each with images of its own
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
