"""Plans: to JSON and back, and what is wrong with them, in words."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from orangecontrib.imagemining.exceptions import TrainingError, UnknownNameError
from orangecontrib.imagemining.training.plan import (
    Augmentation,
    Plan,
    Recipe,
    check_plan,
    plan_from_json,
    plan_to_json,
)
from orangecontrib.imagemining.training.recipes import RECIPES, with_recipe

FULL = Plan(
    network="vgg11",
    options={"width": 0.25, "dense": False},
    start="nothing",
    recipe=Recipe(clip=2.0, averaging=0.999, dropout=0.3, decays="all"),
    augmentation=Augmentation(crop="area", area=(0.2, 0.9), turn="quarters"),
    size=(64, 64),
    minutes=2.5,
    seed=7,
)


@pytest.mark.parametrize("plan", [Plan(), FULL])
def test_there_and_back(plan):
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_possible(name):
    check_plan(with_recipe(Plan(), name))


def test_what_is_missing_has_its_default():
    plan = plan_from_json({"epochs": 3, "recipe": {"learning_rate": 0.1}})
    assert plan == Plan(epochs=3, recipe=Recipe(learning_rate=0.1))


@pytest.mark.parametrize(
    "content, words",
    [
        ({"epoch": 3}, "plan has no field 'epoch', only network"),
        ({"recipe": {"lr": 1}}, "recipe has no field 'lr'"),
        ({"augmentation": {"flip": True}}, "augmentation has no field 'flip'"),
        ({"start": "middle"}, "'start' is to be one of published, given, nothing"),
        ({"recipe": {"optimizer": "lion"}}, "'optimizer' .* not 'lion'"),
        ({"augmentation": {"turn": "left"}}, "none, flips, quarters, not 'left'"),
    ],
)
def test_unknown_names(content, words):
    with pytest.raises(UnknownNameError, match=words):
        plan_from_json(content)


@pytest.mark.parametrize(
    "content, words",
    [
        ({"recipe": 3}, "recipe is to be fields by name, not 3"),
        ({"epochs": 0}, "'epochs' is to be a whole number from 1, not 0"),
        ({"epochs": 2.5}, "'epochs' is to be a whole number"),
        ({"batch": True}, "'batch' is to be a whole number"),
        ({"seed": -1}, "'seed' .* from 0"),
        ({"minutes": 0}, "'minutes' is to be a number above 0"),
        ({"validation": 1}, "'validation' is to be a number from 0 to 0.9, not 1"),
        ({"recipe": {"learning_rate": float("nan")}}, "'learning_rate'"),
        ({"recipe": {"learning_rate": "fast"}}, "'learning_rate' .* not 'fast'"),
        ({"recipe": {"clip": 0}}, "'clip' is to be a number above 0"),
        ({"recipe": {"dropout": 1}}, "'dropout' is to be a number from 0 to 0.99"),
        ({"recipe": {"batch": 0}}, "'batch' is to be a whole number from 1"),
        ({"size": [32]}, "'size' is to be two numbers"),
        ({"size": [32, 0.5]}, "'size' is to be a whole number"),
        ({"augmentation": {"sides": [2, 1]}}, "the smaller number and the larger"),
        ({"augmentation": {"area": [0, 1]}}, "'area' is to be a number above 0 to 1"),
        ({"size": [32, 64], "augmentation": {"turn": "quarters"}}, "64 × 32 .* turned"),
    ],
)
def test_impossible_values(content, words):
    with pytest.raises(TrainingError, match=words):
        plan_from_json(content)


@pytest.mark.parametrize("owner", [Plan, Recipe, Augmentation])
def test_every_field_is_looked_at(owner):
    """A field that takes anything at all would be found out in the middle of it."""
    for field in fields(owner):
        if field.name not in ("recipe", "augmentation"):
            wrong = replace(owner(), **{field.name: object()})
            if owner is not Plan:
                wrong = replace(Plan(), **{owner.__name__.lower(): wrong})
            with pytest.raises((TrainingError, UnknownNameError), match=field.name):
                check_plan(wrong)
