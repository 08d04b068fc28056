"""What holds for each widget."""

from __future__ import annotations

import importlib
from pathlib import Path

from AnyQt.QtWidgets import QDialog
from Orange.widgets.tests import base
from Orange.widgets.widget import OWWidget

from orangecontrib.imagemining import widgets

NAMES = sorted(path.stem for path in Path(widgets.__file__).parent.glob("ow*.py"))


def widget_class(name: str) -> type[OWWidget]:
    module = importlib.import_module(f"{widgets.__name__}.{name}")
    (kind,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, OWWidget)
        and value.__module__ == module.__name__
    ]
    return kind


class TestAllWidgets(base.WidgetTest):
    def test_settings_do_not_hide_what_a_window_needs(self) -> None:
        for name in NAMES:
            with self.subTest(name):
                widget = self.create_widget(widget_class(name))
                settings = widget.settingsHandler.pack_data(widget)
                hidden = [key for key in settings if hasattr(QDialog, key)]
                self.assertEqual(hidden, [])
                own = [
                    key for key in vars(widget) if callable(getattr(QDialog, key, 0))
                ]
                self.assertEqual(own, [])

    def test_window_comes_back_where_it_was(self) -> None:
        for name in NAMES:
            with self.subTest(name):
                kind = widget_class(name)
                widget = self.create_widget(kind)
                widget.show()
                widget.close()
                settings = widget.settingsHandler.pack_data(widget)
                self.assertIsNotNone(settings["savedWidgetGeometry"])
                again = self.create_widget(kind, stored_settings=settings)
                again.show()
                self.assertTrue(again.isVisible())
                again.close()
