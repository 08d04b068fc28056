"""Training of networks on their way, and the steps that are little else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_context import RESNET, SQUEEZENET, quick_plan, small_context, trained

from orangecontrib.imagemining.compression.filters import run as prune_filters
from orangecontrib.imagemining.compression.forms import Masked
from orangecontrib.imagemining.compression.judging import judge
from orangecontrib.imagemining.compression.plainsteps import (
    HalfNumbers,
    fine_tune,
    half,
)
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    FineTune,
    Half,
    PruneFilters,
    Share,
)
from orangecontrib.imagemining.compression.sharing import share_layers
from orangecontrib.imagemining.compression.tuning import Tuner, training_plan
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.training.plan import Recipe
from orangecontrib.imagemining.training.starting import training_mode
from orangecontrib.imagemining.training.trainer import Trainer
from orangecontrib.imagemining.weights.image_network import ImageNetwork

STEP = FineTune(epochs=2)
PLAN = CompressionPlan(steps=(STEP,))


def spoiled(network: ImageNetwork) -> ImageNetwork:
    """Return a network that training can make better."""
    rng = np.random.default_rng(0)
    tensors = {
        name: tensor + rng.normal(0, 0.1, tensor.shape).astype(np.float32)
        if tensor.dtype.kind == "f" and "var" not in name
        else tensor
        for name, tensor in network.tensors.items()
    }
    return ImageNetwork(network.card, tensors)


@pytest.mark.parametrize("name", [RESNET, SQUEEZENET], ids=["resnet", "squeezenet"])
def test_zeros_and_shared_values_stay_while_others_learn(name):
    context = small_context(PLAN, network=spoiled(trained(*name)))
    working = Working(context.given)
    first, second, *_ = working.layers
    weight = working.weight(first)
    mask = weight.abs() > weight.abs().median()
    working.set_form(first, Masked(mask))
    shared = working.copy()
    share_layers(Share(bits=3), shared)
    for each in (working, shared):
        before = {layer: each.weight(layer).clone() for layer in each.layers}
        loss = judge(each, context.validation, context.plan)[0].loss
        fine_tune(STEP, each, context)
        assert judge(each, context.validation, context.plan)[0].loss < loss
        after = each.weight(first)
        assert not after[~mask].any() and not after.equal(before[first])
        assert not each.weight(second).equal(before[second])
        assert not each.network.training
    codes = before[first].unique(return_inverse=True)[1]
    for code in range(8):
        assert len(after[codes == code].unique()) <= 1


def test_what_training_does_not_better_stays_as_it_was():
    context = small_context(PLAN)
    working = Working(context.given)
    before = working.image_network()
    # every step goes far beyond
    history = context.tune(
        working, 1, "Too fast", recipe=Recipe(learning_rate=50.0, clip=None)
    )
    assert history.epochs or any(event.kind == "warning" for event in history.events)
    assert working.image_network().sha256 == before.sha256


def test_networks_of_another_shape_are_trained():
    context = small_context(PLAN, network=trained(*SQUEEZENET))
    working = Working(context.given)
    prune_filters(PruneFilters(share=0.5), working, context)
    assert "reshaped" in working.card.options
    smaller = working.image_network()
    assert smaller.n_parameters < context.given.n_parameters
    history = context.tune(working, 1, "Fine-tuning")
    assert len(history.epochs) == 1
    assert {n: t.shape for n, t in working.image_network().tensors.items()} == {
        n: t.shape for n, t in smaller.tensors.items()
    }


def test_smaller_networks_can_be_trained_on():
    context = small_context(PLAN, network=trained(*SQUEEZENET))
    working = Working(context.given)
    prune_filters(PruneFilters(share=0.5), working, context)
    smaller = working.image_network()
    plan = training_plan(working, context.plan, 1)
    two = context.images.subset(np.flatnonzero(context.images.labels < 2))
    after = Trainer(plan, ("a", "b"), two, start=smaller).fit().network
    assert after.card.options == smaller.card.options and after.classes == ("a", "b")
    first = next(iter(working.layers))
    assert after.tensors[f"{first}.weight"].shape == working.weight(first).shape
    assert judge(Working(after), two, context.plan)[0].loss > 0


def test_forms_learn_and_rest_as_their_layers_do():
    working = Working(trained(*RESNET))
    for layer in working.layers:
        working.set_form(layer, Masked(torch.ones_like(working.weight(layer)).bool()))
    training_mode(working.network, {"fc"})
    modes = dict(working.network.named_modules())
    assert modes["fc.parametrizations.weight.0"].training
    assert not modes["conv1.parametrizations.weight.0"].training


def test_nothing_is_written_while_it_tunes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context = small_context(PLAN)
    working = Working(context.given)
    plan = training_plan(working, context.plan, 1)
    tuner = Tuner(working, plan, context.images, context.validation)
    tuner.fit()
    assert tuner.checkpoint is None and not list(tmp_path.iterdir())
    assert plan.validation == 0 and plan.size == (16, 16)


def test_answers_are_followed_where_the_plan_says_so():
    # labels that are wrong are learned, unless the answers are followed alone
    lying = small_context(quick_plan(FineTune(epochs=8)))
    lying.images = replace(lying.images, labels=(lying.images.labels + 1) % 3)
    lying.validation = replace(
        lying.validation, labels=(lying.validation.labels + 1) % 3
    )
    right = {}
    for distil, gamma in ((False, 0.5), (True, 1.0)):
        lying.plan = replace(
            lying.plan, distil=distil, gamma=gamma, recipe=Recipe(learning_rate=0.1)
        )
        working = Working(lying.given)
        lying.tune(working, 8, "Lying")
        right[distil] = judge(working, lying.validation, lying.plan)[0].accuracy
    assert right[False] > 0.5 > right[True]


def test_tuning_needs_images():
    context = small_context(PLAN, with_images=False)
    with pytest.raises(TrainingError, match="no images"):
        context.tune(Working(context.given), 1, "Fine-tuning")
    assert context.tune(Working(context.given), 0, "Nothing").epochs == []


def test_half_numbers_are_kept_exactly():
    context = small_context(PLAN)
    working = Working(context.given)
    share_layers(Share(bits=2), working)
    shared = working.form("stem.0")
    mask = working.weight("body.0") > 0
    working.set_form("body.0", Masked(mask))
    working.set_form("classifier", None)
    numbers = working.weight("classifier").numpy().copy()
    half(Half(), working, context)
    assert working.form("stem.0") is shared
    network = working.image_network()
    assert network.stored.keys() == {f"{name}.weight" for name in working.layers}
    kept = network.stored["classifier.weight"]
    assert isinstance(kept, np.ndarray) and kept.dtype == np.float16
    assert kept.tobytes() == numbers.astype(np.float16).tobytes()
    assert network.tensors["classifier.weight"].tobytes() == kept.astype("f4").tobytes()
    assert not working.weight("body.0")[~mask].any()
    assert working.form("body.0").bits == 16  # type: ignore[union-attr]


def test_half_numbers_stay_in_range_and_pass_gradients():
    form = HalfNumbers()
    numbers = torch.tensor([1e6, -1e6, 1e-9, -1e-9, 0.1], requires_grad=True)
    rounded = form(numbers)
    expected = np.float32(np.float16(0.1))
    assert rounded.tolist() == [65504.0, -65504.0, 0.0, 0.0, expected]
    assert not torch.signbit(rounded[3])
    masked = HalfNumbers(torch.arange(5) > 2)
    assert masked(numbers).tolist() == [0.0, 0.0, 0.0, 0.0, expected]
    assert masked.stored(numbers.detach()).tolist() == [0, 0, 0, 0, expected]  # type: ignore[union-attr]
    (rounded * torch.arange(5)).sum().backward()
    assert numbers.grad is not None and numbers.grad.tolist() == [0, 1, 2, 3, 4]
