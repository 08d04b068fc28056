"""Layers that become two thin ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_context import SQUEEZENET, quick_plan, small_context, trained
from trained_networks import network_of

from orangecontrib.imagemining.compression.filters import prunable, without_filters
from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.lowrank import factors, run
from orangecontrib.imagemining.compression.plan import LowRank
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TaskCancelled, TrainingError
from orangecontrib.imagemining.weights.image_network import ImageNetwork

VGG = {"width": 1 / 16, "hidden": 40}


def of_low_rank() -> ImageNetwork:
    """Return a network with a layer of rank 6."""
    given = network_of("vgg11", options=VGG, size=(32, 32))
    rng = np.random.default_rng(0)
    low = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 32 * 49)) / 40
    return replace(
        given, tensors={**given.tensors, "classifier.0.weight": low.astype("float32")}
    )


def cancel(fraction: float, status: str = "") -> None:
    raise TaskCancelled


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (30, 5000)])
def test_factors_are_those_of_the_singular_values(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(shape[0], 8)) @ rng.normal(size=(8, shape[1]))
    matrix += 0.3 * rng.normal(size=shape)
    s = np.linalg.svd(matrix, compute_uv=False)
    sums = np.cumsum(s**2) / np.sum(s**2)
    before = -1.0
    for energy in (0.5, 0.9, 0.97):
        found = factors(torch.from_numpy(matrix.astype("float32")), energy)
        assert found is not None
        first, second = (each.numpy() for each in found)
        rank = 1 + int((sums < energy).sum())
        assert (first.shape, second.shape) == ((rank, shape[1]), (shape[0], rank))
        error = np.linalg.norm(matrix - second @ first) ** 2 / np.sum(s**2)
        assert error == pytest.approx(1 - sums[rank - 1], abs=1e-5)
        assert np.linalg.norm(first) == pytest.approx(np.linalg.norm(second), rel=1e-3)
        before, last = rank, before
        assert before > last
    with pytest.raises(TaskCancelled):
        factors(torch.zeros(9, 9), 0.9, cancel)
    # all of it would be more numbers
    assert factors(torch.from_numpy(matrix.astype("float32")), 1.0) is None
    zeros = factors(torch.zeros(9, 9), 0.9)
    assert zeros is not None and not any(each.any() for each in zeros)


def test_a_layer_of_low_rank_loses_nothing() -> None:
    given = of_low_rank()
    working = Working(given)
    context = small_context(network=given)
    run(LowRank(energy=1 - 1e-9, layers="linear"), working, context)
    assert working.card.options["reshaped"] == {"ranks": {"classifier.0": 6}}
    assert "classifier.0 (rank 6 of 40)" in context.notes[0]
    numbers = 40 * 32 * 49, 6 * (40 + 32 * 49)
    assert f"{numbers[0]:,} numbers became {numbers[1]:,}" in context.notes[0]
    made = working.image_network()
    assert given.n_parameters - made.n_parameters == numbers[0] - numbers[1]
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            Working(made).network(x), Working(given).network(x), atol=1e-6, rtol=1e-4
        )
    # fewer filters, the same rank
    without_filters(working, {"classifier.0.1": [0]})
    option = working.card.options["reshaped"]
    assert option["ranks"] == {"classifier.0": 6}
    assert option["outputs"] == {"classifier.0": 39}
    assert working.weight("classifier.0.1").shape == (39, 6)


def test_less_energy_is_smaller_and_further_off() -> None:
    given = network_of("squeezenet1_1", options={"base_e": 64}, size=(32, 32))
    for name, tensor in given.tensors.items():
        if name.startswith("features.") and tensor.shape[2:] == (1, 1):
            # singular values that fall, as trained layers have them
            n = tensor.shape[1]
            fall = np.exp(-np.arange(n) / 6, dtype=np.float32)
            tensor *= (fall / np.sqrt(np.mean(fall**2)))[:, None, None]
    x = torch.randn(2, 3, 32, 32)
    errors, sizes = [], []
    with torch.inference_mode():
        expected = Working(given).network.forward_features(x)
        for energy in (0.95, 0.8, 0.5):
            working = Working(given)
            run(LowRank(energy=energy), working, small_context(network=given))
            found = working.network.forward_features(x)
            errors.append(float((found - expected).norm() / expected.norm()))
            sizes.append(working.image_network().n_parameters)
    assert errors == sorted(errors) and 0.01 < errors[0] < errors[-1] < 1
    assert given.n_parameters > sizes[0] > sizes[1] > sizes[2]
    ranks = working.card.options["reshaped"]["ranks"]
    assert "classifier.1" not in ranks
    assert {name.rpartition(".")[2] for name in ranks} == {"squeeze", "expand1x1"}
    assert working.layers["features.3.squeeze.0"].weight.shape[2:] == (1, 1)


def test_kinds_of_layers_and_tuning() -> None:
    step = LowRank(energy=0.6, layers="pointwise", epochs=1)
    context = small_context(quick_plan(step), network=trained(*SQUEEZENET))
    working = Working(context.given)
    run(step, working, context)
    ranks = working.card.options["reshaped"]["ranks"]
    assert ranks and context.offer(working, "end").accuracy > 0.6
    # once is enough, and the thin layers' own numbers are no filters
    again = small_context(network=working.image_network())
    run(replace(step, epochs=0), working, again)
    assert working.card.options["reshaped"]["ranks"].keys() == ranks.keys()
    assert not any(layer.removesuffix(".0") in ranks for layer in prunable(working))
    linear = small_context(network=trained(*SQUEEZENET))
    run(LowRank(layers="linear"), Working(linear.given), linear)
    assert linear.notes[0].startswith("No layer becomes smaller")


@pytest.mark.parametrize("is_pruned", [False, True])
def test_two_layers_that_lose_most_filters_are_one_again(is_pruned: bool) -> None:
    given = of_low_rank()
    working = Working(given)
    run(LowRank(energy=1 - 1e-9, layers="linear"), working, small_context())
    if is_pruned:
        mask = torch.ones(6, 32 * 49, dtype=torch.bool)
        working.set_form("classifier.0.0", Masked(mask))
    without_filters(working, {"classifier.0.1": range(5, 40)})
    option = working.card.options["reshaped"]
    assert option["outputs"] == {"classifier.0": 5}
    assert option["inputs"] == {"classifier.3": 5}
    assert ("ranks" in option) == is_pruned  # else they would not stay 0
    plain = Working(given)
    without_filters(plain, {"classifier.0": range(5, 40)})
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(
            working.network(x), plain.network(x), atol=1e-6, rtol=1e-4
        )


def test_pruned_layers_and_what_cannot_be_done() -> None:
    given = of_low_rank()
    working, context = Working(given), small_context(network=given)
    working.set_form("classifier.0", Masked(torch.ones(40, 32 * 49, dtype=torch.bool)))
    run(LowRank(), working, context)
    assert "would not stay 0: classifier.0;" in context.notes[0]
    assert "reshaped" not in working.card.options
    assert working.mask("classifier.0") is not None
    # what stays one layer stays pruned
    working = Working(given)
    mask = torch.ones(4, 3, 3, 3, dtype=torch.bool)
    mask[2] = False
    working.set_form("features.0", Masked(mask))
    run(LowRank(layers="linear"), working, context)
    assert not working.weight("features.0")[2].any()
    assert isinstance(working.form("features.0"), Masked)
    for step in (LowRank(energy=0), LowRank(energy=1.1), LowRank(layers="all")):
        with pytest.raises(TrainingError):
            run(step, working, context)
