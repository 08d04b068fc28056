"""One range of brightness for many images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import picture

from orangecontrib.imagemining.exceptions import ImageError, TaskCancelled
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.sources import Rendering, join_source
from orangecontrib.imagemining.tables import contrast
from orangecontrib.imagemining.tables.contrast import set_ranges


def write(path: Path, values: np.ndarray, axes: str = "YX") -> str:
    tifffile.imwrite(path, values, ome=True, metadata={"axes": axes})
    return str(path)


def ramp(low: int, high: int, n: int = 10_000) -> np.ndarray:
    return np.linspace(low, high, n).round().astype(np.uint16).reshape(100, -1)


def test_the_range_is_that_of_all_images_together(tmp_path: Path) -> None:
    sources = [
        write(tmp_path / "dark.ome.tif", ramp(0, 1000)),
        write(tmp_path / "bright.ome.tif", ramp(1000, 2000)),
    ]
    found = set_ranges(sources, Rendering(), (0, 100))
    assert found.ranges == ((0, 2000),)
    assert (found.n_images, found.n_unreadable) == (2, 0)
    ((low, high),) = set_ranges(sources, Rendering(), (10, 75)).ranges
    assert low == pytest.approx(200, abs=2) and high == pytest.approx(1500, abs=2)
    # the same to the last bit, in any process and however often
    assert set_ranges(sources, Rendering(), (10, 75)).ranges == ((low, high),)


def test_each_channel_has_its_own_in_the_order_they_are_shown(tmp_path: Path) -> None:
    values = np.stack([ramp(0, 10), ramp(100, 200), ramp(5000, 6000)])
    source = write(tmp_path / "a.ome.tif", values, "CYX")
    ranges = ((0, 10), (100, 200), (5000, 6000))
    assert set_ranges([source], Rendering(), (0, 100)).ranges == ranges
    chosen = Rendering(channels=((2, "red"), (0, "green")))
    found = set_ranges([source], chosen, (0, 100))
    assert found.ranges == (ranges[2], ranges[0])
    # rows of one channel each
    rows = [f"{source}#c={c}" for c in (2, 1)]
    assert set_ranges(rows, Rendering(), (0, 100)).ranges[1:] == ranges[1:]
    assert set_ranges(rows[:1], chosen, (0, 100)).ranges[0] == ranges[2]


def test_images_of_a_set_are_brightened_alike(tmp_path: Path) -> None:
    sources = [
        write(tmp_path / "dark.ome.tif", ramp(0, 1000)),
        write(tmp_path / "bright.ome.tif", ramp(1000, 2000)),
    ]
    found = set_ranges(sources, Rendering(), (0, 100))
    words = str(Rendering(contrast="range", ranges=found.ranges))
    with ImageReader() as reader:
        dark, bright = (
            np.asarray(reader.read(join_source(source, rendering=words)))
            for source in sources
        )
    assert (dark.min(), dark.max()) == (0, 128)
    assert (bright.min(), bright.max()) == (128, 255)


def test_projections_have_another_range_than_planes(tmp_path: Path) -> None:
    values = np.stack([ramp(0, 10), ramp(500, 600)])
    source = write(tmp_path / "a.ome.tif", values, "ZYX")
    assert set_ranges([source], Rendering(), (0, 100)).ranges == ((0, 10),)
    found = set_ranges([source], Rendering("max"), (0, 100))
    assert found.ranges == ((500, 600),)
    # words that the sources have already do not count, parts do
    for words in ("stack=max&contrast=full", "contrast=range:7,8"):
        found = set_ranges([f"{source}#{words}"], Rendering(), (0, 100))
        assert found.ranges == ((0, 10),)
    found = set_ranges([f"{source}#z=1"], Rendering(), (0, 100))
    assert found.ranges == ((500, 600),)


def test_photographs_and_constant_and_odd_pixels(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    picture(1).save(photo)
    pixels = np.asarray(picture(1))
    found = set_ranges([str(photo)], Rendering(), (0, 100))
    assert found.ranges == ((pixels.min(), pixels.max()),)
    constant = write(tmp_path / "c.ome.tif", np.full((9, 9), 7, np.uint16))
    assert set_ranges([constant], Rendering()).ranges == ((7, 8),)
    values = np.linspace(-1, 1, 100, dtype=np.float32).reshape(10, 10)
    values[0, :3] = np.nan, np.inf, -np.inf
    odd = write(tmp_path / "f.ome.tif", values)
    ((low, high),) = set_ranges([odd], Rendering(), (0, 100)).ranges
    assert low == values[0, 3] and high == 1


def test_unreadable_images_are_left_out_and_counted(tmp_path: Path) -> None:
    good = write(tmp_path / "a.ome.tif", ramp(0, 100))
    bad = tmp_path / "b.tif"
    bad.write_text("no picture")
    sources = [str(bad), good, None, good, str(tmp_path / "gone.png")]
    found = set_ranges(sources, Rendering(), (0, 100))
    assert found.ranges == ((0, 100),)
    assert (found.n_images, found.n_unreadable) == (1, 2)
    with pytest.raises(ImageError, match="text file"):
        set_ranges([str(bad), None], Rendering())
    assert set_ranges([], Rendering()).ranges == ()


def test_many_images_count_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contrast, "_NUMBERS", 1000)
    sources = [
        write(tmp_path / "large.ome.tif", ramp(0, 100, 10_000)),
        write(tmp_path / "small.ome.tif", ramp(200, 300, 500)),
    ]
    ((_, high),) = set_ranges(sources, Rendering(), (0, 50)).ranges
    # half of all numbers are of the large one, though it has 20 times as many
    assert high == pytest.approx(150, abs=55)


def test_it_can_be_stopped(tmp_path: Path) -> None:
    sources = [write(tmp_path / f"{n}.ome.tif", ramp(0, 9)) for n in range(8)]
    told = []

    def stop(fraction: float, status: str = "") -> None:
        told.append((fraction, status))
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        set_ranges(sources, Rendering(), progress=stop)
    assert told == [(0, "Range: 0 of 8 images read")]
