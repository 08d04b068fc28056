"""Networks of all families, own and trained ones: the same vectors here and there.

With the environment variable IMAGEMINING_TEST_ALL_NETWORKS: all that have published
weights, which takes minutes. The weights are made up.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture
from servers import (
    asking,
    cosines,
    made_up_network,
    make_up_weights,
    png,
    running,
)

from orangecontrib.imagemining.embedders import LocalEmbedder, check_spec
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.catalog import (
    ONNX,
    add_own_network,
    inspect_network,
    keep_network,
    make_card,
)
from orangecontrib.imagemining.embedders.engines import loading, pytorch
from orangecontrib.imagemining.embedders.remote import RemoteEmbedder
from orangecontrib.imagemining.exceptions import (
    ServerError,
    UnknownNameError,
    WeightsError,
)
from orangecontrib.imagemining.server.catalogue import Catalogue
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.weights import WEIGHTS
from orangecontrib.imagemining.weights.network_file import save_network

ALL = os.environ.get("IMAGEMINING_TEST_ALL_NETWORKS")
#: `test_vectors` has more of SqueezeNet and ResNet; VGG is too large for each day, a
#: narrow one is among the trained networks below.
QUICK = {"squeezenet1_0_caffe": "auto", "inception_v3": "torch"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "home"
    monkeypatch.setenv("IMAGEMINING_HOME", str(folder))
    for module, name in ((loading, "_LOADED"), (loading, "_FAILED")):
        monkeypatch.setattr(module, name, {})
    for name in ("_ENGINES", "_DENSE"):
        monkeypatch.setattr(pytorch, name, {})
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # half a gigabyte, of some


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = []
    for number, ending in enumerate(("png", "jpg", "tif")):
        found.append(tmp_path / f"{number}.{ending}")
        picture(number, (310 + number, 290)).save(found[-1])
    return found


@pytest.fixture
def compare(paths: list[Path]) -> Callable[..., Any]:
    def compare(
        name: str, public: str, specs: list[EmbedderSpec]
    ) -> list[dict[str, Any]]:
        """Compare what a server that offers a network gives with what is had here."""
        with running(networks=(name,)) as run:
            for spec in specs:
                embedder = LocalEmbedder(spec, cache=VectorStore.in_memory())
                local = embedder(list(map(str, paths)))
                assert local.reasons == [None] * len(paths)
                request = asking(
                    [path.read_bytes() for path in paths],
                    public,
                    (spec.layer,),
                    views=spec.views,
                    fit=spec.fit,
                    precision=spec.precision,
                )
                remote = run.embed(request, {spec.layer: check_spec(spec).size})
                assert remote.reasons == [None] * len(paths)
                got = remote.vectors[spec.layer]
                assert cosines(got, local.vectors).min() >= 0.9999, spec
                # and the images' vectors are further apart than that
                error, apart = got - local.vectors, got[0] - got[-1]
                assert 20 * np.abs(error).max() < np.abs(apart).max(), spec
            return list(run.client.get("/networks").json()["networks"])

    return compare


@pytest.mark.parametrize("network", WEIGHTS if ALL else QUICK)
def test_published_network(
    compare: Callable[..., Any], network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not ALL:
        # to prepare a large network for another engine takes long
        monkeypatch.setenv("IMAGEMINING_ENGINE", QUICK[network])
    if network != "squeezenet1_1":
        make_up_weights(network)
    layers = [layer.name for layer in WEIGHTS[network].layers]
    layer = "features" if "features" in layers else "logits"
    compare(network, network, [EmbedderSpec(network, layer)])


# Trained ones -------------------------------------------------------------------------


def test_trained_network_from_its_file(
    compare: Callable[..., Any], tmp_path: Path
) -> None:
    network = made_up_network("toy", 32)
    name = network.name
    path = tmp_path / "cells.imnet"
    save_network(network, path)
    specs = [
        EmbedderSpec(name, "features"),
        EmbedderSpec(name, "probabilities", 2, "crop"),
        EmbedderSpec(name, "features", 144),
        EmbedderSpec(name, "features", precision="fast"),
    ]
    (told,) = compare(str(path), name, specs)
    assert str(tmp_path) not in str(told)
    assert told["name"] == name and name.startswith("trained:cells_more-")
    assert told["classes"] == ["round", "long", "broken"]
    assert (told["title"], told["licence"]) == ("Cells & more", "MIT")
    assert {"name": "probabilities", "size": 3} in told["layers"]
    assert not told["imagenet"]


def test_narrow_vgg_at_all_places(compare: Callable[..., Any]) -> None:
    network = made_up_network("vgg11", 224, width=0.125, hidden=16)
    keep_network(network)
    name = network.name
    compare(name, name, [EmbedderSpec(name, "features", "dense")])


def test_kept_networks_are_offered() -> None:
    make_up_weights("resnet18")
    name = keep_network(made_up_network("toy", 32))
    found = [each.public for each in Catalogue()]
    assert "resnet18" in found and found[-1] == name


# Own ones -----------------------------------------------------------------------------


def own_network(folder: Path) -> Path:
    from onnx import TensorProto, helper, numpy_helper, save_model

    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(6, 3, 5, 5)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "kernel"], ["map"], strides=[3, 3]),
            helper.make_node("Relu", ["map"], ["above"]),
            helper.make_node("GlobalAveragePool", ["above"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["vector"]),
        ],
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 6])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    path = folder / "painters.onnx"
    opsets = [helper.make_opsetid("", 17)]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    card = make_card(inspect_network(path), outputs={"vector": "features"})
    add_own_network(path, card)
    return path


@pytest.mark.parametrize("kind", ["name", "file"])
def test_own_network(compare: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    path = own_network(tmp_path)
    name = f"{ONNX}{path.as_posix()}"
    specs = [EmbedderSpec(name, "features"), EmbedderSpec(name, "features", 8, "crop")]
    (told,) = compare(name if kind == "name" else str(path), "onnx:painters", specs)
    assert told["name"] == "onnx:painters" and told["old_names"] == ["painters"]
    assert str(tmp_path) not in str(told)


def test_own_network_stands_for_an_old_one(tmp_path: Path) -> None:
    path = own_network(tmp_path)
    with running(networks=(str(path),)) as run:
        spec = EmbedderSpec(f"{ONNX}{path.as_posix()}", "features")
        (tmp_path / "a.png").write_bytes(png(3))
        local = LocalEmbedder(spec, cache=VectorStore.in_memory())(
            [str(tmp_path / "a.png")]
        )
        for name in ("painters", "onnx:painters"):
            answer = run.client.post(f"/image/{name}", content=png(3))
            np.testing.assert_allclose(
                answer.json()["embedding"], local.vectors[0], rtol=1e-5
            )


def other_mean(path: Path) -> None:
    """Have a network's pixels prepared otherwise."""
    card = make_card(inspect_network(path), outputs={"vector": "features"})
    other = replace(card, mean=(100.0, 100.0, 100.0))
    add_own_network(path, other, replace=True)


def test_own_network_with_another_card_is_another_one(tmp_path: Path) -> None:
    paths = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        paths.append(own_network(tmp_path / name))
    here, there = paths
    (tmp_path / "a.png").write_bytes(png(3))
    image = str(tmp_path / "a.png")
    spec = EmbedderSpec(f"{ONNX}{here.as_posix()}", "features")
    local = LocalEmbedder(spec, cache=VectorStore.in_memory())([image])
    with running(networks=(str(there),)) as run:
        remote = RemoteEmbedder(run.address, spec)([image])
        np.testing.assert_allclose(remote.vectors, local.vectors, rtol=1e-5)
    other_mean(there)
    with running(networks=(str(there),)) as run:
        with pytest.raises(ServerError, match="prepares images for painters otherwise"):
            RemoteEmbedder(run.address, spec)([image])


def test_own_network_that_changes_is_not_served(tmp_path: Path) -> None:
    path = own_network(tmp_path)
    with running(networks=(str(path),)) as run:
        assert run.client.post("/image/painters", content=png(3)).is_success
        other_mean(path)
        for _ in range(2):
            answer = run.client.post("/image/painters", content=png(3))
            assert answer.status_code == 404
            assert "has changed" in answer.json()["error"]["message"]
            path.unlink(missing_ok=True)
        assert str(tmp_path) not in answer.text


# What cannot be offered ---------------------------------------------------------------


def test_two_of_one_name(tmp_path: Path) -> None:
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    names = [str(own_network(place)) for place in places]
    with pytest.raises(UnknownNameError, match="both be called onnx:painters"):
        Catalogue(names)


@pytest.mark.parametrize(
    "name", ["missing.safetensors", "missing.onnx", "trained:no-123456789abc"]
)
def test_missing_file_is_told(name: str, tmp_path: Path) -> None:
    name = name if ":" in name else str(tmp_path / name)
    with pytest.raises(WeightsError, match="missing|not here"):
        Catalogue([name])
