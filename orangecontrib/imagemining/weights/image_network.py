"""A network that somebody trained, as it travels between widgets and into files."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from orangecontrib.imagemining.specs import Layer, Preprocess
from orangecontrib.imagemining.weights.coded import Coded
from orangecontrib.imagemining.weights.tensors import Tensors, checksum

__all__ = ["TRAINED", "AnyNetwork", "ImageNetwork", "NetworkCard", "OnnxNetwork"]

#: Beginning of the names of trained networks.
TRAINED = "trained:"


class AnyNetwork(ABC):
    """What flows through the widgets' Network signals."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name among all networks, as in `EmbedderSpec.network`."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What people call it."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """What its logits stand for, in their order; empty if it is not known."""


@dataclass(frozen=True)
class NetworkCard:
    """What has to be known of a trained network beside its numbers.

    Attributes
    ----------
    title : what people call it.
    architecture : its name in the registry of networks.
    classes : what its logits stand for, in their order.
    preprocess : what images must go through.
    options : what its builder is given beside ``num_classes``.
    fit : one of `specs.FITS`: how images meet the network's shape.
    rendering : how the images were read that it was trained on, in the words behind a
        source's # (see `images.sources`); "" for as files have it.
    start : which weights it began from, "" for none.
    recipe : how it was trained; see `training.plan`.
    figures : what it reached, such as ``accuracy`` and ``validation_loss``.
    trained_on : which images, in words.
    license : of the weights that it began from.
    created : date and time, ISO 8601.
    notes : for people.
    layers : where vectors can be taken, so that nobody has to build the network to
        know; empty: it is built then. Does not count for equality.
    """

    title: str
    architecture: str
    classes: tuple[str, ...]
    preprocess: Preprocess
    options: Mapping[str, Any] = field(default_factory=dict)
    fit: str = "stretch"
    rendering: str = ""
    start: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    trained_on: str = ""
    license: str = ""
    created: str = ""
    notes: str = ""
    layers: tuple[Layer, ...] = field(default=(), compare=False)


@dataclass(frozen=True, eq=False)
class ImageNetwork(AnyNetwork):
    """A network's numbers and its card.

    Two are equal if they give equal vectors: titles and notes do not count.

    Attributes
    ----------
    card : what has to be known of it.
    tensors : its parameters and buffers by their names; not to be changed.
    stored : how some of the tensors can be kept in less space, by their names: coded,
        or as float16. Decoded they are exactly those in `tensors`. Empty for networks
        that are not compressed. Does not count for equality.
    """

    card: NetworkCard
    tensors: Tensors
    stored: Mapping[str, Coded | NDArray[Any]] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """Checksum of all that decides about what it computes."""
        card = self.card
        decisive = {
            "architecture": card.architecture,
            "options": dict(card.options),
            "classes": list(card.classes),
            "preprocess": asdict(card.preprocess),
            "fit": card.fit,
            "tensors": checksum(self.tensors),
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Its name among all networks: ``trained:cells-3fa9c0d12b45``."""
        return self.name_of(self.card, self.sha256)

    @staticmethod
    def name_of(card: NetworkCard, sha256: str) -> str:
        """Return the name of the network with this card and checksum."""
        slug = re.sub(r"[^a-z0-9]+", "_", card.title.lower()).strip("_")
        return f"{TRAINED}{slug[:40] or 'network'}-{sha256[:12]}"

    @property
    def title(self) -> str:
        """What people call it."""
        return self.card.title

    @property
    def classes(self) -> tuple[str, ...]:
        """What its logits stand for, in their order."""
        return self.card.classes

    @property
    def n_parameters(self) -> int:
        """How many numbers it has, counters of batches left out."""
        return sum(t.size for t in self.tensors.values() if t.dtype.kind == "f")

    @property
    def n_bytes(self) -> int:
        """How much memory they need."""
        return sum(t.nbytes for t in self.tensors.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageNetwork) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)


class OnnxNetwork(AnyNetwork):
    """A network in an ONNX file with its card beside it; its numbers stay there.

    Parameters
    ----------
    name
        ``onnx:/folder/file.onnx``.
    title
        What people call it.
    classes
        What its logits stand for, in their order; empty if its card does not tell.
    sha256
        Checksum of the file.
    fit
        One of `specs.FITS`: how images met its shape in training.
    rendering
        As in `NetworkCard`.
    """

    def __init__(
        self,
        name: str,
        title: str,
        classes: tuple[str, ...] = (),
        sha256: str = "",
        fit: str = "stretch",
        rendering: str = "",
    ) -> None:
        self._name = name
        self._title = title
        self._classes = tuple(classes)
        self.sha256 = sha256
        self.fit = fit
        self.rendering = rendering

    @property
    def name(self) -> str:
        """Its name among all networks."""
        return self._name

    @property
    def title(self) -> str:
        """What people call it."""
        return self._title

    @property
    def classes(self) -> tuple[str, ...]:
        """What its logits stand for; empty if it is not known."""
        return self._classes

    @property
    def path(self) -> str:
        """Where its file lies."""
        return self._name.partition(":")[2]

    def _key(self) -> tuple[object, ...]:
        return self._name, self.sha256, self._classes, self.fit, self.rendering

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnnxNetwork) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())
