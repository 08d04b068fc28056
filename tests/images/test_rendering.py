"""Planes and channels become pictures exactly as the words of a source say."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
)
from orangecontrib.imagemining.images.formats._base import Channel, Series
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.rendering import (
    raw_samples,
    render,
    size_of,
)
from orangecontrib.imagemining.images.sources import Part, Rendering, parse_source

Pixels = NDArray[np.generic]


class Stack:
    """A file in memory: (times, depths, channels, height, width[, 3]).

    Attributes
    ----------
    asked : planes that were read.
    broken : those that cannot be.
    """

    format = "Memory"

    def __init__(self, values: Pixels, **about: object) -> None:
        self.values = values
        shape = values.shape
        self.series = (
            Series(
                shape[4],
                shape[3],
                str(values.dtype),
                shape[0],
                shape[1],
                tuple(Channel() for _ in range(shape[2])),
                3 if values.ndim == 6 else 1,
                levels=((shape[4], shape[3]),),
            ),
        )
        self.series = (replace(self.series[0], **about),)  # type: ignore[arg-type]
        self.asked: list[tuple[object, ...]] = []
        self.broken: set[tuple[int, int, int]] = set()

    def plane(
        self, series: int, t: int, z: int, c: int, near: int | None = None
    ) -> Pixels:
        self.asked.append((t, z, c) if near is None else (t, z, c, near))
        if (t, z, c) in self.broken:
            raise DamagedImageError(f"Plane {t} {z} {c} is damaged")
        return self.values[t, z, c]

    def region(
        self, series: int, xywh: tuple[int, int, int, int], near: int | None = None
    ) -> Pixels:
        self.asked.append((*xywh, near))
        x, y, width, height = xywh
        cut = self.values[0, 0, 0, y : y + height, x : x + width]
        # no picture should be judged by what is outside of it
        whole = np.zeros((height, width, *cut.shape[2:]), self.values.dtype)
        whole -= 1  # the largest number
        whole[: cut.shape[0], : cut.shape[1]] = cut
        return whole

    def close(self) -> None:
        pass


def asked(words: str) -> tuple[Part, Rendering]:
    source = parse_source(f"a#{words}")
    assert source.place == "a", words
    return source.part, source.rendering


def shown(file: Stack, words: str = "", limits: Limits | None = None) -> Pixels:
    image = render(file, *asked(words), limits or Limits())
    assert image.mode in ("L", "RGB")
    return np.asarray(image)


def stack(
    shape: tuple[int, ...], dtype: str = "uint8", most: int = 256, **about: object
) -> Stack:
    values = np.random.default_rng(0).integers(0, most, shape).astype(dtype)
    return Stack(values, **about)


# which planes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "plane"),
    [
        ("", (0, 0, 0)),
        ("stack=first", (0, 0, 0)),
        ("stack=middle", (2, 1, 0)),
        ("t=3", (3, 0, 0)),
        ("z=2", (0, 2, 0)),
        ("t=1&z=2", (1, 2, 0)),
        ("t=1&stack=middle", (1, 1, 0)),
        ("z=0&stack=middle", (2, 0, 0)),
        ("t=1&z=2&stack=max", (1, 2, 0)),
    ],
)
def test_one_plane_is_read_alone(words: str, plane: tuple[int, int, int]) -> None:
    file = stack((4, 3, 1, 5, 6))
    np.testing.assert_array_equal(shown(file, words), file.values[plane])
    assert file.asked == [plane]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 12])
def test_the_middle(n: int) -> None:
    file = stack((1, n, 1, 2, 2))
    shown(file, "stack=middle")
    assert file.asked == [(0, n // 2, 0)]


@pytest.mark.parametrize(
    ("words", "axes"), [("", (0, 1)), ("t=1&", (1,)), ("z=2&", (0,))]
)
@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "float32"])
def test_projections(words: str, axes: tuple[int, ...], dtype: str) -> None:
    file = stack((4, 3, 1, 5, 6), dtype)
    values = file.values[1:2] if words == "t=1&" else file.values
    values = values[:, 2:3] if words == "z=2&" else values
    values = values.astype(float)
    for how, function in (("max", np.max), ("mean", np.mean)):
        seen = shown(file, f"{words}stack={how}&contrast=range:0,255")
        expected = function(values, axis=(0, 1))[0]
        np.testing.assert_array_equal(seen, np.rint(expected))


def test_projections_keep_the_numbers_type() -> None:
    file = stack((1, 3, 1, 5, 6), "uint16", 4096)
    (most,) = raw_samples(file, *asked("stack=max"), Limits())
    (mean,) = raw_samples(file, *asked("stack=mean"), Limits())
    assert most.dtype == np.uint16
    np.testing.assert_array_equal(most, file.values.max(axis=1).ravel())
    assert mean.dtype == np.float64
    np.testing.assert_array_equal(mean, file.values.mean(axis=1).ravel())


def test_means_are_exact_where_numbers_are_large() -> None:
    values = np.full((1, 50, 1, 2, 2), 2**32 - 1, np.uint32)
    values[0, :25] -= 2
    (mean,) = raw_samples(Stack(values), *asked("stack=mean"), Limits())
    assert set(mean) == {2**32 - 2}


def test_projections_take_a_pixels_finite_numbers() -> None:
    values = np.full((1, 3, 1, 1, 4), np.nan, np.float32)
    values[0, :, 0, 0] = [
        [1, np.inf, np.nan, np.nan],
        [3, 2, np.nan, np.inf],
        [np.nan, -5, np.nan, -np.inf],
    ]
    file = Stack(values)
    seen = shown(file, "stack=max&contrast=range:0,3")
    assert seen.tolist() == [[255, 170, 0, 0]]
    seen = shown(file, "stack=mean&contrast=range:-2,3")
    assert seen.tolist() == [[round(4 / 5 * 255), round(0.5 / 5 * 255), 0, 0]]


def test_planes_that_cannot_be_read_are_left_out() -> None:
    file = stack((1, 4, 1, 3, 3))
    file.broken = {(0, 0, 0), (0, 2, 0)}
    expected = file.values[0, [1, 3], 0].max(axis=0)
    np.testing.assert_array_equal(shown(file, "stack=max"), expected)
    expected = np.rint(file.values[0, [1, 3], 0].astype(float).mean(axis=0))
    np.testing.assert_array_equal(shown(file, "stack=mean"), expected)
    with pytest.raises(DamagedImageError, match="Plane 0 0 0"):
        shown(file)
    assert shown(file, "z=1").shape == (3, 3)
    file.broken |= {(0, 1, 0), (0, 3, 0)}
    with pytest.raises(DamagedImageError, match="Plane 0 0 0"):
        shown(file, "stack=mean")


def test_planes_of_another_size_are_left_out() -> None:
    class Odd(Stack):
        def plane(self, series: int, t: int, z: int, c: int, near: int | None = None):  # type: ignore[no-untyped-def]
            plane = super().plane(series, t, z, c, near)
            return plane[:-1] if z == 1 else plane

    file = Odd(stack((1, 3, 1, 4, 4)).values)
    expected = file.values[0, [0, 2], 0].max(axis=0)
    np.testing.assert_array_equal(shown(file, "stack=max"), expected)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError, OSError])
def test_what_decoders_raise_becomes_a_reason(error: type[Exception]) -> None:
    class Odd(Stack):
        def plane(self, series: int, t: int, z: int, c: int, near: int | None = None):  # type: ignore[no-untyped-def]
            if z == 0:
                raise error("broken")
            return super().plane(series, t, z, c, near)

    file = Odd(stack((1, 3, 1, 4, 4)).values)
    with pytest.raises(DamagedImageError, match="broken"):
        shown(file)
    assert shown(file, "stack=max").shape == (4, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("s=1", "The file has 1 series; there is no number 2"),
        ("t=4", "The file has 4 time points; there is no number 5"),
        ("z=13", "The file has 12 focus planes; there is no number 14"),
        ("c=2", "The file has 2 channels; there is no number 3"),
        ("channels=1:red,2:blue", "The file has 2 channels; there is no number 3"),
        ("xywh=6,0,1,1", "6 × 5 pixels; there is no tile at 6, 0"),
        ("xywh=0,5,1,1", "6 × 5 pixels; there is no tile at 0, 5"),
        ("xywh=0,0,0,1", "one pixel"),
    ],
)
def test_parts_that_are_not_there(words: str, message: str) -> None:
    file = stack((4, 12, 2, 5, 6))
    with pytest.raises(ImageError, match=message):
        shown(file, words)
    with pytest.raises(ImageError, match=message):
        raw_samples(file, *asked(words), Limits())
    if "channels" not in words:
        with pytest.raises(ImageError, match=message):
            size_of(file.series, asked(words)[0])
    assert not file.asked


def test_series() -> None:
    file = stack((1, 1, 1, 5, 6))
    file.series = (file.series[0], replace(file.series[0], width=3, height=2))
    assert size_of(file.series, Part()) == (6, 5)
    assert size_of(file.series, Part(series=1)) == (3, 2)
    assert size_of(file.series, Part(series=1, xywh=(1, 1, 7, 8))) == (7, 8)


# contrast -----------------------------------------------------------------------------


def stretched(values: Pixels, low: float, high: float) -> Pixels:
    scaled = (values.astype(float) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("words", "bounds"),
    [
        ("", None),
        ("contrast=percentiles:5,80", (5, 80)),
        ("contrast=stored", (0, 65535)),
        ("contrast=full", (0, 4095)),
        ("contrast=range:100,900.5", (100, 900.5)),
    ],
)
def test_contrast(words: str, bounds: tuple[float, float] | None) -> None:
    file = stack((1, 1, 1, 50, 60), "uint16", 4000, bits=12)
    values = file.values[0, 0, 0]
    if bounds is None:
        bounds = tuple(np.percentile(values, (0.1, 99.9)))
    elif "percentiles" in words:
        bounds = tuple(np.percentile(values, bounds))
    np.testing.assert_array_equal(shown(file, words), stretched(values, *bounds))


@pytest.mark.parametrize("words", ["", "contrast=stored", "contrast=full"])
def test_8_bits_are_as_stored(words: str) -> None:
    file = stack((1, 1, 1, 5, 6), most=90)
    np.testing.assert_array_equal(shown(file, words), file.values[0, 0, 0])
    colours = stack((1, 1, 1, 5, 6, 3), most=90)
    np.testing.assert_array_equal(shown(colours, words), colours.values[0, 0, 0])


@pytest.mark.parametrize("words", ["", "contrast=stored", "contrast=full"])
def test_masks_are_black_and_white(words: str) -> None:
    for file in (
        stack((1, 1, 1, 5, 6), "bool", 2),
        stack((1, 1, 1, 5, 6), "uint8", 2, bits=1),
    ):
        expected = file.values[0, 0, 0] * np.uint8(255)
        np.testing.assert_array_equal(shown(file, words), expected)


@pytest.mark.parametrize("how", ["max", "mean"])
def test_projections_of_8_bits_are_as_stored(how: str) -> None:
    file = stack((1, 3, 1, 5, 6), most=90)
    values = getattr(np, how)(file.values.astype(float), axis=1)[0, 0]
    np.testing.assert_array_equal(shown(file, f"stack={how}"), np.rint(values))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("words", ["", "contrast=percentiles:1,99"])
def test_constant_images_are_black(dtype: str, words: str) -> None:
    file = Stack(np.full((1, 1, 2, 5, 6), 7, dtype))
    assert not shown(file, words).any()


def test_floats_with_gaps() -> None:
    values = np.linspace(-3, 5, 30, dtype=np.float32).reshape(1, 1, 1, 5, 6)
    values[..., 0, 0], values[..., 0, 1], values[..., 0, 2] = np.nan, np.inf, -np.inf
    file = Stack(values)
    seen = shown(file, "contrast=full")
    assert seen[0, :3].tolist() == [0, 0, 0]
    assert seen[0, 3] == 0 and seen[-1, -1] == 255
    low = float(values[0, 0, 0, 0, 3])
    np.testing.assert_array_equal(seen[1], stretched(values[0, 0, 0, 1], low, 5))
    file.values = np.full_like(values, np.nan)
    for contrast in ("auto", "full", "stored", "range:0,1"):
        with pytest.raises(DamagedImageError, match="None of the pixels"):
            shown(file, f"contrast={contrast}")


def test_complex_numbers_are_refused() -> None:
    file = Stack(np.ones((1, 1, 1, 2, 2), complex))
    with pytest.raises(ImageError, match="not real numbers"):
        shown(file)


# channels -----------------------------------------------------------------------------


def coloured(values: Pixels, colours: list[tuple[float, float, float]]) -> Pixels:
    light = sum(
        np.rint(np.multiply.outer(plane.astype(float), colour))
        for plane, colour in zip(values, colours, strict=False)
    )
    return np.minimum(light, 255)


RED, GREEN, BLUE = (1, 0, 0), (0, 1, 0), (0, 0, 1)
MAGENTA, YELLOW, WHITE = (1, 0, 1), (1, 1, 0), (1, 1, 1)


@pytest.mark.parametrize(
    ("n", "words", "colours", "order"),
    [
        (2, "", [GREEN, MAGENTA], [0, 1]),
        (3, "", [RED, GREEN, BLUE], [0, 1, 2]),
        (5, "", [RED, GREEN, BLUE], [0, 1, 2]),
        (2, "channels=rgb", [RED, GREEN], [0, 1]),
        (5, "channels=rgb", [RED, GREEN, BLUE], [0, 1, 2]),
        (5, "channels=4:yellow", [YELLOW], [4]),
        (5, "channels=4:red,1:magenta,0:grey", [RED, MAGENTA, WHITE], [4, 1, 0]),
        (1, "channels=0:green", [GREEN], [0]),
    ],
)
def test_channels_in_colours(
    n: int, words: str, colours: list[tuple[float, float, float]], order: list[int]
) -> None:
    file = stack((1, 1, n, 5, 6))
    expected = coloured(file.values[0, 0, order], colours)
    np.testing.assert_array_equal(shown(file, words), expected)
    # no other is read
    assert file.asked == [(0, 0, c) for c in order]


def test_colours_of_the_file() -> None:
    file = stack((1, 1, 4, 5, 6))
    own = [Channel("a", (0, 128, 255)), Channel("b"), Channel("c", (10, 0, 0))]
    file.series = (replace(file.series[0], channels=(*own, Channel("d"))),)
    colours = [(0, 128 / 255, 1), GREEN, (10 / 255, 0, 0)]
    expected = coloured(file.values[0, 0, :3], colours)
    np.testing.assert_array_equal(shown(file), expected)
    # asked for others, these are not taken
    expected = coloured(file.values[0, 0, :3], [RED, GREEN, BLUE])
    np.testing.assert_array_equal(shown(file, "channels=rgb"), expected)
    # white for all tells nothing
    white = (Channel("", (255, 255, 255)),) * 3
    file.series = (replace(file.series[0], channels=white),)
    np.testing.assert_array_equal(shown(file), expected)


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        # black is what an inverted table of colours ends in: nothing would be seen
        (((0, 0, 0), (0, 255, 0), (255, 0, 0)), ["blue", "green", "red"]),
        ((None, (255, 0, 0), (255, 255, 255)), ["green", "red", "grey"]),
        ((None, (0, 0, 255), (0, 0, 0)), ["red", "green", "blue"]),
        (((0, 0, 0), (255, 255, 255), (0, 0, 0)), ["red", "green", "blue"]),
    ],
)
def test_no_channel_is_hidden(told: tuple[object, ...], seen: list[str]) -> None:
    channels = tuple(Channel(colour=colour) for colour in told)  # type: ignore[arg-type]
    file = stack((1, 1, 3, 6, 5), channels=channels)
    layers = [shown(file, f"channels={n}:{c}") for n, c in enumerate(seen)]
    total = np.sum(layers, axis=0, dtype=int)
    np.testing.assert_array_equal(shown(file), np.minimum(total, 255))


def test_grey_of_channels_is_the_mean_of_their_numbers() -> None:
    file = stack((1, 1, 4, 20, 30), "uint16", 4096)
    mean = file.values[0, 0].mean(axis=0)
    bounds = np.percentile(mean, (0.1, 99.9))
    expected = stretched(mean, *bounds)
    np.testing.assert_array_equal(shown(file, "channels=grey"), expected)
    (numbers,) = raw_samples(file, *asked("channels=grey"), Limits())
    np.testing.assert_array_equal(numbers, mean.ravel())


@pytest.mark.parametrize("channels", ["auto", "grey", "rgb", "0:red,2:blue"])
def test_one_channel_alone_is_grey(channels: str) -> None:
    file = stack((1, 1, 3, 5, 6))
    seen = shown(file, f"c=1&channels={channels}")
    np.testing.assert_array_equal(seen, file.values[0, 0, 1])


def test_one_channel_alone_in_the_colour_that_was_asked_for() -> None:
    file = stack((1, 1, 3, 5, 6))
    seen = shown(file, "c=1&channels=0:red,1:blue")
    np.testing.assert_array_equal(seen, coloured(file.values[0, 0, 1:2], [BLUE]))


def test_channels_have_contrasts_of_their_own() -> None:
    file = stack((1, 1, 2, 50, 60), "uint16", 4096)
    file.values[0, 0, 1] //= 100
    seen = shown(file, "channels=0:red,1:green")
    for c in (0, 1):
        plane = file.values[0, 0, c]
        bounds = np.percentile(plane, (0.1, 99.9))
        np.testing.assert_array_equal(seen[..., c], stretched(plane, *bounds))


def test_ranges_of_channels() -> None:
    file = stack((1, 1, 3, 5, 6), "uint16", 4096)
    seen = shown(file, "channels=rgb&contrast=range:0,4095")
    for c in range(3):
        expected = stretched(file.values[0, 0, c], 0, 4095)
        np.testing.assert_array_equal(seen[..., c], expected)
    words = "channels=2:red,0:green&contrast=range:0,100;50,4000"
    seen = shown(file, words)
    # in the order in which the channels are named
    expected = stretched(file.values[0, 0, 2], 0, 100)
    np.testing.assert_array_equal(seen[..., 0], expected)
    expected = stretched(file.values[0, 0, 0], 50, 4000)
    np.testing.assert_array_equal(seen[..., 1], expected)
    # and a row of one of these channels has that channel's range
    seen = shown(file, f"c=0&{words}")
    np.testing.assert_array_equal(seen[..., 1], expected)


def test_ranges_of_channels_that_are_photographs() -> None:
    file = stack((1, 1, 3, 5, 6, 3))
    seen = shown(file, "c=2&contrast=range:0,10;0,20;50,200")
    np.testing.assert_array_equal(seen, stretched(file.values[0, 0, 2], 50, 200))


def test_photographs() -> None:
    file = stack((1, 1, 1, 20, 30, 3), "uint16", 4000)
    file.values[..., 0] //= 2
    values = file.values[0, 0, 0]
    # one contrast for all three colours, or they would shift
    expected = stretched(values, *np.percentile(values, (0.1, 99.9)))
    np.testing.assert_array_equal(shown(file), expected)
    np.testing.assert_array_equal(shown(file, "channels=rgb"), expected)
    np.testing.assert_array_equal(shown(file, "c=0"), expected)
    grey = np.asarray(Image.fromarray(expected).convert("L"))
    np.testing.assert_array_equal(shown(file, "channels=grey"), grey)
    file.asked.clear()
    seen = shown(file, "channels=2:red,0:green&contrast=range:0,4000")
    np.testing.assert_array_equal(seen[..., 0], stretched(values[..., 2], 0, 4000))
    np.testing.assert_array_equal(seen[..., 1], stretched(values[..., 0], 0, 4000))
    assert not seen[..., 2].any()
    assert file.asked == [(0, 0, 0)]  # once for all three
    with pytest.raises(ImageError, match="3 colours; there is no number 4"):
        shown(file, "channels=3:red")


def test_samples() -> None:
    file = stack((1, 2, 3, 20, 30), "uint16", 4096)
    found = raw_samples(file, *asked("z=1&contrast=range:0,1"), Limits())
    assert [numbers.dtype for numbers in found] == [np.uint16] * 3
    for c, numbers in enumerate(found):
        np.testing.assert_array_equal(numbers, file.values[0, 1, c].ravel())
    found = raw_samples(file, *asked("channels=2:red"), Limits())
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], file.values[0, 0, 2].ravel())
    photograph = stack((1, 1, 1, 20, 30, 3))
    (numbers,) = raw_samples(photograph, *asked(""), Limits())
    np.testing.assert_array_equal(numbers, photograph.values.ravel())
    large = stack((1, 1, 1, 600, 700))
    (numbers,) = raw_samples(large, *asked(""), Limits())
    assert 25_000 < len(numbers) <= 100_000


# tiles, pyramids, limits --------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "&z=1", "&channels=0:grey", "&c=1"])
def test_tiles(words: str) -> None:
    file = stack((1, 2, 2 if words == "&c=1" else 1, 30, 40), "uint16", 4096)
    plane = file.values[0, int(words == "&z=1"), int(words == "&c=1")]
    tile = plane[10:25, 5:25]
    seen = shown(file, f"xywh=5,10,20,15{words}")
    expected = stretched(tile, *np.percentile(tile, (0.1, 99.9)))
    np.testing.assert_array_equal(seen[..., 0] if seen.ndim > 2 else seen, expected)


@pytest.mark.parametrize("words", ["", "&z=1"])
def test_tiles_beyond_the_edge(words: str) -> None:
    file = stack((1, 2, 1, 30, 40), "uint16", 4096)
    inside = file.values[0, int(words == "&z=1"), 0][20:, 35:]
    seen = shown(file, f"xywh=35,20,20,15{words}")
    assert seen.shape == (15, 20)
    # contrast is that of the image; beyond it there is paper
    expected = stretched(inside, *np.percentile(inside, (0.1, 99.9)))
    np.testing.assert_array_equal(seen[:10, :5], expected)
    assert (seen[10:] == 255).all() and (seen[:, 5:] == 255).all()
    (numbers,) = raw_samples(file, *asked(f"xywh=35,20,20,15{words}"), Limits())
    np.testing.assert_array_equal(numbers, inside.ravel())


def test_tiles_of_the_first_plane_are_read_alone() -> None:
    file = stack((1, 1, 1, 30, 40))
    shown(file, "xywh=5,10,20,15")
    assert file.asked == [(5, 10, 20, 15, None)]
    render(file, *asked("xywh=5,10,20,15"), Limits(), near=8)
    assert file.asked[1:] == [(5, 10, 20, 15, 8)]


LEVELS = ((8000, 6000), (2000, 1500), (500, 375))


@pytest.mark.parametrize(
    ("near", "most", "expected"),
    [
        (None, 50_000_000, (0, 0, 0)),
        (300, 50_000_000, (0, 0, 0, 300)),
        # the whole has too many pixels: the largest level that has not
        (None, 10_000_000, (0, 0, 0, 1500)),
        (3000, 10_000_000, (0, 0, 0, 1500)),
        (300, 10_000_000, (0, 0, 0, 300)),
        (None, 200_000, (0, 0, 0, 375)),
        (1000, 200_000, (0, 0, 0, 375)),
    ],
)
def test_pyramids_within_the_limit(
    near: int | None, most: int, expected: tuple[int, ...]
) -> None:
    file = stack((1, 1, 1, 5, 6), width=8000, height=6000, levels=LEVELS)
    render(file, Part(), Rendering(), Limits(max_pixels=most), near)
    assert file.asked == [expected]


def test_limit_on_pixels() -> None:
    file = stack((1, 2, 1, 30, 40))
    limits = Limits(max_pixels=1199)
    with pytest.raises(ImageTooLargeError, match="40 × 30 pixels are more"):
        shown(file, "", limits)
    assert not file.asked
    # of a tile only its own pixels are decoded
    assert shown(file, "xywh=0,0,10,10", limits).shape == (10, 10)
    with pytest.raises(ImageTooLargeError, match="40 × 31"):
        shown(file, "xywh=0,0,40,31", limits)
    # but those of other planes are cut out of the whole
    with pytest.raises(ImageTooLargeError, match="40 × 30"):
        shown(file, "z=1&xywh=0,0,10,10", limits)
    assert shown(file, "", Limits(max_pixels=1200)).shape == (30, 40)


def test_planes_are_not_all_in_memory() -> None:
    class Endless(Stack):
        def plane(self, series: int, t: int, z: int, c: int, near: int | None = None):  # type: ignore[no-untyped-def]
            return np.full((500, 500), z, np.uint16)

    file = Endless(np.zeros((1, 60, 1, 500, 500), np.uint16))
    # bytes of a pixel: the projection, a plane or two, what becomes of them
    for how, of_pixel in (("max", 2 + 2 * 2 + 1), ("mean", 8 + 2 * 2 + 8 + 1)):
        tracemalloc.start()
        try:
            shown(file, f"stack={how}&contrast=stored")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < of_pixel * 500 * 500 + 2**20, how


def test_damaged_metadata_are_told() -> None:
    file = stack((1, 1, 1, 5, 6, 3))
    file.series = (replace(file.series[0], samples=1),)
    with pytest.raises(DamagedImageError):
        shown(file)
    file = stack((1, 1, 2, 5, 6))

    def plane(series: int, t: int, z: int, c: int, near: int | None = None) -> Pixels:
        return np.zeros((5, 6 + c), np.uint8)

    file.plane = plane  # type: ignore[method-assign]
    with pytest.raises(DamagedImageError, match="different sizes"):
        shown(file)
    empty: Callable[..., Pixels] = lambda *_: np.zeros((0, 6), np.uint8)  # noqa: E731
    file.plane = empty  # type: ignore[method-assign]
    with pytest.raises(DamagedImageError, match="no pixels"):
        shown(file)
