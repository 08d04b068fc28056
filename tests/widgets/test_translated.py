"""The package with each text marked: what is not marked would not be translated."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import translated_walk
from test_texts import texts

from orangecontrib.imagemining.compression.presets import PRESETS
from orangecontrib.imagemining.weights import WEIGHTS

#: Shown as they are called everywhere: formats, methods, measures, engines.
_NAMES = """BMP JPEG PNG TIFF WebP MDS PCA t-SNE Top-1 Top-5 PyTorch OpenVINO CUDA
ONNX Int8 features synthetic-cytoplasm-01.jpg""".split()
#: Said by Orange or Qt, where only some widgets have them.
_ORANGES = {
    "Save",
    "Copy Image to Clipboard",
    "Copy to Clipboard",
    "Scroll Left",
    "Scroll Right",
    "Show View Options",
}
_MARKED = re.compile(r"⟦[^⟦⟧]*⟧")
_TAG = re.compile(r"<[^>]+>|&[a-z]+;")
_WORD = re.compile(r"[^\W\d_]{3,}")


def rest_of(text: str) -> str:
    """Return what of a text is not marked."""
    before = ""
    while before != text:
        before, text = text, _MARKED.sub(" ", text)
    return _TAG.sub(" ", text)


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("translated")
    n = texts.build(None, folder / "orangecontrib" / "imagemining")
    assert n > 2000
    done = subprocess.run(
        [sys.executable, str(Path(translated_walk.__file__))],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout)
    assert Path(told["package"]).is_relative_to(folder)
    return told


@pytest.mark.filterwarnings("ignore")
def test_all_texts_can_be_translated_and_nothing_else_changes(
    translated: dict[str, Any],
) -> None:
    real = translated_walk.tell()
    # names, and what the data are called, stay as they are
    known = {*_NAMES, *PRESETS, *real["columns"], *(c.title for c in WEIGHTS.values())}
    unmarked = []
    for widget, what, text in translated["texts"]:
        if text in _ORANGES or text.startswith("<style>") or "% complete" in text:
            continue
        rest = rest_of(text)
        if what == "accessible name" or text.endswith("…"):
            rest = rest.partition("⟦")[0]  # a text's first words
        for name in sorted(known, key=len, reverse=True):
            rest = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", rest)
        if _WORD.search(rest):
            unmarked.append((widget, what, text))
    assert unmarked == []
    n_marked = sum("⟦" in text for _, _, text in translated["texts"])
    assert n_marked > 700
    for key in ("signals", "settings", "columns"):
        assert translated[key] == real[key]
    np.testing.assert_array_equal(translated["vectors"], real["vectors"])
