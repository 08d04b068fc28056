"""The same picture gives the same vectors, whatever file it is stored in."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.specs import EmbedderSpec

Pixels = NDArray[Any]
SPEC = EmbedderSpec("squeezenet1_1", "features")


def ramp() -> Pixels:
    """Return all numbers of a camera of 12 bits."""
    return np.arange(4096, dtype=np.uint16).reshape(64, 64)


def picture(bits: int) -> Pixels:
    """Return a coloured picture that spans 8 bits, stored in 8 or in 16."""
    y, x = np.mgrid[:96, :128]
    waves = [np.sin(x / 9 + k) * np.cos(y / (7 + k)) for k in range(3)]
    values = np.clip(np.rint(np.dstack(waves) * 150 + 128), 0, 255)
    return (values * (257 if bits == 16 else 1)).astype(f"u{bits // 8}")


def pillow(pixels: Pixels, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def tiff(pixels: Pixels, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def dicom(pixels: Pixels) -> bytes:
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.FileDataset(None, {}, b"\0" * 128, meta)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, "1.2.3"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation, data.PixelData = 0, pixels.tobytes()
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


RAMPS: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: pillow(ramp(), "PNG"),
    "TIFF": lambda: tiff(ramp()),
    "TIFF by Pillow": lambda: pillow(ramp(), "TIFF"),
    "OME-TIFF": lambda: tiff(ramp(), ome=True, metadata={"axes": "YX"}),
    "DICOM": lambda: dicom(ramp()),
    "float TIFF": lambda: tiff(ramp().astype(np.float32)),
    "double TIFF": lambda: tiff(ramp().astype(np.float64), compression="zlib"),
    "32-bit TIFF": lambda: tiff(ramp().astype(np.uint32)),
    "signed TIFF": lambda: tiff(ramp().astype(np.int16)),
    "big-endian TIFF": lambda: tiff(ramp(), byteorder=">"),
    "JPEG 2000": lambda: imagecodecs.jpeg2k_encode(ramp(), level=0, reversible=True),
    "PGM": lambda: b"P5 64 64 4095\n" + ramp().astype(">u2").tobytes(),
}


def written(files: dict[str, Callable[[], bytes]], folder: Path) -> list[str]:
    paths = []
    for name, content in files.items():
        path = folder / f"{name}.any"
        path.write_bytes(content())
        paths.append(str(path))
    return paths


def embedded(sources: list[str]) -> NDArray[np.float64]:
    result = LocalEmbedder(SPEC, cache=VectorStore.in_memory())(sources)
    assert result.reasons == [None] * len(sources)
    return np.asarray(result.vectors, np.float64)


def cosines(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit[0]


def test_one_ramp_in_many_formats(tmp_path: Path) -> None:
    paths = written(RAMPS, tmp_path)
    with ImageReader() as reader:
        seen = {path: np.asarray(reader.read(path)) for path in paths}
    first = seen[paths[0]]
    low, high = np.percentile(ramp(), (0.1, 99.9))
    expected = np.clip(np.rint((ramp() - low) * (255 / (high - low))), 0, 255)
    np.testing.assert_array_equal(first, expected)
    for path, pixels in seen.items():
        if "PGM" in path:  # Pillow spreads its numbers over 16 bits, and rounds them
            assert np.abs(pixels.astype(int) - first).max() <= 1
        else:
            np.testing.assert_array_equal(pixels, first, err_msg=path)
    assert cosines(embedded(paths)).min() >= 0.9999


@pytest.mark.parametrize("words", ["", "#contrast=stored", "#contrast=full"])
def test_one_picture_in_8_and_in_16_bits(tmp_path: Path, words: str) -> None:
    files: dict[str, Callable[[], bytes]] = {
        "8-bit PNG": lambda: pillow(picture(8), "PNG"),
        "16-bit PNG": lambda: imagecodecs.png_encode(picture(16)),
        "8-bit TIFF": lambda: tiff(picture(8), photometric="rgb"),
        "16-bit TIFF": lambda: tiff(picture(16), photometric="rgb"),
        "16-bit planar TIFF": lambda: tiff(
            np.moveaxis(picture(16), 2, 0), photometric="rgb", planarconfig="separate"
        ),
        "16-bit JPEG 2000": lambda: imagecodecs.jpeg2k_encode(
            picture(16), level=0, reversible=True, codecformat="jp2"
        ),
    }
    sources = [path + words for path in written(files, tmp_path)]
    with ImageReader() as reader:
        for source in sources:
            np.testing.assert_array_equal(np.asarray(reader.read(source)), picture(8))
    assert cosines(embedded(sources)).min() >= 0.9999


@pytest.mark.parametrize("words", ["contrast=stored", "contrast=full"])
def test_grey_in_8_and_in_16_bits(tmp_path: Path, words: str) -> None:
    # dark: percentiles would brighten it, where 8 bits are as stored
    grey = picture(8)[..., 0] // 3
    files: dict[str, Callable[[], bytes]] = {
        "8": lambda: pillow(grey, "PNG"),
        "16": lambda: pillow(grey.astype(np.uint16) * 257, "PNG"),
        "16 as TIFF": lambda: tiff(grey.astype(np.uint16) * 257),
    }
    sources = [f"{path}#{words}" for path in written(files, tmp_path)]
    with ImageReader() as reader:
        for source in sources:
            np.testing.assert_array_equal(np.asarray(reader.read(source)), grey)
