"""Which network is the result."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orangecontrib.imagemining.compression.choosing import Goal
from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.weights.image_network import OnnxNetwork


def trail(*pairs: tuple[int, float]) -> list[Candidate]:
    """Return candidates of so many bytes and such accuracies."""
    return [
        Candidate(step, f"step {step}", n_bytes, 1, accuracy, 1 - accuracy, 0.0)
        for step, (n_bytes, accuracy) in enumerate(pairs)
    ]


def choice(pairs: list[tuple[int, float]], **wanted: object) -> int:
    plan = CompressionPlan(**{"tolerance": None, **wanted})  # type: ignore[arg-type]
    return Goal(plan).choose(trail(*pairs))


WAY = [(1000, 0.90), (600, 0.91), (300, 0.895), (100, 0.80), (200, 0.85)]


def test_the_smallest_that_lost_no_more():
    assert choice(WAY, tolerance=0.005) == 2
    assert choice(WAY, tolerance=0.0) == 1
    assert choice(WAY, tolerance=0.05) == 4
    assert choice(WAY, tolerance=0.2) == 3


def test_a_loss_of_exactly_the_tolerance_is_within():
    # 0.9 - 0.895 is above 0.005 in floating point
    assert choice([(10, 0.9), (5, 0.895)], tolerance=0.005) == 1


def test_a_file_of_whole_numbers_is_wanted_for_its_speed():
    file = OnnxNetwork("onnx:/a.onnx", "A")
    way = trail(*WAY[:3])
    last = replace(trail(*WAY[:3], (2000, 0.9))[3], network=file)
    assert Goal(CompressionPlan(tolerance=0.0)).choose([*way, last]) == 3
    small = CompressionPlan(tolerance=0.0, target_bytes=1000)
    assert Goal(small).choose([*way, last]) == 1
    worse = replace(last, accuracy=0.89)
    assert Goal(CompressionPlan(tolerance=0.005)).choose([*way, worse]) == 2


def test_of_about_equal_sizes_the_more_accurate():
    assert choice([(10, 0.9), (5, 0.9), (5, 0.95)], tolerance=0.1) == 2
    way = [(1000, 0.9), (200, 0.88), (202, 0.89), (203, 0.9)]
    assert choice(way, tolerance=0.05) == 2
    # not where a size is wanted that cannot be had: then it is the nearest
    assert choice(way, tolerance=0.05, target_bytes=100) == 1


def test_the_most_accurate_within_the_target():
    assert choice(WAY, target_bytes=300) == 2
    assert choice(WAY, target_bytes=250) == 4
    assert choice(WAY, target_bytes=99) == 3  # the nearest


def test_both_wishes():
    assert choice(WAY, tolerance=0.05, target_bytes=300) == 2
    # nothing does both: accuracy goes first
    assert choice(WAY, tolerance=0.0, target_bytes=300) == 1


def test_without_wishes_it_is_the_last():
    assert choice(WAY) == 4


def test_without_images_it_is_the_last_or_the_first_within_the_target():
    way = [(1000, math.nan), (600, math.nan), (300, math.nan), (200, math.nan)]
    assert choice(way, tolerance=0.005) == 3
    assert choice(way, tolerance=0.005, target_bytes=400) == 2


@pytest.mark.parametrize(
    "wanted",
    [
        {"tolerance": 0.03},
        {"target_bytes": 400},
        {"tolerance": 0, "target_bytes": 1},
        {"tolerance": 0.03, "target_bytes": 300},
    ],
)
def test_what_is_given_up_is_never_chosen(wanted):
    goal = Goal(CompressionPlan(**{"tolerance": None, **wanted}))
    way = trail(
        *WAY,
        *((500, 0.92), (350, 0.9), (50, 0.1), (390, 0.93)),
        # 296 and 294 are as small as 293 each, 297 is not
        *((297, 0.9), (297, 0.9), (299, 0.92), (296, 0.88), (294, 0.87), (293, 0.88)),
    )
    way[9] = replace(way[9], loss=0.2)
    way[10] = replace(way[10], loss=0.1)
    gone: set[int] = set()
    for n in range(1, len(way) + 1):
        assert goal.choose(way[:n]) not in gone
        gone |= set(range(1, n - 1)) - goal.open_places(way[:n])
    assert len(gone) > 8


def test_what_was_not_reached_is_told_with_the_nearest():
    def words(**wanted: object) -> str:
        plan = CompressionPlan(**{"tolerance": None, **wanted})  # type: ignore[arg-type]
        return "; ".join(Goal(plan).words(trail(*WAY)))

    assert words(tolerance=0.01) == ""
    assert words(target_bytes=300) == ""
    assert "99 bytes were not reached; the nearest has 100" in words(target_bytes=99)
    both = words(tolerance=0.005, target_bytes=150)
    assert "without losing more than planned; the nearest has 300" in both
    assert "The smallest, step 3, has 100 and lost 10 points" in both
    same = Goal(CompressionPlan(tolerance=0.01)).words(trail((9, 0.9), (12, 0.9)))
    assert "No step made the file smaller" in same[0]
    ruined = Goal(CompressionPlan(tolerance=0.01)).words(trail((9, 0.9), (5, 0.4)))
    assert "the network is as it was. The nearest, step 1, lost 50 points" in ruined[0]
