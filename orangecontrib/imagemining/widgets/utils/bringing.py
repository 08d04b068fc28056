"""The questions before a network, or its weights, are brought to this computer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from AnyQt.QtWidgets import QFileDialog, QInputDialog, QWidget

from orangecontrib.imagemining.widgets.utils.embeddertexts import title_of
from orangecontrib.imagemining.widgets.utils.embedderwork import (
    Job,
    add_own,
    fetch_weights,
    look_into,
    take_file,
    take_timm,
)
from orangecontrib.imagemining.widgets.utils.ownnetwork import OwnNetworkDialog

if TYPE_CHECKING:
    from orangecontrib.imagemining.embedders.engines.onnx import NetworkFile

__all__ = ["ask_about_own", "ask_for_file", "ask_for_own", "ask_for_timm", "download"]

#: Begins a job, and shows a text meanwhile.
Begin = Callable[[str, Job], None]


def download(network: str, begin: Begin) -> None:
    """Fetch a network's weights from their publisher."""
    begin(f"Downloading {title_of(network)}…", fetch_weights(network))


def ask_for_file(parent: QWidget, network: str, begin: Begin) -> None:
    """Take a network's weights from a file, if the user chooses one."""
    kinds = "Weights (*.pth *.pt *.safetensors *.caffemodel *.net);;All files (*)"
    path, _ = QFileDialog.getOpenFileName(
        parent, f"Weights of {title_of(network)}", "", kinds
    )
    if path:
        begin("Reading the file…", take_file(network, Path(path)))


def ask_for_own(parent: QWidget, begin: Begin) -> None:
    """Look into an own network, if the user chooses its file."""
    path, _ = QFileDialog.getOpenFileName(
        parent, "Own Network", "", "ONNX networks (*.onnx);;All files (*)"
    )
    if path:
        begin("Reading the network…", look_into(Path(path)))


def ask_about_own(parent: QWidget, file: NetworkFile, begin: Begin) -> bool:
    """Ask what an own network's file does not tell, and add it; tell whether it is."""
    dialog = OwnNetworkDialog(parent, file)
    if dialog.exec() != OwnNetworkDialog.DialogCode.Accepted:
        return False
    begin("Trying the network…", add_own(file, dialog.settings()))
    return True


def ask_for_timm(parent: QWidget, begin: Begin) -> None:
    """Take a network of timm, if the user names one."""
    name, accepted = QInputDialog.getText(
        parent,
        "Network of timm",
        "Name, such as convnext_tiny.fb_in22k. If its weights are not on this\n"
        "computer, timm downloads them, and does not say how far it is.",
    )
    if accepted and name.strip():
        begin(f"timm gets {name.strip()}…", take_timm(name.strip()))
