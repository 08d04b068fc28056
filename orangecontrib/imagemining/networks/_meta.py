"""Networks without numbers, to learn their shapes or to be given numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["without_numbers"]


class _NoDrawing(TorchFunctionMode):
    """Draws no random numbers for what has no room for them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        # both torch.nn.init's, which passes names, and the tensor's own
        if getattr(func, "__name__", "") == "normal_":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@contextmanager
def without_numbers() -> Iterator[None]:
    """Have networks that are built within on torch's device "meta".

    For normally distributed numbers torch would load its compiler there, which takes
    seconds and is of no use.
    """
    with torch.device("meta"), _NoDrawing():
        yield
