"""What a TIFF page's numbers mean, and its colours as grey or RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import DamagedImageError, NotAnImageError

if TYPE_CHECKING:
    import tifffile

__all__ = ["PageKind", "flatten", "kind_of", "upright"]

# values of the tags
_WHITE_IS_0, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 2, 3, 5, 6
_LABS = {8: "cielab", 9: "icclab", 10: "icclab"}
_ASSOCIATED, _UNASSOCIATED = 1, 2
#: Compressions whose decoders give RGB, whatever the numbers inside.
_RGB_AT_ONCE = frozenset(
    (6, 7, 22610, 33003, 33004, 33005, 33007, 34712)
    + (34892, 34933, 34934, 50001, 50002, 52546)
)


@dataclass(frozen=True)
class PageKind:
    """What a page's numbers mean.

    Attributes
    ----------
    width, height : as stored.
    turn : value of the orientation tag, 1–8.
    dtype : of the numbers that come out.
    bits : as in `Series`.
    colour : "grey", "inverted", "palette", "rgb", "cmyk", "ycbcr", "cielab", "icclab".
    n_channels : grey pictures in one page.
    alpha : which sample tells transparency; None if none does.
    premultiplied : whether colours were multiplied with it.
    """

    width: int
    height: int
    turn: int
    dtype: np.dtype[Any]
    bits: int
    colour: str
    n_channels: int = 1
    alpha: int | None = None
    premultiplied: bool = False

    @property
    def samples(self) -> int:
        """Numbers of a pixel that come out: 1 or 3."""
        return 1 if self.colour in ("grey", "inverted") else 3

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height as people see it."""
        if self.turn >= 5:
            return self.height, self.width
        return self.width, self.height

    def needed(self, c: int) -> list[int]:
        """Return which stored samples make up channel `c`."""
        if self.n_channels > 1:
            return [c]
        colours = {"grey": 1, "inverted": 1, "palette": 1, "cmyk": 4}
        samples = list(range(colours.get(self.colour, 3)))
        return samples if self.alpha is None else [*samples, self.alpha]


def kind_of(page: tifffile.TiffPage, is_index: bool = True) -> PageKind:
    """Return what a page's numbers mean.

    Parameters
    ----------
    is_index
        Whether a page with a palette shows the palette's colours; or else grey (ImageJ
        keeps a channel's colour there).

    Raises
    ------
    NotAnImageError
        If its numbers are of a kind that is no picture.
    """
    dtype: np.dtype[Any] | None = page.dtype
    told: Any = page.bitspersample  # a tuple where samples differ: 5, 6 and 5 bits
    # of 17 to 31 bits nobody says in which order the bytes are, and readers differ
    if dtype is None or isinstance(told, int) and 16 < told < 32:
        raise NotAnImageError(
            f"Its numbers have {told} bits of a kind that cannot be read"
        )
    if dtype.kind == "c":
        raise NotAnImageError("Its numbers are complex, which is no picture")
    if page.imagedepth > 1:
        raise NotAnImageError("A volume within one page, which cannot be read")
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    if photometric in (32844, 32845):
        raise NotAnImageError("Its colours are LogLuv numbers, which cannot be read")
    if photometric in (32803, 34892) and samples == 1:
        raise NotAnImageError("The raw picture of a camera; develop it to a TIFF first")
    colour, n_colours = _colour(page, photometric, samples, is_index)
    alpha, premultiplied, n_channels = None, False, 1
    extras = tuple(int(extra) for extra in page.extrasamples)
    extra = extras[0] if extras else None
    if n_colours == 1:
        if samples == 2 and extra in (_ASSOCIATED, _UNASSOCIATED):
            alpha, premultiplied = 1, extra == _ASSOCIATED
        else:
            n_channels = samples
    elif samples > n_colours:
        # four numbers of RGB that say nothing of the fourth: it is transparency
        if extra in (_ASSOCIATED, _UNASSOCIATED) or not extras:
            alpha, premultiplied = n_colours, extra == _ASSOCIATED
    bits = told if isinstance(told, int) else 8 * dtype.itemsize
    if dtype.kind == "f":
        bits = 0
    elif bits < 8:
        dtype, bits = np.dtype(np.uint8), 8
    if colour == "palette":
        dtype, bits = np.dtype(np.uint8), 8
    elif "lab" in colour:
        dtype = np.dtype(np.uint8 if dtype.itemsize == 1 else np.uint16)
        bits = 8 * dtype.itemsize
    try:
        turn = int(page.tags.valueof(274, 1))
    except (TypeError, ValueError):
        turn = 1
    return PageKind(
        width=int(page.imagewidth),
        height=int(page.imagelength),
        turn=turn if 1 <= turn <= 8 else 1,
        dtype=dtype.newbyteorder("="),
        bits=bits,
        colour=colour,
        n_channels=n_channels,
        alpha=alpha,
        premultiplied=premultiplied,
    )


def _colour(
    page: tifffile.TiffPage, photometric: int, samples: int, is_index: bool
) -> tuple[str, int]:
    """Return the name, and how many numbers make up a colour."""
    if photometric == _PALETTE and samples == 1:
        if is_index and page.colormap is not None:
            return "palette", 1
    elif photometric in (_RGB, 34892) and samples in (3, 4):
        return "rgb", 3
    elif photometric == _CMYK and samples in (4, 5):
        return "cmyk", 4
    elif photometric == _YCBCR and samples >= 3:
        at_once = int(page.compression) in _RGB_AT_ONCE and page.planarconfig == 1
        return "rgb" if at_once else "ycbcr", 3
    elif photometric in _LABS and samples >= 3:
        return _LABS[photometric], 3
    return "inverted" if photometric == _WHITE_IS_0 else "grey", 1


def flatten(
    stored: NDArray[np.generic], kind: PageKind, page: tifffile.TiffPage
) -> NDArray[np.generic]:
    """Return stored numbers as grey or RGB; what is transparent is white.

    Parameters
    ----------
    stored : (height, width, samples), those that `PageKind.needed` names.

    Returns
    -------
    (height, width) or (height, width, 3), of the kind's dtype.
    """
    alpha = None
    if kind.alpha is not None and stored.shape[2] > 1:
        stored, alpha = stored[..., :-1], stored[..., -1]
    if kind.colour == "palette":
        picture = _from_palette(stored[..., 0], page)
        return picture if alpha is None else _on_white(picture, alpha, kind)
    if isinstance(page.bitspersample, int) and page.bitspersample < 8:
        stored = _to_8_bits(stored, page.bitspersample)
        alpha = None if alpha is None else _to_8_bits(alpha, page.bitspersample)
    if kind.colour == "inverted":
        stored = _inverted(stored, kind)
    elif kind.colour == "cmyk":
        stored = _from_cmyk(stored, kind)
    elif kind.colour == "ycbcr":
        stored = _from_ycbcr(stored, kind)
    elif "lab" in kind.colour:
        stored = _from_lab(stored, kind)
    if alpha is not None:
        stored = _on_white(stored, alpha, kind)
    stored = stored.astype(kind.dtype, copy=False)
    return stored if kind.samples == 3 else stored[..., 0]


def upright(picture: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """Return a picture as the orientation tag's value says that it is seen."""
    if turn >= 5:
        picture = picture.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if turn in (3, 4, 7, 8):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def white(dtype: np.dtype[Any], bits: int) -> Any:
    """Return the number of white: the largest, or 1."""
    if dtype.kind == "f":
        return 1.0
    if dtype.kind == "i":
        return int(np.iinfo(dtype).max)
    return (1 << bits) - 1


def _to_8_bits(numbers: NDArray[np.generic], bits: int) -> NDArray[np.generic]:
    top = (1 << bits) - 1
    table = np.array([round(255 * i / top) for i in range(top + 1)], np.uint8)
    return table[numbers.astype(np.uint8)]


def _inverted(numbers: NDArray[Any], kind: PageKind) -> NDArray[np.generic]:
    if numbers.dtype.kind == "f":
        return (1 - numbers).astype(numbers.dtype)
    if numbers.dtype.kind == "i":
        return ~numbers
    inverted: NDArray[np.generic] = (
        numbers.dtype.type(white(numbers.dtype, kind.bits)) - numbers
    )
    return inverted


def _from_palette(
    indices: NDArray[np.generic], page: tifffile.TiffPage
) -> NDArray[np.uint8]:
    palette = np.asarray(page.colormap)
    if palette.ndim != 2 or palette.shape[0] != 3 or palette.shape[1] < 1:
        raise DamagedImageError("The file is damaged (its palette has no colours)")
    if palette.max() > 255:  # some writers put 8 bits into the tag's 16
        palette = palette >> 8
    colours = np.ascontiguousarray(palette.T.astype(np.uint8))
    return colours.take(indices.astype(np.intp), axis=0, mode="clip")


def _on_white(
    colours: NDArray[Any], alpha: NDArray[Any], kind: PageKind
) -> NDArray[np.generic]:
    """Lay colours on paper, some rows at a time so that it takes little memory."""
    top = white(colours.dtype, kind.bits)
    full = white(alpha.dtype, kind.bits)
    if (alpha == full).all():
        return colours
    laid = np.empty_like(colours)
    whole = colours.dtype.kind == "u" and colours.dtype.itemsize <= 2
    for rows in _blocks(colours):
        numbers, opacity = colours[rows], alpha[rows, :, None]
        if whole and full == top:
            # products of 16 bits just fit into 32; halves cannot occur: top is odd
            paper = np.uint32(top) - opacity
            if kind.premultiplied:
                seen = np.minimum(numbers + paper, np.uint32(top))
            else:
                seen = numbers * opacity.astype(np.uint32) + np.uint32(top) * paper
                seen = (seen + np.uint32(top // 2)) // np.uint32(top)
        else:
            share = opacity.astype(np.float64) / full
            seen = numbers.astype(np.float64)
            if not kind.premultiplied:
                seen *= share
            seen += top * (1 - share)
            if colours.dtype.kind != "f":
                seen = np.clip(np.rint(seen), 0, top)
        laid[rows] = seen
    return laid


def _from_cmyk(inks: NDArray[Any], kind: PageKind) -> NDArray[np.generic]:
    top = white(inks.dtype, kind.bits)
    colours = np.empty((*inks.shape[:2], 3), inks.dtype)
    for rows in _blocks(inks):
        if inks.dtype.kind == "u" and inks.dtype.itemsize <= 2:
            paper = np.uint32(top) - inks[rows]
            seen = paper[..., :3] * paper[..., 3:] + np.uint32(top // 2)
            colours[rows] = seen // np.uint32(top)
        else:
            bare = top - inks[rows].astype(np.float64)
            product = bare[..., :3] * bare[..., 3:] / top
            colours[rows] = product if inks.dtype.kind == "f" else np.rint(product)
    return colours


def _blocks(pixels: NDArray[Any]) -> list[slice]:
    """Return rows in blocks of some hundred thousand numbers."""
    step = max(1, 300_000 // max(1, pixels[0].size))
    return [slice(y, y + step) for y in range(0, len(pixels), step)]


def _from_ycbcr(numbers: NDArray[Any], kind: PageKind) -> NDArray[np.generic]:
    top = white(numbers.dtype, kind.bits)
    half = (top + 1) / 2 if numbers.dtype.kind != "f" else 0.5
    colours = np.empty_like(numbers)
    for row, pixels in enumerate(numbers):
        y, cb, cr = pixels.astype(np.float64).T
        cb, cr = cb - half, cr - half
        seen = np.stack(
            (y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb), 1
        )
        colours[row] = np.clip(
            seen if numbers.dtype.kind == "f" else np.rint(seen), 0, top
        )
    return colours


def _from_lab(numbers: NDArray[Any], kind: PageKind) -> NDArray[np.generic]:
    """Turn CIE L*a*b* under D50 into sRGB."""
    top = white(kind.dtype, kind.bits)
    wide = kind.dtype.itemsize == 2
    signed = kind.colour == "cielab"
    colours = np.empty(numbers.shape, kind.dtype)
    for row, pixels in enumerate(numbers):
        light = pixels[:, 0].astype(np.float64) * 100 / top
        chroma = pixels[:, 1:3]
        if signed:
            chroma = chroma.astype(np.int16 if wide else np.int8).astype(np.float64)
            chroma = chroma / 256 if wide else chroma
        else:
            chroma = chroma.astype(np.float64) / (256 if wide else 1) - 128
        fy = (light + 16) / 116
        f = np.stack((fy + chroma[:, 0] / 500, fy, fy - chroma[:, 1] / 200), 1)
        xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2)
        linear = np.clip((xyz * _D50) @ _XYZ_TO_SRGB.T, 0, 1)
        seen = np.where(
            linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
        )
        colours[row] = np.rint(seen * top)
    return colours


_D50 = np.array([0.9642, 1.0, 0.8251])
# from XYZ under D50, by Bradford's adaptation, to linear sRGB
_XYZ_TO_SRGB = np.array(
    [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
)
