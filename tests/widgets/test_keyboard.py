"""Each widget by keyboard alone: tab goes as one reads, mnemonics are unique."""

from __future__ import annotations

import re

from AnyQt.QtCore import QPoint, Qt
from AnyQt.QtTest import QTest
from AnyQt.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QLabel,
    QRadioButton,
    QTabBar,
    QWidget,
)
from Orange.widgets.tests import base
from Orange.widgets.widget import OWWidget
from test_all_widgets import NAMES, widget_class


def area_of(widget: OWWidget, part: QWidget) -> str:
    """Return in which of a widget's areas a part is."""
    for name in ("buttonsArea", "controlArea", "mainArea"):
        area = getattr(widget, name, None)
        if isinstance(area, QWidget) and area.isAncestorOf(part):
            return name
    return ""


def stops(widget: OWWidget) -> list[QWidget]:
    """Return what has the focus when the tab key is pressed again and again."""
    found: list[QWidget] = []
    for _ in range(200):
        QTest.keyClick(QApplication.focusWidget() or widget, Qt.Key.Key_Tab)
        part = QApplication.focusWidget()
        if part is None or part in found:
            break
        found.append(part)
    return [part for part in found if area_of(widget, part)]


def reachable(widget: OWWidget) -> list[QWidget]:
    """Return what the tab key should reach: all that one can do something with."""
    return [
        part
        for part in widget.findChildren(QWidget)
        if part.isVisible()
        and part.isEnabled()
        and part.focusPolicy() & Qt.FocusPolicy.TabFocus
        and area_of(widget, part)
        and part.focusProxy() is None
        # of a group of radio buttons, the arrow keys reach the others
        and not (isinstance(part, QRadioButton) and not part.isChecked())
        and not isinstance(part.parent(), QAbstractItemView)
    ]


def place(widget: OWWidget, part: QWidget) -> tuple[int, int]:
    corner = part.mapTo(widget, QPoint(0, 0))
    return corner.x(), corner.y()


def backward_steps(widget: OWWidget, parts: list[QWidget]) -> list[str]:
    """Return the steps that go up, or left in a line, within one area."""
    found = []
    for one, other in zip(parts, parts[1:], strict=False):
        area = area_of(widget, one)
        if area != area_of(widget, other):
            continue
        (x, y), (to_x, to_y) = place(widget, one), place(widget, other)
        beside = to_y < y + one.height() and y < to_y + other.height()
        # a column to the right begins again at the top
        if (beside and to_x < x) or (
            not beside and to_y < y and to_x < x + one.width()
        ):
            found.append(f"{described(one)} {x, y} -> {described(other)} {to_x, to_y}")
    return found


def described(part: QWidget) -> str:
    text = part.text() if isinstance(part, QAbstractButton) else part.accessibleName()
    return f"{type(part).__name__} {text}"


def mnemonics(widget: QWidget) -> list[tuple[str, str]]:
    """Return the letters that work with Alt now, and what they belong to."""
    found = []
    for part in widget.findChildren(QWidget):
        ours = area_of(widget, part) if isinstance(widget, OWWidget) else True
        if not part.isVisible() or not ours:
            continue
        if isinstance(part, QAbstractButton) or (
            isinstance(part, QLabel) and part.buddy() is not None
        ):
            texts = [part.text()]
        elif isinstance(part, QTabBar):
            texts = [part.tabText(place) for place in range(part.count())]
        else:
            continue
        for text in texts:
            if match := re.search(r"(?<!&)&(\w)", text):
                found.append((match[1].lower(), text))
    return found


def used_twice(widget: QWidget) -> list[tuple[str, str]]:
    """Return the letters that lead to more than one part, with these parts' texts."""
    found = mnemonics(widget)
    letters = [letter for letter, _ in found]
    return [each for each in found if letters.count(each[0]) > 1]


class TestKeyboard(base.WidgetTest):
    def shown(self, name: str) -> OWWidget:
        widget = self.create_widget(widget_class(name))
        # as high as its content, so that nothing is scrolled away
        widget.resize(1100, 1000)
        widget.show()
        widget.activateWindow()
        QApplication.setActiveWindow(widget)
        QApplication.processEvents()
        return widget

    def test_tab_goes_as_one_reads(self) -> None:
        faults = {}
        for name in NAMES:
            widget = self.shown(name)
            parts = stops(widget)
            missed = [p for p in reachable(widget) if p not in parts]
            found = backward_steps(widget, parts) + [
                f"missed: {described(part)}" for part in missed
            ]
            if found or not parts:
                faults[name] = found
            widget.close()
        self.assertEqual(faults, {})

    def test_mnemonics_are_unique(self) -> None:
        faults = {}
        for name in NAMES:
            widget = self.shown(name)
            if twice := used_twice(widget):
                faults[name] = twice
            # at work, waiting, and with something to go on with
            for resumable, running, paused in (
                (False, True, False),
                (False, True, True),
                (name == "owtrainnetwork", False, False),
            ):
                if name in ("owtrainnetwork", "owcompressnetwork"):
                    widget.buttons.show_state(True, resumable, running, paused, False)
                    if twice := used_twice(widget):
                        faults[f"{name} {resumable, running, paused}"] = twice
            widget.close()
        self.assertEqual(faults, {})
