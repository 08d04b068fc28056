"""Loads the engines so that they tell nobody of it.

ONNX Runtime (1.31 on Linux) and OpenVINO (2026) report their use to their makers, under
an identifier that they write into the user's home, unless told not to. Nothing that
this add-on does may leave the computer unasked.
"""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["onnxruntime", "openvino"]


def onnxruntime() -> Any:
    """Return the package onnxruntime, which reports nothing.

    Raises
    ------
    ImportError
        If it is not installed, or does not work.
    """
    # looked at when the package is loaded; a user may have set it already
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as package

    # another add-on may have loaded it before
    package.disable_telemetry_events()
    return package


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
