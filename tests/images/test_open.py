"""Images are read as people see them; what cannot be read says why."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageAccessError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images import ImageReader, Limits
from orangecontrib.imagemining.images.open import scale_to_8_bits

RED, BLUE = (200, 30, 10), (10, 40, 180)


def halves(mode: str = "RGB", size: tuple[int, int] = (40, 20)) -> Image.Image:
    """Return an image red on the left, blue on the right."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, size[0], size[1]))
    return image.convert(mode)


def save(image: Image.Image, path: Path, **options: object) -> str:
    image.save(path, **options)
    return str(path)


def read(path: str | Path, limits: Limits | None = None) -> Image.Image:
    with ImageReader(limits) as reader:
        return reader.read(str(path))


def is_like(pixel: object, colour: tuple[int, int, int], tolerance: int = 25) -> bool:
    return bool(np.abs(np.subtract(pixel, colour)).max() <= tolerance)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "P", "RGBA", "YCbCr", "LAB"])
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "bmp", "gif", "webp"])
def test_colours_of_all_modes(tmp_path: Path, mode: str, ending: str) -> None:
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(halves(), srgb, lab, outputMode="LAB")
    else:
        image = halves().quantize(8) if mode == "P" else halves(mode)
    try:
        path = save(image, tmp_path / f"a.{ending}")
    except (OSError, KeyError, ValueError):
        pytest.skip(f"{ending} does not hold {mode}")
    result = read(path)
    assert result.mode == "RGB"
    assert is_like(result.getpixel((5, 10)), RED)
    assert is_like(result.getpixel((35, 10)), BLUE)


def test_adobe_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    path = save(halves("CMYK"), tmp_path / "a.jpg", quality=95)
    assert b"Adobe" in Path(path).read_bytes()
    assert is_like(read(path).getpixel((5, 10)), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, ending: str) -> None:
    # how a camera stores an upright picture under each value of the EXIF tag
    stored_as = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = halves()
    upright.paste((0, 160, 0), (0, 0, 20, 10))  # green at the top left
    stored = upright
    if orientation > 1:
        stored = upright.transpose(stored_as[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(stored, tmp_path / f"a.{ending}", exif=exif)
    result = read(path)
    with ImageReader() as reader:
        assert reader.size(path) == result.size == (40, 20)
    assert is_like(result.getpixel((5, 3)), (0, 160, 0), 45)
    assert is_like(result.getpixel((5, 16)), RED, 45)
    assert is_like(result.getpixel((35, 10)), BLUE, 45)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    image = halves("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    result = read(save(image, tmp_path / "a.png"))
    assert result.getpixel((0, 0)) == (255, 255, 255)
    assert is_like(result.getpixel((1, 0)), (127, 127, 127), 2)


def test_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = halves("RGB").quantize(4)
    index = image.getpixel((5, 5))
    result = read(save(image, tmp_path / "a.png", transparency=index))
    assert result.getpixel((5, 5)) == (255, 255, 255)
    assert is_like(result.getpixel((35, 10)), BLUE)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert is_like(read(path).getpixel((4, 4)), RED)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_stays_grey(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (4, 4), 255)
    result = read(save(image, tmp_path / "a.png"))
    assert result.mode == "L"
    assert result.getpixel((1, 1)) == 255


@pytest.mark.parametrize(
    ("dtype", "ending"),
    [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif"), (np.float32, "tif")],
)
def test_deep_grey_is_scaled_not_clipped(
    tmp_path: Path, dtype: type, ending: str
) -> None:
    # a camera of 12 bits uses 0-4095 of 16 bits
    ramp = np.tile(np.arange(4096), (8, 1)).astype(dtype)
    path = save(Image.fromarray(ramp), tmp_path / f"a.{ending}")
    grey = np.asarray(read(path))
    assert grey.dtype == np.uint8
    assert (grey == 255).mean() < 0.01
    assert (grey == 0).mean() < 0.01
    assert len(np.unique(grey)) == 256
    np.testing.assert_allclose(grey[0], ramp[0] / 4095 * 255, atol=1.5)


def test_big_endian_tiff(tmp_path: Path) -> None:
    values = np.tile(np.arange(0, 4096, 16, dtype=">u2"), (4, 1))
    head = struct.pack(">2sHI", b"MM", 42, 8)
    entries = [
        (256, 3, 1, 256 << 16),
        (257, 3, 1, 4 << 16),
        (258, 3, 1, 16 << 16),
        (259, 3, 1, 1 << 16),
        (262, 3, 1, 1 << 16),
        (273, 4, 1, 8 + 2 + 12 * 8 + 4),
        (278, 3, 1, 4 << 16),
        (279, 4, 1, values.nbytes),
    ]
    ifd = struct.pack(">H", len(entries))
    ifd += b"".join(struct.pack(">HHII", *entry) for entry in entries)
    path = tmp_path / "a.tif"
    path.write_bytes(head + ifd + struct.pack(">I", 0) + values.tobytes())
    grey = np.asarray(read(path)).astype(int)
    np.testing.assert_allclose(grey[0], np.arange(256), atol=1.5)


def test_hot_pixel_does_not_blacken_the_rest() -> None:
    grey = np.random.default_rng(0).integers(100, 1000, (100, 100)).astype(np.uint16)
    grey[50, 50] = 65535
    scaled = scale_to_8_bits(grey)
    assert scaled[50, 50] == 255
    assert 100 < np.median(scaled) < 155


def test_scaling_of_odd_values() -> None:
    assert not scale_to_8_bits(np.full((3, 3), 7, np.uint16)).any()
    assert scale_to_8_bits(np.array([[-5.0, 0.0, 5.0]])).tolist() == [[0, 128, 255]]
    odd = scale_to_8_bits(np.array([[np.nan, 1.0, 2.0, np.inf, -np.inf]]))
    assert odd.tolist() == [[0, 0, 255, 0, 0]]
    with pytest.raises(DamagedImageError, match="None of the pixels"):
        scale_to_8_bits(np.full((2, 2), np.nan))
    few = np.zeros((100, 100), np.uint16)
    few[0, 0] = 3
    assert scale_to_8_bits(few)[0, 0] == 255


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3000, 2)])
def test_odd_sizes_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    assert read(save(Image.new("RGB", size), tmp_path / "a.png")).size == size


def test_content_decides_not_the_ending(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    halves().save(path, "PNG")
    assert is_like(read(path).getpixel((5, 10)), RED)


def damage(tmp_path: Path, ending: str) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"cut.{ending}"
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


@pytest.mark.parametrize("switch", [False, True])
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "bmp", "gif", "webp", "jp2"])
def test_truncated_files_are_failures(
    tmp_path: Path, ending: str, switch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # another add-on may have set Pillow's switch for the whole program
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", switch)
    with pytest.raises(DamagedImageError):
        read(damage(tmp_path, ending))


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "bmp", "gif", "webp", "jp2"])
def test_whole_files_pass_with_pillows_switch(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    path = save(halves(size=(64, 64)), tmp_path / f"a.{ending}")
    assert is_like(read(path).getpixel((10, 10)), RED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"x", "text file"),
        (b"just some words\n" * 100, "text file"),
        ("žluťoučký".encode() * 500, "text file"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'<?xml version="1.0"?><svg xmlns=""/>', "SVG"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04....", "archive"),
        (bytes(range(256)) * 4, "format that can be read"),
    ],
)
def test_what_is_not_an_image_says_what_it_is(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(NotAnImageError, match=message):
        read(path)


def test_header_alone_is_damaged(tmp_path: Path) -> None:
    path = Path(save(halves(), tmp_path / "a.png"))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(DamagedImageError):
        read(path)


def huge_png(width: int, height: int) -> bytes:
    """Return a PNG that claims a size it has not the data for."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(huge_png(40_000, 40_000))
    with pytest.raises(ImageTooLargeError, match="40000 × 40000"):
        read(path)


def test_limit_on_pixels_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(halves(), tmp_path / "a.png")
    monkeypatch.setenv("IMAGEMINING_MAX_PIXELS", "799")
    with pytest.raises(ImageTooLargeError):
        read(path)
    monkeypatch.setenv("IMAGEMINING_MAX_PIXELS", "800")
    assert read(path).size == (40, 20)
    monkeypatch.setenv("IMAGEMINING_MAX_PIXELS", "nonsense")
    assert Limits.from_environment() == Limits()


def test_limit_above_pillows_own_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read(save(halves(), tmp_path / "a.png")).size == (40, 20)


@pytest.mark.parametrize(
    "name", ["missing.png", "a" * 300 + ".png", "zero\0byte.png", "file.txt/a.png"]
)
def test_missing_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(ImageNotFoundError):
        read(f"{tmp_path}/{name}")


def test_folder_and_pipe_are_not_images(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png"):
        with pytest.raises(NotAnImageError):
            read(path)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Give up root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_by_permission(tmp_path: Path) -> None:
    path = Path(save(halves(), tmp_path / "a.png"))
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(folder.stat().st_mode | 0o111)
    with ordinary_user(), pytest.raises(ImageAccessError, match="not allow"):
        read(path)


@pytest.mark.parametrize(
    "name",
    ["with space.png", "microbe 🦠.png", "ž" * 90 + ".png", "a.b.c.png", "%41.png"],
)
def test_names_of_all_kinds(tmp_path: Path, name: str) -> None:
    assert read(save(halves(), tmp_path / name)).size == (40, 20)


def test_200_characters(tmp_path: Path) -> None:
    assert read(save(halves(), tmp_path / ("n" * 196 + ".png"))).size == (40, 20)


# Pillow warns of odd metadata, and goes on
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_files_of_all_kinds_raise_only_image_errors(tmp_path: Path) -> None:
    # bytes changed at random must never end in anything but a picture or a reason
    rng = np.random.default_rng(1)
    path = tmp_path / "a"
    n_failed = 0
    with ImageReader() as reader:
        for ending in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000", "PPM"):
            stream = io.BytesIO()
            halves().save(stream, ending)
            original = np.frombuffer(stream.getvalue(), np.uint8)
            for _ in range(40):
                content = original.copy()
                places = rng.integers(0, min(len(content), 200), 4)
                content[places] = rng.integers(0, 256, 4)
                path.write_bytes(content.tobytes())
                try:
                    assert reader.read(str(path)).mode in ("L", "RGB")
                except ImageError as ex:
                    n_failed += 1
                    assert str(ex)
    assert n_failed > 50


def test_as_stored(tmp_path: Path) -> None:
    path = tmp_path / "image.png"

    def read(image: Image.Image, name: str = "image.png", **options: object) -> object:
        image.save(tmp_path / name, **options)
        with ImageReader() as reader:
            return reader.read(str(tmp_path / name), as_stored=True)

    orientation = Image.Exif()
    orientation[0x0112] = 6
    turned = read(Image.new("RGB", (4, 2)), exif=orientation)
    assert turned.size == (4, 2)
    transparent = read(Image.new("RGBA", (2, 2), (10, 20, 30, 0)))
    assert transparent.getpixel((0, 0)) == (10, 20, 30)
    deep = read(Image.fromarray(np.array([[7, 900]], np.uint16)))
    assert [deep.getpixel((x, 0))[0] for x in range(2)] == [7, 255]
    assert {turned.mode, transparent.mode, deep.mode} == {"RGB"}
    # what breaks off is refused all the same
    halves().save(path)
    path.write_bytes(path.read_bytes()[:70])
    with ImageReader() as reader, pytest.raises(DamagedImageError):
        reader.read(str(path), as_stored=True)
