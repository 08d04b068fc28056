"""Selected rows as tables, made in a thread: those with embeddings are large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from AnyQt.QtCore import QObject
from numpy.typing import NDArray
from Orange.data import Table
from Orange.widgets.utils.annotated_data import (
    create_annotated_table,
    create_groups_table,
)
from Orange.widgets.utils.concurrent import ConcurrentMixin, TaskState

__all__ = ["Selection", "SelectionSender"]

_GROUP = "Group"  # as Orange's own widgets call that column


@dataclass
class Selection:
    """The tables that go out.

    Attributes
    ----------
    selected : the rows selected, None if there are none.
    annotated : all rows, with a column that tells which are selected.
    """

    selected: Table | None
    annotated: Table | None


def run(
    data: Table,
    rows: NDArray[np.intp],
    groups: NDArray[np.intp] | None,
    state: TaskState,
) -> Selection:
    if groups is not None and groups.max(initial=0) > 1:
        selected = create_groups_table(data, groups, False, _GROUP)
        return Selection(selected, create_groups_table(data, groups))
    selected = data[rows] if len(rows) else None
    return Selection(selected, create_annotated_table(data, rows))


class SelectionSender(QObject, ConcurrentMixin):
    """Makes a widget's output tables.

    Parameters
    ----------
    parent
        The widget.
    send
        Called with the tables, in the GUI thread.
    """

    def __init__(self, parent: QObject, send: Callable[[Selection], None]) -> None:
        QObject.__init__(self, parent)
        ConcurrentMixin.__init__(self)
        self._send = send

    def select(
        self,
        data: Table | None,
        rows: NDArray[np.intp],
        groups: NDArray[np.intp] | None = None,
    ) -> None:
        """Make the tables for these rows; what was begun before is dropped.

        Parameters
        ----------
        data
            All rows; None for none.
        rows
            Those selected.
        groups
            Number of each row's group, from 1; 0 is not selected. Several groups get a
            column.
        """
        self.cancel()
        if data is None:
            self._send(Selection(None, None))
        else:
            self.start(run, data, rows, groups)

    def on_done(self, result: Selection) -> None:
        self._send(result)

    def on_exception(self, ex: Exception) -> None:
        self._send(Selection(None, None))
        raise ex
