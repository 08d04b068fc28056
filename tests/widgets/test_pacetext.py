from __future__ import annotations

import pytest

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.widgets.utils.pacetext import (
    PaceText,
    duration,
    pace_in_words,
    with_pace,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_pace_and_time_left() -> None:
    clock = Clock()
    pace = PaceText(clock)
    # 1,000 were known already: they do not count as pace
    assert pace("1000 of 5000 images") == "1,000 of 5,000 images"
    clock.now += 0.5
    assert pace("1100 of 5000 images") == "1,100 of 5,000 images"
    clock.now += 0.5
    text = pace("1200 of 5000 images")
    assert text == "1,200 of 5,000 images · 200 images/s · 19 s left"
    assert pace("Loading the network") == "Loading the network"
    clock.now += 1
    assert pace("5,000 of 5,000 images") == "5,000 of 5,000 images"


def test_pace_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    pace = PaceText(clock)
    done = 0
    for seconds, speed in ((60, 100), (15, 10)):
        for _ in range(seconds):
            text = pace(f"{done} of 100000 images")
            clock.now += 1
            done += speed
    text = pace(f"{done} of 100000 images")
    assert "· 10 images/s ·" in text and text.endswith("2 h 36 min left")


def test_slow_work_and_other_embedders() -> None:
    clock = Clock()
    pace = PaceText(clock)
    pace("Embedder 1 of 2: 0 of 10 images")
    clock.now += 8
    text = pace("Embedder 1 of 2: 2 of 10 images")
    assert text == "Embedder 1 of 2: 2 of 10 images · 0.25 images/s · 32 s left"
    # the second begins anew, as does the same work done again
    text = pace("Embedder 2 of 2: 4 of 10 images")
    assert text == "Embedder 2 of 2: 4 of 10 images"
    clock.now += 2
    assert "1.5 images/s" in pace("Embedder 2 of 2: 7 of 10 images")
    assert pace("Embedder 2 of 2: 1 of 10 images") == "Embedder 2 of 2: 1 of 10 images"
    # why it waits is told at the end
    clock.now += 2
    text = pace("Embedder 2 of 2: 3 of 10 images; http://lab: busy")
    assert text.endswith("3 of 10 images · 1 images/s · 7 s left; http://lab: busy")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (89.4, "89 s"),
        (91, "2 min"),
        (3600, "60 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (36_000 + 1200, "10 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("pace", "text"), [(0.42, "0.42"), (3.14, "3.1"), (62.5, "62"), (1234.0, "1,234")]
)
def test_pace_in_words(pace: float, text: str) -> None:
    assert pace_in_words(pace) == f"{text} images/s"


def test_progress_is_passed_on_and_may_end_the_work() -> None:
    told: list[tuple[float, str]] = []

    def progress(fraction: float, status: str = "") -> None:
        told.append((fraction, status))
        if fraction == 0.5:
            raise TaskCancelled

    paced = with_pace(progress)
    paced(0)
    paced(0.1, "Loading the network")
    paced(0.2, "0 of 9 images")
    for number in range(1, 4):
        paced(number / 10, f"{number} of 9 images")
    assert told[:3] == [(0, ""), (0.1, "Loading the network"), (0.2, "0 of 9 images")]
    # the fraction always, the text when somebody can have read the last one
    assert [fraction for fraction, _ in told[3:]] == [0.1, 0.2, 0.3]
    assert told[-1][1] == ""
    paced(1, "9 of 9 images")
    assert told[-1] == (1, "9 of 9 images")
    with pytest.raises(TaskCancelled):
        paced(0.5)
