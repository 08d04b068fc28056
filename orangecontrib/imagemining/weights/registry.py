"""The published weights: a card for each.

Addresses, sizes, accuracies and checksums' first digits are as torchvision 0.2x has
them (its files carry these digits in their names), timm 1.0 (Inception-v4,
Inception-ResNet-v2), facenet-pytorch 2.5 (Inception-ResNet-v1), and the pages of the
authors of SqueezeNet and VGG. None of these servers could be reached when this was
written. Whole checksums are known of what was at hand: `ndf`'s file and SqueezeNet 1.0
as compressed. Of timm's, facenet-pytorch's and Caffe's files no checksum is published,
so the one of the first file that fits is noted and holds from there on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.specs import Layer, Preprocess, Weights

__all__ = ["WEIGHTS", "layers_of", "weights_of"]

_MB = 2**20
_POOLED = {"avg": "means", "max": "largest values", "avg+max": "means, largest values"}

_TORCHVISION = "https://download.pytorch.org/models/"
_IMAGENET = "ImageNet, 1,000 classes"
_GENERAL = "photographs of things"
_BSD = "BSD-3-Clause (torchvision); ImageNet's images are for research"
_APACHE = "Apache-2.0 (Google, by timm); ImageNet's images are for research"

_CAFFE_MEANS = (104.006, 116.669, 122.679)
_VGG_MEANS = (103.939, 116.779, 123.68)

# torchvision resizes the shorter side, then cuts out the middle
_STANDARD = Preprocess(
    size=(224, 224),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    scale=1 / 255,
    interpolation="bilinear",
    shortest=256,
)
_INCEPTION = Preprocess(
    size=(299, 299),
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    scale=1 / 255,
    interpolation="bicubic",
    shortest=341,
)


def layers_of(
    num_features: int,
    stage_sizes: tuple[int, ...],
    stage_names: tuple[str, ...],
    num_classes: int = 1000,
    more: tuple[Layer, ...] = (),
) -> tuple[Layer, ...]:
    """Return a network's layers as its `layers()` does, without torch.

    The most useful ones come first: `features`, then those of `more`.

    Parameters
    ----------
    num_features, stage_sizes, stage_names, num_classes
        As the network has them.
    more
        Layers that it alone has.
    """
    layers = [
        Layer("features", num_features, "the input of the classifier"),
        *more,
        Layer("stages", sum(stage_sizes), "means of several depths"),
        Layer("logits", num_classes, "one number a class"),
    ]
    stages = zip(stage_sizes, stage_names, strict=True)
    for number, (size, name) in enumerate(stages, start=1):
        for how, what in _POOLED.items():
            key = f"stage{number}" if how == "avg" else f"stage{number}:{how}"
            layers.append(Layer(key, size * len(how.split("+")), f"{what} of {name}"))
    return tuple(layers)


def _torchvision(
    title: str,
    file: str,
    megabytes: float,
    top1: float,
    top5: float,
    num_features: int,
    stages: dict[str, int],
    **more: Any,
) -> Weights:
    """Return the card of a file of torchvision's: ``name-digits.pth``."""
    name, _, digits = file.rpartition("-")
    sizes = tuple(stages.values())
    card = Weights(
        title=title,
        name=f"{name}-torchvision",
        layers=layers_of(num_features, sizes, tuple(stages)),
        preprocess=_STANDARD,
        license=_BSD,
        trained_on=f"{_IMAGENET}, by torchvision",
        stage_sizes=sizes,
        kind=_GENERAL,
        url=f"{_TORCHVISION}{file}.pth",
        # torchvision gives sizes in MB with three decimals
        file_size=round(megabytes * _MB),
        sha256=digits,
        top1=round(top1 / 100, 5),
        top5=round(top5 / 100, 5),
    )
    return replace(card, **more)


def _vgg(title: str, file: str, megabytes: float, top1: float, top5: float) -> Weights:
    stages = {"pool1": 64, "pool2": 128, "pool3": 256, "pool4": 512, "pool5": 512}
    return _torchvision(title, file, megabytes, top1, top5, 4096, stages)


def _resnet(
    depth: int, digits: str, megabytes: float, top1: float, top5: float
) -> Weights:
    blocks = {
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
    }[depth]
    widths = (64, 128, 256, 512)
    times = 1 if depth < 50 else 4
    stages = {
        f"the {n} blocks of width {width}": width * times
        for n, width in zip(blocks, widths, strict=True)
    }
    file = f"resnet{depth}-{digits}"
    return _torchvision(
        f"ResNet-{depth}", file, megabytes, top1, top5, 512 * times, stages
    )


_SQUEEZENET = {"fire5": 256, "fire7": 384, "fire9": 512}

# Blue, green, red: the authors trained in Caffe, which reads images by OpenCV.
# benchmarks/top1.py tells whether they are fed so: about 66 % top-1 and 86 % top-5
# on ImageNet's samples, where the order RGB gives some 20 points less.
_SQUEEZENET1_1 = Weights(
    name="squeezenet1_1-imagenet-caffe",
    source=("ndf", "example_models/weights/squeezenet_weights.pkl"),
    source_sha256="f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
    tensors_sha256="40371f9755a3aced964bc562b310028f3cd66263d6bcfd8b751f09e1b0ff2d94",
    preprocess=Preprocess(
        size=(227, 227), mean=_CAFFE_MEANS, interpolation="lanczos", channels="BGR"
    ),
    layers=(
        Layer("features", 512, "mean over positions of fire9"),
        Layer("stages", 1152, "means of fire5, fire7 and fire9 side by side"),
        Layer("logits", 1000, "one number for each class of ImageNet"),
        *layers_of(512, tuple(_SQUEEZENET.values()), tuple(_SQUEEZENET))[3:],
    ),
    title="SqueezeNet 1.1",
    license="MIT (package ndf); network by Iandola et al., BSD-2-Clause",
    trained_on="ImageNet, 1,000 classes",
    stage_sizes=tuple(_SQUEEZENET.values()),
    kind=f"{_GENERAL}, small and fast",
)

# Orange3-ImageAnalytics feeds red, green, blue, with the means of blue, green, red. It
# means to swap the colours, but swaps the image's first and third column of pixels. It
# takes pixels as stored. Models saved with it know no other vectors than these.
_SQUEEZENET_IMAGEANALYTICS = replace(
    _SQUEEZENET1_1,
    preprocess=replace(
        _SQUEEZENET1_1.preprocess,
        channels="RGB",
        as_stored=True,
        swapped_columns=(0, 2),
    ),
    layers=(Layer("logits", 1000, "one number for each class of ImageNet"),),
    views=(1,),
    title="SqueezeNet as in Orange3-ImageAnalytics",
    kind="for that add-on's workflows",
    advice=(
        "Only for workflows and models made with that add-on: it gives its very"
        " numbers, with the colours in the wrong order. For all else prefer"
        f" {_SQUEEZENET1_1.title}."
    ),
    plain_columns="n",
)

_SQUEEZENET1_0 = _torchvision(
    "SqueezeNet 1.0 (torchvision)",
    "squeezenet1_0-b66bff10",
    4.778,
    58.092,
    80.420,
    512,
    _SQUEEZENET,
    kind=f"{_GENERAL}, small",
)

# benchmarks/top1.py on the compressed file and 500 of ImageNet's samples: 66.0 % top-1
# by "bicubic", 65.0 % by "lanczos", 62.6 % by "bilinear", which is smoother here than
# what the authors' OpenCV calls by that name.
_SQUEEZENET1_0_CAFFE = replace(
    _SQUEEZENET1_0,
    title="SqueezeNet 1.0",
    name="squeezenet1_0-imagenet-caffe",
    network="squeezenet1_0",
    preprocess=replace(_SQUEEZENET1_1.preprocess, interpolation="bicubic"),
    license="BSD-2-Clause; ImageNet's images are for research",
    trained_on=f"{_IMAGENET}, by the network's authors",
    url=(
        "https://github.com/DeepScale/SqueezeNet/raw/master/SqueezeNet_v1.0/"
        "squeezenet_v1.0.caffemodel"
    ),
    file_size=round(4.76 * _MB),
    sha256="",
    # Table 2 of the paper
    top1=0.575,
    top5=0.803,
)

_SQUEEZENET1_0_COMPRESSED = replace(
    _SQUEEZENET1_0_CAFFE,
    title="SqueezeNet 1.0, compressed",
    name="squeezenet1_0-imagenet-compressed",
    # where the authors' repository has it; the file at hand is that one
    url=(
        "https://github.com/songhan/SqueezeNet-Deep-Compression/raw/master/"
        "compressed_SqueezeNet.net"
    ),
    file_size=675_763,
    sha256="e4ab6960ae8cd81505e1c2136921201507e930966c53deaf15862a395b3a3261",
)


def _vgg_caffe(
    layers: int, card: Weights, size: int, top1: float, top5: float
) -> Weights:
    return replace(
        card,
        title=f"VGG-{layers} (authors')",
        name=f"vgg{layers}-imagenet-caffe",
        network=f"vgg{layers}",
        preprocess=Preprocess(
            size=(224, 224),
            mean=_VGG_MEANS,
            interpolation="bilinear",
            channels="BGR",
            shortest=256,
        ),
        license="Creative Commons Attribution (Visual Geometry Group, Oxford);"
        " ImageNet's images are for research",
        trained_on=f"{_IMAGENET}, by the network's authors",
        url=(
            "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/"
            f"VGG_ILSVRC_{layers}_layers.caffemodel"
        ),
        file_size=size,
        sha256="",
        top1=top1,
        top5=top5,
    )


_VGG16 = _vgg("VGG-16", "vgg16-397923af", 527.796, 71.592, 90.382)
_VGG19 = _vgg("VGG-19", "vgg19-dcbb9e9d", 548.051, 72.376, 90.876)

_INCEPTION_V4_STAGES = {
    "the stem": 384,
    "Inception-A": 384,
    "Inception-B": 1024,
    "Inception-C": 1536,
}


def _timm(
    title: str,
    name: str,
    top1: float,
    top5: float,
    stages: dict[str, int],
    preprocess: Preprocess,
) -> Weights:
    sizes = tuple(stages.values())
    return Weights(
        title=title,
        name=f"{name}-tf_in1k",
        layers=layers_of(1536, sizes, tuple(stages)),
        preprocess=preprocess,
        license=_APACHE,
        trained_on=f"{_IMAGENET}, by the network's authors (Google)",
        stage_sizes=sizes,
        kind=_GENERAL,
        url=f"https://huggingface.co/timm/{name}.tf_in1k/resolve/main/model.safetensors",
        top1=top1,
        top5=top5,
    )


_FACE_STAGES = {
    "the stem": 256,
    "the modules A": 256,
    "those B": 896,
    "those C": 1792,
}


def _facenet(data: str, file: str, megabytes: int, classes: int, lfw: str) -> Weights:
    sizes = tuple(_FACE_STAGES.values())
    described = Layer("embedding", 512, "what the network describes a face by")
    return Weights(
        title=f"Inception-ResNet-v1 ({data})",
        name=f"inception_resnet_v1-{data.lower()}",
        network="inception_resnet_v1",
        num_classes=classes,
        layers=layers_of(1792, sizes, tuple(_FACE_STAGES), classes, (described,)),
        # (value - 127.5) / 128, faces cut out with some margin
        preprocess=Preprocess(
            size=(160, 160), mean=(127.5,) * 3, std=(128.0,) * 3, channels="RGB"
        ),
        license=f"MIT (facenet-pytorch); {data}'s images are for research only",
        trained_on=f"faces of {data}, {classes:,} people, by David Sandberg (facenet)",
        stage_sizes=sizes,
        kind="faces",
        url=(
            "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
            f"{file}"
        ),
        file_size=megabytes * _MB,
        advice=(
            "For faces that fill the image; their layer is embedding. It tells faces"
            f" of Labeled Faces in the Wild apart in {lfw} of pairs. Mind the law on"
            " pictures of people."
        ),
    )


_CARDS: dict[str, Weights] = {
    "squeezenet1_1": _SQUEEZENET1_1,
    "squeezenet_imageanalytics": _SQUEEZENET_IMAGEANALYTICS,
    "squeezenet1_0": _SQUEEZENET1_0,
    "squeezenet1_0_caffe": _SQUEEZENET1_0_CAFFE,
    "squeezenet1_0_compressed": _SQUEEZENET1_0_COMPRESSED,
    "alexnet": _torchvision(
        "AlexNet",
        "alexnet-owt-7be5be79",
        233.087,
        56.522,
        79.066,
        4096,
        {"conv1": 64, "conv2": 192, "conv3": 384, "conv4": 256, "conv5": 256},
    ),
    "vgg11": _vgg("VGG-11", "vgg11-8a719046", 506.840, 69.020, 88.628),
    "vgg11_bn": _vgg(
        "VGG-11, batch-normalised", "vgg11_bn-6002323d", 506.881, 70.370, 89.810
    ),
    "vgg13": _vgg("VGG-13", "vgg13-19584684", 507.545, 69.928, 89.246),
    "vgg13_bn": _vgg(
        "VGG-13, batch-normalised", "vgg13_bn-abd245e5", 507.590, 71.586, 90.374
    ),
    "vgg16": _VGG16,
    "vgg16_bn": _vgg(
        "VGG-16, batch-normalised", "vgg16_bn-6c64b313", 527.866, 73.360, 91.516
    ),
    # Table 3 of the paper: one network, densely, shortest side 384
    "vgg16_caffe": _vgg_caffe(16, _VGG16, 553_432_081, 0.744, 0.919),
    "vgg19": _VGG19,
    "vgg19_bn": _vgg(
        "VGG-19, batch-normalised", "vgg19_bn-c79401a0", 548.143, 74.218, 91.842
    ),
    "vgg19_caffe": _vgg_caffe(19, _VGG19, 574_671_192, 0.745, 0.920),
    "inception_v3": _torchvision(
        "Inception-v3",
        "inception_v3_google-0cc3c7bd",
        103.903,
        77.294,
        93.450,
        2048,
        {"the stem": 192, "Mixed_5d": 288, "Mixed_6e": 768, "Mixed_7c": 2048},
        # torchvision has ImageNet's means, which the network then undoes
        preprocess=replace(_INCEPTION, interpolation="bilinear", shortest=342),
        trained_on=f"{_IMAGENET}, by the network's authors (Google)",
    ),
    "inception_v4": _timm(
        "Inception-v4",
        "inception_v4",
        0.80144,
        0.94982,
        _INCEPTION_V4_STAGES,
        _INCEPTION,
    ),
    "inception_resnet_v2": _timm(
        "Inception-ResNet-v2",
        "inception_resnet_v2",
        0.80458,
        0.95306,
        {"the stem": 320, "the modules A": 320, "those B": 1088, "those C": 1536},
        replace(_INCEPTION, shortest=333),
    ),
    "inception_resnet_v1": _facenet(
        "VGGFace2", "20180402-114759-vggface2.pt", 107, 8631, "99.65 %"
    ),
    "inception_resnet_v1_casia": _facenet(
        "CASIA-WebFace", "20180408-102900-casia-webface.pt", 111, 10575, "99.05 %"
    ),
    # the first of torchvision's two recipes, which is the paper's
    "resnet18": _resnet(18, "f37072fd", 44.661, 69.758, 89.078),
    "resnet34": _resnet(34, "b627a593", 83.275, 73.314, 91.420),
    "resnet50": _resnet(50, "0676ba61", 97.781, 76.130, 92.862),
    "resnet101": _resnet(101, "63fe2227", 170.511, 77.374, 93.546),
    "resnet152": _resnet(152, "394f9c45", 230.434, 78.312, 94.046),
}

#: Networks with published weights, the small one that needs no download first.
WEIGHTS: dict[str, Weights] = {
    name: replace(card, network=card.network or name) for name, card in _CARDS.items()
}


def weights_of(network: str) -> Weights:
    """Return where the weights of a network come from.

    Raises
    ------
    UnknownNameError
        If none are known.
    """
    if network not in WEIGHTS:
        raise UnknownNameError(
            f"There are no weights for '{network}', only for {', '.join(WEIGHTS)}"
        )
    return WEIGHTS[network]
