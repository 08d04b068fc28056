"""The examples of doc/scripting.md run, and print what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from orangecontrib.imagemining.__main__ import _parser

PAGE = (Path(__file__).parents[1] / "doc" / "scripting.md").read_text(encoding="utf8")
_TOLD = re.compile(r"^print\(.*?\)  # (.+)$", re.MULTILINE)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    examples = blocks("python")
    assert len(examples) > 5
    told = 0
    for example in examples:
        exec(compile(example, "scripting.md", "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        for text in _TOLD.findall(example):
            assert text in printed
            told += 1
    assert told > 5


COMMANDS = [
    line.partition("  #")[0].strip()
    for block in blocks("sh")
    for line in block.splitlines()
    if line.startswith("orange-imagemining")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command: str) -> None:
    words = shlex.split(command)[1:]
    assert callable(_parser(words).parse_args(words).run)


def test_all_options_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser(["embed"]).parse_args(["embed", "--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert len(options) > 20
    assert {option for option in options if option not in PAGE} == {"--help"}
