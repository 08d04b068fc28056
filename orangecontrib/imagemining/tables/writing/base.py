"""What writers of embedded tables have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from Orange.data import Table, Variable

from orangecontrib.imagemining.embedders import check_spec
from orangecontrib.imagemining.specs import EmbedderSpec

__all__ = ["Layout", "VectorWriter"]


class Layout:
    """What is where in the tables to come.

    Parameters
    ----------
    column
        That of the images.
    spec
        The embedder; its columns are the last features.
    n_classes
        How many of the last metas say what the images are taken for.
    plain
        Whether files of text have one line of names above the data, and not Orange's
        three.
    """

    def __init__(
        self,
        column: Variable,
        spec: EmbedderSpec,
        n_classes: int = 0,
        plain: bool = False,
    ) -> None:
        self.column = column
        self.spec = spec
        self.size = check_spec(spec).size
        self.n_classes = n_classes
        self.plain = plain


class VectorWriter(ABC):
    """Writes embedded tables, one after another, into one file.

    Attributes
    ----------
    takes_parts : whether memory is saved by giving it the table in parts.

    Parameters
    ----------
    path
        A temporary one, of the final ending.
    layout
        Of the tables.
    """

    takes_parts = True

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self.layout = layout

    @abstractmethod
    def add(self, part: Table) -> None:
        """Write further rows; `part` may be changed."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is left to write, and close the file."""

    @abstractmethod
    def close(self) -> None:
        """Close the file, finished or not, and leave no other."""
