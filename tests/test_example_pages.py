"""The examples of pages run, in their order, and print what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOC = Path(__file__).parents[1] / "doc"
_TOLD = re.compile(r"^print\(.*?\)  # (.+)$", re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "n_examples", "n_told"),
    [("training.md", 5, 6), ("compression.md", 3, 4)],
)
def test_examples(
    page: str, n_examples: int, n_told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, Any] = {}
    text = (DOC / page).read_text(encoding="utf8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= n_examples
    told = 0
    for example in examples:
        exec(compile(example, page, "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        for line in _TOLD.findall(example):
            assert line in printed
            told += 1
    assert told >= n_told
