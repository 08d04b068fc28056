"""The whole job: a folder of images in, a folder with the report out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from Orange.data import ContinuousVariable, Domain, Table
from threadpoolctl import threadpool_limits

from orangecontrib.imagemining.embedders import check_spec
from orangecontrib.imagemining.embedders.catalog import engine_for
from orangecontrib.imagemining.report.console import (
    Console,
    count,
    printable,
    shorten,
    unbroken,
)
from orangecontrib.imagemining.report.dendrogram import draw_dendrogram
from orangecontrib.imagemining.report.evaluate import (
    FOLDS,
    Evaluation,
    cross_validate,
    most_confused,
    right_of_each,
)
from orangecontrib.imagemining.report.files import ReportError, ReportFolder
from orangecontrib.imagemining.report.gallery import open_gallery
from orangecontrib.imagemining.report.map import draw_map
from orangecontrib.imagemining.report.matrix import (
    MAX_PRINTED,
    draw_matrix,
    matrix_as_csv,
    matrix_as_text,
)
from orangecontrib.imagemining.report.sample import draw_rows
from orangecontrib.imagemining.report.workflow import filled_workflow
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import (
    EmbeddingResult,
    FolderTable,
    embed_table,
    table_from_folder,
)
from orangecontrib.imagemining.weights import weights_of

__all__ = ["Job"]

_MAX_DRAWN = 300  # images on the map and in the dendrogram
_MAX_LISTED = 10  # skipped images on the screen; report.txt has them all
_THUMBNAIL = 160  # pixels


@dataclass
class Job:
    """What to do, and whom to tell.

    Attributes
    ----------
    folder : of the images.
    out : where the report goes.
    spec : the embedder.
    console : says what is found.
    """

    folder: Path
    out: ReportFolder
    spec: EmbedderSpec
    console: Console

    def run(self) -> None:
        """Do all that can be done with these images, and say why the rest cannot.

        Raises
        ------
        ImageMiningError
            If nothing can be done.
        """
        self.out.check(self.folder)
        listed = self._list()
        self.out.prepare()
        try:
            embedded = self._embed(listed)
        except ReportError:
            # the reasons are written down, and what an earlier report left is not
            # about these images
            self._finish()
            raise
        with self.console.bar("Writing embeddings"):
            self._write_embeddings(embedded)
        self._evaluate(embedded)
        self._draw(embedded)
        self.out.write("workflow.ows", filled_workflow(self.folder, self.spec))
        self._finish()

    def _list(self) -> FolderTable:
        with self.console.bar("Finding images") as progress:
            listed = table_from_folder(self.folder, progress)
        found = listed.found
        text = f"{len(listed.table):,} found"
        if found.n_others:
            text += f"; {found.describe_others()} left out"
        self.console.say_item("Images", text)
        for folder in found.unreadable:
            self.console.say_path("", f"may not be read: {folder}")
        return listed

    def _embed(self, listed: FolderTable) -> Table:
        """Return the table of the images that could be embedded."""
        layer = check_spec(self.spec)
        with self.console.bar("Loading network"):
            # loaded here, so that the images' own time can be told
            engine_for(self.spec.network)
        start = time.perf_counter()
        with self.console.bar("Embedding images") as progress:
            column = listed.table.domain["image"]
            result = embed_table(listed.table, column, self.spec, progress)
        seconds = time.perf_counter() - start
        self._tell_skipped(result)
        if result.embedded is None:
            raise ReportError("None of the images can be used")
        self._tell_categories(result.embedded)
        title = weights_of(self.spec.network).title
        self.console.say_item("Embedder", f"{title}, on this computer")
        self.console.say_item(
            "Layer",
            f"{layer.name}: {layer.size:,} numbers describe each image (inside the"
            f" network: {layer.description})",
        )
        looks: dict[int | str, str] = {
            1: "each image as it is",
            2: "and mirrored",
            8: "turned and mirrored",
        }
        views = looks.get(self.spec.views, "crops")
        self.console.say_item("Views", f"{self.spec.views} ({views})")
        speed = len(listed.table) / seconds
        self.console.say_item(
            "Speed", f"{speed:.{0 if speed >= 100 else 1}f} images/s, with reading them"
        )
        return result.embedded

    def _tell_skipped(self, result: EmbeddingResult) -> None:
        skipped = result.skipped
        self.console.say_item(
            "Skipped", "none" if skipped is None else count(len(skipped), "image")
        )
        if skipped is None:
            return
        paths = skipped.get_column("image")
        reasons = skipped.get_column(skipped.domain.metas[-1])
        for i, (path, reason) in enumerate(zip(paths, reasons, strict=True)):
            line = f"  {printable(str(path))}: {reason}"
            if i < _MAX_LISTED:
                self.console.say(line)
            else:
                self.console.note(line)
        if len(skipped) > _MAX_LISTED:
            print(f"  and {len(skipped) - _MAX_LISTED} more, listed in report.txt")

    def _tell_categories(self, embedded: Table) -> None:
        category = embedded.domain.class_var
        if category is None:
            self.console.say_item("Categories", "none, as there are no sub-folders")
            return
        known = embedded.Y[np.isfinite(embedded.Y)].astype(int)
        sizes = np.bincount(known, minlength=len(category.values))
        names = [
            f"{shorten(name, 30)} {size:,}"
            for name, size in zip(category.values, sizes, strict=True)
        ]
        self.console.say_item("Categories", f"{len(names)}: {_first_of(names)}")

    def _write_embeddings(self, embedded: Table) -> None:
        try:
            with self.out.writing("embeddings.tab") as path:
                _with_all_digits(embedded).save(str(path))
        except UnicodeEncodeError:
            # a system may allow names in another encoding than its own
            self.console.say_sentences(
                "No embeddings.tab: the name of a folder or file has letters that"
                " cannot be written as text. Rename it."
            )

    def _evaluate(self, embedded: Table) -> None:
        self.console.say()
        try:
            with self.console.bar("Cross-validation") as progress:
                # On a few hundred rows the threads of the linear algebra wait for each
                # other: one alone took a seventh of the time of two.
                with threadpool_limits(1):
                    evaluation = cross_validate(embedded, progress)
        except ReportError as ex:
            self.console.say_sentences(f"No scores. {ex}.")
            return
        self._tell_scores(evaluation)
        title = (
            f"Logistic regression, {FOLDS}-fold cross-validation of"
            f" {count(evaluation.images, 'image')}"
        )
        self.out.write("confusion-matrix.png", draw_matrix(evaluation, title))
        self.out.write("confusion-matrix.csv", matrix_as_csv(evaluation))

    def _tell_scores(self, evaluation: Evaluation) -> None:
        say = self.console.say
        stratified = "stratified " if evaluation.stratified else ""
        right, images = evaluation.right, evaluation.images
        say(f"Logistic regression, {stratified}{FOLDS}-fold cross-validation:")
        say(f"{right:,} of {count(images, 'image')} right (CA {right / images:.3f})")
        say()
        say("Scores (average over categories, as in Test and Score):")
        say("".join(f"{name:>8}" for name in evaluation.scores))
        # what is not defined stays empty, as it does there
        texts = [f"{x:.3f}" if x == x else "" for x in evaluation.scores.values()]
        say("".join(f"{text:>8}" for text in texts))
        for note in evaluation.notes:
            self.console.say_sentences(f"Note: {note}")
        say()
        say("Right of each category, the worst first:")
        self.console.say_sentences(_first_of(map(str, right_of_each(evaluation))))
        say()
        pair = most_confused(evaluation)
        if pair is None:
            say("Most confused: none, every image was put into its category.")
        else:
            self.console.say_sentences(f"Most confused: {pair}")
        if len(evaluation.categories) <= MAX_PRINTED:
            say()
            say(
                "Confusion matrix (a row an actual category, a column a predicted one):"
            )
            for line in matrix_as_text(evaluation):
                say(line)

    def _draw(self, embedded: Table) -> None:
        self.console.say()
        if len(embedded) < 2:
            self.console.say("No map and no dendrogram: they need two images or more.")
            return
        rows = draw_rows(embedded, _MAX_DRAWN)
        note = ""
        if len(rows) < len(embedded):
            evenly = ", evenly over the categories" * bool(embedded.domain.class_var)
            sample = (
                f"{len(rows)} of {len(embedded):,} images, drawn at random{evenly}."
            )
            note = f"Shown are {sample}"
            self.console.say_sentences(f"Map and dendrogram show {sample}")
        with self.console.bar("Drawing") as progress:
            gallery = open_gallery(
                embedded[rows],
                _THUMBNAIL,
                note,
                # reading is the longest part of it
                lambda done, status="": progress(0.8 * done, status),
            )
            self.out.write("map.png", draw_map(gallery))
            progress(0.9, "dendrogram")
            self.out.write("dendrogram.png", draw_dendrogram(gallery))

    def _finish(self) -> None:
        # named before it is there, as it says so itself
        self.out.write("report.txt", b"")
        names = self.out.finish()
        self.console.say_path("Report", os.path.abspath(self.out.path))
        self.console.say_item("", ", ".join(names))
        self.out.write("report.txt", self.console.text.encode("utf-8", "replace"))


def _first_of(items: Iterable[str]) -> str:
    """List as many as are printed, none of them broken in two, and say what is left."""
    items = list(items)
    text = ", ".join(unbroken(item) for item in items[:MAX_PRINTED])
    more = len(items) - MAX_PRINTED
    return text + f" and {more} more" * (more > 0)


def _with_all_digits(embedded: Table) -> Table:
    """Return the table with embeddings that are written as they are.

    Orange writes six digits of a number. Who opens the file is to get the scores of
    the report, and a borderline image changes sides for less. There is no setting for
    that, and Orange knows each subclass of its variables for good as a kind of column,
    so the method is replaced in those of this one table.
    """
    attributes = []
    for variable in embedded.domain.attributes:
        copy = ContinuousVariable(variable.name)
        copy.attributes = variable.attributes
        copy.repr_val = float.__repr__
        attributes.append(copy)
    domain = Domain(attributes, embedded.domain.class_vars, embedded.domain.metas)
    return Table.from_numpy(domain, embedded.X, embedded.Y, embedded.metas)
