"""What doc/extending/reader.md says holds."""

from __future__ import annotations

from pathlib import Path

from page_examples import check_page


def test_examples(tmp_path: Path) -> None:
    assert check_page("reader.md", tmp_path) == 11
