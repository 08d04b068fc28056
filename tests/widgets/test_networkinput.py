"""Image Embedding's Network input."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from conftest import picture
from Orange.data import Table
from Orange.widgets.tests import base

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.catalog import (
    card_of,
    engine_for,
    network_from,
    remember_own_network,
)
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.specs import PROBABILITIES, EmbedderSpec, Preprocess
from orangecontrib.imagemining.tables import image_sources, table_from_folder
from orangecontrib.imagemining.weights import data_folder
from orangecontrib.imagemining.weights.image_network import (
    AnyNetwork,
    ImageNetwork,
    NetworkCard,
)
from orangecontrib.imagemining.widgets.owimageembedding import OWImageEmbedding
from orangecontrib.imagemining.widgets.utils import embedderwork

SECONDS = 60  # after which a test that waits has failed
CLASSES = ("round", "long", "broken")


def trained(seed: int = 0, title: str = "Cells", fit: str = "crop") -> ImageNetwork:
    """Return a network of 16 pixels and three classes."""
    import torch

    options = {"n": 1, "width": 4}
    generator = torch.random.get_rng_state()
    torch.manual_seed(seed)
    built = create_network("resnet_cifar", num_classes=3, **options)
    torch.random.set_rng_state(generator)
    tensors = {key: t.detach().numpy() for key, t in built.state_dict().items()}
    card = NetworkCard(
        title=title,
        architecture="resnet_cifar",
        classes=CLASSES,
        preprocess=Preprocess((16, 16), (0.5,) * 3, (0.25,) * 3, 1 / 255),
        options=options,
        fit=fit,
        trained_on="cells",
    )
    return ImageNetwork(card, tensors)


@pytest.fixture(autouse=True)
def _no_networks_left() -> Iterator[None]:
    yield
    shutil.rmtree(data_folder() / "networks", ignore_errors=True)


class TestNetworkInput(base.WidgetTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # the first time a network is prepared for its engine, which takes seconds
        engine_for("squeezenet1_1")

    def setUp(self) -> None:
        self.widget = self.create_widget(OWImageEmbedding)
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "a").mkdir()
        for number in range(3):
            picture(number).save(self.folder / "a" / f"{number}.png")
        self.data = table_from_folder(self.folder).table
        self.network = trained()

    def send(self, widget: OWImageEmbedding | None = None, **signals: Any) -> None:
        """Send what comes to the inputs at once, and wait."""
        widget = widget or self.widget
        both = [
            (getattr(widget.Inputs, name), value) for name, value in signals.items()
        ]
        self.send_signals(both, widget=widget)
        self.wait(widget)

    def wait(self, widget: OWImageEmbedding | None = None) -> None:
        widget = widget or self.widget
        # the network is taken, and then the images are embedded
        for _ in range(3):
            self.wait_until_finished(widget, timeout=SECONDS * 1000)
            self.process_events()
        self.wait_until_finished(widget, timeout=SECONDS * 1000)

    def embedded(self, widget: OWImageEmbedding | None = None) -> Table | None:
        return self.get_output("Embeddings", widget or self.widget)

    def choose(self, combo: str, key: object) -> None:
        combo = getattr(self.widget.panel, f"{combo}_combo")
        place = combo.findData(key)
        self.assertGreaterEqual(place, 0)
        combo.setCurrentIndex(place)
        combo.activated.emit(place)
        self.wait()

    def expected(self, layer: str, network: AnyNetwork | None = None) -> np.ndarray:
        spec = EmbedderSpec((network or self.network).name, layer, 1, "crop")
        sources = image_sources(self.data, self.data.domain["image"])
        return LocalEmbedder(spec)(sources).vectors

    def test_network_is_chosen_and_embeds(self) -> None:
        self.send(images=self.data, network=self.network)
        combo = self.widget.panel.network_combo
        self.assertEqual(combo.itemText(0), "Cells (from the input)")
        self.assertEqual(combo.currentIndex(), 0)
        # as it saw images when it was trained
        self.assertEqual(self.widget.fit, "crop")
        np.testing.assert_array_equal(self.embedded().X, self.expected("features"))
        name = self.embedded().domain.attributes[0].name
        self.assertEqual(name, "cells_features_crop_0")
        # it tells no classes of ImageNet
        self.assertFalse(self.widget.classes_box.isEnabled())
        # another program finds the network again
        self.assertEqual(card_of(self.network.name).title, "Cells")
        files = list((data_folder() / "networks").glob("*.safetensors"))
        self.assertEqual(len(files), 1)

    def test_columns_of_classes(self) -> None:
        self.send(images=self.data, network=self.network)
        self.choose("layer", PROBABILITIES)
        table = self.embedded()
        self.assertEqual(
            [column.name for column in table.domain.attributes],
            [f"cells_probabilities_crop_{name}" for name in CLASSES],
        )
        np.testing.assert_allclose(table.X.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(table.X, self.expected(PROBABILITIES))
        self.choose("layer", "logits")
        self.assertEqual(
            self.embedded().domain.attributes[2].name, "cells_logits_crop_broken"
        )

    def test_what_was_chosen_before_comes_back(self) -> None:
        self.widget.panel.choose_network("squeezenet1_1")
        self.send(images=self.data)
        self.choose("layer", "stage1")
        self.choose("views", 2)
        self.send(network=self.network)
        self.assertEqual(self.widget.network, self.network.name)
        self.assertEqual(self.widget.layer, "stage1")
        self.choose("layer", "logits")
        self.send(network=None)
        widget = self.widget
        self.assertEqual(
            (widget.network, widget.layer, widget.views, widget.fit),
            ("squeezenet1_1", "stage1", 2, "stretch"),
        )
        self.assertTrue(
            self.embedded().domain.attributes[0].name.startswith("squeezenet1_1_stage1")
        )
        self.assertTrue(self.widget.classes_box.isEnabled())
        # and with the network what was chosen for it
        self.send(network=self.network)
        self.assertEqual((widget.layer, widget.views), ("logits", 2))
        self.assertEqual(len(self.embedded().domain.attributes), 3)

    def test_network_that_was_trained_anew(self) -> None:
        self.send(images=self.data, network=self.network)
        self.choose("layer", "logits")
        self.widget.panel.add_button.click()
        self.choose("layer", "features")
        second = trained(1)
        self.assertNotEqual(second.name, self.network.name)
        self.send(network=second)
        specs = self.widget.panel.specs()
        self.assertEqual([spec.network for spec in specs], [second.name] * 2)
        self.assertEqual([spec.layer for spec in specs], ["logits", "features"])
        np.testing.assert_array_equal(
            self.embedded().X[:, :3], self.expected("logits", second)
        )

    def test_another_choice_is_left_alone(self) -> None:
        self.send(images=self.data, network=self.network)
        self.choose("network", "squeezenet1_1")
        self.send(network=trained(1))
        self.assertEqual(self.widget.network, "squeezenet1_1")
        self.send(network=None)
        self.assertEqual(self.widget.network, "squeezenet1_1")
        self.assertEqual(self.embedded().X.shape, (3, 512))

    def test_saved_workflow(self) -> None:
        self.send(images=self.data, network=self.network)
        self.choose("layer", PROBABILITIES)
        settings = self.widget.settingsHandler.pack_data(self.widget)
        shutil.rmtree(data_folder() / "networks")

        # elsewhere the network comes again by the signal; perhaps later than the images
        name = self.network.name
        self.network = trained()
        self.assertEqual(self.network.name, name)
        widget = self.create_widget(OWImageEmbedding, stored_settings=settings)
        self.send(widget, images=self.data)
        self.send(widget, network=self.network)
        self.assertEqual((widget.network, widget.layer), (name, PROBABILITIES))
        self.assertEqual(len(self.embedded(widget).domain.attributes), 3)
        self.send(widget, network=None)
        self.assertEqual(widget.network, "squeezenet1_1")

    def test_saved_workflow_without_its_network(self) -> None:
        settings = {
            "network": "trained:cells-0123456789ab",
            "layer": "features",
            "__version__": 3,
        }
        widget = self.create_widget(OWImageEmbedding, stored_settings=settings)
        self.send(widget, images=self.data)
        self.assertIn("network cells is not", str(widget.Error.not_available))
        self.assertIn("Network input", str(widget.Error.not_available))

    def test_damaged_settings(self) -> None:
        for given in (3, {"name": 3}, {"name": "x", "before": ["x"]}):
            settings = {"given": given, "__version__": 3}
            widget = self.create_widget(OWImageEmbedding, stored_settings=settings)
            self.assertEqual(widget.given, {})

    def test_network_that_cannot_be_kept(self) -> None:
        problem = WeightsError("There is no room")
        with patch.object(embedderwork, "keep_network", side_effect=problem):
            self.send(images=self.data, network=self.network)
        self.assertEqual(str(self.widget.Error.failed), "There is no room")
        self.assertEqual(self.widget.network, "squeezenet1_1")
        self.assertTrue(self.widget.panel.isEnabled())

    def test_network_that_goes_while_it_is_taken(self) -> None:
        self.send_signals(
            [
                (self.widget.Inputs.images, self.data),
                (self.widget.Inputs.network, self.network),
            ]
        )
        self.send_signal(self.widget.Inputs.network, None)
        self.wait()
        self.assertEqual(self.widget.network, "squeezenet1_1")
        self.assertEqual(self.embedded().X.shape, (3, 512))

    def test_onnx_network(self) -> None:
        from test_owimageembedding import onnx_network

        from orangecontrib.imagemining.embedders.catalog import (
            inspect_network,
            make_card,
        )
        from orangecontrib.imagemining.weights.cards import save_card

        path = onnx_network(self.folder / "mean.onnx")
        file = inspect_network(path)
        save_card(
            make_card(file, outputs={"vector": "vector"}, size=(6, 8), title="Means"),
            path,
        )
        network = network_from(remember_own_network(path))
        self.send(images=self.data, network=network)
        combo = self.widget.panel.network_combo
        self.assertEqual(combo.currentText(), "Means (from the input)")
        texts = [combo.itemText(place) for place in range(combo.count())]
        self.assertEqual(sum(text.startswith("Means") for text in texts), 1)
        self.assertEqual(self.embedded().X.shape, (3, 3))
        np.testing.assert_allclose(
            self.embedded().X[0], np.array(picture(0)).mean(axis=(0, 1)), atol=5
        )
