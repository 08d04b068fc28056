from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from AnyQt.QtWidgets import QApplication
from conftest import wait_for

from orangecontrib.imagemining.embedders.engines.choice import (
    AUTO,
    ENGINES,
    EngineChoice,
    EngineInfo,
    choose_engine,
    engines_here,
)
from orangecontrib.imagemining.widgets.utils import enginepanel
from orangecontrib.imagemining.widgets.utils.enginepanel import (
    EngineFacts,
    EnginePanel,
    engine_facts,
)


@pytest.fixture(scope="module", autouse=True)
def application() -> QApplication:
    return QApplication.instance() or QApplication([])


class Master(SimpleNamespace):
    network = "squeezenet1_1"
    views = 1
    engine = AUTO
    fast = False
    server = ""


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Callable[[Master], EnginePanel]:
    def show(master: Master) -> EnginePanel:
        panel = EnginePanel(master, lambda: master.calls.append("choice"))
        request.addfinalizer(panel.background.stop)
        panel.refresh()
        wait_for(lambda: not panel.background.is_busy)
        return panel

    return show


def choose(panel: EnginePanel, name: str) -> None:
    combo = panel.engine_combo
    combo.setCurrentIndex(combo.findData(name))
    combo.activated.emit(combo.currentIndex())
    wait_for(lambda: not panel.background.is_busy)


def test_engine_and_reason_are_shown(shown: Callable) -> None:
    master = Master(calls=[])
    panel = shown(master)
    combo = panel.engine_combo
    assert [combo.itemData(place) for place in range(combo.count())] == [AUTO, *ENGINES]
    assert combo.currentData() == AUTO
    assert panel.note.text() == f"{choose_engine('squeezenet1_1').reason}."
    choose(panel, "torch")
    assert master.engine == "torch"
    assert "PyTorch" in panel.note.text() and "as chosen" in panel.note.text()
    assert master.calls == []  # the numbers are the same: nothing is computed anew


def test_what_cannot_be_had_cannot_be_chosen(shown: Callable) -> None:
    panel = shown(Master(calls=[], network="timm:resnet18.a1_in1k"))
    model = panel.engine_combo.model()
    enabled = {
        panel.engine_combo.itemData(place): model.item(place).isEnabled()
        for place in range(panel.engine_combo.count())
    }
    there = engines_here("timm:resnet18.a1_in1k")
    assert enabled == {AUTO: True, **{info.name: info.available for info in there}}
    assert enabled["torch"] and not enabled["onnxruntime"]
    tip = panel.engine_combo.itemData(
        panel.engine_combo.findData("onnxruntime"),
        3,  # Qt.ToolTipRole
    )
    assert "does not run networks of timm" in tip


def test_an_engine_of_another_version_is_shown_and_replaced(shown: Callable) -> None:
    master = Master(calls=[], engine="abacus")
    panel = shown(master)
    assert panel.engine_combo.currentText() == "abacus (not available)"
    reason = choose_engine("squeezenet1_1").reason
    assert panel.note.text() == f"The engine abacus is not installed here. {reason}."
    assert master.engine == "abacus"


def facts(fast: str) -> EngineFacts:
    infos = [EngineInfo("onnxruntime", "ONNX Runtime", True, "good")]
    choice = EngineChoice("onnxruntime", "cpu", "float32", "because")
    quick = EngineChoice("openvino", "cpu", fast, "OpenVINO in bfloat16: fastest")
    return EngineFacts(infos, choice, quick)


def test_fast_mode_is_offered_where_there_is_one(
    shown: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = Master(calls=[])
    monkeypatch.setattr(enginepanel, "engine_facts", lambda *args: facts("float32"))
    assert shown(master).fast_box.isHidden()
    monkeypatch.setattr(enginepanel, "engine_facts", lambda *args: facts("bfloat16"))
    panel = shown(master)
    assert not panel.fast_box.isHidden()
    assert "bfloat16" in panel.fast_box.text()
    panel.fast_box.click()
    assert master.fast and master.calls == ["choice"]
    wait_for(lambda: not panel.background.is_busy)
    # a workflow from a computer that has it shows that it is on
    monkeypatch.setattr(enginepanel, "engine_facts", lambda *args: facts("float32"))
    panel = shown(Master(calls=[], fast=True))
    assert not panel.fast_box.isHidden() and panel.fast_box.isChecked()


def test_the_facts_are_those_of_the_choice() -> None:
    known = engine_facts("vgg16", "torch", "dense", "float32")
    assert known.choice == choose_engine("vgg16", "torch", "float32", "dense")
    assert known.fast == choose_engine("vgg16", "torch", "fast", "dense")
    assert known.engines == engines_here("vgg16", "dense")
    assert known.has_fast == (known.fast.precision != "float32")
