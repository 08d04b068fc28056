"""The embedder, with its real network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.exceptions import TaskCancelled, UnknownNameError
from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS, load_weights

FEATURES = EmbedderSpec("squeezenet1_1", "features")
OLD = Path(__file__).parents[1] / "data" / "old_workflows"


def embedder(spec: EmbedderSpec = FEATURES) -> LocalEmbedder:
    return LocalEmbedder(spec, cache=VectorStore.in_memory())


def images_of(folder: Path) -> list[str]:
    return sorted(map(str, folder.rglob("*.png")))


def by_hand(path: str, layer: str) -> np.ndarray:
    """Embed one image by the article's steps, written down once more."""
    image = Image.open(path).convert("RGB").resize((227, 227), Image.Resampling.LANCZOS)
    red, green, blue = np.moveaxis(np.asarray(image, np.float32), 2, 0)
    x = np.stack([blue - 104.006, green - 116.669, red - 122.679])
    network = create_network("squeezenet1_1").eval()
    tensors = load_weights(WEIGHTS["squeezenet1_1"])
    network.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    with torch.inference_mode():
        return network.embed(torch.from_numpy(x[np.newaxis]), [layer])[layer].numpy()[0]


@pytest.mark.parametrize("layer", ["features", "logits", "stages"])
def test_vectors_are_right(make_folder: Callable[..., Path], layer: str) -> None:
    paths = images_of(make_folder({"a": 3}))
    run = embedder(EmbedderSpec("squeezenet1_1", layer))
    result = run(paths)
    assert result.reasons == [None] * 3
    assert result.vectors.dtype == np.float32
    assert result.vectors.shape == (3, run.size)
    for path, vector in zip(paths, result.vectors, strict=True):
        expected = by_hand(path, layer)
        np.testing.assert_allclose(vector, expected, atol=1e-4 * np.abs(expected).max())


def test_vectors_of_the_old_add_on() -> None:
    # as Orange3-ImageAnalytics 0.13.0 itself computed them, see the script
    # make_old_workflows.py; among the images are grey, transparent, turned ones and one
    # of 16 bits
    spec = EmbedderSpec("squeezenet_imageanalytics", "logits")
    with np.load(OLD / "vectors.npz") as content:
        paths, expected = content["paths"], content["vectors"]
    assert len(paths) == 16
    result = embedder(spec)([str(OLD / path) for path in paths])
    assert result.reasons == [None] * 16
    error = np.abs(result.vectors - expected).max(axis=1) / np.abs(expected).max(axis=1)
    assert dict(zip(paths, error > 1e-5, strict=True)) == dict.fromkeys(paths, False)
    # the right network gives others
    right = embedder(EmbedderSpec("squeezenet1_1", "logits"))(
        [str(OLD / path) for path in paths]
    )
    assert (np.abs(right.vectors - expected).max(axis=1) > 1).all()


def test_views_are_those_of_the_network(make_folder: Callable[..., Path]) -> None:
    with pytest.raises(UnknownNameError, match="8 views cannot be had, only 1"):
        embedder(EmbedderSpec("squeezenet_imageanalytics", "logits", 8))


def test_all_images_across_batches_keep_their_order(
    make_folder: Callable[..., Path],
) -> None:
    paths = images_of(make_folder({"a": 70}))
    together = embedder()(paths).vectors
    for index in (0, 15, 16, 63, 64, 69):
        alone = embedder()([paths[index]]).vectors[0]
        np.testing.assert_allclose(together[index], alone, rtol=1e-3, atol=1e-3)
    assert len(np.unique(together.round(3), axis=0)) == 70


def test_bad_images_have_reasons_and_the_others_vectors(
    make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    good = images_of(make_folder({"a": 2}))
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").touch()
    bad = [None, "", str(tmp_path / "gone.png"), str(tmp_path / "text.jpg")]
    bad.append(str(tmp_path / "empty.jpg"))
    result = embedder()([good[0], *bad, good[1]])
    assert result.reasons[0] is None and result.reasons[-1] is None
    assert [bool(reason) for reason in result.reasons[1:-1]] == [True] * 5
    assert np.isnan(result.vectors[1:-1]).all()
    assert np.isfinite(result.vectors[[0, -1]]).all()


def test_no_images_and_only_bad_ones() -> None:
    assert embedder()([]).vectors.shape == (0, 512)
    result = embedder()([None, "/gone.png"])
    assert all(result.reasons)


def test_eight_views_do_not_see_how_an_image_is_turned(
    make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    (path,) = images_of(make_folder({"a": 1}))
    square = Image.open(path).resize((60, 60))
    square.save(tmp_path / "upright.png")
    square.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png")
    paths = [str(tmp_path / name) for name in ("upright.png", "turned.png")]
    once = embedder()(paths).vectors
    eight = embedder(EmbedderSpec("squeezenet1_1", "features", 8))(paths).vectors

    def cosine(pair: np.ndarray) -> float:
        return float(pair[0] @ pair[1] / np.linalg.norm(pair, axis=1).prod())

    assert cosine(eight) > 0.99999
    assert cosine(once) < 0.999


def test_progress_rises_to_one(make_folder: Callable[..., Path]) -> None:
    fractions: list[float] = []
    texts: list[str] = []

    def progress(fraction: float, status: str = "") -> None:
        fractions.append(fraction)
        texts.append(status)

    embedder()(images_of(make_folder({"a": 40})), progress)
    assert fractions == sorted(fractions)
    assert fractions[0] == 0 and fractions[-1] == 1
    assert "32 of 40 images" in texts


def test_cancelled_work_is_taken_up_where_it_stopped(
    make_folder: Callable[..., Path],
) -> None:
    paths = images_of(make_folder({"a": 40}))
    cache = VectorStore.in_memory()

    def stop(fraction: float, status: str = "") -> None:
        if fraction > 0.3:
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        LocalEmbedder(FEATURES, cache=cache)(paths, stop)
    texts: list[str] = []
    run = LocalEmbedder(FEATURES, cache=cache)
    result = run(paths, lambda fraction, status="": texts.append(status))
    assert "16 of 40 images" in texts and "0 of 40 images" not in texts
    assert result.reasons == [None] * 40


def test_changed_file_is_embedded_anew(make_folder: Callable[..., Path]) -> None:
    first, second = images_of(make_folder({"a": 2}))
    cache = VectorStore.in_memory()
    before = LocalEmbedder(FEATURES, cache=cache)([first, second]).vectors
    shutil.copy(second, first)
    after = LocalEmbedder(FEATURES, cache=cache)([first]).vectors
    np.testing.assert_allclose(after[0], before[1], rtol=1e-3, atol=1e-3)
    assert not np.allclose(after[0], before[0], rtol=1e-2)


@pytest.mark.parametrize(
    "spec",
    [
        EmbedderSpec("vgg99", "features"),
        EmbedderSpec("squeezenet1_1", "penultimate"),
        EmbedderSpec("squeezenet1_1", "features", 3),
    ],
)
def test_unknown_names(spec: EmbedderSpec) -> None:
    with pytest.raises(UnknownNameError):
        LocalEmbedder(spec)
