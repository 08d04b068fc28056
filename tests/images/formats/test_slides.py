"""Whole slides, written by tifffile, read by OpenSlide."""

from __future__ import annotations

import io
import os
import shutil
import struct
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
)
from orangecontrib.imagemining.images.formats import slides
from orangecontrib.imagemining.images.limits import Limits

WIDTH, HEIGHT = 960, 384  # whole tiles in both sizes: JPEG blurs those at the edge
APERIO = (
    "Aperio Image Library v11.2.1\n960x384 [0,0 960x384] (48x48) JPEG/RGB Q=70"
    "|AppMag = 20|MPP = 0.5"
)


def drawn(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return a smooth picture whose colours tell the place."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 250, width)
    pixels[..., 1] = np.linspace(0, 250, height)[:, None]
    pixels[..., 2] = 100
    return pixels


def write_svs(
    path: Path, pixels: np.ndarray, steps: tuple[int, ...] = (4,), **words: Any
) -> str:
    options: dict[str, Any] = {
        "tile": (48, 48),
        "compression": "jpeg",
        "compressionargs": {"level": 95},
        "photometric": "rgb",
        "metadata": None,
        **words,
    }
    with tifffile.TiffWriter(path, bigtiff=words.pop("bigtiff", False)) as file:
        options.pop("bigtiff", None)
        description = options.pop("description", APERIO)
        file.write(pixels, description=description, **options)
        # the second picture of a slide is small and of the whole
        small = {**options, "tile": None, "rowsperstrip": 16}
        file.write(
            np.ascontiguousarray(pixels[::10, ::10]), description=description, **small
        )
        for step in steps:
            level = np.ascontiguousarray(pixels[::step, ::step])
            file.write(level, description=description, **options)
    return str(path)


@pytest.fixture
def svs(tmp_path: Path) -> str:
    return write_svs(tmp_path / "a.svs", drawn())


def opened(path: str, limits: Limits | None = None) -> Any:
    with open(path, "rb") as file:
        assert slides.FAMILY.recognises(file.read(1024), path)
    return slides.FAMILY.open(open(path, "rb"), path, limits or Limits())


def near(found: np.ndarray, expected: np.ndarray, by: int = 6) -> bool:
    """Tell whether two pictures are alike but for what JPEG makes of them."""
    assert found.shape == expected.shape
    return bool(np.abs(found.astype(int) - expected).max() <= by)


def test_what_is_told(svs: str) -> None:
    file = opened(svs)
    (series,) = file.series
    assert (series.width, series.height) == (WIDTH, HEIGHT)
    assert (series.dtype, series.samples, series.bits) == ("uint8", 3, 8)
    assert series.pixel_size == (0.5, 0.5)
    assert series.levels == ((960, 384), (240, 96))
    assert series.n_planes == 1
    assert file.format == "whole slide"
    file.close()


def test_tiles(svs: str) -> None:
    file = opened(svs)
    for x, y, w, h in [(0, 0, 100, 80), (230, 235, 50, 20), (777, 333, 1, 1)]:
        tile = file.region(0, (x, y, w, h))
        assert tile.dtype == np.uint8
        assert near(tile, drawn()[y : y + h, x : x + w])
    file.close()


def test_beyond_the_edge_is_white(svs: str) -> None:
    file = opened(svs)
    tile = file.region(0, (WIDTH - 10, HEIGHT - 20, 30, 40))
    assert near(tile[:20, :10], drawn()[-20:, -10:])
    assert (tile[20:] == 255).all() and (tile[:, 10:] == 255).all()
    assert (file.region(0, (5000, 5000, 4, 4)) == 255).all()
    file.close()


def test_the_smallest_level_that_suffices(
    svs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened(svs)
    read = []
    original = file._slide.read_region
    monkeypatch.setattr(
        file._slide,
        "read_region",
        lambda place, level, size: read.append(level) or original(place, level, size),
    )
    small = file.plane(0, 0, 0, 0, near=96)
    assert small.shape == (96, 240, 3) and read == [1]
    assert near(small, drawn()[::4, ::4], 8)
    large = file.plane(0, 0, 0, 0, near=97)
    assert large.shape == (384, 960, 3) and read == [1, 0]
    assert near(large, drawn())
    tile = file.region(0, (400, 160, 200, 200), near=50)
    assert tile.shape == (50, 50, 3) and read == [1, 0, 1]
    assert near(tile, drawn()[160:360:4, 400:600:4], 8)
    assert file.region(0, (400, 160, 200, 200), near=51).shape == (200, 200, 3)
    file.close()


@pytest.mark.parametrize("at_once", [10**7, 7000])
def test_the_whole_is_bounded(
    svs: str, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(slides, "LONGEST_SIDE", 480)
    monkeypatch.setattr(slides, "_AT_ONCE", at_once)  # rows are read by and by
    file = opened(svs)
    whole = file.plane(0, 0, 0, 0)
    assert whole.shape == (192, 480, 3)
    exact = Image.fromarray(drawn()).resize((480, 192), Image.Resampling.BOX)
    assert near(whole, np.asarray(exact), 8)
    monkeypatch.setattr(slides, "LONGEST_SIDE", 200)
    whole = file.plane(0, 0, 0, 0)  # from the small level
    assert whole.shape == (80, 200, 3)
    exact = Image.fromarray(drawn()).resize((200, 80), Image.Resampling.BOX)
    assert near(whole, np.asarray(exact), 8)
    file.close()


def test_rows_read_by_and_by_fit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, drawn().shape, np.uint8)
    pixels[:] = pixels[:, :1]  # rows
    words = {"compression": "deflate", "compressionargs": None}
    file = opened(write_svs(tmp_path / "a.svs", pixels, **words))
    monkeypatch.setattr(slides, "LONGEST_SIDE", 410)
    at_once = file.plane(0, 0, 0, 0)
    monkeypatch.setattr(slides, "_AT_ONCE", 9000)
    by_and_by = file.plane(0, 0, 0, 0)
    assert near(by_and_by, at_once, 1)
    exact = Image.fromarray(pixels).resize((410, 164), Image.Resampling.BOX)
    assert near(at_once, np.asarray(exact), 1)
    file.close()


def test_a_slide_without_levels_is_read_whole(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", drawn(), steps=())
    file = opened(path)
    assert file.series[0].levels == ((WIDTH, HEIGHT),)
    assert near(file.plane(0, 0, 0, 0), drawn())
    file.close()


def write_jpeg2000(path: Path) -> str:
    pixels = drawn()

    def tiles() -> Any:
        for y in range(0, HEIGHT, 48):
            for x in range(0, WIDTH, 48):
                yield imagecodecs.jpeg2k_encode(
                    pixels[y : y + 48, x : x + 48],
                    level=0,
                    codecformat="j2k",
                    mct=False,
                )

    with tifffile.TiffWriter(path) as file:
        file.write(
            tiles(),
            shape=(HEIGHT, WIDTH, 3),
            dtype=np.uint8,
            tile=(48, 48),
            compression=33005,
            photometric="rgb",
            description=APERIO,
            metadata=None,
        )
    return str(path)


def write_ndpi(path: Path) -> str:
    with tifffile.TiffWriter(path) as file:
        for step in (1, 4):
            pixels = np.ascontiguousarray(drawn()[::step, ::step])
            packed = imagecodecs.jpeg8_encode(pixels, level=95, subsampling="444")
            file.write(
                iter([packed]),
                shape=pixels.shape,
                dtype=np.uint8,
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(1, 1),
                rowsperstrip=len(pixels),
                metadata=None,
                software=False,
                resolution=(20000 / step, 20000 / step),
                resolutionunit="CENTIMETER",
                extratags=[
                    (65420, "I", 1, 1, True),
                    (65421, "f", 1, 20 / step, True),  # magnification
                    *((tag, "i", 1, 0, True) for tag in (65422, 65423, 65424)),
                ],
            )
    return str(path)


def write_mrxs(path: Path) -> str:
    """Write a picture for the eye, and beside it the slide in two sizes, in JPEGs."""
    wide, high, slide_id = 240, 192, "0123456789ABCDEF"
    folder = path.with_suffix("")
    folder.mkdir()
    path = path.with_suffix(".mrxs")
    Image.fromarray(drawn()[::10, ::10]).save(path, "JPEG")
    across = WIDTH // wide
    data, pages = b"", []
    for step in (1, 2):
        level = drawn()[::step, ::step]
        entries = []
        for y in range(0, len(level), high):
            for x in range(0, level.shape[1], wide):
                tile = np.ascontiguousarray(level[y : y + high, x : x + wide])
                packed = imagecodecs.jpeg8_encode(tile, level=95, subsampling="444")
                place = (y // high * across + x // wide) * step
                entries.append(struct.pack("<4i", place, len(data), len(packed), 0))
                data += packed
        pages.append(struct.pack("<2i", len(entries), 0) + b"".join(entries))
    (folder / "Data0000.dat").write_bytes(data)
    index = b"01.02" + slide_id.encode()
    index += struct.pack("<2i", len(index) + 8, 0)
    place = len(index) + 8
    heads = [place, place + 8 + len(pages[0])]
    index += struct.pack("<2i", *heads)
    for head, page in zip(heads, pages, strict=True):
        index += struct.pack("<2i", 0, head + 8) + page
    (folder / "Index.dat").write_bytes(index)
    words = (
        f"[GENERAL]\nSLIDE_VERSION = 01.02\nSLIDE_ID = {slide_id}\n"
        f"IMAGENUMBER_X = {across}\nIMAGENUMBER_Y = {HEIGHT // high}\n"
        "OBJECTIVE_MAGNIFICATION = 20\nCameraImageDivisionsPerSide = 1\n"
        "[HIERARCHICAL]\nINDEXFILE = Index.dat\nHIER_COUNT = 1\nNONHIER_COUNT = 0\n"
        "HIER_0_NAME = Slide zoom level\nHIER_0_COUNT = 2\n"
        "HIER_0_VAL_0_SECTION = LEVEL_0\nHIER_0_VAL_1_SECTION = LEVEL_1\n"
        "[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0000.dat\n"
    )
    for number in (0, 1):
        words += (
            f"[LEVEL_{number}]\nIMAGE_CONCAT_FACTOR = {number}\nOVERLAP_X = 0\n"
            "OVERLAP_Y = 0\nIMAGE_FILL_COLOR_BGR = 16777215\nIMAGE_FORMAT = JPEG\n"
            f"MICROMETER_PER_PIXEL_X = {0.5 * 2**number}\n"
            f"MICROMETER_PER_PIXEL_Y = {0.5 * 2**number}\n"
            f"DIGITIZER_WIDTH = {wide}\nDIGITIZER_HEIGHT = {high}\n"
        )
    (folder / "Slidedat.ini").write_text(words)
    return str(path)


class Case(NamedTuple):
    row: tuple[str, str, str, str]  # format, bit depth, channels, compression
    words: dict[str, Any]
    by: int  # how exact


CASES = [
    Case(("SVS", "8", "RGB", "JPEG"), {}, 6),
    Case(("SVS", "8", "RGB", "Deflate"), {"compression": "deflate"}, 0),
    Case(("SVS", "8", "RGB", "LZW"), {"compression": "lzw"}, 0),
    Case(("SVS", "8", "RGB", "JPEG, BigTIFF"), {"bigtiff": True}, 6),
    Case(("SVS", "8", "RGB", "JPEG 2000"), {"write": write_jpeg2000}, 0),
    Case(("NDPI", "8", "RGB", "JPEG"), {"write": write_ndpi}, 6),
    Case(("MRXS", "8", "RGB", "JPEG"), {"write": write_mrxs}, 6),
]


def write_case(path: Path, case: Case) -> str:
    words = dict(case.words)
    if write := words.pop("write", None):
        return write(path)
    if words.get("compression", "jpeg") != "jpeg":
        words["compressionargs"] = None
    return write_svs(path, drawn(), **words)


@pytest.mark.parametrize("case", CASES, ids=lambda case: " | ".join(case.row))
def test_kinds(case: Case, tmp_path: Path) -> None:
    # the ending tells nothing
    path = write_case(tmp_path / "renamed.xyz", case)
    file = opened(path)
    assert near(file.plane(0, 0, 0, 0), drawn(), case.by)
    tile = file.region(0, (230, 180, 40, 30))
    assert near(tile, drawn()[180:210, 230:270], case.by)
    file.close()


def test_fetched_content_goes_through_a_file_that_is_removed(
    svs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    content = Path(svs).read_bytes()
    file = slides.FAMILY.open(io.BytesIO(content), None, Limits())
    assert len(os.listdir(folder)) == 1
    assert near(file.region(0, (10, 10, 20, 20)), drawn()[10:30, 10:30])
    file.close()
    assert os.listdir(folder) == []
    words = b"[Virtual Microscope Specimen]\nNoLayers=1\n"
    assert slides.FAMILY.recognises(words, None)
    with pytest.raises(DamagedImageError):
        slides.FAMILY.open(io.BytesIO(words), None, Limits())
    assert os.listdir(folder) == []


def test_recognised_by_content(tmp_path: Path, svs: str) -> None:
    def asked(path: Path | str) -> bool:
        with open(path, "rb") as file:
            return slides.FAMILY.recognises(file.read(1024), str(path))

    plain = tmp_path / "plain.svs"
    tifffile.imwrite(plain, drawn(), description="by someone")
    assert not asked(plain)
    big = tmp_path / "big.tif"
    tifffile.imwrite(big, drawn(), description=APERIO, bigtiff=True, metadata=None)
    assert asked(big)
    swapped = tmp_path / "swapped.tif"
    tifffile.imwrite(swapped, drawn(), description=APERIO, byteorder=">", metadata=None)
    assert asked(swapped)
    words = {
        "scn": (270, b"<scn xmlns='http://www.leica-microsystems.com/scn/2010/10/01'>"),
        "philips": (270, b'<?xml?><DataObject ObjectType="DPUfsImport">'),
        "trestle": (305, b"MedScan 1.0"),
        "bif": (700, b"<EncodeInfo><iScan Magnification='20'></iScan></EncodeInfo>"),
        "ndpi": (65420, b"1"),
    }
    for name, (tag, text) in words.items():
        path = tmp_path / name
        tifffile.imwrite(
            path, drawn(), metadata=None, software=False,
            extratags=[(tag, 7, len(text), text, True)] if tag != 65420 else
            [(tag, 4, 1, 1, True)],
        )  # fmt: skip
        assert asked(path), name
        path.write_bytes(path.read_bytes().replace(text, b"x" * len(text)))
        assert asked(path) == (name == "ndpi"), name
    path = write_mrxs(tmp_path / "a")
    assert asked(path)
    assert not slides.FAMILY.recognises(Path(path).read_bytes()[:1024], None)
    shutil.rmtree(tmp_path / "a")
    assert not asked(path)
    assert slides.FAMILY.recognises(b"[Virtual Microscope Specimen]\nNoLayers=1", None)
    assert not slides.FAMILY.recognises(b"", None)
    assert not slides.FAMILY.recognises(b"II*\0", None)


def test_a_scanners_tiff_that_is_no_slide_is_left_to_others(tmp_path: Path) -> None:
    from orangecontrib.imagemining.images import formats

    assert formats  # all families are known
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, drawn(90, 60), description=APERIO, metadata=None)
    with open(path, "rb") as stream:
        file = slides.FAMILY.open(stream, str(path), Limits())
        np.testing.assert_array_equal(file.plane(0, 0, 0, 0), drawn(90, 60))
        assert file.format == "TIFF"
        file.close()


def test_too_many_pixels_are_refused(svs: str) -> None:
    file = opened(svs, Limits(max_pixels=100_000))
    with pytest.raises(ImageTooLargeError, match="MAX_PIXELS"):
        file.region(0, (0, 0, 960, 105))
    with pytest.raises(ImageTooLargeError):
        file.plane(0, 0, 0, 0)
    assert file.region(0, (0, 0, 960, 100)).shape == (100, 960, 3)
    assert file.plane(0, 0, 0, 0, near=90).shape == (96, 240, 3)
    with pytest.raises(DamagedImageError):
        file.region(0, (0, 0, 0, 5))
    file.close()


def test_a_damaged_tile_is_lost_alone(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", drawn())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        place, length = page.dataoffsets[0], page.databytecounts[0]
    with open(path, "r+b") as stream:
        stream.seek(place)
        stream.write(b"\xff" * length)
    file = opened(path)
    with pytest.raises(DamagedImageError):
        file.region(0, (0, 0, 50, 50))
    assert near(file.region(0, (500, 300, 50, 50)), drawn()[300:350, 500:550])
    file.close()


def test_damaged_files_give_reasons(tmp_path: Path) -> None:
    raw = Path(write_svs(tmp_path / "a.svs", drawn(480, 192))).read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "b.svs"
    contents = [raw[:length] for length in range(0, len(raw), len(raw) // 12)]
    for _ in range(40):
        flipped = bytearray(raw)
        for place in rng.integers(0, len(raw), 30):
            flipped[place] ^= 1 << rng.integers(8)
        contents.append(bytes(flipped))
    n_failed = 0
    for content in contents:
        path.write_bytes(content)
        if not slides.FAMILY.recognises(content[:1024], str(path)):
            continue
        try:
            with open(path, "rb") as stream:
                file = slides.FAMILY.open(stream, str(path), Limits(10**6))
                file.plane(0, 0, 0, 0)
                file.close()
        except ImageError:
            n_failed += 1
    assert n_failed > 5


def test_without_the_package(svs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    with open(svs, "rb") as stream:
        with pytest.raises(
            ImageError, match=r'pip install "Orange3-ImageMining\[slides\]"'
        ):
            slides.FAMILY.open(stream, svs, Limits())


def test_several_threads_read_one_slide(svs: str) -> None:
    file = opened(svs)
    wrong: list[int] = []

    def read(first: int) -> None:
        for x in range(first, 900, 83):
            if not near(file.region(0, (x, 100, 60, 60)), drawn()[100:160, x : x + 60]):
                wrong.append(x)

    threads = [threading.Thread(target=read, args=(first,)) for first in (0, 40, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    file.close()


def test_planes_that_are_not_there(svs: str) -> None:
    file = opened(svs)
    for where in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        with pytest.raises(ImageError, match="no "):
            file.plane(*where)
    file.close()
