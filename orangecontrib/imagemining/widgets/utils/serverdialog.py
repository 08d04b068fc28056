"""The dialog about an embedding server: where it is, and its token."""

from __future__ import annotations

from AnyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.embedders.connection import address_of
from orangecontrib.imagemining.embedders.servers import Server, is_private
from orangecontrib.imagemining.exceptions import ServerError
from orangecontrib.imagemining.widgets.utils.forms import (
    HintEdit,
    NoteLabel,
    add_row,
    new_form,
)

__all__ = ["ServerDialog"]


class ServerDialog(QDialog):
    """Asks for a server's address, name and token.

    Parameters
    ----------
    parent
        The widget.
    server
        The one to be changed; None for a new one.
    """

    def __init__(self, parent: QWidget, server: Server | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Edit Server" if server else "Add Server")
        self._server = server
        box = QVBoxLayout(self)
        note = NoteLabel()
        note.setText(
            "A server embeds images in place of this computer. Whoever runs it has its"
            " address, and a token if one is needed. Before the first images are sent"
            " there you are asked."
        )
        box.addWidget(note)
        form = new_form()
        box.addLayout(form)
        self.address_edit = HintEdit(server.address if server else "")
        self.address_edit.setPlaceholderText("https://server.example:8742")
        add_row(form, "&Address:", self.address_edit, "As the server's page shows it")
        self.name_edit = HintEdit(server.name if server else "")
        self.name_edit.setPlaceholderText("if you like")
        add_row(form, "&Name:", self.name_edit, "What the server is called here")
        self.token_edit = HintEdit()
        self.token_edit.setEchoMode(QLineEdit.EchoMode.Password)
        self.token_edit.setPlaceholderText(
            "as it was" if server else "if one is needed"
        )
        add_row(
            form,
            "&Token:",
            self.token_edit,
            "Kept in the system's keyring, and neither in settings nor in workflows",
        )
        self.problem = NoteLabel()
        box.addWidget(self.problem)
        roles = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(roles.Ok | roles.Cancel)
        buttons.accepted.connect(self._on_ok)
        buttons.rejected.connect(self.reject)
        box.addWidget(buttons)
        self.address_edit.textChanged.connect(self._on_typing)
        self._on_typing()

    def server(self) -> Server:
        """Return what was typed; an address that was agreed to stays so.

        Raises
        ------
        ServerError
            If the address is none.
        """
        address = address_of(self.address_edit.text())
        known = self._server
        agreed = known is not None and known.address == address and known.agreed
        return Server(address, self.name_edit.text().strip(), agreed)

    def token(self) -> str | None:
        """Return the token; None for the one that there was."""
        return self.token_edit.text().strip() or None

    def _on_typing(self) -> None:
        try:
            address = self.server().address
        except ServerError:
            self.problem.setText("")
            return
        self.problem.setText(
            ""
            if is_private(address)
            else "http:// is not encrypted: others in the network can see the images"
            " and the token. Prefer https:// where the server has it."
        )

    def _on_ok(self) -> None:
        try:
            self.server()
        except ServerError as ex:
            self.problem.setText(str(ex))
            return
        self.accept()
