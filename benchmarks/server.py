#!/usr/bin/env python3
"""How fast the server is for 1, 8 and 64 clients, with batches and without.

Usage: .venv/bin/python benchmarks/server.py FOLDER [--images N] [--networks NAME,NAME]
       [--clients 1,8,64] [--threads N]

Sends the first N images (default 500; of large networks fewer) below FOLDER, each in a
request of its own, as Orange3-ImageAnalytics does; a client asks for the next one when
it has the last one's vector. The server is a process of its own. All clients are
threads of another one; it runs on the same cores, but its CPU time is counted apart.

"of local" compares the server's images a CPU second with `LocalEmbedder`'s on the same
images in the same run, in processes of their own before and after the server's: of the
two, the better one counts. Networks without weights here get made-up ones: they take as
long. The table is one for a page.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
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

TESTS = Path(__file__).parents[1] / "tests"
CHILD = "--one"  # how this file calls itself
WAYS = {
    "batches, a wait of 5 ms": (8, 5),
    "batches, no wait": (8, 0),
    "no batches": (1, 0),
}
HEAD = (
    "network",
    "",
    "clients",
    "images/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "images a batch",
    "images/CPU s",
    "of local",
    "clients' CPU s",
)
#: Images of the networks that take long, as a share of the others'.
SHARES = {"vgg": 0.08, "inception": 0.4, "resnet1": 0.4}


# what is measured, each in a process of its own ---------------------------------------


def local(network: str, paths: list[str]) -> dict[str, Any]:
    """Embed without a server."""
    from orangecontrib.imagemining.embedders import LocalEmbedder
    from orangecontrib.imagemining.embedders.cache import VectorStore
    from orangecontrib.imagemining.specs import EmbedderSpec

    spec = EmbedderSpec(network, "features")
    LocalEmbedder(spec, cache=VectorStore.in_memory())(paths[:16])
    embedder = LocalEmbedder(spec, cache=VectorStore.in_memory())
    wall, cpu = time.perf_counter(), time.process_time()
    result = embedder(paths)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert not any(result.reasons)
    return {"wall": wall, "cpu": cpu, "choice": embedder.choice.describe()}


def clients(
    address: str, network: str, paths: list[str], number: int
) -> dict[str, Any]:
    """Ask a server, `number` images at a time."""
    from orangecontrib.imagemining.embedders.protocol import (
        EMBED_PATH,
        ImageBody,
        Request,
        pack_request,
    )

    contents = [
        pack_request(Request(network, ("features",), (ImageBody(p.read_bytes()),)))
        for p in map(Path, paths)
    ]
    left = iter(contents)
    lock = threading.Lock()
    seconds: list[float] = []

    def work(client: httpx.Client) -> None:
        while True:
            with lock:
                content = next(left, None)
            if content is None:
                return
            started = time.perf_counter()
            client.post(EMBED_PATH, content=content).raise_for_status()
            seconds.append(time.perf_counter() - started)

    made = [
        httpx.Client(base_url=address, timeout=300, trust_env=False)
        for _ in range(number)
    ]
    threads = [threading.Thread(target=work, args=(client,)) for client in made]
    cpu, wall = time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert len(seconds) == len(contents)
    return {"wall": wall, "cpu": cpu, "seconds": seconds}


def made_up(networks: list[str]) -> dict[str, Any]:
    """Write weights of networks that have none here."""
    sys.path[:0] = [str(TESTS), str(TESTS / "server")]
    from servers import make_up_weights  # type: ignore[import-not-found]

    from orangecontrib.imagemining.weights import is_here, weights_of

    missing = [name for name in networks if not is_here(weights_of(name))]
    for name in missing:
        make_up_weights(name)
    return {"made_up": missing}


PARTS = {each.__name__: each for each in (local, clients, made_up)}


# measuring ----------------------------------------------------------------------------


def child(part: str, **arguments: Any) -> dict[str, Any]:
    """Return what a part of the measurement, in a fresh process, has found."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, CHILD, part],
        input=json.dumps(arguments),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def serving(
    network: str, batch: int, wait: int, threads: int
) -> Iterator[tuple[str, psutil.Process]]:
    """Run a server; give its address and its process."""
    command = [sys.executable, "-m", "orangecontrib.imagemining", "serve"]
    options = {
        "--port": 0,
        "--networks": network,
        "--max-batch": batch,
        "--max-wait-ms": wait,
        "--threads": threads,
    }
    for name, value in options.items():
        command += [name, str(value)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    stream = process.stderr
    assert stream is not None
    try:
        address, is_ready = "", False
        for line in stream:
            event = json.loads(line)
            address = event.get("address", address)
            is_ready |= event["event"] == "ready"
            if address and is_ready:
                break
        # what it logs is to be read, or it would wait
        threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has had."""
    times = process.cpu_times()
    return float(times.user + times.system)


def batches_of(address: str) -> tuple[float, float]:
    """Return how many images were embedded, and in how many batches."""
    text = httpx.get(f"{address}/metrics", trust_env=False).text
    found = dict(re.findall(r"^imagemining_batch_images_(\w+) (\S+)$", text, re.M))
    return float(found["sum"]), float(found["count"])


def measure(
    address: str, process: psutil.Process, network: str, paths: list[str], number: int
) -> list[str]:
    """Return a line's figures but for what is compared with others."""
    child("clients", address=address, network=network, paths=paths[:16], number=8)
    images, batches = batches_of(address)
    before = cpu_of(process)
    told = child(
        "clients", address=address, network=network, paths=paths, number=number
    )
    speed = len(paths) / (cpu_of(process) - before)
    now_images, now_batches = batches_of(address)
    together = (now_images - images) / (now_batches - batches)
    quantiles = np.percentile(told["seconds"], [50, 95, 99]) * 1000
    return [
        str(number),
        f"{len(paths) / told['wall']:.1f}",
        *(f"{quantile:.0f}" for quantile in quantiles),
        f"{together:.1f}",
        f"{speed:.1f}",
        f"{told['cpu']:.1f}",
    ]


def compare(network: str, paths: list[str], options: argparse.Namespace) -> list[str]:
    """Return the table's lines of a network."""
    first = child("local", network=network, paths=paths)
    found = []
    for way, (batch, wait) in WAYS.items():
        with serving(network, batch, wait, options.threads) as (address, process):
            for number in map(int, options.clients.split(",")):
                figures = measure(address, process, network, paths, number)
                print(".", end="", file=sys.stderr, flush=True)
                found.append([way, *figures])
    second = child("local", network=network, paths=paths)
    speeds = [len(paths) / each["cpu"] for each in (first, second)]
    walls = [len(paths) / each["wall"] for each in (first, second)]
    lines = [
        [
            network,
            f"local, {first['choice']}",
            "–",
            f"{max(walls):.1f}",
            *["–"] * 4,
            f"{max(speeds):.1f}",
            "100 %",
            "–",
        ]
    ]
    for *figures, spent in found:
        share = 100 * float(figures[-1]) / max(speeds)
        lines.append([network, *figures, f"{share:.0f} %", spent])
    apart = 100 * (1 - min(speeds) / max(speeds))
    note = f"{network}: {len(paths)} images; the two local runs are {apart:.0f} % apart"
    print(f"\n{note}", file=sys.stderr)
    return [f"| {' | '.join(line)} |" for line in lines]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count() or 2)
    parser.add_argument("--networks", default="squeezenet1_1,vgg16")
    parser.add_argument("--clients", default="1,8,64")
    options = parser.parse_args()
    endings = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
    files = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in endings)
    paths = list(map(str, files[: options.images]))
    if not paths:
        parser.error(f"there are no images in {options.folder}")
    networks = options.networks.split(",")
    lines = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["IMAGEMINING_HOME"] = home
        invented = child("made_up", networks=networks)["made_up"]
        for network in networks:
            kinds = [
                share for name, share in SHARES.items() if network.startswith(name)
            ]
            n = max(round(len(paths) * (kinds[0] if kinds else 1)), 1)
            lines += compare(network, paths[:n], options)
    megabytes = sum(path.stat().st_size for path in files[: len(paths)]) / 2**20
    print(
        f"{len(paths)} images of {megabytes / len(paths) * 1024:.0f} kB on the average,"
        f" {psutil.cpu_count()} cores, {options.threads} threads, Python"
        f" {platform.python_version()}."
    )
    if invented:
        print(f"Made-up weights: {', '.join(invented)}.")
    print(f"\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    print("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        json.dump(PARTS[sys.argv[2]](**json.load(sys.stdin)), sys.stdout)
    else:
        main()
