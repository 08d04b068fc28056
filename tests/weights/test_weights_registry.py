"""The cards of the published weights."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import torch

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.networks import create_network
from orangecontrib.imagemining.specs import Weights
from orangecontrib.imagemining.weights import WEIGHTS, weights_of
from orangecontrib.imagemining.weights.folders import file_name
from orangecontrib.imagemining.weights.tensors import known_networks, shapes_of

everywhere = pytest.mark.parametrize("name", WEIGHTS)


def network_of(card: Weights) -> object:
    with torch.device("meta"):
        return create_network(card.network, num_classes=card.num_classes)


@everywhere
def test_layers_are_those_of_the_network(name: str) -> None:
    card = WEIGHTS[name]
    network = network_of(card)
    of_network = network.layers()
    if card.plain_columns:
        assert [layer.name for layer in card.layers] == ["logits"]
        assert set(card.layers) <= set(of_network)
        return  # it exists for the sake of old vectors alone
    assert sorted((layer.name, layer.size) for layer in card.layers) == sorted(
        (layer.name, layer.size) for layer in of_network
    )
    assert list(card.stage_sizes) == network.stage_sizes
    assert card.layers[0].name == "features"
    # the first three of SqueezeNet 1.1 are worded as they always were
    told = {layer.name: layer.description for layer in of_network}
    start = 3 if name == "squeezenet1_1" else 0
    for layer in card.layers[start:]:
        assert layer.description == told[layer.name]


@everywhere
def test_shapes_are_those_of_the_network(name: str) -> None:
    card = WEIGHTS[name]
    state = network_of(card).state_dict()
    shapes = shapes_of(card.network, card.num_classes)
    assert list(shapes.items()) == [(k, tuple(v.shape)) for k, v in state.items()] or (
        # the order among the parts of a module does not matter
        shapes == {k: tuple(v.shape) for k, v in state.items()}
    )
    assert card.network in known_networks()


@everywhere
def test_cards_are_complete(name: str) -> None:
    card = WEIGHTS[name]
    assert card.title and card.license and card.trained_on and card.kind
    if card.source[0]:
        assert len(card.source_sha256) == len(card.tensors_sha256) == 64
        return
    assert re.match(r"https?://[\w.-]+/[\w./~-]+$", card.url)
    assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}|", card.sha256)
    assert card.top1 is None or 0.5 < card.top1 < card.top5 < 1
    if card.url.startswith("https://download.pytorch.org/"):
        # the digits in the name are the checksum's, and the size is that of float32
        assert card.url.endswith(f"-{card.sha256}.pth")
        n_bytes = 4 * sum(t.numel() for t in network_of(card).state_dict().values())
        assert card.file_size == pytest.approx(n_bytes, rel=0.01)


def test_no_two_share_a_file_or_a_title() -> None:
    fetched = [card for card in WEIGHTS.values() if card.url]
    for what in ([file_name(card) for card in fetched], [c.name for c in fetched]):
        assert len(set(what)) == len(what)
    titles = [card.title for card in WEIGHTS.values()]
    assert len(set(titles)) == len(titles)


def test_all_published_networks_are_there() -> None:
    depths = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
    vgg = [f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")]
    others = ("squeezenet1_0", "squeezenet1_1", "alexnet", "inception_v3")
    last = ("inception_v4", "inception_resnet_v1", "inception_resnet_v2")
    assert set(WEIGHTS) >= {*depths, *vgg, *others, *last}
    assert next(iter(WEIGHTS)) == "squeezenet1_1"


def test_network_without_weights_is_named() -> None:
    with pytest.raises(UnknownNameError, match="'toy'"):
        weights_of("toy")


def test_table_in_the_docs() -> None:
    root = Path(__file__).parents[2]
    scripts = runpy.run_path(str(root / "scripts" / "make_weights_table.py"))
    page = (root / "doc" / "weights.md").read_text(encoding="utf8")
    assert scripts["with_table"](page) == page  # else run the script
    assert page.count("\n| ") == len(WEIGHTS) + 1


def test_list_of_shapes_is_made_by_the_script() -> None:
    root = Path(__file__).parents[2]
    script = runpy.run_path(str(root / "scripts" / "make_shapes.py"))
    assert script["content"]() == script["TARGET"].read_text(encoding="utf8")
