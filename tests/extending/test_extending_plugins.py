"""Parts of other packages: found by entry points, shown by widgets, or left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from page_examples import in_fresh_interpreter, write_files

from orangecontrib.imagemining.compression.plan import (
    Half,
    Step,
    StepKind,
    kind_of,
    register_step,
    step_kinds,
)
from orangecontrib.imagemining.embedders.engines.choice import (
    ENGINES,
    EngineKind,
    register_engine,
)
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.images.formats import families
from orangecontrib.imagemining.plugins import GROUPS
from orangecontrib.imagemining.training.designs import register_design

PAGES = ("network.md", "engine.md", "reader.md", "compression-step.md")

#: By room: a module of the pages, and one that cannot be imported.
MODULES = {
    "networks": ["all_cnn"],
    "designs": ["all_cnn_design"],
    "engines": ["numpy_engine"],
    "formats": ["broken", "mrc"],
    "compression": ["powers"],
}

SEEN = """
import json, logging, sys
from AnyQt.QtWidgets import QApplication
app = QApplication([])
told = []
handler = logging.Handler()
handler.emit = lambda record: told.append(record.getMessage())
logging.getLogger("orangecontrib.imagemining.plugins").addHandler(handler)

from orangecontrib.imagemining.compression.plan import STEPS
from orangecontrib.imagemining.embedders.engines.choice import ENGINES
from orangecontrib.imagemining.images.formats import Family, families, register
from orangecontrib.imagemining.images.names import image_suffixes
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.widgets.utils.compresssteps import StepDialog, StepList
from orangecontrib.imagemining.widgets.utils.trainestimate import estimate
from orangecontrib.imagemining.widgets.utils.traintexts import (
    network_items, network_title
)

without_torch = "torch" not in sys.modules
step = STEPS["powers of two"](bits=6)
steps = StepList()
steps.set_steps([step])
dialog = StepDialog(None, step)
from orangecontrib.imagemining.networks import network_names
ending = ".mrc" in image_suffixes()
register(Family("Later", (".later",), lambda prefix, path: False, None))
print(json.dumps({
    "without torch": without_torch,
    "told": told,
    "family": [family.name for family in families()][-3:],
    "endings": [ending, ".later" in image_suffixes()],
    "engine": ENGINES.get("numpy"),
    "menu": [each.text() for each in steps.add_button.menu().actions()][-1],
    "tip": steps.list.item(0).toolTip()[:14],
    "line": steps.list.item(0).text(),
    "title": dialog.windowTitle(),
    "fields": list(dialog.grid.values()),
    "same": dialog.step() == step,
    "item": network_items("").get("all_cnn_c") == network_title("all_cnn_c"),
    "minutes": estimate(Plan(network="all_cnn_c", start="nothing"), 100),
    "network": "all_cnn_c" in network_names(),
}))
"""


def install(folder: Path) -> None:
    """Make the pages' modules a package that is installed, as pip would."""
    for page in PAGES:
        write_files(page, folder)
    (folder / "broken.py").write_text("import nowhere_to_be_found\n")
    about = folder / "parts-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: parts\nVersion: 1\n")
    lines = []
    for room, modules in MODULES.items():
        lines += [f"[{GROUPS[room]}]", *(f"{name} = {name}" for name in modules)]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")


def test_an_installed_package_adds_to_every_room(tmp_path: Path) -> None:
    assert MODULES.keys() == GROUPS.keys()
    install(tmp_path)
    seen = json.loads(in_fresh_interpreter(SEEN, tmp_path).splitlines()[-1])
    (told,) = seen.pop("told")
    assert told.startswith("broken (imagemining.formats) was left out: No module named")
    assert seen.pop("minutes") is None  # nobody has measured it
    assert seen == {
        "without torch": True,
        "family": ["MRC", "Later", "Pictures"],  # which would take them for bitmaps
        "endings": [True, True],
        "engine": "NumPy",
        "menu": "Powers of two",
        "tip": "Weights become",
        "line": "1. Powers of two, 6 bits",
        "title": "Powers of two",
        "fields": ["bits", "epochs"],
        "same": True,
        "item": True,
        "network": True,
    }


def test_pages_name_the_groups() -> None:
    folder = Path(__file__).parents[2] / "doc" / "extending"
    text = "".join(page.read_text(encoding="utf8") for page in folder.glob("*.md"))
    for group in GROUPS.values():
        assert f'[project.entry-points."{group}"]' in text


@dataclass(frozen=True)
class Other(Step):
    """A step that nobody has registered."""


TWICE: list[Callable[[], object]] = [
    lambda: register_step(StepKind("half", Other, "Half", "nowhere:run")),
    lambda: register_step(StepKind("other", Half, "Half", "nowhere:run")),
    lambda: register_engine(EngineKind("torch", "Torch", "", "nowhere:load")),
    lambda: register_engine(EngineKind("auto", "Torch", "", "nowhere:load")),
    lambda: register_design("resnet_cifar", "ResNet"),
]


@pytest.mark.parametrize("register", TWICE)
def test_what_is_there_already_is_not_replaced(register: Callable[[], object]) -> None:
    before = (step_kinds(), dict(ENGINES), families())
    with pytest.raises(ValueError, match="already"):
        register()
    assert (step_kinds(), dict(ENGINES), families()) == before


def test_steps_of_no_kind_are_told() -> None:
    with pytest.raises(TrainingError, match="no step of a compression"):
        kind_of(Other())
