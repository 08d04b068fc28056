"""Who may use the server."""

from __future__ import annotations

import codecs
import hashlib
import hmac
import string
from collections.abc import Iterable
from pathlib import Path

from orangecontrib.imagemining.exceptions import ServerError

__all__ = ["Tokens"]

_LETTERS = frozenset(string.ascii_letters + string.digits + "-_")
_SHORTEST = 16  # letters; fewer can be tried out
_MAKE = 'python -c "import secrets; print(secrets.token_urlsafe(24))"'


class Tokens:
    """Secrets that open the server; only their digests are kept.

    Parameters
    ----------
    tokens
        The secrets.

    Raises
    ------
    ServerError
        If one is too short, or cannot be sent in a header or an address.
    """

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._digests: list[bytes] = []
        for number, token in enumerate(tokens, start=1):
            # the secret itself stays out of the message, which may end in a log
            if len(token) < _SHORTEST:
                raise ServerError(
                    f"Token {number} is shorter than {_SHORTEST} letters; make one by:"
                    f" {_MAKE}"
                )
            if not _LETTERS.issuperset(token):
                raise ServerError(
                    f"Token {number} has other signs than letters, digits, - and _"
                )
            self._digests.append(_digest(token))

    def __len__(self) -> int:
        return len(self._digests)

    @classmethod
    def from_file(cls, path: Path) -> Tokens:
        """Read tokens, one a line; empty lines and those that begin with # are none.

        Raises
        ------
        ServerError
            If it cannot be read, or has none.
        """
        try:
            content = path.read_bytes()
            # Windows' PowerShell writes UTF-16
            wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            lines = content.decode("utf-16" if wide else "utf-8-sig").splitlines()
        except FileNotFoundError as ex:
            raise ServerError(
                f"There is no file {path} to read tokens from; make one by: {_MAKE}"
                f" > {path}"
            ) from ex
        except (OSError, ValueError) as ex:
            reason = getattr(ex, "strerror", None) or "it is no text"
            raise ServerError(f"The tokens in {path} cannot be read ({reason})") from ex
        tokens = [line.strip() for line in lines]
        found = cls(token for token in tokens if token and not token.startswith("#"))
        if not found:
            raise ServerError(f"There are no tokens in {path}; write one a line")
        return found

    def find(self, token: str) -> int | None:
        """Return the number of a token, None if it is not one of them.

        Takes as long for wrong ones as for right ones.
        """
        digest = _digest(token)
        found = None
        for number, known in enumerate(self._digests):
            if hmac.compare_digest(known, digest):
                found = number
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf8", "surrogateescape")).digest()
