"""Reads a file of weights, whatever it is, or says in words what it is instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.caffe import from_caffe, read_caffemodel
from orangecontrib.imagemining.weights.compressed import read_compressed
from orangecontrib.imagemining.weights.pickles import read_arrays
from orangecontrib.imagemining.weights.tensors import Shapes, Tensors, fitted
from orangecontrib.imagemining.weights.torch_files import (
    LEGACY_START,
    read_legacy,
    read_zip,
)

__all__ = ["MAX_FILE", "kind_of", "looks_like_a_page", "read_weights"]

#: The largest file that is opened: four times VGG-19's.
MAX_FILE = 2 * 2**30

_ZIP = b"PK\x03\x04"
_LFS = b"version https://git-lfs"
_MAX_HEADER = 100_000_000  # safetensors' own limit


def looks_like_a_page(start: bytes) -> bool:
    """Return whether a file that begins so is a web page."""
    return re.match(rb"(\xef\xbb\xbf)?\s*<(!|\?xml|[a-zA-Z])", start) is not None


def kind_of(path: Path) -> str:
    """Return "torch", "safetensors", "compressed", "caffe", or "" for anything else.

    Parameters
    ----------
    path
        A file; what it is is told by how it begins, and by its name for want of that.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(512)
    if start.startswith((_ZIP, LEGACY_START)):
        return "torch"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < _MAX_HEADER:
        return "safetensors"
    ending = path.suffix.lower()
    if not start or looks_like_a_page(start) or start.startswith(_LFS):
        return ""
    if ending in (".net", ".caffemodel"):
        return "compressed" if ending == ".net" else "caffe"
    return ""


def read_weights(path: Path, network: str, shapes: Shapes, called: str = "") -> Tensors:
    """Return the network's weights out of a file, under torch's names.

    Nothing in the file is ever run.

    Parameters
    ----------
    path
        A file of torch, safetensors, Caffe, or SqueezeNet 1.0 as compressed by its
        authors.
    network
        The network.
    shapes
        Its parameters.
    called
        What to call the file in messages; by default by its path.

    Raises
    ------
    WeightsError
        If it cannot be read, is something else, or another network's.
    """
    called = called or str(path)
    try:
        if path.stat().st_size > MAX_FILE:
            raise WeightsError(f"It is larger than {MAX_FILE >> 30} GB")
        return fitted(_read(path, network, shapes), network, shapes)
    except OSError as ex:
        raise WeightsError(f"{called} cannot be read: {ex.strerror or ex}") from ex
    except WeightsError as ex:
        raise WeightsError(f"{called} cannot be used. {ex}") from ex


def _read(path: Path, network: str, shapes: Shapes) -> Tensors:
    kind = kind_of(path)
    with path.open("rb") as stream:
        if kind == "safetensors":
            return _read_safetensors(stream)
        if kind == "torch":
            is_zip = stream.read(4) == _ZIP
            stream.seek(0)
            return read_zip(stream) if is_zip else read_legacy(stream)
        if kind == "caffe":
            return from_caffe(read_caffemodel(stream.read()), network, shapes)
        if kind == "compressed":
            if network != "squeezenet1_0":
                raise WeightsError("Such files are of SqueezeNet 1.0 only")
            return read_compressed(stream.read(), shapes)
        raise WeightsError(_what_it_is(stream, path.suffix.lower()))


def _what_it_is(stream: BinaryIO, ending: str) -> str:
    start = stream.read(512)
    stream.seek(0)
    if not start:
        return "The file is empty"
    if looks_like_a_page(start):
        return (
            "The file is a web page, not weights; the server may have asked to log in,"
            " or to confirm the download"
        )
    if start.startswith(_LFS):
        return "The file is only a pointer of Git LFS; fetch the weights themselves"
    if start[:1] == b"\x80" or ending in (".pkl", ".pickle"):
        read_arrays(stream.read())  # names what it asks for, if anything
        return "The file is a pickle, but not one of torch's"
    return (
        "The file is neither of torch (.pth) nor of safetensors, nor of Caffe"
        " (.caffemodel), or it is damaged"
    )


def _read_safetensors(stream: BinaryIO) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return dict(load(stream.read()))
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as ex:
        # KeyError, TypeError and AttributeError: numbers that numpy has not
        raise WeightsError(f"The file is damaged or cut short ({ex})") from ex
