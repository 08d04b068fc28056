"""What runs networks: which engine, and that all compute the same vectors."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from orangecontrib.imagemining.embedders import LocalEmbedder, catalog
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.engines import (
    choice,
    exported,
    loading,
    pytorch,
    runtime,
)
from orangecontrib.imagemining.embedders.engines.choice import (
    choose_engine,
    engines_here,
)
from orangecontrib.imagemining.embedders.engines.graph import with_outputs_only
from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.networks import Network, create_network
from orangecontrib.imagemining.networks.vgg import VGG
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS

SQUEEZENET = "squeezenet1_1"
#: One of each network that has weights; others are the same with other numbers.
NETWORKS = {card.network or name: name for name, card in reversed(WEIGHTS.items())}
#: Built of all parts that the others are built of; those take minutes, and are compared
#: with torch on each computer that prepares them.
QUICK = ("squeezenet1_0", "squeezenet_imageanalytics", "vgg11", "resnet18")
ALL = os.environ.get("IMAGEMINING_TEST_ALL_NETWORKS")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test engines and a folder of its own, on a computer without a GPU."""
    monkeypatch.setattr(loading, "_LOADED", {})
    monkeypatch.setattr(loading, "_FAILED", {})
    monkeypatch.setattr(choice, "_torch_device", lambda: "cpu")
    monkeypatch.delenv("IMAGEMINING_ENGINE", raising=False)


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def pixels(n: int = 3, side: int = 227, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(float), b.astype(float)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


# the choice ---------------------------------------------------------------------------


def installed(*names: str):  # type: ignore[no-untyped-def]
    return lambda package: package in names


def test_onnxruntime_is_the_first_choice_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = choose_engine(SQUEEZENET)
    assert (found.name, found.device, found.precision) == (
        "onnxruntime",
        "cpu",
        "float32",
    )
    assert "fastest in float32" in found.reason and found.describe() == "ONNX Runtime"
    monkeypatch.setattr(choice, "_is_installed", installed("torch"))
    found = choose_engine(SQUEEZENET)
    assert found.name == "torch" and "ONNX Runtime is not installed" in found.reason


def test_graphics_processors_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_torch_device", lambda: "cuda")
    found = choose_engine(SQUEEZENET)
    assert (found.name, found.device) == ("torch", "cuda")
    assert "NVIDIA" in found.reason and "graphics processor" in found.describe()
    assert choose_engine(SQUEEZENET, precision="fast").precision == "bfloat16"
    assert engines_here(SQUEEZENET)[0].name == "torch"
    assert choose_engine(SQUEEZENET, "onnxruntime").device == "cpu"
    # networks of timm stay where they are
    assert choose_engine("timm:resnet18").device == "cpu"


def test_engine_asked_for_is_taken_and_what_is_missing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose_engine(SQUEEZENET, "torch").reason.endswith("as chosen")
    monkeypatch.setattr(choice, "_is_installed", installed("torch", "onnxruntime"))
    found = choose_engine(SQUEEZENET, "openvino")
    assert found.name == "onnxruntime"
    assert 'pip install "Orange3-ImageMining[openvino]"' in found.reason
    assert found.reason.endswith("ONNX Runtime computes instead")
    with pytest.raises(UnknownNameError, match="no engine 'tensorflow'"):
        choose_engine(SQUEEZENET, "tensorflow")
    with pytest.raises(UnknownNameError, match="not 'double'"):
        choose_engine(SQUEEZENET, precision="double")


def test_environment_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMINING_ENGINE", " Torch ")
    assert choose_engine(SQUEEZENET).name == "torch"
    assert choose_engine(SQUEEZENET, "onnxruntime").name == "onnxruntime"
    monkeypatch.setenv("IMAGEMINING_ENGINE", "abacus")
    assert choose_engine(SQUEEZENET).name == "onnxruntime"


@pytest.mark.parametrize(
    "network, views, name, obstacle",
    [
        ("vgg16", "dense", "torch", "dense views"),
        ("timm:resnet18", 1, "torch", "networks of timm"),
        ("onnx:/a/b.onnx", 1, "onnxruntime", "networks of your own"),
    ],
)
def test_what_only_one_engine_can(
    network: str, views: int | str, name: str, obstacle: str
) -> None:
    assert choose_engine(network, views=views).name == name
    other = "onnxruntime" if name == "torch" else "torch"
    found = choose_engine(network, other, views=views)
    assert found.name == name and obstacle in found.reason
    infos = {info.name: info for info in engines_here(network, views)}
    assert infos[name].available and not infos[other].available
    assert obstacle in infos[other].reason


def test_fast_is_offered_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has_bfloat16", lambda: False)
    found = choose_engine(SQUEEZENET, precision="fast")
    assert found.precision == "float32" and "does not compute in bfloat16" in (
        found.reason
    )
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    monkeypatch.setattr(choice, "_is_installed", installed("onnxruntime", "torch"))
    found = choose_engine(SQUEEZENET, precision="fast")
    assert (found.name, found.precision) == ("onnxruntime", "float32")
    assert "[openvino]" in found.reason
    monkeypatch.setattr(choice, "_is_installed", lambda package: True)
    found = choose_engine(SQUEEZENET, precision="fast")
    assert (found.name, found.precision) == ("openvino", "bfloat16")
    assert "bfloat16" in found.describe()
    found = choose_engine(SQUEEZENET, "onnxruntime", "fast")
    assert found.precision == "float32" and "float32 only" in found.reason
    assert choose_engine("timm:resnet18", precision="fast").precision == "float32"


def test_choosing_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from orangecontrib.imagemining.embedders.engines.choice import *\n"
        "choose_engine('squeezenet1_1'); engines_here('vgg16')\n"
        "sys.exit(bool({'torch', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_gpu_that_torch_cannot_use_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choice, "_no_gpu", False)
    monkeypatch.setattr(
        choice, "_torch_device", lambda: "cpu" if choice._no_gpu else "cuda"
    )
    monkeypatch.setattr(pytorch, "device_is_here", lambda device: device == "cpu")
    engine, found = catalog.engine_and_choice(SQUEEZENET)
    assert isinstance(engine, runtime.RuntimeEngine) and found.device == "cpu"
    assert choice._no_gpu


# the same vectors ---------------------------------------------------------------------


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, own_home: Path):  # type: ignore[no-untyped-def]
    """Return a function that gives a network made-up weights and small images."""

    def make(network: str) -> str:
        name = NETWORKS[network]
        card = WEIGHTS[name]
        torch.manual_seed(0)
        if network == "vgg11" and not ALL:
            built: Network = VGG("A", 10, hidden=8)  # not of half a gigabyte
        else:
            built = create_network(network, num_classes=card.num_classes)
        tensors = {key: t.detach().numpy() for key, t in built.state_dict().items()}
        side = max(built.min_size, 64)
        size = card.preprocess.size if network[:4] in ("vgg1", "alex") else (side, side)
        monkeypatch.setitem(
            WEIGHTS, name, replace(card, preprocess=replace(card.preprocess, size=size))
        )
        monkeypatch.setattr(pytorch, "load_weights", lambda weights: tensors)
        monkeypatch.setattr(
            pytorch, "create_network", lambda name, num_classes: deepcopy(built)
        )
        monkeypatch.setattr(exported, "identity_for", lambda name: "made up")
        monkeypatch.setattr(pytorch, "_ENGINES", {})
        return name

    return make


@pytest.mark.parametrize("network", NETWORKS if ALL else QUICK)
def test_onnxruntime_computes_what_torch_computes(made_up, network: str) -> None:  # type: ignore[no-untyped-def]
    name = made_up(network)
    card = WEIGHTS[name]
    layers = [layer.name for layer in card.layers]
    images = pixels(2, card.preprocess.size[0])
    by_torch = pytorch.engine_for(name).run(images, layers)
    engine, found = catalog.engine_and_choice(name)
    assert found.name == "onnxruntime"
    # the layers that the first two stages suffice for, and the others
    for some in (layers[-3:], layers[:3]):
        for layer, vectors in engine.run(images, some).items():
            assert vectors.dtype == np.float32
            assert vectors.shape == by_torch[layer].shape
            assert cosines(vectors, by_torch[layer]).min() >= 0.99999, layer
            largest = np.abs(by_torch[layer]).max()
            np.testing.assert_allclose(
                vectors, by_torch[layer], rtol=0, atol=1e-4 * largest, err_msg=layer
            )


def test_squeezenet_with_its_published_weights() -> None:
    layers = [layer.name for layer in WEIGHTS[SQUEEZENET].layers]
    images = pixels(4)
    expected = pytorch.engine_for(SQUEEZENET).run(images, layers)
    engine = catalog.engine_for(SQUEEZENET)
    assert isinstance(engine, runtime.RuntimeEngine)
    found = engine.run(images, layers)
    assert list(found) == layers
    for layer in layers:
        assert cosines(found[layer], expected[layer]).min() >= 0.999999
    assert cosines(found["logits"], expected["logits"][::-1]).min() < 0.99999


@pytest.mark.parametrize("network", ["squeezenet1_0", "vgg11", "resnet18"])
def test_neighbours_do_not_change_a_vector(made_up, network: str) -> None:  # type: ignore[no-untyped-def]
    name = made_up(network)
    engine = catalog.engine_for(name)
    images = pixels(5, WEIGHTS[name].preprocess.size[0])
    together = engine.run(images, ["logits"])["logits"]
    for some in ([0], [4], [3, 1], [4, 3, 2]):
        found = engine.run(images[some], ["logits"])["logits"]
        np.testing.assert_array_equal(found, together[some])
    torch_engine = pytorch.engine_for(name)
    pair = torch_engine.run(images[:2], ["logits"])["logits"]
    np.testing.assert_array_equal(
        torch_engine.run(images[1:2], ["logits"])["logits"], pair[1:]
    )


def test_threads_compute_the_same() -> None:
    engine = catalog.engine_for(SQUEEZENET)
    images = pixels(2)
    expected = engine.run(images, ["features"])["features"]
    found: list[np.ndarray] = []

    def work() -> None:
        found.append(engine.run(images, ["features"])["features"])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for vectors in found:
        np.testing.assert_array_equal(vectors, expected)


@pytest.mark.parametrize("precision", ["float32", "fast"])
def test_openvino(precision: str) -> None:
    # importorskip would load it, and let it report to its makers
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    images = pixels(3)
    expected = catalog.engine_for(SQUEEZENET).run(images, ["features"])["features"]
    engine, found = catalog.engine_and_choice(SQUEEZENET, "openvino", precision)
    assert found.name == "openvino"
    vectors = engine.run(images, ["features"])["features"]
    least = 0.99999 if found.precision == "float32" else 0.999
    assert cosines(vectors, expected).min() >= least
    np.testing.assert_array_equal(
        engine.run(images[1:2], ["features"])["features"], vectors[1:2]
    )
    if found.precision == "bfloat16":
        assert np.abs(vectors - expected).max() > 1e-4


@pytest.mark.gpu
def test_torch_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_torch_device", lambda: "cuda")
    images = pixels(8)
    engine, found = catalog.engine_and_choice(SQUEEZENET)
    assert found.device == "cuda"
    exact = pytorch.engine_for(SQUEEZENET).run(images, ["features"])["features"]
    vectors = engine.run(images, ["features"])["features"]
    assert cosines(vectors, exact).min() >= 0.99999
    assert np.abs(vectors - exact).max() <= 1e-4 * np.abs(exact).max()
    fast, found = catalog.engine_and_choice(SQUEEZENET, precision="fast")
    assert found.precision == "bfloat16"
    vectors = fast.run(images, ["features"])["features"]
    assert cosines(vectors, exact).min() >= 0.999


def test_fast_vectors_are_kept_apart(make_folder: Callable[..., Path]) -> None:
    paths = sorted(map(str, make_folder({"a": 2}).rglob("*.png")))
    store = VectorStore.in_memory()
    exact = LocalEmbedder(EmbedderSpec(SQUEEZENET, "features"), cache=store)
    exact(paths)
    fast = LocalEmbedder(
        EmbedderSpec(SQUEEZENET, "features", precision="fast"), cache=store
    )
    assert fast(paths).n_known == 0
    assert fast(paths).n_known == 2
    assert fast.spec.column_prefix == "squeezenet1_1_features_fast"


def test_fast_vectors_are_not_those_of_before_the_engine_came(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # importorskip would load it, and let it report to its makers
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    paths = sorted(map(str, make_folder({"a": 1}).rglob("*.png")))
    store = VectorStore.in_memory()
    spec = EmbedderSpec(SQUEEZENET, "features", precision="fast")
    monkeypatch.setattr(choice, "has_bfloat16", lambda: False)
    LocalEmbedder(spec, cache=store)(paths)
    assert LocalEmbedder(spec, cache=store)(paths).n_known == 1
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    assert LocalEmbedder(spec, cache=store)(paths).n_known == 0


# export -------------------------------------------------------------------------------


def loads() -> Iterator[Path]:
    return (exported.cache_folder() / "networks").iterdir()


def test_a_network_is_prepared_once(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = exported.exported_network(SQUEEZENET)
    names = sorted(path.name for path in loads())
    assert [Path(name).suffix for name in names] == [".json", ".onnx"]
    assert all(name.startswith("squeezenet1_1-") for name in names)

    def fail(*arguments: object) -> bytes:
        raise AssertionError("exported anew")

    monkeypatch.setattr(exported, "_export", fail)
    assert exported.exported_network(SQUEEZENET) == first


def test_then_torch_is_not_needed(own_home: Path, make_folder) -> None:  # type: ignore[no-untyped-def]
    exported.exported_network(SQUEEZENET)
    path = str(next(make_folder({"a": 1}).rglob("*.png")))
    code = (
        "import sys\n"
        "from orangecontrib.imagemining.embedders import LocalEmbedder\n"
        "from orangecontrib.imagemining.specs import EmbedderSpec\n"
        f"run = LocalEmbedder(EmbedderSpec('{SQUEEZENET}', 'features'))\n"
        f"assert run([{path!r}]).reasons == [None]\n"
        "sys.exit('torch' in sys.modules)"
    )
    env = dict(os.environ, IMAGEMINING_HOME=str(own_home))
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0


@pytest.mark.parametrize("damage", ["cut", "changed", "note", "no note"])
def test_damaged_file_is_made_anew(own_home: Path, damage: str) -> None:
    good = exported.exported_network(SQUEEZENET)
    path = exported.export_path(SQUEEZENET)
    if damage == "cut":
        path.write_bytes(good[:1000])
    elif damage == "changed":
        path.write_bytes(good[:-100_000] + bytes([good[-100_000] ^ 1]) + good[-99_999:])
    elif damage == "note":
        path.with_suffix(".json").write_text("[")
    else:
        path.with_suffix(".json").unlink()
    images = pixels(1)
    vectors = catalog.engine_for(SQUEEZENET).run(images, ["logits"])["logits"]
    expected = pytorch.engine_for(SQUEEZENET).run(images, ["logits"])["logits"]
    assert cosines(vectors, expected).min() >= 0.99999
    assert len(path.read_bytes()) == len(good)
    note = json.loads(path.with_suffix(".json").read_text())
    assert note["sha256"]


def test_older_files_of_the_network_go(own_home: Path) -> None:
    folder = exported.export_path(SQUEEZENET).parent
    folder.mkdir(parents=True)
    names = [
        f"squeezenet1_1-{'0' * 16}.onnx",
        f"squeezenet1_1-{'0' * 16}.json",
        f"squeezenet1_0-{'0' * 16}.onnx",
        "squeezenet1_1-mine.onnx",
    ]
    for name in names:
        (folder / name).write_text("")
    exported.exported_network(SQUEEZENET)
    left = {path.name for path in loads()}
    assert left & set(names) == set(names[2:])


def test_files_are_kept_apart_by_weights_and_torch(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {exported.export_path(SQUEEZENET), exported.export_path("squeezenet1_0")}
    monkeypatch.setattr(exported.metadata, "version", lambda package: "99")
    paths.add(exported.export_path(SQUEEZENET))
    monkeypatch.setattr(exported, "identity_for", lambda name: "others")
    paths.add(exported.export_path(SQUEEZENET))
    assert len(paths) == 4


def test_full_disk_costs_the_export_each_time(own_home: Path) -> None:
    own_home.mkdir()
    (own_home / "cache").write_text("in the way")
    vectors = catalog.engine_for(SQUEEZENET).run(pixels(1), ["logits"])["logits"]
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("fault", ["export", "other numbers"])
def test_what_cannot_be_exported_is_run_by_torch(
    own_home: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "export":

        def fail(*arguments: object, **options: object) -> None:
            raise RuntimeError("Unsupported: aten::magic")

        monkeypatch.setattr(torch.onnx, "export", fail)
        expected = "cannot export squeezenet1_1 (Unsupported: aten::magic)"
    else:
        monkeypatch.setattr(exported, "_MOST_ERROR", -1.0)
        expected = "computes other vectors"
    engine, found = catalog.engine_and_choice(SQUEEZENET)
    assert isinstance(engine, pytorch.TorchEngine) and found.name == "torch"
    assert found.reason.startswith("PyTorch computes instead: ")
    assert expected in found.reason
    # it is not tried again and again
    assert catalog.engine_and_choice(SQUEEZENET)[0] is engine
    assert not list(own_home.rglob("*.onnx"))


def test_missing_weights_are_told(own_home: Path) -> None:
    with pytest.raises(WeightsError, match="not on this computer"):
        catalog.engine_for("vgg11")


def test_agreement_is_looked_at_image_by_image() -> None:
    right = np.array([[1.0, 2, 3], [0, 0, 1]], np.float32)
    assert exported._agree(right, right)
    assert exported._agree(right + np.float32(1e-5), right)
    wrong = right.copy()
    wrong[1, 0] = 2e-4
    assert not exported._agree(wrong, right)
    wrong[1, 0] = np.nan
    assert not exported._agree(wrong, right)
    assert not exported._agree(right[:1], right)


def test_part_of_a_network_is_cut_out() -> None:
    whole = exported.exported_network(SQUEEZENET)
    part = with_outputs_only(whole, ["stage1"])
    assert len(part) < len(whole) / 4
    session = runtime.session_of(part)
    assert [port.name for port in session.get_outputs()] == ["stage1"]
    images = pixels(2)
    expected = runtime.session_of(whole).run(["stage1"], {"pixels": images})
    np.testing.assert_array_equal(session.run(None, {"pixels": images}), expected)
    for damaged in (whole[:2000], b"\x0f" + whole):
        with pytest.raises(ValueError):
            with_outputs_only(damaged, ["stage1"])
    with pytest.raises(ValueError, match="no outputs"):
        with_outputs_only(whole, ["stage99"])
