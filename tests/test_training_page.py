"""The examples of doc/training.md run, and print what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[1] / "doc" / "training.md").read_text(encoding="utf8")
_TOLD = re.compile(r"^print\(.*?\)  # (.+)$", re.MULTILINE)


def test_examples(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    examples = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) > 4
    told = 0
    for example in examples:
        exec(compile(example, "training.md", "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        for text in _TOLD.findall(example):
            assert text in printed
            told += 1
    assert told > 5
