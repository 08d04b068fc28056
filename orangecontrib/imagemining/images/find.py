"""Find the image files below a folder."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from orangecontrib.imagemining.exceptions import FolderError
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["IMAGE_SUFFIXES", "FindResult", "FoundImage", "find_images"]

#: Endings of the formats that `open` reads; the content decides when opening.
IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .pbm .pcx .pgm .png"
    " .pnm .ppm .qoi .tga .tif .tiff .webp".split()
)


@dataclass(frozen=True)
class FoundImage:
    """An image file.

    Attributes
    ----------
    path : relative to the folder searched, parts joined with "/".
    category : name of the first folder on `path`, "" if it lies at the top.
    """

    path: str
    category: str


@dataclass
class FindResult:
    """What lies below a folder.

    Attributes
    ----------
    images : in natural order (2 before 10).
    others : endings of the files that are not images by these, and how many of each.
    unreadable : folders that the system did not let us list.
    """

    images: list[FoundImage] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)

    @property
    def n_others(self) -> int:
        """Number of files that are not images by their ending."""
        return self.others.total()

    def describe_others(self) -> str:
        """Say how many other files there are, and of which endings; "" if none."""
        n = self.n_others
        if not n:
            return ""
        # the commonest first, whatever the order in which the system lists them
        order = sorted(self.others, key=lambda e: (-self.others[e], not e, e))
        endings = [ending or "no ending" for ending in order[:5]]
        more = ", …" if len(self.others) > 5 else ""
        return f"{n:,} other file{'s' * (n != 1)} ({', '.join(endings)}{more})"


def _natural_key(path: str) -> list[tuple[int, int, str]]:
    # digits compare as numbers and come before letters; the text itself settles ties
    parts = re.split(r"(\d+)", path.casefold().replace("/", "\0"))
    key = [
        (0, int(part), "") if index % 2 else (1, 0, part)
        for index, part in enumerate(parts)
    ]
    return [*key, (2, 0, path)]


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith(".") or entry.name == "__MACOSX":
        return True
    if os.name != "nt":
        return False
    attributes = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    return bool(attributes & getattr(stat, "FILE_ATTRIBUTE_HIDDEN", 0))


def find_images(
    folder: str | os.PathLike[str], progress: Progress = no_progress
) -> FindResult:
    """Find all images below `folder`.

    Hidden files and folders are passed over. Symbolic links are followed, each folder
    is searched once however many ways lead to it, so that loops end. Links to nothing
    are returned too: that their image is missing is then told like for any other.

    Raises
    ------
    FolderError
        If `folder` does not exist, is no folder, or may not be listed.
    """
    root = os.fspath(folder)
    result = FindResult()
    seen: set[tuple[int, int]] = set()
    pending = [""]
    links: list[str] = []
    while pending or links:
        # links come last, so that a folder goes by its own name if it lies in here
        relative = pending.pop() if pending else links.pop()
        try:
            status = os.stat(os.path.join(root, relative))
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(os.path.join(root, relative)) as entries:
                for name, is_link in sorted(_search_one(entries, relative, result))[
                    ::-1
                ]:
                    (links if is_link else pending).append(name)
        except OSError as ex:
            if not relative:
                raise FolderError(_explain(root, ex)) from ex
            result.unreadable.append(relative)
        progress(0, f"{len(result.images)} images found")
    result.images.sort(key=lambda image: _natural_key(image.path))
    result.unreadable.sort()
    return result


def _search_one(
    entries: Iterable[os.DirEntry[str]], relative: str, result: FindResult
) -> list[tuple[str, bool]]:
    """Put one folder's images into `result`; return its folders, and if by a link."""
    folders = []
    for entry in entries:
        if _is_hidden(entry):
            continue
        path = f"{relative}/{entry.name}" if relative else entry.name
        if entry.is_dir():
            folders.append((path, entry.is_symlink()))
        elif entry.is_file() or entry.is_symlink():
            ending = os.path.splitext(entry.name)[1].lower()
            if ending in IMAGE_SUFFIXES:
                top, below, _ = path.partition("/")
                result.images.append(FoundImage(path, top if below else ""))
            else:
                result.others[ending] += 1
    return folders


def _explain(root: str, ex: OSError) -> str:
    if isinstance(ex, FileNotFoundError):
        return f"There is no folder {root}"
    if isinstance(ex, NotADirectoryError):
        return f"{root} is not a folder"
    if isinstance(ex, PermissionError):
        return f"The system does not allow reading the folder {root}"
    return f"The folder {root} cannot be read: {ex.strerror or ex}"
