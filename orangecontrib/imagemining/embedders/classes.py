"""The things that networks trained on ImageNet tell apart."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["class_names", "likeliest", "softmax"]


@lru_cache(maxsize=1)
def class_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes, in the order of the logits.

    The first name that WordNet has for each; two cranes are told apart.

    Examples
    --------
    >>> from orangecontrib.imagemining.embedders import class_names
    >>> len(class_names()), class_names()[:2]
    (1000, ('tench', 'goldfish'))
    """
    text = files("orangecontrib.imagemining.embedders").joinpath("imagenet.txt")
    return tuple(text.read_text(encoding="utf8").splitlines())


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities that logits stand for, row by row."""
    # without the largest one taken off, exponentials overflow
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result


def likeliest(
    probabilities: NDArray[np.float32], n: int = 5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return classes and probabilities of the n likeliest, likeliest first.

    Parameters
    ----------
    probabilities
        (images, classes); rows of images without any are NaN.
    n
        How many.

    Returns
    -------
    Two arrays (images, n); NaN where there are no probabilities.
    """
    classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :n]
    values = np.take_along_axis(probabilities, classes, axis=1).astype(float)
    return np.where(np.isnan(values), np.nan, classes), values
