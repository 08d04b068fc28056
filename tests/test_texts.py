"""What is a text for users and what is not, and catalogues for translators."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def load_script() -> ModuleType:
    loader = SourceFileLoader("texts_script", str(ROOT / "scripts" / "texts"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # its dataclasses ask for it
    loader.exec_module(module)
    return module


texts = load_script()

SOURCE = '''"""A docstring."""
from typing import Literal

__all__ = ["OWThing"]
Kind = Literal["a b", "c"]

class OWThing:
    name = "Thing"
    description = "Does things."
    class Inputs:
        data = Input("Image Data", Table)
    class Error:
        bad = Msg("{} of {} images")
    limit = Setting("low value")

    @property
    def shown(self):
        return "A text" if self.mode == "not this" else settings["nor this"]

    @shown.setter
    def shown(self, value):
        box.setText(
            f"{n:,} file{'s' * (n != 1)} of"
            " {this} folder"
        )
        self.add("yes", title="size", key="the key")
        db.execute("select a from b")
        raise TableError(("Not “a”: " + value))
'''


def found(source: str = SOURCE, file: str = "widgets/owthing.py") -> dict[str, bool]:
    return {
        each.text: texts.decide(each)[0] for each in texts.find_strings(file, source)
    }


def test_rules() -> None:
    told = found()
    assert {text for text, is_text in told.items() if is_text} == {
        "Thing",
        "Does things.",
        "{} of {} images",
        "A text",
        "{n:,} file{'s' * (n != 1)} of {this} folder",
        "size",
        "Not “a”: ",
    }
    assert "A docstring." not in told
    assert not told["Image Data"] and not told["the key"] and not told["a b"]


def test_places_of_strings() -> None:
    source = (
        'x = {"ä": "ö b", "c": ("d"\n    \'e\')}\ndef f():\n    return (f"g {h}")\n'
    )
    for each in texts.find_strings("a.py", source):
        for literal in each.literals:
            assert source[literal.start : literal.end] == literal.body
    bodies = [
        (each.scope, literal.body)
        for each in texts.find_strings("a.py", source)
        for literal in each.literals
    ]
    assert bodies == [
        ((), "ä"),
        ((), "ö b"),
        ((), "c"),
        ((), "d"),
        ((), "e"),
        (("def `f`",), "g {h}"),
    ]


def test_catalogue_survives_writing_and_reading(tmp_path: Path) -> None:
    tree = {
        "a.py": {
            "plain": None,
            "with: colon": "ja: nein",
            " blank ": False,
            "it's": "'\"",
            '"both" it\'s: ': True,
            "two\nlines": "zwei\nZeilen",
            "empty": "",
            "class `A`": {"def `f`": {"#x": "|y"}},
        }
    }
    path = tmp_path / "msgs.jaml"
    path.write_text(texts.write_tree(tree), "utf-8")
    assert texts.read_tree(path) == tree
    messages = pytest.importorskip("trubar.messages")
    assert messages.dict_from_msg_nodes(messages.load(str(path))) == tree


def test_decisions_are_up_to_date() -> None:
    faults = texts.faults()
    assert not faults, (
        "i18n/decisions.jaml says which strings are texts where the rules of"
        " scripts/texts fail; mend it and run `python scripts/texts check`:\n"
        + "\n".join(faults)
    )


def test_translating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the sources to another language, and a later version of both."""
    package, catalogue = tmp_path / "source", tmp_path / "xx" / "msgs.jaml"
    package.mkdir()
    module = package / "thing.py"
    first = 'def say(n):\n    return f"{n} little images"\n\nKEY = "key"\n'
    module.write_text(first, "utf-8")
    monkeypatch.setattr(texts, "PACKAGE", package)
    monkeypatch.setattr(texts, "DECISIONS", tmp_path / "none.jaml")
    texts.bring_up_to_date(catalogue)
    scope = "def `say`"
    assert texts.read_tree(catalogue) == {
        "thing.py": {scope: {"{n} little images": None}}
    }
    new = "{n} {['slika', 'slike'][n != 1]}"
    tree = {"thing.py": {scope: {"{n} little images": new}}}
    catalogue.write_text(texts.write_tree(tree), "utf-8")
    assert texts.build(texts.read_tree(catalogue), tmp_path / "out") == 1
    space: dict[str, object] = {}
    exec((tmp_path / "out" / "thing.py").read_text("utf-8"), space)
    assert space["say"](1) == "1 slika"  # type: ignore[operator]
    assert space["say"](5) == "5 slike"  # type: ignore[operator]
    assert space["KEY"] == "key"

    # a text changes: what was translated is kept beside, the rest stays
    module.write_text(first.replace("little", "small") + 'X = "two words"\n', "utf-8")
    said = texts.bring_up_to_date(catalogue)
    assert "2 texts, 0 of them translated" in said
    beside = catalogue.with_name("removed-from-msgs.jaml")
    assert texts.read_tree(beside) == tree


def test_trubar_finds_the_same_strings(tmp_path: Path) -> None:
    """What trubar collects of a file is what we collect of it, texts or not."""
    pytest.importorskip("trubar")
    room = tmp_path / "widgets"
    room.mkdir()
    sources = texts.PACKAGE / "widgets"
    for name in ("owsavenetwork.py", "utils/traintexts.py", "utils/compresstables.py"):
        (room / Path(name).name).write_bytes((sources / name).read_bytes())
    out = tmp_path / "all.jaml"
    command = [
        sys.executable,
        "-m",
        "trubar",
        "collect",
        "-q",
        "-s",
        str(room),
        str(out),
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    ours: set[tuple[str, ...]] = set()
    for path in room.glob("*.py"):
        for each in texts.find_strings(path.name, path.read_text("utf-8")):
            ours |= {(path.name, *each.scope, x.body) for x in each.literals if x.body}
    assert ours == set(texts._paths(texts.read_tree(out)))
