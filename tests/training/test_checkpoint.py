"""Interrupted and continued is as good as never interrupted."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_trainings
from small_trainings import CLASSES, RESNET, SQUEEZENET, curve, images, same_numbers
from small_trainings import train as train_through

from orangecontrib.imagemining.exceptions import TaskCancelled, TrainingError
from orangecontrib.imagemining.training.callbacks import (
    Callback,
    Checkpoint,
    Pause,
    StopOnRequest,
)
from orangecontrib.imagemining.training.checkpoint import peek
from orangecontrib.imagemining.training.plan import Recipe, plan_from_json, plan_to_json
from orangecontrib.imagemining.training.trainer import Trainer

# 36 images to learn from in batches of 8: 5 steps an epoch
INCEPTION = replace(
    RESNET,
    recipe=Recipe(
        optimizer="rmsprop", schedule="exponential", averaging=0.99, clip=2.0, batch=8
    ),
)
ADAMW = replace(
    SQUEEZENET, recipe=Recipe(optimizer="adamw", learning_rate=1e-3), accumulate=2
)
PLANS = {
    "resnet": RESNET,
    "squeezenet": SQUEEZENET,
    "inception": INCEPTION,
    "adamw": ADAMW,
}


class At(Callback):
    """Does something after a step."""

    def __init__(self, step, action):
        self.step = step
        self.action = action

    def on_step(self, trainer):
        if trainer.position.step == self.step:
            self.action()


def cancel():
    raise TaskCancelled


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("step", [2, 5, 8])
def test_cancelled_and_continued(name, step, tmp_path):
    """In the middle of an epoch, at its end, in the next one."""
    plan = PLANS[name]
    whole = train_through(plan)
    path = tmp_path / "run"
    step = step // plan.accumulate
    with pytest.raises(TaskCancelled):
        train_through(plan, callbacks=[At(step, cancel)], checkpoint=path)
    assert peek(path).epochs_done == pytest.approx(step * plan.accumulate / 5, abs=0.21)
    assert peek(path).plan == plan
    continued = train_through(plan, checkpoint=path)
    assert same_numbers(whole, continued)
    assert curve(whole.history) == curve(continued.history)
    assert continued.history.best == whole.history.best
    # and once more: there is nothing left to do
    again = train_through(plan, checkpoint=path, callbacks=[At(14, cancel)])
    assert same_numbers(whole, again)


KILLED = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from orangecontrib.imagemining.training.callbacks import Checkpoint
from orangecontrib.imagemining.training.plan import plan_from_json
from small_trainings import CLASSES, images
from test_checkpoint import At
from orangecontrib.imagemining.training.trainer import Trainer

def die():
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(9)

plan = plan_from_json(json.loads(sys.argv[1]))
writer = Checkpoint(float(sys.argv[3]), share=1e9)
callbacks = [writer, At(8, die)]
path = Path(sys.argv[2])
Trainer(plan, CLASSES, images(), callbacks=callbacks, checkpoint=path).fit()
"""


@pytest.mark.parametrize("seconds, expected", [(1e9, 1.0), (0.0, 1.4)])
def test_killed_and_continued(seconds, expected, tmp_path):
    """SIGKILL in the second epoch; from its beginning or from the step before."""
    import json

    whole = train_through(SQUEEZENET)
    path = tmp_path / "run"
    script = [sys.executable, "-c", KILLED, json.dumps(plan_to_json(SQUEEZENET))]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            [str(Path(small_trainings.__file__).parent), *sys.path]
        ),
    }
    done = subprocess.run(
        [*script, str(path), str(seconds)], env=environment, capture_output=True
    )
    assert done.returncode not in (0, 1), done.stderr.decode()
    assert peek(path).epochs_done == pytest.approx(expected)
    continued = train_through(SQUEEZENET, checkpoint=path)
    assert same_numbers(whole, continued)
    assert curve(whole.history) == curve(continued.history)


def test_stopped_on_request_can_go_on(tmp_path):
    whole = train_through(RESNET)
    path = tmp_path / "run"
    stop = StopOnRequest()
    stopped = train_through(RESNET, callbacks=[At(7, stop.stop), stop], checkpoint=path)
    assert stopped.history.stopped == "Stopped as asked"
    assert [epoch.epoch for epoch in stopped.history.epochs] == [1, 1.4]
    assert peek(path).epochs_done == 1.4
    continued = train_through(RESNET, checkpoint=path)
    assert continued.history.stopped == ""
    assert continued.history.events[-1].text == "Continued after 1.4 of 3 epochs"
    assert same_numbers(whole, continued)
    assert curve(whole.history) == curve(continued.history)


def test_time_is_over_for_a_continued_one_too(tmp_path):
    path = tmp_path / "run"
    plan = replace(RESNET, minutes=1e-6)
    first = train_through(plan, checkpoint=path)
    assert peek(path).finished == "The 1e-06 minutes are over"
    again = train_through(plan, checkpoint=path, callbacks=[At(2, cancel)])
    assert same_numbers(first, again)
    assert curve(first.history) == curve(again.history)
    assert again.history.stopped == first.history.stopped


def test_stopped_at_the_end_of_an_epoch_can_go_on(tmp_path):
    whole = train_through(RESNET)
    path = tmp_path / "run"
    stop = StopOnRequest()
    stopped = train_through(RESNET, callbacks=[At(5, stop.stop), stop], checkpoint=path)
    assert [epoch.epoch for epoch in stopped.history.epochs] == [1]
    continued = train_through(RESNET, checkpoint=path)
    assert same_numbers(whole, continued)
    assert curve(whole.history) == curve(continued.history)


def test_time_goes_on_where_it_was(tmp_path):
    path = tmp_path / "run"
    spent = []

    def note():
        spent.append(trainer.seconds)
        raise TaskCancelled

    class Look(Callback):
        def on_begin(self, trainer):
            spent.append(trainer.seconds)

    trainer = Trainer(
        RESNET, CLASSES, images(), callbacks=[At(7, note)], checkpoint=path
    )
    with pytest.raises(TaskCancelled):
        trainer.fit()
    train_through(RESNET, checkpoint=path, callbacks=[Look()])
    assert spent[1] >= spent[0] > 0


def test_pause_writes_and_waits(tmp_path):
    path = tmp_path / "run"
    pause = Pause()
    seen = []

    def progress(fraction, status=""):
        if status == "Paused":
            seen.append(peek(path).epochs_done)
            pause.resume()

    trainer = Trainer(
        RESNET,
        CLASSES,
        images(),
        callbacks=[At(3, pause.pause), pause],
        checkpoint=path,
    )
    trained = trainer.fit(progress)
    assert seen == [0.6]
    assert same_numbers(trained, train_through(RESNET))


def test_cancelled_while_paused(tmp_path):
    pause = Pause()
    pause.pause()

    def progress(fraction, status=""):
        if status == "Paused":
            raise TaskCancelled

    trainer = Trainer(
        RESNET, CLASSES, images(), callbacks=[pause], checkpoint=tmp_path / "run"
    )
    with pytest.raises(TaskCancelled):
        trainer.fit(progress)
    continued = train_through(RESNET, checkpoint=tmp_path / "run")
    assert same_numbers(continued, train_through(RESNET))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"plan": replace(RESNET, epochs=4)}, "other settings"),
        ({"images": images(seed=1)}, "other images"),
        ({"classes": ("a", "b", "c")}, "other classes"),
        ({"validation": images(6)}, "other images"),
    ],
)
def test_of_another_training(change, words, tmp_path):
    path = tmp_path / "run"
    with pytest.raises(TaskCancelled):
        train_through(RESNET, checkpoint=path, callbacks=[At(6, cancel)])
    before = path.read_bytes()
    arguments = {"plan": RESNET, "classes": CLASSES, "images": images(), **change}
    with pytest.raises(TrainingError, match=words):
        Trainer(**arguments, checkpoint=path).fit()
    assert path.read_bytes() == before
    trained = Trainer(**arguments, checkpoint=path, anew=True).fit()
    assert same_numbers(trained, Trainer(**arguments).fit())


@pytest.mark.parametrize("damage", ["empty", "half", "text", "changed"])
def test_damaged(damage, tmp_path):
    path = tmp_path / "run"
    train_through(RESNET, checkpoint=path)
    content = path.read_bytes()
    path.write_bytes(
        {
            "empty": b"",
            "half": content[: len(content) // 2],
            "text": b"This is a letter to my aunt.",
            "changed": content.replace(b'"format"', b'"farmot"'),
        }[damage]
    )
    for read in (lambda: train_through(RESNET, checkpoint=path), lambda: peek(path)):
        with pytest.raises(TrainingError, match="run cannot be read"):
            read()


def test_start_counts(tmp_path):
    first = train_through(RESNET).network
    second = train_through(replace(RESNET, seed=9)).network
    plan = replace(RESNET, start="given", network="")
    path = tmp_path / "run"
    train_through(plan, start=first, checkpoint=path)
    with pytest.raises(TrainingError, match="other weights"):
        train_through(plan, start=second, checkpoint=path)


def test_full_disk(tmp_path):
    """The training goes on, and says so once; what was there is still there."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "run"
    with pytest.raises(TaskCancelled):
        train_through(RESNET, checkpoint=path, callbacks=[At(6, cancel)])
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        trained = train_through(
            RESNET, checkpoint=path, callbacks=[Checkpoint(0.0, share=1e9)]
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    warnings = [e.text for e in trained.history.events if e.kind == "warning"]
    assert len(warnings) == 1
    assert "run cannot be written to" in warnings[0]
    assert "too large" in warnings[0].lower()
    assert same_numbers(trained, train_through(RESNET))


def test_plan_in_the_file_is_the_plan(tmp_path):
    path = tmp_path / "run"
    train_through(INCEPTION, checkpoint=path)
    info = peek(path)
    assert info.plan == plan_from_json(plan_to_json(INCEPTION)) == INCEPTION
    assert info.classes == CLASSES
    assert len(info.history.epochs) == 3
    assert np.array_equal(
        info.history.epochs[1].confusion,
        train_through(INCEPTION).history.epochs[1].confusion,
    )
