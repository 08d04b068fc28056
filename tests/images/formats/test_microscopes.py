"""CZI by Zeiss's own writer; LIF and ND2 written here; all against known numbers."""

from __future__ import annotations

import io
import os
import struct
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import pytest
from microscope_files import lif, lif_image, nd2

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.formats import microscopes
from orangecontrib.imagemining.images.formats._base import Channel
from orangecontrib.imagemining.images.limits import Limits

#: Python versions that the packages are there for; nd2 is for all.
LACKING = {
    "CZI": sys.version_info >= (3, 14),
    "LIF": sys.version_info < (3, 11),
    "ND2": False,
}

HEIGHT, WIDTH = 24, 32
RAMP = np.linspace(0, 4095, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
BYTES = (RAMP >> 4).astype(np.uint8)
RGB = np.stack([BYTES, BYTES[::-1], BYTES[:, ::-1]], -1)
DEEP = RGB.astype(np.uint16) * 257
FLOATS = (RAMP / 4095).astype(np.float32)
#: times, depths, channels
STACK = np.stack([RAMP + 10 * index for index in range(12)]).reshape(
    2, 3, 2, *RAMP.shape
)


def opened(raw: bytes, limits: Limits | None = None) -> Any:
    families = (microscopes.CZI, microscopes.LIF, microscopes.ND2)
    (family,) = (one for one in families if one.recognises(raw[:1024], None))
    skip_if_lacking(family.name)
    return family.open(io.BytesIO(raw), None, limits or Limits())


def skip_if_lacking(kind: str) -> None:
    if LACKING[kind]:
        pytest.skip(f"nothing reads {kind} on this Python")


def czi(write: Callable[[Any], None], **metadata: Any) -> bytes:
    skip_if_lacking("CZI")
    from pylibCZIrw import czi as czi_package

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.czi")
        with czi_package.create_czi(path) as document:
            write(document)
            document.write_metadata("a", **metadata)
        return Path(path).read_bytes()


def czi_of(pixels: np.ndarray, compression: str | None = None) -> bytes:
    """Return a file of one plane; colours are stored with blue first."""
    if pixels.ndim == 3:
        pixels = pixels[..., ::-1]
    pixels = np.ascontiguousarray(pixels)
    return czi(lambda one: one.write(pixels, compression_options=compression))


def czi_jpeg_xr(pixels: np.ndarray) -> bytes:
    """Return a file whose pixels imagecodecs packed; Zeiss's writer cannot."""
    stored = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    raw = czi_of(pixels)
    packed = imagecodecs.jpegxr_encode(pixels, level=1.0)
    # Zeiss's reader wants the colours to be called BGR
    packed = packed.replace(b"\x3d\x77\x76\x8d\xc9\x0d", b"\x3d\x77\x76\x8d\xc9\x0c")
    assert raw.count(stored.tobytes()) == 1 and len(packed) <= stored.nbytes
    raw = raw.replace(stored.tobytes(), packed.ljust(stored.nbytes, b"\0"))
    kind = {2: 1, 3: 3}[pixels.ndim] if pixels.ndim == 3 or pixels.itemsize > 1 else 0
    entry = b"DV" + struct.pack("<i", kind)
    for piece in raw.split(entry)[1:]:
        # place and part of the file, then how it is packed: 4 is JPEG XR
        new = piece[:12] + struct.pack("<i", 4) + piece[16:]
        raw = raw.replace(entry + piece[:40], entry + new[:40])
    return raw


def czi_stack(scenes: int = 2, left_out: tuple[int, int, int] | None = None) -> bytes:
    def write(document: Any) -> None:
        for scene in range(scenes):
            for t, z, c in np.ndindex(2, 3, 2):
                if (t, z, c) != left_out:
                    document.write(
                        STACK[t, z, c] + 1000 * scene,
                        plane={"T": t, "Z": z, "C": c},
                        scene=scene,
                        location=(500 * scene, 7),
                    )

    def shown(red: int, green: int, blue: int) -> Any:
        from pylibCZIrw import czi as package

        colour = package.Rgb8Color(*map(np.uint8, (red, green, blue)))
        mode = package.TintingMode.Color
        return package.ChannelDisplaySettingsDataClass(True, mode, colour, 0, 1)

    skip_if_lacking("CZI")
    return czi(
        write,
        channel_names={0: "DAPI", 1: "GFP"},
        scale_x=0.5e-6,
        scale_y=0.25e-6,
        scale_z=1e-6,
        display_settings={0: shown(0, 0, 255), 1: shown(0, 255, 10)},
    )


def lif_of(pixels: np.ndarray, axes: str, **words: Any) -> bytes:
    return lif([lif_image(0, pixels, axes, **words)], [pixels.tobytes()])


LIF_STACK = {"luts": ("Blue", "Green"), "bits": 12, "metres": 0.5e-6}


def nd2_of(frames: np.ndarray, **words: Any) -> bytes:
    """Return a file of (frames, channels, height, width), one loop of times."""
    words.setdefault("loops", [("T", len(frames))] if len(frames) > 1 else [])
    n = frames.shape[1]
    words.setdefault("names", ("",) * n)
    words.setdefault("colours", (0xFFFFFF,) * len(words["names"]))
    return nd2(np.ascontiguousarray(frames.transpose(0, 2, 3, 1)), **words)


def nd2_stack(**words: Any) -> bytes:
    return nd2_of(
        STACK.reshape(6, 2, HEIGHT, WIDTH),
        loops=[("T", 2), ("Z", 3)],
        names=("DAPI", "GFP"),
        colours=(0xFF0000, 0x0AFF00),
        bits=12,
        size=0.5,
        **words,
    )


def nd2_photo(rgb: np.ndarray, **words: Any) -> bytes:
    return nd2(np.ascontiguousarray(rgb[None, ..., ::-1]), [], **words)


class Case(NamedTuple):
    row: tuple[str, str, str, str]  # format, bit depth, channels, compression
    raw: Callable[[], bytes]
    expected: np.ndarray
    by: float = 0


CASES = [
    Case(("CZI", "8", "grey", "none"), lambda: czi_of(BYTES), BYTES),
    Case(("CZI", "16", "grey", "none"), lambda: czi_of(RAMP), RAMP),
    Case(("CZI", "32 float", "grey", "none"), lambda: czi_of(FLOATS), FLOATS),
    Case(("CZI", "8", "RGB", "none"), lambda: czi_of(RGB), RGB),
    Case(("CZI", "16", "RGB", "none"), lambda: czi_of(DEEP), DEEP),
    Case(("CZI", "8", "grey", "Zstd"), lambda: czi_of(BYTES, "zstd0:"), BYTES),
    Case(
        ("CZI", "16", "grey", "Zstd, bytes apart"),
        lambda: czi_of(RAMP, "zstd1:PreProcess=HiLoByteUnpack"),
        RAMP,
    ),
    Case(("CZI", "16", "grey", "JPEG XR"), lambda: czi_jpeg_xr(RAMP), RAMP),
    Case(("CZI", "8", "RGB", "JPEG XR"), lambda: czi_jpeg_xr(RGB), RGB),
    Case(("LIF", "8", "grey", "none"), lambda: lif_of(BYTES, "YX"), BYTES),
    Case(("LIF", "16", "grey", "none"), lambda: lif_of(RAMP, "YX"), RAMP),
    Case(("LIF", "32 float", "grey", "none"), lambda: lif_of(FLOATS, "YX"), FLOATS),
    Case(
        ("LIF", "8", "RGB", "none"),
        lambda: lif_of(RGB, "YXS", luts=("Red", "Green", "Blue")),
        RGB,
    ),
    Case(("ND2", "8", "grey", "none"), lambda: nd2_of(BYTES[None, None]), BYTES),
    Case(
        ("ND2", "12 of 16", "grey", "none"),
        lambda: nd2_of(RAMP[None, None], bits=12),
        RAMP,
    ),
    Case(("ND2", "16", "grey", "none"), lambda: nd2_of(RAMP[None, None]), RAMP),
    Case(
        ("ND2", "32 float", "grey", "none"), lambda: nd2_of(FLOATS[None, None]), FLOATS
    ),
    Case(
        ("ND2", "16", "grey", "Deflate"),
        lambda: nd2_of(RAMP[None, None], packed=True),
        RAMP,
    ),
    Case(("ND2", "8", "RGB", "none"), lambda: nd2_photo(RGB), RGB),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: " | ".join(case.row))
def test_kinds(case: Case) -> None:
    file = opened(case.raw())
    (series,) = file.series
    found = file.plane(0, 0, 0, 0)
    assert file.format == case.row[0]
    assert found.dtype == case.expected.dtype == series.dtype
    assert found.shape == case.expected.shape
    assert (series.width, series.height) == (WIDTH, HEIGHT)
    assert series.samples == (3 if case.expected.ndim == 3 else 1)
    assert series.n_planes == 1
    depth = case.row[1].split()
    assert series.bits == (0 if "float" in depth else int(depth[0]))
    assert np.abs(found.astype(float) - case.expected).max() <= case.by
    file.close()


STACKS = {
    "CZI": czi_stack,
    "LIF": lambda: lif_of(STACK, "TZCYX", **LIF_STACK),
    "ND2": nd2_stack,
}


@pytest.mark.parametrize("kind", STACKS)
def test_planes_of_a_stack(kind: str) -> None:
    file = opened(STACKS[kind]())
    series = file.series[0]
    assert (series.n_times, series.n_depths, len(series.channels)) == (2, 3, 2)
    for t, z, c in np.ndindex(2, 3, 2):
        np.testing.assert_array_equal(file.plane(0, t, z, c), STACK[t, z, c])
    assert series.pixel_size == pytest.approx((0.5, 0.25 if kind == "CZI" else 0.5))
    names = ("dye 0", "dye 1") if kind == "LIF" else ("DAPI", "GFP")
    green = (0, 255, 0) if kind == "LIF" else (0, 255, 10)
    assert series.channels == (
        Channel(names[0], (0, 0, 255)),
        Channel(names[1], green),
    )
    assert series.bits == (16 if kind == "CZI" else 12)
    for where in ((9, 0, 0, 0), (0, 2, 0, 0), (0, 0, 3, 0), (0, 0, 0, 2)):
        with pytest.raises(ImageError, match="no "):
            file.plane(*where)
    file.close()


class Counted(io.BytesIO):
    """Counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("kind", ["LIF", "ND2"])
def test_one_plane_is_read_alone(kind: str) -> None:
    skip_if_lacking(kind)
    frames = np.random.default_rng(0).integers(0, 4096, (40, 1, 90, 80), np.uint16)
    raw = lif_of(frames, "TCYX") if kind == "LIF" else nd2_of(frames)
    stream = Counted(raw)
    family = getattr(microscopes, kind)
    file = family.open(stream, None, Limits())
    before = stream.count
    assert before < 0.05 * len(raw)
    np.testing.assert_array_equal(file.plane(0, 33, 0, 0), frames[33, 0])
    assert stream.count - before < 1.5 * len(raw) / 40


def test_scenes_of_czi() -> None:
    file = opened(czi_stack())
    assert len(file.series) == 2
    np.testing.assert_array_equal(file.plane(1, 1, 2, 1), STACK[1, 2, 1] + 1000)


def test_scenes_of_czi_that_lie_upon_each_other() -> None:
    def write(document: Any) -> None:
        document.write(RAMP, scene=0)
        document.write(RAMP + 9, scene=1)

    file = opened(czi(write))
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), RAMP)
    np.testing.assert_array_equal(file.plane(1, 0, 0, 0), RAMP + 9)


def test_lif_images_of_one_row() -> None:
    file = opened(lif_of(RAMP[:1].copy(), "YX"))
    assert (file.series[0].width, file.series[0].height) == (WIDTH, 1)
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), RAMP[:1])


def test_several_images_of_lif() -> None:
    images = [
        lif_image(0, RAMP, "YX", name="one"),
        lif_image(1, STACK[0, 0], "MYX", name="two"),
    ]
    file = opened(lif(images, [RAMP.tobytes(), STACK[0, 0].tobytes()]))
    names = [series.name for series in file.series]
    assert names == ["one", "two, tile 1", "two, tile 2"]
    np.testing.assert_array_equal(file.plane(2, 0, 0, 0), STACK[0, 0, 1])


def test_lif_scans_of_width_and_depth() -> None:
    file = opened(lif_of(STACK[:, 0, 0].copy(), "TZX", metres=1e-6))
    (series,) = file.series
    assert (series.width, series.height) == (WIDTH, HEIGHT)
    assert (series.n_times, series.n_depths) == (2, 1)
    np.testing.assert_array_equal(file.plane(0, 1, 0, 0), STACK[1, 0, 0])


def test_a_lif_image_that_contradicts_itself_is_left_out() -> None:
    bad = lif_image(0, RAMP, "YX").replace('DataType="0"', 'DataType="7"')
    images = [bad, lif_image(1, RAMP, "YX", name="good")]
    file = opened(lif(images, [RAMP.tobytes()] * 2))
    assert [series.name for series in file.series] == ["good"]
    with pytest.raises(DamagedImageError):
        opened(lif([bad], [RAMP.tobytes()]))
    with pytest.raises(NotAnImageError):
        opened(lif([], []))


def test_positions_of_nd2() -> None:
    frames = STACK.reshape(12, 1, HEIGHT, WIDTH)
    file = opened(nd2_of(frames, loops=[("T", 2), ("P", 3), ("Z", 2)]))
    assert [series.name for series in file.series] == [
        "position 1",
        "position 2",
        "position 3",
    ]
    assert {(one.n_times, one.n_depths) for one in file.series} == {(2, 2)}
    for t, p, z in np.ndindex(2, 3, 2):
        expected = frames[t * 6 + p * 2 + z, 0]
        np.testing.assert_array_equal(file.plane(p, t, z, 0), expected)


def test_nd2_whose_loops_are_not_told() -> None:
    file = opened(nd2_of(STACK.reshape(12, 1, HEIGHT, WIDTH), loops=[]))
    assert file.series[0].n_times == 12
    np.testing.assert_array_equal(file.plane(0, 7, 0, 0), STACK[1, 0, 1])
    assert file.series[0].pixel_size is None


def test_planes_that_were_never_taken() -> None:
    # the readers would give black for each
    file = opened(czi_stack(1, left_out=(1, 2, 0)))
    with pytest.raises(DamagedImageError, match="no pixels"):
        file.plane(0, 1, 2, 0)
    np.testing.assert_array_equal(file.plane(0, 1, 2, 1), STACK[1, 2, 1])
    file = opened(nd2_stack(left_out=(4,)))
    with pytest.raises(DamagedImageError, match="no pixels"):
        file.plane(0, 1, 1, 0)
    np.testing.assert_array_equal(file.plane(0, 1, 2, 1), STACK[1, 2, 1])


def test_czi_tiles_of_too_many_pixels_are_not_unpacked() -> None:
    file = opened(pyramid(), Limits(max_pixels=64 * 48 - 1))
    with pytest.raises(ImageTooLargeError, match="tile"):
        file.region(0, (0, 0, 5, 5))


def test_truncated_lif_loses_its_last_planes_alone() -> None:
    raw = STACKS["LIF"]()
    file = opened(raw[:-1])
    # its block is shorter than told, so that it counts as missing
    with pytest.raises(DamagedImageError):
        file.plane(0, 1, 2, 1)
    file.close()
    block = 2 * HEIGHT * WIDTH * 12
    short = lif(
        [lif_image(0, STACK, "TZCYX", **LIF_STACK)], [STACK.tobytes()[: block // 2]]
    )
    file = opened(short)
    np.testing.assert_array_equal(file.plane(0, 0, 2, 1), STACK[0, 2, 1])
    with pytest.raises(DamagedImageError):
        file.plane(0, 1, 2, 1)


def test_a_corrupt_frame_of_nd2_is_lost_alone() -> None:
    raw = bytearray(nd2_stack(packed=True))
    place = raw.index(b"ImageDataSeq|2!") + 4072 + 8
    raw[place : place + 40] = bytes(40)
    file = opened(bytes(raw))
    with pytest.raises(DamagedImageError):
        file.plane(0, 0, 2, 0)
    for t, z in ((0, 1), (1, 0), (1, 2)):
        np.testing.assert_array_equal(file.plane(0, t, z, 1), STACK[t, z, 1])


def test_an_nd2_frame_that_ends_with_the_file_is_lost_alone() -> None:
    raw = nd2_stack()
    entry = b"ImageDataSeq|4!"
    at = raw.rindex(entry) + len(entry)  # in the map
    wrong = raw[:at] + struct.pack("<Q", len(raw) - 4096 - 500) + raw[at + 8 :]
    file = opened(wrong)
    with pytest.raises(DamagedImageError, match="breaks off"):
        file.plane(0, 1, 1, 0)
    np.testing.assert_array_equal(file.plane(0, 1, 0, 1), STACK[1, 0, 1])


def test_a_corrupt_tile_of_czi_is_lost_alone() -> None:
    def write(document: Any) -> None:
        for t in range(3):
            document.write(RAMP + t, plane={"T": t}, compression_options="zstd0:")

    raw = bytearray(czi(write))
    magic = b"\x28\xb5\x2f\xfd"  # of Zstd
    place = raw.index(magic, raw.index(magic) + 4)
    raw[place : place + 30] = b"\xff" * 30
    file = opened(bytes(raw))
    with pytest.raises(DamagedImageError):
        file.plane(0, 1, 0, 0)
    for t in (0, 2):
        np.testing.assert_array_equal(file.plane(0, t, 0, 0), RAMP + t)


def pyramid() -> bytes:
    """Return a CZI of 64 × 48 pixels that has itself in a quarter's size too."""
    whole = np.kron(RAMP[:12, :16], np.ones((4, 4), np.uint16))

    def write(document: Any) -> None:
        document.write(whole)
        document.write(np.ascontiguousarray(whole[::4, ::4]) + 1, location=(0, 0))

    raw = bytearray(czi(write))
    # the writer knows no pyramids: tell that the second tile is of the whole's size
    for axis, small, large in ((b"X", 16, 64), (b"Y", 12, 48)):
        old = axis + bytes(3) + struct.pack("<iifi", 0, small, 0.0, small)
        new = axis + bytes(3) + struct.pack("<iifi", 0, large, 0.0, small)
        assert old in raw
        raw = raw.replace(old, new)
    return bytes(raw)


def test_smaller_sizes_of_czi() -> None:
    file = opened(pyramid())
    (series,) = file.series
    whole = np.kron(RAMP[:12, :16], np.ones((4, 4), np.uint16))
    assert (series.width, series.height) == (64, 48)
    assert series.levels == ((64, 48), (16, 12))
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), whole)
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0, near=13), whole)
    small = file.plane(0, 0, 0, 0, near=12)
    np.testing.assert_array_equal(small, whole[::4, ::4] + 1)
    part = file.region(0, (32, 16, 16, 16), near=4)
    np.testing.assert_array_equal(part, whole[16:32:4, 32:48:4] + 1)
    part = file.region(0, (48, 32, 32, 32), near=8)  # half of it outside
    np.testing.assert_array_equal(part[:4, :4], whole[32::4, 48::4] + 1)
    assert (part[4:] == 65535).all() and (part[:, 4:] == 65535).all()


def test_tiles_of_czi_are_put_together() -> None:
    def write(document: Any) -> None:
        document.write(np.ascontiguousarray(RGB[:10, ::-1, ::-1]), location=(-5, 3))
        document.write(np.ascontiguousarray(RGB[10:, :, ::-1]), location=(20, 13))

    file = opened(czi(write))
    (series,) = file.series
    assert (series.width, series.height) == (57, 24)
    found = file.plane(0, 0, 0, 0)
    np.testing.assert_array_equal(found[:10, :32], RGB[:10, ::-1])
    np.testing.assert_array_equal(found[10:, 25:], RGB[10:])
    assert (found[10:, :25] == 255).all()  # there was nothing but glass


def test_colours_and_greys_of_one_czi_are_series_of_their_own() -> None:
    def write(document: Any) -> None:
        document.write(RAMP, plane={"C": 0})
        document.write(np.ascontiguousarray(RGB[..., ::-1]), plane={"C": 1})

    file = opened(czi(write, channel_names={0: "DAPI", 1: "photo"}))
    greys, photo = file.series
    assert (greys.samples, greys.dtype, photo.samples, photo.dtype) == (
        1,
        "uint16",
        3,
        "uint8",
    )
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), RAMP)
    np.testing.assert_array_equal(file.plane(1, 0, 0, 0), RGB)


@pytest.mark.parametrize("kind", STACKS)
def test_parts_beyond_the_edge_are_white(kind: str) -> None:
    file = opened(STACKS[kind]())
    part = file.region(0, (WIDTH - 3, HEIGHT - 2, 5, 4))
    np.testing.assert_array_equal(part[:2, :3], STACK[0, 0, 0, -2:, -3:])
    most = 65535 if kind == "CZI" else 4095
    assert (part[2:] == most).all() and (part[:, 3:] == most).all()
    assert (file.region(0, (999, 999, 2, 2)) == most).all()
    inner = file.region(0, (3, 2, 5, 4))
    np.testing.assert_array_equal(inner, STACK[0, 0, 0, 2:6, 3:8])


@pytest.mark.parametrize("kind", STACKS)
def test_too_many_pixels_are_refused(kind: str) -> None:
    file = opened(STACKS[kind](), Limits(max_pixels=HEIGHT * WIDTH - 1))
    with pytest.raises(ImageTooLargeError, match="MAX_PIXELS"):
        file.plane(0, 0, 0, 0)


@pytest.mark.parametrize("kind", STACKS)
def test_damaged_files_give_reasons(kind: str) -> None:
    raw = STACKS[kind]()
    rng = np.random.default_rng(0)
    contents = [raw[:length] for length in range(40, len(raw), len(raw) // 30)]
    for _ in range(60):
        flipped = bytearray(raw)
        for place in rng.integers(0, len(raw), 40):
            flipped[place] ^= 1 << rng.integers(8)
        contents.append(bytes(flipped))
    n_failed = 0
    for content in contents:
        if not getattr(microscopes, kind).recognises(content[:1024], None):
            continue
        try:
            file = opened(content, Limits(10**6))
            for series in range(len(file.series)):
                about = file.series[series]
                plane = file.plane(series, about.n_times - 1, about.n_depths - 1, 0)
                assert plane.shape[:2] == (about.height, about.width)
            file.close()
        except ImageError:
            n_failed += 1
    assert n_failed > 20


PACKAGES = {"CZI": "pylibCZIrw.czi", "LIF": "liffile", "ND2": "nd2"}


@pytest.mark.parametrize("kind", STACKS)
def test_without_the_package(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = STACKS[kind]()
    monkeypatch.setitem(sys.modules, PACKAGES[kind], None)
    monkeypatch.setattr(sys, "version_info", (3, 12, 0))
    words = r'pip install "Orange3-ImageMining\[microscopy\]"'
    with pytest.raises(ImageError, match=words):
        opened(raw)
    # the command would not help where the package cannot be installed
    for version, lacking in (((3, 10, 0), "LIF"), ((3, 14, 0), "CZI")):
        monkeypatch.setattr(sys, "version_info", version)
        with pytest.raises(ImageError) as caught:
            opened(raw)
        assert ("not there for Python" in str(caught.value)) == (kind == lacking)


def test_importing_loads_none_of_the_packages() -> None:
    import subprocess

    program = (
        "import sys; import orangecontrib.imagemining.images.formats.microscopes;"
        "import orangecontrib.imagemining.images.formats.dicom;"
        "import orangecontrib.imagemining.images.formats.slides;"
        "print(*{'pylibCZIrw', 'liffile', 'nd2', 'pydicom', 'openslide', 'dask',"
        "'imagecodecs'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.parametrize("kind", STACKS)
def test_several_threads_read_one_file(kind: str) -> None:
    file = opened(STACKS[kind]())
    wrong: list[tuple[int, ...]] = []

    def read(step: int) -> None:
        for t, z, c in list(np.ndindex(2, 3, 2))[::step]:
            if (file.plane(0, t, z, c) != STACK[t, z, c]).any():
                wrong.append((t, z, c))

    threads = [threading.Thread(target=read, args=(step,)) for step in (1, -1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_fetched_czi_goes_through_a_file_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = czi_of(RAMP)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = opened(raw)
    assert len(os.listdir(tmp_path)) == 1
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), RAMP)
    file.close()
    assert os.listdir(tmp_path) == []
    with pytest.raises(DamagedImageError):
        opened(raw[:600])
    assert os.listdir(tmp_path) == []


def test_files_from_disk(tmp_path: Path) -> None:
    for kind, write in STACKS.items():
        if LACKING[kind]:
            continue
        path = tmp_path / "without-ending"
        path.write_bytes(write())
        family = getattr(microscopes, kind)
        assert family.recognises(path.read_bytes()[:1024], str(path))
        file = family.open(open(path, "rb"), str(path), Limits())
        np.testing.assert_array_equal(file.plane(0, 1, 1, 1), STACK[1, 1, 1])
        file.close()


def test_nd2_of_old(tmp_path: Path) -> None:
    old = imagecodecs.jpeg2k_encode(BYTES, codecformat="jp2")
    path = tmp_path / "a.nd2"
    path.write_bytes(old)
    assert not microscopes.ND2.recognises(old[:1024], str(path))  # of another maker
    path.write_bytes(old + b"LABORATORY IMAGING ND BOX MAP 00" + bytes(8))
    assert microscopes.ND2.recognises(old[:1024], str(path))
    with open(path, "rb") as stream, pytest.raises(NotAnImageError, match="2010"):
        microscopes.ND2.open(stream, str(path), Limits())


def test_what_is_none_of_them() -> None:
    for start in (
        b"",
        b"p\0\0\0",
        bytes(100),
        b"ZISRAW",
        b"\xda\xce",
        b"II*\0abcdefghi",
    ):
        for family in (microscopes.CZI, microscopes.LIF, microscopes.ND2):
            assert not family.recognises(start, None)


def test_warnings_stay_inside() -> None:
    n_read = 0
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for kind, write in STACKS.items():
            if LACKING[kind]:
                continue
            file = opened(write())
            n_read += file.plane(0, 0, 0, 0).shape[:2] == (HEIGHT, WIDTH)
            file.close()
    assert [str(warning.message) for warning in seen] == []
    assert n_read == sum(not lacking for lacking in LACKING.values())


@pytest.mark.parametrize("kind", STACKS)
def test_the_reader_opens_them_by_content(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "renamed.jpg"
    path.write_bytes(STACKS[kind]())
    skip_if_lacking(kind)
    with ImageReader() as reader:
        assert reader.contents(str(path))[0].n_planes == 12
        picture = reader.read(f"{path}#t=1&z=2&c=1&channels=grey&contrast=range:0,4095")
        expected = np.rint(STACK[1, 2, 1].clip(0, 4095) / 4095 * 255)
        assert np.abs(np.asarray(picture) - expected).max() <= 1
        assert reader.size(str(path)) == (WIDTH, HEIGHT)
