"""What commands that may have a server embed images ask about it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.exceptions import ServerError, UnknownNameError

__all__ = ["fill_server", "server_of"]

_MOST = 64 * 2**10  # bytes of a file of tokens; what is larger is another file


def fill_server(group: Any) -> None:
    """Give a command's parser the arguments that name a server."""
    group.add_argument(
        "--server",
        default="",
        metavar="ADDRESS",
        help="have the images embedded by this embedding server, to which their pixels"
        " are sent (default: by this computer)",
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="where the server's token is: the first line (default: the token that"
        " Orange keeps for this address, if there is one)",
    )


def server_of(options: argparse.Namespace) -> str:
    """Return the server's address, "" if none is wanted; note its token.

    Raises
    ------
    ServerError
        If the address is none, or the file has no token.
    UnknownNameError
        If options were given that mean nothing with a server, or without one.
    """
    if not options.server:
        if options.token_file is not None:
            raise UnknownNameError("--token-file needs --server ADDRESS beside it")
        return ""
    for name, given in (
        ("--engine", options.engine != "auto"),
        ("--download", options.download),
        ("--no-cache", options.no_cache),
    ):
        if given:
            raise UnknownNameError(f"{name} means nothing with --server")
    from orangecontrib.imagemining.embedders.connection import Connection, address_of
    from orangecontrib.imagemining.embedders.servers import use_token

    address: str = address_of(options.server)
    if options.token_file is not None:
        token = _token_in(options.token_file)
        Connection(address, token)  # it is told now if it cannot be one
        use_token(address, token)
    return address


def _token_in(path: Path) -> str:
    try:
        with path.open(encoding="utf8") as file:
            lines = file.read(_MOST).splitlines()
    except (OSError, ValueError) as ex:
        reason = getattr(ex, "strerror", None) or "it is no text"
        raise ServerError(f"The token in {path} cannot be read ({reason})") from ex
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            return line.strip()
    raise ServerError(f"There is no token in {path}")
