#!/usr/bin/env python3
"""Draw what ``share_squeezenet.py`` measured: top-1 over bytes.

Usage: .venv/bin/python benchmarks/share_curve.py [FILE] [PICTURE]

FILE is its JSON (default benchmarks/results/share_squeezenet.json), PICTURE an SVG
(default benchmarks/results/share_squeezenet.svg).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "share_squeezenet.json"


def points(rows: list[dict[str, Any]], words: str) -> list[tuple[float, float, str]]:
    """Return size in kB, top-1 in per cent and what it is, smallest first."""
    found = [
        (
            float(np.mean(row["bytes"])) / 1000,
            100 * row["top-1"],
            row["what"].removesuffix(" bits").split(",")[0].removeprefix("thrift "),
        )
        for row in rows
        if words in row["what"]
    ]
    return sorted(found)


def main() -> None:
    """Read, and draw."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else RESULTS.with_suffix(".svg")
    results = json.loads(source.read_text(encoding="utf8"))
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "share"
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(7, 4))
    for rows, words, label, style in (
        (results["rows"], "bits", "bits of shared values, nothing else", "o-"),
        (
            results["rows of both halves"],
            "thrift",
            "thrift, errors made up for without labels",
            "s-",
        ),
    ):
        found = [each for each in points(rows, words) if "number" not in each[2]]
        found = [each for each in found if "32-bit" not in each[2]]
        sizes, accuracies, names = zip(*found, strict=True)
        axis.plot(sizes, accuracies, style, label=label)
        for size, accuracy, name in found:
            axis.annotate(name, (size, accuracy), (5, -12), textcoords="offset points")
    before = 100 * results["rows"][0]["top-1"]
    axis.axhline(before, color="grey", linestyle="--", label="32-bit numbers, 4,942 kB")
    axis.axhspan(before - 1, before, color="grey", alpha=0.15)
    axis.axvline(660, color="grey", linestyle=":")
    axis.set_xlabel("size of the file (kB)")
    axis.set_ylabel("top-1 of 500 photographs (%)")
    axis.legend(loc="lower right")
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None})
    print(picture)


if __name__ == "__main__":
    main()
