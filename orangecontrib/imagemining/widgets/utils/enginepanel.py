"""What the networks run on: which engine, why, and whether it may be less exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from orangecontrib.imagemining.embedders.engines.choice import (
    AUTO,
    ENGINES,
    EngineChoice,
    EngineInfo,
    choose_engine,
    engines_here,
)
from orangecontrib.imagemining.widgets.utils.background import Background
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.embeddertexts import precision_of
from orangecontrib.imagemining.widgets.utils.forms import NoteLabel, add_row, new_form

__all__ = ["EngineFacts", "EnginePanel", "engine_facts"]

#: What is measured in doc/widgets/image-embedding.md, for those who ask what it costs.
FAST_DIFFERENCE = (
    "Sooner done, with numbers that differ a little: measured with SqueezeNet on 3,432"
    " images, the cosine with the exact embeddings is 0.9996 or more, and logistic"
    " regression is right on 0.2 per cent of the images more to 0.3 fewer. The columns"
    " are named _fast"
)


@dataclass
class EngineFacts:
    """What a network can run on here.

    Attributes
    ----------
    engines : all of them, the best first.
    choice : the one that runs it.
    fast : what would run it in fast mode.
    """

    engines: list[EngineInfo]
    choice: EngineChoice
    fast: EngineChoice

    @property
    def has_fast(self) -> bool:
        """Whether fast mode is any faster."""
        return self.fast.precision != "float32"


#: What is said in place of an engine where a server computes.
ELSEWHERE = "The server computes, in exact numbers; images are sent to it."


def engine_facts(
    network: str, wanted: str, views: int | str, precision: str
) -> EngineFacts:
    """Look what is here; this may take a moment."""
    if wanted not in (AUTO, *ENGINES):
        wanted = AUTO  # of a newer version, or damaged
    return EngineFacts(
        engines_here(network, views),
        choose_engine(network, wanted, precision, views),
        choose_engine(network, wanted, "fast", views),
    )


class EnginePanel(QWidget):
    """A box for the engine, the reason for it, and the choice of fast mode.

    Parameters
    ----------
    master
        The widget, with the settings `network`, `views`, `engine`, `fast`, and
        `server`, the address of what computes elsewhere or "".
    on_choice
        Called when the user has changed what numbers come out.
    """

    def __init__(self, master: Any, on_choice: Callable[[], None]) -> None:
        super().__init__()
        self._master = master
        self._on_choice = on_choice
        self.facts: EngineFacts | None = None
        self.background = Background(self)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.form = new_form()
        box.addLayout(self.form)
        self.engine_combo = KeyCombo(master, "engine", self._on_engine)
        add_row(
            self.form,
            "En&gine:",
            self.engine_combo,
            "The program that computes the network. The numbers are the same with each;"
            " Automatic takes the fastest that is here",
        )
        self.fast_box = QCheckBox("Fa&st, slightly different numbers")
        self.fast_box.setToolTip(FAST_DIFFERENCE)
        self.fast_box.setChecked(bool(master.fast))
        self.fast_box.clicked.connect(self._on_fast)
        box.addWidget(self.fast_box)
        self.note = NoteLabel()
        box.addWidget(self.note)
        self._show_engines([])
        self._show_fast()

    def refresh(self) -> None:
        """Look what the network in the boxes runs on."""
        master = self._master
        network, wanted, views = master.network, master.engine, master.views
        precision = precision_of(network, master.fast)
        here = not master.server
        for part in (self.engine_combo, self.form.labelForField(self.engine_combo)):
            part.setVisible(here)
        self._show_fast()
        if not here:
            self.note.setText(ELSEWHERE)
        self.background.ask(
            lambda: engine_facts(network, wanted, views, precision), self._show
        )

    def tell(self, choice: EngineChoice) -> None:
        """Say what has run the network: it may be another than was foreseen."""
        wanted = self._master.engine
        text = f"{choice.reason}."
        if wanted not in (AUTO, *ENGINES):
            text = f"The engine {wanted} is not installed here. {text}"
        self.note.setText(text)

    def _on_engine(self) -> None:
        self.refresh()
        # exact vectors stay what they are: nothing is computed anew
        if self._master.fast:
            self._on_choice()

    def _on_fast(self, checked: bool) -> None:
        self._master.fast = checked
        self.refresh()
        self._on_choice()

    def _show(self, facts: EngineFacts) -> None:
        self.facts = facts
        self._show_engines(facts.engines)
        if not self._master.server:
            self.tell(facts.choice)
        kind = f" ({facts.fast.precision})" if facts.has_fast else ""
        self.fast_box.setText(f"Fa&st{kind}, slightly different numbers")
        self._show_fast()

    def _show_fast(self) -> None:
        has_fast = self.facts is not None and self.facts.has_fast
        # what was chosen elsewhere is shown where it cannot be had, too
        shown = has_fast or bool(self._master.fast)
        self.fast_box.setVisible(shown and not self._master.server)

    def _show_engines(self, engines: list[EngineInfo]) -> None:
        known = {info.name: info for info in engines}
        items = {AUTO: "Automatic"}
        for name, title in ENGINES.items():
            info = known.get(name)
            items[name] = title if info is None else info.title
        self.engine_combo.set_items(items)
        for place in range(1, self.engine_combo.count()):
            info = known.get(self.engine_combo.itemData(place))
            if info is not None:
                tip = f"{info.title}: {info.reason}"
                self.engine_combo.setItemData(place, tip, Qt.ItemDataRole.ToolTipRole)
                self.engine_combo.model().item(place).setEnabled(info.available)
