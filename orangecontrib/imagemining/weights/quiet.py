"""Loads ONNX Runtime so that it tells nobody of it.

It reports its use to its makers (1.31 on Linux), under an identifier that it writes
into the user's home, unless told not to. Nothing that this add-on does may leave the
computer unasked.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["onnxruntime"]


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
