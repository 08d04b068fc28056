"""Workflows that Orange3-ImageAnalytics 0.13.0 itself wrote open and run here.

They, their images and the old add-on's vectors are in data/old_workflows, made by
scripts/make_old_workflows.py.
"""

from __future__ import annotations

import io
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from Orange.data import Table
from orangecanvas.registry import WidgetDescription, WidgetRegistry
from orangecanvas.registry.description import InputSignal, OutputSignal
from orangecanvas.scheme.readwrite import parse_ows_stream, resolve_replaced
from orangewidget.widget import OWBaseWidget
from workflow_runner import Runner, no_errors
from workflow_runner import registry as registry

pytestmark = pytest.mark.filterwarnings("ignore")

OLD = "orangecontrib.imageanalytics.widgets"
OURS = "orangecontrib.imagemining.widgets"
FOLDER = Path(__file__).parents[1] / "data" / "old_workflows"
FILES = sorted(FOLDER.glob("*.ows"))
REPLACED = {
    f"{OLD}.owimageimport.OWImportImages": f"{OURS}.owimportimages.OWImportImages",
    f"{OLD}.owimageembedding.OWImageEmbedding": (
        f"{OURS}.owimageembedding.OWImageEmbedding"
    ),
    f"{OLD}.owimageviewer.OWImageViewer": f"{OURS}.owimageviewer.OWImageViewer",
    f"{OLD}.owimagegrid.OWImageGrid": f"{OURS}.owimagegrid.OWImageGrid",
    f"{OLD}.owsaveimages.OWSaveImages": f"{OURS}.owsaveimages.OWSaveImages",
}


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    # what these workflows choose is not to be what new widgets begin with
    monkeypatch.setattr(OWBaseWidget, "saveSettings", lambda self: None)


@pytest.fixture
def open_old(
    tmp_path: Path, registry: WidgetRegistry
) -> Iterator[Callable[[str], Runner]]:
    """Return a function that opens a workflow, in a place where it was not made."""
    lesson = tmp_path / "lesson"
    shutil.copytree(FOLDER, lesson)
    runners = []

    def open_(name: str) -> Runner:
        runner = Runner(lesson / name, registry)
        runners.append(runner)
        # the canvas tells where the workflow is; the widgets are not made yet
        runner.scheme.set_runtime_env("basedir", str(lesson))
        runner.finish()
        return runner

    yield open_
    for runner in runners:
        runner.close()


@pytest.fixture(scope="module")
def old_vectors() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "vectors.npz") as content:
        return dict(zip(content["paths"], content["vectors"], strict=True))


def links(runner: Runner) -> set[tuple[str, str, str, str]]:
    return {
        (
            link.source_node.title,
            link.source_channel.name,
            link.sink_node.title,
            link.sink_channel.name,
        )
        for link in runner.scheme.links
    }


def paths(table: Table, column: str = "image") -> list[str]:
    return [str(row[column]) for row in table]


def check_vectors(
    table: Table, vectors: dict[str, np.ndarray], column: str = "image"
) -> None:
    """See that a table has the old vectors, in the old columns."""
    first = [v.name for v in table.domain.attributes].index("n0")
    expected = np.array([vectors[f"images/{path}"] for path in paths(table, column)])
    np.testing.assert_allclose(table.X[:, first:], expected, rtol=1e-3, atol=1e-3)
    assert len(table.domain.attributes) == first + 1000


def test_files_are_the_old_add_on_s() -> None:
    assert len(FILES) == 5
    names = set()
    for path in FILES:
        for node in ET.parse(path).getroot().iter("node"):
            names.add(node.get("qualified_name"))
            if node.get("qualified_name", "").startswith(OLD):
                assert node.get("project_name") == "Orange3-ImageAnalytics"
    assert set(REPLACED) <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_nodes_and_links_are_kept(
    path: Path, open_old: Callable[[str], Runner]
) -> None:
    scheme = ET.parse(path).getroot()
    titles = {node.get("id"): node.get("title") for node in scheme.iter("node")}
    classes = {
        node.get("title"): node.get("qualified_name") for node in scheme.iter("node")
    }
    ends = {
        (titles[link.get("source_node_id")], titles[link.get("sink_node_id")])
        for link in scheme.iter("link")
    }
    runner = open_old(path.name)
    assert {
        node.title: node.description.qualified_name for node in runner.scheme.nodes
    } == {title: REPLACED.get(name, name) for title, name in classes.items()}
    assert {(source, sink) for source, _, sink, _ in links(runner)} == ends


def test_viewer(
    open_old: Callable[[str], Runner], old_vectors: dict[str, np.ndarray]
) -> None:
    runner = open_old("1-viewer.ows")
    no_errors(runner)
    assert links(runner) == {
        ("Import Images", "Data", "Image Embedding", "Images"),
        ("Image Embedding", "Embeddings", "Image Viewer", "Data"),
        ("Image Viewer", "Selected Images", "Data Table", "Data"),
    }
    assert runner.widget("Import Images").folder == "./images"
    embedding = runner.widget("Image Embedding")
    assert (embedding.network, embedding.layer) == (
        "squeezenet_imageanalytics",
        "logits",
    )
    assert embedding.auto_apply and embedding.column == "image"
    table = runner.input("Image Viewer", "Data")
    assert len(table) == 12
    assert table.domain.class_var.values == ("discs", "stripes")
    check_vectors(table, old_vectors)
    viewer = runner.widget("Image Viewer")
    assert (viewer.column, viewer.title) == ("image", "image name")
    assert viewer.image_size == 208
    chosen = {"discs/discs-4.png", "stripes/stripes-2.png"}
    selected = runner.input("Data Table", "Data")
    assert set(paths(selected)) == chosen
    assert {value for value, _ in viewer.selected_images} == chosen


def test_grid(
    open_old: Callable[[str], Runner], old_vectors: dict[str, np.ndarray]
) -> None:
    runner = open_old("2-grid.ows")
    no_errors(runner)
    found = {(source, out, sink) for source, out, sink, _ in links(runner)}
    assert ("Image Embedding", "Embeddings", "Image Grid") in found
    assert ("Image Viewer", "Selected Images", "Image Grid") in found
    assert ("Image Grid", "Images", "Data Table") in found
    grid = runner.widget("Image Grid")
    assert (grid.n_columns, grid.n_rows, grid.auto_size) == (5, 4, False)
    assert (grid.fit, grid.label, grid.column) == ("crop", "category", "image")
    assert (grid.projection, grid.auto_commit) == ("mds", False)
    subset = [link for link in runner.scheme.links if link.sink_node.title == grid.name]
    assert "Data Subset" in {link.sink_channel.name for link in subset}
    check_vectors(grid.data, old_vectors)
    # what goes out waits for the button, as it did there
    grid.commit.now()
    runner.finish()
    table = runner.input("Data Table", "Data")
    assert sorted(paths(table)) == sorted(paths(grid.data))


def test_save(open_old: Callable[[str], Runner], tmp_path: Path) -> None:
    runner = open_old("3-save.ows")
    assert ("Import Images", "Data", "Save Images", "Data") in links(runner)
    assert len(runner.input("Save Images", "Data")) == 12
    saving = runner.widget("Save Images")
    assert saving.folder == "/data/lesson/saved"
    assert (saving.file_format, saving.quality) == ("jpeg", 75)
    assert (saving.resizing, saving.pixel_width, saving.pixel_height) == (
        "size",
        64,
        64,
    )
    assert (saving.column, saving.category_column) == ("image", "category")
    assert saving.auto_save is False
    assert not (tmp_path / "lesson" / "saved").exists()


def test_embedders_that_are_not_there(open_old: Callable[[str], Runner]) -> None:
    runner = open_old("4-server.ows")
    for title, network, shown in (
        ("Image Embedding", "painters", "Painters (not available)"),
        ("VGG-19", "vgg19", "VGG-19 (548 MB to download)"),
    ):
        widget = runner.widget(title)
        assert widget.network == network
        assert widget.panel.network_combo.currentText() == shown
    painters, vgg19 = runner.widget("Image Embedding"), runner.widget("VGG-19")
    assert (painters.auto_apply, vgg19.auto_apply) == (False, True)
    assert painters.Error.not_available.is_shown()
    # nothing is fetched unless the user says so
    assert vgg19.task is None and vgg19.embedding is None
    assert len(painters.data) == 12
    assert runner.input("Data Table", "Data") is None
    assert ("VGG-19", "Skipped Images", "Skipped", "Data") in links(runner)
    # saved here and opened again, it is still the painters
    runner.scheme.sync_node_properties()
    stream = io.BytesIO()
    runner.scheme.save_to(stream, pretty=True, pickle_fallback=True)
    text = stream.getvalue().decode()
    assert "'network': 'painters'" in text and "'network': 'vgg19'" in text
    assert "imageanalytics.widgets" not in text and 'format="pickle"' not in text


def test_clustering(
    open_old: Callable[[str], Runner], old_vectors: dict[str, np.ndarray]
) -> None:
    runner = open_old("5-clustering.ows")
    no_errors(runner)
    embedding = runner.widget("Image Embedding")
    assert (embedding.column, embedding.old_choices) == ("other", {})
    table = runner.input("Distances", "Data")
    assert paths(table, "other") == [f"stripes/stripes-{i}.png" for i in range(1, 7)]
    check_vectors(table, old_vectors, "other")
    assert runner.input("Hierarchical Clustering", "Distances").shape == (6, 6)
    viewer = runner.widget("Image Viewer")
    assert (viewer.column, viewer.title) == ("other", "Selected")
    assert len(runner.input("Image Viewer", "Data")) == 6


# both add-ons -------------------------------------------------------------------------


def with_the_old_add_on(registry: WidgetRegistry) -> WidgetRegistry:
    """Return a registry in which the five old widgets are described too.

    Their signals as in 0.13.0; the add-on itself is not installed for tests.
    """

    def signals(kind: type, *pairs: tuple[str, str]) -> list[object]:
        return [kind(n, "Orange.data.Table", f"set_{i}", id=i) for n, i in pairs]

    images = ("Selected Images", "selected_data")
    described = {
        "owimageimport.OWImportImages": ([], [("Data", "data")]),
        "owimageembedding.OWImageEmbedding": (
            [("Images", "images")],
            [("Embeddings", "embeddings"), ("Skipped Images", "skipped_images")],
        ),
        "owimageviewer.OWImageViewer": ([("Data", "data")], [images, ("Data", "data")]),
        "owimagegrid.OWImageGrid": (
            [("Embeddings", "data"), ("Data Subset", "data_subset")],
            [images, ("Images", "data")],
        ),
        "owsaveimages.OWSaveImages": ([("Data", "data")], []),
    }
    both = WidgetRegistry(registry)
    category = SimpleNamespace(name="Image Analytics")
    for name, (inputs, outputs) in described.items():
        both.register_widget(
            WidgetDescription(
                name=name,
                id=name,
                category=category.name,
                qualified_name=f"{OLD}.{name}",
                inputs=signals(InputSignal, *inputs),
                outputs=[
                    OutputSignal(n, "Orange.data.Table", id=i) for n, i in outputs
                ],
            )
        )
    return both


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_opens_its_own_when_both_are_installed(
    path: Path, registry: WidgetRegistry
) -> None:
    both = with_the_old_add_on(registry)
    with path.open("rb") as stream:
        written = parse_ows_stream(stream)
    before = [node.qualified_name for node in written.nodes]
    channels = [(link.source_channel, link.sink_channel) for link in written.links]
    resolved = resolve_replaced(written, both)
    assert [node.qualified_name for node in resolved.nodes] == before
    assert [
        (link.source_channel, link.sink_channel) for link in resolved.links
    ] == channels
    # while without it ours take their places
    with path.open("rb") as stream:
        alone = resolve_replaced(parse_ows_stream(stream), registry)
    assert [node.qualified_name for node in alone.nodes] == [
        REPLACED.get(name, name) for name in before
    ]


def test_files_made_here_open_here_when_both_are_installed(
    registry: WidgetRegistry,
) -> None:
    package = Path(__file__).parents[2] / "orangecontrib" / "imagemining"
    files = [*package.glob("tutorials/*.ows"), *package.glob("report/*.ows")]
    assert files
    for path in files:
        with path.open("rb") as stream:
            written = parse_ows_stream(stream)
        before = [node.qualified_name for node in written.nodes]
        resolved = resolve_replaced(written, with_the_old_add_on(registry))
        assert [node.qualified_name for node in resolved.nodes] == before


def test_signals_have_the_old_ids(registry: WidgetRegistry) -> None:
    """Files name signals in the language of whoever saved them, but also by id."""
    both = with_the_old_add_on(registry)
    for old_name, name in REPLACED.items():
        old, ours = both.widget(old_name), registry.widget(name)
        for kind in ("inputs", "outputs"):
            of_ours = {signal.id: signal for signal in getattr(ours, kind)}
            for signal in getattr(old, kind):
                found = of_ours[signal.id]
                assert signal.name in (found.name, *found.replaces), (name, signal.id)
