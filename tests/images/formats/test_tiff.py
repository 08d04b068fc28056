"""Every kind of TIFF picture is read right, or says why not."""

from __future__ import annotations

import io
import itertools
import logging
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tiny_tiff import Page, page, tiff

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images.formats.tiff import FAMILY, TiffImageFile
from orangecontrib.imagemining.images.limits import Limits

HEIGHT, WIDTH = 40, 56


def opened(content: bytes, **limits: Any) -> TiffImageFile:
    assert FAMILY.recognises(content[:1024], None)
    return TiffImageFile(io.BytesIO(content), None, Limits(**limits))


def plane(content: bytes, **options: Any) -> NDArray[Any]:
    return opened(content).plane(0, 0, 0, 0, **options)


def ramp(dtype: str, samples: int = 1, bits: int = 0) -> NDArray[Any]:
    """Return numbers from the least to the largest of a type, other in each sample."""
    numbers = np.linspace(0, 1, HEIGHT * WIDTH * samples).reshape(HEIGHT, WIDTH, -1)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        picture = (numbers * 2 - 0.5).astype(kind)
    elif bits:
        picture = np.rint(numbers * (2**bits - 1)).astype(kind)
    else:
        info = np.iinfo(kind)
        # 64 bits are more than a float's digits hold
        steps = np.arange(numbers.size, dtype=object).reshape(numbers.shape)
        span = int(info.max) - int(info.min)
        steps = steps * span // (numbers.size - 1) + int(info.min)
        picture = steps.astype(kind)
    return picture[..., 0] if samples == 1 else picture


def smooth(samples: int = 3) -> NDArray[np.uint8]:
    """Return a picture that lossy compressions hardly change."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    layers = (x * 4, y * 6, (x + y) * 2, 255 - x * 4)
    return np.dstack(layers[:samples]).astype(np.uint8).squeeze()


# the table in the docs


@dataclass(frozen=True)
class Row:
    """A row of the table: each combination of its cells is a case, and a test."""

    depths: tuple[str, ...]
    channels: tuple[str, ...]
    compressions: tuple[str, ...]
    note: str = ""
    read: bool = True

    def __str__(self) -> str:
        cells = [", ".join(c) for c in (self.depths, self.channels, self.compressions)]
        read = "read" if self.read else "not read"
        return " | ".join(["| TIFF", *cells, read, f"{self.note} |".lstrip()])

    def cases(self) -> list[tuple[str, str, str]]:
        return list(itertools.product(self.depths, self.channels, self.compressions))


LOSSLESS = ("none", "LZW", "Deflate", "PackBits", "Zstd", "LZMA")
INTEGERS = ("8-bit", "16-bit", "32-bit", "64-bit")
SIGNED = ("signed 8-bit", "signed 16-bit", "signed 32-bit", "signed 64-bit")
FLOATS = ("16-bit float", "32-bit float", "64-bit float")

ROWS = (
    Row(("1-bit",), ("grey", "grey with 0 white"), LOSSLESS, "black and white: 0, 255"),
    Row(
        ("1-bit",),
        ("grey", "grey with 0 white"),
        ("CCITT G3", "CCITT G4"),
        "by Pillow",
    ),
    Row(("2-bit", "4-bit"), ("grey",), LOSSLESS, "spread over 0–255"),
    Row(("12-bit", "14-bit"), ("grey",), LOSSLESS, "as 16 bits"),
    Row(INTEGERS, ("grey", "grey with 0 white", "RGB", "planar RGB"), LOSSLESS),
    Row(SIGNED, ("grey", "grey with 0 white", "RGB", "planar RGB"), LOSSLESS),
    Row(FLOATS, ("grey", "grey with 0 white", "RGB", "planar RGB"), LOSSLESS),
    Row(
        ("8-bit", "16-bit", "signed 16-bit", "32-bit float"),
        ("5 channels", "5 planar channels"),
        LOSSLESS,
        "as channels",
    ),
    Row(
        ("8-bit", "16-bit"),
        ("grey and transparency", "RGB and transparency", "multiplied transparency"),
        LOSSLESS,
        "laid on white",
    ),
    Row(("1-bit", "4-bit", "8-bit"), ("palette",), LOSSLESS, "as RGB, 8-bit"),
    Row(("8-bit", "16-bit"), ("CMYK",), LOSSLESS, "as RGB, without ink profile"),
    Row(("8-bit",), ("YCbCr", "thinned YCbCr"), LOSSLESS, "as RGB"),
    Row(("8-bit", "16-bit"), ("CIELab",), LOSSLESS, "as sRGB"),
    Row(("8-bit",), ("grey", "RGB", "planar RGB"), ("JPEG", "old JPEG")),
    Row(("8-bit",), ("YCbCr",), ("JPEG", "old JPEG")),
    Row(("8-bit",), ("CMYK",), ("JPEG",)),
    Row(("8-bit",), ("RGB",), ("WebP",)),
    Row(("8-bit", "16-bit"), ("grey", "RGB"), ("JPEG 2000", "JPEG XR")),
    Row(
        ("8-bit", "16-bit", "32-bit float"),
        ("grey", "RGB"),
        ("JPEG XL",),
    ),
    Row(("8-bit", "16-bit", "32-bit float"), ("grey",), ("LERC",)),
    Row(("8-bit",), ("CIELab",), ("JPEG",), "", read=False),
    Row(("24-bit",), ("grey",), LOSSLESS, read=False),
    Row(("64-bit complex",), ("grey",), ("none",), "no picture", read=False),
    Row(("8-bit",), ("grey",), ("JBIG2",), "or any other", read=False),
)
CASES = [(row, *case) for row in ROWS for case in row.cases()]

DTYPES = {
    "1-bit": ("uint8", 1),
    "2-bit": ("uint8", 2),
    "4-bit": ("uint8", 4),
    "12-bit": ("uint16", 12),
    "14-bit": ("uint16", 14),
    "24-bit": ("uint32", 24),
    "64-bit complex": ("complex64", 0),
}


def dtype_of(depth: str) -> tuple[str, int]:
    """Return numpy's name, and how many bits are packed; 0 if none are."""
    if depth in DTYPES:
        return DTYPES[depth]
    number = depth.split("-")[0].split()[-1]
    if "float" in depth:
        return f"float{number}", 0
    return f"{'' if 'signed' in depth else 'u'}int{number}", 0


def case(depth: str, channels: str, compression: str) -> tuple[Page, Any, float]:
    """Return a page, what is to be read from it, and how far off that may be."""
    dtype, bits = dtype_of(depth)
    lossy = compression in ("JPEG", "old JPEG")
    options: dict[str, Any] = {}
    number = compression
    if compression == "JBIG2":
        number, options["more"] = "none", {259: (3, [34715])}
    if dtype == "complex64":
        return page(np.zeros((4, 4), dtype)), None, 0
    top = (1 << bits) - 1 if bits else 1 if "f" in dtype else int(np.iinfo(dtype).max)
    grey = smooth(1) if lossy or compression == "JBIG2" else ramp(dtype, bits=bits)
    colours = smooth() if lossy else ramp(dtype, 3, bits)
    if compression in ("JPEG XL", "JPEG XR") and dtype == "float32":
        grey, colours = np.clip(grey, 0, 1), np.clip(colours, 0, 1)
    if channels.startswith("grey"):
        stored, seen = grey, grey
        if bits and bits < 8:
            seen = np.rint(grey * (255 / top)).astype(np.uint8)
        if channels == "grey with 0 white":
            options["photometric"] = 0
            if seen.dtype.kind == "f":
                seen = 1 - seen
            else:
                seen = ~seen  # the same as the largest number less it
        elif channels == "grey and transparency":
            alpha = ramp(dtype)[::-1]
            stored = np.dstack((grey, alpha))
            seen = on_white(grey[..., None], alpha, top)[..., 0]
            options["more"] = {338: (3, [2])}
    elif channels in ("RGB", "planar RGB"):
        stored = seen = colours
        options["planar"] = channels == "planar RGB"
    elif channels in ("5 channels", "5 planar channels"):
        stored = ramp(dtype, 5)
        seen = [stored[..., c] for c in range(5)]
        options |= {"photometric": 1, "planar": "planar" in channels}
    elif channels == "RGB and transparency":
        alpha = ramp(dtype)[::-1]
        stored = np.dstack((colours, alpha))
        seen = on_white(colours, alpha, top)
        options |= {"photometric": 2, "more": {338: (3, [2])}}
    elif channels == "multiplied transparency":
        alpha = ramp(dtype)[::-1]
        share = alpha[..., None] / top
        multiplied = np.rint(colours * share).astype(dtype)
        stored = np.dstack((multiplied, alpha))
        seen = np.rint(multiplied + top * (1 - share)).astype(dtype)
        options |= {"photometric": 2, "more": {338: (3, [1])}}
    elif channels == "palette":
        bits = bits or 8
        stored = ramp("uint8", bits=bits)
        palette = np.array([[3 * i, 255 - i, i ^ 85] for i in range(1 << bits)]) % 256
        seen = palette[stored].astype(np.uint8)
        options |= {"photometric": 3, "more": {320: (3, list(palette.T.ravel() * 257))}}
        options["bits"] = bits
    elif channels == "CMYK":
        stored = ramp(dtype, 4) if not lossy else smooth(4)
        paper = top - stored.astype(np.float64)
        seen = np.rint(paper[..., :3] * paper[..., 3:] / top).astype(dtype)
        options["photometric"] = 5
    elif channels == "YCbCr":
        image = Image.fromarray(smooth())
        stored = smooth() if lossy else np.asarray(image.convert("YCbCr"))
        seen = smooth()
        options |= {"photometric": 6, "more": {530: (3, [1, 1])}}
    elif channels == "thinned YCbCr":
        return thinned(compression), smooth(), 14
    elif channels == "CIELab":
        stored, seen = lab(dtype), smooth()
        options["photometric"] = 8
        if dtype == "uint16":
            seen = smooth().astype(np.uint16) * 257
        tolerance = 16 if dtype == "uint8" else 16 * 257
        return page(stored, compression, rows=13, **options), seen, tolerance
    if bits:
        options["bits"] = bits
    if channels == "YCbCr" or lossy:
        tolerance = 12.0
    else:
        tolerance = 0
    if compression == "old JPEG":
        one = page(stored, "JPEG", **options | {"planar": False})
        one.tags[259] = (3, [6])
        return one, seen, tolerance
    if compression == "JPEG" and channels == "CMYK":
        # no mark of Adobe, whose programs write such JPEGs inverted
        one = page(stored[..., 0], "JPEG", **options)
        content = cmyk_jpeg(stored)
        one.segments = [content]
        one.tags |= {258: (3, [8] * 4), 277: (3, [4]), 339: (3, [1] * 4)}
        return one, seen, 14
    if compression == "JPEG" and channels == "RGB":
        one = page(stored, "JPEG", photometric=6)
        return one, seen, tolerance
    if compression in ("JPEG 2000", "WebP") and dtype == "uint16" and stored.ndim == 3:
        import imagecodecs

        one = page(stored, "none")
        one.tags[259] = (3, [34712])
        one.segments = [bytes(imagecodecs.jpeg2k_encode(stored, level=0))]
        return one, seen, 0
    return page(stored, number, rows=13, **options), seen, tolerance


def on_white(colours: Any, alpha: Any, top: int) -> NDArray[Any]:
    share = alpha[..., None] / top
    return np.rint(colours * share + top * (1 - share)).astype(colours.dtype)


def lab(dtype: str) -> NDArray[Any]:
    srgb, profile = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(
        Image.fromarray(smooth()), srgb, profile, outputMode="LAB"
    )
    assert image is not None
    stored = np.asarray(image)
    if dtype == "uint8":
        return stored
    light = stored[..., :1].astype(np.uint16) * 257
    return np.dstack((light, stored[..., 1:].astype(np.uint16) * 256))


def thinned(compression: str) -> Page:
    """Return a page of units of four Y, one Cb and one Cr."""
    picture = np.asarray(Image.fromarray(smooth()).convert("YCbCr"))
    light = picture[..., 0].reshape(HEIGHT // 2, 2, WIDTH // 2, 2)
    light = light.transpose(0, 2, 1, 3).reshape(HEIGHT // 2, WIDTH // 2, 4)
    colour = picture[..., 1:].reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 2)
    colour = np.rint(colour.mean((1, 3))).astype(np.uint8)
    units = np.dstack((light, colour)).reshape(HEIGHT // 2, -1)
    strips = page(units, compression, rows=7)  # of 14 rows of pixels each
    strips.tags |= {256: (4, [WIDTH]), 257: (4, [HEIGHT]), 278: (4, [14])}
    strips.tags |= {258: (3, [8] * 3), 277: (3, [3]), 262: (3, [6])}
    strips.tags |= {339: (3, [1] * 3), 530: (3, [2, 2])}
    return strips


def cmyk_jpeg(stored: NDArray[np.uint8]) -> bytes:
    import imagecodecs

    return bytes(
        imagecodecs.jpeg8_encode(
            np.ascontiguousarray(stored),
            level=95,
            colorspace="CMYK",
            outcolorspace="CMYK",
        )
    )


@pytest.mark.parametrize(
    ("row", "depth", "channels", "compression"),
    CASES,
    ids=["-".join(cells) for _, *cells in CASES],
)
def test_table(row: Row, depth: str, channels: str, compression: str) -> None:
    if not row.read:
        if channels == "CIELab":
            one = page(smooth(), "JPEG", photometric=8)
        else:
            one, _, _ = case(depth, channels, compression)
        with pytest.raises(NotAnImageError, match="cannot be read|no picture"):
            plane(tiff([one]))
        return
    one, seen, tolerance = case(depth, channels, compression)
    file = opened(tiff([one]))
    (series,) = file.series
    wanted = seen if isinstance(seen, list) else [seen]
    assert len(series.channels) == len(wanted)
    assert series.samples == (3 if wanted[0].ndim == 3 else 1)
    for c, picture in enumerate(wanted):
        read = file.plane(0, 0, 0, c)
        assert read.dtype == picture.dtype == series.dtype
        assert read.shape == picture.shape
        if tolerance:
            difference = np.abs(read.astype(float) - picture)
            assert difference.max() <= tolerance
            assert difference.mean() <= tolerance / 4
        else:
            np.testing.assert_array_equal(read, picture)


# how it is stored


@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize(
    "parts", [{}, {"rows": 7}, {"tile": 16}, {"tile": 16, "planar": True}], ids=str
)
@pytest.mark.parametrize("compression", ["none", "LZW", "Deflate"])
@pytest.mark.parametrize("predictor", [1, 2])
def test_layouts(
    big: bool, endian: str, parts: dict[str, Any], compression: str, predictor: int
) -> None:
    if compression == "none" and predictor == 2:
        predictor = 1
    picture = ramp("uint16", 3)
    one = page(picture, compression, endian=endian, predictor=predictor, **parts)
    np.testing.assert_array_equal(plane(tiff([one], endian, big)), picture)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("samples", [1, 3])
def test_predicted_floats(dtype: str, samples: int) -> None:
    picture = ramp(dtype, samples)
    one = page(picture, "Deflate", predictor=3, rows=9)
    np.testing.assert_array_equal(plane(tiff([one])), picture)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("samples", [1, 3])
def test_orientation(turn: int, samples: int) -> None:
    stored = ramp("uint16", samples)
    seen = {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: stored.swapaxes(0, 1),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).swapaxes(0, 1),
        8: np.rot90(stored),
    }[turn]
    one = page(stored, tile=16, more={274: (3, [turn])})
    file = opened(tiff([one]))
    assert (file.series[0].height, file.series[0].width) == seen.shape[:2]
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), seen)
    part = file.region(0, (5, 9, 20, 23))
    np.testing.assert_array_equal(part, seen[9:32, 5:25])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "I;16"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_files_of_pillow(mode: str, compression: str | None) -> None:
    image = Image.fromarray(smooth())
    if mode in ("RGBA", "LA"):
        image = image.convert(mode[:-1])
        image.putalpha(Image.fromarray(smooth(1)))
    elif mode == "I;16":
        image = Image.fromarray(ramp("uint16"))
    else:
        image = image.quantize(32) if mode == "P" else image.convert(mode)
    out = io.BytesIO()
    image.save(out, "TIFF", compression=compression)
    if mode in ("RGBA", "LA"):
        paper = Image.new("RGBA", image.size, "white")
        seen = Image.alpha_composite(paper, image.convert("RGBA"))
        image = seen.convert("RGB" if mode == "RGBA" else "L")
    elif mode in ("P", "CMYK"):
        image = image.convert("RGB")
    elif mode == "1":
        image = image.convert("L")
    np.testing.assert_array_equal(plane(out.getvalue()), np.asarray(image))


def test_fill_order() -> None:
    picture = ramp("uint8", bits=1)
    one = page(picture, bits=1, more={266: (3, [2])})
    table = [int(f"{n:08b}"[::-1], 2) for n in range(256)]
    one.segments = [bytes(table[n] for n in one.segments[0])]
    np.testing.assert_array_equal(plane(tiff([one])), picture * 255)


def test_fill_order_of_a_fax() -> None:
    picture = ramp("uint8", bits=1)
    one = page(picture, "CCITT G4", bits=1, more={266: (3, [2])})
    table = [int(f"{n:08b}"[::-1], 2) for n in range(256)]
    one.segments = [bytes(table[n] for n in one.segments[0])]
    np.testing.assert_array_equal(plane(tiff([one])), picture * 255)


def test_fax_of_several_strips() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = ((x // 5 + y // 3) % 2).astype(np.uint8)
    one = page(picture, "CCITT G4", rows=11, photometric=0, bits=1)
    # Pillow writes 0 as black, so that the strips' runs of white are the file's 1
    two = page(picture, "CCITT G4", rows=11, photometric=1, bits=1)
    read = [plane(tiff([p])) for p in (one, two)]
    np.testing.assert_array_equal(read[0], 255 - read[1])
    assert {tuple(np.unique(r)) for r in read} == {(0, 255)}
    np.testing.assert_array_equal(read[1], picture * 255)


def test_fourth_number_that_is_no_transparency() -> None:
    colours = ramp("uint8", 3)
    stored = np.dstack((colours, ramp("uint8")))
    one = page(stored, photometric=2, more={338: (3, [0])})
    np.testing.assert_array_equal(plane(tiff([one])), colours)


def test_fourth_number_of_which_nothing_is_told() -> None:
    colours, alpha = ramp("uint8", 3), ramp("uint8")
    read = plane(tiff([page(np.dstack((colours, alpha)), photometric=2)]))
    np.testing.assert_array_equal(read, on_white(colours, alpha, 255))


def test_565_bits() -> None:
    packed = np.array([[0xF800, 0x07E0], [0x001F, 0xFFFF]], np.uint16)
    one = page(np.zeros((2, 2, 3), np.uint8))
    one.tags[258] = (3, [5, 6, 5])
    one.segments = [packed.tobytes()]
    read = plane(tiff([one]))
    assert read.dtype == np.uint8
    assert read.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("largest", "bits"), [(4095, 12), (16383, 14), (65535, 16), (3017, 16), (0, 16)]
)
def test_bits_in_use(largest: int, bits: int) -> None:
    one = page(ramp("uint16"), more={281: (3, [largest])})
    assert opened(tiff([one])).series[0].bits == bits


@pytest.mark.parametrize(
    ("unit", "per_unit", "size"),
    [
        (2, 72, None),  # of a print
        (2, 300, None),
        (3, 118, None),
        (3, 20000, 0.5),
        (1, 2, None),
    ],
)
def test_pixel_size_of_plain_files(
    unit: int, per_unit: int, size: float | None
) -> None:
    more = {282: (5, [(per_unit, 1)]), 283: (5, [(per_unit, 2)]), 296: (3, [unit])}
    read = opened(tiff([page(ramp("uint8"), more=more)])).series[0].pixel_size
    assert read == (None if size is None else pytest.approx((size, 2 * size)))


def test_pixel_size_turns_with_the_picture() -> None:
    more = {282: (5, [(10000, 1)]), 283: (5, [(20000, 1)]), 296: (3, [3])}
    one = page(ramp("uint8"), more=more | {274: (3, [6])})
    assert opened(tiff([one])).series[0].pixel_size == pytest.approx((0.5, 1.0))


def test_a_directory_without_its_link() -> None:
    picture = ramp("uint8")
    tags = {256: WIDTH, 257: HEIGHT, 258: 8, 259: 1, 262: 1, 273: 8, 278: HEIGHT}
    tags[279] = picture.size
    content = struct.pack("<2sHI", b"II", 42, 8 + picture.size) + picture.tobytes()
    content += struct.pack("<H", len(tags))
    for tag, value in tags.items():
        content += struct.pack("<HHII", tag, 4, 1, value)
    file = opened(content)
    assert file.series[0].n_planes == 1
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), picture)


# parts and smaller copies


def pyramid(how: str, side: int = 96) -> tuple[bytes, list[NDArray[np.uint16]]]:
    levels = [
        (np.arange((side // n) ** 2).reshape(side // n, -1) + 1000 * n).astype("uint16")
        for n in (1, 2, 4)
    ]
    reduced = {254: (4, [1])}
    lower = [page(level, tile=16, more=reduced) for level in levels[1:]]
    if how == "below":
        return tiff([page(levels[0], tile=16, subs=lower)]), levels
    if how == "unmarked":
        lower = [page(level, tile=16) for level in levels[1:]]
    return tiff([page(levels[0], tile=16), *lower]), levels


@pytest.mark.parametrize("how", ["below", "marked", "unmarked"])
def test_smallest_level_that_suffices(how: str) -> None:
    content, levels = pyramid(how)
    file = opened(content)
    (series,) = file.series
    assert series.levels == ((96, 96), (48, 48), (24, 24))
    for near, level in ((None, 0), (97, 0), (96, 0), (49, 0), (48, 1), (25, 1), (9, 2)):
        read = file.plane(0, 0, 0, 0, near)
        np.testing.assert_array_equal(read, levels[level])
    # half of the whole, of which 24 pixels will do
    part = file.region(0, (48, 0, 48, 96), near=24)
    np.testing.assert_array_equal(part, levels[1][:, 24:])


def test_halves_of_several_pages_are_pictures() -> None:
    large, small = ramp("uint8"), ramp("uint8")[:20, :28]
    pages = [page(p, tile=16) for p in (large, small, large, small)]
    sizes = [(s.width, s.height, s.n_depths) for s in opened(tiff(pages)).series]
    assert sizes == [(WIDTH, HEIGHT, 2), (28, 20, 2)]


def test_nearly_as_large_is_no_smaller_copy() -> None:
    sizes = [np.zeros((n, n), np.uint8) for n in (96, 80)]
    assert len(opened(tiff([page(p, tile=16) for p in sizes])).series) == 2


def test_a_thumbnail_is_no_picture_of_its_own() -> None:
    marked = {254: (4, [1])}
    odd = page(ramp("uint8")[:20, :9], more=marked)
    alike = page(ramp("uint8")[:20, :28], more=marked)
    for small in (odd, alike):
        assert len(opened(tiff([page(ramp("uint8")), small])).series) == 1


def test_outside_of_a_region_is_white() -> None:
    picture = ramp("uint16", bits=12)
    file = opened(tiff([page(picture, bits=12)]))
    part = file.region(0, (-4, 30, 20, 20))
    np.testing.assert_array_equal(part[:10, 4:], picture[30:, :16])
    assert (part[10:] == 4095).all() and (part[:, :4] == 4095).all()
    assert (file.region(0, (500, 500, 8, 4)) == np.full((4, 8), 4095)).all()


class Counting(io.BytesIO):
    """Counts what is read of a file."""

    n_read = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.n_read += len(content)
        return content


def test_a_region_reads_the_tiles_that_it_touches() -> None:
    picture = ramp("uint16")
    stream = Counting(tiff([page(picture, tile=16)]))
    file = TiffImageFile(stream, None, Limits())
    stream.n_read = 0
    part = file.region(0, (17, 3, 14, 12))
    np.testing.assert_array_equal(part, picture[3:15, 17:31])
    assert stream.n_read == 16 * 16 * 2


def test_limit_on_pixels() -> None:
    content = tiff([page(ramp("uint8"), tile=16)])
    file = opened(content, max_pixels=HEIGHT * WIDTH - 1)
    assert file.series[0].width == WIDTH
    with pytest.raises(ImageTooLargeError, match="IMAGEMINING_MAX_PIXELS"):
        file.plane(0, 0, 0, 0)
    assert file.region(0, (0, 0, 30, 30)).shape == (30, 30)
    with pytest.raises(ImageTooLargeError):
        file.region(0, (0, 0, 1000, 1000))


def test_tiles_larger_than_the_limit() -> None:
    one = page(ramp("uint8"), "Deflate", tile=64)
    one.tags |= {322: (4, [60000]), 323: (4, [60000])}
    with pytest.raises(ImageTooLargeError):
        plane(tiff([one]))


def test_sides_of_65000_pixels() -> None:
    wide = np.arange(65000 * 2, dtype=np.uint32).reshape(2, 65000) % 251
    for picture in (wide.astype(np.uint8), np.ascontiguousarray(wide.T, np.uint8)):
        np.testing.assert_array_equal(plane(tiff([page(picture, "LZW")])), picture)


# what is wrong


@pytest.mark.parametrize("length", [3, 7, 8, 20, 150, -40, -4])
@pytest.mark.parametrize("compression", ["none", "LZW", "JPEG", "CCITT G4"])
def test_truncated(length: int, compression: str) -> None:
    bits = 1 if compression == "CCITT G4" else 0
    content = tiff([page(ramp("uint8", bits=bits), compression, bits=bits)])[:length]
    reason = "breaks off" if length < 0 else "breaks off|damaged|no pictures"
    with pytest.raises(ImageError, match=reason):
        TiffImageFile(io.BytesIO(content), None, Limits()).plane(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({259: (3, [50999])}, r"in an unknown way \(number 50999\), which cannot"),
        ({259: (3, [34715])}, r"by JBIG2 \(number 34715\), which cannot be read"),
        ({256: (4, [0])}, "no pixels|no pictures|damaged"),
        ({258: (3, [77])}, "77 bits"),
        ({262: (3, [32845])}, "LogLuv"),
        ({262: (3, [32803])}, "raw picture of a camera"),
        ({273: (4, [0]), 279: (4, [0])}, "no pixels in it"),
        ({279: (4, [2**31])}, "breaks off|damaged"),
        ({317: (3, [77])}, "damaged"),
    ],
)
def test_reasons(tags: dict[int, tuple[int, Any]], reason: str) -> None:
    one = page(ramp("uint8"), "LZW", more=tags)
    with pytest.raises(ImageError, match=reason):
        plane(tiff([one]))


def test_no_pictures() -> None:
    with pytest.raises(DamagedImageError, match="no pictures in it"):
        opened(b"II*\0" + bytes(4) + bytes(100))


def test_noise_is_an_error_and_silent(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    whole = bytearray(tiff([page(ramp("uint8"), "LZW", rows=9), page(ramp("int16"))]))
    read = failed = 0
    for _ in range(300):
        content = whole.copy()
        for place in rng.integers(0, 600, 6):
            content[place] = rng.integers(0, 256)
        content[:4] = whole[:4]
        try:
            file = TiffImageFile(io.BytesIO(content), None, Limits(max_pixels=10**6))
            for number, series in enumerate(file.series):
                for z in range(series.n_depths):
                    file.plane(number, 0, z, 0)
            read += 1
        except ImageError:
            failed += 1
    assert read and failed
    assert capfd.readouterr() == ("", "")


def test_log_of_others_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    one = page(ramp("uint8"), rows=9)
    one.tags[278] = (4, [HEIGHT])  # but there are five strips: tifffile complains
    with pytest.raises(ImageError):
        plane(tiff([one]))
    assert not caplog.records
    logging.getLogger("tifffile").error("of another program")
    assert [record.message for record in caplog.records] == ["of another program"]


def test_several_threads() -> None:
    pictures = [ramp("uint16") + n for n in range(8)]
    contents = [tiff([page(p, "LZW", tile=16)]) for p in pictures]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(plane, contents * 4))
    for number, picture in enumerate(read):
        np.testing.assert_array_equal(picture, pictures[number % 8])
