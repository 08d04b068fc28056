"""A page to draw on in inches: text, pictures in coloured frames, a legend.

Matplotlib is used without its global state: no pyplot, no settings changed.
"""

from __future__ import annotations

import colorsys
import io
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from orangecontrib.imagemining.report.console import shorten

__all__ = ["DPI", "INK", "NO_CATEGORY", "Page", "category_colors"]

Color = tuple[float, float, float]
Pixels = NDArray[np.uint8]

DPI = 150
INK: Color = (0.15, 0.15, 0.15)
#: Colour of what has no category.
NO_CATEGORY: Color = (0.6, 0.6, 0.6)

_MAX_IN_LEGEND = 30
_LINE = 0.21  # inches from a line of the legend to the next

# What Orange colours categories with, so that the report matches its widgets. They
# cannot be asked for without loading Orange's widgets.
_ORANGE = (
    (70, 190, 250),
    (237, 70, 47),
    (170, 242, 43),
    (245, 174, 50),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 255),
    (128, 0, 255),
    (0, 128, 255),
    (255, 223, 128),
    (127, 111, 64),
    (92, 46, 0),
    (0, 84, 0),
    (192, 192, 0),
    (0, 127, 127),
    (128, 0, 0),
    (127, 0, 127),
)

# Matplotlib's own font has no Chinese, Japanese or Korean letters; the first of these
# that is installed is asked for what the ones before it lack.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Microsoft YaHei",
    "Malgun Gothic",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
)


def category_colors(n: int) -> list[Color]:
    """Return a colour for each of n categories, Orange's own as far as they reach."""
    if n <= len(_ORANGE):
        return [(r / 255, g / 255, b / 255) for r, g, b in _ORANGE[:n]]
    # hues all around, light and dark in turns
    return [
        colorsys.hsv_to_rgb(i / n, 1 - 0.45 * (i % 2), (0.95, 0.9, 0.6)[i % 3])
        for i in range(n)
    ]


@lru_cache(1)
def _families() -> list[str]:
    installed = set(font_manager.fontManager.get_font_names())
    return [name for name in _FONTS if name in installed]


class Page:
    """A white page; the origin is at the bottom left.

    Parameters
    ----------
    width, height
        In inches.
    """

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._figure = Figure(figsize=(width, height), dpi=DPI)
        self._canvas = FigureCanvasAgg(self._figure)
        self.axes = self._figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()

    def text(self, x: float, y: float, text: str, size: float = 9, **more: Any) -> None:
        """Write `text`, as it is, at a place; `more` goes to matplotlib."""
        arguments = {"color": INK, "ha": "left", "va": "center", **more}
        self.axes.text(
            x,
            y,
            text,
            fontsize=size,
            family=_families(),
            parse_math=False,  # names may have dollar signs
            **arguments,
        )

    def block(
        self,
        left: float,
        bottom: float,
        width: float,
        height: float,
        color: Any,
        z: float = 1,
        edge: float = 0,
    ) -> None:
        """Draw a filled rectangle, with a thin dark edge if `edge` is its width."""
        self.axes.add_patch(
            Rectangle(
                (left, bottom),
                width,
                height,
                facecolor=color,
                edgecolor=INK,
                linewidth=edge,
                zorder=z,
            )
        )

    def picture(
        self, x: float, y: float, side: float, pixels: Pixels, color: Color, z: float
    ) -> None:
        """Draw a picture in a frame.

        Parameters
        ----------
        x, y
            Its centre.
        side
            Length of its longer side, with frame.
        pixels
            (height, width, 3).
        color
            Of the frame.
        z
            Whatever has a larger one lies above.
        """
        frame = max(0.025, 0.07 * side)
        scale = (side - 2 * frame) / max(pixels.shape[:2])
        height, width = pixels.shape[0] * scale, pixels.shape[1] * scale
        left, bottom = x - width / 2, y - height / 2
        self.block(
            left - frame,
            bottom - frame,
            width + 2 * frame,
            height + 2 * frame,
            color,
            z,
            edge=0.5,  # a yellow frame would be lost on white
        )
        self.axes.imshow(
            pixels,
            extent=(left, left + width, bottom, bottom + height),
            aspect="auto",
            zorder=z + 0.5,
        )

    def legend(
        self, left: float, top: float, names: Sequence[str], colors: Sequence[Color]
    ) -> None:
        """List names with their colours downwards from a place."""
        shown = min(len(names), _MAX_IN_LEGEND, max(1, int((top - 0.2) / _LINE) - 1))
        for i in range(shown):
            y = top - (i + 0.5) * _LINE
            self.block(left, y - 0.06, 0.14, 0.12, colors[i], edge=0.5)
            self.text(left + 0.22, y, shorten(names[i], 24))
        if shown < len(names):
            y = top - (shown + 0.5) * _LINE
            self.text(left + 0.22, y, f"and {len(names) - shown} more")

    def png(self) -> bytes:
        """Return the page as a PNG file."""
        self.axes.set_xlim(0, self.width)
        self.axes.set_ylim(0, self.height)
        stream = io.BytesIO()
        with warnings.catch_warnings():
            # letters that no font has become boxes; nobody can do anything about it
            warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
            self._canvas.print_png(stream)
        return stream.getvalue()
