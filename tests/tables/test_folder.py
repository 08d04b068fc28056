from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orangecontrib.imagemining.exceptions import FolderError, TaskCancelled
from orangecontrib.imagemining.tables import image_sources, table_from_folder


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
