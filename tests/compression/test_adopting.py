"""Networks that were compressed before go on as they are."""

from __future__ import annotations

import numpy as np
import pytest
from small_context import RESNET, quick_plan, toy_images, trained

from orangecontrib.imagemining.compression.adopting import adopt
from orangecontrib.imagemining.compression.pipeline import compress
from orangecontrib.imagemining.compression.plan import (
    FineTune,
    Half,
    LowBits,
    Prune,
    Share,
    Step,
)
from orangecontrib.imagemining.compression.working import Working, packed_size
from orangecontrib.imagemining.weights.image_network import ImageNetwork

BEFORE: dict[str, tuple[Step, ...]] = {
    "shared": (Prune(share=0.5, by="layer"), Share(bits=3)),
    "half": (Prune(share=0.5, by="layer"), Half()),
    "ternary": (Prune(share=0.3, by="layer"), LowBits(epochs=0, keep="none")),
}


@pytest.mark.parametrize("name", BEFORE)
def test_what_was_shared_or_half_still_is(name):
    plan = quick_plan(*BEFORE[name], tolerance=None)
    before = compress(trained(*RESNET), plan).network
    assert isinstance(before, ImageNetwork) and before.stored
    working = Working(before)
    adopt(working, quick_plan(FineTune(epochs=1)))
    again = working.image_network()
    if name != "ternary":
        assert again.stored.keys() == before.stored.keys()
        assert packed_size(again) == packed_size(before)
    for key, tensor in before.tensors.items():
        np.testing.assert_array_equal(again.tensors[key], tensor)


def test_zeros_stay_whatever_comes():
    plan = quick_plan(*BEFORE["shared"], tolerance=None)
    before = compress(trained(), plan).network
    assert isinstance(before, ImageNetwork)
    zero = before.tensors["body.0.weight"] == 0
    for step in (FineTune(epochs=1), Prune(share=0.6, by="layer"), LowBits(epochs=1)):
        after = compress(
            before, quick_plan(step, tolerance=None), toy_images(24)
        ).network
        assert isinstance(after, ImageNetwork)
        assert not after.tensors["body.0.weight"][zero].any(), step


def test_a_network_without_zeros_is_left_as_it_is():
    working = Working(trained())
    adopt(working, quick_plan(FineTune(epochs=1)))
    assert not working.forms
