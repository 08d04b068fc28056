"""Lessons 50 to 80: their workflows do what their pages say."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from Orange.data import Table
from orangecanvas.scheme import SchemeLink
from workflow_runner import TUTORIALS, Runner, no_errors, opened

sys.path.append(str(Path(__file__).parents[1] / "server"))

from servers import Running, running  # noqa: E402

from orangecontrib.imagemining.embedders.servers import forget_server  # noqa: E402
from orangecontrib.imagemining.weights.folders import data_folder  # noqa: E402
from orangecontrib.imagemining.weights.network_file import (  # noqa: E402
    load_network_file,
)

# Orange's own widgets warn of much, and so does scikit-learn below them
pytestmark = pytest.mark.filterwarnings("ignore")

SECONDS = 600  # after which a test that waits has failed


@pytest.fixture(autouse=True)
def _nothing_trained() -> None:
    # another test's training by the same plan would be there already
    shutil.rmtree(data_folder() / "training", ignore_errors=True)


def choose(combo: Any, key: str) -> None:
    """Choose an entry as a user does."""
    combo.setCurrentIndex(combo.findData(key))
    combo.activated.emit(combo.currentIndex())


def accuracies(runner: Runner, title: str) -> list[float]:
    """Return the column CA of a Test and Score."""
    results = [slot.results.value for slot in runner.widget(title).learners.values()]
    return [float((each.predicted[0] == each.actual).mean()) for each in results]


def train(runner: Runner) -> Any:
    """Press Start in Train Network; return the network."""
    widget = runner.widget("Train Network")
    wait_for(lambda: widget.facts.can_start and not widget.background.is_busy, SECONDS)
    assert widget.job is None and widget.outcome is None  # not before it is pressed
    widget.start_button.click()
    wait_for(lambda: widget.job is None and widget.outcome is not None, SECONDS)
    runner.finish(SECONDS)
    return widget.outcome.network


def test_microscopy() -> None:
    with opened(TUTORIALS / "50-microscopy.ows") as runner:
        runner.finish(SECONDS)
        no_errors(runner)
        files = runner.widget("Stacks")
        panel = files.reading_panel
        assert panel.label.text().startswith(
            "24 files are stacks (z 5, channels DAPI, GFP, mCherry)"
        )
        data = runner.input("What the Files Say", "Data")
        assert len(data) == 24
        assert {str(row["channels"]) for row in data} == {"DAPI, GFP, mCherry"}
        assert {float(row["pixel size"]) for row in data} == {0.22}
        # below the cells, and of nuclei alone, hardly better than guessing
        assert accuracies(runner, "Scores of Stacks")[0] < 0.75
        assert accuracies(runner, "Scores of Nuclei")[0] < 0.75

        choose(panel.stacks_combo, "max")
        choose(panel.channels_combo, "chosen")
        wait_for(lambda: files.task is None, SECONDS)
        first, second, third = panel.channel_rows.combos
        choose(first[0], "")
        choose(third[0], "")
        choose(second[1], "grey")
        runner.finish(SECONDS)
        no_errors(runner)
        assert files.shown_channels == [["GFP", "grey"]]
        assert accuracies(runner, "Scores of Stacks")[0] > 0.9


def test_fine_tuning() -> None:
    with opened(TUTORIALS / "60-fine-tuning.ows") as runner:
        runner.finish(SECONDS)
        no_errors(runner)
        sample = runner.input("Train Network", "Data")
        rest = runner.input("Predictions", "Data")
        assert (len(sample), len(rest)) == (84, 36)
        assert not set(sample.ids) & set(rest.ids)
        network = train(runner)
        no_errors(runner)
        assert network.classes == ("cytoplasm", "endosome", "ER")
        assert runner.widget("Save Network").data is network
        assert runner.widget("By the Trained Network").network == network.name
        predictions = runner.widget("Predictions")
        by_name = {
            slot.predictor.name: (slot.results.predicted[0] == rest.Y).mean()
            for slot in predictions.predictors
        }
        assert len(by_name) == 2 and min(by_name.values()) > 0.5  # a third by chance


def test_learner_is_scored_beside_logistic_regression() -> None:
    with opened(TUTORIALS / "60-fine-tuning.ows") as runner:
        runner.widget("Test and Score").n_folds = 0  # two; the lesson has five
        runner.finish(SECONDS)
        source, sink = runner.node("Train Network"), runner.node("Test and Score")
        # what the canvas connects when somebody draws the line
        output, input_, _ = runner.scheme.propose_links(source, sink)[0]
        assert (output.name, input_.name) == ("Learner", "Learner")
        runner.scheme.add_link(SchemeLink(source, output, sink, input_))
        runner.finish(SECONDS)
        assert len(accuracies(runner, "Test and Score")) == 2
        assert min(accuracies(runner, "Test and Score")) > 0.5
        assert runner.widget("Train Network").job is None


def test_compressing(tmp_path: Path) -> None:
    with opened(TUTORIALS / "70-compressing-a-network.ows") as runner:
        runner.finish(SECONDS)
        no_errors(runner)
        compress = runner.widget("Compress Network")
        assert compress.sent is None
        network = train(runner)
        wait_for(
            lambda: compress.facts.can_start and not compress.background.is_busy,
            SECONDS,
        )
        assert compress.job is None
        compress.start_button.click()
        wait_for(lambda: compress.sent is not None and compress.task is None, SECONDS)
        runner.finish(SECONDS)
        small = compress.sent
        # alone and together, on images that neither has learned from
        evaluate = runner.widget("Evaluate Networks")
        assert len(runner.input("Evaluate Networks", "Data")) == 36
        assert len(evaluate.evaluation.scores) == 3
        save = runner.widget("Save Network")
        save.filename = str(tmp_path / "small.imnet")
        save.filter = "Compressed network with its card (*.imnet)"
        save.save_file()
        wait_for(lambda: save.task is None, SECONDS)
        saved = Path(save.filename)
        assert saved.stat().st_size < network.n_bytes / 3.5
        assert load_network_file(saved) == small
        load = runner.widget("Load Network")
        load.choose(str(saved))
        wait_for(lambda: load.task is None, SECONDS)
        runner.finish(SECONDS)
        (slot,) = runner.widget("Predictions").predictors
        rest = runner.input("Predictions", "Data")
        assert isinstance(rest, Table)
        assert (slot.results.predicted[0] == rest.Y).mean() > 0.5
        no_errors(runner)


@pytest.fixture
def server() -> Iterator[Running]:
    with running() as run:
        yield run
        forget_server(run.address)


def test_server(server: Running, tmp_path: Path) -> None:
    text = (TUTORIALS / "80-server-for-a-class.ows").read_text("utf8")
    assert "http://127.0.0.1:8742" in text  # where `serve` listens without options
    path = tmp_path / "lesson.ows"
    path.write_text(text.replace("http://127.0.0.1:8742", server.address), "utf8")
    with opened(path) as runner:
        runner.finish(SECONDS)
        embedding = runner.widget("Image Embedding")
        question = embedding.server_panel.question
        assert question.label.text().startswith(
            f"120 images will be sent to {server.address}"
        )
        assert server.service.metrics.images.total() == 0
        question.yes_button.click()
        runner.finish(SECONDS)
        no_errors(runner)
        assert server.service.metrics.images.total() == 120
        assert runner.input("Test and Score", "Data").X.shape == (120, 512)
        assert accuracies(runner, "Test and Score")[0] > 0.7
