"""What is seen of a training: how far it is, curves, confusions and mistakes."""

from __future__ import annotations

import math

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QSizePolicy,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.widgets.utils.forms import NO_IMAGES
from orangecontrib.imagemining.widgets.utils.pacetext import duration
from orangecontrib.imagemining.widgets.utils.trainchoices import written
from orangecontrib.imagemining.widgets.utils.trainconfusion import ConfusionView
from orangecontrib.imagemining.widgets.utils.traincurves import Curves
from orangecontrib.imagemining.widgets.utils.trainmistakes import MistakesView
from orangecontrib.imagemining.widgets.utils.traintexts import epochs_text
from orangecontrib.imagemining.widgets.utils.trainwork import Outcome, Restored, View

__all__ = ["TrainView", "ended", "figures", "line_of_text", "titled"]

_STEPS = 1000  # of the bar


class TrainView(QWidget):
    """The main area of Train Network.

    Parameters
    ----------
    window
        The widget.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__()
        self.view: View | None = None
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.facts_label = line_of_text(NO_IMAGES)
        self.facts_label.setAccessibleName("What will happen")
        box.addWidget(self.facts_label)
        self.bar = QProgressBar(maximum=_STEPS, textVisible=False)
        self.bar.setAccessibleName("Share of the training that is done")
        self.bar.setFixedHeight(8)
        box.addWidget(self.bar)
        self.state_label = line_of_text("")
        self.state_label.setAccessibleName("How the training goes")
        box.addWidget(self.state_label)
        self.figures_label = line_of_text("")
        self.figures_label.setAccessibleName("Accuracy")
        box.addWidget(self.figures_label)
        self.curves = Curves()
        self.confusion = ConfusionView()
        self.mistakes = MistakesView(window)
        self.below = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        self.below.addWidget(
            titled("Confusion matrix: rows are true, columns predicted", self.confusion)
        )
        self.below.addWidget(titled("Worst mistakes", self.mistakes))
        self.below.setSizes([330, 400])
        self.splitter = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        self.splitter.addWidget(self.curves)
        self.splitter.addWidget(self.below)
        self.splitter.setSizes([300, 260])
        box.addWidget(self.splitter, 1)
        self.clear()

    def clear(self) -> None:
        """Show no training."""
        self.view = None
        self.curves.clear()
        self.confusion.show_counts((), None)
        self.mistakes.show_mistakes(())
        self.state_label.setText("")
        self.figures_label.setText("")
        self.bar.setValue(0)

    def show_view(self, view: View, state: str = "") -> None:
        """Show a training; `state` in place of how fast it goes."""
        last = self.view
        self.view = view
        self.curves.show_lines(
            _shown(view),
            view.steps,
            view.rates,
            view.loss,
            view.validation_loss,
            view.accuracy,
            view.validation_accuracy,
        )
        if last is None or last.confusion is not view.confusion:
            self.confusion.show_counts(view.classes, view.confusion)
            self.mistakes.show_mistakes(view.mistakes)
        self.bar.setValue(round(_STEPS * view.fraction))
        self.state_label.setText(state or pace(view))
        self.figures_label.setText(figures(view))

    def close_loader(self) -> None:
        """Stop reading images."""
        self.mistakes.close_loader()


def pace(view: View) -> str:
    """Return how far and how fast it goes: "Epoch 3 of 10 · 84 images/s · …"."""
    number = min(math.floor(view.done) + 1, round(view.epochs))
    parts = [f"Epoch {number:,} of {round(view.epochs):,}"]
    if math.isfinite(view.speed):
        speed = view.speed
        parts.append(
            f"{speed:,.0f} images/s" if speed >= 10 else f"{speed:.2g} images/s"
        )
    if math.isfinite(view.seconds_left):
        parts.append(f"{duration(view.seconds_left)} left")
    if math.isfinite(view.rate):
        parts.append(f"learning rate {written(round(view.rate, 6))}")
    return " · ".join(parts)


def figures(view: View) -> str:
    """Return how well it goes: "Accuracy: training 93 %, validation 91 %…"."""
    parts = []
    for name, line in (
        ("training", view.accuracy),
        ("validation", view.validation_accuracy),
    ):
        if len(line[1]) and math.isfinite(line[1][-1]):
            parts.append(f"{name} {_per_cent(line[1][-1])}")
    if not parts:
        return ""
    text = f"Accuracy: {', '.join(parts)}"
    if view.best is not None:
        accuracy, epoch = view.best
        text += (
            f"; best validation {_per_cent(accuracy)}, after epoch {epochs_text(epoch)}"
        )
    return f"{text}."


def ended(outcome: Outcome) -> str:
    """Return how a training ended: "Done: 10 epochs."."""
    number = outcome.view.loss[0][-1] if len(outcome.view.loss[0]) else 0.0
    epochs = epochs_text(number) + (" epoch" if number == 1 else " epochs")
    why = f" {outcome.stopped.rstrip('.')}." if outcome.stopped else ""
    if isinstance(outcome, Restored):
        return f"Trained for {epochs}.{why}"
    return f"Done: {epochs}.{why}"


def _shown(view: View) -> float:
    """Return up to which epoch curves are drawn: twice as far each time it is full."""
    far = 2.0 ** math.ceil(math.log2(max(view.done, 2.0)))
    return min(far, max(view.epochs, view.done))


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"


def line_of_text(text: str) -> QLabel:
    """Return a label that never makes the window wider."""
    label = QLabel(text, wordWrap=True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def titled(title: str, part: QWidget) -> QWidget:
    """Return a part with its title above it."""
    holder = QWidget()
    box = QVBoxLayout(holder)
    box.setContentsMargins(0, 0, 0, 0)
    row = QHBoxLayout()
    label = QLabel(title)
    label.setBuddy(part)
    row.addWidget(label)
    box.addLayout(row)
    box.addWidget(part, 1)
    return holder
