"""What doc/extending/compression-step.md says holds."""

from __future__ import annotations

from pathlib import Path

from page_examples import check_page


def test_examples(tmp_path: Path) -> None:
    assert check_page("compression-step.md", tmp_path) == 13
