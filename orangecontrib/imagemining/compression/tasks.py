"""What is learned of another network: its answers, softened, beside labels or alone.

Both tasks have the teacher look at the same pixels as the student, changed by the same
augmentation.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.networks import Network
from orangecontrib.imagemining.training.task import Classification

__all__ = ["LOSSES", "Apprentice", "Following", "Losses", "soft_cross_entropy"]

#: The three losses of `Apprentice`, in the order of α, β and γ, in words.
LOSSES = ("teacher to labels", "student to labels", "student to teacher")


def soft_cross_entropy(
    answers: Tensor, logits: Tensor, temperature: float = 1.0
) -> Tensor:
    """Return the mean cross-entropy of logits to another network's answers.

    Parameters
    ----------
    answers
        (n, k) logits to be followed.
    logits
        (n, k) of the one that follows.
    temperature
        What both are divided with. The result is multiplied with its square, so that
        gradients have the same size at any (Hinton et al. 2015, section 2).
    """
    soft = (answers.float() / temperature).softmax(dim=1)
    logs = (logits.float() / temperature).log_softmax(dim=1)
    return -(soft * logs).sum(dim=1).mean() * temperature**2


class Following:
    """Answer as another network does: fine-tuning of a network on its way.

    The loss is (1 − γ) H(y, student) + γ T² KL(teacher, student) with the answers of
    both at temperature T (Hinton et al. 2015, section 2).

    Parameters
    ----------
    teacher
        In evaluation mode; it is not changed.
    gamma
        γ, 0–1.
    temperature
        T, above 0.
    labelled
        Whether labels are the users'; otherwise γ is 1, whatever is told.
    weights
        (k,) of the classes, for the labels; see `training.task.Classification`.
    smoothing
        Of labels; see there.
    """

    def __init__(
        self,
        teacher: Network,
        gamma: float = 0.5,
        temperature: float = 2.0,
        labelled: bool = True,
        weights: Sequence[float] | None = None,
        smoothing: float = 0.0,
    ) -> None:
        _check(temperature, gamma=gamma)
        if gamma > 1:
            raise TrainingError(f"'gamma' is to be from 0 to 1, not {gamma:g}")
        self.teacher = teacher
        self.gamma = gamma if labelled else 1.0
        self.temperature = temperature
        self.labels = Classification(weights, smoothing)

    def to(self, device: str) -> Following:
        """Bring teacher and weights to a device; the given teacher stays where it is.

        Returns
        -------
        Itself.
        """
        self.teacher = _at(self.teacher, device)
        self.labels.to(device)
        return self

    def __call__(
        self, network: Network, pixels: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return "loss" and "logits"; see `training.task.Task`."""
        logits = network(pixels)
        loss = torch.zeros((), device=logits.device)
        if self.gamma > 0:
            answers = _answers(self.teacher, pixels)
            between = soft_cross_entropy(answers, logits, self.temperature)
            # of the teacher to itself: what is left of the loss when both agree
            least = soft_cross_entropy(answers, answers, self.temperature)
            loss = loss + self.gamma * (between - least)
        if self.gamma < 1:
            loss = loss + (1 - self.gamma) * self.labels.loss(logits, labels)
        return {"loss": loss, "logits": logits.detach()}


class Losses:
    """The three losses of the images that were seen, in their order."""

    def __init__(self) -> None:
        self._seen: list[tuple[Tensor, int]] = []

    def add(self, losses: Sequence[Tensor], n_images: int) -> None:
        """Note the means of a batch."""
        # not converted: that would have a GPU waited for at every step
        self._seen.append((torch.stack([each.detach() for each in losses]), n_images))

    def means(self, n_images: int | None = None) -> dict[str, float]:
        """Return the means over about the last `n_images`, all if None, by words.

        They are of images as they were trained on, while weights changed. Empty if
        nothing was seen; losses that were not computed are left out.
        """
        total, count = torch.zeros(len(LOSSES), dtype=torch.float64), 0
        for losses, n in reversed(self._seen):
            total += losses.double().cpu() * n
            count += n
            if n_images is not None and count >= n_images:
                break
        if not count:
            return {}
        means = (total / count).tolist()
        return {
            words: mean
            for words, mean in zip(LOSSES, means, strict=True)
            if mean == mean
        }


class Apprentice:
    """Learn with few bits under a teacher (Mishra and Marr 2017, equation 1).

    The loss is α H(y, teacher) + β H(y, student) + γ H(z_teacher, student). All three
    are noted in `losses`, and returned as "teacher", "student" and "between".

    Parameters
    ----------
    teacher
        See `joint`.
    alpha, beta, gamma
        Weights of the three, from 0.
    temperature
        Of both answers in the third; see `soft_cross_entropy`.
    joint
        Whether the teacher learns, too (scheme A), from the third loss as well, as the
        equation has it. It is then put into training mode and brought to the device of
        the training; its parameters are to be given to the optimizer. Otherwise
        (schemes B and C) it is not changed, and the first loss is a constant that is
        added, which nothing is learned of.
    labelled
        Whether labels are the users'; otherwise there is the third loss alone.
    weights, smoothing
        As for `Following`.

    Raises
    ------
    TrainingError
        If nothing is to be learned, a number is negative, or a teacher is to learn
        without labels.
    """

    def __init__(
        self,
        teacher: Network,
        alpha: float = 1.0,
        beta: float = 0.5,
        gamma: float = 0.5,
        temperature: float = 1.0,
        joint: bool = False,
        labelled: bool = True,
        weights: Sequence[float] | None = None,
        smoothing: float = 0.0,
    ) -> None:
        _check(temperature, alpha=alpha, beta=beta, gamma=gamma)
        if joint and not labelled:
            raise TrainingError(
                "A teacher that is trained together with its student (scheme A) needs"
                " labels to learn from; choose scheme B or C"
            )
        if not gamma and not (labelled and beta):
            raise TrainingError(
                "The student is to learn from the labels (beta) or from its teacher"
                " (gamma); without labels gamma is to be above 0"
            )
        self.teacher = teacher
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.temperature = temperature
        self.joint = joint
        self.labelled = labelled
        self.labels = Classification(weights, smoothing)
        self.losses = Losses()
        if joint:
            teacher.train()

    def to(self, device: str) -> Apprentice:
        """Bring teacher and weights to a device; a teacher that is fixed stays.

        Returns
        -------
        Itself.
        """
        if self.joint:
            # in place: the optimizer is to find the same parameters
            self.teacher.to(device)
        else:
            self.teacher = _at(self.teacher, device)
        self.labels.to(device)
        return self

    def __call__(
        self, network: Network, pixels: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return "loss", "logits" and the three losses; see `training.task.Task`."""
        logits = network(pixels)
        answers = self.teacher(pixels) if self.joint else _answers(self.teacher, pixels)
        between = soft_cross_entropy(answers, logits, self.temperature)
        loss = self.gamma * between
        if self.labelled:
            teacher = self.labels.loss(answers, labels)
            student = self.labels.loss(logits, labels)
            loss = loss + self.alpha * teacher + self.beta * student
        else:
            teacher = student = torch.full_like(between, torch.nan)
        self.losses.add([teacher, student, between], len(labels))
        return {
            "loss": loss,
            "logits": logits.detach(),
            "teacher": teacher.detach(),
            "student": student.detach(),
            "between": between.detach(),
        }


def _answers(teacher: Network, pixels: Tensor) -> Tensor:
    # not inference mode: autograd could not keep such tensors
    with torch.no_grad():
        answers: Tensor = teacher(pixels)
        return answers


def _at(teacher: Network, device: str) -> Network:
    """Return the teacher, or a copy of it on another device."""
    tensor: Tensor | None = next(teacher.parameters(), None)
    if tensor is None or tensor.device.type == torch.device(device).type:
        return teacher
    moved: nn.Module = copy.deepcopy(teacher).to(device)
    assert isinstance(moved, Network)
    return moved


def _check(temperature: float, **weights: float) -> None:
    if not temperature > 0:
        raise TrainingError(f"'temperature' is to be above 0, not {temperature!r}")
    for name, value in weights.items():
        if not value >= 0:
            raise TrainingError(f"'{name}' is to be a number from 0, not {value!r}")
