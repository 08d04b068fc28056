"""What Import Images does in a thread."""

from __future__ import annotations

import os
from dataclasses import dataclass

from Orange.data import Table, Variable
from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.exceptions import FolderNotFoundError
from orangecontrib.imagemining.images import Measures
from orangecontrib.imagemining.tables.folder import (
    FolderMemory,
    FolderOptions,
    FolderTable,
    table_from_folder,
)
from orangecontrib.imagemining.tables.listing import ListedTable, table_with_images
from orangecontrib.imagemining.widgets.utils.folders import moved_folder
from orangecontrib.imagemining.widgets.utils.tasks import progress_of

__all__ = ["FolderJob", "FolderResult", "TableJob", "run_folder", "run_table"]


@dataclass
class FolderJob:
    """A folder to be listed.

    Attributes
    ----------
    folder : as the user chose it, or as a workflow has it.
    workflow_folder : where a folder may lie that is not where the workflow says.
    options : which images.
    memory : what is known of the folder.
    again : whether to look at it again.
    """

    folder: str
    workflow_folder: str
    options: FolderOptions
    memory: FolderMemory
    again: bool


@dataclass
class FolderResult:
    """What was found, and where."""

    folder: str
    listed: FolderTable


@dataclass
class TableJob:
    """A table whose images are to be looked at.

    Attributes
    ----------
    data, column, base, camera_notes : as for `table_with_images`.
    measures : what is known of the images.
    again : whether to look at them again.
    """

    data: Table
    column: Variable
    base: str
    camera_notes: bool
    measures: Measures
    again: bool


def run_folder(job: FolderJob, state: TaskState) -> FolderResult:
    folder = job.folder
    if not os.path.isdir(folder):
        folder = moved_folder(folder, job.workflow_folder) or folder
    if not os.path.isabs(folder):  # of another system, or of a workflow without a place
        raise FolderNotFoundError(f"There is no folder {folder}")
    if job.again:
        job.memory.renew()
    listed = table_from_folder(folder, progress_of(state), job.options, job.memory)
    return FolderResult(folder, listed)


def run_table(job: TableJob, state: TaskState) -> ListedTable:
    if job.again:
        job.measures.renew()
    return table_with_images(
        job.data,
        job.column,
        job.base,
        job.camera_notes,
        progress_of(state),
        job.measures,
    )
