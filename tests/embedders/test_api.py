"""The Python API."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import picture

from orangecontrib.imagemining.embedders import Embedder, LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.exceptions import (
    FolderNotFoundError,
    NoImagesError,
    TaskCancelled,
    UnknownNameError,
    WeightsError,
)
from orangecontrib.imagemining.specs import EmbedderSpec


def test_a_line_or_two(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 3})
    (folder / "a" / "1.png").write_bytes(b"")
    paths = [str(folder / "a" / f"{index}.png") for index in (2, 1, 0)]
    result = Embedder("squeezenet1_1", layer="stages")(paths)
    expected = LocalEmbedder(EmbedderSpec("squeezenet1_1", "stages"))(paths)
    assert result.vectors.dtype == np.float32 and result.vectors.shape == (3, 1152)
    np.testing.assert_array_equal(result.vectors, expected.vectors)
    assert np.isnan(result.vectors[1]).all() and np.isfinite(result.vectors[2]).all()
    assert result.reasons[::2] == [None, None] and "empty" in str(result.reasons[1])
    assert result.paths == paths


def test_defaults() -> None:
    embedder = Embedder()
    assert embedder.spec == EmbedderSpec("squeezenet1_1", "features")
    assert embedder.size == 512
    assert Embedder("squeezenet_imageanalytics").spec.layer == "logits"


def test_known_ones_are_counted(make_folder: Callable[..., Path]) -> None:
    embedder = Embedder(cache=VectorStore.in_memory())
    folder = make_folder({"a": 2})
    assert embedder(folder).n_known == 0
    picture(555).save(folder / "a" / "1.png")
    assert embedder(folder).n_known == 1


def test_a_folder_in_natural_order(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"b": 12, "a": 1})
    result = Embedder()(folder)
    names = ["a/0.png", *(f"b/{index}.png" for index in range(12))]
    assert result.paths == [str(folder / name) for name in names]
    assert result.vectors.shape == (13, 512)
    assert Embedder()(str(folder)).paths == result.paths


def test_folders_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(NoImagesError, match=r"1 other file \(.txt\)"):
        Embedder()(tmp_path)
    # that would look like an image without a vector
    with pytest.raises(FolderNotFoundError, match="no folder"):
        Embedder()(tmp_path / "none")
    with pytest.raises(FolderNotFoundError):
        next(Embedder().stream(str(tmp_path / "none")))
    for one in (tmp_path / "none.png", [tmp_path / "none"]):
        assert "no file" in str(Embedder()(one).reasons[0])


def test_one_image_is_not_taken_for_many_letters(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "x.png")
    result = Embedder()(str(tmp_path / "x.png"))
    assert result.vectors.shape == (1, 512) and result.reasons == [None]


def test_paths_are_whole_files_and_texts_may_name_parts(tmp_path: Path) -> None:
    picture(1, (60, 40)).save(tmp_path / "x.png")
    picture(2).save(tmp_path / "x.png#xywh=0,0,20,20", "png")
    embedder = Embedder()
    part = f"{tmp_path / 'x.png'}#xywh=0,0,20,20"
    cut = picture(1, (60, 40)).crop((0, 0, 20, 20))
    cut.save(tmp_path / "cut.png")
    vectors = embedder([part, tmp_path / "cut.png", Path(part)]).vectors
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    picture(2).save(tmp_path / "y.png")
    np.testing.assert_array_equal(vectors[2], embedder(tmp_path / "y.png").vectors[0])


def test_missing_values_are_no_images(make_folder: Callable[..., Path]) -> None:
    path = make_folder({"a": 1}) / "a" / "0.png"
    result = Embedder()([None, path, float("nan")])
    assert result.paths == ["", str(path), ""]
    assert np.isfinite(result.vectors[1]).all()
    assert np.isnan(result.vectors[[0, 2]]).all()
    assert result.reasons[0] == result.reasons[2] == "No image is given in this row"
    with pytest.raises(TypeError, match="not 3.5"):
        Embedder()([3.5])


def test_stream_takes_what_it_needs(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 5})
    taken = []

    def paths() -> Iterator[Path]:
        for index in range(5):
            taken.append(index)
            yield folder / "a" / f"{index}.png"

    embedder = Embedder()
    parts = embedder.stream(paths(), batch=2)
    first = next(parts)
    assert taken == [0, 1] and len(first.vectors) == 2
    rest = list(parts)
    assert [len(part.paths) for part in rest] == [2, 1]
    together = np.concatenate([part.vectors for part in (first, *rest)])
    np.testing.assert_array_equal(together, embedder(folder).vectors)
    assert [len(part.paths) for part in embedder.stream(folder, batch=3)] == [3, 2]


def test_stream_of_nothing() -> None:
    assert list(Embedder().stream([])) == []
    assert Embedder()([]).vectors.shape == (0, 512)
    with pytest.raises(ValueError, match="one image at least, not 0"):
        next(Embedder().stream(["x.png"], batch=0))


def test_progress_can_stop_it(make_folder: Callable[..., Path]) -> None:
    def stop(fraction: float, status: str = "") -> None:
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        Embedder(progress=stop)(make_folder({"a": 1}))


def test_what_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError):
        Embedder("squeezenet9")
    with pytest.raises(UnknownNameError):
        Embedder(layer="last")
    with pytest.raises(UnknownNameError):
        Embedder(precision="poor")
    with pytest.raises(TypeError):
        Embedder(colour="red")
    picture(1).save(tmp_path / "unseen.png")
    with pytest.raises(WeightsError, match="are not on this computer"):
        Embedder("vgg16")(tmp_path / "unseen.png")


def test_download_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from orangecontrib.imagemining.embedders import api

    fetched = []
    monkeypatch.setattr(api, "fetch", lambda card, progress: fetched.append(card.name))
    Embedder("vgg16")
    assert fetched == []
    Embedder("vgg16", download=True)
    assert fetched == ["vgg16-torchvision"]
    Embedder("squeezenet1_1", download=True)  # it is here
    assert fetched == ["vgg16-torchvision"]


def test_neither_qt_nor_orange(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 1})
    program = (
        "import sys\n"
        "from orangecontrib.imagemining.embedders import Embedder\n"
        f"print(Embedder()({str(folder)!r}).vectors.shape)\n"
        "print({'Orange', 'AnyQt', 'PyQt6'} & set(sys.modules))\n"
    )
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert output.splitlines() == ["(1, 512)", "set()"]
