"""Networks for other programs: plain pixels in, named vectors out, as an ONNX file."""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from orangecontrib.imagemining.networks._base import Network
from orangecontrib.imagemining.specs import Preprocess

__all__ = ["PORTABLE_OUTPUTS", "Portable", "onnx_content"]

#: What `Portable` returns, in this order.
PORTABLE_OUTPUTS = ("logits", "probabilities", "features")

_OPSET = 17  # what torch 2.2 can write, and all that reads ONNX today can read


def onnx_content(
    module: nn.Module, example: Tensor, name: str, outputs: Sequence[str]
) -> bytes:
    """Return a module as the content of an ONNX file.

    Parameters
    ----------
    module
        Gives a tuple of tensors whose first axis is that of the images.
    example
        Several images; any number may be given to the file.
    name
        Of the file's input.
    outputs
        Names of its outputs.

    Raises
    ------
    Exception
        Whatever torch raises where it cannot export it.
    """
    buffer = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # of the exporter that is no longer the first choice, and of sizes it fixes
        warnings.simplefilter("ignore")
        # the exporter of old needs no other package; it was the only one until 2.5
        known = inspect.signature(torch.onnx.export).parameters
        # functions of our own are what they say they are in ONNX's words, unread
        wanted: dict[str, Any] = {"dynamo": False, "autograd_inlining": False}
        options = {name: value for name, value in wanted.items() if name in known}
        torch.onnx.export(
            module,
            (example,),
            buffer,  # type: ignore[arg-type]  # which it takes, if not told so
            input_names=[name],
            output_names=list(outputs),
            dynamic_axes={each: {0: "n"} for each in (name, *outputs)},
            opset_version=_OPSET,
            **options,
        )
    return buffer.getvalue()


class Portable(nn.Module):
    """A network for other programs: plain RGB pixels in, `PORTABLE_OUTPUTS` out.

    It takes (n, 3, height, width) float32 of 0–255 in the order red, green, blue;
    whatever its weights ask for beyond the size is done inside.

    Parameters
    ----------
    network
        With its numbers.
    preprocess
        What its weights ask for.
    """

    mean: Tensor
    std: Tensor
    columns: Tensor

    def __init__(self, network: Network, preprocess: Preprocess) -> None:
        super().__init__()
        self.network = network
        self.scale = preprocess.scale
        self.turns_colours = preprocess.channels == "BGR"
        self.swaps = preprocess.swapped_columns is not None
        columns = list(range(preprocess.size[1]))
        if preprocess.swapped_columns is not None:
            first, second = preprocess.swapped_columns
            columns[first], columns[second] = second, first
        shape = (1, 3, 1, 1)
        for name, value in {
            "mean": torch.tensor(preprocess.mean, dtype=torch.float32).reshape(shape),
            "std": torch.tensor(preprocess.std, dtype=torch.float32).reshape(shape),
            "columns": torch.tensor(columns),
        }.items():
            self.register_buffer(name, value, False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image
        if self.turns_colours:
            x = torch.cat([x[:, 2:], x[:, 1:2], x[:, :1]], dim=1)
        if self.swaps:
            x = x.index_select(3, self.columns)
        x = (x * self.scale - self.mean) / self.std
        logits, features = self.vectors(x)
        return logits, torch.softmax(logits, dim=1), features

    def vectors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features of normalised images; for subclasses to change."""
        found = self.network.embed(x, ["logits", "features"])
        return found["logits"], found["features"]
