"""What becomes of folders and files that are dropped on the canvas."""

from __future__ import annotations

import os
from typing import Any

from orangecanvas.document.schemeedit import SchemeEditWidget
from orangewidget.workflow.drophandler import SingleFileDropHandler

from orangecontrib.imagemining.widgets.owimportimages import OWImportImages
from orangecontrib.imagemining.widgets.owloadnetwork import OWLoadNetwork
from orangecontrib.imagemining.widgets.utils.networkfiles import SUFFIXES

__all__ = ["ImportImagesDropHandler", "LoadNetworkDropHandler"]


class ImportImagesDropHandler(SingleFileDropHandler):
    """A folder becomes an Import Images widget.

    Named in pyproject.toml among the ``orange.canvas.drophandler``.
    """

    WIDGET = OWImportImages

    def canDropFile(self, path: str) -> bool:
        return os.path.isdir(path)

    def parametersFromFile(
        self, document: SchemeEditWidget, path: str
    ) -> dict[str, Any]:
        return {"folder": os.path.abspath(path)}


class LoadNetworkDropHandler(SingleFileDropHandler):
    """A network's file becomes a Load Network widget."""

    WIDGET = OWLoadNetwork

    def canDropFile(self, path: str) -> bool:
        return path.lower().endswith(SUFFIXES) and os.path.isfile(path)

    def parametersFromFile(
        self, document: SchemeEditWidget, path: str
    ) -> dict[str, Any]:
        return {"path": os.path.abspath(path)}
