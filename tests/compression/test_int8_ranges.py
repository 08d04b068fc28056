"""Ranges of numbers, and the whole numbers that stand for them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from orangecontrib.imagemining.compression.int8_ranges import Scale, Seen, scale_for
from orangecontrib.imagemining.exceptions import UnknownNameError


def seen_of(*batches: np.ndarray) -> Seen:
    seen = Seen()
    tensors = [torch.from_numpy(batch.astype(np.float32)) for batch in batches]
    for tensor in tensors:
        seen.stretch(tensor)
    for tensor in tensors:
        seen.spread(tensor)
    return seen


@pytest.mark.parametrize(
    ("low", "high", "step", "zero"),
    [
        (0.0, 25.5, 0.1, 0),
        (-1.0, 1.55, 0.01, 100),
        (2.0, 51.0, 0.2, 0),  # 0 is always told
        (-51.0, -2.0, 0.2, 255),
        (0.0, 0.0, 1.0, 0),
    ],
)
def test_scale_of_a_range(low: float, high: float, step: float, zero: int) -> None:
    scale = scale_for(low, high)
    assert scale.step == pytest.approx(step, rel=1e-6)
    assert scale.zero == zero
    assert scale.low <= 0 <= scale.high


def test_nothing_was_seen() -> None:
    for method in ("minmax", "percentile", "entropy"):
        assert Seen().scale(method) == Scale(1.0, 0)
        assert seen_of(np.zeros(100)).scale(method) == Scale(1.0, 0)


def test_all_batches_count() -> None:
    scale = seen_of(np.array([0.5, 2.0]), np.array([-1.0, 0.5])).scale("minmax")
    assert (scale.low, scale.high) == pytest.approx((-1.0, 2.0), abs=scale.step)


def test_few_large_numbers_are_cut_off() -> None:
    batches = [np.linspace(0, 1, 60_000)] * 4
    batches[0] = np.append(batches[0], 3.0)
    assert seen_of(*batches).scale("minmax").high == pytest.approx(3)
    assert seen_of(*batches).scale("percentile").high == pytest.approx(1, abs=0.01)
    # here most would be told by a handful of levels
    narrow = np.append(np.random.default_rng(0).normal(0, 0.1, 60_000), [10.0])
    assert seen_of(narrow).scale("minmax").high > 9.9
    assert 0.2 < seen_of(narrow).scale("entropy").high < 5


def test_what_is_spread_evenly_is_not_cut_off() -> None:
    numbers = np.linspace(-1, 2, 60_001)
    for method in ("percentile", "entropy"):
        scale = seen_of(numbers).scale(method)
        assert (scale.low, scale.high) == pytest.approx((-1, 2), abs=0.05)


def test_unknown_method() -> None:
    with pytest.raises(UnknownNameError, match="percentile.*'luck'"):
        Seen().scale("luck")
