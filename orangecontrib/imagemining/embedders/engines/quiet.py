"""Loads the engines so that they tell nobody of it.

ONNX Runtime (1.31 on Linux) and OpenVINO (2026) report their use to their makers, under
an identifier that they write into the user's home, unless told not to. Nothing that
this add-on does may leave the computer unasked.
"""

from __future__ import annotations

import sys
from typing import Any

from orangecontrib.imagemining.weights.quiet import onnxruntime

__all__ = ["onnxruntime", "openvino"]


def openvino() -> Any:
    """Return the package openvino, which reports nothing.

    Raises
    ------
    ImportError
        If it is not installed, or does not work.
    """
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    # it reports that it is imported, by a package that it can do without
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        import openvino as package
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
    return package
