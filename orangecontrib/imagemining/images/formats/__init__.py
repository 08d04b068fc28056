"""Formats of images, one file a family; which of them a file is, its content tells."""

from __future__ import annotations

# in the order in which they are asked: those that are told by more come before those
# that would take the same files
from orangecontrib.imagemining.images.formats import slides as slides  # isort: skip
from orangecontrib.imagemining.images.formats import dicom as dicom  # isort: skip
from orangecontrib.imagemining.images.formats import microscopes as microscopes  # isort: skip
from orangecontrib.imagemining.images.formats import tiff as tiff  # isort: skip
from orangecontrib.imagemining.images.formats import heif as heif  # isort: skip
from orangecontrib.imagemining.images.formats import jpeg2000 as jpeg2000  # isort: skip
from orangecontrib.imagemining.images.formats import png as png  # isort: skip
from orangecontrib.imagemining.images.formats import ordinary as ordinary  # isort: skip
from orangecontrib.imagemining.images.formats._base import (
    Channel,
    Family,
    ImageFile,
    Series,
    families,
    register,
)
from orangecontrib.imagemining.images.formats._pictures import PictureFile
from orangecontrib.imagemining.images.formats._pixels import (
    check_plane,
    check_size,
    cut,
)
from orangecontrib.imagemining.plugins import load_plugins

__all__ = [
    "PREFIX",
    "Channel",
    "Family",
    "ImageFile",
    "PictureFile",
    "Series",
    "check_plane",
    "check_size",
    "cut",
    "families",
    "family_of",
    "register",
]

#: Bytes at the beginning of a file by which its family is told.
PREFIX = 1024


def family_of(prefix: bytes, path: str | None) -> Family | None:
    """Return the family that a file belongs to; None for ordinary pictures.

    Parameters
    ----------
    prefix
        The file's first `PREFIX` bytes.
    path
        Where it is, if it is a file: some formats keep their pixels in others beside.
    """
    if _is_ordinary(prefix, path):
        return None
    for family in families():
        if family.recognises(prefix, path):
            return None if family is ordinary.FAMILY else family
    return None


def _is_ordinary(prefix: bytes, path: str | None) -> bool:
    """Tell the commonest kinds at once: nobody else has to be asked."""
    if prefix[:3] == b"\xff\xd8\xff":
        # slides of this kind begin with a small JPEG
        return path is None or not path.lower().endswith(".mrxs")
    if prefix[:8] == b"\x89PNG\r\n\x1a\n":
        return prefix[24:25] != b"\x10"  # bits of each number
    return prefix[:4] == b"GIF8"


load_plugins("formats")  # last: they need what is above
