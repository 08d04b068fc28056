"""What TOML cannot say: the help pages are built here and installed as data files."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "doc"))

from build import build  # noqa: E402

HELP = Path("doc/_build/html")


def help_files() -> list[tuple[str, list[str]]]:
    """Return the built pages with the folders where they are installed."""
    build(Path(__file__).parent / HELP)
    target = Path("share/help/en/orange3-imagemining")
    folders: dict[Path, list[str]] = {}
    for path in sorted(HELP.rglob("*")):
        if path.is_file():
            folder = target / path.parent.relative_to(HELP)
            folders.setdefault(folder, []).append(str(path))
    return [(folder.as_posix(), files) for folder, files in folders.items()]


setup(data_files=help_files())
