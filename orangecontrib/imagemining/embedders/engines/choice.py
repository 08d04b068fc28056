"""Which engine runs a network on this computer, and why.

Nothing here loads torch or ONNX Runtime: it is quick enough for a widget to ask.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.plugins import load_plugins
from orangecontrib.imagemining.specs import DENSE_VIEWS, PRECISIONS

__all__ = [
    "AUTO",
    "ENGINES",
    "EngineChoice",
    "EngineInfo",
    "EngineKind",
    "choose_engine",
    "engines_here",
    "gpu_is_of_no_use",
    "has_bfloat16",
    "kind_of",
    "register_engine",
    "wanted_engine",
]

#: The engine is chosen by what the computer has.
AUTO = "auto"

#: Names of the engines, and what people call them.
ENGINES: dict[str, str] = {}

_OPENVINO_MISSING = (
    'OpenVINO is not installed: pip install "Orange3-ImageMining[openvino]"'
)


@dataclass(frozen=True)
class EngineKind:
    """What the program has to know of an engine.

    Attributes
    ----------
    name : what settings store and the command line takes.
    title : for people.
    merit : what it is good for, in a few words.
    load : makes a `loading.Engine`: ``load(network, choice)`` with the network's name
        and the `EngineChoice`; or "module:function", which is imported when it is
        needed. What it cannot do it raises as RuntimeError, ImportError or
        `exported.ExportError`: torch computes instead then.
    package : that it needs; it is not imported to see whether it is there.
    missing : what to tell people where that is not installed; "" for a usual sentence.
    obstacle : why it cannot run a network, ``obstacle(network)``; "" if it can. Has to
        be quick, and is not asked of networks of timm and ONNX files, nor for dense
        views, which engines that are added do not run.
    """

    name: str
    title: str
    merit: str
    load: str | Callable[[str, EngineChoice], Any] = field(repr=False)
    package: str = ""
    missing: str = ""
    obstacle: Callable[[str], str] = field(default=lambda network: "", repr=False)

    def loaded(self, network: str, choice: EngineChoice) -> Any:
        """Return the engine of a network, made now."""
        load = self.load
        if isinstance(load, str):
            module, _, function = load.partition(":")
            load = getattr(import_module(module), function)
        return load(network, choice)


_KINDS: dict[str, EngineKind] = {}


def register_engine(kind: EngineKind) -> EngineKind:
    """Add an engine, to be chosen by its name; `AUTO` chooses among our own.

    Raises
    ------
    ValueError
        If there is one of that name already.
    """
    if kind.name in (AUTO, *ENGINES):
        raise ValueError(f"there is an engine '{kind.name}' already")
    _KINDS[kind.name] = kind
    ENGINES[kind.name] = kind.title
    return kind


def kind_of(engine: str) -> EngineKind:
    """Return what is to be known of an engine, one of `ENGINES`."""
    return _KINDS[engine]


_ROOM = "orangecontrib.imagemining.embedders.engines"

for _kind in (
    EngineKind(
        "onnxruntime",
        "ONNX Runtime",
        "the fastest on most processors; needs no PyTorch once a network is prepared",
        f"{_ROOM}.runtime:load",
        package="onnxruntime",
    ),
    EngineKind(
        "torch",
        "PyTorch",
        "uses a graphics processor where there is one",
        f"{_ROOM}.pytorch:load",
        package="torch",
    ),
    EngineKind(
        "openvino",
        "OpenVINO",
        "by Intel; the fastest in fast mode",
        f"{_ROOM}.openvino:load",
        package="openvino",
        missing=_OPENVINO_MISSING,
    ),
):
    register_engine(_kind)


@dataclass(frozen=True)
class EngineInfo:
    """An engine, and whether it can run a network here.

    Attributes
    ----------
    name : one of `ENGINES`; what settings store.
    title : for people, with what it computes on.
    available : whether it can be chosen.
    reason : what it is good for here, or why it cannot be had.
    """

    name: str
    title: str
    available: bool
    reason: str


@dataclass(frozen=True)
class EngineChoice:
    """The engine that runs a network, and why this one.

    Attributes
    ----------
    name : one of `ENGINES`.
    device : "cpu", "cuda" or "mps".
    precision : what it computes in, "float32" or "bfloat16".
    reason : in words, one sentence without a full stop.
    """

    name: str
    device: str
    precision: str
    reason: str

    def describe(self) -> str:
        """Return engine and precision in a few words, for people."""
        where = {"cuda": " on the graphics processor", "mps": " on Apple's GPU"}
        exactness = "" if self.precision == "float32" else f", {self.precision}"
        return f"{ENGINES[self.name]}{where.get(self.device, '')}{exactness}"


def engines_here(network: str, views: int | str = 1) -> list[EngineInfo]:
    """Return all engines, each with whether it can run this network, the best first.

    Parameters
    ----------
    network
        Name of a network: ours, ``trained:…``, ``onnx:…`` or ``timm:…``.
    views
        How often, or how, images are looked at: dense views need torch.
    """
    gpu = _torch_device()
    infos = []
    for name, title in ENGINES.items():
        obstacle = _obstacle(name, network, views)
        if not obstacle:
            device = "cpu" if name != "torch" or network.startswith("timm:") else gpu
            title = f"{title} ({_name_of(device)})"
        infos.append(
            EngineInfo(name, title, not obstacle, obstacle or _KINDS[name].merit)
        )
    best = _best(network, views)
    return sorted(infos, key=lambda info: (not info.available, info.name != best))


def choose_engine(
    network: str,
    wanted: str = AUTO,
    precision: str = "float32",
    views: int | str = 1,
) -> EngineChoice:
    """Return the engine that runs a network here, and why this one.

    Parameters
    ----------
    network
        Name of a network: ours, ``trained:…``, ``onnx:…`` or ``timm:…``.
    wanted
        One of `ENGINES`, or "auto": what the environment variable IMAGEMINING_ENGINE
        names, or else the fastest. What cannot be had here is replaced, and the reason
        says so; the vectors are the same by any engine.
    precision
        One of `specs.PRECISIONS`. "fast" is bfloat16 where the processor computes in
        it, otherwise float32; the reason says so.
    views
        How often, or how, images are looked at: dense views need torch.

    Raises
    ------
    UnknownNameError
        If there is no such engine or precision.
    """
    if precision not in PRECISIONS:
        raise UnknownNameError(
            f"Precisions are {' and '.join(PRECISIONS)}, not '{precision}'"
        )
    wanted = wanted_engine(wanted)
    if wanted == AUTO:
        return _automatic(network, precision, views)
    obstacle = _obstacle(wanted, network, views)
    if obstacle:
        found = _automatic(network, precision, views)
        return replace(
            found, reason=f"{obstacle}; {ENGINES[found.name]} computes instead"
        )
    device = _device_of(wanted, network)
    reason = f"{ENGINES[wanted]} on {_name_of(device)}: as chosen"
    choice = EngineChoice(wanted, device, "float32", reason)
    return _in_precision(choice, network, precision)


def wanted_engine(wanted: str = AUTO) -> str:
    """Return the engine asked for: by argument, by the environment, or "auto".

    Raises
    ------
    UnknownNameError
        If the argument names none. What the environment says is passed over then.
    """
    if wanted not in (AUTO, *ENGINES):
        raise UnknownNameError(
            f"There is no engine '{wanted}', only {', '.join((AUTO, *ENGINES))}"
        )
    if wanted != AUTO:
        return wanted
    named = os.environ.get("IMAGEMINING_ENGINE", "").strip().lower()
    return named if named in ENGINES else AUTO


def has_bfloat16() -> bool:
    """Tell whether this computer's processor multiplies bfloat16 numbers by itself.

    On other systems than Linux and macOS it is OpenVINO that knows, if it is installed.
    """
    return _has_bfloat16()


def _automatic(network: str, precision: str, views: int | str) -> EngineChoice:
    name = _best(network, views)
    device = _device_of(name, network)
    choice = EngineChoice(name, device, "float32", _why(name, device, network, views))
    trained = network.startswith("trained:") and views not in DENSE_VIEWS
    free = name == "onnxruntime" or trained
    return _in_precision(choice, network, precision, free)


def _in_precision(
    choice: EngineChoice, network: str, precision: str, free: bool = False
) -> EngineChoice:
    """Return the choice for "fast", or as it is; `free`: OpenVINO may take over."""
    if precision == "float32":
        return choice
    if _is_foreign(network):
        why = "networks that are not ours compute in float32 only"
    elif choice.device != "cpu":
        return replace(
            choice,
            precision="bfloat16",
            reason=f"{choice.reason}; bfloat16, as fast mode asks for",
        )
    elif not has_bfloat16():
        why = "this processor does not compute in bfloat16, so fast mode is float32"
    elif free and choice.name == "onnxruntime" and not _is_installed("openvino"):
        why = f"fast mode is float32, too: {_OPENVINO_MISSING}"
    elif choice.name == "openvino" or (free and _is_installed("openvino")):
        return EngineChoice(
            "openvino", "cpu", "bfloat16", "OpenVINO in bfloat16: fastest in fast mode"
        )
    elif choice.name == "torch":
        return replace(
            choice, precision="bfloat16", reason=f"{choice.reason}, in bfloat16"
        )
    else:
        why = f"{ENGINES[choice.name]} computes in float32 only"
    return replace(choice, reason=f"{choice.reason}; {why}")


def _best(network: str, views: int | str) -> str:
    # trained networks: preparing each for other engines takes a while, and what they
    # say is to be the same, to the bit, before and after saving
    if network.startswith(("timm:", "trained:")) or views in DENSE_VIEWS:
        return "torch"
    if network.startswith("onnx:"):
        return "onnxruntime"
    if _torch_device() != "cpu" or not _is_installed("onnxruntime"):
        return "torch"
    return "onnxruntime"


def _why(name: str, device: str, network: str, views: int | str) -> str:
    title = ENGINES[name]
    if network.startswith("timm:"):
        return f"{title}: networks of timm run by it alone"
    if network.startswith("onnx:"):
        return f"{title}: it runs ONNX files"
    if network.startswith("trained:"):
        return f"{title} on {_name_of(device)}: it trained the network"
    if views in DENSE_VIEWS:
        return f"{title} on {_name_of(device)}: dense views run by it alone"
    if device != "cpu":
        return f"{title} on {_name_of(device)}"
    if name == "onnxruntime":
        return f"{title}: fastest in float32 on this processor"
    return f"{title}: ONNX Runtime is not installed"


def _obstacle(name: str, network: str, views: int | str) -> str:
    """Return why an engine cannot run a network here; "" if it can."""
    title = ENGINES[name]
    if network.startswith("timm:") and name != "torch":
        return f"{title} does not run networks of timm"
    if network.startswith("onnx:") and name != "onnxruntime":
        return f"{title} does not run networks of your own"
    if views in DENSE_VIEWS and name != "torch":
        return f"{title} does not compute dense views"
    kind = _KINDS[name]
    if kind.package and not _is_installed(kind.package):
        return kind.missing or f"{title} is not installed"
    try:
        return kind.obstacle(network)
    except Exception as error:
        # another package's: what is wrong with it is not to take the list along
        return f"{title} does not work here: {error}"


def _device_of(name: str, network: str) -> str:
    if name == "torch" and not network.startswith("timm:"):
        return _torch_device()
    return "cpu"


def _is_foreign(network: str) -> bool:
    return network.startswith(("onnx:", "timm:"))


def _name_of(device: str) -> str:
    if device == "cuda":
        torch = sys.modules.get("torch")  # takes a second to import
        if torch is not None and torch.cuda.is_available():
            return f"CUDA, {torch.cuda.get_device_name(0)}"
        return "CUDA, an NVIDIA graphics processor"
    return "Apple's GPU" if device == "mps" else "the processor"


@lru_cache(maxsize=8)
def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def gpu_is_of_no_use() -> None:
    """Note that torch cannot use what looked like a graphics processor."""
    global _no_gpu
    _no_gpu = True


_no_gpu = False


def _torch_device() -> str:
    """Return "cuda", "mps" or "cpu", as far as it can be told without torch."""
    if _no_gpu:
        return "cpu"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    if _may_have_nvidia() and _torch_was_built_for_cuda():
        return "cuda"
    return "cpu"


def _may_have_nvidia() -> bool:
    if sys.platform == "win32":
        folder = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32"
        return (folder / "nvcuda.dll").exists()
    # what the driver makes, natively and in Windows' Linux
    return any(map(os.path.exists, ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")))


@lru_cache(maxsize=1)
def _torch_was_built_for_cuda() -> bool:
    found = importlib.util.find_spec("torch")
    if found is None or not found.origin:
        return False
    try:
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf8")
    except OSError:
        return True  # torch will tell
    return bool(re.search(r"^cuda\b[^=]*=\s*['\"]", text, re.MULTILINE))


@lru_cache(maxsize=1)
def _has_bfloat16() -> bool:
    if platform.system() == "Linux":
        try:
            text = Path("/proc/cpuinfo").read_text(encoding="utf8", errors="replace")
        except OSError:
            return False
        return bool(re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", text))
    if _is_installed("openvino"):
        import openvino  # type: ignore[import-untyped,unused-ignore]

        device = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "BF16" in device
    return False


load_plugins("engines")  # last: they need what is above
