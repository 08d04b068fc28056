"""What an image may cost before it is refused."""

from __future__ import annotations

import os
from dataclasses import dataclass

from orangecontrib.imagemining.exceptions import ImageTooLargeError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds on one image.

    Attributes
    ----------
    max_pixels : width × height; larger images are refused before decoding
        (environment variable IMAGEMINING_MAX_PIXELS).
    max_bytes : length of what an address sends
        (environment variable IMAGEMINING_MAX_BYTES).
    timeout : seconds that a server may keep silent, and within which the whole image
        must arrive once it answers (environment variable IMAGEMINING_TIMEOUT).
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 64 * 2**20
    timeout: float = 30.0

    @classmethod
    def from_environment(cls) -> Limits:
        """Return the defaults, changed by the environment variables above.

        A variable that is no positive number is passed over.
        """
        changed: dict[str, float] = {}
        for name, kind in (("max_pixels", int), ("max_bytes", int), ("timeout", float)):
            text = os.environ.get(f"IMAGEMINING_{name.upper()}", "")
            try:
                value = kind(text)
            except ValueError:
                continue
            if value > 0:
                changed[name] = value
        return cls(**changed)  # type: ignore[arg-type]

    def check_pixels(self, width: int, height: int) -> None:
        """Refuse what has more pixels than allowed.

        Raises
        ------
        ImageTooLargeError
            With both numbers, and where the limit is set.
        """
        if width * height > self.max_pixels:
            raise ImageTooLargeError(
                f"{width} × {height} pixels are more than the limit of"
                f" {self.max_pixels / 1e6:.4g} million (IMAGEMINING_MAX_PIXELS)"
            )
