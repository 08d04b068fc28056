"""JPEGs decoded smaller for networks, where nothing is lost."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from orangecontrib.imagemining.exceptions import DamagedImageError
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.crops import enough_for
from orangecontrib.imagemining.images.quick import MARGIN, decode_smaller, enough
from orangecontrib.imagemining.specs import Preprocess

SIZE = (640, 480)


def photograph(mode: str = "RGB", **options: object) -> bytes:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    smooth = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(6)).convert(mode)
    stream = io.BytesIO()
    smooth.save(stream, "JPEG", quality=92, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def read(path: Path, height: int, width: int) -> Image.Image:
    with ImageReader() as reader:
        return reader.read_at_least(str(path), (height, width))


@pytest.fixture
def save(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "photograph.jpg"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    "asked, found",
    [
        ((480, 640), (640, 480)),
        ((241, 320), (640, 480)),  # a half would be one row short
        ((240, 320), (320, 240)),
        ((100, 100), (160, 120)),
        ((60, 80), (80, 60)),
        ((1, 1), (80, 60)),  # an eighth is the smallest
        ((1000, 10), (640, 480)),
    ],
)
def test_no_smaller_than_asked_for(
    save: Callable[[bytes], Path], asked: tuple[int, int], found: tuple[int, int]
) -> None:
    assert read(save(photograph()), *asked).size == found


@pytest.mark.parametrize(
    "mode, options",
    [
        ("RGB", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"subsampling": 0}),
        ("RGB", {"subsampling": 2}),
        ("L", {}),
        ("CMYK", {}),
    ],
)
def test_the_picture_is_the_same(
    save: Callable[[bytes], Path], mode: str, options: dict[str, object]
) -> None:
    path = save(photograph(mode, **options))
    small = read(path, 100, 100)
    assert small.size == (160, 120)
    with ImageReader() as reader:
        whole = reader.read(str(path))
    assert small.mode == whole.mode == ("L" if mode == "L" else "RGB")
    tiny = (40, 30)
    difference = np.abs(
        np.asarray(small.resize(tiny, Image.Resampling.LANCZOS), float)
        - np.asarray(whole.resize(tiny, Image.Resampling.LANCZOS), float)
    )
    assert difference.mean() < 0.5 and difference.max() <= 4


def test_turned_images_are_measured_upright(save: Callable[[bytes], Path]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(photograph(exif=exif.tobytes()))
    # 640 high and 480 wide, as people see it
    assert read(path, 320, 240).size == (240, 320)
    assert read(path, 240, 320).size == (480, 640)


def test_broken_files_give_the_same_reason(save: Callable[[bytes], Path]) -> None:
    content = photograph()
    path = save(content[: len(content) // 2])
    with ImageReader() as reader:
        with pytest.raises(DamagedImageError) as whole:
            reader.read(str(path))
        with pytest.raises(DamagedImageError) as small:
            reader.read_at_least(str(path), (10, 10))
    assert str(small.value) == str(whole.value)


def test_other_formats_stay_as_they_are(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "red").save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", 10, 10).size == SIZE
    with Image.open(tmp_path / "a.png") as image:
        decode_smaller(image, (10, 10))
        assert image.size == SIZE


def test_what_is_enough_follows_the_views() -> None:
    assert MARGIN >= 3  # at 2.5 the cosine falls below 0.999 for some images
    assert enough(100, 50.1) == (300, 151)
    preprocess = Preprocess((224, 224), shortest=256)
    assert enough_for(preprocess, 1) == enough_for(preprocess, 8) == (768, 768)
    assert enough_for(preprocess, 10) == (768, 768)
    assert enough_for(Preprocess((224, 224)), 1) == (672, 672)
    assert enough_for(Preprocess((224, 224)), 10) == (768, 768)
    assert enough_for(preprocess, 144) == (1056, 1056)
    assert enough_for(preprocess, "dense") == (768, 768)
    assert enough_for(preprocess, "dense-multiscale") == (1536, 1536)
