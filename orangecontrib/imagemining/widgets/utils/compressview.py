"""What is seen of a compression: how far it is, sizes and accuracies, and layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from AnyQt.QtCore import Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtWidgets import (
    QProgressBar,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.results import Candidate, LayerReport
from orangecontrib.imagemining.widgets.utils.compressplot import CompressPlot
from orangecontrib.imagemining.widgets.utils.compresstables import (
    LayersTable,
    TrailTable,
)
from orangecontrib.imagemining.widgets.utils.compresstexts import (
    per_cent,
    points,
    size,
)
from orangecontrib.imagemining.widgets.utils.forms import NO_NETWORK
from orangecontrib.imagemining.widgets.utils.trainview import line_of_text

__all__ = ["CompressView", "figures"]

_STEPS = 1000  # of the bar
_LINES = 28  # that it is high at least


class CompressView(QWidget):
    """The main area of Compress Network.

    Signals
    -------
    taken(int)
        The user wants the network at this place of the trail to go out.
    """

    taken = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.trail: Sequence[Candidate] = ()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.facts_label = line_of_text(NO_NETWORK)
        self.facts_label.setAccessibleName("What will happen")
        box.addWidget(self.facts_label)
        self.bar = QProgressBar(maximum=_STEPS, textVisible=False)
        self.bar.setAccessibleName("Share of the work that is done")
        self.bar.setFixedHeight(8)
        box.addWidget(self.bar)
        self.state_label = line_of_text("")
        self.state_label.setAccessibleName("How it goes")
        box.addWidget(self.state_label)
        self.figures_label = line_of_text("")
        self.figures_label.setAccessibleName("Size and accuracy of the result")
        box.addWidget(self.figures_label)
        self.plot = CompressPlot()
        self.plot.clicked.connect(self.taken)
        self.trail_table = TrailTable()
        self.trail_table.taken.connect(self.taken)
        self.layers_table = LayersTable()
        self.tabs = QTabWidget()
        self.tabs.addTab(self.trail_table, "On t&he way")
        self.tabs.addTab(self.layers_table, "La&yers of the result")
        self.tabs.setMinimumHeight(7 * self.fontMetrics().lineSpacing())
        self.splitter = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        self.splitter.addWidget(self.plot)
        self.splitter.addWidget(self.tabs)
        self.splitter.setSizes([320, 240])
        box.addWidget(self.splitter, 1)
        letter = self.fontMetrics()
        # labels that wrap do not tell the layout how high they need to be
        self.setMinimumSize(
            56 * letter.averageCharWidth(), _LINES * letter.lineSpacing()
        )
        self.clear()

    def clear(self) -> None:
        """Show no compression."""
        self.trail = ()
        self.plot.clear_trail()
        self.trail_table.show_trail((), None)
        self.layers_table.show_layers(())
        self.state_label.setText("")
        self.figures_label.setText("")
        self.bar.setValue(0)

    def show_trail(
        self,
        trail: Sequence[Candidate],
        chosen: int | None,
        plan: CompressionPlan,
        before: int,
        labelled: bool = True,
    ) -> None:
        """Show the networks on the way.

        Parameters
        ----------
        trail
            The networks.
        chosen
            Place of the one that goes out, None if none does yet.
        plan
            What is wanted.
        before
            Bytes of the network's numbers as they were.
        labelled
            Whether accuracies are of labels.
        """
        self.trail = trail
        self.plot.show_trail(trail, chosen, plan.tolerance, plan.target_bytes)
        self.trail_table.show_trail(trail, chosen, before)
        what = "accuracy, %" if labelled else "same answers, %"
        self.plot.setLabels(
            left=what if self.plot.is_judged else "accuracy not known: no images"
        )
        if trail:
            self.figures_label.setText(figures(trail, chosen, before, labelled))

    def show_fraction(self, fraction: float) -> None:
        """Show which share of the work is done, 0–1."""
        self.bar.setValue(round(_STEPS * min(max(fraction, 0.0), 1.0)))

    def show_layers(self, layers: Sequence[LayerReport]) -> None:
        """Show the layers of the network that goes out."""
        self.layers_table.show_layers(layers)


def figures(
    trail: Sequence[Candidate], chosen: int | None, before: int, labelled: bool = True
) -> str:
    """Return what became of a network: "Result: 421 kB, 11.6 times smaller, …"."""
    place = len(trail) - 1 if chosen is None else chosen
    each, first = trail[place], trail[0]
    ratio = before / max(each.n_bytes, 1)
    than = (
        f"{ratio:.3g} times smaller" if ratio >= 1 else f"{1 / ratio:.3g} times larger"
    )
    parts = [size(each.n_bytes), than]
    if math.isfinite(each.accuracy):
        what = "accuracy" if labelled else "same answers"
        parts.append(f"{what} {per_cent(each.accuracy)}")
        lost = first.accuracy - each.accuracy
        if place and math.isfinite(lost):
            text = points(lost)
            if text.startswith("−"):
                parts.append(f"{text[1:]} points gained")
            else:
                parts.append(f"{text} points lost")
    head = "Now" if chosen is None else f"Result ({place}, {each.what})"
    return f"{head}: {', '.join(parts)}."
