"""All numbers of a training, to look at and to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from AnyQt.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.training.designs import Knob, design_options
from orangecontrib.imagemining.training.plan import check_plan
from orangecontrib.imagemining.training.recipes import scaled_rate
from orangecontrib.imagemining.widgets.utils.forms import NoteLabel, button
from orangecontrib.imagemining.widgets.utils.trainchoices import (
    Choices,
    written,
)
from orangecontrib.imagemining.widgets.utils.trainfields import Field, FieldGrid

__all__ = [
    "AUGMENTATION_FIELDS",
    "RECIPE_FIELDS",
    "RUN_FIELDS",
    "NumbersDialog",
    "design_fields",
]


def _is(name: str, *values: object) -> Any:
    return lambda all_values: all_values[name] in values


#: Fields of `training.plan.Recipe`.
RECIPE_FIELDS = (
    Field(
        "optimizer",
        "Steps",
        "How gradients become steps",
        {
            "sgd": "Gradient descent with momentum (SGD)",
            "adamw": "AdamW",
            "rmsprop": "RMSProp",
        },
    ),
    Field("learning_rate", "Learning rate", "At its highest", least=1e-9, most=1000),
    Field(
        "batch",
        "… for batches of",
        "The learning rate is scaled from batches of so many images to those used",
        kind="whole",
        least=1,
    ),
    Field(
        "momentum",
        "Momentum",
        "How much of the last step is in the next; of AdamW the first beta",
        most=0.9999,
    ),
    Field("weight_decay", "Weight decay", "Pulls the weights towards 0", most=1),
    Field(
        "decays",
        "… applies to",
        "Which numbers are pulled",
        {
            "weights": "weights of convolutions and linear maps",
            "all": "all, biases and normalisations too",
        },
        counts=lambda values: bool(values["weight_decay"]),
    ),
    Field(
        "rms_decay",
        "RMSProp's decay",
        "Of the running mean of squared gradients",
        most=0.9999,
        counts=_is("optimizer", "rmsprop"),
    ),
    Field(
        "epsilon",
        "RMSProp's ε",
        "Added inside the root",
        least=1e-12,
        most=10,
        counts=_is("optimizer", "rmsprop"),
    ),
    Field(
        "schedule",
        "Learning rate over time",
        "How the learning rate goes on",
        {
            "constant": "stays",
            "linear": "falls on a line to 0",
            "plateau": "falls when validation stalls",
            "exponential": "falls by a factor every so many epochs",
            "one-cycle": "rises, then falls along a cosine",
        },
    ),
    Field(
        "warmup",
        "… rises for a share of",
        "Share of the run, 0–1",
        most=1,
        counts=_is("schedule", "one-cycle"),
    ),
    Field(
        "decay",
        "… is multiplied by",
        "The factor by which it falls",
        least=1e-9,
        most=1,
        counts=_is("schedule", "plateau", "exponential"),
    ),
    Field(
        "every",
        "… every so many epochs",
        "Epochs between two falls",
        least=1e-6,
        most=1e6,
        counts=_is("schedule", "exponential"),
    ),
    Field(
        "stall",
        "… after epochs without progress",
        "Epochs that the validation has to stall",
        kind="whole",
        least=1,
        counts=_is("schedule", "plateau"),
    ),
    Field(
        "drops",
        "… so many times, then the end",
        "How often it falls",
        kind="whole",
        counts=_is("schedule", "plateau"),
    ),
    Field(
        "clip",
        "Gradients clipped at",
        "Largest norm of all gradients together",
        least=1e-9,
        most=1e6,
        optional="not clipped",
    ),
    Field(
        "label_smoothing",
        "Label smoothing",
        "Share of the truth that is spread over all classes, 0–1",
        most=0.99,
    ),
    Field(
        "auxiliary",
        "Auxiliary classifier's weight",
        "Of its loss, for networks that have one (Inception)",
        most=10,
    ),
    Field(
        "averaging",
        "Running averages' decay",
        "The network is judged, and kept, with running averages of its numbers",
        most=0.999999,
        optional="no averages",
    ),
    Field(
        "dropout",
        "Dropout",
        "Share of numbers left out before the classifier, 0–1",
        most=0.99,
        optional="as the network has it",
    ),
)

#: Fields of `training.plan.Augmentation`.
AUGMENTATION_FIELDS = (
    Field(
        "crop",
        "Part of the image",
        "Which part the network sees each time",
        {
            "none": "the whole image, as in prediction",
            "shift": "shifted by some pixels (CIFAR)",
            "jitter": "scaled by chance, then a part (VGG)",
            "area": "a part of chance area, stretched (Inception)",
        },
    ),
    Field(
        "shift",
        "Shifted by up to",
        "Pixels",
        kind="whole",
        most=1000,
        counts=_is("crop", "shift"),
    ),
    Field(
        "sides",
        "Shorter side",
        "In units of the network's side: VGG's is between 256 and 512 for 224",
        kind="pair",
        least=1,
        most=16,
        counts=_is("crop", "jitter"),
    ),
    Field(
        "area",
        "Share of the area",
        "Smallest and largest, 0–1",
        kind="pair",
        least=0.001,
        most=1,
        counts=_is("crop", "area"),
    ),
    Field("mirror", "Mirrored", "Half of the images, left to right", kind="flag"),
    Field(
        "turn",
        "Turned",
        "For images without an up, as under a microscope",
        {
            "none": "no",
            "flips": "upside down too",
            "quarters": "by quarter turns too",
        },
    ),
    Field(
        "rgb_shift",
        "Colours shifted",
        "Along their principal components, by this deviation (AlexNet and VGG: 0.1)",
        most=10,
    ),
    Field(
        "colour",
        "Brightness, contrast, saturation",
        "How strongly they change by chance, 0–1",
        most=1,
    ),
    Field(
        "erase",
        "A rectangle blanked",
        "Share of images in which that happens, 0–1",
        most=1,
    ),
)

#: Fields of `training.plan.Plan`.
RUN_FIELDS = (
    Field(
        "size",
        "Image size",
        "Side in pixels that the network sees; smaller is faster and less exact",
        kind="whole",
        least=7,
        most=2048,
        optional="as the network asks for",
    ),
    Field(
        "fit",
        "Fit",
        "How images meet the network's shape in validation and prediction",
        {
            "stretch": "stretched to it",
            "crop": "cut to it, the centre kept",
            "pad": "whole, with margins",
        },
    ),
    Field("batch", "Batch", "Images in each step", kind="whole", least=1, most=8192),
    Field(
        "accumulate",
        "Batches a step",
        "Gradients of so many batches are summed up before the weights change: large"
        " batches with the memory of small ones",
        kind="whole",
        least=1,
        most=1024,
    ),
    Field(
        "patience",
        "Stop early after",
        "Epochs without a better validation; 0: never",
        kind="whole",
        most=100000,
    ),
    Field(
        "precision",
        "Precision",
        "Mixed computes in 16 bits (bfloat16) where they are exact enough",
        {
            "auto": "mixed where it is faster",
            "float32": "exact (float32)",
            "mixed": "mixed",
        },
    ),
    Field(
        "device",
        "Computed by",
        "A graphics processor is many times faster",
        {
            "auto": "graphics processor if there is one",
            "cpu": "processor",
            "cuda": "NVIDIA graphics processor (CUDA)",
            "mps": "Apple graphics processor (MPS)",
        },
    ),
    Field(
        "seed",
        "Seed",
        "Equal seeds train alike on one computer; others show how much is chance",
        kind="whole",
        most=2**31 - 1,
    ),
)


def design_fields(knobs: Mapping[str, Knob]) -> tuple[Field, ...]:
    """Return the fields of a network's options."""
    return tuple(_field_of(name, knob) for name, knob in knobs.items())


def _field_of(name: str, knob: Knob) -> Field:
    label, tip = (
        knob.words[:1].upper() + knob.words[1:],
        f"Option {name} of the network",
    )
    if knob.is_range:
        kind = "whole" if isinstance(knob.default, int) else "number"
        least, most = knob.allowed
        return Field(name, label, tip, kind=kind, least=least, most=most)
    if set(knob.allowed) == {True, False}:
        return Field(name, label, tip, kind="flag")
    return Field(name, label, tip, {value: written(value) for value in knob.allowed})


class NumbersDialog(QDialog):
    """Every number of recipe, augmentation and computing.

    Parameters
    ----------
    parent
        The widget.
    choices
        What is shown at first; it stays as it is.
    """

    def __init__(self, parent: QWidget | None, choices: Choices) -> None:
        super().__init__(parent)
        self.setWindowTitle("All settings")
        self._choices = choices
        self.recipe = FieldGrid(RECIPE_FIELDS)
        self.augmentation = FieldGrid(AUGMENTATION_FIELDS)
        self.run = FieldGrid(RUN_FIELDS)
        self.design: FieldGrid | None = None
        box = QVBoxLayout(self)
        tabs = QTabWidget()
        pages = [
            ("&Recipe", self.recipe),
            ("&Augmentation", self.augmentation),
            ("&Computing", self.run),
        ]
        if knobs := design_options(choices.network) if choices.from_nothing else {}:
            self.design = FieldGrid(design_fields(knobs))
            usual_design = {name: knob.default for name, knob in knobs.items()}
            self.design.set_values({**usual_design, **choices.options()}, usual_design)
            pages.append(("&Design", self.design))
        for title, grid in pages:
            tabs.addTab(grid, title)
        box.addWidget(tabs)
        self.tabs = tabs
        self.note = NoteLabel()
        box.addWidget(self.note)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.buttons.addButton(
            button(
                "Restore de&faults",
                "Set everything on this page back to what it is by default",
                self._reset,
            ),
            QDialogButtonBox.ButtonRole.ResetRole,
        )
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        box.addWidget(self.buttons)
        usual = Choices()
        self.recipe.set_values(
            asdict(choices.full_recipe()), asdict(choices.published_recipe())
        )
        self.augmentation.set_values(
            asdict(choices.full_augmentation()),
            asdict(choices.published_augmentation()),
        )
        names = [field.name for field in RUN_FIELDS]
        self.run.set_values(
            {name: getattr(choices, name) for name in names}
            | {"size": choices.size or None},
            {name: getattr(usual, name) for name in names} | {"size": None},
        )
        for _, grid in pages:
            grid.changed.connect(self._tell)
        self._tell()

    def choices(self) -> Choices:
        """Return what was chosen."""
        before = self._choices
        recipe, augmentation = (
            {key: value for key, value in grid.values().items() if value != usual[key]}
            for grid, usual in (
                (self.recipe, asdict(before.published_recipe())),
                (self.augmentation, asdict(before.published_augmentation())),
            )
        )
        run = self.run.values()
        run["size"] = run["size"] or 0
        design = before.design if self.design is None else self.design.values()
        return replace(
            before, numbers=recipe, changes=augmentation, design=design, **run
        )

    def show_design(self) -> None:
        """Show the page of the network's design."""
        if self.design is not None:
            self.tabs.setCurrentWidget(self.design)

    def _reset(self) -> None:
        grid = self.tabs.currentWidget()
        if isinstance(grid, FieldGrid):
            grid.reset()

    def _tell(self) -> None:
        choices = self.choices()
        plan = choices.plan()
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        try:
            check_plan(plan)
        except ImageMiningError as ex:
            self.note.setText(f"{ex}.")
            ok.setEnabled(False)
            return
        ok.setEnabled(True)
        if choices.is_head:
            self.note.setText(
                "Where only the last layer is trained, class weights and label"
                " smoothing count, and nothing else of the recipe."
            )
            return
        self.note.setText(
            f"{scaled_rate(plan.recipe, plan.batch * plan.accumulate)[1]}."
        )
