"""The last linear map, trained alone."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import TaskCancelled, TrainingError
from orangecontrib.imagemining.networks import Network, create_network, network_names
from orangecontrib.imagemining.training.designs import options_for_training
from orangecontrib.imagemining.training.head import (
    PENALTIES,
    Head,
    classifier_inputs,
    put_into,
    train_head,
)
from orangecontrib.imagemining.training.plan import Plan

PLAN = Plan()


def clouds(
    counts: tuple[int, ...] = (60, 60, 60), size: int = 12, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(0, 0.7, (len(counts), size))
    labels = np.repeat(np.arange(len(counts)), counts)
    vectors = centres[labels] + rng.normal(size=(len(labels), size))
    # units as different as those of features
    vectors = vectors * np.logspace(-2, 2, size) + 5
    return vectors.astype(np.float32), labels


def test_is_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x, y = clouds()
    head = train_head(x, y, PLAN, 3)
    scaled = StandardScaler().fit(x.astype(float)).transform(x.astype(float))
    reference = LogisticRegression(
        C=1 / (head.penalty * len(y)), max_iter=2000, tol=1e-8
    ).fit(scaled, y)
    expected = reference.decision_function(scaled)
    # logits of all classes may be shifted together
    logits = head.logits(x)
    np.testing.assert_allclose(
        logits - logits.mean(axis=1, keepdims=True),
        expected - expected.mean(axis=1, keepdims=True),
        atol=0.01,
    )
    assert head.weight.dtype == head.bias.dtype == np.float32


def test_learns_and_tells_its_curve() -> None:
    x, y = clouds()
    others = clouds(seed=1)
    head = train_head(x, y, PLAN, 3, others)
    losses = [step.loss for step in head.steps]
    assert losses[-1] < losses[0] < np.log(3)
    last = head.steps[-1]
    assert last.accuracy == (head.logits(x).argmax(1) == y).mean() > 0.8
    seen = (head.logits(others[0]).argmax(1) == others[1]).mean()
    assert last.validation_accuracy == pytest.approx(seen)
    logits = head.logits(others[0]).astype(float)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -logits[np.arange(len(others[1])), others[1]].mean()
    assert last.validation_loss == pytest.approx(loss, rel=1e-4)
    assert np.isnan(train_head(x, y, PLAN, 3).steps[-1].validation_loss)


def test_penalty_is_chosen_by_what_was_not_learned() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 50)).astype(np.float32)
    noise = train_head(x, rng.integers(0, 2, 100), PLAN, 2)
    assert noise.penalty == max(PENALTIES)
    x[:, 0] += 20 * (np.arange(100) % 2)
    clear = train_head(x, np.arange(100) % 2, PLAN, 2)
    assert clear.penalty == min(PENALTIES)


def test_gives_the_same_twice() -> None:
    x, y = clouds()
    one, other = (train_head(x, y, PLAN, 3) for _ in range(2))
    np.testing.assert_array_equal(one.weight, other.weight)
    assert one.steps == other.steps or repr(one.steps) == repr(other.steps)


def test_rare_classes_can_count_as_much() -> None:
    x, y = clouds((200, 20), seed=3)
    plain = train_head(x, y, PLAN, 2)
    even = train_head(x, y, replace(PLAN, class_weights=True), 2)
    fresh, truth = clouds((500, 500), seed=4)
    rare = fresh[truth == 1]
    found = [(head.logits(rare).argmax(1) == 1).mean() for head in (plain, even)]
    assert found[1] > found[0] + 0.05


def test_classes_without_images_are_never_predicted() -> None:
    x, y = clouds()
    head = train_head(x, np.where(y == 2, 3, y), PLAN, 5)
    assert head.weight.shape == (5, 12)
    assert set(head.logits(x).argmax(1)) == {0, 1, 3}


def test_features_that_never_change_do_no_harm() -> None:
    x, y = clouds()
    x[:, 4] = 3.5
    head = train_head(x, y, PLAN, 3)
    assert np.isfinite(head.weight).all()
    np.testing.assert_allclose(head.weight[:, 4], 0, atol=1e-6)


def test_single_images_are_learned_from() -> None:
    x, y = clouds((1, 1, 1))
    head = train_head(x, y, PLAN, 3)
    assert head.logits(x).argmax(1).tolist() == [0, 1, 2]


def test_bad_input_is_told_in_words() -> None:
    x, y = clouds()
    with pytest.raises(TrainingError, match="one class only"):
        train_head(x, np.zeros_like(y), PLAN, 3)
    x[3, 3] = np.nan
    with pytest.raises(TrainingError, match="not numbers"):
        train_head(x, y, PLAN, 3)


def test_can_be_cancelled_and_tells_how_far_it_is() -> None:
    x, y = clouds()
    told: list[float] = []
    train_head(x, y, PLAN, 3, progress=lambda fraction, _: told.append(fraction))
    assert told == sorted(told) and 0.9 < told[-1] <= 1

    def stop(fraction: float, status: str = "") -> None:
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        train_head(x, y, PLAN, 3, progress=stop)
    assert not [t for t in threading.enumerate() if "train-head" in t.name]


def test_leaves_torchs_threads_alone() -> None:
    before = torch.get_num_threads()
    train_head(*clouds(), PLAN, 3)
    assert torch.get_num_threads() == before
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [before]


SMALL = {
    "toy": {},
    "squeezenet1_1": {"base_e": 8, "incr_e": 8},
    "squeezenet_imageanalytics": {},
    "resnet_cifar": {"n": 1},
    "vgg11_bn": {"width": 0.125, "small_images": True},
    "inception_v3": {"width": 0.125},
    "inception_resnet_v1": {"width": 0.125},
}


@pytest.mark.parametrize("name", SMALL)
def test_networks_logits_are_the_heads(name: str) -> None:
    torch.manual_seed(0)
    options = {**options_for_training(name), **SMALL[name]}
    network: Network = create_network(name, num_classes=7, **options).eval()
    images = torch.randn(3, 3, 80, 80)
    with torch.inference_mode():
        features = network.embed(images, ["features"])["features"].numpy()
    inputs = classifier_inputs(network, features)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, inputs.shape[1])).astype(np.float32)
    head = Head(weight, rng.normal(size=4).astype(np.float32))
    expected = head.logits(inputs)
    assert (expected < 0).any()  # what a ReLU would cut
    put_into(network, head)
    with torch.inference_mode():
        logits = network(images).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())
    assert network.num_classes == 4


def test_head_of_another_size_does_not_fit() -> None:
    head = Head(np.zeros((2, 5), np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="gets 8 numbers, the head 5"):
        put_into(create_network("toy"), head)


@pytest.mark.parametrize("name", network_names())
def test_every_network_has_one_last_map(name: str) -> None:
    with torch.device("meta"):
        network: Network = create_network(name, **options_for_training(name)).eval()
        last = Head(
            np.zeros((3, network.num_features), np.float32), np.zeros(3, np.float32)
        )
        if name == "inception_resnet_v1":  # faces: 512 numbers in between
            last = replace(last, weight=np.zeros((3, 512), np.float32))
        put_into(network, last)
        assert network(torch.empty(2, 3, 299, 299)).shape == (2, 3)
