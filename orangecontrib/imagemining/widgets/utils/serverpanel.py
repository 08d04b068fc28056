"""Where the embeddings are computed: on this computer, or on a server."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from AnyQt.QtCore import Qt
from AnyQt.QtCore import pyqtSignal as Signal
from AnyQt.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QMenu,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.embedders.servers import (
    Server,
    agree,
    has_agreed,
    is_private,
    known_servers,
)
from orangecontrib.imagemining.exceptions import ServerError, TaskCancelled
from orangecontrib.imagemining.widgets.utils.background import Background
from orangecontrib.imagemining.widgets.utils.combos import KeyCombo
from orangecontrib.imagemining.widgets.utils.forms import (
    NoteLabel,
    add_row,
    button,
    new_form,
)
from orangecontrib.imagemining.widgets.utils.serverdialog import ServerDialog
from orangecontrib.imagemining.widgets.utils.serverwork import forget, keep, try_server

__all__ = ["ServerPanel"]

_TIP = "This computer, or an embedding server that images are sent to"

#: Those of all windows: they are told when the list of servers is another one.
_panels: weakref.WeakSet[ServerPanel] = weakref.WeakSet()


def _tell_all() -> None:
    for panel in list(_panels):
        panel.on_list()


class ServerQuestion(QFrame):
    """Asks whether images may be sent; waits without holding anything up."""

    #: Whether they may.
    answered = Signal(bool)

    def __init__(self) -> None:
        super().__init__(frameShape=QFrame.Shape.StyledPanel)
        box = QVBoxLayout(self)
        self.label = NoteLabel()
        box.addWidget(self.label)
        row = QHBoxLayout()
        self.yes_button = button(
            "&Yes, send them", "Agree for this server", lambda: self._answer(True)
        )
        self.no_button = button(
            "No, &keep them here", "Send nothing", lambda: self._answer(False)
        )
        row.addWidget(self.yes_button)
        row.addWidget(self.no_button)
        row.addStretch()
        box.addLayout(row)
        self.hide()

    def ask(self, address: str, n_images: int) -> None:
        """Show the question."""
        images = f"{n_images:,} image{'s' * (n_images != 1)}"
        warning = (
            ""
            if is_private(address)
            else " The way there is not encrypted; others on it could see them."
        )
        self.label.setText(
            f"{images} will be sent to {address}, which embeds them. Those whose"
            f" numbers are known already are not sent.{warning} You are asked once for"
            " this server. Agree?"
        )
        self.show()

    def _answer(self, yes: bool) -> None:
        self.hide()
        self.answered.emit(yes)


class ServerPanel(QWidget):
    """A box with this computer and the user's servers, a trial, and a question.

    Parameters
    ----------
    master
        The widget, with the settings `server`, an address or "", and `network`.
    on_choice
        Called when the user has chosen another place.
    on_answer
        Called when the user has answered the question that `may_send` asked.
    """

    def __init__(
        self,
        master: Any,
        on_choice: Callable[[], None],
        on_answer: Callable[[], None],
    ) -> None:
        super().__init__()
        self._master = master
        self._on_choice = on_choice
        self._on_answer = on_answer
        self._declined: set[str] = set()
        self._asked = ""
        self._trial: threading.Event | None = None
        self.background = Background(self)
        self.dialog: ServerDialog | None = None
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self.form = new_form()
        box.addLayout(self.form)
        self.test_button = button(
            "Test", "Is the server there, what does it offer, how fast?", self._on_test
        )
        self.menu_button = QPushButton("Servers", autoDefault=False)
        self.menu_button.setToolTip("Servers that embed images, for all workflows")
        menu = QMenu(self.menu_button)
        self.add_action = menu.addAction("Add…", self._add)
        self.edit_action = menu.addAction("Edit…", self._edit)
        self.remove_action = menu.addAction("Remove…", self._remove)
        self.menu_button.setMenu(menu)
        self.server_combo = KeyCombo(master, "server", self._on_server)
        self.server_combo.setMinimumContentsLength(10)
        #: The box and the buttons beside it.
        self.field = field = QWidget()
        row = QHBoxLayout(field)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.server_combo, 1)
        row.addWidget(self.test_button)
        row.addWidget(self.menu_button)
        add_row(self.form, "Computed &by:", field, _TIP)
        label = self.form.labelForField(field)
        label.setBuddy(self.server_combo)
        self.server_combo.setToolTip(_TIP)
        self.server_combo.setAccessibleName("Computed by")
        self.note = NoteLabel()
        box.addWidget(self.note)
        self.question = ServerQuestion()
        self.question.answered.connect(self._answered)
        box.addWidget(self.question)
        _panels.add(self)
        self._tell("")
        self.refresh()

    # what is chosen ----------------------------------------------------------

    @property
    def title(self) -> str:
        """What computes, for reports."""
        address = self._master.server
        known = {server.address: server.title for server in known_servers()}
        return known.get(address, address) or "this computer"

    def may_send(self, n_images: int) -> bool:
        """Tell whether images may be sent to the server; if nobody knows yet, ask."""
        address = self._master.server
        if has_agreed(address):
            self.question.hide()
            return True
        self._asked = address
        if address not in self._declined:
            self.question.ask(address, n_images)
        return False

    @property
    def has_declined(self) -> bool:
        """Whether the user wants nothing to be sent to the server chosen."""
        return self._master.server in self._declined

    def ask_again(self) -> None:
        """Forget that the user wanted nothing to be sent."""
        self._declined.discard(self._master.server)

    def take_back(self) -> None:
        """Ask no more: something else is to be done."""
        self._asked = ""
        self.question.hide()

    def refresh(self) -> None:
        """Show the user's servers."""
        address = self._master.server
        servers = {server.address: server for server in known_servers()}
        items = {"": "This computer"}
        items.update(
            {each.address: each.name or each.address for each in servers.values()}
        )
        if address not in items:
            items[address] = f"{address} (not one of yours)"
        self.server_combo.set_items(items)
        for place in range(self.server_combo.count()):
            if server := servers.get(self.server_combo.itemData(place)):
                role = Qt.ItemDataRole.ToolTipRole
                self.server_combo.setItemData(place, server.title, role)
        # the box may be too narrow for an address
        shown = self.server_combo.currentData(Qt.ItemDataRole.ToolTipRole)
        self.server_combo.setToolTip(f"{shown}\n{_TIP}" if address else _TIP)
        self.test_button.setVisible(bool(address))
        self.edit_action.setEnabled(bool(address))
        self.remove_action.setEnabled(address in servers)

    def stop(self) -> None:
        """End what is under way."""
        _panels.discard(self)
        self._end_trial()
        self.background.stop()

    def _on_server(self) -> None:
        self._tell("")
        self._end_trial()
        self.refresh()
        self._on_choice()

    def _answered(self, yes: bool) -> None:
        if yes:
            try:
                agree(self._asked)
            except ServerError as ex:
                self._tell(str(ex))
                return
            _tell_all()  # here too, and then it is committed
        else:
            self._declined.add(self._asked)
            self._on_answer()

    def on_list(self) -> None:
        """Take up that the list of servers, or an agreement, is another one."""
        self.refresh()
        if self._asked and has_agreed(self._asked):
            self._asked = ""
            self._on_answer()

    def _tell(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    # the list ----------------------------------------------------------------

    def _add(self) -> None:
        self._open(None)

    def _edit(self) -> None:
        address = self._master.server
        known = {server.address: server for server in known_servers()}
        self._open(known.get(address, Server(address)))

    def _open(self, server: Server | None) -> None:
        self.dialog = dialog = ServerDialog(self, server)
        dialog.accepted.connect(partial(self._keep, dialog, server))
        dialog.open()

    def _keep(self, dialog: ServerDialog, before: Server | None) -> None:
        server, token = dialog.server(), dialog.token()
        instead = before.address if before is not None else ""
        # the system may ask the user to open the keyring
        self._change(partial(keep, server, instead, token), server.address)

    def _remove(self) -> None:
        address = self._master.server
        answer = QMessageBox.question(
            self,
            "Remove Server",
            f"Remove {address}?\n\n"
            "Its token and your agreement to send images there are forgotten. What it"
            " has computed stays.",
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._change(partial(forget, address), "")

    def _change(self, work: Callable[[], str], address: str) -> None:
        self._end_trial()
        self.menu_button.setEnabled(False)

        def change() -> tuple[str, bool]:
            try:
                return work(), True
            except ServerError as ex:
                return str(ex), False

        def done(answer: tuple[str, bool]) -> None:
            note, good = answer
            self.menu_button.setEnabled(True)
            if good:
                self._declined.discard(address)
                self._master.server = address
            _tell_all()
            self._tell(note)
            if good:
                self._on_choice()

        self.background.ask(change, done)

    # the trial ---------------------------------------------------------------

    def _on_test(self) -> None:
        if self._trial is not None:
            self._end_trial()
            self._tell("")
            return
        self._trial = stopped = threading.Event()
        self.test_button.setText("Cancel")
        address, network = self._master.server, self._master.network
        self._tell(f"Trying {address}…")

        def progress(fraction: float, status: str = "") -> None:
            if stopped.is_set():
                raise TaskCancelled("The user asked to stop")

        def done(text: str) -> None:
            if not stopped.is_set():
                self._end_trial()
                self._tell(text)

        self.background.ask(lambda: try_server(address, network, progress), done)

    def _end_trial(self) -> None:
        if self._trial is not None:
            self._trial.set()
        self._trial = None
        self.test_button.setText("Test")
