"""How images are changed, by value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.augment import (
    Augmenter,
    area_boxes,
    colour_changes,
    cut,
    jitter_boxes,
    mean_colour,
    recoloured,
    shifted,
)
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.plan import Augmentation

PREPROCESS = Preprocess((8, 8), (124.0, 117.0, 104.0), (58.0, 57.0, 57.0))
NOTHING = Augmentation("none", mirror=False)


def image_set(n: int = 200, size: tuple[int, int] = (8, 8)) -> ImageSet:
    pixels = np.random.default_rng(1).integers(0, 256, (n, *size, 3), np.uint8)
    return ImageSet.from_arrays(pixels, np.zeros(n, int))


def changed(
    how: Augmentation, images: ImageSet, preprocess: Preprocess = PREPROCESS
) -> NDArray[np.uint8]:
    rows = np.arange(len(images))
    return Augmenter(how, preprocess, images)(rows, np.random.default_rng(0))


def alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (one == other).all(axis=(1, 2, 3))
    return same


def test_nothing_is_changed() -> None:
    images = image_set()
    np.testing.assert_array_equal(changed(NOTHING, images), images.prepared(range(200)))


def test_half_is_mirrored_left_to_right() -> None:
    images = image_set()
    pixels, result = images.prepared(range(200)), changed(Augmentation("none"), images)
    mirrored = alike(result, pixels[:, :, ::-1])
    assert (mirrored ^ alike(result, pixels)).all()
    assert 75 < mirrored.sum() < 125


def test_flips_and_quarters() -> None:
    images = image_set()
    pixels = images.prepared(range(200))
    flips = changed(replace(NOTHING, turn="flips"), images)
    upside = alike(flips, pixels[:, ::-1])
    assert (upside ^ alike(flips, pixels)).all() and 75 < upside.sum() < 125
    quarters = changed(replace(NOTHING, turn="quarters"), images)
    turns = [alike(quarters, np.rot90(pixels, k, (1, 2))) for k in range(4)]
    assert (np.sum(turns, axis=0) == 1).all()
    assert all(25 < turn.sum() < 75 for turn in turns)


def test_what_is_not_square_is_turned_by_half() -> None:
    images = image_set(size=(8, 4))
    pixels = images.prepared(range(200))
    result = changed(replace(NOTHING, turn="quarters"), images)
    half = alike(result, pixels[:, ::-1, ::-1])
    assert (half ^ alike(result, pixels)).all() and 75 < half.sum() < 125


def test_shifted() -> None:
    pixels = np.arange(1, 2 * 9 * 3 + 1, dtype=np.uint8).reshape(2, 3, 3, 3)
    blank = np.array([7, 8, 9], np.uint8)
    down_left, away = shifted(pixels, np.array([[1, -2], [0, 3]]), blank)
    expected = np.tile(blank, (3, 3, 1))
    expected[1:, :1] = pixels[0, :2, 2:]
    np.testing.assert_array_equal(down_left, expected)
    assert (away == blank).all()


def test_shift_goes_everywhere_within_its_bounds() -> None:
    pixels = np.zeros((600, 9, 9, 3), np.uint8)
    pixels[:, 4, 4] = 255
    images = ImageSet.from_arrays(pixels, np.zeros(600, int))
    result = changed(replace(NOTHING, crop="shift", shift=2), images)
    _, rows, columns = np.nonzero((result == 255).all(axis=3))
    assert len(rows) == 600
    assert {*zip(rows.tolist(), columns.tolist(), strict=True)} == {
        (row, column) for row in range(2, 7) for column in range(2, 7)
    }
    # what comes in is what the network takes for nothing
    border = result[0][(result[0] != 0).any(axis=2) & (result[0] != 255).all(axis=2)]
    assert (border == [124, 117, 104]).all()


def test_mean_colour() -> None:
    assert mean_colour(PREPROCESS).tolist() == [124, 117, 104]
    small = replace(PREPROCESS, mean=(0.5, 1.5, -1.0), scale=1 / 255)
    assert mean_colour(small).tolist() == [128, 255, 0]


def test_jitter_is_that_of_vgg() -> None:
    shapes = np.repeat([[300, 400], [500, 100]], 2000, axis=0)
    rng = np.random.default_rng(0)
    boxes = jitter_boxes(shapes, (224, 224), (256 / 224, 512 / 224), rng)
    left, top, right, bottom = boxes.T
    assert (boxes >= 0).all()
    assert (right <= shapes[:, 1] + 1e-9).all() and (
        bottom <= shapes[:, 0] + 1e-9
    ).all()
    # the shape stays; what the shorter side became is between 256 and 512, evenly
    np.testing.assert_allclose(right - left, bottom - top)
    sides = 224 / (right - left) * shapes.min(axis=1)
    assert 256 <= sides.min() < 257 and 511 < sides.max() <= 512
    assert sides.mean() == pytest.approx(384, abs=5)
    # anywhere: of what is left beside the part, half is before it in the mean
    room = shapes[:, 1] - (right - left)
    assert (left / room).mean() == pytest.approx(0.5, abs=0.02)
    assert (left / room).min() < 0.01 and (left / room).max() > 0.99


def test_jitter_never_leaves_the_image() -> None:
    shapes = np.full((500, 2), (30, 40))
    boxes = jitter_boxes(shapes, (8, 8), (0.5, 1.0), np.random.default_rng(0))
    np.testing.assert_allclose(boxes[:, 3] - boxes[:, 1], 30)


def test_area_is_that_of_inception() -> None:
    shapes = np.full((4000, 2), (300, 200))
    boxes = area_boxes(shapes, (0.2, 0.6), np.random.default_rng(0))
    left, top, right, bottom = boxes.T
    assert (boxes > -1e-9).all() and right.max() <= 200.001 and bottom.max() <= 300.001
    shares = (right - left) * (bottom - top) / 60_000
    ratios = (right - left) / (bottom - top)
    assert shares.min() == pytest.approx(0.2, abs=0.005)
    assert shares.max() == pytest.approx(0.6, abs=0.005)
    assert shares.mean() == pytest.approx(0.4, abs=0.02)
    assert ratios.min() == pytest.approx(3 / 4, abs=0.01)
    assert ratios.max() == pytest.approx(4 / 3, abs=0.01)
    assert np.log(ratios).mean() == pytest.approx(0, abs=0.03)


def test_area_of_a_strip_is_as_large_as_can_be() -> None:
    shapes = np.array([[100, 1000], [900, 90]])
    boxes = area_boxes(shapes, (0.9, 1.0), np.random.default_rng(0))
    sizes = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sizes, [[400 / 3, 100], [90, 120]])


def test_cut_takes_that_part() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    part = cut(pixels, np.array([2.0, 3.0, 8.0, 11.0]), (8, 6))
    np.testing.assert_array_equal(part, pixels[3:11, 2:8])
    halved = cut(pixels, np.array([2.0, 4.0, 6.0, 8.0]), (2, 2))
    assert halved.shape == (2, 2, 3)
    # of a slope, the part in between is as steep: centres at 1.5, 2.5, …
    slope = np.tile(np.arange(10, dtype=np.uint8)[:, np.newaxis] * 20, (4, 1, 3))
    slope = np.tile(np.arange(10, dtype=np.uint8) * 20, (4, 1))[:, :, np.newaxis]
    between = cut(np.repeat(slope, 3, axis=2), np.array([1.5, 0.0, 8.5, 4.0]), (4, 7))
    assert between[0, 1:-1, 0].tolist() == [50, 70, 90, 110, 130]


@pytest.mark.parametrize("crop", ["jitter", "area"])
def test_parts_show_the_image(crop: str) -> None:
    # columns of their own brightness: parts are slopes, too, whichever they are
    slope = np.repeat(np.arange(64, dtype=np.uint8) * 4, 3).reshape(1, 64, 3)
    pixels = np.broadcast_to(slope, (50, 64, 64, 3))
    images = ImageSet.from_arrays(pixels, np.zeros(50, int))
    images = replace(images, size=(8, 8))
    how = replace(NOTHING, crop=crop, sides=(1.0, 4.0), area=(0.1, 1.0))  # type: ignore[arg-type]
    result = changed(how, images).astype(int)
    assert result.shape == (50, 8, 8, 3)
    assert (np.ptp(result, axis=1) <= 1).all()
    steps = np.diff(result[:, 0, 1:-1, 0], axis=1)
    assert (steps > 0).all() and (np.ptp(steps, axis=1) <= 3).all()
    means = result.mean(axis=(1, 2, 3))
    assert np.ptp(means) > 40


def test_turned_columns_are_turned_in_parts_too() -> None:
    images = image_set(3)
    how = replace(NOTHING, crop="jitter", sides=(1.0, 1.0))
    result = changed(how, images, replace(PREPROCESS, swapped_columns=(0, 2)))
    np.testing.assert_array_equal(
        result, images.prepared(range(3))[:, :, [2, 1, 0, 3, 4, 5, 6, 7]]
    )


def test_rgb_shift_is_krizhevskys() -> None:
    rng = np.random.default_rng(0)
    # colours vary along grey with deviation 0.3, else not at all
    grey = np.clip(128 + 76.5 * rng.normal(size=(300, 8, 8, 1)), 60, 190)
    pixels = np.repeat(grey.astype(np.uint8), 3, axis=3)
    images = ImageSet.from_arrays(pixels, np.zeros(300, int))
    variances, _ = images.colour_components
    result = changed(replace(NOTHING, rgb_shift=0.2), images)
    shifts = result.astype(int) - pixels
    # one shift an image, the same for the three colours, whole numbers
    first = shifts[:, :1, :1, :1]
    assert (shifts == first).all()
    # the eigenvalue, not its root, times a number of deviation 0.2
    expected = 255 * 0.2 * variances[-1] / np.sqrt(3)
    assert expected > 1
    # rounding to whole numbers adds 1/12 to the variance
    assert first.std() == pytest.approx(np.hypot(expected, 12**-0.5), rel=0.1)


def test_brightness_contrast_and_saturation() -> None:
    pixels = np.random.default_rng(0).integers(60, 130, (3, 5, 5, 3), np.uint8)
    factors = np.array([[1.5, 1, 1], [1, 0.5, 1], [1, 1, 0]])
    maps, offsets = colour_changes(pixels, factors, False)
    result = pixels.copy()
    recoloured(result, maps, offsets)
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(result[0], 1.5 * pixels[0], atol=0.51)
    mean = grey[1].mean()
    np.testing.assert_allclose(result[1], mean + (pixels[1] - mean) / 2, atol=0.51)
    np.testing.assert_allclose(
        result[2], grey[2][..., np.newaxis] + [0, 0, 0], atol=0.51
    )
    # the same picture with its colours in the other order
    other = pixels[..., ::-1].copy()
    recoloured(other, *colour_changes(other, factors, True))
    np.testing.assert_array_equal(other[..., ::-1], result)


def test_colours_stay_within_their_range() -> None:
    pixels = np.array([[[[0, 128, 255]]]], np.uint8)
    recoloured(pixels, None, np.array([[-3.0, 0.6, 3.0]]))
    assert pixels.tolist() == [[[[0, 129, 255]]]]


def test_colour_has_its_strength() -> None:
    pixels = np.full((500, 2, 2, 3), 100, np.uint8)
    images = ImageSet.from_arrays(pixels, np.zeros(500, int))
    result = changed(replace(NOTHING, colour=0.5), images)
    # of one grey, only the brightness can change: between 2^-0.5 and 2^0.5
    assert 70 <= result.min() <= 72 and 140 <= result.max() <= 142
    assert np.log2(result / 100).mean() == pytest.approx(0, abs=0.04)


def test_a_share_is_blanked() -> None:
    pixels = np.full((400, 20, 30, 3), 255, np.uint8)
    images = ImageSet.from_arrays(pixels, np.zeros(400, int))
    result = changed(replace(NOTHING, erase=0.25), images)
    blank = (result == [124, 117, 104]).all(axis=3)
    assert ((result == 255).all(axis=3) | blank).all()
    erased = blank.any(axis=(1, 2))
    assert 70 < erased.sum() < 130
    shares = blank[erased].mean(axis=(1, 2))
    assert 0.01 < shares.min() < 0.06 and 0.25 < shares.max() < 0.36
    for one in blank[erased]:  # rectangles
        rows, columns = one.any(axis=1), one.any(axis=0)
        assert one.sum() == rows.sum() * columns.sum()


def test_generator_decides_alone() -> None:
    how = Augmentation("area", turn="quarters", rgb_shift=0.1, colour=0.3, erase=0.5)
    images = image_set(20)
    np.testing.assert_array_equal(changed(how, images), changed(how, images))
    before = images.prepared(range(20))
    changed(how, images)
    np.testing.assert_array_equal(images.prepared(range(20)), before)
