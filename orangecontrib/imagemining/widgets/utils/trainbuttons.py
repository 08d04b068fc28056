"""The buttons of Train Network: what they say depends on what goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from AnyQt.QtWidgets import QCheckBox, QHBoxLayout, QVBoxLayout, QWidget

from orangecontrib.imagemining.widgets.utils.forms import button

__all__ = ["ButtonTips", "TrainButtons"]


@dataclass(frozen=True)
class ButtonTips:
    """What is said when the mouse rests on the buttons.

    Attributes
    ----------
    automatic, start, stop : of these buttons.
    """

    automatic: str = (
        "Otherwise a training begins when you press Start: it may take long"
    )
    start: str = "Begin to train"
    stop: str = "End the training; the network of its best epoch goes out"


_TRAINING = ButtonTips()


class TrainButtons(QWidget):
    """Start, which becomes Pause and Continue, Stop, and Start anew.

    Parameters
    ----------
    on_start, on_stop, on_anew
        Called when they are pressed.
    on_automatic
        Called with whether trainings are to start by themselves.
    tips
        What the buttons say they do.
    """

    def __init__(
        self,
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
        on_anew: Callable[[], None],
        on_automatic: Callable[[bool], None],
        tips: ButtonTips = _TRAINING,
    ) -> None:
        super().__init__()
        self._tips = tips
        self.automatic_box = QCheckBox("Start by itself when &data come")
        self.automatic_box.setToolTip(tips.automatic)
        self.automatic_box.clicked.connect(on_automatic)
        self.start_button = button("&Start", tips.start, on_start)
        self.stop_button = button("S&top, keep the best", tips.stop, on_stop)
        self.anew_button = button(
            "Start ane&w", "Throw away what was begun, and begin anew", on_anew
        )
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self.automatic_box)
        row = QHBoxLayout()
        for each in (self.start_button, self.stop_button, self.anew_button):
            row.addWidget(each)
        box.addLayout(row)

    def show_state(
        self, can_start: bool, resumable: bool, running: bool, paused: bool, ends: bool
    ) -> None:
        """Say what the buttons do now.

        Parameters
        ----------
        can_start
            Whether a training may begin.
        resumable
            Whether there is one to be continued.
        running, paused, ends
            Whether one goes on; waits; has been asked to end.
        """
        if running:
            text = "&Continue" if paused else "&Pause"
            tip = "Go on" if paused else "Wait; what was reached is kept"
        elif resumable:
            text, tip = "&Continue", "Go on where it stopped"
        else:
            text, tip = "&Start", self._tips.start
        self.start_button.setText(text)
        self.start_button.setToolTip(tip)
        self.start_button.setEnabled(can_start if not running else not ends)
        self.stop_button.setEnabled(running and not ends)
        self.stop_button.setVisible(not resumable)
        self.anew_button.setVisible(resumable)
        self.anew_button.setEnabled(can_start)
