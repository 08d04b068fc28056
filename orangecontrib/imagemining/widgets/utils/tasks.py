"""The only bridge between a widget's task and progress callbacks."""

from __future__ import annotations

from Orange.widgets.utils.concurrent import TaskState

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.specs import Progress

__all__ = ["progress_of"]


def progress_of(state: TaskState) -> Progress:
    """Return ``progress(fraction, status="")`` that reports to `state`.

    Raises
    ------
    TaskCancelled
        From inside the computation, once the widget has asked it to stop.
    """

    def progress(fraction: float, status: str = "") -> None:
        if state.is_interruption_requested():
            raise TaskCancelled("The user asked to stop")
        state.set_progress_value(100 * fraction)
        if status:
            state.set_status(status)

    return progress
