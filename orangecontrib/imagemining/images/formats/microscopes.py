"""What the programs of microscopes write: CZI (Zeiss), LIF (Leica), ND2 (Nikon).

They are read by the packages that the readers of bioio are made of: pylibCZIrw, liffile
and nd2. These are asked without bioio, which would read planes no faster but loads
dask, xarray and others first: 1.3 s and 150 MB more than they alone (0.15 s, 20 MB).
"""

from __future__ import annotations

import os

from orangecontrib.imagemining.images.formats import _czi, _lif, _nd2
from orangecontrib.imagemining.images.formats._base import Family, register

__all__ = ["CZI", "LIF", "ND2"]

_JPEG_2000 = b"\0\0\0\x0cjP  \r\n\x87\n"
_OLD_ND2 = b"LABORATORY IMAGING ND BOX MAP"


def _is_czi(start: bytes, path: str | None) -> bool:
    return start[:10] == b"ZISRAWFILE"


def _is_lif(start: bytes, path: str | None) -> bool:
    # a number, a length, "*", a length, and words in UTF-16
    return start[:4] == b"\x70\0\0\0" and start[8:9] == b"*" and start[14:15] == b"\0"


def _is_nd2(start: bytes, path: str | None) -> bool:
    if start[:4] == b"\xda\xce\xbe\x0a":
        return True
    return start[:12] == _JPEG_2000 and path is not None and _is_old_nd2(path)


def _is_old_nd2(path: str) -> bool:
    """Tell Nikon's files of old from other JPEG 2000: they end with their own mark."""
    try:
        with open(path, "rb") as file:
            file.seek(-min(64, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return _OLD_ND2 in file.read()
    except OSError:
        return False


CZI = register(Family("CZI", (".czi",), _is_czi, _czi.open_czi, "microscopy"))
LIF = register(Family("LIF", (".lif",), _is_lif, _lif.open_lif, "microscopy"))
ND2 = register(Family("ND2", (".nd2",), _is_nd2, _nd2.open_nd2, "microscopy"))
