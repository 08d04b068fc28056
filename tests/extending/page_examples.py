"""Runs the examples of doc/extending as somebody would who follows the page.

Blocks that begin with ``# name.py`` are files: they are written into a folder as they
stand. The others are run there in their order, in a fresh interpreter, so that nothing
stays registered. ``print(…)  # text`` has to print that text.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

DOC = Path(__file__).parents[2] / "doc" / "extending"
_FILE = re.compile(r"# (\w+\.py)\n")
_TOLD = re.compile(r"^ *(?:print\(.*)?\)  # (.+)$", re.MULTILINE)

_DRIVER = """
import contextlib, io, json, sys
names, printed = {}, []
for example in json.load(open("examples.json", encoding="utf8")):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(example, "the page", "exec"), names)
    printed.append(out.getvalue())
json.dump(printed, open("printed.json", "w", encoding="utf8"))
"""


def blocks_of(page: str) -> tuple[dict[str, str], list[str]]:
    """Return a page's files by their names, and its other examples."""
    text = (DOC / page).read_text(encoding="utf8")
    files, examples = {}, []
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        if found := _FILE.match(block):
            files[found[1]] = block
        else:
            examples.append(block)
    return files, examples


def in_fresh_interpreter(code: str, folder: Path, *arguments: str) -> str:
    """Run code in a folder, of which it finds the modules; return what it prints."""
    found = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(found),
        "IMAGEMINING_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
        "PYTHONIOENCODING": "utf8",
    }
    done = subprocess.run(
        [sys.executable, *arguments, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf8",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_files(page: str, folder: Path) -> list[str]:
    """Write a page's files, and return its other examples."""
    files, examples = blocks_of(page)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf8")
    return examples


def check_page(page: str, folder: Path) -> int:
    """Run a page's examples; return how many printed lines it tells of."""
    examples = write_files(page, folder)
    (folder / "examples.json").write_text(json.dumps(examples), encoding="utf8")
    in_fresh_interpreter(_DRIVER, folder)
    printed = json.loads((folder / "printed.json").read_text(encoding="utf8"))
    n_told = 0
    for example, output in zip(examples, printed, strict=True):
        for text in _TOLD.findall(example):
            assert text in output.splitlines(), f"{text!r} is not in\n{output}"
            n_told += 1
    return n_told
