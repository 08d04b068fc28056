"""Workflows of Orange as files, for the scripts that make those we ship."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["PACKAGE", "Workflow"]

PACKAGE = Path(__file__).parents[1] / "orangecontrib" / "imagemining"
OURS = "orangecontrib.imagemining.widgets"

#: name in the workflows -> module and class
WIDGETS = {
    "Import Images": f"{OURS}.owimportimages.OWImportImages",
    "Image Embedding": f"{OURS}.owimageembedding.OWImageEmbedding",
    "Image Viewer": f"{OURS}.owimageviewer.OWImageViewer",
    "Save Images": f"{OURS}.owsaveimages.OWSaveImages",
    "Image Grid": f"{OURS}.owimagegrid.OWImageGrid",
    "Distances": "Orange.widgets.unsupervised.owdistances.OWDistances",
    "Hierarchical Clustering": (
        "Orange.widgets.unsupervised.owhierarchicalclustering.OWHierarchicalClustering"
    ),
    "MDS": "Orange.widgets.unsupervised.owmds.OWMDS",
    "Test and Score": "Orange.widgets.evaluate.owtestandscore.OWTestAndScore",
    "Logistic Regression": (
        "Orange.widgets.model.owlogisticregression.OWLogisticRegression"
    ),
    "Confusion Matrix": "Orange.widgets.evaluate.owconfusionmatrix.OWConfusionMatrix",
    "Save Data": "Orange.widgets.data.owsave.OWSave",
    "Predictions": "Orange.widgets.evaluate.owpredictions.OWPredictions",
    "t-SNE": "Orange.widgets.unsupervised.owtsne.OWtSNE",
}


@dataclass
class Workflow:
    """A workflow in the making.

    Attributes
    ----------
    title, description : as Orange's Examples dialog shows them.
    """

    title: str
    description: str
    nodes: list[tuple[str, str, tuple[int, int], dict[str, Any]]] = field(
        default_factory=list
    )
    links: list[tuple[str, str, str, str]] = field(default_factory=list)
    texts: list[tuple[str, tuple[int, int, int, int]]] = field(default_factory=list)

    def add(
        self,
        widget: str,
        position: tuple[int, int],
        settings: dict[str, Any] | None = None,
        title: str = "",
    ) -> str:
        """Put a widget at a position; return its title, by which links name it."""
        self.nodes.append((title or widget, widget, position, settings or {}))
        return title or widget

    def preset(self, title: str, settings: dict[str, Any]) -> None:
        """Give a widget that was added before other settings."""
        (place,) = (i for i, node in enumerate(self.nodes) if node[0] == title)
        self.nodes[place] = (*self.nodes[place][:3], settings)

    def link(self, source: str, output: str, sink: str, signal: str) -> None:
        """Connect an output with an input."""
        self.links.append((source, output, sink, signal))

    def note(self, text: str, x: int, y: int, width: int, height: int) -> None:
        """Put a text on the canvas."""
        self.texts.append((text, (x, y, width, height)))

    def write(self, path: Path) -> None:
        """Write the workflow in the canvas's format 2.0."""
        scheme = ET.Element(
            "scheme", version="2.0", title=self.title, description=self.description
        )
        nodes = ET.SubElement(scheme, "nodes")
        links = ET.SubElement(scheme, "links")
        notes = ET.SubElement(scheme, "annotations")
        ET.SubElement(scheme, "thumbnail")
        properties = ET.SubElement(scheme, "node_properties")
        numbers = {title: str(i) for i, (title, *_) in enumerate(self.nodes)}
        for title, widget, (x, y), settings in self.nodes:
            name = WIDGETS[widget]
            ours = name.startswith(OURS)
            ET.SubElement(
                nodes,
                "node",
                id=numbers[title],
                name=widget,
                qualified_name=name,
                project_name="Orange3-ImageMining" if ours else "Orange3",
                version="",
                title=title,
                position=f"({x}, {y})",
            )
            if settings:
                ET.SubElement(
                    properties, "properties", node_id=numbers[title], format="literal"
                ).text = repr(settings)
        for i, (source, output, sink, signal) in enumerate(self.links):
            ET.SubElement(
                links,
                "link",
                id=str(i),
                source_node_id=numbers[source],
                sink_node_id=numbers[sink],
                source_channel=output,
                sink_channel=signal,
                enabled="true",
            )
        for i, (text, rect) in enumerate(self.texts):
            ET.SubElement(
                notes,
                "text",
                {"font-family": "Helvetica", "font-size": "14"},
                id=str(i),
                type="text/plain",
                rect=str(rect),
            ).text = text
        ET.indent(scheme)
        path.write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            + ET.tostring(scheme, encoding="unicode")
            + "\n",
            encoding="utf8",
        )
