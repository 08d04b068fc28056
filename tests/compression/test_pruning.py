"""Pruning in rounds, for a size, and dense–sparse–dense."""

from __future__ import annotations

import pytest
import torch
from small_context import RESNET, quick_plan, small_context, toy_images, trained

from orangecontrib.imagemining.compression.pipeline import compress
from orangecontrib.imagemining.compression.plainsteps import fine_tune
from orangecontrib.imagemining.compression.plan import (
    Densify,
    FineTune,
    Prune,
    Share,
)
from orangecontrib.imagemining.compression.pruning import densify, risen, run
from orangecontrib.imagemining.compression.sensitivity import sensitivities
from orangecontrib.imagemining.compression.sharing import share_layers
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TaskCancelled, TrainingError


def begun(*steps, **arguments):
    context = small_context(quick_plan(*steps), network=trained(*RESNET), **arguments)
    return context, Working(context.given)


def zeros(working):
    return {
        name: float((working.weight(name) == 0).float().mean())
        for name in working.layers
    }


def test_each_layer_loses_its_share_and_single_ones_theirs():
    step = Prune(share=0.5, by="layer", shares={"fc": 0.2, "conv1": 0.0})
    context, working = begun(step)
    before = {name: working.weight(name).clone() for name in working.layers}
    run(step, working, context)
    for name, share in zeros(working).items():
        wanted = step.shares.get(name, 0.5)
        assert share == pytest.approx(wanted, abs=0.5 / before[name].numel() + 1e-6)
        kept = working.weight(name) != 0
        assert torch.equal(working.weight(name)[kept], before[name][kept])
        if wanted:
            assert before[name][kept].abs().min() > before[name][~kept].abs().max()
    assert working.form("conv1") is None


def test_the_share_rises_quickly_and_then_slowly():
    assert [risen(number, 3) for number in (1, 2, 3)] == pytest.approx(
        [19 / 27, 26 / 27, 1]
    )
    step = Prune(share=0.8, by="global", rounds=2, epochs=1)
    context, working = begun(step)
    seen = []
    offer = context.offer

    def offered(working, what):
        seen.append({name: working.weight(name) == 0 for name in working.layers})
        return offer(working, what)

    context.offer = offered
    run(step, working, context)
    assert [each.what for each in context.trail] == ["70% of the weights pruned"]
    n = sum(mask.numel() for mask in seen[0].values())
    assert sum(int(mask.sum()) for mask in seen[0].values()) == round(0.7 * n)
    after = {name: working.weight(name) == 0 for name in working.layers}
    assert sum(int(mask.sum()) for mask in after.values()) == round(0.8 * n)
    for name, mask in seen[0].items():
        assert not (mask & ~after[name]).any()


def test_pruned_weights_stay_zero_through_training_and_grow_again_from_zero():
    steps = (Prune(share=0.7, by="layer", rounds=1), FineTune(1), Densify(epochs=1))
    context, working = begun(*steps)
    run(steps[0], working, context)
    pruned = {name: working.weight(name).clone() for name in working.layers}
    fine_tune(steps[1], working, context)
    moved = False
    for name, weight in pruned.items():
        assert torch.equal(working.weight(name) == 0, weight == 0)
        # no −0 either, whose sign would cost a bit
        assert not torch.signbit(working.weight(name)[weight == 0]).any()
        moved |= not torch.equal(working.weight(name), weight)
    assert moved
    tuned = {name: working.weight(name).clone() for name in working.layers}
    tune, begin = context.tune, {}

    def tuned_from(working, *arguments):
        begin.update({n: working.weight(n).clone() for n in working.layers})
        return tune(working, *arguments)

    context.tune = tuned_from
    densify(steps[2], working, context)
    assert not working.forms
    for name, weight in tuned.items():
        assert torch.equal(begin[name], weight)
    assert max(zeros(working).values()) < 0.3
    with pytest.raises(TrainingError, match="no pruned weights"):
        densify(steps[2], working, context)


def test_a_size_is_kept_to():
    share = Share(bits=5, epochs=1)
    step = Prune(target_bytes=4400, by="global", rounds=2, epochs=1)
    found = compress(
        trained(*RESNET), quick_plan(step, share, tolerance=None), toy_images()
    )
    last = found.trail[-1]
    assert last.what == "Share values, 5 bits"
    # as large as it may be, too: no more is pruned than has to be
    assert 4100 < last.n_bytes <= 4400
    assert not any("cannot be reached" in note for note in found.notes)


def test_sizes_that_are_reached_already_or_cannot_be():
    context, working = begun(Prune(target_bytes=10**6, by="layer"))
    run(context.plan.steps[0], working, context)
    assert not working.forms
    steps = (Prune(target_bytes=1000, by="layer"), Share(bits=4))
    context, working = begun(*steps)
    run(steps[0], working, context)
    (note,) = context.notes
    assert note.startswith("1,000 bytes cannot be reached by pruning: with 97%")
    assert min(zeros(working).values()) > 0.9


def test_a_size_holds_after_training_has_changed_the_weights():
    step = Prune(target_bytes=9000, by="layer", epochs=1, rounds=1)
    context, working = begun(step)
    tune, dense = context.tune, []

    def denser(working, *arguments):
        history = tune(working, *arguments)
        for name in list(working.forms):
            working.set_form(name, None)
            with torch.no_grad():
                weight = working.weight(name)
                weight[weight == 0] = torch.linspace(
                    0.01, 0.02, int((weight == 0).sum())
                )
        dense.append(working.n_bytes)
        return history

    context.tune = denser
    run(step, working, context)
    assert dense[0] > 9000 >= working.n_bytes


def test_what_layers_can_spare():
    context, working = begun(Prune())
    before = {name: working.weight(name).clone() for name in working.layers}
    told = []
    table = sensitivities(
        working,
        context,
        0.1,
        0.85,
        ["conv1", "fc"],
        lambda fraction, status="": told.append(fraction),
    )
    assert [row.layer for row in table] == ["conv1", "fc"]
    for row in table:
        assert row.shares[:3] == (0, 0.2, 0.3)
        assert row.accuracies[0] == context.judge(working).accuracy
        tolerable = [
            share
            for share, accuracy in zip(row.shares, row.accuracies, strict=True)
            if row.accuracies[0] - accuracy <= 0.1 + 1e-9
        ]
        assert row.chosen == tolerable[-1] <= 0.85
        assert row.chosen == row.shares[-1] == 0.85 or row.chosen == row.shares[-2]
    # one row by hand
    share, accuracy = table[1].shares[-1], table[1].accuracies[-1]
    run(Prune(share=0.0, by="layer", shares={"fc": share}), working, context)
    assert context.judge(working).accuracy == accuracy
    for name, weight in before.items():
        if name != "fc":
            assert torch.equal(working.weight(name), weight)
    assert told == sorted(told) and told[-1] == 1


def test_by_sensitivity_and_cancelling():
    step = Prune(share=0.6, tolerance=1.0)
    context, working = begun(step)
    run(step, working, context)
    assert min(zeros(working).values()) > 0.59
    told = "Tried one by one, layers bear zeros: conv1 60 %, "
    assert context.notes[0].startswith(told)

    def stop(fraction, status=""):
        raise TaskCancelled

    context, working = begun(step, progress=stop)
    with pytest.raises(TaskCancelled):
        run(step, working, context)


def test_copies_with_forms_can_be_changed_by_themselves():
    context, working = begun(Prune(share=0.5, by="layer"))
    run(context.plan.steps[0], working, context)
    other = working.copy().copy()
    for name in other.layers:
        other.set_form(name, None)
        with torch.no_grad():
            other.weight(name).add_(1)
    assert max(zeros(other).values()) == 0
    assert min(zeros(working).values()) > 0.4
    assert len(working.forms) == len(working.layers)


def test_bad_plans():
    step = Prune(shares={"conv9": 0.5})
    context, working = begun(step)
    with pytest.raises(TrainingError, match="'conv9'.*It has conv1"):
        run(step, working, context)
    context, working = begun(Prune(), with_images=False)
    with pytest.raises(TrainingError, match="there are none"):
        run(Prune(), working, context)
    share_layers(Share(bits=4), working)
    with pytest.raises(TrainingError, match="put pruning before"):
        run(Prune(by="layer"), working, context)
