from __future__ import annotations

import os
from pathlib import Path

import pytest

from orangecontrib.imagemining.exceptions import FolderError
from orangecontrib.imagemining.images import find_images


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


def test_other_files_are_told_by_their_endings(tmp_path: Path) -> None:
    assert find_images(tmp_path).describe_others() == ""
    touch(tmp_path, "a.czi", "b.CZI", "c.heic", "README")
    others = find_images(tmp_path).describe_others()
    assert others == "4 other files (.czi, .heic, no ending)"


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
