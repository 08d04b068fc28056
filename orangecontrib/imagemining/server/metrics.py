"""Counts what the server does, and writes it down as Prometheus reads it."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence

__all__ = ["Counter", "Histogram", "Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_BATCHES = (1, 2, 4, 8, 16, 32)
_RECENT = 60  # seconds over which the page says how fast it goes


class Counter:
    """A number that only grows, for each combination of labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self._head = f"# HELP {name} {text}\n# TYPE {name} counter\n"
        self._name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], float] = {} if labels else {(): 0}

    def add(self, number: float = 1, *labels: str) -> None:
        """Count `number` more under these values of the labels."""
        with self._lock:
            self._counts[labels] = self._counts.get(labels, 0) + number

    def total(self) -> float:
        """Return the sum over all labels."""
        with self._lock:
            return sum(self._counts.values())

    def text(self) -> str:
        """Return it as Prometheus reads it."""
        with self._lock:
            counts = sorted(self._counts.items())
        return self._head + "".join(
            f"{self._name}{_labelled(self._labels, values)} {count:g}\n"
            for values, count in counts
        )


class Histogram:
    """How often a number was below certain bounds."""

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._head = f"# HELP {name} {text}\n# TYPE {name} histogram\n"
        self._name = name
        self._bounds = bounds
        self._lock = threading.Lock()
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Note a number."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def mean(self) -> float:
        """Return the mean of all, 0 if there are none."""
        with self._lock:
            return self._sum / max(sum(self._counts), 1)

    def text(self) -> str:
        """Return it as Prometheus reads it."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        lines, below = [], 0
        for bound, count in zip((*self._bounds, "+Inf"), counts, strict=True):
            below += count
            lines.append(f'{self._name}_bucket{{le="{bound}"}} {below}\n')
        lines.append(f"{self._name}_sum {total:.6f}\n{self._name}_count {below}\n")
        return self._head + "".join(lines)


class Metrics:
    """Everything that is counted. May be used from any thread."""

    def __init__(self) -> None:
        prefix = "imagemining"
        self.started = time.monotonic()
        self.requests = Counter(
            f"{prefix}_requests_total",
            "Requests answered.",
            ("route", "status"),
        )
        self.images = Counter(
            f"{prefix}_images_total", "Images by what became of them.", ("outcome",)
        )
        self.received = Counter(f"{prefix}_received_bytes_total", "Bytes of bodies.")
        self.batch_sizes = Histogram(
            f"{prefix}_batch_images", "Images a network got at once.", _BATCHES
        )
        self.waiting = Histogram(
            f"{prefix}_wait_seconds",
            "From an image's arrival to the start of its batch.",
            _SECONDS,
        )
        self.decoding = Histogram(
            f"{prefix}_decode_seconds", "Decoding and resizing an image.", _SECONDS
        )
        self.computing = Histogram(
            f"{prefix}_compute_seconds", "Running a network on a batch.", _SECONDS
        )
        #: Numbers that go up and down: name, help, and what returns it now.
        self.gauges: list[tuple[str, str, Callable[[], float]]] = []
        self._recent: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def embedded(self, n: int) -> None:
        """Note that n images have got their vectors."""
        self.images.add(n, "vector")
        now = time.monotonic()
        with self._lock:
            self._recent.append((now, n))
            self._forget(now)

    def per_second(self) -> float:
        """Return images a second over the last minute."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            n = sum(number for _, number in self._recent)
        return n / max(min(now - self.started, _RECENT), 1.0)

    def text(self) -> str:
        """Return all as Prometheus reads it."""
        parts = [
            each.text()
            for each in (
                self.requests,
                self.images,
                self.received,
                self.batch_sizes,
                self.waiting,
                self.decoding,
                self.computing,
            )
        ]
        for name, text, value in self.gauges:
            full = f"imagemining_{name}"
            parts.append(
                f"# HELP {full} {text}\n# TYPE {full} gauge\n{full} {value():g}\n"
            )
        return "".join(parts)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - _RECENT:
            self._recent.popleft()


def _labelled(names: Sequence[str], values: Sequence[str]) -> str:
    # values are routes, statuses and words of ours: nothing that would need escaping
    if not names:
        return ""
    pairs = zip(names, values, strict=True)
    return "{" + ",".join(f'{name}="{value}"' for name, value in pairs) + "}"
