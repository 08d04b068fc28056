"""A folder dropped on the canvas becomes an Import Images widget."""

from __future__ import annotations

import os
from typing import Any

from orangecanvas.document.schemeedit import SchemeEditWidget
from orangewidget.workflow.drophandler import SingleFileDropHandler

from orangecontrib.imagemining.widgets.owimportimages import OWImportImages

__all__ = ["ImportImagesDropHandler"]


class ImportImagesDropHandler(SingleFileDropHandler):
    """Named in pyproject.toml among the ``orange.canvas.drophandler``."""

    WIDGET = OWImportImages

    def canDropFile(self, path: str) -> bool:
        return os.path.isdir(path)

    def parametersFromFile(
        self, document: SchemeEditWidget, path: str
    ) -> dict[str, Any]:
        return {"folder": os.path.abspath(path)}
