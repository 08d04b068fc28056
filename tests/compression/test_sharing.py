"""Shared values: which, how they are trained, and how they are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_context import RESNET, quick_plan, small_context, toy_images, trained
from torch.nn import functional

from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.masks import largest
from orangecontrib.imagemining.compression.plainsteps import fine_tune
from orangecontrib.imagemining.compression.plan import FineTune, Share
from orangecontrib.imagemining.compression.sharing import (
    Shared,
    run,
    share_layer,
    share_layers,
)
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TaskCancelled, TrainingError
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.packed.container import (
    read_container,
    write_container,
)


def pixels():
    return (
        torch.from_numpy(toy_images(12).prepared(range(12))).permute(0, 3, 1, 2) / 255
    )


def pruned(share=0.6):
    working = Working(trained(*RESNET))
    for name in working.layers:
        (mask,) = largest([working.weight(name)], share)
        working.set_form(name, Masked(mask))
    return working


@pytest.mark.parametrize("thrift", [0.0, 1000.0])
def test_layers_share_as_many_values_as_their_bits_tell(thrift):
    working = Working(trained(*RESNET))
    name = "layer2.0.conv1"
    step = Share(bits=3, linear_bits=2, layer_bits={name: 4}, thrift=thrift)
    assert share_layers(step, working) == []
    kinds = {key: len(working.weight(key).unique()) for key in working.layers}
    assert kinds["fc"] <= 4 < kinds[name] <= 16
    assert all(n <= 8 for key, n in kinds.items() if key != name)
    assert [working.form(key).bits for key in ("conv1", name, "fc")] == [3, 4, 2]


def test_a_value_is_the_mean_of_its_weights_to_eleven_bits():
    working = Working(trained(*RESNET))
    before = working.weight("layer3.0.conv2").clone()
    share_layer(working, "layer3.0.conv2", 5)
    after = working.weight("layer3.0.conv2")
    assert after.stride() == before.stride()
    for value in after.unique():
        mean = before[after == value].double().mean().item()
        assert value.item() == pytest.approx(mean, rel=2**-11, abs=1e-12)
        assert value.view(torch.int32).item() % 2**13 == 0


def test_the_gradient_of_a_value_is_the_sum_of_its_weights_gradients():
    working = pruned()
    step = Share(bits=4)
    share_layers(step, working)
    images = pixels()
    network = working.network
    loss = functional.cross_entropy(network(images), torch.arange(12) % 3)
    loss.backward()
    dense = Working(working.image_network())
    dense.network.requires_grad_(True)
    functional.cross_entropy(dense.network(images), torch.arange(12) % 3).backward()
    for name, layer in working.layers.items():
        form, original = working.form(name), layer.parametrizations.weight.original
        gradient = dense.layers[name].weight.grad
        for code, scale in enumerate(form.scales.tolist()):
            members = gradient[form.codes == code]
            # of what is trained: the value times the root of how many share it
            wanted = 0.0 if code == 0 else members.sum().item() / len(members) ** 0.5
            assert original.grad[code].item() == pytest.approx(wanted, abs=1e-5)
            assert scale == pytest.approx(0.0 if code == 0 else len(members) ** -0.5)


@pytest.mark.parametrize("thrift", [0.0, 300.0])
def test_pruned_weights_stay_zero_while_all_is_trained(thrift):
    plan = quick_plan(Share(bits=4, epochs=1, thrift=thrift), FineTune(epochs=1))
    context = small_context(plan, network=trained(*RESNET))
    working = pruned()
    masks = {name: working.weight(name) != 0 for name in working.layers}
    run(plan.steps[0], working, context)
    first = {name: working.weight(name).clone() for name in working.layers}
    fine_tune(plan.steps[1], working, context)
    assert [each.what for each in context.trail] == ["Shared values, not trained yet"]
    for name, mask in masks.items():
        weight = working.weight(name)
        assert not weight[~mask].any()
        assert len(weight.unique()) <= 16
        if not thrift:
            assert torch.equal(weight != 0, mask)
    assert any(not torch.equal(first[name], working.weight(name)) for name in first)


def test_files_hold_the_network_exactly():
    working = pruned()
    share_layers(Share(bits=5), working)
    with torch.no_grad():  # training may have values change places
        original = working.layers["fc"].parametrizations.weight.original
        original[1:] = original[1:].flip(0)
        network = working.image_network()
        logits = working.network(pixels())
    _, tensors = read_container(
        write_container({}, {**network.tensors, **network.stored})
    )
    for name in working.layers:
        stored = tensors[f"{name}.weight"]
        assert isinstance(stored, Coded)
        assert (np.diff(stored.values) > 0).all()
        assert np.array_equal(stored.decoded, working.weight(name).numpy())
        assert np.array_equal(stored.decoded, network.tensors[f"{name}.weight"])
        assert set(np.unique(stored.codes)) == set(range(len(stored.values)))
    with torch.no_grad():
        assert torch.equal(Working(network).network(pixels()), logits)


def test_shared_again_with_fewer_bits_and_zeros_of_a_loaded_network():
    working = pruned()
    zeros = working.weight("layer3.0.conv1") == 0
    share_layers(Share(bits=6), working)
    share_layers(Share(bits=3), working)
    assert len(working.weight("layer3.0.conv1").unique()) <= 8
    assert torch.equal(working.weight("layer3.0.conv1") == 0, zeros)
    loaded = Working(working.image_network())  # knows of no masks any more
    share_layers(Share(bits=2), loaded)
    assert torch.equal(loaded.weight("layer3.0.conv1") == 0, zeros)
    assert torch.equal(loaded.mask("layer3.0.conv1"), ~zeros)


def test_thrift_makes_smaller_files():
    sizes = []
    for thrift in (0.0, 300.0, 3000.0):
        working = Working(trained(*RESNET))
        share_layers(Share(bits=6, thrift=thrift), working)
        sizes.append(working.n_bytes)
    assert sizes[0] > sizes[1] > sizes[2]


def test_what_cannot_be_shared():
    context = small_context(quick_plan(Share(layer_bits={"conv9": 4})))
    working = Working(context.given)
    with pytest.raises(TrainingError, match="'conv9'.*It has"):
        run(context.plan.steps[0], working, context)
    name = next(iter(working.layers))
    with torch.no_grad():
        working.weight(name)[0] = float("nan")
    with pytest.raises(TrainingError, match="no numbers"):
        share_layer(working, name, 8)
    with torch.no_grad():
        working.weight(name).zero_()
    share_layer(working, name, 8)
    assert not working.weight(name).any()


def test_sharing_can_be_cancelled():
    def progress(fraction, status=""):
        if fraction > 0.3:
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        share_layers(Share(), Working(trained(*RESNET)), progress=progress)


def test_codes_need_no_wide_index(monkeypatch):
    from orangecontrib.imagemining.compression import sharing

    codes = torch.arange(60, dtype=torch.uint8).reshape(3, 4, 5, 1) % 7
    codes = codes.contiguous(memory_format=torch.channels_last)
    monkeypatch.setattr(sharing, "_CHUNK", 8)
    form = Shared(codes, False)
    weight = torch.randn(3, 4, 5, 1, generator=torch.Generator().manual_seed(0))
    original = form.right_inverse(weight)
    for code, value in enumerate(form.values(original)):
        assert value.item() == pytest.approx(
            weight[codes == code].mean().item(), rel=1e-3
        )
        assert (form(original)[codes == code] == value).all()
