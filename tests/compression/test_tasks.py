"""What is learned of a teacher, by value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from orangecontrib.imagemining.compression.tasks import (
    Apprentice,
    Following,
    soft_cross_entropy,
)
from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.training.optim import optimizer_for
from orangecontrib.imagemining.training.plan import Recipe

STUDENT = [[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]]
TEACHER = [[1.0, 1.0, -2.0], [0.0, 3.0, 0.5]]
PIXELS = torch.zeros(2, 3, 4, 4)
LABELS = torch.tensor([0, 2])


class Fixed(nn.Module):
    """Gives the same logits for any images; they can be learned."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, x):
        return self.logits + 0.0


def softmax(logits, temperature=1.0):
    powers = np.exp(np.array(logits) / temperature)
    return powers / powers.sum(1, keepdims=True)


def to_labels(logits):
    return -np.log(softmax(logits)[[0, 1], LABELS.numpy()]).mean()


def to_teacher(temperature):
    p, q = softmax(TEACHER, temperature), softmax(STUDENT, temperature)
    return temperature**2 * -(p * np.log(q)).sum(1).mean()


def entropy(temperature):
    p = softmax(TEACHER, temperature)
    return temperature**2 * -(p * np.log(p)).sum(1).mean()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_following_is_of_labels_and_answers(gamma, temperature):
    task = Following(Fixed(TEACHER), gamma, temperature).to("cpu")
    result = task(Fixed(STUDENT), PIXELS, LABELS)
    divergence = to_teacher(temperature) - entropy(temperature)
    expected = (1 - gamma) * to_labels(STUDENT) + gamma * divergence
    assert result["loss"].item() == pytest.approx(expected, rel=1e-6)
    assert result["logits"].tolist() == STUDENT


def test_without_labels_answers_are_followed_alone():
    task = Following(Fixed(TEACHER), 0.3, 2.0, labelled=False)
    loss = task(Fixed(STUDENT), PIXELS, LABELS)["loss"].item()
    assert loss == pytest.approx(to_teacher(2.0) - entropy(2.0), rel=1e-6)
    assert task(Fixed(TEACHER), PIXELS, LABELS)["loss"].item() == pytest.approx(0)


def test_gradients_hardly_depend_on_the_temperature():
    """In the limit of small logits they do not (Hinton et al. 2015, equation 4)."""
    sizes = []
    for temperature in (1.0, 8.0):
        logits = torch.tensor([[0.02, -0.01, 0.0]], requires_grad=True)
        answers = torch.tensor([[0.0, 0.03, -0.01]])
        soft_cross_entropy(answers, logits, temperature).backward()
        sizes.append(logits.grad.abs().max().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_three_losses_of_an_apprentice():
    task = Apprentice(Fixed(TEACHER), 1.0, 0.5, 0.25, 2.0)
    result = task(Fixed(STUDENT), PIXELS, LABELS)
    three = to_labels(TEACHER), to_labels(STUDENT), to_teacher(2.0)
    found = [result[name].item() for name in ("teacher", "student", "between")]
    assert found == pytest.approx(three, rel=1e-6)
    expected = three[0] + 0.5 * three[1] + 0.25 * three[2]
    assert result["loss"].item() == pytest.approx(expected, rel=1e-6)
    task(Fixed(TEACHER), PIXELS, LABELS)
    assert list(task.losses.means(2).values()) == pytest.approx(
        [three[0], three[0], entropy(2.0)], rel=1e-6
    )
    means = task.losses.means()
    assert means["student to labels"] == pytest.approx((three[0] + three[1]) / 2)


def test_an_apprentice_without_labels_has_one_loss():
    task = Apprentice(Fixed(TEACHER), labelled=False)
    result = task(Fixed(STUDENT), PIXELS, LABELS)
    assert result["loss"].item() == pytest.approx(0.5 * to_teacher(1.0), rel=1e-6)
    assert list(task.losses.means()) == ["student to teacher"]


@pytest.mark.parametrize("joint", [True, False])
def test_only_a_joint_teacher_learns(joint):
    teacher, student = Fixed(TEACHER), Fixed(STUDENT)
    task = Apprentice(teacher, joint=joint).to("cpu")
    optimizer = optimizer_for(nn.ModuleList([student, teacher]), Recipe())
    task(student, PIXELS, LABELS)["loss"].backward()
    optimizer.step()
    assert student.logits.tolist() != STUDENT
    assert (teacher.logits.tolist() == TEACHER) is not joint


def test_what_goes_to_another_device_is_a_copy():
    teacher = nn.Linear(2, 2)
    following = Following(teacher)
    with pytest.raises(AssertionError):  # it is no network, but was copied before
        following.to("meta")
    assert teacher.weight.device.type == "cpu"
    joint = Apprentice(teacher, joint=True)
    weight = teacher.weight
    assert joint.to("cpu").teacher.weight is weight


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"beta": -1.0}, "beta"),
        ({"beta": 0.0, "gamma": 0.0}, "labels"),
        ({"gamma": 0.0, "labelled": False}, "gamma"),
        ({"joint": True, "labelled": False}, "scheme B or C"),
    ],
)
def test_what_cannot_be_learned(numbers, words):
    with pytest.raises(TrainingError, match=words):
        Apprentice(Fixed(TEACHER), **numbers)


def test_weights_of_answers_are_shares():
    with pytest.raises(TrainingError, match="0 to 1"):
        Following(Fixed(TEACHER), 1.5)
