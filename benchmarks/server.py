"""How fast the server is for 1, 8 and 64 clients, with batches and without.

    python benchmarks/server.py [--images N] [--threads N] [--network NAME]

The server is a process of its own; all clients are another one, each a thread that
sends one image after the other, each in a request of its own. "of local" compares the
server's images a CPU second with `LocalEmbedder`'s, on the same images in the same run;
the clients' CPU time is in neither.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.protocol import (
    EMBED_PATH,
    ImageBody,
    Request,
    pack_request,
)
from orangecontrib.imagemining.specs import EmbedderSpec

_WAYS = {
    "batches": ["--max-batch", "8", "--max-wait-ms", "5"],
    "no batches": ["--max-batch", "1", "--max-wait-ms", "0"],
}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count() or 2)
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--clients", default="1,8,64")
    parser.add_argument("--client-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client_of:
        _be_clients(options.client_of)
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = _pictures(Path(folder), options.images)
        local = _local(options.network, paths)
        print(f"local: {local:.1f} images a CPU second")
        print(
            "| | clients | images/s | p50 ms | p95 ms | p99 ms | images/CPU s |", end=""
        )
        print(" of local | clients' CPU s |\n|" + "---|" * 9)
        for way, arguments in _WAYS.items():
            threads = ["--threads", str(options.threads)]
            with _server(
                [*arguments, *threads, "--networks", options.network]
            ) as found:
                address, process = found
                for n_clients in map(int, options.clients.split(",")):
                    _measure(
                        way, n_clients, address, process, options.network, paths, local
                    )


def _measure(
    way: str,
    n_clients: int,
    address: str,
    process: psutil.Process,
    network: str,
    paths: list[Path],
    local: float,
) -> None:
    _ask(address, network, paths[:16], 8)  # warm
    before = _cpu(process)
    told = _ask(address, network, paths, n_clients)
    spent = _cpu(process) - before
    p50, p95, p99 = np.percentile(told["seconds"], [50, 95, 99]) * 1000
    speed = len(paths) / spent
    print(
        f"| {way} | {n_clients} | {len(paths) / told['wall']:.1f} | {p50:.0f} |"
        f" {p95:.0f} | {p99:.0f} | {speed:.1f} | {100 * speed / local:.0f} % |"
        f" {told['cpu']:.1f} |",
        flush=True,
    )


def _ask(
    address: str, network: str, paths: list[Path], n_clients: int
) -> dict[str, Any]:
    task = json.dumps([address, network, list(map(str, paths)), n_clients])
    command = [sys.executable, __file__, "--client-of", "-"]
    done = subprocess.run(
        command, input=task, capture_output=True, text=True, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _be_clients(source: str) -> None:
    address, network, paths, n_clients = json.load(sys.stdin)
    requests = iter(
        [
            pack_request(Request(network, ("features",), (ImageBody(p.read_bytes()),)))
            for p in map(Path, paths)
        ]
    )
    lock = threading.Lock()
    seconds: list[float] = []

    def work() -> None:
        with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
            while True:
                with lock:
                    content = next(requests, None)
                if content is None:
                    return
                started = time.perf_counter()
                answer = client.post(EMBED_PATH, content=content)
                answer.raise_for_status()
                seconds.append(time.perf_counter() - started)

    threads = [threading.Thread(target=work) for _ in range(n_clients)]
    cpu, started = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - started
    told = {"wall": wall, "cpu": time.process_time() - cpu, "seconds": seconds}
    json.dump(told, sys.stdout)


def _local(network: str, paths: list[Path]) -> float:
    embedder = LocalEmbedder(
        EmbedderSpec(network, "features"), cache=VectorStore.in_memory()
    )
    names = list(map(str, paths))
    embedder(names[:16])
    started = time.process_time()
    result = LocalEmbedder(
        EmbedderSpec(network, "features"), cache=VectorStore.in_memory()
    )(names)
    spent = time.process_time() - started
    assert not any(result.reasons)
    return len(paths) / spent


@contextmanager
def _server(arguments: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    command = [
        sys.executable,
        "-m",
        "orangecontrib.imagemining",
        "serve",
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    address, is_ready = "", False
    for line in process.stderr:
        event = json.loads(line)
        address = event.get("address", address)
        is_ready |= event["event"] == "ready"
        if address and is_ready:
            break
    # what it logs is to be read, or it would wait
    stream = process.stderr
    threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()
    try:
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _pictures(folder: Path, number: int) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for place in range(number):
        small = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC)
        paths.append(folder / f"{place}.jpg")
        image.save(paths[-1], quality=90)
    return paths


if __name__ == "__main__":
    main()
