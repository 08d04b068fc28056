"""Where and how it is computed; what is drawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from small_trainings import RESNET, SQUEEZENET, curve, same_numbers, train
from torch import nn

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.training.arithmetic import (
    Arithmetic,
    SeededDropout,
    has_fast_bfloat16,
    is_out_of_memory,
    seed_of,
    use_dropout,
)
from orangecontrib.imagemining.training.plan import Plan


def test_seeds():
    seeds = {
        seed_of(seed, step, parts)
        for seed in range(5)
        for step in range(200)
        for parts in (1, 2)
    }
    assert len(seeds) == 2000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(3, 4) == seed_of(3, 4)


def test_dropout():
    generator = torch.Generator()
    network = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Dropout(0.25)))
    names = list(network.state_dict())
    use_dropout(network, None, generator)
    assert list(network.state_dict()) == names
    dropout = network[1][0]
    assert isinstance(dropout, SeededDropout)
    assert dropout.p == 0.25
    x = torch.ones(100, 100)
    before = torch.get_rng_state()
    generator.manual_seed(1)
    first = dropout(x)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (first == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    generator.manual_seed(1)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(dropout(x), first)
    dropout.eval()
    assert dropout(x) is x
    use_dropout(network, 0.5, generator)
    assert network[1][0].p == 0.5


def test_two_trainings_at_once():
    """Neither is changed by the other."""
    plans = [SQUEEZENET, replace(SQUEEZENET, seed=11)]
    alone = [train(plan) for plan in plans]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(train, plans))
    for one, other in zip(alone, together, strict=True):
        assert same_numbers(one, other)
        assert curve(one.history) == curve(other.history)


def test_mixed_precision():
    arithmetic = Arithmetic(Plan(precision="mixed", device="cpu"))
    assert arithmetic.mixed == has_fast_bfloat16("cpu")
    a = torch.rand(4, 4)
    with arithmetic.training():
        expected = torch.bfloat16 if arithmetic.mixed else torch.float32
        assert (a @ a).dtype == expected
    with arithmetic.prediction():
        assert (a @ a).dtype == torch.float32
    assert not Arithmetic(Plan(precision="float32", device="cpu")).mixed
    told = [e.text for e in train(replace(RESNET, precision="mixed")).history.events]
    assert any("bfloat16" in text for text in told)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is there")
def test_no_such_device():
    with pytest.raises(TrainingError, match="no CUDA processor here.*choose"):
        Arithmetic(Plan(device="cuda"))


@pytest.mark.parametrize(
    "error, expected",
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("[enforce fail] not enough memory: you tried to"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory(error, expected):
    assert is_out_of_memory(error) == expected


def test_real_lack_of_memory():
    """What torch itself raises on a processor is known for it."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert is_out_of_memory(raised.value)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_on_a_graphics_processor(precision):
    plan = replace(SQUEEZENET, device="cuda", precision=precision)
    first, second = train(plan), train(plan)
    assert same_numbers(first, second)
    assert "CUDA" in first.history.events[-1].text
