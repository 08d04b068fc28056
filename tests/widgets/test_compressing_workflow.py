"""Compress Network among other widgets, as in Orange's canvas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import wait_for
from Orange.canvas.config import Config
from Orange.widgets.tests.base import GuiTest
from orangecanvas.registry import WidgetRegistry
from test_owcompressnetwork import custom
from test_training_workflow import OURS, Workflow, _quick_and_forgetful  # noqa: F401
from trained_networks import network_of

from orangecontrib.imagemining.compression.plan import Prune, Share
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    save_network,
)

# Orange's own widgets warn of much
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def registry() -> WidgetRegistry:
    GuiTest.setUpClass()
    discovery = Config.widget_discovery(WidgetRegistry())
    discovery.run(Config.widgets_entry_points())
    return discovery.registry


@pytest.fixture
def workflow(registry: WidgetRegistry) -> Iterator[Workflow]:
    workflow = Workflow(registry)
    yield workflow
    workflow.close()


def test_from_a_file_to_a_smaller_file_and_embeddings(
    workflow: Workflow, make_folder, tmp_path: Path
) -> None:
    images = make_folder({"a": 4, "b": 4, "c": 4})
    path, smaller = tmp_path / "cells.safetensors", tmp_path / "smaller.imnet"
    save_network(network_of(), path)
    choices = custom(Prune(share=0.5, by="layer", rounds=1, epochs=1), Share(bits=5))
    workflow.add(f"{OURS}.owimportimages.OWImportImages", folder=str(images))
    workflow.add(f"{OURS}.owloadnetwork.OWLoadNetwork", path=str(path))
    workflow.add(
        f"{OURS}.owcompressnetwork.OWCompressNetwork", choices=choices, automatic=True
    )
    workflow.add(f"{OURS}.owimageembedding.OWImageEmbedding")
    workflow.add("Orange.widgets.data.owtable.OWTable")
    workflow.add(f"{OURS}.owsavenetwork.OWSaveNetwork")
    workflow.connect("Import Images", "Data", "Compress Network", "Data")
    workflow.connect("Load Network", "Network", "Compress Network", "Network")
    workflow.connect("Import Images", "Data", "Image Embedding", "Images")
    network = "Compressed Network"
    workflow.connect("Compress Network", network, "Image Embedding", "Network")
    workflow.connect("Compress Network", network, "Save Network", "Network")
    workflow.connect("Compress Network", "Report", "Data Table", "Data")
    widgets = {name: workflow.widget(name) for name in workflow.nodes}
    compress, embedding = widgets["Compress Network"], widgets["Image Embedding"]
    workflow.scheme.signal_manager.start()
    wait_for(
        lambda: (
            compress.sent is not None
            and embedding.network == compress.sent.name
            and embedding.task is None
        ),
        100,
    )
    result = workflow.input("Save Network", "Network")
    assert result is compress.sent
    assert (result.tensors["body.0.weight"] == 0).mean() >= 0.49
    assert len(workflow.input("Data Table", "Data")) == 3  # layers
    save = widgets["Save Network"]
    wait_for(lambda: save.data is result and save.task is None)
    save.filename = str(smaller)
    save.filter = "Compressed network with its card (*.imnet)"
    save.save_file()
    wait_for(lambda: save.task is None and smaller.exists())
    assert load_network_file(smaller) == result
    assert smaller.stat().st_size < path.stat().st_size
