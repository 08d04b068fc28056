"""Which part of an image each crop is, told by its colours."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import crops_of, dense_images, prepare
from orangecontrib.imagemining.specs import Preprocess

SMALL = Preprocess(size=(28, 28), shortest=32)


def ramp(width: int, height: int) -> Image.Image:
    """Return an image whose red is the column and whose green is the row."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    pixels = np.stack([columns, rows, np.full_like(rows, 7)], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def place(crop: np.ndarray) -> tuple[int, int, bool]:
    """Return a crop's left and top in the image, and whether it is mirrored."""
    mirrored = bool(crop[0, 0, 0] > crop[0, -1, 0])
    return int(crop[:, :, 0].min()), int(crop[0, 0, 1]), mirrored


def quarters(width: int = 80, height: int = 60) -> Image.Image:
    """Return an image whose left, middle and right third are red, green and blue."""
    image = Image.new("RGB", (width, height), (0, 255, 0))
    third = width // 3
    image.paste((255, 0, 0), (0, 0, third, height))
    image.paste((0, 0, 255), (width - third, 0, width, height))
    return image


# fit ---------------------------------------------------------------------------------


def test_centre_is_cut_out_of_the_shorter_side_as_published() -> None:
    # 48 × 32: the shorter side is 32 already, and (48 - 28) / 2 = 10, (32 - 28) / 2 = 2
    pixels = prepare(ramp(48, 32), SMALL, "crop")
    assert pixels.shape == (28, 28, 3)
    assert place(pixels) == (10, 2, False)
    np.testing.assert_array_equal(pixels, np.asarray(ramp(48, 32))[2:30, 10:38])
    tall = prepare(ramp(32, 48), SMALL, "crop")
    np.testing.assert_array_equal(tall, np.asarray(ramp(32, 48))[10:38, 2:30])


@pytest.mark.parametrize("size", [(341, 256), (96, 51), (51, 97), (33, 200)])
def test_cut_is_that_of_an_image_resized_whole(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    width, height = size
    if width < height:
        whole = image.resize((32, int(32 * height / width)), Image.Resampling.BILINEAR)
    else:
        whole = image.resize((int(32 * width / height), 32), Image.Resampling.BILINEAR)
    left, top = round((whole.width - 28) / 2), round((whole.height - 28) / 2)
    expected = np.asarray(whole)[top : top + 28, left : left + 28]
    np.testing.assert_array_equal(prepare(image, SMALL, "crop"), expected)


def test_cut_without_a_published_size_keeps_the_shorter_side() -> None:
    pixels = prepare(ramp(48, 28), Preprocess(size=(28, 28)), "crop")
    assert place(pixels) == (10, 0, False)
    assert pixels[-1, 0, 1] == 27


def test_only_the_centre_of_a_strip_is_resized() -> None:
    # 2 × 200,000 pixels would become 32 × 3,200,000
    strip = Image.new("RGB", (200_000, 2), (9, 9, 9))
    strip.paste((200, 100, 50), (99_000, 0, 101_000, 2))
    assert (prepare(strip, SMALL, "crop") == (200, 100, 50)).all()
    assert (prepare(strip.rotate(90, expand=True), SMALL, "crop")[:, :, 0] == 200).all()


def test_margins_have_the_mean_colour_of_the_network() -> None:
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    spec = Preprocess(size=(20, 20), mean=(10, 20, 30.4), channels="BGR")
    pixels = prepare(image, spec, "pad")
    # in the network's order of colours, blue first, both means and image
    assert (pixels[:5] == (10, 20, 30)).all() and (pixels[15:] == (10, 20, 30)).all()
    assert (pixels[5:15] == (0, 0, 255)).all()
    # a mean of fractions is that of pixels brought to 0–1
    spec = Preprocess(size=(20, 20), mean=(0.5, 0.25, 0), scale=1 / 255)
    tall = prepare(image.rotate(90, expand=True), spec, "pad")
    assert (tall[:, :5] == (128, 64, 0)).all() and (tall[:, 15:] == (128, 64, 0)).all()
    assert (tall[:, 5:15] == (255, 0, 0)).all()


def test_grey_image_with_margins() -> None:
    pixels = prepare(Image.new("L", (40, 20), 77), Preprocess(size=(20, 20)), "pad")
    assert (pixels[5:15] == 77).all() and (pixels[:5] == 0).all()


def test_strip_with_margins_keeps_a_line() -> None:
    strip = Image.new("RGB", (1000, 2), (255, 255, 255))
    assert prepare(strip, Preprocess(size=(20, 20)), "pad").any(axis=(1, 2)).sum() == 1


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_network_that_is_not_square(fit: str) -> None:
    # wider than high: a square image loses rows, or gets margins at its sides
    pixels = prepare(ramp(60, 60), Preprocess(size=(20, 60)), fit)
    assert pixels.shape == (20, 60, 3)
    if fit == "crop":
        np.testing.assert_array_equal(pixels, np.asarray(ramp(60, 60))[20:40])
    else:
        assert (pixels[:, :20] == 0).all() and (pixels[:, 40:] == 0).all()
        assert (pixels[:, 20:40, 2] == 7).all()


# crops -------------------------------------------------------------------------------


def test_ten_crops_are_corners_and_centre_and_their_mirror_images() -> None:
    crops = list(crops_of(ramp(32, 32), SMALL, 10))
    assert [place(crop) for crop in crops] == [
        (left, top, mirrored)
        for left, top in [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
        for mirrored in (False, True)
    ]
    assert {crop.shape for crop in crops} == {(28, 28, 3)}


def test_ten_crops_of_an_image_that_is_not_square() -> None:
    # of the central square, of the stretched image, or of that with margins
    lefts = [place(crop)[0] for crop in crops_of(ramp(48, 32), SMALL, 10, "crop")]
    assert lefts == [8, 8, 12, 12, 8, 8, 12, 12, 10, 10]
    image = quarters()
    red, blue = (255, 0, 0), (0, 0, 255)
    first, _, second, *_ = crops_of(image, SMALL, 10, "stretch")
    assert tuple(first[0, 0]) == red and tuple(second[0, -1]) == blue
    first, _, second, *_ = crops_of(image, SMALL, 10, "pad")
    assert (first[0, 0] == 0).all() and (second[0, -1] == 0).all()
    assert tuple(first[14, 0]) == red and tuple(second[14, -1]) == blue


def test_twelve_crops_have_the_whole_square_too() -> None:
    image = ramp(48, 32)
    ten, twelve = (list(crops_of(image, SMALL, n)) for n in (10, 12))
    assert len(twelve) == 12
    for crop, other in zip(ten, twelve, strict=False):
        np.testing.assert_array_equal(crop, other)
    square = image.crop((8, 0, 40, 32)).resize((28, 28), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(twelve[10], np.asarray(square))
    np.testing.assert_array_equal(twelve[11], np.asarray(square)[:, ::-1])


def test_crops_without_a_published_size_are_of_eight_sevenths() -> None:
    crops = list(crops_of(ramp(32, 32), Preprocess(size=(28, 28)), 10))
    assert [place(crop)[:2] for crop in crops[::2]] == [
        *[(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
    ]


def test_144_crops() -> None:
    # left, middle and right square of an image four squares wide have one colour each
    image = Image.new("RGB", (256, 64))
    image.paste((255, 0, 0), (0, 0, 70, 64))
    image.paste((0, 255, 0), (90, 0, 166, 64))
    image.paste((0, 0, 255), (186, 0, 256, 64))
    crops = list(crops_of(image, SMALL, 144))
    assert len(crops) == 144
    colours = [tuple(crop.reshape(-1, 3).mean(axis=0)) for crop in crops]
    one_size = [(255, 0, 0)] * 12 + [(0, 255, 0)] * 12 + [(0, 0, 255)] * 12
    assert colours == one_size * 4
    tall = list(crops_of(image.transpose(Image.Transpose.ROTATE_270), SMALL, 144))
    assert [tuple(crop[14, 14]) for crop in tall] == one_size * 4


def test_144_crops_are_of_four_sizes() -> None:
    # of an image of 64 in the sizes 32, 36, 40 and 44, corners and centres
    crops = list(crops_of(ramp(256, 64), SMALL, 144))
    for number, size in enumerate((32, 36, 40, 44)):
        corner, centre, whole = (crops[36 * number + n] for n in (6, 8, 10))
        step = 64 / size
        assert corner[0, 0, 1] == pytest.approx((size - 28) * step, abs=step)
        assert centre[0, 0, 1] == pytest.approx((size - 28) / 2 * step, abs=step)
        assert corner[-1, 0, 1] == pytest.approx(63, abs=step)
        assert whole[0, 0, 1] <= 2 and whole[-1, 0, 1] >= 61


def test_three_squares_of_a_square_image_are_one() -> None:
    crops = list(crops_of(ramp(64, 64), SMALL, 144))
    assert len(crops) == 48


def test_crops_have_the_order_of_colours_of_the_network() -> None:
    image = Image.new("RGB", (40, 40), (200, 100, 50))
    spec = Preprocess(size=(28, 28), shortest=32, channels="BGR")
    for crop in crops_of(image, spec, 12):
        assert (crop == (50, 100, 200)).all()
    grey = list(crops_of(Image.new("L", (40, 40), 9), spec, 10))
    assert len(grey) == 10 and all((crop == 9).all() for crop in grey)


# dense -------------------------------------------------------------------------------


def test_dense_images_keep_their_shape() -> None:
    image = quarters(90, 60)
    (pair,) = dense_images(image, Preprocess(size=(224, 224)), "dense")
    assert pair.shape == (2, 256, 384, 3)
    assert tuple(pair[0, 0, 0]) == (255, 0, 0) == tuple(pair[1, 0, -1])
    np.testing.assert_array_equal(pair[1], pair[0, :, ::-1])
    pairs = list(dense_images(image, Preprocess(size=(224, 224)), "dense-multiscale"))
    assert [pair.shape[1:3] for pair in pairs] == [(256, 384), (384, 576), (512, 768)]


@pytest.mark.parametrize("size", [(700, 100), (100, 700)])
def test_images_too_long_for_parts(size: tuple[int, int]) -> None:
    strip = Image.new("RGB", size)
    with pytest.raises(ImageError, match="too long for these views"):
        list(dense_images(strip, SMALL, "dense"))
    with pytest.raises(ImageError, match="too long for these views"):
        list(crops_of(strip, SMALL, 144))
    assert len(list(crops_of(strip, SMALL, 10))) == 10
