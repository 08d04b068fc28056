"""Folders in settings, in workflows and from the mouse."""

from __future__ import annotations

import os
from pathlib import Path

from AnyQt.QtCore import QMimeData

__all__ = ["dropped_folder", "remember", "resolve", "to_store"]

_N_RECENT = 10
_SAMPLES = "samples:"
_SAMPLES_FOLDER = str(Path(__file__).parents[2] / "samples")


def remember(recent: list[str], folder: str) -> list[str]:
    """Return the folders used lately, `folder` first."""
    folder = os.path.abspath(folder)
    return [folder, *(old for old in recent if old != folder)][:_N_RECENT]


def to_store(folder: str, workflow_folder: str) -> str:
    """Return how a workflow stores `folder`: relative if it lies below its own.

    Relative ones are written with "/" and begin with "./", on all systems. The
    samples that come with the add-on are stored by name.
    """
    if folder and os.path.dirname(folder) == _SAMPLES_FOLDER:
        return _SAMPLES + os.path.basename(folder)
    if not folder or not workflow_folder:
        return folder
    try:
        relative = os.path.relpath(folder, workflow_folder)
    except ValueError:  # on another drive
        return folder
    if relative == os.pardir or relative.startswith(os.pardir + os.sep):
        return folder
    return "./" + relative.replace(os.sep, "/")


def resolve(stored: str, workflow_folder: str) -> str:
    """Return the folder that `to_store` stored, as seen from the workflow's now."""
    if stored.startswith(_SAMPLES):
        return os.path.join(_SAMPLES_FOLDER, stored[len(_SAMPLES) :])
    if stored.startswith("./"):
        return os.path.normpath(os.path.join(workflow_folder, stored))
    return stored


def dropped_folder(data: QMimeData) -> str | None:
    """Return the one folder that is being dropped."""
    urls = data.urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = urls[0].toLocalFile()
    return path if os.path.isdir(path) else None
