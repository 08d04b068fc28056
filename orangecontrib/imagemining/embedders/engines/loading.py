"""Loads our networks into the engine that is chosen for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.engines.choice import (
    AUTO,
    ENGINES,
    EngineChoice,
    choose_engine,
    gpu_is_of_no_use,
    kind_of,
)
from orangecontrib.imagemining.embedders.engines.exported import ExportError
from orangecontrib.imagemining.embedders.trained import drop_oldest
from orangecontrib.imagemining.specs import DENSE_VIEWS

__all__ = ["Engine", "load_network"]

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """A network that is ready to run; from several threads at once."""

    def run(
        self, pixels: NDArray[np.uint8], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the layers' vectors for (n, height, width, 3) pixels."""


_LOADED: dict[tuple[str, str, str], Engine] = {}
_FAILED: dict[tuple[str, str, str], str] = {}
_LOCK = threading.Lock()


def load_network(
    network: str,
    wanted: str = AUTO,
    precision: str = "float32",
    views: int | str = 1,
) -> tuple[Engine, EngineChoice]:
    """Return the engine of one of our networks, and why it is this one.

    It is loaded the first time. The very first time ever, torch prepares the network
    for the others, which takes seconds. Where that fails torch runs it, and the reason
    says why.

    Parameters
    ----------
    network, wanted, precision, views
        As for `choose_engine`.

    Raises
    ------
    UnknownNameError
        If there is no such network, engine or precision.
    WeightsError
        If its weights are not to be had.
    """
    choice = choose_engine(network, wanted, precision, views)
    if choice.device != "cpu":
        from orangecontrib.imagemining.embedders.engines import pytorch

        if not pytorch.device_is_here(choice.device):
            gpu_is_of_no_use()
            choice = choose_engine(network, wanted, precision, views)
    if choice.name != "torch":
        key = (network, choice.name, choice.precision)
        with _LOCK:
            if key not in _LOADED and key not in _FAILED:
                try:
                    _LOADED[key] = kind_of(choice.name).loaded(network, choice)
                    drop_oldest(_LOADED)
                except (ExportError, ImportError, RuntimeError) as ex:
                    _log.warning("%s cannot run %s: %s", choice.name, network, ex)
                    _FAILED[key] = str(ex)
                    drop_oldest(_FAILED)
            if key in _LOADED:
                return _LOADED[key], choice
        reason = f"{ENGINES['torch']} computes instead: {_FAILED[key]}"
        choice = replace(choose_engine(network, "torch", precision), reason=reason)
    return _by_torch(network, choice, views in DENSE_VIEWS), choice


def _by_torch(network: str, choice: EngineChoice, dense: bool) -> Engine:
    if not dense:
        return kind_of("torch").loaded(network, choice)  # type: ignore[no-any-return]
    from orangecontrib.imagemining.embedders.engines import pytorch

    return pytorch.dense_engine_for(network, choice.device, choice.precision)
