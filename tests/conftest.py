"""What all tests share."""

from __future__ import annotations

import os

# before anything imports Qt: tests have no screen
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
# tests that load it by themselves are not to report to its makers either
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    # the weights that tests convert do not belong into the user's folder
    os.environ["IMAGEMINING_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _no_vectors_left() -> Iterator[None]:
    yield
    # what one test computed, the next has to compute itself
    if store := sys.modules.get("orangecontrib.imagemining.embedders.cache.store"):
        for shared in store._SHARED.values():
            shared.clear()
            shared.close()


@pytest.fixture(autouse=True)
def _one_core(request: pytest.FixtureRequest) -> Iterator[None]:
    """Train on one core: networks this small only wait for each other on several."""
    # here, since another conftest would hide this one from `from conftest import`
    if request.path.parent.name not in ("training", "compression"):
        yield
        return
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Return a picture of smooth colours, (width, height)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that fills a folder: {"a": 3, "b": 2} images a category."""

    def make(counts: dict[str, int], name: str = "pictures") -> Path:
        folder = tmp_path / name
        seed = 0
        for category, count in counts.items():
            (folder / category).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                seed += 1
                picture(seed).save(folder / category / f"{index}.png")
        return folder

    return make


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Run Qt's event loop until something is so."""
    from AnyQt.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        QApplication.processEvents()
        time.sleep(0.005)
