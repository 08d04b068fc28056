"""Train Network in a report."""

from __future__ import annotations

from typing import Any

from orangecontrib.imagemining.widgets.utils.report import as_html, picture_of
from orangecontrib.imagemining.widgets.utils.trainchoices import Choices, written
from orangecontrib.imagemining.widgets.utils.trainfacts import Facts
from orangecontrib.imagemining.widgets.utils.traintexts import (
    AUGMENTATION_LABELS,
    LEARNS_LABELS,
    RECIPE_LABELS,
    describe_design,
    network_title,
    start_items,
)
from orangecontrib.imagemining.widgets.utils.trainview import TrainView, figures
from orangecontrib.imagemining.widgets.utils.trainwork import Outcome

__all__ = ["report_training"]


def report_training(
    widget: Any,
    choices: Choices,
    facts: Facts,
    outcome: Outcome | None,
    view: TrainView,
) -> None:
    """Write settings, figures, curves and confusions into the widget's report.

    Parameters
    ----------
    widget
        The widget.
    choices, facts, outcome
        What it has; None if nothing goes out.
    view
        Its main area.
    """
    given = facts.request.given
    title = given.title if given is not None else ""
    plan = choices.plan()
    changed = {**choices.numbers, **choices.changes}
    items = [
        (
            "Network",
            title if choices.start == "given" else network_title(choices.network),
        ),
        ("Begins with", start_items(choices.network, title)[choices.start]),
        ("Design", describe_design(choices) if choices.from_nothing else ""),
        ("What learns", LEARNS_LABELS[plan.learns]),
        ("Recipe", RECIPE_LABELS[choices.recipe]),
        ("Augmentation", AUGMENTATION_LABELS[choices.augmentation]),
        (
            "Changed",
            ", ".join(f"{name} {written(value)}" for name, value in changed.items()),
        ),
        ("Epochs", f"{plan.epochs:,}"),
        ("Minutes, at most", written(plan.minutes) if plan.minutes else ""),
        ("Batch", f"{plan.batch:,}"),
        ("Classes balanced", written(plan.class_weights)),
        ("Seed", str(plan.seed)),
    ]
    widget.report_items("Settings", as_html(item for item in items if item[1]))
    widget.report_items("Images", as_html([("Images", facts.summary())]))
    if outcome is None or view.view is None:
        return
    others = bool(facts.key) and outcome.key != facts.key
    widget.report_items(
        "Result",
        as_html(
            [
                ("Trained with", "other settings than these" if others else None),
                ("Training", view.state_label.text()),
                ("Accuracy", figures(view.view).removeprefix("Accuracy: ")),
            ]
        ),
    )
    widget.report_raw("Curves", picture_of(view.curves))
    if table := view.confusion.html():
        widget.report_raw("Confusion matrix (validation)", table)
