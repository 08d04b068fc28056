"""How a TIFF file's pages make up pictures and stacks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, ImageError
from orangecontrib.imagemining.images.formats._base import Channel
from orangecontrib.imagemining.images.formats._ome import (
    OmeImage,
    companion_of,
    parse_ome,
)
from orangecontrib.imagemining.images.formats._tiff_colours import kind_of
from orangecontrib.imagemining.images.formats._tiff_file import (
    Found,
    Look,
    TiffPages,
    translated,
)
from orangecontrib.imagemining.images.formats._tiff_stacks import (
    NOT_THERE,
    Stack,
    by_number,
    contiguous,
    in_axes,
    is_alike,
    seen_size,
    series_of,
)
from orangecontrib.imagemining.images.formats._tiff_told import (
    Told,
    bits_told,
    imagej_told,
    plain_told,
    vendor_told,
)

__all__ = ["stacks_of"]

_TEXT = 64 * 2**20  # characters of metadata; more are passed over
#: Makers' own TIFFs whose pages tifffile puts in order.
_MAKERS = tuple("lsm stk fluoview svs scn qpi ndpi bif philips scanimage nih".split())


def stacks_of(pages: TiffPages) -> list[Stack]:
    """Return the series of a file; one at least.

    Raises
    ------
    ImageError
        If none of its pages can be a picture.
    """
    text = pages.first.description or ""
    if len(text) > _TEXT:
        text = ""
    stacks: list[Stack] = []
    for kind, open_them in _KINDS:
        if not kind(pages, text):
            continue
        try:
            with translated():
                stacks = open_them(pages, text)
        except ImageError:
            continue  # damaged metadata are no reason to refuse the pictures
        if stacks:
            return stacks
    return _plain(pages)


def _is_ome(pages: TiffPages, text: str) -> bool:
    return "<OME" in text[:4096] or "<ome:OME" in text[:4096]


def _is_imagej(pages: TiffPages, text: str) -> bool:
    return text.startswith("ImageJ=")


def _is_shaped(pages: TiffPages, text: str) -> bool:
    return text.startswith("{") and '"shape":' in text


def _is_makers(pages: TiffPages, text: str) -> bool:
    return any(getattr(pages.tiff, f"is_{maker}", False) for maker in _MAKERS)


def _is_micromanager(pages: TiffPages, text: str) -> bool:
    return bool(pages.tiff.is_micromanager)


# OME


def _ome(pages: TiffPages, text: str) -> list[Stack]:
    # what a page has tells how many of the metadata's channels are in one
    kind = kind_of(pages.first)
    images = _ome_images(pages, text, pages.first.samplesperpixel, kind.n_channels)
    return [
        stack
        for image in images
        if (stack := by_number(pages, image.pages, _told_by_ome(image)))
    ]


def _ome_images(
    pages: TiffPages, text: str, samples: int, channels: int
) -> Sequence[OmeImage]:
    own_name = os.path.basename(pages.path) if pages.path else ""
    companion = companion_of(text) if "BinaryOnly" in text[:4096] else None
    if companion is None:
        return parse_ome(text, samples, channels, own_name=own_name)
    name, uuid = companion
    # only a neighbour: metadata must not send us through the disk
    if pages.path is None or not name or name != os.path.basename(name) or "\\" in name:
        return []
    path = os.path.join(os.path.dirname(pages.path), name)
    if not os.path.isfile(path) or os.path.getsize(path) > _TEXT:
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return parse_ome(file.read(), samples, channels, uuid, own_name)


def _told_by_ome(image: OmeImage) -> Told:
    return Told(image.channels, image.bits, image.pixel_size, image.name)


# ImageJ, and stacks of one page description


def _imagej(pages: TiffPages, text: str) -> list[Stack]:
    told, n_images, shape = imagej_told(pages, text)
    n_channels = shape[2]
    is_index = not told.channels
    kind = kind_of(pages.first, is_index)
    if kind.n_channels > 1 or kind.samples == 3 and n_channels == 3:
        # its channels are within a page
        shape = (shape[0], shape[1], 1)
    offsets = _full_pages(pages)
    if len(offsets) == 1 and n_images > 1 and pages.complete:
        numbers = _in_order(shape, min(n_images, _room(pages)))
        return [contiguous(pages, numbers, told, kind, is_index)]
    numbers = _in_order(shape, len(offsets))
    stack = by_number(pages, numbers, told, offsets, is_index)
    return [stack] if stack else []


def _in_order(shape: tuple[int, ...], there: int) -> NDArray[np.int64]:
    """Return numbers of pages, channels fastest; if axes fit those there at all."""
    times, depths, channels = shape
    promised = times * depths * channels
    if promised < there or min(shape) < 1:
        if channels < 1 or there % channels:
            channels = 1
        times, depths = 1, there // channels
    elif promised > _too_many(there):
        times, depths, channels = 1, there, 1
    numbers = np.arange(times * depths * channels, dtype=np.int64)
    return numbers.reshape(times, depths, channels)


def _room(pages: TiffPages) -> int:
    """Return how many planes like the first have room in the file."""
    first = pages.first
    size = sum(first.databytecounts)
    return max(1, (pages.size - first.dataoffsets[0]) // size) if size else 1


def _too_many(there: int) -> int:
    """Return a number of planes that is a damaged one, of so many that are there."""
    return 10 * max(there, 100)


def _shaped(pages: TiffPages, text: str) -> list[Stack]:
    """Return what tifffile wrote: it notes the axes if it was told them."""
    notes = json.loads(text.strip("\0 "))
    shape = [int(n) for n in notes["shape"]]
    axes = str(notes.get("axes") or "").upper()
    kind = kind_of(pages.first)
    looks = set(pages.looks)
    if len(looks) > 1:
        return []
    per_page = pages.first.shape
    n_planes = int(np.prod(shape)) // max(1, int(np.prod(per_page)))
    if len(axes) != len(shape):
        axes = "Z" * len(shape)
    if n_planes > _too_many(max(len(pages.offsets), _room(pages))):
        return []
    numbers = in_axes(axes, shape, n_planes)
    if numbers.shape[0] > 1:
        return []
    numbers = numbers[0]
    offsets = pages.offsets
    told = plain_told(pages.first)
    if len(offsets) == 1 and n_planes > 1 and pages.complete:
        return [contiguous(pages, numbers, told, kind)]
    if n_planes < len(offsets):
        return []
    stack = by_number(pages, numbers, told)
    return [stack] if stack else []


# makers' own


def _makers(pages: TiffPages, text: str) -> list[Stack]:
    stacks = []
    for number, series in enumerate(pages.tiff.series):
        if pages.tiff.is_lsm and number:
            break  # the rest are thumbnails
        stacks += _of_series(pages, series)
    return stacks


def _of_series(pages: TiffPages, series: Any) -> list[Stack]:
    """Return the stacks of one of tifffile's series, one for each position."""
    key = series.keyframe
    kind = kind_of(key)
    shape = [int(n) for n in series.shape]
    n_planes = int(np.prod(shape)) // max(1, int(np.prod(key.shape)))
    if n_planes > _too_many(max(len(series), _room(pages))):
        return []
    positions = in_axes(str(series.axes), shape, n_planes)
    told = vendor_told(pages, series)
    if len(series) == 1 and n_planes > 1:
        return [contiguous(pages, numbers, told, kind) for numbers in positions]
    levels = list(series.levels)

    def locate(place: int, level: int) -> Found:
        page = levels[level][place] if place < len(levels[level]) else None
        if page is None:
            raise DamagedImageError(NOT_THERE)
        return Found(page.keyframe, page.dataoffsets, page.databytecounts)

    sizes = tuple(
        seen_size(int(level.keyframe.imagewidth), int(level.keyframe.imagelength), kind)
        for level in levels
    )
    return [
        Stack(series_of(kind, numbers, told, sizes), kind, numbers, locate)
        for numbers in positions
    ]


def _micromanager(pages: TiffPages, text: str) -> list[Stack]:
    notes = pages.tiff.micromanager_metadata or {}
    index = notes.get("IndexMap")
    if index is None:
        return []
    index = np.asarray(index).reshape(-1, 5)  # channel, slice, frame, position, offset
    summary = notes.get("Summary") or {}
    names = summary.get("ChNames") or []
    colours = summary.get("ChColors") or []
    size = summary.get("PixelSize_um") or 0
    stacks = []
    for position in np.unique(index[:, 3]):
        rows = index[index[:, 3] == position]
        present = [np.unique(rows[:, axis]) for axis in (2, 1, 0)]
        numbers = np.full([len(values) for values in present], -1, np.int64)
        where = [
            np.searchsorted(values, rows[:, axis])
            for values, axis in zip(present, (2, 1, 0), strict=True)
        ]
        numbers[tuple(where)] = np.arange(len(rows))
        channels = [
            Channel(
                str(names[c]) if c < len(names) else "",
                _packed(colours[c]) if c < len(colours) else None,
            )
            for c in present[2].tolist()
        ]
        told = Told(channels, int(summary.get("BitDepth") or 0), None, "")
        if size > 0:
            told.pixel_size = (float(size), float(size))
        offsets = [int(offset) for offset in rows[:, 4]]
        stack = by_number(pages, numbers, told, offsets)
        if stack:
            stacks.append(stack)
    return stacks


def _packed(number: int) -> tuple[int, int, int]:
    return (number >> 16 & 255, number >> 8 & 255, number & 255)


# plain


def _full_pages(pages: TiffPages) -> list[int]:
    """Return offsets of the pages that are neither smaller copies nor masks."""
    full = [
        offset
        for offset, look in zip(pages.offsets, pages.looks, strict=True)
        if look is None or not (look.reduced or look.mask)
    ]
    return full or pages.offsets


def _plain(pages: TiffPages) -> list[Stack]:
    """Return one series for each size of pages; of those of one size, a stack."""
    told = plain_told(pages.first)
    if pages.is_single:
        numbers = np.zeros((1, 1, 1), np.int64)
        stack = by_number(pages, numbers, told, [pages.first.offset])
        return [stack] if stack else []
    groups: dict[Look, list[int]] = {}
    lower: dict[Look, list[int]] = {}
    keep_all = all(look is None or look.reduced or look.mask for look in pages.looks)
    owner: Look | None = None
    for offset, look in zip(pages.offsets, pages.looks, strict=True):
        if look is None:
            continue
        if look in groups:
            groups[look].append(offset)
        elif owner is not None and _is_level(look, owner, len(groups[owner])):
            lower.setdefault(owner, []).append(offset)
        elif keep_all or not (look.reduced or look.mask):
            groups[look] = [offset]
            owner = look
    for look in list(lower):
        # halves of several pages are pictures of their own, unless they say otherwise
        if len(groups[look]) > 1:
            for offset in lower.pop(look):
                copy = pages.looks[pages.offsets.index(offset)]
                if copy is not None and not copy.reduced:
                    groups.setdefault(copy, []).append(offset)
                    groups[copy].sort()
    stacks = []
    problem: ImageError | None = None
    for look, offsets in groups.items():
        numbers = np.arange(len(offsets), dtype=np.int64).reshape(1, -1, 1)
        copies = lower.get(look, []) if len(offsets) == 1 else []
        first = pages.page(offsets[0])
        told = Told([], bits_told(first), plain_told(first).pixel_size, "")
        try:
            stack = by_number(pages, numbers, told, offsets, lower=copies)
        except ImageError as ex:
            problem = problem or ex
            continue
        if stack:
            stacks.append(stack)
    if not stacks:
        raise problem or DamagedImageError("The TIFF file has no pictures in it")
    return stacks


def _is_level(look: Look, owner: Look, n_pages: int) -> bool:
    """Return whether a page is a smaller copy of the one that it follows.

    If it does not say so itself, it is if both are tiled and halves, like pyramids.
    """
    if not (look.reduced or look.tiled and owner.tiled and n_pages == 1):
        return False
    same = (look.bits, look.samples, look.sample_format) == (
        owner.bits,
        owner.samples,
        owner.sample_format,
    )
    small, large = (look.width, look.height), (owner.width, owner.height)
    return same and 1.5 * look.width < owner.width and is_alike(small, large)


_KINDS: tuple[
    tuple[Callable[[TiffPages, str], bool], Callable[[TiffPages, str], list[Stack]]],
    ...,
] = (
    (_is_ome, _ome),
    (_is_makers, _makers),
    (_is_micromanager, _micromanager),
    (_is_imagej, _imagej),
    (_is_shaped, _shaped),
)
