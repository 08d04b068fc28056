"""Where an image is: the value in a table's cell joined with its column's origin."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from orangecontrib.imagemining.images.sources import split_source

__all__ = ["is_url", "local_path", "locate"]

_REMOTE = ("http", "https", "ftp", "data")
# a scheme has two letters at least, or C:\cells.png would be an address
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


def _scheme(text: str) -> str:
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def is_url(source: str) -> bool:
    """Tell whether `source` has to be fetched: http, https, ftp or data."""
    return _scheme(source) in _REMOTE


def local_path(source: str) -> str | None:
    """Return the path of the file that `source` is in, None if it must be fetched."""
    if is_url(source):
        return None
    source = split_source(source)[0]
    if _scheme(source) == "file":
        parts = urlsplit(source)
        host = "" if parts.netloc in ("", "localhost") else f"//{parts.netloc}"
        return url2pathname(host + parts.path)
    return source


def locate(value: str, origin: str = "") -> str:
    """Join a cell's value with the origin of its column.

    Parameters
    ----------
    value : path or address as the table has it; relative ones are below `origin`.
    origin : folder or address from the column's attributes; may be empty.

    Returns
    -------
    An absolute path, or an address. Without origin, a relative path stays relative
    to the current folder.
    """
    if is_url(value.strip()):
        return value.strip()  # spaces around it are a slip; in file names they are not
    if not origin or _scheme(value) in (*_REMOTE, "file") or os.path.isabs(value):
        return value
    place, words = split_source(value)
    has_words = place != value
    if is_url(origin):
        place = f"{origin.rstrip('/')}/{quote(place.lstrip('/'), safe='/%')}"
    else:
        place = os.path.join(local_path(origin) or "", place)
    return f"{place}#{words}" if has_words else place
