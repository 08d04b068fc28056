"""Eight clients, a bad connection, and a server that is killed three times.

    python benchmarks/server_faults.py [--images 5000] [--clients 8] [--seconds 600]

Every image has to end with its own right vector, none twice, none lost. A proxy between
the clients and the server drops, delays, cuts and garbles. The images are small: it is
the connection that is tried here, not the network.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "server"))

from faults import (  # type: ignore[import-not-found]  # noqa: E402
    Faults,
    bad_connection,
)

from orangecontrib.imagemining.embedders import LocalEmbedder  # noqa: E402
from orangecontrib.imagemining.embedders.remote import RemoteEmbedder  # noqa: E402
from orangecontrib.imagemining.exceptions import ServerError  # noqa: E402
from orangecontrib.imagemining.specs import EmbedderSpec  # noqa: E402

_SPEC = EmbedderSpec("squeezenet1_1", "features")
_FAULTS = Faults(drop=0.05, delay=0.02, longest=1.0, cut=0.004, garble=0.004)
_KILLS = 3


class _Kept:
    """Counts what comes, and knows it."""

    def __init__(self) -> None:
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self.counts: Counter[str] = Counter()

    def lookup(
        self, images: Sequence[str | None]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        nothing = np.full(512, np.nan, np.float32)
        vectors = [self.vectors.get(image or "", nothing) for image in images]
        return np.array(vectors), np.array([image in self.vectors for image in images])

    def keep(self, images: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self.counts.update(images)
        self.vectors.update(zip(images, vectors, strict=True))


class _Server:
    """A process that can be killed and comes back at the same port."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "orangecontrib.imagemining", "serve"),
                *("--port", str(self.port), "--networks", "squeezenet1_1"),
                *("--arrive-seconds", "10"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        stream = self._process.stderr
        assert stream is not None
        for line in stream:
            if json.loads(line)["event"] == "started":
                break
        threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Run, and print what came of it; the exit status tells whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = _pictures(Path(folder), options.images)
        sys.exit(_run(paths, options.clients, options.seconds))


def _run(paths: list[str], n_clients: int, seconds: float) -> int:
    server = _Server()
    kept = [_Kept() for _ in range(n_clients)]
    runs: Counter[str] = Counter()
    started = time.monotonic()

    def work(number: int) -> None:
        share = paths[number::n_clients]
        while time.monotonic() - started < seconds:
            embedder = RemoteEmbedder(
                address, _SPEC, known=kept[number], patience=20, most=4
            )
            try:
                result = embedder(share)
            except ServerError as ex:
                runs[f"broken off: {str(ex)[:60]}"] += 1
                continue
            runs["broken off" if result.trouble else "complete"] += 1
            if not result.trouble:
                return

    with bad_connection(("127.0.0.1", server.port), _FAULTS) as proxy:
        address = proxy.address
        threads = [
            threading.Thread(target=work, args=(number,)) for number in range(n_clients)
        ]
        for thread in threads:
            thread.start()
        for number in range(1, _KILLS + 1):
            while _n_done(kept) < len(paths) * number / (_KILLS + 1):
                time.sleep(0.1)
                if time.monotonic() - started > seconds:
                    break
            server.kill()
            time.sleep(1)
            server.start()
        for thread in threads:
            thread.join()
        faults = dict(proxy.counts)
    server.kill()
    wall = time.monotonic() - started
    print(f"{len(paths)} images, {n_clients} clients, {wall:.0f} s, {faults}")
    print(f"server killed and started again: {_KILLS} times; runs: {dict(runs)}")
    return _judge(paths, kept)


def _judge(paths: list[str], kept: list[_Kept]) -> int:
    """Compare with what this computer gives by itself."""
    expected = LocalEmbedder(_SPEC)(paths).vectors
    vectors = {path: v for each in kept for path, v in each.vectors.items()}
    twice = sum(count > 1 for each in kept for count in each.counts.values())
    lost = sum(path not in vectors for path in paths)
    got = np.array([vectors.get(path, np.zeros(512)) for path in paths], np.float32)
    lengths = np.linalg.norm(got, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = (got * expected).sum(axis=1) / np.maximum(lengths, 1e-12)
    wrong = int((cosine < 0.9999).sum()) - lost
    print(
        f"lost {lost}, twice {twice}, wrong {wrong}, lowest cosine {cosine.min():.8f}"
    )
    return int(bool(lost or twice or wrong))


def _n_done(kept: list[_Kept]) -> int:
    return sum(len(each.vectors) for each in kept)


def _pictures(folder: Path, number: int) -> list[str]:
    rng = np.random.default_rng(0)
    paths = []
    for place in range(number):
        small = rng.integers(0, 256, (3, 3, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((64, 48), Image.Resampling.BICUBIC)
        paths.append(str(folder / f"{place}.png"))
        image.save(paths[-1])
    return paths


if __name__ == "__main__":
    main()
