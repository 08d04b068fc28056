"""Planes, tiles and projections are saved, though they are no files of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import picture
from PIL import Image

from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.saving.plan import (
    ImageToSave,
    SaveOptions,
    likely_path,
    plan_saving,
)
from orangecontrib.imagemining.images.saving.write import SaveResult, save_images


@pytest.fixture
def stack(tmp_path: Path) -> str:
    values = np.arange(2 * 3 * 8 * 9, dtype=np.uint16).reshape(2, 3, 8, 9)
    path = tmp_path / "in" / "cells.ome.tif"
    path.parent.mkdir()
    tifffile.imwrite(path, values, ome=True, metadata={"axes": "TZYX"})
    return str(path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def save(sources: list[str], out: Path, kind: str = "original") -> SaveResult:
    options = SaveOptions(kind)
    plan = plan_saving([ImageToSave(source) for source in sources], out, options)
    return save_images(plan)


def test_planes_get_names_and_pixels_of_their_own(stack: str, out: Path) -> None:
    words = ["t=0&z=2", "t=1&z=0", "xywh=1,2,4,3", "t=0&z=2&contrast=full"]
    sources = [f"{stack}#{word}" for word in words]
    result = save(sources, out)
    assert [image.file for image in result.images] == [
        "cells.ome z=3 t=1.png",
        "cells.ome z=1 t=2.png",
        "cells.ome x=1 y=2.png",
        "cells.ome z=3 t=1 (2).png",
    ]
    with ImageReader() as reader:
        for source, image in zip(sources, result.images, strict=True):
            with Image.open(out / image.file) as saved:
                seen = reader.read(source)
                np.testing.assert_array_equal(np.asarray(saved), np.asarray(seen))
                assert image.size == seen.size
    assert result.images[2].size == (4, 3)
    manifest = (out / "manifest.csv").read_text("utf-8-sig")
    assert all(source in manifest for source in sources[:2])


def test_projections_are_written_and_whole_files_copied(stack: str, out: Path) -> None:
    folder = Path(stack).parent
    picture(1).save(folder / "photo.jpg")
    tifffile.imwrite(folder / "plain.tif", np.asarray(picture(2)))
    words = "#stack=max&contrast=full"
    sources = [stack, str(folder / "photo.jpg"), str(folder / "plain.tif")]
    plan = plan_saving([ImageToSave(source + words) for source in sources], out)
    assert plan.n_parts == 1
    result = save_images(plan)
    assert [image.file for image in result.images] == [
        "cells.ome.png",
        "photo.jpg",
        "plain.tif",
    ]
    for source, image in zip(sources[1:], result.images[1:], strict=True):
        assert (out / image.file).read_bytes() == Path(source).read_bytes()
    with ImageReader() as reader, Image.open(out / "cells.ome.png") as saved:
        seen = reader.read(stack + words)
        np.testing.assert_array_equal(np.asarray(saved), np.asarray(seen))


def test_contrast_and_colours_leave_the_original_as_it_is(
    stack: str, out: Path
) -> None:
    result = save([f"{stack}#contrast=full&channels=grey"], out)
    assert [image.file for image in result.images] == ["cells.ome.tif"]
    assert (out / "cells.ome.tif").read_bytes() == Path(stack).read_bytes()


@pytest.mark.parametrize("kind, ending", [("jpeg", "jpg"), ("original", "png")])
def test_the_example_is_what_is_written(
    stack: str, out: Path, kind: str, ending: str
) -> None:
    source = f"{stack}#t=1&z=0"
    name = f"cells.ome z=1 t=2.{ending}"
    assert likely_path(ImageToSave(source), SaveOptions(kind)) == name
    assert [image.file for image in save([source], out, kind).images] == [name]


def test_slides_of_several_files_are_not_copied_by_half(out: Path) -> None:
    slide = out.parent / "slide.mrxs"
    slide.write_bytes(b"\xff\xd8\xff slide")
    result = save([str(slide)], out)
    assert result.images[0].status == "failed"
    assert "folder of files" in result.images[0].reason


def test_a_plane_that_is_not_there_fails_alone(stack: str, out: Path) -> None:
    result = save([f"{stack}#z=9", f"{stack}#z=1"], out)
    assert [image.status for image in result.images] == ["failed", "saved"]
    assert "3 focus planes" in result.images[0].reason
