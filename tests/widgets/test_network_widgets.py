"""The widgets of trained networks, linked and run as Orange's canvas does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from AnyQt.QtWidgets import QApplication
from Orange.canvas.config import Config
from Orange.widgets.tests.base import GuiTest
from orangecanvas.registry import WidgetRegistry
from orangecanvas.scheme import SchemeNode
from orangewidget.widget import OWBaseWidget
from orangewidget.workflow.widgetsscheme import WidgetsScheme
from trained_networks import network_of

from orangecontrib.imagemining.embedders.onnxexport import export_onnx
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)

# Orange's own widgets warn of much, and so does scikit-learn below them
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    # what is chosen here is not to be what new widgets begin with
    monkeypatch.setattr(OWBaseWidget, "saveSettings", lambda self: None)


@pytest.fixture(scope="module")
def registry() -> WidgetRegistry:
    GuiTest.setUpClass()
    discovery = Config.widget_discovery(WidgetRegistry())
    discovery.run(Config.widgets_entry_points())
    return discovery.registry


class Workflow:
    """Nodes and links in the canvas's scheme runner."""

    def __init__(self, registry: WidgetRegistry) -> None:
        self.registry = registry
        self.scheme = WidgetsScheme()
        self.scheme.signal_manager.start()

    def add(self, name: str, **properties: Any) -> SchemeNode:
        (kind,) = [each for each in self.registry.widgets() if each.name == name]
        node = SchemeNode(kind, properties=properties)
        self.scheme.add_node(node)
        return node

    def link(
        self, source: SchemeNode, output: str, sink: SchemeNode, name: str
    ) -> None:
        self.scheme.new_link(source, output, sink, name)

    def widget(self, node: SchemeNode) -> Any:
        return self.scheme.widget_for_node(node)

    def finish(self, is_done: Callable[[], object], seconds: float = 120) -> None:
        """Run until it is so."""
        for node in self.scheme.nodes:
            self.widget(node)
        end = time.monotonic() + seconds
        while not is_done():
            assert time.monotonic() < end, "the workflow does not come to an end"
            QApplication.processEvents()
            time.sleep(0.01)

    def close(self) -> None:
        self.scheme.signal_manager.stop()
        self.scheme.clear()
        QApplication.processEvents()


def test_load_evaluate_predict_and_save(
    registry: WidgetRegistry, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    images = make_folder({"a": 2, "b": 2, "c": 1})
    first, second = network_of(), network_of(seed=1, title="Second")
    save_network(first, tmp_path / "first.safetensors")
    export_onnx(second, tmp_path / "second.onnx")
    saved = tmp_path / "again.safetensors"
    workflow = Workflow(registry)
    try:
        folder = workflow.add("Import Images", folder=str(images))
        loads = [
            workflow.add("Load Network", path=str(tmp_path / name))
            for name in ("first.safetensors", "second.onnx")
        ]
        evaluate = workflow.add("Evaluate Networks")
        predict = workflow.add("Predictions")
        save = workflow.add(
            "Save Network", stored_path=str(tmp_path), stored_name=saved.name
        )
        workflow.link(folder, "Data", evaluate, "Data")
        for load in loads:
            workflow.link(load, "Network", evaluate, "Networks")
        workflow.link(folder, "Data", predict, "Data")
        workflow.link(evaluate, "Model", predict, "Predictors")
        workflow.link(loads[0], "Network", save, "Network")
        widget = workflow.widget(evaluate)
        workflow.finish(
            lambda: widget.evaluation is not None and len(widget.evaluation.scores) == 3
        )
        scores = widget.evaluation.scores
        assert [each.title for each in scores] == ["My cells", "Second", "Ensemble"]
        predictions = workflow.widget(predict)
        workflow.finish(
            lambda: (
                predictions.predictors
                and all(slot.results for slot in predictions.predictors)
            )
        )
        (slot,) = predictions.predictors
        together = widget.evaluation.predictions
        columns = [together.get_column(f"p({name})") for name in "abc"]
        np.testing.assert_allclose(
            slot.results.probabilities[0], np.column_stack(columns), atol=1e-5
        )
        saving = workflow.widget(save)
        workflow.finish(lambda: saving.data is not None)
        saving.save_file()
        workflow.finish(saved.is_file)
        assert load_network_file(saved) == first
        # a network that goes takes its row along
        workflow.scheme.remove_link(
            workflow.scheme.find_links(loads[1], sink_node=evaluate)[0]
        )
        workflow.finish(
            lambda: widget.evaluation is not None and len(widget.evaluation.scores) == 1
        )
    finally:
        workflow.close()
