from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from AnyQt.QtWidgets import QApplication, QInputDialog, QMessageBox
from conftest import wait_for

from orangecontrib.imagemining.embedders.cache import Row, VectorStore, shared_store
from orangecontrib.imagemining.widgets.utils.background import Background
from orangecontrib.imagemining.widgets.utils.cachepanel import (
    CacheFacts,
    CachePanel,
    size_text,
)

GB = 2**30


@pytest.fixture(scope="module")
def application() -> QApplication:
    return QApplication.instance() or QApplication([])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VectorStore]:
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path))
    monkeypatch.delenv("IMAGEMINING_CACHE_BYTES", raising=False)
    store = shared_store()
    put(store, 3)
    yield store
    store.close()


def put(store: VectorStore, n: int) -> None:
    vector = np.ones(1000, np.float32)
    store.put_many(Row("x", None, b"%d" % i, {b"spec": vector}) for i in range(n))


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def panel(
    application: QApplication, store: VectorStore, messages: list[str]
) -> Iterator[CachePanel]:
    panel = CachePanel(messages.append)
    panel.refresh()
    wait_for(lambda: panel.facts)
    yield panel
    panel.background.stop()


def settle(panel: CachePanel) -> None:
    wait_for(lambda: not panel.background.is_busy)


def test_texts() -> None:
    facts = CacheFacts(12_345, 210 * 2**20, 2 * GB, False, "")
    assert facts.describe() == "12,345 embeddings, 210 MB of 2 GB"
    text = CacheFacts(1, 900, GB // 2, False, "").describe()
    assert text == "1 embedding, 1 MB of 512 MB"
    assert CacheFacts(0, 50_000, 2 * GB, False, "").describe() == "empty, 2 GB at most"
    text = CacheFacts(7, 9, 0, False, "").describe()
    assert text == "7 embeddings, kept only as long as Orange runs"
    sizes = (0, 2**20 * 1.4, 1.5 * GB, 2.04 * GB, 1234 * GB)
    texts = ["0 MB", "1 MB", "1.5 GB", "2 GB", "1,234 GB"]
    assert [size_text(int(size)) for size in sizes] == texts


def test_what_there_is_is_shown(panel: CachePanel, store: VectorStore) -> None:
    assert panel.label.text() == "Cache: 3 embeddings, 1 MB of 2 GB"
    put(store, 700)
    panel.refresh()
    settle(panel)
    assert panel.label.text() == "Cache: 700 embeddings, 3 MB of 2 GB"


def test_clearing_is_asked_about(panel: CachePanel, store: VectorStore) -> None:
    button = QMessageBox.StandardButton
    with patch.object(QMessageBox, "question", return_value=button.No) as question:
        panel.clear_action.trigger()
        assert "3 embeddings" in question.call_args.args[2]
        assert question.call_args.args[4] == button.No  # what Enter does
    settle(panel)
    assert store.n_vectors() == 3
    with patch.object(QMessageBox, "question", return_value=button.Yes):
        panel.clear_action.trigger()
    assert not panel.button.isEnabled() and "clearing" in panel.label.text()
    panel.refresh()  # of an embedding that ends now: it comes after that
    settle(panel)
    assert store.n_vectors() == 0
    assert panel.label.text() == "Cache: empty, 2 GB at most"
    assert panel.button.isEnabled() and not panel.clear_action.isEnabled()


def test_a_store_that_cannot_be_counted_can_be_cleared(panel: CachePanel) -> None:
    button = QMessageBox.StandardButton
    panel._show(CacheFacts(0, 0, 2 * GB, False, "The disk is full"))
    assert panel.clear_action.isEnabled()
    with patch.object(QMessageBox, "question", return_value=button.No) as question:
        panel.clear_action.trigger()
    assert question.call_args.args[2].startswith("Throw out all that is kept?")


def test_the_limit_is_set(panel: CachePanel, store: VectorStore) -> None:
    put(store, 2000)
    with patch.object(QInputDialog, "getDouble", return_value=(0.004, True)) as ask:
        panel.limit_action.trigger()
        assert ask.call_args.args[3] == 2  # GB, as it was
    settle(panel)
    assert store.limit == round(0.004 * GB) and 0 < store.size() <= store.limit
    assert panel.label.text().endswith(f"{store.n_vectors()} embeddings, 4 MB of 4 MB")
    with patch.object(QInputDialog, "getDouble", return_value=(9, False)):
        panel.limit_action.trigger()
    settle(panel)
    assert store.limit == round(0.004 * GB)


def test_a_limit_of_the_environment_is_told(
    panel: CachePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEMINING_CACHE_BYTES", str(GB))
    panel.refresh()
    settle(panel)
    assert panel.label.text().endswith("of 1 GB")
    assert not panel.limit_action.isEnabled()
    assert "IMAGEMINING_CACHE_BYTES" in panel.limit_action.text()


def test_damage_is_told(
    panel: CachePanel, store: VectorStore, messages: list[str]
) -> None:
    assert set(messages) == {""}
    store.close()
    assert store.path is not None
    store.path.write_bytes(b"nothing of ours" * 999)
    panel.refresh()
    settle(panel)
    assert "set aside as vectors-damaged-" in messages[-1]
    assert panel.label.text().startswith("Cache: empty")


def test_only_the_last_question_is_answered(application: QApplication) -> None:
    parent = CachePanel(lambda message: None)
    background = Background(parent)
    answers: list[int] = []
    for number in range(5):
        background.ask(lambda number=number: number * 10, answers.append)
    assert background.is_busy
    wait_for(lambda: not background.is_busy)
    assert answers == [40]
    background.ask(lambda: 1, answers.append)
    background.stop()
    background.ask(lambda: 2, answers.append)
    application.processEvents()
    assert answers == [40]
    parent.background.stop()


def test_closing_does_not_wait_for_what_takes_long(application: QApplication) -> None:
    panel = CachePanel(lambda message: None)
    background = Background(panel)
    released, ended = threading.Event(), threading.Event()
    answers: list[None] = []

    def shrink() -> None:
        released.wait(20)
        ended.set()

    background.ask(shrink, answers.append)
    background.stop()
    assert not ended.is_set()
    released.set()
    assert ended.wait(20)
    application.processEvents()
    assert answers == []
    panel.background.stop()
