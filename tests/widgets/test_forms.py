from __future__ import annotations

from AnyQt.QtGui import QColor, QPalette
from AnyQt.QtWidgets import QApplication
from Orange.widgets.tests.base import GuiTest

from orangecontrib.imagemining.widgets.utils.forms import HintEdit, folder_combo


class TestHints(GuiTest):
    def test_hints_are_seen_in_light_and_dark(self) -> None:
        before = QApplication.palette()
        self.addCleanup(QApplication.setPalette, before)
        for field in (HintEdit(placeholderText="hint"), folder_combo()):
            for text in ("#ffffff", "#000000"):
                palette = QPalette(before)
                palette.setColor(QPalette.ColorRole.Text, QColor(text))
                # what Orange's dark theme does: a colour that does not fit
                palette.setColor(QPalette.ColorRole.PlaceholderText, QColor("#808"))
                QApplication.setPalette(palette)
                QApplication.processEvents()
                role = QPalette.ColorRole
                hint = field.palette().color(role.PlaceholderText)
                self.assertEqual(hint.name(), text)
                self.assertLess(hint.alpha(), 255)
                self.assertEqual(field.palette().color(role.Text).name(), text)
