"""A training in a file: all that is needed to go on as if it had never stopped.

One safetensors file: the numbers, and, as bytes among them, the rest as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orangecontrib.imagemining.exceptions import ImageMiningError, TrainingError
from orangecontrib.imagemining.training.history import History
from orangecontrib.imagemining.training.plan import Plan, plan_from_json
from orangecontrib.imagemining.training.running import Position

__all__ = [
    "CheckpointInfo",
    "State",
    "grouped",
    "like",
    "load_optimizer",
    "optimizer_tensors",
    "peek",
    "read_state",
    "write_state",
]

_FORMAT = "Orange3-ImageMining training"
_VERSION = 1
_JSON = "json"


@dataclass
class State:
    """What a file holds.

    Attributes
    ----------
    identity : what training it is of: plan, classes, checksums of images and start.
    position : where it is.
    seconds : what it has taken.
    history : as far as it has come.
    tensors : by ``group/name``.
    """

    identity: dict[str, Any]
    position: Position
    seconds: float
    history: History
    tensors: dict[str, Tensor]

    def group(self, name: str) -> dict[str, Tensor]:
        """Return the tensors of a group, by their names in it."""
        begin = f"{name}/"
        return {
            key[len(begin) :]: tensor
            for key, tensor in self.tensors.items()
            if key.startswith(begin)
        }


@dataclass(frozen=True)
class CheckpointInfo:
    """What a file says of itself.

    Attributes
    ----------
    plan, classes : of the training.
    history : what was seen so far.
    epochs_done : with a fraction.
    finished : why no more is to be trained; "" if there is.
    """

    plan: Plan
    classes: tuple[str, ...]
    history: History
    epochs_done: float
    finished: str


def peek(path: Path) -> CheckpointInfo:
    """Return what a checkpoint is of, without its numbers.

    Raises
    ------
    TrainingError
        If it is damaged, or none.
    """
    content = _json_of(path, None)
    try:
        return CheckpointInfo(
            plan_from_json(content["identity"]["plan"]),
            tuple(content["identity"]["classes"]),
            History.from_json(content["history"]),
            float(content["position"]["epochs_done"]),
            str(content["position"]["finished"]),
        )
    except (KeyError, TypeError, ValueError, ImageMiningError) as ex:
        raise _damaged(path, ex) from ex


def write_state(path: Path, state: State) -> None:
    """Write a file that is there whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; what was there before is still there.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "identity": state.identity,
        "position": state.position.to_json(),
        "seconds": state.seconds,
        "history": state.history.to_json(),
    }
    tensors: dict[str, NDArray[Any]] = {
        name: tensor.detach().cpu().contiguous().numpy()
        for name, tensor in state.tensors.items()
    }
    text = json.dumps(content).encode()
    tensors[_JSON] = np.frombuffer(text, np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    # always the same: what a crash leaves is written over, and does not pile up. (Some
    # safetensors write under a name of their own first, ".tmp" and six characters.)
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            save_file(tensors, part)
        except SafetensorError as ex:
            raise OSError(f"{ex}") from ex
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def read_state(path: Path, identity: dict[str, Any]) -> State:
    """Read a file that is of this very training.

    Parameters
    ----------
    path
        The file.
    identity
        As the training would write it.

    Raises
    ------
    TrainingError
        If it is damaged, or of another training; the message says what differs.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
        content = _json_of(path, arrays.pop(_JSON))
        known = content["identity"]
        for name, (what, advice) in _DIFFERENCES.items():
            if known.get(name) != json.loads(json.dumps(identity[name])):
                raise TrainingError(
                    f"{path.name} is of another training: {what}. {advice}, or let it"
                    " begin anew"
                )
        return State(
            known,
            Position.from_json(content["position"]),
            content["seconds"],
            History.from_json(content["history"]),
            {name: torch.from_numpy(array) for name, array in arrays.items()},
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as ex:
        raise _damaged(path, ex) from ex


#: What must be the same, with what is said where it is not.
_DIFFERENCES = {
    "plan": ("other settings", "Set them as they were"),
    "classes": ("other classes", "Give the data that it was begun with"),
    "images": ("other images", "Give the images that it was begun with"),
    "validation": (
        "other images for validation",
        "Give the images that it was begun with",
    ),
    "start": ("other weights to begin with", "Give the network that it was begun with"),
}


def grouped(**groups: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """Return tensors by ``group/name``, as `State` has them."""
    return {
        f"{group}/{name}": tensor
        for group, tensors in groups.items()
        for name, tensor in (tensors or {}).items()
    }


def like(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> dict[str, Tensor] | None:
    """Return tensors in the order in memory, and on the device, that others have.

    Parameters
    ----------
    own
        The others, by name.
    tensors
        Of the same names and shapes; without any, there is nothing to return.
    """
    if not tensors:
        return None
    return {
        name: torch.empty_like(other).copy_(tensors[name])
        for name, other in own.items()
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer remembers, by ``number of the parameter/name``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}/{name}": value
        for number, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Have an optimizer remember what another one of its kind did.

    Parameters
    ----------
    optimizer
        Of the same parameters.
    tensors
        By `optimizer_tensors`.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition("/")
        parameter = parameters[int(number)]
        if value.shape == parameter.shape and value.ndim:
            # in the parameter's order in memory, or sums may be rounded otherwise
            value = torch.empty_like(parameter).copy_(value)
        state.setdefault(int(number), {})[name] = value
    content = optimizer.state_dict()
    content["state"] = state
    optimizer.load_state_dict(content)


def _json_of(path: Path, array: NDArray[Any] | None) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        if array is None:
            with safe_open(path, framework="numpy") as file:
                array = file.get_tensor(_JSON)
        content = json.loads(np.asarray(array, np.uint8).tobytes())
        if content["format"] != _FORMAT:
            raise ValueError("it is something else")
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']!r} is not known here")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as ex:
        raise _damaged(path, ex) from ex
    assert isinstance(content, dict)
    return content


def _damaged(path: Path, ex: Exception) -> TrainingError:
    return TrainingError(
        f"{path.name} cannot be read as the checkpoint of a training ({ex}); let the"
        " training begin anew, or put another file there"
    )
