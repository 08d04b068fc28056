"""Runs own networks, given as ONNX files, by onnxruntime on the processor."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orangecontrib.imagemining.embedders.engines import quiet
from orangecontrib.imagemining.embedders.onnxfile import (
    parts_of,
    read_network_file,
    sha256_of,
)
from orangecontrib.imagemining.exceptions import WeightsError
from orangecontrib.imagemining.weights.cards import (
    MAX_SIDE,
    Card,
    CardLayer,
    Colours,
    Interpolation,
    Layout,
    card_path,
)

__all__ = ["NetworkFile", "OnnxEngine", "Port", "inspect_file", "make_card"]

onnxruntime = quiet.onnxruntime()
_state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")

# all that onnxruntime raises; it has no common base
_ERRORS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(_state).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    RuntimeError,
    ValueError,
)

_NUMERIC = {
    "float16": np.float16,
    "float": np.float32,
    "double": np.float64,
    "uint8": np.uint8,
    "int8": np.int8,
    "uint16": np.uint16,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
}
_IMAGE_TYPES = ("float16", "float", "double", "uint8")
# weights of grey in red, green, blue: those by which Pillow makes an image grey
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Port:
    """An input or output of a network.

    Attributes
    ----------
    name : as the file has it.
    kind : type of its numbers in ONNX's words: "float", "float16", "int64", "string"…
    shape : sizes of its axes, None where any or unknown; None: nothing is known.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...] | None

    @property
    def is_numeric(self) -> bool:
        """Whether a vector can be made of it."""
        return self.kind in _NUMERIC

    def describe(self) -> str:
        """Return name, shape and type in one line, for people."""
        if self.shape is None:
            return f"{self.name}: shape not told, {self.kind}"
        shape = " × ".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name}: {shape}, {self.kind}"


@dataclass(frozen=True)
class NetworkFile:
    """What an ONNX file tells about itself.

    Attributes
    ----------
    path : of the file.
    sha256 : its checksum.
    parts : names and checksums of files beside it that belong to it.
    image : the input that takes the image.
    outputs : all its outputs; those that are numeric can become layers.
    size : (height, width), each None if the network takes any or does not tell.
    layout : order of the input's axes; None if the file does not tell.
    n_channels : 1 or 3; None if the file does not tell.
    batch : number of images it wants at once; 0: any number.
    """

    path: Path
    sha256: str
    parts: dict[str, str]
    image: Port
    outputs: tuple[Port, ...]
    size: tuple[int | None, int | None]
    layout: Layout | None
    n_channels: int | None
    batch: int


def inspect_file(path: Path) -> NetworkFile:
    """Look into an ONNX file; the network is not run.

    Raises
    ------
    WeightsError
        If it is no ONNX file, is damaged, or takes no image.
    """
    content = read_network_file(path)
    parts = {name: sha256_of(path.parent / name) for name in parts_of(path, content)}
    session = _session(path, content, parts)
    image = _image_input(path, _ports(path, session.get_inputs()))
    outputs = tuple(_ports(path, session.get_outputs()))
    if not any(port.is_numeric for port in outputs):
        listed = "; ".join(port.describe() for port in outputs)
        raise WeightsError(
            f"{path.name} has no output of numbers ({listed}), so it gives no vectors"
        )
    layout, n_channels = _layout(path, image)
    batch = (image.shape[0] or 0) if image.shape is not None else 0
    return NetworkFile(
        path=path,
        sha256=_sha256(content),
        parts=parts,
        image=image,
        outputs=outputs,
        size=_rows_and_columns(image, layout),
        layout=layout,
        n_channels=n_channels,
        batch=batch,
    )


def make_card(
    file: NetworkFile,
    outputs: dict[str, str] | None = None,
    size: tuple[int, int] | None = None,
    *,
    colours: Colours | None = None,
    layout: Layout | None = None,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    scale: float = 1.0,
    interpolation: Interpolation = "bilinear",
    title: str = "",
    licence: str = "",
    notes: str = "",
) -> Card:
    """Make the card of an own network, having run it on two made-up images.

    Parameters
    ----------
    file
        What `inspect_file` said.
    outputs
        Names of outputs, and of the layers that they shall be; by default all numeric
        outputs under their own names.
    size
        (height, width) in pixels; needed where the file does not tell.
    colours
        By default RGB, or grey if the network takes one channel.
    layout
        Needed where the file does not tell.
    mean, deviation
        A number a channel; by default 0 and 1.
    scale, interpolation, title, licence, notes
        As in `Card`.

    Raises
    ------
    WeightsError
        If the network cannot be fed like that, or what it gives is no vector.
    """
    if colours is None:
        colours = "grey" if file.n_channels == 1 else "RGB"
    n_channels = 1 if colours == "grey" else 3
    if file.n_channels not in (None, n_channels):
        raise WeightsError(
            f"{file.path.name} takes images of {file.n_channels} channel(s), not"
            f" {n_channels} ({colours}); its input is {file.image.describe()}"
        )
    if layout is not None and file.layout not in (None, layout):
        raise WeightsError(
            f"{file.path.name} has its axes as {file.layout}, not {layout}; its input"
            f" is {file.image.describe()}"
        )
    layout = layout or file.layout
    if layout is None:
        raise WeightsError(
            f"{file.path.name} does not tell the order of its axes; choose NCHW"
            " (channels first, as PyTorch has it) or NHWC (channels last, as"
            " TensorFlow has it)"
        )
    card = Card(
        file=file.path.name,
        sha256=file.sha256,
        parts=file.parts,
        layers=tuple(CardLayer(name, out, 1) for out, name in _chosen(file, outputs)),
        size=_size(file, layout, size),
        input=file.image.name,
        colours=colours,
        layout=layout,
        mean=tuple(map(float, mean if mean is not None else [0] * n_channels)),
        deviation=tuple(
            map(float, deviation if deviation is not None else [1] * n_channels)
        ),
        scale=float(scale),
        interpolation=interpolation,
        batch=file.batch,
        title=title or file.path.stem,
        licence=licence,
        notes=notes,
    )
    return _tried(card, file.path)


class OnnxEngine:
    """An own network, ready to run.

    Parameters
    ----------
    path
        The ONNX file.
    card
        Its card.

    Raises
    ------
    WeightsError
        If the file is not the one that the card was made for.
    """

    def __init__(self, path: Path, card: Card) -> None:
        content = read_network_file(path)
        if _sha256(content) != card.sha256:
            raise WeightsError(
                f"The file {path.name} has changed since its card was made, so the"
                f" card may not fit it any more; {_anew(path)}"
            )
        names = parts_of(path, content)
        checksums = {name: sha256_of(path.parent / name) for name in names}
        if checksums != card.parts:
            changed = sorted(set(checksums.items()) ^ set(card.parts.items()))[0][0]
            raise WeightsError(
                f"The file {changed}, which belongs to {path.name}, has changed since"
                f" the card was made; {_anew(path)}"
            )
        self._path = path
        self._card = card
        self._session = _session(path, content, checksums)
        self._image = _image_input(path, _ports(path, self._session.get_inputs()))
        self._outputs = {layer.name: layer for layer in card.layers}
        shape = (1, -1, 1, 1) if card.layout == "NCHW" else (1, 1, 1, -1)
        self._mean = np.array(card.mean, np.float32).reshape(shape)
        self._deviation = np.array(card.deviation, np.float32).reshape(shape)

    def run(
        self, pixels: NDArray[np.uint8], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the layers' vectors, (n, size of the layer) float32 each.

        Parameters
        ----------
        pixels
            (n, height, width, 3), in the network's order of colours.
        layers
            Names of layers.

        Raises
        ------
        WeightsError
            If the network fails, or gives something else than its card says.
        """
        vectors = self.run_unchecked(pixels, layers)
        for name in layers:
            if vectors[name].shape[1] != self._outputs[name].size:
                raise WeightsError(
                    f"The layer '{name}' of {self._path.name} has"
                    f" {vectors[name].shape[1]} numbers, not the"
                    f" {self._outputs[name].size} of its card; {_anew(self._path)}"
                )
        return vectors

    def run_unchecked(
        self, pixels: NDArray[np.uint8], layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Do the same without regard to the sizes that the card tells."""
        for name in layers:
            if name not in self._outputs:
                raise WeightsError(
                    f"{self._path.name} has no layer '{name}', only"
                    f" {', '.join(self._outputs)}"
                )
        x = self._input(pixels)
        at_once = self._card.batch or len(x)
        chunks = [
            self._run_chunk(x[start : start + at_once], at_once, layers)
            for start in range(0, len(x), at_once or 1)
        ]
        if not chunks:
            return {
                name: np.zeros((0, self._outputs[name].size), np.float32)
                for name in layers
            }
        return {name: np.concatenate([c[name] for c in chunks]) for name in layers}

    def _input(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        x = pixels.astype(np.float32)
        if self._card.colours == "grey":
            x = (x @ _GREY)[..., np.newaxis]
        if self._card.layout == "NCHW":
            x = x.transpose(0, 3, 1, 2)
        x = (x * np.float32(self._card.scale) - self._mean) / self._deviation
        kind = _NUMERIC[self._image.kind]
        if kind is np.uint8:
            x = np.clip(np.rint(x), 0, 255)
        with np.errstate(over="ignore"):  # what halves cannot hold becomes infinite
            return np.ascontiguousarray(x.astype(kind))

    def _run_chunk(
        self, x: NDArray[Any], at_once: int, layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        n = len(x)
        if n < at_once:
            # a network that wants so many gets the last image several times
            x = np.concatenate([x, np.repeat(x[-1:], at_once - n, axis=0)])
        wanted = [self._outputs[name].output for name in layers]
        try:
            values = self._session.run(wanted, {self._card.input: x})
        except _ERRORS as ex:
            width, height = self._card.size[1], self._card.size[0]
            raise WeightsError(
                f"The network {self._path.name} failed on images of {width} × {height}"
                f" pixels ({_first_line(ex)})"
            ) from ex
        return {
            name: self._vector(name, value, len(x))[:n]
            for name, value in zip(layers, values, strict=True)
        }

    def _vector(self, name: str, value: Any, n: int) -> NDArray[np.float32]:
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise WeightsError(
                f"The layer '{name}' of {self._path.name} does not give numbers"
            )
        with np.errstate(over="ignore"):
            array = value.astype(np.float32)
        if array.ndim == 1:  # one number for each image, or the vector of one image
            array = array.reshape(n, -1) if n == 1 else array[:, np.newaxis]
        if array.ndim not in (2, 3, 4) or len(array) != n:
            shape = " × ".join(map(str, value.shape)) or "a single number"
            raise WeightsError(
                f"The layer '{name}' of {self._path.name} gives {shape} for {n}"
                f" image(s); a vector for each image is needed"
            )
        if array.ndim == 3:  # images, positions, channels, as transformers have it
            array = array.mean(axis=1)
        elif array.ndim == 4:
            array = array.mean(axis=(2, 3) if self._card.layout == "NCHW" else (1, 2))
        if array.shape[1] == 0:
            raise WeightsError(f"The layer '{name}' of {self._path.name} is empty")
        return array


def _session(path: Path, content: bytes, parts: dict[str, str]) -> Any:
    options = onnxruntime.SessionOptions()
    # the embedder runs a thread a core, each with images of its own
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised, and told by us
    # what has parts is read from its place: only there are they looked for
    source = str(path) if parts else content
    try:
        return onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"]
        )
    except _ERRORS as ex:
        text = _first_line(ex)
        if "is not a registered function/op" in text or "No Op registered" in text:
            raise WeightsError(
                f"{path.name} uses operations that are no part of ONNX ({text});"
                " libraries with operations of one's own are not loaded"
            ) from ex
        raise WeightsError(
            f"{path.name} cannot be used: it is damaged, or newer than the installed"
            f" onnxruntime {onnxruntime.__version__} ({text})"
        ) from ex


def _image_input(path: Path, ports: list[Port]) -> Port:
    listed = "; ".join(port.describe() for port in ports)
    if len(ports) != 1:
        many = f"{len(ports)} inputs ({listed})" if ports else "no input"
        raise WeightsError(
            f"{path.name} has {many}; only networks that take an image and nothing"
            " else can be used"
        )
    port = ports[0]
    shape = port.shape
    may_be_image = port.kind in _IMAGE_TYPES and (
        shape is None
        or (len(shape) == 4 and (shape[1] in (None, 1, 3) or shape[3] in (None, 1, 3)))
    )
    if not may_be_image:
        raise WeightsError(
            f"{path.name} takes no image: its input is {listed}. Four axes are needed,"
            " one of them for 3 colours or 1 of grey, of decimal numbers or bytes"
        )
    return port


def _layout(path: Path, image: Port) -> tuple[Layout | None, int | None]:
    """Return layout and number of channels, as far as the shape tells them."""
    if image.shape is None:
        return None, None
    first, last = image.shape[1], image.shape[3]
    if first in (1, 3):
        return "NCHW", first
    if last in (1, 3):
        return "NHWC", last
    if first is not None:
        return "NHWC", None
    if last is not None:
        return "NCHW", None
    return None, None


def _rows_and_columns(
    image: Port, layout: Layout | None
) -> tuple[int | None, int | None]:
    if image.shape is None or layout is None:
        return None, None
    start = 2 if layout == "NCHW" else 1
    return image.shape[start], image.shape[start + 1]


def _ports(path: Path, nodes: Any) -> list[Port]:
    try:
        return [_port(node) for node in nodes]
    except UnicodeDecodeError as ex:
        raise WeightsError(f"{path.name} is damaged: a name in it is no text") from ex


def _port(node: Any) -> Port:
    kind = node.type
    if kind.startswith("tensor(") and kind.endswith(")"):
        kind = kind[len("tensor(") : -1]
    shape = tuple(
        side if isinstance(side, int) and side > 0 else None for side in node.shape
    )
    # a network without axes is none: so onnxruntime tells that it knows nothing
    return Port(node.name, kind, shape or None)


def _chosen(file: NetworkFile, outputs: dict[str, str] | None) -> list[tuple[str, str]]:
    ports = {port.name: port for port in file.outputs}
    if outputs is None:
        return [(name, name) for name, port in ports.items() if port.is_numeric]
    for name in outputs:
        if name not in ports:
            raise WeightsError(
                f"{file.path.name} has no output '{name}', only {', '.join(ports)}"
            )
        if not ports[name].is_numeric:
            raise WeightsError(
                f"The output {ports[name].describe()} of {file.path.name} is not"
                " numeric; choose another"
            )
    return list(outputs.items())


def _size(
    file: NetworkFile, layout: Layout, size: tuple[int, int] | None
) -> tuple[int, int]:
    told = _rows_and_columns(file.image, layout)
    if size is not None and any(
        side not in (None, wanted) for side, wanted in zip(told, size, strict=True)
    ):
        raise WeightsError(
            f"{file.path.name} takes images of {told[1] or 'any'} × {told[0] or 'any'}"
            f" pixels only, not {size[1]} × {size[0]}"
        )
    height, width = size or told
    if height is None or width is None:
        raise WeightsError(
            f"{file.path.name} does not tell the size of its images; give width and"
            f" height in pixels (1 to {MAX_SIDE}), as its makers trained it"
        )
    return height, width


def _tried(card: Card, path: Path) -> Card:
    """Return the card with the layers' true sizes and the number of images at once."""
    pixels = np.random.default_rng(0).integers(
        0, 256, (2, *card.size, 3), dtype=np.uint8
    )
    names = [layer.name for layer in card.layers]
    alone = replace(card, batch=card.batch or 1)
    vectors = OnnxEngine(path, alone).run_unchecked(pixels, names)
    for name, vector in vectors.items():
        if not np.isfinite(vector).all():
            raise WeightsError(
                f"The layer '{name}' of {path.name} gives no finite numbers for an"
                " image; look at mean, deviation and scale"
            )
    layers = tuple(
        replace(layer, size=vectors[layer.name].shape[1]) for layer in card.layers
    )
    batch = card.batch
    if not batch and not _same_together(card, path, pixels, vectors):
        batch = 1
    return replace(card, layers=layers, batch=batch)


def _same_together(
    card: Card,
    path: Path,
    pixels: NDArray[np.uint8],
    alone: dict[str, NDArray[np.float32]],
) -> bool:
    """Tell whether two images at once give what they give one by one.

    Some files say that they take any number, and then do not; in others an image's
    numbers depend on its neighbours (those with rounded weights).
    """
    try:
        together = OnnxEngine(path, card).run_unchecked(pixels, list(alone))
    except WeightsError:
        return False
    return all(
        together[name].shape == vector.shape
        and np.abs(together[name] - vector).max() <= 1e-3 * np.abs(vector).max()
        for name, vector in alone.items()
    )


def _anew(path: Path) -> str:
    """Return what to do about a card that does not fit."""
    return (
        f"put the old file back, or remove {card_path(path).name} and choose the"
        " network anew"
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split("\n", 1)[0].split())
    # "[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model…"
    text = text.rpartition(" : ")[2] if text.startswith("[ONNX") else text
    return text if len(text) <= 200 else f"{text[:199]}…"
