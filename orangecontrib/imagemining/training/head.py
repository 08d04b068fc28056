"""Trains the last linear map alone, on vectors that were computed once: in seconds.

It is multinomial logistic regression with a penalty on the squares of the weights,
found by L-BFGS on all vectors at once: nothing is random. Torch's own L-BFGS serves;
scikit-learn's would not tell the curve.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.data import split
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.training.task import class_weights

__all__ = [
    "PENALTIES",
    "Head",
    "HeadStep",
    "classifier_inputs",
    "put_into",
    "train_head",
]

#: Strengths of the penalty that are tried, for features of deviation 1.
PENALTIES = (0.3, 0.1, 0.03, 0.01)

_PENALTY = 0.1  # where nothing can be held out to choose it by
_HELD_OUT = 0.2  # share of the images, if none are given for validation
_ITERATIONS = 200
_STEADY = 1e-6  # change of the loss, as a share, that is none
_ROUGHLY = 1e-4  # the same while penalties are compared
_DOUBLE = 2**22  # numbers; more of them are computed with in float32


@dataclass(frozen=True)
class HeadStep:
    """What was reached after an iteration.

    Attributes
    ----------
    loss, accuracy : on the training vectors (loss without the penalty).
    validation_loss, validation_accuracy : nan if there are none.
    """

    loss: float
    accuracy: float
    validation_loss: float = math.nan
    validation_accuracy: float = math.nan


@dataclass(frozen=True, eq=False)
class Head:
    """A linear map from features to logits.

    Attributes
    ----------
    weight : (classes, size) float32.
    bias : (classes,) float32.
    steps : one an iteration, at least one.
    penalty : that was chosen, one of `PENALTIES`.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    steps: list[HeadStep] = field(default_factory=list)
    penalty: float = _PENALTY

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, classes) of vectors (n, size)."""
        result: NDArray[np.float32] = vectors @ self.weight.T + self.bias
        return result


class _Fit:
    """Logistic regression on vectors of mean 0 and deviation 1.

    Parameters
    ----------
    vectors, labels
        (n, size), (n,).
    weights
        Of the classes in the loss; None: all alike.
    core
        A thread that computes on one core: the parts of the work are small, and cores
        that wait for each other take longer, on a busy computer many times so.
    """

    def __init__(
        self,
        vectors: Tensor,
        labels: Tensor,
        weights: Tensor | None,
        core: ThreadPoolExecutor,
    ) -> None:
        self.core = core
        self.vectors = vectors
        self.labels = labels
        self.weights = weights

    def loss(self, logits: Tensor) -> Tensor:
        return cross_entropy(logits, self.labels, self.weights)

    def run(
        self,
        start: Tensor,
        penalty: float,
        steady: float,
        after: Callable[[Tensor], None],
    ) -> Tensor:
        """Return the map, (classes, size + 1), the biases last.

        Parameters
        ----------
        start
            The map to begin with.
        penalty
            On half the sum of squares of the weights, not of the biases.
        steady
            Change of the loss in an iteration, as a share of it, with which it ends.
        after
            Called with the map after each iteration.
        """
        both = start.clone().requires_grad_()
        # a step is an iteration: the search begins where the last one ended
        search = torch.optim.LBFGS(
            [both], max_iter=1, history_size=10, line_search_fn="strong_wolfe"
        )

        def compute() -> Tensor:
            search.zero_grad()
            logits = self.vectors @ both[:, :-1].T + both[:, -1]
            loss = self.loss(logits) + penalty / 2 * both[:, :-1].square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        def step() -> float:
            loss: Tensor = search.step(compute)  # type: ignore[no-untyped-call]
            return loss.item()

        before = math.inf
        for _ in range(_ITERATIONS):
            loss = self.core.submit(step).result()
            after(both.detach())
            if before - loss <= steady * abs(loss):
                break
            before = loss
        return both.detach()


def train_head(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    plan: Plan,
    n_classes: int,
    validation: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
    progress: Progress = no_progress,
) -> Head:
    """Find the linear map that tells the classes apart: logistic regression.

    How strong the penalty on large weights is, is chosen by the loss on images that the
    map was not found with: those for validation, or a fifth of those for training.

    Parameters
    ----------
    vectors
        (n, size), what the classifier gets: the layer "features", by way of
        `classifier_inputs`.
    labels
        (n,) int64, 0 … n_classes − 1.
    plan
        Its class weights count, and its seed for the fifth.
    n_classes
        Number of logits; classes without an image get one, too.
    validation
        Vectors and labels by which the penalty is chosen and the curve drawn.
    progress
        Told after each iteration.

    Raises
    ------
    TrainingError
        If there are fewer than two classes among the labels, or numbers that are not
        finite among the vectors.
    """
    with ThreadPoolExecutor(1, "train-head", _use_one_core) as core:
        return _train(vectors, labels, plan, n_classes, validation, progress, core)


def _train(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    plan: Plan,
    n_classes: int,
    validation: tuple[NDArray[np.float32], NDArray[np.int64]] | None,
    progress: Progress,
    core: ThreadPoolExecutor,
) -> Head:
    if len(np.unique(labels)) < 2:
        raise TrainingError(
            "There are images of one class only; at least two are needed to learn to"
            " tell them apart"
        )
    if not np.isfinite(vectors).all():
        raise TrainingError("The network's features of some images are not numbers")
    kind = np.float64 if vectors.size <= _DOUBLE else np.float32
    mean = vectors.mean(axis=0, dtype=np.float64)
    scale = vectors.std(axis=0, dtype=np.float64)
    scale[scale < 1e-12] = 1

    def standard(some: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(((some - mean) / scale).astype(kind))

    x, y = standard(vectors), torch.from_numpy(labels)
    weights = None
    if plan.class_weights:
        counts = np.bincount(labels, minlength=n_classes)
        weights = torch.tensor(class_weights(counts)).to(x)
    others = None
    if validation is not None and len(validation[1]):
        others = standard(validation[0]), torch.from_numpy(validation[1])

    def reporting(done: float, share: float) -> Callable[[Tensor], None]:
        n = 0

        def report(both: Tensor) -> None:
            nonlocal n
            n += 1
            progress(done + share * n / _ITERATIONS, "Training the classifier")

        return report

    start = torch.zeros(n_classes, x.shape[1] + 1, dtype=x.dtype)
    if others is not None:
        learning, judging = _Fit(x, y, weights, core), others
    else:
        inner, outer = split(labels, _HELD_OUT, plan.seed)
        learning = _Fit(x[inner], y[inner], weights, core)
        judging = x[outer], y[outer]
    penalty = _PENALTY
    if len(judging[1]):
        best = math.inf
        both = start
        for number, tried in enumerate(PENALTIES):
            done = 0.9 * number / len(PENALTIES)
            report = reporting(done, 0.9 / len(PENALTIES))
            # what a stronger penalty found is a good beginning
            both = learning.run(both, tried, _ROUGHLY, report)
            loss = core.submit(_outcome, both, *judging).result()[0]
            if loss >= best:
                break
            best, penalty = loss, tried
    steps: list[HeadStep] = []
    report = reporting(0.9, 0.1)

    def note(both: Tensor) -> None:
        outcome = core.submit(_outcome, both, x, y).result()
        if others is not None:
            outcome += core.submit(_outcome, both, *others).result()
        steps.append(HeadStep(*outcome))
        report(both)

    both = _Fit(x, y, weights, core).run(start, penalty, _STEADY, note)
    weight = both[:, :-1].double().numpy() / scale
    bias = both[:, -1].double().numpy() - weight @ mean
    return Head(weight.astype(np.float32), bias.astype(np.float32), steps, penalty)


def _use_one_core() -> None:
    """Make torch compute on one core in this thread; others keep what they have."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # threads to come take the number that was set last
    restore = threading.Thread(target=torch.set_num_threads, args=(n_threads,))
    restore.start()
    restore.join()


def _outcome(both: Tensor, vectors: Tensor, labels: Tensor) -> tuple[float, ...]:
    """Return mean loss, without penalty and class weights, and accuracy."""
    logits = vectors @ both[:, :-1].T + both[:, -1]
    right = (logits.argmax(1) == labels).double().mean()
    return float(cross_entropy(logits, labels)), float(right)


def classifier_inputs(
    network: Network, vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what the last linear map gets of vectors of the layer "features".

    Of most networks it is the same.
    """
    if not len(vectors):
        return vectors
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        result: NDArray[np.float32] = network.classifier_input(
            torch.from_numpy(vectors)
        ).numpy()
    network.train(was_training)
    return result


def put_into(network: Network, head: Head) -> None:
    """Make `head` the network's last linear map; its logits are the head's then.

    Auxiliary classifiers begin anew.

    Parameters
    ----------
    network
        SqueezeNet needs the option ``last_relu=False`` (see
        `designs.options_for_training`): its own classifier cuts negative values before
        the mean.

    Raises
    ------
    ValueError
        If the head does not fit.
    """
    n_classes, size = head.weight.shape
    before = set(network.modules())
    network.reset_classifier(n_classes)
    (last,) = (
        module
        for name, module in network.named_modules()
        if module not in before and "aux" not in name.lower()
    )
    assert isinstance(last, (nn.Linear, nn.Conv2d)) and last.bias is not None
    if last.weight.shape[1] != size:
        raise ValueError(
            f"the classifier gets {last.weight.shape[1]} numbers, the head {size}"
        )
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(head.weight).reshape(last.weight.shape))
        last.bias.copy_(torch.from_numpy(head.bias))
