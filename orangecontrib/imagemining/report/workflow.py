"""The workflow that goes with a report: our template with the folder filled in."""

from __future__ import annotations

import ast
import os
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.report.files import replacing
from orangecontrib.imagemining.specs import EmbedderSpec

__all__ = ["TEMPLATE", "filled_workflow", "write_workflow"]

TEMPLATE = Path(__file__).with_name("workflow.ows")

_WIDGETS = "orangecontrib.imagemining.widgets"
_IMPORT = f"{_WIDGETS}.owimportimages.OWImportImages"
_EMBEDDING = f"{_WIDGETS}.owimageembedding.OWImageEmbedding"
_VERSION = 3  # of both widgets' settings, as far as we know them


def filled_workflow(
    folder: str | os.PathLike[str], spec: EmbedderSpec, template: Path = TEMPLATE
) -> bytes:
    """Return a workflow that opens on a folder.

    Parameters
    ----------
    folder
        What Import Images shall show.
    spec
        What Image Embedding shall compute.
    template
        The workflow to fill in.
    """
    scheme = ET.fromstring(template.read_text(encoding="utf-8"))
    _change(scheme, _IMPORT, {"folder": os.path.abspath(folder)})
    _change(
        scheme,
        _EMBEDDING,
        {"network": spec.network, "layer": spec.layer, "views": spec.views},
    )
    content: bytes = ET.tostring(scheme, encoding="utf-8", xml_declaration=True)
    return content


def write_workflow(
    out: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    spec: EmbedderSpec,
    template: Path = TEMPLATE,
) -> None:
    """Write what `filled_workflow` returns to the file `out`.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    content = filled_workflow(folder, spec, template)
    with replacing(Path(out)) as temporary:
        temporary.write_bytes(content)


def _change(scheme: ET.Element, widget: str, changes: dict[str, Any]) -> None:
    """Change the settings of all nodes of a widget."""
    for node in scheme.iterfind(f"nodes/node[@qualified_name='{widget}']"):
        properties = _properties_of(scheme, node.attrib["id"])
        settings = ast.literal_eval(properties.text or "{}")
        # repr keeps what XML cannot hold, such as control characters, in escapes
        properties.text = repr({"__version__": _VERSION, **settings, **changes})


def _properties_of(scheme: ET.Element, node_id: str) -> ET.Element:
    """Return a node's settings; without any, the widget has its own, and a place."""
    found = scheme.find(f"node_properties/properties[@node_id='{node_id}']")
    if found is not None:
        return found
    parent = scheme.find("node_properties")
    if parent is None:
        parent = ET.SubElement(scheme, "node_properties")
    return ET.SubElement(parent, "properties", node_id=node_id, format="literal")
