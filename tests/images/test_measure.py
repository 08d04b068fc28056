from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pillow_heif
import pytest
import tifffile
from conftest import picture
from PIL import Image, PngImagePlugin

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.images import ImageReader, Measures, is_there, measure


def folder_of(tmp_path: Path, n: int) -> list[str]:
    for i in range(n):
        picture(i, (40 + i, 30)).save(tmp_path / f"{i}.png")
    return [f"{i}.png" for i in range(n)]


def test_sizes_in_order(tmp_path: Path) -> None:
    names = folder_of(tmp_path, 40)
    measures = Measures(str(tmp_path)).measure(names)
    assert [m[2:4] for m in measures] == [(40 + i, 30) for i in range(40)]
    assert [m[0] for m in measures] == [(tmp_path / n).stat().st_size for n in names]


def test_same_sizes_as_the_reader(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending in ("jpg", "png", "tif", "webp", "bmp", "gif"):
        keywords = {} if ending in ("bmp", "gif") else {"exif": exif}
        picture(1).save(tmp_path / f"a.{ending}", **keywords)
    with ImageReader() as reader:
        for path in sorted(tmp_path.iterdir()):
            ((_, _, *size, _),) = Measures().measure([str(path)])
            assert tuple(size) == reader.size(str(path)), path


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    (tmp_path / "words.png").write_text("words")
    (tmp_path / "folder.png").mkdir()
    os.symlink(tmp_path / "gone", tmp_path / "link.png")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    names = ["words.png", "folder.png", "pipe.png", "link.png", "gone.png", "a\0b.png"]
    measures = Measures(str(tmp_path)).measure(names, with_notes=True)
    assert all(math.isnan(m[2]) and math.isnan(m[3]) for m in measures)
    assert [is_there(m) for m in measures] == [True] + [False] * 5
    assert measures[0][0] == 5


def test_pngs_are_not_decoded(tmp_path: Path) -> None:
    names = folder_of(tmp_path, 2)
    with patch.object(PngImagePlugin.PngImageFile, "load") as load:
        Measures(str(tmp_path)).measure(names, with_notes=True)
    load.assert_not_called()


def test_each_file_is_read_once(tmp_path: Path) -> None:
    names = folder_of(tmp_path, 4)
    measures = Measures(str(tmp_path))
    first = measures.measure(names)
    with patch.object(measure, "_read") as read, patch.object(os, "stat") as stat:
        assert measures.measure(names[::-1]) == first[::-1]
        stat.assert_not_called()
        read.assert_not_called()
    # what the camera noted was not read yet
    assert all(m[4] is None for m in first)
    assert all(m[4] is not None for m in measures.measure(names, with_notes=True))


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    names = folder_of(tmp_path, 3)
    measures = Measures(str(tmp_path))
    measures.measure(names)
    picture(9, (50, 60)).save(tmp_path / "1.png")
    os.utime(tmp_path / "1.png", ns=(1, 1))
    measures.renew()
    real = measure._read
    with patch.object(measure, "_read", side_effect=real) as read:
        again = measures.measure(names)
    assert read.call_count == 1
    assert again[1][2:4] == (50, 60)
    assert measures.changed == {"1.png"}
    measures.renew()
    measures.measure(names)
    assert measures.changed == set()


def test_stopping_keeps_what_is_done(tmp_path: Path) -> None:
    names = folder_of(tmp_path, 40)
    measures = Measures(str(tmp_path))

    def stop(fraction: float, status: str = "") -> None:
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        measures.measure(names, progress=stop)
    real = measure._read
    with patch.object(measure, "_read", side_effect=real) as read:
        measures.measure(names)
        first = read.call_count
        measures.measure(names)
    assert read.call_count == first <= 40


def test_progress_ends_at_one(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    Measures(str(tmp_path)).measure(
        folder_of(tmp_path, 3), progress=lambda f, s="": told.append((f, s))
    )
    assert told[0] == (0, "0 of 3 images measured")
    assert told[-1] == (1, "3 of 3 images measured")


def test_stopping_waits_for_one_file_and_not_for_many(tmp_path: Path) -> None:
    names = folder_of(tmp_path, 16)
    events: list[threading.Event] = []
    looked_at: list[str] = []
    begun = threading.Event()
    real = threading.Event

    def new_event() -> threading.Event:
        events.append(real())
        return events[-1]

    def look_at(path: str, with_notes: bool) -> object:
        looked_at.append(path)
        begun.set()
        assert events[0].wait(60)  # until it is told to stop
        return (1.0, 1, 1, 1, None)

    def stop(fraction: float, status: str = "") -> None:
        assert begun.wait(60)
        raise TaskCancelled

    measures = Measures(str(tmp_path))
    with (
        patch.object(threading, "Event", new_event),
        patch.object(measures, "_look_at", look_at),
        pytest.raises(TaskCancelled),
    ):
        measures.measure(names, progress=stop)
    assert looked_at == ["0.png"]


def test_parts_of_stacks_and_slides(tmp_path: Path) -> None:
    planes = np.zeros((3, 4, 40, 50), np.uint16)
    path = tmp_path / "renamed.jpg"
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "TZYX"})
    words = ["", "#t=2&z=3", "#z=0&xywh=40,30,20,25", "#z=4", "#s=1", "#stack=max"]
    found = Measures(str(tmp_path)).measure([f"renamed.jpg{one}" for one in words])
    nan = pytest.approx(math.nan, nan_ok=True)
    sizes = [(50, 40), (50, 40), (20, 25), (nan, nan), (nan, nan), (50, 40)]
    assert [m[2:4] for m in found] == sizes
    assert {m[0] for m in found} == {path.stat().st_size}


def test_a_file_of_many_parts_is_opened_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((9, 40, 50), np.uint8), photometric="minisblack")
    measures = Measures(str(tmp_path))
    names = [f"a.tif#z={z}" for z in range(9)]
    real = measure._look_into
    with patch.object(measure, "_look_into", side_effect=real) as look:
        measures.measure(names)
        assert look.call_count == 1
        # for what the camera noted it is opened again
        assert measures.measure(names, with_notes=True)[0][4] is not None
        assert look.call_count == 2
    # and if it has changed
    tifffile.imwrite(path, np.zeros((9, 41, 52), np.uint8), photometric="minisblack")
    os.utime(path, ns=(1, 1))
    measures.renew()
    assert {m[2:4] for m in measures.measure(names)} == {(52, 41)}
    assert measures.changed == set(names)


def test_notes_of_all_families(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = 6
    image = picture(1, (40, 30))
    for name, kind in (("a.tif", "TIFF"), ("a.png", "PNG"), ("a.jp2", "JPEG2000")):
        image.save(tmp_path / name, kind, exif=exif)
    deep = Image.fromarray(np.zeros((30, 40), np.uint16))
    deep.save(tmp_path / "deep.png", exif=exif)
    with (tmp_path / "a.heic").open("wb") as file:
        pillow_heif.from_pillow(image).save(file, exif=exif.tobytes())
    names = sorted(path.name for path in tmp_path.iterdir())
    for one in ("", "#z=0"):
        found = Measures(str(tmp_path)).measure([n + one for n in names], True)
        for name, (_, _, width, height, notes) in zip(names, found, strict=True):
            if name == "a.jp2":  # Pillow writes no notes into these
                assert (width, height) == (40, 30)
                continue
            assert (width, height) == (30, 40), name
            assert notes is not None and notes.camera == "Maker", name


def test_what_cannot_be_opened_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(99))
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(99))
    names = ["a.dcm", "a.tif", "a.tif#z=1", "gone.tif#z=1"]
    found = Measures(str(tmp_path)).measure(names, with_notes=True)
    assert all(math.isnan(m[2]) for m in found)
    assert [is_there(m) for m in found] == [True, True, True, False]
