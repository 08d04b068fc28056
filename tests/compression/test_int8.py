"""Integer networks, from images to a file that works wherever a network does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from Orange.data import Domain, StringVariable, Table
from PIL import Image
from small_context import CLASSES, quick_plan, small_context, toy_images, trained
from trained_networks import network_of

from orangecontrib.imagemining.compression import int8
from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.int8 import integer_file, plain, run
from orangecontrib.imagemining.compression.pipeline import compress
from orangecontrib.imagemining.compression.plan import Int8
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.catalog import card_of, network_from
from orangecontrib.imagemining.embedders.onnxexport import copy_onnx
from orangecontrib.imagemining.exceptions import TrainingError, WeightsError
from orangecontrib.imagemining.specs import EmbedderSpec, Preprocess
from orangecontrib.imagemining.tables.networkmodel import ImageNetworkModel
from orangecontrib.imagemining.training.batches import normalised
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.weights.cards import card_path
from orangecontrib.imagemining.weights.image_network import OnnxNetwork


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def candidate_of(step: Int8 | None = None, **arguments: Any) -> Candidate:
    step = step or Int8()
    context = small_context(quick_plan(step), **arguments)
    run(step, Working(context.given), context)
    (candidate,) = context.trail
    return candidate


def outputs_of(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path)
    names = ["logits", "probabilities", "features"]
    image = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)
    return dict(zip(names, session.run(names, {"image": image}), strict=True))


def vectors_of(network: str, layer: str, sources: list[str]) -> np.ndarray:
    result = LocalEmbedder(EmbedderSpec(network, layer))(sources)
    assert not any(result.reasons)
    return result.vectors


def test_a_file_judged_by_being_run(home: Path) -> None:
    context = small_context(quick_plan(Int8(images=20)))
    run(Int8(images=20), Working(context.given), context)
    (candidate,) = context.trail
    network = candidate.network
    assert isinstance(network, OnnxNetwork)
    assert network.classes == CLASSES
    assert network.title == "Stripes, int8"
    path = Path(network.path)
    assert path.parent == home / "networks"
    assert candidate.n_bytes == path.stat().st_size
    assert candidate.what == "Int8, ranges from 20 images (minmax)"
    logits = outputs_of(path, context.validation.prepared(range(12)))["logits"]
    truth = context.validation.labels
    assert candidate.accuracy == (logits.argmax(axis=1) == truth).mean() == 1
    shifted = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert candidate.loss == pytest.approx(-shifted[range(12), truth].mean(), rel=1e-5)
    # nothing but file and card is left, and a second time they are the same
    times = {each: each.stat().st_mtime_ns for each in path.parent.iterdir()}
    assert times.keys() == {path, card_path(path)}
    again = candidate_of(Int8(images=20))
    assert again.network == network
    assert {e: e.stat().st_mtime_ns for e in path.parent.iterdir()} == times


def test_what_is_not_the_result_leaves_no_file(home: Path) -> None:
    plan = quick_plan(Int8(), target_bytes=10, tolerance=None)
    result = compress(trained(), plan, toy_images(24))
    assert [each.step for each in result.trail] == [0, 1]
    assert result.chosen == 0 and result.trail[1].network is None
    assert result.trail[1].n_bytes > result.trail[0].n_bytes
    assert not home.exists()


def test_works_wherever_a_network_does(tmp_path: Path) -> None:
    network = candidate_of().network
    assert isinstance(network, OnnxNetwork)
    assert network_from(network.name) == network
    assert "ranges from 36 images" in card_of(network.name).advice
    images = toy_images(12, seed=7).prepared(range(12))
    sources = []
    for number, image in enumerate(images):
        sources.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(image).save(sources[-1])
    expected = outputs_of(Path(network.path), images)
    for layer, numbers in expected.items():
        found = vectors_of(network.name, layer, sources)
        np.testing.assert_allclose(found, numbers, rtol=1e-4, atol=1e-5)
    # and they are about those of the network that it was made of
    with torch.no_grad():
        x = normalised(torch.from_numpy(images), trained().card.preprocess)
        exact = rebuilt(trained()).embed(x, ["features"])["features"].numpy()
    found = expected["features"]
    cosines = (found * exact).sum(1)
    cosines /= np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1)
    assert cosines.min() >= 0.98
    column = StringVariable("image")
    column.attributes["type"] = "image"
    data = Table.from_list(Domain([], metas=[column]), [[each] for each in sources])
    model = ImageNetworkModel(network)
    names = [model.domain.class_var.values[int(value)] for value in model(data)]
    assert names == [CLASSES[number % 3] for number in range(12)]
    # saved elsewhere it is the same
    copy = tmp_path / "saved.onnx"
    copy_onnx(network, copy)
    moved = network_from(f"onnx:{copy.as_posix()}")
    np.testing.assert_array_equal(
        vectors_of(moved.name, "features", sources),
        vectors_of(network.name, "features", sources),
    )


def test_training_makes_up_for_rounding() -> None:
    before = candidate_of()
    context = small_context(quick_plan(Int8(epochs=2)))
    working = Working(context.given)
    run(Int8(epochs=2), working, context)
    (after,) = context.trail
    assert after.accuracy == 1
    assert after.loss < before.loss
    assert "trained 2 epochs" in after.what
    # hooks of the simulation are gone, and layers are of 8 bits
    assert not working.network._forward_pre_hooks
    assert {form.bits for form in working.forms.values()} == {8}
    told = json.loads(
        next(
            pair.value
            for pair in onnx.load(after.network.path).metadata_props  # type: ignore[union-attr]
            if pair.key == "card"
        )
    )
    assert told["architecture"] == "toy"


def test_training_that_makes_it_worse_is_not_taken() -> None:
    step = Int8(epochs=1)
    context = small_context(quick_plan(step))
    recipe = replace(context.plan.recipe, learning_rate=30.0, clip=None)
    context.plan = replace(context.plan, recipe=recipe)
    run(step, Working(context.given), context)
    (candidate,) = context.trail
    before = candidate_of()
    assert (candidate.accuracy, candidate.loss) == (before.accuracy, before.loss)
    assert any("did not make the int8 network better" in note for note in context.notes)


def test_pruned_weights_stay_away() -> None:
    step = Int8(epochs=1)
    context = small_context(quick_plan(step))
    working = Working(context.given)
    masks = {}
    for name in working.layers:
        weight = working.weight(name)
        masks[name] = weight.abs() > weight.abs().median()
        working.set_form(name, Masked(masks[name]))
    run(step, working, context)
    network = context.trail[0].network
    assert isinstance(network, OnnxNetwork)
    graph = onnx.load(network.path).graph
    numbers = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for name, mask in masks.items():
        codes = numbers[f"network.{name}.codes"]
        assert not codes[~mask.numpy()].any()
        assert codes[mask.numpy()].any()
        assert torch.equal(working.mask(name), mask)


def test_colours_and_columns_of_odd_networks() -> None:
    preprocess = Preprocess(
        (16, 16), (90, 80, 70), (50, 60, 70), 1.0, "bilinear", "BGR"
    )
    preprocess = replace(preprocess, swapped_columns=(0, 7))
    given = network_of(preprocess=preprocess)
    prepared = toy_images(8, seed=3).prepared(range(8))
    _, file = integer_file(given, prepared, "minmax")
    session = onnxruntime.InferenceSession(file.content)
    image = plain(prepared, preprocess)
    # red of the first column is what the network has as its third channel, 8th column
    np.testing.assert_array_equal(image[:, 0, :, 0], prepared[:, :, 7, 2])
    (found,) = session.run(["logits"], {"image": image})
    with torch.no_grad():
        expected = rebuilt(given)(normalised(torch.from_numpy(prepared), preprocess))
    size = float(expected.abs().max())
    np.testing.assert_allclose(found, expected.numpy(), atol=0.03 * size)


def test_processors_that_cannot_do_with_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(int8, "_agree", lambda *_: next(answers))
    context = small_context(quick_plan(Int8()))
    run(Int8(), Working(context.given), context)
    assert "7 bits" in " ".join(context.notes)
    network = context.trail[0].network
    assert isinstance(network, OnnxNetwork)
    codes = [
        numpy_helper.to_array(each)
        for each in onnx.load(network.path).graph.initializer
        if each.name.endswith(".codes")
    ]
    assert max(abs(each.astype(int)).max() for each in codes) == 63
    monkeypatch.setattr(int8, "_agree", lambda *_: False)
    with pytest.raises(TrainingError, match="computes other numbers"):
        candidate_of()


def test_without_images() -> None:
    with pytest.raises(TrainingError, match="needs images"):
        candidate_of(with_images=False)


def test_a_folder_that_cannot_be_written(home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(WeightsError, match="cannot be made"):
        candidate_of()


def test_damaged_files_are_not_run(tmp_path: Path) -> None:
    network = candidate_of().network
    assert isinstance(network, OnnxNetwork)
    path, source = Path(network.path), str(tmp_path / "a.png")
    Image.fromarray(toy_images(1).prepared([0])[0]).save(source)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="has changed"):
        vectors_of(network.name, "features", [source])
    with pytest.raises(WeightsError, match="has changed"):
        copy_onnx(network, tmp_path / "copy.onnx")
    # made again it is whole again
    assert candidate_of().network == network
    assert vectors_of(network.name, "features", [source]).shape[0] == 1


def test_whatever_torch_or_the_runtime_says_is_told_plainly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("no such operator\nand much more")

    with pytest.raises(TrainingError, match="ONNX Runtime cannot compute it in"):
        int8.Running(b"no network", "it")
    monkeypatch.setattr(int8, "integer_content", fails)
    with pytest.raises(TrainingError, match=r"in integers \(no such operator\)"):
        candidate_of()
