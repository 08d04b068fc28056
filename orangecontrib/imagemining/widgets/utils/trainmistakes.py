"""The images that a network reads worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from AnyQt.QtGui import QColor
from AnyQt.QtWidgets import QWidget

from orangecontrib.imagemining.tables.arrange import file_name
from orangecontrib.imagemining.widgets.utils.gallery import ImageGallery
from orangecontrib.imagemining.widgets.utils.oneimage import OneImage
from orangecontrib.imagemining.widgets.utils.thumbnailview import Captions

__all__ = ["Mistake", "MistakesView"]

_SIDE = 84
_N_LINES = 3


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for something else.

    Attributes
    ----------
    source : its path or address.
    truth, predicted : names of classes.
    probability : what the network gave the truth, 0–1.
    """

    source: str | None
    truth: str
    predicted: str
    probability: float

    @property
    def name(self) -> str:
        """The file's name."""
        return file_name(self.source or "") or "(no name)"


class MistakesView(ImageGallery):
    """Thumbnails of mistakes, the worst first; a double click shows one large.

    Parameters
    ----------
    window
        The widget that it is in.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__()
        self.mistakes: Sequence[Mistake] = ()
        self.setAccessibleName("Worst mistakes, the worst first")
        self.set_image_size(_SIDE)
        self.one_image = OneImage(window, self, self._source, self._title)

    def show_mistakes(self, mistakes: Sequence[Mistake]) -> None:
        """Show these and no others."""
        if list(mistakes) == list(self.mistakes):
            return
        self.mistakes = list(mistakes)
        self.set_images([mistake.source for mistake in self.mistakes])
        self.set_captions(Captions(self._words, _N_LINES, self._tooltip, self._colour))
        self.arrange(np.arange(len(self.mistakes)), [])

    def close_loader(self) -> None:
        """Stop reading."""
        self.one_image.close()
        self.loader.close()

    def _source(self, row: int) -> str | None:
        return self.mistakes[row].source

    def _title(self, row: int) -> str:
        mistake = self.mistakes[row]
        return f"{mistake.name}: {mistake.truth} → {mistake.predicted}"

    def _words(self, row: int) -> list[str]:
        mistake = self.mistakes[row]
        return [mistake.truth, f"→ {mistake.predicted}", f"true: {_share(mistake)}"]

    def _tooltip(self, row: int) -> str:
        mistake = self.mistakes[row]
        return (
            f"<p><b>{escape(mistake.name)}</b></p>"
            f"<p>True: {escape(mistake.truth)}<br>"
            f"Predicted: {escape(mistake.predicted)}<br>"
            f"Probability of the true class: {_share(mistake)}</p>"
        )

    def _colour(self, row: int) -> QColor | None:
        return None


def _share(mistake: Mistake) -> str:
    share = mistake.probability
    return "< 1 %" if 0 <= share < 0.01 else f"{100 * share:.0f} %"
