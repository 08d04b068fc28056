"""The shipped workflows are opened and executed as Orange's canvas does."""

from __future__ import annotations

import ast
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from AnyQt.QtWidgets import QApplication
from Orange.canvas.config import Config
from Orange.data import Table
from Orange.widgets.tests.base import GuiTest
from orangecanvas.registry import WidgetRegistry
from orangecanvas.scheme import SchemeNode
from orangecanvas.scheme.readwrite import scheme_load
from orangewidget.utils.signals import LazyValue
from orangewidget.widget import OWBaseWidget
from orangewidget.workflow.widgetsscheme import WidgetsScheme

# Orange's own widgets warn of much, and so does scikit-learn below them
pytestmark = pytest.mark.filterwarnings("ignore")

PACKAGE = Path(__file__).parents[2] / "orangecontrib" / "imagemining"
WORKFLOWS = [
    *sorted((PACKAGE / "tutorials").glob("*.ows")),
    *PACKAGE.glob("report/*.ows"),
]


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    # what these workflows choose is not to be what new widgets begin with
    monkeypatch.setattr(OWBaseWidget, "saveSettings", lambda self: None)


@pytest.fixture(scope="module")
def registry() -> WidgetRegistry:
    GuiTest.setUpClass()
    discovery = Config.widget_discovery(WidgetRegistry())
    discovery.run(Config.widgets_entry_points())
    return discovery.registry


class Runner:
    """A workflow in the canvas's scheme runner."""

    def __init__(self, path: Path, registry: WidgetRegistry) -> None:
        self.scheme = WidgetsScheme()
        errors: list[Exception] = []
        with path.open("rb") as stream:
            scheme_load(
                self.scheme, stream, registry=registry, error_handler=errors.append
            )
        assert not errors
        self.scheme.signal_manager.start()

    def node(self, title: str) -> SchemeNode:
        (node,) = [node for node in self.scheme.nodes if node.title == title]
        return node

    def widget(self, title: str) -> OWBaseWidget:
        return self.scheme.widget_manager.widget_for_node(self.node(title))

    def finish(self, seconds: float = 120) -> None:
        """Let all nodes work until nothing is left to do."""
        for node in self.scheme.nodes:
            self.scheme.widget_manager.widget_for_node(node)
        manager = self.scheme.signal_manager
        end, quiet = time.monotonic() + seconds, 0
        while quiet < 20:
            assert time.monotonic() < end, "the workflow does not come to an end"
            QApplication.processEvents()
            time.sleep(0.01)
            busy = manager.has_pending() or any(
                manager.is_active(node) or manager.is_invalidated(node)
                for node in self.scheme.nodes
            )
            quiet = 0 if busy else quiet + 1

    def input(self, title: str, name: str) -> object:
        """Return what came to a node's input."""
        node = self.node(title)
        (link,) = [
            link
            for link in self.scheme.links
            if link.sink_node is node and link.sink_channel.name == name
        ]
        (value,) = self.scheme.signal_manager.link_contents(link).values()
        return value.get_value() if LazyValue.is_lazy(value) else value

    def close(self) -> None:
        self.scheme.signal_manager.stop()
        self.scheme.clear()  # deletes the widgets
        QApplication.processEvents()


@pytest.fixture
def runner(
    request: pytest.FixtureRequest, registry: WidgetRegistry
) -> Iterator[Runner]:
    runner = Runner(PACKAGE / request.param, registry)
    yield runner
    runner.close()


def no_errors(runner: Runner) -> None:
    for node in runner.scheme.nodes:
        widget = runner.scheme.widget_manager.widget_for_node(node)
        shown = [
            str(message.formatted)
            for group in widget.message_groups
            for message in group.active
            if "Information" not in type(group).__qualname__
        ]
        assert not shown, node.title


@pytest.mark.parametrize(
    "runner", ["tutorials/10-clustering-images.ows"], indirect=True
)
def test_clustering(runner: Runner) -> None:
    runner.finish()
    no_errors(runner)
    matrix = runner.input("MDS", "Distances")
    assert matrix.shape == (120, 120)
    # cosine distances of vectors without negative numbers
    assert 0 <= matrix.min() and 0.01 < matrix.max() < 1
    table = matrix.row_items
    assert table.X.shape == (120, 512)
    assert table.domain.class_var.values == ("cytoplasm", "endosome", "ER")

    tree = runner.widget("Hierarchical Clustering")
    assert tree.linkage == 4  # Ward
    branch = tree.root.left
    tree.dendrogram.set_selected_items([tree.dendrogram.item(branch)])
    runner.finish()
    selected = runner.input("Images of a Branch", "Data")
    size = branch.value.last - branch.value.first
    assert len(selected) == size
    viewer = runner.widget("Images of a Branch")
    assert len(viewer.view.order) == size
    subset = runner.widget("MDS").subset_data
    assert set(subset.ids) == set(selected.ids)

    mds = runner.widget("MDS")
    mds.graph.select_by_indices(np.arange(5))
    runner.finish()
    assert len(runner.input("Images on the Map", "Data")) == 5
    assert len(runner.widget("Images on the Map").view.order) == 5


@pytest.mark.parametrize(
    "runner", ["tutorials/20-classifying-images.ows"], indirect=True
)
def test_classifying(runner: Runner) -> None:
    runner.finish()
    no_errors(runner)
    results = runner.input("Confusion Matrix", "Evaluation Results")
    assert len(results.folds) == 10
    assert len(results.actual) == 120
    accuracy = (results.predicted[0] == results.actual).mean()
    # synthetic images, neither trivial nor hopeless; guessing gives a third
    assert 0.7 < accuracy < 0.98

    matrix = runner.widget("Confusion Matrix")
    matrix.select_wrong()
    runner.finish()
    wrong = runner.input("Images of a Cell", "Data")
    assert len(wrong) == round((1 - accuracy) * 120)
    assert len(runner.widget("Images of a Cell").view.order) == len(wrong)
    subset = runner.widget("MDS").subset_data
    assert isinstance(subset, Table) and set(subset.ids) == set(wrong.ids)


@pytest.mark.parametrize("runner", ["report/workflow.ows"], indirect=True)
def test_report_workflow(runner: Runner) -> None:
    runner.finish()
    no_errors(runner)
    assert runner.input("MDS", "Distances").shape == (120, 120)
    assert len(runner.input("Confusion Matrix", "Evaluation Results").actual) == 120


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


def test_widgets_are_found_with_icons_and_help(registry: WidgetRegistry) -> None:
    ours = [w for w in registry.widgets() if w.project_name == "Orange3-ImageMining"]
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
