#!/usr/bin/env python3
"""Write workflows with the widgets of Orange3-ImageAnalytics, for our tests.

Usage: OLD/bin/python scripts/make_old_workflows.py [OUT]

OLD is a virtual environment with Orange3-ImageAnalytics, not with this add-on:

    pip install orange3==3.40.0 orange3-imageanalytics==0.13.0 PyQt6 PyQt6-WebEngine

Builds the workflows from the old widgets, chooses settings by their own controls, lets
them run and saves them as Orange's canvas does, with what they need and what they gave:

    OUT/*.ows          the workflows
    OUT/images/, *.tab the data they open, drawn here
    OUT/odd/           images that can be read in more than one way
    OUT/vectors.npz    the old SqueezeNet's vectors of all these images, by path

OUT is tests/data/old_workflows if not given. As settings hold absolute paths, all is
made in /data/lesson, which must not exist and is removed afterwards. No widget that
asks a server is given data while it would send them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LESSON = Path("/data/lesson")
OUT = Path(__file__).parents[1] / "tests" / "data" / "old_workflows"

OLD = "orangecontrib.imageanalytics.widgets"
WIDGETS = {
    "Import Images": f"{OLD}.owimageimport.OWImportImages",
    "Image Embedding": f"{OLD}.owimageembedding.OWImageEmbedding",
    "Image Viewer": f"{OLD}.owimageviewer.OWImageViewer",
    "Image Grid": f"{OLD}.owimagegrid.OWImageGrid",
    "Save Images": f"{OLD}.owsaveimages.OWSaveImages",
    "File": "Orange.widgets.data.owfile.OWFile",
    "Data Table": "Orange.widgets.data.owtable.OWTable",
    "Distances": "Orange.widgets.unsupervised.owdistances.OWDistances",
    "Hierarchical Clustering": (
        "Orange.widgets.unsupervised.owhierarchicalclustering.OWHierarchicalClustering"
    ),
}
SQUEEZENET, VGG19, PAINTERS = 1, 3, 4  # the old embedders' positions


def draw(folder: Path) -> None:
    """Draw six images of discs and six of stripes, with one that is grey."""
    random = np.random.RandomState(3)
    y, x = np.indices((36, 40))
    for index in range(6):
        for category in ("discs", "stripes"):
            if category == "discs":
                row, column = random.uniform(8, 28, 2)
                shape = np.hypot(y - row, x - column) < 5 + index
            else:
                shape = np.sin((x + index * y / 3) / (1 + index / 3)) > 0
            colours = random.randint(0, 256, (2, 3))
            pixels = np.where(shape[:, :, None], colours[0], colours[1])
            path = folder / "images" / category / f"{category}-{index + 1}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(pixels.astype(np.uint8))
            (image.convert("L") if index == 5 else image).save(path)


def draw_odd(folder: Path) -> None:
    """Draw images that are transparent, turned, of 16 bits, of few pixels."""
    random = np.random.RandomState(4)
    folder.mkdir()
    pixels = random.randint(0, 256, (6, 8, 4)).repeat(4, 0).repeat(4, 1)
    image = Image.fromarray(pixels.astype(np.uint8))
    image.save(folder / "transparent.png")
    orientation = Image.Exif()
    orientation[0x0112] = 6  # as a camera notes that it was held upright
    image.convert("RGB").save(folder / "turned.jpg", exif=orientation)
    Image.fromarray((pixels[:, :, 0] * 3).astype(np.uint16)).save(folder / "deep.png")
    image.crop((3, 3, 5, 6)).convert("RGB").save(folder / "tiny.png")


def tabulate(path: Path) -> None:
    """Write a table with two columns of images, the other shape in the second."""
    rows = ["number\tphoto\tother", "c\tstring\tstring"]
    rows.append("\tmeta type=image origin=images\tmeta type=image origin=images")
    for index in range(1, 7):
        names = [f"{name}/{name}-{index}.png" for name in ("discs", "stripes")]
        rows.append("\t".join([str(index), *names]))
    path.write_text("\n".join(rows) + "\n", encoding="utf8")


class Builder:
    """A workflow in the canvas's scheme runner."""

    def __init__(self, title: str, description: str) -> None:
        from orangewidget.workflow.widgetsscheme import WidgetsScheme

        self.scheme = WidgetsScheme()
        self.scheme.title, self.scheme.description = title, description
        self.scheme.set_runtime_env("basedir", str(LESSON))
        self.scheme.signal_manager.start()

    def add(self, name: str, x: float, y: float, title: str = "") -> Any:
        """Put a widget on the canvas; return its node."""
        from orangecanvas.scheme import SchemeNode

        node = SchemeNode(registry().widget(WIDGETS[name]), title or name, (x, y))
        self.scheme.add_node(node)
        return node

    def link(self, source: Any, output: str, sink: Any, signal: str) -> None:
        """Connect an output with an input."""
        self.scheme.new_link(source, output, sink, signal)

    def widget(self, node: Any) -> Any:
        """Return a node's widget."""
        return self.scheme.widget_manager.widget_for_node(node)

    def finish(self) -> None:
        """Let all widgets work until nothing is left to do."""
        from AnyQt.QtWidgets import QApplication

        manager = self.scheme.signal_manager
        for node in self.scheme.nodes:
            self.widget(node)
        quiet = 0
        while quiet < 40:
            QApplication.processEvents()
            time.sleep(0.01)
            busy = manager.has_pending() or any(
                manager.is_active(node) or manager.is_blocking(node)
                for node in self.scheme.nodes
            )
            quiet = 0 if busy else quiet + 1

    def save(self, name: str) -> None:
        """Save as the canvas does, and close."""
        self.finish()
        self.scheme.sync_node_properties()
        with (LESSON / name).open("wb") as stream:
            self.scheme.save_to(stream, pretty=True, pickle_fallback=True)
        self.scheme.signal_manager.stop()
        self.scheme.clear()


def choose(combo: Any, place: int) -> None:
    """Choose an entry as the user does."""
    combo.setCurrentIndex(place)
    combo.activated.emit(place)


def choose_column(combo: Any, name: str) -> None:
    """Choose a column by its name."""
    names = [combo.itemText(place) for place in range(combo.count())]
    choose(combo, names.index(name))


def import_and_embed(flow: Builder, embedder: int = SQUEEZENET) -> tuple[Any, Any]:
    """Begin with folder and embedding."""
    folder = flow.add("Import Images", 100, 200)
    widget = flow.widget(folder)
    widget.setCurrentPath(str(LESSON / "images"))
    widget.start()
    flow.finish()
    embedding = flow.add("Image Embedding", 250, 200)
    choose(flow.widget(embedding).cb_embedder, embedder)
    flow.link(folder, "Data", embedding, "Images")
    flow.finish()
    return folder, embedding


def viewer() -> None:
    """Embed and view; two images are selected, and their names are titles."""
    flow = Builder("Viewing", "Images with their names; two are selected.")
    _, embedding = import_and_embed(flow)
    view = flow.add("Image Viewer", 400, 200)
    table = flow.add("Data Table", 550, 200)
    flow.link(embedding, "Embeddings", view, "Data")
    flow.link(view, "Selected Images", table, "Data")
    flow.finish()
    widget = flow.widget(view)
    choose_column(widget.controls.title_attr, "image name")
    widget.controls.imageSize.setValue(208)
    from AnyQt.QtCore import QItemSelectionModel

    for row in (2, 7):
        index = widget.thumbnailView.model().index(row)
        widget.thumbnailView.selectionModel().select(
            index, QItemSelectionModel.SelectionFlag.Select
        )
    flow.save("1-viewer.ows")


def grid() -> None:
    """Lay out a grid with labels and cropped images; the viewer gives a subset."""
    flow = Builder("Grid", "Similar images side by side.")
    folder, embedding = import_and_embed(flow)
    squares = flow.add("Image Grid", 550, 200)
    flow.link(embedding, "Embeddings", squares, "Embeddings")
    view = flow.add("Image Viewer", 400, 350)
    flow.link(folder, "Data", view, "Data")
    flow.link(view, "Selected Images", squares, "Data Subset")
    table = flow.add("Data Table", 700, 200)
    flow.link(squares, "Images", table, "Data")
    flow.finish()
    widget = flow.widget(squares)
    choose_column(widget.label_attr_cb, "category")
    widget.cellFitRB.buttons[1].click()
    widget.colSpinner.setValue(5)
    widget.rowSpinner.setValue(4)
    flow.finish()
    from AnyQt.QtWidgets import QCheckBox

    (box,) = widget.buttonsArea.findChildren(QCheckBox)
    box.setChecked(False)
    flow.save("2-grid.ows")


def save() -> None:
    """Save scaled images as JPEG."""
    flow = Builder("Saving", "Images of 64 × 64 pixels, a folder for each category.")
    folder, _ = import_and_embed(flow)
    saving = flow.add("Save Images", 250, 350)
    widget = flow.widget(saving)
    widget.dirname = str(LESSON / "saved")
    widget.last_dir = str(LESSON)
    widget.controls.use_scale.click()
    choose(widget.scale_combo, 5)  # DeepLoc: 64 × 64
    choose(widget.controls.file_format_index, 1)  # JPG
    flow.link(folder, "Data", saving, "Data")
    flow.save("3-save.ows")


def unavailable() -> None:
    """Choose embedders that ask a server; they get no data while they would ask."""
    flow = Builder("Painters", "Two embedders that run on a server.")
    folder, embedding = import_and_embed(flow)
    widget = flow.widget(embedding)
    widget.auto_commit_widget.checkbox.setChecked(False)
    choose(widget.cb_embedder, PAINTERS)
    table = flow.add("Data Table", 400, 200)
    flow.link(embedding, "Embeddings", table, "Data")
    other = flow.add("Image Embedding", 250, 350, "VGG-19")
    choose(flow.widget(other).cb_embedder, VGG19)
    skipped = flow.add("Data Table", 400, 350, "Skipped")
    flow.link(other, "Skipped Images", skipped, "Data")
    flow.save("4-server.ows")


def clustering() -> None:
    """Cluster the second image column of a table."""
    flow = Builder("Clustering", "Images of a table with two image columns.")
    file = flow.add("File", 100, 200)
    widget = flow.widget(file)
    del widget.recent_paths[:]  # examples in the place where Orange is installed
    widget.add_path(str(LESSON / "images.tab"))
    widget.source = widget.LOCAL_FILE
    widget.load_data()
    embedding = flow.add("Image Embedding", 250, 200)
    choose(flow.widget(embedding).cb_embedder, SQUEEZENET)
    flow.link(file, "Data", embedding, "Images")
    flow.finish()
    choose(flow.widget(embedding).cb_image_attr, 1)
    distances = flow.add("Distances", 400, 200)
    tree = flow.add("Hierarchical Clustering", 550, 200)
    view = flow.add("Image Viewer", 700, 200)
    flow.link(embedding, "Embeddings", distances, "Data")
    flow.link(distances, "Distances", tree, "Distances")
    flow.link(tree, "Data", view, "Data")
    flow.finish()
    widget = flow.widget(view)
    choose_column(widget.controls.image_attr, "other")
    flow.save("5-clustering.ows")


def vectors() -> None:
    """Write the old SqueezeNet's vectors of all images."""
    from orangecontrib.imageanalytics.image_embedder import ImageEmbedder

    images = [*LESSON.glob("images/*/*"), *LESSON.glob("odd/*")]
    images.sort()
    rows = ImageEmbedder(model="squeezenet")([str(path) for path in images])
    np.savez_compressed(
        LESSON / "vectors.npz",
        paths=[path.relative_to(LESSON).as_posix() for path in images],
        vectors=np.array(rows, np.float32),
    )


_REGISTRY: list[Any] = []


def registry() -> Any:
    """Return the canvas's registry of all installed widgets."""
    if not _REGISTRY:
        from Orange.canvas.config import Config
        from orangecanvas.registry import WidgetRegistry

        discovery = Config.widget_discovery(WidgetRegistry())
        discovery.run(Config.widgets_entry_points())
        _REGISTRY.append(discovery.registry)
    return _REGISTRY[0]


def main() -> None:
    """Make all, then move it to where it is kept."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    with tempfile.TemporaryDirectory() as home:
        # neither settings nor vectors of whoever runs this
        places = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
        os.environ.update(dict.fromkeys(places, home), QT_QPA_PLATFORM="offscreen")
        from AnyQt.QtWidgets import QApplication

        application = QApplication(sys.argv[:1])
        LESSON.mkdir(parents=True)
        try:
            draw(LESSON)
            draw_odd(LESSON / "odd")
            tabulate(LESSON / "images.tab")
            for make in (viewer, grid, save, unavailable, clustering, vectors):
                make()
            application.processEvents()
            shutil.copytree(LESSON, out, dirs_exist_ok=True)
        finally:
            shutil.rmtree(LESSON)
            if not any(LESSON.parent.iterdir()):
                LESSON.parent.rmdir()
    for path in sorted(out.glob("*.*")):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
