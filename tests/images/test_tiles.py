from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from orangecontrib.imagemining.exceptions import (
    ImageError,
    ImageTooLargeError,
    TaskCancelled,
)
from orangecontrib.imagemining.images import tiles
from orangecontrib.imagemining.images.formats._base import Channel, Series
from orangecontrib.imagemining.images.tiles import tiles_of, tissue_mask

GLASS, PINK, PURPLE = (238, 236, 240), (225, 150, 190), (90, 40, 120)


class Drawn:
    """A picture in memory that counts what is asked of it."""

    format = "drawn"

    def __init__(
        self, *planes: np.ndarray, most: int = 10**9, steps: tuple[int, ...] = (1,)
    ) -> None:
        self.planes, self.most, self.steps = planes, most, steps
        self.read: list[int] = []
        height, width = planes[0].shape[:2]
        self.series = (
            Series(
                width,
                height,
                str(planes[0].dtype),
                channels=(Channel(),) * len(planes),
                samples=3 if planes[0].ndim == 3 else 1,
                levels=tuple((width // step, height // step) for step in steps),
            ),
        )

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> np.ndarray:
        plane = self.planes[c]
        fit = [
            one for one in self.steps if min(plane.shape[:2]) // one >= (near or 1e9)
        ]
        plane = plane[:: max(fit, default=1), :: max(fit, default=1)]
        if plane.size > self.most:
            raise ImageTooLargeError("too many")
        self.read.append(plane.size)
        return plane

    def region(self, series: int, xywh: Any, near: int | None = None) -> np.ndarray:
        x, y, width, height = xywh
        part = self.planes[0][y : y + height, x : x + width]
        assert part.shape[:2] == (height, width)
        self.read.append(part.size)
        return part

    def close(self) -> None:
        pass


def slide(width: int = 400, height: int = 300, blobs: Any = ()) -> np.ndarray:
    """Return noisy glass with rectangles (x, y, width, height, colour) of tissue."""
    pixels = np.empty((height, width, 3), np.int64)
    pixels[:] = GLASS
    for x, y, w, h, colour in blobs:
        pixels[y : y + h, x : x + w] = colour
    pixels += np.resize(np.random.default_rng(0).integers(-4, 5, 9973), pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8)


def corners(found: list[tuple[int, int, int, int]]) -> set[tuple[int, int]]:
    return {(x, y) for x, y, _, _ in found}


def test_tiles_are_where_the_tissue_is() -> None:
    image = Drawn(slide(blobs=[(110, 60, 80, 30, PINK), (300, 200, 100, 100, PURPLE)]))
    found = tiles_of(image, 50)
    assert corners(found) == {
        *((x, 50) for x in (100, 150)),
        *((x, y) for x in (300, 350) for y in (200, 250)),
    }
    assert {size[2:] for size in found} == {(50, 50)}
    assert found == sorted(found, key=lambda tile: (tile[1], tile[0]))


def test_share_of_tissue() -> None:
    # a quarter of the first tile, a tenth of the second
    image = Drawn(slide(200, 100, [(0, 0, 50, 50, PURPLE), (100, 0, 10, 100, PURPLE)]))
    assert corners(tiles_of(image, 100)) == {(0, 0), (100, 0)}
    assert corners(tiles_of(image, 100, 0.11)) == {(0, 0)}
    assert corners(tiles_of(image, 100, 0.24)) == {(0, 0)}
    assert corners(tiles_of(image, 100, 0.26)) == set()
    assert corners(tiles_of(image, 100, 0)) == {(0, 0), (100, 0)}


def test_all_of_it_is_covered() -> None:
    image = Drawn(slide(410, 290))
    found = tiles_of(image, 100, 0)
    assert sorted({x for x, _, _, _ in found}) == [0, 100, 200, 300, 310]
    assert sorted({y for _, y, _, _ in found}) == [0, 100, 190]
    assert {size[2:] for size in found} == {(100, 100)}
    found = tiles_of(image, 100, 0, whole_edges=False)
    assert sorted({x for x, _, _, _ in found}) == [0, 100, 200, 300]
    assert sorted({y for _, y, _, _ in found}) == [0, 100]
    assert image.read == []  # no pixels are needed for that


def test_overlap_and_step() -> None:
    image = Drawn(slide(410, 300))
    found = tiles_of(image, 100, 0, overlap=20)
    assert sorted({x for x, _, _, _ in found}) == [0, 80, 160, 240, 310]
    found = tiles_of(image, 50, 0, overlap=10, step=2)
    assert sorted({x for x, _, _, _ in found}) == [0, 80, 160, 240, 310]
    assert {size[2:] for size in found} == {(100, 100)}


def test_an_image_smaller_than_a_tile_is_one() -> None:
    assert tiles_of(Drawn(slide(40, 300)), 200, 0) == [
        (0, 0, 40, 200),
        (0, 100, 40, 200),
    ]
    assert tiles_of(Drawn(slide(40, 30)), 200, 0) == [(0, 0, 40, 30)]


def test_empty_glass_gives_none() -> None:
    assert tiles_of(Drawn(slide()), 100) == []
    assert tiles_of(Drawn(np.full((100, 100, 3), 255, np.uint8)), 20) == []
    assert tiles_of(Drawn(np.zeros((100, 100, 3), np.uint8)), 20) == []
    assert tiles_of(Drawn(np.full((100, 100), 7, np.uint16)), 20) == []


def test_without_background_all_are_given() -> None:
    pixels = slide(400, 300, [(0, 0, 400, 300, PINK), (30, 40, 200, 200, PURPLE)])
    assert len(tiles_of(Drawn(pixels), 100)) == 12
    noise = np.random.default_rng(0).normal(1000, 50, (300, 400)).astype(np.uint16)
    assert len(tiles_of(Drawn(noise), 100)) == 12


def test_ink_does_not_hide_pale_tissue() -> None:
    pale = (222, 205, 215)
    image = Drawn(
        slide(blobs=[(0, 0, 100, 100, pale), (200, 100, 200, 200, (0, 0, 20))])
    )
    assert (0, 0) in corners(tiles_of(image, 100))
    assert (100, 0) not in corners(tiles_of(image, 100))


def test_black_glass() -> None:
    pixels = 255 - slide(400, 300, [(100, 100, 100, 100, PURPLE)])
    assert corners(tiles_of(Drawn(pixels), 100)) == {(100, 100)}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "int16"])
def test_bright_cells_on_black(dtype: str) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(20, 3, (300, 400))
    pixels[110:180, 210:290] += 90
    image = Drawn(pixels.astype(dtype))
    assert corners(tiles_of(image, 100)) == {(200, 100)}
    # the other way round: dark on bright
    assert corners(tiles_of(Drawn((127 - pixels).clip(0).astype(dtype)), 100)) == {
        (200, 100)
    }


def test_all_channels_are_looked_at() -> None:
    first, second = (
        np.random.default_rng(c).normal(100, 5, (300, 400)).astype(np.uint16)
        for c in range(2)
    )
    first[:100, :100] = 4000
    second[200:, 300:] = 900
    assert corners(tiles_of(Drawn(first, second), 100)) == {(0, 0), (300, 200)}


def test_pixels_without_a_value() -> None:
    pixels = np.random.default_rng(0).normal(20, 3, (300, 400)).astype(np.float32)
    pixels[:100, :100] = 300
    pixels[200, 200] = np.nan
    pixels[0, 0] = np.inf
    assert corners(tiles_of(Drawn(pixels), 100)) == {(0, 0)}
    assert tiles_of(Drawn(np.full((30, 30), np.nan, np.float32)), 10) == []


def test_the_overview_is_small() -> None:
    pixels = slide(3000, 1500, [(0, 0, 500, 500, PINK)])
    image = Drawn(pixels, steps=(1, 2, 10))
    assert corners(tiles_of(image, 500)) == {(0, 0)}
    assert image.read == [1500 * 750 * 3]  # the smallest of 1024 pixels at least
    assert tissue_mask(Drawn(pixels)).shape == (750, 1500)


def test_what_cannot_be_read_at_once_is_pieced_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiles, "_OVERVIEW", 130)
    monkeypatch.setattr(tiles, "_BLOCK", 100)
    # whole pixels of the overview, of 8 × 8
    image = Drawn(slide(1040, 776, [(504, 304, 144, 88, PURPLE)]), most=3 * 120 * 120)
    told: list[float] = []
    found = tiles_of(
        image, 50, progress=lambda fraction, status="": told.append(fraction)
    )
    assert corners(found) == {(x, y) for x in (500, 550, 600) for y in (300, 350)}
    assert max(image.read) <= 3 * 100 * 100
    assert told == sorted(told) and told[0] == 0 and told[-1] == 1 and len(told) > 50


def test_cancelling() -> None:
    def stop(fraction: float, status: str = "") -> None:
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        tiles_of(Drawn(slide()), 100, progress=stop)


@pytest.mark.parametrize(
    "words",
    [
        {"side": 0},
        {"side": 10, "overlap": 10},
        {"side": 10, "overlap": -1},
        {"side": 10, "step": 0.5},
        {"side": 10, "step": float("nan")},
        {"side": 10, "tissue": 1.1},
    ],
)
def test_tiles_that_cannot_be(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        tiles_of(Drawn(slide(20, 20)), **words)


def test_series_that_are_not_there() -> None:
    with pytest.raises(ImageError, match="series"):
        tiles_of(Drawn(slide(20, 20)), 10, series=1)


def test_files_of_any_kind(tmp_path: Path) -> None:
    pixels = slide(400, 300, [(110, 60, 80, 30, PINK)])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels, tile=(64, 64), photometric="rgb", subifds=1)
        small = np.ascontiguousarray(pixels[::2, ::2])
        file.write(small, tile=(64, 64), photometric="rgb", subfiletype=1)
    for name in ("a.png", "a.tif"):
        found = tiles_of(str(tmp_path / name), 50)
        assert corners(found) == {(100, 50), (150, 50)}, name
    # a series that is named in the source
    tifffile.imwrite(tmp_path / "b.tif", slide(90, 60)[..., 0])
    tifffile.imwrite(tmp_path / "b.tif", slide(30, 20)[..., 0], append=True)
    assert tiles_of(f"{tmp_path / 'b.tif'}#s=1", 99, 0) == [(0, 0, 30, 20)]
    with pytest.raises(ImageError):
        tiles_of(str(tmp_path / "none.tif"), 50)
