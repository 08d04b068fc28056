"""A smaller architecture learns a network's answers."""

from __future__ import annotations

import pytest
import torch
from small_context import RESNET, quick_plan, small_context, trained

from orangecontrib.imagemining.compression.beginning import see_as
from orangecontrib.imagemining.compression.distil import run
from orangecontrib.imagemining.compression.plan import Distil
from orangecontrib.imagemining.compression.tasks import soft_cross_entropy
from orangecontrib.imagemining.compression.working import Working
from orangecontrib.imagemining.exceptions import TrainingError, UnknownNameError
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.starting import build_network, rebuilt


def distilled(step, **arguments):
    context = small_context(quick_plan(step), network=trained(*RESNET), **arguments)
    working = Working(context.given)
    run(step, working, context)
    return working, context


@pytest.mark.parametrize("labelled", [True, False])
def test_a_student_takes_the_place(labelled):
    step = Distil(2, "resnet_cifar", {"n": 1, "width": 2})
    working, context = distilled(step, labelled=labelled)
    network = working.image_network()
    card, given = network.card, context.given.card
    assert dict(card.options) == {"n": 1, "width": 2}
    assert (card.classes, card.preprocess) == (given.classes, given.preprocess)
    assert network.n_parameters < context.given.n_parameters
    assert {layer.name: layer.size for layer in card.layers}["features"] == 8
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = rebuilt(network)(pixels)
        assert torch.allclose(working.network(pixels), expected, atol=1e-5)
    told = " ".join(context.notes)
    assert "student to teacher" in told
    assert ("student to labels" in told) is labelled


def test_another_architecture_and_its_rate():
    step = Distil(1, "toy", learning_rate=0.05)
    working, context = distilled(step)
    assert working.card.architecture == "toy" and not working.forms
    assert working.network.num_classes == 3


def test_the_teacher_is_followed_rather_than_the_labels():
    """With wrong labels, the student that follows the teacher does not believe them."""
    found = []
    for beta, gamma in ((1.0, 0.0), (0.0, 1.0)):
        weights = {"beta": beta, "gamma": gamma, "learning_rate": 0.2}
        step = Distil(5, "resnet_cifar", {"n": 1, "width": 4}, **weights)
        context = small_context(quick_plan(step), network=trained(*RESNET))
        images = context.images
        wrong = (images.labels + 1) % 3
        context.images = type(images).from_arrays(
            images.prepared(range(len(images))), wrong
        )
        context.validation = context.validation.subset([])
        working = Working(context.given)
        run(step, working, context)
        pixels = torch.from_numpy(images.prepared(range(len(images))))
        preprocess = context.given.card.preprocess
        x = pixels.permute(0, 3, 1, 2) * preprocess.scale
        for channel in range(3):
            x[:, channel] -= preprocess.mean[channel]
            x[:, channel] /= preprocess.std[channel]
        with torch.inference_mode():
            off = soft_cross_entropy(context.teacher()(x), working.network(x))
        found.append(off.item())
    assert found[1] < 0.8 < 2 * found[1] < found[0]


def test_normalisation_goes_into_the_first_layer():
    own = Preprocess(
        (9, 9), (104.0, 117.0, 123.0), (1.0, 2.0, 3.0), 1.0, channels="BGR"
    )
    other = Preprocess((9, 9), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 1 / 255)
    raw = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)) * 255

    def seen(preprocess, pixels):
        mean, std = (
            torch.tensor(each)[:, None, None]
            for each in (preprocess.mean, preprocess.std)
        )
        return (pixels * preprocess.scale - mean) / std

    network = build_network("toy", 3, {})
    with torch.inference_mode():
        expected = network(seen(own, raw.flip(1)))
    see_as(network, own, other)
    with torch.inference_mode():
        found = network(seen(other, raw))
    assert expected.abs().max() > 1
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (Distil(1, "resnet_cifar", start="given"), UnknownNameError),
        (Distil(1, "none of these"), UnknownNameError),
        (Distil(1, "resnet_cifar", {"depth": 3}), UnknownNameError),
        (Distil(1, "resnet_cifar", {"n": 0}), TrainingError),
        (Distil(0, "toy"), TrainingError),
    ],
)
def test_what_cannot_be(step, error):
    context = small_context(quick_plan(step))
    working = Working(context.given)
    with pytest.raises(error):
        run(step, working, context)
    assert working.image_network() == context.given
