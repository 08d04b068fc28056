from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from conftest import picture
from Orange.data import TimeVariable
from PIL import Image
from PIL.ExifTags import IFD, Base

from orangecontrib.imagemining.exceptions import (
    FolderError,
    PatternError,
    TaskCancelled,
)
from orangecontrib.imagemining.images import FileFilter
from orangecontrib.imagemining.tables import image_sources, table_from_folder
from orangecontrib.imagemining.tables.folder import (
    Changes,
    FolderMemory,
    FolderOptions,
    FolderTable,
)


def test_columns_and_values(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"cats": 2, "dogs": 1})
    table = table_from_folder(folder).table
    assert table.name == "pictures"
    assert table.domain.class_var.name == "category"
    assert table.domain.class_var.values == ("cats", "dogs")
    assert [v.name for v in table.domain.metas] == [
        "image name",
        "image",
        "size",
        "width",
        "height",
    ]
    assert table.Y.tolist() == [0, 0, 1]
    assert table.metas[0].tolist()[:2] == ["0", "cats/0.png"]
    size = (folder / "cats" / "0.png").stat().st_size
    assert table.metas[0].tolist()[2:] == [size, 40, 30]
    sources = image_sources(table, table.domain["image"])
    assert sources[0] == str(folder / "cats" / "0.png")
    assert table.domain["image"].attributes["type"] == "image"


def test_no_categories_without_sub_folders(make_folder: Callable[..., Path]) -> None:
    table = table_from_folder(make_folder({".": 2})).table
    assert table.domain.class_vars == ()
    assert len(table) == 2


def test_images_at_the_top_have_no_category(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"cats": 1, ".": 1})
    result = table_from_folder(folder)
    assert result.n_categories == 1
    values = dict(zip(result.table.metas[:, 1], result.table.Y, strict=True))
    assert values["cats/0.png"] == 0
    assert np.isnan(values["0.png"])


def test_same_name_in_two_folders(make_folder: Callable[..., Path]) -> None:
    table = table_from_folder(make_folder({"a": 1, "b": 1})).table
    assert len(set(image_sources(table, table.domain["image"]))) == 2


def test_unreadable_image_is_listed_with_its_size_unknown(
    make_folder: Callable[..., Path],
) -> None:
    folder = make_folder({"a": 1})
    (folder / "a" / "broken.jpg").write_text("words")
    table = table_from_folder(folder).table
    row = table[[str(v).endswith("broken.jpg") for v in table.metas[:, 1]]].metas[0]
    assert row[2] == 5
    assert np.isnan(float(row[3])) and np.isnan(float(row[4]))


def test_empty_folder_and_one_without_images(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="no images"):
        table_from_folder(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FolderError, match="1 other file"):
        table_from_folder(tmp_path)


def test_can_be_cancelled(make_folder: Callable[..., Path]) -> None:
    def stop(fraction: float, status: str = "") -> None:
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        table_from_folder(make_folder({"a": 1}), stop)


def listed(folder: Path, **options: object) -> FolderTable:
    return table_from_folder(folder, options=FolderOptions(**options))  # type: ignore[arg-type]


def categories(result: FolderTable) -> dict[str, str]:
    """Return the category of each image, as the table has it."""
    table = result.table
    names = table.domain.class_var.values
    return {
        str(path): "" if np.isnan(y) else names[int(y)]
        for path, y in zip(table.metas[:, 1], table.Y, strict=True)
    }


def test_filters(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"cats": 3, "cats/masks": 2, "dogs": 2})
    result = listed(folder, wanted=FileFilter(include="0.png;1.png", exclude="mask"))
    assert list(result.table.metas[:, 1]) == [
        "cats/0.png",
        "cats/1.png",
        "dogs/0.png",
        "dogs/1.png",
    ]
    assert result.found.describe_left_out() == "1 image by name, 1 folder (cats/masks)"
    with pytest.raises(FolderError, match="left out: 7 images by type"):
        listed(folder, wanted=FileFilter(types=(".jpg",)))


def test_category_from_the_whole_path(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a/b": 1, "a/10": 1, "a/9": 1, "a": 1, ".": 1})
    result = listed(folder, category_from="path")
    assert result.table.domain.class_var.values == ("a", "a/9", "a/10", "a/b")
    assert categories(result) == {
        "0.png": "",
        "a/0.png": "a",
        "a/9/0.png": "a/9",
        "a/10/0.png": "a/10",
        "a/b/0.png": "a/b",
    }
    assert result.n_without_category == 1


def test_category_from_a_pattern(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"x": 2})
    for name in ("wt_1.png", "ko_1.png", "ko_2.png"):
        shutil.copy(folder / "x" / "0.png", folder / name)
    result = listed(folder, category_from="pattern", category_pattern="{category}_*")
    assert result.table.domain.class_var.values == ("ko", "wt")
    assert categories(result) == {
        "ko_1.png": "ko",
        "ko_2.png": "ko",
        "wt_1.png": "wt",
        "x/0.png": "",
        "x/1.png": "",
    }
    assert result.n_without_category == 2
    with pytest.raises(FolderError, match="fits none of the 5 names, such as ko_1.png"):
        listed(folder, category_from="pattern", category_pattern="q_{category}")
    with pytest.raises(PatternError):
        listed(folder, category_from="pattern", category_pattern="q")


def test_no_categories(make_folder: Callable[..., Path]) -> None:
    result = listed(make_folder({"a": 1, "b": 1}), category_from="none")
    assert result.table.domain.class_vars == ()
    assert result.n_categories == 0


def test_sample_is_the_same_each_time(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 30, "b": 3, ".": 8})
    result = listed(folder, per_category=5)
    sample = [str(path) for path in result.table.metas[:, 1]]
    groups = [path.rpartition("/")[0] for path in sample]
    assert [groups.count(name) for name in ("a", "b", "")] == [5, 3, 5]
    assert len(result.found.paths) == 41
    # at random, and in the order of the folder
    assert sample[5:10] != [f"a/{i}.png" for i in range(5)]
    assert sample == [path for path in result.found.paths if path in sample]
    again = listed(folder, per_category=5)
    assert list(again.table.metas[:, 1]) == sample
    # what becomes of one category does not change the others
    shutil.rmtree(folder / "b")
    again = listed(folder, per_category=5)
    assert list(again.table.metas[:, 1]) == [p for p in sample if p[:1] != "b"]
    # fewer are some of them
    fewer = listed(folder, per_category=2).table.metas[:, 1]
    assert set(fewer) < set(sample)


def test_sample_of_all_without_categories(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 5, "b": 5})
    assert len(listed(folder, per_category=4, category_from="none").table) == 4


def test_only_the_sample_is_measured(make_folder: Callable[..., Path]) -> None:
    told: list[str] = []
    options = FolderOptions(per_category=2)
    table_from_folder(
        make_folder({"a": 9}), lambda f, s="": told.append(s), options=options
    )
    assert "2 of 2 images measured" in told


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Tokyo"])
def _zone(request: pytest.FixtureRequest) -> Iterator[None]:
    with patch.dict(os.environ, TZ=request.param):
        time.tzset()
        yield
    time.tzset()


# the camera's clock is shown as it was, wherever the table is made
@pytest.mark.usefixtures("_zone")
def test_camera_columns(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 1})
    exif = Image.Exif()
    exif[Base.Model] = "D70"
    exif[Base.Orientation] = 3
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = "1999:12:31 23:59:58"
    exif.get_ifd(IFD.GPSInfo).update(
        {1: "S", 2: (10.0, 30.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)}
    )
    picture(1).save(folder / "a" / "1.jpg", exif=exif)
    table = listed(folder, camera_notes=True).table
    assert [v.name for v in table.domain.metas[5:]] == [
        "date taken",
        "camera",
        "latitude",
        "longitude",
        "orientation",
    ]
    date = table.domain["date taken"]
    assert isinstance(date, TimeVariable)
    none, noted = table[0], table[1]
    assert str(noted["date taken"]) == "1999-12-31 23:59:58"
    assert [str(noted[name]) for name in ("camera", "orientation")] == [
        "D70",
        "upside down",
    ]
    assert float(noted["latitude"]) == -10.5 and float(noted["longitude"]) == 20
    assert [str(none[v]) for v in table.domain.metas[5:]] == ["?"] * 5
    plain = listed(folder).table
    assert len(plain.domain.metas) == 5


def test_memory_saves_looking_and_tells_what_changed(
    make_folder: Callable[..., Path],
) -> None:
    folder = make_folder({"a": 4, "b": 1})
    memory = FolderMemory()

    def look(options: FolderOptions | None = None) -> FolderTable:
        return table_from_folder(folder, options=options, memory=memory)

    assert look().changes is None
    (folder / "a" / "1.png").unlink()
    # other options do not look at the disk
    assert len(look(FolderOptions(category_from="none")).table) == 5
    memory.renew()
    picture(7).save(folder / "a" / "20.png")
    picture(8).save(folder / "a" / "3.png")
    os.utime(folder / "a" / "3.png", ns=(1, 1))
    picture(9).save(folder / "a" / "10.png")
    changes = look().changes
    assert changes == Changes(["a/10.png", "a/20.png"], ["a/1.png"], ["a/3.png"])
    assert changes.describe() == (
        "2 added (a/10.png, a/20.png), 1 removed (a/1.png), 1 changed (a/3.png)"
    )
    memory.renew()
    assert not look().changes
    # with another filter, other files are no news
    memory.renew()
    assert look(FolderOptions(FileFilter(exclude="b/"))).changes is None


def test_changes_name_a_few() -> None:
    assert Changes(added=list("abcd")).describe() == "4 added (a, b, c, …)"
    assert Changes().describe() == ""


def test_memory_of_another_folder_is_forgotten(
    make_folder: Callable[..., Path],
) -> None:
    memory = FolderMemory()
    one, two = make_folder({"a": 2}), make_folder({"a": 3}, "others")
    for folder, n in ((one, 2), (two, 3), (one, 2)):
        result = table_from_folder(folder, memory=memory)
        assert len(result.table) == n and result.changes is None


def test_what_was_broken_off_is_no_news(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 3})
    memory = FolderMemory()
    table_from_folder(folder, memory=memory)
    (folder / "a" / "1.png").unlink()
    memory.renew()

    def stop(fraction: float, status: str = "") -> None:
        if fraction > 0:
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        table_from_folder(folder, stop, memory=memory)
    changes = table_from_folder(folder, memory=memory).changes
    assert changes is not None and list(changes.removed) == ["a/1.png"]


def test_progress_grows(make_folder: Callable[..., Path]) -> None:
    told: list[float] = []
    table_from_folder(make_folder({"a": 5}), lambda f, s="": told.append(f))
    assert told == sorted(told) and told[0] == 0 and told[-1] == 1
