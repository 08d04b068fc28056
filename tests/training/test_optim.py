"""Optimizers, by value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from orangecontrib.imagemining.training.optim import RMSProp, optimizer_for
from orangecontrib.imagemining.training.plan import Recipe


def by_hand(w, grads, lr, decay, momentum, eps, weight_decay):
    """RMSProp, written down step by step in numpy."""
    s, v = np.ones_like(w), np.zeros_like(w)
    for g in grads:
        g = g + weight_decay * w
        s = decay * s + (1 - decay) * g * g
        v = momentum * v + lr * g / np.sqrt(s + eps)
        w = w - v
    return w


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("eps", [1.0, 1e-3])
def test_rmsprop(momentum, weight_decay, eps):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4))
    grads = rng.normal(size=(6, 3, 4))
    parameter = nn.Parameter(torch.tensor(start))
    optimizer = RMSProp(
        [parameter],
        lr=0.045,
        decay=0.9,
        momentum=momentum,
        eps=eps,
        weight_decay=weight_decay,
    )
    for grad in grads:
        parameter.grad = torch.tensor(grad)
        optimizer.step()
    expected = by_hand(start, grads, 0.045, 0.9, momentum, eps, weight_decay)
    assert np.allclose(parameter.detach().numpy(), expected, rtol=1e-12)


def test_the_place_of_epsilon_matters():
    """torch's own, with ε = 1 behind the root, is another method."""
    own = nn.Parameter(torch.tensor([1.0]))
    other = nn.Parameter(torch.tensor([1.0]))
    for parameter, kind, name in (
        (own, RMSProp, "decay"),
        (other, torch.optim.RMSprop, "alpha"),
    ):
        optimizer = kind([parameter], lr=0.1, eps=1.0, **{name: 0.9})
        parameter.grad = torch.tensor([2.0])
        optimizer.step()
    # s = 0.9 + 0.1 · 4 = 1.3, √2.3; and √0.4 + 1
    assert own.item() == pytest.approx(1 - 0.2 / 2.3**0.5)
    assert other.item() == pytest.approx(1 - 0.2 / (0.4**0.5 + 1))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1))


@pytest.mark.parametrize(
    "decays, decayed", [("weights", [0, 4]), ("all", [0, 1, 2, 3, 4, 5])]
)
@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop"])
def test_what_decays(network, name, decays, decayed):
    recipe = Recipe(optimizer=name, weight_decay=0.5, decays=decays)
    optimizer = optimizer_for(network, recipe)
    parameters = list(network.parameters())
    found = [
        number
        for number, parameter in enumerate(parameters)
        for group in optimizer.param_groups
        if group["weight_decay"] and any(p is parameter for p in group["params"])
    ]
    assert found == decayed
    total = sum(len(group["params"]) for group in optimizer.param_groups)
    assert total == len(parameters)


def test_what_does_not_learn_is_left_out(network):
    network[0].requires_grad_(False)
    optimizer = optimizer_for(network, Recipe())
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert known == {id(p) for p in network[1:].parameters()}


def test_numbers_of_the_recipe_arrive(network):
    recipe = Recipe(optimizer="rmsprop", momentum=0.3, rms_decay=0.7, epsilon=0.5)
    group = optimizer_for(network, recipe).param_groups[0]
    assert (group["momentum"], group["decay"], group["eps"]) == (0.3, 0.7, 0.5)
    recipe = Recipe(optimizer="adamw", momentum=0.8)
    assert optimizer_for(network, recipe).param_groups[0]["betas"] == (0.8, 0.999)
    recipe = Recipe(optimizer="sgd", momentum=0.4)
    assert optimizer_for(network, recipe).param_groups[0]["momentum"] == 0.4
