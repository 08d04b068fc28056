"""Train Network among Orange's other widgets, and after its program was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from AnyQt.QtWidgets import QApplication
from conftest import wait_for
from Orange.canvas.config import Config
from Orange.widgets.tests.base import GuiTest
from orangecanvas.registry import WidgetRegistry
from orangecanvas.scheme import SchemeLink, SchemeNode
from orangewidget.utils.signals import LazyValue
from orangewidget.widget import OWBaseWidget
from orangewidget.workflow.widgetsscheme import WidgetsScheme
from PIL import Image
from workflow_runner import finish

from orangecontrib.imagemining.widgets.utils import trainstore

# Orange's own widgets warn of much
pytestmark = pytest.mark.filterwarnings("ignore")

TOY = {
    "network": "toy",
    "start": "nothing",
    "size": 16,
    "batch": 8,
    "epochs": 12,
    "validation": 25,
    "precision": "float32",
    "device": "cpu",
    "numbers": {"optimizer": "adamw", "learning_rate": 0.03},
    "seed": 1,
    "augmentation": "none",
}
OURS = "orangecontrib.imagemining.widgets"


@pytest.fixture(autouse=True)
def _quick_and_forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(OWBaseWidget, "saveSettings", lambda self: None)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small only wait for each other
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def registry() -> WidgetRegistry:
    GuiTest.setUpClass()
    discovery = Config.widget_discovery(WidgetRegistry())
    discovery.run(Config.widgets_entry_points())
    return discovery.registry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of red and of blue images."""
    rng = np.random.default_rng(0)
    for channel, name in ((0, "red"), (2, "blue")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(10):
            pixels = rng.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            pixels[:, :, channel] += 190
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{index}.png")
    return tmp_path / "images"


class Workflow:
    """Widgets that are connected and run as in Orange's canvas."""

    def __init__(self, registry: WidgetRegistry) -> None:
        self.registry = registry
        self.scheme = WidgetsScheme()
        self.nodes: dict[str, SchemeNode] = {}

    def add(self, name: str, **settings: object) -> None:
        description = self.registry.widget(name)
        node = SchemeNode(description, properties=settings)
        self.scheme.add_node(node)
        self.nodes[description.name] = node

    def connect(self, source: str, output: str, sink: str, input_: str) -> None:
        source_node, sink_node = self.nodes[source], self.nodes[sink]
        link = SchemeLink(
            source_node,
            source_node.output_channel(output),
            sink_node,
            sink_node.input_channel(input_),
        )
        self.scheme.add_link(link)

    def widget(self, name: str) -> OWBaseWidget:
        return self.scheme.widget_manager.widget_for_node(self.nodes[name])

    def run(self, seconds: float = 120) -> None:
        manager = self.scheme.signal_manager
        manager.start()
        for name in self.nodes:
            self.widget(name)
        train = self.widget("Train Network")
        finish(
            self.scheme,
            seconds,
            lambda: train.task is not None or train.background.is_busy,
            looks=40,
        )

    def input(self, name: str, input_: str) -> object:
        (link,) = [
            link
            for link in self.scheme.links
            if link.sink_node is self.nodes[name] and link.sink_channel.name == input_
        ]
        (value,) = self.scheme.signal_manager.link_contents(link).values()
        return value.get_value() if LazyValue.is_lazy(value) else value

    def close(self) -> None:
        self.scheme.signal_manager.stop()
        self.scheme.clear()
        QApplication.processEvents()


@pytest.fixture
def workflow(registry: WidgetRegistry) -> Iterator[Workflow]:
    workflow = Workflow(registry)
    yield workflow
    workflow.close()


def test_from_a_folder_to_predictions_and_scores(
    workflow: Workflow, folder: Path
) -> None:
    workflow.add(f"{OURS}.owimportimages.OWImportImages", folder=str(folder))
    workflow.add(f"{OURS}.owtrainnetwork.OWTrainNetwork", choices=TOY, automatic=True)
    workflow.add("Orange.widgets.evaluate.owpredictions.OWPredictions")
    workflow.add("Orange.widgets.evaluate.owtestandscore.OWTestAndScore")
    workflow.add("Orange.widgets.evaluate.owconfusionmatrix.OWConfusionMatrix")
    workflow.add(f"{OURS}.owimageembedding.OWImageEmbedding")
    workflow.connect("Import Images", "Data", "Train Network", "Data")
    workflow.connect("Import Images", "Data", "Predictions", "Data")
    workflow.connect("Train Network", "Model", "Predictions", "Predictors")
    # it wants features, so it gets the embeddings; the learner takes their images
    workflow.connect("Image Embedding", "Embeddings", "Test and Score", "Data")
    workflow.connect("Train Network", "Learner", "Test and Score", "Learner")
    workflow.connect(
        "Test and Score", "Evaluation Results", "Confusion Matrix", "Evaluation Results"
    )
    workflow.connect("Import Images", "Data", "Image Embedding", "Images")
    workflow.connect("Train Network", "Network", "Image Embedding", "Network")
    workflow.run()

    train = workflow.widget("Train Network")
    assert train.outcome is not None
    predictor = workflow.input("Predictions", "Predictors")
    data = workflow.input("Predictions", "Data")
    assert predictor == train.outcome.model
    right = predictor(data) == data.Y
    assert right.mean() > 0.9  # red and blue are told apart by anything that learns
    results = workflow.input("Confusion Matrix", "Evaluation Results")
    assert len(results.actual) == 20
    assert (results.predicted[0] == results.actual).mean() > 0.9
    embedding = workflow.widget("Image Embedding")
    assert embedding.network == train.outcome.network.name


def test_removed_from_the_canvas_while_it_trains(
    workflow: Workflow, folder: Path
) -> None:
    choices = {**TOY, "epochs": 20_000}
    workflow.add(f"{OURS}.owimportimages.OWImportImages", folder=str(folder))
    workflow.add(
        f"{OURS}.owtrainnetwork.OWTrainNetwork", choices=choices, automatic=True
    )
    workflow.connect("Import Images", "Data", "Train Network", "Data")
    workflow.scheme.signal_manager.start()
    for name in workflow.nodes:
        workflow.widget(name)
    train = workflow.widget("Train Network")
    wait_for(lambda: train.view.view is not None and train.view.view.done > 1)
    future, key = train.task.future, train.job.key
    begun = time.monotonic()
    workflow.scheme.remove_node(workflow.nodes["Train Network"])
    QApplication.processEvents()
    assert time.monotonic() - begun < 10  # it does not wait for 20,000 epochs
    wait_for(future.done)
    assert trainstore.checkpoint_of(key).exists()


_KILLED = """
    import sys
    from unittest.mock import Mock
    import torch
    torch.set_num_threads(1)
    from orangecontrib.imagemining.tables import table_from_folder
    from orangecontrib.imagemining.widgets.utils.trainchoices import Choices
    from orangecontrib.imagemining.widgets.utils.trainfacts import Request, facts_of
    from orangecontrib.imagemining.widgets.utils.trainwork import Job, run

    data = table_from_folder(sys.argv[1]).table
    plan = Choices.of(eval(sys.argv[2])).plan()
    facts = facts_of(Request(data, None, None, plan))
    print(facts.key, flush=True)
    state = Mock()
    state.is_interruption_requested.return_value = False
    run(Job(data, None, plan, None, "", "", facts.key), state)
"""


def test_killed_and_continued(workflow: Workflow, folder: Path) -> None:
    choices = {**TOY, "epochs": 3000}
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_KILLED), str(folder), repr(choices)],
        stdout=subprocess.PIPE,
        env=dict(os.environ),
        text=True,
    )
    try:
        key = program.stdout.readline().strip()
        checkpoint = trainstore.checkpoint_of(key)
        wait_for(lambda: checkpoint.exists() or program.poll() is not None, 60)
    finally:
        program.kill()
        program.communicate()
    assert checkpoint.exists()

    workflow.add(f"{OURS}.owimportimages.OWImportImages", folder=str(folder))
    workflow.add(f"{OURS}.owtrainnetwork.OWTrainNetwork", choices=choices)
    workflow.connect("Import Images", "Data", "Train Network", "Data")
    workflow.run()
    train = workflow.widget("Train Network")
    assert train.facts.key == key
    assert train.Information.to_continue.is_shown()
    before = train.facts.epochs_done
    assert before >= 1
    train.start_button.click()
    wait_for(lambda: train.view.view is not None and train.view.view.done > before)
    assert len(train.view.view.loss[0]) >= int(before)
    train.stop_button.click()
    wait_for(lambda: train.task is None)
    assert train.outcome is not None
