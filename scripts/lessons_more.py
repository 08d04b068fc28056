"""The workflows of lessons 50 to 80: microscopy, training, compressing, a server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from workflow_files import OURS, WIDGETS, Workflow  # type: ignore[import-not-found]

__all__ = ["LESSONS", "PICTURES"]

WIDGETS |= {
    "Compress Network": f"{OURS}.owcompressnetwork.OWCompressNetwork",
    "Evaluate Networks": f"{OURS}.owevaluatenetworks.OWEvaluateNetworks",
    "Load Network": f"{OURS}.owloadnetwork.OWLoadNetwork",
    "Network Info": f"{OURS}.ownetworkinfo.OWNetworkInfo",
    "Save Network": f"{OURS}.owsavenetwork.OWSaveNetwork",
    "Train Network": f"{OURS}.owtrainnetwork.OWTrainNetwork",
    "Data Sampler": "Orange.widgets.data.owdatasampler.OWDataSampler",
    "Data Table": "Orange.widgets.data.owtable.OWTable",
    "Predictions": "Orange.widgets.evaluate.owpredictions.OWPredictions",
}

#: settings that differ from the widgets' own
YEAST = {"folder": "samples:synthetic-yeast", "__version__": 3}
STACKS = {"folder": "samples:synthetic-stacks", "show_reading": True, "__version__": 3}
NUCLEI = {
    **STACKS,
    "stacks": "max",
    "channels": "chosen",
    "shown_channels": [["DAPI", "grey"]],
}
SEEN = {"image_size": 90, "group": "category", "__version__": 3}
TEN_FOLDS = {"resampling": 0, "n_folds": 3, "cv_stratified": True, "__version__": 4}
FIVE_FOLDS = {**TEN_FOLDS, "n_folds": 2}
COSINE = {"metric_id": 4, "autocommit": True, "__version__": 4}
#: 84 images to learn from, the same ones each time, and 36 apart
SEVENTY = {
    "sampling_type": 0,
    "sampleSizePercentage": 70,
    "use_seed": True,
    "stratify": True,
    "__version__": 2,
}
#: The pictures are 112 pixels wide: looking at them at 227 takes three times as long.
CHOICES = {
    "network": "squeezenet1_1",
    "learns": "head",
    "augmentation": "microscopy",
    "size": 128,
    "epochs": 10,
    "validation": 20,
}
TRAINING = {"choices": CHOICES, "automatic": False, "__version__": 1}
COMPRESSING = {
    "choices": {"network": "given", "preset": "Coding only", "goal": "any"},
    "was_given": True,
    "automatic": False,
    "__version__": 1,
}
#: two views, so that nobody has these numbers from another lesson
BY_SERVER = {
    "network": "squeezenet1_1",
    "layer": "features",
    "fit": "stretch",
    "views": 2,
    "server": "http://127.0.0.1:8742",
    "__version__": 3,
}


def microscopy() -> Workflow:
    """Return the workflow in which planes and channels are chosen."""
    flow = Workflow(
        "50 Microscopy: Stacks and Channels",
        "Choose which planes and channels of a microscope's files become images.\n\n"
        "The workflow starts with synthetic stacks of cells, with a treatment and"
        " without. As they are read at first, nobody can tell the two apart. Open"
        " Stacks, choose Maximum projection and the channel GFP, and look at Test and"
        " Score.",
    )
    learner = flow.add("Logistic Regression", (440, 230))
    for title, settings, scores, viewer, y in (
        ("Stacks", STACKS, "Scores of Stacks", "Stacks Seen", 110),
        ("Nuclei", NUCLEI, "Scores of Nuclei", "Nuclei Seen", 350),
    ):
        folder = flow.add("Import Images", (100, y), settings, title=title)
        embedding = flow.add("Image Embedding", (270, y), title=f"{title} as Numbers")
        test = flow.add("Test and Score", (610, y), TEN_FOLDS, title=scores)
        shown = flow.add(
            "Image Viewer", (270, y - 110 if y < 200 else y + 110), SEEN, title=viewer
        )
        flow.link(folder, "Data", embedding, "Images")
        flow.link(folder, "Data", shown, "Data")
        flow.link(embedding, "Embeddings", test, "Data")
        flow.link(learner, "Learner", test, "Learner")
    table = flow.add("Data Table", (100, 230), title="What the Files Say")
    flow.link("Stacks", "Data", table, "Data")
    flow.note("Choose planes, channels\nand contrast here.", -130, 90, 190, 50)
    flow.note("For comparison: one channel,\nnuclei alone.", -130, 330, 210, 50)
    flow.note("How well can control and\ntreated be told apart?", 680, 200, 200, 50)
    return flow


def fine_tuning() -> Workflow:
    """Return the workflow in which a network is trained further."""
    flow = Workflow(
        "60 Fine-Tuning a Network",
        "Train a network with your own images, and see what that brings.\n\n"
        "The workflow starts with synthetic pictures of yeast cells: 84 to learn from,"
        " and 36 to judge by. Nothing is trained before you press Start in Train"
        " Network. Predictions compares what comes out with logistic regression.",
    )
    folder = flow.add("Import Images", (80, 260), YEAST)
    sampler = flow.add("Data Sampler", (220, 260), SEVENTY)
    train = flow.add("Train Network", (440, 350), TRAINING)
    embedding = flow.add("Image Embedding", (400, 110))
    learner = flow.add("Logistic Regression", (580, 180))
    predictions = flow.add("Predictions", (760, 260))
    matrix = flow.add("Confusion Matrix", (930, 260))
    mistakes = flow.add("Image Viewer", (1090, 260), title="Chosen Images")
    scores = flow.add("Test and Score", (760, 60), FIVE_FOLDS)
    save = flow.add("Save Network", (620, 430))
    eyes = flow.add("Image Embedding", (580, 560), title="By the Trained Network")
    distances = flow.add("Distances", (760, 560), COSINE)
    mds = flow.add("MDS", (930, 560))
    flow.link(folder, "Data", sampler, "Data")
    flow.link(sampler, "Data Sample", train, "Data")
    flow.link(sampler, "Data Sample", embedding, "Images")
    flow.link(sampler, "Remaining Data", predictions, "Data")
    flow.link(sampler, "Remaining Data", eyes, "Images")
    flow.link(embedding, "Embeddings", learner, "Data")
    flow.link(embedding, "Embeddings", scores, "Data")
    flow.link(learner, "Learner", scores, "Learner")
    flow.link(learner, "Model", predictions, "Predictors")
    flow.link(train, "Model", predictions, "Predictors")
    flow.link(train, "Network", save, "Network")
    flow.link(train, "Network", eyes, "Network")
    flow.link(predictions, "Evaluation Results", matrix, "Evaluation Results")
    flow.link(matrix, "Selected Data", mistakes, "Data")
    flow.link(eyes, "Embeddings", distances, "Data")
    flow.link(distances, "Distances", mds, "Distances")
    flow.note("70 % to learn from,\nthe rest to judge by.", 60, 330, 150, 50)
    flow.note("Press Start here.", 215, 378, 130, 30)
    flow.note("Two ways, on images\nthat neither has seen.", 680, 330, 190, 50)
    flow.note("How the network sees the images,\nbefore and after training.",
              820, 470, 270, 50)  # fmt: skip
    return flow


def compressing() -> Workflow:
    """Return the workflow in which a trained network becomes small."""
    flow = Workflow(
        "70 Compressing a Network",
        "Make a network many times smaller, and see what it costs.\n\n"
        "Press Start in Train Network, then in Compress Network. Network Info compares"
        " sizes, Evaluate Networks accuracies, on images that neither network has"
        " learned from. Save the small network, and load it again.",
    )
    folder = flow.add("Import Images", (80, 300), YEAST)
    sampler = flow.add("Data Sampler", (220, 300), SEVENTY)
    train = flow.add("Train Network", (390, 160), TRAINING)
    compress = flow.add("Compress Network", (580, 400), COMPRESSING)
    info = flow.add("Network Info", (840, 100))
    evaluate = flow.add("Evaluate Networks", (840, 240))
    save = flow.add("Save Network", (840, 480))
    load = flow.add("Load Network", (390, 580))
    predictions = flow.add("Predictions", (580, 580))
    flow.link(folder, "Data", sampler, "Data")
    flow.link(sampler, "Data Sample", train, "Data")
    flow.link(sampler, "Data Sample", compress, "Data")
    flow.link(train, "Network", compress, "Network")
    flow.link(train, "Network", info, "Networks")
    flow.link(train, "Network", evaluate, "Networks")
    flow.link(compress, "Compressed Network", info, "Networks")
    flow.link(compress, "Compressed Network", evaluate, "Networks")
    flow.link(compress, "Compressed Network", save, "Network")
    flow.link(sampler, "Remaining Data", evaluate, "Data")
    flow.link(sampler, "Remaining Data", predictions, "Data")
    flow.link(load, "Model", predictions, "Predictors")
    flow.note("1. Press Start here.", 320, 80, 150, 30)
    flow.note("2. Then here.", 535, 322, 110, 30)
    flow.note("How many times smaller?", 900, 85, 190, 30)
    flow.note("What was lost?", 900, 225, 130, 30)
    flow.note("Open the file that\nyou have saved.", 215, 555, 150, 50)
    return flow


def server() -> Workflow:
    """Return the workflow whose images are embedded by a server."""
    flow = Workflow(
        "80 A Server for the Class",
        "Have images embedded by another computer.\n\n"
        "The workflow asks a server on this very computer, as a teacher starts it to"
        " try it out (orange-imagemining serve). Students choose the teacher's computer"
        " in Image Embedding. Nothing is sent before you agree.",
    )
    folder = flow.add("Import Images", (100, 200), YEAST)
    embedding = flow.add("Image Embedding", (280, 200), BY_SERVER)
    learner = flow.add("Logistic Regression", (280, 60))
    test = flow.add("Test and Score", (460, 200), TEN_FOLDS)
    matrix = flow.add("Confusion Matrix", (640, 200))
    skipped = flow.add("Data Table", (460, 330), title="Skipped Images")
    flow.link(folder, "Data", embedding, "Images")
    flow.link(embedding, "Embeddings", test, "Data")
    flow.link(embedding, "Skipped Images", skipped, "Data")
    flow.link(learner, "Learner", test, "Learner")
    flow.link(test, "Evaluation Results", matrix, "Evaluation Results")
    flow.note("Choose the server here,\nand agree.", 190, 270, 190, 50)
    flow.note("What is not done yet, and why.", 530, 340, 230, 30)
    return flow


#: the name of each lesson's file, and what makes its workflow
LESSONS = {
    "50-microscopy": microscopy,
    "60-fine-tuning": fine_tuning,
    "70-compressing-a-network": compressing,
    "80-server-for-a-class": server,
}


def take_microscopy(stage: Any) -> None:
    """Take the pictures of lesson 50."""
    stage.finish()
    stage.canvas("workflow")
    files, viewer = stage.widget("Stacks"), (900, 620)
    panel = files.reading_panel
    stage.shoot("Stacks", "first-plane")
    stage.shoot("What the Files Say", "columns", size=(1330, 320))
    stage.shoot("Stacks Seen", "first-plane-seen", size=viewer)
    stage.choose(panel.stacks_combo, "max")
    stage.choose(panel.channels_combo, "chosen")
    stage.wait(lambda: files.task is None)
    first, second, third = panel.channel_rows.combos
    stage.choose(first[0], "")
    stage.choose(third[0], "")
    stage.choose(second[1], "grey")
    stage.finish()
    stage.shoot("Stacks", "protein")
    stage.shoot("Stacks Seen", "protein-seen", size=viewer)
    stage.shoot("Scores of Stacks", "protein-scores", size=(820, 400))
    stage.shoot("Nuclei Seen", "nuclei-seen", size=viewer)


def train(stage: Any, learns: str = "head", epochs: int = 10) -> None:
    """Press Start in Train Network, and wait for the network."""
    widget = stage.widget("Train Network")
    key, choices = widget.facts.key, widget.panel.choices
    if (choices.learns, choices.epochs) != (learns, epochs):
        stage.choose(widget.panel.learns_combo, learns)
        widget.panel.epochs_spin.setValue(epochs)
        stage.wait(lambda: widget.facts.key not in ("", key))
    stage.wait(lambda: widget.facts.can_start and not widget.background.is_busy)
    before = widget.outcome
    widget.start_button.click()
    stage.wait(
        lambda: widget.job is None and widget.outcome not in (None, before), 1200
    )
    stage.finish()


def take_fine_tuning(stage: Any) -> None:
    """Take the pictures of lesson 60."""
    wide = (1080, 660)
    stage.finish()
    stage.canvas("workflow")
    stage.shoot("Train Network", "before-start", size=wide)
    stage.shoot("MDS", "map-before", size=(820, 560))
    train(stage)
    stage.shoot("Train Network", "last-layer", size=wide)
    stage.shoot("Predictions", "last-layer-predictions", size=(980, 560))
    train(stage, "all")
    stage.shoot("Train Network", "everything", size=wide)
    train(stage, "all", epochs=40)
    stage.shoot("Train Network", "forty-epochs", size=wide)
    stage.shoot("MDS", "map-after", size=(820, 560))
    matrix = stage.widget("Confusion Matrix")
    matrix.selected_learner = [1]  # the network, not logistic regression
    matrix.select_wrong()
    stage.finish()
    stage.shoot("Chosen Images", "mistakes", size=(900, 480))


def compress(stage: Any, preset: str) -> None:
    """Press Start in Compress Network, and wait for the network."""
    widget = stage.widget("Compress Network")
    if widget.panel.choices.preset != preset:
        stage.choose(widget.panel.preset_combo, preset)
        stage.wait(lambda: not widget._timer.isActive())
    stage.wait(lambda: widget.facts.can_start and not widget.background.is_busy)
    widget.start_button.click()
    stage.wait(
        lambda: (
            widget.job is None and widget.task is None and not widget.background.is_busy
        ),
        1200,
    )
    stage.finish()


def take_compressing(stage: Any) -> None:
    """Take the pictures of lesson 70."""
    stage.finish()
    stage.canvas("workflow")
    train(stage, "all")
    compress(stage, "Coding only")
    stage.shoot("Compress Network", "coding-only", size=(1080, 700))
    stage.shoot("Network Info", "sizes", size=(1180, 720))
    stage.shoot("Evaluate Networks", "coding-only-accuracy", size=(1180, 320))
    compress(stage, "Deep Compression, 8 bit")
    stage.shoot("Compress Network", "deep-compression", size=(1080, 700))
    stage.shoot("Evaluate Networks", "deep-compression-accuracy", size=(1180, 320))
    save = stage.widget("Save Network")
    save.filename = str(stage.temporary / "yeast.imnet")
    save.filter = "Compressed network with its card (*.imnet)"
    save.save_file()
    stage.wait(lambda: save.task is None)
    stage.shoot("Save Network", "saved")
    load = stage.widget("Load Network")
    load.choose(save.filename)
    stage.wait(lambda: load.task is None)
    stage.finish()
    stage.shoot("Load Network", "loaded")
    stage.shoot("Predictions", "predictions", size=(900, 520))


@contextmanager
def serving() -> Iterator[None]:
    """Run a server at its usual address, as a teacher does to try it out."""
    command = [sys.executable, "-m", "orangecontrib.imagemining", "serve"]
    process = subprocess.Popen([*command, "--networks", "squeezenet1_1"])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def take_server(stage: Any) -> None:
    """Take the pictures of lesson 80."""
    with serving():
        stage.finish()
        stage.canvas("workflow")
        embedding = stage.widget("Image Embedding")
        panel = embedding.server_panel
        stage.shoot("Image Embedding", "question")
        panel.add_action.trigger()
        panel.dialog.address_edit.setText("http://192.168.1.20:8742")
        panel.dialog.name_edit.setText("Class")
        panel.dialog.token_edit.setText("a-token-of-the-lesson")
        stage.save(panel.dialog, "add-server")
        panel.dialog.reject()
        panel.question.yes_button.click()
        stage.finish()
        panel.test_button.click()
        stage.wait(lambda: panel.test_button.text() == "Test", 300)
        stage.shoot("Image Embedding", "embedded")
        stage.shoot("Test and Score", "scores", size=(820, 400))


#: the name of each lesson's file, and what takes its pictures (scripts/lesson_pictures)
PICTURES = {
    "50-microscopy": take_microscopy,
    "60-fine-tuning": take_fine_tuning,
    "70-compressing-a-network": take_compressing,
    "80-server-for-a-class": take_server,
}
