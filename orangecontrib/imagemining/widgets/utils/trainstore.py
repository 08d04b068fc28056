"""What is kept of trainings on this computer: how far they are, and what came of them.

A training's key stands for its plan and its images. Below the user's data folder there
is ``training/<key>.checkpoint`` as long as it is not finished, and afterwards
``training/<key>.safetensors`` with ``<key>.json``, so that a workflow that is opened
again has its network at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.images.locate import local_path
from orangecontrib.imagemining.training.history import History
from orangecontrib.imagemining.training.plan import Plan, plan_to_json
from orangecontrib.imagemining.weights import data_folder
from orangecontrib.imagemining.weights.folders import write_atomically
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)

__all__ = [
    "Found",
    "Result",
    "checkpoint_of",
    "clean",
    "find",
    "forget",
    "images_key",
    "keep_result",
    "key_of",
    "load_result",
    "training_folder",
]

_MOST_BYTES = 4 * 2**30  # of all trainings together
_LONGEST = 60 * 86400.0  # seconds that one is kept
_PART = 86400.0  # seconds after which nobody writes at a file any more
_VERSION = 1
_ENDINGS = (".checkpoint", ".imnet", ".json", ".safetensors")


@dataclass(frozen=True)
class Found:
    """What is here of a training.

    Attributes
    ----------
    key : of the training.
    checkpoint : when it stopped, seconds since 1970; None if there is nothing to
        continue.
    result : when it ended; None if it has not.
    """

    key: str
    checkpoint: float | None = None
    result: float | None = None


@dataclass
class Result:
    """What came of a training, as it is kept.

    Attributes
    ----------
    network : the trained network.
    history : what was seen.
    left_out : rows of the data that were not learned from, and why.
    notes : sentences for the user.
    mistakes : (source, truth, predicted, probability) after the last epoch.
    shares : of the images learned from, by class.
    """

    network: ImageNetwork
    history: History
    left_out: list[tuple[int, str]]
    notes: list[str]
    mistakes: list[tuple[str | None, str, str, float]]
    shares: dict[str, float]


def training_folder() -> Path:
    """Return the folder of trainings; it need not exist."""
    return data_folder() / "training"


def images_key(
    classes: Sequence[str], images: Sequence[tuple[Sequence[str], Sequence[int]]]
) -> str:
    """Return what stands for the images of a training.

    Parameters
    ----------
    classes
        In their order.
    images
        For training and, where they are given, for validation: sources and labels.
        Size and time of their files count: one that was changed is another image.
    """
    digest = hashlib.sha256()
    digest.update(json.dumps(list(classes)).encode())
    for sources, labels in images:
        digest.update(f"{len(sources)}\n".encode())
        digest.update(np.asarray(labels, "<i8").tobytes())
        for source in sources:
            digest.update(f"{source}\0{_state(source)}\n".encode())
    return digest.hexdigest()


def key_of(plan: Plan, images: str, start: ImageNetwork | None = None) -> str:
    """Return what stands for a training: equal keys train alike.

    Parameters
    ----------
    plan
        What is trained, and how.
    images
        Their `images_key`.
    start
        The network to begin from.
    """
    given = start.sha256 if start is not None and plan.start == "given" else ""
    content = [_VERSION, plan_to_json(plan), images, given]
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _state(source: str) -> str:
    """Return size and time of a source's file, "" where it is none."""
    path = local_path(source)
    if path is None:
        return ""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def checkpoint_of(key: str) -> Path:
    """Return the file that a training continues from."""
    return training_folder() / f"{key}.checkpoint"


def find(key: str) -> Found:
    """Look what is here of a training."""
    folder = training_folder()
    result = _time(folder / f"{key}.json")
    if result is not None and _time(folder / f"{key}.safetensors") is None:
        result = None
    return Found(key, _time(checkpoint_of(key)), result)


def keep_result(key: str, result: Result, is_whole: bool = True) -> None:
    """Keep what came of a training.

    Parameters
    ----------
    key
        Of the training.
    result
        What came of it.
    is_whole
        Whether it has come to its end: its checkpoint is not needed any more then.

    Raises
    ------
    WeightsError
        If it cannot be written, such as on a full disk.
    """
    folder = training_folder()
    content = {
        "version": _VERSION,
        "history": result.history.to_json(),
        "left_out": [list(each) for each in result.left_out],
        "notes": result.notes,
        "mistakes": [list(each) for each in result.mistakes],
        "shares": result.shares,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_network(result.network, folder / f"{key}.safetensors", replace=True)
        write_atomically(folder / f"{key}.json", json.dumps(content).encode())
    except OSError as ex:
        raise WeightsError(
            f"The result cannot be kept in {folder}: {ex.strerror or ex}"
        ) from ex
    if is_whole:
        checkpoint_of(key).unlink(missing_ok=True)


def load_result(key: str) -> Result:
    """Return what came of a training.

    Raises
    ------
    WeightsError
        If it is not there, or damaged.
    """
    folder = training_folder()
    network = load_network_file(folder / f"{key}.safetensors")
    try:
        # it is of use: `clean` is to know. The other file's time is that of training
        os.utime(folder / f"{key}.safetensors")
        content: dict[str, Any] = json.loads((folder / f"{key}.json").read_bytes())
        if content["version"] != _VERSION:
            raise ValueError(content["version"])
        return Result(
            network,
            History.from_json(content["history"]),
            [(int(row), str(why)) for row, why in content["left_out"]],
            [str(note) for note in content["notes"]],
            [
                (source, str(truth), str(predicted), float(probability))
                for source, truth, predicted, probability in content["mistakes"]
            ],
            {str(name): float(share) for name, share in content["shares"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as ex:
        raise WeightsError(
            f"What was kept of a training in {folder} is damaged; train anew"
        ) from ex


def forget(key: str) -> None:
    """Remove what is kept of a training, so that it begins anew.

    Raises
    ------
    WeightsError
        If it cannot be removed, such as in a folder that may only be read.
    """
    folder = training_folder()
    try:
        for ending in _ENDINGS:
            (folder / f"{key}{ending}").unlink(missing_ok=True)
    except OSError as ex:
        raise WeightsError(
            f"What is kept of the training in {folder} cannot be removed:"
            f" {ex.strerror or ex}"
        ) from ex


def clean(
    keep: str = "", most: int = _MOST_BYTES, longest: float = _LONGEST
) -> list[str]:
    """Remove old trainings, and beyond so many bytes the oldest; return their keys.

    Parameters
    ----------
    keep
        Key of one that stays.
    most
        Bytes of all together.
    longest
        Seconds since a training was used last.
    """
    trainings: dict[str, tuple[float, int]] = {}
    try:
        files = [path for path in training_folder().iterdir() if _is_ours(path)]
    except OSError:
        return []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        when, size = trainings.get(path.stem, (0.0, 0))
        trainings[path.stem] = (max(when, status.st_mtime), size + status.st_size)
    gone, total, now = [], 0, time.time()
    # of programs that were killed; safetensors writes under names of its own
    for pattern in (".*.part", ".tmp??????"):
        for path in training_folder().glob(pattern):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _PART:
                    path.unlink()
    for key, (when, size) in sorted(
        trainings.items(), key=lambda item: (item[0] != keep, -item[1][0])
    ):
        total += size
        if key != keep and (total > most or now - when > longest):
            with contextlib.suppress(WeightsError):  # what stays is for another time
                forget(key)
                gone.append(key)
                total -= size
    return gone


def _is_ours(path: Path) -> bool:
    digits = set("0123456789abcdef")
    return path.suffix in _ENDINGS and len(path.stem) == 24 and digits >= set(path.stem)


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
