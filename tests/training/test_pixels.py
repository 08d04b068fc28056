"""Where pixels lie."""

from __future__ import annotations

import gc
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.training.pixels import Pixels, free_memory


def arrays() -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    shapes = [(2, 3), (10, 1), (7, 7), (1, 1), (30, 20)]
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]


@pytest.mark.parametrize("memory", [0, 20, 200, 10**9])
def test_what_comes_in_comes_out(memory: int, tmp_path: Path) -> None:
    with Pixels(memory, tmp_path) as pixels:
        for array in arrays():
            pixels.add(array)
    assert len(pixels) == 5
    for number, array in enumerate(arrays()):
        np.testing.assert_array_equal(pixels[number], array)
    assert pixels.n_bytes == sum(array.nbytes for array in arrays())
    assert pixels.on_disk == (memory < 10**9)
    if os.name == "posix":
        # a crash leaves nothing behind
        assert list(tmp_path.iterdir()) == []


def test_the_file_goes_with_the_pixels(tmp_path: Path) -> None:
    with Pixels(0, tmp_path) as pixels:
        pixels.add(arrays()[0])
    kept = pixels[0]
    del pixels
    gc.collect()
    np.testing.assert_array_equal(kept, arrays()[0])
    del kept
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_memory_is_taken_as_needed(tmp_path: Path) -> None:
    with Pixels(10**12, tmp_path) as pixels:
        pixels.add(arrays()[0])
    assert sum(block.nbytes for block in pixels._blocks) == 18


def test_disk_is_never_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 2**40, 2**29))
    with pytest.raises(TrainingError, match="neither .* memory .* folder .* space"):
        with Pixels(0, tmp_path) as pixels:
            pixels.add(arrays()[0])
    assert list(tmp_path.iterdir()) == []


def test_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TrainingError, match="neither"),
        Pixels(0, tmp_path / "file" / "x") as p,
    ):
        p.add(arrays()[0])


def test_of_an_array() -> None:
    array = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    pixels = Pixels.of(array)
    assert len(pixels) == 4 and pixels.n_bytes == array.nbytes
    np.testing.assert_array_equal(pixels[3], array[3])
    assert np.shares_memory(pixels[3], array)


def test_free_memory_is_some() -> None:
    assert 2**24 < free_memory() < 2**50
