"""What vectors are kept under: an image's content, and all that a network does to it.

Nothing here reads an image's pixels; `stamp_of` does not even open its file.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from dataclasses import asdict
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.embedders.catalog import ONNX, TIMM, card_of, path_of
from orangecontrib.imagemining.embedders.onnxfile import sha256_of
from orangecontrib.imagemining.embedders.trained import is_trained
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.images import local_path
from orangecontrib.imagemining.images.sources import parse_source, split_source
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import identity_of
from orangecontrib.imagemining.weights.cards import Card, load_card

__all__ = [
    "READING",
    "SECONDS_AT_ADDRESS",
    "Stamp",
    "content_of",
    "content_of_file",
    "is_fresh",
    "place_key",
    "preparation_of",
    "spec_key",
    "stamp_of",
    "vector_key",
]

#: To be raised whenever images are read, scaled or cut otherwise than before: what was
#: computed until then is not found any more.
READING = 2

#: How long what came from an address counts as what is there.
SECONDS_AT_ADDRESS = 600

#: Size in bytes of a file, and a number made of its times; of an address, −1 and the
#: time when it was asked.
Stamp = tuple[int, int]

_SPREAD = 0x9E3779B97F4A7C15
# fields of an own network's card that vectors do not depend on
_OF_NO_EFFECT = (
    *("file", "sha256", "parts", "title", "licence", "notes", "batch"),
    *("trained_on", "classes", "fit", "rendering"),
)
_DIGEST = 20  # bytes; two images that get the same one are not to be expected
_LARGE = 64 * 2**20
_N_SAMPLES = 64
_SAMPLE = 64 * 2**10
# slides whose named file says little of the picture, which lies in a folder beside it
_WITH_COMPANIONS = (".mrxs", ".vms", ".vmu")


def stamp_of(source: str) -> Stamp | None:
    """Return what tells a source's file from others, without opening it.

    Besides the size that is the time of its content, and what another file has
    otherwise that comes in its place by renaming or copying: both keep that time, and
    pictures of microscopes often have one size. It is the time when the system last
    changed anything about the file; on Windows, which does not tell it, the file's
    number.

    To be called before the image is read: a file that changes meanwhile then counts as
    changed. Of an address it is the time now. None: there is no file.
    """
    path = local_path(source)
    if path is None:
        return -1, time.time_ns()
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return _stamp(status)


def _stamp(status: os.stat_result) -> Stamp:
    other = status.st_ino if sys.platform == "win32" else status.st_ctime_ns
    # both in one number that SQLite can hold; steps of one are no steps of the other
    return status.st_size, (status.st_mtime_ns * _SPREAD + other) % 2**63


def is_fresh(noted: Stamp, now: Stamp) -> bool:
    """Tell whether a place still has what it had when `noted` was taken."""
    if now[0] >= 0:
        return noted == now
    return noted[0] == -1 and 0 <= now[1] - noted[1] < SECONDS_AT_ADDRESS * 10**9


def content_of(data: bytes | memoryview) -> bytes:
    """Return the digest of an image's file, read whole."""
    # of those that Python has, the fastest on today's processors
    return hashlib.sha256(data).digest()[:_DIGEST]


def content_of_file(path: str | os.PathLike[str]) -> bytes:
    """Return the digest of a file without reading all of it if it is large.

    Up to 64 MiB it is that of `content_of`. Of a larger file it is made of size, time
    of change, and 64 blocks of 64 KiB spread evenly from the first to the last byte:
    a stack of 4 GB is recognized without being read, also where it was moved or
    renamed. A copy that does not keep the time counts as another file. Of slides that
    are a folder (``.mrxs``, ``.vms``, ``.vmu``) the path counts, too, since the named
    file says little of the picture.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    path = os.fspath(path)
    status = os.stat(path)
    companions = path.lower().endswith(_WITH_COMPANIONS)
    if status.st_size <= _LARGE and not companions:
        with open(path, "rb") as stream:
            return content_of(stream.read())
    key = os.path.abspath(path) if companions else ""
    return _sampled(path, key, status.st_mtime_ns, _stamp(status))


# the planes of a stack, and the tiles of a slide, are of one file
@lru_cache(maxsize=16)
def _sampled(path: str, key: str, time_ns: int, stamp: Stamp) -> bytes:
    size = stamp[0]
    total = hashlib.sha256(f"{size} {time_ns} {key}".encode("utf8", "surrogateescape"))
    last = max(size - _SAMPLE, 0)
    with open(path, "rb") as stream:
        for number in range(_N_SAMPLES):
            stream.seek(last * number // (_N_SAMPLES - 1))
            total.update(stream.read(_SAMPLE))
    return total.digest()[:_DIGEST]


def place_key(source: str) -> bytes:
    """Return what a file's or address's content is noted under: a digest.

    Of its absolute path, so that the store does not list what the user has.
    """
    path = local_path(source)
    if path is None:
        name = f"address {split_source(source)[0]}".encode("utf8", "surrogatepass")
    else:
        name = b"file " + os.fsencode(os.path.abspath(path))
    return hashlib.sha256(name).digest()[:_DIGEST]


def vector_key(content: bytes, source: str, spec: bytes) -> bytes:
    """Return what the vector of a part of a file, rendered as `source` says, is under.

    Parameters
    ----------
    content
        Of the file, by `content_of`.
    source
        Its words count, in whatever order they come; its place does not.
    spec
        By `spec_key`.
    """
    words = split_source(source)[1]
    if words:
        parsed = parse_source(source)
        words = "&".join(filter(None, map(str, (parsed.part, parsed.rendering))))
    return hashlib.sha256(b"%b%b%b" % (spec, content, words.encode())).digest()[
        :_DIGEST
    ]


def spec_key(spec: EmbedderSpec, engine: str = "") -> bytes:
    """Return the digest of all that makes a vector out of an image.

    That is the network, its weights (their checksum), the preprocessing, the layer, the
    views, the fit, the precision, and the version of our reading (`READING`). The path
    of an own network does not count, its file's checksum does.

    Reads checksums noted already; a file of weights that has none is read once in a
    program run.

    Parameters
    ----------
    spec
        The embedder.
    engine
        What else makes a difference; for "float32" nothing does.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    WeightsError
        If an own network is missing or damaged, or timm is not installed.
    """
    card = card_of(spec.network)
    known: dict[str, Any] = {
        "reading": READING,
        "network": _identity(spec.network),
        "preprocess": asdict(card.preprocess),
        "layer": spec.layer,
        "views": spec.views,
        "fit": spec.fit,
        "precision": spec.precision,
        "engine": engine,
    }
    text = json.dumps(known, sort_keys=True)
    return hashlib.sha256(text.encode()).digest()[:_DIGEST]


def preparation_of(network: str) -> str:
    """Return the digest of what is done to images before a network gets them.

    Of an own network, also of all else that its card tells and vectors depend on.

    Raises
    ------
    UnknownNameError, WeightsError
        As `spec_key`.
    """
    known: list[Any] = [asdict(card_of(network).preprocess)]
    if network.startswith(ONNX):
        own = load_card(path_of(network))
        known += [own.parts, _that_counts(own)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _identity(network: str) -> list[Any]:
    card = card_of(network)
    if network.startswith(ONNX):
        path = path_of(network)
        own = load_card(path)
        parts = {name: _checksum(path.with_name(name)) for name in sorted(own.parts)}
        return ["onnx", _checksum(path), parts, _that_counts(own)]
    if network.startswith(TIMM):
        return ["timm", network, metadata.version("timm"), _revision(card.url)]
    if is_trained(network):
        # whatever it is called, and wherever it lies
        return ["trained", card.sha256]
    return [card.network or network, identity_of(card)]


def _that_counts(card: Card) -> dict[str, Any]:
    known = asdict(card)
    for name in _OF_NO_EFFECT:
        del known[name]
    return known


def _revision(url: str) -> str:
    """Return which state of a publisher's repository timm fetched; "" before it did."""
    hub = sys.modules.get("huggingface_hub.constants")  # timm has imported it
    owner = url.partition("huggingface.co/")[2]
    if hub is None or not owner:
        return ""
    folder = f"models--{owner.replace('/', '--')}"
    try:
        place = Path(hub.HF_HUB_CACHE, folder, "refs", "main")
        return place.read_text(encoding="utf8").strip()
    except OSError:
        return ""


_CHECKSUMS: dict[tuple[str, Stamp], str] = {}
_LOCK = threading.Lock()


def _checksum(path: Path) -> str:
    """Return the checksum of a file, which is read once as long as it is the same."""
    try:
        key = (str(path), _stamp(os.stat(path)))
        with _LOCK:
            if key not in _CHECKSUMS:
                _CHECKSUMS[key] = sha256_of(path)
            return _CHECKSUMS[key]
    except OSError as ex:
        raise WeightsError(f"{path} cannot be read: {ex.strerror or ex}") from ex
