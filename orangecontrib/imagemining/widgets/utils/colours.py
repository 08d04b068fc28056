"""Whether what is painted can be read on its ground."""

from __future__ import annotations

from AnyQt.QtGui import QColor, QPalette

__all__ = ["blended", "contrast", "text_on"]

_ENOUGH = 3.0  # of contrast, as WCAG 2 asks for large text


def contrast(one: QColor, other: QColor) -> float:
    """Return the ratio of two colours' luminances, 1–21 (WCAG 2)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def blended(colour: QColor, ground: QColor) -> QColor:
    """Return what is seen of a colour that lets some of its ground through."""
    share = colour.alphaF()
    return QColor(
        *(
            round(share * a + (1 - share) * b)
            for a, b in zip(colour.getRgb()[:3], ground.getRgb()[:3], strict=True)
        )
    )


def text_on(ground: QColor, palette: QPalette) -> QColor:
    """Return a colour for text on what is highlighted.

    It is the theme's own where that is readable: white on the light blue of Orange's
    dark theme is not.
    """
    role = QPalette.ColorRole
    own = palette.color(role.HighlightedText)
    if contrast(own, ground) >= _ENOUGH:
        return own
    others = (palette.color(role.Text), palette.color(role.Base))
    return max(others, key=lambda colour: contrast(colour, ground))


def _luminance(colour: QColor) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (colour.redF(), colour.greenF(), colour.blueF())
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
