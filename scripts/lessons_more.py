"""The workflows of lessons 50 to 80: microscopy, training, compressing, a server."""

from __future__ import annotations

from collections.abc import Callable

from workflow_files import Workflow  # type: ignore[import-not-found]

__all__ = ["LESSONS"]

#: the name of each lesson's file, and what makes its workflow
LESSONS: dict[str, Callable[[], Workflow]] = {}
