"""Which boxes a network's drawing has, and what stands in them; no Qt.

Normalisation and activation are drawn with the layer before them. What belongs to one
module, as SqueezeNet's Fire, is a block that can be folded up; equal blocks after one
another are a group that can be folded up, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orangecontrib.imagemining.compression.described import Described, LayerInfo, Times
from orangecontrib.imagemining.widgets.utils.infolayout import ENTRY
from orangecontrib.imagemining.widgets.utils.infotexts import (
    shape_text,
    size_text,
    time_text,
)

__all__ = ["DETAILS", "Part", "inputs_of", "parts_of", "visible_detail"]

#: How much is drawn, by the names that settings keep.
DETAILS = {
    "auto": "As much as is readable",
    "groups": "Equal blocks as one",
    "blocks": "Blocks",
    "layers": "All layers",
}

_MANY = 60  # boxes; more are not readable

_WHAT = {
    "Fire": "Fire module",
    "Basic": "residual block",
    "Bottleneck": "bottleneck block",
    "Paths": "Inception module",
    "Residual": "Inception-ResNet module",
}


@dataclass(frozen=True)
class Part:
    """A box, or a frame with boxes in it.

    Attributes
    ----------
    key : tells it from others of the network.
    kind : of its layer as in `LayerInfo`; "block" or "group".
    title, lines : what stands in it.
    layers : places of its layers.
    channels : that come out.
    parts : what is in it, of blocks and groups.
    tip : all about it.
    """

    key: str
    kind: str
    title: str
    lines: tuple[str, ...]
    layers: tuple[int, ...]
    channels: int
    parts: tuple[Part, ...] = field(default=())
    tip: str = ""


def parts_of(described: Described, times: Times | None = None) -> list[Part]:
    """Return a network's parts from the image on."""
    layers = described.layers
    seconds = times.layers if times is not None else ()
    rows = _joined(layers)
    found: list[Part] = []
    start = 0
    while start < len(rows):
        block = layers[rows[start][0]].block
        end = start + 1
        while block and end < len(rows) and layers[rows[end][0]].block == block:
            end += 1
        alone = end - start == 1
        members = [_layer_part(layers, row, seconds, alone) for row in rows[start:end]]
        if len(members) > 1:
            n_before = sum(part.kind == "block" for part in found)
            found.append(_block_part(layers, members, seconds, n_before))
        else:
            found += members
        start = end
    return _grouped(layers, found, seconds)


def visible_detail(parts: Sequence[Part], detail: str) -> str:
    """Return the detail that is drawn, with "auto" resolved."""
    if detail != "auto":
        return detail if detail in DETAILS else "layers"
    blocks = [inner for part in parts for inner in _opened(part, "group")]
    boxes = [inner for part in blocks for inner in _opened(part, "block")]
    if len(boxes) <= _MANY:
        return "layers"
    return "blocks" if len(blocks) <= _MANY else "groups"


def inputs_of(parts: Sequence[Part], layers: Sequence[LayerInfo]) -> list[list[int]]:
    """Return, for each of some parts, which of them feed it, `ENTRY` for others."""
    owner = {layer: place for place, part in enumerate(parts) for layer in part.layers}
    result: list[list[int]] = []
    for place, part in enumerate(parts):
        own: dict[int, None] = {}
        for layer in part.layers:
            for source in layers[layer].inputs:
                if source not in part.layers:
                    before = owner.get(source, ENTRY)
                    own[before if before < place else ENTRY] = None
        result.append(list(own) or [ENTRY])
    return result


def _opened(part: Part, kind: str) -> tuple[Part, ...]:
    return part.parts if part.kind == kind else (part,)


def _joined(layers: Sequence[LayerInfo]) -> list[list[int]]:
    """Return layers by box: normalisation goes with what it normalises."""
    consumers: dict[int, int] = {}
    for layer in layers:
        for source in layer.inputs:
            consumers[source] = consumers.get(source, 0) + 1
    rows: list[list[int]] = []
    row_of: dict[int, list[int]] = {}
    for place, layer in enumerate(layers):
        if not layer.runs:
            continue
        row = row_of.get(layer.inputs[0]) if len(layer.inputs) == 1 else None
        weighted = ("convolution", "fully connected")
        if (
            layer.kind == "normalisation"
            and row is not None
            and consumers[layer.inputs[0]] == 1
            and layers[row[0]].kind in weighted
        ):
            row.append(place)
        else:
            row = [place]
            rows.append(row)
        row_of[place] = row
    return rows


def _layer_part(
    layers: Sequence[LayerInfo],
    row: Sequence[int],
    seconds: Sequence[float],
    is_alone: bool,
) -> Part:
    first, last = layers[row[0]], layers[row[-1]]
    name = first.name
    if not is_alone and name.startswith(f"{first.block}."):
        name = name[len(first.block) + 1 :]
    name = name.removesuffix(".conv")
    if first.kind in ("sum", "concatenation", "mean"):
        title = first.kind
    elif first.kind == "pooling":
        title = first.detail or first.kind
    else:
        title = " · ".join(filter(None, [name, first.detail]))
    lines = [shape_text(last.output)]
    more = _costs(layers, row, seconds)
    if more:
        lines.append(more)
    return Part(
        key=f"layer {first.name}",
        kind=first.kind,
        title=title,
        lines=tuple(lines),
        layers=tuple(row),
        channels=last.output[0] if last.output else 1,
        tip="\n\n".join(_tip(layers[place]) for place in row),
    )


def _block_part(
    layers: Sequence[LayerInfo],
    members: Sequence[Part],
    seconds: Sequence[float],
    n_before: int,
) -> Part:
    own = tuple(place for part in members for place in part.layers)
    first, last = layers[own[0]], layers[own[-1]]
    what = _WHAT.get(first.block_kind, first.block_kind)
    name = first.block
    if first.block_kind == "Fire":
        name = f"fire{n_before + 2}"  # as in the paper
    lines = [what, shape_text(last.output), _costs(layers, own, seconds)]
    return Part(
        key=f"block {first.block}",
        kind="block",
        title=name,
        lines=tuple(filter(None, lines)),
        layers=own,
        channels=last.output[0] if last.output else 1,
        parts=tuple(members),
        tip=f"{name}: {what}. Click to fold it up or open it.",
    )


def _grouped(
    layers: Sequence[LayerInfo], parts: Sequence[Part], seconds: Sequence[float]
) -> list[Part]:
    found: list[Part] = []
    runs: list[list[Part]] = []
    for part in parts:
        if runs and _same(layers, runs[-1][-1], part):
            runs[-1].append(part)
        else:
            runs.append([part])
    for run in runs:
        if len(run) == 1:
            found += run
            continue
        own = tuple(place for part in run for place in part.layers)
        last = run[-1]
        what = last.lines[0]
        lines = [f"{run[0].title} – {last.title}", last.lines[1]]
        more = _costs(layers, own, seconds)
        title = f"{len(run)} × {what}"
        found.append(
            replace(
                last,
                key=f"group {run[0].key}",
                kind="group",
                title=title,
                lines=tuple(filter(None, [*lines, more])),
                layers=own,
                parts=tuple(run),
                tip=f"{title}. Click to fold them up or open them.",
            )
        )
    return found


def _same(layers: Sequence[LayerInfo], one: Part, other: Part) -> bool:
    if one.kind != "block" or other.kind != "block":
        return False
    if len(one.layers) != len(other.layers):
        return False
    pairs = [
        (layers[a], layers[b]) for a, b in zip(one.layers, other.layers, strict=True)
    ]
    first, second = pairs[-1]
    same_kind = first.block_kind == second.block_kind
    same_steps = all(a.kind == b.kind and a.detail == b.detail for a, b in pairs)
    return same_kind and same_steps and first.output == second.output


def _costs(
    layers: Sequence[LayerInfo], own: Sequence[int], seconds: Sequence[float]
) -> str:
    n_bytes = sum(layers[place].stored_bytes for place in own)
    texts = [size_text(n_bytes)] if n_bytes else []
    if seconds and texts:
        texts.append(time_text(sum(seconds[place] for place in own)))
    return " · ".join(texts)


def _tip(layer: LayerInfo) -> str:
    lines = [layer.name, " ".join(filter(None, [layer.kind, layer.detail]))]
    if layer.activation:
        lines[-1] += f", then {layer.activation}"
    if layer.shape:
        lines.append(f"weights {shape_text(layer.shape)}")
    if layer.output:
        lines.append(f"gives {shape_text(layer.output)}")
    if layer.parameters:
        lines.append(f"{layer.parameters:,} parameters, {layer.bits} bits")
        if layer.nonzero < layer.parameters:
            lines.append(f"{layer.nonzero:,} of them are not 0")
    if layer.multiply_adds:
        lines.append(f"{layer.multiply_adds:,} multiply-adds")
    return "\n".join(lines)
