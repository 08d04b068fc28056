#!/usr/bin/env python3
"""Write the names and shapes of the published networks' parameters.

Usage: .venv/bin/python scripts/make_shapes.py

They go into ``weights/shapes.txt``, by which files of weights are judged without torch.
A line a module: its name, the shape of its weight, and ``bias`` if it has one or ``bn``
if it is a batch normalisation.
"""

from __future__ import annotations

from pathlib import Path

import torch

from orangecontrib.imagemining import weights
from orangecontrib.imagemining.networks import create_network

TARGET = Path(weights.__file__).parent / "shapes.txt"


def content() -> str:
    """Return what the file is to hold."""
    lines = ["# made by scripts/make_shapes.py"]
    names = {card.network for card in weights.WEIGHTS.values()}
    for name in sorted(names):
        with torch.device("meta"):
            state = create_network(name).state_dict()
        lines.append(f"[{name}]")
        for key, tensor in state.items():
            module, _, part = key.rpartition(".")
            if part != "weight":
                continue
            words = [module, *map(str, tensor.shape)]
            if f"{module}.running_mean" in state:
                words.append("bn")
            elif f"{module}.bias" in state:
                words.append("bias")
            lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(content(), encoding="utf8")
