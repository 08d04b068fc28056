#!/usr/bin/env python3
"""Write the workflows that the add-on ships.

Usage: scripts/make_workflows.py

They are made here, and not drawn in Orange's canvas, so that nobody's window positions,
recent folders and pickled settings end up in them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1] / "orangecontrib" / "imagemining"
OURS = "orangecontrib.imagemining.widgets"

#: name in the workflows -> module and class
WIDGETS = {
    "Import Images": f"{OURS}.owimportimages.OWImportImages",
    "Image Embedding": f"{OURS}.owimageembedding.OWImageEmbedding",
    "Image Viewer": f"{OURS}.owimageviewer.OWImageViewer",
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
}

#: settings that differ from the widgets' own
SAMPLES = {"folder": "samples:synthetic-yeast", "__version__": 3}
COSINE = {"metric_id": 4, "autocommit": True, "__version__": 4}
TEN_FOLDS = {"resampling": 0, "n_folds": 3, "cv_stratified": True, "__version__": 4}
WARD = {"linkage": 4, "autocommit": True, "__version__": 2}


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


def embed(flow: Workflow, y: int) -> str:
    """Begin with folder and embedding; return the latter."""
    folder = flow.add("Import Images", (100, y), SAMPLES)
    embedding = flow.add("Image Embedding", (260, y))
    flow.link(folder, "Data", embedding, "Images")
    return embedding


def cluster(flow: Workflow, embedding: str, y: int) -> None:
    """Add distances, dendrogram and map with their viewers."""
    distances = flow.add("Distances", (430, y), COSINE)
    tree = flow.add("Hierarchical Clustering", (600, y - 90), WARD)
    mds = flow.add("MDS", (790, y))
    tree_viewer = flow.add("Image Viewer", (790, y - 160), title="Images of a Branch")
    map_viewer = flow.add("Image Viewer", (960, y), title="Images on the Map")
    flow.link(embedding, "Embeddings", distances, "Data")
    flow.link(distances, "Distances", tree, "Distances")
    flow.link(distances, "Distances", mds, "Distances")
    flow.link(tree, "Selected Data", tree_viewer, "Data")
    flow.link(tree, "Selected Data", mds, "Data Subset")
    flow.link(mds, "Selected Data", map_viewer, "Data")


def classify(flow: Workflow, embedding: str, y: int) -> str:
    """Add cross-validation with its mistakes; return the confusion matrix."""
    learner = flow.add("Logistic Regression", (260, y - 120))
    test = flow.add("Test and Score", (430, y), TEN_FOLDS)
    matrix = flow.add("Confusion Matrix", (600, y))
    viewer = flow.add("Image Viewer", (790, y), title="Images of a Cell")
    flow.link(embedding, "Embeddings", test, "Data")
    flow.link(learner, "Learner", test, "Learner")
    flow.link(test, "Evaluation Results", matrix, "Evaluation Results")
    flow.link(matrix, "Selected Data", viewer, "Data")
    return matrix


def clustering() -> Workflow:
    """Return the article's first workflow (its Fig. 1)."""
    flow = Workflow(
        "Clustering Images",
        "Describe images by a deep network, then cluster and map them.\n\n"
        "The workflow starts with synthetic pictures of yeast cells; choose your own"
        " folder in Import Images. Select a branch in Hierarchical Clustering: its"
        " images appear in the viewer, and stand out on the map. Select points on the"
        " map to see theirs.",
    )
    cluster(flow, embed(flow, 240), 240)
    flow.note("Choose a folder of images here.\nNow: synthetic sample images.", 20, 310,
              260, 60)  # fmt: skip
    flow.note("A deep network turns\neach image into numbers.", 180, 150, 200, 50)
    flow.note("Click a branch: its images are shown,\nand marked on the map.", 430, 50,
              290, 50)  # fmt: skip
    flow.note("Draw around points on the map\nto see their images.", 740, 310, 240, 50)
    return flow


def classifying() -> Workflow:
    """Return the article's second workflow (its Fig. 3)."""
    flow = Workflow(
        "Classifying Images",
        "Predict the categories of images, and look at the mistakes.\n\n"
        "The workflow starts with synthetic pictures of yeast cells; choose your own"
        " folder, with a sub-folder for each category, in Import Images. Click a cell"
        " of the Confusion Matrix: its images appear in the viewer, and stand out on"
        " the map.",
    )
    embedding = embed(flow, 200)
    matrix = classify(flow, embedding, 200)
    distances = flow.add("Distances", (430, 380), COSINE)
    mds = flow.add("MDS", (790, 380))
    flow.link(embedding, "Embeddings", distances, "Data")
    flow.link(distances, "Distances", mds, "Distances")
    flow.link(matrix, "Selected Data", mds, "Data Subset")
    flow.note("Choose a folder with a\nsub-folder for each category.\n"
              "Now: synthetic sample images.", 20, 262, 250, 80)  # fmt: skip
    flow.note("How well can the categories\nbe told apart?", 440, 262, 220, 50)
    flow.note("Click a cell to see its images,\nand where they lie on the map.",
              600, 110, 260, 50)  # fmt: skip
    return flow


def both() -> Workflow:
    """Return the workflow that goes with a report."""
    flow = Workflow(
        "Images of a Folder",
        "Cluster, map and classify the images of one folder, and look at the mistakes.",
    )
    embedding = embed(flow, 240)
    cluster(flow, embedding, 240)
    classify(flow, embedding, 460)
    return flow


def main() -> None:
    """Write all workflows."""
    for flow, path in (
        (clustering(), PACKAGE / "tutorials" / "10-clustering-images.ows"),
        (classifying(), PACKAGE / "tutorials" / "20-classifying-images.ows"),
        (both(), PACKAGE / "report" / "workflow.ows"),
    ):
        flow.write(path)
        print(path.relative_to(PACKAGE))


if __name__ == "__main__":
    main()
