"""Minimal files of Leica's and Nikon's microscopes, for which no package writes any."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

# --- LIF: a header of XML, then blocks of memory -------------------------------------


def lif(images: list[str], blocks: list[bytes]) -> bytes:
    """Return a file of images (see `lif_image`) and of the blocks that they name."""
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="file"><Data/><Memory'
        ' Size="0" MemoryBlockID="MemBlock_x"/><Children>'
        + "".join(images)
        + "</Children></Element></LMSDataContainerHeader>"
    )
    parts = [_lif_words(xml)]
    for number, block in enumerate(blocks):
        name = f"MemBlock_{number}"
        head = struct.pack("<BQBI", 0x2A, len(block), 0x2A, len(name))
        head += name.encode("utf-16-le")
        parts.append(struct.pack("<II", 0x70, len(head)) + head + block)
    return b"".join(parts)


def _lif_words(xml: str) -> bytes:
    words = xml.encode("utf-16-le")
    size = struct.pack("<I", len(words) // 2)
    return struct.pack("<II", 0x70, len(words) + 5) + b"*" + size + words


#: DimID of each axis.
AXES = {"X": 1, "Y": 2, "Z": 3, "T": 4, "M": 10}


def lif_image(
    number: int,
    pixels: np.ndarray,
    axes: str,
    luts: tuple[str, ...] = ("Gray",),
    bits: int = 0,
    metres: float = 0.0,
    name: str = "",
) -> str:
    """Return the XML of an image in the block of that number.

    Parameters
    ----------
    pixels
        As they lie in the block.
    axes
        Names of the axes, outermost first; "C": channels, "S" (the last): colours.
    metres
        Between pixels.
    """
    bits = bits or 8 * pixels.dtype.itemsize
    steps = dict(zip(axes, pixels.strides, strict=True))
    sizes = dict(zip(axes, pixels.shape, strict=True))
    channels, dimensions = "", ""
    step = steps.get("C", steps.get("S", 0))
    for index, lut in enumerate(luts):
        tag = index + 1 if "S" in axes else 0
        channels += (
            f'<ChannelDescription DataType="{int(pixels.dtype.kind == "f")}"'
            f' ChannelTag="{tag}" Resolution="{bits}" NameOfMeasuredQuantity=""'
            f' Min="0" Max="1" Unit="" LUTName="{lut}" IsLUTInverted="0"'
            f' BytesInc="{index * step}" BitInc="0">'
            f"<ChannelProperty><Key>DyeName</Key><Value>dye {index}</Value>"
            "</ChannelProperty></ChannelDescription>"
        )
    for axis in axes[::-1]:
        if axis in "CS":
            continue
        n = sizes[axis]
        dimensions += (
            f'<DimensionDescription DimID="{AXES[axis]}" NumberOfElements="{n}"'
            f' Origin="0" Length="{metres * (n - 1)}" Unit="m"'
            f' BytesInc="{steps[axis]}" BitInc="0"/>'
        )
    return (
        f'<Element Name="{name or f"image {number}"}"><Data><Image><ImageDescription>'
        f"<Channels>{channels}</Channels><Dimensions>{dimensions}</Dimensions>"
        f'</ImageDescription></Image></Data><Memory Size="{pixels.nbytes}"'
        f' MemoryBlockID="MemBlock_{number}"/></Element>'
    )


# --- ND2: chunks with names, and a map of them at the end ----------------------------

_FILE = b"ND2 FILE SIGNATURE CHUNK NAME01!"
_MAP = b"ND2 FILEMAP SIGNATURE NAME 0001!"
_END = b"ND2 CHUNK MAP SIGNATURE 0000001!"


def _chunk(name: bytes, data: bytes, reserve: int = 0) -> bytes:
    name = name.ljust(reserve, b"\0")
    return struct.pack("<IIQ", 0x0ABECEDA, len(name), len(data)) + name + data


def words_of(tree: dict[str, Any]) -> bytes:
    """Return a tree as ND2 has it: types, names in UTF-16, values."""
    parts = []
    for name, value in tree.items():
        title = (name + "\0").encode("utf-16-le")
        if isinstance(value, dict):
            kind, inner = 11, words_of(value)
            length = 2 + len(title) + 12 + len(inner)
            data = (
                struct.pack("<IQ", len(value), length) + inner + bytes(8 * len(value))
            )
        elif isinstance(value, bool):
            kind, data = 1, struct.pack("B", value)
        elif isinstance(value, int):
            kind, data = 3, struct.pack("<I", value)
        elif isinstance(value, float):
            kind, data = 6, struct.pack("<d", value)
        else:
            kind, data = 8, (value + "\0").encode("utf-16-le")
        parts.append(struct.pack("BB", kind, len(title) // 2) + title + data)
    return b"".join(parts)


#: Numbers of the kinds of loops.
LOOPS = {"T": 1, "P": 2, "Z": 4}


def _experiment(loops: list[tuple[str, int]]) -> dict[str, Any]:
    (axis, n), *inner = loops
    about: dict[str, Any] = {"uiCount": n}
    if axis == "T":
        about |= {"dStart": 0.0, "dPeriod": 1.0, "dDuration": 1.0}
    if axis == "Z":
        about |= {"dZStep": 1.0}
    if axis == "P":
        about["Points"] = {
            f"i{index:010}": {"dPosX": 0.0, "dPosY": 0.0} for index in range(n)
        }
    tree: dict[str, Any] = {"eType": LOOPS[axis], "uLoopPars": about}
    if inner:
        tree["ppNextLevelEx"] = {"i0000000000": _experiment(inner)}
    return tree


def nd2(
    frames: np.ndarray,
    loops: list[tuple[str, int]],
    names: tuple[str, ...] = ("",),
    colours: tuple[int, ...] = (0xFFFFFF,),
    bits: int = 0,
    size: float = 0.0,
    packed: bool = False,
    left_out: tuple[int, ...] = (),
) -> bytes:
    """Return a file of frames: (frames, height, width, channels × parts).

    Parameters
    ----------
    loops
        What the frames follow each other in, outermost first.
    colours
        Of each channel: blue, green, red in the digits' order.
    size
        Of a pixel, in µm; 0: not told.
    packed
        Frames are deflated.
    left_out
        Frames that the file does not have.
    """
    n, height, width, components = frames.shape
    item = frames.dtype.itemsize
    attributes = {
        "uiWidth": width,
        "uiWidthBytes": width * components * item,
        "uiHeight": height,
        "uiComp": components,
        "uiBpcInMemory": 8 * item,
        "uiBpcSignificant": bits or 8 * item,
        "uiSequenceCount": n,
        "eCompression": 0 if packed else 2,
    }
    planes = {
        f"i{index:010}": {
            "uiSampleIndex": index,
            "sDescription": name,
            "uiColor": colour,
            "uiCompCount": components // len(names),
            "pFluorescentProbe": {"m_EmissionSpectrum": {"uiCount": 0}},
            "pFilterPath": {"m_pFilter": {}},
        }
        for index, (name, colour) in enumerate(zip(names, colours, strict=True))
    }
    metadata = {
        "bCalibrated": size > 0,
        "dCalibration": size,
        "sPicturePlanes": {"uiCount": len(names), "sPlaneNew": planes},
    }
    chunks: list[tuple[bytes, bytes]] = [
        (b"ImageAttributesLV!", words_of({"SLxImageAttributes": attributes})),
        (b"ImageMetadataSeqLV|0!", words_of({"SLxPictureMetadata": metadata})),
    ]
    if loops:
        tree = words_of({"SLxExperiment": _experiment(loops)})
        chunks.append((b"ImageMetadataLV!", tree))
    for index, frame in enumerate(frames):
        data = frame.tobytes()
        data = zlib.compress(data) if packed else data
        if index not in left_out:
            chunks.append((f"ImageDataSeq|{index}!".encode(), bytes(8) + data))
    content = _chunk(_FILE, b"Ver3.0".ljust(64, b"\0"))
    entries = b""
    for name, data in chunks:
        # pixels begin 4096 bytes after the chunk: 16 of its head, names, 8 of time
        chunk = _chunk(name, data, 4072)
        entries += name + struct.pack("<QQ", len(content), len(data))
        content += chunk
    where = len(content)
    entries += _END + struct.pack("<Q", where)
    return content + _chunk(_MAP, entries, 48)
