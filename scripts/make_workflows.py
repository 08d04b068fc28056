#!/usr/bin/env python3
"""Write the workflows that the add-on ships.

Usage: scripts/make_workflows.py

They are made here, and not drawn in Orange's canvas, so that nobody's window positions,
recent folders and pickled settings end up in them.
"""

from __future__ import annotations

import lessons_first  # type: ignore[import-not-found]
import lessons_more  # type: ignore[import-not-found]
from lessons_first import classify, cluster, embed
from workflow_files import PACKAGE, Workflow  # type: ignore[import-not-found]

#: settings of the report's viewers: frames tell what an image is, and the second line
#: of a chosen mistake what it was taken for
BY_CATEGORY = {"color": "category", "__version__": 3}
WHAT_WAS_SAID = {"subtitle": "category(Logistic Regression)"}


def both() -> Workflow:
    """Return the workflow that goes with a report."""
    flow = Workflow(
        "Images of a Folder",
        "Cluster, map and classify the images of one folder, and look at the mistakes.",
    )
    embedding = embed(flow, 240)
    cluster(flow, embedding, 240)
    matrix = classify(flow, embedding, 460)
    # the map above marks branches of the tree, and there is but one subset to mark
    mistakes = flow.add("MDS", (790, 350), title="Map of Mistakes")
    flow.link("Distances", "Distances", mistakes, "Distances")
    flow.link(matrix, "Selected Data", mistakes, "Data Subset")
    for title in ("Images of a Branch", "Images on the Map"):
        flow.preset(title, BY_CATEGORY)
    flow.preset("Chosen Images", {**BY_CATEGORY, **WHAT_WAS_SAID})
    return flow


def main() -> None:
    """Write all workflows."""
    lessons = {**lessons_first.LESSONS, **lessons_more.LESSONS}
    flows = {f"tutorials/{name}.ows": make() for name, make in lessons.items()}
    for name, flow in {**flows, "report/workflow.ows": both()}.items():
        flow.write(PACKAGE / name)
        print(name)


if __name__ == "__main__":
    main()
