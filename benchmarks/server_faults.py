"""Eight clients, a bad connection, and a server that is killed three times.

    python benchmarks/server_faults.py FOLDER [--images 5000] [--clients 8]

Every image of the folder has to end with its own right vector, none twice, none lost. A
proxy between the clients and the server drops, delays, cuts and garbles all the time;
the server is killed (SIGKILL) when a quarter, a half and three quarters are done, and
started again some seconds later. Where the folder has too few images, parts of them are
cut out. Prints its figures as a table; the exit status tells whether all is well.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from orangecontrib.imagemining.embedders.cache import VectorStore  # noqa: E402
from orangecontrib.imagemining.embedders.pipeline import FileContent  # noqa: E402
from orangecontrib.imagemining.embedders.remote import RemoteEmbedder  # noqa: E402
from orangecontrib.imagemining.exceptions import ServerError  # noqa: E402
from orangecontrib.imagemining.images import find_images  # noqa: E402
from orangecontrib.imagemining.specs import EmbedderSpec  # noqa: E402

_SPEC = EmbedderSpec("squeezenet1_1", "features")
#: Of a new connection; and of each piece of up to 16 kB, of which an image has some 4.
_FAULTS = Faults(drop=0.05, delay=0.02, longest=1.0, cut=0.004, garble=0.004)
_KILLS, _DOWN = 3, 5.0  # times; seconds
_RIGHT = 0.9999  # cosine


class _Kept:
    """Counts what comes, and knows it."""

    def __init__(self) -> None:
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self.counts: Counter[str] = Counter()

    def lookup(
        self, images: Sequence[str | None], progress: object = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        nothing = np.full(512, np.nan, np.float32)
        vectors = [self.vectors.get(image or "", nothing) for image in images]
        return np.array(vectors), np.array([image in self.vectors for image in images])

    def find(
        self, file: FileContent, layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        return {}

    def keep(
        self, files: Sequence[FileContent], vectors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        for file, vector in zip(files, vectors[_SPEC.layer], strict=True):
            self.counts[file.source] += 1
            self.vectors[file.source] = vector


@dataclass
class _Client:
    """One of the clients, and what it has got in the end.

    Attributes
    ----------
    share : its images.
    kept : what it was given, run after run.
    vectors : its last run's output; rows without a vector are NaN.
    runs : how its runs ended.
    """

    share: list[str]
    kept: _Kept = field(default_factory=_Kept)
    vectors: NDArray[np.float32] | None = None
    runs: Counter[str] = field(default_factory=Counter)

    def work(self, address: str, until: float) -> None:
        """Embed, and go on where it was broken off, as a user would."""
        while time.monotonic() < until:
            embedder = RemoteEmbedder(
                address, _SPEC, known=self.kept, patience=60, most=4
            )
            try:
                result = embedder(self.share)
            except ServerError as ex:
                self.runs[f"broken off ({str(ex)[:80]})"] += 1
                continue
            self.vectors = result.vectors
            if not result.trouble:
                self.runs["complete"] += 1
                return
            self.runs[f"broken off ({result.trouble[:80]})"] += 1


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
                *("--port", str(self.port), "--networks", _SPEC.network),
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
    """Run, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=900, help="at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = _images(options.folder, options.images, Path(folder))
        clients = [_Client(paths[n :: options.clients]) for n in range(options.clients)]
        expected = LocalEmbedder(_SPEC, cache=VectorStore.in_memory())(paths).vectors
        seconds, faults = _run(clients, options.seconds)
        good = _judge(dict(zip(paths, expected, strict=True)), clients, seconds, faults)
    sys.exit(not good)


def _run(clients: list[_Client], seconds: float) -> tuple[float, dict[str, int]]:
    """Return the seconds that it took, and what the connection did."""
    n = sum(len(client.share) for client in clients)
    server = _Server()
    started = time.monotonic()
    until = started + seconds
    with bad_connection(("127.0.0.1", server.port), _FAULTS) as proxy:
        threads = [
            threading.Thread(target=client.work, args=(proxy.address, until))
            for client in clients
        ]
        for thread in threads:
            thread.start()
        for number in range(1, _KILLS + 1):
            while _n_done(clients) < n * number / (_KILLS + 1):
                time.sleep(0.05)
                if time.monotonic() > until:
                    break
            server.kill()
            time.sleep(_DOWN)
            server.start()
        for thread in threads:
            thread.join()
        wall = time.monotonic() - started
        faults = dict(proxy.counts)
    server.kill()
    return wall, faults


def _judge(
    expected: dict[str, NDArray[np.float32]],
    clients: list[_Client],
    seconds: float,
    faults: dict[str, int],
) -> bool:
    """Compare with what this computer gives, print, tell whether all is well."""
    lost = twice = wrong = 0
    lowest = 1.0
    runs: Counter[str] = Counter()
    for client in clients:
        runs.update(client.runs)
        twice += sum(count > 1 for count in client.kept.counts.values())
        rows = client.vectors
        if rows is None or len(rows) != len(client.share):
            lost += len(client.share)
            continue
        for path, row in zip(client.share, rows, strict=True):
            right = expected[path]
            if not np.isfinite(row).all():
                lost += 1
                continue
            lengths = float(np.linalg.norm(row) * np.linalg.norm(right))
            cosine = float(row @ right) / max(lengths, 1e-12)
            lowest = min(lowest, cosine)
            wrong += cosine < _RIGHT
    n = len(expected)
    rows_of_table = {
        "images, clients": f"{n:,}, {len(clients)}",
        "time": f"{seconds:.0f} s, {n / seconds:.0f} images/s",
        "connections dropped": f"{faults['drop']:,}",
        "connections refused, as nobody listened": f"{faults['refused']:,}",
        "pieces held back, up to a second": f"{faults['delay']:,}",
        "connections cut within a piece": f"{faults['cut']:,}",
        "bytes garbled": f"{faults['garble']:,}",
        "server killed and started again": f"{_KILLS} times",
        **{f"runs of clients: {how}": str(count) for how, count in runs.items()},
        "images lost": f"{lost}",
        "images twice": f"{twice}",
        "wrong vectors": f"{wrong}; lowest cosine with the local one {lowest:.7f}",
    }
    print(f"Cores: {os.cpu_count()}\n\n| what | |\n|---|---|")
    for name, value in rows_of_table.items():
        print(f"| {name} | {value} |")
    return not (lost or twice or wrong)


def _n_done(clients: list[_Client]) -> int:
    return sum(len(client.kept.vectors) for client in clients)


def _images(folder: Path, number: int, spare: Path) -> list[str]:
    """Return that many images, no two the same; parts of them in the spare folder."""
    found = [str(folder / path) for path in find_images(folder).paths]
    if not found:
        sys.exit(f"There are no images in {folder}")
    paths = found[:number]
    scale = 1.0
    while len(paths) < number:
        scale *= 0.8
        for place, path in enumerate(found[: number - len(paths)]):
            with Image.open(path) as image:
                right, bottom = image.width * scale, image.height * scale
                part = image.convert("RGB").crop((0, 0, round(right), round(bottom)))
            paths.append(str(spare / f"{scale:.2f}-{place}.png"))
            part.save(paths[-1])
    return paths


if __name__ == "__main__":
    main()
