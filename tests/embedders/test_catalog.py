"""All networks by name."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_files as files
import pytest
from PIL import Image

from orangecontrib.imagemining.embedders import LocalEmbedder, catalog
from orangecontrib.imagemining.embedders.engines.runtime import RuntimeEngine
from orangecontrib.imagemining.exceptions import (
    FilesExistError,
    UnknownNameError,
    WeightsError,
)
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS, weights_of
from orangecontrib.imagemining.weights.cards import Card, card_path, save_card


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("IMAGEMINING_HOME", str(folder))
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    return files.conv(folder / "beetles.onnx", axes=("n", 3, 8, 8))


def card(path: Path, **settings: object) -> Card:
    return catalog.make_card(catalog.inspect_network(path), **settings)


def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (2, 8, 8, 3), np.uint8)


def test_ours() -> None:
    assert catalog.network_names() == list(WEIGHTS)
    assert catalog.card_of("squeezenet1_1") is weights_of("squeezenet1_1")
    engine = catalog.engine_for("squeezenet1_1")
    assert isinstance(engine, RuntimeEngine)
    assert catalog.engine_for("squeezenet1_1") is engine
    assert catalog.version_of("squeezenet1_1") is None
    for ask in (catalog.card_of, catalog.engine_for):
        with pytest.raises(UnknownNameError):
            ask("vgg99")


def test_own_network_from_file_to_vector(own: Path, home: Path) -> None:
    settings = {"outputs": {"vector": "features"}, "title": "Beetles", "notes": "mind"}
    name = catalog.add_own_network(own, card(own, **settings))
    assert name == f"onnx:{own.as_posix()}"
    assert catalog.network_names() == [*WEIGHTS, name]
    weights = catalog.card_of(name)
    assert (weights.title, weights.name) == ("Beetles", "beetles")
    assert [(layer.name, layer.size) for layer in weights.layers] == [("features", 4)]
    assert weights.preprocess.size == (8, 8) and 8 in weights.views
    assert weights.advice == "mind"
    engine = catalog.engine_for(name)
    assert catalog.engine_for(name) is engine
    vectors = engine.run(images(), ["features"])["features"]
    expected = files.pixelwise(images().astype(float)).mean(axis=(1, 2))
    np.testing.assert_allclose(vectors, expected, rtol=1e-4)
    # forgetting leaves the files alone
    before = sorted(own.parent.iterdir())
    catalog.forget_own_network(name)
    assert catalog.network_names() == list(WEIGHTS)
    assert sorted(own.parent.iterdir()) == before
    assert catalog.remember_own_network(own) == name


def test_what_is_not_square_is_not_turned(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "wide.onnx")
    assert catalog.card_of(catalog.add_own_network(path, card(path))).views == (1,)


def test_networks_of_one_name_in_two_folders(own: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = files.conv(tmp_path / "other" / "beetles.onnx")
    names = [catalog.add_own_network(path, card(path)) for path in (own, other)]
    assert sorted(catalog.network_names()[len(WEIGHTS) :]) == sorted(names)


def test_names_are_absolute(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own.parent)
    assert catalog.name_of_file(Path("beetles.onnx")) == f"onnx:{own.as_posix()}"
    assert catalog.path_of(f"onnx:{own.as_posix()}") == own


def test_card_that_is_there_is_kept_unless_told(own: Path) -> None:
    name = catalog.add_own_network(own, card(own))
    with pytest.raises(FilesExistError):
        catalog.add_own_network(own, card(own, title="other"))
    assert catalog.card_of(name).title == "beetles"
    catalog.add_own_network(own, card(own, title="other"), replace=True)
    assert catalog.card_of(name).title == "other"


def test_other_settings_give_another_engine(own: Path) -> None:
    name = catalog.add_own_network(own, card(own))
    version = catalog.version_of(name)
    before = catalog.engine_for(name).run(images(), ["vector"])["vector"]
    catalog.add_own_network(own, card(own, scale=0.25, title="x"), replace=True)
    assert catalog.version_of(name) != version
    after = catalog.engine_for(name).run(images(), ["vector"])["vector"]
    np.testing.assert_allclose(after, before / 4, rtol=1e-4)


def test_changed_file_is_told(own: Path) -> None:
    name = catalog.add_own_network(own, card(own))
    catalog.engine_for(name)
    files.conv(own, axes=("n", 3, 9, 9))
    with pytest.raises(WeightsError, match="has changed since its card was made"):
        catalog.engine_for(name)


def test_changed_file_of_the_same_size_and_time_is_told(own: Path) -> None:
    name = catalog.add_own_network(own, card(own))
    catalog.engine_for(name)
    status = os.stat(own)
    content = bytearray(own.read_bytes())
    content[len(content) // 2] ^= 1
    other = own.with_name("other")
    other.write_bytes(content)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, own)
    # else its vectors would be kept as those of the new file
    with pytest.raises(WeightsError, match="has changed since its card was made"):
        catalog.engine_for(name)


def test_file_or_card_that_went(own: Path) -> None:
    name = catalog.add_own_network(own, card(own))
    kept = card_path(own).rename(own.parent / "kept")
    assert catalog.network_names() == list(WEIGHTS)
    assert catalog.version_of(name) == "missing"
    for ask in (catalog.card_of, catalog.engine_for):
        with pytest.raises(WeightsError, match="has no card"):
            ask(name)
    kept.rename(card_path(own))
    own.rename(own.parent / "renamed")
    assert catalog.network_names() == list(WEIGHTS)
    for ask in (catalog.card_of, catalog.engine_for):
        with pytest.raises(WeightsError, match="not there any more"):
            ask(name)


@pytest.mark.parametrize("name", ["onnx:", "onnx:/gone/x.onnx", "onnx:a\0b", "onnx:."])
def test_names_of_nothing(name: str) -> None:
    for ask in (catalog.card_of, catalog.engine_for):
        with pytest.raises(WeightsError, match="not there any more"):
            ask(name)


def test_remembering_what_is_no_network(own: Path, home: Path) -> None:
    with pytest.raises(WeightsError, match="no card"):
        catalog.remember_own_network(own)
    assert not home.exists()


def test_damaged_notes_are_passed_over(own: Path, home: Path) -> None:
    name = catalog.add_own_network(own, card(own))
    (note,) = (home / "networks").iterdir()
    good = json.loads(note.read_text())
    for number, content in enumerate(
        ["", "[]", "{}", "[" * 10**5, json.dumps({**good, "file": 3}), '{"format": 1}']
    ):
        (home / "networks" / f"{number}.json").write_text(content)
    (home / "networks" / "9.json").write_bytes(b"\xff\xff")
    assert catalog.network_names() == [*WEIGHTS, name]


def test_folder_that_cannot_be_written(own: Path, home: Path) -> None:
    save_card(card(own), own)
    home.write_text("in the way")
    with pytest.raises(WeightsError, match="cannot be noted"):
        catalog.remember_own_network(own)


def test_missing_onnxruntime_is_named(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.endswith("engines.onnx")]:
        monkeypatch.delitem(sys.modules, module)
    import orangecontrib.imagemining.embedders.engines as engines

    monkeypatch.delattr(engines, "onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(WeightsError, match="pip install onnxruntime"):
        catalog.inspect_network(own)


def test_missing_timm_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == "timm" else find(n)
    )
    assert not catalog.timm_is_here()
    for ask in (catalog.card_of, catalog.engine_for):
        with pytest.raises(WeightsError) as caught:
            ask("timm:resnet18.a1_in1k")
        assert 'pip install "Orange3-ImageMining[timm]"' in str(caught.value)


def test_timm_that_does_not_work_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("raise RuntimeError('no nms')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(WeightsError, match=r"does not work \(no nms\)"):
        catalog.card_of("timm:resnet18.a1_in1k")


def test_looking_at_cards_imports_neither_torch_nor_onnxruntime(own: Path) -> None:
    import subprocess

    name = catalog.add_own_network(own, card(own))
    code = (
        "import sys\nfrom orangecontrib.imagemining.embedders import catalog\n"
        f"catalog.card_of({name!r}); catalog.network_names()\n"
        f"catalog.version_of({name!r}); catalog.timm_is_here()\n"
        "sys.exit(bool({'torch', 'onnxruntime', 'timm'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode
        == 0
    )


def test_a_card_from_elsewhere_is_taken_as_it_is(own: Path) -> None:
    # such as one that the laboratory put beside its network
    save_card(replace(card(own), title="ours", licence="CC0"), own)
    weights = catalog.card_of(catalog.remember_own_network(own))
    assert (weights.title, weights.license) == ("ours", "CC0")


@pytest.mark.parametrize("colours", ["RGB", "BGR"])
def test_from_image_files_to_vectors(
    own: Path, make_folder: Callable[..., Path], colours: str
) -> None:
    folder = make_folder({"a": 3})
    paths = sorted(str(path) for path in folder.rglob("*.png"))
    settings = {"colours": colours, "mean": (1, 2, 3), "interpolation": "lanczos"}
    name = catalog.add_own_network(own, card(own, **settings))
    spec = EmbedderSpec(name, "vector")
    embedder = LocalEmbedder(spec)
    assert embedder.size == 4
    result = embedder([*paths, None])
    assert result.reasons[:3] == [None] * 3 and result.reasons[3]
    small = [
        Image.open(path).resize((8, 8), Image.Resampling.LANCZOS) for path in paths
    ]
    pixels = np.stack([np.asarray(image) for image in small]).astype(float)
    pixels = pixels[..., ::-1] if colours == "BGR" else pixels
    expected = files.pixelwise(pixels - [1, 2, 3]).mean(axis=(1, 2))
    np.testing.assert_allclose(result.vectors[:3], expected, rtol=1e-4, atol=1e-3)
    # what was computed by other settings is not given out again
    settings["mean"] = (50, 50, 50)
    catalog.add_own_network(own, card(own, **settings), replace=True)
    expected = files.pixelwise(pixels - 50).mean(axis=(1, 2))
    vectors = LocalEmbedder(spec)(paths).vectors
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-3)


def test_changed_network_ends_the_embedding(
    own: Path, make_folder: Callable[..., Path]
) -> None:
    paths = [str(path) for path in make_folder({"a": 2}).rglob("*.png")]
    name = catalog.add_own_network(own, card(own))
    spec = EmbedderSpec(name, "vector")
    assert LocalEmbedder(spec)(paths).reasons == [None, None]
    files.conv(own, axes=("m", 3, 8, 8))
    with pytest.raises(WeightsError, match="has changed since its card was made"):
        LocalEmbedder(spec)(paths)
