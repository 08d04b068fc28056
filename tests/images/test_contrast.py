"""Numbers become brightness exactly as the words of the contrast say."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError
from orangecontrib.imagemining.images.contrast import (
    black_and_white,
    sample,
    scale_to_8_bits,
    to_8_bits,
)


@pytest.mark.parametrize(
    ("dtype", "bits", "stored", "full"),
    [
        ("uint8", 0, (0, 255), (0, 255)),
        ("uint8", 4, (0, 255), (0, 15)),
        ("uint8", 1, (0, 1), (0, 1)),
        ("bool", 0, (0, 1), (0, 1)),
        ("int8", 0, (-128, 127), (-128, 127)),
        ("uint16", 0, (0, 65535), (0, 65535)),
        ("uint16", 12, (0, 65535), (0, 4095)),
        (">u2", 12, (0, 65535), (0, 4095)),
        ("int16", 0, (-32768, 32767), (-32768, 32767)),
        ("int16", 12, (-32768, 32767), (-2048, 2047)),
        ("uint32", 0, (0, 2**32 - 1), (0, 2**32 - 1)),
        ("int32", 0, (-(2**31), 2**31 - 1), (-(2**31), 2**31 - 1)),
        ("uint64", 0, (0, 2.0**64), (0, 2.0**64)),
        ("float32", 0, (0, 1), (5, 9)),
        ("float64", 0, (0, 1), (5, 9)),
    ],
)
def test_ranges_of_types(
    dtype: str, bits: int, stored: tuple[float, float], full: tuple[float, float]
) -> None:
    values = np.array([[5, 6], [7, 9]]).astype(dtype)
    assert black_and_white(values, "stored", bits=bits) == stored
    assert black_and_white(values, "full", bits=bits) == full


def test_percentiles() -> None:
    values = np.arange(1001).reshape(7, 143)
    assert black_and_white(values) == pytest.approx((1, 999))
    assert black_and_white(values, "percentiles", (10, 50)) == pytest.approx((100, 500))
    # they may come with what is no number
    odd = np.concatenate([values.ravel() + 0.0, [np.nan, np.inf, -np.inf]])
    assert black_and_white(odd) == pytest.approx((1, 999))


def test_auto_depends_on_the_type() -> None:
    values = np.arange(10, 250, dtype=np.uint8)
    assert black_and_white(values, "auto") == (0, 255)
    assert black_and_white(values, "auto", bits=1) == (0, 1)
    deep = values.astype(np.uint16)
    low, high = black_and_white(deep, "auto", (20, 80))
    # its percentiles are fixed
    assert (low, high) == pytest.approx(tuple(np.percentile(deep, (0.1, 99.9))))
    # means of 8-bit numbers are 8-bit numbers still
    assert black_and_white(values / 3, "auto", dtype="uint8") == (0, 255)
    assert black_and_white(values / 3, "full", dtype="uint16", bits=12) == (0, 4095)


def test_nearly_constant_values_are_told_by_the_few_others() -> None:
    values = np.full((100, 100), 7, np.uint16)
    assert black_and_white(values) == (7, 7)
    values[3, 4] = 9
    assert black_and_white(values) == (7, 9)
    odd = values.astype(float)
    odd[0, 0] = np.nan
    assert black_and_white(odd) == (7, 9)


@pytest.mark.parametrize("contrast", ["auto", "full", "percentiles"])
def test_no_value_at_all(contrast: str) -> None:
    with pytest.raises(DamagedImageError, match="None of the pixels"):
        black_and_white(np.array([[np.nan, np.inf]]), contrast)


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(ImageError, match="complex"):
        black_and_white(np.zeros((2, 2), complex), "stored")


NUMBERS = ["uint8", "int8", "uint16", "int16", ">u2", "<i2", "uint32", "int32"]


@pytest.mark.parametrize("dtype", [*NUMBERS, "uint64", "int64", "float32", ">f8"])
@pytest.mark.parametrize("size", [(3, 40), (300, 300)])
def test_brightness_is_linear_and_clipped(dtype: str, size: tuple[int, int]) -> None:
    # small pictures are computed, of large ones each number once
    rng = np.random.default_rng(0)
    values = rng.integers(-120 if np.dtype(dtype).kind in "if" else 0, 127, size)
    values = values.astype(dtype)
    pixels = to_8_bits(values, 20, 100)
    exact = np.clip(np.rint((values.astype(float) - 20) * (255 / 80)), 0, 255)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, exact)
    # the same of a part that does not lie in one piece
    np.testing.assert_array_equal(to_8_bits(values[:, ::3], 20, 100), exact[:, ::3])


def test_all_numbers_of_16_bits() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert to_8_bits(values[::1] // 257 * 257, 0, 65535).ravel()[
        ::257
    ].tolist() == list(range(256))
    signed = (values.astype(int) - 32768).astype(np.int16)
    np.testing.assert_array_equal(
        to_8_bits(signed, -32768, 32767), to_8_bits(values, 0, 65535)
    )


def test_black_above_white_inverts() -> None:
    values = np.array([[0, 51, 255]], np.uint8)
    assert to_8_bits(values, 255, 0).tolist() == [[255, 204, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_black_equal_to_white(dtype: str) -> None:
    values = np.array([[6, 7, 8]], dtype)
    assert to_8_bits(values, 7, 7).tolist() == [[0, 0, 255]]
    large = np.tile(values, (300, 300))
    assert to_8_bits(large, 7, 7)[0, :3].tolist() == [0, 0, 255]


def test_truth_values() -> None:
    assert to_8_bits(np.array([[False, True]]), 0, 1).tolist() == [[0, 255]]


def test_what_is_not_finite_is_black() -> None:
    values = np.array([[np.nan, np.inf, -np.inf, 0, 1]])
    assert to_8_bits(values, 0, 1).tolist() == [[0, 0, 0, 0, 255]]
    assert to_8_bits(values, 1, 0).tolist() == [[0, 0, 0, 255, 0]]


@pytest.mark.parametrize("scale", [1e-310, 5e-324, 1e-300, 1e300, np.finfo(float).max])
def test_floats_of_all_sizes(scale: float) -> None:
    # no division by zero, no overflow, no warning
    values = np.array([[-1.0, 0.0, 1.0]]) * scale
    low, high = black_and_white(values, "full")
    assert to_8_bits(values, low, high).tolist() == [[0, 128, 255]]
    low, high = black_and_white(values)
    assert to_8_bits(values, low, high)[0, [0, 2]].tolist() == [0, 255]


def old_scale(grey: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return what older versions made of deep grey."""
    low, high = np.percentile(grey.astype(np.float64), (0.1, 99.9))
    return np.clip(np.rint((grey - low) * (255 / (high - low))), 0, 255)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_default_stays_what_it_was(dtype: str) -> None:
    grey = np.random.default_rng(1).gamma(2, 300, (200, 300)).astype(dtype)
    np.testing.assert_array_equal(scale_to_8_bits(grey), old_scale(grey))


def test_sample_is_bounded_and_spread() -> None:
    y, x = np.mgrid[:1000, :1200]
    numbers = sample(y * 10_000 + x, 50_000)
    assert 25_000 < numbers.size < 100_000
    # all columns and all rows are met, not every twenty-fourth
    assert len(np.unique(numbers % 10_000)) == 1200
    assert len(np.unique(numbers // 10_000)) == 1000
    colours = np.dstack([y * 3, y * 3 + 1, y * 3 + 2])
    of_pixels = sample(colours, 50_000)
    assert of_pixels.size < 100_000
    assert len(set(np.bincount(of_pixels % 3))) == 1


def test_sample_of_little_is_all() -> None:
    values = np.array([[3, 1], [2, 9]], np.int16)
    numbers = sample(values, 1000)
    assert numbers.dtype == np.int16
    assert numbers.tolist() == [3, 1, 2, 9]
    odd = np.array([[np.nan, 1], [np.inf, 2]], np.float32)
    assert sample(odd, 10).tolist() == [1, 2]
    with pytest.raises(DamagedImageError):
        sample(odd[:, :1], 10)


def test_memory_is_bounded() -> None:
    values = np.zeros((2000, 2000), np.float32)
    values[0] = 1
    tracemalloc.start()
    try:
        to_8_bits(values, 0, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # the result itself, and a row or two
    assert peak < 1.2 * values.size
