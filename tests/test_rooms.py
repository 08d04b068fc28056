"""The pure rooms load neither Qt nor Orange; nothing heavy is loaded too early."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "orangecontrib.imagemining"
SOURCE = Path(__file__).parents[1] / "orangecontrib" / "imagemining"
QT_AND_ORANGE = ("AnyQt", "PyQt5", "PyQt6", "PySide6", "Orange", "orangewidget")


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("exceptions", (*QT_AND_ORANGE, "numpy", "torch", "PIL", "httpx")),
        ("specs", (*QT_AND_ORANGE, "numpy", "torch", "PIL", "httpx")),
        ("plugins", (*QT_AND_ORANGE, "numpy", "torch", "PIL", "httpx")),
        ("images", (*QT_AND_ORANGE, "torch", "httpx")),
        ("images.fetch", (*QT_AND_ORANGE, "torch")),
        ("networks", (*QT_AND_ORANGE, "PIL", "httpx", "safetensors")),
        ("weights", (*QT_AND_ORANGE, "torch", "PIL")),
        ("embedders", (*QT_AND_ORANGE, "torch", "httpx")),
        ("embedders.engines.pytorch", (*QT_AND_ORANGE, "httpx")),
        ("embedders.engines.runtime", (*QT_AND_ORANGE, "torch", "httpx")),
        ("training.plan", (*QT_AND_ORANGE, "numpy", "torch", "PIL")),
        ("training.recipes", (*QT_AND_ORANGE, "numpy", "torch", "PIL")),
        ("training.history", (*QT_AND_ORANGE, "torch")),
        ("training.ahead", (*QT_AND_ORANGE, "torch")),
        ("compression.plan", (*QT_AND_ORANGE, "numpy", "torch", "PIL")),
        ("compression.results", (*QT_AND_ORANGE, "torch")),
        ("compression.presets", (*QT_AND_ORANGE, "torch")),
        ("compression.described", (*QT_AND_ORANGE, "torch")),
        *(
            (f"training.{name}", (*QT_AND_ORANGE, "torch"))
            for name in ("data", "reading", "pixels", "augment", "designs")
        ),
        ("training.trainer", (*QT_AND_ORANGE, "httpx", "onnxruntime")),
        ("weights.packed.container", (*QT_AND_ORANGE, "torch", "PIL")),
        ("server.command", (*QT_AND_ORANGE, "torch", "httpx", "starlette", "uvicorn")),
        ("commands.embed", (*QT_AND_ORANGE, "numpy", "torch", "PIL", "httpx")),
        ("embedders.engines.onnx", (*QT_AND_ORANGE, "torch", "httpx")),
        ("embedders.catalog", (*QT_AND_ORANGE, "torch", "onnxruntime", "timm")),
        ("__main__", (*QT_AND_ORANGE, "torch", "matplotlib", "httpx")),
    ],
)
def test_room_loads_only_its_own(room: str, never: tuple[str, ...]) -> None:
    loaded = loaded_after(f"import {PACKAGE}.{room}")
    assert PACKAGE.partition(".")[0] in loaded
    assert not loaded.intersection(never)


@pytest.mark.parametrize("room", ["tables", "report"])
def test_orange_glue_does_not_import_oranges_widgets(room: str) -> None:
    files = sorted((SOURCE / room).glob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            names = [alias.name for alias in getattr(node, "names", [])]
            names.append(getattr(node, "module", None) or "")
            assert not any(name.startswith("Orange.widgets") for name in names), path


def test_widgets_do_not_load_torch() -> None:
    modules = (
        "owimportimages",
        "owimageembedding",
        "owimageviewer",
        "owimagegrid",
        "owsaveimages",
    )
    imports = "\n".join(f"import {PACKAGE}.widgets.{name}" for name in modules)
    assert "torch" not in loaded_after(imports)


def test_creating_the_widgets_does_not_load_torch() -> None:
    loaded = loaded_after(
        "import os\n"
        "os.environ['QT_QPA_PLATFORM'] = 'offscreen'\n"
        "from AnyQt.QtWidgets import QApplication\n"
        "app = QApplication([])\n"
        f"from {PACKAGE}.widgets.owimageembedding import OWImageEmbedding\n"
        "OWImageEmbedding()"
    )
    assert "Orange" in loaded
    assert "torch" not in loaded
