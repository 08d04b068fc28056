"""Up to three channels, each with the colour it is shown in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from AnyQt.QtWidgets import QGridLayout, QSizePolicy, QWidget

from orangecontrib.imagemining.images.sources import COLOURS
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo

__all__ = ["ChannelRows"]

_N = 3
_NONE = ""
#: Where the files do not say: one, two, three channels.
_DEFAULTS = (("grey",), ("green", "magenta"), ("red", "green", "blue"))
_LABELS = {
    "grey": "Grey",
    "red": "Red",
    "green": "Green",
    "blue": "Blue",
    "cyan": "Cyan",
    "magenta": "Magenta",
    "yellow": "Yellow",
}
_SPARE = ("red", "green", "blue", "magenta")


class _Row:
    """One channel; what `KeyCombo` sets."""

    def __init__(self, name: str, colour: str) -> None:
        self.name, self.colour = name, colour


class ChannelRows(QWidget):
    """Shows the setting ``shown_channels``: pairs of a channel's name and its colour.

    Parameters
    ----------
    master
        The widget that has the setting.
    callback
        Called after the user chose.
    """

    def __init__(self, master: QWidget, callback: Callable[[], None]) -> None:
        super().__init__()
        self._master, self._callback = master, callback
        self._channels: Sequence[str] = []
        self._colours: Mapping[str, str] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(0, 1)
        chosen = list(master.shown_channels)[:_N]
        self._rows = [
            _Row(*(chosen[i] if i < len(chosen) else (_NONE, default)))
            for i, default in enumerate(_DEFAULTS[_N - 1])
        ]
        self.combos = []
        for number, row in enumerate(self._rows, 1):
            name = KeyCombo(row, "name", self._on_chosen)
            name.setAccessibleName(f"Channel {number}")
            name.setToolTip("Channel that is shown in the colour beside it")
            name.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            colour = KeyCombo(row, "colour", self._on_chosen)
            colour.setMinimumContentsLength(7)
            colour.setAccessibleName(f"Colour of channel {number}")
            colour.setToolTip("Colour in which this channel is shown")
            colour.set_items({key: _LABELS[key] for key in COLOURS})
            grid.addWidget(name, number, 0)
            grid.addWidget(colour, number, 1)
            self.combos.append((name, colour))
        self.setLayout(grid)
        self._show()

    def set_channels(self, names: Sequence[str], colours: Mapping[str, str]) -> None:
        """Offer these channels, some of which have colours of their own."""
        self._channels, self._colours = list(names), colours
        self._show()

    def choose_some(self) -> None:
        """Choose the first channels, if none is chosen yet."""
        if self._master.shown_channels or not self._channels:
            return
        names = self._channels[:_N]
        defaults = _DEFAULTS[len(names) - 1]
        own = [self._colours.get(name, "") for name in names]
        # many programs write white for all
        colours = own if len(set(own)) == len(own) and all(own) else defaults
        for row, name, colour in zip(self._rows, names, colours, strict=False):
            row.name, row.colour = name, colour
        self._show()
        self._store()

    def _show(self) -> None:
        # a channel that is added gets a colour of its own
        used = {row.colour for row in self._rows if row.name}
        for row in self._rows:
            if not row.name and row.colour in used:
                row.colour = next(each for each in _SPARE if each not in used)
        items = {_NONE: "(none)", **{name: name for name in self._channels}}
        for name, colour in self.combos:
            name.set_items(items)
            colour.set_items({key: _LABELS[key] for key in COLOURS})

    def _store(self) -> None:
        self._master.shown_channels = [
            [row.name, row.colour] for row in self._rows if row.name
        ]

    def _on_chosen(self) -> None:
        self._store()
        self._callback()
