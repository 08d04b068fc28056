"""The command line: networks made smaller."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from trained_networks import network_of

from orangecontrib.imagemining.__main__ import main
from orangecontrib.imagemining.commands.compress import _ended_by_ctrl_c
from orangecontrib.imagemining.embedders.catalog import keep_network
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "home"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "cells.safetensors"
    save_network(network_of(), path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for seed in range(12):
        path = folder / "abc"[seed % 3] / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
    return folder


def codes_of(network: ImageNetwork) -> list[int]:
    return [
        len(how.values) for how in network.stored.values() if isinstance(how, Coded)
    ]


def test_without_images(source: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "small.imnet"
    assert main(["compress", str(source), "-o", str(out), "--bits", "3"]) == 0
    compressed = load_network_file(out)
    assert compressed.classes == ("a", "b", "c")
    assert codes_of(compressed)
    assert max(codes_of(compressed)) <= 8
    shown = capsys.readouterr().out
    assert "layer " in shown
    assert "not known" in shown
    rows = [line for line in shown.splitlines() if line.endswith("result")]
    assert len(rows) == 1
    assert f"Written: {out}, {out.stat().st_size / 1000:.1f} KB" in shown


def test_with_images(images: Path, tmp_path: Path, capsys: Capture) -> None:
    name = keep_network(network_of())
    out = tmp_path / "small.imnet"
    words = ["compress", name, "-o", str(out), "-i", str(images), "--loss", "100"]
    assert main([*words, "-p", "Half precision"]) == 0
    shown = capsys.readouterr().out
    assert "points lost" in shown
    assert "not known" not in shown
    halves = load_network_file(out).stored.values()
    assert {str(half.dtype) for half in halves if isinstance(half, np.ndarray)} == {
        "float16"
    }
    assert main([*words, "-p", "half-precision", "--unlabelled", "-q", "--force"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["none.safetensors", "-o", "x.imnet"], 1, "cannot be read"),
        (["squeezenet9", "-o", "x.imnet"], 2, "did you mean"),
        (["SOURCE", "-o", "x.zip"], 1, "written as .safetensors or .imnet"),
        (["SOURCE", "-o", "x.imnet", "-p", "int8"], 1, "written as .onnx"),
        (["SOURCE", "-o", "none/x.imnet"], 1, "no folder"),
        (["SOURCE", "-o", "SOURCE"], 1, "--force overwrites it"),
        (["SOURCE", "-o", "x.imnet", "-p", "tiny"], 2, "no preset 'tiny'"),
        (["SOURCE", "-o", "x.imnet", "-p", "int8", "--bits", "4"], 1, "means nothing"),
        (["SOURCE", "-o", "x.imnet", "--size", "small"], 1, "is no size"),
        (["SOURCE", "-o", "x.imnet", "-p", "smallest"], 1, "no images"),
        (["SOURCE", "-o", "x.imnet", "-i", "none"], 1, "none"),
    ],
)
def test_what_cannot_be_done(
    source: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    status: int,
    reason: str,
) -> None:
    monkeypatch.chdir(source.parent)
    before = source.read_bytes()
    words = [source.name if word == "SOURCE" else word for word in words]
    assert main(["compress", *words]) == status
    assert reason in capsys.readouterr().err
    assert sorted(p.name for p in source.parent.iterdir()) == [source.name]
    assert source.read_bytes() == before


@pytest.mark.parametrize("words", [["--bits", "9"], ["--loss", "nan"], ["--loss", "x"]])
def test_numbers_that_make_no_sense(source: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["compress", str(source), "-o", "x.imnet", *words])
    assert error.value.code == 2


def test_ctrl_c_ends_and_the_second_one_breaks_off() -> None:
    # as at a terminal; what is started in the background ignores Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _ended_by_ctrl_c(quiet=True) as is_ended:
            assert not is_ended()
            signal.raise_signal(signal.SIGINT)
            assert is_ended()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
