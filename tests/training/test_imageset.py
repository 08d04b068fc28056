"""Images that are read once to be trained with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.images import ImageReader, prepare
from orangecontrib.imagemining.images.crops import enough_for
from orangecontrib.imagemining.specs import Preprocess
from orangecontrib.imagemining.training.data import (
    ImageSet,
    read_images,
    split,
)
from orangecontrib.imagemining.training.plan import Augmentation, Plan
from orangecontrib.imagemining.training.reading import whole_scale

SMALL = Preprocess((16, 24), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), 1 / 255)
PLAIN = Plan(augmentation=Augmentation("none"))
JITTER = Plan(augmentation=Augmentation("jitter", sides=(1, 2)))


def save(folder: Path, name: str, height: int, width: int, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    image.save(folder / name)
    return str(folder / name)


def as_predicted(
    source: str, preprocess: Preprocess = SMALL, fit: str = "stretch"
) -> NDArray[np.uint8]:
    with ImageReader() as reader:
        image = reader.read_at_least(source, enough_for(preprocess, 1))
        return prepare(image, preprocess, fit)


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    return [
        save(tmp_path, "a.png", 40, 50, 1),
        save(tmp_path, "b.jpg", 300, 200, 2),
        save(tmp_path, "c.png", 10, 10, 3),
    ]


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_prepared_are_what_prediction_sees(
    sources: list[str], fit: str, channels: str
) -> None:
    preprocess = replace(SMALL, shortest=20, channels=channels)  # type: ignore[arg-type]
    plan = replace(JITTER, fit=fit)
    images, reasons = read_images(sources, [0, 1, 0], plan, preprocess)
    assert reasons == [None] * 3
    expected = [as_predicted(source, preprocess, fit) for source in sources]
    np.testing.assert_array_equal(
        images.prepared([2, 0, 1]), np.array(expected)[[2, 0, 1]]
    )
    assert images.labels.tolist() == [0, 1, 0] and images.labels.dtype == np.int64
    assert images.size == (16, 24)


def test_words_of_sources_are_heeded(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 100], [1000, 60000]], np.uint16)).save(
        tmp_path / "deep.png"
    )
    dark = f"{tmp_path / 'deep.png'}#contrast=range:0,65535"
    bright = f"{tmp_path / 'deep.png'}#contrast=range:0,1000"
    images, _ = read_images([dark, bright], [0, 1], PLAIN, replace(SMALL, size=(2, 2)))
    low, high = images.prepared([0, 1])[..., 0]
    assert low.tolist() == [[0, 0], [4, 233]]
    assert high.tolist() == [[0, 26], [255, 255]] or high[1].tolist() == [255, 255]
    assert high[0, 1] > low[0, 1]


def test_what_cannot_be_used_has_a_reason(tmp_path: Path, sources: list[str]) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image at all")
    asked = [sources[0], str(tmp_path / "broken.png"), None, "", sources[1], sources[2]]
    images, reasons = read_images(asked, [0, 0, 1, 1, 1, -1], PLAIN, SMALL)
    assert [reason is None for reason in reasons] == [1, 0, 0, 0, 1, 0]
    assert "image" in str(reasons[1])
    assert reasons[2] == reasons[3] == "No image is given in this row"
    assert reasons[5] == "Its class is not known"
    assert images.rows.tolist() == [0, 4] and images.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(images.prepared([1])[0], as_predicted(sources[1]))


def test_nothing_can_be_read() -> None:
    images, reasons = read_images([None, "/nowhere"], [0, 0], JITTER, SMALL)
    assert len(images) == 0 and None not in reasons
    assert images.prepared([]).shape == (0, 16, 24, 3)
    assert images.subset([]).counts(3).tolist() == [0, 0, 0]
    assert images.digest()


def test_wholes_are_as_large_as_augmentation_needs(sources: list[str]) -> None:
    images, _ = read_images(sources, [0] * 3, JITTER, SMALL)
    # sides up to twice the network's: 32 × 48 is to be covered
    assert images.whole(0).shape == (38, 48, 3)  # 40 × 50
    assert images.whole(1).shape == (72, 48, 3)  # 300 × 200
    assert images.whole(2).shape == (10, 10, 3)  # no larger than it is
    with Image.open(sources[0]) as image:
        smaller = image.resize((48, 38), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(images.whole(0), np.asarray(smaller))
    assert images.sizes[[0, 2]].tolist() == [[40, 50], [10, 10]]
    plain, _ = read_images(sources, [0] * 3, PLAIN, SMALL)
    np.testing.assert_array_equal(plain.whole(0), plain.prepared([0])[0])
    assert plain.n_bytes == 3 * 16 * 24 * 3
    assert images.n_bytes == plain.n_bytes + (38 * 48 + 72 * 48 + 100) * 3


def test_images_of_the_networks_size_are_kept_once(tmp_path: Path) -> None:
    source = save(tmp_path, "a.png", 16, 24)
    images, _ = read_images([source], [0], JITTER, SMALL)
    assert images.n_bytes == 16 * 24 * 3
    np.testing.assert_array_equal(images.whole(0), images.prepared([0])[0])
    # a network that sees an enlarged centre has another image to be cut out of
    zoomed, _ = read_images(
        [source], [0], replace(JITTER, fit="crop"), replace(SMALL, shortest=20)
    )
    np.testing.assert_array_equal(zoomed.whole(0), images.whole(0))
    assert (zoomed.prepared([0])[0] != zoomed.whole(0)).any()


def test_strips_do_not_become_endless(tmp_path: Path) -> None:
    wide = save(tmp_path, "wide.png", 10, 1000)
    images, _ = read_images([wide], [0], JITTER, SMALL)
    assert images.whole(0).shape == (10, 80, 3)
    with Image.open(wide) as image:
        centre = np.asarray(image)[:, 460:540]
    np.testing.assert_array_equal(images.whole(0), centre)


@pytest.mark.parametrize(
    ("augmentation", "scale"),
    [
        (Augmentation("none"), 1),
        (Augmentation("shift"), 1),
        (Augmentation("jitter"), 512 / 224),
        (Augmentation("jitter", sides=(1, 9)), 3),
        (Augmentation("area", area=(0.25, 1)), 2),
        (Augmentation("area", area=(0.0, 1)), 3),
    ],
)
def test_how_much_larger(augmentation: Augmentation, scale: float) -> None:
    assert whole_scale(augmentation) == pytest.approx(scale)


def test_subsets_share_pixels(sources: list[str]) -> None:
    images, _ = read_images(sources, [0, 1, 2], JITTER, SMALL)
    part = images.subset([2, 0]).subset(np.array([1]))
    assert part.labels.tolist() == [0] and part.rows.tolist() == [0]
    assert part.sizes.tolist() == [[40, 50]]
    np.testing.assert_array_equal(part.prepared([0]), images.prepared([0]))
    assert np.shares_memory(part.whole(0), images.whole(0))
    assert part.n_bytes == images.n_bytes
    assert images.counts(4).tolist() == [1, 1, 1, 0]


def test_digest_is_of_labels_and_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)
    labels = np.array([0, 1, 0, 1, 0])
    digest = ImageSet.from_arrays(pixels, labels).digest()
    assert ImageSet.from_arrays(pixels.copy(), labels).digest() == digest
    assert ImageSet.from_arrays(pixels, labels[::-1] + 1).digest() != digest
    pixels[4, 3, 3, 2] ^= 1
    assert ImageSet.from_arrays(pixels, labels).digest() != digest


def test_does_not_fit_into_memory(tmp_path: Path, sources: list[str]) -> None:
    folder = tmp_path / "new" / "cache"
    kept, _ = read_images(sources, [0, 1, 2], JITTER, SMALL)
    images, _ = read_images(sources, [0, 1, 2], JITTER, SMALL, memory=0, folder=folder)
    assert images.on_disk and not kept.on_disk
    np.testing.assert_array_equal(images.prepared([0, 1, 2]), kept.prepared([0, 1, 2]))
    for row in range(3):
        np.testing.assert_array_equal(images.whole(row), kept.whole(row))
    assert images.digest() == kept.digest()
    assert images.n_bytes == kept.n_bytes


def test_sets_can_be_joined(tmp_path: Path, sources: list[str]) -> None:
    first, _ = read_images(sources[:2], [0, 1], JITTER, SMALL)
    second, _ = read_images(
        sources[1:], [1, 2], JITTER, SMALL, memory=0, folder=tmp_path / "cache"
    )
    nothing = first.subset([])
    images = ImageSet.joined([first, nothing, second.subset([1]), second])
    assert images.labels.tolist() == [0, 1, 2, 1, 2]
    expected = [first.whole(0), first.whole(1), *(second.whole(i) for i in (1, 0, 1))]
    for row, whole in enumerate(expected):
        np.testing.assert_array_equal(images.whole(row), whole)
    prepared = [as_predicted(sources[row]) for row in (0, 1, 2, 1, 2)]
    np.testing.assert_array_equal(images.prepared(range(5)), prepared)
    assert images.on_disk and np.shares_memory(images.whole(0), first.whole(0))


def test_cancelling_leaves_nothing(tmp_path: Path, sources: list[str]) -> None:
    def stop(fraction: float, status: str = "") -> None:
        if fraction > 0:
            raise TaskCancelled

    folder = tmp_path / "cache"
    with pytest.raises(TaskCancelled):
        read_images(
            sources * 20, [0] * 60, PLAIN, SMALL, memory=0, folder=folder, progress=stop
        )
    assert list(folder.iterdir()) == []


def test_progress_tells_how_far_it_is(sources: list[str]) -> None:
    told: list[tuple[float, str]] = []
    read_images(
        sources * 10, [0] * 30, PLAIN, SMALL, progress=lambda *args: told.append(args)
    )
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert told[0][1] == "0 of 30 images read" and told[-1][1] == "30 images read"


def test_main_components_of_colours() -> None:
    rng = np.random.default_rng(0)
    # along (1, 1, 1) with deviation 40, along (1, -1, 0) with 10
    grey, red = rng.normal(0, 40, 20_000), rng.normal(0, 10, 20_000)
    axes = np.array([[1, 1, 1], [1, -1, 0]]) / np.sqrt([[3], [2]])
    colours = 128 + np.stack([grey, red], 1) @ axes
    pixels = np.clip(np.rint(colours), 0, 255).astype(np.uint8).reshape(2, 100, 100, 3)
    images = ImageSet.from_arrays(pixels, np.zeros(2, int))
    variances, components = images.colour_components
    np.testing.assert_allclose(np.sqrt(variances[1:]) * 255, [10, 40], rtol=0.05)
    for component, axis in zip(components.T[::-1], axes, strict=False):
        assert abs(component @ axis) > 0.999
    assert variances[0] * 255**2 < 0.5  # rounding


def test_split_takes_of_each_class_alike() -> None:
    labels = np.repeat([0, 1, 2, 3, 4], [50, 10, 3, 2, 1])
    learn, judge = split(labels, 0.2, seed=3)
    assert np.bincount(labels[judge], minlength=5).tolist() == [10, 2, 1, 1, 0]
    assert sorted([*learn, *judge]) == list(range(66))
    assert (np.diff(learn) > 0).all() and (np.diff(judge) > 0).all()
    again, other = split(labels, 0.2, seed=3)[1], split(labels, 0.2, seed=4)[1]
    assert again.tolist() == judge.tolist() != other.tolist()


def test_split_off_nothing_or_all() -> None:
    labels = np.array([0, 0, 1])
    assert [len(part) for part in split(labels, 0)] == [3, 0]
    assert [len(part) for part in split(labels, 1)] == [2, 1]
    assert [len(part) for part in split(np.empty(0, int), 0.5)] == [0, 0]


def test_reads_a_folder(make_folder: Callable[..., Path]) -> None:
    folder = make_folder({"a": 20, "b": 15})
    found = sorted(map(str, folder.rglob("*.*")))
    labels = [int("/b/" in source.replace("\\", "/")) for source in found]
    images, reasons = read_images(found, labels, PLAIN, SMALL)
    assert images.rows.tolist() == list(range(35)) and reasons == [None] * 35
    for row in (0, 17, 34):
        np.testing.assert_array_equal(
            images.prepared([row])[0], as_predicted(found[row])
        )


def test_prediction_sees_what_training_saw(sources: list[str]) -> None:
    import torch

    from orangecontrib.imagemining.embedders import LocalEmbedder
    from orangecontrib.imagemining.embedders.cache import VectorStore
    from orangecontrib.imagemining.embedders.trained import lend_network
    from orangecontrib.imagemining.networks import Network, create_network
    from orangecontrib.imagemining.specs import EmbedderSpec
    from orangecontrib.imagemining.training.batches import Batches
    from orangecontrib.imagemining.weights.image_network import (
        ImageNetwork,
        NetworkCard,
    )

    torch.manual_seed(0)
    toy: Network = create_network("toy", num_classes=2).eval()
    tensors = {key: value.numpy() for key, value in toy.state_dict().items()}
    card = NetworkCard("Toy", "toy", ("a", "b"), SMALL, fit="pad")
    network = ImageNetwork(card, tensors)
    name = lend_network(network)  # as long as it is used
    spec = EmbedderSpec(name, "features", fit="pad")
    vectors = LocalEmbedder(spec, cache=VectorStore.in_memory())(sources).vectors
    plan = replace(JITTER, fit="pad", batch=1)
    images, _ = read_images(sources, [0, 1, 0], plan, SMALL)
    toy = toy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with (
        Batches(images, plan, SMALL, training=False) as batches,
        torch.inference_mode(),
    ):
        for row, batch in enumerate(batches):
            seen = toy.embed(batch.pixels, ["features"])["features"]
            np.testing.assert_array_equal(seen.numpy()[0], vectors[row])
