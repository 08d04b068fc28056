"""The choice of one embedder, or of several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from AnyQt.QtCore import Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.embedders import fits_of, knows_imagenet, views_of
from orangecontrib.imagemining.embedders.catalog import timm_is_here
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.widgets.utils import bringing
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.embeddertexts import (
    FITS_LABELS,
    card_or_none,
    cost,
    describe,
    download_label,
    has_weights,
    layers_of,
    network_items,
    precision_of,
    short_name,
    views_items,
)
from orangecontrib.imagemining.widgets.utils.forms import (
    NoteLabel,
    add_row,
    button,
    new_form,
)

__all__ = ["EmbedderPanel"]


class EmbedderPanel(QWidget):
    """Boxes for network, layer, fit and views, and a list where there are several.

    Parameters
    ----------
    master
        The widget. It has the settings `network`, `layer`, `fit` and `views`, which are
        those of the embedder in the boxes, `others`, the rest of the list, `place`,
        where in the list the one in the boxes stands, and of all of them `fast` and
        `server`, the address of what computes elsewhere or "".
    on_choice
        Called when the user has changed what is to be computed.
    begin
        Called with a text and the job when the user wants weights or a network to be
        brought here.
    """

    #: Another embedder, or another choice, is in the boxes.
    refreshed = Signal()

    def __init__(
        self,
        master: Any,
        on_choice: Callable[[], None],
        begin: bringing.Begin,
    ) -> None:
        super().__init__()
        self._master = master
        self._on_choice = on_choice
        #: What was chosen since the widget is open stays in the list of networks.
        self._chosen: dict[str, None] = {}
        #: Name of the network that came by an input, "" for none.
        self.given = ""
        self._width = 0
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.list = QListWidget(accessibleName="Embedders, side by side")
        self.list.setToolTip(
            "Their columns stand side by side in the output; choose one to change it"
        )
        self.list.currentRowChanged.connect(self._select)
        box.addWidget(self.list)
        self.form = new_form()
        box.addLayout(self.form)
        self.network_combo = self._add(
            "N&etwork:",
            "network",
            self._on_network,
            "The deep network that describes the images. Those on top run at once; of"
            " the others the weights are downloaded when you say so",
        )
        self.layer_combo = self._add(
            "&Layer:",
            "layer",
            self._changed,
            "Where in the network the numbers are taken. The first layer of the list is"
            " the usual one; logits are the network's scores for its classes",
        )
        self.fit_combo = self._add(
            "&Fit:",
            "fit",
            self._changed,
            "How images meet a network of another shape. Cut loses the edges, margins"
            " keep the proportions; stretched is usual",
        )
        self.views_combo = self._add(
            "&Views:",
            "views",
            self._changed,
            "How often each image is looked at; 1 is usual. Turned and mirrored suits"
            " images that have no up and down, such as cells",
        )
        # long titles begin alike, so they must not be cut
        self.network_combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToContents
        )
        self.download_button = button(
            "&Download",
            "Download the network's weights from their publisher",
            lambda: bringing.download(master.network, begin),
        )
        self.file_button = button(
            "Fr&om file…",
            "Take the network's weights from a file of yours",
            lambda: bringing.ask_for_file(self, master.network, begin),
        )
        self.own_button = button(
            "O&wn network…",
            "Add a network of yours, an ONNX file",
            lambda: bringing.ask_for_own(self, begin),
        )
        self.timm_button = button(
            "ti&mm…",
            "Take a published network of the package timm, by name",
            lambda: bringing.ask_for_timm(self, begin),
        )
        self.timm_button.setVisible(timm_is_here())
        self.add_button = button(
            "Add ano&ther",
            "Add an embedder: their columns stand side by side",
            self._add_another,
        )
        self.remove_button = button(
            "&Remove", "Remove this embedder from the list", self._remove
        )
        for buttons in (
            (self.download_button, self.file_button),
            (self.own_button, self.timm_button, self.add_button, self.remove_button),
        ):
            row = QHBoxLayout()
            for each in buttons:
                row.addWidget(each)
            row.addStretch()
            box.addLayout(row)
        self.note = NoteLabel()
        box.addWidget(self.note)
        self.cost_label = QLabel()
        box.addWidget(self.cost_label)
        self.refresh()

    def _add(
        self, label: str, setting: str, callback: Callable[[], None], tip: str
    ) -> KeyCombo:
        combo = KeyCombo(self._master, setting, callback)
        add_row(self.form, label, combo, tip)
        return combo

    # what is chosen ----------------------------------------------------------

    def specs(self) -> list[EmbedderSpec]:
        """Return the embedders, in their order."""
        specs = [EmbedderSpec(*other) for other in self._master.others]
        specs.insert(self._row(), self._current())
        # a server need not have the processor for it
        fast = self._master.fast and not self._master.server
        return [
            replace(spec, precision=precision_of(spec.network, fast)) for spec in specs
        ]

    def any_knows_imagenet(self) -> bool:
        """Tell whether any of the networks tells ImageNet's classes."""
        networks = {spec.network for spec in self.specs()}
        return any(card_or_none(name) and knows_imagenet(name) for name in networks)

    def _current(self) -> EmbedderSpec:
        master = self._master
        spec = EmbedderSpec(master.network, master.layer, master.views, master.fit)
        if card_or_none(spec.network) is None:
            return spec
        # the choice is kept for other views, which leave one
        fits = fits_of(spec.network, spec.views)
        return spec if spec.fit in fits or len(fits) > 1 else replace(spec, fit=fits[0])

    def _row(self) -> int:
        return min(max(self._master.place, 0), len(self._master.others))

    def _put(self, specs: list[EmbedderSpec], row: int) -> None:
        """Make these the embedders, the one of this row in the boxes."""
        master = self._master
        spec = specs[row]
        master.place = row
        master.others = [
            (each.network, each.layer, each.views, each.fit)
            for number, each in enumerate(specs)
            if number != row
        ]
        master.network, master.layer = spec.network, spec.layer
        master.views, master.fit = spec.views, spec.fit
        self.refresh()

    def _select(self, row: int) -> None:
        specs = self.specs()
        if 0 <= row < len(specs) and row != self._row():
            self._put(specs, row)

    def _add_another(self) -> None:
        specs = self.specs()
        row = self._row() + 1
        specs.insert(row, specs[row - 1])
        self._put(specs, row)

    def _remove(self) -> None:
        specs = self.specs()
        row = self._row()
        del specs[row]
        self._put(specs, max(row - 1, 0))
        self._on_choice()

    def choose_network(self, network: str) -> None:
        """Put another network into the boxes."""
        self._master.network = network
        self._on_network()

    def _on_network(self) -> None:
        self.settle()
        self._on_choice()

    def settle(self) -> None:
        """Have layer and views be some that the network in the boxes has."""
        master = self._master
        if card := card_or_none(master.network):
            if master.layer not in [layer.name for layer in layers_of(card)]:
                master.layer = card.layers[0].name
            if master.views not in views_of(master.network):
                master.views = views_of(master.network)[0]
        self.refresh()

    def _changed(self) -> None:
        self.refresh()
        self._on_choice()

    # what is shown -----------------------------------------------------------

    def refresh(self) -> None:
        """Show the settings, and which weights are here."""
        master = self._master
        card = card_or_none(master.network)
        self._chosen.setdefault(master.network)
        self.network_combo.set_items(
            network_items(self._chosen, self.given, master.server)
        )
        # titles are shorter where nothing has to be downloaded; the window is to stay
        self._width = max(self.network_combo.sizeHint().width(), self._width)
        self.network_combo.setMinimumWidth(self._width)
        for combo in (self.layer_combo, self.fit_combo, self.views_combo):
            combo.setEnabled(card is not None)
        if card is None:
            self.layer_combo.set_items({master.layer: master.layer})
            self.fit_combo.set_items(FITS_LABELS)
            self.views_combo.set_items({master.views: str(master.views)})
        else:
            self.layer_combo.set_items(
                {
                    each.name: f"{each.name} ({each.size:,} numbers)"
                    for each in layers_of(card)
                }
            )
            self.views_combo.set_items(views_items(master.network))
            self._show_fits()
        missing = card is not None and not has_weights(master.network, card)
        missing = missing and not master.server
        size = download_label(card) if card else ""
        self.download_button.setText(f"&Download ({size})" if size else "&Download")
        self.download_button.setVisible(missing and bool(card and card.url))
        self.file_button.setVisible(missing)
        self.note.setText(describe(master.network, master.layer, master.server))
        self._show_list()
        self.refreshed.emit()

    def _show_fits(self) -> None:
        master = self._master
        fits = fits_of(master.network, master.views)
        self.fit_combo.setEnabled(len(fits) > 1)
        if len(fits) > 1:
            self.fit_combo.set_items({fit: FITS_LABELS[fit] for fit in fits})
            return
        taken = "As these views do" if master.views != 1 else FITS_LABELS[fits[0]]
        self.fit_combo.set_items({master.fit: taken})

    def _show_list(self) -> None:
        specs = self.specs()
        several = len(specs) > 1
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems([short_name(spec) for spec in specs])
        self.list.setCurrentRow(self._row())
        self.list.blockSignals(False)
        height = self.list.sizeHintForRow(0) * min(len(specs), 4)
        self.list.setFixedHeight(height + 2 * self.list.frameWidth() + 2)
        self.list.setVisible(several)
        self.remove_button.setVisible(several)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.cost_label.setText(cost(specs) if several else "")
        self.cost_label.setVisible(bool(self.cost_label.text()))
