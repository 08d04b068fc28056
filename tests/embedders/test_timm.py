"""Networks of timm, with made-up weights: nothing is fetched."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import picture
from PIL import Image

from orangecontrib.imagemining.embedders import catalog
from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.images import prepare

if importlib.util.find_spec("timm") is None:
    pytest.skip("timm is not installed", allow_module_level=True)


def _import_torchvision() -> None:
    """Import torchvision also where its compiled part cannot be loaded.

    timm needs none of it, only that the import succeeds.
    """
    try:
        import torchvision  # noqa: F401

        return
    except RuntimeError:
        pass
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _import_torchvision.kept = library  # type: ignore[attr-defined]
    strict = torch.library.register_fake

    def tolerant(name: str, func: Any = None, /, **options: Any) -> Any:
        def register(function: Any) -> Any:
            try:
                return strict(name, function, **options)
            except RuntimeError:
                return function

        return register if func is None else register(func)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.library, "register_fake", tolerant)
        import torchvision  # noqa: F401


_import_torchvision()
timm = pytest.importorskip("timm")

from orangecontrib.imagemining.embedders.engines import timm as bridge  # noqa: E402

RESNET = "resnet18.a1_in1k"
# one of each kind: convolutions, transformer without classes, CLIP's projection,
# stretched, and one that has layers between pooling and classifier
KINDS = [
    RESNET,
    "test_vit.r160_in1k",
    "test_convnext.r160_in1k",
    "vit_small_patch14_dinov2.lvd142m",
    "vit_base_patch32_clip_224.openai",
    "mobilenetv3_small_050.lamb_in1k",
]


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Give networks made-up numbers where they ask for the published ones."""
    asked: list[str] = []

    def create(name: str, pretrained: bool) -> Any:
        if pretrained:
            asked.append(name)
        torch.manual_seed(3)
        return timm.create_model(name, pretrained=False)

    monkeypatch.setattr(bridge, "_create", create)
    monkeypatch.setattr(catalog, "_ENGINES", {})
    yield asked


def images(height: int, width: int) -> np.ndarray:
    shape = (2, height, width, 3)
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


def squashed(share: float) -> str:
    """Return a network whose images are stretched, and of which this share is kept."""
    for name in timm.list_pretrained():
        published = timm.get_pretrained_cfg(name)
        if (published.crop_mode, published.crop_pct) == ("squash", share):
            return name
    raise AssertionError("there is none any more")


@pytest.mark.parametrize("name", KINDS)
def test_vectors_are_those_of_timm(name: str, made_up: list[str]) -> None:
    weights = catalog.card_of(f"timm:{name}")
    assert made_up == []  # its card needs no weights
    engine = catalog.engine_for(f"timm:{name}")
    assert made_up == [name]
    assert catalog.engine_for(f"timm:{name}") is engine and made_up == [name]
    layers = [layer.name for layer in weights.layers]
    pixels = images(*weights.preprocess.size)
    vectors = engine.run(pixels, layers)
    for layer in weights.layers:
        assert vectors[layer.name].shape == (2, layer.size)
        assert vectors[layer.name].dtype == np.float32

    torch.manual_seed(3)
    network = timm.create_model(name, pretrained=False).eval()
    config = timm.data.resolve_model_data_config(network)
    mean, std = np.float32(config["mean"]), np.float32(config["std"])
    x = (pixels.astype(np.float32) / 255 - mean) / std
    x = torch.from_numpy(x.transpose(0, 3, 1, 2))
    with torch.inference_mode():
        expected = {"logits": network(x).numpy()}
        network.reset_classifier(0)
        expected["features"] = network(x).numpy()
    for layer in layers:
        error = np.abs(vectors[layer] - expected[layer]).max()
        assert error < 1e-4 * np.abs(expected[layer]).max()
    assert ("logits" in layers) == (timm.get_pretrained_cfg(name).num_classes > 0)


@pytest.mark.parametrize(
    ("name", "fit"),
    [
        (RESNET, "crop"),
        ("vit_base_patch32_clip_224.openai", "crop"),
        ("vit_small_patch14_dinov2.lvd142m", "crop"),
        ("test_vit.r160_in1k", "crop"),
        ("squash", "stretch"),
    ],
)
@pytest.mark.parametrize("size", [(300, 231), (180, 333), (97, 61), (224, 224)])
def test_images_meet_the_network_as_in_timm(
    name: str, fit: str, size: tuple[int, int]
) -> None:
    if name == "squash":
        name = squashed(1.0)
    weights = catalog.card_of(f"timm:{name}")
    preprocess = weights.preprocess
    image = picture(2, size)
    ours = prepare(image, preprocess, fit) / 255
    ours = (ours - preprocess.mean) / preprocess.std
    config = timm.data.resolve_data_config(
        pretrained_cfg=timm.get_pretrained_cfg(name).to_dict()
    )
    theirs = timm.data.create_transform(**config, is_training=False)(image)
    np.testing.assert_allclose(ours, theirs.permute(1, 2, 0).numpy(), atol=1e-5)
    assert ("crop" in weights.advice) == (fit == "crop")


def test_what_is_told_about_a_network() -> None:
    weights = catalog.card_of(f"timm:{RESNET}")
    assert weights.title == f"{RESNET} (timm)"
    assert weights.license == "apache-2.0"
    assert weights.url == f"https://huggingface.co/timm/{RESNET}"
    assert weights.trained_on.startswith("ImageNet")
    assert [(layer.name, layer.size) for layer in weights.layers] == [
        ("features", 512),
        ("logits", 1000),
    ]
    assert weights.preprocess.interpolation == "bicubic"
    assert weights.preprocess.shortest == 235  # 224 / 0.95, rounded down
    # ImageNet with 22,000 classes has no names here
    other = catalog.card_of("timm:convnext_tiny.fb_in22k")
    assert not other.trained_on.startswith("ImageNet")


def test_stretched_and_then_cut_is_owned_up_to() -> None:
    assert "stretched only" in catalog.card_of(f"timm:{squashed(0.9)}").advice


@pytest.mark.parametrize(
    "name",
    ["nothing", "resnet18.nothing", "", "hf-hub:somebody/x", "hf_hub:a", "../x", "a/b"],
)
def test_names_that_timm_does_not_have(name: str, made_up: list[str]) -> None:
    for ask in (catalog.card_of, catalog.engine_for):
        with pytest.raises(UnknownNameError, match="no pretrained network"):
            ask(f"timm:{name}")
    assert made_up == []


def test_layer_that_it_does_not_have() -> None:
    engine = catalog.engine_for("timm:vit_small_patch14_dinov2.lvd142m")
    with pytest.raises(UnknownNameError, match="no layer 'logits', only features"):
        engine.run(images(28, 28), ["logits"])


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    create = bridge._create

    def fail(name: str, pretrained: bool) -> Any:
        if pretrained:
            raise OSError("We couldn't connect to the server\nTraceback…")
        return create(name, pretrained)

    monkeypatch.setattr(bridge, "_create", fail)
    with pytest.raises(WeightsError) as caught:
        catalog.engine_for(f"timm:{RESNET}")
    text = str(caught.value)
    assert "couldn't connect" in text and "Traceback" not in text
    assert f"https://huggingface.co/timm/{RESNET}" in text and "HF_HOME" in text
    assert not catalog._ENGINES


def test_from_images_to_vectors(make_folder: Callable[..., Path]) -> None:
    # as the widget does it
    from orangecontrib.imagemining.embedders import LocalEmbedder
    from orangecontrib.imagemining.specs import EmbedderSpec

    folder = make_folder({"a": 3})
    paths = sorted(str(path) for path in folder.rglob("*.png"))
    spec = EmbedderSpec("timm:test_vit.r160_in1k", "features", fit="crop")
    result = LocalEmbedder(spec)(paths)
    preprocess = catalog.card_of(spec.network).preprocess
    pixels = np.stack([prepare(Image.open(p), preprocess, "crop") for p in paths])
    expected = catalog.engine_for(spec.network).run(pixels, ["features"])["features"]
    np.testing.assert_allclose(result.vectors, expected, rtol=1e-3, atol=1e-4)
