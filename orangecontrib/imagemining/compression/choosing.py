"""Which of the networks on the way is the result. Without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import neg

from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.compression.results import Candidate
from orangecontrib.imagemining.weights.image_network import OnnxNetwork

__all__ = ["Goal"]

_LEAST = 1e-9  # accuracies are shares of whole images; rounding is none of them
_ALIKE = 1.01  # so many times larger is as small


class Goal:
    """What a plan wants of the result.

    With `tolerance`, it is the smallest network that lost no more, or, of those at most
    1 % larger than it, the most accurate; the network as it was is one of them. With
    `target_bytes`, it is the most accurate of those that have
    at most so many bytes, or the smallest if there is none. With both, the most
    accurate of those that do both; if there is none, the smallest that lost no more.
    With neither, it is what came last. A file of whole numbers for ONNX Runtime, which
    can only come last, is wanted for its speed: it is the result wherever it lost no
    more, and has few enough bytes. Where there is nothing to judge by, losses are
    not known: then it is what came last too, or, with `target_bytes`, the first within
    it.

    Parameters
    ----------
    plan
        Its tolerance and target count.
    """

    def __init__(self, plan: CompressionPlan) -> None:
        self.tolerance = plan.tolerance
        self.target_bytes = plan.target_bytes

    def is_within(self, candidate: Candidate, first: Candidate) -> bool:
        """Tell whether a network is known to have lost no more than it may."""
        if self.tolerance is None or math.isnan(candidate.accuracy):
            return False
        return first.accuracy - candidate.accuracy <= self.tolerance + _LEAST

    def fits(self, candidate: Candidate) -> bool:
        """Tell whether a network has few enough bytes."""
        return self.target_bytes is None or candidate.n_bytes <= self.target_bytes

    def choose(self, trail: Sequence[Candidate]) -> int:
        """Return the place of the result among candidates; the first is as it was."""
        last = len(trail) - 1
        places = range(len(trail))
        judged = not math.isnan(trail[0].accuracy)
        if self.tolerance is not None and judged:
            places_within = [p for p in places if self.is_within(trail[p], trail[0])]
            fitting = [p for p in places_within if self.fits(trail[p])]
            if last in fitting and isinstance(trail[last].network, OnnxNetwork):
                return last
            if self.target_bytes is not None and fitting:
                return max(fitting, key=lambda p: self._merit(trail[p]))
            if self.target_bytes is None:
                return max(self._small(trail), key=lambda p: self._merit(trail[p]))
            return min(
                places_within, key=lambda p: (trail[p].n_bytes, -trail[p].accuracy)
            )
        if self.target_bytes is not None:
            fitting = [p for p in places if self.fits(trail[p])]
            if not fitting:
                return min(places, key=lambda p: trail[p].n_bytes)
            if judged:
                return max(fitting, key=lambda p: self._merit(trail[p]))
            return fitting[0]
        return last

    def open_places(self, trail: Sequence[Candidate]) -> set[int]:
        """Return the places of those that can be the result, whatever else will come.

        What is in none of these sets any more will never be again. The first candidate,
        which may be the result at last, is not counted.
        """
        places = {self.choose(trail)}
        if self.tolerance is not None and not math.isnan(trail[0].accuracy):
            best = -math.inf
            small = self._small(trail)
            small.sort(
                key=lambda p: (trail[p].n_bytes, *map(neg, self._merit(trail[p])))
            )
            for place in small:
                # a larger one has to be more accurate
                if trail[place].accuracy > best:
                    places.add(place)
                    best = trail[place].accuracy
        return places

    def words(self, trail: Sequence[Candidate]) -> list[str]:
        """Return sentences on what was wanted and is not reached; none if all is."""
        chosen = trail[self.choose(trail)]
        notes = []
        judged = not math.isnan(trail[0].accuracy)
        if self.tolerance is not None and not judged:
            notes.append(
                "There are no images to judge by, so what was lost is not known; the"
                " result is what came last"
                if self.target_bytes is None
                else "There are no images to judge by, so what was lost is not known"
            )
        elif self.tolerance is not None and chosen is trail[0] and len(trail) > 1:
            nearest = max(trail[1:], key=self._merit)
            if self.is_within(nearest, trail[0]):
                notes.append(
                    "No step made the file smaller without losing more than planned, so"
                    " the network is as it was"
                )
            else:
                notes.append(
                    f"Nothing lost at most {_points(self.tolerance)}, so the network is"
                    f" as it was. The nearest, {nearest.what}, lost"
                    f" {_points(trail[0].accuracy - nearest.accuracy)}"
                )
        if not self.fits(chosen):
            assert self.target_bytes is not None
            smallest = min(trail, key=lambda each: each.n_bytes)
            within = self.tolerance is not None and judged
            text = (
                f"{self.target_bytes:,} bytes were not reached"
                f"{' without losing more than planned' if within else ''}; the nearest"
                f" has {chosen.n_bytes:,}"
            )
            if smallest.n_bytes < chosen.n_bytes:
                text += (
                    f". The smallest, {smallest.what}, has {smallest.n_bytes:,} and"
                    f" lost {_points(trail[0].accuracy - smallest.accuracy)}"
                )
            notes.append(text)
        return notes

    def _small(self, trail: Sequence[Candidate]) -> list[int]:
        """Return which of those that lost no more are as small as the smallest."""
        within = [p for p, each in enumerate(trail) if self.is_within(each, trail[0])]
        least = min(trail[p].n_bytes for p in within)
        return [p for p in within if trail[p].n_bytes <= _ALIKE * least]

    @staticmethod
    def _merit(candidate: Candidate) -> tuple[float, float, float]:
        loss = math.inf if math.isnan(candidate.loss) else candidate.loss
        return candidate.accuracy, -candidate.n_bytes, -loss


def _points(share: float) -> str:
    return f"{100 * share:.3g} points of accuracy"
