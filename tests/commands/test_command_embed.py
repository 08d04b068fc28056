"""The command line: embed."""

from __future__ import annotations

import csv
import gzip
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from Orange.data import ContinuousVariable, Domain, StringVariable, Table
from Orange.data.io import PickleReader

from orangecontrib.imagemining.__main__ import main
from orangecontrib.imagemining.embedders import Embedder, class_names
from orangecontrib.imagemining.embedders.cache import VectorStore, shared_store
from orangecontrib.imagemining.embedders.engines import choice, loading, runtime
from orangecontrib.imagemining.embedders.engines.exported import ExportError
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import embed_table, table_from_folder
from orangecontrib.imagemining.weights import weights_folder

Capture = pytest.CaptureFixture[str]
FEATURES = EmbedderSpec("squeezenet1_1", "features")


@pytest.fixture
def folder(make_folder: Callable[..., Path]) -> Path:
    """Four pictures, one of which cannot be read."""
    folder = make_folder({"a": 2, "b": 2})
    (folder / "b" / "0.png").write_bytes(b"")
    return folder


def vectors(folder: Path, *paths: str) -> np.ndarray:
    return Embedder("squeezenet1_1")([str(folder / path) for path in paths]).vectors


GOOD = ("a/0.png", "a/1.png", "b/1.png")


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# every kind of file, by value -------------------------------------------------


@pytest.mark.parametrize("ending", [".tab", ".csv", ".tab.gz", ".csv.xz", ".xlsx"])
def test_texts(folder: Path, tmp_path: Path, ending: str) -> None:
    out = tmp_path / "out" / f"o{ending}"
    out.parent.mkdir()
    assert main(["embed", str(folder), "-o", str(out)]) == 0
    assert files_in(out.parent) == [out.name]
    table = Table.from_file(str(out))
    expected = embed_table(*_listed(folder), FEATURES).embedded
    assert [v.name for v in table.domain.variables] == [
        v.name for v in expected.domain.variables
    ]
    assert [v.name for v in table.domain.metas] == [
        v.name for v in expected.domain.metas
    ]
    # not a digit is lost
    np.testing.assert_array_equal(
        table.X.astype(np.float32), expected.X.astype(np.float32)
    )
    assert [str(row.get_class()) for row in table] == ["a", "a", "b"]
    image = table.domain["image"]
    assert image.attributes == {"type": "image", "origin": str(folder)}
    assert list(table.get_column("image")) == list(GOOD)
    assert list(table.get_column("width")) == [40, 40, 40]


@pytest.mark.parametrize(
    ("name", "separator"),
    [("o.CSV", ","), ("o.csv.tab", "\t"), ("o.tab.csv", ","), ("O.TAB.GZ", "\t")],
)
def test_the_last_ending_counts_in_whatever_letters(
    folder: Path, tmp_path: Path, name: str, separator: str
) -> None:
    out = tmp_path / "out" / name
    out.parent.mkdir()
    assert main(["embed", str(folder), "-o", str(out), "--plain"]) == 0
    assert files_in(out.parent) == [name]
    open_ = gzip.open if name.endswith(".GZ") else open
    with open_(out, "rt", encoding="utf8", newline="") as file:
        rows = list(csv.reader(file, delimiter=separator))
    assert rows[0][:3] == ["category", "image name", "image"]
    numbers = np.array([row[-512:] for row in rows[1:]], np.float32)
    np.testing.assert_array_equal(numbers, vectors(folder, *GOOD))


def _listed(folder: Path) -> tuple[Table, StringVariable]:
    table = table_from_folder(folder).table
    return table, table.domain["image"]


@pytest.mark.parametrize("ending", [".tab", ".csv", ".xlsx"])
def test_plain_texts_have_one_line_of_names(
    folder: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"o{ending}"
    assert main(["embed", str(folder), "-o", str(out), "--plain"]) == 0
    if ending == ".xlsx":
        import openpyxl

        sheet = openpyxl.load_workbook(out).active
        rows = [list(row) for row in sheet.iter_rows(values_only=True)]
        # numbers that Excel can count with
        assert all(isinstance(cell, int | float) for cell in rows[1][3:])
    else:
        separator = "\t" if ending == ".tab" else ","
        with out.open(encoding="utf8", newline="") as file:
            rows = list(csv.reader(file, delimiter=separator))
    assert rows[0][:4] == ["category", "image name", "image", "size"]
    assert rows[0][-1] == "squeezenet1_1_features_511"
    assert len(rows) == 1 + 3
    numbers = np.array([row[-512:] for row in rows[1:]], np.float32)
    np.testing.assert_array_equal(numbers, vectors(folder, *GOOD))


@pytest.mark.parametrize("ending", [".pkl", ".pkl.gz"])
def test_pickle_knows_how_to_embed(
    folder: Path, tmp_path: Path, make_folder: Callable[..., Path], ending: str
) -> None:
    out = tmp_path / f"o{ending}"
    assert main(["embed", str(folder), "-o", str(out)]) == 0
    table = PickleReader(str(out)).read()
    np.testing.assert_array_equal(table.X, vectors(folder, *GOOD))
    new = table_from_folder(make_folder({"c": 1}, "new")).table
    embedded = new.transform(table.domain)
    np.testing.assert_allclose(embedded.X, vectors(tmp_path / "new", "c/0.png"), 1e-5)


def test_npz(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    assert main(["embed", str(folder), "-o", str(out)]) == 0
    with np.load(out, allow_pickle=False) as content:
        assert sorted(content) == [
            "categories",
            "columns",
            "embedder",
            "names",
            "paths",
            "vectors",
        ]
        assert content["vectors"].dtype == np.float32
        np.testing.assert_array_equal(content["vectors"], vectors(folder, *GOOD))
        assert list(content["paths"]) == [str(folder / path) for path in GOOD]
        assert list(content["names"]) == ["0", "1", "1"]
        assert list(content["categories"]) == ["a", "a", "b"]
        assert content["columns"][7] == "squeezenet1_1_features_7"
        about = json.loads(str(content["embedder"]))
    assert about["network"] == "squeezenet1_1" and about["size"] == 512
    assert files_in(tmp_path) == ["o.npz", "pictures"]
    first = out.read_bytes()
    assert main(["embed", str(folder), "-o", str(out), "--force"]) == 0
    assert out.read_bytes() == first


def test_npz_with_classes(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    assert main(["embed", str(folder), "-o", str(out), "--classes"]) == 0
    expected = embed_table(*_listed(folder), FEATURES, classes=True).embedded
    with np.load(out, allow_pickle=False) as content:
        assert content["classes"].shape == content["probabilities"].shape == (3, 5)
        assert set(content["classes"].ravel()) <= set(class_names())
        assert content["classes"][2, 1] == str(
            expected[2]["squeezenet1_1_class_2"].value
        )
        np.testing.assert_allclose(
            content["probabilities"][:, 0],
            expected.get_column("squeezenet1_1_probability_1").astype(float),
            1e-6,
        )


def test_parquet(folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "o.parquet"
    assert main(["embed", str(folder), "-o", str(out)]) == 0
    table = parquet.read_table(out)
    assert table.column_names == [
        "path",
        "category",
        "image name",
        "size",
        "width",
        "height",
        "vector",
    ]
    assert str(table.schema.field("vector").type) in (
        "fixed_size_list<element: float>[512]",
        "fixed_size_list<item: float>[512]",
    )
    about = json.loads(table.schema.metadata[b"orange-imagemining"])
    assert about["layer"] == "features"
    frame = table.to_pandas()
    np.testing.assert_array_equal(np.stack(frame["vector"]), vectors(folder, *GOOD))
    assert list(frame["path"]) == [str(folder / path) for path in GOOD]
    assert list(frame["category"]) == ["a", "a", "b"]
    assert list(frame["height"]) == [30, 30, 30]


# what comes in -----------------------------------------------------------------


def paths_table(folder: Path, name: str = "photo") -> Table:
    image = StringVariable(name)
    number = ContinuousVariable("vector")
    rows = [[1.5, "a/0.png"], [np.nan, "b/0.png"], [3, "a/1.png"]]
    return Table.from_list(Domain([number], None, [image]), rows)


@pytest.mark.parametrize("ending", [".tab", ".csv", ".xlsx"])
def test_tables_with_paths_beside_them(
    folder: Path, tmp_path: Path, ending: str
) -> None:
    source, out = folder / f"table{ending}", tmp_path / "o.npz"
    paths_table(folder).save(str(source))
    assert main(["embed", str(source), "-o", str(out)]) == 0
    with np.load(out) as content:
        np.testing.assert_array_equal(
            content["vectors"], vectors(folder, "a/0.png", "a/1.png")
        )
        assert list(content["categories"]) == ["", ""]
        assert list(content["names"]) == ["0", "1"]


def test_other_columns_go_along(folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    paths_table(folder).save(str(folder / "table.tab"))
    (folder / "b" / "0.png").unlink()
    picture(77).save(folder / "b" / "0.png")
    out = tmp_path / "o.parquet"
    assert main(["embed", str(folder / "table.tab"), "-o", str(out)]) == 0
    frame = parquet.read_table(out).to_pandas()
    # "vector" is a column of the table, and stays so
    np.testing.assert_array_equal(frame["vector"], [1.5, np.nan, 3])
    np.testing.assert_array_equal(
        np.stack(frame["vector (1)"]), vectors(folder, "a/0.png", "b/0.png", "a/1.png")
    )
    assert "photo" not in frame and frame["path"][1] == str(folder / "b" / "0.png")


def test_marked_column_is_taken_with_its_origin(folder: Path, tmp_path: Path) -> None:
    table = paths_table(folder)
    table.domain["photo"].attributes = {"type": "image", "origin": str(folder)}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    table.save(str(elsewhere / "table.tab"))
    out = tmp_path / "o.npz"
    assert main(["embed", str(elsewhere / "table.tab"), "-o", str(out)]) == 0
    with np.load(out) as content:
        assert list(content["paths"])[1] == str(folder / "a" / "1.png")
    plain = tmp_path / "o.csv"
    command = ["embed", str(elsewhere / "table.tab"), "-o", str(plain), "--plain"]
    assert main(command) == 0
    # it is an image column already: no sizes are added
    assert plain.read_text(encoding="utf8").startswith("photo,vector,squeezenet1_1_f")
    # what is said holds before what the table says
    other = tmp_path / "other" / "a"
    other.mkdir(parents=True)
    picture(99).save(other / "0.png")
    arguments = ["--base", str(other.parent), "--force"]
    assert (
        main(["embed", str(elsewhere / "table.tab"), "-o", str(out), *arguments]) == 0
    )
    with np.load(out) as content:
        assert list(content["paths"]) == [str(other / "0.png")]


def test_column_that_is_named(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    image, thing = StringVariable("where"), StringVariable("thing")
    rows = [["a/0.png", "a/1.png"]]
    table = Table.from_list(Domain([], None, [image, thing]), rows)
    table.save(str(folder / "t.tab"))
    out = tmp_path / "o.npz"
    command = ["embed", str(folder / "t.tab"), "-o", str(out), "--column"]
    assert main([*command, "thing"]) == 0
    with np.load(out) as content:
        assert list(content["paths"]) == [str(folder / "a" / "1.png")]
    assert main([*command, "thin", "--force"]) == 1
    assert "'thin' does not exist; columns that can name images are where, thing" in (
        capsys.readouterr().err
    )


def test_table_without_images(tmp_path: Path, capsys: Capture) -> None:
    Table("iris")[:5].save(str(tmp_path / "iris.tab"))
    out = tmp_path / "o.npz"
    assert main(["embed", str(tmp_path / "iris.tab"), "-o", str(out)]) == 1
    assert "None of the table's columns seems to name images" in capsys.readouterr().err


class Bomb:
    """Leaves a file when it is read from a pickle."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickles_are_not_read_unless_trusted(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    sign, out = tmp_path / "sign", tmp_path / "o.npz"
    bomb = folder / "bomb.pkl"
    bomb.write_bytes(pickle.dumps(Bomb(sign)))
    assert main(["embed", str(bomb), "-o", str(out)]) == 1
    error = capsys.readouterr().err
    assert "is a pickle" in error and "--trust-pickle" in error
    assert not sign.exists() and not out.exists()
    table = table_from_folder(folder).table
    table.save(str(folder / "good.pkl"))
    good = ["embed", str(folder / "good.pkl"), "-o", str(out)]
    assert main([*good, "--trust-pickle"]) == 0
    with np.load(out) as content:
        assert len(content["vectors"]) == 3


def test_pickled_notes_beside_a_table_are_not_read(
    folder: Path, tmp_path: Path
) -> None:
    sign, out = tmp_path / "sign", tmp_path / "o.pkl"
    paths_table(folder).save(str(folder / "t.tab"))
    notes = folder / "t.tab.metadata"
    notes.write_bytes(pickle.dumps(Bomb(sign)))
    assert main(["embed", str(folder / "t.tab"), "-o", str(out)]) == 0
    assert not sign.exists()
    notes.write_text("who: me\nwhen: 1999: May")
    assert main(["embed", str(folder / "t.tab"), "-o", str(out), "--force"]) == 0
    assert PickleReader(str(out)).read().attributes == {
        "who": "me",
        "when": "1999: May",
    }


def test_folder_options(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    options = ["--include", "1.png", "--categories", "none"]
    assert main(["embed", str(folder), "-o", str(out), *options]) == 0
    with np.load(out) as content:
        assert list(content["paths"]) == [
            str(folder / p) for p in ("a/1.png", "b/1.png")
        ]
        assert list(content["categories"]) == ["", ""]


@pytest.mark.parametrize("side", ["-5", "1e3", "many"])
def test_tiles_have_a_side(tmp_path: Path, capsys: Capture, side: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["embed", str(tmp_path), "-o", "o.npz", f"--tile={side}"])
    assert caught.value.code == 2
    assert f"'{side}' is no number of pixels" in capsys.readouterr().err


def test_network_options(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.npz"
    options = ["--layer", "stages", "--views", "2", "--fit", "crop"]
    assert main(["embed", str(folder), "-o", str(out), *options]) == 0
    embedder = Embedder("squeezenet1_1", "stages", views=2, fit="crop")
    expected = embedder([folder / path for path in GOOD])
    assert expected.reasons == [None] * 3
    with np.load(out) as content:
        np.testing.assert_array_equal(content["vectors"], expected.vectors)
        assert content["columns"][0] == "squeezenet1_1_stages_crop_2views_0"


# what goes wrong ---------------------------------------------------------------


def test_what_is_said(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    out, skipped = tmp_path / "o.npz", tmp_path / "skipped.tsv"
    command = ["embed", str(folder), "-o", str(out)]
    assert main([*command, "--skipped", str(skipped)]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(
        "3 of 4 images embedded: 512 numbers each, by SqueezeNet 1.1 (features)\n"
    )
    assert captured.out.endswith(f"Written: {out}\n")
    assert captured.err == (
        f"1 skipped:\n  {folder / 'b' / '0.png'}: The file is empty (0 bytes)\n"
    )
    with skipped.open(encoding="utf8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows == [
        ["path", "reason"],
        [str(folder / "b/0.png"), "The file is empty (0 bytes)"],
    ]
    assert main([*command, "--force", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    assert main([*command, "--force", "--strict"]) == 1
    assert out.exists()
    captured = capsys.readouterr()
    assert "3 were known" in captured.out


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_engine_that_fails_is_told(
    folder: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
) -> None:
    def fail(network: str, choice: object) -> None:
        raise ExportError("it knows no such part")

    monkeypatch.setattr(runtime, "load", fail)
    monkeypatch.setattr(loading, "_LOADED", {})
    monkeypatch.setattr(loading, "_FAILED", {})
    out = tmp_path / "o.npz"
    assert main(["embed", str(folder), "-o", str(out), "--engine", engine]) == 0
    error = capsys.readouterr().err
    assert error.startswith("PyTorch computes instead: it knows no such part\n")


def test_engine_and_precision_that_cannot_be_had_are_told(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_is_installed", lambda name: name != "openvino")
    monkeypatch.setattr(choice, "has_bfloat16", lambda: False)
    command = ["embed", str(folder), "-o", str(tmp_path / "o.npz"), "--force"]
    assert main([*command, "--engine", "openvino"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("OpenVINO is not installed: pip install")
    assert "; ONNX Runtime computes instead\n" in error
    assert main([*command, "--precision", "fast"]) == 0
    error = capsys.readouterr().err.splitlines()[0]
    assert error.endswith("does not compute in bfloat16, so fast mode is float32")
    assert main(command) == 0
    assert capsys.readouterr().err.startswith("1 skipped")
    assert main([*command, "--engine", "openvino", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_list_of_skipped_is_there_when_nothing_is_embedded(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    for path in GOOD:
        (folder / path).write_bytes(b"x" * 100)
    out, skipped = tmp_path / "o.npz", tmp_path / "skipped.csv"
    command = ["embed", str(folder), "-o", str(out), "--skipped", str(skipped)]
    assert main(command) == 1
    assert "None of the images could be embedded. 4 skipped:" in capsys.readouterr().err
    assert len(skipped.read_text(encoding="utf8").splitlines()) == 5
    assert files_in(tmp_path) == ["pictures", "skipped.csv"]


def test_nothing_skipped_leaves_a_list_of_nothing(
    make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    out, skipped = tmp_path / "o.npz", tmp_path / "skipped.csv"
    folder = str(make_folder({"a": 1}))
    assert main(["embed", folder, "-o", str(out), "--skipped", str(skipped)]) == 0
    assert skipped.read_text(encoding="utf8").splitlines() == ["path,reason"]


@pytest.mark.parametrize(
    "options, status, words",
    [
        (["-o", "o.npz", "--network", "squeezenet1"], 2, "mean 'squeezenet1_"),
        (["-o", "o.npz", "--network", "VGG-16"], 2, "did you mean 'vgg16'?"),
        (["-o", "o.npz", "--network", "zzz"], 2, "All of them: orange-imagemining net"),
        (["-o", "o.npz", "--layer", "feature"], 2, "did you mean 'features'?"),
        (["-o", "o.npz", "--views", "7"], 2, "7 views cannot be had"),
        (["-o", "o.npz", "--engine", "steam"], 2, "no engine 'steam'"),
        (["-o", "o.npz", "--network", "onnx:/x.onnx"], 1, "is not there any more"),
        (["-o", "o.npz", "--network", "vgg16"], 1, "weights fetch vgg16"),
        (
            ["-o", "o.npz", "--network", "squeezenet_imageanalytics", "--views", "8"],
            2,
            "cannot be had",
        ),
        (["-o", "o.docx"], 1, "may end in .tab"),
        (["-o", ".npz"], 1, "may end in .tab"),
        (["-o", "none/o.npz"], 1, "There is no folder none"),
        (["-o", "pictures/o.npz", "--skipped", "none/s.csv"], 1, "no folder none"),
        (["-o", "s.csv", "--skipped", "s.csv"], 1, "the same file"),
        (["-o", "there.npz"], 1, "exists, and is not overwritten without --force"),
        (["-o", "pictures"], 1, "may end in"),
        (["-o", "dir.npz"], 1, "is a folder"),
        (["-o", "o.npz", "--categories", "<"], 2, ""),
    ],
)
def test_wrong_options(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    options: list[str],
    status: int,
    words: str,
) -> None:
    # before anything is read
    monkeypatch.setattr(VectorStore, "lookup", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.npz").write_text("mine")
    (tmp_path / "dir.npz").mkdir()
    before = files_in(tmp_path)
    assert main(["embed", "pictures", *options]) == status
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert files_in(tmp_path) == before
    assert (tmp_path / "there.npz").read_text() == "mine"


@pytest.mark.parametrize(
    "source, words",
    [
        ("none", "There is no file or folder none"),
        ("empty", "There are no images in"),
        ("notes.docx", "neither a folder nor a table"),
        ("torn.xlsx", "cannot be read as a table"),
        ("torn.tab.gz", "cannot be read as a table"),
        ("empty.csv", ""),
    ],
)
def test_wrong_sources(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    source: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("notes.docx", "torn.xlsx", "torn.tab.gz"):
        (tmp_path / name).write_bytes(b"\x1f\x8bPK\x00\x01")
    (tmp_path / "empty.csv").write_bytes(b"")
    assert main(["embed", source, "-o", "o.npz"]) == 1
    captured = capsys.readouterr()
    assert words in captured.err and captured.out == ""
    assert "Traceback" not in captured.err
    assert not (tmp_path / "o.npz").exists()


def test_images_are_not_read_from_where_is_written(
    folder: Path, capsys: Capture
) -> None:
    table = folder / "t.tab"
    paths_table(folder).save(str(table))
    content = table.read_bytes()
    assert main(["embed", str(table), "-o", str(table), "--force"]) == 1
    assert "is where the images are read from" in capsys.readouterr().err
    assert table.read_bytes() == content


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere"
)
def test_folder_that_may_not_be_written(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    assert main(["embed", str(folder), "-o", str(locked / "o.npz")]) == 1
    assert "cannot be written: Permission denied" in capsys.readouterr().err


def test_sheets_that_excel_could_not_hold(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from orangecontrib.imagemining.tables import writing

    monkeypatch.setattr(VectorStore, "lookup", None)
    monkeypatch.setattr(writing, "_EXCEL_COLUMNS", 512 + 5)
    out = str(tmp_path / "o.xlsx")
    assert main(["embed", str(folder), "-o", out]) == 1
    error = capsys.readouterr().err
    assert "holds 517 columns" in error and "not 518 and 4" in error
    monkeypatch.setattr(writing, "_EXCEL_COLUMNS", 16_384)
    monkeypatch.setattr(writing, "_EXCEL_ROWS", 6)
    assert main(["embed", str(folder), "-o", out]) == 1
    assert "and 3 images, not 518 and 4" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="other names there")
@pytest.mark.parametrize("ending", [".tab", ".xlsx", ".parquet", ".npz"])
def test_names_that_are_no_text(
    make_folder: Callable[..., Path], tmp_path: Path, capsys: Capture, ending: str
) -> None:
    folder = make_folder({"a": 1})
    name = os.fsencode(folder) + b"/a/\xff.png"
    try:
        os.rename(folder / "a" / "0.png", name)
    except OSError:
        pytest.skip("this disk has texts as names")
    out = tmp_path / f"o{ending}"
    status = main(["embed", str(folder), "-o", str(out)])
    if ending == ".npz":
        assert status == 0
        with np.load(out) as content:
            assert os.fsencode(str(content["paths"][0])) == name
            assert np.isfinite(content["vectors"]).all()
    else:
        assert status == 1 and not out.exists()
        assert "letters that cannot be written as text" in capsys.readouterr().err


def test_notes_that_orange_would_take_for_ours(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "o.tab.metadata").write_text("a: b")
    assert main(["embed", str(folder), "-o", str(tmp_path / "o.tab")]) == 1
    assert "move it away" in capsys.readouterr().err


# other processes ---------------------------------------------------------------


# what runs in the background of a shell, as tests may, has Ctrl-C ignored
START = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("orangecontrib.imagemining", run_name="__main__", alter_sys=True)
"""


def run_embed(*arguments: str | Path) -> subprocess.Popen[str]:
    """Start the command."""
    program = [sys.executable, "-c", START, "embed"]
    return subprocess.Popen(
        [*program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
@pytest.mark.parametrize("ending", [".tab", ".xlsx", ".npz", ".parquet", ".pkl"])
def test_full_disk(
    make_folder: Callable[..., Path], tmp_path: Path, capsys: Capture, ending: str
) -> None:
    import resource

    folder = make_folder({"a": 12})
    out = tmp_path / "out" / f"o{ending}"
    out.parent.mkdir()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, old[1]))
    try:
        # the store is not what is to fail
        status = main(["embed", str(folder), "-o", str(out), "--no-cache"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert status == 1
    captured = capsys.readouterr()
    assert "not enough room on the disk" in captured.err and captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert files_in(out.parent) == []


@pytest.fixture
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """The address of a server that never answers, and an event for when it is asked."""
    asked = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))
    connections = []

    def accept() -> None:
        try:
            while True:
                connections.append(server.accept()[0])
                connections[-1].recv(1)
                asked.set()
        except OSError:
            pass

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    for connection in connections:
        connection.close()
    thread.join()


# Ctrl-C, and what schedulers of clusters send when the time is over
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.skipif(sys.platform == "win32", reason="other signals there")
def test_what_was_computed_before_ctrl_c_is_kept(
    name: str,
    make_folder: Callable[..., Path],
    tmp_path: Path,
    silent_server: tuple[str, threading.Event],
) -> None:
    address, asked = silent_server
    folder = make_folder({"a": 40})
    paths = [str(folder / "a" / f"{index}.png") for index in range(40)]
    image = StringVariable("image")
    image.attributes = {"type": "image"}
    rows = [[path] for path in (*paths, f"{address}/last.png")]
    table = Table.from_list(Domain([], None, [image]), rows)
    table.save(str(tmp_path / "t.tab"))
    store = shared_store()
    out = tmp_path / "out" / "o.tab"
    out.parent.mkdir()
    process = run_embed(tmp_path / "t.tab", "-o", out)
    try:
        assert asked.wait(60)
        while process.poll() is None and store.n_vectors() < 8:
            asked.wait()
        process.send_signal(getattr(signal, name))
        output, error = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert error == (
        "Stopped. What was computed is kept: the same command goes on from there.\n"
    )
    assert output == ""
    assert files_in(out.parent) == []
    # and is not computed again
    n_kept = store.n_vectors()
    assert n_kept >= 8
    result = Embedder("squeezenet1_1")(paths)
    assert result.n_known >= n_kept


def test_output_is_the_same_in_a_pipe(folder: Path, tmp_path: Path) -> None:
    process = run_embed(
        folder, "-o", tmp_path / "o.npz", "--skipped", tmp_path / "s.csv"
    )
    output, error = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(output.splitlines()) == 3
    assert error.splitlines()[0] == "1 skipped:"
    assert len(error.splitlines()) == 2


def test_weights_that_are_not_here_are_not_fetched(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert not (weights_folder() / "vgg16-397923af.pth").exists()
    out = tmp_path / "o.npz"
    assert main(["embed", str(folder), "-o", str(out), "-n", "vgg16"]) == 1
    assert "or say --download" in capsys.readouterr().err


def test_without_the_cache(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    Embedder("squeezenet1_1")(folder)
    store = shared_store()
    before = store.n_vectors()
    picture(4321).save(folder / "a" / "0.png")
    out = tmp_path / "o.npz"
    assert main(["embed", str(folder), "-o", str(out), "--no-cache"]) == 0
    assert "known" not in capsys.readouterr().out
    assert store.n_vectors() == before
