"""The command line: networks that were trained here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trained_networks import network_of

from orangecontrib.imagemining.__main__ import main
from orangecontrib.imagemining.embedders.catalog import keep_network, kept_networks

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


def test_only_trained_networks_are_removed(capsys: Capture) -> None:
    for words in (["squeezenet1_1", "--remove"], ["--remove"]):
        assert main(["networks", *words]) == 2
        assert "trained network that is kept, now none" in capsys.readouterr().err
