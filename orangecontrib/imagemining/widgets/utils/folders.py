"""Folders in settings, in workflows and from the mouse."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from AnyQt.QtCore import QMimeData
from AnyQt.QtWidgets import QFileDialog, QWidget
from Orange.widgets.settings import SettingsHandler
from Orange.widgets.widget import OWWidget

__all__ = [
    "FolderSettings",
    "ask_folder",
    "dropped_folder",
    "moved_folder",
    "name_of",
    "nearest_folder",
    "remember",
    "resolve",
    "to_store",
]

_N_RECENT = 10
_SAMPLES = "samples:"
_SAMPLES_FOLDER = str(Path(__file__).parents[2] / "samples")


def remember(recent: list[str], folder: str) -> list[str]:
    """Return the folders used lately, `folder` first."""
    folder = os.path.abspath(folder)
    return [folder, *(old for old in recent if old != folder)][:_N_RECENT]


def to_store(folder: str, workflow_folder: str) -> str:
    """Return how a workflow stores `folder`: relative if it lies beside the workflow.

    That is below the workflow's folder, or below the one that holds it: a project has
    its workflows in one folder and its images in another. Not if that is the user's
    own folder or above it: these hold what does not move together.

    Relative ones are written with "/" and begin with "./" or "../", on all systems.
    The samples that come with the add-on are stored by name.
    """
    if folder and os.path.dirname(folder) == _SAMPLES_FOLDER:
        return _SAMPLES + os.path.basename(folder)
    # a folder of another system, in a workflow that came from there, stays as it is
    if not folder or not workflow_folder or not os.path.isabs(folder):
        return folder
    try:
        relative = os.path.relpath(folder, workflow_folder)
    except ValueError:  # on another drive
        return folder
    first, _, rest = relative.partition(os.sep)
    if first != os.pardir:
        return "./" + relative.replace(os.sep, "/")
    parent = os.path.dirname(os.path.abspath(workflow_folder))
    if rest.split(os.sep)[0] == os.pardir or _holds_much(parent):
        return folder
    return "../" + (rest.replace(os.sep, "/") or ".")


def _holds_much(folder: str) -> bool:
    """Tell whether a folder is the user's own, or above it, or a whole drive."""
    home = Path(os.path.expanduser("~"))
    return Path(folder) in (home, *home.parents) or os.path.dirname(folder) == folder


def resolve(stored: str, workflow_folder: str) -> str:
    """Return the folder that `to_store` stored, as seen from the workflow's now."""
    if stored.startswith(_SAMPLES):
        return os.path.join(_SAMPLES_FOLDER, stored[len(_SAMPLES) :])
    if stored.startswith(("./", "../")) and workflow_folder:
        return os.path.normpath(os.path.join(workflow_folder, stored))
    return stored


def name_of(folder: str) -> str:
    """Return a folder's own name, also if it is written as on another system."""
    return re.split(r"[/\\]", folder.rstrip("/\\"))[-1] or folder


def moved_folder(folder: str, workflow_folder: str) -> str | None:
    """Return a folder of the same name beside a workflow, None if there is none."""
    if not workflow_folder:
        return None
    place = os.path.join(workflow_folder, name_of(folder))
    return place if os.path.isdir(place) else None


def nearest_folder(folder: str) -> str:
    """Return the part of a path that exists, at worst the user's own folder."""
    while not os.path.isdir(folder):
        above = os.path.dirname(folder)
        if above in (folder, ""):
            return os.path.expanduser("~")
        folder = above
    return folder


def ask_folder(parent: QWidget, title: str, start: str) -> str:
    """Let the user choose a folder; return "" if the user does not."""
    folder = QFileDialog.getExistingDirectory(parent, title, nearest_folder(start))
    return os.path.abspath(folder) if folder else ""


class FolderSettings(SettingsHandler):
    """Keeps the folders used lately out of workflows, which are given to others."""

    def pack_data(self, widget: OWWidget) -> dict[str, Any]:
        data: dict[str, Any] = super().pack_data(widget)
        data.pop("recent_folders", None)
        return data


def dropped_folder(data: QMimeData) -> str | None:
    """Return the one folder that is being dropped."""
    urls = data.urls()
    if len(urls) != 1 or not urls[0].isLocalFile():
        return None
    path = urls[0].toLocalFile()
    return path if os.path.isdir(path) else None
