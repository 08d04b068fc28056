"""Decodes large JPEGs at a half, quarter or eighth for networks.

What a JPEG holds is blocks of 8 × 8 pixels as sums of waves; leaving the shortest waves
out gives a smaller picture without making the large one first. A network that is shown
an image of its own size does not see the difference, as long as what is decoded is
still several times as large: `MARGIN` times. At that, the cosine between the vectors of
SqueezeNet's features, the most sensitive layer measured, is 0.999 at least for every
image tried; see doc/speed.md. What is smaller is decoded as a whole.
"""

from __future__ import annotations

import math

from PIL import Image

__all__ = ["MARGIN", "decode_smaller", "enough"]

#: How many times as high and wide as the network's input an image is decoded at least.
MARGIN = 3.0


def enough(height: float, width: float) -> tuple[int, int]:
    """Return the (height, width) that suffices for being resized to these."""
    return math.ceil(MARGIN * height), math.ceil(MARGIN * width)


def decode_smaller(
    image: Image.Image, size: tuple[int, int], orientation: int = 1
) -> None:
    """Have a JPEG that is opened, not yet decoded, decoded as small as will do.

    The image's size changes at once. Nothing else does: what cannot be decoded fails
    as it does in full size.

    Parameters
    ----------
    image
        As Pillow has opened it; of other formats than JPEG nothing changes.
    size
        (height, width) of the upright image that will do, in pixels.
    orientation
        As the camera noted it, 1–8: beyond 4 the picture lies on its side.
    """
    height, width = size
    if orientation > 4:
        height, width = width, height
    if image.format == "JPEG" and image.width >= width and image.height >= height:
        image.draft(None, (width, height))
