"""Batches, by value."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.batches import Batch, Batches, normalised
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.plan import Augmentation, Plan

PREPROCESS = Preprocess((6, 6), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 1 / 255)
PLAN = Plan(
    batch=4,
    seed=7,
    augmentation=Augmentation("shift", shift=2, colour=0.3, erase=0.3, turn="quarters"),
)


def image_set(n: int = 11) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (n, 6, 6, 3), np.uint8)
    return ImageSet.from_arrays(pixels, np.arange(n) % 3)


def batches(
    plan: Plan = PLAN, n: int = 11, training: bool = True, **options: int
) -> list[Batch]:
    with Batches(image_set(n), plan, PREPROCESS, training=training, **options) as made:
        result = list(made)
        assert len(made) == len(result) + options.get("start", 0)
    return result


def rows_of(made: list[Batch]) -> list[int]:
    return np.concatenate([batch.rows for batch in made]).tolist()


def by_hand(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    x = (pixels / 255 - PREPROCESS.mean) / PREPROCESS.std
    return x.transpose(0, 3, 1, 2)


def test_evaluation_is_in_order_and_unchanged() -> None:
    images = image_set()
    made = batches(training=False)
    assert rows_of(made) == list(range(11))
    assert [len(batch.labels) for batch in made] == [4, 4, 3]
    for batch in made:
        assert batch.pixels.dtype == torch.float32
        assert batch.pixels.is_contiguous(memory_format=torch.channels_last)
        expected = by_hand(images.prepared(batch.rows))
        np.testing.assert_allclose(batch.pixels.numpy(), expected, atol=1e-5)
        assert batch.labels.tolist() == images.labels[batch.rows].tolist()
        assert batch.labels.dtype == torch.int64


def test_normalised_is_what_prediction_does() -> None:
    from orangecontrib.imagemining.embedders.engines.pytorch import Normalised

    class Seen(torch.nn.Module):
        def embed(self, x: torch.Tensor, layers: list[str]) -> torch.Tensor:
            return x

    p = replace(PREPROCESS, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    module = Normalised(Seen(), p.mean, p.std, p.scale)  # type: ignore[arg-type]
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert torch.equal(normalised(pixels, p), module.vectors(pixels, []))  # type: ignore[arg-type]


def test_training_shows_each_image_once_in_random_order() -> None:
    first, second = batches(epoch=0), batches(epoch=1)
    assert sorted(rows_of(first)) == sorted(rows_of(second)) == list(range(11))
    assert rows_of(first) != rows_of(second) != list(range(11))
    other = batches(replace(PLAN, seed=8), epoch=0)
    assert rows_of(other) != rows_of(first)
    labels = image_set().labels
    for batch in first:
        assert batch.labels.tolist() == labels[batch.rows].tolist()


def test_without_changes_training_shows_images_as_they_are() -> None:
    plan = replace(PLAN, augmentation=Augmentation("none", mirror=False))
    for batch in batches(plan):
        expected = by_hand(image_set().prepared(batch.rows))
        np.testing.assert_allclose(batch.pixels.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("crop", ["none", "shift", "jitter", "area"])
def test_seed_and_epoch_decide_alone(crop: str) -> None:
    plan = replace(
        PLAN, augmentation=replace(PLAN.augmentation, crop=crop, rgb_shift=0.1)
    )  # type: ignore[arg-type]
    once, again = (
        batches(plan, n_threads=1, epoch=2),
        batches(plan, n_threads=5, epoch=2),
    )
    for one, other in zip(once, again, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert one.rows.tolist() == other.rows.tolist()
    later = batches(plan, epoch=3)
    same = [torch.equal(a.pixels, b.pixels) for a, b in zip(once, later, strict=True)]
    assert not any(same)


def test_each_batch_is_changed_in_its_own_way() -> None:
    images = ImageSet.from_arrays(
        np.repeat(image_set(1).prepared([0]), 8, axis=0), np.zeros(8, int)
    )
    with Batches(images, PLAN, PREPROCESS, training=True) as made:
        one, other = made
    assert not torch.equal(one.pixels, other.pixels)


def test_continues_in_the_middle() -> None:
    whole, rest = batches(epoch=5), batches(epoch=5, start=2)
    assert len(rest) == 1
    assert torch.equal(rest[0].pixels, whole[2].pixels)
    assert rest[0].rows.tolist() == whole[2].rows.tolist()
    assert batches(start=3) == []


def test_one_image_is_not_left_alone() -> None:
    # batch normalisation cannot do with it
    assert [len(b.rows) for b in batches(n=9)] == [4, 5]
    assert [len(b.rows) for b in batches(n=9, training=False)] == [4, 4, 1]
    assert [len(b.rows) for b in batches(n=1)] == [1]
    assert [len(b.rows) for b in batches(n=3, batch=1)] == [1, 1, 1]
    assert batches(n=0) == []


def test_another_size_of_batch() -> None:
    assert [len(b.rows) for b in batches(batch=6)] == [6, 5]


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if "training-batches" in t.name]


def test_leaves_no_thread_when_left_early() -> None:
    with Batches(image_set(), PLAN, PREPROCESS, training=True) as made:
        next(iter(made))
        assert threads()
    assert not threads()
    with (
        pytest.raises(KeyError),
        Batches(image_set(), PLAN, PREPROCESS, training=True) as made,
    ):
        for _ in made:
            raise KeyError
    assert not threads()


def test_errors_of_threads_are_passed_on() -> None:
    class Broken(ImageSet):
        def prepared(self, rows: object) -> NDArray[np.uint8]:
            raise MemoryError("no room")

    good = image_set()
    images = Broken(**{name: getattr(good, name) for name in good.__dataclass_fields__})
    with pytest.raises(MemoryError, match="no room"):
        with Batches(images, PLAN, PREPROCESS, training=True) as made:
            next(iter(made))
    assert not threads()


def test_can_be_gone_through_twice() -> None:
    with Batches(image_set(), PLAN, PREPROCESS, training=True) as made:
        first, second = list(made), list(made)
    assert all(
        torch.equal(one.pixels, other.pixels)
        for one, other in zip(first, second, strict=True)
    )


def test_is_not_made_far_ahead() -> None:
    asked: list[int] = []

    class Counting(ImageSet):
        def prepared(self, rows: NDArray[np.integer]) -> NDArray[np.uint8]:  # type: ignore[override]
            asked.append(len(rows))
            return super().prepared(rows)

    good = image_set(400)
    images = Counting(
        **{name: getattr(good, name) for name in good.__dataclass_fields__}
    )
    with Batches(images, PLAN, PREPROCESS, training=True, n_threads=2) as made:
        next(iter(made))
    assert len(asked) <= 4
