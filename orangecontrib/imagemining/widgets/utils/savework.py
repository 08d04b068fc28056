"""What Save Images does outside the GUI thread."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from Orange.data import Table, Variable
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.images.saving.plan import (
    ORIGINAL,
    Plan,
    SaveOptions,
    is_part,
    likely_path,
    plan_saving,
)
from orangecontrib.imagemining.images.saving.write import (
    Policy,
    SaveResult,
    save_images,
)
from orangecontrib.imagemining.tables.saving import (
    count_categories,
    images_to_save,
    not_saved,
)
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

__all__ = [
    "FolderCheck",
    "Planned",
    "SaveJob",
    "Saved",
    "describe_job",
    "run_check",
    "run_plan",
    "run_save",
]

_N_LOOKED_AT = 20  # rows, for an example of a name
_LONG = 56  # letters of an example


@dataclass(frozen=True)
class SaveJob:
    """What is to be saved; new data do not change it.

    Attributes
    ----------
    table, column, name_column, category_column : as for `images_to_save`.
    folder, options : as for `plan_saving`.
    automatic : nobody pressed a button.
    """

    table: Table
    column: Variable
    name_column: Variable | None
    category_column: Variable | None
    folder: str
    options: SaveOptions
    automatic: bool = False


@dataclass(frozen=True)
class FolderCheck:
    """Whether a folder is there."""

    folder: str
    is_there: bool


@dataclass(frozen=True)
class Planned:
    """A job whose names are decided."""

    job: SaveJob
    plan: Plan


@dataclass(frozen=True)
class Saved:
    """A job that is done, or was stopped.

    Attributes
    ----------
    job : the job.
    result : what became of the images.
    skipped : the rows that were not saved; None if there are none.
    n_parts : images that have no file of their own to be copied.
    """

    job: SaveJob
    result: SaveResult
    skipped: Table | None
    n_parts: int = 0

    @property
    def n_saved(self) -> int:
        """Number of images that were saved."""
        return self.result.count("saved")

    @property
    def n_failed(self) -> int:
        """Number of images that could not be saved."""
        return self.result.count("failed")

    def main_reasons(self) -> str:
        """Return the commonest reasons why images failed, with how often each."""
        reasons = self.result.reasons("failed")
        texts = [f"{reason} ({count:,} ×)" for reason, count in reasons[:2]]
        if len(reasons) > 2:
            texts.append("… see Skipped Images")
        return "; ".join(texts)

    def describe(self) -> str:
        """Say in a few words what became of the images."""
        n_left_out = self.result.count("skipped")
        text = f"{self.n_saved:,} image{'s' * (self.n_saved != 1)} saved"
        if self.n_failed:
            text += f", {self.n_failed:,} failed"
        if n_left_out:
            text += f", {n_left_out:,} left out"
        if self.result.cancelled:
            text = f"Cancelled: {text}"
        if self.n_parts:
            n = self.n_parts
            what = "are planes, tiles or projections"
            if n == 1:
                what = "is a plane, tile or projection"
            text += f". {n:,} {what}, saved as PNG"
        if self.result.manifest:
            text += f". {self.result.manifest} lists them all"
        return f"{text}."


def describe_job(job: SaveJob, how: str) -> str:
    """Say in a sentence what a job is going to make, with an example.

    Parameters
    ----------
    job
        With one image at least.
    how
        In which way they are written, in words.
    """
    n = len(job.table)
    text = f"{n:,} image{'s' * (n != 1)} {how}"
    if job.category_column is not None:
        k = count_categories(job.table, job.category_column)
        text += f", in {k:,} sub-folder{'s' * (k != 1)}"
    first = images_to_save(
        job.table[:_N_LOOKED_AT], job.column, job.name_column, job.category_column
    )
    image = next((image for image in first if image.source), first[0])
    if job.options.file_format == ORIGINAL and is_part(image.source or ""):
        text += " (planes, tiles and projections as PNG)"
    example = likely_path(image, job.options)
    if len(example) > _LONG:
        example = f"{example[: _LONG // 2]}…{example[-_LONG // 2 :]}"
    return f"{text}:\n{example}{', …' if n > 1 else ''}"


def run_check(folder: str, state: TaskState) -> FolderCheck:
    # a relative one begins at a workflow's folder, which is not known then
    return FolderCheck(folder, os.path.isabs(folder) and os.path.isdir(folder))


def run_plan(job: SaveJob, state: TaskState) -> Planned:
    images = images_to_save(job.table, job.column, job.name_column, job.category_column)
    return Planned(
        job, plan_saving(images, job.folder, job.options, progress_of(state))
    )


def run_save(
    planned: Planned, policy: Policy, stop: threading.Event, state: TaskState
) -> Saved:
    """Save; `stop` ends it with a result, which cancelling the task would not."""
    report = progress_of(state)

    def progress(fraction: float, status: str = "") -> None:
        if stop.is_set():
            raise TaskCancelled("The user asked to stop")
        report(fraction, status)

    result = save_images(planned.plan, policy, progress)
    skipped = not_saved(planned.job.table, result.images)
    return Saved(planned.job, result, skipped, planned.plan.n_parts)
