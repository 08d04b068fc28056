"""DICOM, written by pydicom (and imagecodecs), against known numbers."""

from __future__ import annotations

import io
import logging
import struct
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    MPEG2MPML,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from orangecontrib.imagemining.exceptions import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    NotAnImageError,
)
from orangecontrib.imagemining.images.formats import dicom
from orangecontrib.imagemining.images.limits import Limits

ROWS, COLUMNS = 12, 16
N = ROWS * COLUMNS
NAME = "Secret^Patient"
RAMP = np.linspace(0, 4095, N).astype(np.uint16).reshape(ROWS, COLUMNS)
BYTES = (RAMP >> 4).astype(np.uint8)
RGB = np.stack([BYTES, BYTES[::-1], BYTES[:, ::-1]], -1)


def dataset(
    pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **words: Any
) -> FileDataset:
    """Return a data set whose frames are the pixels' first axis, uncompressed."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = syntax
    data = FileDataset(
        None,
        {},
        b"\0" * 128,
        meta,
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax != ExplicitVRBigEndian,
    )
    data.SOPClassUID = CTImageStorage
    data.SOPInstanceUID = "1.2.3.4"
    data.PatientName = NAME
    data.PatientID = NAME
    data.Rows, data.Columns = pixels.shape[1:3]
    data.SamplesPerPixel = pixels.shape[3] if pixels.ndim == 4 else 1
    data.PhotometricInterpretation = "RGB" if pixels.ndim == 4 else "MONOCHROME2"
    if pixels.ndim == 4:
        data.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit = bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    if len(pixels) > 1:
        data.NumberOfFrames = len(pixels)
    for key, value in words.items():
        setattr(data, key, value)
    data.HighBit = words.get("HighBit", data.BitsStored - 1)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    return data


def compressed(
    pixels: np.ndarray, syntax: str, encode: Callable[..., bytes], **words: Any
) -> FileDataset:
    """Return a data set of frames that each were packed by `encode`."""
    data = dataset(pixels, syntax, **words)
    data.PixelData = encapsulate([encode(frame) for frame in pixels])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    return data


def content(data: FileDataset) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():  # of pydicom's, on what the tests do wrong
        warnings.simplefilter("ignore")
        data.save_as(stream, enforce_file_format=data.preamble is not None)
    return stream.getvalue()


def opened(data: FileDataset | bytes, limits: Limits | None = None) -> Any:
    raw = data if isinstance(data, bytes) else content(data)
    assert dicom.FAMILY.recognises(raw[:1024], None)
    return dicom.FAMILY.open(io.BytesIO(raw), None, limits or Limits())


def plane(data: FileDataset | bytes, t: int = 0, z: int = 0) -> np.ndarray:
    return opened(data).plane(0, t, z, 0)


def halved(rgb: np.ndarray) -> bytes:
    """Return YBR_FULL_422 of pixels whose neighbours' colours are equal."""
    ybr = ycbcr(rgb).reshape(ROWS, COLUMNS // 2, 2, 3)
    parts = [ybr[..., 0, 0], ybr[..., 1, 0], ybr[..., 0, 1], ybr[..., 0, 2]]
    return np.stack(parts, -1).tobytes()


def ycbcr(rgb: np.ndarray) -> np.ndarray:
    r, g, b = np.moveaxis(rgb.astype(float), -1, 0)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    cb, cr = 128 + (b - y) / 1.772, 128 + (r - y) / 1.402
    return np.clip(np.rint(np.stack([y, cb, cr], -1)), 0, 255).astype(np.uint8)


def codestream(frame: np.ndarray) -> bytes:
    return imagecodecs.jpeg2k_encode(frame, level=0, codecformat="j2k")


class Case(NamedTuple):
    row: tuple[str, str, str]  # bit depth, channels, compression
    data: Callable[[], FileDataset | bytes]
    expected: np.ndarray | None  # None: not read
    tolerance: int = 0
    words: str = ""  # of the reason, where it is not read


def jpeg(**words: Any) -> Callable[[np.ndarray], bytes]:
    return lambda frame: imagecodecs.jpeg8_encode(frame, level=100, **words)


def palette() -> FileDataset:
    data = dataset(BYTES[None], PhotometricInterpretation="PALETTE COLOR")
    for index, colour in enumerate(("Red", "Green", "Blue")):
        table = np.roll(np.arange(256, dtype=np.uint16) * 256 + 7, index * 40)
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(data, f"{colour}PaletteColorLookupTableData", table.tobytes())
    return data


def floats() -> FileDataset:
    data = dataset(RAMP[None])
    del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
    data.BitsAllocated = 32
    data.FloatPixelData = (RAMP / np.float32(4095)).astype("<f4").tobytes()
    return data


def one_bit() -> FileDataset:
    data = dataset(BYTES[None])
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    bits = np.packbits((BYTES > 99).ravel(), bitorder="little")
    data.PixelData = bits.tobytes()
    return data


def signed(frames: np.ndarray) -> np.ndarray:
    return (frames.astype(np.int32) - 2048).astype(np.int16)


def planar() -> FileDataset:
    data = dataset(RGB[None], PlanarConfiguration=1)
    data.PixelData = RGB.transpose(2, 0, 1).tobytes()
    return data


def half_colours() -> FileDataset:
    data = dataset(RGB[None], PhotometricInterpretation="YBR_FULL_422")
    data.PixelData = halved(SMOOTH)
    return data


def run_lengths(pixels: np.ndarray, **words: Any) -> FileDataset:
    data = dataset(pixels, **words)
    data.compress(RLELossless, generate_instance_uid=False)
    return data


def jpeg_xl() -> bytes:
    data = compressed(BYTES[None], HTJ2KLossless, imagecodecs.jpegxl_encode)
    # pydicom does not write files of a kind that it does not know
    return content(data).replace(HTJ2KLossless.encode(), b"1.2.840.10008.1.2.4.110")


#: neighbours' colours are equal
SMOOTH = RGB[:, ::2].repeat(2, 1)
TWELVE = {"BitsStored": 12}
YBR = {"PhotometricInterpretation": "YBR_FULL"}
DEEP = RGB.astype(np.uint16) * 257
TABLE = np.stack([np.roll(np.arange(256), shift)[BYTES] for shift in (0, 40, 80)], -1)
WHOLE = RAMP.astype(np.uint32) << 18

CASES = [
    Case(("1", "grey", "none"), one_bit, np.where(BYTES > 99, 255, 0).astype("u1")),
    Case(("8", "grey", "none"), lambda: dataset(BYTES[None]), BYTES),
    Case(("12 of 16", "grey", "none"), lambda: dataset(RAMP[None], **TWELVE), RAMP),
    Case(("16", "grey", "none"), lambda: dataset(RAMP[None] * 16), RAMP * 16),
    Case(
        ("16 signed", "grey", "none"), lambda: dataset(signed(RAMP)[None]), signed(RAMP)
    ),
    Case(("32", "grey", "none"), lambda: dataset(WHOLE[None]), WHOLE),
    Case(("32 float", "grey", "none"), floats, (RAMP / np.float32(4095)).astype("f4")),
    Case(
        ("16", "grey", "none, big endian"),
        lambda: dataset(RAMP[None], ExplicitVRBigEndian),
        RAMP,
    ),
    Case(
        ("16", "grey", "none, types not written"),
        lambda: dataset(RAMP[None], ImplicitVRLittleEndian),
        RAMP,
    ),
    Case(
        ("16", "grey", "Deflate of the whole file"),
        lambda: dataset(RAMP[None], DeflatedExplicitVRLittleEndian),
        RAMP,
    ),
    Case(
        ("8", "grey, 0 is white", "none"),
        lambda: dataset(BYTES[None], PhotometricInterpretation="MONOCHROME1"),
        255 - BYTES,
    ),
    Case(("8", "palette", "none"), palette, TABLE.astype(np.uint8)),
    Case(("8", "RGB", "none"), lambda: dataset(RGB[None]), RGB),
    Case(("8", "RGB, planar", "none"), planar, RGB),
    Case(("16", "RGB", "none"), lambda: dataset(DEEP[None]), DEEP),
    Case(("8", "YCbCr", "none"), lambda: dataset(ycbcr(RGB)[None], **YBR), RGB, 2),
    Case(("8", "YCbCr 4:2:2", "none"), half_colours, SMOOTH, 2),
    Case(("8", "grey", "RLE"), lambda: run_lengths(BYTES[None]), BYTES),
    Case(("16", "grey", "RLE"), lambda: run_lengths(RAMP[None]), RAMP),
    Case(("8", "RGB", "RLE"), lambda: run_lengths(RGB[None]), RGB),
    Case(
        ("8", "grey", "JPEG"),
        lambda: compressed(BYTES[None], JPEGBaseline8Bit, jpeg()),
        BYTES,
        3,
    ),
    Case(
        ("8", "YCbCr", "JPEG"),
        lambda: compressed(
            SMOOTH[None], JPEGBaseline8Bit, jpeg(subsampling="444"), **YBR
        ),
        SMOOTH,
        6,
    ),
    Case(
        ("8", "RGB", "JPEG"),
        lambda: compressed(
            RGB[None],
            JPEGBaseline8Bit,
            jpeg(colorspace="RGB", outcolorspace="RGB"),
        ),
        RGB,
        6,
    ),
    Case(
        ("12 of 16", "grey", "JPEG, 12 bit"),
        lambda: compressed(
            RAMP[None], JPEGExtended12Bit, jpeg(bitspersample=12), **TWELVE
        ),
        RAMP,
        12,
    ),
    Case(
        ("16", "grey", "JPEG lossless"),
        lambda: compressed(
            RAMP[None] * 16, JPEGLosslessSV1, jpeg(bitspersample=16, lossless=True)
        ),
        RAMP * 16,
    ),
    Case(
        ("16", "grey", "JPEG-LS"),
        lambda: compressed(RAMP[None], JPEGLSLossless, imagecodecs.jpegls_encode),
        RAMP,
    ),
    Case(
        ("8", "RGB", "JPEG-LS"),
        lambda: compressed(RGB[None], JPEGLSLossless, imagecodecs.jpegls_encode),
        RGB,
    ),
    Case(
        ("16", "grey", "JPEG 2000"),
        lambda: compressed(RAMP[None], JPEG2000Lossless, codestream),
        RAMP,
    ),
    Case(
        ("16 signed", "grey", "JPEG 2000"),
        lambda: compressed(signed(RAMP)[None], JPEG2000Lossless, codestream),
        signed(RAMP),
    ),
    Case(
        ("8", "RGB", "JPEG 2000"),
        lambda: compressed(
            RGB[None],
            JPEG2000Lossless,
            codestream,
            PhotometricInterpretation="YBR_RCT",
        ),
        RGB,
    ),
    Case(
        ("16", "grey", "high-throughput JPEG 2000"),
        lambda: compressed(RAMP[None], HTJ2KLossless, imagecodecs.htj2k_encode),
        RAMP,
    ),
    Case(
        ("8", "YCbCr", "MPEG"),
        lambda: compressed(RGB[None], MPEG2MPML, lambda frame: b"video", **YBR),
        None,
        words="video",
    ),
    Case(("8", "grey", "JPEG XL"), jpeg_xl, None, words="compression"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: " | ".join(case.row))
def test_kinds(case: Case) -> None:
    file = opened(case.data())
    if case.expected is None:
        with pytest.raises(ImageError, match=case.words):
            file.plane(0, 0, 0, 0)
        return
    found = file.plane(0, 0, 0, 0)
    (series,) = file.series
    assert found.dtype == case.expected.dtype == series.dtype
    assert found.shape == case.expected.shape
    assert (series.samples == 3) == (found.ndim == 3)
    difference = np.abs(found.astype(float) - case.expected)
    assert difference.max() <= case.tolerance
    assert file.format == "DICOM"
    assert series.n_planes == 1


def test_what_is_told() -> None:
    file = opened(dataset(RAMP[None], BitsStored=12, PixelSpacing=[0.25, 0.5]))
    (series,) = file.series
    assert (series.width, series.height) == (COLUMNS, ROWS)
    assert series.bits == 12
    assert series.pixel_size == (500.0, 250.0)  # of columns first
    assert series.levels == ((COLUMNS, ROWS),)
    assert NAME not in repr(file.series)


@pytest.mark.parametrize("spacing", [[0, 1], [-1, 1], None, ""])
def test_pixel_sizes_that_are_none(spacing: Any) -> None:
    assert (
        opened(dataset(RAMP[None], PixelSpacing=spacing)).series[0].pixel_size is None
    )


def test_slope_and_intercept() -> None:
    data = dataset(RAMP[None], BitsStored=12, RescaleSlope=1, RescaleIntercept=-1024)
    file = opened(data)
    # whole numbers stay whole; -1024 to 3071 takes 13 bits with the sign
    assert file.series[0].dtype == "int16" and file.series[0].bits == 13
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), RAMP.astype(int) - 1024)
    data = dataset(RAMP[None], BitsStored=12, RescaleSlope=2, RescaleIntercept=1)
    file = opened(data)
    assert file.series[0].dtype == "uint16" and file.series[0].bits == 13
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), 2 * RAMP + 1)
    file = opened(dataset(RAMP[None], RescaleSlope="0.5", RescaleIntercept="0.25"))
    assert file.series[0].dtype == "float32" and file.series[0].bits == 0
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), RAMP / 2 + 0.25)
    # a slope of 0 would leave nothing of the image
    np.testing.assert_array_equal(plane(dataset(RAMP[None], RescaleSlope=0)), RAMP)


def test_inverted_greys_of_more_bits() -> None:
    data = dataset(RAMP[None], BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(plane(data), 4095 - RAMP)
    data = dataset(signed(RAMP)[None], PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(plane(data), -1 - signed(RAMP))
    data = dataset(RAMP[None], BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    np.testing.assert_array_equal(plane(data), 3071 - RAMP.astype(int))
    data = floats()
    data.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_allclose(plane(data), 1 - RAMP / 4095, atol=1e-6)


def test_table_of_greys() -> None:
    table = np.arange(4096, dtype=np.uint16)[::-1] * 3
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.ModalityLUTType = "US"
    item.LUTData = table.tobytes()
    item["LUTData"].VR = "OW"
    data = dataset(RAMP[None], BitsStored=12, ModalityLUTSequence=Sequence([item]))
    file = opened(data)
    assert file.series[0].dtype == "uint16"
    np.testing.assert_array_equal(file.plane(0, 0, 0, 0), table[RAMP])


def test_what_lies_in_the_upper_bits_is_left_out() -> None:
    # old files kept drawings there
    data = dataset((RAMP | 0x5000)[None], BitsStored=12)
    np.testing.assert_array_equal(plane(data), RAMP)
    data = dataset((RAMP << 4 | 5)[None], BitsStored=12, HighBit=15)
    np.testing.assert_array_equal(plane(data), RAMP)
    small = (RAMP.astype(int) - 2048).astype(np.int16)
    data = dataset((small & 0x0FFF)[None], BitsStored=12)
    np.testing.assert_array_equal(plane(data), small)
    assert opened(data).series[0].bits == 12


FRAMES = np.stack([RAMP + index for index in range(6)])


def test_frames_are_depths() -> None:
    file = opened(dataset(FRAMES))
    assert (file.series[0].n_times, file.series[0].n_depths) == (1, 6)
    for index in range(6):
        np.testing.assert_array_equal(file.plane(0, 0, index, 0), FRAMES[index])


@pytest.mark.parametrize(
    "words",
    [
        {"FrameTime": "40"},
        {"FrameTimeVector": ["0"] * 6},
        {"FrameTime": "40", "FrameIncrementPointer": 0x00181063},
    ],
)
def test_frames_are_times(words: dict[str, Any]) -> None:
    file = opened(dataset(FRAMES, **words))
    assert (file.series[0].n_times, file.series[0].n_depths) == (6, 1)
    np.testing.assert_array_equal(file.plane(0, 4, 0, 0), FRAMES[4])


def test_frames_whose_pointer_names_something_else() -> None:
    data = dataset(FRAMES, FrameTime="40", FrameIncrementPointer=0x00200013)
    assert opened(data).series[0].n_depths == 6


def enhanced(frames: np.ndarray) -> FileDataset:
    """Return three times of two depths, in no order, each with its own slope."""
    data = dataset(frames)
    per_frame = []
    for index in range(6):
        group, where, value = Dataset(), Dataset(), Dataset()
        where.TemporalPositionIndex = 3 - index % 3
        where.InStackPositionNumber = 1 + index // 3
        where.StackID = "1"
        value.RescaleSlope, value.RescaleIntercept = index + 1, 0
        group.FrameContentSequence = Sequence([where])
        group.PixelValueTransformationSequence = Sequence([value])
        per_frame.append(group)
    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing = [0.001, 0.002]
    shared.PixelMeasuresSequence = Sequence([measures])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence(per_frame)
    return data


def test_what_is_said_of_each_frame() -> None:
    file = opened(enhanced(FRAMES))
    (series,) = file.series
    assert (series.n_times, series.n_depths) == (3, 2)
    assert series.pixel_size == pytest.approx((2, 1))
    assert series.dtype == "uint32"  # 65535 times 6
    for index in range(6):
        found = file.plane(0, 2 - index % 3, index // 3, 0)
        np.testing.assert_array_equal(found, FRAMES[index].astype(int) * (index + 1))


class Counted(io.BytesIO):
    """Counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("packed", [False, True])
def test_one_frame_is_read_alone(packed: bool) -> None:
    frames = np.random.default_rng(0).integers(0, 65536, (40, 60, 70), np.uint16)
    data = dataset(frames)
    if packed:
        data = compressed(frames, JPEGLSLossless, imagecodecs.jpegls_encode)
    raw = content(data)
    stream = Counted(raw)
    file = dicom.FAMILY.open(stream, None, Limits())
    assert stream.count < 5000
    np.testing.assert_array_equal(file.plane(0, 0, 30, 0), frames[30])
    assert stream.count < len(raw) / 20


def test_a_corrupt_frame_is_lost_alone() -> None:
    packed = [imagecodecs.jpegls_encode(frame) for frame in FRAMES]
    packed[2] = packed[2][:60] + b"\xff" * 40 + packed[2][100:]
    data = dataset(FRAMES, JPEGLSLossless)
    data.PixelData = encapsulate(packed)
    data["PixelData"].is_undefined_length = True
    file = opened(data)
    with pytest.raises(DamagedImageError):
        file.plane(0, 0, 2, 0)
    for index in (0, 1, 3, 4, 5):
        np.testing.assert_array_equal(file.plane(0, 0, index, 0), FRAMES[index])


def test_missing_frames_are_lost_alone() -> None:
    raw = content(dataset(FRAMES))
    file = opened(raw[:-N])  # half of the last
    np.testing.assert_array_equal(file.plane(0, 0, 4, 0), FRAMES[4])
    with pytest.raises(DamagedImageError, match="breaks off"):
        file.plane(0, 0, 5, 0)
    data = compressed(FRAMES, JPEGLSLossless, imagecodecs.jpegls_encode)
    data.NumberOfFrames = 8
    file = opened(data)
    assert file.series[0].n_depths == 8
    np.testing.assert_array_equal(file.plane(0, 0, 5, 0), FRAMES[5])
    with pytest.raises(DamagedImageError, match="no pixels"):
        file.plane(0, 0, 7, 0)
    raw = content(compressed(FRAMES, JPEGLSLossless, imagecodecs.jpegls_encode))
    file = opened(raw[:-30])
    np.testing.assert_array_equal(file.plane(0, 0, 4, 0), FRAMES[4])
    with pytest.raises(DamagedImageError):
        file.plane(0, 0, 5, 0)


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("pieces", [1, 3])
def test_frames_in_pieces(table: bool, pieces: int) -> None:
    data = dataset(FRAMES, JPEGLSLossless)
    packed = [imagecodecs.jpegls_encode(frame) for frame in FRAMES]
    data.PixelData = encapsulate(packed, fragments_per_frame=pieces, has_bot=table)
    data["PixelData"].is_undefined_length = True
    file = opened(data)
    for index in (5, 0, 3):
        np.testing.assert_array_equal(file.plane(0, 0, index, 0), FRAMES[index])


def test_frames_in_pieces_that_a_table_alone_tells_apart() -> None:
    whole = dataset(FRAMES)
    whole.compress(RLELossless, generate_instance_uid=False)
    packed = list(generate_frames(whole.PixelData, number_of_frames=6))
    data = dataset(FRAMES, RLELossless)
    data.PixelData = encapsulate(packed, fragments_per_frame=2, has_bot=True)
    data["PixelData"].is_undefined_length = True
    file = opened(data)
    for index in (5, 0, 3):
        np.testing.assert_array_equal(file.plane(0, 0, index, 0), FRAMES[index])


def test_long_table_of_frames() -> None:
    data = dataset(FRAMES, JPEGLSLossless)
    packed = [imagecodecs.jpegls_encode(frame) for frame in FRAMES]
    data.PixelData, offsets, lengths = encapsulate_extended(packed)
    data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = offsets, lengths
    data["PixelData"].is_undefined_length = True
    np.testing.assert_array_equal(plane(data, z=4), FRAMES[4])


def test_a_jpegs_own_word_on_its_colours_holds() -> None:
    # many writers leave "RGB" in the file when they pack as YCbCr
    data = compressed(SMOOTH[None], JPEGBaseline8Bit, jpeg(subsampling="444"))
    assert data.PhotometricInterpretation == "RGB"
    assert np.abs(plane(data).astype(int) - SMOOTH).max() < 7


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_files_without_their_beginning(syntax: str) -> None:
    raw = content(dataset(RAMP[None], syntax))
    bare = raw[132 + 12 + struct.unpack("<I", raw[140:144])[0] :]
    assert bare[:2] == b"\x08\0"
    np.testing.assert_array_equal(plane(bare), RAMP)
    # with what tells how it is written, but without the 132 bytes before that
    np.testing.assert_array_equal(plane(raw[132:]), RAMP)


@pytest.mark.parametrize(
    "start",
    [b"", b"\x08\0", b"\x08\0\x08\0CS" + b"\0" * 900, b"\x02\0\0\0UL\x04\0" * 99,
     bytes(1024), b"II*\0" + bytes(500), b"\x08\0\x16\0UI\x04\0abcd" + bytes(99)],
)  # fmt: skip
def test_what_is_no_dicom(start: bytes) -> None:
    assert not dicom.FAMILY.recognises(start, "a.dcm")


def test_directories_and_reports() -> None:
    data = dataset(RAMP[None])
    del data.PixelData
    with pytest.raises(NotAnImageError, match="report"):
        opened(data)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    with pytest.raises(NotAnImageError, match="DICOMDIR"):
        opened(data)


@pytest.mark.parametrize(
    "words",
    [
        {"Rows": 0},
        {"Columns": 0},
        {"NumberOfFrames": 0},
        {"NumberOfFrames": 2_000_000_000},
        {"SamplesPerPixel": 4},
        {"SamplesPerPixel": 3},
        {"PhotometricInterpretation": "CMYK"},
        {"BitsAllocated": 12},
    ],
)
def test_words_that_cannot_be(words: dict[str, Any]) -> None:
    with pytest.raises(ImageError) as caught:
        opened(dataset(RAMP[None], **words))
    assert NAME not in str(caught.value)


def test_too_many_pixels_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = compressed(RAMP[None], JPEGLSLossless, imagecodecs.jpegls_encode)
    monkeypatch.setattr(imagecodecs, "jpegls_decode", None)
    with pytest.raises(ImageTooLargeError, match="MAX_PIXELS"):
        opened(data, Limits(max_pixels=N - 1)).plane(0, 0, 0, 0)
    data.Rows += 1  # what is packed is of another size
    with pytest.raises(DamagedImageError, match="another size"):
        opened(data).plane(0, 0, 0, 0)


def test_what_unpacks_to_too_much_is_refused() -> None:
    raw = content(dataset(RAMP[None], DeflatedExplicitVRLittleEndian))
    head = raw[: 132 + 12 + struct.unpack("<I", raw[140:144])[0]]
    bomb = zlib.compressobj(wbits=-15)
    raw = head + bomb.compress(bytes(3 * 2**20)) + bomb.flush()
    with pytest.raises(ImageTooLargeError):
        opened(raw, Limits(max_pixels=1000))


def test_parts_beyond_the_edge_are_white() -> None:
    file = opened(dataset(BYTES[None]))
    part = file.region(0, (COLUMNS - 3, ROWS - 2, 5, 4))
    np.testing.assert_array_equal(part[:2, :3], BYTES[-2:, -3:])
    assert (part[2:] == 255).all() and (part[:, 3:] == 255).all()


@pytest.mark.parametrize(
    "where", [(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
)
def test_planes_that_are_not_there(where: tuple[int, int, int, int]) -> None:
    with pytest.raises(ImageError, match="no "):
        opened(dataset(RAMP[None])).plane(*where)


def test_damaged_files_give_reasons_and_keep_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    raw = content(compressed(FRAMES, JPEGLSLossless, imagecodecs.jpegls_encode))
    rng = np.random.default_rng(0)
    damaged = [raw[:length] for length in range(133, len(raw), 37)]
    for _ in range(150):
        flipped = bytearray(raw)
        for place in rng.integers(0, len(raw), 4):
            flipped[place] ^= 1 << rng.integers(8)
        damaged.append(bytes(flipped))
    n_failed = 0
    for content_ in damaged:
        if not dicom.FAMILY.recognises(content_[:1024], None):
            continue
        try:
            file = dicom.FAMILY.open(io.BytesIO(content_), None, Limits(10**6))
            for index in range(min(file.series[0].n_planes, 10)):
                found = file.series[0]
                t, z = divmod(index, found.n_depths)
                plane = file.plane(0, t, z, 0)
                assert plane.shape[:2] == (found.height, found.width)
                assert plane.dtype == found.dtype
        except ImageError as ex:
            n_failed += 1
            assert "Secret" not in str(ex)
    assert n_failed > 30
    assert "Secret" not in caplog.text
    assert not [entry for entry in caplog.records if entry.name.startswith("pydicom")]


def test_warnings_stay_inside() -> None:
    raw = content(dataset(RAMP[None], SpecificCharacterSet="ISO_IR 100"))
    raw = raw.replace(b"ISO_IR 100", b"ISO_IR 999")  # which there is none of
    with pytest.warns(UserWarning):
        dcmread(io.BytesIO(raw))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(plane(raw), RAMP)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = content(dataset(RAMP[None]))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match=r'pip install "Orange3-ImageMining\[dicom\]"'):
        opened(raw)


def test_several_threads_read_one_file() -> None:
    frames = np.random.default_rng(0).integers(0, 65536, (16, 30, 40), np.uint16)
    file = opened(dataset(frames))
    wrong: list[int] = []

    def read(first: int) -> None:
        for index in list(range(first, 16)) + list(range(first)):
            if (file.plane(0, 0, index, 0) != frames[index]).any():
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(first,)) for first in (0, 5, 9, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_closing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content(dataset(RAMP[None])))
    stream = open(path, "rb")
    file = dicom.FAMILY.open(stream, str(path), Limits())
    file.close()
    assert stream.closed
