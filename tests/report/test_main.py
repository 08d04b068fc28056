"""The command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from orangecontrib.imagemining import __main__ as command_line
from orangecontrib.imagemining import __version__
from orangecontrib.imagemining.report.job import Job
from orangecontrib.imagemining.report.workflow import TEMPLATE
from orangecontrib.imagemining.specs import EmbedderSpec

main = command_line.main
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    "arguments, status",
    [
        (["--version"], 0),
        (["run", "--help"], 0),
        ([], 2),
        (["walk"], 2),
        (["run", "a", "b"], 2),
        (["run", "--layer", "last"], 2),
        (["run", "--views", "7"], 2),
    ],
)
def test_usage(arguments: list[str], status: int, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == status
    captured = capsys.readouterr()
    assert ("usage: orange-imagemining" in captured.err) == (status == 2)
    if arguments == ["--version"]:
        assert captured.out == f"{__version__}\n"


def test_as_module() -> None:
    command = [sys.executable, "-m", "orangecontrib.imagemining", "--version"]
    assert subprocess.check_output(command, text=True).strip() == __version__


def test_nothing_heavy_is_loaded_for_help() -> None:
    program = (
        "import sys\n"
        "from orangecontrib.imagemining.__main__ import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'Orange', 'matplotlib', 'PIL'} & set(sys.modules)))\n"
    )
    lines = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert lines.splitlines()[-1] == "[]"


def test_samples_by_default(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr(Job, "run", lambda job: jobs.append(job))
    assert main(["run"]) == 0
    assert jobs[0].folder.name == "synthetic-yeast"
    assert len(list(jobs[0].folder.glob("*/*.jpg"))) > 50
    assert jobs[0].out.path == Path("report")
    assert jobs[0].spec == EmbedderSpec("squeezenet1_1", "features", 1)
    assert "synthetic" in capsys.readouterr().out


def test_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[Job] = []
    monkeypatch.setattr(Job, "run", lambda job: jobs.append(job))
    arguments = [str(tmp_path), "--out", "x", "--layer", "logits", "--views", "8"]
    assert main(["run", *arguments]) == 0
    assert jobs[0].folder == tmp_path
    assert jobs[0].out.path == Path("x")
    assert jobs[0].spec == EmbedderSpec("squeezenet1_1", "logits", 8)


def test_stopped_by_user(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(job: Job) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "run", stop)
    assert main(["run", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "Stopped.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="another way on Windows")
def test_gui(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "my report"
    folder.mkdir()
    started: list[list[str]] = []

    def exec_(program: str, arguments: list[str]) -> NoReturn:
        started.append(arguments)
        raise SystemExit(0)

    monkeypatch.setattr(command_line.os, "execv", exec_)
    with pytest.raises(SystemExit):
        main(["run", "--gui", str(folder), "--out", str(out), "--views", "8"])
    workflow = out / "workflow.ows"
    assert started == [
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "Orange.canvas",
            "--no-welcome",
            "--log-level",
            "1",
            str(workflow),
        ]
    ]
    # told before this process is Orange
    assert capsys.readouterr().out.startswith(f"Opening Orange with {workflow} (")
    text = workflow.read_text(encoding="utf-8")
    assert str(folder) in text and "'views': 8" in text
    assert text != TEMPLATE.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="others always have a screen")
def test_gui_without_screen(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["run", "--gui", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no screen" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
