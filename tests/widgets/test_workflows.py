"""The shipped workflows are opened and executed as Orange's canvas does."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from workflow_runner import PACKAGE, TUTORIALS, all_widgets, no_errors, opened

# Orange's own widgets warn of much, and so does scikit-learn below them
pytestmark = pytest.mark.filterwarnings("ignore")

WORKFLOWS = [*sorted(TUTORIALS.glob("*.ows")), *PACKAGE.glob("report/*.ows")]


def test_report_workflow() -> None:
    with opened(PACKAGE / "report" / "workflow.ows") as runner:
        runner.finish()
        no_errors(runner)
        assert runner.input("MDS", "Distances").shape == (120, 120)
        results = runner.input("Confusion Matrix", "Evaluation Results")
        assert len(results.actual) == 120
        # a cell of mistakes: ER taken for endosome
        table = runner.widget("Confusion Matrix")
        table.tableview.setCurrentIndex(table.tablemodel.index(2 + 2, 1 + 2))
        runner.finish()
        mistakes = runner.input("Map of Mistakes", "Data Subset")
        pairs = list(zip(results.actual, results.predicted[0], strict=True))
        assert len(mistakes) == pairs.count((2, 1)) > 0
        viewer = runner.widget("Chosen Images")
        assert viewer.color_combo.column == "category"
        assert viewer.subtitle_combo.column == "category(Logistic Regression)"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_names_no_place_of_one_computer(path: Path) -> None:
    scheme = ET.parse(path).getroot()
    assert scheme.get("title") and scheme.get("description")
    for properties in scheme.iter("properties"):
        assert properties.get("format") == "literal"
        settings = ast.literal_eval(properties.text or "{}")
        assert "/home" not in repr(settings) and "recent_folders" not in settings
        folder = settings.get("folder", "samples:")
        assert folder.startswith("samples:")


LESSONS = sorted(TUTORIALS.glob("*.ows"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_lesson_has_a_page_with_pictures(path: Path) -> None:
    folder = PACKAGE.parents[1] / "tutorials" / path.stem
    page = (folder / "README.md").read_text("utf8")
    title = ET.parse(path).getroot().get("title")
    assert page.startswith(f"# {path.stem[:2]} ")
    assert title and title.startswith(f"{path.stem[:2]} ")
    assert f"*{title}*" in page  # as the examples' dialog shows it
    shown = set(re.findall(r"\]\(([\w-]+\.png)\)", page))
    assert "workflow.png" in shown
    assert shown == {picture.name for picture in folder.glob("*.png")}
    assert sum(picture.stat().st_size for picture in folder.iterdir()) < 2_000_000
    overview = (folder.parent / "README.md").read_text("utf8")
    assert f"({path.stem}/README.md)" in overview


def test_widgets_are_found_with_icons_and_help() -> None:
    ours = [
        w for w in all_widgets().widgets() if w.project_name == "Orange3-ImageMining"
    ]
    assert sorted(w.name for w in ours) == [
        "Compress Network",
        "Evaluate Networks",
        "Image Embedding",
        "Image Grid",
        "Image Viewer",
        "Import Images",
        "Load Network",
        "Network Info",
        "Save Images",
        "Save Network",
        "Train Network",
    ]
    for description in ours:
        icon = PACKAGE / "widgets" / description.icon
        assert icon.suffix == ".svg" and icon.is_file()
        page = description.name.lower().replace(" ", "-")
        text = (PACKAGE.parents[1] / "doc/widgets" / f"{page}.md").read_text("utf8")
        assert text.startswith(f"# {description.name}\n")
