from __future__ import annotations

import struct
from datetime import datetime
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from conftest import picture
from PIL import Image, ImageOps
from PIL.ExifTags import GPS, IFD, Base

from orangecontrib.imagemining.images.exif import (
    ORIENTATIONS,
    CameraNotes,
    camera_notes,
)
from orangecontrib.imagemining.images.measure import Measures


def tags(
    base: dict[int, Any] | None = None,
    photo: dict[int, Any] | None = None,
    place: dict[int, Any] | None = None,
) -> Image.Exif:
    exif = Image.Exif()
    exif.update(base or {})
    for ifd, values in ((IFD.Exif, photo), (IFD.GPSInfo, place)):
        if values:
            exif.get_ifd(ifd).update(values)
    return exif


def written(exif: Image.Exif, path: Path) -> CameraNotes:
    """Return the notes as they are read from a file that Pillow wrote."""
    # as bytes: Pillow writes no parts of the tags into TIFFs otherwise
    picture(1).save(path, exif=exif.tobytes())
    ((*_, notes),) = Measures().measure([str(path)], with_notes=True)
    assert notes is not None
    return notes


LJUBLJANA = {
    GPS.GPSLatitudeRef: "N",
    GPS.GPSLatitude: (46.0, 3.0, 4.5),
    GPS.GPSLongitudeRef: "E",
    GPS.GPSLongitude: (14.0, 30.0, 18.0),
}


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_what_a_camera_noted(tmp_path: Path, ending: str) -> None:
    notes = written(
        tags(
            {Base.Make: "Canon", Base.Model: "Canon EOS 5D", Base.Orientation: 6},
            {Base.DateTimeOriginal: "2021:03:04 05:06:07"},
            LJUBLJANA,
        ),
        tmp_path / f"a.{ending}",
    )
    assert notes.taken == datetime(2021, 3, 4, 5, 6, 7)
    assert notes.camera == "Canon EOS 5D"
    assert notes.latitude == pytest.approx(46.05125)
    assert notes.longitude == pytest.approx(14.505)
    assert notes.orientation == 6
    assert ORIENTATIONS[5] == "turned left"


def test_south_and_west_are_negative(tmp_path: Path) -> None:
    place = {
        GPS.GPSLatitudeRef: "S",
        GPS.GPSLatitude: (33.0, 52.0, 0.0),
        GPS.GPSLongitudeRef: "W",
        GPS.GPSLongitude: (70.0, 30.0, 36.0),
    }
    notes = written(tags(place=place), tmp_path / "a.jpg")
    assert notes.latitude == pytest.approx(-33.8666667)
    assert notes.longitude == pytest.approx(-70.51)


@pytest.mark.parametrize(
    "changed",
    [
        {GPS.GPSLatitudeRef: ""},  # which side of the equator is not known
        {GPS.GPSLatitudeRef: "X"},
        {GPS.GPSLatitude: (91.0, 0.0, 0.0)},
        {GPS.GPSLatitude: (46.0, 0.0, -1.0)},
        {GPS.GPSLatitude: (float("nan"), 0.0, 0.0)},
        {GPS.GPSLatitude: "46 N"},
        {GPS.GPSLatitude: ()},
        {GPS.GPSLatitude: None},
    ],
)
def test_place_that_is_none(changed: dict[int, Any]) -> None:
    notes = camera_notes(tags(place={**LJUBLJANA, **changed}))
    assert notes.latitude is None
    assert notes.longitude == pytest.approx(14.505)


def test_degrees_alone_or_with_minutes() -> None:
    place = {
        **LJUBLJANA,
        GPS.GPSLatitude: (Fraction(93, 2),),
        GPS.GPSLongitude: (14, 30),
    }
    notes = camera_notes(tags(place=place))
    assert (notes.latitude, notes.longitude) == (46.5, 14.5)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("2021:03:04 05:06:07", datetime(2021, 3, 4, 5, 6, 7)),
        ("2021-03-04T05:06:07.25", datetime(2021, 3, 4, 5, 6, 7, 250000)),
        ("2021/03/04 05:06", datetime(2021, 3, 4, 5, 6)),
        (b"2021:03:04 05:06:07\0", datetime(2021, 3, 4, 5, 6, 7)),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2021:13:04 05:06:07", None),
        ("2021:03:04", None),
        ("yesterday", None),
        (20210304, None),
        (None, None),
    ],
)
def test_dates(text: object, taken: datetime | None) -> None:
    assert camera_notes(tags(photo={Base.DateTimeOriginal: text})).taken == taken


def test_date_of_the_scan_counts_and_that_of_the_last_change_does_not() -> None:
    date = "2021:03:04 05:06:07"
    assert camera_notes(tags(photo={Base.DateTimeDigitized: date})).taken
    assert camera_notes(tags({Base.DateTime: date})).taken is None


@pytest.mark.parametrize(
    ("maker", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D70", "NIKON D70"),
        ("Zeiss", "Axiocam 506", "Zeiss Axiocam 506"),
        ("Zeiss\0\0rest", " Axiocam  ", "Zeiss Axiocam"),
        (b"Zeiss\0", None, "Zeiss"),
        (None, "D70", "D70"),
        (7, "", ""),
    ],
)
def test_camera(maker: object, model: object, camera: str) -> None:
    assert camera_notes(tags({Base.Make: maker, Base.Model: model})).camera == camera


@pytest.mark.parametrize("number", [0, 9, "up", None])
def test_orientation_that_is_none(number: object) -> None:
    assert camera_notes(tags({Base.Orientation: number})).orientation is None


@pytest.mark.parametrize("number", range(1, 9))
def test_words_for_the_orientation_are_right(tmp_path: Path, number: int) -> None:
    upright = picture(3)
    stored = upright
    turns = {
        "mirrored": Image.Transpose.FLIP_LEFT_RIGHT,
        "upside down": Image.Transpose.ROTATE_180,
        "turned left": Image.Transpose.ROTATE_90,
        "turned right": Image.Transpose.ROTATE_270,
    }
    for word in ORIENTATIONS[number - 1].split(", "):
        if word != "upright":
            stored = stored.transpose(turns[word])
    path = tmp_path / "a.png"
    stored.save(path, exif=tags({Base.Orientation: number}))
    with Image.open(path) as image:
        assert ImageOps.exif_transpose(image).tobytes() == upright.tobytes()
    ((_, _, width, height, _),) = Measures().measure([str(path)])
    assert (width, height) == upright.size


def test_no_notes(tmp_path: Path) -> None:
    assert written(Image.Exif(), tmp_path / "a.png") == CameraNotes()


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


@pytest.mark.parametrize("as_text", [False, True])
def test_png_with_the_notes_behind_its_pixels(tmp_path: Path, as_text: bool) -> None:
    buffer = BytesIO()
    picture(1).save(buffer, "PNG")
    content = buffer.getvalue()
    end = content.index(b"IEND") - 4
    notes = tags({Base.Orientation: 6, Base.Model: "X"}).tobytes()
    if as_text:
        text = f"\nexif\n{len(notes)}\n{notes.hex()}".encode()
        added = chunk(b"tEXt", b"Raw profile type exif\0" + text)
    else:
        added = chunk(b"eXIf", notes.removeprefix(b"Exif\0\0"))
    path = tmp_path / "a.png"
    path.write_bytes(content[:end] + chunk(b"tEXt", b"a\0b") + added + content[end:])
    ((_, _, width, height, read),) = Measures().measure([str(path)], with_notes=True)
    assert read == CameraNotes(camera="X", orientation=6)
    assert (width, height) == (30, 40)


def test_part_of_the_notes_that_cannot_be_read() -> None:
    class Damaged(Image.Exif):
        def get_ifd(self, tag: int) -> dict[int, Any]:
            raise struct.error("unpack requires a buffer of 4 bytes")

    exif = Damaged()
    exif[Base.Model] = "D70"
    assert camera_notes(exif) == CameraNotes(camera="D70")


@pytest.mark.filterwarnings("ignore")  # Pillow warns when it opens some of these
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_damaged_notes_are_missing_and_nothing_worse(
    tmp_path: Path, ending: str
) -> None:
    whole = tmp_path / f"whole.{ending}"
    exif = tags(
        {Base.Make: "Canon", Base.Model: "D" * 30, Base.Orientation: 1},
        {Base.DateTimeOriginal: "2021:03:04 05:06:07"},
        LJUBLJANA,
    )
    picture(1).save(whole, exif=exif.tobytes())
    content = whole.read_bytes()
    first = content.index(b"Canon") - 150
    path = str(tmp_path / f"damaged.{ending}")
    for place in range(max(first, 40), first + 320):
        for byte in (b"\0", b"\xff"):
            Path(path).write_bytes(content[:place] + byte + content[place + 1 :])
            ((size, *_),) = Measures().measure([path], with_notes=True)
            assert size == len(content)
