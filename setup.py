"""What TOML cannot say: the help pages are built here and installed as data files."""

import importlib.util
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
HELP = Path("doc/_build/html")


def build_help() -> None:
    """Have doc/build.py make the pages, if they have changed."""
    # by its path: there is a package of the name build, too
    spec = importlib.util.spec_from_file_location("doc_build", ROOT / "doc/build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(ROOT / HELP, api=False, strict=False)


def help_files() -> list[tuple[str, list[str]]]:
    """Return the built pages with the folders where they are installed."""
    build_help()
    target = Path("share/help/en/orange3-imagemining")
    folders: dict[Path, list[str]] = {}
    for path in sorted((ROOT / HELP).rglob("*")):
        if path.is_file():
            path = path.relative_to(ROOT)
            folder = target / path.parent.relative_to(HELP)
            folders.setdefault(folder, []).append(path.as_posix())
    return [(folder.as_posix(), files) for folder, files in folders.items()]


setup(data_files=help_files())
