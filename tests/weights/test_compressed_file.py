"""Compressed networks as files: the same comes back, and no damage goes unseen."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from orangecontrib.imagemining.exceptions import (
    FilesExistError,
    TaskCancelled,
    WeightsError,
)
from orangecontrib.imagemining.specs import Layer, Preprocess
from orangecontrib.imagemining.weights import compressed_file
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.compressed_file import (
    compressed_size,
    load_compressed,
    save_compressed,
)
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard
from orangecontrib.imagemining.weights.network_file import (
    load_network_file,
    read_head,
    save_network,
)

#: How many made-up files are tried; more by IMAGEMINING_FUZZ.
N_FUZZED = int(os.environ.get("IMAGEMINING_FUZZ", "200"))

CARD = NetworkCard(
    title="Blutzellen, größer",
    architecture="toy",
    classes=("a", "b", "c"),
    preprocess=Preprocess((16, 16), (0.5, 0.5, 0.5), (0.2, 0.3, 0.2), 1 / 255),
    figures={"accuracy": 0.5},
    notes="two\nlines",
    layers=(Layer("logits", 3, "the last"),),
)


def network(seed: int = 0, **changes: Any) -> ImageNetwork:
    """Return a network as random steps of a compression leave it."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Any] = {"count": np.array(7, np.int64)}
    stored: dict[str, Any] = {}
    for number in range(rng.integers(2, 6)):
        name = f"layer{number}.weight"
        shape = tuple(map(int, rng.integers(0 if seed > 3 else 1, 9, rng.integers(5))))
        plain = rng.normal(size=shape).astype(np.float32)
        kind = rng.choice(["plain", "coded", "half"])
        if kind == "coded":
            k = int(rng.choice([1, 2, 15, 256, 4096]))
            codes = rng.integers(0, k, shape).astype(np.uint8 if k <= 256 else "u2")
            scales = None
            if shape and rng.random() < 0.5:
                scales = rng.random(shape[0]).astype(np.float32)
            values = rng.normal(size=k).astype(np.float32)
            stored[name] = Coded(values, codes, scales)
            plain = stored[name].decoded
        elif kind == "half":
            stored[name] = np.asarray(plain, np.float16)
            plain = np.asarray(stored[name], np.float32)
        tensors[name] = np.asarray(plain)
    return ImageNetwork(replace(CARD, **changes), tensors, stored)


def small() -> ImageNetwork:
    """Return a network whose file has a bit of everything in 700 bytes."""
    rng = np.random.default_rng(0)
    codes = rng.choice(4, (8, 20), p=[0.8, 0.1, 0.05, 0.05]).astype(np.uint8)
    how = Coded(np.float32([0, 1, -1, 0.5]), codes, rng.random(8).astype(np.float32))
    half = rng.normal(size=6).astype(np.float16)
    tensors = {
        "a": how.decoded,
        "b": half.astype(np.float32),
        "c": np.array([1, -2, 1e-40], np.float32),
        "n": np.array(3, np.int64),
    }
    return ImageNetwork(CARD, tensors, {"a": how, "b": half})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cells.imnet"


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(WeightsError) as error:
        load_compressed(path)
    return str(error.value)


def assert_same(ours: ImageNetwork, theirs: ImageNetwork) -> None:
    assert ours == theirs
    assert (ours.sha256, ours.name) == (theirs.sha256, theirs.name)
    assert ours.card == theirs.card
    assert ours.card.layers == theirs.card.layers
    assert list(ours.tensors) == list(theirs.tensors)
    for name, tensor in ours.tensors.items():
        found = theirs.tensors[name]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert found.tobytes() == tensor.tobytes()
        # torch wants to own what it is given
        assert found.flags.writeable
    assert set(ours.stored) == set(theirs.stored)
    for name, how in theirs.stored.items():
        told = ours.stored[name]
        assert type(how) is type(told)
        if isinstance(how, Coded) and isinstance(told, Coded):
            assert sorted(how.values) == sorted(told.values)
            assert how.decoded.tobytes() == told.decoded.tobytes()
        elif isinstance(how, np.ndarray) and isinstance(told, np.ndarray):
            assert (how.dtype, how.tobytes()) == (told.dtype, told.tobytes())


# what comes back --------------------------------------------------------------


@pytest.mark.parametrize("seed", range(16))
def test_the_same_comes_back(path: Path, seed: int) -> None:
    saved = network(seed)
    size = save_compressed(saved, path)
    assert size == path.stat().st_size == compressed_size(saved)
    assert_same(saved, load_compressed(path))
    head = read_head(path)
    assert (head.card, head.sha256, head.name) == (CARD, saved.sha256, saved.name)
    assert (head.n_parameters, head.n_bytes) == (saved.n_parameters, size)


def test_one_function_opens_both_kinds(path: Path) -> None:
    assert save_network(small(), path) < 700
    assert path.read_bytes()[:7] == b"OIMCNET"
    assert_same(small(), load_network_file(path))
    # by what is in it, whatever it is called
    assert_same(small(), load_network_file(path.rename(path.with_suffix(".bin"))))


def test_sharing_and_zeros_make_it_small(path: Path) -> None:
    rng = np.random.default_rng(0)
    codes = np.where(rng.random((100, 400)) < 0.9, 0, rng.integers(1, 16, (100, 400)))
    how = Coded(np.linspace(-1, 1, 16).astype(np.float32), codes.astype(np.uint8))
    compressed = ImageNetwork(CARD, {"a": how.decoded}, {"a": how})
    counts = np.bincount(codes.ravel())
    entropy = -(counts * np.log2(counts / codes.size)).sum() / 8
    assert entropy < save_compressed(compressed, path) < 1.01 * entropy + 700
    assert_same(compressed, load_compressed(path))


def test_what_is_told_wrongly_of_a_tensor_does_no_harm(path: Path) -> None:
    saved = small()
    wrong = Coded(np.float32([9]), np.zeros((8, 20), np.uint8))
    save_compressed(replace(saved, stored={"a": wrong, "b": np.float16([1])}), path)
    loaded = load_compressed(path)
    assert loaded == saved
    assert loaded.stored == {}


def test_values_in_disorder_take_no_more_room() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.normal(size=256)).astype(np.float32)
    codes = rng.integers(0, 256, (50, 50)).astype(np.uint8)
    order = rng.permutation(256)
    sizes = []
    for coded in (
        Coded(values, codes),
        Coded(values[order], np.argsort(order)[codes].astype(np.uint8)),
    ):
        sizes.append(
            compressed_size(ImageNetwork(CARD, {"a": coded.decoded}, {"a": coded}))
        )
    assert sizes[0] == sizes[1]


# files that are there, progress -----------------------------------------------


def test_nothing_is_overwritten_unasked(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(FilesExistError):
        save_compressed(small(), path)
    assert path.read_text() == "mine"
    save_compressed(small(), path, replace=True)
    assert load_compressed(path) == small()
    with pytest.raises(FilesExistError, match="folder"):
        save_compressed(small(), path.parent, replace=True)
    with pytest.raises(WeightsError, match="cannot be written"):
        save_compressed(small(), path.parent / "no" / "cells.imnet")


def test_progress_and_cancelling(path: Path) -> None:
    path.write_text("mine")
    for end in (0.0, 0.5, 0.9):

        def stop(fraction: float, status: str = "", end: float = end) -> None:
            if fraction >= end:
                raise TaskCancelled

        with pytest.raises(TaskCancelled):
            save_compressed(small(), path, True, stop)
        assert [each.name for each in path.parent.iterdir()] == [path.name]
        assert path.read_text() == "mine"
    told: list[float] = []

    def listen(fraction: float, status: str = "") -> None:
        told.append(fraction)

    save_compressed(small(), path, True, listen)
    assert told == sorted(told)
    assert told[-1] == 1
    told.clear()
    load_compressed(path, listen)
    assert told == sorted(told)
    assert told[-1] == 1
    with pytest.raises(TaskCancelled):
        load_compressed(path, stop)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_failed_networks_are_not_saved(path: Path, bad: float) -> None:
    failed = ImageNetwork(CARD, {"a": np.array([bad], np.float32)})
    with pytest.raises(WeightsError, match="training has failed"):
        save_compressed(failed, path)
    assert not path.exists()
    assert compressed_size(failed) > 0
    with pytest.raises(WeightsError, match="float64"):
        save_compressed(ImageNetwork(CARD, {"a": np.zeros(1)}), path)


# damage -----------------------------------------------------------------------


def put(stream: BinaryIO, place: int, piece: bytes) -> None:
    stream.seek(place)
    stream.write(piece)


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    save_compressed(small(), path)
    content = path.read_bytes()
    assert 600 < len(content) < 700
    told = set()
    with open(path, "r+b", buffering=0) as stream:
        for bit in range(8 * len(content)):
            place, flip = bit // 8, 1 << bit % 8
            put(stream, place, bytes([content[place] ^ flip]))
            with pytest.raises(WeightsError) as error:
                load_compressed(path)
            told.add(str(error.value).partition("(")[0])
            put(stream, place, content[place : place + 1])
    assert load_compressed(path) == small()
    assert any("later version" in text for text in told)
    assert any("no compressed network" in text for text in told)
    assert all(text.startswith("cells.imnet ") for text in told)


def test_every_length_is_noticed(path: Path) -> None:
    save_compressed(small(), path)
    content = path.read_bytes()
    assert "too long" in refusal(path, content + b"\0")
    for length in reversed(range(len(content))):
        os.truncate(path, length)
        with pytest.raises(WeightsError, match="cut short|empty|no compressed"):
            load_compressed(path)
    path.write_bytes(content[:300])
    with pytest.raises(WeightsError, match="cut short"):
        read_head(path)


def test_what_is_told_of_files(path: Path, tmp_path: Path) -> None:
    save_compressed(small(), path)
    content = bytearray(path.read_bytes())
    assert "cut short: 500 bytes in place of" in refusal(path, bytes(content[:500]))
    assert "is empty" in refusal(path, b"")
    assert "no compressed network" in refusal(path, b"something else" * 9)
    later = bytearray(content)
    later[8] = 2
    assert "later version of this add-on; update" in refusal(path, bytes(later))
    content[-30] ^= 4
    text = refusal(path, bytes(content))
    assert "its checksum is another" in text
    assert text.endswith("Get the file again, or save it anew")
    for other in (tmp_path, tmp_path / "none.imnet"):
        with pytest.raises(WeightsError, match="cannot be read"):
            load_compressed(other)


def sealed(content: bytes) -> bytes:
    return content[:-4] + struct.pack("<I", zlib.crc32(content[:-4]))


def crafted(content: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Return the file with another header, and its checksums made right."""
    length, *others = struct.unpack_from("<4I", content, 12)
    header = json.loads(zlib.decompress(content[28 : 28 + length]))
    result = change(header)
    text = result if isinstance(result, bytes) else json.dumps(header).encode()
    part = zlib.compress(text)
    lengths = struct.pack("<4I", len(part), *others)
    return sealed(content[:12] + lengths + part + content[28 + length :])


def at(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(header: dict[str, Any]) -> None:
        place: Any = header
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        at("format", to="another"),
        at("tensors", to=[]),
        at("tensors", to={"a": 1}),
        at("tensors", 0, to=["a", [2**40, 2**40], "float32", 0, False]),
        at("tensors", 0, to=["a", [2**29, 0], "coded", 4, True]),
        at("tensors", 0, to=["a", [16000, 16000], "coded", 1, False]),
        at("tensors", 0, to=["a", [8, -20], "coded", 4, True]),
        at("tensors", 0, to=["a", [8, 20.0], "coded", 4, True]),
        at("tensors", 0, to=["a", [8, 20], "coded", 10**9, True]),
        at("tensors", 0, to=["a", [8, 20], "coded", 2, True]),
        at("tensors", 0, to=["a", [20, 8], "coded", 4, True]),
        at("tensors", 0, to=["a", [1] * 99, "coded", 4, True]),
        at("tensors", 1, to=["b", [6], "int8", 0, False]),
        at("tensors", 1, to=["a", [6], "float16", 0, False]),
        at("tensors", 1, to=["b", [6], "float16", 0]),
        at("tensors", 1, 2, to="object"),
        at("tables", to=[99]),
        at("tables", to=[-1]),
        at("tables", to=[0, 0]),
        at("tables", to="012"),
        at("card", to=5),
        at("card", "sha256", to="0" * 64),
        at("card", "sha256", to=None),
        at("card", "network", to=[]),
        at("card", "network", "classes", to=["a", "a"]),
        at("card", "network", "title", to=["a"]),
        at("card", "network", "figures", "accuracy", to=float("nan")),
        at("card", "network", "preprocess", "scale", to=-1),
        lambda header: header.pop("tables"),
        lambda header: b"[" * 10**6,
        lambda header: b'{"format": 1, "format": 1}',
        lambda header: b" " * 2**25,  # a bomb
        lambda header: b"\xff",
    ],
)
def test_crafted_files_are_refused(
    path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    save_compressed(small(), path)
    content = path.read_bytes()
    path.write_bytes(crafted(content, lambda header: None))
    assert load_compressed(path) == small()
    assert refusal(path, crafted(content, change)).startswith("cells.imnet ")


def test_numbers_that_are_none_are_noticed(path: Path, monkeypatch: Any) -> None:
    failed = ImageNetwork(CARD, {"a": np.array([1, np.nan], np.float32)})
    with monkeypatch.context() as patched:
        patched.setattr(compressed_file.np, "isfinite", lambda x: np.ones_like(x, bool))
        save_compressed(failed, path)
    with pytest.raises(WeightsError, match="values that are none"):
        load_compressed(path)


def test_shapes_are_looked_at_before_numbers_are_made(path: Path) -> None:
    # a few bytes can tell many zeros
    how = Coded(np.float32([0]), np.zeros((1000, 1000), np.uint8))
    fake = ImageNetwork(
        replace(CARD, architecture="squeezenet1_1"), {"a": how.decoded}, {"a": how}
    )
    assert save_compressed(fake, path) < 20_000
    with pytest.raises(WeightsError, match="none of squeezenet1_1's tensors"):
        load_compressed(path, lambda part, text="": pytest.fail("reads"))


def test_rubbish_is_refused(path: Path) -> None:
    save_compressed(small(), path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    n_refused = 0
    for number in range(N_FUZZED):
        if number % 3 == 0:  # the right beginning, then anything
            bad = content[: rng.integers(8, 40)] + rng.bytes(rng.integers(900))
        else:  # damage with a checksum made right
            changed = bytearray(content)
            for _ in range(rng.integers(1, 5)):
                changed[rng.integers(8, len(content))] = rng.integers(256)
            bad = sealed(bytes(changed))
        path.write_bytes(bad)
        try:
            load_compressed(path)
        except WeightsError:
            n_refused += 1
    # what is left has changed no number: halves of bytes that stand for nothing
    assert n_refused > 0.98 * N_FUZZED
