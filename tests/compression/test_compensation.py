"""Rounding whose errors are made up for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_context import RESNET, quick_plan, small_context, toy_images, trained
from torch import nn
from torch.nn import functional

from orangecontrib.imagemining.compression.codebooks import codebook_of
from orangecontrib.imagemining.compression.compensation import (
    compensated,
    input_moments,
)
from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.masks import largest
from orangecontrib.imagemining.compression.plan import Share
from orangecontrib.imagemining.compression.sharing import run, share_layers
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError

RNG = np.random.default_rng(5)
WEIGHT = RNG.normal(size=(20, 12)).astype(np.float32)
# inputs that go together: 4 sources behind 12 of them, the sixth nearly silent
INPUTS = RNG.normal(size=(500, 4)) @ RNG.normal(size=(4, 12))
INPUTS += 0.3 * RNG.normal(size=INPUTS.shape)
INPUTS[:, 5] *= 0.01
MOMENTS = INPUTS.T @ INPUTS / len(INPUTS)
BOOK = codebook_of(WEIGHT, 6)


def error(rounded):
    return float((((rounded - WEIGHT) @ INPUTS.T) ** 2).sum())


def test_answers_are_nearer_than_with_nearest_values():
    nearest = error(BOOK.values[BOOK.codes(WEIGHT)])
    codes = compensated(WEIGHT, MOMENTS, BOOK.values, BOOK.borders)
    assert error(BOOK.values[codes]) < 0.5 * nearest


def test_the_last_weights_are_those_that_mend_most():
    """With all others as they are, none is better for the last; by trying all."""
    codes = compensated(WEIGHT, MOMENTS, BOOK.values, BOOK.borders)
    last = int(np.argmin(np.diag(MOMENTS)))
    damped = MOMENTS + np.eye(12) * 0.01 * np.trace(MOMENTS) / 12
    for filter_, own in zip(WEIGHT, codes, strict=True):
        costs = []
        for code in range(len(BOOK.values)):
            tried = own.copy()
            tried[last] = code
            change = BOOK.values[tried].astype(float) - filter_
            costs.append(change @ damped @ change)
        assert int(np.argmin(costs)) == own[last]


def test_inputs_apart_from_each_other_leave_the_nearest_values():
    codes = compensated(
        WEIGHT, np.diag(RNG.uniform(1, 2, 12)), BOOK.values, BOOK.borders
    )
    assert np.array_equal(codes, BOOK.codes(WEIGHT))
    # and inputs that were never other than 0
    codes = compensated(WEIGHT, np.zeros((12, 12)), BOOK.values, BOOK.borders)
    assert np.array_equal(codes, BOOK.codes(WEIGHT))


def test_pruned_weights_are_made_up_for_and_stay():
    mask = RNG.uniform(size=WEIGHT.shape) > 0.4
    codes = compensated(WEIGHT, MOMENTS, BOOK.values, BOOK.borders, mask)
    plain = error(BOOK.values[BOOK.codes(WEIGHT)] * mask)
    assert error(BOOK.values[codes] * mask) < 0.7 * plain


def test_moments_are_those_of_what_convolutions_are_given():
    context = small_context(network=trained(*RESNET))
    working = Working(context.given)
    images = context.images.subset(range(5))
    moments = input_moments(working, context.plan, images)
    assert set(moments) == set(working.layers)
    preprocess = working.card.preprocess
    pixels = images.prepared(range(5)).astype(np.float32) * preprocess.scale
    pixels = (pixels - np.array(preprocess.mean)) / np.array(preprocess.std)
    given = torch.from_numpy(pixels.astype(np.float32)).permute(0, 3, 1, 2)
    first = working.layers["conv1"]
    assert isinstance(first, nn.Conv2d)
    patches = functional.unfold(given, first.kernel_size, padding=first.padding)
    rows = patches.transpose(1, 2).reshape(-1, patches.shape[1]).double()
    wanted = (rows.T @ rows / len(rows)).numpy()
    # 200 of 256 places are looked at
    assert moments["conv1"] == pytest.approx(wanted, rel=0.15, abs=0.15)
    for name, layer in working.layers.items():
        assert len(moments[name]) == layer.weight[0].numel()


def test_shared_values_with_compensation():
    steps = (Share(bits=2, compensate=True),)
    context = small_context(quick_plan(*steps), network=trained(*RESNET))
    images = torch.from_numpy(toy_images(12).prepared(range(12))).permute(0, 3, 1, 2)
    losses = []
    for compensate in (False, True):
        working = Working(context.given)
        (mask,) = largest([working.weight("layer3.0.conv2")], 0.5)
        working.set_form("layer3.0.conv2", Masked(mask))
        with torch.no_grad():
            before = working.network(images / 255)
            if compensate:
                run(steps[0], working, context)
            else:
                share_layers(Share(bits=2), working)
            losses.append(float(((working.network(images / 255) - before) ** 2).mean()))
        assert torch.equal(working.weight("layer3.0.conv2") != 0, mask)
        assert all(len(working.weight(n).unique()) <= 4 for n in working.layers)
    assert losses[1] < 0.8 * losses[0]


def test_without_images_it_is_refused():
    context = small_context(quick_plan(Share(compensate=True)), with_images=False)
    with pytest.raises(TrainingError, match="there are none"):
        run(context.plan.steps[0], Working(context.given), context)
