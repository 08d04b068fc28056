"""Draw the sample stacks: synthetic fluorescence microscopy with depth and channels.

Each file is what a microscope's program would write of one place on a slide: five
planes in depth, from below the cells upwards, of three channels. DAPI shows nuclei,
mCherry the cells' membranes and GFP a protein of the nucleus. After a treatment the
protein gathers in small spots, each at a depth of its own; the amount of light stays
the same. So the categories, `control` and `treated`, differ in one channel of three,
and in the first plane, below the cells, nothing of that can be seen.

Usage: ``python scripts/make_stacks.py [FOLDER]``. Running it twice writes the same
bytes; another NumPy, SciPy or zlib may not.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from orangecontrib.imagemining.weights.folders import write_parts

Array = NDArray[Any]  # of floats, but for the finished stack
Rng = np.random.Generator

SEED = 20190710
CATEGORIES = ("control", "treated")
STACKS_PER_CATEGORY = 12
SIDE, PLANES = 64, 5
PIXEL, STEP = 0.22, 1.5  # µm: of a pixel, and from plane to plane
MIDDLE = 3.0  # plane through the middle of cells, about
HAZE = 1.3  # in how many planes a cell's light is seen, as a deviation
BLUR = 1.9  # pixels that light is blurred for each plane away
DARK, NOISE = 100, 2.0  # what the camera gives in the dark, and its deviation
#: Names of the channels, and their colours as OME has them (red, green, blue, alpha).
CHANNELS = {"DAPI": 0x0000FFFF, "GFP": 0x00FF00FF, "mCherry": 0xFF0000FF}
ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "orangecontrib/imagemining/samples/synthetic-stacks"
_Y, _X = np.mgrid[:SIDE, :SIDE].astype(float)


def bell(distance: Array, width: float) -> Array:
    """Return light that is brightest where the distance is zero."""
    return np.asarray(np.exp(-((distance / width) ** 2) / 2))


def oval(rng: Rng, x: float, y: float, radius: float) -> Array:
    """Return distances from an uneven oval's centre; 1 is its edge."""
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.35) ** 0.5
    along = (_X - x) * np.cos(turn) + (_Y - y) * np.sin(turn)
    across = (_Y - y) * np.cos(turn) - (_X - x) * np.sin(turn)
    field = gaussian_filter(rng.standard_normal(_X.shape), 6, mode="wrap")
    uneven = 1 + 0.06 * field / field.std()
    return np.asarray(np.hypot(along / stretch, across * stretch) / radius * uneven)


def through_depth(picture: Array, depth: float, middle: float) -> Array:
    """Spread a sharp picture over the planes, blurred more the further from its own.

    All of a cell's light dims alike away from the cell's middle: out of focus, nothing
    tells spots from what is spread.
    """
    planes = []
    for plane in range(PLANES):
        blurred = gaussian_filter(
            picture, 0.7 + BLUR * abs(plane - depth), mode="constant"
        )
        planes.append(blurred * float(bell(np.array(plane - middle), HAZE)))
    return np.stack(planes)


def spots(rng: Rng, nucleus: Array, light: float, middle: float) -> Array:
    """Gather an amount of light in small spots within a nucleus, at all its depths."""
    volume = np.zeros((PLANES, SIDE, SIDE))
    places = np.argwhere(nucleus < 0.75)
    count = int(rng.integers(4, 8))
    for share in rng.dirichlet(np.full(count, 8.0)):
        y, x = places[rng.integers(len(places))]
        spot = bell(np.hypot(_X - x, _Y - y), 1.0)
        depth = middle + rng.uniform(-0.9, 0.9)
        volume += through_depth(spot / spot.sum() * light * share, depth, middle)
    return volume


def draw_stack(category: str, number: int) -> NDArray[np.uint16]:
    """Draw one stack; the same arguments always give the same numbers.

    Returns
    -------
    Planes × channels × height × width, counts of a camera of 12 bits.
    """
    rng = np.random.default_rng([SEED, CATEGORIES.index(category), number])
    light = np.zeros((len(CHANNELS), PLANES, SIDE, SIDE))
    taken = np.zeros((SIDE, SIDE), dtype=bool)
    wanted, doubt = int(rng.integers(2, 4)), float(rng.beta(1.0, 3.0))
    for _attempt in range(25):
        x, y = rng.uniform(13, SIDE - 13, 2)
        radius = float(rng.uniform(11, 14))
        cell = oval(rng, x, y, radius)
        if (taken & (cell < 1)).any():
            continue
        taken |= cell < 1
        nucleus_x, nucleus_y = rng.normal((x, y), 1.0)
        nucleus = oval(rng, nucleus_x, nucleus_y, 0.55 * radius)
        middle = MIDDLE + rng.uniform(-0.2, 0.2)
        inside = (nucleus < 1) * (0.8 + 0.2 * bell(nucleus, 0.5))
        light[0] += rng.lognormal(0, 0.2) * 420 * through_depth(inside, middle, middle)
        rim = bell(cell - 1, 0.07) + 0.16 * (cell < 1)
        light[2] += rng.lognormal(0, 0.2) * 520 * through_depth(rim, middle, middle)
        protein = rng.lognormal(0, 0.25) * 300 * inside
        # doubtful cells keep much of the protein where it was, or show a few granules
        gathered = 0.06 + 0.25 * doubt * rng.random()
        if category == "treated":
            gathered = 0.75 - 0.45 * doubt * rng.random()
        light[1] += (1 - gathered) * through_depth(protein, middle, middle)
        light[1] += spots(rng, nucleus, gathered * protein.sum(), middle)
        wanted -= 1
        if not wanted:
            break
    light += 14 * rng.lognormal(0, 0.3)
    counts = rng.poisson(light * 2) / 2 + rng.normal(DARK, NOISE, light.shape)
    return counts.round().clip(0, 4095).astype(np.uint16).swapaxes(0, 1)


def tiff_of(category: str, number: int) -> bytes:
    """Return a stack as an OME-TIFF, to the byte the same each time."""
    stack, target = draw_stack(category, number), io.BytesIO()
    # tifffile's own metadata have a random identity, and would differ each time
    tifffile.imwrite(
        target,
        stack,
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 9},
        rowsperstrip=SIDE,
        description=_ome(category, number).encode(),
        metadata=None,
        software="",
    )
    return target.getvalue()


def _ome(category: str, number: int) -> str:
    channels = "".join(
        f'<Channel ID="Channel:0:{place}" Name="{name}" SamplesPerPixel="1"'
        # OME's colours are signed numbers of 32 bits
        f' Color="{colour - 2**32 * (colour >= 2**31)}"/>'
        for place, (name, colour) in enumerate(CHANNELS.items())
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name="synthetic {category} {number:02d}">'
        "<Description>synthetic, generated by scripts/make_stacks.py, not a"
        " microscope's image</Description>"
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" BigEndian="false"'
        f' SignificantBits="12" SizeX="{SIDE}" SizeY="{SIDE}" SizeC="{len(CHANNELS)}"'
        f' SizeZ="{PLANES}" SizeT="1" PhysicalSizeX="{PIXEL}" PhysicalSizeY="{PIXEL}"'
        f' PhysicalSizeZ="{STEP}">{channels}<TiffData/></Pixels></Image></OME>'
    )


def main() -> None:
    """Write all the stacks and say how large they are."""
    parser = argparse.ArgumentParser(description="Draw the synthetic sample stacks.")
    parser.add_argument("folder", nargs="?", type=Path, default=SAMPLES)
    folder: Path = parser.parse_args().folder
    total = 0
    names = [(c, n) for c in CATEGORIES for n in range(1, STACKS_PER_CATEGORY + 1)]
    for category, number in names:
        content = tiff_of(category, number)
        path = folder / category / f"synthetic-{category}-{number:02d}.ome.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parts(path, [content])
        total += len(content)
    print(f"{len(names)} stacks, {total / 1000:.0f} kB, in {folder}")


if __name__ == "__main__":
    main()
