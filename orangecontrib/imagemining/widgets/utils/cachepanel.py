"""How much of what was computed is kept, and buttons to change that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from AnyQt.QtWidgets import (
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QMenu,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from orangecontrib.imagemining.embedders.cache import shared_store
from orangecontrib.imagemining.widgets.utils.background import Background

__all__ = ["CacheFacts", "CachePanel", "cache_facts", "size_text"]

_GB, _MB = 2**30, 2**20


@dataclass(frozen=True)
class CacheFacts:
    """What there is in the store.

    Attributes
    ----------
    n_vectors : how many.
    size, limit : in bytes.
    limit_is_fixed : whether the environment tells the limit.
    message : what a user should know; "" if there is nothing.
    """

    n_vectors: int
    size: int
    limit: int
    limit_is_fixed: bool
    message: str

    def describe(self) -> str:
        """Return "12,345 embeddings, 210 MB of 2 GB"."""
        if not self.n_vectors and self.limit:
            return f"empty, {size_text(self.limit)} at most"
        n = f"{self.n_vectors:,} embedding{'s' * (self.n_vectors != 1)}"
        if self.limit == 0:
            return f"{n}, kept only as long as Orange runs"
        return f"{n}, {size_text(self.size)} of {size_text(self.limit)}"


def cache_facts() -> CacheFacts:
    """Look into the store; this may take a moment."""
    store = shared_store()
    n_vectors, size = store.n_vectors(), store.size()
    return CacheFacts(n_vectors, size, store.limit, store.limit_is_fixed, store.message)


def _clear() -> CacheFacts:
    shared_store().clear()
    return cache_facts()


def _limit(n_bytes: int) -> CacheFacts:
    shared_store().limit = n_bytes
    return cache_facts()


def size_text(n_bytes: int) -> str:
    """Return bytes as people say them: "210 MB", "2 GB"."""
    if n_bytes >= _GB:
        return f"{n_bytes / _GB:,.1f} GB".replace(".0 GB", " GB")
    megabytes = n_bytes / _MB
    return f"{megabytes:.0f} MB" if megabytes >= 1 or not n_bytes else "1 MB"


class CachePanel(QWidget):
    """A line about the store, and a menu to clear and to limit it.

    Parameters
    ----------
    on_message
        Called with what a user should know of the store, "" if there is nothing.
    """

    def __init__(self, on_message: Callable[[str], None]) -> None:
        super().__init__()
        self._on_message = on_message
        self.facts: CacheFacts | None = None
        self.background = Background(self)
        box = QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.label = QLabel("Cache: …")
        self.label.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
        )
        box.addWidget(self.label, 1)
        self.button = QPushButton("Cac&he", autoDefault=False)
        self.button.setToolTip(
            "What was computed is kept on this computer, for all workflows"
        )
        self.menu = QMenu(self.button)
        self.clear_action = self.menu.addAction("Clear…", self.ask_to_clear)
        self.limit_action = self.menu.addAction("Limit…", self.ask_for_limit)
        self.button.setMenu(self.menu)
        box.addWidget(self.button)
        self.button.setEnabled(False)

    def refresh(self) -> None:
        """Look into the store."""
        # what is being changed comes first, in the same thread
        self.background.ask(cache_facts, self._show)

    def ask_to_clear(self) -> None:
        """Throw out all embeddings, if the user wants that."""
        if self.facts is None:
            return
        what = self.facts.describe().partition(" of ")[0]
        if not self.facts.n_vectors:
            what = "all that is kept"  # a disk may be too full to count it
        answer = QMessageBox.question(
            self,
            "Clear the Cache",
            f"Throw out {what}?\n\n"
            "They are of all workflows. What is needed again is computed again; images"
            " and tables stay as they are.",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._change("Cache: clearing…", _clear)

    def ask_for_limit(self) -> None:
        """Let the user say how large the store may become."""
        if self.facts is None:
            return
        limit, accepted = QInputDialog.getDouble(
            self,
            "Limit of the Cache",
            "Gigabytes on disk, at most. Beyond that, what was used longest ago is\n"
            "thrown out. 0 keeps nothing when Orange is closed.",
            self.facts.limit / _GB,
            0,
            10_000,
            2,
        )
        if accepted:
            n_bytes = round(limit * _GB)
            self._change("Cache: making room…", partial(_limit, n_bytes))

    def _change(self, text: str, work: Callable[[], CacheFacts]) -> None:
        self.button.setEnabled(False)
        self.label.setText(text)
        self.background.ask(work, self._show)

    def _show(self, facts: CacheFacts) -> None:
        self.facts = facts
        text = f"Cache: {facts.describe()}"
        self.label.setText(text)
        self.label.setToolTip(text)
        self.button.setEnabled(True)
        self.clear_action.setEnabled(facts.n_vectors > 0 or bool(facts.message))
        self.limit_action.setEnabled(not facts.limit_is_fixed)
        self.limit_action.setText(
            "Limit is set by IMAGEMINING_CACHE_BYTES"
            if facts.limit_is_fixed
            else "Limit…"
        )
        self._on_message(facts.message)
