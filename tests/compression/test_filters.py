"""Networks that lose filters, and what they compute then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_context import RESNET, quick_plan, small_context, trained
from trained_networks import network_of

from orangecontrib.imagemining.compression.channels import Channels, channels_of
from orangecontrib.imagemining.compression.filters import (
    filter_norms,
    filters_left,
    prunable,
    run,
    without_filters,
)
from orangecontrib.imagemining.compression.forms import Form, Masked
from orangecontrib.imagemining.compression.plan import PruneFilters
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.networks import Network

FIRE = {"base_e": 8, "incr_e": 8, "squeeze_ratio": 0.5, "last_relu": False}
#: Architecture, options, side of the images, layers that keep their filters (beside the
#: classifier).
FAMILIES: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "fires": ("squeezenet1_1", FIRE, 32, 0),
    "fires with ways around": ("squeezenet1_0", {**FIRE, "bypass": "simple"}, 35, 16),
    "all ways": ("squeezenet1_0", {**FIRE, "bypass": "complex"}, 35, 20),
    "grid": ("vgg11", {"width": 1 / 16, "hidden": 12}, 40, 0),
    "grid, normalised": ("vgg11_bn", {"width": 1 / 16, "hidden": 12}, 32, 0),
    "neighbours": ("vgg11_lrn", {"width": 1 / 16, "small_images": True}, 32, 1),
    "blocks": ("resnet_cifar", {"n": 2, "width": 4}, 16, 7),
    "paths": ("inception_v3", {"width": 1 / 16}, 75, 0),
}


def normalisation_of(layer: str, network: Network) -> torch.nn.Module | None:
    """Return the batch normalisation behind a layer, by the networks' own names."""
    parent, _, name = layer.rpartition(".")
    if name.isdecimal():
        name = str(int(name) + 1)
    else:
        name = name.replace("conv", "bn")
    module = dict(network.named_modules()).get(f"{parent}.{name}".lstrip("."))
    return module if isinstance(module, torch.nn.BatchNorm2d) else None


def silence(network: Network, removed: dict[str, list[int]]) -> None:
    """Have filters give 0."""
    with torch.no_grad():
        for layer, places in removed.items():
            for module in (
                network.get_submodule(layer),
                normalisation_of(layer, network),
            ):
                for parameter in () if module is None else module.parameters():
                    parameter[places] = 0


@pytest.mark.parametrize("family", FAMILIES)
def test_without_filters_is_with_filters_that_give_0(family: str) -> None:
    architecture, options, side, n_fixed = FAMILIES[family]
    given = network_of(architecture, options=options, size=(side, side))
    working, silenced = Working(given), Working(given).network
    layers = prunable(working)
    assert len(working.layers) - len(layers) in (n_fixed + 1, n_fixed + 2)
    rng = np.random.default_rng(3)
    removed = {
        layer: sorted(rng.permutation(n)[: round(0.4 * n)].tolist())
        for layer, n in layers.items()
        if round(0.4 * n)
    }
    silence(silenced, removed)
    without_filters(working, removed)
    for layer, n in layers.items():
        assert len(working.weight(layer)) == n - len(removed.get(layer, ()))
    x = torch.randn(2, 3, side, side)
    network = working.network
    with torch.inference_mode():
        expected = silenced.embed(x, ["logits", "features", "stage1:avg+max"])
        found = network.embed(x, [*expected])
        # the auxiliary classifier, too
        for ours, theirs in zip(
            network.forward_training(x), silenced.forward_training(x), strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert expected["logits"].std(0).min() > 0
    for layer, vectors in expected.items():
        if layer == "logits":
            left, ours = vectors, found[layer]
        else:
            # of vectors, what is 0 for all images is gone, in either
            assert found[layer].shape[1] <= vectors.shape[1]
            left, ours = (v[:, v.abs().amax(0) > 0] for v in (vectors, found[layer]))
        torch.testing.assert_close(ours, left, atol=1e-5, rtol=1e-5)
    sizes = {layer.name: layer.size for layer in working.card.layers}
    assert sizes["features"] == found["features"].shape[1]
    tensors = working.image_network().tensors
    assert sum(t.size for t in tensors.values()) < 0.85 * sum(
        t.size for t in given.tensors.values()
    )


def channels_by_name(name: str) -> Channels:
    card = network_of().card
    return channels_of(replace(card, architecture=name))


def test_which_layers_keep_theirs() -> None:
    card = network_of("resnet_cifar", options={"n": 1, "width": 4}).card
    assert [*channels_of(card).removable()] == [
        f"layer{number}.0.conv1" for number in (1, 2, 3)
    ]
    channels = channels_of(card)
    faces = channels_by_name("inception_resnet_v1")
    kept = set(faces.made) - set(faces.removable())
    # what is added, and what faces are described by: that has length 1
    assert "repeat_2.3.conv2d" in kept and "last_linear" in kept
    assert not any(".branch1." in layer for layer in kept if "repeat" in layer)
    with pytest.raises(ValueError, match="cannot be removed"):
        channels.kept({"conv1": [0]})


def test_how_many_are_left() -> None:
    # few: as many as is said; many: such as processors like
    assert [filters_left(n, 0.3) for n in (1, 2, 10, 31)] == [1, 1, 7, 22]
    assert [filters_left(n, 0.3) for n in (32, 64, 128, 1000)] == [24, 48, 88, 704]
    assert [filters_left(64, share) for share in (0, 0.01, 0.99)] == [64, 64, 8]
    assert filters_left(33, 0) == 33 and filters_left(4, 0.999) == 1


def test_nothing_would_be_left() -> None:
    working = Working(network_of())
    with pytest.raises(ValueError, match="nothing would be left of stem.0"):
        without_filters(working, {"stem.0": range(4)})


def test_the_weakest_go_by_what_normalisation_makes_of_them() -> None:
    given = network_of("vgg11_bn", options={"width": 1 / 16, "small_images": True})
    working = Working(given)
    t = given.tensors
    sums = np.abs(t["features.0.weight"]).sum((1, 2, 3))
    factor = 1 / np.sqrt(t["features.1.running_var"] + 1e-5)
    np.testing.assert_allclose(
        filter_norms(working, "features.0"), sums * factor, rtol=1e-6
    )
    order = np.argsort(sums * factor)
    assert not np.array_equal(order, np.argsort(sums))
    context = small_context(quick_plan(PruneFilters(share=0.5)), network=given)
    run(PruneFilters(share=0.5), working, context)
    kept = np.sort(order[2:])
    found = working.image_network().tensors["features.0.weight"]
    np.testing.assert_array_equal(found, t["features.0.weight"][kept])


def test_rounds_with_fine_tuning() -> None:
    step = PruneFilters(share=0.5, rounds=2, epochs=1)
    context = small_context(quick_plan(step), network=trained(*RESNET))
    working = Working(context.given)
    before = prunable(working)
    run(step, working, context)
    assert prunable(working) == {
        layer: n - round(n * 0.5) for layer, n in before.items()
    }
    (offered,) = context.trail
    assert "of the filters removed" in offered.what
    last = context.offer(working, "end")
    assert last.n_bytes < offered.n_bytes < 0.9 * working_bytes(context)
    assert last.accuracy > 0.6
    assert any("filters that could go are gone" in each for each in context.notes)
    network = last.network
    assert network is not None and network.classes == context.given.classes
    assert set(network.card.options["reshaped"]) == {"inputs", "outputs"}
    # what was built again is what was tuned
    x = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        again = Working(network).network(x)
        torch.testing.assert_close(again, working.network(x))


def working_bytes(context: Any) -> int:
    return Working(context.given).n_bytes


def test_by_sensitivity_layers_that_matter_keep_more() -> None:
    given = trained()
    # one filter gives nothing, so it costs nothing
    tensors = {name: t.copy() for name, t in given.tensors.items()}
    tensors["stem.0.weight"][2] = tensors["stem.0.bias"][2] = 0
    given = type(given)(given.card, tensors)
    step = PruneFilters(share=0.5, by="sensitivity", tolerance=0.0)
    context = small_context(quick_plan(step), network=given)
    working = Working(given)
    before = context.judge(working).accuracy
    run(step, working, context)
    left = prunable(working)
    assert left["stem.0"] <= 3
    assert left["body.0"] >= 4
    with pytest.raises(TrainingError, match="no images to judge by"):
        run(step, Working(given), small_context(network=given, with_images=False))
    # each layer alone costs nothing
    for layer, n in left.items():
        alone = Working(given)
        norms = filter_norms(alone, layer)
        gone = np.argsort(norms, kind="stable")[: len(norms) - n]
        without_filters(alone, {layer: gone.tolist()})
        assert context.judge(alone).accuracy >= before


def test_pruned_weights_stay_0() -> None:
    given = network_of("vgg11", options={"width": 1 / 16, "small_images": True})
    working = Working(given)
    mask = torch.rand(8, 4, 3, 3) > 0.5
    working.set_form("features.3", Masked(mask))
    removed = {"features.0": [1], "features.3": [0, 5]}
    without_filters(working, removed)
    expected = np.delete(np.delete(mask.numpy(), [0, 5], 0), [1], 1)
    found = working.mask("features.3")
    assert found is not None
    assert np.array_equal(found.numpy(), expected)
    weight = working.weight("features.3").numpy()
    assert np.array_equal(weight != 0, expected)
    assert working.form("features.0") is None


class Halved(Form):
    """Stands for all that holds weights in few bits."""

    mask = None

    def forward(self, original: torch.Tensor) -> torch.Tensor:
        return original.half().float()

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        return weight

    def stored(self, original: torch.Tensor) -> None:
        return None


def test_what_cannot_be_done() -> None:
    context = small_context()
    working = Working(context.given)
    working.set_form("stem.0", Halved())
    with pytest.raises(TrainingError, match=r"weights of stem\.0 are shared.*before"):
        run(PruneFilters(), working, context)
    working.set_form("stem.0", None)
    with pytest.raises(TrainingError, match="from 0 to below 1"):
        run(PruneFilters(share=1.0), working, context)
    with pytest.raises(TrainingError, match="not pruned by 'colour'"):
        run(PruneFilters(by="colour"), working, context)
