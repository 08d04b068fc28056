"""Features made by hand: what images were described by before deep networks.

Written for comparison by us, with numpy and scipy alone; neither CellProfiler nor a
published SIFT is in here, and figures got with these features are not theirs.

Two kinds, after the two that the article on Orange's image analytics compares with:

* `measurements`: colours, brightness, texture, grain, shape and gradients, 308 numbers
  for an image, such as a general pipeline of measurements gives;
* `local_gradients`: descriptors of small patches on a regular lattice, laid out as
  SIFT's are (Lowe, IJCV 60:91, 2004, sect. 6), of which `WordsLearner` makes a
  histogram of visual words. The words are found among the training images alone.

All of them see the image stretched to `SIDE` pixels a side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import factorial
from typing import Any

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray
from Orange.base import Learner, Model
from Orange.classification import LogisticRegressionLearner
from Orange.data import ContinuousVariable, Domain, Table
from Orange.preprocess import Normalize
from PIL import Image
from sklearn.cluster import MiniBatchKMeans

__all__ = [
    "MEASUREMENTS",
    "SIDE",
    "WordsLearner",
    "colours",
    "cooccurrence",
    "grain",
    "gradients",
    "hu_moments",
    "local_gradients",
    "measurements",
    "otsu",
    "patterns",
    "pixels_of",
    "rings",
    "standardising",
    "zernike",
]

Floats = NDArray[np.float64]

#: Pixels a side that every image is stretched to.
SIDE = 128

_LEVELS = 16  # of grey, for co-occurrence
_DISTANCES = (1, 2, 4)
_RADII = (1, 2)
_ORDER = 8  # of Zernike's polynomials
_PATCHES = (16, 32)  # pixels a side
_STEP = 8


def pixels_of(picture: Image.Image) -> Floats:
    """Return a picture as the features take it: (SIDE, SIDE, 3), from 0 to 1."""
    resized = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized, float) / 255


def _grey(pixels: Floats) -> Floats:
    """Return the brightness, weighted as the eye does (ITU-R BT.601)."""
    weighted: Floats = pixels @ np.array([0.299, 0.587, 0.114])
    return weighted


def colours(pixels: Floats, bins: int = 16) -> Floats:
    """Return histograms of red, green and blue, their means, spreads and skewnesses.

    Parameters
    ----------
    pixels
        (height, width, 3), from 0 to 1.
    bins
        Of each histogram, whose shares sum to 1.

    Returns
    -------
    (3 * bins + 9,)
    """
    channels = np.ascontiguousarray(pixels.reshape(-1, 3).T)
    histograms = [
        np.bincount(np.minimum((channel * bins).astype(int), bins - 1), minlength=bins)
        / len(channel)
        for channel in channels
    ]
    mean, spread = channels.mean(axis=1), channels.std(axis=1)
    centred = channels - mean[:, None]
    skewness = np.cbrt((centred * centred * centred).mean(axis=1))
    return np.concatenate([*histograms, mean, spread, skewness])


def cooccurrence(
    grey: Floats, distances: Sequence[int] = _DISTANCES, levels: int = _LEVELS
) -> Floats:
    """Return statistics of which levels of grey lie beside each other.

    For each distance: energy, contrast, correlation, homogeneity and entropy (bits) of
    the symmetric co-occurrence matrix (after Haralick et al., IEEE SMC 3:610, 1973), as
    means over four directions, then as ranges over them.

    Parameters
    ----------
    grey
        (height, width), from 0 to 1.

    Returns
    -------
    (10 * len(distances),)
    """
    coarse = np.minimum((grey * levels).astype(int), levels - 1)
    i, j = np.indices((levels, levels))
    result = []
    for distance in distances:
        of_directions = []
        for down, right in ((0, 1), (1, 1), (1, 0), (1, -1)):
            first, second = _shifted(coarse, distance * down, distance * right)
            pairs = (first * levels + second).ravel()
            counts = np.bincount(pairs, minlength=levels**2).reshape(levels, levels)
            p = (counts + counts.T).astype(float)
            p /= p.sum()
            mean = (i * p).sum()
            variance = ((i - mean) ** 2 * p).sum()
            covariance = ((i - mean) * (j - mean) * p).sum()
            some = p[p > 0]
            of_directions.append(
                [
                    (p**2).sum(),
                    ((i - j) ** 2 * p).sum(),
                    # of one level alone it is not defined; it is as alike as can be
                    covariance / variance if variance > 1e-12 else 1.0,
                    (p / (1 + (i - j) ** 2)).sum(),
                    -(some * np.log2(some)).sum(),
                ]
            )
        values = np.array(of_directions)
        result += [values.mean(axis=0), np.ptp(values, axis=0)]
    return np.concatenate(result)


def _shifted(image: NDArray[Any], down: int, right: int) -> tuple[Any, Any]:
    """Return the pixels that have a neighbour at a place, and these neighbours."""
    height, width = image.shape
    left = max(0, -right)
    end = width - max(0, right)
    return (
        image[: height - down, left:end],
        image[down:, left + right : end + right],
    )


def patterns(grey: Floats, radii: Sequence[int] = _RADII) -> Floats:
    """Return histograms of local binary patterns, turned images having the same.

    A pixel's eight neighbours are brighter than it or not. With at most two changes
    around it, the pixel counts by how many are (0 to 8), all others count together
    (Ojala et al., IEEE PAMI 24:971, 2002, without their interpolation: the neighbours
    are pixels of a square ring, so that only quarter turns change nothing).

    Returns
    -------
    (10 * len(radii),), shares that sum to 1 for each radius.
    """
    height, width = grey.shape
    result = []
    for radius in radii:
        centre = grey[radius : height - radius, radius : width - radius]
        ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
        brighter = np.array(
            [
                grey[
                    radius * (1 + down) : height - radius * (1 - down),
                    radius * (1 + right) : width - radius * (1 - right),
                ]
                >= centre
                for down, right in ring
            ]
        )
        changes = (brighter != np.roll(brighter, 1, axis=0)).sum(axis=0)
        kinds = np.where(changes <= 2, brighter.sum(axis=0), 9)
        result.append(np.bincount(kinds.ravel(), minlength=10) / kinds.size)
    return np.concatenate(result)


def gradients(grey: Floats, cells: int = 4, bins: int = 9) -> Floats:
    """Return how strong edges of each direction are in each part of the image.

    Histograms of oriented gradients (Dalal & Triggs, CVPR 2005), of `cells` by `cells`
    parts, directions without sign, a part's histogram scaled to length 1.

    Returns
    -------
    (cells * cells * bins,)
    """
    strength, angle = _gradient(grey)
    kinds = np.floor(angle % np.pi / np.pi * bins + 0.5).astype(int) % bins
    height, width = grey.shape
    parts = []
    for rows in np.array_split(np.arange(height), cells):
        for columns in np.array_split(np.arange(width), cells):
            place = np.ix_(rows, columns)
            histogram = np.bincount(
                kinds[place].ravel(), strength[place].ravel(), minlength=bins
            )
            parts.append(histogram / max(float(np.linalg.norm(histogram)), 1e-9))
    return np.concatenate(parts)


def _gradient(grey: Floats) -> tuple[Floats, Floats]:
    """Return strength and direction (radians) of the gradient."""
    down, right = np.gradient(grey)
    return np.hypot(down, right), np.arctan2(down, right)


def otsu(grey: Floats, bins: int = 256) -> float:
    """Return the brightness that splits an image best into dark and light.

    Which is where the variance between the two is largest (Otsu, IEEE SMC 9:62, 1979).
    Pixels above it are light.
    """
    counts, edges = np.histogram(grey, bins, (0, 1))
    middles = (edges[:-1] + edges[1:]) / 2
    dark = np.cumsum(counts)
    light = dark[-1] - dark
    total = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = dark * light * (total / dark - (total[-1] - total) / light) ** 2
    best = int(np.argmax(np.nan_to_num(between)))
    return float(edges[best + 1])


def hu_moments(weights: Floats) -> Floats:
    """Return Hu's seven moments: the same wherever a shape lies, however it is turned.

    (Hu, IRE Trans. Information Theory 8:179, 1962.) They are products of up to four
    moments, and differ by orders of magnitude: of each the square, third or fourth root
    is taken, its sign kept.

    Parameters
    ----------
    weights
        (height, width), not negative: brightness, or 1 in the shape and 0 around it.

    Returns
    -------
    (7,); zeros of an image without weight.
    """
    total = float(weights.sum())
    if total <= 0:
        return np.zeros(7)
    y, x = np.indices(weights.shape, float)
    y -= (y * weights).sum() / total
    x -= (x * weights).sum() / total

    def eta(p: int, q: int) -> float:
        product = weights
        for factor, times in ((x, p), (y, q)):
            for _ in range(times):
                product = product * factor
        return float(product.sum() / np.power(total, 1 + (p + q) / 2))

    n20, n02, n11 = eta(2, 0), eta(0, 2), eta(1, 1)
    n30, n03, n21, n12 = eta(3, 0), eta(0, 3), eta(2, 1), eta(1, 2)
    a, b = n30 + n12, n21 + n03
    c, d = n30 - 3 * n12, 3 * n21 - n03
    values = np.array(
        [
            n20 + n02,
            (n20 - n02) ** 2 + 4 * n11**2,
            c**2 + d**2,
            a**2 + b**2,
            c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
            (n20 - n02) * (a**2 - b**2) + 4 * n11 * a * b,
            d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
        ]
    )
    degrees = np.array([1, 2, 2, 2, 4, 3, 4])
    roots: Floats = np.sign(values) * np.abs(values) ** (1 / degrees)
    return roots


def grain(grey: Floats, sizes: int = 8) -> Floats:
    """Return which share of the light is in grains of which size.

    The shares that are lost when the image is opened by squares of 3, 5, 7, … pixels,
    one after another (a granularity spectrum).

    Returns
    -------
    (sizes,)
    """
    total = max(float(grey.sum()), 1e-9)
    left = [float(grey.sum())]
    for size in range(1, sizes + 1):
        left.append(float(ndi.grey_opening(grey, (2 * size + 1,) * 2).sum()))
    return -np.diff(left) / total


def rings(grey: Floats, n: int = 4) -> Floats:
    """Return mean and spread of the brightness in rings about the centre.

    Returns
    -------
    (2 * n,): the means from inside out, then the spreads.
    """
    y, x = _unit_square(grey.shape)
    distance = np.hypot(x, y)
    ring = np.minimum((distance * n).astype(int), n)
    inside = [grey[ring == i] for i in range(n)]
    return np.array([part.mean() for part in inside] + [part.std() for part in inside])


def _unit_square(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return the pixels' places, from -1 to 1."""
    y, x = np.indices(shape, float)
    return (
        (2 * y + 1) / shape[0] - 1,
        (2 * x + 1) / shape[1] - 1,
    )


def zernike(grey: Floats, order: int = _ORDER) -> Floats:
    """Return magnitudes of the Zernike moments of the image's inner disc.

    (Teague, J. Opt. Soc. Am. 70:920, 1980.) They do not change when it is turned.

    Parameters
    ----------
    grey
        (side, side).

    Returns
    -------
    One for each order n up to `order` and repetition m <= n of the same parity; the
    first is the mean brightness.
    """
    inside, basis = _zernike_basis(grey.shape, order)
    moments: Floats = np.abs(basis @ grey[inside])
    return moments


@lru_cache(4)
def _zernike_basis(
    shape: tuple[int, ...], order: int
) -> tuple[NDArray[np.bool_], NDArray[np.complex128]]:
    """Return which pixels are in the disc, and what each moment multiplies them by."""
    y, x = _unit_square(shape)
    distance, angle = np.hypot(y, x), np.arctan2(y, x)
    inside = distance <= 1
    distance, angle = distance[inside], angle[inside]
    basis = []
    for n in range(order + 1):
        for m in range(n % 2, n + 1, 2):
            radial = np.zeros_like(distance)
            for s in range((n - m) // 2 + 1):
                factor = (
                    (-1) ** s
                    * factorial(n - s)
                    / factorial(s)
                    / factorial((n + m) // 2 - s)
                    / factorial((n - m) // 2 - s)
                )
                radial += factor * distance ** (n - 2 * s)
            basis.append(radial * np.exp(-1j * m * angle) * (n + 1) / len(distance))
    return inside, np.array(basis)


def _shape(grey: Floats) -> Floats:
    """Return what `otsu` finds: its threshold, the light share, and both shapes."""
    threshold = otsu(grey)
    light = (grey > threshold).astype(float)
    return np.concatenate(
        [[threshold, light.mean()], hu_moments(light), hu_moments(1 - light)]
    )


#: The parts of `measurements`: name -> what computes it of grey pixels, or of colours.
MEASUREMENTS: dict[str, Callable[[Floats], Floats]] = {
    "colours": colours,
    "co-occurrence": lambda pixels: cooccurrence(_grey(pixels)),
    "local binary patterns": lambda pixels: patterns(_grey(pixels)),
    "oriented gradients": lambda pixels: gradients(_grey(pixels)),
    "Otsu's threshold, Hu's moments": lambda pixels: _shape(_grey(pixels)),
    "grain": lambda pixels: grain(_grey(pixels)),
    "rings": lambda pixels: rings(_grey(pixels)),
    "Zernike's moments": lambda pixels: zernike(_grey(pixels)),
}


def measurements(pixels: Floats) -> Floats:
    """Return all `MEASUREMENTS` of an image, one after another.

    Parameters
    ----------
    pixels
        From `pixels_of`.
    """
    return np.concatenate([compute(pixels) for compute in MEASUREMENTS.values()])


def local_gradients(pixels: Floats) -> NDArray[np.uint8]:
    """Return descriptors of the patches of an image.

    Each patch, of 16 or 32 pixels, every 8 pixels, is split into 4 by 4 parts; a part's
    gradients are summed by direction into 8 bins. The 128 numbers are scaled to length
    1, those above 0.2 cut, and scaled again. Unlike SIFT's, the patches lie on a
    lattice, are not turned, and gradients are not shared out between bins.

    Returns
    -------
    (patches, 128), 255 for 0.5 and above.
    """
    strength, angle = _gradient(_grey(pixels))
    kinds = np.floor(angle / (2 * np.pi) * 8 + 0.5).astype(int) % 8
    by_kind = np.where(kinds == np.arange(8)[:, None, None], strength, 0)
    # sums over any rectangle by four look-ups
    sums = np.pad(by_kind.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    found = []
    for patch in _PATCHES:
        part = patch // 4
        n = np.arange(0, SIDE - patch + 1, _STEP)
        edges = n[:, None] + part * np.arange(5)
        grid = sums[:, edges[:, :, None, None], edges[None, None]]
        cells = np.diff(np.diff(grid, axis=2), axis=4)  # kind, row, 4, column, 4
        found.append(cells.transpose(1, 3, 2, 4, 0).reshape(len(n) ** 2, 128))
    vectors = np.concatenate(found)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    vectors = np.minimum(vectors, 0.2)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    rounded: NDArray[np.uint8] = np.minimum(np.round(vectors * 510), 255).astype("u1")
    return rounded


def standardising(learner: Learner) -> Learner:
    """Return the learner, made to bring each column to mean 0 and spread 1 first.

    By the mean and spread of the images it learns from. Measurements are of all kinds
    of units; those in large ones would be all that counts.
    """
    learner.preprocessors = (*learner.preprocessors, Normalize())
    return learner


class _WordsModel(Model):  # type: ignore[misc]
    """Turns images into histograms of its words, and asks a model about these."""

    def __init__(self, learner: WordsLearner, words: Any, model: Model) -> None:
        super().__init__()
        self.learner, self.words, self.model = learner, words, model

    def predict_storage(self, data: Table) -> tuple[Floats, Floats]:
        values, shares = self.model(
            self.learner.histograms(data, self.words), Model.ValueProbs
        )
        return values, shares


class WordsLearner(Learner):  # type: ignore[misc]
    """Logistic regression on histograms of visual words.

    Parameters
    ----------
    descriptors
        Of all images, (images, patches, 128) uint8.
    learner
        What learns from the histograms.
    n_words
        Number of clusters of descriptors.
    seed
        Of the clustering.

    Tables to learn from and predict have one feature: the image's number.
    """

    preprocessors = ()
    name = "visual words"

    def __init__(
        self,
        descriptors: NDArray[np.uint8],
        learner: LogisticRegressionLearner,
        n_words: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__(())
        self.descriptors, self.learner = descriptors, learner
        self.n_words, self.seed = n_words, seed

    def fit_storage(self, data: Table) -> Model:
        """Find words among these images, and learn from how often they occur."""
        rng = np.random.default_rng(self.seed)
        patches = self.descriptors[data.X[:, 0].astype(int)].reshape(-1, 128)
        drawn = rng.choice(len(patches), min(len(patches), 20_000), replace=False)
        words = MiniBatchKMeans(
            min(self.n_words, len(drawn)), n_init=1, random_state=self.seed
        ).fit(patches[drawn].astype(np.float32))
        return _WordsModel(self, words, self.learner(self.histograms(data, words)))

    def histograms(self, data: Table, words: Any) -> Table:
        """Return the table with the square roots of the words' shares as features."""
        n = len(words.cluster_centers_)
        patches = self.descriptors[data.X[:, 0].astype(int)]
        found = words.predict(patches.reshape(-1, 128).astype(np.float32))
        rows = np.repeat(np.arange(len(data)), patches.shape[1])
        counts = np.bincount(rows * n + found, minlength=len(data) * n)
        shares = counts.reshape(len(data), n) / patches.shape[1]
        columns = [ContinuousVariable(f"word_{i}") for i in range(n)]
        domain = Domain(columns, data.domain.class_vars)
        return Table.from_numpy(domain, np.sqrt(shares), data.Y)
