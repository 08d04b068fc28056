"""How images are read travels from Import Images through a workflow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import tifffile
from AnyQt.QtGui import QImage
from conftest import picture, wait_for
from Orange.classification import LogisticRegressionLearner
from Orange.data import Table
from orangecanvas.registry import WidgetRegistry
from orangecanvas.scheme import SchemeNode
from orangewidget.widget import OWBaseWidget
from orangewidget.workflow.widgetsscheme import WidgetsScheme
from PIL import Image
from workflow_runner import Runner
from workflow_runner import registry as registry

from orangecontrib.imagemining.embedders.cache import shared_store
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.saving.plan import SaveOptions
from orangecontrib.imagemining.images.sources import Rendering
from orangecontrib.imagemining.tables import image_sources, table_from_folder
from orangecontrib.imagemining.tables.columns import rendering_of
from orangecontrib.imagemining.tables.folder import FolderOptions
from orangecontrib.imagemining.tables.reading import Reading
from orangecontrib.imagemining.widgets.utils.savework import (
    SaveJob,
    describe_job,
    run_plan,
    run_save,
)

# Orange's own widgets warn of much
pytestmark = pytest.mark.filterwarnings("ignore")

_PATH = "orangecontrib.imagemining.widgets."
IMPORT = _PATH + "owimportimages.OWImportImages"
VIEWER = _PATH + "owimageviewer.OWImageViewer"
EMBEDDING = _PATH + "owimageembedding.OWImageEmbedding"


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OWBaseWidget, "saveSettings", lambda self: None)


def cells(seed: int, brightness: int, n_depths: int = 3) -> np.ndarray:
    """Return a stack of two channels, (z, c, y, x), of 12 of 16 bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    planes = np.zeros((n_depths, 2, 48, 48))
    for channel in range(2):
        for _ in range(4):
            cy, cx, cz = rng.uniform(0, 48), rng.uniform(0, 48), rng.integers(n_depths)
            spot = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 40)
            for z in range(n_depths):
                planes[z, channel] += spot / (1 + abs(z - cz))
    noise = rng.uniform(0, 40, planes.shape)
    return (100 + brightness * (channel + 1) * planes + noise).astype(np.uint16)


def write(path: Path, planes: np.ndarray) -> None:
    metadata = {"axes": "ZCYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(path, planes, ome=True, metadata=metadata)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cells"
    for seed in range(3):
        path = folder / ("dim" if seed < 2 else "bright") / f"{seed}.ome.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, cells(seed, 400 if seed < 2 else 1500))
    return folder


@pytest.fixture
def open_workflow(registry: WidgetRegistry) -> Iterator[Callable[..., Runner]]:
    runners = []

    def open_it(path: Path, settings: dict[str, Any] | None = None) -> Runner:
        """Open a workflow; with settings of Import Images, make it first."""
        if settings is not None:
            scheme = WidgetsScheme()
            nodes = [
                SchemeNode(registry.widget(name), title=title, properties=values)
                for name, title, values in (
                    (IMPORT, "Import", {"__version__": 3, **settings}),
                    (VIEWER, "Viewer", {}),
                    (EMBEDDING, "Embedding", {}),
                    (VIEWER, "Embedded", {}),
                )
            ]
            for node in nodes:
                scheme.add_node(node)
            source, viewer, embedding, after = nodes
            scheme.new_link(source, "Data", viewer, "Data")
            scheme.new_link(source, "Data", embedding, "Images")
            scheme.new_link(embedding, "Embeddings", after, "Data")
            with path.open("wb") as stream:
                scheme.save_to(stream, pickle_fallback=False)
            scheme.clear()
        runner = Runner(path, registry)
        runners.append(runner)
        return runner

    yield open_it
    for runner in runners:
        runner.close()


def vectors(runner: Runner) -> np.ndarray:
    return embedded(runner).X.copy()


def embedded(runner: Runner) -> Table:
    runner.finish()
    table = runner.input("Embedded", "Data")
    assert isinstance(table, Table)
    return table


def thumbnails(runner: Runner) -> list[np.ndarray]:
    """Return what the viewer shows, (height, width, 4) each."""
    runner.finish()
    viewer = runner.widget("Viewer")
    loader = viewer.view.loader
    rows = range(len(viewer.sources))
    wait_for(lambda: all(loader.image(row) or loader.reason(row) for row in rows))
    return [_pixels(loader.image(row)) for row in rows]


def _pixels(image: QImage | None) -> np.ndarray:
    assert image is not None
    bits = image.constBits()
    bits.setsize(image.sizeInBytes())
    return np.frombuffer(bits, np.uint8).reshape(image.height(), -1, 4).copy()


def same(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    pairs = zip(some, others, strict=True)
    return all(a.shape == b.shape and (a == b).all() for a, b in pairs)


RANGE = {"stacks": "max", "contrast": "range"}


def test_percentiles_change_viewer_and_embedding_alike(
    folder: Path, tmp_path: Path, open_workflow: Callable[..., Runner]
) -> None:
    settings = {"folder": str(folder), **RANGE}
    runner = open_workflow(tmp_path / "w.ows", settings)
    before, pictures = vectors(runner), thumbnails(runner)
    assert before.shape == (3, 512)
    widget = runner.widget("Import")
    ranges = [list(each) for each in widget.ranges]
    assert [name for name, _, _ in ranges] == ["DAPI", "GFP"]
    _, high = widget.reading_panel.percentile_spins
    high.setValue(90)
    widget.update_list()  # the pause after typing is over
    after = vectors(runner)
    assert [low for _, low, _ in widget.ranges] == [low for _, low, _ in ranges]
    for (_, _, old), (_, _, new) in zip(ranges, widget.ranges, strict=True):
        assert new < old
    assert not same(pictures, thumbnails(runner))
    assert (np.abs(after - before).max(axis=1) > 1e-3).all()
    # what the viewer shows is what the network gets
    sources = runner.widget("Viewer").sources
    with ImageReader() as reader:
        for source, shown in zip(sources, thumbnails(runner), strict=True):
            seen = np.asarray(reader.read(source))
            np.testing.assert_array_equal(shown[..., 2::-1], seen)
    table = embedded(runner)
    assert image_sources(table, table.domain["image"]) == sources
    high.setValue(99.9)
    widget.update_list()
    np.testing.assert_array_equal(vectors(runner), before)
    assert widget.ranges == ranges and same(pictures, thumbnails(runner))


def test_a_reloaded_workflow_gives_the_same_bits(
    folder: Path, tmp_path: Path, open_workflow: Callable[..., Runner]
) -> None:
    chosen = {
        "channels": "chosen",
        "shown_channels": [["GFP", "magenta"], ["DAPI", "cyan"]],
        "low_percentile": 1.5,
        "high_percentile": 99.0,
    }
    settings = {"folder": str(folder), **RANGE, **chosen}
    first = open_workflow(tmp_path / "w.ows", settings)
    before, pictures = vectors(first), thumbnails(first)
    table = embedded(first)
    words = rendering_of(table.domain["image"])
    assert words.startswith("stack=max&channels=1:magenta,0:cyan&contrast=range:")
    with (tmp_path / "saved.ows").open("wb") as stream:
        first.scheme.sync_node_properties()
        first.scheme.save_to(stream, pickle_fallback=False)
    shared_store().clear()
    second = open_workflow(tmp_path / "saved.ows")
    np.testing.assert_array_equal(vectors(second), before)
    again = embedded(second)
    assert rendering_of(again.domain["image"]) == words
    assert same(pictures, thumbnails(second))
    widget = second.widget("Import")
    assert not widget.Information.other_images.is_shown()
    # numbers stay also where the images do not: only the user changes them
    write(folder / "dim" / "new.ome.tif", cells(9, 9000))
    widget.reload()
    assert len(vectors(second)) == 4
    assert rendering_of(embedded(second).domain["image"]) == words
    assert widget.Information.other_images.is_shown()
    widget.reading_panel.compute_button.click()
    second.finish()
    assert not widget.Information.other_images.is_shown()


def test_planes_are_images_of_their_own(
    folder: Path, tmp_path: Path, open_workflow: Callable[..., Runner]
) -> None:
    settings = {"folder": str(folder), "stacks": "channels", "contrast": "full"}
    runner = open_workflow(tmp_path / "w.ows", settings)
    table = embedded(runner)
    assert len(table) == 18
    assert len(np.unique(table.X.round(6), axis=0)) == 18
    viewer = runner.widget("Viewer")
    shown = thumbnails(runner)
    assert len({picture.tobytes() for picture in shown}) == 18
    # and are told from each other wherever the viewer names or remembers them
    assert viewer._title_of(1) == "2.ome.tif z=1 channel 2"
    assert len(set(viewer._numbered)) == 18


def test_a_model_reads_new_images_as_its_own(folder: Path, tmp_path: Path) -> None:
    from orangecontrib.imagemining.specs import EmbedderSpec
    from orangecontrib.imagemining.tables import embed_table

    def table_of(place: Path, **reading: Any) -> Table:
        options = FolderOptions(reading=Reading(**reading))
        return table_from_folder(place, options=options).table

    reading = {"stack": "mean", "channels": "grey", "contrast": "full"}
    own = table_of(folder, **reading)
    spec = EmbedderSpec("squeezenet1_1", "features")
    training = embed_table(own, own.domain["image"], spec).embedded
    model = LogisticRegressionLearner()(training)
    # the new table says nothing of reading, and its column is another one
    new = table_of(folder)
    assert rendering_of(new.domain["image"]) == ""
    transformed = new.transform(training.domain)
    np.testing.assert_array_equal(transformed.X, training.X)
    np.testing.assert_array_equal(model(new), model(training))
    plain = embed_table(new, new.domain["image"], spec).embedded
    assert np.abs(plain.X - training.X).max() > 1e-3


@pytest.mark.parametrize("contrast", ["auto", "range"])
def test_what_cannot_be_read_is_told(
    tmp_path: Path, open_workflow: Callable[..., Runner], contrast: str
) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    picture(1).save(folder / "good.png")
    # a file without pages, a stack with a damaged one, and no picture at all
    (folder / "empty.tif").write_bytes(b"II*\0\x08\0\0\0" + bytes(64))
    path = folder / "stack.tif"
    with tifffile.TiffWriter(path) as file:
        for plane in cells(1, 900)[:, 0]:
            file.write(plane, contiguous=False, compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        offset, length = file.pages[1].dataoffsets[0], file.pages[1].databytecounts[0]
    with path.open("r+b") as raw:
        raw.seek(offset)
        raw.write(b"\xff" * length)
    (folder / "notes.tif").write_text("no picture")
    settings = {"folder": str(folder), "stacks": "planes", "contrast": contrast}
    runner = open_workflow(tmp_path / "w.ows", settings)
    table = embedded(runner)
    widget = runner.widget("Import")
    assert widget.Warning.not_read.is_shown()
    warning = str(widget.Warning.not_read)
    assert warning.startswith("2 of 4 files cannot be read, the first is empty.tif: ")
    assert {str(row["image"]) for row in table} == {
        "good.png",
        "stack.tif#z=0",
        "stack.tif#z=2",
    }
    assert len(runner.input("Viewer", "Data")) == 6
    if contrast == "range":
        assert widget.Warning.range_unreadable.is_shown()
        assert Rendering.parse(rendering_of(table.domain["image"])).ranges


def test_saving_says_what_has_no_file_of_its_own(folder: Path, tmp_path: Path) -> None:
    options = FolderOptions(reading=Reading("planes", contrast="full"))
    table = table_from_folder(folder, options=options).table
    out = tmp_path / "out"
    out.mkdir()
    job = SaveJob(table, table.domain["image"], None, None, str(out), SaveOptions())
    text = describe_job(job, "as they are")
    assert "projections as PNG" in text and text.endswith("2.ome z=1.png, …")
    state = Mock(is_interruption_requested=Mock(return_value=False))
    saved = run_save(run_plan(job, state), "refuse", threading.Event(), state)
    assert saved.n_saved == 9
    assert "9 are planes, tiles or projections, saved as PNG" in saved.describe()
    sources = image_sources(table, table.domain["image"])
    with ImageReader() as reader:
        for source, image in zip(sources, saved.result.images, strict=True):
            with Image.open(out / image.file) as written:
                seen = reader.read(source or "")
                np.testing.assert_array_equal(np.asarray(written), np.asarray(seen))
    # whole files are copied, and nothing is said
    plain = table_from_folder(folder).table
    job = SaveJob(plain, plain.domain["image"], None, None, str(out), SaveOptions())
    assert "PNG" not in describe_job(job, "as they are")
    saved = run_save(run_plan(job, state), "number", threading.Event(), state)
    assert "PNG" not in saved.describe() and (out / "2.ome.tif").exists()
