"""Own networks: ONNX files with a card."""

from __future__ import annotations

import shutil
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_files as files
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, load_model, save_model

from orangecontrib.imagemining.embedders import onnxfile
from orangecontrib.imagemining.embedders.engines import onnx as engine_module
from orangecontrib.imagemining.embedders.engines.onnx import (
    OnnxEngine,
    inspect_file,
    make_card,
)
from orangecontrib.imagemining.embedders.engines.pytorch import engine_for
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights import weights_of
from orangecontrib.imagemining.weights.cards import card_path, save_card

MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def images(n: int = 3, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (n, height, width, 3), np.uint8)


def engine_of(path: Path, **settings: object) -> OnnxEngine:
    return OnnxEngine(path, make_card(inspect_file(path), **settings))


def close(actual: np.ndarray, expected: np.ndarray, part: float = 1e-5) -> bool:
    assert actual.dtype == np.float32 and actual.shape == expected.shape
    return bool(np.abs(actual - expected).max() <= part * np.abs(expected).max())


# what it computes


def test_inputs_and_outputs_are_listed(tmp_path: Path) -> None:
    file = inspect_file(files.conv(tmp_path / "own.onnx"))
    assert file.image.describe() == "image: ? × 3 × 6 × 8, float"
    assert [port.describe() for port in file.outputs] == [
        "map: ? × 4 × 6 × 8, float",
        "vector: ? × 4, float",
    ]
    assert (file.size, file.layout, file.n_channels) == ((6, 8), "NCHW", 3)
    assert (file.batch, file.parts) == (0, {})


def test_values_by_hand_pooled_and_not(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "own.onnx")
    engine = engine_of(path, scale=1 / 255, mean=MEAN, deviation=DEVIATION)
    vectors = engine.run(images(), ["map", "vector"])
    fed = (images() / 255 - MEAN) / DEVIATION
    expected = files.pixelwise(fed).mean(axis=(1, 2))
    assert close(vectors["map"], expected) and close(vectors["vector"], expected)


def test_only_the_layers_asked_for(tmp_path: Path) -> None:
    engine = engine_of(
        files.conv(tmp_path / "own.onnx"), outputs={"vector": "features"}
    )
    assert list(engine.run(images(), ["features"])) == ["features"]
    with pytest.raises(WeightsError, match="no layer 'vector', only features"):
        engine.run(images(), ["vector"])
    assert engine.run(images()[:0], ["features"])["features"].shape == (0, 4)


def test_channels_last(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["image", "kernel"], ["map"]),
    ]
    path = files.save(
        tmp_path / "last.onnx",
        nodes,
        [files.port("image", ("n", 6, 8, 3))],
        [files.port("map", ("n", 6, 8, 4))],
        {"kernel": np.ascontiguousarray(files.kernel()[:, :, 0, 0].T)},
    )
    file = inspect_file(path)
    assert (file.layout, file.size) == ("NHWC", (6, 8))
    engine = OnnxEngine(path, make_card(file, mean=(9, 8, 7)))
    expected = files.pixelwise(images() - np.array([9.0, 8, 7])).mean(axis=(1, 2))
    assert close(engine.run(images(), ["map"])["map"], expected)
    with pytest.raises(WeightsError, match="axes as NHWC, not NCHW"):
        make_card(file, layout="NCHW")


def test_grey_is_that_of_pillow(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "grey.onnx", axes=("n", 1, 6, 8), n_channels=1)
    file = inspect_file(path)
    card = make_card(file, mean=(100,), deviation=(50,))
    assert card.colours == "grey" and card.preprocess.mean == (100, 100, 100)
    grey = images() @ np.array([0.299, 0.587, 0.114])
    expected = files.pixelwise((grey[..., None] - 100) / 50, 1).mean(axis=(1, 2))
    assert close(OnnxEngine(path, card).run(images(), ["map"])["map"], expected)
    with pytest.raises(WeightsError, match=r"1 channel\(s\), not 3 \(RGB\)"):
        make_card(file, colours="RGB")


def test_bgr_is_left_to_those_who_prepare_images(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "own.onnx")
    card = make_card(inspect_file(path), colours="BGR", mean=(1, 2, 3))
    assert card.preprocess.channels == "BGR"
    assert card.preprocess.size == (6, 8) and card.preprocess.mean == (1, 2, 3)
    expected = files.pixelwise(images() - np.array([1.0, 2, 3])).mean(axis=(1, 2))
    assert close(OnnxEngine(path, card).run(images(), ["map"])["map"], expected)


def test_halves_that_overflow_are_told(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "half.onnx", kind=files.HALF)
    with pytest.raises(WeightsError, match="no finite numbers"):
        make_card(inspect_file(path), scale=1e6)


def test_half_precision(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "half.onnx", kind=files.HALF)
    engine = engine_of(path, scale=1 / 255)
    expected = files.pixelwise(images() / 255).mean(axis=(1, 2))
    assert close(engine.run(images(), ["map"])["map"], expected, 5e-3)


def test_bytes_as_input(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "bytes.onnx",
        [
            helper.make_node("Cast", ["image"], ["x"], to=files.FLOAT),
            helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        ],
        [files.port("image", ("n", 3, 6, 8), 2)],
        [files.port("mean", None)],
    )
    vectors = engine_of(path).run(images(), ["mean"])["mean"]
    assert close(vectors, images().mean(axis=(1, 2)))


@pytest.mark.parametrize("batch", [1, 4])
def test_fixed_number_of_images(tmp_path: Path, batch: int) -> None:
    path = files.conv(
        tmp_path / "fixed.onnx", axes=(batch, 3, 6, 8), out_axes=(batch, 4, 6, 8)
    )
    card = make_card(inspect_file(path))
    assert card.batch == batch
    vectors = OnnxEngine(path, card).run(images(6), ["map"])["map"]
    assert close(vectors, files.pixelwise(images(6).astype(float)).mean(axis=(1, 2)))


def test_number_of_images_that_is_said_to_be_any_and_is_not(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "one.onnx",
        [helper.make_node("Reshape", ["image", "shape"], ["vector"])],
        [files.port("image", ("n", 3, 2, 2))],
        [files.port("vector", None)],
        {"shape": np.array([1, 12])},
    )
    card = make_card(inspect_file(path))
    assert card.batch == 1 and card.layers[0].size == 12
    pixels = images(3, 2, 2)
    vectors = OnnxEngine(path, card).run(pixels, ["vector"])["vector"]
    assert close(vectors, pixels.transpose(0, 3, 1, 2).reshape(3, 12).astype(float))


def test_neighbours_that_change_an_image_are_given_none(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "norm.onnx",
        [
            helper.make_node("ReduceMax", ["image"], ["most"], keepdims=1),
            helper.make_node("Div", ["image", "most"], ["x"]),
            helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        ],
        [files.port("image", ("n", 3, 2, 2))],
        [files.port("mean", None)],
    )
    card = make_card(inspect_file(path))
    assert card.batch == 1


def test_transformer_tokens_are_averaged(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "tokens.onnx",
        [helper.make_node("Reshape", ["image", "shape"], ["tokens"])],
        [files.port("image", ("n", 3, 2, 2))],
        [files.port("tokens", None)],
        {"shape": np.array([0, 3, 4])},
    )
    pixels = images(2, 2, 2)
    expected = pixels.transpose(0, 3, 1, 2).reshape(2, 3, 4).mean(axis=1)
    assert close(engine_of(path).run(pixels, ["tokens"])["tokens"], expected)


def test_squeezenet_exported_from_torch(tmp_path: Path) -> None:
    ours = engine_for("squeezenet1_1")

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = ours.network

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            fire9 = self.network.forward_features(x)
            return fire9, self.network.forward_head(fire9)

    path = tmp_path / "squeezenet.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would have us use its newer way
        torch.onnx.export(
            Both().eval(),
            (torch.zeros(1, 3, 96, 96),),
            str(path),
            input_names=["image"],
            output_names=["fire9", "logits"],
            dynamic_axes={"image": {0: "n", 2: "rows", 3: "columns"}},
            dynamo=False,
        )
    preprocess = weights_of("squeezenet1_1").preprocess
    file = inspect_file(path)
    assert file.size == (None, None) and file.layout == "NCHW"
    engine = OnnxEngine(
        path,
        make_card(
            file,
            outputs={"fire9": "features", "logits": "logits"},
            size=(96, 80),
            colours="BGR",
            mean=preprocess.mean,
            deviation=preprocess.std,
        ),
    )
    pixels = images(3, 96, 80)
    expected = ours.run(pixels, ["features", "logits"])
    actual = engine.run(pixels, ["features", "logits"])
    for layer, vectors in expected.items():
        assert close(actual[layer], vectors, 1e-4)


def test_threads_share_an_engine(tmp_path: Path) -> None:
    engine = engine_of(files.conv(tmp_path / "own.onnx"))
    expected = engine.run(images(), ["map"])["map"]
    same: list[bool] = []

    def run() -> None:
        for _ in range(20):
            same.append(np.array_equal(engine.run(images(), ["map"])["map"], expected))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 80


def test_one_core_one_provider(tmp_path: Path) -> None:
    session = engine_of(files.conv(tmp_path / "own.onnx"))._session
    options = session.get_session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    assert session.get_providers() == ["CPUExecutionProvider"]


# files beside the network


def parted(path: Path) -> Path:
    return files.conv(
        path,
        save_as_external_data=True,
        location=f"{path.name}.data",
        size_threshold=0,
    )


def test_numbers_in_a_second_file(tmp_path: Path) -> None:
    path = parted(tmp_path / "own.onnx")
    card = make_card(inspect_file(path))
    assert list(card.parts) == ["own.onnx.data"]
    expected = files.pixelwise(images().astype(float)).mean(axis=(1, 2))
    engine = OnnxEngine(path, card)
    assert close(engine.run(images(), ["map"])["map"], expected)
    # the second file is watched like the first
    data = tmp_path / "own.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:-1] + b"\x01")
    with pytest.raises(WeightsError, match="own.onnx.data.*has changed"):
        OnnxEngine(path, card)
    data.write_bytes(content[:7])
    with pytest.raises(WeightsError, match="damaged"):
        inspect_file(path)
    data.unlink()
    with pytest.raises(WeightsError, match="'own.onnx.data', which is not there"):
        inspect_file(path)


@pytest.mark.parametrize(
    "location",
    ["../secret", "/etc/passwd", "sub/secret", "..", "..\\secret", "C:secret", ""],
)
def test_files_elsewhere_are_not_opened(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "network"
    (folder / "sub").mkdir(parents=True)
    path = parted(folder / "own.onnx")
    for secret in (tmp_path / "secret", folder / "sub" / "secret"):
        shutil.copy(folder / "own.onnx.data", secret)
    _relocate(path, location)
    with pytest.raises(WeightsError, match="not opened"):
        inspect_file(path)


def test_link_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    path = parted(folder / "own.onnx")
    shutil.move(folder / "own.onnx.data", tmp_path / "secret")
    try:
        (folder / "own.onnx.data").symlink_to(tmp_path / "secret")
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(WeightsError, match="leads out of its folder"):
        inspect_file(path)


@pytest.mark.parametrize("where", ["branch", "constant"])
def test_hidden_files_elsewhere_are_found(tmp_path: Path, where: str) -> None:
    path = files.conv(tmp_path / "own.onnx")
    model = load_model(path)
    secret = TensorProto(data_type=files.FLOAT, dims=[4], data_location=1, name="k")
    secret.external_data.add(key="location", value="../secret")
    node = helper.make_node("Constant", [], ["unused"], value=secret)
    if where == "branch":
        inner = helper.make_graph([node], "inner", [], [files.port("unused", None)])
        node = helper.make_node(
            "If", ["yes"], ["unused2"], then_branch=inner, else_branch=inner
        )
    model.graph.node.append(node)
    save_model(model, path)
    with pytest.raises(WeightsError, match=r"'\.\./secret' outside"):
        inspect_file(path)


def _relocate(path: Path, location: str) -> None:
    model = load_model(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for pair in tensor.external_data:
            if pair.key == "location":
                pair.value = location
    path.write_bytes(model.SerializeToString())


# what cannot be used


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>Not found", "a web page"),
        (b"\n <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        (b"PK\x03\x04archive/data.pkl", "PyTorch or a zip"),
        (b"\x89HDF\r\n\x1a\n", "Keras"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"\x08\x07\x12\x04test", "no network in it"),
        (bytes(100), "no ONNX file"),
        (b"\xff" * 100, "no ONNX file"),
        (b"\x08\x07\x3a\x02ab", "damaged"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "own.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        inspect_file(path)
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.onnx", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            inspect_file(path)


def test_every_cut_is_told(tmp_path: Path) -> None:
    content = files.conv(tmp_path / "own.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="cut short|no ONNX file|cannot be used"):
            inspect_file(path)


@pytest.mark.skipif(
    tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 31),
    reason="onnxruntime 1.23 ends the program on one of some 600 damaged files",
)
def test_damaged_bytes_never_do_worse_than_an_error(tmp_path: Path) -> None:
    content = bytearray(files.conv(tmp_path / "own.onnx").read_bytes())
    path = tmp_path / "damaged.onnx"
    rng = np.random.default_rng(2)
    errors = 0
    for _ in range(150):
        damaged = content.copy()
        damaged[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            engine_of(path)
        except WeightsError:
            errors += 1
    assert errors > 30


def test_too_large_a_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.conv(tmp_path / "own.onnx")
    monkeypatch.setattr(onnxfile, "_MAX_BYTES", 100)
    with pytest.raises(WeightsError, match="larger than 2 GB"):
        inspect_file(path)


def test_two_inputs(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "two.onnx",
        [helper.make_node("Add", ["image", "mask"], ["sum"])],
        [
            files.port("image", ("n", 3, 8, 8)),
            files.port("mask", ("n", 1, 8, 8)),
        ],
        [files.port("sum", None)],
    )
    with pytest.raises(WeightsError, match=r"2 inputs \(image: .*; mask: ") as caught:
        inspect_file(path)
    assert "an image and nothing else" in str(caught.value)


def test_no_input(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "none.onnx",
        [helper.make_node("Identity", ["kernel"], ["out"])],
        [],
        [files.port("out", None)],
        {"kernel": files.kernel()},
    )
    with pytest.raises(WeightsError, match="no input"):
        inspect_file(path)


@pytest.mark.parametrize(
    ("axes", "kind"),
    [
        (("n", 20), files.FLOAT),
        (("n", 3, 4, 8, 8), files.FLOAT),
        (("n", 4, 8, 8), files.FLOAT),
        (("n", 3, 8, 8), files.INT64),
        (("n", 3, 8, 8), files.STRING),
    ],
)
def test_input_that_is_no_image(tmp_path: Path, axes: tuple, kind: int) -> None:
    path = files.save(
        tmp_path / "words.onnx",
        [helper.make_node("Identity", ["words"], ["out"])],
        [files.port("words", axes, kind)],
        [files.port("out", None, kind)],
    )
    with pytest.raises(WeightsError, match="takes no image: its input is words"):
        inspect_file(path)


def test_dynamic_size_has_to_be_given(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "any.onnx", axes=("n", 3, "h", "w"))
    file = inspect_file(path)
    assert file.size == (None, None)
    with pytest.raises(WeightsError, match="does not tell the size"):
        make_card(file)
    card = make_card(file, size=(6, 8))
    assert card.size == (6, 8)
    assert OnnxEngine(path, card).run(images(), ["map"])["map"].shape == (3, 4)


def test_missing_shape_has_to_be_given(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "any.onnx", axes=None, out_axes=None)
    file = inspect_file(path)
    assert file.image.describe() == "image: shape not told, float"
    with pytest.raises(WeightsError, match="order of its axes"):
        make_card(file, size=(6, 8))
    with pytest.raises(WeightsError, match="does not tell the size"):
        make_card(file, layout="NCHW")
    card = make_card(file, layout="NCHW", size=(6, 8))
    expected = files.pixelwise(images().astype(float)).mean(axis=(1, 2))
    assert close(OnnxEngine(path, card).run(images(), ["map"])["map"], expected)
    with pytest.raises(WeightsError, match="failed on images of 8 × 6 pixels"):
        make_card(file, layout="NHWC", size=(6, 8))


def test_other_size_than_that_of_the_file(tmp_path: Path) -> None:
    file = inspect_file(files.conv(tmp_path / "own.onnx"))
    with pytest.raises(WeightsError, match="8 × 6 pixels only, not 10 × 6"):
        make_card(file, size=(6, 10))
    assert make_card(file, size=(6, 8)).size == (6, 8)


@pytest.mark.parametrize("size", [(0, 8), (6, -1), (6, 5000)])
def test_impossible_size(tmp_path: Path, size: tuple[int, int]) -> None:
    path = files.conv(tmp_path / "any.onnx", axes=("n", 3, "h", "w"))
    with pytest.raises(WeightsError, match="not possible"):
        make_card(inspect_file(path), size=size)


@pytest.mark.parametrize("kind", [files.STRING, files.BOOL])
def test_output_that_is_not_numeric(tmp_path: Path, kind: int) -> None:
    path = files.save(
        tmp_path / "names.onnx",
        [
            helper.make_node("Cast", ["image"], ["names"], to=kind),
            helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        ],
        [files.port("image", ("n", 3, 6, 8))],
        [files.port("names", None, kind), files.port("mean", None)],
    )
    file = inspect_file(path)
    with pytest.raises(WeightsError, match="names: .* is not numeric"):
        make_card(file, outputs={"names": "names"})
    # by default those that are
    assert [layer.name for layer in make_card(file).layers] == ["mean"]
    with pytest.raises(WeightsError, match="no output 'middle', only names, mean"):
        make_card(file, outputs={"middle": "middle"})
    with pytest.raises(WeightsError, match="at least one output"):
        make_card(file, outputs={})


def test_no_numeric_output(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "names.onnx",
        [helper.make_node("Cast", ["image"], ["names"], to=files.STRING)],
        [files.port("image", ("n", 3, 6, 8))],
        [files.port("names", None, files.STRING)],
    )
    with pytest.raises(WeightsError, match="no output of numbers"):
        inspect_file(path)


def test_output_that_is_no_vector(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "sum.onnx",
        [helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0)],
        [files.port("image", ("n", 3, 6, 8))],
        [files.port("sum", None)],
    )
    with pytest.raises(WeightsError, match="gives a single number for 1 image"):
        make_card(inspect_file(path))


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "root.onnx",
        [
            helper.make_node("Neg", ["image"], ["x"]),
            helper.make_node("Sqrt", ["x"], ["y"]),
            helper.make_node("GlobalAveragePool", ["y"], ["mean"]),
        ],
        [files.port("image", ("n", 3, 6, 8))],
        [files.port("mean", None)],
    )
    with pytest.raises(WeightsError, match="no finite numbers"):
        make_card(inspect_file(path))


def test_operations_of_ones_own_are_not_loaded(tmp_path: Path) -> None:
    path = files.save(
        tmp_path / "custom.onnx",
        [helper.make_node("Magic", ["image"], ["out"], domain="my.lab")],
        [files.port("image", ("n", 3, 6, 8))],
        [files.port("out", ("n", 4))],
        opsets=["my.lab"],
    )
    with pytest.raises(
        WeightsError, match="operations that are no part of ONNX.*Magic"
    ):
        inspect_file(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": (1, 2)}, r"mean needs 3 number\(s\)"),
        ({"deviation": (1,)}, r"deviation needs 3 number\(s\)"),
        ({"deviation": (1, 0, 1)}, "above 0"),
        ({"scale": 0}, "scale must not be 0"),
        ({"mean": (float("nan"), 0, 0)}, "have to be numbers"),
        ({"outputs": {"map": "a", "vector": "a"}}, "same name"),
        ({"outputs": {"map": " "}}, "needs a name"),
        ({"colours": "grey"}, r"3 channel\(s\), not 1"),
    ],
)
def test_settings_that_make_no_sense(
    tmp_path: Path, settings: dict, message: str
) -> None:
    file = inspect_file(files.conv(tmp_path / "own.onnx"))
    with pytest.raises(WeightsError, match=message):
        make_card(file, **settings)


def test_changed_network_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "own.onnx")
    card = make_card(inspect_file(path))
    save_card(card, path)
    text = card_path(path).read_bytes()
    other = files.conv(path, axes=("n", 3, 8, 8)).read_bytes()
    with pytest.raises(WeightsError, match="own.onnx has changed since its card"):
        OnnxEngine(path, card)
    assert path.read_bytes() == other and card_path(path).read_bytes() == text


def test_network_that_fails_or_does_other_than_its_card_says(tmp_path: Path) -> None:
    path = files.conv(tmp_path / "own.onnx")
    engine = engine_of(path)
    with pytest.raises(WeightsError, match="failed on images"):
        engine.run(images(3, 8, 8), ["map"])
    card = make_card(inspect_file(path))
    layer = replace(card.layers[0], size=7)
    with pytest.raises(WeightsError, match="has 4 numbers, not the 7 of its card"):
        OnnxEngine(path, replace(card, layers=(layer,))).run(images(), ["map"])


def test_all_errors_of_the_runtime_are_known() -> None:
    names = {kind.__name__ for kind in engine_module._ERRORS}
    assert {"Fail", "InvalidArgument", "InvalidGraph", "NotImplemented"} <= names
