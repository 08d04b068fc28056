"""Workflows in the canvas's scheme runner, for the tests that execute those we ship.

A test opens a workflow, lets it finish, and looks at what came to a node's input::

    with opened(TUTORIALS / "10-clustering-images.ows") as runner:
        runner.finish()
        no_errors(runner)
        table = runner.input("Distances", "Data")

Modules that do so ignore warnings: Orange's own widgets warn of much, and so does
scikit-learn below them (``pytestmark = pytest.mark.filterwarnings("ignore")``).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from AnyQt.QtWidgets import QApplication
from Orange.canvas.config import Config
from Orange.widgets.tests.base import GuiTest
from orangecanvas.registry import WidgetRegistry
from orangecanvas.scheme import SchemeNode
from orangecanvas.scheme.readwrite import scheme_load
from orangewidget.utils.signals import LazyValue
from orangewidget.widget import OWBaseWidget
from orangewidget.workflow.widgetsscheme import WidgetsScheme

PACKAGE = Path(__file__).parents[2] / "orangecontrib" / "imagemining"
TUTORIALS = PACKAGE / "tutorials"


@functools.cache
def all_widgets() -> WidgetRegistry:
    """Return what Orange's canvas finds: its own widgets and those of add-ons."""
    GuiTest.setUpClass()
    discovery = Config.widget_discovery(WidgetRegistry())
    discovery.run(Config.widgets_entry_points())
    return discovery.registry


@pytest.fixture(scope="module")
def registry() -> WidgetRegistry:
    return all_widgets()


def finish(
    scheme: WidgetsScheme,
    seconds: float,
    is_busy: Callable[[], bool] = lambda: False,
    looks: int = 20,
) -> None:
    """Let a scheme work until so many looks in a row find nothing to do."""
    manager = scheme.signal_manager
    end, quiet = time.monotonic() + seconds, 0
    while quiet < looks:
        assert time.monotonic() < end, "the workflow does not come to an end"
        QApplication.processEvents()
        time.sleep(0.01)
        busy = manager.has_pending() or any(
            manager.is_active(node) or manager.is_invalidated(node)
            for node in scheme.nodes
        )
        quiet = 0 if busy or is_busy() else quiet + 1


class Runner:
    """A workflow in the canvas's scheme runner."""

    def __init__(self, path: Path, registry: WidgetRegistry | None = None) -> None:
        registry = registry or all_widgets()  # before the scheme: it needs Qt
        self.scheme = WidgetsScheme()
        errors: list[Exception] = []
        with path.open("rb") as stream:
            scheme_load(
                self.scheme,
                stream,
                registry=registry,
                error_handler=errors.append,
            )
        assert not errors
        self.scheme.signal_manager.start()

    def node(self, title: str) -> SchemeNode:
        (node,) = [node for node in self.scheme.nodes if node.title == title]
        return node

    def widget(self, title: str) -> OWBaseWidget:
        return self.scheme.widget_manager.widget_for_node(self.node(title))

    def finish(self, seconds: float = 600) -> None:
        """Let all nodes work until nothing is left to do."""
        for node in self.scheme.nodes:
            self.scheme.widget_manager.widget_for_node(node)
        finish(self.scheme, seconds)

    def input(self, title: str, name: str) -> object:
        """Return what came to a node's input."""
        node = self.node(title)
        (link,) = [
            link
            for link in self.scheme.links
            if link.sink_node is node and link.sink_channel.name == name
        ]
        (value,) = self.scheme.signal_manager.link_contents(link).values()
        return value.get_value() if LazyValue.is_lazy(value) else value

    def close(self) -> None:
        self.scheme.signal_manager.stop()
        self.scheme.clear()  # deletes the widgets
        QApplication.processEvents()


def no_errors(runner: Runner) -> None:
    """Fail if a widget shows a warning or an error."""
    for node in runner.scheme.nodes:
        widget = runner.scheme.widget_manager.widget_for_node(node)
        shown = [
            str(message.formatted)
            for group in widget.message_groups
            for message in group.active
            if "Information" not in type(group).__qualname__
        ]
        assert not shown, node.title


@contextmanager
def opened(path: Path) -> Iterator[Runner]:
    """Open a workflow; close it at the end.

    What its widgets choose is not to be what new widgets begin with.
    """
    with patch.object(OWBaseWidget, "saveSettings", lambda self: None):
        runner = Runner(path)
        try:
            yield runner
        finally:
            runner.close()
