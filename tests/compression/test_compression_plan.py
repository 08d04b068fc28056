"""Plans of compressions: as data, checked, and the presets."""

from __future__ import annotations

import json

import pytest

from orangecontrib.imagemining.compression.checks import (
    check_plan,
    n_epochs,
    needs_images,
    words_of,
)
from orangecontrib.imagemining.compression.plan import (
    STEPS,
    CompressionPlan,
    Densify,
    Distil,
    FineTune,
    Half,
    Int8,
    LowBits,
    LowRank,
    Prune,
    PruneFilters,
    Share,
    Step,
    plan_from_json,
    plan_to_json,
)
from orangecontrib.imagemining.compression.presets import (
    DEFAULT_PRESET,
    PRESETS,
)
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.training.plan import Augmentation, Recipe


@pytest.mark.parametrize("short", [False, True])
def test_plans_survive_json(short):
    plan = CompressionPlan(
        steps=(
            Prune(shares={"fc": 0.5}, target_bytes=1000, epochs=2),
            Share(bits=5, layer_bits={"fc": 8}),
            Distil(options={"n": 3}),
        ),
        tolerance=None,
        recipe=Recipe(learning_rate=0.5),
        augmentation=Augmentation(crop="area", area=(0.5, 0.9)),
        minutes=3.5,
    )
    content = json.loads(json.dumps(plan_to_json(plan, short)))
    assert plan_from_json(content) == plan
    assert plan_from_json({}) == CompressionPlan()
    assert plan_to_json(CompressionPlan(), short=True) == {}


@pytest.mark.parametrize(
    "content",
    [{"steps": [{"kind": "magic"}]}, {"steps": [{"bits": 3}]}, {"stepps": []}],
)
def test_what_is_no_plan_is_refused(content):
    with pytest.raises(TrainingError, match="no plan"):
        plan_from_json(content)


BAD: list[tuple[tuple[Step, ...], str]] = [
    ((), "has no steps"),
    ((Int8(), Half()), "put it at the end"),
    ((Share(), Prune()), "Prune weights cannot come after Share values"),
    ((Half(), LowRank()), "Low rank cannot come after Half"),
    ((LowBits(), PruneFilters()), "Prune filters cannot come after"),
    ((Prune(), Distil()), "would be lost"),
    ((Distil(), Distil()), "once"),
    ((Densify(epochs=1),), "needs weights that were pruned"),
    ((Share(bits=9),), "Step 1, Share values: 'bits'"),
    ((Half(), FineTune(epochs=0)), "Step 2, Fine-tune: 'epochs'"),
    ((Prune(share=1.0),), "'share'"),
    ((Prune(by="magic"),), "'by' is to be one of layer, global, sensitivity"),
    ((Prune(shares={"fc": 2}),), "share of fc"),
    ((Share(layer_bits={"fc": 0}),), "bits of fc"),
    ((LowBits(activations=4),), "8 or 32"),
    ((Int8(method="magic"),), "'method'"),
    ((Distil(network=""),), "name of an architecture"),
]


@pytest.mark.parametrize(("steps", "text"), BAD, ids=[text for _, text in BAD])
def test_plans_that_make_no_sense_are_refused(steps, text):
    with pytest.raises(TrainingError, match=text):
        check_plan(CompressionPlan(steps=steps))


@pytest.mark.parametrize(
    "change",
    [{"tolerance": 2}, {"minutes": 0}, {"validation": 0}, {"batch": 0}, {"gamma": -1}],
)
def test_numbers_of_the_whole_are_looked_at(change):
    with pytest.raises(TrainingError, match=next(iter(change))):
        check_plan(CompressionPlan(steps=(Half(),), **change))


def test_every_kind_of_step_has_words():
    for kind in STEPS.values():
        assert words_of(kind())
    assert words_of(Share(bits=6, linear_bits=8)) == "Share values, 6 and 8 bits"
    assert n_epochs(Prune(epochs=2, rounds=3)) == 6


def test_presets_can_be_carried_out():
    assert DEFAULT_PRESET in PRESETS
    for name, preset in PRESETS.items():
        assert name == preset.name and preset.about and preset.advice
        check_plan(preset.plan)
        assert plan_from_json(plan_to_json(preset.plan)) == preset.plan
    without = [name for name, each in PRESETS.items() if not each.needs_images]
    assert without == ["Half precision", "Coding only"]
    assert needs_images(Prune()) and not needs_images(Prune(by="global"))
