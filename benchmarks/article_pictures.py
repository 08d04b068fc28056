"""The pictures of doc/article.md: of the samples that come with the add-on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from Orange.data import Table
from PIL import Image

from orangecontrib.imagemining.report.dendrogram import draw_dendrogram
from orangecontrib.imagemining.report.evaluate import cross_validate
from orangecontrib.imagemining.report.gallery import Gallery, open_gallery
from orangecontrib.imagemining.report.map import draw_map
from orangecontrib.imagemining.report.matrix import draw_matrix
from orangecontrib.imagemining.report.page import Page
from orangecontrib.imagemining.report.sample import draw_rows
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import embed_table, table_from_folder
from orangecontrib.imagemining.tables.placing import place_images
from orangecontrib.imagemining.weights.folders import write_parts

__all__ = ["draw_all", "draw_grid", "draw_scores"]

_WIDTH = 1000  # pixels
_COLOURS = 128
_IN_TREE = 37  # as many as in the article's Fig. 1


def draw_all(samples: Path, content: dict[str, Any], folder: Path) -> None:
    """Draw all pictures into a folder; those of the same names are replaced.

    Parameters
    ----------
    samples
        Folder of the images to show.
    content
        The results.
    folder
        It is made if it is not there.
    """
    listed = table_from_folder(str(samples)).table
    spec = EmbedderSpec("squeezenet1_1", "features")
    table = embed_table(listed, listed.domain["image"], spec).embedded
    if table is None:
        raise ValueError(f"None of the images in {samples} can be read")
    rows = draw_rows(table, _IN_TREE)
    evaluation = cross_validate(table)
    gallery = open_gallery(table, 96)
    pictures = {
        "dendrogram": draw_dendrogram(open_gallery(table[rows], 96)),
        "map": draw_map(gallery),
        "grid": draw_grid(table, gallery),
        "confusion": draw_matrix(
            evaluation, "Logistic regression, 10 folds, synthetic yeast"
        ),
        "scores": draw_scores(content),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in pictures.items():
        write_parts(folder / f"{name}.png", [_smaller(png)])


def _smaller(png: bytes) -> bytes:
    """Return a PNG file of fewer pixels and colours."""
    with Image.open(io.BytesIO(png)) as picture:
        small = picture.convert("RGB")
    if small.width > _WIDTH:
        height = round(small.height * _WIDTH / small.width)
        small = small.resize((_WIDTH, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    small.quantize(_COLOURS, dither=Image.Dither.NONE).save(
        stream, "PNG", optimize=True
    )
    return stream.getvalue()


def draw_grid(table: Table, gallery: Gallery) -> bytes:
    """Return the grid that the widget Image Grid lays by t-SNE, as a PNG file."""
    layout = place_images(table, table.domain["image"], "tsne").layout
    cell = 0.62  # inches
    width, height = layout.columns * cell, layout.rows * cell
    page = Page(width + 2.8, height + 0.9)
    page.text(0.3, height + 0.6, f"Image Grid of {len(gallery)} images, t-SNE", size=13)
    for row, (down, right) in enumerate(layout.cells):
        x = 0.3 + (right + 0.5) * cell
        y = 0.2 + height - (down + 0.5) * cell
        page.picture(
            x, y, cell * 0.95, gallery.pictures[row], gallery.colors[row], row + 1
        )
    page.legend(width + 0.5, height + 0.2, gallery.categories, gallery.category_colors)
    return page.png()


def draw_scores(content: dict[str, Any]) -> bytes:
    """Return CA of each way on each set, with its spread over seeds, as a PNG file."""
    sets = content["sets"]
    figure = Figure(figsize=(8, 0.9 + 1.7 * len(sets)), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    colours = {"network": "#2a7ab8", "hand-made": "#d9822b"}
    place, ticks, names = 0.0, [], []
    for entry in sets:
        place += 0.9
        axes.text(0.005, place, entry["name"], weight="bold", va="center",
                  transform=axes.get_yaxis_transform())  # fmt: skip
        for way in entry["ways"]:
            place += 1
            values = way["scores"]["CA"]
            axes.errorbar(np.mean(values), place, xerr=np.std(values), fmt="o",
                          color=colours[way["kind"]], capsize=3)  # fmt: skip
            ticks.append(place)
            layer = f", {way['layer']}" if way["layer"] else ""
            names.append(way["title"] + layer)
        place += 0.6
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set_ylim(place + 0.2, 0.2)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("classification accuracy (CA), ten folds, three times")
    canvas = FigureCanvasAgg(figure)
    stream = io.BytesIO()
    canvas.print_png(stream)
    return stream.getvalue()
