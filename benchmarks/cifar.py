"""CIFAR-10 as benchmarks need it: pixels and labels, decoded once."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["load_cifar"]

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_cifar(place: Path) -> tuple[Part, Part, tuple[str, ...]]:
    """Return pixels and labels for training and for testing, and the classes' names.

    Parameters
    ----------
    place
        A ``.tar.gz`` or a folder with ``train/<class>/*.jpg`` and ``test/<class>/…``
        somewhere in it. What is decoded is kept in the system's temporary folder.

    Returns
    -------
    Twice pixels (n, 32, 32, 3) uint8 and labels (n,) int64; and the names, sorted.
    """
    key = hashlib.sha256(f"{place.resolve()} {place.stat().st_mtime_ns}".encode())
    kept = Path(tempfile.gettempdir()) / f"cifar-{key.hexdigest()[:12]}.npz"
    if not kept.exists():
        pictures: dict[str, list[NDArray[np.uint8]]] = {"train": [], "test": []}
        names: dict[str, list[str]] = {"train": [], "test": []}
        for part, name, content in _files(place):
            with Image.open(io.BytesIO(content)) as image:
                pictures[part].append(np.asarray(image.convert("RGB")))
            names[part].append(name)
        classes = sorted(set(names["train"]))
        arrays = {"classes": np.array(classes)}
        for part in ("train", "test"):
            arrays[f"{part}_x"] = np.stack(pictures[part])
            arrays[f"{part}_y"] = np.array([classes.index(n) for n in names[part]])
        unfinished = kept.with_suffix(".part.npz")
        np.savez(unfinished, **arrays)  # type: ignore[arg-type]
        unfinished.replace(kept)
    with np.load(kept) as content:
        return (
            (content["train_x"], content["train_y"].astype(np.int64)),
            (content["test_x"], content["test_y"].astype(np.int64)),
            tuple(map(str, content["classes"])),
        )


def _files(place: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield part, class and content, in the order of names."""
    if place.is_dir():
        for path in sorted(place.rglob("*.*")):
            if path.is_file() and path.parts[-3] in ("train", "test"):
                yield path.parts[-3], path.parts[-2], path.read_bytes()
        return
    with tarfile.open(place) as archive:
        found = []
        for member in archive:  # in the order of the file: it is compressed
            parts = member.name.split("/")
            if member.isfile() and len(parts) > 2 and parts[-3] in ("train", "test"):
                stream = archive.extractfile(member)
                assert stream is not None
                found.append((parts[-3], parts[-2], parts[-1], stream.read()))
    for part, name, _, content in sorted(found, key=lambda file: file[:3]):
        yield part, name, content
