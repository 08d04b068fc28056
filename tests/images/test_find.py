from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock, patch

import pytest

from orangecontrib.imagemining.exceptions import FolderError, FolderNotFoundError
from orangecontrib.imagemining.images import (
    FileFilter,
    FindResult,
    FolderScan,
    find_images,
)
from orangecontrib.imagemining.images.formats._base import families


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def paths(folder: Path) -> list[str]:
    return [image.path for image in find_images(folder).images]


def test_order_is_natural(tmp_path: Path) -> None:
    touch(tmp_path, "b/10.png", "b/9.png", "B/1.png", "a2/x.png", "a10/x.png")
    assert paths(tmp_path) == [
        "a2/x.png",
        "a10/x.png",
        "B/1.png",
        "b/9.png",
        "b/10.png",
    ]


def test_category_is_the_first_folder(tmp_path: Path) -> None:
    touch(tmp_path, "top.jpg", "cats/a.jpg", "cats/young/b.jpg")
    found = {image.path: image.category for image in find_images(tmp_path).images}
    assert found == {"top.jpg": "", "cats/a.jpg": "cats", "cats/young/b.jpg": "cats"}


def test_hidden_ones_are_passed_over_and_others_counted(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.png", ".git/a.png", "__MACOSX/a.png", "a.png", "a.txt")
    result = find_images(tmp_path)
    assert [image.path for image in result.images] == ["a.png"]
    assert result.n_others == 1
    assert result.describe_others() == "1 other file (.txt)"


def test_endings_of_all_families_are_images(tmp_path: Path) -> None:
    for number, family in enumerate(families()):
        touch(tmp_path, *(f"{number}{ending}" for ending in family.endings))
    touch(tmp_path, "a.CZI", "b.svs", "c.heic", "d.dcm", "e.ome.tiff", "f.nd2", "g.lif")
    found = find_images(tmp_path)
    assert len(found.paths) == 7 + sum(len(f.endings) for f in families())
    assert found.n_others == 0


def test_scanners_files_without_endings_are_images(tmp_path: Path) -> None:
    touch(tmp_path, "README", "IM9", "1.2.840.7")
    for name in ("IM1", "1.2.840.6", "DICOMDIR", "notes.txt"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    found = find_images(tmp_path)
    assert found.paths == ["1.2.840.6", "IM1"]
    assert found.types == {".dcm": 2} and found.n_others == 5
    assert find_images(tmp_path, wanted=FileFilter(types=(".dcm",))).paths


def test_a_slide_of_several_files_is_one(tmp_path: Path) -> None:
    touch(tmp_path, "a/s.mrxs", "a/s/Data0001.dat", "a/s/Slidedat.ini", "a/t/u.png")
    found = find_images(tmp_path)
    assert found.paths == ["a/s.mrxs", "a/t/u.png"]
    assert found.n_others == 0


def test_other_files_are_told_by_their_endings(tmp_path: Path) -> None:
    assert find_images(tmp_path).describe_others() == ""
    touch(tmp_path, "a.xls", "b.XLS", "c.docx", "README")
    others = find_images(tmp_path).describe_others()
    assert others == "4 other files (.xls, .docx, no ending)"


def test_endings_in_capitals_are_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.JPG", "b.Tiff")
    assert paths(tmp_path) == ["a.JPG", "b.Tiff"]


def test_loops_of_links_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/1.png")
    os.symlink(tmp_path / "a", tmp_path / "a" / "b" / "up")
    os.symlink(tmp_path / "a" / "b", tmp_path / "again")
    os.symlink(tmp_path / "a", tmp_path / "Another way to a")
    # by its own name, not by that of a link to it
    assert paths(tmp_path) == ["a/b/1.png"]


def test_link_to_nothing_is_found_so_that_it_can_be_told(tmp_path: Path) -> None:
    os.symlink(tmp_path / "gone", tmp_path / "link.png")
    assert paths(tmp_path) == ["link.png"]


def test_pipe_is_not_an_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert paths(tmp_path) == []


@pytest.mark.parametrize("name", ["missing", "file.txt"])
def test_bad_folder_is_told_by_name(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "file.txt")
    with pytest.raises(FolderError, match=name):
        find_images(tmp_path / name)


def test_progress_counts_and_can_stop(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "b/2.png")
    seen: list[str] = []

    def progress(fraction: float, status: str = "") -> None:
        seen.append(status)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_images(tmp_path, progress)
    assert seen[0] == "0 images found"


FILES = ("1.png", "2.jpg", "cats/3.PNG", "cats/masks/3.png", "dogs/4.tif", "dogs/n.txt")


def wanted(folder: Path, **filters: object) -> FindResult:
    return find_images(folder, wanted=FileFilter(**filters))  # type: ignore[arg-type]


def test_include_and_exclude(tmp_path: Path) -> None:
    touch(tmp_path, *FILES)
    assert wanted(tmp_path, include="?.png").paths == [
        "1.png",
        "cats/3.PNG",
        "cats/masks/3.png",
    ]
    result = wanted(tmp_path, include="*.PNG; cats/*", exclude="1.*")
    assert result.paths == ["cats/3.PNG", "cats/masks/3.png"]
    assert result.n_by_name == 3
    assert result.types == {".png": 2}
    assert result.describe_left_out() == "3 images by name"


def test_excluded_folders_are_not_looked_at(tmp_path: Path) -> None:
    touch(tmp_path, *FILES)
    (tmp_path / "dogs").chmod(0)
    try:
        result = wanted(tmp_path, exclude="mask; dogs/")
    finally:
        (tmp_path / "dogs").chmod(0o700)
    assert result.paths == ["1.png", "2.jpg", "cats/3.PNG"]
    assert result.folders_left_out == ["cats/masks", "dogs"]
    assert result.n_others == 0 and result.unreadable == []
    assert result.describe_left_out() == "2 folders (cats/masks, dogs)"


def test_types(tmp_path: Path) -> None:
    touch(tmp_path, *FILES)
    result = wanted(tmp_path, types=(".jpg", ".tif"), exclude="1.png")
    assert result.paths == ["2.jpg", "dogs/4.tif"]
    # what there would be of the others, too
    assert result.types == {".png": 2, ".jpg": 1, ".tif": 1}
    assert result.describe_left_out() == "1 image by name, 2 images by type"


def test_other_filters_do_not_look_at_the_disk_again(tmp_path: Path) -> None:
    touch(tmp_path, *FILES)
    scan = FolderScan(tmp_path)
    assert len(scan.find(FileFilter(exclude="dogs/")).paths) == 4
    with patch.object(os, "scandir", side_effect=os.scandir) as scandir:
        assert len(scan.find(FileFilter()).paths) == 5
        # the only folder that was passed over the first time
        scandir.assert_called_once_with(str(tmp_path / "dogs"))
    with patch.object(os, "scandir") as scandir, patch.object(os, "stat") as stat:
        assert scan.find(FileFilter(include="*.png")).types == {".png": 3}
        scandir.assert_not_called()
        stat.assert_not_called()


def test_what_was_broken_off_is_not_taken_for_whole(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/2.png", "b/3.png")
    find = "orangecontrib.imagemining.images.find"
    with patch(f"{find}._OFTEN", 1), patch(f"{find}.paced", lambda progress: progress):
        whole = Mock()
        find_images(tmp_path, whole)
        assert whole.call_count > 8
        for calls in range(whole.call_count):
            progress = Mock(side_effect=[None] * calls + [KeyboardInterrupt])
            scan = FolderScan(tmp_path)
            with pytest.raises(KeyboardInterrupt):
                scan.find(FileFilter(), progress)
            assert len(scan.find(FileFilter()).paths) == 3


def test_long_lists_are_in_order_too(tmp_path: Path) -> None:
    with patch("orangecontrib.imagemining.images.find._SORTED_AT_ONCE", 3):
        touch(tmp_path, *(f"{i}.png" for i in range(20)))
        assert paths(tmp_path) == [f"{i}.png" for i in range(20)]


def test_folder_that_is_not_there_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FolderNotFoundError, match="no folder"):
        find_images(tmp_path / "gone")
