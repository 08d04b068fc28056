"""How images are read, as users choose it: in names, before the files are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orangecontrib.imagemining.images.sources import Rendering

__all__ = ["ROWS", "Reading"]

#: How a stack becomes images; the last two make a row of every plane.
ROWS = ("first", "middle", "max", "mean", "planes", "channels")


@dataclass(frozen=True)
class Reading:
    """How the images of a table are read.

    Attributes
    ----------
    stack : one of `ROWS`. "planes": a row for each time and depth, with the channels
        together; "channels": a row for each of the channels, too.
    all_series : a row, or rows, for each series of a file; else for the first alone.
    tile : side in pixels of the tiles that whole slides become; 0 for one picture of
        the slide.
    tissue : smallest share of a tile that is no background, 0–1; 0 keeps all tiles.
    channels : "auto", "grey", "rgb", or pairs of a channel's name and its colour.
    contrast, percentiles : as for `Rendering`.
    ranges : for "range": a channel's name, black and white; the name is "" where all
        channels are one picture.
    """

    stack: str = "first"
    all_series: bool = False
    tile: int = 0
    tissue: float = 0.0
    channels: str | tuple[tuple[str, str], ...] = "auto"
    contrast: str = "auto"
    percentiles: tuple[float, float] = (0.1, 99.9)
    ranges: tuple[tuple[str, float, float], ...] = ()

    @property
    def by_planes(self) -> bool:
        """Whether planes of a stack get rows of their own."""
        return self.stack in ("planes", "channels")

    def layers(self, numbers: Mapping[str, int]) -> list[str]:
        """Return names of what gets a contrast of its own, in the order of `Rendering`.

        Parameters
        ----------
        numbers
            The channels' numbers by their names.

        Returns
        -------
        Names of channels, or "" alone for grey pictures and photographs.
        """
        chosen = [name for name, _ in self._known(numbers)]
        if chosen:
            return chosen
        if self.channels == "grey" and self.stack != "channels":
            return [""]
        of_number: dict[int, str] = {}
        for name, number in numbers.items():
            of_number.setdefault(number, name)
        names = [of_number.get(n, "") for n in range(1 + max(of_number, default=-1))]
        return (names if self.stack == "channels" else names[:3]) or [""]

    def rendering(self, numbers: Mapping[str, int]) -> Rendering:
        """Return the same in numbers.

        Channels that are not there are left out; without any, they are shown as the
        files want them. A range that is not known is left to each image ("auto").

        Parameters
        ----------
        numbers
            The channels' numbers by their names.
        """
        shown: str | tuple[tuple[int, str], ...] = "auto"
        if isinstance(self.channels, str):
            shown = self.channels
        elif known := self._known(numbers):
            shown = tuple((numbers[name], colour) for name, colour in known)
        contrast = self.contrast
        ranges = self._ranges(numbers)
        if contrast == "range" and not ranges:
            contrast = "auto"
        return Rendering(
            "first" if self.by_planes else self.stack,
            shown,
            contrast,
            self.percentiles,
            ranges,
        )

    def knows_ranges(self, numbers: Mapping[str, int]) -> bool:
        """Tell whether there is a range for all that needs one."""
        return bool(self._ranges(numbers))

    def _known(self, numbers: Mapping[str, int]) -> list[tuple[str, str]]:
        if isinstance(self.channels, str):
            return []
        return [pair for pair in self.channels if pair[0] in numbers][:3]

    def _ranges(self, numbers: Mapping[str, int]) -> tuple[tuple[float, float], ...]:
        known = {name: (low, high) for name, low, high in self.ranges}
        names = self.layers(numbers)
        if not all(name in known for name in names):
            return ()
        return tuple(known[name] for name in names)
