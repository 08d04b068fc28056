#!/usr/bin/env python3
"""How small are compressed networks in our files, against how their authors kept them?

Usage: .venv/bin/python benchmarks/packed.py FILE [--out JSON]

FILE is ``compressed_SqueezeNet.net`` of songhan/SqueezeNet-Deep-Compression. It is read
and written as a compressed network; that must give the same weights bit for bit. Beside
it stands what the same weights need by relative indices of 4 bits and Huffman codes
(Han et al. 2016, arXiv:1510.00149, section 4), each table counted, and the entropy of
the codes if each weight is told by itself.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.classes import class_names
from orangecontrib.imagemining.weights import WEIGHTS
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.compressed import read_compressed
from orangecontrib.imagemining.weights.compressed_file import (
    load_compressed,
    save_compressed,
)
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.weights.packed.container import read_container
from orangecontrib.imagemining.weights.packed.header import BEGINNING, header_end
from orangecontrib.imagemining.weights.tensors import Tensors, shapes_of

_NAME = "squeezenet1_0"
_RUNS = 5
_SKIPS = 16  # a gap of 4 bits


def main(file: Path, out: Path) -> None:
    """Print what was measured, and write it."""
    theirs = file.read_bytes()
    tensors = read_compressed(theirs, shapes_of(_NAME))
    network = coded(tensors)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "squeezenet.imnet")
        writing, n_bytes = timed(lambda: save_compressed(network, path, replace=True))
        reading, again = timed(lambda: load_compressed(path))
        content = path.read_bytes()
        header = header_end(content[:BEGINNING], n_bytes, path.name)
    decoding, _ = timed(lambda: read_container(content))
    assert again == network
    for name, tensor in tensors.items():
        assert again.tensors[name].tobytes() == tensor.tobytes(), name
    huffman, entropy = 0, 0.0
    side = 0
    for layer in network.stored.values():
        assert isinstance(layer, Coded)
        huffman += relative_huffman(layer)
        entropy += entropy_of(count(layer.codes.ravel())) / 8
        side += layer.values.nbytes
    side += sum(t.nbytes for name, t in tensors.items() if name not in network.stored)
    huffman += side
    size = len(theirs)
    result: dict[str, Any] = {
        "file": file.name,
        "bytes": size,
        "float32": sum(tensor.nbytes for tensor in tensors.values()),
        "ours": n_bytes,
        "ours share": n_bytes / size,
        "ours without card": n_bytes - header,
        "ours without card share": (n_bytes - header) / size,
        "order-0 entropy": round(entropy + side),
        "order-0 entropy share": (entropy + side) / size,
        "relative indices and Huffman": huffman,
        "relative indices and Huffman share": huffman / size,
        "processor seconds writing": writing,
        "processor seconds reading": reading,
        "processor seconds decoding alone": decoding,
        "bit for bit": True,
    }
    for name, value in result.items():
        print(f"{name:<36}{value}")
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")


def coded(tensors: Tensors) -> ImageNetwork:
    """Return the authors' weights as a network whose layers share values."""
    stored = {}
    for name, tensor in tensors.items():
        if tensor.ndim > 1:
            values, codes = np.unique(tensor, return_inverse=True)
            stored[name] = Coded(values, codes.reshape(tensor.shape).astype(np.uint8))
    card = NetworkCard(
        title="SqueezeNet 1.0, compressed by its authors",
        architecture=_NAME,
        classes=class_names(),
        preprocess=WEIGHTS[_NAME].preprocess,
        license=WEIGHTS[_NAME].license,
    )
    return ImageNetwork(card, tensors, stored)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the shortest time of some runs, and what came of the last.

    Seconds of the processor, so that other programs on the machine do not count.
    """
    seconds = math.inf
    for _ in range(_RUNS):
        start = time.process_time()
        result = work()
        seconds = min(seconds, time.process_time() - start)
    return seconds, result


def count(symbols: NDArray[Any]) -> NDArray[np.int64]:
    """Return how often each symbol comes that comes."""
    return np.unique(symbols, return_counts=True)[1].astype(np.int64)


def entropy_of(counts: NDArray[np.int64]) -> float:
    """Return the bits of all symbols together, each told by itself."""
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def relative_huffman(tensor: Coded) -> int:
    """Return the bytes of a layer's codes by relative indices and Huffman codes.

    Weights that are not 0 are told by their code and by how many places they lie behind
    the last; over more than 16 places a code for 0 is put in. Codes and gaps have a
    Huffman code each, told by the length of each symbol's code in a byte.
    """
    zero = int(np.flatnonzero(tensor.values == 0)[0])
    flat = tensor.codes.ravel()
    places = np.flatnonzero(flat != zero)
    gaps = np.diff(places, prepend=-1)
    fillers = (gaps - 1) // _SKIPS
    codes = np.concatenate([flat[places], np.full(int(fillers.sum()), zero)])
    rests = np.concatenate([(gaps - 1) % _SKIPS, np.full(len(codes) - len(gaps), 15)])
    bits = huffman_bits(count(codes)) + huffman_bits(count(rests))
    return math.ceil(bits / 8) + len(tensor.values) + _SKIPS


def huffman_bits(counts: NDArray[np.int64]) -> int:
    """Return the bits of all symbols together by the best Huffman code."""
    heap = counts.tolist()
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    results = Path(__file__).parent / "results" / "packed.json"
    parser.add_argument("--out", type=Path, default=results)
    options = parser.parse_args()
    main(options.file, options.out)
