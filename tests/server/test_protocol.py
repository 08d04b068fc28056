"""What travels: whole, refused when it is not, never more than a ProtocolError."""

from __future__ import annotations

import json
import random
import struct
import zlib

import numpy as np
import pytest

from orangecontrib.imagemining.embedders.protocol import (
    Answer,
    ImageBody,
    Request,
    pack_answer,
    pack_request,
    unpack_answer,
    unpack_request,
)
from orangecontrib.imagemining.exceptions import ProtocolError

REQUEST = Request(
    "squeezenet1_1",
    ("features", "logits"),
    (ImageBody(b"one"), ImageBody(b""), ImageBody(b"three", "prepared")),
    "dense",
    "crop",
)


def test_request_comes_back() -> None:
    assert unpack_request(pack_request(REQUEST), 3) == REQUEST


def test_request_is_as_described() -> None:
    # byte by byte, as doc/server-protocol.md has it
    header = {"version": 1, "network": "n", "layers": ["a"], "images": [{"size": 2}]}
    text = json.dumps(header).encode()
    numbers = struct.pack("<II", len(text), zlib.crc32(text + b"xy"))
    content = b"OIMQ" + numbers + text + b"xy"
    assert unpack_request(content, 9) == Request("n", ("a",), (ImageBody(b"xy"),))


def test_answer_comes_back() -> None:
    rng = np.random.default_rng(0)
    vectors = {"a": rng.random((3, 2), np.float32), "b": rng.random((3, 4), np.float32)}
    for block in vectors.values():
        block[1] = np.nan
    answer = Answer(vectors, [None, "no image", None], "n")
    back = unpack_answer(pack_answer(answer), {"a": 2, "b": 4}, 3)
    assert (back.reasons, back.network) == (answer.reasons, "n")
    for name, block in vectors.items():
        np.testing.assert_array_equal(back.vectors[name], block)


def test_answer_is_as_described() -> None:
    answer = Answer({"a": np.array([[1, 2]], np.float32)}, [None], "n")
    content = pack_answer(answer)
    length, check = struct.unpack_from("<II", content, 4)
    assert content[:4] == b"OIMA"
    assert check == zlib.crc32(content[12:])
    assert json.loads(content[12 : 12 + length]) == {
        "version": 1,
        "network": "n",
        "layers": [{"name": "a", "size": 2}],
        "outcomes": [None],
    }
    assert content[12 + length :] == struct.pack("<2f", 1, 2)


def with_text(text: bytes, rest: bytes = b"", magic: bytes = b"OIMQ") -> bytes:
    return magic + struct.pack("<II", len(text), zlib.crc32(text + rest)) + text + rest


def with_header(rest: bytes = b"", **changes: object) -> bytes:
    header = {"version": 1, "network": "n", "layers": ["a"], "images": []}
    header.update(changes)
    return with_text(json.dumps(header).encode(), rest)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"OIMQ",
        with_text(b'{"version": 1}', magic=b"OIMA"),
        with_text(b"{}"),
        with_text(b"[]"),
        with_text(b"null"),
        with_text(b"\xff"),
        with_text(b"[" * 9000),
        b"OIMQ\xff\xff\xff\xff\0\0\0\0{}",
        with_header()[:-1] + b" ",
        with_header(version=2),
        with_header(network=7),
        with_header(layers=[]),
        with_header(layers=["a"] * 9),
        with_header(layers=[["a"]]),
        with_header(layers="a"),
        with_header(views=[1]),
        with_header(views=True),
        with_header(fit=None),
        with_header(images={}),
        with_header(images=[1]),
        with_header(images=[{"size": -1}]),
        with_header(images=[{"size": True}]),
        with_header(images=[{"size": 1}]),
        with_header(images=[{"size": 10**400}]),
        with_header(images=[{"size": 0, "kind": ["file"]}]),
        with_header(images=[{"size": 0}] * 4),
        with_header(rest=b"x"),
    ],
)
def test_nonsense_is_refused(content: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_request(content, 3)


def summed(content: bytes) -> bytes:
    """Return it with a checksum that fits."""
    return content[:8] + struct.pack("<I", zlib.crc32(content[12:])) + content[12:]


def test_wrong_answers_are_refused() -> None:
    good = pack_answer(Answer({"a": np.ones((2, 3), np.float32)}, [None, None]))
    assert unpack_answer(good, {"a": 3}, 2).reasons == [None, None]
    wrong = [
        (good, {"a": 3}, 1),
        (good, {"b": 3}, 2),
        (good, {"a": 2}, 2),
        (good[:-1], {"a": 3}, 2),
        (summed(good[:-1]), {"a": 3}, 2),
        (summed(good + b"\0"), {"a": 3}, 2),
        (summed(good[:-4] + struct.pack("<f", np.nan)), {"a": 3}, 2),
    ]
    for content, sizes, n in wrong:
        with pytest.raises(ProtocolError):
            unpack_answer(content, sizes, n)


def test_damaged_bytes_are_refused_or_read() -> None:
    chance = random.Random(7)
    request = pack_request(REQUEST)
    answer = pack_answer(Answer({"a": np.ones((2, 3), np.float32)}, [None, "no"]))
    n_refused = 0
    for _ in range(4000):
        for content, read in (
            (request, lambda c: unpack_request(c, 3)),
            (answer, lambda c: unpack_answer(c, {"a": 3}, 2)),
        ):
            damaged = bytearray(content)
            for _ in range(chance.randint(1, 4)):
                place = chance.randrange(len(damaged))
                how = chance.random()
                if how < 0.6:
                    damaged[place] = chance.randrange(256)
                elif how < 0.8:
                    del damaged[place : place + chance.randint(1, 9)]
                else:
                    damaged[place:place] = chance.randbytes(chance.randint(1, 9))
                if not damaged:
                    break
            for each in (bytes(damaged), summed(bytes(damaged))):
                try:
                    read(each)
                except ProtocolError:
                    n_refused += 1
    assert n_refused > 12000


def test_no_damage_goes_unseen() -> None:
    content = pack_answer(Answer({"a": np.ones((2, 3), np.float32)}, [None, None]))
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(ProtocolError):
            unpack_answer(bytes(damaged), {"a": 3}, 2)
