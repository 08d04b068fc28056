"""Weights of few bits, by value, and networks trained with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_context import RESNET, quick_plan, small_context, trained
from torch import nn

from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.lowbits import (
    LowBit,
    Rounded,
    few_bits,
    run,
)
from orangecontrib.imagemining.compression.plan import CompressionPlan, LowBits
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError, UnknownNameError
from orangecontrib.imagemining.training.starting import rebuilt


def test_ternary_weights_by_hand():
    """Li and Liu 2016: Δ = 0.7 mean |w|, s the mean of |w| above Δ."""
    original = torch.tensor([[1.0, -0.6, 0.34, 0.06], [1.0, -0.5, 0.36, 0.14]])
    # the mean is 0.5 in both, so Δ = 0.35; s = 1.6 / 2 and 1.86 / 3
    weight = LowBit(2)(original)
    assert weight[0].tolist() == pytest.approx([0.8, -0.8, 0.0, 0.0])
    assert weight[1].tolist() == pytest.approx([0.62, -0.62, 0.62, 0.0])
    original = torch.tensor([[1.0, -0.6, 0.3, 0.1], [0.0, 0.0, 0.0, 0.0]])
    assert LowBit(2)(original)[1].tolist() == [0.0] * 4
    # without the pruned 0.3 the mean is 1.7 / 3, so Δ = 0.397
    mask = torch.tensor([[True, True, False, True], [True] * 4])
    assert LowBit(2, mask)(original)[0].tolist() == pytest.approx([0.8, -0.8, 0, 0])
    mask = torch.tensor([[False, True, True, True], [True] * 4])
    # mean 1 / 3, Δ = 0.233; s = 0.45
    assert LowBit(2, mask)(original)[0].tolist() == pytest.approx([0, -0.45, 0.45, 0])


def test_levels_reach_the_largest_weight():
    original = torch.tensor([[0.7, -0.26, 0.04, -0.7], [3.0, -7.0, 2.4, -0.4]])
    weight = LowBit(4)(original)
    assert weight[0].tolist() == pytest.approx([0.7, -0.3, 0.0, -0.7])
    assert weight[1].tolist() == pytest.approx([3.0, -7.0, 2.0, 0.0])


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("masked", [False, True])
def test_stored_is_the_weight_to_the_last_bit(bits, masked):
    generator = torch.Generator().manual_seed(bits)
    original = torch.randn(6, 5, 3, 3, generator=generator)
    original[2] = 0
    mask = torch.rand(6, 5, 3, 3, generator=generator) > 0.5 if masked else None
    form = LowBit(bits, mask)
    weight = form(original.contiguous(memory_format=torch.channels_last))
    stored = form.stored(original)
    assert stored.decoded.tobytes() == weight.contiguous().numpy().tobytes()
    assert len(np.unique(stored.codes)) <= len(stored.values) == 2**bits - 1
    assert form.bits == bits
    if mask is not None:
        assert not weight[~mask].any()


def test_gradients_go_straight_through():
    original = torch.tensor([[1.0, -0.6, 0.3, 0.1]], requires_grad=True)
    mask = torch.tensor([[True, True, False, True]])
    (LowBit(2, mask)(original) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert original.grad.tolist() == [[1.0, 2.0, 0.0, 4.0]]


def test_activations_are_of_256_values():
    layer, rounded = nn.Identity().eval(), Rounded()
    x = torch.linspace(-1.0, 4.1, 1000, requires_grad=True)
    (y,) = rounded(layer, (x,))
    step = 5.1 / 255
    assert len(torch.unique(y.detach())) == 256
    assert (y - x).abs().max().item() == pytest.approx(step / 2, rel=0.01)
    assert (rounded(layer, (torch.zeros(3),))[0] == 0).all()
    (z,) = rounded(layer, (torch.tensor([-2.0, 9.0], requires_grad=True),))
    assert z.tolist() == pytest.approx([-1.0, 4.1])
    y.sum().backward()
    assert (x.grad == 1).all()
    # in training the ends move a tenth of the way
    rounded(layer.train(), (torch.tensor([0.0, 14.1]),))
    assert rounded.high.item() == pytest.approx(5.1)
    assert rounded.low.item() == pytest.approx(-0.9)


def ran(step, **arguments):
    context = small_context(quick_plan(step), **arguments)
    working = Working(context.given)
    run(step, working, context)
    return working, context


def numbers(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("scheme", ["none", "A", "B", "C"])
def test_schemes_on_a_network_with_normalisation(scheme):
    step = LowBits(1, scheme=scheme)
    context = small_context(quick_plan(step), network=trained(*RESNET))
    working = Working(context.given)
    before = numbers(context.teacher())
    run(step, working, context)
    after = numbers(context.teacher())
    assert all(torch.equal(before[name], after[name]) for name in before)
    # two values and 0 in each filter of the inner layers, full precision at the ends
    inner = few_bits(working, "ends")
    assert set(working.forms) == set(inner) == set(list(working.layers)[1:-1])
    for name in inner:
        for each in working.weight(name):
            assert len(torch.unique(each.abs())) <= 2
    again = rebuilt(working.image_network())
    for name in working.layers:
        weight = again.get_submodule(name).weight
        assert torch.equal(weight.detach(), working.weight(name))
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(again(pixels), working.network(pixels), atol=1e-5)
    told = " ".join(context.notes)
    assert ("student to teacher" in told) is (scheme != "none")
    assert ("the teacher reads" in told) is (scheme == "A")
    # C and "none" go on from what is there: they were looked at before training
    assert len(context.trail) == (scheme in ("none", "C"))


def test_a_joint_teacher_learns_and_others_begin_alike(monkeypatch):
    seen = []
    step = LowBits(1, scheme="A")
    context = small_context(quick_plan(step))
    tune = context.tune

    def watched(working, epochs, status, task=None, others=(), recipe=None):
        seen.extend([numbers(others[0]), numbers(working.network), others[0], recipe])
        return tune(working, epochs, status, task, others, recipe)

    monkeypatch.setattr(context, "tune", watched)
    run(step, Working(context.given), context)
    teacher, student, now, recipe = seen
    assert all(not torch.equal(teacher[k], v) for k, v in numbers(now).items())
    # both from fresh weights, and not from the same
    given = context.given.tensors["stem.0.weight"]
    for fresh in (teacher, student):
        assert not np.array_equal(fresh["stem.0.weight"].numpy(), given)
    assert not torch.equal(teacher["stem.0.weight"], student["stem.0.weight"])
    assert recipe.learning_rate == 0.01 and not now.training


def test_means_of_rounded_weights_are_looked_at_anew():
    step = LowBits(0, scheme="C")
    context = small_context(quick_plan(step), network=trained(*RESNET))
    working = Working(context.given)
    layer = working.network.get_submodule("layer1.0.bn1")
    seen = []
    layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    run(step, working, context)
    # 32 of the 36 images, in batches of 8
    assert [len(each) for each in seen] == [8] * 4
    means = torch.stack([each.mean(dim=(0, 2, 3)) for each in seen]).mean(dim=0)
    assert torch.allclose(layer.running_mean, means, atol=1e-5)
    assert layer.momentum == 0.1 and not working.network.training
    assert not layer.training


def test_pruned_weights_stay_zero():
    step = LowBits(1, bits=4, scheme="C", keep="none")
    context = small_context(quick_plan(step))
    working = Working(context.given)
    mask = torch.rand(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)) > 0.5
    working.set_form("body.0", Masked(mask))
    run(step, working, context)
    assert len(working.forms) == len(working.layers) == 3
    weight = working.weight("body.0")
    assert not weight[~mask].any() and weight[mask].any()
    run(replace(step, scheme="B"), working, context)
    assert not working.weight("body.0")[~mask].any()


def test_activations_are_rounded_while_it_trains_and_both_are_told():
    working, context = ran(LowBits(1, activations=8, scheme="C"))
    assert any("activations of 8 bits" in note for note in context.notes)
    assert not any(each._forward_pre_hooks for each in working.network.modules())


def test_without_images_weights_are_rounded_as_they_are():
    working, context = ran(LowBits(3, bits=8, scheme="C"), with_images=False)
    given = context.given.tensors["body.0.weight"]
    off = np.abs(working.weight("body.0").numpy() - given).max()
    assert 0 < off <= np.abs(given).max() / 254 * 1.001
    assert "without training" in context.notes[0]


def test_without_labels_the_answers_are_learned():
    _, context = ran(LowBits(1, scheme="C"), labelled=False)
    assert "student to labels" not in " ".join(context.notes)


@pytest.mark.parametrize(
    ("step", "error", "arguments"),
    [
        (LowBits(bits=1), TrainingError, {}),
        (LowBits(activations=4), TrainingError, {}),
        (LowBits(scheme="D"), UnknownNameError, {}),
        (LowBits(keep="first"), UnknownNameError, {}),
        (LowBits(start="B"), UnknownNameError, {}),
        (LowBits(0, scheme="B"), TrainingError, {}),
        (LowBits(scheme="B"), TrainingError, {"with_images": False}),
        (LowBits(scheme="A"), TrainingError, {"labelled": False}),
    ],
)
def test_what_cannot_be(step, error, arguments):
    context = small_context(CompressionPlan(steps=(step,)), **arguments)
    working = Working(context.given)
    before = working.image_network()
    with pytest.raises(error):
        run(step, working, context)
    assert working.image_network() == before
