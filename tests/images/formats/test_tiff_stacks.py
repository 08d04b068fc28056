"""Stacks in TIFF files: which plane is where, what the channels are, what is lost."""

from __future__ import annotations

import io
import itertools
import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tiny_tiff import Page, page, text, tiff

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.formats._base import Channel, Series
from orangecontrib.imagemining.images.formats.tiff import TiffImageFile
from orangecontrib.imagemining.images.limits import Limits

HEIGHT, WIDTH = 12, 20


def opened(content: bytes, path: str | None = None) -> TiffImageFile:
    return TiffImageFile(io.BytesIO(content), path, Limits())


def numbered(number: int, dtype: str = "uint16") -> NDArray[Any]:
    """Return a plane that tells its number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return ((x + 2 * y) % 7 + 10 * number).astype(dtype)


def numbers(n: int, **options: Any) -> list[Page]:
    return [page(numbered(number), **options) for number in range(n)]


def number_of(picture: NDArray[Any]) -> int:
    number = int(picture[0, 0]) // 10
    np.testing.assert_array_equal(picture, numbered(number, picture.dtype.name))
    return number


def planes(file: TiffImageFile, series: int = 0) -> list[list[list[int]]]:
    """Return the numbers of all planes; −1 for those that cannot be read."""

    def one(t: int, z: int, c: int) -> int:
        try:
            return number_of(file.plane(series, t, z, c))
        except ImageError:
            return -1

    told = file.series[series]
    return [
        [
            [one(t, z, c) for c in range(len(told.channels))]
            for z in range(told.n_depths)
        ]
        for t in range(told.n_times)
    ]


def shape(series: Series) -> tuple[int, int, int]:
    return series.n_times, series.n_depths, len(series.channels)


class Counting(io.BytesIO):
    """Counts what is read of a file."""

    n_read = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.n_read += len(content)
        return content


# plain


def test_pages_of_one_size_are_depths() -> None:
    file = opened(tiff(numbers(5)))
    assert [shape(series) for series in file.series] == [(1, 5, 1)]
    assert planes(file) == [[[0], [1], [2], [3], [4]]]


def test_pages_of_pillow() -> None:
    pictures = [Image.fromarray(numbered(n, "uint8")) for n in range(4)]
    out = io.BytesIO()
    pictures[0].save(out, "TIFF", save_all=True, append_images=pictures[1:])
    assert planes(opened(out.getvalue())) == [[[0], [1], [2], [3]]]


def test_pages_of_other_sizes_are_series() -> None:
    wide = np.zeros((5, 9), np.uint8)
    colours = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
    pages = [*numbers(2), page(wide), page(colours), *numbers(1)]
    file = opened(tiff(pages))
    told = [(s.width, s.height, s.dtype, s.samples, s.n_depths) for s in file.series]
    assert told == [
        (WIDTH, HEIGHT, "uint16", 1, 3),
        (9, 5, "uint8", 1, 1),
        (WIDTH, HEIGHT, "uint16", 3, 1),
    ]
    assert planes(file) == [[[0], [1], [0]]]
    assert file.plane(1, 0, 0, 0).shape == (5, 9)


@pytest.mark.parametrize("planar", [False, True])
def test_channels_within_a_page(planar: bool) -> None:
    stack = [
        page(
            np.dstack([numbered(10 * z + c) for c in range(4)]),
            photometric=1,
            planar=planar,
        )
        for z in range(3)
    ]
    file = opened(tiff(stack))
    assert shape(file.series[0]) == (1, 3, 4)
    assert planes(file) == [[[10 * z + c for c in range(4)] for z in range(3)]]


def test_a_corrupt_page_loses_its_plane_alone() -> None:
    pages = numbers(4, compression="LZW")
    pages[2].segments = [b"\xff" * len(pages[2].segments[0])]
    file = opened(tiff(pages))
    assert planes(file) == [[[0], [1], [-1], [3]]]
    with pytest.raises(DamagedImageError):
        file.plane(0, 0, 2, 0)


def test_pages_behind_the_break() -> None:
    content = tiff(numbers(4))
    file = opened(content[: len(content) * 6 // 10])
    assert planes(file)[0][:2] == [[0], [1]]
    assert opened(tiff(numbers(3), promise=True)).series[0].n_depths == 3


def test_a_chain_that_bites_its_tail() -> None:
    content = bytearray(tiff(numbers(2)))
    second = struct.unpack("<I", content[8 + 2 + 12 * 11 :][:4])[0]
    n_tags = struct.unpack("<H", content[second : second + 2])[0]
    link = second + 2 + 12 * n_tags
    content[link : link + 4] = struct.pack("<I", 8)
    assert planes(opened(bytes(content))) == [[[0], [1]]]


@pytest.mark.parametrize("how", ["over", "beside", "moment"])
def test_another_file_of_the_same_size_and_time(tmp_path: Path, how: str) -> None:
    path, day = tmp_path / "a.tif", 86_400 * 10**9

    def written(name: str, content: bytes) -> Path:
        file = tmp_path / name
        file.write_bytes(content)
        if how != "moment":
            # as copying does, which keeps the time of the content
            os.utime(file, ns=(day, day))
        return file

    three, two = tiff(numbers(3)), tiff(numbers(2))
    written("a.tif", three)
    # long after it came there
    real = time.time_ns
    later = 0 if how == "moment" else day
    with ImageReader() as reader, pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: real() + later)
        assert reader.contents(str(path))[0].n_depths == 3
        status = path.stat()
        other = two + bytes(len(three) - len(two))
        if how == "beside":
            os.replace(written("b.tif", other), path)
        else:
            written("a.tif", other)
        if how == "moment":
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert reader.contents(str(path))[0].n_depths == 2
        np.testing.assert_array_equal(
            reader.samples(f"{path}#z=1")[0], numbered(1).ravel()
        )


@pytest.mark.parametrize("kind", ["plain", "ImageJ", "OME"])
def test_a_plane_reads_itself_alone(kind: str) -> None:
    n = 60
    pages = [page(np.full((64, 64), z, np.uint16)) for z in range(n)]
    if kind == "ImageJ":
        pages[0].tags[270] = text(f"ImageJ=1.54f\nimages={n}\nslices={n}\n")
    elif kind == "OME":
        pages[0].tags[270] = text(ome(f'SizeZ="{n}"'))
    stream = Counting(tiff(pages))
    file = TiffImageFile(stream, None, Limits())
    assert file.series[0].n_depths == n
    assert stream.n_read < n * 600 + 8000  # directories, and no pixels
    stream.n_read = 0
    assert (file.plane(0, 0, 41, 0) == 41).all()
    assert stream.n_read < 64 * 64 * 2 + 1000


def test_no_such_plane() -> None:
    file = opened(tiff(numbers(2)))
    for place in (
        (1, 0, 0, 0),
        (0, 1, 0, 0),
        (0, 0, 2, 0),
        (0, 0, 0, 1),
        (0, 0, -1, 0),
    ):
        with pytest.raises(ImageError, match="no such"):
            file.plane(*place)


# ImageJ


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_hyperstack(endian: Any, dtype: str) -> None:
    stack = np.stack([numbered(n, dtype) for n in range(24)])
    out = io.BytesIO()
    tifffile.imwrite(
        out,
        stack.reshape(4, 3, 2, HEIGHT, WIDTH),
        imagej=True,
        byteorder=endian,
        resolution=(1 / 0.25, 1 / 0.5),
        metadata={
            "axes": "TZCYX",
            "unit": "um",
            "mode": "composite",
            "LUTs": [
                np.outer([0, 1, 0], np.arange(256)).astype(np.uint8),
                np.outer([1, 0, 1], np.arange(256)).astype(np.uint8),
            ],
            "Labels": ["GFP", "Texas Red"] * 12,
        },
    )
    file = opened(out.getvalue())
    (series,) = file.series
    assert shape(series) == (4, 3, 2)
    assert series.dtype == dtype
    assert series.pixel_size == pytest.approx((0.25, 0.5))
    assert series.channels == (
        Channel("GFP", (0, 255, 0)),
        Channel("Texas Red", (255, 0, 255)),
    )
    wanted = np.arange(24).reshape(4, 3, 2).tolist()
    assert planes(file) == wanted


def imagej(lines: str, n: int, promised: int = 0, **options: Any) -> bytes:
    """Return a file of n pages, or one with the pixels of so many planes."""
    pages = numbers(n, **options)
    description = f"ImageJ=1.54f\nimages={promised or n}\n{lines}"
    if promised:
        pages = pages[:1]
    pages[0].tags[270] = text(description)
    content = tiff(pages)
    if promised:
        content += b"".join(numbered(z).tobytes() for z in range(1, n))
    return content


def test_hyperstack_of_one_directory() -> None:
    lines = "channels=2\nslices=3\nframes=2\nhyperstack=true\n"
    file = opened(imagej(lines, 12, 12))
    assert shape(file.series[0]) == (2, 3, 2)
    assert planes(file) == np.arange(12).reshape(2, 3, 2).tolist()


def test_hyperstack_that_breaks_off() -> None:
    lines = "channels=2\nslices=3\nframes=2\nhyperstack=true\n"
    file = opened(imagej(lines, 9, 12))
    assert planes(file) == [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, -1], [-1, -1]]]
    with pytest.raises(DamagedImageError, match="breaks off"):
        file.plane(0, 1, 2, 1)


def test_hyperstack_whose_chain_breaks() -> None:
    content = bytearray(imagej("slices=3\n", 3))
    n_tags = struct.unpack("<H", content[8:10])[0]
    link = 10 + 12 * n_tags
    content[link : link + 4] = struct.pack("<I", 10**8)
    file = opened(bytes(content))
    assert planes(file) == [[[0], [-1], [-1]]]
    with pytest.raises(DamagedImageError, match="breaks off"):
        file.plane(0, 0, 1, 0)


def test_hyperstack_that_promises_more() -> None:
    file = opened(imagej("channels=2\nslices=3\n", 5))
    assert planes(file) == [[[0, 1], [2, 3], [4, -1]]]
    with pytest.raises(DamagedImageError, match="tells of this plane"):
        file.plane(0, 0, 2, 1)


@pytest.mark.parametrize(
    ("lines", "n", "wanted"),
    [
        ("channels=2\nslices=2\n", 6, (1, 3, 2)),  # more pages than are told of
        ("channels=2\nslices=2\n", 7, (1, 7, 1)),
        ("channels=0\nslices=-1\n", 3, (1, 3, 1)),
        ("channels=99999999\nslices=99999999\n", 3, (1, 3, 1)),
        ("slices=x\n", 3, (1, 3, 1)),
        ("frames=3\n", 3, (3, 1, 1)),
    ],
)
def test_axes_of_imagej_that_do_not_fit(
    lines: str, n: int, wanted: tuple[int, int, int]
) -> None:
    file = opened(imagej(lines, n))
    assert shape(file.series[0]) == wanted
    assert sorted(np.ravel(planes(file)).tolist()) == list(range(n))


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("micron", 0.5),
        ("\\u00B5m", 0.5),
        ("nm", 0.0005),
        ("mm", 500),
        ("inch", None),
        ("in", None),
        ("pixel", None),
        ("", None),
    ],
)
def test_units_of_imagej(unit: str, size: float | None) -> None:
    more = {282: (5, [(2, 1)]), 283: (5, [(2, 1)]), 296: (3, [1])}
    file = opened(imagej(f"unit={unit}\n", 2, more=more))
    wanted = None if size is None else pytest.approx((size, size))
    assert file.series[0].pixel_size == wanted


def test_labels_that_are_no_names() -> None:
    for labels in (["c:1/2 - a.tif", "c:2/2 - a.tif"], ["same", "same"]):
        out = io.BytesIO()
        stack = np.stack([numbered(0), numbered(1)])
        tifffile.imwrite(
            out, stack, imagej=True, metadata={"axes": "CYX", "Labels": labels}
        )
        names = [c.name for c in opened(out.getvalue()).series[0].channels]
        assert names == ["", ""]


def palette(colours: NDArray[Any]) -> dict[int, tuple[int, Any]]:
    return {320: (3, [int(n) * 257 for n in colours.ravel()])}


def test_one_colour_of_imagej_is_a_channel() -> None:
    green = np.outer([0, 1, 0], np.arange(256))
    picture = numbered(3, "uint8")
    one = page(picture, photometric=3, more=palette(green))
    one.tags[270] = text("ImageJ=1.54f\n")
    file = opened(tiff([one]))
    assert file.series[0].channels == (Channel("", (0, 255, 0)),)
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), picture)


def test_many_colours_of_imagej_are_a_picture() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 256))
    picture = numbered(3, "uint8")
    one = page(picture, photometric=3, more=palette(colours))
    one.tags[270] = text("ImageJ=1.54f\n")
    read = opened(tiff([one])).plane(0, 0, 0, 0)
    np.testing.assert_array_equal(read, colours.T[picture])


def test_photographs_in_imagej() -> None:
    pictures = [
        np.dstack([numbered(3 * z + s, "uint8") for s in range(3)]) for z in (0, 1)
    ]
    pages = [page(picture) for picture in pictures]
    pages[0].tags[270] = text("ImageJ=1.54f\nimages=2\nslices=2\n")
    file = opened(tiff(pages))
    assert shape(file.series[0]) == (1, 2, 1)
    assert file.series[0].samples == 3
    np.testing.assert_array_equal(file.plane(0, 0, 1, 0), pictures[1])


# OME


def ome(
    attributes: str = "",
    inside: str = "",
    order: str = "XYCZT",
    root: str = "",
    more: str = "",
) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
        f' {root}><Image ID="Image:0" Name="well A1"><Pixels ID="Pixels:0"'
        f' DimensionOrder="{order}" Type="uint16" SizeX="{WIDTH}" SizeY="{HEIGHT}"'
        f" {attributes}>{inside}</Pixels></Image>{more}</OME>"
    )


def ome_file(
    n: int, xml: str, path: str | None = None, **options: Any
) -> TiffImageFile:
    pages = numbers(n, **options)
    pages[0].tags[270] = text(xml)
    return opened(tiff(pages), path)


@pytest.mark.parametrize("order", ["".join(o) for o in itertools.permutations("TZC")])
def test_orders_of_ome(order: str) -> None:
    sizes = {"T": 2, "Z": 3, "C": 4}
    attributes = " ".join(f'Size{axis}="{n}"' for axis, n in sizes.items())
    xml = ome(attributes, "<TiffData/>", f"XY{order}")
    file = ome_file(24, xml)
    assert shape(file.series[0]) == (2, 3, 4)
    slowest_first = order[::-1]
    wanted = np.arange(24).reshape([sizes[axis] for axis in slowest_first])
    wanted = wanted.transpose([slowest_first.index(axis) for axis in "TZC"])
    assert planes(file) == wanted.tolist()
    assert file.series[0].name == "well A1"


def test_pages_as_ome_tells() -> None:
    inside = (
        '<TiffData IFD="3" FirstC="0"/><TiffData FirstC="1" IFD="0" PlaneCount="1"/>'
        '<TiffData FirstZ="1" IFD="1" PlaneCount="2"/>'
    )
    file = ome_file(4, ome('SizeC="2" SizeZ="2" SizeT="1"', inside))
    assert planes(file) == [[[3, 0], [1, 2]]]


def test_channels_of_ome() -> None:
    red, green = -16776961, 16711935  # signed, as Java has them
    inside = (
        f'<Channel ID="a" Name="DAPI" Color="{red}"/>'
        f'<Channel ID="b" Name="GFP" Color="{green}"/><Channel ID="c"/>'
    )
    attributes = (
        'SizeC="3" SignificantBits="12" PhysicalSizeX="250" PhysicalSizeXUnit="nm"'
        ' PhysicalSizeY="0.5"'
    )
    (series,) = ome_file(3, ome(attributes, inside)).series
    assert series.channels == (
        Channel("DAPI", (255, 0, 0)),
        Channel("GFP", (0, 255, 0)),
        Channel(),
    )
    assert series.bits == 12
    assert series.pixel_size == pytest.approx((0.25, 0.5))


def test_white_channels_have_no_colour() -> None:
    inside = '<Channel ID="a" Color="-1"/><Channel ID="b" Color="-1"/>'
    (series,) = ome_file(2, ome('SizeC="2"', inside)).series
    assert [channel.colour for channel in series.channels] == [None, None]


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "lightyear"])
def test_units_that_are_none(unit: str) -> None:
    attributes = f'PhysicalSizeX="1" PhysicalSizeXUnit="{unit}" PhysicalSizeY="1"'
    assert ome_file(1, ome(attributes)).series[0].pixel_size is None


def test_photographs_in_ome() -> None:
    pictures = [np.dstack([numbered(3 * z + s) for s in range(3)]) for z in range(2)]
    pages = [page(picture) for picture in pictures]
    inside = '<Channel ID="a" Name="brightfield" SamplesPerPixel="3"/>'
    pages[0].tags[270] = text(ome('SizeC="3" SizeZ="2"', inside))
    file = opened(tiff(pages))
    assert shape(file.series[0]) == (1, 2, 1)
    assert file.series[0].channels[0].name == "brightfield"
    np.testing.assert_array_equal(file.plane(0, 0, 1, 0), pictures[1])


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("told", [3, 4])
def test_photographs_of_two_channels(alpha: bool, told: int) -> None:
    if told == 4 and not alpha:
        pytest.skip("no transparency to be told of")
    layers = [numbered(n, "uint8") for n in range(3)]
    opaque = [np.full((HEIGHT, WIDTH), 255, np.uint8)] if alpha else []
    picture = np.dstack(layers + opaque)
    pages = [page(picture, photometric=2), page(picture, photometric=2)]
    inside = "".join(
        f'<Channel ID="{name}" Name="{name}" SamplesPerPixel="{told}"/>'
        for name in ("bright", "dark")
    )
    pages[0].tags[270] = text(ome(f'SizeC="{2 * told}"', inside))
    file = opened(tiff(pages))
    assert [c.name for c in file.series[0].channels] == ["bright", "dark"]
    np.testing.assert_array_equal(file.plane(0, 0, 0, 1), np.dstack(layers))


@pytest.mark.parametrize("planar", [False, True])
def test_channels_within_a_page_of_ome(planar: bool) -> None:
    pages = [
        page(
            np.dstack([numbered(2 * z + c) for c in range(2)]),
            photometric=1,
            planar=planar,
        )
        for z in range(3)
    ]
    inside = '<Channel ID="a" Name="one"/><Channel ID="b" Name="two"/>'
    pages[0].tags[270] = text(ome('SizeC="2" SizeZ="3"', inside))
    file = opened(tiff(pages))
    assert planes(file) == [[[0, 1], [2, 3], [4, 5]]]
    assert [c.name for c in file.series[0].channels] == ["one", "two"]


def test_channels_within_and_across_pages_of_ome() -> None:
    pages = [
        page(np.dstack([numbered(2 * n), numbered(2 * n + 1)]), photometric=1)
        for n in range(4)
    ]
    pages[0].tags[270] = text(ome('SizeC="4" SizeZ="2"'))
    assert planes(opened(tiff(pages))) == [[[0, 1, 2, 3], [4, 5, 6, 7]]]


def test_images_of_ome_are_series() -> None:
    pixels = (
        '<Image ID="Image:1" Name="well A2"><Pixels ID="p" DimensionOrder="XYCZT"'
        ' SizeC="1" SizeZ="2" SizeT="1"><TiffData IFD="1" PlaneCount="2"/></Pixels>'
        "</Image>"
    )
    file = ome_file(3, ome("", '<TiffData IFD="0"/>', more=pixels))
    assert [(s.name, s.n_depths) for s in file.series] == [
        ("well A1", 1),
        ("well A2", 2),
    ]
    assert planes(file, 1) == [[[1], [2]]]


def test_ome_that_promises_more() -> None:
    file = ome_file(3, ome('SizeC="2" SizeZ="2"', "<TiffData/>"))
    assert planes(file) == [[[0, 1], [2, -1]]]
    with pytest.raises(DamagedImageError, match="tells of this plane"):
        file.plane(0, 0, 1, 1)
    holes = '<TiffData IFD="1" FirstZ="1"/>'
    assert planes(ome_file(2, ome('SizeZ="3"', holes))) == [[[-1], [1], [-1]]]


@pytest.mark.parametrize(
    "xml",
    [
        "<OME>",
        "<OME></OME>",
        ome('SizeZ="0"'),
        ome('SizeZ="999999999" SizeT="999999999"'),
        ome('SizeZ="many" SizeT="-1"'),
        '<!DOCTYPE OME [<!ENTITY b "c">]>' + ome('SizeC="3"').partition("?>")[2],
        '<OME><Image/><Image><Pixels SizeC="x"/></Image>',
    ],
)
def test_ome_that_makes_no_sense(xml: str) -> None:
    file = ome_file(3, xml)
    assert planes(file) == [[[0], [1], [2]]]


def set_of_files(own: int) -> str:
    """Return the XML of two files, a time point each, that both of them have."""
    inside = "".join(
        f'<TiffData FirstT="{t}" FirstC="{c}" IFD="{c}" PlaneCount="1">'
        f'<UUID FileName="t{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>'
        for t in range(2)
        for c in range(3)
    )
    return ome('SizeC="3" SizeT="2"', inside, root=f'UUID="urn:uuid:{own}"')


def test_a_file_of_a_set_has_its_own_planes(tmp_path: Path) -> None:
    for own in range(2):
        file = ome_file(3, set_of_files(own), str(tmp_path / "renamed.tif"))
        assert planes(file) == [[[0, 1, 2]]]


def test_a_file_of_a_set_that_is_known_by_its_name(tmp_path: Path) -> None:
    xml = set_of_files(0).replace('UUID="urn:uuid:0"', "", 1)
    file = ome_file(3, xml, str(tmp_path / "t1.ome.tif"))
    assert planes(file) == [[[0, 1, 2]]]


def test_channels_of_a_set_keep_their_names() -> None:
    inside = '<Channel ID="a" Name="DAPI"/><Channel ID="b" Name="GFP"/>' + "".join(
        f'<TiffData FirstC="{c}" IFD="0"><UUID FileName="{c}">u{c}</UUID></TiffData>'
        for c in range(2)
    )
    file = ome_file(1, ome('SizeC="2"', inside, root='UUID="u1"'))
    assert [channel.name for channel in file.series[0].channels] == ["GFP"]


def test_a_renamed_file_is_whole() -> None:
    inside = '<TiffData><UUID FileName="was-called.tif">urn:uuid:9</UUID></TiffData>'
    file = ome_file(2, ome('SizeC="2"', inside, root='UUID="urn:uuid:8"'), "/x/new.tif")
    assert planes(file) == [[[0, 1]]]


@pytest.mark.parametrize(
    "name", ["set.companion.ome", "../up.ome", "/etc/hostname", ""]
)
def test_metadata_in_a_companion(tmp_path: Path, name: str) -> None:
    inside = (
        '<Channel ID="a" Name="DAPI"/><Channel ID="b" Name="GFP"/>'
        '<TiffData><UUID FileName="a.tif">u</UUID></TiffData>'
    )
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "set.companion.ome").write_text(ome('SizeC="2" SizeZ="2"', inside))
    (tmp_path / "up.ome").write_text(ome('SizeC="4"', inside))
    xml = f'<OME><BinaryOnly MetadataFile="{name}" UUID="u"/></OME>'
    file = ome_file(4, xml, str(folder / "a.tif"))
    if name == "set.companion.ome":
        assert planes(file) == [[[0, 1], [2, 3]]]
        assert [c.name for c in file.series[0].channels] == ["DAPI", "GFP"]
    else:
        assert planes(file) == [[[0], [1], [2], [3]]]


def test_pyramids_of_ome() -> None:
    pages = []
    for z in range(2):
        large = np.full((64, 64), z + 1, np.uint16)
        small = np.full((32, 32), 10 * (z + 1), np.uint16)
        pages.append(page(large, tile=16, subs=[page(small, tile=16)]))
    pages[0].tags[270] = text(ome('SizeZ="2"', "<TiffData/>"))
    file = opened(tiff(pages))
    assert file.series[0].levels == ((64, 64), (32, 32))
    assert (file.plane(0, 0, 1, 0, near=20) == 20).all()
    assert (file.plane(0, 0, 1, 0, near=33) == 2).all()


def test_a_plane_of_another_size_has_its_reason() -> None:
    pages = [*numbers(1), page(np.zeros((5, 5), np.uint16)), *numbers(1)]
    pages[0].tags[270] = text(ome('SizeZ="3"', "<TiffData/>"))
    file = opened(tiff(pages))
    assert planes(file) == [[[0], [-1], [0]]]
    with pytest.raises(DamagedImageError, match="another size"):
        file.plane(0, 0, 1, 0)


# other programs'


def test_axes_that_tifffile_notes() -> None:
    stack = np.stack([numbered(n) for n in range(24)]).reshape(2, 3, 4, HEIGHT, WIDTH)
    for axes, wanted in (
        ("CTZYX", np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0)),
        ("TZCYX", np.arange(24).reshape(2, 3, 4)),
    ):
        out = io.BytesIO()
        tifffile.imwrite(out, stack, metadata={"axes": axes}, photometric="minisblack")
        assert planes(opened(out.getvalue())) == wanted.tolist()


def test_a_stack_of_tifffile_without_directories() -> None:
    stack = np.stack([numbered(n) for n in range(6)])
    out = io.BytesIO()
    tifffile.imwrite(out, stack, truncate=True, metadata={"axes": "TYX"})
    assert planes(opened(out.getvalue())) == [[[n]] for n in range(6)]


def lsm() -> bytes:
    """Return a confocal's stack: 2 times, 3 depths, 3 channels, with thumbnails."""
    names = b"".join(
        struct.pack("<I", len(n) + 1) + n + b"\0" for n in (b"Ch1", b"Ch2")
    )
    colours = bytes([255, 0, 0, 0, 0, 0, 255, 0, 0, 255, 0, 0])
    block = struct.pack("<6I", 36 + len(names), 3, 3, 24, 36, 0) + colours + names
    info = struct.pack("<Ii8i", 67127628, 112, WIDTH, HEIGHT, 3, 3, 2, 1, 9, 9)
    info += struct.pack("<6d", 2e-7, 4e-7, 1e-6, 0, 0, 0)  # voxel and origin, in metres
    info += struct.pack("<HHI4I", 6, 0, 0, 0, 0, 0, 8888)  # kind of scan; offsets
    pages = []
    for n in range(6):
        planes_ = np.dstack([numbered(3 * n + c, "uint8") for c in range(3)])
        pages.append(page(planes_, planar=True, photometric=1))
        thumbnail = np.full((9, 9, 3), 200, np.uint8)
        pages.append(page(thumbnail, more={254: (4, [1])}))
    pages[0].tags[34412] = (1, list(info))
    content = tiff(pages)
    assert content.count(struct.pack("<I", 8888)) == 1
    content = content.replace(struct.pack("<I", 8888), struct.pack("<I", len(content)))
    return content + block


def test_lsm() -> None:
    file = opened(lsm())
    (series,) = file.series
    assert planes(file) == np.arange(18).reshape(2, 3, 3).tolist()
    assert series.channels == (
        Channel("Ch1", (255, 0, 0)),
        Channel("Ch2", (0, 0, 255)),
        Channel("", (0, 255, 0)),
    )
    assert series.pixel_size == pytest.approx((0.2, 0.4))


@pytest.mark.parametrize("step", [0, 500])
def test_stk(step: int) -> None:
    n = 4
    one = page(numbered(0))
    # id 4 and 5: size of a pixel as a fraction, 6: its unit; 1: whether it is told
    one.tags[33628] = (4, [1, 1])
    one.tags[33629] = (5, [(step, 1000), (2450000, 10), (2450000, 10)])
    one.segments[0] += b"".join(numbered(z).tobytes() for z in range(1, n))
    one.tags[279] = (4, [HEIGHT * WIDTH * 2])
    content = bytearray(tiff([one]))
    # the tag's count is that of the planes; six numbers belong to each
    place = content.index(struct.pack("<HHI", 33629, 5, 3))
    times = [(step, 1000, 2450000, 1000 * z, 2450000, 1000 * z) for z in range(n)]
    content[place : place + 12] = struct.pack("<HHII", 33629, 5, n, len(content))
    content += b"".join(struct.pack("<6I", *numbers_) for numbers_ in times)
    file = opened(bytes(content))
    wanted = (1, n, 1) if step else (n, 1, 1)
    assert shape(file.series[0]) == wanted
    assert np.ravel(planes(file)).tolist() == list(range(n))


def test_micromanager() -> None:
    pages = [*numbers(5)]
    pages[0].tags[51123] = text('{"Frame": 0}')
    content = tiff(pages)
    offsets, offset = [], 8
    while offset:
        offsets.append(offset)
        n_tags = struct.unpack("<H", content[offset : offset + 2])[0]
        offset = struct.unpack("<I", content[offset + 2 + 12 * n_tags :][:4])[0]
    summary = json.dumps(
        {
            "ChNames": ["DAPI", "GFP"],
            "ChColors": [0x0000FF, 0x00FF00],
            "PixelSize_um": 0.65,
            "BitDepth": 12,
        }
    ).encode()
    shift = 40 + len(summary)
    # channel, slice, frame, position, offset; one of six was not taken
    index = [(n % 2, n // 2, 0, 0, offsets[n] + shift) for n in range(5)]
    moved = moved_by(content, shift)
    end = len(moved)
    header = struct.pack("<8I", 54773648, end, 0, 0, 0, 0, 2355492, len(summary))
    first = b"II*\0" + struct.pack("<I", offsets[0] + shift)
    block = struct.pack("<II", 3453623, len(index))
    block += b"".join(struct.pack("<5I", *row) for row in index)
    file = opened(first + header + summary + moved[shift:] + block)
    (series,) = file.series
    assert planes(file) == [[[0, 1], [2, 3], [4, -1]]]
    assert series.channels == (
        Channel("DAPI", (0, 0, 255)),
        Channel("GFP", (0, 255, 0)),
    )
    assert series.pixel_size == (0.65, 0.65)
    assert series.bits == 12


def moved_by(content: bytes, shift: int) -> bytes:
    """Return a file whose directories and pixels are so many bytes further on."""
    moved = bytearray(shift) + bytearray(content)
    offset = 8
    sizes = {2: 1, 3: 2, 4: 4}
    while offset:
        n_tags = struct.unpack("<H", content[offset : offset + 2])[0]
        for n in range(n_tags):
            place = offset + 2 + 12 * n
            tag, kind, count, value = struct.unpack(
                "<HHII", content[place : place + 12]
            )
            if tag == 273 or count * sizes[kind] > 4:
                moved[place + shift + 8 : place + shift + 12] = struct.pack(
                    "<I", value + shift
                )
        place = offset + 2 + 12 * n_tags
        offset = struct.unpack("<I", content[place : place + 4])[0]
        link = struct.pack("<I", offset + shift if offset else 0)
        moved[place + shift : place + shift + 4] = link
    return bytes(moved)


def test_svs_without_openslide() -> None:
    words = text("Aperio Image Library v12\r\n96x96 |AppMag = 20|MPP = 0.4990")
    large, small = (np.full((n, n, 3), n, np.uint8) for n in (96, 24))
    pages = [
        page(large, tile=16, more={270: words}),
        page(small[:20, :20], more={270: words}),
        page(small, tile=16, more={270: words}),
    ]
    file = opened(tiff(pages))
    assert file.series[0].levels == ((96, 96), (24, 24))
    assert file.series[0].pixel_size == (0.499, 0.499)
    assert (file.plane(0, 0, 0, 0, near=20) == 24).all()


# with the reader


@pytest.mark.parametrize("name", ["a.tif", "a.jpg", "a"])
def test_read_whatever_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(tiff(numbers(4)))
    with ImageReader() as reader:
        (series,) = reader.contents(str(path))
        assert shape(series) == (1, 4, 1)
        first = np.asarray(reader.read(f"{path}#contrast=range:0,255"))
        third = np.asarray(reader.read(f"{path}#z=2&contrast=range:0,255"))
        most = np.asarray(reader.read(f"{path}#stack=max&contrast=range:0,255"))
    np.testing.assert_array_equal(first, numbered(0))
    np.testing.assert_array_equal(third, numbered(2))
    np.testing.assert_array_equal(most, numbered(3))


def test_projection_passes_over_a_corrupt_plane(tmp_path: Path) -> None:
    pages = numbers(3, compression="LZW")
    pages[2].segments = [b"\xff" * 40]
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(pages))
    with ImageReader() as reader:
        read = reader.read(f"{path}#stack=max&contrast=range:0,255")
    np.testing.assert_array_equal(np.asarray(read), numbered(1))


def test_a_ramp_reads_alike_from_all(tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    one = page(ramp)
    one.tags[270] = text(ome(""))
    files = {
        "plain": tiff([page(ramp, "Deflate")]),
        "ome": tiff([one]),
        "float": tiff([page(ramp.astype(np.float32))]),
        "12-bit": tiff([page(ramp, bits=12)]),
        "inverted": tiff([page(4095 - ramp, bits=12, photometric=0)]),
    }
    out = io.BytesIO()
    Image.fromarray(ramp).save(out, "PNG")
    seen = {}
    with ImageReader() as reader:
        for name, content in {**files, "png": out.getvalue()}.items():
            (tmp_path / name).write_bytes(content)
            seen[name] = np.asarray(reader.read(str(tmp_path / name))).astype(int)
    for name, picture in seen.items():
        assert np.abs(picture - seen["png"]).max() <= 1, name
    assert seen["png"].min() == 0 and seen["png"].max() == 255
