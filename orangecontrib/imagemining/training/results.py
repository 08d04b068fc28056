"""What comes out of a training: the network with its card, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from torch import Tensor

from orangecontrib.imagemining.specs import Layer, Preprocess
from orangecontrib.imagemining.training.history import Epoch, History
from orangecontrib.imagemining.training.inputs import architecture_of, options_of
from orangecontrib.imagemining.training.plan import Plan, plan_to_json
from orangecontrib.imagemining.weights.image_network import ImageNetwork, NetworkCard

__all__ = ["Trained", "figures_of", "network_of"]


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of a training.

    Attributes
    ----------
    network : the best on validation; without validation images, the last.
    history : what was seen.
    """

    network: ImageNetwork
    history: History


def figures_of(epoch: Epoch, n_images: int, n_validated: int) -> dict[str, float]:
    """Return what a network reached, by name, for its card.

    Parameters
    ----------
    epoch
        In which its weights were kept.
    n_images, n_validated
        Numbers of images for training and for validation.
    """
    figures = {
        "epochs": epoch.epoch,
        "images": float(n_images),
        "training_accuracy": epoch.accuracy,
        "training_loss": epoch.loss,
    }
    if epoch.is_validated:
        figures["accuracy"] = epoch.validation_accuracy
        figures["validation_loss"] = epoch.validation_loss
        figures["validation_images"] = float(n_validated)
    return figures


def network_of(
    state: Mapping[str, Tensor],
    plan: Plan,
    classes: Sequence[str],
    preprocess: Preprocess,
    *,
    given: ImageNetwork | None = None,
    title: str = "",
    origin: str = "",
    license: str = "",
    figures: Mapping[str, float] | None = None,
    about: Mapping[str, str] | None = None,
    layers: Sequence[Layer] = (),
) -> ImageNetwork:
    """Return a trained network with its card.

    Parameters
    ----------
    state
        Its tensors by name.
    plan
        How it was trained.
    classes
        What its logits stand for.
    preprocess
        What images go through.
    given
        The network that it began with, if any.
    title
        What it is to be called; "" for architecture and number of classes.
    origin, license
        Of the weights that it began from.
    figures
        What it reached.
    about
        "trained_on", "rendering" and "notes" of its card.
    layers
        Where vectors can be taken.
    """
    about = about or {}
    architecture = architecture_of(plan, given)
    card = NetworkCard(
        title=title or f"{architecture}, {len(classes)} classes",
        architecture=architecture,
        classes=tuple(classes),
        preprocess=preprocess,
        options=options_of(plan, given),
        fit=plan.fit,
        rendering=about.get("rendering", ""),
        start=origin,
        recipe=plan_to_json(plan),
        figures=dict(figures or {}),
        trained_on=about.get("trained_on", ""),
        license=license,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        notes=about.get("notes", ""),
        layers=tuple(layers),
    )
    # files hold tensors row by row, whatever their order in memory was
    tensors = {
        name: value.detach().cpu().contiguous().numpy() for name, value in state.items()
    }
    return ImageNetwork(card, tensors)
