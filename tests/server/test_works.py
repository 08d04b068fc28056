"""The queue is fair and bounded; images are embedded together, and dropped in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from servers import SECONDS, Recorder, png

from orangecontrib.imagemining.embedders.protocol import ImageBody
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.server import works as works_module
from orangecontrib.imagemining.server.metrics import Metrics
from orangecontrib.imagemining.server.queue import FairQueue
from orangecontrib.imagemining.server.settings import Settings
from orangecontrib.imagemining.server.works import Ticket, Works
from orangecontrib.imagemining.specs import EmbedderSpec

WAY = EmbedderSpec("squeezenet1_1", "features")


@dataclass(eq=False)
class Asked:
    client: str
    n: int

    def __len__(self) -> int:
        return self.n


def order_of(queue: FairQueue[Asked]) -> str:
    taken = ""
    while (found := queue.take()) is not None:
        taken += found[0].client
    return taken


def test_clients_take_turns() -> None:
    queue: FairQueue[Asked] = FairQueue(100)
    for client, n in (("a", 5), ("b", 2), ("c", 1)):
        assert queue.put(Asked(client, n))
    assert len(queue) == 8
    assert order_of(queue) == "abcabaaa"
    assert len(queue) == 0


def test_requests_of_one_client_take_turns() -> None:
    # pupils behind one address
    queue: FairQueue[Asked] = FairQueue(100)
    first, second = Asked("a", 3), Asked("a", 2)
    queue.put(first)
    queue.put(second)
    taken = [queue.take() for _ in range(5)]
    assert taken == [(first, 0), (second, 0), (first, 1), (second, 1), (first, 2)]


def test_full_queue_has_room_for_those_with_less_than_their_share() -> None:
    queue: FairQueue[Asked] = FairQueue(10)
    assert queue.put(Asked("a", 10))
    assert not queue.put(Asked("a", 1))
    assert not queue.put(Asked("b", 6))
    assert queue.put(Asked("b", 5))
    assert not queue.put(Asked("b", 1))
    assert queue.put(Asked("c", 3))
    assert not queue.put(Asked("d", 3))  # 10 more than the room is the end
    assert len(queue) == 18


def test_dropped_request_leaves_room() -> None:
    queue: FairQueue[Asked] = FairQueue(4)
    asked = Asked("a", 4)
    queue.put(asked)
    queue.take()
    assert queue.drop(asked) == 3
    assert queue.drop(asked) == 0
    assert (len(queue), queue.take()) == (0, None)
    assert queue.put(Asked("a", 4))


class Gate:
    """A network that waits until it is told to go on; its vectors are mean colours."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.began = threading.Semaphore(0)
        self.batches: list[int] = []

    def run(self, pixels: np.ndarray, layers: list[str]) -> dict[str, np.ndarray]:
        self.batches.append(len(pixels))
        self.began.release()
        assert self.open.wait(SECONDS)
        means = pixels.mean(axis=(1, 2), dtype=np.float32)
        return {name: means for name in layers}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(works_module, "engine_of", lambda way: gate)
    yield gate
    gate.open.set()


class Client:
    """Submits tickets, and waits for them."""

    def __init__(self, works: Works, order: list[str]) -> None:
        self.works, self.order = works, order
        self.done = threading.Semaphore(0)

    def ask(self, name: str, n: int) -> Ticket:
        def done() -> None:
            self.order.append(name)
            self.done.release()

        images = [ImageBody(png(seed)) for seed in range(n)]
        ticket = Ticket(name, WAY, ["features"], images, done)
        assert self.works.submit(ticket)
        return ticket

    def wait(self, n: int) -> None:
        for _ in range(n):
            assert self.done.acquire(timeout=SECONDS)


@pytest.fixture
def make_client() -> Iterator[Any]:
    made: list[Works] = []

    def make(**settings: Any) -> Client:
        chosen = Settings(**{"threads": 1, "max_batch": 4, "queue": 64, **settings})
        works = Works(chosen, Metrics(), Recorder())
        works.start()
        made.append(works)
        return Client(works, [])

    yield make
    for works in made:
        works.stop()


def test_small_request_does_not_wait_for_a_large_one(
    gate: Gate, make_client: Any
) -> None:
    client = make_client()
    client.ask("greedy", 60)
    assert gate.began.acquire(timeout=SECONDS)
    client.ask("small", 1)
    gate.open.set()
    client.wait(2)
    assert client.order == ["small", "greedy"]


def test_images_of_several_requests_go_together(gate: Gate, make_client: Any) -> None:
    client = make_client(max_wait=SECONDS)
    client.ask("first", 1)
    assert gate.began.acquire(timeout=SECONDS)
    tickets = [client.ask(str(number), 1) for number in range(3)]
    gate.open.set()
    client.wait(4)
    assert gate.batches == [1, 3]
    vectors = [ticket.outcomes[0]["features"] for ticket in tickets]
    for vector in vectors:
        np.testing.assert_array_equal(vector, vectors[0])


def test_each_image_gets_its_own_vector(make_client: Any, gate: Gate) -> None:
    gate.open.set()
    client = make_client()
    ticket = client.ask("a", 9)
    client.wait(1)
    vectors = np.stack([outcome["features"] for outcome in ticket.outcomes])
    assert len(np.unique(vectors, axis=0)) == 9
    alone = client.ask("b", 1)
    client.wait(1)
    np.testing.assert_array_equal(alone.outcomes[0]["features"], vectors[0])


def test_cancelled_request_is_not_computed(gate: Gate, make_client: Any) -> None:
    client = make_client(max_batch=1)
    client.ask("first", 1)
    assert gate.began.acquire(timeout=SECONDS)
    gone = client.ask("gone", 40)
    client.works.cancel(gone)
    assert client.works.n_waiting == 0
    client.ask("last", 1)
    gate.open.set()
    client.wait(2)
    assert client.order == ["first", "last"]
    assert len(gate.batches) == 2


def test_full_queue_takes_nothing(gate: Gate, make_client: Any) -> None:
    client = make_client(queue=8)
    while True:
        images = [ImageBody(png(0))] * 4
        ticket = Ticket("a", WAY, ["features"], images, lambda: None)
        if not client.works.submit(ticket):
            break
    assert 8 - 4 < client.works.n_waiting <= 8


def test_damaged_image_spoils_no_other(make_client: Any, gate: Gate) -> None:
    gate.open.set()
    client = make_client()
    done = threading.Event()
    images = [ImageBody(png(0)), ImageBody(png(1)[:60]), ImageBody(png(2))]
    ticket = Ticket("a", WAY, ["features"], images, done.set)
    client.works.submit(ticket)
    assert done.wait(SECONDS)
    assert [isinstance(outcome, str) for outcome in ticket.outcomes] == [
        False,
        True,
        False,
    ]


def test_failing_network_is_told_and_the_threads_live(
    make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(way: EmbedderSpec) -> None:
        raise RuntimeError("secret of a client")

    monkeypatch.setattr(works_module, "engine_of", fail)
    client = make_client()
    for _ in range(3):
        ticket = client.ask("a", 2)
        client.wait(1)
        assert all("could not embed" in outcome for outcome in ticket.outcomes)
    assert "RuntimeError" in client.works._log.text
    assert "secret" not in client.works._log.text


def test_folder_of_a_failing_network_is_for_the_log_only(
    make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(way: EmbedderSpec) -> None:
        raise WeightsError("/home/somebody/painters.onnx cannot be read")

    monkeypatch.setattr(works_module, "engine_of", fail)
    client = make_client()
    ticket = client.ask("a", 2)
    client.wait(1)
    assert all("could not embed" in outcome for outcome in ticket.outcomes)
    assert "/home/somebody/painters.onnx cannot be read" in client.works._log.text
