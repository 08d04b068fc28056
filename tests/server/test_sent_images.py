"""What is sent of an image changes nothing: checked to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tifffile
from conftest import picture
from PIL import Image
from servers import Running, running

from orangecontrib.imagemining.embedders import LocalEmbedder
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.catalog import card_of
from orangecontrib.imagemining.embedders.pipeline import Contents
from orangecontrib.imagemining.embedders.protocol import ImageBody
from orangecontrib.imagemining.embedders.remote import RemoteEmbedder
from orangecontrib.imagemining.embedders.remoteimages import ImageSender
from orangecontrib.imagemining.images import (
    ImageReader,
    crops_of,
    dense_images,
    prepare,
)
from orangecontrib.imagemining.images.crops import enough_for
from orangecontrib.imagemining.server import compute
from orangecontrib.imagemining.specs import EmbedderSpec


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Images of many kinds; some with words that say how they are to be shown."""
    folder = tmp_path_factory.mktemp("kinds")
    base = picture(1, (300, 210))
    camera = Image.Exif()
    camera[0x0112] = 6  # lying on its side
    camera[0x010E] = "a secret of the photographer"
    half = picture(2, (300, 210)).convert("L")
    kinds = {
        "small.png": (picture(0), {}),
        # so large that it is decoded at a half
        "large.jpg": (picture(3, (1700, 1500)), {"quality": 90, "exif": camera}),
        "turned.jpg": (base, {"exif": camera}),
        "cmyk.jpg": (base.convert("CMYK"), {}),
        "grey.png": (half, {}),
        "palette.png": (base.quantize(17), {"transparency": 3}),
        "clear.png": (Image.merge("RGBA", (*base.split(), half)), {}),
        "grey-clear.png": (Image.merge("LA", (half, half)), {}),
        "strip.webp": (picture(4, (900, 60)), {"lossless": True}),
        "photograph.bmp": (base, {}),
    }
    found = []
    for name, (image, options) in kinds.items():
        image.save(folder / name, **options)
        found.append(str(folder / name))
    rng = np.random.default_rng(0)
    deep = rng.integers(300, 3000, (3, 80, 90), np.uint16)
    tifffile.imwrite(folder / "deep.tif", deep, photometric="minisblack")
    found += [
        f"{folder / 'deep.tif'}#{words}"
        for words in ("", "stack=max&contrast=percentiles:1,99")
    ]
    return [source.rstrip("#") for source in found]


def seen_here(source: str, spec: EmbedderSpec, reader: ImageReader) -> list[np.ndarray]:
    """Return what the network gets if it is on this computer."""
    preprocess = card_of(spec.network).preprocess
    if preprocess.as_stored:
        image = reader.read(source, True)
    else:
        image = reader.read_at_least(source, enough_for(preprocess, spec.views))
    if spec.views in (1, 2, 8):
        return [prepare(image, preprocess, spec.fit)]
    if isinstance(spec.views, str):
        return list(dense_images(image, preprocess, spec.views))
    return list(crops_of(image, preprocess, spec.views, spec.fit))


def seen_there(body: ImageBody, spec: EmbedderSpec) -> list[np.ndarray]:
    """Return what the network gets if the server does."""
    with ImageReader() as reader:
        if not compute.takes_parts(spec.views):
            return [compute.pixels_of(body, spec, reader)]
        image = compute._image(body, spec, reader)
        parts = compute._parts(image, spec)
        if isinstance(spec.views, str):
            return list(parts)
        return [crop for batch in parts for crop in batch]


@pytest.mark.parametrize(
    ("network", "views", "fits"),
    [
        ("squeezenet1_1", 1, ("stretch", "crop", "pad")),
        ("squeezenet_imageanalytics", 1, ("stretch",)),
        ("inception_v3", 2, ("stretch", "crop", "pad")),
        ("vgg16", 8, ("stretch", "crop", "pad")),
        ("squeezenet1_1", 10, ("stretch", "crop", "pad")),
        ("resnet18", 12, ("crop",)),
        ("inception_v3", 144, ("stretch",)),
        ("vgg16", "dense", ("stretch",)),
        ("vgg16", "dense-multiscale", ("stretch",)),
    ],
)
def test_pixels(
    sources: list[str], network: str, views: int | str, fits: tuple[str, ...]
) -> None:
    card = card_of(network)
    with ImageReader() as reader:
        contents = Contents(reader)
        for fit in fits:
            spec = EmbedderSpec(network, card.layers[0].name, views, fit)
            sender = ImageSender(spec)
            for source in sources if views != 144 else sources[:3]:
                if "strip" in source and views not in (1, 2, 8, 10, 12):
                    continue  # too long for these
                file = sender.read(source, contents)
                body, left = sender.body_of(file, contents)
                assert left.data is None and left.digest
                assert b"secret" not in body.data
                here, there = seen_here(source, spec, reader), seen_there(body, spec)
                assert len(here) == len(there)
                for ours, theirs in zip(here, there, strict=True):
                    np.testing.assert_array_equal(ours, theirs, source)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    # one by one: of several at once a network sums in another order
    names = ("squeezenet1_1", "squeezenet_imageanalytics")
    with running(networks=names, max_batch=1, max_wait=0.0) as run:
        yield run


@pytest.mark.parametrize(
    ("spec", "n"),
    [
        *(
            (EmbedderSpec("squeezenet1_1", "features", 1, fit), 12)
            for fit in ("stretch", "crop", "pad")
        ),
        (EmbedderSpec("squeezenet_imageanalytics", "logits"), 12),
        (EmbedderSpec("squeezenet1_1", "stages", 2), 4),
        (EmbedderSpec("squeezenet1_1", "features", 8, "pad"), 3),
        (EmbedderSpec("squeezenet1_1", "features", 10, "crop"), 3),
        (EmbedderSpec("squeezenet1_1", "probabilities", 12), 3),
        (EmbedderSpec("squeezenet1_1", "features", 144), 1),
    ],
)
def test_vectors(
    server: Running, sources: list[str], spec: EmbedderSpec, n: int
) -> None:
    remote = RemoteEmbedder(server.address, spec)(sources[:n])
    assert remote.reasons == [None] * n
    local = LocalEmbedder(spec, cache=VectorStore.in_memory())
    for source, vector in zip(sources[:n], remote.vectors, strict=True):
        np.testing.assert_array_equal(local([source]).vectors[0], vector, source)
