"""Image Embedding and real servers: what is sent, to whom, and what becomes of it."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import keyring
import numpy as np
import pytest
from AnyQt.QtWidgets import QMessageBox
from conftest import picture, wait_for
from keyring.backend import KeyringBackend
from Orange.data import Domain, Table
from Orange.regression import LinearRegressionLearner
from Orange.widgets.credentials import CredentialManager
from Orange.widgets.evaluate.owpredictions import OWPredictions
from Orange.widgets.tests import base
from orangecanvas.registry import WidgetRegistry
from orangecanvas.scheme import SchemeNode
from orangewidget.widget import OWBaseWidget
from orangewidget.workflow.widgetsscheme import WidgetsScheme
from workflow_runner import Runner
from workflow_runner import registry as registry

sys.path.append(str(Path(__file__).parents[1] / "server"))

from faults import Faults, bad_connection  # noqa: E402
from servers import SECONDS, Running, make_up_weights, png, running  # noqa: E402

from orangecontrib.imagemining.embedders import servers as servers_module  # noqa: E402
from orangecontrib.imagemining.embedders.cache import shared_store  # noqa: E402
from orangecontrib.imagemining.embedders.remotestore import StoredVectors  # noqa: E402
from orangecontrib.imagemining.embedders.servers import (  # noqa: E402
    Server,
    agree,
    can_run_here,
    forget_server,
    has_agreed,
    known_servers,
    remember_server,
)
from orangecontrib.imagemining.exceptions import ServerError, WeightsError  # noqa: E402
from orangecontrib.imagemining.server.tokens import Tokens  # noqa: E402
from orangecontrib.imagemining.specs import EmbedderSpec  # noqa: E402
from orangecontrib.imagemining.tables import (  # noqa: E402
    embed_table,
    table_from_folder,
)
from orangecontrib.imagemining.tables import embedding as embedding_module  # noqa: E402
from orangecontrib.imagemining.weights import data_folder  # noqa: E402
from orangecontrib.imagemining.widgets.owimageembedding import (  # noqa: E402
    OWImageEmbedding,
)
from orangecontrib.imagemining.widgets.utils import serverwork  # noqa: E402
from orangecontrib.imagemining.widgets.utils.serverwork import keep  # noqa: E402

# Orange's own widgets warn of much
pytestmark = pytest.mark.filterwarnings("ignore")

_PATH = "orangecontrib.imagemining.widgets."
SPEC = EmbedderSpec("squeezenet1_1", "features")
TOKEN = "a-token-of-the-tests"
NOWHERE = "http://127.0.0.1:9"


class Ring(KeyringBackend):
    """A keyring that ends with the tests."""

    priority = 0.1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture(autouse=True)
def ring() -> Iterator[Ring]:
    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def _no_servers_left() -> Iterator[None]:
    yield
    for place in data_folder().glob("servers*.json"):
        place.unlink()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as run:
        yield run


def n_sent(server: Running) -> int:
    return int(server.service.metrics.images.total())


def pictures(folder: Path, numbers: range) -> Table:
    (folder / "a").mkdir(parents=True)
    for number in numbers:
        picture(number).save(folder / "a" / f"{number}.png")
    return table_from_folder(folder).table


class TestServers(base.WidgetTest):
    @pytest.fixture(autouse=True)
    def _given(self, server: Running, ring: Ring) -> None:
        self.server, self.ring = server, ring

    def setUp(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.data = pictures(self.home / "first", range(6))
        self.widget = self.create_widget(OWImageEmbedding)

    def patience(self, seconds: float) -> None:
        """Have servers count as gone sooner."""
        patched = patch.object(servers_module, "_PATIENCE", seconds)
        patched.start()
        self.addCleanup(patched.stop)

    def send(self, data: Table | None, widget: OWImageEmbedding | None = None) -> None:
        widget = widget or self.widget
        self.send_signal(widget.Inputs.images, data, widget=widget)
        self.wait(widget)

    def wait(self, widget: OWImageEmbedding | None = None) -> None:
        self.wait_until_finished(widget or self.widget, timeout=int(SECONDS * 1000))

    def embedded(self, widget: OWImageEmbedding | None = None) -> Table | None:
        return self.get_output("Embeddings", widget or self.widget)

    def choose(self, key: str, combo: object = None) -> None:
        combo = combo or self.widget.server_panel.server_combo
        place = combo.findData(key)
        self.assertGreaterEqual(place, 0)
        combo.setCurrentIndex(place)
        combo.activated.emit(place)
        self.wait()

    def use(self, address: str, agreed: bool = True) -> None:
        """Have the widget use a server."""
        remember_server(Server(address, "", agreed))
        self.widget.server_panel.refresh()
        self.choose(address)

    def asks(self, widget: OWImageEmbedding | None = None) -> bool:
        return not (widget or self.widget).server_panel.question.isHidden()

    def locally(self, data: Table, spec: EmbedderSpec = SPEC) -> np.ndarray:
        shared_store().clear()
        return embed_table(data, data.domain["image"], spec).embedded.X

    def assert_same(self, got: np.ndarray, expected: np.ndarray) -> None:
        np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())

    # the question --------------------------------------------------------------------

    def test_nothing_is_sent_before_the_answer(self) -> None:
        before = n_sent(self.server)
        self.use(self.server.address, agreed=False)
        self.send(self.data)
        self.assertTrue(self.asks())
        text = self.widget.server_panel.question.label.text()
        self.assertIn(f"6 images will be sent to {self.server.address}", text)
        self.assertIn("6 images to be sent", str(self.widget.Warning.question))
        self.assertIsNone(self.embedded())
        self.assertEqual(n_sent(self.server), before)

        self.widget.server_panel.question.yes_button.click()
        self.wait()
        self.assertFalse(self.asks())
        self.assertEqual(n_sent(self.server), before + 6)
        self.assertFalse(self.widget.Warning.question.is_shown())
        self.assert_same(self.embedded().X, self.locally(self.data))
        # what the server computed is what this computer would have
        shared = self.embedded().domain[0].compute_value.compute_shared
        self.assertEqual(shared.server, self.server.address)
        column = self.data.domain["image"]
        here = embed_table(self.data, column, SPEC).embedded.domain
        self.assertEqual(self.embedded().domain.attributes, here.attributes)

        # once per address: in other widgets and workflows, too
        settings = self.widget.settingsHandler.pack_data(self.widget)
        self.assertNotIn(TOKEN, json.dumps(settings, default=str))
        again = self.create_widget(OWImageEmbedding, stored_settings=settings)
        self.assertEqual(again.server, self.server.address)
        self.send(self.data, again)
        self.assertFalse(self.asks(again))
        self.assertEqual(len(self.embedded(again)), 6)

    def test_declining(self) -> None:
        before = n_sent(self.server)
        self.use(self.server.address, agreed=False)
        self.send(self.data)
        self.widget.server_panel.question.no_button.click()
        self.assertIn(self.server.address, str(self.widget.Information.not_sent))
        self.assertEqual(self.widget.server, self.server.address)
        self.assertFalse(has_agreed(self.server.address))
        # not asked with each new table, but when the user says so
        self.send(self.data[:3])
        self.assertFalse(self.asks())
        self.assertTrue(self.widget.Information.not_sent.is_shown())
        self.widget.cancel_button.click()
        self.assertTrue(self.asks())
        self.assertIn("3 images", self.widget.server_panel.question.label.text())
        # another place computes: the question is gone
        self.choose("")
        self.assertFalse(self.asks())
        self.assertEqual(len(self.embedded()), 3)
        self.assertEqual(n_sent(self.server), before)

    def test_an_answer_counts_for_all_widgets_that_ask(self) -> None:
        settings = {"server": self.server.address, "__version__": 3}
        both = [
            self.create_widget(OWImageEmbedding, stored_settings=settings)
            for _ in range(2)
        ]
        for widget in both:
            self.send(self.data, widget)
            self.assertTrue(self.asks(widget))
            # it is somebody else's, and named as such
            combo = widget.server_panel.server_combo
            for text in (combo.currentText(), combo.toolTip().split("\n")[0]):
                self.assertEqual(text, f"{self.server.address} (not one of yours)")
        both[0].server_panel.question.yes_button.click()
        for widget in both:
            self.wait(widget)
            self.assertFalse(self.asks(widget))
            self.assertEqual(len(self.embedded(widget)), 6)
        self.assertEqual(known_servers(), [Server(self.server.address, "", True)])

    def test_server_of_a_workflow_is_not_what_new_widgets_begin_with(self) -> None:
        self.use(self.server.address)
        self.widget.saveSettings()
        self.assertEqual(self.create_widget(OWImageEmbedding).server, "")

    def test_settings_without_a_server_or_with_nonsense(self) -> None:
        for settings in ({"network": "squeezenet1_1", "__version__": 3}, {"server": 3}):
            widget = self.create_widget(OWImageEmbedding, stored_settings=settings)
            self.assertEqual(widget.server, "")
        widget = self.create_widget(
            OWImageEmbedding, stored_settings={"server": "ftp://x", "__version__": 3}
        )
        self.send(self.data, widget)
        widget.server_panel.question.yes_button.click()
        self.assertIn("no address", widget.server_panel.note.text())
        self.assertIsNone(self.embedded(widget))

    # embedding -----------------------------------------------------------------------

    def test_several_embedders_and_classes(self) -> None:
        before = n_sent(self.server)
        self.widget.others = [("squeezenet1_1", "stage2", 2, "crop")]
        self.widget.classes = True
        self.use(self.server.address)
        self.send(self.data)
        # the classes come along with the vectors
        self.assertEqual(n_sent(self.server), before + 12)
        shared_store().clear()
        specs = self.widget.panel.specs()
        here = embed_table(self.data, self.data.domain["image"], specs, classes=True)
        self.assertEqual(self.embedded().X.shape, here.embedded.X.shape)
        self.assert_same(self.embedded().X, here.embedded.X)
        got, wanted = self.embedded().metas[:, -10:], here.embedded.metas[:, -10:]
        np.testing.assert_array_equal(got[:, ::2], wanted[:, ::2])
        self.assertEqual(self.embedded().domain.metas, here.embedded.domain.metas)

    def test_engine_and_fast_mode_are_of_this_computer(self) -> None:
        self.widget.fast = True
        self.use(self.server.address)
        panel = self.widget.engine_panel
        self.assertTrue(panel.engine_combo.isHidden() and panel.fast_box.isHidden())
        self.assertIn("The server computes", panel.note.text())
        (spec,) = self.widget.panel.specs()
        self.assertEqual(spec.precision, "float32")
        self.choose("")
        self.assertFalse(panel.engine_combo.isHidden())

    def test_server_goes_and_comes_back(self) -> None:
        data = pictures(self.home / "more", range(100, 164))
        keep_them = StoredVectors.keep
        # one of its own: what is broken off may come to its end there later
        with (
            running() as run,
            bad_connection(("127.0.0.1", run.server.port), Faults()) as proxy,
        ):
            target = proxy.target

            def keep_and_break(self: StoredVectors, *what: object) -> None:
                keep_them(self, *what)
                proxy.target = ("127.0.0.1", 9)
                proxy.faults = Faults(drop=1.0, cut=1.0)

            self.use(proxy.address)
            self.patience(3)
            with patch.object(StoredVectors, "keep", keep_and_break):
                self.send(data)
            done, skipped = self.embedded(), self.get_output("Skipped Images")
            self.assertTrue(0 < len(done) < 64)
            self.assertEqual(len(done) + len(skipped), 64)
            self.assertIn("Not embedded yet", str(skipped[0]["reason"]))
            self.assertIn(proxy.address, str(self.widget.Warning.server))
            self.assertIn(proxy.address, self.widget.info_label.text())
            self.assertEqual(self.widget.cancel_button.text(), "Go &on")

            # what is known is shown although the server is gone
            self.patience(0.1)
            self.widget.cancel_button.click()
            self.wait()
            self.assertEqual(len(self.embedded()), len(done))
            self.assertTrue(self.widget.Warning.server.is_shown())

            proxy.target, proxy.faults = target, Faults()
            self.patience(60)
            self.widget.cancel_button.click()
            self.wait()
        self.assertFalse(self.widget.Warning.server.is_shown())
        self.assertEqual(self.widget.embedding.n_known, len(done))
        self.assert_same(self.embedded().X, self.locally(data))

    def test_all_is_known_and_nobody_is_there(self) -> None:
        self.patience(0.1)
        self.send(self.data)
        here = self.embedded().X
        self.use(NOWHERE)
        np.testing.assert_array_equal(self.embedded().X, here)
        self.assertIn("all from the cache", self.widget.info_label.text())

    def test_nobody_is_there(self) -> None:
        self.patience(0.1)
        self.use(NOWHERE)
        self.send(self.data)
        self.assertIn("cannot be reached", str(self.widget.Error.failed))
        self.assertIn("cannot be reached", self.widget.info_label.text())
        self.assertIsNone(self.embedded())
        self.assertEqual(self.widget.cancel_button.text(), "Go &on")

    def test_cancelling_while_the_server_is_silent(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.use(f"http://127.0.0.1:{silent.getsockname()[1]}")
            self.send_signal(self.widget.Inputs.images, self.data)
            wait_for(lambda: "Asking" in self.widget.info_label.text())
            self.widget.cancel_button.click()
        self.assertIsNone(self.widget.task)
        self.assertTrue(self.widget.Information.cancelled.is_shown())
        self.assertEqual(self.widget.cancel_button.text(), "Go &on")

    def test_network_that_is_not_offered(self) -> None:
        self.use(self.server.address)
        self.send(self.data)
        self.choose("vgg16", self.widget.panel.network_combo)
        text = str(self.widget.Error.failed)
        self.assertRegex(text, "does not offer VGG-16, only .*squeezenet1_1")
        self.assertEqual(self.widget.network, "vgg16")
        self.assertIsNone(self.embedded())

    # tokens --------------------------------------------------------------------------

    def test_token(self) -> None:
        with running(tokens=Tokens([TOKEN])) as run:
            keep(Server(run.address, "Lab", True), "", "wrong")
            self.use(run.address)
            self.send(self.data)
            self.assertIn("token", str(self.widget.Error.failed))
            self.assertIsNone(self.embedded())
            panel = self.widget.server_panel
            panel.edit_action.trigger()
            panel.dialog.token_edit.setText(TOKEN)
            panel.dialog.accept()
            wait_for(lambda: not panel.background.is_busy)
            self.wait()
            self.assertEqual(len(self.embedded()), 6)
            # where Orange keeps its own
            manager = CredentialManager("Image Mining servers")
            self.assertEqual(getattr(manager, run.address), TOKEN)
            settings = self.widget.settingsHandler.pack_data(self.widget)
            listed = (data_folder() / "servers.json").read_text()
            for text in (str(settings), listed):
                self.assertNotIn(TOKEN, text)

    # the list of servers -------------------------------------------------------------

    def edit(self, action: object, address: str, name: str = "") -> None:
        panel = self.widget.server_panel
        action.trigger()
        panel.dialog.address_edit.setText(address)
        panel.dialog.name_edit.setText(name)
        panel.dialog.accept()
        wait_for(lambda: not panel.background.is_busy)

    def test_adding_editing_removing(self) -> None:
        panel = self.widget.server_panel
        self.edit(panel.add_action, " lab.example:8742/ ", "Lab")
        self.assertEqual(self.widget.server, "http://lab.example:8742")
        self.assertEqual(panel.server_combo.currentText(), "Lab")
        self.assertEqual(known_servers(), [Server("http://lab.example:8742", "Lab")])
        agree("http://lab.example:8742")
        keep(known_servers()[0], "", TOKEN)
        # another name is no other server, another address is
        self.edit(panel.edit_action, "http://lab.example:8742", "Laboratory")
        self.assertTrue(has_agreed("http://lab.example:8742"))
        self.edit(panel.edit_action, "https://lab.example", "Laboratory")
        self.assertEqual(known_servers(), [Server("https://lab.example", "Laboratory")])
        self.assertEqual(list(self.ring.kept.values()), [TOKEN])
        self.assertIn("https://lab.example", str(self.ring.kept))
        agree("https://lab.example")
        answer = QMessageBox.StandardButton
        with patch.object(QMessageBox, "question", return_value=answer.No):
            panel.remove_action.trigger()
        self.assertTrue(has_agreed("https://lab.example"))
        with patch.object(QMessageBox, "question", return_value=answer.Yes):
            panel.remove_action.trigger()
        wait_for(lambda: not panel.background.is_busy)
        self.assertEqual((known_servers(), self.ring.kept), ([], {}))
        self.assertEqual(self.widget.server, "")

    def test_dialog_warns_and_refuses(self) -> None:
        panel = self.widget.server_panel
        panel.add_action.trigger()
        dialog = panel.dialog
        for address, warns in (
            ("http://lab.example", True),
            ("http://127.0.0.1:8742", False),
            ("https://lab.example", False),
        ):
            dialog.address_edit.setText(address)
            self.assertEqual("not encrypted" in dialog.problem.text(), warns)
        dialog.address_edit.setText("ftp://lab")
        dialog._on_ok()
        self.assertIn("no address", dialog.problem.text())
        self.assertEqual(dialog.result(), 0)
        dialog.reject()

    def test_no_keyring(self) -> None:
        with patch.object(Ring, "set_password", side_effect=RuntimeError):
            note = keep(Server("http://lab.example"), "", TOKEN)
        self.addCleanup(servers_module._TOKENS.clear)
        self.assertIn("until Orange is closed", note)
        self.assertEqual(servers_module.token_of("http://lab.example"), TOKEN)

    def test_damaged_list_is_set_aside(self) -> None:
        place = data_folder() / "servers.json"
        place.write_text("{")
        self.assertEqual(known_servers(), [])
        agree("http://lab.example")
        self.assertTrue(has_agreed("http://lab.example"))
        self.assertEqual(place.with_name("servers-damaged.json").read_text(), "{")

    # the trial -----------------------------------------------------------------------

    def try_it(self) -> str:
        panel = self.widget.server_panel
        panel.test_button.click()
        wait_for(lambda: panel.test_button.text() == "Test", SECONDS)
        return panel.note.text()

    def test_trial(self) -> None:
        self.use(self.server.address, agreed=False)
        text = self.try_it()
        self.assertRegex(text, r"^Reachable: Orange3-ImageMining \S+, answers in \d")
        self.assertIn("Networks: SqueezeNet 1.1.", text)
        self.assertRegex(text, r"embeds [\d,.]+ images/s by SqueezeNet 1\.1\.")
        self.widget.network = "vgg16"
        self.assertIn("VGG-16 is not among them", self.try_it())
        self.use(NOWHERE)
        self.assertEqual(self.widget.server_panel.note.text(), "")

    def test_trial_of_a_slow_server_does_not_say_none(self) -> None:
        with patch.object(serverwork, "_pace", return_value=0.42):
            text = serverwork.try_server(
                self.server.address, "squeezenet1_1", lambda *_: None
            )
        self.assertIn("embeds 0.42 images/s", text)

    def test_trial_of_a_silent_server_is_stopped(self) -> None:
        panel = self.widget.server_panel
        with socket.create_server(("127.0.0.1", 0)) as silent:
            self.use(f"http://127.0.0.1:{silent.getsockname()[1]}")
            panel.test_button.click()
            self.assertEqual(panel.test_button.text(), "Cancel")
            panel.test_button.click()
            self.assertEqual(
                (panel.test_button.text(), panel.note.text()), ("Test", "")
            )
            wait_for(lambda: not panel.background.is_busy)
        self.assertEqual(panel.note.text(), "")


@pytest.fixture(scope="module")
def resnet() -> Iterator[tuple[Running, Path]]:
    """A server with a network whose weights are not on this computer any more."""
    file = make_up_weights("resnet18")
    hidden = file.with_suffix(".away")
    with (
        pytest.MonkeyPatch.context() as patched,
        running(networks=("resnet18",)) as run,
    ):
        patched.setenv("IMAGEMINING_ENGINE", "torch")  # others are prepared for long
        # the network is loaded with the first image
        assert run.client.post("/image/resnet18", content=png(0)).status_code == 200
        file.rename(hidden)
        yield run, hidden
    hidden.unlink()


def test_new_images_go_to_the_same_server(
    resnet: tuple[Running, Path], tmp_path: Path
) -> None:
    run, hidden = resnet
    assert not can_run_here("resnet18")
    spec = EmbedderSpec("resnet18", "features")
    train = pictures(tmp_path / "train", range(3))
    new = pictures(tmp_path / "new", range(10, 14))
    result = embed_table(train, train.domain["image"], spec, server=run.address)
    domain = result.embedded.domain
    before = n_sent(run)
    with pytest.raises(ServerError, match="nobody has agreed"):
        new.transform(domain)
    assert n_sent(run) == before
    agree(run.address)
    vectors = new.transform(domain).X
    assert vectors.shape == (4, 512) and n_sent(run) == before + 4
    # known now, whatever becomes of the server
    forget_server(run.address)
    np.testing.assert_array_equal(new.transform(domain).X, vectors)
    # with the weights here nothing is sent
    shared_store().clear()
    hidden.rename(hidden.with_suffix(".safetensors"))
    here = new.transform(domain).X
    hidden.with_suffix(".safetensors").rename(hidden)
    assert n_sent(run) == before + 4
    np.testing.assert_allclose(here, vectors, atol=1e-5 * np.abs(vectors).max())


def test_half_embedded_new_images_are_an_error(
    resnet: tuple[Running, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = resnet
    agree(run.address)
    spec = EmbedderSpec("resnet18", "features")
    table = pictures(tmp_path / "all", range(4))
    domain = embed_table(
        table[:2], table.domain["image"], spec, server=run.address
    ).embedded.domain
    for column in domain.attributes[:1]:
        column.compute_value.compute_shared.server = NOWHERE
    agree(NOWHERE)
    monkeypatch.setattr(servers_module, "_PATIENCE", 0.1)
    with pytest.raises(ServerError, match="cannot be reached"):
        table.transform(domain)


class TestPredictions(base.WidgetTest):
    @pytest.fixture(autouse=True)
    def _given(self, resnet: tuple[Running, Path], tmp_path: Path) -> None:
        self.run_, self.folder = resnet[0], tmp_path

    def test_predictions_tell_why_there_are_none(self) -> None:
        train = pictures(self.folder / "train", range(3))
        new = pictures(self.folder / "new", range(20, 24))
        spec = EmbedderSpec("resnet18", "features")
        address = self.run_.address
        for server, text in (
            (address, "nobody has agreed"),
            (NOWHERE, "cannot be reached"),
            ("", "The weights of ResNet-18"),
        ):
            table = embed_table(train, train.domain["image"], spec, server=address)
            columns = table.embedded.domain.attributes
            columns[0].compute_value.compute_shared.server = server
            learnt = table.embedded.transform(Domain(columns[1:], columns[0]))
            before = n_sent(self.run_)
            widget = self.create_widget(OWPredictions)
            predictor = LinearRegressionLearner()(learnt)
            if server == NOWHERE:
                agree(NOWHERE)
            self.send_signal(widget.Inputs.predictors, predictor, 1, widget=widget)
            # the server of this test, in the same process, has the weights in memory
            failing = patch.object(
                embedding_module, "LocalEmbedder", side_effect=WeightsError(text)
            )
            with failing, patch.object(servers_module, "_PATIENCE", 0.1):
                self.send_signal(widget.Inputs.data, new, widget=widget)
            self.assertIn(text, str(widget.Error.predictor_failed))
            self.assertEqual(n_sent(self.run_), before)


# in a workflow -----------------------------------------------------------------------


def test_workflow_waits_for_the_answer(
    server: Running,
    registry: WidgetRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OWBaseWidget, "saveSettings", lambda self: None)
    pictures(tmp_path / "cells", range(4))
    path = tmp_path / "somebody-elses.ows"
    scheme = WidgetsScheme()
    nodes = []
    for name, title, settings in (
        (
            "owimportimages.OWImportImages",
            "Import",
            {"folder": str(tmp_path / "cells"), "__version__": 3},
        ),
        (
            "owimageembedding.OWImageEmbedding",
            "Embedding",
            {"server": server.address, "__version__": 3},
        ),
        ("owimageviewer.OWImageViewer", "Viewer", {}),
    ):
        node = SchemeNode(registry.widget(_PATH + name), title, properties=settings)
        nodes.append(node)
        scheme.add_node(node)
    scheme.new_link(nodes[0], "Data", nodes[1], "Images")
    scheme.new_link(nodes[1], "Embeddings", nodes[2], "Data")
    with path.open("wb") as stream:
        scheme.save_to(stream, pickle_fallback=False)
    scheme.clear()

    before = n_sent(server)
    runner = Runner(path, registry)
    runner.finish()
    widget = runner.widget("Embedding")
    assert widget.Warning.question.is_shown()
    assert runner.input("Viewer", "Data") is None
    assert n_sent(server) == before
    widget.server_panel.question.yes_button.click()
    runner.finish()
    table = runner.input("Viewer", "Data")
    assert len(table) == 4 and n_sent(server) == before + 4
    runner.close()

    runner = Runner(path, registry)
    runner.finish()
    assert not runner.widget("Embedding").Warning.question.is_shown()
    np.testing.assert_array_equal(runner.input("Viewer", "Data").X, table.X)
    runner.close()
