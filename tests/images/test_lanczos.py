"""Resizing by Lanczos' filter, beside Pillow's."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from orangecontrib.imagemining.images import lanczos
from orangecontrib.imagemining.images.lanczos import resize_lanczos
from orangecontrib.imagemining.images.resize import resized
from orangecontrib.imagemining.specs import Preprocess


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(width)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


def difference(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    found = resize_lanczos(image, size)
    expected = image.resize(size, Image.Resampling.LANCZOS)
    assert found.mode == expected.mode and found.size == expected.size
    return np.abs(np.asarray(found, int) - np.asarray(expected, int))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "size, new",
    [
        ((500, 375), (227, 227)),
        ((300, 290), (31, 30)),  # more rows than a strip
        ((300, 1), (50, 1)),
        ((40, 30), (227, 227)),  # larger than it was
        ((227, 300), (227, 227)),
        ((3, 3), (1, 1)),
    ],
)
def test_numbers_are_pillows(
    mode: str, size: tuple[int, int], new: tuple[int, int]
) -> None:
    off = difference(noise(*size, mode), new)
    assert off.max() <= 2  # of 255
    assert (off > 0).mean() < 0.01


def test_black_and_white_stay_what_they_are() -> None:
    edge = np.zeros((90, 90, 3), np.uint8)
    edge[:, 45:] = 255  # the filter overshoots beside it
    found = np.asarray(resize_lanczos(Image.fromarray(edge), (31, 31)))
    assert found[0, 0, 0] == 0 and found[0, -1, 0] == 255
    assert difference(Image.fromarray(edge), (31, 31)).max() <= 1


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(100, 290)
    expected = np.asarray(resize_lanczos(image, (40, 40)))
    monkeypatch.setattr(lanczos, "_STRIP", 7)
    np.testing.assert_array_equal(np.asarray(resize_lanczos(image, (40, 40))), expected)


@pytest.mark.parametrize("as_stored", [False, True])
def test_old_network_gets_pillows_own_numbers(
    as_stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []

    def quick(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        calls.append(size)
        return image.resize(size)

    module = "orangecontrib.imagemining.images.resize.resize_lanczos"
    monkeypatch.setattr(module, quick)
    preprocess = Preprocess((20, 30), interpolation="lanczos", as_stored=as_stored)
    found = resized(noise(60, 50), (30, 20), preprocess)
    assert calls == ([] if as_stored else [(30, 20)])
    if as_stored:
        expected = noise(60, 50).resize((30, 20), Image.Resampling.LANCZOS)
        assert found.tobytes() == expected.tobytes()


def test_other_filters_are_pillows() -> None:
    image = noise(60, 50)
    for name, filter in (("bilinear", 2), ("bicubic", 3)):
        preprocess = Preprocess((20, 30), interpolation=name)  # type: ignore[arg-type]
        found = resized(image, (30, 20), preprocess)
        expected = image.resize((30, 20), Image.Resampling(filter))
        assert found.tobytes() == expected.tobytes()
