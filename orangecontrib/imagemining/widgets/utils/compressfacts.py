"""What is to be known before a compression: of network, images and what is kept here.

Looked up in a thread, since networks are read and tables may be long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from Orange.data import Table

from orangecontrib.imagemining.compression.checks import (
    check_network,
    check_plan,
    n_epochs,
    needs_images,
    title_of,
)
from orangecontrib.imagemining.compression.plan import CompressionPlan
from orangecontrib.imagemining.exceptions import ImageMiningError, TableError
from orangecontrib.imagemining.tables.columns import image_sources
from orangecontrib.imagemining.tables.labelled import (
    class_of,
    image_column_of,
    names_of,
)
from orangecontrib.imagemining.tables.networkmodel import rendering_for
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork
from orangecontrib.imagemining.widgets.utils.compresssteps import Layers
from orangecontrib.imagemining.widgets.utils.compressstore import key_of
from orangecontrib.imagemining.widgets.utils.compresstexts import size
from orangecontrib.imagemining.widgets.utils.forms import NO_NETWORK
from orangecontrib.imagemining.widgets.utils.publishednetwork import (
    choice_problem,
    chosen_network,
)
from orangecontrib.imagemining.widgets.utils.trainstore import images_key
from orangecontrib.imagemining.widgets.utils.traintexts import counted

__all__ = ["Facts", "Looked", "Request", "facts_of", "layers_of"]


@dataclass(frozen=True, eq=False)
class Request:
    """What facts are asked about.

    Attributes
    ----------
    data, validation : tables at the inputs.
    given : network at the input.
    network : `publishednetwork.GIVEN`, or the name of a published network.
    plan : as it is chosen.
    column : of the images, "" for the first.
    before : the published network, if it was read for the last question.
    """

    data: Table | None
    validation: Table | None
    given: AnyNetwork | None
    network: str
    plan: CompressionPlan
    column: str = ""
    before: ImageNetwork | None = None


@dataclass(frozen=True)
class Looked:
    """The images of a table, of which none was read.

    Attributes
    ----------
    sources : the images.
    labels : numbers of their classes; empty without classes.
    names : of the classes that occur.
    """

    sources: list[str]
    labels: list[int] = field(default_factory=list)
    names: tuple[str, ...] = ()

    @property
    def is_labelled(self) -> bool:
        """Whether classes are told."""
        return bool(self.names)


@dataclass(frozen=True, eq=False)
class Facts:
    """What was found.

    Attributes
    ----------
    request : what was asked.
    network : that is compressed, None if there is none.
    images, validation : None where no table is given, or it has none.
    inputs_key : stands for network and images; "" without a network.
    key : stands for these and the plan; "" if it cannot begin.
    network_problem, data_problem, plan_problem : why it cannot begin; "" if it can.
    """

    request: Request
    network: ImageNetwork | None = None
    images: Looked | None = None
    validation: Looked | None = None
    inputs_key: str = ""
    key: str = ""
    network_problem: str = ""
    data_problem: str = ""
    plan_problem: str = ""

    @property
    def can_start(self) -> bool:
        """Whether a compression can begin."""
        return self.network is not None and not self.problem

    @property
    def problem(self) -> str:
        """Why it cannot begin, "" if it can."""
        return self.network_problem or self.data_problem or self.plan_problem

    @property
    def is_labelled(self) -> bool:
        """Whether accuracies are going to be of labels."""
        images = self.images or self.validation
        return images is not None and images.is_labelled

    @property
    def layers(self) -> Layers:
        """Layers of the network that have weights."""
        return layers_of(self.network) if self.network is not None else []

    def summary(self) -> str:
        """Return in words what will happen."""
        if self.network is None:
            return NO_NETWORK
        lines = [f"{self.network.title}, {size(self.network.n_bytes)}."]
        lines.append(self._images_text())
        steps = self.request.plan.steps
        text = counted(len(steps), "step")
        if epochs := sum(map(n_epochs, steps)):
            text += f", {counted(epochs, 'epoch')} of training altogether"
        lines.append(f"{text}.")
        return " ".join(lines)

    def _images_text(self) -> str:
        images = self.images or self.validation
        if images is None:
            return "No images: what is lost cannot be told."
        text = counted(len(images.sources), "image")
        if images.is_labelled:
            text += f" of {counted(len(images.names), 'class', 'classes')}"
        else:
            text += " without classes: the network's own answers are followed"
        if self.images is not None and self.validation is not None:
            text += f"; {len(self.validation.sources):,} others to judge by"
        return f"{text}."


def facts_of(request: Request) -> Facts:
    """Look at the network and the images; no image is read."""
    plan_problem = _plan_problem(request)
    given = request.given
    problem = choice_problem(request.network, given)
    network: ImageNetwork | None = None
    if not problem:
        try:
            chosen = request.before or chosen_network(request.network, given)
            network = check_network(chosen) if chosen is not None else None
        except ImageMiningError as ex:
            problem = str(ex)
    images = validation = None
    data_problem = ""
    which = ""
    try:
        if request.data is not None:
            images = _look(request.data, request.column, network)
        which = "Validation Data: "
        if request.validation is not None:
            validation = _look(request.validation, request.column, network)
            if images is not None and images.is_labelled > validation.is_labelled:
                raise TableError("They have no classes, as Data have")
    except ImageMiningError as ex:
        data_problem = f"{which}{ex}"
    # a widget that is new has nothing to complain of
    if not plan_problem and request.data is None and not problem:
        plan_problem = _without_images(request.plan)
    inputs_key = key = ""
    if network is not None:
        sets = [(s.sources, s.labels) for s in (images, validation) if s is not None]
        of_images = images_key(network.classes, sets)
        inputs_key = f"{network.sha256} {of_images}"
        if not (data_problem or plan_problem):
            key = key_of(request.plan, of_images, network)
    return Facts(
        request,
        network,
        images,
        validation,
        inputs_key,
        key,
        problem,
        data_problem,
        plan_problem,
    )


def layers_of(network: ImageNetwork) -> list[tuple[str, tuple[int, ...]]]:
    """Return layers with the shapes of their weights, in the network's order."""
    return [
        (name.removesuffix(".weight"), tuple(tensor.shape))
        for name, tensor in network.tensors.items()
        if name.endswith(".weight") and tensor.ndim in (2, 4)
    ]


def _look(data: Table, column: str, network: ImageNetwork | None) -> Looked:
    """Find a table's images, and complain as compressing would later."""
    if not len(data):
        raise TableError("The data have no rows; load some images")
    there = {variable.name for variable in data.domain.metas + data.domain.variables}
    images = image_column_of(data.domain, column if column in there else "")
    rendering = rendering_for(network) if network is not None else None
    sources = image_sources(data, images, rendering)
    if not data.domain.class_vars:
        found = Looked([source for source in sources if source])
        if not found.sources:
            raise TableError("No row of the data has an image")
        return found
    class_var = class_of(data.domain)
    pairs = [
        (source, int(value))
        for source, value in zip(sources, data.get_column(class_var), strict=True)
        if source and not math.isnan(value)
    ]
    if not pairs:
        raise TableError("No row of the data has both an image and a class")
    occurring = {class_var.values[label] for _, label in pairs}
    names = tuple(name for name in class_var.values if name in occurring)
    unknown = [n for n in names if network is not None and n not in network.classes]
    if unknown and network is not None:
        raise TableError(
            f"{network.title} does not know {names_of(unknown)}. Connect a network that"
            " was trained to tell these classes apart, or remove the class by Select"
            " Columns: then the network's own answers are learned"
        )
    return Looked([s for s, _ in pairs], [label for _, label in pairs], names)


def _plan_problem(request: Request) -> str:
    try:
        check_plan(request.plan)
    except ImageMiningError as ex:
        return str(ex)
    return ""


def _without_images(plan: CompressionPlan) -> str:
    for number, step in enumerate(plan.steps, 1):
        if needs_images(step):
            return (
                f"Step {number}, {title_of(step)}, needs images. Connect some to Data,"
                " labelled or not, or choose Coding only or Half precision"
            )
    return ""
