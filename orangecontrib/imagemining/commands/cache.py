"""``cache``: the vectors that are kept, so that no image is embedded twice."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from orangecontrib.imagemining.commands.talking import (
    confirm,
    in_bytes,
    mb,
    say,
    warn,
)
from orangecontrib.imagemining.exceptions import ImageMiningError

if TYPE_CHECKING:
    from orangecontrib.imagemining.embedders.cache import VectorStore

__all__ = ["DESCRIPTION", "HELP", "fill", "run"]

HELP = "show, limit or clear the vectors that are kept"
DESCRIPTION = (
    "Vectors are kept on this computer, so that no image is embedded twice. When there"
    " are more than the limit allows, those that were used longest ago go."
)


def fill(parser: argparse.ArgumentParser) -> None:
    """Give the command's parser its arguments."""
    parser.set_defaults(action=_info, json=False)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    info = actions.add_parser("info", help="how many there are (the default)")
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(action=_info)
    clear = actions.add_parser("clear", help="throw them all out")
    clear.add_argument("--yes", action="store_true", help="do not ask")
    clear.set_defaults(action=_clear)
    limit = actions.add_parser(
        "limit", help="set how much room they may take; what is too much goes at once"
    )
    limit.add_argument(
        "size", metavar="SIZE", help="such as 500MB or 2GB; 0 keeps nothing"
    )
    limit.set_defaults(action=_limit)
    where = actions.add_parser("where", help="print the file that they are kept in")
    where.set_defaults(action=_where)


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    from orangecontrib.imagemining.embedders.cache import shared_store

    store = shared_store()
    status = int(options.action(options, store))
    if store.message:
        warn(store.message)
    return status


def _info(options: argparse.Namespace, store: VectorStore) -> int:
    there = store.path is not None and store.path.exists()
    n, size = (store.n_vectors(), store.size()) if there else (0, 0)
    if options.json:
        content = {
            "path": str(store.path),
            "vectors": n,
            "bytes": size,
            "limit": store.limit if there else None,
        }
        say(json.dumps(content, indent=2))
        return 0
    if not there:
        say(f"No vectors are kept yet; they will be in {store.path}")
        return 0
    say(f"{n:,} vectors, {mb(size)} of {mb(store.limit)}, in {store.path}")
    return 0


def _clear(options: argparse.Namespace, store: VectorStore) -> int:
    there = store.path is not None and store.path.exists()
    n = store.n_vectors() if there else 0
    # a disk may be so full that it cannot even be counted what there is
    unknown = there and not n and bool(store.message)
    if not n and not unknown:
        say("No vectors are kept.")
        return 0
    what = "all vectors" if unknown else f"{n:,} vectors ({mb(store.size())})"
    if not confirm(f"Throw out {what}?", options.yes):
        say("Nothing was thrown out.")
        return 1
    store.clear()
    left = store.n_vectors()
    if left or (unknown and store.message and store.path and store.path.exists()):
        raise ImageMiningError(store.message or f"{store.path} cannot be cleared")
    say("All vectors thrown out" if unknown else f"{n:,} vectors thrown out")
    return 0


def _limit(options: argparse.Namespace, store: VectorStore) -> int:
    n_bytes = in_bytes(options.size)
    if store.limit_is_fixed:
        raise ImageMiningError(
            "The limit is set by the environment variable IMAGEMINING_CACHE_BYTES"
        )
    store.limit = n_bytes
    if store.limit != n_bytes:
        raise ImageMiningError(store.message or f"{store.path} cannot be written")
    say(f"Up to {mb(n_bytes)} of vectors are kept")
    return 0


def _where(options: argparse.Namespace, store: VectorStore) -> int:
    say(str(store.path))
    return 0
