"""What the user of Train Network has chosen, by names and values; no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.training.designs import design_options
from orangecontrib.imagemining.training.plan import (
    Augmentation,
    Plan,
    Recipe,
    check_plan,
)
from orangecontrib.imagemining.training.recipes import AUGMENTATIONS, RECIPES
from orangecontrib.imagemining.weights import WEIGHTS

__all__ = ["AS_RECIPE", "PRESETS", "Choices", "changed", "is_published", "written"]

#: The augmentation that goes with the recipe.
AS_RECIPE = "recipe"

#: Other augmentations. Cells and tissue have no up and down, and neither their size nor
#: their colour is for nothing.
PRESETS: dict[str, Augmentation] = {
    "none": Augmentation(crop="none", mirror=False),
    "photographs": AUGMENTATIONS["everyday"],
    "microscopy": Augmentation(
        crop="area", area=(0.7, 1.0), mirror=True, turn="quarters", colour=0.1
    ),
}

_MOST = {"size": 2048, "validation": 90, "epochs": 100_000, "batch": 8192}


@dataclass
class Choices:
    """The choices, as the boxes show them.

    Attributes
    ----------
    network : name in the registry of networks, or of published weights.
    design : options of the network's builder, where it begins from nothing.
    start, learns, stages, fit, batch, accumulate, epochs, patience, class_weights,
        precision, device, seed : as in `training.plan.Plan`.
    recipe : name in `training.recipes`.
    numbers : fields of the recipe that differ from the published one.
    augmentation : `AS_RECIPE` or one of `PRESETS`.
    changes : fields of the augmentation that differ from the one of that name.
    size : side of the square that the network sees, in pixels; 0: as its weights ask.
    limited : whether `minutes` holds.
    validation : per cent of the images.
    column : of the images; "" for the first.
    title : what the network is to be called; "" for a name made up.
    """

    network: str = "squeezenet1_1"
    design: dict[str, Any] = field(default_factory=dict)
    start: str = "published"
    learns: str = "all"
    stages: int = 1
    recipe: str = "everyday"
    numbers: dict[str, Any] = field(default_factory=dict)
    augmentation: str = AS_RECIPE
    changes: dict[str, Any] = field(default_factory=dict)
    size: int = 0
    fit: str = "stretch"
    batch: int = 32
    accumulate: int = 1
    epochs: int = 10
    limited: bool = False
    minutes: float = 10.0
    patience: int = 0
    validation: int = 10
    class_weights: bool = False
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0
    column: str = ""
    title: str = ""

    @classmethod
    def of(cls, stored: object) -> Choices:
        """Make some of what a workflow has; what makes no sense is as by default."""
        choices = cls()
        if not isinstance(stored, Mapping):
            return choices
        for each in fields(cls):
            if each.name not in stored:
                continue
            value, default = stored[each.name], getattr(choices, each.name)
            if isinstance(default, dict):
                choices._take_items(each.name, value)
            elif _same_kind(value, default):
                choices._try(each.name, type(default)(value))
        return choices

    def _try(self, name: str, value: Any) -> None:
        """Take a value if training with it makes sense."""
        before = getattr(self, name)
        setattr(self, name, value)
        try:
            check_plan(self.plan())
            # also where they do not count now
            check_plan(Plan(minutes=self.minutes))
            fine = 0 <= self.size and not (
                name in _MOST and getattr(self, name) > _MOST[name]
            )
        except (ImageMiningError, TypeError, ValueError, KeyError):
            fine = False
        if not fine:
            setattr(self, name, before)

    def _take_items(self, name: str, stored: object) -> None:
        if not isinstance(stored, Mapping):
            return
        for key, value in stored.items():
            value = tuple(value) if isinstance(value, list) else value
            self._try(name, {**getattr(self, name), key: value})

    def to_store(self) -> dict[str, Any]:
        """Return names and values for a workflow."""
        stored = asdict(self)
        for name in ("design", "numbers", "changes"):
            stored[name] = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in stored[name].items()
            }
        return stored

    @property
    def from_nothing(self) -> bool:
        """Whether the weights are fresh: then there is nothing to leave as it is."""
        return self.start == "nothing"

    @property
    def is_head(self) -> bool:
        """Whether the last layer alone is trained."""
        return self.learns == "head" and not self.from_nothing

    def published_recipe(self) -> Recipe:
        """Return the recipe as it is published."""
        return RECIPES[self.recipe]

    def published_augmentation(self) -> Augmentation:
        """Return the augmentation as it is meant under its name."""
        if self.augmentation == AS_RECIPE:
            return AUGMENTATIONS[self.recipe]
        return PRESETS[self.augmentation]

    def full_recipe(self) -> Recipe:
        """Return the recipe with what was changed of it."""
        return replace(self.published_recipe(), **self.numbers)

    def full_augmentation(self) -> Augmentation:
        """Return the augmentation with what was changed of it."""
        return replace(self.published_augmentation(), **self.changes)

    def options(self) -> dict[str, Any]:
        """Return the design's options that differ from those of the builder."""
        if not self.from_nothing:
            return {}
        knobs = design_options(self.network)
        return {
            name: value
            for name, value in self.design.items()
            if name in knobs and value != knobs[name].default
        }

    def plan(self) -> Plan:
        """Return what is going to be done."""
        return Plan(
            network="" if self.start == "given" else self.network,
            options=self.options(),
            start=self.start,
            # of fresh weights, a classifier alone would learn from noise
            learns="all" if self.from_nothing else self.learns,
            stages=self.stages,
            recipe=self.full_recipe(),
            augmentation=self.full_augmentation(),
            size=(self.size, self.size) if self.size else None,
            fit=self.fit,
            batch=self.batch,
            accumulate=self.accumulate,
            epochs=self.epochs,
            minutes=self.minutes if self.limited else None,
            patience=self.patience,
            validation=self.validation / 100,
            class_weights=self.class_weights,
            precision=self.precision,
            device=self.device,
            seed=self.seed,
        )


def changed(before: Any, after: Any) -> dict[str, Any]:
    """Return the fields of a dataclass in which the second differs."""
    return {
        each.name: getattr(after, each.name)
        for each in fields(before)
        if getattr(after, each.name) != getattr(before, each.name)
    }


def is_published(network: str) -> bool:
    """Tell whether there are published weights of that name."""
    return network in WEIGHTS


def written(value: object) -> str:
    """Return a value as people write it: "0.0005", "1 to 2", "none"."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " to ".join(written(part) for part in value)
    if isinstance(value, float):
        # never 5e-04: not everybody reads that
        text = f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e5 else ""
        return text if text and float(text or 0) else f"{value:g}"
    return str(value)


def _same_kind(value: object, default: object) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, (int, float))
    if isinstance(default, int):
        return isinstance(value, int)
    return isinstance(value, str)
