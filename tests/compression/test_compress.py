"""Whole compressions of small networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_context import (
    CLASSES,
    RESNET,
    SQUEEZENET,
    TOY,
    quick_plan,
    toy_images,
    trained,
)

from orangecontrib.imagemining.compression import course
from orangecontrib.imagemining.compression.checks import check_plan
from orangecontrib.imagemining.compression.judging import no_images, top5_of
from orangecontrib.imagemining.compression.pipeline import compress, split_for
from orangecontrib.imagemining.compression.plan import (
    CompressionPlan,
    Densify,
    FineTune,
    Half,
    Int8,
    LowRank,
    Prune,
    PruneFilters,
    Share,
    Step,
    plan_from_json,
)
from orangecontrib.imagemining.compression.results import Candidate, Compressed
from orangecontrib.imagemining.compression.tuning import Tuner
from orangecontrib.imagemining.compression.working import packed_size
from orangecontrib.imagemining.exceptions import TaskCancelled, TrainingError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.training.data import ImageSet
from orangecontrib.imagemining.training.results import Trained
from orangecontrib.imagemining.training.starting import rebuilt
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.image_network import ImageNetwork, OnnxNetwork
from orangecontrib.imagemining.weights.network_json import card_from_json, card_to_json
from orangecontrib.imagemining.weights.packed.container import (
    read_container,
    write_container,
)


def squeezed(*steps: Step, n: int = 24, **changes: object) -> Compressed:
    """Compress the toy with a few images."""
    return compress(trained(), quick_plan(*steps, **changes), toy_images(n))


def as_numbers(stored: Coded | np.ndarray) -> np.ndarray:
    return stored.decoded if isinstance(stored, Coded) else stored.astype(np.float32)


def check_exact(network: ImageNetwork) -> None:
    """Look whether what a file keeps are exactly the numbers that are computed with."""
    for name, stored in network.stored.items():
        np.testing.assert_array_equal(as_numbers(stored), network.tensors[name])
    content = write_container(
        card_to_json(network.card), {**network.tensors, **network.stored}
    )
    card, tensors = read_container(content)
    again = ImageNetwork(
        card_from_json(card), {name: as_numbers(t) for name, t in tensors.items()}
    )
    assert again.card == network.card
    assert again.tensors.keys() == network.tensors.keys()
    for name, tensor in network.tensors.items():
        if tensor.dtype.kind == "f":
            assert again.tensors[name].tobytes() == tensor.tobytes(), name


class TestResult:
    def test_each_step_is_a_candidate_with_its_real_size(self):
        result = squeezed(Prune(share=0.5, by="layer"), Half(), tolerance=None)
        assert [each.step for each in result.trail] == [0, 1, 2]
        assert result.chosen == 2 and result.labelled
        assert result.trail[0].network is trained()
        last = result.trail[2]
        assert last.network is result.network
        assert last.n_bytes == packed_size(result.network)
        kept = sum(np.count_nonzero(t) for t in result.network.tensors.values())
        assert last.n_parameters == kept < trained().n_parameters
        assert result.bytes_before == trained().n_bytes
        assert result.ratio == trained().n_bytes / last.n_bytes
        check_exact(result.network)

    def test_accuracies_are_of_all_validation_images(self):
        judge = toy_images(29, seed=5, noise=200)
        result = compress(
            trained(), quick_plan(Half(), tolerance=None), toy_images(12), judge
        )
        network = rebuilt(result.network)
        seen = judge.prepared(range(29)).astype(np.float32).transpose(0, 3, 1, 2)
        how = result.network.card.preprocess
        mean = np.array(how.mean, np.float32)[:, None, None]
        std = np.array(how.std, np.float32)[:, None, None]
        with torch.inference_mode():
            logits = network(torch.from_numpy((seen * how.scale - mean) / std)).numpy()
        right = (logits.argmax(1) == judge.labels).mean()
        assert 0.3 < right < 1
        assert result.trail[1].accuracy == pytest.approx(right)
        assert math.isnan(result.trail[1].top5)

    def test_the_card_tells_what_was_done(self):
        result = squeezed(Share(bits=4), Half(), tolerance=None, seed=3)
        network = result.network
        assert isinstance(network, ImageNetwork)
        assert network.title == "Stripes, compressed" and network.classes == CLASSES
        plan = plan_from_json(network.card.recipe["compression"])
        assert plan.steps == (Share(bits=4), Half()) and plan.seed == 3
        assert network.card.recipe["training"] == trained().card.recipe
        assert network.card.start == trained().name
        assert network.card.figures["accuracy"] == result.trail[-1].accuracy
        assert "Share values, 4 bits; Half precision" in network.card.notes
        again = compress(network, quick_plan(Half(), tolerance=None), toy_images(12))
        assert again.network.title == "Stripes, compressed"
        assert card_from_json(card_to_json(network.card)) == network.card

    def test_the_report_tells_of_each_layer(self):
        result = squeezed(
            Prune(share=0.5, by="layer"), Share(bits=3, linear_bits=5), tolerance=None
        )
        rows = {row.name: row for row in result.layers}
        body = rows["body.0"]
        assert body.shape == (8, 4, 3, 3) and body.parameters == 8 * 4 * 9 + 8
        assert body.kind == "convolution" and body.bits == 3
        weight = result.network.tensors["body.0.weight"]
        bias = result.network.tensors["body.0.bias"]
        assert body.kept == np.count_nonzero(weight) + np.count_nonzero(bias)
        assert body.sparsity == pytest.approx((weight == 0).mean())
        assert body.output == (8, 3, 3)
        # 12 of 24 weights are left, which with 0 are 13 values
        assert rows["classifier"].bits == 4

    def test_layers_that_became_smaller_are_held_against_what_they_were(self):
        network = trained(*SQUEEZENET)
        plan = quick_plan(PruneFilters(share=0.5), LowRank(energy=0.5), tolerance=None)
        result = compress(network, plan, toy_images(12))
        before = {
            name.rpartition(".")[0]: tensor.size
            for name, tensor in network.tensors.items()
            if name.endswith(".weight")
        }
        assert sum(row.parameters for row in result.layers) == network.n_parameters
        smaller = [row for row in result.layers if row.kept < row.parameters]
        assert smaller and {row.name.partition(".0")[0] for row in smaller} & {*before}
        check_exact(result.network)

    def test_the_same_plan_gives_the_same_network(self):
        steps = Prune(share=0.6, by="global", rounds=2, epochs=1), Share(4, bits=3)
        plans = [quick_plan(*steps, tolerance=None, seed=seed) for seed in (1, 1, 2)]
        first, second, other = (
            compress(trained(), plan, toy_images(24)).network for plan in plans
        )
        assert first.sha256 == second.sha256 != other.sha256


def test_top_five():
    logits = torch.tensor([[6.0, 5, 4, 3, 2, 1], [0, 0, 0, 0, 0, 0]])
    assert top5_of(logits, np.array([4, 5])) == 0.5
    assert top5_of(logits, np.array([4, 4])) == 1.0
    assert math.isnan(top5_of(logits[:, :5], np.array([4, 4])))


class TestGoal:
    def test_a_step_that_costs_too_much_is_taken_back(self):
        judge = toy_images(30, seed=8)
        steps = (
            Prune(share=0.3, by="layer"),
            Prune(share=0.98, by="layer"),
            Prune(share=0.99, by="layer"),
            Share(bits=8),
        )
        result = compress(
            trained(), quick_plan(*steps, tolerance=0.1), toy_images(12), judge
        )
        # the third is of the kind of the second, and left out
        assert [each.step for each in result.trail] == [0, 1, 2, 4]
        accuracies = [each.accuracy for each in result.trail]
        assert accuracies[2] < accuracies[0] - 0.1
        assert accuracies[3] >= accuracies[0] - 0.1 and result.chosen == 3
        assert any("Step 2" in note and "lost" in note for note in result.notes)
        weight = result.network.tensors["body.0.weight"]
        assert (weight == 0).mean() == pytest.approx(0.3, abs=0.01)

    def test_int8_is_a_file_that_runs(self):
        result = squeezed(Prune(share=0.3, by="layer"), Int8(), tolerance=1.0)
        network = result.network
        assert isinstance(network, OnnxNetwork) and result.chosen == 2
        assert network.classes == CLASSES and Path(network.path).exists()
        assert result.trail[2].n_bytes == Path(network.path).stat().st_size
        rows = {row.name: row for row in result.layers}
        assert rows["body.0"].bits == 8
        assert rows["body.0"].n_bytes == 8 * 4 * 9 + 4 * 8

    def test_training_may_make_up_for_a_loss(self):
        steps = (Prune(share=0.98, by="layer"), FineTune(epochs=1), Half())
        result = squeezed(*steps, tolerance=0.0)
        way = result.trail
        assert [each.step for each in way][:3] == [0, 1, 2]
        # it was given the chance, and taken back behind the training
        assert way[1].accuracy < 1.0 and way[2].accuracy < 1.0
        assert way[2].n_parameters < 40
        assert way[3].n_parameters == way[0].n_parameters

    def test_an_impossible_target_is_told_with_the_nearest(self):
        result = squeezed(Share(bits=2), tolerance=None, target_bytes=100)
        assert result.chosen == 1
        size = result.trail[1].n_bytes
        assert f"100 bytes were not reached; the nearest has {size:,}" in result.notes

    def test_few_images_cannot_tell_small_losses(self):
        assert "Accuracies are of 24 images" in squeezed(Half()).notes[0]


class TestImages:
    def test_without_images_what_needs_none_is_done(self):
        plan = quick_plan(Prune(share=0.5, by="global"), LowRank(), Share(bits=5))
        result = compress(trained(), plan)
        assert result.chosen == 3 and math.isnan(result.trail[3].accuracy)
        assert "There are no images to judge by" in result.notes[-1]
        with pytest.raises(TrainingError, match="no images.*Prune weights, Fine-tune"):
            compress(trained(), quick_plan(Prune(), FineTune(epochs=1)))

    def test_without_labels_the_networks_answers_are_learned(self):
        images = toy_images(24, noise=220)
        wrong = replace(images, labels=np.roll(images.labels, 1))
        plan = quick_plan(FineTune(epochs=1), Share(bits=4), tolerance=None)
        first = compress(trained(), plan, images, labelled=False)
        assert first.trail[0].accuracy == 1.0 and not first.labelled
        second = compress(trained(), plan, wrong, labelled=False)
        assert first.network.sha256 == second.network.sha256

    def test_images_that_do_not_go_with_the_network_are_refused(self):
        plan = quick_plan(FineTune(epochs=1))
        small = ImageSet.from_arrays(np.zeros((4, 8, 9, 3), np.uint8), np.arange(4) % 3)
        with pytest.raises(TrainingError, match="read for 9 × 8 pixels.*16 × 16"):
            compress(trained(), plan, small)
        images = toy_images(12)
        with pytest.raises(TrainingError, match="class 3, counted from 0"):
            compress(trained(), plan, replace(images, labels=images.labels + 1))
        one = images.subset(np.flatnonzero(images.labels == 1))
        with pytest.raises(TrainingError, match="of one class, 'light'"):
            compress(trained(), plan, one)
        with pytest.raises(TrainingError, match="taken by Stripes for one class"):
            compress(trained(), plan, one, labelled=False)
        with pytest.raises(TrainingError, match="one image only"):
            compress(trained(), plan, images.subset([0]))
        with pytest.raises(TrainingError, match=r"fewer images \(2\) than classes.*3"):
            compress(trained(), plan, images.subset([0, 1]))

    def test_classes_that_are_not_seen_are_told(self):
        images = toy_images(24)
        two = images.subset(np.flatnonzero(images.labels < 2))
        notes = compress(trained(), quick_plan(FineTune(epochs=1)), two).notes
        assert any("of 2 of the 3 classes" in note for note in notes)

    def test_a_file_of_onnx_is_refused(self):
        with pytest.raises(TrainingError, match="is an ONNX file"):
            compress(OnnxNetwork("onnx:/a.onnx", "A"), quick_plan(Half()))  # type: ignore[arg-type]

    def test_a_network_whose_training_failed_is_refused(self):
        tensors = {name: t.copy() for name, t in trained().tensors.items()}
        tensors["body.0.weight"][0, 0, 0, 0] = np.nan
        failed = ImageNetwork(trained().card, tensors)
        with pytest.raises(TrainingError, match="'body.0.weight' of Stripes holds"):
            compress(failed, quick_plan(Half()))

    def test_all_images_judge_where_none_is_needed(self):
        images = toy_images(24)
        learn, judge = split_for(CompressionPlan(steps=(Half(),)), images)
        assert (len(learn), len(judge)) == (0, 24)
        learn, judge = split_for(quick_plan(Half(epochs=1), validation=0.25), images)
        assert judge.counts(3).tolist() == [2, 2, 2]
        assert not {*learn.rows} & {*judge.rows} and len(learn) == 18
        # a class an image: of each alike there would be none
        single = replace(images, labels=np.arange(24))
        learn, judge = split_for(quick_plan(Half(epochs=1), validation=0.25), single)
        assert (len(learn), len(judge)) == (18, 6)


class TestTime:
    @staticmethod
    def stopping(when: Callable[[list[Candidate]], bool]) -> Compressed:
        seen: list[Candidate] = []
        steps = (Share(bits=8, epochs=2), Share(bits=4, epochs=2), Half())
        return compress(
            trained(),
            quick_plan(*steps, tolerance=None),
            toy_images(24),
            on_candidate=seen.append,
            stop=lambda: when(seen),
        )

    def test_stop_keeps_the_best_so_far(self):
        result = self.stopping(lambda seen: len(seen) == 2)
        assert [each.step for each in result.trail] == [0, 1]
        assert result.chosen == 1 and isinstance(result.network, ImageNetwork)
        assert "Stopped as asked; the result is the best so far" in result.notes

    def test_stop_at_once_gives_the_network_as_it_was(self):
        result = self.stopping(lambda seen: True)
        assert result.network is trained() and result.chosen == 0

    def test_stop_within_a_training_notes_what_it_has_come_to(self):
        calls = itertools.count()
        result = compress(
            trained(),
            quick_plan(FineTune(epochs=40), tolerance=None),
            toy_images(24),
            stop=lambda: next(calls) > 6,
        )
        assert [each.step for each in result.trail] == [0, 1]

    def test_what_goes_wrong_late_spoils_nothing(self):
        bad = Share(bits=4, layer_bits={"nowhere": 3})
        with pytest.raises(TrainingError, match="nowhere"):
            squeezed(bad)
        result = squeezed(Share(bits=8), bad, tolerance=None)
        assert [each.step for each in result.trail] == [0, 1] and result.chosen == 1
        assert "Step 2, Share values, could not be done" in result.notes[-1]

    def test_cancelling_gives_nothing(self):
        def progress(fraction: float, status: str = "") -> None:
            if "Epoch" in status:
                raise TaskCancelled

        with pytest.raises(TaskCancelled):
            compress(
                trained(),
                quick_plan(FineTune(epochs=1)),
                toy_images(24),
                progress=progress,
            )

    def test_progress_rises_to_the_end(self):
        told: list[tuple[float, str]] = []
        plan = quick_plan(Prune(share=0.5, by="layer", rounds=2, epochs=1), Half())
        compress(
            trained(), plan, toy_images(24), progress=lambda *each: told.append(each)
        )
        fractions = [each[0] for each in told]
        assert fractions == sorted(fractions) and fractions[-1] == 1.0
        assert any("Step 1 of 2" in each[1] for each in told if len(each) > 1)

    def test_no_training_when_the_minutes_are_over(self):
        steps = (
            FineTune(epochs=5),
            Prune(share=0.5, by="layer", epochs=5, rounds=1),
            Half(),
        )
        result = squeezed(*steps, minutes=1e-5, tolerance=None)
        assert [each.step for each in result.trail] == [0, 2, 3]
        untrained = squeezed(Prune(share=0.5, by="layer"), Half(), tolerance=None)
        assert result.network.sha256 == untrained.network.sha256
        assert any("no time left for step 1, Fine-tune" in n for n in result.notes)
        trying = Prune(share=0.5), PruneFilters(share=0.5, by="sensitivity")
        result = squeezed(*trying, minutes=1e-5, tolerance=None)
        assert result.network.sha256 == trained().sha256
        assert sum("time was over before" in note for note in result.notes) == 2

    def test_steps_share_the_minutes_by_their_epochs(self, monkeypatch):
        minutes: list[float | None] = []

        class Noting(Tuner):
            def fit(self, progress: Progress = no_progress) -> Trained:
                minutes.append(self.plan.minutes)
                return super().fit(progress)

        monkeypatch.setattr(course, "Tuner", Noting)
        steps = (
            FineTune(epochs=1),
            Prune(share=0.5, by="layer", rounds=2, epochs=1),
            FineTune(epochs=2),
        )
        squeezed(*steps, n=12, minutes=600, tolerance=None)
        assert minutes == pytest.approx([120, 150, 200, 600], rel=0.01)


#: Steps for random pipelines, small enough for a moment.
POOL: list[Step] = [
    Prune(share=0.5, by="layer"),
    Prune(share=0.7, by="global", rounds=1, epochs=1),
    PruneFilters(share=0.3),
    LowRank(energy=0.7),
    Share(bits=4),
    Share(bits=2, epochs=1),
    Half(),
    FineTune(epochs=1),
    Densify(epochs=1),
]


def random_steps(rng: np.random.Generator) -> list[Step]:
    """Return up to three steps that can follow each other."""
    steps: list[Step] = []
    while len(steps) < 3:
        step = POOL[rng.integers(len(POOL))]
        try:
            check_plan(quick_plan(*steps, step))
        except TrainingError:
            if steps and rng.random() < 0.3:
                break
            continue
        steps.append(step)
    return steps


@pytest.mark.parametrize("seed", range(6))
def test_random_pipelines_keep_what_they_promise(seed):
    rng = np.random.default_rng(seed)
    steps = random_steps(rng)
    network = trained(*(TOY, RESNET, SQUEEZENET)[seed % 3])
    tolerance = (None, 0.1)[seed % 2]
    candidates: list[Candidate] = []
    result = compress(
        network,
        quick_plan(*steps, tolerance=tolerance, seed=seed),
        toy_images(18, seed=seed, noise=100),
        on_candidate=candidates.append,
    )
    for before, after in itertools.pairwise(candidates):
        assert isinstance(after.network, ImageNetwork)
        check_exact(after.network)
        assert packed_size(after.network) == after.n_bytes
        assert isinstance(before.network, ImageNetwork)
        if after.step and isinstance(steps[after.step - 1], (Share, Half, FineTune)):
            for name, tensor in before.network.tensors.items():
                if tensor.ndim > 1 and tolerance is None:
                    assert not after.network.tensors[name][tensor == 0].any(), name
    if tolerance is not None:
        within = [
            each
            for each in result.trail
            if each.accuracy >= result.trail[0].accuracy - tolerance - 1e-9
        ]
        assert result.trail[result.chosen] in within
        least = min(each.n_bytes for each in within)
        assert result.trail[result.chosen].n_bytes <= 1.01 * least
    # whoever embeds, trains or saves builds it anew
    rebuilt(result.network)
    assert not len(no_images(network))
