"""The whole job, from the command line to the files."""

from __future__ import annotations

import csv
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from Orange.data import Table
from PIL import Image

from orangecontrib.imagemining.__main__ import main
from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.report import job
from orangecontrib.imagemining.report.files import MARKER, NAMES
from orangecontrib.imagemining.specs import EmbedderSpec

MakeFolder = Callable[..., Path]
Capture = pytest.CaptureFixture[str]

WITHOUT_SCORES = sorted(name for name in NAMES if "confusion" not in name)


def run(folder: Path, out: Path, *more: str) -> int:
    return main(["run", str(folder), "--out", str(out), *more])


def files(out: Path) -> list[str]:
    """Return the names of a report's files; each must have something in it."""
    assert all(path.stat().st_size > 0 for path in out.iterdir())
    assert (out / MARKER).is_file()
    return sorted(path.name for path in out.iterdir() if path.name != MARKER)


def test_report(make_folder: MakeFolder, tmp_path: Path, capsys: Capture) -> None:
    folder = make_folder({"cats": 12, "my $dogs$": 11})
    (folder / "cats" / "broken.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("hello")
    out = tmp_path / "report of it"
    assert run(folder, out) == 0

    text, bars = capsys.readouterr()
    assert bars == ""  # this is no terminal
    assert text == (out / "report.txt").read_text(encoding="utf-8")
    assert "24 found; 1 other file (.txt) left out" in text
    assert "cats/broken.jpg: The file is empty (0 bytes)" in text
    assert "2: cats 12, my $dogs$ 11" in text
    assert "SqueezeNet 1.1" in text and "features" in text and "512" in text
    assert "images/s" in text
    assert "stratified 10-fold cross-validation" in text
    assert "AUC      CA      F1    Prec  Recall     MCC" in text
    assert "Most confused: cats and my $dogs$. Of the 23 images" in text
    assert "features: 512 numbers describe each image" in text
    assert f"Report      {out}\n" in text

    assert files(out) == sorted(NAMES)
    for name in ("map.png", "dendrogram.png", "confusion-matrix.png"):
        with Image.open(out / name) as image:
            assert min(image.size) > 500
    with open(out / "confusion-matrix.csv", encoding="utf-8-sig", newline="") as stream:
        head, *rows = csv.reader(stream)
    assert head[1:] == ["cats", "my $dogs$"] == [row[0] for row in rows]
    counts = np.array([row[1:] for row in rows], int)
    assert list(counts.sum(axis=1)) == [12, 11]
    right = np.trace(counts)
    assert f"{right} of 23 images right (CA {right / 23:.3f})" in text
    assert f"cats {counts[0, 0]} of 12 (" in text
    assert f"my $dogs$ {counts[1, 1]} of 11 (" in text


def test_embeddings_can_be_read_back(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder({"a": 2, "b c": 1}, "my  pictures = 100 % ä")
    assert run(folder, tmp_path / "out", "--layer", "stages") == 0
    table = Table(str(tmp_path / "out" / "embeddings.tab"))
    image = table.domain["image"]
    assert image.attributes == {"type": "image", "origin": str(folder)}
    assert list(table.get_column(image)) == ["a/0.png", "a/1.png", "b c/0.png"]
    assert table.domain.class_var.values == ("a", "b c")
    assert list(table.Y) == [0, 0, 1]
    sources = [str(folder / path) for path in table.get_column(image)]
    expected = LocalEmbedder(EmbedderSpec("squeezenet1_1", "stages"))(sources)
    np.testing.assert_array_equal(table.X, expected.vectors)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
def test_names_that_are_no_text(
    make_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder = make_folder({"a": 11})
    (folder / "a").rename(folder / os.fsdecode(b"l\xe0"))
    make_folder({"b": 11})
    assert run(folder, tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "No embeddings.tab" in text and "l\ufffd 11" in text
    assert files(tmp_path / "out") == sorted(set(NAMES) - {"embeddings.tab"})


def test_earlier_report_is_replaced(
    make_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = make_folder({"a": 10, "b": 10}), tmp_path / "out"
    assert run(folder, out) == 0
    assert "confusion-matrix.png" in files(out)
    (out / "mine.txt").write_text("mine")
    single = make_folder({"": 3}, "single")
    assert run(single, out) == 0
    # what the earlier report had is not taken for this one's
    assert files(out) == sorted(["mine.txt", *WITHOUT_SCORES])
    assert "3 found" in (out / "report.txt").read_text(encoding="utf-8")


def test_no_categories(
    make_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    assert run(make_folder({"": 12}), tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "No scores. The images have no categories" in text
    assert files(tmp_path / "out") == WITHOUT_SCORES


def test_one_category(make_folder: MakeFolder, tmp_path: Path, capsys: Capture) -> None:
    assert run(make_folder({"only": 12}), tmp_path / "out") == 0
    assert "No scores. The images are all of one category (only)" in " ".join(
        capsys.readouterr().out.split()
    )
    assert files(tmp_path / "out") == WITHOUT_SCORES


def test_rare_category(
    make_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    assert run(make_folder({"a": 11, "b": 12, "rare": 1}), tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "Logistic regression, 10-fold cross-validation" in text
    assert "Note: rare has 1 image: it cannot be in each of 10 folds" in text
    assert "add images to rare, or leave its folder out." in " ".join(text.split())
    assert "the worst first:\nrare 0 of 1 (0 %), " in text


def test_the_full_path_is_told(
    make_folder: MakeFolder,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(make_folder({"": 2}), Path("out")) == 0
    assert f"Report      {tmp_path / 'out'}\n" in capsys.readouterr().out


def test_one_image(make_folder: MakeFolder, tmp_path: Path, capsys: Capture) -> None:
    assert run(make_folder({"a": 1}), tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "No scores." in text and "No map and no dendrogram" in text
    assert files(tmp_path / "out") == ["embeddings.tab", "report.txt", "workflow.ows"]


def test_two_images(make_folder: MakeFolder, tmp_path: Path) -> None:
    assert run(make_folder({"a": 1, "b": 1}), tmp_path / "out") == 0
    assert files(tmp_path / "out") == WITHOUT_SCORES


def test_images_all_alike(tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    for i in range(4):
        picture(1).save(folder / f"{i}.png")
    assert run(folder, tmp_path / "out") == 0
    assert files(tmp_path / "out") == WITHOUT_SCORES


def test_large_sets_are_sampled(
    make_folder: MakeFolder,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job, "_MAX_DRAWN", 4)
    assert run(make_folder({"a": 5, "b": 4}), tmp_path / "out") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "show 4 of 9 images, drawn at random, evenly over the categories" in text
    assert len(Table(str(tmp_path / "out" / "embeddings.tab"))) == 9


def test_many_are_skipped(
    make_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder = make_folder({"a": 2})
    for i in range(13):
        (folder / "a" / f"bad{i}.jpg").write_bytes(b"")
    assert run(folder, tmp_path / "out") == 0
    printed = capsys.readouterr().out
    written = (tmp_path / "out" / "report.txt").read_text(encoding="utf-8")
    assert "13 images" in printed and "and 3 more, listed in report.txt" in printed
    assert "bad9.jpg" in printed and "bad10.jpg" not in printed
    assert all(f"bad{i}.jpg: The file is empty" in written for i in range(13))


def test_all_are_skipped(
    make_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    # a report about other images, which must not be taken for this one's
    assert run(make_folder({"a": 2}, "others"), tmp_path / "out") == 0
    capsys.readouterr()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "bad.jpg").write_text("no image")
    assert run(tmp_path / "pictures", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "bad.jpg: A text file, not an image" in captured.out
    assert captured.err == "None of the images can be used\n"
    assert files(tmp_path / "out") == ["report.txt"]
    assert "bad.jpg: A text file" in (tmp_path / "out" / "report.txt").read_text()


def test_no_images(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    assert run(folder, tmp_path / "out") == 1
    assert f"no images in {folder}" in capsys.readouterr().err
    assert run(tmp_path / "nowhere", tmp_path / "out") == 1
    assert "nowhere does not exist" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file", tmp_path / "out") == 1
    assert "file is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_others_folder_is_left_alone(
    make_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = make_folder({"a": 2}), tmp_path / "thesis"
    out.mkdir()
    (out / "map.png").write_text("years of work")
    assert run(folder, out) == 1
    assert "is not a report folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["map.png"]
    assert (out / "map.png").read_text() == "years of work"
    assert run(folder, out / "map.png") == 1
    assert "is not a report folder" in capsys.readouterr().err


def test_report_is_not_put_among_the_images(
    make_folder: MakeFolder, tmp_path: Path, capsys: Capture
) -> None:
    folder = make_folder({"a": 2})
    for out in (folder, folder / "report"):
        assert run(folder, out) == 1
        assert "among the images" in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_nothing_is_left_behind_by_a_run_that_fails(
    make_folder: MakeFolder,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder, out = make_folder({"a": 2}), tmp_path / "out"
    assert run(folder, out) == 0
    before = (out / "embeddings.tab").read_bytes()
    shutil.rmtree(folder / "a")
    picture(9).save(folder / "other.png")
    monkeypatch.setattr(Table, "save", full_disk)
    assert run(folder, out) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert files(out) == WITHOUT_SCORES
    assert (out / "embeddings.tab").read_bytes() == before
