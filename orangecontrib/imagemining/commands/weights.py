"""``weights``: bring networks' weights here, or take them away."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from orangecontrib.imagemining.commands.names import check_name
from orangecontrib.imagemining.commands.talking import confirm, mb, say, working

if TYPE_CHECKING:
    from orangecontrib.imagemining.specs import Weights

__all__ = ["DESCRIPTION", "HELP", "fill", "run"]

HELP = "list, fetch, import or remove networks' weights"
DESCRIPTION = (
    "The published weights of networks: which are on this computer, and bringing them"
    " here. Each file is checked before it is used."
)


def fill(parser: argparse.ArgumentParser) -> None:
    """Give the command's parser its arguments."""
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    text = "list all, and which are here (the default)"
    actions.add_parser("list", help=text).set_defaults(action=_list)

    fetch = actions.add_parser("fetch", help="download weights")
    fetch.add_argument("names", nargs="+", metavar="NAME", help="of a network")
    fetch.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    fetch.set_defaults(action=_fetch)

    take = actions.add_parser(
        "import", help="take weights from a file, which stays as it is"
    )
    take.add_argument("name", metavar="NAME", help="of the network")
    take.add_argument("file", type=Path, metavar="FILE", help="its published file")
    take.set_defaults(action=_import)

    remove = actions.add_parser("remove", help="delete weights from this computer")
    remove.add_argument("name", metavar="NAME", help="of the network")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(action=_remove)

    where = actions.add_parser("where", help="print the folder that they are kept in")
    where.set_defaults(action=_where)


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    return int(options.action(options))


def _card(name: str) -> Weights:
    from orangecontrib.imagemining.weights import WEIGHTS

    check_name("network with published weights", name, WEIGHTS)
    return WEIGHTS[name]


def _list(options: argparse.Namespace) -> int:
    from orangecontrib.imagemining.weights import WEIGHTS, is_here

    width = max(map(len, WEIGHTS))
    for name, card in WEIGHTS.items():
        here = "here" if is_here(card) else ""
        size = mb(card.file_size) if card.file_size else ""
        say(f"{name:<{width}}  {here:<4}  {size:>8}  {card.title}")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from orangecontrib.imagemining.weights import fetch

    cards = [_card(name) for name in options.names]  # all, before the first is fetched
    for card in cards:
        with working(card.title, options.quiet) as progress:
            path = fetch(card, progress)
        say(f"{card.title}: {path}")
    return 0


def _import(options: argparse.Namespace) -> int:
    from orangecontrib.imagemining.weights import import_file, weights_folder

    card = _card(options.name)
    with working(card.title) as progress:
        import_file(options.name, options.file, progress=progress)
    say(f"{card.title}: kept in {weights_folder()}")
    return 0


def _remove(options: argparse.Namespace) -> int:
    from orangecontrib.imagemining.weights.removal import kept_files, remove

    card = _card(options.name)
    files = kept_files(card)
    if not files:
        say(f"{card.title}: nothing is kept here")
        return 0
    size = mb(sum(path.stat().st_size for path in files))
    names = ", ".join(path.name for path in files)
    if not confirm(f"Delete {names} ({size}) from {files[0].parent}?", options.yes):
        say("Nothing was deleted.")
        return 1
    remove(card)
    say(f"Deleted {names} ({size}) from {files[0].parent}")
    return 0


def _where(options: argparse.Namespace) -> int:
    from orangecontrib.imagemining.weights import weights_folder

    say(str(weights_folder()))
    return 0
