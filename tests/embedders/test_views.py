"""Views, fits and classes, with a toy network whose numbers tell what it was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orangecontrib.imagemining.embedders import (
    LocalEmbedder,
    check_spec,
    class_names,
    fits_of,
    knows_imagenet,
    passes,
    views_of,
)
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.classes import likeliest, softmax
from orangecontrib.imagemining.embedders.engines import loading, pytorch
from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.images import crops_of, dense_images, prepare, turned
from orangecontrib.imagemining.networks.vgg import VGG
from orangecontrib.imagemining.specs import EmbedderSpec, Layer, Preprocess
from orangecontrib.imagemining.weights import WEIGHTS

PREPROCESS = Preprocess(size=(28, 28), shortest=32)
LAYERS = (Layer("features", 6), Layer("logits", 1000))


class Shown:
    """Means of the left and the right third; logits tell the first colour's value."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def run(self, pixels: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        self.batches.append(pixels.shape)
        third = pixels.shape[2] // 3
        sides = pixels[:, :, :third], pixels[:, :, -third:]
        features = np.concatenate([side.mean(axis=(1, 2)) for side in sides], axis=1)
        logits = np.zeros((len(pixels), 1000), np.float32)
        logits[np.arange(len(pixels)), features[:, 0].astype(int)] = 8
        known = {"features": features.astype(np.float32), "logits": logits}
        return {layer: known[layer] for layer in layers}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Register the toy under two names, one of them VGG's."""
    card = replace(
        WEIGHTS["squeezenet1_1"], preprocess=PREPROCESS, layers=LAYERS, title="Toy"
    )
    engine = Shown()
    for name in ("shown", "vgg_shown"):
        monkeypatch.setitem(WEIGHTS, name, card)
        key = (name, "cpu", "float32")
        monkeypatch.setitem(loading._LOADED, (name, "onnxruntime", "float32"), engine)
        monkeypatch.setitem(pytorch._DENSE, key, engine)
    return engine


@pytest.fixture
def picture(tmp_path: Path) -> str:
    """Write an image that is red at the left and blue at the right."""
    image = Image.new("RGB", (60, 40), (0, 255, 0))
    image.paste((200, 0, 0), (0, 0, 20, 40))
    image.paste((0, 0, 100), (40, 0, 60, 40))
    image.save(tmp_path / "red-blue.png")
    return str(tmp_path / "red-blue.png")


def vector(path: str, spec: EmbedderSpec) -> np.ndarray:
    result = LocalEmbedder(spec, cache=VectorStore.in_memory())([path])
    assert result.reasons == [None]
    return result.vectors[0]


def features(batch: np.ndarray) -> np.ndarray:
    return Shown().run(batch, ["features"])["features"]


def test_one_view_shows_all_of_a_stretched_image(engine: Shown, picture: str) -> None:
    spec = EmbedderSpec("shown", "features")
    np.testing.assert_allclose(vector(picture, spec), [200, 0, 0, 0, 0, 100], atol=3)


def test_mirror_image_makes_both_sides_alike(engine: Shown, picture: str) -> None:
    found = vector(picture, EmbedderSpec("shown", "features", 2))
    np.testing.assert_allclose(found, [100, 0, 50, 100, 0, 50], atol=3)
    assert engine.batches == [(1, 28, 28, 3)] * 2


def test_eight_views_are_turned_too(engine: Shown, picture: str) -> None:
    found = vector(picture, EmbedderSpec("shown", "features", 8))
    whole = prepare(Image.open(picture), PREPROCESS)[np.newaxis]
    expected = np.mean([features(turned(whole, view))[0] for view in range(8)], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # of the four that lie on their side, a third of each side is green
    assert found[1] == pytest.approx(255 / 3 / 2, abs=2)


def test_cut_image_has_lost_its_sides(engine: Shown, picture: str) -> None:
    found = vector(picture, EmbedderSpec("shown", "features", fit="crop"))
    # 48 × 32 of which columns 10 to 38 are left: six of them red, nine looked at
    assert found[0] == pytest.approx(200 * 6 / 9, abs=9)
    assert found[1] == pytest.approx(255 * 3 / 9, abs=12)


def test_margins_are_shown(engine: Shown, picture: str) -> None:
    found = vector(picture, EmbedderSpec("shown", "features", fit="pad"))
    # 28 × 19 of 28 × 28
    assert found[0] == pytest.approx(200 * 19 / 28, abs=4)
    assert found[5] == pytest.approx(100 * 19 / 28, abs=4)


@pytest.mark.parametrize("views", [10, 12])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_crops_are_averaged(engine: Shown, picture: str, views: int, fit: str) -> None:
    found = vector(picture, EmbedderSpec("shown", "features", views, fit))
    crops = np.stack(list(crops_of(Image.open(picture), PREPROCESS, views, fit)))
    assert len(crops) == views == sum(batch[0] for batch in engine.batches)
    np.testing.assert_allclose(found, features(crops).mean(axis=0), rtol=1e-5)
    # mirrored: the left third is as often what the right one is
    np.testing.assert_allclose(found[:3], found[3:], rtol=1e-5)


def test_144_crops(engine: Shown, picture: str) -> None:
    found = vector(picture, EmbedderSpec("shown", "features", 144))
    crops = np.stack(list(crops_of(Image.open(picture), PREPROCESS, 144)))
    assert len(crops) == 144 == sum(batch[0] for batch in engine.batches)
    np.testing.assert_allclose(found, features(crops).mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize(("views", "n"), [("dense", 1), ("dense-multiscale", 3)])
def test_dense_views_are_averaged_over_sizes_and_have_length_one(
    engine: Shown, picture: str, views: str, n: int
) -> None:
    found = vector(picture, EmbedderSpec("vgg_shown", "features", views))
    assert [shape[1] for shape in engine.batches] == [256, 384, 512][:n]
    assert np.linalg.norm(found) == pytest.approx(1)
    pairs = dense_images(Image.open(picture), PREPROCESS, views)
    expected = np.mean([features(pair).mean(axis=0) for pair in pairs], axis=0)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), rtol=1e-4)
    # logits are what they are
    logits = vector(picture, EmbedderSpec("vgg_shown", "logits", views))
    assert logits.sum() == pytest.approx(8, rel=1e-5)


def test_images_too_long_are_skipped_and_say_why(
    engine: Shown, picture: str, tmp_path: Path
) -> None:
    Image.new("RGB", (100, 10)).save(tmp_path / "strip.png")
    run = LocalEmbedder(
        EmbedderSpec("shown", "features", 144), cache=VectorStore.in_memory()
    )
    result = run([picture, str(tmp_path / "strip.png")])
    assert result.reasons[0] is None and "too long" in str(result.reasons[1])
    assert np.isfinite(result.vectors[0]).all() and np.isnan(result.vectors[1]).all()


def test_probabilities_of_views_are_averaged(engine: Shown, picture: str) -> None:
    found = vector(picture, EmbedderSpec("shown", "probabilities", 2))
    assert found.sum() == pytest.approx(1, rel=1e-5)
    # red first as it is, nothing first in the mirror: half each, which the softmax of
    # the mean of logits would not give
    peak = np.exp(8) / (np.exp(8) + 999)
    top = np.sort(found)[-2:]
    np.testing.assert_allclose(top, [peak / 2] * 2, rtol=1e-2)


def test_layers_computed_along_are_found_by_the_next(
    engine: Shown, picture: str
) -> None:
    cache = VectorStore.in_memory()
    spec = EmbedderSpec("shown", "features", 10, "crop")
    LocalEmbedder(spec, cache=cache, also=["probabilities"])([picture])
    n = len(engine.batches)
    along = replace(spec, layer="probabilities")
    result = LocalEmbedder(along, cache=cache)([picture])
    assert len(engine.batches) == n
    np.testing.assert_array_equal(result.vectors[0], vector(picture, along))


def test_fits_and_views_are_remembered_apart(engine: Shown, picture: str) -> None:
    cache = VectorStore.in_memory()
    specs = [
        EmbedderSpec("shown", "features", views, fit)
        for views in (1, 2, 10)
        for fit in ("stretch", "crop", "pad")
    ]
    together = [LocalEmbedder(spec, cache=cache)([picture]).vectors for spec in specs]
    again = [LocalEmbedder(spec, cache=cache)([picture]).vectors for spec in specs]
    for spec, one, two in zip(specs, together, again, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one[0], vector(picture, spec))
    assert len({one.tobytes() for one in together}) == len(specs)


def test_network_that_is_not_square_is_mirrored_but_not_turned(
    engine: Shown, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(WEIGHTS["shown"], preprocess=Preprocess(size=(20, 30)))
    monkeypatch.setitem(WEIGHTS, "shown", wide)
    assert 8 not in views_of("shown")
    for views in (2, 10, 144):
        vector(picture, EmbedderSpec("shown", "features", views))
    assert {shape[1:3] for shape in engine.batches} == {(20, 30)}


# what can be had ---------------------------------------------------------------------


def test_column_names() -> None:
    assert EmbedderSpec("a", "features").column_prefix == "a_features"
    assert EmbedderSpec("a", "stages", 8).column_prefix == "a_stages_8views"
    assert EmbedderSpec("a", "f", 1, "crop").column_prefix == "a_f_crop"
    assert EmbedderSpec("a", "f", 10, "pad").column_prefix == "a_f_pad_10views"
    assert EmbedderSpec("a", "f", "dense").column_prefix == "a_f_dense"
    # without the folders of this computer
    own = EmbedderSpec("onnx:/home/ana/nets/cells.onnx", "out")
    assert own.column_prefix == "cells_out"
    assert EmbedderSpec("timm:resnet18.a1", "f").column_prefix == "resnet18.a1_f"


def test_specs_of_old_models_have_the_fit_of_then() -> None:
    spec = object.__new__(EmbedderSpec)
    spec.__dict__.update(network="squeezenet1_1", layer="features", views=1)
    assert spec == EmbedderSpec("squeezenet1_1", "features")
    assert hash(spec) == hash(EmbedderSpec("squeezenet1_1", "features"))


def test_dense_views_are_vggs_alone(engine: Shown) -> None:
    assert views_of("shown") == (1, 2, 8, 10, 12, 144)
    assert views_of("vgg_shown")[-2:] == ("dense", "dense-multiscale")
    assert views_of("squeezenet_imageanalytics") == (1,)
    with pytest.raises(UnknownNameError, match="dense views cannot be had"):
        check_spec(EmbedderSpec("shown", "features", "dense"))


def test_views_that_see_to_the_fit_leave_no_choice(engine: Shown) -> None:
    assert fits_of("shown", 10) == ("stretch", "crop", "pad")
    assert fits_of("shown", 144) == fits_of("vgg_shown", "dense") == ("stretch",)
    assert fits_of("squeezenet_imageanalytics") == ("stretch",)
    for spec in (
        EmbedderSpec("shown", "features", 144, "crop"),
        EmbedderSpec("shown", "features", 1, "squeeze"),
        EmbedderSpec("squeezenet_imageanalytics", "logits", 1, "pad"),
    ):
        with pytest.raises(UnknownNameError, match="cannot meet the network"):
            check_spec(spec)


def test_costs() -> None:
    assert [passes(n) for n in (1, 8, 144)] == [1, 8, 144]
    # 256 × 341 pixels of 224², twice
    assert passes("dense") == pytest.approx(2 * 256 * 341 / 224**2, rel=1e-2)
    assert passes("dense-multiscale") == pytest.approx(25, abs=0.5)


# classes -----------------------------------------------------------------------------


def test_names_of_classes() -> None:
    names = class_names()
    assert len(names) == len(set(names)) == 1000
    known = {0: "tench", 1: "goldfish", 281: "tabby", 207: "golden retriever"}
    known |= {404: "airliner", 948: "Granny Smith", 985: "daisy", 999: "toilet tissue"}
    assert {index: names[index] for index in known} == known
    assert (names[134], names[517]) == ("crane (bird)", "crane (machine)")


def test_only_imagenets_classes_have_names(
    engine: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert knows_imagenet("shown") and knows_imagenet("squeezenet1_1")
    card = WEIGHTS["shown"]
    for other in (
        replace(card, layers=(Layer("features", 6), Layer("logits", 8631))),
        replace(card, trained_on="faces"),
        replace(card, layers=(Layer("features", 6),)),
    ):
        monkeypatch.setitem(WEIGHTS, "shown", other)
        assert not knows_imagenet("shown")
    with pytest.raises(UnknownNameError, match="no layer 'probabilities'"):
        check_spec(EmbedderSpec("shown", "probabilities"))


def test_softmax_and_likeliest() -> None:
    logits = np.array([[0, np.log(3), 1e4], [np.log(2), 0, np.log(5)]], np.float32)
    probabilities = softmax(logits)
    np.testing.assert_allclose(probabilities[0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(probabilities[1], [2 / 8, 1 / 8, 5 / 8], rtol=1e-5)
    classes, values = likeliest(
        np.vstack([probabilities[1], np.full(3, np.nan)]).astype(np.float32), 2
    )
    np.testing.assert_array_equal(classes, [[2, 0], [np.nan, np.nan]])
    np.testing.assert_allclose(values, [[5 / 8, 2 / 8], [np.nan, np.nan]], rtol=1e-5)


# the dense engine --------------------------------------------------------------------


def test_dense_engine_applies_vgg_everywhere_and_shares_its_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    plain = VGG("A", 10, hidden=8)
    tensors = {name: t.detach().numpy() for name, t in plain.state_dict().items()}
    card = replace(WEIGHTS["vgg11"], network="vgg11", num_classes=10)
    monkeypatch.setitem(WEIGHTS, "vgg_small", card)
    monkeypatch.setattr(pytorch, "load_weights", lambda weights: tensors)

    def create(name: str, num_classes: int, dense: bool = False) -> VGG:
        assert (name, num_classes) == ("vgg11", 10)
        return VGG("A", num_classes, hidden=8, dense=dense)

    monkeypatch.setattr(pytorch, "create_network", create)
    monkeypatch.setattr(pytorch, "_ENGINES", {})
    monkeypatch.setattr(pytorch, "_DENSE", {})
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 256, 3), np.uint8)
    found = pytorch.dense_engine_for("vgg_small").run(pixels, ["features"])["features"]
    by_hand = VGG("A", 10, hidden=8, dense=True).eval()
    by_hand.load_state_dict(plain.state_dict())
    mean, std = (
        torch.tensor(numbers).reshape(1, 3, 1, 1)
        for numbers in (card.preprocess.mean, card.preprocess.std)
    )
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() * card.preprocess.scale
    with torch.inference_mode():
        expected = by_hand.embed((x - mean) / std, ["features"])["features"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    one = pytorch.engine_for("vgg_small")
    two = pytorch.dense_engine_for("vgg_small")
    assert one is not two
    pairs = zip(one.network.parameters(), two.network.parameters(), strict=True)
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)
