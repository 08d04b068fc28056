"""No engine reports to its makers, and none writes an identifier into the home."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

CODE = """
import socket, sys
asked = []
def refuse(self, address):
    asked.append(address)
    raise OSError("no network in this test")
socket.socket.connect = refuse
from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.specs import EmbedderSpec
run = LocalEmbedder(EmbedderSpec("squeezenet1_1", "features"), engine=sys.argv[2])
assert not any(run([sys.argv[1]]).reasons)
assert run.choice.name == sys.argv[2], run.choice
print(asked)
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torch"])
def test_nothing_is_reported(engine: str, tmp_path: Path) -> None:
    # not by importorskip: that would load it here, and let it report
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    picture, home = tmp_path / "picture.png", tmp_path / "home"
    Image.new("RGB", (40, 30), "teal").save(picture)
    home.mkdir()
    told = ("ORT_DISABLE_TELEMETRY", "CI", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = {k: v for k, v in os.environ.items() if k not in told}
    environment |= dict.fromkeys(("HOME", "USERPROFILE", "LOCALAPPDATA"), str(home))
    environment["IMAGEMINING_HOME"] = str(tmp_path / "ours")
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(picture), engine],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "[]"
    assert [str(path) for path in home.rglob("*") if path.is_file()] == []
