"""What Image Embedding says about embedders; no Qt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from orangecontrib.imagemining.embedders import check_spec, passes, views_of
from orangecontrib.imagemining.embedders.catalog import card_of, network_names
from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.specs import (
    PROBABILITIES,
    EmbedderSpec,
    Layer,
    Weights,
)
from orangecontrib.imagemining.weights import is_here
from orangecontrib.imagemining.weights.image_network import TRAINED
from orangecontrib.imagemining.widgets.utils import old_settings

__all__ = [
    "FITS_LABELS",
    "card_or_none",
    "cost",
    "describe",
    "download_label",
    "has_weights",
    "layers_of",
    "network_items",
    "precision_of",
    "problem_of",
    "short_name",
    "title_of",
    "views_items",
]

FITS_LABELS = {
    "stretch": "Stretched to the network's shape",
    "crop": "Cut to that shape, the centre kept",
    "pad": "Whole, with margins",
}
_VIEWS = {
    1: "1: the image as it is",
    2: "2: and its mirror image",
    8: "8: turned and mirrored",
    10: "10: corners, centre, mirrored",
    12: "12: these and the whole",
    144: "144: in four sizes and three squares",
    "dense": "All places, mirrored",
    "dense-multiscale": "All places in three sizes, mirrored",
}


def card_or_none(network: str) -> Weights | None:
    """Return what is known of a network; None if it cannot be had."""
    try:
        return card_of(network)
    except ImageMiningError:
        return None


def has_weights(network: str, card: Weights) -> bool:
    """Tell whether a network can run without fetching anything."""
    # of the others there is a card only where their numbers are
    return ":" in network or is_here(card)


def problem_of(spec: EmbedderSpec, server: str) -> tuple[str, tuple[str, ...]] | None:
    """Return why an embedder cannot be used: a message's name and words, or None."""
    card = card_or_none(spec.network)
    if card is None:
        return "not_available", (title_of(spec.network),)
    if not server and not has_weights(spec.network, card):
        size = download_label(card)
        return "not_here", (card.title, f" ({size})" if size else "")
    try:
        check_spec(spec)
    except ImageMiningError as ex:
        return "failed", (str(ex),)
    return None


def precision_of(network: str, fast: bool) -> str:
    """Return in which precision a network is to run.

    Fast mode is of our networks, and not of one that has to give another add-on's
    numbers.
    """
    card = card_or_none(network)
    alone = ":" in network or card is None or bool(card.plain_columns)
    return "float32" if alone or not fast else "fast"


def title_of(network: str) -> str:
    """Return what people call a network, here or not."""
    card = card_or_none(network)
    if card is None and network.startswith(TRAINED):
        return EmbedderSpec(network, "").column_prefix.rstrip("_")
    return card.title if card else old_settings.title_of(network)


def download_label(card: Weights) -> str:
    """Return how much there is to download: "47 MB", "" if nobody says."""
    if not card.file_size:
        return ""
    megabytes = card.file_size / 2**20
    return f"{megabytes:.1f} MB" if megabytes < 10 else f"{megabytes:,.0f} MB"


def network_items(
    chosen: Iterable[str], given: str = "", server: str = ""
) -> dict[str, str]:
    """Return names and labels of all networks: those that can run at once come first.

    Parameters
    ----------
    chosen
        Networks listed even if they cannot be had.
    given
        The network of an input, the first of all; "" for none.
    server
        Address of what computes elsewhere; "" for this computer.
    """
    ready, others = {}, {}
    if given:
        ready[given] = f"{title_of(given)} (from the input)"
    for name in network_names():
        card = card_or_none(name)
        if card is None or name == given:
            continue
        if server or has_weights(name, card):
            ready[name] = card.title
        else:
            size = download_label(card)
            others[name] = f"{card.title} ({size + ' ' if size else ''}to download)"
    items = {**ready, **others}
    for name in chosen:
        if name not in items:
            card = card_or_none(name)
            items[name] = card.title if card else f"{title_of(name)} (not available)"
    return items


def layers_of(card: Weights) -> tuple[Layer, ...]:
    """Return the layers to choose from: with probabilities, if the classes are known.

    ImageNet's are told by a box of its own.
    """
    sizes = {layer.name: layer.size for layer in card.layers}
    if not card.classes or sizes.get("logits") != len(card.classes):
        return card.layers
    text = "the probability of each of its classes"
    return (*card.layers, Layer(PROBABILITIES, len(card.classes), text))


def views_items(network: str) -> dict[int | str, str]:
    """Return the views that a network has, each with what it costs."""
    items: dict[int | str, str] = {}
    for views in views_of(network):
        times = passes(views)
        about = "about " if isinstance(views, str) else ""
        note = f" ({about}{times:.0f} × the time)" if times != 1 else ""
        items[views] = _VIEWS.get(views, str(views)) + note
    return items


def short_name(spec: EmbedderSpec) -> str:
    """Return an embedder in a line."""
    parts = [title_of(spec.network), spec.layer]
    if spec.fit != "stretch":
        parts.append({"crop": "cut", "pad": "margins"}.get(spec.fit, spec.fit))
    if spec.views != 1:
        views = spec.views
        parts.append(f"{views} views" if isinstance(views, int) else views)
    if spec.precision != "float32":
        parts.append(spec.precision)
    return " · ".join(parts)


def describe(network: str, layer: str, server: str = "") -> str:
    """Return what to know of a network and its layer before choosing them."""
    card = card_or_none(network)
    if card is None:
        return (
            f"{title_of(network)} does not run here. Nothing is computed until you"
            " choose another embedder."
        )
    lines = []
    layers = {each.name: each.description for each in layers_of(card)}
    if layer in layers:
        lines.append(f"{layer}: {layers[layer]}.")
    kind = f"{card.kind[:1].upper()}{card.kind[1:]}. " if card.kind else ""
    lines.append(f"{kind}Trained on {card.trained_on}. Licence: {card.license}.")
    if not server and has_weights(network, card):
        lines.append("Runs on this computer; no image leaves it.")
    elif not server:
        size = download_label(card)
        lines.append(
            f"Its weights{f' ({size})' if size else ''} are not on this computer;"
            " they are downloaded only when you press Download. It then runs on this"
            " computer."
        )
    if card.advice:
        lines.append(card.advice)
    return "\n".join(lines)


def cost(specs: Sequence[EmbedderSpec]) -> str:
    """Return how many times an image goes through a network; "" for once."""
    # the same embedder twice is computed once
    total = sum(passes(spec.views) for spec in set(specs))
    return "" if total == 1 else f"{total:,.0f} forward passes for each image"
