"""Files that are damaged, contradict themselves, or hold what pictures seldom do."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import test_dicom
import tifffile
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
)
from orangecontrib.imagemining.images import ImageReader, Limits

Pixels = NDArray[Any]


@pytest.fixture
def reader() -> Iterator[ImageReader]:
    with ImageReader() as one:
        yield one


def tiff(path: Path, pixels: Pixels, **options: Any) -> str:
    tifffile.imwrite(path, pixels, **options)
    return str(path)


def noise(*shape: int, dtype: str = "uint16", most: int = 4096) -> Pixels:
    return np.random.default_rng(0).integers(0, most, shape).astype(dtype)


def seen(reader: ImageReader, source: str) -> Pixels:
    image = reader.read(source)
    assert image.mode in ("L", "RGB")
    return np.asarray(image)


# stacks -------------------------------------------------------------------------------


def damaged_stack(tmp_path: Path, page: int, how: str) -> tuple[str, Pixels]:
    """Write a stack of five planes; damage one plane's pixels."""
    planes = noise(5, 40, 50)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, planes, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as file:
        tags = file.pages[page].tags
        start, length = tags[273].value[0], tags[279].value[0]
        place_of_start, place_of_kind = tags[273].valueoffset, tags[259].valueoffset
    content = bytearray(path.read_bytes())
    if how == "noise":
        content[start : start + length] = noise(length, dtype="u1", most=256).tobytes()
    elif how == "beyond the end":
        struct.pack_into("<I", content, place_of_start, len(content) + 1000)
    else:
        struct.pack_into("<H", content, place_of_kind, 60_000)
    path.write_bytes(content)
    return str(path), planes


@pytest.mark.parametrize("how", ["noise", "beyond the end", "unknown compression"])
@pytest.mark.parametrize("page", [0, 2, 4])
def test_a_corrupt_page_loses_that_plane_alone(
    tmp_path: Path, reader: ImageReader, page: int, how: str
) -> None:
    path, planes = damaged_stack(tmp_path, page, how)
    (contents,) = reader.contents(path)
    assert contents.n_depths * contents.n_times == 5
    for z in range(5):
        source = f"{path}#z={z}&contrast=range:0,4095"
        if z == page:
            with pytest.raises(ImageError) as caught:
                reader.read(source)
            assert len(str(caught.value)) > 10
        else:
            expected = np.rint(planes[z] * (255 / 4095))
            np.testing.assert_array_equal(seen(reader, source), expected)
    others = np.delete(planes, page, axis=0)
    source = f"{path}#stack=max&contrast=range:0,4095"
    expected = np.rint(others.max(axis=0) * (255 / 4095))
    np.testing.assert_array_equal(seen(reader, source), expected)


def test_unknown_compression_is_named(tmp_path: Path, reader: ImageReader) -> None:
    path, _ = damaged_stack(tmp_path, 0, "unknown compression")
    with pytest.raises(ImageError, match="compress|60000"):
        reader.read(path)


@pytest.mark.parametrize(
    ("words", "other"),
    [
        (b'SizeZ="3"', b'SizeZ="9"'),
        (b'SizeZ="3"', b'SizeZ="0"'),
        (b'SizeZ="3"', b'SizeZ="x"'),
        (b'SizeX="50"', b'SizeX="70"'),
        (b'DimensionOrder="XYCZT"', b'DimensionOrder="QQQQQ"'),
        (b'Type="uint16"', b'Type="double"'),
        (b"<Image ", b"<Imag< "),
    ],
)
def test_inconsistent_axes(
    tmp_path: Path, reader: ImageReader, words: bytes, other: bytes
) -> None:
    # what the metadata claim, and the pages are not
    planes = noise(3, 40, 50)
    path = Path(
        tiff(tmp_path / "a.ome.tif", planes, ome=True, metadata={"axes": "ZYX"})
    )
    content = path.read_bytes()
    assert content.count(words) >= 1, content[:2000]
    assert len(words) == len(other)
    path.write_bytes(content.replace(words, other))
    contents = reader.contents(str(path))
    assert contents[0].n_planes >= 1
    # the planes that are there can be seen
    found = seen(reader, f"{path}#contrast=range:0,4095")
    np.testing.assert_array_equal(found, np.rint(planes[0] * (255 / 4095)))


def test_imagej_that_claims_more_than_there_is(
    tmp_path: Path, reader: ImageReader
) -> None:
    planes = noise(6, 40, 50)
    path = Path(tiff(tmp_path / "a.tif", planes, imagej=True, metadata={"axes": "ZYX"}))
    content = path.read_bytes().replace(b"slices=6", b"slices=9")
    path.write_bytes(content.replace(b"images=6", b"images=9"))
    assert seen(reader, str(path)).shape == (40, 50)
    # no plane is made up
    (contents,) = reader.contents(str(path))
    for z in range(contents.n_depths):
        source = f"{path}#z={z}&contrast=range:0,4095"
        if z < 6:
            expected = np.rint(planes[z] * (255 / 4095))
            np.testing.assert_array_equal(seen(reader, source), expected)
        else:
            with pytest.raises(ImageError):
                reader.read(source)


@pytest.mark.parametrize("start", [b"II*\0\0\0\0\0", b"MM\0*\0\0\0\0", b"II+\0"])
def test_no_planes(tmp_path: Path, reader: ImageReader, start: bytes) -> None:
    path = tmp_path / "a.tif"
    for content in (start, start + bytes(200)):
        path.write_bytes(content)
        for ask in (reader.read, reader.contents, reader.size):
            with pytest.raises(DamagedImageError):
                ask(str(path))


# odd pixels ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_with_gaps(tmp_path: Path, reader: ImageReader, dtype: str) -> None:
    values = np.linspace(-20, 30, 40 * 50).reshape(40, 50).astype(dtype)
    low, high = np.percentile(values.astype(float)[1:], (0.1, 99.9))
    values[0] = np.nan
    values[0, 1:25], values[0, 25:] = np.inf, -np.inf
    found = seen(reader, tiff(tmp_path / "a.tif", values))
    assert not found[0].any()
    expected = (values[1:].astype(float) - low) * (255 / (high - low))
    np.testing.assert_array_equal(found[1:], np.clip(np.rint(expected), 0, 255))
    with pytest.raises(DamagedImageError, match="None of the pixels"):
        reader.read(tiff(tmp_path / "a.tif", np.full((9, 9), np.nan, dtype)))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("value", [0, 7, 1000])
def test_constant_images(
    tmp_path: Path, reader: ImageReader, dtype: str, value: int
) -> None:
    path = tiff(tmp_path / "a.tif", np.full((40, 50), value, dtype))
    assert not seen(reader, path).any()
    assert not seen(reader, f"{path}#contrast=percentiles:5,95").any()
    found = seen(reader, f"{path}#contrast=range:0,2000")
    assert set(found.ravel()) == {np.uint8(np.rint(value * 255 / 2000))}


def test_constant_8_bit_images_keep_their_grey(
    tmp_path: Path, reader: ImageReader
) -> None:
    path = tiff(tmp_path / "a.tif", np.full((40, 50), 7, np.uint8))
    assert set(seen(reader, path).ravel()) == {7}


def test_negative_floats(tmp_path: Path, reader: ImageReader) -> None:
    values = np.linspace(-1, 0, 2000, dtype=np.float32).reshape(40, 50)
    path = tiff(tmp_path / "a.tif", values)
    found = seen(reader, f"{path}#contrast=full")
    exact = (values.astype(float) + 1) * 255
    assert np.abs(found - exact).max() <= 0.5 + 1e-6
    assert not seen(reader, f"{path}#contrast=stored").any()


@pytest.mark.parametrize("white", [0, 1])
def test_masks(tmp_path: Path, reader: ImageReader, white: int) -> None:
    mask = noise(40, 50, most=2).astype(bool)
    photometric = "minisblack" if white else "miniswhite"
    path = tiff(tmp_path / "a.tif", mask, photometric=photometric)
    expected = np.where(mask == bool(white), 255, 0)
    np.testing.assert_array_equal(seen(reader, path), expected)
    np.testing.assert_array_equal(seen(reader, f"{path}#contrast=full"), expected)


def test_palette(tmp_path: Path, reader: ImageReader) -> None:
    indices = noise(40, 50, dtype="uint8", most=4)
    colours = np.array([(0, 0, 0), (255, 0, 0), (10, 200, 30), (250, 250, 0)])
    image = Image.frombytes("P", (50, 40), indices.tobytes())
    image.putpalette(colours.ravel().tolist())
    image.save(tmp_path / "a.tif")
    found = seen(reader, str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(found, colours[indices])


def test_cmyk(tmp_path: Path, reader: ImageReader) -> None:
    inks = np.zeros((40, 50, 4), np.uint8)
    inks[:20, :, 0] = 255  # cyan
    inks[20:, :, 2] = 255  # yellow
    inks[:, 40:, 3] = 255  # black
    path = tiff(tmp_path / "a.tif", inks, photometric="separated")
    found = seen(reader, path)
    assert found.shape == (40, 50, 3)
    assert found[5, 5].tolist() == [0, 255, 255]
    assert found[30, 5].tolist() == [255, 255, 0]
    assert found[5, 45].tolist() == [0, 0, 0]


# size ---------------------------------------------------------------------------------


def long_png(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.png_encode(pixels))


def by_pillow(kind: str) -> Callable[[Pixels], bytes]:
    def write(pixels: Pixels) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, kind)
        return stream.getvalue()

    return write


def by_tifffile(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, compression="zlib", photometric="minisblack")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("write", "dtype"),
    [
        (by_pillow("JPEG"), "uint8"),
        (by_pillow("BMP"), "uint8"),
        (long_png, "uint8"),
        (long_png, "uint16"),
        (by_tifffile, "uint8"),
        (by_tifffile, "uint16"),
    ],
)
@pytest.mark.parametrize("size", [(65_000, 4), (4, 65_000)])
def test_65000_pixel_sides(
    tmp_path: Path, write: Callable[[Pixels], bytes], dtype: str, size: tuple[int, int]
) -> None:
    path = tmp_path / "long.any"
    most = np.iinfo(dtype).max
    pixels = np.zeros(size, dtype)
    pixels[-(size[0] // 2) :, -(size[1] // 2) :] = most
    path.write_bytes(write(pixels))
    with ImageReader() as reader:
        assert reader.size(str(path)) == size[::-1]
        found = seen(reader, f"{path}#contrast=stored")
        assert found.shape == size
        assert found[0, 0] < 5 and found[-1, -1] > 250
        small, whole = reader.read_near(str(path), 4)
        assert whole == size[::-1] and small.mode == "L"
    with (
        ImageReader(Limits(max_pixels=259_999)) as reader,
        pytest.raises(ImageTooLargeError, match="65000"),
    ):
        reader.read(str(path))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG 2000", "DICOM", "BMP"])
def test_huge_sizes_are_refused_before_decoding(tmp_path: Path, kind: str) -> None:
    # 65,000 × 65,000 claimed by a few bytes
    path = tmp_path / "huge.any"
    side = 65_000
    if kind == "PNG":
        content = long_png(noise(4, 4))
        head = b"IHDR" + struct.pack(">II", side, side) + content[24:29]
        check = struct.pack(">I", zlib.crc32(head))
        content = content[:12] + head + check + content[33:]
    elif kind == "TIFF":
        content = by_tifffile(noise(4, 4))
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            tags = file.pages[0].tags
            places = [tags[256].valueoffset, tags[257].valueoffset]
        changed = bytearray(content)
        for place in places:
            struct.pack_into("<I", changed, place, side)
        content = bytes(changed)
    elif kind == "JPEG 2000":
        # the codestream says it four times over
        content = bytes(imagecodecs.jpeg2k_encode(noise(64, 64), level=0))
        place = content.index(b"\xff\x4f\xff\x51") + 8
        sizes = struct.pack(">2I", side, side)
        content = content[:place] + sizes + content[place + 8 :]
    elif kind == "DICOM":
        data = test_dicom.dataset(noise(1, 4, 4))
        data.Rows = data.Columns = side
        content = test_dicom.content(data)
    else:
        content = by_pillow("BMP")(noise(4, 4, dtype="uint8", most=256))
        content = content[:18] + struct.pack("<ii", side, side) + content[26:]
    path.write_bytes(content)
    with ImageReader() as reader, pytest.raises(ImageTooLargeError, match="65000"):
        reader.read(str(path))


# bytes changed at random --------------------------------------------------------------


def heic(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(stream, quality=80)
    return stream.getvalue()


def animation() -> bytes:
    frames = [Image.fromarray(one) for one in noise(3, 24, 32, dtype="u1", most=256)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def ome() -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, noise(2, 2, 24, 32), ome=True, metadata={"axes": "ZCYX"})
    return stream.getvalue()


COLOURS = noise(24, 32, 3, dtype="uint8", most=256)
FAMILIES: dict[str, Callable[[], bytes]] = {
    "PNG of 16 bits": lambda: long_png(noise(24, 32, 3)),
    "JPEG 2000": lambda: bytes(
        imagecodecs.jpeg2k_encode(noise(24, 32), level=0, codecformat="jp2")
    ),
    "HEIC": lambda: heic(COLOURS),
    "AVIF": lambda: bytes(imagecodecs.avif_encode(COLOURS)),
    "AVIF of 10 bits": lambda: bytes(
        imagecodecs.avif_encode(noise(24, 32, 3, most=1024), bitspersample=10)
    ),
    "TIFF": lambda: by_tifffile(noise(3, 24, 32)),
    "OME-TIFF": ome,
    "DICOM": lambda: test_dicom.content(test_dicom.dataset(noise(2, 24, 32))),
    "GIF": animation,
    "JPEG": lambda: by_pillow("JPEG")(COLOURS),
}


# Pillow warns of odd metadata, and goes on
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", FAMILIES)
def test_bytes_changed_at_random(
    tmp_path: Path, reader: ImageReader, kind: str
) -> None:
    rng = np.random.default_rng(7)
    original = np.frombuffer(FAMILIES[kind](), np.uint8)
    path = tmp_path / "odd.any"
    n_failed = 0
    for turn in range(60):
        content = original.copy()
        if turn % 4 == 0:
            content = content[: rng.integers(1, len(content))]
        else:
            # half of the time in the beginning, where formats say what follows
            end = len(content) if turn % 2 else min(len(content), 300)
            places = rng.integers(0, end, rng.integers(1, 8))
            content[places] = rng.integers(0, 256, len(places))
        path.write_bytes(content.tobytes())
        for words in ("", "#stack=max&channels=grey", "#xywh=5,5,20,30&contrast=full"):
            try:
                image = reader.read(f"{path}{words}")
                assert image.mode in ("L", "RGB")
                assert image.width * image.height > 0
            except ImageError as ex:
                n_failed += 1
                assert 5 < len(str(ex)) < 500
    assert n_failed > 20


# where the file ends
LAST = {"TIFF": "#z=2", "OME-TIFF": "#z=1&c=1", "DICOM": "#z=1", "GIF": "#t=2"}


@pytest.mark.parametrize("kind", FAMILIES)
def test_no_end_of_a_file_is_made_up(
    tmp_path: Path, reader: ImageReader, kind: str
) -> None:
    content = FAMILIES[kind]()
    path = tmp_path / "half.any"
    for share in (0.5, 0.97):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ImageError):
            reader.read(f"{path}{LAST.get(kind, '')}")
    path.write_bytes(content)
    assert reader.read(f"{path}{LAST.get(kind, '')}").size == (32, 24)
