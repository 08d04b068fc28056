"""How Network Info says numbers; no Qt."""

from __future__ import annotations

import math

from orangecontrib.imagemining.widgets.utils.networkfiles import megabytes

__all__ = ["NONE", "count", "shape_text", "share", "size_text", "time_text", "times"]

#: What stands where there is nothing to tell.
NONE = "–"

_STEPS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "K"))


def count(number: float) -> str:
    """Return a large number in four or five characters: 1.24 M."""
    if math.isnan(number):
        return NONE
    for step, letter in _STEPS:
        if number >= 0.9995 * step:
            value = number / step
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {letter}"
    return f"{number:.0f}"


def shape_text(shape: tuple[int, ...]) -> str:
    """Return sides with crosses between them."""
    return " × ".join(f"{side:,}" if side else "?" for side in shape)


def size_text(n_bytes: float) -> str:
    """Return how large something is."""
    if math.isnan(n_bytes):
        return NONE
    return f"{n_bytes:.0f} B" if n_bytes < 1000 else megabytes(n_bytes)


def time_text(seconds: float) -> str:
    """Return a short time in milliseconds."""
    if math.isnan(seconds):
        return NONE
    value = 1000 * seconds
    digits = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:.{digits}f} ms"


def times(ratio: float) -> str:
    """Return how many times smaller something is."""
    if math.isnan(ratio):
        return NONE
    return f"{ratio:,.{0 if ratio >= 99.5 else 1}f} ×"


def share(value: float, digits: int = 2) -> str:
    """Return a share in per cent."""
    return NONE if math.isnan(value) else f"{100 * value:.{digits}f} %"
