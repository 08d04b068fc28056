"""Weights and activations of 8 bits, computed in integers by ONNX Runtime.

Images show how large numbers become between the layers; training with numbers that are
rounded as they will be makes up for what rounding costs (Jacob et al. 2018,
arXiv:1712.05877). The result is a file: `int8_network` makes it, and it is judged by
being run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from orangecontrib.imagemining.compression.context import Context
from orangecontrib.imagemining.compression.int8_folding import folded
from orangecontrib.imagemining.compression.int8_network import (
    MOST,
    Calibration,
    calibrated,
    integer_content,
    simulated,
)
from orangecontrib.imagemining.compression.judging import top5_of
from orangecontrib.imagemining.compression.lowbits import LowBit
from orangecontrib.imagemining.compression.plan import Int8
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.specs import Preprocess, Progress, no_progress
from orangecontrib.imagemining.training.batches import normalised
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.evaluation import Evaluation, judged
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork
from orangecontrib.imagemining.weights.onnx_network import (
    ONNX_INPUT,
    keep_onnx,
    with_metadata,
)
from orangecontrib.imagemining.weights.quiet import onnxruntime

__all__ = ["IntegerFile", "Running", "integer_file", "plain", "run"]

_BATCH = 16
_EXAMPLES = 4
_LEAST_COSINE = 0.995  # of logits, between what was simulated and what the file gives
_MOST_SAFE = 63  # sums of two products fit into 16 bits
_COMPRESSED = ", compressed"


@dataclass(frozen=True)
class IntegerFile:
    """An ONNX file of whole numbers.

    Attributes
    ----------
    content : of the file.
    n_features : length of its output "features".
    bits : of a weight: 8, or 7 where this processor does not compute with 8 exactly.
    """

    content: bytes
    n_features: int
    bits: int


def run(step: Int8, working: Working, context: Context) -> None:
    """Make an integer network of a network on its way, and note it; nothing follows.

    With epochs, the network is trained rounded, beginning with the ranges of
    calibration; of the two files, before and after it, the one that reads more
    validation images right is noted. If it is the result, it is kept in the user's data
    folder.

    Parameters
    ----------
    step
        How.
    working
        Is held in 8 bits from then on, layers that are held otherwise excepted.
    context
        With images.

    Raises
    ------
    TrainingError
        If there are no images, or ONNX Runtime cannot compute the network.
    WeightsError
        If the file cannot be written.
    """
    if not len(context.images):
        raise TrainingError(
            "Int8 needs images, to see how large numbers become; connect Data with"
            " images, or leave the step out"
        )
    images = context.images
    rows = np.linspace(0, len(images) - 1, min(step.images, len(images)))
    looked = images.prepared(rows.round().astype(np.int64))

    def part(start: float, end: float) -> Progress:
        def told(fraction: float, status: str = "") -> None:
            context.report(start + (end - start) * fraction, status)

        return told

    ready = 0.3 if step.epochs else 1.0
    network = working.image_network()
    calibration, file = integer_file(
        network, looked, step.method, part(0.0, 0.8 * ready)
    )
    evaluation, top5 = _judged(
        file, network, context.validation, part(0.8 * ready, ready)
    )
    best = (network, file, evaluation, top5)
    for layer in working.layers:
        form = working.form(layer)
        if form is None or form.bits > 8:
            working.set_form(layer, LowBit(8, working.mask(layer)))
    what = f"Int8, ranges from {len(looked):,} images ({step.method})"
    if step.epochs:
        # what dropout scales up would be beyond the ranges
        recipe = replace(context.plan.recipe, dropout=0.0)
        with simulated(working.network, calibration):
            context.tune(working, step.epochs, "Training in 8 bits", recipe=recipe)
        network = working.image_network()
        _, file = integer_file(network, looked, step.method, part(ready, 0.9))
        evaluation, top5 = _judged(file, network, context.validation, part(0.9, 1.0))
        if _is_better(evaluation, best[2]):
            best = (network, file, evaluation, top5)
            what += f", trained {step.epochs} epochs"
        else:
            context.note(
                "Training in 8 bits did not make the int8 network better; the result is"
                " the one before it"
            )
    network, file, evaluation, top5 = best
    if file.bits < 8:
        context.note(
            "This computer's processor rounds sums of 8-bit products wrongly, so the"
            " weights have 7 bits"
        )
    context.offer_onnx(
        lambda: _kept(file, network, what),
        len(file.content),
        what,
        math.nan if evaluation is None else evaluation.accuracy,
        math.nan if evaluation is None else evaluation.loss,
        top5,
    )


def integer_file(
    network: ImageNetwork,
    images: NDArray[np.uint8],
    method: str = "minmax",
    progress: Progress = no_progress,
) -> tuple[Calibration, IntegerFile]:
    """Return an integer network by calibration, and what it goes by.

    Parameters
    ----------
    network
        Left as it is.
    images
        (n, height, width, 3), prepared as `network.card` says.
    method
        One of `int8_ranges.METHODS`.
    progress
        What it raises ends the work.

    Raises
    ------
    TrainingError
        If PyTorch cannot write the network, or ONNX Runtime cannot compute it.
    """
    card = network.card
    whole = folded(rebuilt(network), card.preprocess.size)
    n_batches = 2 * math.ceil(len(images) / _BATCH)
    done = 0

    def batches() -> Iterator[Tensor]:
        nonlocal done
        for start in range(0, len(images), _BATCH):
            progress(0.9 * done / n_batches, "Looking how large numbers become")
            done += 1
            pixels = torch.from_numpy(images[start : start + _BATCH])
            yield normalised(pixels, card.preprocess)

    calibration = calibrated(whole, [batches(), batches()], method)
    example = torch.from_numpy(plain(images[:_EXAMPLES], card.preprocess))
    for most in (MOST, _MOST_SAFE):
        progress(0.9, "Writing the integer network")
        if most < MOST:
            whole = folded(rebuilt(network), card.preprocess.size)
        try:
            content, (logits, features) = integer_content(
                whole, card.preprocess, calibration, example, most
            )
        except RuntimeError as ex:
            raise TrainingError(
                f"PyTorch cannot write {card.title} in integers ({_line(ex)})"
            ) from ex
        content = with_metadata(content, network)
        found = Running(content, card.title)(example.numpy())
        if _agree(found, logits.numpy()):
            bits = most.bit_length() + 1
            return calibration, IntegerFile(content, features.shape[1], bits)
    raise TrainingError(
        f"ONNX Runtime computes other numbers of {card.title} in integers than PyTorch"
        " does; leave out the step Int8"
    )


class Running:
    """An ONNX file that is run as it will be by those who use it.

    Parameters
    ----------
    content
        Of the file.
    title
        Of the network, for messages.

    Raises
    ------
    TrainingError
        If ONNX Runtime is missing, or cannot read the file.
    """

    def __init__(self, content: bytes, title: str) -> None:
        try:
            runtime = onnxruntime()
        except ImportError as ex:
            raise TrainingError(
                f"Int8 needs the Python package onnxruntime ({ex}); install it:"
                " pip install onnxruntime"
            ) from ex
        self._title = title
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = self._tried(
            lambda: runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        )

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits, (n, classes) float32.

        Parameters
        ----------
        images
            (n, 3, height, width) float32, red, green, blue of 0–255.

        Raises
        ------
        TrainingError
            If ONNX Runtime cannot compute them.
        """
        inputs = {ONNX_INPUT: images}
        logits: NDArray[np.float32]
        (logits,) = self._tried(lambda: self._session.run(["logits"], inputs))
        return logits

    def _tried(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as ex:  # its errors have no common base
            raise TrainingError(
                f"ONNX Runtime cannot compute {self._title} in integers ({_line(ex)})"
            ) from ex


def plain(images: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    """Return prepared images as ONNX files take them.

    Parameters
    ----------
    images
        (n, height, width, 3) in the network's order of colours.
    preprocess
        Of the network; what it does to colours and columns is undone.

    Returns
    -------
    (n, 3, height, width) float32, red, green, blue of 0–255.
    """
    if preprocess.channels == "BGR":
        images = images[..., ::-1]
    if preprocess.swapped_columns is not None:
        first, second = preprocess.swapped_columns
        images = images.copy()
        images[:, :, [first, second]] = images[:, :, [second, first]]
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


def _judged(
    file: IntegerFile, network: ImageNetwork, images: ImageSet, progress: Progress
) -> tuple[Evaluation | None, float]:
    """Return how good the file is, None without images, and its top-5."""
    if not len(images):
        return None, math.nan
    running = Running(file.content, network.title)
    rows = np.arange(len(images))
    found = []
    for start in range(0, len(images), _BATCH):
        progress(start / len(images), "Trying the integer network")
        batch = images.prepared(rows[start : start + _BATCH])
        found.append(running(plain(batch, network.card.preprocess)))
    logits = torch.from_numpy(np.concatenate(found))
    evaluation = judged(logits, images.labels, rows, len(network.classes))
    return evaluation, top5_of(logits, images.labels)


def _is_better(one: Evaluation | None, other: Evaluation | None) -> bool:
    if one is None or other is None:
        return True
    return (one.accuracy, -one.loss) > (other.accuracy, -other.loss)


def _agree(found: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    """Tell whether logits are the same but for rounding."""
    if not np.isfinite(found).all():
        return False
    a, b = found.ravel().astype(float), expected.ravel().astype(float)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return bool(norms == 0 or a @ b / norms >= _LEAST_COSINE)


def _kept(file: IntegerFile, network: ImageNetwork, what: str) -> OnnxNetwork:
    card = network.card
    card = replace(
        card,
        title=f"{card.title.removesuffix(_COMPRESSED)}, int8",
        notes="\n".join(filter(None, (card.notes, what))),
    )
    return keep_onnx(card, file.content, file.n_features)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split("\n", 1)[0].split())
    return text[:200] or type(error).__name__
