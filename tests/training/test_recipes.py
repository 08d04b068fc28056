"""The recipes' numbers are those of the papers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.training.plan import Plan, Recipe
from orangecontrib.imagemining.training.recipes import (
    AUGMENTATIONS,
    RECIPES,
    recipe_advice,
    scaled_rate,
    with_recipe,
)


def test_names():
    assert list(RECIPES) == ["everyday", "squeezenet", "vgg", "inception"]
    assert RECIPES.keys() == AUGMENTATIONS.keys()
    for name, recipe in RECIPES.items():
        assert recipe.name == name


def test_everyday_is_the_default():
    assert Plan().recipe == Recipe() == RECIPES["everyday"]
    assert RECIPES["everyday"].clip == 1.0


def test_squeezenet():
    """Section 3.3.1, and the solver settings that it refers to."""
    recipe = RECIPES["squeezenet"]
    assert (recipe.optimizer, recipe.schedule) == ("sgd", "linear")
    assert (recipe.learning_rate, recipe.batch) == (0.04, 512)
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 2e-4)
    assert (recipe.dropout, recipe.decays) == (0.5, "all")
    assert recipe.clip is None


def test_vgg():
    """Section 3.1."""
    recipe, augmentation = RECIPES["vgg"], AUGMENTATIONS["vgg"]
    assert (recipe.optimizer, recipe.schedule) == ("sgd", "plateau")
    assert (recipe.learning_rate, recipe.batch) == (0.01, 256)
    assert (recipe.momentum, recipe.weight_decay) == (0.9, 5e-4)
    assert (recipe.decay, recipe.drops, recipe.dropout) == (0.1, 3, 0.5)
    assert augmentation.crop == "jitter"
    assert [224 * side for side in augmentation.sides] == [256, 512]
    assert augmentation.mirror
    assert augmentation.rgb_shift == 0.1


def test_inception():
    """Inception-v3, sections 4, 7 and 8; Inception-v4, section 4."""
    recipe = RECIPES["inception"]
    assert (recipe.optimizer, recipe.schedule) == ("rmsprop", "exponential")
    assert (recipe.rms_decay, recipe.epsilon) == (0.9, 1.0)
    assert (recipe.learning_rate, recipe.batch) == (0.045, 32)
    assert (recipe.decay, recipe.every) == (0.94, 2)
    assert (recipe.clip, recipe.label_smoothing) == (2.0, 0.1)
    assert recipe.averaging is not None
    assert recipe.auxiliary > 0


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "everyday"])
def test_advice_names_the_paper_and_the_numbers(name):
    advice = recipe_advice(name)
    assert "section" in advice
    assert f"{RECIPES[name].learning_rate:g}" in advice


def test_unknown():
    for call in (recipe_advice, lambda name: with_recipe(Plan(), name)):
        with pytest.raises(UnknownNameError, match="only everyday"):
            call("nouvelle")


def test_with_recipe():
    plan = with_recipe(Plan(epochs=7), "vgg")
    assert plan == Plan(
        epochs=7, recipe=RECIPES["vgg"], augmentation=AUGMENTATIONS["vgg"]
    )


def test_rate_is_scaled_and_said():
    rate, words = scaled_rate(RECIPES["squeezenet"], 32)
    assert rate == pytest.approx(0.0025)
    assert words == (
        "Learning rate 0.0025: 0.04 is for batches of 512 images and is scaled to 32,"
        " in proportion"
    )
    rate, words = scaled_rate(RECIPES["vgg"], 256)
    assert (rate, words) == (0.01, "Learning rate 0.01, for batches of 256 images")
    adamw = replace(Recipe(), optimizer="adamw", learning_rate=1e-3, batch=32)
    rate, words = scaled_rate(adamw, 128)
    assert rate == pytest.approx(2e-3)
    assert "root" in words


def test_widgets_need_no_torch_for_plans():
    names = "plan recipes history inputs running schedules designs callbacks".split()
    code = "import sys\n" + "\n".join(
        f"import orangecontrib.imagemining.training.{name}" for name in names
    )
    code += "\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
