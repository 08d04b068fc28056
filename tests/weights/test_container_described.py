"""Whoever has nothing but doc/network-files.md can read compressed networks.

The reader here is made from that page alone: plain Python, a number at a time.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_networks import compressed_network

from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.image_network import ImageNetwork
from orangecontrib.imagemining.weights.network_file import save_network

FORMS = {"float32": "f", "float16": "e", "int64": "q", "int8": "b", "coded": "I"}


class Bits:
    """A row of bits, highest of a byte first."""

    def __init__(self, data: bytes) -> None:
        self.text = "".join(f"{byte:08b}" for byte in data)
        self.place = 0

    def number(self, n: int) -> int:
        text = self.text[self.place : self.place + n]
        self.place += n
        return int(text or "0", 2)

    def table(self, alphabet: int) -> list[int]:
        s, r = self.number(4), self.number(5)
        table, before = [], 0
        for _ in range(alphabet):
            n = 0
            while self.number(1):
                n += 1
            n = (n << r) + self.number(r)
            before += n // 2 if n % 2 == 0 else -(n + 1) // 2
            table.append(before << s)
        assert sum(table) == 16384
        return table


def size(shape: list[int]) -> int:
    n = 1
    for side in shape:
        n *= side
    return n


def read(content: bytes) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return the card, and the numbers of each tensor."""
    assert content[:8] == b"OIMCNET\0"
    version, _, *lengths = struct.unpack("<HH4I", content[8:28])
    assert version == 1
    assert zlib.crc32(content[:-4]) == struct.unpack("<I", content[-4:])[0]
    parts, start = [], 28
    for length in lengths:
        parts.append(content[start : start + length])
        start += length
    assert start + 4 == len(content)
    header = json.loads(zlib.decompress(parts[0]).decode("utf8"))
    tensors = header["tensors"]

    # pools: form, and of each member its name and how many numbers
    pools: list[tuple[str, list[tuple[str, int]]]] = []
    coded = [(name, k) for name, _, form, k, _ in tensors if form == "coded"]
    if coded:
        pools.append(("coded", coded))
    for each in ("float32", "float16", "int64", "int8"):
        small, large = [], []
        for name, shape, form, _, scaled in tensors:
            if form == "coded" and scaled and each == "float32":
                small.append((name, shape[0]))
            elif form == each:
                (small if size(shape) < 4096 else large).append((name, size(shape)))
        if small:
            pools.append((each, small))
        pools += [(each, [one]) for one in large]

    # groups: number of symbols, alphabet, whether of bytes
    groups = []
    for form, members in pools:
        n = sum(count for _, count in members)
        groups += [(n, 256, True)] * struct.calcsize("<" + FORMS[form])
    groups += [
        (size(shape), k, False) for _, shape, form, k, _ in tensors if form == "coded"
    ]
    bits = Bits(parts[1])
    tables: dict[int, list[int]] = {}
    for number, (_, k, is_bytes) in enumerate(groups):
        if number in header["tables"]:
            tables[number] = bits.table(k)
        elif not is_bytes:
            q, rest = divmod(16384, k)
            tables[number] = [q + (symbol < rest) for symbol in range(k)]

    # symbols of all groups
    plain = parts[2]
    total = sum(n for number, (n, _, _) in enumerate(groups) if number in tables)
    lanes = max(1, total // 4096, min(256, total // 1024))
    states = list(struct.unpack(f"<{lanes}I", parts[3][: 4 * lanes]))
    words = [word for (word,) in struct.iter_unpack("<H", parts[3][4 * lanes :])]
    words.reverse()
    symbols: list[list[int]] = []
    i = 0
    for number, (n, _, _) in enumerate(groups):
        if number not in tables:
            symbols.append(list(plain[:n]))
            plain = plain[n:]
            continue
        own = []
        for _ in range(n):
            x = states[i % lanes]
            slot, c, symbol = x % 16384, 0, 0
            while c + tables[number][symbol] <= slot:
                c += tables[number][symbol]
                symbol += 1
            f = tables[number][symbol]
            own.append(symbol)
            x = f * (x // 16384) + slot - c
            if x < 65536:
                x = 65536 * x + words.pop()
            states[i % lanes] = x
            i += 1
        symbols.append(own)
    assert not words
    assert not plain
    assert set(states) == {65536}

    # numbers of the pools
    values: dict[str, list[float]] = {}
    numbers: dict[str, list[float]] = {}
    place = 0
    for form, members in pools:
        width = struct.calcsize("<" + FORMS[form])
        planes = symbols[place : place + width]
        place += width
        whole = [
            number
            for raw in zip(*planes, strict=True)
            for number in struct.unpack("<" + FORMS[form], bytes(raw))
        ]
        for name, n in members:
            mine, whole = whole[:n], whole[n:]
            if form == "coded":
                u, values[name] = 0, []
                for difference in mine:
                    u = (u + difference) % 2**32
                    raw_bits = u - 2**31 if u >= 2**31 else 2**32 - 1 - u
                    values[name] += struct.unpack("<f", struct.pack("<I", raw_bits))
            else:
                numbers[name] = mine
    result = {}
    for name, shape, form, _, scaled in tensors:
        if form != "coded":
            result[name] = numbers[name]
            continue
        codes, place = symbols[place], place + 1
        found = [values[name][code] for code in codes]
        if scaled:
            each = len(found) // shape[0]
            found = [
                float(np.float32(value) * np.float32(numbers[name][at // each]))
                for at, value in enumerate(found)
            ]
        result[name] = found
    return header["card"], result


def large() -> ImageNetwork:
    """Return a network with something of all that there is."""
    network = compressed_network()
    rng = np.random.default_rng(0)
    codes = rng.choice(5, (3, 500), p=[0.8, 0.1, 0.05, 0.03, 0.02]).astype(np.uint8)
    scales = rng.random(3).astype(np.float32)
    scaled = Coded(np.float32([-2, -0.5, 0, 0.25, 1e-20]), codes, scales)
    half = rng.normal(size=40).astype(np.float16)
    tensors = {
        **network.tensors,
        "scaled": scaled.decoded,
        "many": (rng.normal(size=(70, 60)) / 40).astype(np.float32),
        "half": half.astype(np.float32),
        "count": np.array(5, np.int64),
    }
    stored = {**network.stored, "scaled": scaled, "half": half}
    return ImageNetwork(network.card, tensors, stored)


@pytest.mark.parametrize("make", [compressed_network, large])
def test_the_page_suffices(make: Any, tmp_path: Path) -> None:
    network = make()
    save_network(network, tmp_path / "cells.imnet")
    card, tensors = read((tmp_path / "cells.imnet").read_bytes())
    assert card["sha256"] == network.sha256
    assert card["network"]["classes"] == list(network.classes)
    assert list(tensors) == list(network.tensors)
    for name, tensor in network.tensors.items():
        assert tensors[name] == tensor.ravel().tolist()
