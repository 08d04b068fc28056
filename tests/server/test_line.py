"""How much is under way at once."""

from __future__ import annotations

import asyncio

from orangecontrib.imagemining.embedders.line import Line


def test_one_more_a_round_and_half_after_a_bad_answer() -> None:
    line = Line(8)
    assert line.limit == 2
    for _ in range(60):
        line.went_well(0.1, 16)
    assert line.limit == 8
    line.went_badly()
    assert line.limit == 4
    for _ in range(5):
        line.went_badly()
    assert line.limit == 1
    line.went_well(0.1, 16)
    assert line.limit == 2
    line.went_well(0.1, 16)
    assert line.limit == 2.5


def test_no_more_where_answers_only_take_longer() -> None:
    line = Line(8)
    # a server that does one request at a time: twice as many take twice as long
    for _ in range(60):
        line.went_well(0.1 * int(line.limit), 16)
    assert 5 < line.limit < 7.5


def test_what_was_slow_at_first_is_forgotten() -> None:
    line = Line(8)
    line.went_well(30.0, 16)  # the network was loaded
    for _ in range(60):
        line.went_well(0.1, 16)
    assert line.limit == 8
    # and so is a time when the server was all ours
    for _ in range(900):
        line.went_well(1.0, 16)
    assert line.limit == 8


def test_bytes_of_a_request() -> None:
    line = Line(8)
    first = line.n_bytes
    line.went_well(60.0, 16)
    assert line.n_bytes == first
    line.went_well(1.0, 16)
    assert line.n_bytes == 2 * first
    for _ in range(9):
        line.went_well(1.0, 16)
    assert line.n_bytes == 4 * 2**20
    line.was_too_much(9 * 2**20)
    assert line.n_bytes == 2 * 2**20
    line.was_too_much(2**20)
    assert line.n_bytes == 2**19
    assert line.has_room(2**20) and not line.has_room(2**20 + 1)
    for _ in range(30):
        line.was_too_much(2**20)
    assert line.n_bytes == 64 * 2**10


def test_places() -> None:
    async def main() -> list[int]:
        line, n, counts = Line(3), 0, []
        line.limit = 3.0

        async def work() -> None:
            nonlocal n
            async with line.place():
                n += 1
                counts.append(n)
                await asyncio.sleep(0)
                n -= 1

        await asyncio.gather(*(work() for _ in range(20)))
        return counts

    counts = asyncio.run(main())
    assert (len(counts), max(counts)) == (20, 3)
