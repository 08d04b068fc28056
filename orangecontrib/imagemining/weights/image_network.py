"""A network that somebody trained, as it travels between widgets and into files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Protocol

from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.weights.tensors import Tensors, checksum

__all__ = ["TRAINED", "AnyNetwork", "ImageNetwork", "NetworkCard"]

#: Beginning of the names of trained networks.
TRAINED = "trained:"


class AnyNetwork(Protocol):
    """What flows through the widgets' Network signals."""

    @property
    def name(self) -> str:
        """Its name among all networks, as in `EmbedderSpec.network`."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
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


@dataclass(frozen=True, eq=False)
class ImageNetwork:
    """A network's numbers and its card.

    Two are equal if they give equal vectors: titles and notes do not count.

    Attributes
    ----------
    card : what has to be known of it.
    tensors : its parameters and buffers by their names; not to be changed.
    """

    card: NetworkCard
    tensors: Tensors

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
        slug = re.sub(r"[^a-z0-9]+", "_", self.card.title.lower()).strip("_")
        return f"{TRAINED}{slug[:40] or 'network'}-{self.sha256[:12]}"

    @property
    def title(self) -> str:
        """What people call it."""
        return self.card.title

    @property
    def classes(self) -> tuple[str, ...]:
        """What its logits stand for, in their order."""
        return self.card.classes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageNetwork) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)
