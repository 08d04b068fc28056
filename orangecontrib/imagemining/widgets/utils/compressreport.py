"""Compress Network in a report."""

from __future__ import annotations

from typing import Any

from orangecontrib.imagemining.widgets.utils.compresschoices import CUSTOM, Choices
from orangecontrib.imagemining.widgets.utils.compressfacts import Facts
from orangecontrib.imagemining.widgets.utils.compresspanel import GOAL_LABELS
from orangecontrib.imagemining.widgets.utils.compresstexts import describe_step
from orangecontrib.imagemining.widgets.utils.compressview import CompressView
from orangecontrib.imagemining.widgets.utils.report import as_html, picture_of, texts_of
from orangecontrib.imagemining.widgets.utils.trainchoices import written

__all__ = ["report_compression"]


def report_compression(
    widget: Any, choices: Choices, facts: Facts, view: CompressView
) -> None:
    """Write settings, figures, plot and tables into the widget's report.

    Parameters
    ----------
    widget
        The widget.
    choices, facts
        What it has.
    view
        Its main area.
    """
    wanted = {
        "points": f", at most {written(choices.points)} points",
        "size": f", at most {written(choices.kilobytes)} kB",
    }
    items = [
        ("Preset", "Custom" if choices.preset == CUSTOM else choices.preset),
        *(
            (f"Step {number}", describe_step(step))
            for number, step in enumerate(choices.base.steps, 1)
        ),
        ("Wanted", GOAL_LABELS[choices.goal] + wanted.get(choices.goal, "")),
        ("Minutes, at most", written(choices.minutes) if choices.limited else ""),
    ]
    widget.report_items("Settings", as_html(item for item in items if item[1]))
    widget.report_items("Network and images", as_html([("Given", facts.summary())]))
    if not view.trail:
        return
    widget.report_items("Result", as_html([("Result", view.figures_label.text())]))
    widget.report_raw("Size and accuracy", picture_of(view.plot))
    trail, layers = texts_of(view.trail_table), texts_of(view.layers_table)
    widget.report_table("On the way", trail, header_rows=1)
    widget.report_table("Layers of the result", layers, header_rows=1)
