"""Find the image files below a folder."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from orangecontrib.imagemining.exceptions import FolderError, FolderNotFoundError
from orangecontrib.imagemining.images.names import (
    NamePatterns,
    ending_of,
    image_suffixes,
    natural_key,
)
from orangecontrib.imagemining.images.pace import paced
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = [
    "FileFilter",
    "FindResult",
    "FolderScan",
    "FoundImage",
    "find_images",
]

_OFTEN = 500  # files looked at between two reports of progress
_SORTED_AT_ONCE = 5000  # paths
_DICOM = ".dcm"  # what files of scanners count as that have no ending


@dataclass(frozen=True)
class FileFilter:
    """Which of the images are wanted.

    Attributes
    ----------
    include : patterns as `NamePatterns` takes them; "" for all.
    exclude : patterns of files and folders that are passed over.
    types : endings in small letters, with their dots; empty for all.
    """

    include: str = ""
    exclude: str = ""
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image file.

    Attributes
    ----------
    path : relative to the folder searched, parts joined with "/".
    """

    path: str

    @property
    def category(self) -> str:
        """Name of the first folder on `path`, "" if it lies at the top."""
        top, below, _ = self.path.partition("/")
        return top if below else ""


@dataclass
class FindResult:
    """What lies below a folder.

    Attributes
    ----------
    paths : of the images, relative to the folder searched, parts joined with "/", in
        natural order (2 before 10).
    others : endings of the files that are not images by these, and how many of each.
    unreadable : folders that the system did not let us list.
    types : endings of the images whose names are wanted, and how many of each.
    n_by_name : number of images left out by their names.
    n_by_type : number of images left out by their endings.
    folders_left_out : folders that were passed over; what is in there is not counted.
    """

    paths: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    n_by_name: int = 0
    n_by_type: int = 0
    folders_left_out: list[str] = field(default_factory=list)

    @property
    def images(self) -> list[FoundImage]:
        """The images, each with its category."""
        return [FoundImage(path) for path in self.paths]

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

    def describe_left_out(self) -> str:
        """Say what the filters left out; "" if nothing."""
        n = len(self.folders_left_out)
        names = ", ".join(self.folders_left_out[:3]) + ", …" * (n > 3)
        parts = [
            f"{count:,} image{'s' * (count != 1)} by {what}"
            for count, what in ((self.n_by_name, "name"), (self.n_by_type, "type"))
            if count
        ]
        if n:
            parts.append(f"{n:,} folder{'s' * (n != 1)} ({names})")
        return ", ".join(parts)


@dataclass
class _Folder:
    """What lies in one folder, not below it.

    Attributes
    ----------
    images : paths relative to the folder searched.
    folders : theirs, and whether each is a link.
    """

    images: list[str] = field(default_factory=list)
    folders: list[tuple[str, bool]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


class FolderScan:
    """Lists each folder once, so that other filters need not look at the disk again.

    Parameters
    ----------
    folder
        Where to begin.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.root = os.fspath(folder)
        self._identities: dict[str, tuple[int, int]] = {}
        self._folders: dict[str, _Folder | OSError] = {}

    def find(self, wanted: FileFilter, progress: Progress = no_progress) -> FindResult:
        """Find the images that are wanted; see `find_images`."""
        result = FindResult()
        include, exclude = NamePatterns(wanted.include), NamePatterns(wanted.exclude)
        types, suffixes = frozenset(wanted.types), image_suffixes()
        pace = paced(progress)
        pace(0, "0 images found")
        seen: set[tuple[int, int]] = set()
        paths: list[str] = []
        pending = [""]
        links: list[str] = []
        while pending or links:
            # links come last: a folder goes by its own name if it lies in here
            relative = pending.pop() if pending else links.pop()
            if relative and exclude and exclude.fits_folder(relative):
                result.folders_left_out.append(relative)
                continue
            try:
                identity = self._identity(relative)
                if identity in seen:
                    continue
                seen.add(identity)
                folder = self._folder(relative, len(paths), pace)
            except OSError as ex:
                if not relative:
                    raise _explain(self.root, ex) from ex
                result.unreadable.append(relative)
                continue
            result.others += folder.others
            for name, is_link in folder.folders:
                (links if is_link else pending).append(name)
            for number, path in enumerate(folder.images):
                if not number % _OFTEN:
                    pace(0, f"{len(paths):,} images found")
                if include and not include.fits(path) or exclude and exclude.fits(path):
                    result.n_by_name += 1
                    continue
                ending = ending_of(path)
                if ending not in suffixes:
                    ending = _DICOM
                result.types[ending] += 1
                if types and ending not in types:
                    result.n_by_type += 1
                else:
                    paths.append(path)
        progress(0, f"{len(paths):,} images found")
        result.paths = _in_natural_order(paths, pace)
        result.unreadable.sort()
        result.folders_left_out.sort(key=natural_key)
        return result

    def _identity(self, relative: str) -> tuple[int, int]:
        if relative not in self._identities:
            status = os.stat(os.path.join(self.root, relative))
            self._identities[relative] = (status.st_dev, status.st_ino)
        return self._identities[relative]

    def _folder(self, relative: str, n_found: int, pace: Progress) -> _Folder:
        known = self._folders.get(relative)
        if known is None:
            try:
                known = _list_folder(self.root, relative, n_found, pace)
            except OSError as ex:
                known = ex
            # only now, so that one that was broken off is not taken for whole
            self._folders[relative] = known
        if isinstance(known, OSError):
            raise known
        return known


def find_images(
    folder: str | os.PathLike[str],
    progress: Progress = no_progress,
    wanted: FileFilter | None = None,
) -> FindResult:
    """Find the images below `folder`.

    Files are known by their endings; those of scanners (DICOM), which often have none
    or numbers, by their beginning. A slide of several files (MRXS) is listed once.
    Hidden files and folders are passed over. Symbolic links are followed, each folder
    is searched once however many ways lead to it, so that loops end. Links to nothing
    are returned too: that their image is missing is then told like for any other.

    Parameters
    ----------
    folder
        Where to begin.
    progress
        Told the number found so far; how many there will be is not known.
    wanted
        Which ones; by default all.

    Raises
    ------
    FolderNotFoundError
        If `folder` does not exist.
    FolderError
        If `folder` is no folder, or may not be listed.
    """
    return FolderScan(folder).find(wanted or FileFilter(), progress)


def _list_folder(root: str, relative: str, n_found: int, pace: Progress) -> _Folder:
    folder, parts = _Folder(), set[str]()
    suffixes = image_suffixes()
    prefix = f"{relative}/" if relative else ""
    with os.scandir(os.path.join(root, relative)) as entries:
        for number, entry in enumerate(entries):
            if not number % _OFTEN:
                pace(0, f"{n_found + len(folder.images):,} images found")
            name = entry.name
            if name.startswith(".") or name == "__MACOSX" or _is_hidden(entry):
                continue
            if entry.is_dir():
                folder.folders.append((prefix + name, entry.is_symlink()))
            elif entry.is_file() or entry.is_symlink():
                ending = ending_of(name)
                if ending in suffixes or (
                    entry.is_file() and _is_dicom(entry.path, name, ending)
                ):
                    folder.images.append(prefix + name)
                    if ending == ".mrxs":
                        parts.add(prefix + name[: -len(ending)])
                else:
                    folder.others[ending] += 1
    if parts:
        # beside a slide of this kind lies a folder of its name, with its parts
        folder.folders = [each for each in folder.folders if each[0] not in parts]
    # the last is searched first
    folder.folders.sort(reverse=True)
    return folder


def _is_dicom(path: str, name: str, ending: str) -> bool:
    """Tell whether a file without a proper ending is a scanner's.

    Few files have names like these: opening them costs little, opening all would not.
    """
    if ending and not ending[1:].isdigit() or name == "DICOMDIR":
        return False
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except (OSError, ValueError):
        return False


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    if os.name != "nt":
        return False
    attributes = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    return bool(attributes & getattr(stat, "FILE_ATTRIBUTE_HIDDEN", 0))


def _in_natural_order(paths: Sequence[str], pace: Progress) -> list[str]:
    # A long list is sorted in one go, during which no other thread runs and windows
    # stand still; merging sorted parts takes a fraction of the time.
    keyed: list[tuple[str, str]] = []
    for start in range(0, len(paths), _SORTED_AT_ONCE):
        pace(0, f"{len(paths):,} images found")
        part = paths[start : start + _SORTED_AT_ONCE]
        keyed += sorted((natural_key(path), path) for path in part)
    keys = [key for key, _ in keyed]
    return [keyed[i][1] for i in sorted(range(len(keys)), key=keys.__getitem__)]


def _explain(root: str, ex: OSError) -> FolderError:
    if isinstance(ex, FileNotFoundError):
        return FolderNotFoundError(f"There is no folder {root}")
    if isinstance(ex, NotADirectoryError):
        return FolderError(f"{root} is not a folder")
    if isinstance(ex, PermissionError):
        return FolderError(f"The system does not allow reading the folder {root}")
    return FolderError(f"The folder {root} cannot be read: {ex.strerror or ex}")
