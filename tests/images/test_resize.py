from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from orangecontrib.imagemining.images import prepare, turned
from orangecontrib.imagemining.specs import Preprocess


def colours() -> Image.Image:
    image = Image.new("RGB", (30, 20), (200, 100, 50))
    image.putpixel((0, 0), (0, 0, 0))
    return image


@pytest.mark.parametrize(
    ("channels", "expected"), [("RGB", (200, 100, 50)), ("BGR", (50, 100, 200))]
)
def test_order_of_channels(channels: str, expected: tuple[int, int, int]) -> None:
    spec = Preprocess(size=(8, 10), channels=channels)  # type: ignore[arg-type]
    pixels = prepare(colours(), spec)
    assert pixels.shape == (8, 10, 3)
    assert pixels.dtype == np.uint8
    # the colours change places, the pixels do not
    assert tuple(pixels[-1, -1]) == expected
    assert pixels[0, 0].sum() < pixels[-1, -1].sum()


def test_grey_gets_three_channels() -> None:
    pixels = prepare(Image.new("L", (9, 9), 77), Preprocess(size=(4, 4)))
    assert pixels.shape == (4, 4, 3)
    assert (pixels == 77).all()


@pytest.mark.parametrize("name", ["lanczos", "bicubic", "bilinear"])
def test_filter_is_the_one_named(name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    spec = Preprocess(size=(20, 20), interpolation=name)  # type: ignore[arg-type]
    expected = image.resize((20, 20), Image.Resampling[name.upper()])
    np.testing.assert_array_equal(prepare(image, spec), np.asarray(expected))


def test_eight_views_are_all_different_and_start_with_the_image() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    views = [turned(batch, view) for view in range(8)]
    np.testing.assert_array_equal(views[0], batch)
    assert len({view.tobytes() for view in views}) == 8
    # each is a turn or mirror image: the same pixels in other places
    for view in views:
        assert view.shape == batch.shape
        np.testing.assert_array_equal(
            np.sort(view, axis=None), np.sort(batch, axis=None)
        )
    # a turned image has the same set of views
    again = {turned(np.rot90(batch, 1, (1, 2)), view).tobytes() for view in range(8)}
    assert again == {view.tobytes() for view in views}


def test_turns_need_square_images_mirror_images_do_not() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (1, 4, 5, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="square"):
        turned(batch, 1)
    np.testing.assert_array_equal(turned(batch, 4), batch[:, :, ::-1])


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_swapped_columns(mode: str) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6).repeat(10, 0).repeat(10, 1)
    image = Image.fromarray(pixels).convert(mode)
    plain = prepare(image, Preprocess(size=(4, 6)))
    swapped = prepare(image, Preprocess(size=(4, 6), swapped_columns=(0, 2)))
    np.testing.assert_array_equal(swapped, plain[:, [2, 1, 0, 3, 4, 5]])
    assert (swapped != plain).any()
