"""One reader for all families: what a source says is what is read."""

from __future__ import annotations

import builtins
import http.server
import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from orangecontrib.imagemining.exceptions import ImageError, NotAnImageError
from orangecontrib.imagemining.images import ImageReader, Limits
from orangecontrib.imagemining.images.formats import PREFIX, family_of
from orangecontrib.imagemining.images.formats._base import families
from orangecontrib.imagemining.images.sources import escaped

Pixels = NDArray[Any]


@pytest.fixture
def reader() -> Iterator[ImageReader]:
    with ImageReader() as one:
        yield one


def noise(*shape: int, dtype: str = "uint8", most: int = 256) -> Pixels:
    return np.random.default_rng(0).integers(0, most, shape).astype(dtype)


def stack(path: Path, **options: Any) -> Pixels:
    planes = noise(3, 4, 2, 40, 50, dtype="uint16", most=4096)
    options = {"imagej": True, "metadata": {"axes": "TZCYX"}} | options
    tifffile.imwrite(path, planes, **options)
    return planes


def colours(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Return a picture that JPEG hardly changes, (width, height)."""
    y, x = np.mgrid[: size[1], : size[0]]
    waves = [np.sin(x / 20 + k) + np.cos(y / 15 - k) for k in range(3)]
    return Image.fromarray((np.dstack(waves) * 60 + 128).astype(np.uint8))


# what is in a file --------------------------------------------------------------------


def test_order_of_families() -> None:
    names = [family.name for family in families()]
    # those that are told by more come first
    assert names == [
        "Whole slides", "DICOM", "CZI", "LIF", "ND2", "TIFF",
        "HEIC", "AVIF", "JPEG 2000", "PNG", "Pictures",
    ]  # fmt: skip
    endings = [ending for family in families() for ending in family.endings]
    assert all(ending.startswith(".") and ending.islower() for ending in endings)


@pytest.mark.parametrize(
    "start",
    [b"", b"x", b"just words", bytes(PREFIX), bytes(range(256)) * 4, b"PK\x03\x04"],
)
def test_nothing_is_taken_for_an_image(start: bytes) -> None:
    assert family_of(start, None) is None
    for family in families():
        assert family.recognises(start, "/nowhere/a.tif") in (False, None)


def test_contents_of_a_stack(tmp_path: Path, reader: ImageReader) -> None:
    path = tmp_path / "renamed.jpg"
    stack(path)
    (series,) = reader.contents(str(path))
    assert (series.width, series.height, series.dtype) == (50, 40, "uint16")
    assert (series.n_times, series.n_depths, len(series.channels)) == (3, 4, 2)
    assert series.n_planes == 24
    assert reader.contents(f"{path}#z=99&stack=max") == (series,)
    assert reader.size(str(path)) == (50, 40)
    assert reader.size(f"{path}#z=1&xywh=3,4,5,6") == (5, 6)
    with pytest.raises(ImageError, match="4 focus planes; there is no number 5"):
        reader.size(f"{path}#z=4")


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "webp"])
def test_contents_of_pictures(tmp_path: Path, reader: ImageReader, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    colours().save(path)
    (series,) = reader.contents(str(path))
    assert (series.width, series.height, series.dtype) == (64, 48, "uint8")
    assert (series.samples, series.n_planes) == (3, 1)
    colours().convert("L").save(path)
    (series,) = reader.contents(str(path))
    assert series.samples == (3 if ending == "webp" else 1)


def test_contents_are_upright(tmp_path: Path, reader: ImageReader) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending in ("jpg", "png", "tif", "webp"):
        path = tmp_path / f"a.{ending}"
        colours((64, 48)).save(path, exif=exif)
        (series,) = reader.contents(str(path))
        assert (series.width, series.height) == reader.size(str(path)) == (48, 64)
        shown = reader.read(f"{path}#contrast=range:0,255")
        assert shown.size == (48, 64)
        # turned like by the usual way
        assert np.abs(np.subtract(shown, reader.read(str(path)), dtype=int)).max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_png_is_turned(
    tmp_path: Path, reader: ImageReader, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise(20, 30, dtype="uint16", most=65536)
    shallow = Image.fromarray((pixels >> 8).astype(np.uint8))
    Image.fromarray(pixels).save(tmp_path / "deep.png", exif=exif)
    shallow.save(tmp_path / "shallow.png", exif=exif)
    source = f"{tmp_path / 'deep.png'}#contrast=range:0,65535"
    deep = np.asarray(reader.read(source)).astype(int)
    usual = np.asarray(reader.read(str(tmp_path / "shallow.png")))
    assert reader.size(source) == usual.shape[::-1] == deep.shape[::-1]
    assert np.abs(deep - usual).max() <= 1


# what is shown ------------------------------------------------------------------------


def test_planes(tmp_path: Path, reader: ImageReader) -> None:
    path = tmp_path / "a.tif"
    planes = stack(path)
    words = "contrast=range:0,4095"
    for t, z, c in ((0, 0, 0), (2, 3, 1), (1, 2, 0)):
        shown = reader.read(f"{path}#t={t}&z={z}&c={c}&{words}")
        expected = np.rint(planes[t, z, c] * (255 / 4095))
        assert shown.mode == "L"
        np.testing.assert_array_equal(np.asarray(shown), expected)
    shown = reader.read(f"{path}#stack=max&channels=1:red&{words}")
    expected = np.rint(planes[:, :, 1].max(axis=(0, 1)) * (255 / 4095))
    np.testing.assert_array_equal(np.asarray(shown)[..., 0], expected)
    assert not np.asarray(shown)[..., 1:].any()
    found = reader.samples(f"{path}#t=1&z=2")
    for c in (0, 1):
        np.testing.assert_array_equal(found[c], planes[1, 2, c].ravel())


def test_viewer_and_network_see_the_same(tmp_path: Path, reader: ImageReader) -> None:
    path = tmp_path / "a.tif"
    stack(path)
    colours().save(tmp_path / "a.jpg")
    for source in (
        f"{path}",
        f"{path}#stack=mean&contrast=percentiles:2,98",
        f"{path}#z=2&channels=1:green",
        f"{tmp_path / 'a.jpg'}#contrast=percentiles:10,90&channels=grey",
    ):
        usual = reader.read(source)
        near, whole = reader.read_near(source, 5000)
        enough = reader.read_at_least(source, (5000, 5000))
        assert whole == usual.size
        for other in (near, enough):
            np.testing.assert_array_equal(np.asarray(other), np.asarray(usual))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_frames_are_time_points(tmp_path: Path, reader: ImageReader, kind: str) -> None:
    levels = [10, 200, 90]
    frames = [Image.new("RGB", (16, 12), (n, 255 - n, n // 2)) for n in levels]
    path = tmp_path / "animation.any"
    keywords = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(path, kind, save_all=True, append_images=frames[1:], **keywords)
    (series,) = reader.contents(str(path))
    assert (series.n_times, series.n_depths, series.samples) == (3, 1, 3)
    for t, frame in enumerate(frames):
        shown = reader.read(f"{path}#t={t}")
        np.testing.assert_array_equal(np.asarray(shown), np.asarray(frame))
    first = reader.read(str(path))
    np.testing.assert_array_equal(np.asarray(first), np.asarray(frames[0]))
    most = np.max([np.asarray(frame) for frame in frames], axis=0)
    np.testing.assert_array_equal(np.asarray(reader.read(f"{path}#stack=max")), most)
    middle = reader.read(f"{path}#stack=middle")
    np.testing.assert_array_equal(np.asarray(middle), np.asarray(frames[1]))
    with pytest.raises(ImageError, match="3 time points; there is no number 4"):
        reader.read(f"{path}#t=3")


def test_pictures_can_be_rendered(tmp_path: Path, reader: ImageReader) -> None:
    path = tmp_path / "a.png"
    image = colours()
    image.save(path)
    pixels = np.asarray(image)
    for words in ("t=0&z=0&c=0&s=0", "stack=max", "channels=rgb", "contrast=full"):
        shown = np.asarray(reader.read(f"{path}#{words}"))
        np.testing.assert_array_equal(shown, pixels)
    shown = reader.read(f"{path}#channels=grey")
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(image.convert("L")))
    shown = np.asarray(reader.read(f"{path}#contrast=range:100,150"))
    expected = np.clip(np.rint((pixels.astype(float) - 100) * (255 / 50)), 0, 255)
    np.testing.assert_array_equal(shown, expected)
    shown = np.asarray(reader.read(f"{path}#xywh=60,40,10,10"))
    np.testing.assert_array_equal(shown[:8, :4], pixels[40:, 60:])
    assert (shown[8:] == 255).all() and (shown[:, 4:] == 255).all()
    shown = np.asarray(reader.read(f"{path}#channels=1:red"))
    np.testing.assert_array_equal(shown[..., 0], pixels[..., 1])
    with pytest.raises(ImageError, match="1 focus plane; there is no number 2"):
        reader.read(f"{path}#z=1")


def test_transparent_parts_are_white_when_rendered(
    tmp_path: Path, reader: ImageReader
) -> None:
    image = colours().convert("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.save(tmp_path / "a.png")
    shown = reader.read(f"{tmp_path / 'a.png'}#contrast=range:0,255")
    assert shown.getpixel((0, 0)) == (255, 255, 255)


def test_names_with_marks_of_their_own(tmp_path: Path, reader: ImageReader) -> None:
    for name in ("well #5.png", "a.png#z=5", "a#"):
        colours().save(tmp_path / name, "PNG")
        source = escaped(str(tmp_path / name))
        assert reader.read(source).size == reader.size(source) == (64, 48)


# smaller ------------------------------------------------------------------------------


def pyramid(path: Path) -> list[Pixels]:
    # of different brightness, so that it shows which level was read
    levels = [
        np.full((800 // 2**k, 1200 // 2**k, 3), 200 - 50 * k, np.uint8)
        for k in range(4)
    ]
    with tifffile.TiffWriter(path) as file:
        file.write(levels[0], subifds=3, tile=(64, 64), photometric="rgb")
        for level in levels[1:]:
            file.write(level, subfiletype=1, tile=(64, 64), photometric="rgb")
    return levels


@pytest.mark.parametrize(
    ("side", "level"), [(50, 3), (100, 3), (101, 2), (300, 1), (401, 0), (9000, 0)]
)
def test_smallest_level_that_suffices(
    tmp_path: Path, reader: ImageReader, side: int, level: int
) -> None:
    path = str(tmp_path / "a.tif")
    levels = pyramid(tmp_path / "a.tif")
    assert reader.contents(path)[0].levels == (
        (1200, 800), (600, 400), (300, 200), (150, 100)
    )  # fmt: skip
    small, whole = reader.read_near(path, side)
    assert whole == (1200, 800)
    np.testing.assert_array_equal(np.asarray(small), levels[level])
    small = reader.read_at_least(path, (side // 2, side))
    np.testing.assert_array_equal(np.asarray(small), levels[level])


def test_level_within_the_limit(tmp_path: Path) -> None:
    path = str(tmp_path / "a.tif")
    levels = pyramid(tmp_path / "a.tif")
    with ImageReader(Limits(max_pixels=300_000)) as reader:
        assert reader.size(path) == (1200, 800)
        np.testing.assert_array_equal(np.asarray(reader.read(path)), levels[1])
        tile = reader.read(f"{path}#xywh=1100,700,500,500")
        assert tile.getpixel((0, 0)) == (200, 200, 200)
        assert tile.getpixel((499, 499)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpegs_for_networks(
    tmp_path: Path, reader: ImageReader, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    colours((800, 600)).save(path, quality=90, exif=exif)
    whole = reader.read(str(path))
    small = reader.read_at_least(str(path), (100, 100), path.read_bytes())
    assert min(small.size) >= 100 and small.width < whole.width
    expected = whole.resize(small.size, Image.Resampling.BOX)
    error = np.subtract(small, expected, dtype=int)
    assert np.abs(error).mean() < 3
    # nothing is made larger, and what is no JPEG stays whole
    assert reader.read_at_least(str(path), (5000, 5000)).size == whole.size
    colours((800, 600)).save(tmp_path / "a.png")
    assert reader.read_at_least(str(tmp_path / "a.png"), (9, 9)).size == (800, 600)


def test_content_that_is_there_already(tmp_path: Path, reader: ImageReader) -> None:
    stack(tmp_path / "a.tif")
    colours().save(tmp_path / "a.png")
    for name, words in (("a.tif", "#z=2&c=1"), ("a.png", ""), ("a.png", "#c=0")):
        path = tmp_path / name
        expected = np.asarray(reader.read(f"{path}{words}"))
        data = path.read_bytes()
        path.unlink()
        for found in (
            reader.read(f"{path}{words}", data=data),
            reader.read_at_least(f"{path}{words}", (999, 999), data),
        ):
            np.testing.assert_array_equal(np.asarray(found), expected)
        path.write_bytes(data)


# bytes, addresses, missing parts ------------------------------------------------------


def test_raw_bytes_of_all_families(tmp_path: Path, reader: ImageReader) -> None:
    stack(tmp_path / "stack.any")
    Image.fromarray(noise(9, 8, dtype="uint16")).save(tmp_path / "png.any", "PNG")
    Image.fromarray(noise(9, 8)).save(tmp_path / "jp2.any", "JPEG2000")
    kinds = {"stack": ("TIFF", (50, 40)), "png": ("PNG", (8, 9))}
    for name, (kind, size) in (kinds | {"jp2": ("JPEG2000", (8, 9))}).items():
        path = tmp_path / f"{name}.any"
        with reader.raw(str(path)) as (stream, found, whole):
            assert (found, whole) == (kind, size)
            assert stream.read() == path.read_bytes()
    # of any size
    with ImageReader(Limits(max_pixels=5)) as strict:
        with strict.raw(str(tmp_path / "stack.any")) as (_, _, whole):
            assert whole == (50, 40)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    folder = str(tmp_path)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=folder)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_stacks_at_addresses(tmp_path: Path, reader: ImageReader, address: str) -> None:
    planes = stack(tmp_path / "a.tif")
    source = f"{address}/a.tif#t=1&z=3&c=1&contrast=range:0,4095"
    shown = np.asarray(reader.read(source))
    np.testing.assert_array_equal(shown, np.rint(planes[1, 3, 1] * (255 / 4095)))
    assert reader.contents(f"{address}/a.tif")[0].n_planes == 24
    assert reader.size(source) == (50, 40)
    with reader.raw(source) as (stream, kind, _):
        assert kind == "TIFF"
        assert stream.read() == (tmp_path / "a.tif").read_bytes()


@pytest.mark.parametrize(
    ("start", "module", "command"),
    [
        (bytes(128) + b"DICM" + bytes(900), "pydicom", '"Orange3-ImageMining[dicom]"'),
        (b"ZISRAWFILE" + bytes(900), "pylibCZIrw", '"Orange3-ImageMining[microscopy]"'),
        (b"\xda\xce\xbe\x0a" + bytes(900), "nd2", '"Orange3-ImageMining[microscopy]"'),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(900),
            "pillow_heif",
            "pip install pillow-heif",
        ),
    ],
)
def test_missing_packages_are_named(
    tmp_path: Path,
    reader: ImageReader,
    monkeypatch: pytest.MonkeyPatch,
    start: bytes,
    module: str,
    command: str,
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == module:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    path = tmp_path / "a.png"
    path.write_bytes(start)
    for ask in (reader.read, reader.contents, reader.size, reader.samples):
        with pytest.raises(ImageError) as caught:
            ask(str(path))
        assert command in str(caught.value)
        assert "pip install" in str(caught.value)
        assert not isinstance(caught.value, NotAnImageError)


def test_ordinary_pictures_need_no_other_package(
    tmp_path: Path, reader: ImageReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = builtins.__import__, []

    def watched(name: str, *args: Any, **options: Any) -> Any:
        asked.append(name.partition(".")[0])
        return real(name, *args, **options)

    paths = []
    for ending in ("jpg", "png", "gif", "bmp", "webp", "jp2"):
        colours().save(tmp_path / f"a.{ending}")
        paths.append(str(tmp_path / f"a.{ending}"))
    monkeypatch.setattr(builtins, "__import__", watched)
    for path in paths:
        assert reader.read(path).size == (64, 48)
        assert reader.read(f"{path}#channels=grey").mode == "L"
    heavy = {"tifffile", "imagecodecs", "pydicom", "pillow_heif", "openslide", "nd2"}
    assert not heavy & set(asked)


# as stored, colour profiles -----------------------------------------------------------


def test_as_stored_of_all_families(tmp_path: Path, reader: ImageReader) -> None:
    path = str(tmp_path / "a.tif")
    deep = np.array([[7, 900]], np.uint16)
    # Pillow cuts what is above 255
    tifffile.imwrite(path, deep)
    assert np.asarray(reader.read(path, as_stored=True))[0, :, 0].tolist() == [7, 255]
    # words say more than that
    shown = reader.read(f"{path}#contrast=range:0,1800", as_stored=True)
    assert shown.mode == "RGB"
    assert np.asarray(shown)[0, :, 0].tolist() == [1, 128]
    # what Pillow does not read is read all the same
    tifffile.imwrite(path, noise(20, 30).astype(np.float16))
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)
    assert reader.read(path, as_stored=True).size == (30, 20)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp"])
def test_colour_profiles_stay(tmp_path: Path, reader: ImageReader, ending: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / f"a.{ending}"
    colours().save(path, icc_profile=profile)
    assert reader.read(str(path)).info.get("icc_profile") == profile
    # of channels in other colours they would tell nothing
    shown = reader.read(f"{path}#channels=0:red")
    assert "icc_profile" not in shown.info


def test_streams_are_closed(tmp_path: Path, reader: ImageReader) -> None:
    # warnings of files left open are errors in these tests
    planes = stack(tmp_path / "a.tif")
    for words in ("", "#z=1", "#stack=max", "#z=77"):
        try:
            reader.read(f"{tmp_path / 'a.tif'}{words}")
        except ImageError:
            assert words == "#z=77"
    (tmp_path / "a.tif").unlink()
    assert planes.shape[0] == 3


def test_io_of_memory_only() -> None:
    # an ImageFile's stream may be any; this one cannot be asked for its number
    stream = io.BytesIO()
    tifffile.imwrite(stream, noise(20, 30))
    with ImageReader() as reader:
        shown = reader.read("/nowhere/a.tif", data=stream.getvalue())
    np.testing.assert_array_equal(np.asarray(shown), noise(20, 30))
