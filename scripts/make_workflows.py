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
    lessons = {**lessons_first.LESSONS, **lessons_more.LESSONS}
    flows = {f"tutorials/{name}.ows": make() for name, make in lessons.items()}
    for name, flow in {**flows, "report/workflow.ows": both()}.items():
        flow.write(PACKAGE / name)
        print(name)


if __name__ == "__main__":
    main()
