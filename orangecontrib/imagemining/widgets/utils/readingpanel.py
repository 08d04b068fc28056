"""How Import Images has images read: stacks, slides, channels, contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from Orange.widgets import gui

from orangecontrib.imagemining.tables.contents import Found
from orangecontrib.imagemining.tables.reading import Reading
from orangecontrib.imagemining.widgets.utils.channelrows import ChannelRows
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.forms import (
    NoteLabel,
    add_row,
    button,
    new_form,
)
from orangecontrib.imagemining.widgets.utils.importinfo import (
    CHANNELS,
    CONTRASTS,
    STACKS,
    reading_items,
)
from orangecontrib.imagemining.widgets.utils.rangerows import RangeRows
from orangecontrib.imagemining.widgets.utils.strip import Strip

__all__ = ["ReadingPanel", "reading_of"]

_SLIDES = {"thumbnail": "Thumbnail", "tiles": "Tiles"}
_LEAST_GAP = 0.01  # between the two percentiles


def reading_of(master: QWidget) -> Reading:
    """Return what a widget's settings say; damaged ones are the default.

    Parameters
    ----------
    master
        As for `ReadingPanel`.
    """
    plain = Reading()
    channels: str | tuple[tuple[str, str], ...] = plain.channels
    if master.channels == "chosen":
        # each once: the second would have no range of its own
        pairs = {name: colour for name, colour in reversed(master.shown_channels)}
        channels = tuple(reversed(pairs.items())) or plain.channels
    elif master.channels in CHANNELS:
        channels = master.channels
    return Reading(
        master.stacks if master.stacks in STACKS else plain.stack,
        master.every_series,
        master.tile_side if master.slides == "tiles" else 0,
        master.tissue / 100 if master.no_background else 0,
        channels,
        master.contrast if master.contrast in CONTRASTS else plain.contrast,
        (master.low_percentile, master.high_percentile),
        tuple((name, low, high) for name, low, high in master.ranges),
    )


class ReadingPanel(QWidget):
    """One line of what was found and what is chosen, and a button for the choices.

    The choices are a widget of their own, `choices`, which may stand elsewhere.

    Parameters
    ----------
    master
        The widget, with the settings stacks, every_series, slides, tile_side,
        no_background, tissue, channels, shown_channels, contrast, low_percentile,
        high_percentile, ranges, ranges_of and show_reading.
    on_typing
        Called at each step of a number.
    on_choice
        Called when the user is done with a field.
    """

    def __init__(
        self,
        master: QWidget,
        on_typing: Callable[[], None],
        on_choice: Callable[[], None],
    ) -> None:
        super().__init__()
        self._master, self._on_typing, self._on_choice = master, on_typing, on_choice
        self.found = Found()
        self._sources: Sequence[str | None] = []
        layout = QVBoxLayout()
        layout.setContentsMargins(0, 0, 0, 0)
        self.label = NoteLabel()
        layout.addWidget(self.label)
        self.fold_button = QToolButton(
            text="Stacks, channels, contrast",
            toolTip="How images of many planes, channels or bits become images",
            checkable=True,
            autoRaise=True,
            toolButtonStyle=Qt.ToolButtonStyle.ToolButtonTextBesideIcon,
        )
        self.fold_button.toggled.connect(self._on_fold)
        layout.addWidget(self.fold_button)
        self.choices = QWidget()
        self.choices.setLayout(self._make_form())
        self.setLayout(layout)
        self._on_shown()

    def unfold(self, box: QWidget) -> None:
        """Show and hide `box`, which holds the choices, from now on."""
        self._box = box
        self.fold_button.setChecked(self._master.show_reading)
        self._on_fold(self._master.show_reading)

    # GUI ---------------------------------------------------------------------

    def _make_form(self) -> QFormLayout:
        self._form = form = new_form()
        form.setContentsMargins(0, 0, 0, 0)
        self.stacks_combo = self._combo("stacks", STACKS)
        add_row(
            form,
            "Stac&ks:",
            self.stacks_combo,
            "<p>What becomes an image of a file of many planes: focus planes (z) and"
            " time points (t).</p>"
            "<p>A projection takes of each pixel the brightest, or the mean, of all"
            " planes.</p>",
        )
        self.series_box = self._check("every_series", "Every series of a file")
        self.series_box.setToolTip(
            "Files that hold several images or stacks (positions, scenes) give rows"
            " for each; else the first is taken"
        )
        form.addRow("", self.series_box)
        self._make_slides(form)
        self.channels_combo = self._combo("channels", CHANNELS, self._on_channels)
        add_row(
            form,
            "Chann&els:",
            self.channels_combo,
            "<p>Automatic: photographs as they are, of other files the first three"
            " channels in the colours that the file gives them.</p>"
            "<p>Grey: the mean of the channels.</p>",
        )
        self.channel_rows = ChannelRows(self._master, self._on_choice)
        form.addRow("", self.channel_rows)
        self.contrast_combo = self._combo("contrast", CONTRASTS, self._on_contrast)
        add_row(
            form,
            "Contra&st:",
            self.contrast_combo,
            "<p>Which numbers become black and white.</p>"
            "<p>Automatic: images of 8 bits as they are; of more bits, the percentiles"
            " 0.1 and 99.9 of each image.</p>"
            "<p>One range for all images keeps their brightness comparable.</p>",
        )
        self._make_percentiles(form)
        self.range_rows = RangeRows(self._master, self._on_typed_range)
        form.addRow("", self.range_rows)
        self.strip = Strip()
        form.addRow(self.strip)
        return form

    def _make_slides(self, form: QFormLayout) -> None:
        row = QHBoxLayout()
        self.slides_combo = self._combo("slides", _SLIDES)
        self.slides_combo.setAccessibleName("Slides")
        tip = (
            "Whole-slide images and other pyramids: one small image of the whole, or"
            " a row for each tile of it"
        )
        self.slides_combo.setToolTip(tip)
        self.side_spin = QSpinBox(minimum=32, maximum=8192, singleStep=32, suffix=" px")
        self.side_spin.setValue(self._master.tile_side)
        self.side_spin.valueChanged.connect(self._setter("tile_side"))
        self.side_spin.setToolTip("Side of a tile, in pixels of the whole slide")
        self.side_spin.setAccessibleName("Side of a tile")
        row.addWidget(self.slides_combo, 1)
        row.addWidget(self.side_spin)
        self.slides_row = QWidget()
        row.setContentsMargins(0, 0, 0, 0)
        self.slides_row.setLayout(row)
        add_row(
            form,
            "S&lides:",
            self.slides_row,
            tip,
        )
        form.labelForField(self.slides_row).setBuddy(self.slides_combo)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        self.background_box = self._check(
            "no_background", "Only &with tissue, at least"
        )
        self.background_box.setToolTip("Leave out tiles of empty glass")
        self.tissue_spin = QSpinBox(minimum=1, maximum=100, suffix=" %")
        self.tissue_spin.setValue(self._master.tissue)
        self.tissue_spin.valueChanged.connect(self._setter("tissue"))
        self.tissue_spin.setAccessibleName("Smallest share of tissue")
        self.tissue_spin.setToolTip("Smallest share of a tile that tissue covers")
        row.addWidget(self.background_box)
        row.addWidget(self.tissue_spin)
        row.addStretch()
        self.tissue_row = QWidget()
        self.tissue_row.setLayout(row)
        form.addRow("", self.tissue_row)

    def _make_percentiles(self, form: QFormLayout) -> None:
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        self.percentile_spins = []
        for name, text in (("low_percentile", "Black"), ("high_percentile", "White")):
            spin = QDoubleSpinBox(decimals=2, singleStep=0.1, suffix=" %")
            spin.setRange(0, 100)
            spin.setValue(getattr(self._master, name))
            spin.setAccessibleName(f"Percentile of {text.lower()}")
            spin.setToolTip("Per cent of the pixels that are darker")
            spin.valueChanged.connect(self._setter(name))
            row.addWidget(QLabel(f"{text}:"))
            row.addWidget(spin)
            self.percentile_spins.append(spin)
        row.addStretch()
        self.compute_button = button(
            "Recomp&ute",
            "Compute the range anew, of all images there are",
            self.recompute,
        )
        row.addWidget(self.compute_button)
        self._bound_percentiles()
        self.percentile_row = QWidget()
        self.percentile_row.setLayout(row)
        form.addRow("", self.percentile_row)

    def _combo(
        self,
        setting: str,
        items: Mapping[str, str],
        callback: Callable[[], None] | None = None,
    ) -> KeyCombo:
        def chosen() -> None:
            self._on_shown()
            (callback or self._on_choice)()

        combo = KeyCombo(self._master, setting, chosen)
        combo.set_items(items)
        combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        return combo

    def _check(self, setting: str, text: str) -> QWidget:
        def ticked() -> None:
            self._on_shown()
            self._on_choice()

        return gui.checkBox(None, self._master, setting, text, callback=ticked)

    def _setter(self, setting: str) -> Callable[[float], None]:
        def set_number(value: float) -> None:
            setattr(self._master, setting, value)
            if setting.endswith("percentile"):
                self._bound_percentiles()
                self._forget_ranges()
            self._on_typing()

        return set_number

    def _bound_percentiles(self) -> None:
        low, high = self.percentile_spins
        low.setMaximum(high.value() - _LEAST_GAP)
        high.setMinimum(low.value() + _LEAST_GAP)

    # what is shown -----------------------------------------------------------

    def show_found(self, found: Found, sources: Sequence[str | None]) -> None:
        """Show what the files hold, and some of the images as they are read."""
        self.found = found
        self.channel_rows.set_channels(list(found.channels), found.colours)
        if self.fold_button.isChecked():
            self.strip.show_some(sources)
        self._sources = sources
        self._on_shown()

    def show_nothing(self) -> None:
        """Show no files: others have been chosen, and are not known yet."""
        self.show_found(Found(), [])

    def _on_fold(self, is_open: bool) -> None:
        self._master.show_reading = is_open
        arrow = Qt.ArrowType.LeftArrow if is_open else Qt.ArrowType.RightArrow
        self.fold_button.setArrowType(arrow)
        self._box.setVisible(is_open)
        if is_open:
            self.strip.show_some(self._sources)

    def _on_shown(self) -> None:
        master, found = self._master, self.found
        tiles = master.slides == "tiles"
        slides = tiles or bool(found.n_slides)
        self.series_box.setVisible(master.every_series or bool(found.n_series))
        self.slides_row.setVisible(slides)
        self._form.labelForField(self.slides_row).setVisible(slides)
        self.side_spin.setVisible(tiles)
        self.tissue_row.setVisible(tiles)
        self.tissue_spin.setEnabled(master.no_background)
        self.channel_rows.setVisible(master.channels == "chosen")
        by_numbers = master.contrast in ("percentiles", "range")
        self.percentile_row.setVisible(by_numbers)
        self.range_rows.setVisible(master.contrast == "range")
        self.compute_button.setVisible(master.contrast == "range")
        reading = reading_of(master)
        self.range_rows.show_ranges(reading.layers(found.channels))
        lines = [found.describe()]
        if not lines[0] and found.n_files > found.reasons.total():
            lines = ["Ordinary images"]
        chosen = [f"{name}: {value}" for name, value in reading_items(reading)]
        if chosen:
            lines.append("; ".join(chosen))
        elif not lines[0]:
            lines = ["Images are read as they are."]
        self.label.setText("\n".join(line for line in lines if line))

    # choosing ----------------------------------------------------------------

    def _on_channels(self) -> None:
        if self._master.channels == "chosen":
            self.channel_rows.choose_some()
        self._on_choice()

    def _on_contrast(self) -> None:
        # numbers that the user typed are there again
        if self._master.ranges_of != "typed":
            self._forget_ranges()
        self._on_choice()

    def _forget_ranges(self) -> None:
        self._master.ranges, self._master.ranges_of = [], ""

    def _on_typed_range(self) -> None:
        self._master.ranges_of = "typed"
        self._on_choice()

    def recompute(self) -> None:
        """Compute the range for all images anew."""
        self._forget_ranges()
        self._on_choice()

    def close_loader(self) -> None:
        """Stop reading."""
        self.strip.close_loader()
