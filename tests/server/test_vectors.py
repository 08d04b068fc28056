"""The server's vectors are those of `LocalEmbedder`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from servers import (
    Running,
    asking,
    cosines,
    encoded,
    make_up_weights,
    png,
    running,
)

from orangecontrib.imagemining.embedders import LocalEmbedder, check_spec
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.catalog import card_of
from orangecontrib.imagemining.embedders.protocol import ImageBody, Request
from orangecontrib.imagemining.images import ImageReader, prepare
from orangecontrib.imagemining.specs import EmbedderSpec

MADE_UP = ("resnet18", "squeezenet1_0")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    files = [make_up_weights(name) for name in MADE_UP]
    names = ("squeezenet1_1", "squeezenet_imageanalytics", *MADE_UP)
    with running(networks=names) as run:
        yield run
    for file in files:
        file.unlink()


def files_of(folder: Path) -> list[Path]:
    """Write images of many kinds: sizes, colours, transparency, turned by EXIF."""
    turned = Image.Exif()
    turned[0x0112] = 6
    base = Image.open(io.BytesIO(png(1, (300, 200))))
    images = {
        "small.png": (Image.open(io.BytesIO(png(0))), {}),
        "large.jpg": (base.resize((900, 1300)), {}),
        "turned.jpg": (base, {"exif": turned}),
        "grey.png": (base.convert("L"), {}),
        "palette.gif": (base.convert("P"), {}),
        "clear.png": (Image.merge("RGBA", (*base.split(), base.split()[0])), {}),
        "deep.png": (Image.fromarray(np.asarray(base.convert("L"), np.uint16) * 9), {}),
        "strip.webp": (base.resize((2000, 30)), {"lossless": True}),
        "plain.tif": (base, {}),
    }
    paths = []
    for name, (image, options) in images.items():
        image.save(folder / name, **options)
        paths.append(folder / name)
    return paths


def both(
    server: Running, spec: EmbedderSpec, paths: list[Path]
) -> tuple[np.ndarray, np.ndarray]:
    local = LocalEmbedder(spec, cache=VectorStore.in_memory())(
        [str(path) for path in paths]
    )
    assert local.reasons == [None] * len(paths)
    request = asking(
        [path.read_bytes() for path in paths],
        spec.network,
        (spec.layer,),
        views=spec.views,
        fit=spec.fit,
    )
    remote = server.embed(request, {spec.layer: check_spec(spec).size})
    assert remote.reasons == [None] * len(paths)
    return local.vectors, remote.vectors[spec.layer]


@pytest.mark.parametrize(
    ("network", "layer", "views", "fit"),
    [
        ("squeezenet1_1", "features", 1, "stretch"),
        ("squeezenet1_1", "stages", 1, "crop"),
        ("squeezenet1_1", "probabilities", 2, "pad"),
        ("squeezenet1_1", "logits", 8, "stretch"),
        ("squeezenet1_1", "features", 10, "crop"),
        ("squeezenet_imageanalytics", "logits", 1, "stretch"),
        ("resnet18", "features", 1, "crop"),
        ("squeezenet1_0", "stage2:max", 1, "stretch"),
    ],
)
def test_same_as_local(
    server: Running,
    tmp_path: Path,
    network: str,
    layer: str,
    views: int,
    fit: str,
) -> None:
    spec = EmbedderSpec(network, layer, views, fit)
    local, remote = both(server, spec, files_of(tmp_path))
    assert cosines(local, remote).min() > 1 - 1e-6
    np.testing.assert_allclose(remote, local, atol=1e-5 * np.abs(local).max())


def test_old_protocol_has_the_same_vectors(server: Running, tmp_path: Path) -> None:
    spec = EmbedderSpec("squeezenet_imageanalytics", "logits")
    paths = files_of(tmp_path)
    local = LocalEmbedder(spec, cache=VectorStore.in_memory())(
        [str(path) for path in paths]
    )
    for path, vector in zip(paths, local.vectors, strict=True):
        answer = server.client.post(
            "/image/squeezenet?machine=1&session=2&retry=3", content=path.read_bytes()
        )
        got = np.array(answer.json()["embedding"], np.float32)
        np.testing.assert_allclose(got, vector, atol=1e-5 * np.abs(vector).max())


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("network", ["squeezenet1_1", "squeezenet_imageanalytics"])
def test_prepared_pixels_give_the_same(
    server: Running, tmp_path: Path, network: str, fit: str
) -> None:
    if network == "squeezenet_imageanalytics" and fit != "stretch":
        pytest.skip("it knows no other fit")
    preprocess = card_of(network).preprocess
    paths = files_of(tmp_path)
    bodies = []
    with ImageReader() as reader:
        for path in paths:
            image = reader.read(str(path), preprocess.as_stored)
            stream = io.BytesIO()
            Image.fromarray(prepare(image, preprocess, fit)).save(stream, "PNG")
            bodies.append(ImageBody(stream.getvalue(), "prepared"))
    sizes = {"logits": 1000}
    prepared = server.embed(
        Request(network, ("logits",), tuple(bodies), fit=fit), sizes
    )
    as_files = server.embed(
        asking([p.read_bytes() for p in paths], network, ("logits",), fit=fit), sizes
    )
    assert prepared.reasons == as_files.reasons
    np.testing.assert_allclose(
        prepared.vectors["logits"], as_files.vectors["logits"], atol=1e-4
    )


def test_company_does_not_matter(server: Running) -> None:
    images = [encoded(seed, "JPEG", (250, 230)) for seed in range(20)]
    sizes = {"features": 512}
    together = server.embed(asking(images), sizes).vectors["features"]
    for number in (0, 7, 19):
        alone = server.embed(asking([images[number]]), sizes).vectors["features"][0]
        np.testing.assert_array_equal(alone, together[number])


def test_several_layers_at_once(server: Running) -> None:
    images = [png(0), png(1)]
    sizes = {"features": 512, "probabilities": 1000, "logits": 1000}
    answer = server.embed(asking(images, layers=tuple(sizes)), sizes)
    for layer, size in sizes.items():
        alone = server.embed(asking(images, layers=(layer,)), {layer: size})
        np.testing.assert_allclose(
            answer.vectors[layer], alone.vectors[layer], rtol=1e-5, atol=1e-6
        )
    np.testing.assert_allclose(answer.vectors["probabilities"].sum(axis=1), 1, 1e-5)


def test_without_batches_equal_to_the_last_bit() -> None:
    images = [png(seed) for seed in range(6)]
    with running(max_batch=1, max_wait=0.0) as run:
        together = run.embed(asking(images), {"features": 512}).vectors["features"]
        for image, vector in zip(images, together, strict=True):
            alone = run.embed(asking([image]), {"features": 512})
            np.testing.assert_array_equal(alone.vectors["features"][0], vector)
