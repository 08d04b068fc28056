"""The command line: networks that were trained here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import picture
from trained_networks import compressed_network, network_of

from orangecontrib.imagemining.__main__ import main
from orangecontrib.imagemining.embedders.catalog import keep_network, kept_networks
from orangecontrib.imagemining.weights.network_file import save_network

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "home"))


def test_kept_networks_are_listed_told_and_removed(capsys: Capture) -> None:
    name = keep_network(network_of(title="Old cells"))
    assert main(["networks"]) == 0
    assert f"{name}: Old cells" in capsys.readouterr().out
    assert main(["networks", "--json"]) == 0
    last = json.loads(capsys.readouterr().out)[-1]
    assert (last["name"], last["weights_are_here"]) == (name, True)
    assert main(["networks", name]) == 0
    out = capsys.readouterr().out
    assert "Classes:    a, b, c" in out
    assert "weights are here" in out
    assert main(["networks", name, "--remove"]) == 0
    assert f"{name} is removed" in capsys.readouterr().out
    assert kept_networks() == {}
    assert main(["networks", name, "--remove"]) == 2
    assert "No network" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["safetensors", "imnet"])
def test_files_are_told_and_embedded_by(
    tmp_path: Path, capsys: Capture, ending: str
) -> None:
    path = tmp_path / f"cells.{ending}"
    save_network(compressed_network(), path)
    assert main(["networks", str(path)]) == 0
    assert "Classes:    a, b, c" in capsys.readouterr().out
    images = tmp_path / "images"
    images.mkdir()
    picture(1).save(images / "1.png")
    out = tmp_path / "vectors.npz"
    assert main(["embed", str(images), "-n", str(path), "-o", str(out)]) == 0
    assert "8 numbers each, by My cells (features)" in capsys.readouterr().out
    assert kept_networks() == {}
    path.write_bytes(path.read_bytes()[:-9])
    assert main(["embed", str(images), "-n", str(path), "-o", str(out)]) == 1
    assert "cut short" in capsys.readouterr().err


def test_only_trained_networks_are_removed(capsys: Capture) -> None:
    for words in (["squeezenet1_1", "--remove"], ["--remove"]):
        assert main(["networks", *words]) == 2
        assert "trained network that is kept, now none" in capsys.readouterr().err
