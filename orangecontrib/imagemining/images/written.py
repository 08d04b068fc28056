"""Paths and addresses of images as people write them into tables."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from orangecontrib.imagemining.images.locate import is_url, local_path
from orangecontrib.imagemining.images.names import ending_of, image_suffixes
from orangecontrib.imagemining.images.sources import escaped, split_source

__all__ = ["clean_path", "looks_like_image"]

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "«": "»"}
_UNSEEN = "\ufeff\u200b\u2060"  # letters without width that come along when copying


def clean_path(text: str) -> str:
    r"""Return the path or address that is meant by a cell of a spreadsheet.

    Spaces and quotes around it go, ``file://`` addresses become paths, ``~`` the
    user's own folder, and ``\`` becomes "/", which every system understands. Words that
    tell a part of the file (see `sources`) stay.
    """
    path = text.strip().strip(_UNSEEN).strip()
    while len(path) > 1 and path[-1] == _QUOTES.get(path[0]):
        path = path[1:-1].strip()
    if is_url(path):
        return path
    file, _ = split_source(path)
    words = path[len(file) :]
    try:
        path = local_path(escaped(file)) or path
    except ValueError:  # no address that can be read, such as file://[
        return path
    path = path.replace("\\", "/")
    if path == "~" or path.startswith("~/"):
        path = os.path.expanduser(path).replace("\\", "/")
    return path + words


def looks_like_image(text: str) -> bool:
    """Tell whether a cell seems to hold the path or address of an image."""
    path = clean_path(text)
    if path.lower().startswith("data:image/"):
        return True
    if is_url(path):
        try:
            path = urlsplit(path).path
        except ValueError:  # a half-written address, such as http://[
            return False
    return ending_of(split_source(path)[0]) in image_suffixes()
