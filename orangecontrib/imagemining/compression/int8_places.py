"""Where an integer network rounds: the numbers between its layers.

A network is followed while it computes: whatever a convolution, a fully connected
layer, a pooling, a sum or a concatenation gets is rounded to 8 bits first. So each of
them has integers on both sides, which is what ONNX Runtime needs to compute it in
integers. What is between, such as normalisation and ReLU, becomes part of the layer
before it.

Places are counted in the order in which the network comes by them, which is always the
same. Some share one:

* a tensor that goes into several layers is rounded once;
* maxima of rounded numbers are rounded already, and stay on their scale;
* what is concatenated goes on the scale of the whole, so that integers are copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Places", "Rounding"]

#: Returns a tensor as it is rounded at the place of that number; the last argument
#: tells whether it is what the place's range is about.
Rounding = Callable[[int, Tensor, bool], Tensor]

# functions of torch by their names: what rounds what it gets
_LAYERS = {"conv2d", "linear"}
_SUMS = {"add", "add_", "__add__", "__radd__", "__iadd__", "mul", "__mul__", "__rmul__"}
_POOLS = {"avg_pool2d", "adaptive_avg_pool2d", "mean", "amax", "local_response_norm"}
_MAXIMA = {"max_pool2d", "max_pool2d_with_indices"}
_CONCATENATIONS = {"cat", "concat"}
_MOVES = {"pad", "__getitem__", "flatten", "reshape", "view"}
_ROUNDING = _LAYERS | _SUMS | _POOLS | _MAXIMA | _MOVES
# what leaves a tensor where it is to be rounded
_SAME = {"relu", "relu_", "dropout"}

# what tensors are known by while they go through
_DATA, _PLACE = "_int8_data", "_int8_place"
_ROUNDED, _IS_ROUNDED = "_int8_rounded", "_int8_is_rounded"


class Places(TorchFunctionMode):
    """Rounds what goes through a network, within a ``with`` statement.

    It begins with `begin`; only what comes of the images is rounded, not what weights
    are computed from.

    Parameters
    ----------
    rounding
        Rounds.
    layers
        Weights of layers by their names, to tell which place is before which layer.

    Attributes
    ----------
    count : how many places there were in the last ``with``.
    before : number of the place before each layer, by its name.
    """

    def __init__(
        self, rounding: Rounding, layers: Iterable[tuple[str, Tensor]] = ()
    ) -> None:
        super().__init__()
        self._rounding = rounding
        self._names = {id(weight): name for name, weight in layers}
        self.count = 0
        self.before: dict[str, int] = {}

    def begin(self, images: Tensor) -> None:
        """Note what is going to go through, and count from 0."""
        self.count = 0
        _forget(images)
        setattr(images, _DATA, True)

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call one of torch's functions with what it is to get."""
        name = getattr(func, "__name__", "")
        kwargs = kwargs or {}
        if not any(map(_is_data, args[0] if name in _CONCATENATIONS else args)):
            return func(*args, **kwargs)
        if name in _CONCATENATIONS:
            return self._concatenated(func, args, kwargs)
        place: int | None = None
        if name in _SAME:
            place = getattr(args[0], _PLACE, None)
        elif name in _ROUNDING:
            # weights and biases, behind the first, are not to be rounded
            n = 2 if name in _SUMS else 1
            args = (*map(self._rounded, args[:n]), *args[n:])
            if name in _LAYERS:
                self._note(args)
            elif name in _MAXIMA | _MOVES:
                place = getattr(args[0], _IS_ROUNDED, None)
        result = func(*args, **kwargs)
        if not isinstance(result, Tensor):
            return result
        if result is args[0] and name in _SAME | _SUMS and name != "dropout":
            _forget(result)  # changed in place: what was known does not hold any more
        if place is not None:
            setattr(result, _PLACE, place)
        setattr(result, _DATA, True)
        return result

    def _concatenated(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        place = self._next()
        known = (_PLACE, _ROUNDED, _IS_ROUNDED)
        rounded = [
            self._rounded(part)
            if any(hasattr(part, each) for each in known)
            else self._rounded(part, place)
            for part in args[0]
        ]
        result = func(rounded, *args[1:], **kwargs)
        setattr(result, _PLACE, place)
        setattr(result, _DATA, True)
        return result

    def _rounded(self, x: Any, whole: int | None = None) -> Any:
        """Return a tensor rounded, at the place of a concatenation if one is given."""
        if not _is_data(x) or hasattr(x, _IS_ROUNDED):
            return x
        if hasattr(x, _ROUNDED):
            return getattr(x, _ROUNDED)
        place = whole if whole is not None else getattr(x, _PLACE, None)
        place = self._next() if place is None else place
        y = self._rounding(place, x, whole is None)
        setattr(y, _IS_ROUNDED, place)
        setattr(y, _DATA, True)
        if y is not x:
            setattr(x, _ROUNDED, y)
        return y

    def _next(self) -> int:
        self.count += 1
        return self.count - 1

    def _note(self, args: tuple[Any, ...]) -> None:
        layer = self._names.get(id(args[1])) if len(args) > 1 else None
        place = getattr(args[0], _IS_ROUNDED, None)
        if layer is not None and place is not None:
            self.before.setdefault(layer, place)


def _is_data(x: Any) -> bool:
    """Tell whether something came of the images, and is a batch of maps or vectors."""
    return (
        isinstance(x, Tensor)
        and hasattr(x, _DATA)
        and x.dim() in (2, 4)
        and x.is_floating_point()
    )


def _forget(x: Tensor) -> None:
    for known in (_PLACE, _ROUNDED, _IS_ROUNDED):
        x.__dict__.pop(known, None)
