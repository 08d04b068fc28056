"""Where weights lie, and how files are written there."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.specs import Weights

__all__ = [
    "data_folder",
    "file_name",
    "how_to_get",
    "raise_disk_error",
    "search_folders",
    "weights_folder",
    "write_atomically",
    "write_parts",
]

# the disk is full, the user's share of it is, or files may not be that long
_FULL = [
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if name in dir(errno)
]


def data_folder() -> Path:
    """Return the folder where this user's data are kept; it need not exist."""
    if home := os.environ.get("IMAGEMINING_HOME"):
        return Path(home)
    import platformdirs

    return Path(platformdirs.user_data_dir("Orange3-ImageMining", appauthor=False))


def weights_folder() -> Path:
    """Return the folder that weights are written to; it need not exist."""
    return data_folder() / "weights"


def search_folders(folder: Path | None = None) -> list[Path]:
    """Return the folders that are searched, in this order.

    Parameters
    ----------
    folder
        The last of them, which is also written to; by default `weights_folder()`.
    """
    shared = os.environ.get("IMAGEMINING_WEIGHTS", "").split(os.pathsep)
    own = folder or weights_folder()
    return [*(Path(name).expanduser() for name in shared if name.strip()), own]


def file_name(weights: Weights) -> str:
    """Return the name of the published file, "" if they come as a package."""
    # timm calls the files of all its networks alike
    name = weights.url.rpartition("/")[2]
    return f"{weights.name}.safetensors" if name == "model.safetensors" else name


def how_to_get(weights: Weights, folder: Path | None = None) -> str:
    """Return, in words, how to bring the file here by hand."""
    if not weights.url:
        return ""
    own = folder or weights_folder()
    return (
        f"To bring it here by hand, get {weights.url} on another computer and put it as"
        f" {file_name(weights)} into the folder {own}, or into one named in the"
        " environment variable IMAGEMINING_WEIGHTS"
    )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own: two programs may be at it at once
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_parts(path: Path, parts: Iterable[bytes | memoryview]) -> int:
    """Write a file of the user's, piece by piece, whole or not at all.

    Others may read it as they may read what any program writes there; a file that is
    replaced leaves its permissions to the new one.

    Parameters
    ----------
    path
        Where; its folder exists. Of a link what it leads to is replaced.
    parts
        What comes one after another. What it raises leaves nothing there.

    Returns
    -------
    Number of bytes.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left then.
    """
    path = Path(os.path.realpath(path))
    part = path.with_name(f".{path.name[:80]}-{secrets.token_hex(6)}")
    size = 0
    try:
        with open(part, "xb") as stream:
            for piece in parts:
                size += len(piece)
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())  # a new name for what is not on the disk yet
        if path.exists():
            os.chmod(part, stat.S_IMODE(path.stat().st_mode))
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size


def raise_disk_error(ex: OSError, path: Path) -> NoReturn:
    """Say in words why a file cannot be written.

    Raises
    ------
    WeightsError
        Always.
    """
    folder = path.parent
    if ex.errno in _FULL:
        raise WeightsError(
            f"There is not enough room on the disk for {path.name} in {folder}; make"
            " some and try again. Nothing was left there"
        ) from ex
    reason = ex.strerror or str(ex)
    raise WeightsError(f"{path.name} cannot be written to {folder}: {reason}") from ex
