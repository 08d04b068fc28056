"""Which file each image is going to be saved as, and what exists there already."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from orangecontrib.imagemining.exceptions import (
    ImageError,
    SaveError,
    UnknownNameError,
)
from orangecontrib.imagemining.images.locate import local_path
from orangecontrib.imagemining.images.names import PLAIN_SUFFIXES, ending_of
from orangecontrib.imagemining.images.open import ImageReader
from orangecontrib.imagemining.images.pace import paced
from orangecontrib.imagemining.images.saving.encode import FORMATS, Resize
from orangecontrib.imagemining.images.saving.manifest import MANIFEST
from orangecontrib.imagemining.images.saving.names import (
    UniqueNames,
    comparable,
    name_of,
    safe_name,
    split_ending,
)
from orangecontrib.imagemining.images.sources import (
    Part,
    parse_source,
)
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = [
    "CONTENT_ENDINGS",
    "NO_CATEGORY",
    "OF_PARTS",
    "ORIGINAL",
    "ImageToSave",
    "Plan",
    "SaveOptions",
    "Target",
    "identity",
    "is_part",
    "likely_path",
    "plan_saving",
]

#: Instead of a format: the file as it is, byte for byte. What is no file of its own, a
#: plane, a tile or a projection, is written as it is seen, in the format `OF_PARTS`.
ORIGINAL = "original"

#: Name of the format that parts of files are written in.
OF_PARTS = "png"

#: Sub-folder of the images without a category, when there are sub-folders.
NO_CATEGORY = "no category"

#: Endings by Pillow's names of the formats, for images whose own name has none.
CONTENT_ENDINGS = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "TIFF": ".tif",
    "GIF": ".gif",
    "BMP": ".bmp",
    "DIB": ".dib",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "JPEG2000": ".jp2",
    "PPM": ".ppm",
    "PCX": ".pcx",
    "QOI": ".qoi",
    "ICO": ".ico",
    "TGA": ".tga",
    "HEIC": ".heic",
    "DICOM": ".dcm",
    "CZI": ".czi",
    "LIF": ".lif",
    "ND2": ".nd2",
}
_ALL_ENDINGS = tuple(dict.fromkeys(CONTENT_ENDINGS.values()))


@dataclass(frozen=True)
class ImageToSave:
    """An image, and what it is to be called.

    Attributes
    ----------
    source : path or address; None if there is none.
    name : any text, with or without an image's ending; "" for the source's own name.
    category : text of which its sub-folder is made, "" if it has no category; None for
        no sub-folder.
    """

    source: str | None
    name: str = ""
    category: str | None = None


@dataclass(frozen=True)
class SaveOptions:
    """How images are written.

    Attributes
    ----------
    file_format : `ORIGINAL`, or one of `FORMATS`.
    quality : 1–100, for JPEG and WebP.
    resize : the new size; None to keep the size. Files saved as they are keep theirs.

    Raises
    ------
    UnknownNameError
        If there is no such format.
    ValueError
        If the rest makes no sense.
    """

    file_format: str = ORIGINAL
    quality: int = 90
    resize: Resize | None = None

    def __post_init__(self) -> None:
        if self.file_format not in (ORIGINAL, *FORMATS):
            raise UnknownNameError(
                f"Images cannot be saved as '{self.file_format}', only as"
                f" {', '.join(FORMATS)} or as they are ({ORIGINAL})"
            )
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality is 1–100, not {self.quality}")
        if self.resize is not None and self.file_format == ORIGINAL:
            raise ValueError("what is saved as it is cannot get another size")


@dataclass(frozen=True)
class Target:
    """The file that an image becomes.

    Attributes
    ----------
    folder : sub-folder; "" for none.
    stem : name without ending.
    ending : None if the content decides.
    wanted : the name asked for, before it was made different from others.
    existing : those of the names it may get that exist.
    file_format : `ORIGINAL`, or the one of `FORMATS` it is written in.
    """

    folder: str
    stem: str
    ending: str | None
    wanted: str
    existing: tuple[str, ...] = ()
    file_format: str = ORIGINAL

    @property
    def endings(self) -> tuple[str, ...]:
        """The endings that it may get."""
        return _ALL_ENDINGS if self.ending is None else (self.ending,)

    def path(self, name: str) -> str:
        """Return a name with its sub-folder, parts joined with "/"."""
        return f"{self.folder}/{name}" if self.folder else name


@dataclass
class Plan:
    """What is going to be saved where.

    Attributes
    ----------
    folder : absolute path.
    options : as given.
    images : as given.
    targets : one an image; None where there is no image.
    manifest_exists : whether there is a manifest already.
    originals : those of `existing` that are images of the list; never replaced.
    n_parts : images that were wanted as they are, and have no file of their own.
    """

    folder: str
    options: SaveOptions
    images: Sequence[ImageToSave]
    targets: list[Target | None]
    manifest_exists: bool
    originals: list[str] = field(default_factory=list)
    n_parts: int = 0
    # names given in each sub-folder, `comparable` names that exist there
    names: dict[str, UniqueNames] = field(default_factory=dict, repr=False)
    on_disk: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)
    # the files that the images come from, as the system knows them
    sources: frozenset[Hashable] = field(default=frozenset(), repr=False)

    @property
    def existing(self) -> list[str]:
        """Images' files that exist already, as paths below the folder."""
        return [
            target.path(name)
            for target in self.targets
            if target is not None
            for name in target.existing
        ]


def plan_saving(
    images: Sequence[ImageToSave],
    folder: str | os.PathLike[str],
    options: SaveOptions | None = None,
    progress: Progress = no_progress,
) -> Plan:
    """Decide the images' names and see which exist; nothing is written.

    Names are safe on all systems (see `safe_name`). If two are the same, in one
    sub-folder, the second becomes "name (2)". Files saved as they are keep their
    endings; those without, and what comes from addresses, get one by their content
    when saving. Until then all the endings they might get count. Parts of files that
    were to be saved as they are are written in the format `OF_PARTS`.

    Raises
    ------
    SaveError
        If there is no such folder.
    """
    pace = paced(progress)
    root = os.path.abspath(folder)
    if not os.path.isdir(root):
        raise SaveError(f"There is no folder {root}. Choose another")
    options = options or SaveOptions()
    plan = Plan(root, options, images, [], False)
    _open_folder(plan, "", MANIFEST)
    plan.manifest_exists = os.path.lexists(os.path.join(root, MANIFEST))
    folders: dict[str | None, str] = {None: ""}
    reader = ImageReader()
    for image in images:
        pace(0, f"Looking for the names of {len(images):,} images")
        if image.category not in folders:
            name = _folder_name(image.category or "")
            folders[image.category] = plan.names[""].claim(name)
            _open_folder(plan, folders[image.category])
        file_format = options.file_format
        if file_format == ORIGINAL and is_part(image.source or "", reader):
            file_format = OF_PARTS
            plan.n_parts += 1
        target = _target(plan, image, folders[image.category], file_format)
        plan.targets.append(target)
    if any(target and target.existing for target in plan.targets):
        plan.sources = _identities(images, pace)
        plan.originals = [
            path
            for path in plan.existing
            if identity(os.path.join(root, path)) in plan.sources
        ]
    return plan


def _open_folder(plan: Plan, folder: str, *reserved: str) -> None:
    plan.names[folder] = UniqueNames(*reserved)
    try:
        names = os.listdir(os.path.join(plan.folder, folder))
    except OSError:
        # not there yet; one that may be written but not listed is dealt with when
        # saving, where what exists is not replaced
        names = []
    plan.on_disk[folder] = frozenset(map(comparable, names))


def likely_path(image: ImageToSave, options: SaveOptions) -> str:
    """Return the path below the folder that an image gets if it is the only one.

    Where its content decides on the ending, that of its own name is shown.
    """
    file_format = options.file_format
    if file_format == ORIGINAL and is_part(image.source or ""):
        file_format = OF_PARTS
    stem, ending = _stem_and_ending(image, file_format)
    if ending is None:
        ending = split_ending(name_of(image.source or ""))[1]
    target = Target("", stem, ending, stem)
    if image.category is not None:
        target = replace(target, folder=_folder_name(image.category))
    return target.path(UniqueNames().claim(stem, (ending,)) + ending)


def _folder_name(category: str) -> str:
    return safe_name(category, NO_CATEGORY)


def is_part(source: str, reader: ImageReader | None = None) -> bool:
    """Tell whether an image is a part of a file, or a projection of many.

    Parameters
    ----------
    source
        Of the image.
    reader
        Looks whether files have the planes that a projection is made of; without one,
        they are taken to.
    """
    asked = parse_source(source)
    if asked.part != Part():
        return True
    if asked.rendering.stack == "first" or ending_of(asked.place) in PLAIN_SUFFIXES:
        return False
    if local_path(source) is None:
        return True  # it is not fetched for this
    try:
        series = reader.contents(source) if reader else ()
    except ImageError:
        return False  # saving will say why
    return reader is None or series[0].n_times * series[0].n_depths > 1


def _stem_and_ending(image: ImageToSave, file_format: str) -> tuple[str, str | None]:
    own_name = name_of(image.source or "")
    stem = split_ending(image.name or own_name)[0]
    if not image.name:
        stem = f"{stem} {parse_source(image.source or '').part.describe()}".strip()
    stem = safe_name(stem, "image")
    if file_format != ORIGINAL:
        return stem, FORMATS[file_format].ending
    if local_path(image.source or "") is None:
        return stem, None
    return stem, split_ending(own_name)[1] or None


def _target(
    plan: Plan, image: ImageToSave, folder: str, file_format: str
) -> Target | None:
    if not image.source:
        return None
    wanted, ending = _stem_and_ending(image, file_format)
    target = Target(folder, "", ending, wanted)
    stem = plan.names[folder].claim(wanted, target.endings)
    on_disk = plan.on_disk[folder]
    existing = tuple(
        name
        for name in (stem + ending for ending in target.endings)
        if comparable(name) in on_disk
        # names that differ in case are two files here and one there: ask the system
        and os.path.lexists(os.path.join(plan.folder, folder, name))
    )
    return Target(folder, stem, ending, wanted, existing, file_format)


def identity(path: str) -> Hashable:
    """Return what a file is known by, whichever name leads to it; None if none is."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    if status.st_ino == 0:  # a file system without numbers for its files
        return os.path.normcase(os.path.realpath(path))
    return status.st_dev, status.st_ino


def _identities(images: Sequence[ImageToSave], pace: Progress) -> frozenset[Hashable]:
    known: set[Hashable] = set()
    for image in images:
        pace(0, "Comparing with the files that exist")
        path = local_path(image.source or "")
        if path and (file := identity(path)):
            known.add(file)
    return frozenset(known)
