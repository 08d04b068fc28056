"""Links within the documentation lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "doc").rglob("*.md"),
    *(ROOT / "tutorials").rglob("*.md"),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_exist(page: Path) -> None:
    text = page.read_text(encoding="utf8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_files_named_in_the_documentation_exist() -> None:
    named = set()
    for page in PAGES:
        text = page.read_text(encoding="utf8")
        named |= set(
            re.findall(
                r"`((?:doc|scripts|benchmarks|tests)/[\w./-]+\.(?:md|py))`", text
            )
        )
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]
