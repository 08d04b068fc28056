"""Files of many planes as rows of tables, from folders and from tables."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import picture
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.images import ImageReader, Measures
from orangecontrib.imagemining.images.formats._base import Channel, Series
from orangecontrib.imagemining.images.sources import escaped
from orangecontrib.imagemining.tables import image_sources
from orangecontrib.imagemining.tables.columns import rendering_of
from orangecontrib.imagemining.tables.contents import Found, look, summed_up
from orangecontrib.imagemining.tables.folder import (
    FolderMemory,
    FolderOptions,
    FolderTable,
    table_from_folder,
)
from orangecontrib.imagemining.tables.listing import table_with_images
from orangecontrib.imagemining.tables.planes import PLANE_COLUMNS, list_rows
from orangecontrib.imagemining.tables.reading import Reading

WIDTH, HEIGHT = 12, 8


def stack(n_times: int, n_depths: int, n_channels: int) -> np.ndarray:
    """Return planes that are 1000 t + 100 z + 10 c everywhere, and brighter below."""
    t, z, c = np.ogrid[:n_times, :n_depths, :n_channels]
    planes = (1000 * t + 100 * z + 10 * c).astype(np.uint16)
    whole = np.repeat(planes[..., None], HEIGHT * WIDTH, axis=3)
    whole[..., WIDTH:] += 5
    return whole.reshape(n_times, n_depths, n_channels, HEIGHT, WIDTH)


def write(
    path: Path, n_times: int = 2, n_depths: int = 3, names: Iterable[str] = ("A", "B")
) -> Path:
    names = list(names)
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path,
        stack(n_times, n_depths, len(names)),
        ome=True,
        metadata={
            "axes": "TZCYX",
            "Channel": {"Name": names},
            "PhysicalSizeX": 0.5,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 0.5,
            "PhysicalSizeYUnit": "µm",
        },
    )
    return path


def listed(folder: Path, **reading: object) -> FolderTable:
    return table_from_folder(folder, options=FolderOptions(reading=Reading(**reading)))


def column(table: Table, name: str) -> list[object]:
    return [str(row[name]) for row in table]


def names(table: Table) -> list[str]:
    return [variable.name for variable in table.domain.metas]


def test_plain_pictures_are_as_they_were(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 2})
    for stack_choice in ("first", "max", "planes", "channels"):
        result = listed(folder, stack=stack_choice)
        assert names(result.table) == [
            "image name",
            "image",
            "size",
            "width",
            "height",
        ]
        assert column(result.table, "image") == ["a/0.png", "a/1.png"]
        assert not result.inside and result.n_files == 2


def test_a_stack_is_one_row_unless_asked(tmp_path: Path) -> None:
    write(tmp_path / "cells.ome.tif")
    result = listed(tmp_path)
    table = result.table
    assert column(table, "image") == ["cells.ome.tif"]
    assert column(table, "image name") == ["cells"]
    assert names(table)[5:] == ["pixel size", "channels"]
    assert float(table[0]["pixel size"]) == 0.5
    assert str(table[0]["channels"]) == "A, B"
    assert (float(table[0]["width"]), float(table[0]["height"])) == (WIDTH, HEIGHT)
    assert result.inside.describe() == "1 file is a stack (t 2, z 3, channels A, B)"


def test_planes_are_rows_and_lead_to_their_pixels(tmp_path: Path) -> None:
    write(tmp_path / "x" / "cells.ome.tif")
    picture(1).save(tmp_path / "x" / "photo.png")
    result = listed(tmp_path, stack="planes")
    table = result.table
    assert len(table) == 7 and result.n_files == 2
    assert column(table, "image")[:4] == [
        "x/cells.ome.tif#t=0&z=0",
        "x/cells.ome.tif#t=0&z=1",
        "x/cells.ome.tif#t=0&z=2",
        "x/cells.ome.tif#t=1&z=0",
    ]
    assert column(table, "image name")[4] == "cells z=2 t=2"
    assert column(table, "image name")[6] == "photo"
    assert names(table)[5:] == ["time", "z", "pixel size", "channels"]
    np.testing.assert_array_equal(table.get_column("time"), [1, 1, 1, 2, 2, 2, np.nan])
    np.testing.assert_array_equal(table.get_column("z"), [1, 2, 3, 1, 2, 3, np.nan])
    assert column(table, "category") == ["x"] * 7
    sources = image_sources(table, table.domain["image"])
    with ImageReader() as reader:
        for place, source in enumerate(sources[:6]):
            t, z = divmod(place, 3)
            first, second = reader.samples(source or "")
            assert first.min() == 1000 * t + 100 * z
            assert second.max() == 1000 * t + 100 * z + 15


def test_planes_and_channels_are_rows(tmp_path: Path) -> None:
    write(tmp_path / "cells.ome.tif", 1, 2, ("DAPI", "GFP"))
    write(tmp_path / "one.ome.tif", 1, 1, ("GFP",))
    table = listed(tmp_path, stack="channels").table
    assert column(table, "channel") == ["DAPI", "GFP", "DAPI", "GFP", "GFP"]
    assert isinstance(table.domain["channel"], DiscreteVariable)
    assert column(table, "image")[1] == "cells.ome.tif#z=0&c=1"
    assert column(table, "image name")[3:] == ["cells z=2 GFP", "one"]
    np.testing.assert_array_equal(table.get_column("z"), [1, 1, 2, 2, 1])
    with ImageReader() as reader:
        source = image_sources(table, table.domain["image"])[3] or ""
        (numbers,) = reader.samples(source)
        assert numbers.min() == 110
        assert reader.read(source).mode == "L"
    # of three channels, those that were chosen
    reading = {"stack": "channels", "channels": (("GFP", "green"),)}
    assert column(listed(tmp_path, **reading).table, "channel") == ["GFP"] * 3


def test_the_column_says_how_its_images_are_read(tmp_path: Path) -> None:
    write(tmp_path / "cells.ome.tif", 1, 3, ("DAPI", "GFP", "RFP"))
    table = listed(
        tmp_path,
        stack="max",
        channels=(("RFP", "red"), ("DAPI", "blue"), ("gone", "green")),
        contrast="range",
        ranges=(("DAPI", 1.0, 2.5), ("RFP", 3.0, 4.0)),
    ).table
    image = table.domain["image"]
    words = "stack=max&channels=2:red,0:blue&contrast=range:3,4;1,2.5"
    assert rendering_of(image) == words
    assert image_sources(table, image) == [f"{tmp_path / 'cells.ome.tif'}#{words}"]
    assert rendering_of(listed(tmp_path).table.domain["image"]) == ""
    assert rendering_of(listed(tmp_path, stack="planes").table.domain["image"]) == ""


@pytest.mark.parametrize("ending", ["tab", "pkl"])
def test_a_saved_table_keeps_how_it_is_read(tmp_path: Path, ending: str) -> None:
    write(tmp_path / "in" / "cells.ome.tif", 1, 2)
    table = listed(tmp_path / "in", stack="planes", contrast="full").table
    path = tmp_path / f"table.{ending}"
    table.save(str(path))
    again = Table.from_file(str(path))
    sources = image_sources(again, again.domain["image"])
    assert sources == image_sources(table, table.domain["image"])
    assert (sources[1] or "").endswith("cells.ome.tif#z=1&contrast=full")
    copy = pickle.loads(pickle.dumps(table))
    assert rendering_of(copy.domain["image"]) == "contrast=full"


def test_files_are_drawn_not_planes(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.ome.tif", 1, 3)
    options = FolderOptions(per_category=2, reading=Reading("planes"))
    result = table_from_folder(tmp_path, options=options)
    assert (result.n_files, len(result.table)) == (2, 6)
    assert len({name.split("#")[0] for name in column(result.table, "image")}) == 2


def test_a_name_that_looks_like_words_is_a_name(tmp_path: Path) -> None:
    odd = "cells.tif#z=1"
    tifffile.imwrite(tmp_path / "a.tif", stack(1, 2, 1)[0, :, 0], imagej=True)
    (tmp_path / "a.tif").rename(tmp_path / "b.tif#z=1.tif")
    table = listed(tmp_path).table
    with ImageReader() as reader:
        for source in image_sources(table, table.domain["image"]):
            assert reader.size(source or "") == (WIDTH, HEIGHT)
    (tmp_path / "b.tif#z=1.tif").rename(tmp_path / odd)
    domain = Domain([], metas=[StringVariable("path")])
    data = Table.from_list(domain, [[odd], ["cells.tif#z=2"]])
    result = table_with_images(data, domain["path"], str(tmp_path))
    assert column(result.table, "path") == [f"{odd}#", "cells.tif#z=2"]
    assert result.not_there == ["cells.tif#z=2"]


def test_reload_looks_again_at_files_that_changed(tmp_path: Path) -> None:
    write(tmp_path / "cells.ome.tif", 1, 2)
    memory, options = FolderMemory(), FolderOptions(reading=Reading("planes"))
    first = table_from_folder(tmp_path, options=options, memory=memory)
    write(tmp_path / "cells.ome.tif", 1, 4)
    again = table_from_folder(tmp_path, options=options, memory=memory)
    assert len(first.table) == len(again.table) == 2
    memory.renew()
    again = table_from_folder(tmp_path, options=options, memory=memory)
    assert len(again.table) == 4
    assert again.changes and again.changes.changed == ["cells.ome.tif"]


def test_rows_of_a_table_are_multiplied(tmp_path: Path) -> None:
    write(tmp_path / "cells.ome.tif", 1, 3)
    picture(1).save(tmp_path / "photo.png")
    domain = Domain(
        [ContinuousVariable("dose"), ContinuousVariable("z")],
        DiscreteVariable("kind", ("a", "b")),
        [StringVariable("path")],
    )
    rows = [
        [1, 7, "a", "photo.png"],
        [2, 8, "b", "cells.ome.tif"],
        [3, 9, "a", "cells.ome.tif#z=2"],
        [4, 6, "a", "http://localhost/far.tif"],
        [5, 5, "b", ""],
    ]
    data = Table.from_list(domain, rows)
    result = table_with_images(
        data, domain["path"], str(tmp_path), reading=Reading("planes")
    )
    table = result.table
    assert column(table, "path") == [
        "photo.png",
        "cells.ome.tif#z=0",
        "cells.ome.tif#z=1",
        "cells.ome.tif#z=2",
        "cells.ome.tif#z=2",
        "http://localhost/far.tif",
        "?",
    ]
    assert list(table.get_column("dose")) == [1, 2, 2, 2, 3, 4, 5]
    assert list(table.get_column("z")) == [7, 8, 8, 8, 9, 6, 5]
    np.testing.assert_array_equal(
        table.get_column("z (1)"), [np.nan, 1, 2, 3, 3, np.nan, np.nan]
    )
    assert column(table, "kind") == ["a", "b", "b", "b", "a", "a", "b"]
    assert len(set(table.ids)) == 7 and set(table.ids).isdisjoint(data.ids)
    assert result.n_files == 5 and result.n_empty == 1 and result.n_addresses == 1
    # without a plane more, the rows are the same ones
    plain = table_with_images(data, domain["path"], str(tmp_path)).table
    assert list(plain.ids) == list(data.ids)


def test_what_a_table_says_of_reading_holds(tmp_path: Path) -> None:
    write(tmp_path / "cells.ome.tif", 1, 3)
    path = StringVariable("path")
    path.attributes = {"type": "image", "rendering": "stack=max"}
    data = Table.from_list(Domain([], metas=[path]), [["cells.ome.tif"]])
    for reading, words in (
        (Reading(), "stack=max"),
        (Reading("mean"), "stack=mean"),
    ):
        result = table_with_images(data, path, str(tmp_path), reading=reading)
        assert rendering_of(result.column) == words
        assert rendering_of(path) == "stack=max"  # the input is nobody's to change


# what files hold ------------------------------------------------------------------


def series(**parts: object) -> Series:
    values = {"width": 10, "height": 10, "dtype": "uint8"} | parts
    return Series(**values)  # type: ignore[arg-type]


def found_in(*inside: tuple[Series, ...]) -> Found:
    return summed_up([(series, "") for series in inside])


def test_series_are_rows_when_asked() -> None:
    inside = (series(name="left"), series(width=20, n_depths=2))
    rows = list_rows(["a.lif"], [inside], Reading())
    assert rows.cells == ["a.lif"] and rows.sizes == [(10, 10)]
    rows = list_rows(["a.lif"], [inside], Reading("max", all_series=True))
    assert rows.cells == ["a.lif#s=0", "a.lif#s=1"]
    assert rows.names == [" left", " series 2"]
    assert [c.name for c in rows.columns] == ["series"]
    assert list(rows.values[:, 0]) == ["left", "2"]
    assert rows.sizes == [(10, 10), (20, 10)]
    rows = list_rows(["a.lif"], [inside], Reading("planes"))
    assert rows.cells == ["a.lif#s=0", "a.lif#s=1&z=0", "a.lif#s=1&z=1"]
    # a cell that names one has this one, also one that is not there
    for cell in ("a.lif#s=1", "a.lif#s=7"):
        assert list_rows([cell], [inside], Reading(all_series=True)).cells == [cell]


def test_series_of_one_name_are_told_apart() -> None:
    inside = (series(name="pos"), series(name="pos"), series(name="end"), series())
    rows = list_rows(["a.nd2"], [inside], Reading(all_series=True))
    assert rows.names == [" pos (1)", " pos (2)", " end", " series 4"]
    assert list(rows.values[:, 0]) == ["pos (1)", "pos (2)", "end", "4"]
    rows = list_rows(["a.nd2#s=1"], [inside], Reading(all_series=True))
    assert rows.names == [""]


def test_pixels_that_are_not_square_tell_both_sides() -> None:
    inside = [(series(pixel_size=(0.5, 0.5)),), (series(pixel_size=(0.5, 1)),), ()]
    rows = list_rows(["a", "b", "c"], inside, Reading())
    assert [c.name for c in rows.columns] == ["pixel size", "pixel height"]
    np.testing.assert_array_equal(
        rows.values.astype(float), [[0.5, 0.5], [0.5, 1], [np.nan, np.nan]]
    )
    rows = list_rows(["a"], inside[:1], Reading())
    assert [c.name for c in rows.columns] == ["pixel size"]


def write_slide(path: Path) -> None:
    """Write a pyramid of white glass, with tissue at the right."""
    image = np.full((300, 600, 3), 245, np.uint8)
    image[20:280, 400:590] = np.asarray(picture(3, (190, 260))) // 2
    with tifffile.TiffWriter(path) as file:
        options = {"photometric": "rgb", "tile": (64, 64)}
        file.write(image, subifds=1, **options)
        file.write(image[::2, ::2].copy(), subfiletype=1, **options)


def test_slides_are_rows_of_tiles(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_slide(tmp_path / "a" / "slide.tif")
    picture(1).save(tmp_path / "a" / "photo.png")
    assert listed(tmp_path).inside.describe() == "1 file is a whole slide"
    assert len(listed(tmp_path).table) == 2
    result = listed(tmp_path, tile=200)
    table = result.table
    places = [(x, y) for y in (0, 100) for x in (0, 200, 400)]
    assert column(table, "image") == [
        "a/photo.png",
        *(f"a/slide.tif#xywh={x},{y},200,200" for x, y in places),
    ]
    assert column(table, "image name")[-1] == "slide x=400 y=100"
    assert list(table.get_column("x"))[1:] == [x for x, _ in places]
    assert list(table.get_column("y"))[1:] == [y for _, y in places]
    assert [float(row["width"]) for row in table] == [40, *[200] * 6]
    assert column(table, "category") == ["a"] * 7
    table = listed(tmp_path, tile=200, tissue=0.3).table
    assert column(table, "image")[1:] == [
        "a/slide.tif#xywh=400,0,200,200",
        "a/slide.tif#xywh=400,100,200,200",
    ]
    with ImageReader() as reader:
        source = image_sources(table, table.domain["image"])[2] or ""
        assert reader.read(source).size == (200, 200)


def test_a_slide_without_tiles_is_a_row(tmp_path: Path) -> None:
    slide = series(width=1000, height=500, levels=((1000, 500), (250, 125)))
    rows = list_rows(["gone.svs"], [(slide,)], Reading(tile=256), str(tmp_path))
    assert rows.cells == ["gone.svs"] and rows.reasons.total() == 1
    # neither a stack nor a cell that is a tile already is cut
    deep = series(n_depths=2, levels=slide.levels)
    cells = ["deep.tif", "tile.svs#xywh=1,2,3,4"]
    rows = list_rows(cells, [(deep,), (slide,)], Reading(tile=256))
    assert rows.cells == cells and rows.sizes[1] == (3, 4)


def test_what_is_found_is_told_in_a_line() -> None:
    dapi, gfp = Channel("DAPI", (0, 0, 250)), Channel("GFP", (10, 255, 0))
    deep = (series(dtype="uint16", n_depths=20, channels=(dapi, gfp)),)
    more = (series(dtype="uint16", n_depths=5, channels=(gfp, dapi)),)
    found = found_in(deep, deep, more, ())
    assert found.describe() == "3 files are stacks (z 5–20, channels DAPI, GFP)"
    assert (found.n_stacks, found.n_deep, found.n_other_order) == (3, 3, 1)
    assert found.channels == {"DAPI": 0, "GFP": 1}
    assert found.colours == {"DAPI": "blue", "GFP": "green"}
    other = (series(channels=(Channel(), Channel(), Channel())),)
    assert found_in(other).describe() == "1 file is a stack (3 channels)"
    assert found_in(other, deep).describe() == (
        "2 files are stacks (z 1–20, channels DAPI, GFP, …)"
    )
    many = found_in((series(), series()))
    assert many.describe() == "1 file has 2 series"
    assert found_in((series(dtype="uint16"),)).describe() == (
        "1 file has more than 8 bits"
    )
    assert not Found(3) and found_in((series(),)).describe() == ""


def test_unreadable_files_are_rows_with_a_reason(tmp_path: Path) -> None:
    write(tmp_path / "good.ome.tif", 1, 2)
    # a whole file, without a page in it
    (tmp_path / "empty.tif").write_bytes(b"II*\0\x08\0\0\0" + bytes(64))
    (tmp_path / "text.tif").write_text("no picture")
    result = listed(tmp_path, stack="planes")
    assert column(result.table, "image") == [
        "empty.tif",
        "good.ome.tif#z=0",
        "good.ome.tif#z=1",
        "text.tif",
    ]
    np.testing.assert_array_equal(
        result.table.get_column("width"), [np.nan, WIDTH, WIDTH, np.nan]
    )
    assert result.inside.reasons.total() == 2
    assert any("text file" in reason for reason in result.inside.reasons)


def test_looking_can_be_stopped_and_goes_on(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.ome.tif", 1, 2).name for n in range(3)]

    def stop(fraction: float, status: str = "") -> None:
        raise TaskCancelled

    measures = Measures(str(tmp_path))
    with pytest.raises(TaskCancelled):
        measures.measure(paths, progress=stop)
    measures.measure(paths)
    inside, _ = look(measures, paths)
    assert [series[0].n_depths for series in inside] == [2, 2, 2]
    # equal ones are kept once
    assert inside[0] is inside[2]


def test_a_stack_under_a_wrong_name_is_one(tmp_path: Path) -> None:
    write(tmp_path / "cells.ome.tif", 1, 2).rename(tmp_path / "cells.jpg")
    table = listed(tmp_path, stack="planes").table
    assert column(table, "image") == ["cells.jpg#z=0", "cells.jpg#z=1"]


def test_escaped_cells_stay_escaped() -> None:
    cell = escaped("a.tif#z=1")
    rows = list_rows([cell], [(series(n_depths=2),)], Reading("planes"))
    assert rows.cells == ["a.tif#z=1#z=0", "a.tif#z=1#z=1"]
    assert len(set(PLANE_COLUMNS)) == 9
