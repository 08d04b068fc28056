"""What the user of Compress Network has chosen, by names and values; no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from orangecontrib.imagemining.compression.checks import check_plan
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    plan_from_json,
    plan_to_json,
)
from orangecontrib.imagemining.compression.presets import (
    DEFAULT_PRESET,
    PRESETS,
)
from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.widgets.utils.compresstexts import describe_step
from orangecontrib.imagemining.widgets.utils.publishednetwork import GIVEN

__all__ = ["CUSTOM", "GOALS", "Choices"]

#: The preset that is none: steps of the user's own.
CUSTOM = "custom"

#: What may be wanted.
GOALS = ("points", "size", "any")

_RANGES = {
    "points": (0.0, 100.0),
    "kilobytes": (0.1, 1e9),
    "minutes": (0.1, 100_000),
    "validation": (1, 90),
}


@dataclass
class Choices:
    """The choices, as the boxes show them.

    Attributes
    ----------
    network : `publishednetwork.GIVEN` or the name of a published network.
    preset : name in `compression.presets`, or `CUSTOM`.
    custom : the plan of `CUSTOM` as `plan_to_json` gives it; empty before there is one.
    goal : one of `GOALS`.
    points : of accuracy, out of 100, that may be lost.
    kilobytes : that the file may have.
    limited : whether `minutes` holds.
    validation : per cent of the images.
    column : of the images; "" for the first.
    title : what the network is to be called; "" for a name made up.
    problem : why what was stored is not as it was, "" if it is. Not stored.
    """

    network: str = GIVEN
    preset: str = DEFAULT_PRESET
    custom: dict[str, Any] = field(default_factory=dict)
    goal: str = "points"
    points: float = 0.5
    kilobytes: float = 500.0
    limited: bool = False
    minutes: float = 10.0
    validation: int = 20
    column: str = ""
    title: str = ""
    problem: str = ""

    @classmethod
    def of(cls, stored: object) -> Choices:
        """Make some of what a workflow has; what makes no sense is as by default."""
        choices = cls()
        if not isinstance(stored, Mapping):
            return choices
        for each in fields(cls):
            value: Any = stored.get(each.name)
            default = getattr(choices, each.name)
            if isinstance(default, bool):
                fine = isinstance(value, bool)
            elif isinstance(default, (int, float)):
                low, high = _RANGES[each.name]
                number = isinstance(value, (int, float)) and value is not True
                fine = number and low <= value <= high
                value = type(default)(value) if fine else value
            else:
                fine = isinstance(value, type(default)) and each.name != "problem"
            if fine:
                setattr(choices, each.name, value)
        if choices.goal not in GOALS:
            choices.goal = cls.goal
        choices._check()
        return choices

    def _check(self) -> None:
        """Take the first preset where the one stored, or its steps, are not known."""
        if self.preset == CUSTOM:
            why = _why_not(self.custom)
            if why:
                self.problem = (
                    f"The steps in this workflow cannot be used here: {why}. Instead,"
                    f" {DEFAULT_PRESET} is chosen"
                )
                self.preset, self.custom = DEFAULT_PRESET, {}
        elif self.preset not in PRESETS:
            self.problem = (
                f"This version knows no preset '{self.preset}'. Instead,"
                f" {DEFAULT_PRESET} is chosen"
            )
            self.preset = DEFAULT_PRESET

    def to_store(self) -> dict[str, Any]:
        """Return names and values for a workflow."""
        stored = asdict(self)
        del stored["problem"]
        return stored

    @property
    def base(self) -> CompressionPlan:
        """The preset's plan, or the user's own, without what is chosen beside it."""
        if self.preset != CUSTOM:
            return PRESETS[self.preset].plan
        return plan_from_json(self.custom)

    def take_preset(self) -> None:
        """Have the goal follow the preset: not all of them look at what is lost."""
        if self.preset == CUSTOM:
            return
        tolerance = PRESETS[self.preset].plan.tolerance
        if tolerance is None:
            self.goal = "any"
        elif self.goal != "size":
            self.goal, self.points = "points", round(100 * tolerance, 1)

    def take_plan(self, plan: CompressionPlan) -> None:
        """Make a changed plan the user's own."""
        if plan != self.base:
            self.preset, self.custom = CUSTOM, plan_to_json(plan)

    def plan(self) -> CompressionPlan:
        """Return what is going to be done."""
        wants_size = self.goal == "size"
        return replace(
            self.base,
            tolerance=self.points / 100 if self.goal == "points" else None,
            target_bytes=round(1000 * self.kilobytes) if wants_size else None,
            minutes=self.minutes if self.limited else None,
            validation=self.validation / 100,
        )

    def plan_problem(self) -> str:
        """Return why the plan cannot be carried out, "" if it can."""
        try:
            check_plan(self.plan())
        except ImageMiningError as ex:
            return str(ex)
        return ""


def _why_not(stored: Mapping[str, Any]) -> str:
    """Return why a stored plan cannot be shown, "" if it can."""
    if "steps" not in stored:
        return "there are none"
    try:
        for step in plan_from_json(stored).steps:
            describe_step(step)
    except ImageMiningError as ex:
        return str(ex)
    except (TypeError, ValueError, AttributeError):
        return "their numbers are none"
    return ""
