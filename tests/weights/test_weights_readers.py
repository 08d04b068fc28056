"""Files of weights of all kinds, good and bad."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pytest
import torch
from safetensors.numpy import save

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.caffe import caffe_names, read_caffemodel
from orangecontrib.imagemining.weights.pickles import read_arrays
from orangecontrib.imagemining.weights.readers import read_weights
from orangecontrib.imagemining.weights.tensors import Tensors, checksum, shapes_of
from orangecontrib.imagemining.weights.torch_files import LEGACY_START

NETWORK = made_up.NETWORK
SHAPES = shapes_of(NETWORK)


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return made_up.tensors_of()


def read(path: Path, network: str = NETWORK) -> Tensors:
    tensors = read_weights(path, network, shapes_of(network))
    # torch warns of what it is given but may not write to
    assert all(tensor.flags.writeable for tensor in tensors.values())
    return tensors


# torch ------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_torchs_files_are_read_as_torch_reads_them(
    tensors: Tensors, tmp_path: Path, zipped: bool
) -> None:
    path = made_up.save_torch(
        tmp_path / "x.pth", tensors, _use_new_zipfile_serialization=zipped
    )
    theirs = torch.load(path, weights_only=True)
    ours = read(path)
    assert checksum(ours) == checksum(tensors)
    assert all(np.array_equal(theirs[name], ours[name]) for name in theirs)


@pytest.mark.parametrize("zipped", [True, False])
def test_parameters_views_and_wrapped_tables(
    tensors: Tensors, tmp_path: Path, zipped: bool
) -> None:
    state = made_up.state_of(tensors)
    first = "features.0.weight"
    state[first] = torch.nn.Parameter(state[first])
    turned = state["classifier.1.weight"]
    # the same numbers, out of the middle of others and in another order of axes
    wide = torch.zeros((3, *reversed(turned.shape)))
    wide[1] = turned.permute(3, 2, 1, 0)
    state["classifier.1.weight"] = wide[1].permute(3, 2, 1, 0)
    path = tmp_path / "x.pt"
    torch.save(
        {"state_dict": OrderedDict(state)}, path, _use_new_zipfile_serialization=zipped
    )
    assert checksum(read(path)) == checksum(tensors)


class _Old:
    """A tensor that is pickled as torch 0.1 did."""

    def __init__(self, key: str, array: np.ndarray, kind: str) -> None:
        self.key, self.array, self.kind = key, array, kind

    def parts(self) -> tuple[Any, ...]:
        strides = tuple(step // 4 for step in self.array.strides)
        return _Storage(self.key, self.array.size), 0, self.array.shape, strides


class _Storage:
    def __init__(self, key: str, size: int) -> None:
        self.key, self.size = key, size


class _OldPickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, _Storage):
            return ("storage", torch.FloatStorage, obj.key, "cpu", obj.size, None)
        return None

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, _Old):
            return NotImplemented
        tensor = (torch._utils._rebuild_tensor, obj.parts())
        if obj.kind == "tensor":
            return tensor
        if obj.kind == "bare":
            return torch.FloatTensor, (), obj.parts()
        inner = _Old(obj.key, obj.array, "tensor")
        return torch.nn.parameter.Parameter, (), (inner, None, None, True, False)


@pytest.mark.parametrize("kind", ["tensor", "parameter", "bare"])
def test_files_of_torchs_first_year(
    tensors: Tensors, tmp_path: Path, kind: str
) -> None:
    keys = {name: str(number) for number, name in enumerate(tensors)}
    stream = io.BytesIO()
    stream.write(LEGACY_START)
    pickle.dump(1001, stream, 2)
    pickle.dump({"little_endian": True}, stream, 2)
    table = {name: _Old(keys[name], array, kind) for name, array in tensors.items()}
    _OldPickler(stream, 2).dump(table)
    pickle.dump(list(keys.values()), stream, 2)
    for array in tensors.values():
        stream.write(array.size.to_bytes(8, "little") + array.tobytes())
    path = tmp_path / "old.pth"
    path.write_bytes(stream.getvalue())
    assert checksum(read(path)) == checksum(tensors)


def test_half_precision_and_counters(tmp_path: Path) -> None:
    tensors = made_up.tensors_of("resnet18")
    old = {
        name: tensor.astype(np.float16)
        for name, tensor in tensors.items()
        if not name.endswith("num_batches_tracked")
    }
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(old))
    result = read(path, "resnet18")
    assert list(result) == list(shapes_of("resnet18"))
    assert {t.dtype for n, t in result.items() if n in old} == {np.dtype(np.float32)}
    assert result["bn1.num_batches_tracked"].shape == ()


# Caffe ------------------------------------------------------------------------


def as_caffe(tensors: Tensors, network: str) -> dict[str, list[np.ndarray]]:
    names = caffe_names(network, shapes_of(network))
    return {
        caffe: [tensors[f"{module}.weight"], tensors[f"{module}.bias"]]
        for module, caffe in names.items()
    }


@pytest.mark.parametrize("network", ["squeezenet1_0", "squeezenet1_1"])
@pytest.mark.parametrize(
    ("version", "style"), [(1, "legacy"), (2, "shape"), (2, "legacy")]
)
def test_caffe_models_of_squeezenet(
    tmp_path: Path, network: str, version: int, style: str
) -> None:
    tensors = made_up.tensors_of(network)
    path = tmp_path / "x.caffemodel"
    layers = as_caffe(tensors, network)
    path.write_bytes(made_up.caffemodel(layers, version, style))
    assert checksum(read(path, network)) == checksum(tensors)
    assert list(layers)[0] == "conv1" and list(layers)[-1] == "conv10"
    assert list(layers)[1:4] == [
        "fire2/squeeze1x1",
        "fire2/expand1x1",
        "fire2/expand3x3",
    ]


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_names_of_vggs_layers(network: str) -> None:
    names = caffe_names(network, shapes_of(network))
    assert names["features.0"] == "conv1_1"
    assert names["features.2"] == "conv1_2"
    assert names["features.5"] == "conv2_1"
    last = {"vgg16": ("features.28", "conv5_3"), "vgg19": ("features.34", "conv5_4")}
    assert names[last[network][0]] == last[network][1]
    assert names["classifier.0"] == "fc6"
    assert names["classifier.6"] == "fc8"
    assert len(names) == int(network[3:])


def test_numbers_written_one_by_one() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = made_up.caffemodel({"a": [array]}, 1, "single")
    (found,) = read_caffemodel(content)["a"]
    assert found.shape == (1, 1, 2, 3)
    assert np.array_equal(found.reshape(2, 3), array)


def layer_of(*fields: bytes) -> bytes:
    return made_up.field(100, b"".join(fields))


def blob_of(*fields: bytes) -> bytes:
    return layer_of(made_up.field(7, b"".join(fields)))


def shape_of(*sizes: int) -> bytes:
    return made_up.field(7, made_up.field(1, b"".join(map(made_up.varint, sizes))))


FOUR_BYTES = made_up.field(5, bytes(4))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no weights"),
        (b"\x0a", "breaks off"),
        (b"\x0a\x64abc", "breaks off"),
        (b"\xff" * 40, "number without an end"),
        (b"\x0b", "unknown kind"),
        (made_up.field(1, "a net without layers"), "holds no weights"),
        (made_up.field(2, 7), "layer that is none"),
        # 10¹² numbers, of which one is there
        (blob_of(shape_of(10**12), FOUR_BYTES), "1 numbers for a shape"),
        # a negative size, as protocol buffers write them
        (blob_of(made_up.field(1, 2**64 - 1), FOUR_BYTES), "1 numbers for a shape"),
        (blob_of(made_up.field(8, bytes(8))), "double precision"),
        (blob_of(shape_of(*[1] * 99), FOUR_BYTES), "eight dimensions"),
        (layer_of(made_up.field(1, "a")) * 5000, "more than 4096 layers"),
        (layer_of(made_up.field(7, b"") * 20), "more than 16 blobs"),
    ],
)
def test_made_up_caffe_models_do_no_harm(content: bytes, words: str) -> None:
    with pytest.raises(WeightsError, match=words) as caught:
        read_caffemodel(content)
    assert "not a Caffe model" in str(caught.value)


# Deep Compression -------------------------------------------------------------


def sparse(tensors: Tensors) -> Tensors:
    """Return weights of few values, two thirds of them zero."""
    rng = np.random.default_rng(1)
    result: Tensors = {}
    for name, tensor in tensors.items():
        if name.endswith("weight"):
            values = rng.integers(1, 200, tensor.shape).astype(np.float32)
            # long gaps too
            keep = rng.random(tensor.shape) < (0.01 if tensor.size < 7000 else 0.2)
            tensor = values * keep
        result[name] = tensor
    return result


def test_compressed_squeezenet(tensors: Tensors, tmp_path: Path) -> None:
    thin = sparse(tensors)
    modules = [name[:-7] for name in SHAPES if name.endswith("weight")]
    content = made_up.compressed(
        [(thin[f"{m}.weight"], thin[f"{m}.bias"]) for m in modules]
    )
    path = tmp_path / "x.net"
    path.write_bytes(content)
    assert checksum(read(path)) == checksum(thin)
    path.write_bytes(content[:-1])
    with pytest.raises(WeightsError, match="cut short"):
        read(path)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="SqueezeNet 1.0 only"):
        read(path, "squeezenet1_1")


# bad files --------------------------------------------------------------------


class Malice:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harm-was-done",)


def zipped_malice() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": Malice()}))
    return stream.getvalue()


def legacy_malice() -> bytes:
    header = LEGACY_START + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    return header + pickle.dumps({"a": Malice()}, 2)


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("pth", pickle.dumps({"a": Malice()})),
        ("pkl", pickle.dumps(Malice(), 0)),
        ("pth", zipped_malice()),
        ("pth", legacy_malice()),
        ("safetensors", zipped_malice()),
        ("caffemodel", legacy_malice()),
    ],
)
def test_pickles_with_code_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"(posix|nt)\.system"):
        read(path)
    assert not Path("harm-was-done").exists()


@pytest.mark.parametrize("share", [0.001, 0.5, 0.9999999])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "caffemodel"])
def test_files_cut_short(
    tensors: Tensors, tmp_path: Path, kind: str, share: float
) -> None:
    path = tmp_path / f"x.{kind if kind in ('safetensors', 'caffemodel') else 'pth'}"
    if kind == "safetensors":
        path.write_bytes(save(tensors))
    elif kind == "caffemodel":
        path.write_bytes(made_up.caffemodel(as_caffe(tensors, NETWORK)))
    else:
        options = {"_use_new_zipfile_serialization": kind == "zip"}
        made_up.save_torch(path, tensors, **options)
    content = path.read_bytes()
    # the last time one byte
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match="cut short|damaged"):
        read(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_tensor_beyond_its_numbers(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pth"
    state = {"a": torch.zeros(4)}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    # the size in the pickle, four: BININT1 4, TUPLE1
    assert content.count(b"K\x04\x85") == 1
    path.write_bytes(content.replace(b"K\x04\x85", b"K\x7f\x85"))
    with pytest.raises(WeightsError, match="damaged"):
        read(path)


@pytest.mark.parametrize("ending", ["pth", "safetensors", "caffemodel"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
        (b"\n<html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (b"not weights at all", "neither of torch|not a Caffe model"),
        (bytes(1000), "neither of torch|not a Caffe model"),
        (b"PK\x03\x04 and so on", "damaged"),
    ],
)
def test_what_is_no_weights_is_named(
    tmp_path: Path, ending: str, content: bytes, words: str
) -> None:
    path = tmp_path / f"x.{ending}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_wrong_contents_are_named(tensors: Tensors, tmp_path: Path) -> None:
    def told(content: dict[str, Any], network: str = NETWORK) -> str:
        path = tmp_path / "x.safetensors"
        path.write_bytes(save(content))
        with pytest.raises(WeightsError) as caught:
            read(path, network)
        return str(caught.value)

    first = "features.0.weight"
    less = {name: tensor for name, tensor in tensors.items() if name != first}
    assert f"'{first}' is missing" in told(less)
    more = {**tensors, "extra.weight": np.zeros(3, np.float32)}
    assert "'extra.weight' is not of this network" in told(more)
    wide = {**tensors, first: np.zeros((96, 3, 3, 3), np.float32)}
    assert "shape (96, 3, 3, 3), where the network has (96, 3, 7, 7)" in told(wide)
    whole = {**tensors, first: np.zeros((96, 3, 7, 7), np.int32)}
    assert "int32" in told(whole)
    odd = {**tensors, first: np.full((96, 3, 7, 7), np.nan, np.float32)}
    assert "no numbers" in told(odd)
    other = made_up.tensors_of("squeezenet1_1")
    assert "another network: squeezenet1_1" in told(other)
    caffe = tmp_path / "x.caffemodel"
    caffe.write_bytes(
        made_up.caffemodel({"conv1": as_caffe(tensors, NETWORK)["conv1"]})
    )
    with pytest.raises(WeightsError, match="no layer 'fire2/squeeze1x1'"):
        read(caffe)
    with pytest.raises(WeightsError, match="SqueezeNet and VGG"):
        read(caffe, "alexnet")


def test_tables_of_other_things(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for content in ([torch.zeros(3)], {}, {"epoch": 3, "a": torch.zeros(3)}):
        torch.save(content, path)
        with pytest.raises(WeightsError, match="no table of weights|more than weights"):
            read(path)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        read(tmp_path / "nothing.pth")


def test_pickle_cut_short_is_told() -> None:
    content = pickle.dumps({"a": [1, 2]})
    assert read_arrays(content) == {"a": [1, 2]}
    with pytest.raises(WeightsError, match="damaged"):
        read_arrays(content[:-3])
