from __future__ import annotations

from itertools import combinations

import pytest
from AnyQt.QtWidgets import QApplication
from orangewidget.tests.base import GuiTest

from orangecontrib.imagemining.compression.describe import describe_card
from orangecontrib.imagemining.compression.described import Described
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights.image_network import NetworkCard
from orangecontrib.imagemining.widgets.utils.infoboxes import (
    inputs_of,
    parts_of,
    visible_detail,
)
from orangecontrib.imagemining.widgets.utils.infodrawing import Drawing
from orangecontrib.imagemining.widgets.utils.infolayout import ENTRY, EXIT, arrange


def described(architecture: str, side: int, classes: int = 10) -> Described:
    names = tuple(map(str, range(classes)))
    return describe_card(
        NetworkCard("It", architecture, names, Preprocess((side, side)))
    )


def test_fire_stands_in_the_middle() -> None:
    # squeeze, expand, expand, concatenation
    sizes = [(60.0, 20.0), (80.0, 20.0), (100.0, 20.0), (50.0, 20.0)]
    result = arrange(sizes, [[ENTRY], [0], [0], [1, 2]], gap=10, lane=12)
    middles = [
        x + size[0] / 2 for (x, _), size in zip(result.places, sizes, strict=True)
    ]
    rows = [y for _, y in result.places]
    assert rows == [10, 40, 40, 70]
    assert middles[0] == middles[3] == (middles[1] + middles[2]) / 2
    assert result.places[1][0] + 80 <= result.places[2][0]
    ends = [(start, end) for start, end, _ in result.lines]
    assert ends == [(ENTRY, 0), (0, 1), (0, 2), (1, 3), (2, 3), (3, EXIT)]
    assert result.height == 100


def test_way_around_has_a_lane() -> None:
    # two convolutions, and a sum with what came in
    sizes = [(40.0, 20.0)] * 3
    result = arrange(sizes, [[ENTRY], [0], [1, ENTRY]], gap=10, lane=12)
    (points,) = [p for start, end, p in result.lines if (start, end) == (ENTRY, 2)]
    right = max(x for x, _ in points)
    assert right > max(x + 40 for x, _ in result.places)
    assert {x for x, _ in result.places} == {(result.width - 40) / 2}


@pytest.mark.parametrize(
    ("architecture", "side"),
    [("inception_v3", 75), ("squeezenet1_0_complex_bypass", 64)],
)
def test_boxes_do_not_lie_on_each_other(architecture: str, side: int) -> None:
    network = described(architecture, side)
    for part in parts_of(network):
        for block in part.parts if part.kind == "group" else (part,):
            sizes = [(30.0 + 5 * (n % 4), 20.0) for n in range(len(block.parts))]
            links = inputs_of(block.parts, network.layers)
            places = arrange(sizes, links, gap=10, lane=12).places
            boxes = [(*p, *s) for p, s in zip(places, sizes, strict=True)]
            for one, other in combinations(boxes, 2):
                beside = (
                    one[0] + one[2] <= other[0] + 1e-6
                    or other[0] + other[2] <= one[0] + 1e-6
                )
                below = one[1] + one[3] <= other[1] or other[1] + other[3] <= one[1]
                assert beside or below, block.title


def test_blocks_and_groups() -> None:
    network = described("squeezenet1_1", 64)
    parts = parts_of(network)
    groups = [part for part in parts if part.kind == "group"]
    assert [group.title for group in groups] == ["2 × Fire module"] * 4
    assert groups[1].lines[0] == "fire4 – fire5"
    blocks = [block for group in groups for block in group.parts]
    assert [part.title for part in blocks] == [f"fire{n}" for n in range(2, 10)]
    assert [part.kind for part in blocks[0].parts] == [
        *["convolution"] * 3,
        "concatenation",
    ]
    assert blocks[0].parts[1].title == "expand1x1 · 1×1"


class TestDrawing(GuiTest):
    def test_more_and_less_detail(self) -> None:
        view = Drawing()
        view.show_network(described("resnet20_cifar", 32), None)
        titles = {box.part.title for box in view.boxes()}
        assert "conv2 · 3×3" in titles
        assert "3 × residual block" in titles
        view.set_detail("groups")
        titles = [box.part.title for box in view.boxes()]
        assert "conv2 · 3×3" not in titles
        # a block that halves the size is none of those after it
        assert sorted(titles) == sorted(
            ["image", "conv1 · 3×3", "3 × residual block", "layer2.0"]
            + ["2 × residual block", "layer3.0", "2 × residual block"]
            + ["mean", "fc", "10 classes"]
        )
        (box,) = [box for box in view.boxes() if box.part.title == "layer2.0"]
        chosen = []
        view.layers_chosen.connect(chosen.append)
        view.pressed(box.part)
        QApplication.processEvents()
        assert chosen == [box.part.layers]
        titles = [box.part.title for box in view.boxes()]
        assert "conv1 · 3×3, step 2" in titles

    def test_all_lies_within_what_is_shown(self) -> None:
        view = Drawing()
        view.show_network(described("squeezenet1_1", 64), None)
        boxes = [*view.boxes()]
        assert len(boxes) == 2 + 6 + 4 + 8 + 8 * 4  # ends, layers, groups, blocks
        whole = view.sceneRect()
        assert all(whole.contains(box.rect) for box in boxes)
        frames = {box.part.key: box.rect for box in boxes if box.is_open}
        for box in boxes:
            for part in box.part.parts:
                (inner,) = [b.rect for b in boxes if b.part.key == part.key]
                assert frames[box.part.key].contains(inner)
        # the more channels, the wider
        wide = [b.rect.width() for b in boxes if b.part.title == "expand3x3 · 3×3"]
        assert wide[-1] < wide[0]  # items come from the last to the first
        view.show_network(None, None)
        assert not [*view.boxes()]

    def test_large_networks_are_folded_up(self) -> None:
        parts = parts_of(described("inception_v3", 75))
        assert visible_detail(parts, "auto") == "blocks"
        assert visible_detail(parts, "layers") == "layers"
        parts = parts_of(described("resnet152", 64))
        assert visible_detail(parts, "auto") in ("blocks", "groups")
