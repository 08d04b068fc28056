"""The workflow that is filled with a folder."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from orangecontrib.imagemining.report.files import ReportError
from orangecontrib.imagemining.report.workflow import TEMPLATE, write_workflow
from orangecontrib.imagemining.specs import EmbedderSpec

SPEC = EmbedderSpec("squeezenet1_1", "stages", 8)
WIDGETS = "orangecontrib.imagemining.widgets"
IMPORT = f"{WIDGETS}.owimportimages.OWImportImages"
EMBEDDING = f"{WIDGETS}.owimageembedding.OWImageEmbedding"
OTHER = "Orange.widgets.unsupervised.owmds.OWMDS"

SMALL = f"""<?xml version="1.0" encoding="utf-8"?>
<scheme version="2.0" title="Bläschen">
  <nodes>
    <node id="0" name="MDS" qualified_name="{OTHER}" />
    <node id="1" name="Import Images" qualified_name="{IMPORT}" />
    <node id="2" name="Image Embedding" qualified_name="{EMBEDDING}" />
  </nodes>
  <links>
    <link id="0" source_node_id="1" sink_node_id="2" />
  </links>
  <node_properties>
    <properties node_id="0" format="literal">{{'folder': 'kept'}}</properties>
    <properties node_id="1" format="literal">{{'folder': 'x', 'a': 1}}</properties>
  </node_properties>
</scheme>
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "template.ows"
    path.write_text(SMALL, encoding="utf-8")
    return path


def settings(path: Path, widget: str) -> dict[str, Any]:
    scheme = ET.parse(path)
    node = scheme.find(f"nodes/node[@qualified_name='{widget}']")
    assert node is not None
    found = scheme.findall(f"node_properties/properties[@node_id='{node.get('id')}']")
    assert len(found) == 1 and found[0].get("format") == "literal"
    values: dict[str, Any] = ast.literal_eval(found[0].text or "")
    return values


def test_settings_are_filled_in(tmp_path: Path, template: Path) -> None:
    out = tmp_path / "out.ows"
    out.write_text("an earlier one")
    write_workflow(out, tmp_path / "images", SPEC, template)
    folder = settings(out, IMPORT)
    assert folder["folder"] == str(tmp_path / "images")
    assert folder["a"] == 1
    embedding = settings(out, EMBEDDING)
    assert embedding["network"] == "squeezenet1_1"
    assert embedding["layer"] == "stages"
    assert embedding["views"] == 8
    assert settings(out, OTHER) == {"folder": "kept"}
    scheme = ET.parse(out).getroot()
    assert scheme.get("title") == "Bläschen"
    assert scheme.find("links/link") is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.ows",
        "template.ows",
    ]


def test_relative_folder_becomes_absolute(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_workflow("out.ows", "images", SPEC, template)
    assert settings(tmp_path / "out.ows", IMPORT)["folder"] == str(tmp_path / "images")


@pytest.mark.parametrize("name", ['it\'s <b> & "q"', "a\x01b", "žába 蛙", "\udce9"])
def test_names_of_all_kinds(tmp_path: Path, template: Path, name: str) -> None:
    out = tmp_path / "out.ows"
    write_workflow(out, f"/images/{name}", SPEC, template)
    assert Path(settings(out, IMPORT)["folder"]).name == name


def test_unwritable_place_is_told(tmp_path: Path, template: Path) -> None:
    with pytest.raises(ReportError, match="cannot be written"):
        write_workflow(tmp_path / "nowhere" / "out.ows", "images", SPEC, template)


def test_own_template(tmp_path: Path) -> None:
    out = tmp_path / "out.ows"
    write_workflow(out, tmp_path, SPEC)
    assert settings(out, IMPORT)["folder"] == str(tmp_path)
    assert settings(out, EMBEDDING)["layer"] == "stages"
    before, after = ET.parse(TEMPLATE), ET.parse(out)
    for path in ("nodes/node", "links/link"):
        assert [e.attrib for e in before.findall(path)] == [
            e.attrib for e in after.findall(path)
        ]
