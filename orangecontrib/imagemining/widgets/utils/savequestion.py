"""The question what to do about files that exist."""

from __future__ import annotations

from AnyQt.QtCore import Qt
from AnyQt.QtWidgets import QMessageBox, QPushButton, QWidget

from orangecontrib.imagemining.images.saving.manifest import MANIFEST
from orangecontrib.imagemining.images.saving.plan import Plan
from orangecontrib.imagemining.images.saving.write import Policy
from orangecontrib.imagemining.widgets.utils.folders import name_of

__all__ = ["ask_about_files"]

_N_EXAMPLES = 3


def ask_about_files(parent: QWidget, plan: Plan) -> Policy | None:
    """Ask what to do about files that exist; return None to save nothing."""
    existing = plan.existing
    n, n_originals = len(existing), len(plan.originals)
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Files exist already")
    box.setTextFormat(Qt.TextFormat.PlainText)
    folder = name_of(plan.folder)
    if n:
        names = "\n".join([*existing[:_N_EXAMPLES], *["…"] * (n > _N_EXAMPLES)])
        count = f"{n:,} files" if n > 1 else "A file"
        box.setText(
            f"{count} of the names to be saved exist{'s' * (n == 1)} already in the"
            f" folder “{folder}”:\n{names}"
        )
    else:
        box.setText(
            f"A list of saved images exists already in the folder “{folder}”:\n"
            f"{MANIFEST}"
        )
    notes = []
    if n_originals:
        which = "It is" if n == 1 else f"{n_originals:,} of them are"
        if n_originals == n > 1:
            which = "They are"
        notes.append(
            f"{which} what is to be saved: the images themselves, which are never"
            " overwritten."
        )
    if plan.manifest_exists and n:
        notes.append(f"The list {MANIFEST} exists too.")
    notes.append("With “Keep both”, the new ones get a number, such as “name (2)”.")
    box.setInformativeText("\n".join(notes))
    role = QMessageBox.ButtonRole
    overwrite = box.addButton("&Overwrite", role.DestructiveRole)
    overwrite.setEnabled(n > n_originals or (not n and plan.manifest_exists))
    policies: list[tuple[QPushButton, Policy]] = [
        (overwrite, "replace"),
        (box.addButton("Keep &both", role.AcceptRole), "number"),
    ]
    if n:
        policies.append((box.addButton("&Skip these", role.AcceptRole), "skip"))
    cancel = box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(cancel)
    box.exec()
    clicked = box.clickedButton()
    box.deleteLater()
    return next((policy for key, policy in policies if key is clicked), None)
