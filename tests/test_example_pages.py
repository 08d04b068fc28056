"""The examples of the documentation run, in their order, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import re
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture

import orangecontrib.imagemining

ROOT = Path(__file__).parents[1]
PACKAGE = Path(orangecontrib.imagemining.__file__).parent
SAMPLES = PACKAGE / "samples" / "synthetic-yeast"

_BLOCK = re.compile(r"^ *```(?:python|py|pycon)\b[^\n]*\n(.*?)^ *```", re.M | re.S)
_TOLD = re.compile(r"^print\(.*?\)  # (.+)$", re.MULTILINE)


def files_of_networks() -> None:
    """What the examples of network-files.md find: a network, its ONNX file, images."""
    from orangecontrib.imagemining.embedders.onnxexport import export_onnx
    from orangecontrib.imagemining.training.data import ImageSet
    from orangecontrib.imagemining.training.plan import Plan
    from orangecontrib.imagemining.training.trainer import Trainer
    from orangecontrib.imagemining.weights.network_file import save_network

    pixels = np.full((8, 16, 16, 3), 40, np.uint8)
    labels = np.arange(8) % 2
    plan = Plan(
        network="resnet_cifar",
        options={"n": 1, "width": 8},
        start="nothing",
        size=(16, 16),
        batch=8,
        epochs=1,
        validation=0,
        device="cpu",
    )
    images = ImageSet.from_arrays(pixels, labels)
    network = Trainer(plan, ["mitosis", "none"], images).fit().network
    save_network(network, Path("cells.safetensors"))
    export_onnx(network, Path("cells.onnx"))
    for number in (1, 2):
        picture(number).save(f"{number}.png")


def nothing() -> None:
    """What the examples of most pages need."""


#: Pages whose examples run here: what is there before, and how many lines of them tell,
#: at least, what they print.
RUN: dict[str, tuple[Callable[[], None], int]] = {
    "doc/training.md": (nothing, 6),
    "doc/compression.md": (nothing, 4),
    "doc/network-files.md": (files_of_networks, 0),
    "doc/cache.md": (nothing, 0),
}

#: Pages, or folders of them, whose examples other tests run, each naming its page.
ELSEWHERE = {
    "doc/scripting.md": "tests/test_scripting.py",
    "doc/extending/": "tests/extending",
}

#: Examples that nothing runs, by a line of theirs, and why.
NOT_RUN = {
    "torch.onnx.export(": "the network is the reader's own",
}


def pages() -> dict[str, list[str]]:
    """Return the examples in Python of each page that has some."""
    found = {}
    places = [*ROOT.glob("*.md"), *(ROOT / "doc").rglob("*.md")]
    places += (ROOT / "tutorials").rglob("*.md")
    for path in sorted(places):
        if "_build" in path.parts:
            continue
        if blocks := _BLOCK.findall(path.read_text(encoding="utf8")):
            found[path.relative_to(ROOT).as_posix()] = blocks
    return found


def test_no_example_is_forgotten() -> None:
    left = {}
    for page, blocks in pages().items():
        if page in RUN:
            continue
        place = next((place for place in ELSEWHERE if page.startswith(place)), None)
        if place is not None:
            tests = ROOT / ELSEWHERE[place]
            files = [tests] if tests.is_file() else sorted(tests.glob("test_*.py"))
            names = "".join(file.read_text(encoding="utf8") for file in files)
            assert Path(page).name in names, page
            continue
        forgotten = [
            block for block in blocks if not any(line in block for line in NOT_RUN)
        ]
        if forgotten:
            left[page] = forgotten
    assert not left


def test_lists_name_what_there_is() -> None:
    found = pages()
    assert set(RUN) <= set(found)
    every = "".join(block for blocks in found.values() for block in blocks)
    assert all(line in every for line in NOT_RUN)


@pytest.mark.parametrize("page", RUN)
def test_examples(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare, n_told = RUN[page]
    prepare()
    names: dict[str, Any] = {}
    told = 0
    for example in pages()[page]:
        if any(line in example for line in NOT_RUN):
            continue
        exec(compile(example, page, "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        for line in _TOLD.findall(example):
            assert line in printed
            told += 1
    assert told >= n_told


def test_the_cache_is_read_as_its_page_says(tmp_path: Path) -> None:
    from orangecontrib.imagemining.embedders import Embedder
    from orangecontrib.imagemining.embedders.cache import VectorStore

    image, other = tmp_path / "cell.png", tmp_path / "other.png"
    picture(1).save(image)
    picture(2).save(other)
    path = tmp_path / "vectors.sqlite"
    store = VectorStore(path)
    embedder = Embedder("squeezenet1_1", "features", cache=store)
    expected = embedder([image]).vectors[0]
    store.close()

    names: dict[str, Any] = {}
    (example,) = pages()["doc/cache.md"]
    exec(compile(example, "cache.md", "exec"), names)
    np.testing.assert_array_equal(names["kept_vector"](path, image), expected)
    assert names["kept_vector"](path, other) is None
    assert names["is_noted"](path, image)
    assert not names["is_noted"](path, other)


def test_the_cache_has_the_tables_of_its_page(tmp_path: Path) -> None:
    from orangecontrib.imagemining.embedders.cache.database import Database

    path = tmp_path / "vectors.sqlite"
    Database(path).close()
    connection = sqlite3.connect(path)
    there = {
        (table, column[1])
        for (table,) in connection.execute(
            "select name from sqlite_master where type = 'table'"
        ).fetchall()
        for column in connection.execute(f"pragma table_info({table})")
    }
    (application,) = connection.execute("pragma application_id").fetchone()
    (version,) = connection.execute("pragma user_version").fetchone()
    (mode,) = connection.execute("pragma journal_mode").fetchone()
    connection.close()

    page = (ROOT / "doc" / "cache.md").read_text(encoding="utf8")
    told, table = set(), ""
    for row in re.findall(r"^\| (?:(`\w+`) )?\| `(\w+)` \|", page, re.MULTILINE):
        table = row[0].strip("`") or table
        told.add((table, row[1]))
    assert told == there
    assert f"0x{application:X}" in page
    assert f"user version {version}" in page
    assert f"{mode.upper()} mode" in page


def documented() -> list[str]:
    """Return the modules that have examples in their docstrings."""
    return [
        path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in sorted(PACKAGE.rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf8")
    ]


def test_public_functions_have_examples() -> None:
    # the most important ones, as doc/api has them
    assert {
        "embedders.api",
        "tables.folder",
        "tables.embedded",
        "tables.training",
        "compression.pipeline",
        "weights.network_file",
        "networks._registry",
    } <= set(documented())


@pytest.mark.parametrize("name", documented())
def test_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"orangecontrib.imagemining.{name}")
    found = [
        test for test in doctest.DocTestFinder().find(module, name) if test.examples
    ]
    assert found
    for test in found:
        # what is not imported in the example, its reader lacks
        test.globs = {}
        examples = [x for x in test.examples if doctest.SKIP not in x.options]
        assert examples == test.examples, "an example that is skipped is no example"
        runner = doctest.DocTestRunner()
        with warnings.catch_warnings():
            failed = runner.run(test).failed
        assert not failed, test.name
