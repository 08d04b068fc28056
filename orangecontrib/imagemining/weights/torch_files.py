"""Reads torch's files (.pth, .pt, .bin) without torch, and without running anything.

torch's own reader can be told to admit tensors alone (``weights_only=True``), but until
torch 2.6 a made-up file of the older kind got round that. Here nothing but arrays can
come of a file: whatever else it asks for is refused by name. Both kinds are read: the
zip archive of torch 1.6 and later, and the row of pickles before it, which most weights
published for torchvision still are.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.tensors import Tensors

__all__ = ["LEGACY_START", "read_legacy", "read_zip"]

#: How files of the older kind begin: a pickled number.
LEGACY_START = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)

_PROTOCOL = 1001
_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
_MAX_PICKLE = 64 * 2**20  # of names and shapes; networks have some 100 kB
_DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    UnicodeDecodeError,
    zipfile.BadZipFile,
    NotImplementedError,
)


class _Storage:
    """A row of numbers that tensors are parts of; filled after the pickle is read."""

    def __init__(self, dtype: str, length: int) -> None:
        self.dtype = np.dtype(dtype)
        self.length = length
        self.values: NDArray[Any] | None = None


class _Tensor:
    """A tensor to be: a part of a storage."""

    parts: tuple[Any, ...] = ()

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __setstate__(self, state: Any) -> None:
        # torch before 0.2 pickled the parts of tensors, and variables around tensors
        if isinstance(state, tuple) and state:
            first = state[0]
            self.parts = first.parts if isinstance(first, _Tensor) else state

    def array(self) -> NDArray[Any]:
        if len(self.parts) < 4:
            raise ValueError("a tensor without its numbers")
        storage, offset, shape, strides = self.parts[:4]
        if not isinstance(storage, _Storage) or storage.values is None:
            raise ValueError("a tensor without its numbers")
        if len(shape) != len(strides) or len(shape) > 8:
            raise ValueError("a tensor of no proper shape")
        numbers = (offset, *shape, *strides)
        if any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError("a tensor of no proper shape")
        if 0 not in shape:
            ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
            if offset + sum(ends) >= len(storage.values):
                raise ValueError("a tensor that reaches beyond its storage")
        elif offset > len(storage.values):
            raise ValueError("a tensor that reaches beyond its storage")
        view = np.lib.stride_tricks.as_strided(
            storage.values[offset:],
            tuple(shape),
            tuple(step * storage.dtype.itemsize for step in strides),
        )
        return np.ascontiguousarray(view).reshape(tuple(shape))


def _rebuild_tensor(*parts: Any) -> _Tensor:
    return _Tensor(*parts)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


class _Parameter(_Tensor):
    """A parameter of networks, which wraps a tensor."""

    # pickles make it by __new__ alone
    def __new__(cls, data: Any = None, *_: Any) -> _Parameter:
        parameter = super().__new__(cls)
        parameter.parts = data.parts if isinstance(data, _Tensor) else ()
        return parameter

    def __init__(self, *_: Any) -> None:
        pass


_ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.nn.parameter", "Parameter"): _Parameter,
    ("torch", "FloatTensor"): _Tensor,
    ("torch", "LongTensor"): _Tensor,
    # what storages are of is known by these names; they are never called
    **{("torch", name): name for name in _DTYPES},
}


class _TensorsOnly(pickle.Unpickler):
    def __init__(
        self, stream: Any, load_storage: Callable[[tuple[Any, ...]], _Storage]
    ) -> None:
        # Python 2 wrote the older ones
        super().__init__(stream, encoding="latin1")
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise WeightsError(
                f"The file asks for {module}.{name}, which is not weights but may be"
                " a program; it is not opened"
            )
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise pickle.UnpicklingError("it refers to something unknown")
        return self._load_storage(pid[1:])


def _arrays(content: Any) -> Tensors:
    """Return the tensors of a state dictionary, or of what holds one."""
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not content:
        raise WeightsError("The file holds no table of weights by name")
    tensors: Tensors = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise WeightsError(f"The file holds more than weights: {str(name)[:80]!r}")
        tensors[name] = tensor.array()
    return tensors


def read_zip(stream: BinaryIO) -> Tensors:
    """Read a file of torch 1.6 or later.

    Raises
    ------
    WeightsError
        If it is damaged, cut short, or holds anything but tensors.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            return _read_archive(archive, stream)
    except _DAMAGED as ex:
        raise WeightsError(f"The file is damaged or cut short ({ex})") from ex


def _read_archive(archive: zipfile.ZipFile, stream: BinaryIO) -> Tensors:
    inside = {info.filename: info for info in archive.infolist()}
    roots = [name for name in inside if name.endswith("data.pkl")]
    if len(roots) != 1:
        raise WeightsError("The file is an archive, but not one of torch's")
    root = roots[0].removesuffix("data.pkl")
    order = inside.get(f"{root}byteorder")
    if order is not None and _member(archive, order, 16) == b"big":
        raise WeightsError("The file was written by a computer of another byte order")
    storages: dict[str, _Storage] = {}

    def load_storage(pid: tuple[Any, ...]) -> _Storage:
        kind, key, _, length = pid[:4]
        if key not in storages:
            storage = _Storage(_DTYPES[kind], length)
            info = inside[f"{root}data/{key}"]
            size = length * storage.dtype.itemsize
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != size:
                raise ValueError("a storage of another length")
            # checked against the archive's own sum as it is read
            values = np.frombuffer(bytearray(archive.read(info)), storage.dtype)
            storage.values = values
            storages[key] = storage
        return storages[key]

    content = _member(archive, inside[roots[0]], _MAX_PICKLE)
    return _arrays(_TensorsOnly(io.BytesIO(content), load_storage).load())


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    if info.file_size > limit:
        raise ValueError(f"{info.filename} is too long")
    return archive.read(info)


def read_legacy(stream: BinaryIO) -> Tensors:
    """Read a file of torch before 1.6: pickles, then rows of numbers.

    Raises
    ------
    WeightsError
        If it is damaged, cut short, or holds anything but tensors.
    """
    storages: dict[str, _Storage] = {}
    parts: dict[str, tuple[str, int, int]] = {}

    def load_storage(pid: tuple[Any, ...]) -> _Storage:
        kind, key, _, length = pid[:4]
        view = pid[4] if len(pid) > 4 else None
        if type(length) is not int or length < 0:
            raise ValueError("a storage of no proper length")
        root = storages.setdefault(str(key), _Storage(_DTYPES[kind], length))
        if view is None:
            return root
        name, offset, size = view
        parts[str(name)] = (str(key), offset, size)
        return storages.setdefault(str(name), _Storage(_DTYPES[kind], size))

    try:
        header = [_TensorsOnly(stream, load_storage).load() for _ in range(3)]
        if header[1] != _PROTOCOL:
            raise ValueError(f"protocol {header[1]}")
        content = _TensorsOnly(stream, load_storage).load()
        for key in _TensorsOnly(stream, load_storage).load():
            _fill(storages[str(key)], stream)
        for name, (key, offset, size) in parts.items():
            whole = storages[key].values
            if whole is not None:
                storages[name].values = whole[offset : offset + size]
        return _arrays(content)
    except _DAMAGED as ex:
        raise WeightsError(f"The file is damaged or cut short ({ex})") from ex


def _fill(storage: _Storage, stream: BinaryIO) -> None:
    length = int.from_bytes(stream.read(8), "little")
    if length != storage.length:
        raise ValueError("a storage of another length")
    position = stream.tell()
    left = stream.seek(0, io.SEEK_END) - position
    stream.seek(position)
    if length * storage.dtype.itemsize > left:
        raise ValueError("the file breaks off")
    values = np.empty(length, storage.dtype)
    stream.readinto(values.view(np.uint8).data)  # type: ignore[attr-defined]
    storage.values = values
