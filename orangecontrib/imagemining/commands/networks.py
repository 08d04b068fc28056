"""``networks``: which ones there are, and what they give."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from orangecontrib.imagemining.commands.names import card_named, network_named
from orangecontrib.imagemining.commands.talking import mb, say, warn

if TYPE_CHECKING:
    from orangecontrib.imagemining.specs import Weights

__all__ = ["DESCRIPTION", "HELP", "fill", "run"]

HELP = "list the networks that images can be embedded by"
DESCRIPTION = (
    "List the networks: their layers, with how many numbers each gives, their licences,"
    " and whether their weights are on this computer. With NAME, everything about one."
    " Networks that were trained here and are kept come last."
)


def fill(parser: argparse.ArgumentParser) -> None:
    """Give the command's parser its arguments."""
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="only this one, in full; also a file that Save Network wrote",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--remove",
        action="store_true",
        help="remove the trained network NAME from those that are kept; files that Save"
        " Network wrote stay",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from orangecontrib.imagemining.embedders.catalog import (
        card_of,
        kept_networks,
        network_names,
    )
    from orangecontrib.imagemining.exceptions import WeightsError

    if options.remove:
        return _remove(options.name)
    if options.name is not None:
        name, _held = network_named(options.name)
        card = card_named(name)
        if options.json:
            say(json.dumps(_as_dict(name, card), indent=2, ensure_ascii=False))
        else:
            _tell_all(name, card)
        return 0
    cards: dict[str, Weights] = {}
    for name in (*network_names(), *kept_networks()):
        try:
            cards[name] = card_of(name)
        except WeightsError as ex:
            warn(f"{name} is left out: {ex}")
    if options.json:
        content = [_as_dict(name, card) for name, card in cards.items()]
        say(json.dumps(content, indent=2, ensure_ascii=False))
        return 0
    for name, card in cards.items():
        say(f"{name}: {card.title}")
        say(f"    {_whereabouts(name, card)}; {card.license}")
        # stages can be pooled in other ways too: those are told of one network
        main = [layer for layer in card.layers if ":" not in layer.name]
        layers = ", ".join(f"{layer.name} ({layer.size:,})" for layer in main)
        more = f", and {len(card.layers) - len(main)} more" * (main != [*card.layers])
        say(f"    layers: {layers}{more}")
    say("")
    say("timm:NAME is a network of the package timm, such as timm:convnext_tiny.")
    return 0


def _remove(name: str | None) -> int:
    from orangecontrib.imagemining.embedders.catalog import (
        forget_network,
        is_trained,
        kept_networks,
    )
    from orangecontrib.imagemining.exceptions import UnknownNameError

    if name is None or not is_trained(name):
        kept = ", ".join(kept_networks()) or "none"
        raise UnknownNameError(
            f"--remove takes the name of a trained network that is kept, now {kept}"
        )
    forget_network(name)
    say(f"{name} is removed")
    return 0


def _is_here(name: str, card: Weights) -> bool | None:
    """Tell whether weights are here; None where that is not known."""
    from orangecontrib.imagemining.weights import WEIGHTS, is_here

    if name in WEIGHTS:
        return is_here(card)
    # own and trained ones are files; what timm has fetched only timm knows
    return True if name.startswith(("onnx:", "trained:")) else None


def _whereabouts(name: str, card: Weights) -> str:
    here = _is_here(name, card)
    if here is None:
        return "fetched by timm when it is used first"
    if here:
        return "weights are here"
    size = f" ({mb(card.file_size)})" if card.file_size else ""
    return f"weights are to be fetched{size}"


def _tell_all(name: str, card: Weights) -> None:
    from orangecontrib.imagemining.embedders import fits_of, views_of
    from orangecontrib.imagemining.weights import WEIGHTS, proof_of

    height, width = card.preprocess.size
    say(f"{name}: {card.title}")
    items = {
        "Good for": card.kind,
        "Weights": _whereabouts(name, card),
        "Checked": proof_of(card) if name in WEIGHTS and _is_here(name, card) else "",
        "Address": card.url,
        "Licence": card.license,
        "Trained on": card.trained_on,
        "Classes": ", ".join(card.classes),
        "Accuracy": f"{card.top1:.1%} of ImageNet's images (first guess)"
        if card.top1
        else "",
        "Images": f"{width} x {height} pixels",
        "Views": ", ".join(map(str, views_of(name))),
        "Fit": ", ".join(fits_of(name)),
        "Note": card.advice,
    }
    for title, text in items.items():
        if text:
            say(f"{title + ':':<12}{text}")
    say("Layers:")
    width = max(len(layer.name) for layer in card.layers)
    for place, layer in enumerate(card.layers):
        note = " (the default)" if not place else ""
        size = f"{layer.size:>8,} numbers"
        say(f"    {layer.name:<{width}}{size}: {layer.description}{note}")


def _as_dict(name: str, card: Weights) -> dict[str, Any]:
    from orangecontrib.imagemining.embedders import fits_of, views_of

    return {
        "name": name,
        "title": card.title,
        "kind": card.kind,
        "layers": [
            {"name": each.name, "size": each.size, "description": each.description}
            for each in card.layers
        ],
        "image_size": list(card.preprocess.size),
        "views": list(views_of(name)),
        "fits": list(fits_of(name)),
        "licence": card.license,
        "trained_on": card.trained_on,
        "top1": card.top1,
        "top5": card.top5,
        "weights_are_here": _is_here(name, card),
        "file_size": card.file_size,
        "url": card.url or None,
        "advice": card.advice,
    }
