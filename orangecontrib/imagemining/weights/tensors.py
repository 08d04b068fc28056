"""What a network's file must hold: names, shapes, numbers."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError

__all__ = ["Shapes", "Tensors", "checksum", "fitted", "known_networks", "shapes_of"]

Tensors = dict[str, NDArray[Any]]
Shapes = dict[str, tuple[int, ...]]

_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
# counts batches in training; files of before 2018 have none, and nothing needs it
_COUNTER = "num_batches_tracked"


def checksum(tensors: Tensors) -> str:
    """Return the sha256 over names, shapes and values, whatever their order."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        total.update(np.ascontiguousarray(tensor).tobytes())
    return total.hexdigest()


@functools.lru_cache(maxsize=1)
def _table() -> dict[str, Shapes]:
    """Read shapes.txt, which scripts/make_shapes.py makes from the networks."""
    table: dict[str, Shapes] = {}
    path = Path(__file__).parent / "shapes.txt"
    for line in path.read_text(encoding="utf8").splitlines():
        if line.startswith("["):
            shapes = table.setdefault(line[1:-1], {})
        elif not line.startswith("#"):
            module, *words = line.split()
            shape = tuple(int(word) for word in words if word.isdigit())
            shapes[f"{module}.weight"] = shape
            if words[-1] == "bias":
                shapes[f"{module}.bias"] = shape[:1]
            elif words[-1] == "bn":
                shapes.update({f"{module}.{part}": shape for part in _BATCH_NORM})
                shapes[f"{module}.{_COUNTER}"] = ()
    return table


def known_networks() -> list[str]:
    """Return the networks whose shapes are known."""
    return list(_table())


def shapes_of(network: str, num_classes: int = 1000) -> Shapes:
    """Return the shapes of a network's parameters by their names.

    Parameters
    ----------
    network
        One of `known_networks()`.
    num_classes
        Number of its logits; the published networks have 1,000.
    """
    shapes = dict(_table()[network])
    if num_classes != 1000:
        for name, shape in shapes.items():
            if shape[:1] == (1000,):
                shapes[name] = (num_classes, *shape[1:])
    return shapes


def fitted(tensors: Tensors, network: str, shapes: Shapes) -> Tensors:
    """Return the tensors as a network takes them, once they are seen to be its own.

    Numbers become float32. Counters of batches, which old files lack, are added.

    Parameters
    ----------
    tensors
        As read from a file.
    network
        The network's name, for the message.
    shapes
        Its parameters, by `shapes_of`.

    Raises
    ------
    WeightsError
        If they are another network's, or some are missing, too many, of another shape
        or no numbers.
    """
    missing = [
        name for name in shapes if name not in tensors and not name.endswith(_COUNTER)
    ]
    extra = [name for name in tensors if name not in shapes]
    shared = [name for name in shapes if name in tensors]
    wrong = [name for name in shared if tensors[name].shape != shapes[name]]
    if missing or extra or wrong:
        raise WeightsError(_misfit(tensors, network, shapes, missing, extra, wrong))
    result: Tensors = {}
    for name, shape in shapes.items():
        if name.endswith(_COUNTER):
            tensor = tensors.get(name, np.zeros(shape, np.int64))
            result[name] = np.array(tensor, np.int64)
            continue
        tensor = tensors[name]
        if tensor.dtype.kind != "f":
            raise WeightsError(
                f"'{name}' in the file holds {tensor.dtype}, not floating-point numbers"
            )
        if not np.isfinite(tensor).all():
            raise WeightsError(f"'{name}' in the file holds values that are no numbers")
        tensor = np.ascontiguousarray(tensor, np.float32)
        # torch wants to own what it is given
        result[name] = tensor if tensor.flags.writeable else tensor.copy()
    return result


def _misfit(
    tensors: Tensors,
    network: str,
    shapes: Shapes,
    missing: Sequence[str],
    extra: Sequence[str],
    wrong: Sequence[str],
) -> str:
    own = {name: tensor.shape for name, tensor in tensors.items()}
    for other in known_networks():
        if other != network and _same(own, shapes_of(other)):
            return f"The file holds the weights of another network: {other}"
    problems = []
    if missing:
        problems.append(f"{_some(missing)} missing")
    if extra:
        problems.append(f"{_some(extra)} not of this network")
    for name in wrong[:1]:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        problems.append(
            f"'{name}'{more} of shape {own[name]}, where the network has {shapes[name]}"
        )
    return f"The file does not hold the weights of {network}: {'; '.join(problems)}"


def _same(own: Shapes, shapes: Shapes) -> bool:
    def strip(table: Shapes) -> Shapes:
        return {
            name: shape for name, shape in table.items() if not name.endswith(_COUNTER)
        }

    return strip(own) == strip(shapes)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:2])
    if len(names) > 2:
        shown += f" and {len(names) - 2} more"
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
