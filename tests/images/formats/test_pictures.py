"""Pictures of all kinds, written by other libraries than those that read them.

The rows are those of the table in doc/formats.md (see test_formats_page.py).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import ImageError
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.formats import heif

Pixels = NDArray[Any]


def grey(bits: int = 8) -> Pixels:
    """Return a smooth picture that spans all numbers of so many bits."""
    y, x = np.mgrid[:16, :24]
    values = np.rint((x + y) / 38 * (2**bits - 1))
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def rgb(bits: int = 8) -> Pixels:
    first = grey(bits)
    return np.dstack([first, first[::-1], first[:, ::-1]])


def signed() -> Pixels:
    return (grey(16).astype(int) - 32768).astype(np.int16)


def with_alpha(pixels: Pixels, bits: int = 8) -> Pixels:
    """Make the left third transparent and the next half so."""
    alpha = np.full(pixels.shape[:2], 2**bits - 1, pixels.dtype)
    alpha[:, :8] = 0
    alpha[:, 8:16] = 2 ** (bits - 1)
    return np.dstack([pixels, alpha])


def on_paper(pixels: Pixels, bits: int = 8) -> Pixels:
    most = 2**bits - 1
    share = with_alpha(pixels, bits)[..., -1].astype(float) / most
    if pixels.ndim == 3:
        share = share[..., None]
    return np.rint(pixels * share + most * (1 - share)).astype(pixels.dtype)


def coarse() -> Pixels:
    """Return colours that fit a palette."""
    return np.dstack([grey() // 128 * 255, grey()[::-1] // 128 * 255, grey() * 0])


def pillow(pixels: Pixels, kind: str, mode: str = "", **options: Any) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, kind, **options)
    return stream.getvalue()


def png(pixels: Pixels, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Write a PNG of 16 bits by hand, as its standard tells."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return (
            struct.pack(">I", len(content)) + name + content + check.to_bytes(4, "big")
        )

    height, width = pixels.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    body = b"".join(chunk(*one) for one in chunks)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + body
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def heic(pixels: Pixels, mode: str) -> bytes:
    height, width = pixels.shape[:2]
    content = np.ascontiguousarray(pixels).tobytes()
    stream = io.BytesIO()
    pillow_heif.from_bytes(mode, (width, height), content).save(
        stream, quality=-1, chroma=444
    )
    return stream.getvalue()


def jpeg2000(pixels: Pixels, **options: Any) -> bytes:
    pixels = np.ascontiguousarray(pixels)
    return imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, **options)


def tga(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    head = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, width, height, 24, 32)
    return head + pixels[..., ::-1].tobytes()


def packed(pixels: Pixels) -> bytes:
    return np.packbits(pixels < 128, axis=1).tobytes()


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes
    ----------
    row : format, bits, channels, compression.
    write : the file.
    expected : raw numbers, (height, width) or (height, width, 3).
    by : how far they may be off, of lossy compressions.
    """

    row: tuple[str, str, str, str]
    write: Callable[[], bytes]
    expected: Pixels
    by: float = 0
    note: str = ""


def case(
    row: str,
    write: Callable[[], bytes],
    expected: Pixels,
    by: float = 0,
    note: str = "",
) -> Case:
    format_, bits, channels, compression = row.split(" | ")
    return Case((format_, bits, channels, compression), write, expected, by, note)


PAPER = "laid on white"
BLACK_WHITE = grey() // 128 * 255
CASES = [
    case("JPEG | 8-bit | grey | JPEG",
         lambda: simplejpeg.encode_jpeg(grey()[..., None].copy(), 95, "GRAY"),
         grey(), 4),
    case("JPEG | 8-bit | RGB | JPEG",
         lambda: simplejpeg.encode_jpeg(rgb(), 95, colorsubsampling="444"), rgb(), 8),
    case("JPEG | 8-bit | RGB | progressive JPEG",
         lambda: pillow(rgb(), "JPEG", progressive=True, quality=95, subsampling=0),
         rgb(), 8),
    case("JPEG | 8-bit | CMYK | JPEG",
         lambda: pillow(coarse(), "JPEG", "CMYK", quality=98), coarse(), 30,
         "as RGB, without ink profile"),
    case("PNG | 1-bit | grey | Deflate",
         lambda: pillow(BLACK_WHITE, "PNG", "1"), BLACK_WHITE),
    case("PNG | 8-bit | grey | Deflate",
         lambda: imagecodecs.png_encode(grey()), grey()),
    case("PNG | 8-bit | grey and transparency | Deflate",
         lambda: imagecodecs.png_encode(with_alpha(grey())),
         np.dstack([on_paper(grey())] * 3), 1, PAPER),
    case("PNG | 8-bit | RGB | Deflate", lambda: imagecodecs.png_encode(rgb()), rgb()),
    case("PNG | 8-bit | RGB and transparency | Deflate",
         lambda: imagecodecs.png_encode(with_alpha(rgb())), on_paper(rgb()), 1, PAPER),
    case("PNG | 8-bit | palette | Deflate",
         lambda: pillow(coarse(), "PNG", "P"), coarse()),
    case("PNG | 16-bit | grey | Deflate", lambda: pillow(grey(16), "PNG"), grey(16)),
    case("PNG | 16-bit | grey and transparency | Deflate",
         lambda: png(with_alpha(grey(16), 16), 4), on_paper(grey(16), 16), 0, PAPER),
    case("PNG | 16-bit | RGB | Deflate", lambda: png(rgb(16), 2), rgb(16)),
    case("PNG | 16-bit | RGB and transparency | Deflate",
         lambda: png(with_alpha(rgb(16), 16), 6), on_paper(rgb(16), 16), 0, PAPER),
    case("GIF | 8-bit | palette | LZW", lambda: pillow(coarse(), "GIF", "P"), coarse()),
    case("GIF | 8-bit | grey | LZW", lambda: imagecodecs.gif_encode(grey()), grey()),
    case("WebP | 8-bit | RGB | WebP",
         lambda: imagecodecs.webp_encode(rgb(), level=95), rgb(), 45),
    case("WebP | 8-bit | RGB | lossless WebP",
         lambda: imagecodecs.webp_encode(rgb(), lossless=True), rgb()),
    case("WebP | 8-bit | RGB and transparency | lossless WebP",
         lambda: imagecodecs.webp_encode(with_alpha(rgb()), lossless=True),
         on_paper(rgb()), 1, PAPER),
    case("BMP | 1-bit | grey | none",
         lambda: pillow(BLACK_WHITE, "BMP", "1"), BLACK_WHITE),
    case("BMP | 8-bit | grey | none", lambda: imagecodecs.bmp_encode(grey()), grey()),
    case("BMP | 8-bit | RGB | none", lambda: imagecodecs.bmp_encode(rgb()), rgb()),
    case("AVIF | 8-bit | grey | AV1",
         lambda: imagecodecs.avif_encode(grey(), level=100), grey(), 2),
    case("AVIF | 8-bit | RGB | AV1",
         lambda: imagecodecs.avif_encode(rgb(), level=100, pixelformat="444"),
         rgb(), 2),
    case("AVIF | 10-bit | RGB | AV1",
         lambda: imagecodecs.avif_encode(rgb(10), level=100, pixelformat="444",
                                         bitspersample=10), rgb(10), 4),
    case("AVIF | 12-bit | RGB | AV1",
         lambda: imagecodecs.avif_encode(rgb(12), level=100, pixelformat="444",
                                         bitspersample=12), rgb(12), 8),
    case("HEIC | 8-bit | grey | HEVC", lambda: heic(grey(), "L"), grey(), 2),
    case("HEIC | 8-bit | RGB | HEVC", lambda: heic(rgb(), "RGB"), rgb(), 4),
    case("HEIC | 8-bit | RGB and transparency | HEVC",
         lambda: heic(with_alpha(rgb()), "RGBA"), on_paper(rgb()), 6, PAPER),
    case("HEIC | 10-bit | RGB | HEVC", lambda: heic(rgb(16), "RGB;16"), rgb(16), 400),
    case("HEIC | 10-bit | RGB and transparency | HEVC",
         lambda: heic(with_alpha(rgb(16), 16), "RGBA;16"), on_paper(rgb(16), 16), 900,
         PAPER),
    case("HEIC | 12-bit | RGB | HEVC",
         lambda: heic(rgb(12), "RGB;12"), rgb(12) * 16, 200),
    case("JPEG 2000 | 8-bit | grey | JPEG 2000",
         lambda: jpeg2000(grey(), codecformat="jp2"), grey()),
    case("JPEG 2000 | 8-bit | RGB | JPEG 2000",
         lambda: jpeg2000(rgb(), codecformat="jp2"), rgb()),
    case("JPEG 2000 | 8-bit | RGB | bare JPEG 2000 codestream",
         lambda: jpeg2000(rgb(), codecformat="j2k"), rgb()),
    case("JPEG 2000 | 12-bit | grey | JPEG 2000",
         lambda: jpeg2000(grey(12), codecformat="jp2", bitspersample=12), grey(12)),
    case("JPEG 2000 | 16-bit | grey | JPEG 2000",
         lambda: pillow(grey(16), "JPEG2000"), grey(16)),
    case("JPEG 2000 | 16-bit | grey | bare JPEG 2000 codestream",
         lambda: pillow(grey(16), "JPEG2000", no_jp2=True), grey(16)),
    case("JPEG 2000 | 16-bit | RGB | JPEG 2000",
         lambda: jpeg2000(rgb(16), codecformat="jp2"), rgb(16)),
    case("JPEG 2000 | signed 16-bit | grey | JPEG 2000",
         lambda: jpeg2000(signed(), codecformat="jp2"), signed()),
    case("PBM | 1-bit | grey | none",
         lambda: b"P4 24 16\n" + packed(BLACK_WHITE), BLACK_WHITE),
    case("PGM | 8-bit | grey | none",
         lambda: b"P5 24 16 255\n" + grey().tobytes(), grey()),
    case("PGM | 16-bit | grey | none",
         lambda: b"P5 24 16 65535\n" + grey(16).astype(">u2").tobytes(), grey(16)),
    case("PPM | 8-bit | RGB | none",
         lambda: b"P6 24 16 255\n" + rgb().tobytes(), rgb()),
    case("PPM | 16-bit | RGB | none",
         lambda: b"P6 24 16 65535\n" + rgb(16).astype(">u2").tobytes(),
         np.rint(rgb(16) / 257).astype(np.uint8), 1, "cut to 8 bits"),
    case("PFM | 32-bit float | grey | none",
         lambda: b"Pf\n24 16\n-1\n" + (grey()[::-1] / np.float32(7)).tobytes(),
         grey() / np.float32(7)),
    case("PCX | 8-bit | RGB | run lengths", lambda: pillow(rgb(), "PCX"), rgb()),
    case("QOI | 8-bit | RGB | QOI", lambda: imagecodecs.qoi_encode(rgb()), rgb()),
    case("TGA | 8-bit | RGB | none", lambda: tga(rgb()), rgb()),
    case("ICO | 8-bit | RGB | Deflate",
         lambda: pillow(rgb(), "ICO", sizes=[(24, 16)]), rgb()),
]  # fmt: skip


def deep_jpeg() -> bytes:
    return bytes(imagecodecs.jpeg_encode(grey(12), 95, bitspersample=12))


#: Rows of what is not read, how it is written, and what the reason tells.
NOT_READ = [
    (("JPEG", "12-bit", "grey", "JPEG"), deep_jpeg, "not read"),
    (
        ("JPEG XL", "8-bit", "RGB", "JPEG XL"),
        lambda: imagecodecs.jpegxl_encode(rgb()),
        "format",
    ),
    (
        ("JPEG XR", "8-bit", "RGB", "JPEG XR"),
        lambda: imagecodecs.jpegxr_encode(rgb()),
        "format",
    ),
    (
        ("JPEG-LS", "8-bit", "grey", "JPEG-LS"),
        lambda: imagecodecs.jpegls_encode(grey()),
        "damaged",
    ),
]


@pytest.mark.parametrize(
    ("row", "write", "words"), NOT_READ, ids=[" | ".join(row) for row, _, _ in NOT_READ]
)
def test_kinds_that_are_not_read(
    tmp_path: Path, row: tuple[str, ...], write: Callable[[], bytes], words: str
) -> None:
    path = tmp_path / "a.jpg"
    try:
        path.write_bytes(write())
    except ValueError:
        pytest.skip("an old imagecodecs does not write this")
    with ImageReader() as reader, pytest.raises(ImageError, match=words) as caught:
        reader.read(str(path))
    assert str(caught.value)


@pytest.mark.parametrize("one", CASES, ids=lambda one: " | ".join(one.row))
def test_kinds(tmp_path: Path, one: Case) -> None:
    if one.row[:3] == ("AVIF", "8-bit", "grey"):
        pytest.importorskip("PIL.AvifImagePlugin")  # without it, grey comes as RGB
    path = tmp_path / "renamed.xyz"  # the ending tells nothing
    path.write_bytes(one.write())
    expected = one.expected
    with ImageReader() as reader:
        (contents,) = reader.contents(str(path))
        (numbers,) = reader.samples(str(path))
        shown = np.asarray(reader.read(f"{path}#contrast=stored"))
        whole = np.asarray(reader.read(f"{path}"))
    assert (contents.width, contents.height) == (24, 16)
    assert contents.samples == (3 if expected.ndim == 3 else 1)
    assert contents.dtype == expected.dtype
    if one.row[1] in ("10-bit", "12-bit") and one.row[0] != "HEIC":
        assert contents.bits == int(one.row[1][:2])
    # of so small a picture all numbers are given, in order
    error = np.abs(numbers.astype(float) - expected.ravel())
    assert error.max() <= one.by
    assert shown.shape == whole.shape == expected.shape
    if expected.dtype == np.uint8:
        np.testing.assert_array_equal(shown.ravel(), numbers)
        np.testing.assert_array_equal(whole, shown)
    elif expected.dtype == np.uint16 and contents.bits in (0, 16):
        brightness = np.rint(numbers / 257).astype(np.uint8)
        np.testing.assert_array_equal(shown.ravel(), brightness)


@pytest.mark.parametrize("alpha", [False, True])
def test_avif_where_pillow_does_not_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alpha: bool
) -> None:
    monkeypatch.setattr(heif, "_pillow_reads_avif", lambda: False)
    pixels = with_alpha(rgb()) if alpha else rgb()
    expected = on_paper(rgb()) if alpha else rgb()
    path = tmp_path / "a.avif"
    path.write_bytes(imagecodecs.avif_encode(pixels, level=100, pixelformat="444"))
    with ImageReader() as reader:
        assert reader.size(str(path)) == (24, 16)
        shown = np.asarray(reader.read(str(path))).astype(int)
    assert np.abs(shown - expected).max() <= 4


def test_moving_avif_is_read_by_pillow(tmp_path: Path) -> None:
    pytest.importorskip("PIL.AvifImagePlugin")
    path = tmp_path / "a.avif"
    frames = [Image.fromarray(np.full((16, 24, 3), n, np.uint8)) for n in (10, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with ImageReader() as reader:
        assert reader.contents(str(path))[0].n_times == 2
        for t, level in enumerate((10, 200)):
            shown = np.asarray(reader.read(f"{path}#t={t}")).astype(int)
            assert np.abs(shown - level).max() <= 3


@pytest.mark.parametrize("words", ["stack=middle", "stack=max", "stack=mean"])
def test_a_photograph_is_not_mixed_with_its_preview(tmp_path: Path, words: str) -> None:
    path = tmp_path / "photo.jpg"
    first, preview = Image.fromarray(rgb()), Image.fromarray(255 - rgb())
    first.save(path, "MPO", save_all=True, append_images=[preview], quality=95)
    with Image.open(path) as image:
        assert image.format == "MPO" and image.n_frames == 2
    with ImageReader() as reader:
        assert reader.contents(str(path))[0].n_planes == 1
        whole, seen = reader.read(str(path)), reader.read(f"{path}#{words}")
        np.testing.assert_array_equal(np.asarray(seen), np.asarray(whole))
        with pytest.raises(ImageError, match="1 time point"):
            reader.read(f"{path}#t=1")
