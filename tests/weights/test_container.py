"""The file of a compressed network: the identity, and no damage goes unseen."""

import json
import struct
import zlib

import numpy as np
import pytest

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.packed.container import (
    read_container,
    write_container,
)
from orangecontrib.imagemining.weights.packed.header import VERSION

CARD = {"title": "Blutzellen, größer", "classes": ["a", "b"], "n": 3}


def random_tensors(seed):
    """Make tensors as random pipelines of steps leave them."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for number in range(rng.integers(1, 7)):
        shape = tuple(rng.integers(1, 30, rng.integers(0, 5)))
        if np.prod(shape, dtype=int) > 20_000:
            shape = shape[:2]
        weights = rng.normal(size=shape).astype(np.float32)
        kind = rng.choice(["float32", "float16", "int64", "int8", "coded"])
        if kind == "coded":
            k = int(rng.choice([1, 2, 3, 16, 256, 257, 1000]))
            codes = rng.integers(0, k, shape).astype(np.uint8 if k <= 256 else "u2")
            if rng.random() < 0.5:
                codes[rng.random(shape) < 0.8] = 0
            values = np.sort(rng.normal(size=k)).astype(np.float32)
            scales = None
            if shape and rng.random() < 0.5:
                scales = rng.random(shape[0]).astype(np.float32)
            tensors[f"layer{number}"] = Coded(values, codes, scales)
        elif kind.startswith("int"):
            tensors[f"layer{number}"] = np.array(40 * weights, kind)
        else:
            tensors[f"layer{number}"] = np.array(weights, kind)
    return tensors


def assert_same(ours, theirs):
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        other = theirs[name]
        assert type(other) is type(tensor)
        if isinstance(tensor, Coded):
            assert_same_array(tensor.values, other.values)
            assert_same_array(tensor.codes, other.codes)
            assert (tensor.scales is None) == (other.scales is None)
            if tensor.scales is not None:
                assert_same_array(tensor.scales, other.scales)
        else:
            assert_same_array(tensor, other)


def assert_same_array(ours, theirs):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read(seed):
    tensors = random_tensors(seed)
    card, found = read_container(write_container(CARD, tensors))
    assert card == CARD
    assert_same(tensors, found)


def test_big_tensors_have_their_own_tables():
    rng = np.random.default_rng(0)
    tensors = {
        "a": (rng.normal(size=(64, 128)) / 50).astype(np.float32),
        "b": (rng.normal(size=(80, 80)) * 1e6).astype(np.float32),
        "c": np.array([np.nan, -0.0, np.inf, 1e-45], np.float32),
        "none": np.zeros((0, 3), np.float32),
    }
    content = write_container({}, tensors)
    assert_same(tensors, read_container(content)[1])
    # signs and exponents of numbers of one size take fewer than their 9 bits
    assert len(content) < 0.93 * sum(tensor.nbytes for tensor in tensors.values())


def test_nothing_at_all():
    assert read_container(write_container({}, {})) == ({}, {})


def test_shared_and_sparse_weights_take_their_entropy():
    rng = np.random.default_rng(0)
    codes = np.where(rng.random((100, 1000)) < 0.9, 0, rng.integers(1, 16, (100, 1000)))
    values = np.linspace(-1, 1, 16).astype(np.float32)
    counts = np.bincount(codes.ravel())
    entropy = -(counts * np.log2(counts / codes.size)).sum() / 8
    content = write_container({}, {"a": Coded(values, codes.astype(np.uint8))})
    assert len(content) < 1.01 * entropy + 700
    assert len(content) < codes.size * 4 / 35


def test_decoded():
    codes = np.array([[0, 1], [2, 1]], np.uint8)
    values = np.array([0, -1, 0.5], np.float32)
    assert Coded(values, codes).decoded.tolist() == [[0, -1], [0.5, -1]]
    scaled = Coded(values, codes, np.array([2, 4], np.float32))
    assert scaled.decoded.tolist() == [[0, -2], [2, -4]]
    assert scaled.decoded.dtype == np.float32


def test_cut_short():
    content = write_container(CARD, random_tensors(3))
    for length in [*range(40), len(content) // 2, len(content) - 1]:
        with pytest.raises(WeightsError):
            read_container(content[:length])
    with pytest.raises(WeightsError, match="too long"):
        read_container(content + b"\0")


def test_later_version():
    content = bytearray(write_container(CARD, {}))
    content[8] = VERSION + 1
    with pytest.raises(WeightsError, match="later version"):
        read_container(bytes(content))


def sealed(content):
    return bytes(content[:-4]) + struct.pack("<I", zlib.crc32(bytes(content[:-4])))


@pytest.mark.parametrize("seed", range(60))
def test_hostile_files_do_no_harm(seed):
    # somebody who damages a file on purpose makes its checksum right
    rng = np.random.default_rng(seed)
    content = bytearray(write_container(CARD, random_tensors(seed % 10)))
    for _ in range(rng.integers(1, 4)):
        content[rng.integers(8, len(content))] = rng.integers(256)
    try:
        _, tensors = read_container(sealed(content))
    except WeightsError:
        return
    for tensor in tensors.values():
        if isinstance(tensor, Coded):
            assert tensor.codes.max(initial=0) < len(tensor.values)


def with_header(**changes):
    content = write_container(CARD, {"a": np.zeros((3, 4), np.float32)})
    lengths = list(struct.unpack_from("<4I", content, 12))
    header = json.loads(zlib.decompress(content[28 : 28 + lengths[0]]))
    header.update(changes)
    part = zlib.compress(json.dumps(header).encode())
    rest = content[28 + lengths[0] :]
    lengths[0] = len(part)
    return sealed(content[:12] + struct.pack("<4I", *lengths) + part + rest)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "another"},
        {"tensors": [["a", [2**40, 2**40], "float32", 0, False]]},
        {"tensors": [["a", [-3, -4], "float32", 0, False]]},
        {"tensors": [["a", [3, 4], "object", 0, False]]},
        {"tensors": [["a", [3, 4], "coded", 0, False]]},
        {"tensors": [["a", [3, 4], "coded", 10**9, False]]},
        {"tensors": [["a", [], "coded", 3, True]]},
        {"tensors": [["a", [3], "float32", 0, 0], ["a", [9], "float32", 0, 0]]},
        {"tensors": 5},
        {"tables": [99]},
        {"tables": [-1]},
        {"card": 5},
    ],
)
def test_headers_that_make_no_sense(changes):
    assert read_container(with_header())[0] == CARD
    with pytest.raises(WeightsError):
        read_container(with_header(**changes))


def test_what_cannot_be_written():
    with pytest.raises(ValueError, match="complex"):
        write_container({}, {"a": np.zeros(3, complex)})
    with pytest.raises(ValueError, match="without a value"):
        write_container({}, {"a": Coded(np.float32([1]), np.uint8([0, 1]))})
