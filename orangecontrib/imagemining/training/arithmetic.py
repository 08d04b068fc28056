"""Where and how exactly a network computes while it is trained."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.exceptions import TrainingError
from orangecontrib.imagemining.training.plan import Plan

__all__ = [
    "Arithmetic",
    "SeededDropout",
    "has_fast_bfloat16",
    "is_out_of_memory",
    "seed_of",
    "too_little_memory",
    "use_dropout",
]

_NAMES = {"cpu": "processor", "cuda": "CUDA processor", "mps": "Apple GPU"}


class Arithmetic:
    """The device of a plan and its precision.

    Parameters
    ----------
    plan
        Its device and precision count.

    Attributes
    ----------
    device : "cpu", "cuda" or "mps".
    mixed : whether what bfloat16 is exact enough for is computed in it.
    words : both, for people.

    Raises
    ------
    TrainingError
        If this computer has no such device.
    """

    def __init__(self, plan: Plan) -> None:
        self.device = _device_of(plan.device)
        can = has_fast_bfloat16(self.device)
        self.mixed = plan.precision != "float32" and can
        self.words = f"on the {_NAMES[self.device]}, in " + (
            "bfloat16 and float32" if self.mixed else "float32"
        )
        if plan.precision == "mixed" and not can:
            self.words += " (it does not compute in bfloat16 by itself)"

    def training(self) -> AbstractContextManager[None]:
        """Return what the forward pass and the loss are to run within."""
        return self._within(self.mixed)

    def prediction(self) -> AbstractContextManager[None]:
        """Return what an evaluation is to run within: float32, as in prediction."""
        return self._within(False)

    @contextmanager
    def _within(self, mixed: bool) -> Iterator[None]:
        with ExitStack() as stack:
            if self.device == "cuda":
                # the same numbers each time; what was set before comes back
                stack.enter_context(
                    torch.backends.cudnn.flags(
                        enabled=True,
                        benchmark=False,
                        deterministic=True,
                        allow_tf32=mixed,
                    )
                )
            if mixed:
                stack.enter_context(torch.autocast(self.device, torch.bfloat16))
            yield


def has_fast_bfloat16(device: str) -> bool:
    """Tell whether a device multiplies bfloat16 numbers by itself."""
    if device == "cuda":
        return torch.cuda.get_device_capability()[0] >= 8
    return device == "cpu" and _processor_has_bfloat16()


@lru_cache(maxsize=1)
def _processor_has_bfloat16() -> bool:
    # torch can tell on any system, by a function that is not promised to stay
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if ask is not None:
        return bool(ask())
    if platform.system() != "Linux":
        return False
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf8", errors="replace")
    except OSError:
        return False
    return bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", text))


def _device_of(wanted: str) -> str:
    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    if torch.cuda.is_available():
        here.insert(0, "cuda")
    if wanted == "auto":
        return here[0]
    if wanted not in here:
        raise TrainingError(
            f"There is no {_NAMES.get(wanted, wanted)} here that torch can use; choose"
            f" the device {' or '.join(here)}"
        )
    return wanted


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether it says that there is not enough memory."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(
        re.search(r"out of memory|not enough memory|alloc.* memory", str(error), re.I)
    )


def too_little_memory(plan: Plan) -> TrainingError:
    """Return what is told when a halved batch is still too much."""
    return TrainingError(
        f"There is not enough memory to train {plan.network} with {plan.batch} images"
        " of this size at once, nor with half as many; choose a smaller batch, smaller"
        " images or a smaller network"
    )


def seed_of(seed: int, *numbers: int) -> int:
    """Return a seed that is another one for other numbers, 63 bits."""
    digest = hashlib.blake2b(repr((seed, *numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class SeededDropout(nn.Dropout):
    """Dropout that draws from a generator of its own, not from torch's global one.

    So a training reproduces whatever else draws random numbers meanwhile, and disturbs
    nobody.

    Parameters
    ----------
    p
        Share that is left out.
    generator
        Of the device.
    """

    def __init__(self, p: float, generator: torch.Generator) -> None:
        super().__init__(p)
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.p, generator=self.generator)
        return x * kept / (1 - self.p)


def use_dropout(
    network: nn.Module, share: float | None, generator: torch.Generator
) -> None:
    """Have a network's dropouts draw from a generator.

    Parameters
    ----------
    network
        Its dropouts are replaced; names of tensors stay.
    share
        What they leave out from now on, None for what they do.
    generator
        Of the network's device.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                p = child.p if share is None else share
                setattr(parent, name, SeededDropout(p, generator))
