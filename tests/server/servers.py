"""Real servers for the tests, on loopback ports of their own."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from conftest import picture

from orangecontrib.imagemining.embedders.protocol import (
    EMBED_PATH,
    Answer,
    ImageBody,
    Request,
    pack_request,
    unpack_answer,
)
from orangecontrib.imagemining.server.logs import Log
from orangecontrib.imagemining.server.service import Service
from orangecontrib.imagemining.server.serving import Server
from orangecontrib.imagemining.server.settings import Settings
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights import WEIGHTS, weights_folder
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.weights.tensors import shapes_of

SECONDS = 180.0  # after which a test that waits has failed
# where the tests' computer is slow, its servers are not to take its clients for slow
_PATIENCE = (
    "arrive_seconds",
    "header_seconds",
    "idle_seconds",
    "patience",
    "request_seconds",
)


class Recorder(Log):
    """Keeps what is logged, as the lines that would be written."""

    def __init__(self) -> None:
        self._buffer = io.StringIO()
        super().__init__(self._buffer)
        self._more = threading.Condition()

    def write(self, event: str, **fields: Any) -> None:
        with self._more:
            super().write(event, **fields)
            self._more.notify_all()

    @property
    def text(self) -> str:
        with self._more:
            return self._buffer.getvalue()

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in found if event in ("", line["event"])]

    def wait_for(self, event: str, number: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait for the number-th line of an event with these fields; return it."""

        def found() -> list[dict[str, Any]]:
            return [
                line for line in self.lines(event) if fields.items() <= line.items()
            ]

        with self._more:
            assert self._more.wait_for(lambda: len(found()) >= number, SECONDS), (
                f"no {event} with {fields} in {self.text}"
            )
            return found()[number - 1]


class Running:
    """A server that runs."""

    def __init__(self, server: Server, service: Service, log: Recorder) -> None:
        self.server, self.service, self.log = server, service, log
        self.address = f"http://127.0.0.1:{server.port}"
        self.client = httpx.Client(
            base_url=self.address, timeout=SECONDS, trust_env=False
        )

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), SECONDS)

    def embed(self, request: Request, sizes: dict[str, int], **headers: str) -> Answer:
        answer = self.client.post(
            EMBED_PATH, content=pack_request(request), headers=headers
        )
        assert answer.status_code == 200, answer.text
        return unpack_answer(answer.content, sizes, len(request.images))

    def is_serving(self) -> bool:
        """Tell whether an image is still embedded as it should be."""
        # on a connection of its own: an open one may be about to be closed
        answer = httpx.post(
            f"{self.address}/image/squeezenet1_1",
            content=png(0),
            timeout=SECONDS,
            trust_env=False,
        )
        return answer.status_code == 200 and len(answer.json()["embedding"]) == 512


@contextmanager
def running(**settings: Any) -> Iterator[Running]:
    """Run a server in a thread; its port is any free one."""
    log = Recorder()
    usual = {"port": 0, "networks": ("squeezenet1_1",), "threads": 2}
    chosen = Settings(**{**usual, **dict.fromkeys(_PATIENCE, 600.0), **settings})
    chosen.check()
    service = Service(chosen, log=log)
    server = Server(service)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        log.wait_for("started")
        with log._more:  # a large network takes a while to be prepared
            assert log._more.wait_for(lambda: log.lines("ready"), 10 * SECONDS), (
                log.text
            )
        run = Running(server, service, log)
        with run.client:
            yield run
    finally:
        server.close()
        thread.join(SECONDS)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until something is so that nobody tells."""
    end, pause = time.monotonic() + SECONDS, threading.Event()
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        pause.wait(0.01)


def png(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    return encoded(seed, "PNG", size)


def encoded(seed: int, kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    picture(seed, size).save(stream, kind)
    return stream.getvalue()


def asking(
    images: list[bytes],
    network: str = "squeezenet1_1",
    layers: tuple[str, ...] = ("features",),
    **more: Any,
) -> Request:
    return Request(network, layers, tuple(map(ImageBody, images)), **more)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / lengths


def make_up_weights(name: str) -> Path:
    """Write weights with which a network's numbers stay of a usual size."""
    from safetensors.numpy import save_file

    card = WEIGHTS[name]
    rng = np.random.default_rng(0)
    tensors = {}
    for key, shape in shapes_of(card.network, card.num_classes).items():
        if len(shape) > 1:
            spread = np.sqrt(2 / np.prod(shape[1:]))
            tensors[key] = rng.normal(0, spread, shape).astype(np.float32)
        elif key.endswith(("running_var", "weight")):
            tensors[key] = np.ones(shape, np.float32)
        else:
            tensors[key] = np.zeros(shape, np.float32)
    place = weights_folder() / f"{card.name}.safetensors"
    place.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, place)
    return place


def made_up_network(architecture: str, side: int, **options: Any) -> ImageNetwork:
    """Return a network as if it had been trained, for images of side² pixels."""
    import torch

    from orangecontrib.imagemining.networks import create_network

    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = create_network(architecture, num_classes=3, **options)
    card = NetworkCard(
        title="Cells & more",
        architecture=architecture,
        classes=("round", "long", "broken"),
        preprocess=Preprocess((side, side), (0.5,) * 3, (0.25,) * 3),
        options=options,
        license="MIT",
        trained_on="cells",
    )
    tensors = {key: t.detach().numpy() for key, t in built.state_dict().items()}
    return ImageNetwork(card, tensors)
