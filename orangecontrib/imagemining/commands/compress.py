"""``compress``: a trained network made smaller, in a file, and what it cost."""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from orangecontrib.imagemining.commands.names import (
    card_named,
    check_name,
    network_named,
)
from orangecontrib.imagemining.commands.talking import in_bytes, say, warn, working
from orangecontrib.imagemining.exceptions import (
    FilesExistError,
    ImageMiningError,
    SaveError,
)

if TYPE_CHECKING:
    from Orange.data import Table

    from orangecontrib.imagemining.compression.plan import CompressionPlan
    from orangecontrib.imagemining.compression.results import Compressed
    from orangecontrib.imagemining.weights.image_network import AnyNetwork

__all__ = ["DESCRIPTION", "HELP", "fill", "run"]

HELP = "make a trained network smaller, and tell what it costs"
DESCRIPTION = (
    "Make a trained network smaller: prune it, let its weights share few values, code"
    " it; fine-tune it with images where there are some. Ends with tables of what each"
    " step saved and cost. Ctrl-C ends the work: the best network so far is written."
)
_EXIT = """\
exit status: 0 if the network was written; 1 if it could not be made or written; 2 for
wrong usage; 130 if Ctrl-C was pressed twice."""

_NEEDLESS = "Coding only"  # needs no images


def fill(parser: argparse.ArgumentParser) -> None:
    """Give the command's parser its arguments."""
    parser.epilog = _EXIT
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="a file that Save Network wrote (.safetensors, .imnet), or a name as"
        " `orange-imagemining networks` lists them",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="what to write: .imnet, which is small; .safetensors, which other programs"
        " read; of Int8 .onnx",
    )
    parser.add_argument(
        "-i",
        "--images",
        type=Path,
        metavar="SOURCE",
        help="images to learn from and to judge by: a folder (its sub-folders are"
        " classes), or a table that Orange reads with a column of paths. A fifth of"
        " them is to judge by",
    )
    parser.add_argument(
        "--unlabelled",
        action="store_true",
        help="pass over the images' classes, and learn what NETWORK answers",
    )
    parser.add_argument(
        "-p",
        "--preset",
        metavar="NAME",
        help="which steps are done, such as deep-compression-8-bit (the default with"
        " images), int8, half-precision, coding-only (the default without)",
    )
    parser.add_argument(
        "--bits",
        type=int,
        choices=range(2, 9),
        metavar="2-8",
        help="bits that tell a layer's shared values apart (default: the preset's)",
    )
    goals = parser.add_mutually_exclusive_group()
    goals.add_argument(
        "--loss",
        type=_points,
        metavar="POINTS",
        help="take the smallest network that loses at most so many of 100 images"
        " (default: the preset's, mostly 0.5)",
    )
    goals.add_argument(
        "--size",
        metavar="SIZE",
        help="take the most accurate network of at most this size, such as 500KB",
    )
    parser.add_argument(
        "--minutes", type=_minutes, metavar="N", help="train no longer than this"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of what is random (default: %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing but errors"
    )


def _points(text: str) -> float:
    return _number(text, 0, 100) / 100


def _minutes(text: str) -> float:
    return _number(text, 0, math.inf)


def _number(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most or math.isinf(number):
        raise argparse.ArgumentTypeError(f"'{text}' is no such number")
    return number


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    # all that can be wrong is looked at before what takes long
    plan = _plan(options)
    _check_out(options.out, plan, options.force)
    network = _network(options.network)
    data = None if options.images is None else _data(options)
    from orangecontrib.imagemining.tables.compressing import compress_on_table

    with (
        working("Compressing", options.quiet) as progress,
        _ended_by_ctrl_c(options.quiet) as is_ended,
    ):
        result = compress_on_table(
            data, network, plan, stop=is_ended, progress=progress
        )
    n_bytes = _save(result.compressed.network, options.out, options.quiet)
    if not options.quiet:
        _tell(result.compressed, result.notes)
        say(f"Written: {options.out}, {_size(n_bytes)}")
    return 0


# what is asked for ----------------------------------------------------------------


def _plan(options: argparse.Namespace) -> CompressionPlan:
    from orangecontrib.imagemining.compression.plan import Share
    from orangecontrib.imagemining.compression.presets import DEFAULT_PRESET, PRESETS

    presets = {_slug(name): preset for name, preset in PRESETS.items()}
    default = _slug(_NEEDLESS if options.images is None else DEFAULT_PRESET)
    name = _slug(options.preset) if options.preset is not None else default
    check_name("preset", name, presets)
    plan = replace(presets[name].plan, seed=options.seed, minutes=options.minutes)
    if options.bits is not None:
        steps = tuple(
            replace(step, bits=options.bits, linear_bits=None)
            if isinstance(step, Share)
            else step
            for step in plan.steps
        )
        if steps == plan.steps and not any(isinstance(s, Share) for s in steps):
            raise ImageMiningError(f"{name} shares no values: --bits means nothing")
        plan = replace(plan, steps=steps)
    if options.loss is not None:
        plan = replace(plan, tolerance=options.loss)
    if options.size is not None:
        plan = replace(plan, tolerance=None, target_bytes=in_bytes(options.size))
    return plan


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _check_out(out: Path, plan: CompressionPlan, force: bool) -> None:
    from orangecontrib.imagemining.compression.plan import Int8
    from orangecontrib.imagemining.weights.network_file import NETWORK_SUFFIXES

    is_int8 = any(isinstance(step, Int8) for step in plan.steps)
    suffixes = (".onnx",) if is_int8 else NETWORK_SUFFIXES
    if out.suffix.lower() not in suffixes:
        what = "A network of 8-bit numbers" if is_int8 else "A compressed network"
        raise SaveError(
            f"{what} is written as {' or '.join(suffixes)}; {out.name} ends otherwise"
        )
    if not out.parent.is_dir():
        raise SaveError(f"There is no folder {out.parent}")
    if out.is_dir():
        raise FilesExistError(f"{out} is a folder; choose another name")
    if os.path.lexists(out) and not force:
        raise FilesExistError(f"{out} is there already; --force overwrites it")


def _network(network: str) -> AnyNetwork:
    from orangecontrib.imagemining.embedders.catalog import network_from

    name, held = network_named(network)
    if held is not None:
        return held
    card_named(name)  # of names that there are not, it tells what is nearest
    return network_from(name)


def _data(options: argparse.Namespace) -> Table:
    from Orange.data import Domain

    from orangecontrib.imagemining.tables.folder import table_from_folder
    from orangecontrib.imagemining.tables.opening import open_table, with_image_column

    source: Path = options.images
    with working("Finding images", options.quiet) as progress:
        if source.is_dir():
            data = table_from_folder(source, progress).table
        else:
            table = open_table(source, False)
            data = with_image_column(table, source.parent, progress=progress)[0]
    if options.unlabelled:
        domain = data.domain
        data = data.transform(Domain(domain.attributes, None, domain.metas))
    return data


@contextmanager
def _ended_by_ctrl_c(quiet: bool) -> Iterator[Callable[[], bool]]:
    """Return what tells whether Ctrl-C was pressed; pressed again, it does as ever."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def press(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        pressed.set()
        if not quiet:
            warn("Ending; Ctrl-C again throws away what was done.")

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


# what came of it ------------------------------------------------------------------


def _save(network: AnyNetwork, out: Path, quiet: bool) -> int:
    from orangecontrib.imagemining.embedders.onnxexport import copy_onnx
    from orangecontrib.imagemining.embedders.trained import with_layers
    from orangecontrib.imagemining.weights.image_network import (
        ImageNetwork,
        OnnxNetwork,
    )
    from orangecontrib.imagemining.weights.network_file import (
        NETWORK_SUFFIXES,
        save_network,
    )

    with working("Writing", quiet) as progress:
        if isinstance(network, ImageNetwork):
            if out.suffix.lower() not in NETWORK_SUFFIXES:
                raise ImageMiningError(
                    "No network of 8-bit numbers was good enough. Allow a larger --loss"
                )
            return save_network(with_layers(network), out, True, progress)
        assert isinstance(network, OnnxNetwork)
        return copy_onnx(network, out, replace=True, progress=progress)


def _tell(compressed: Compressed, notes: list[str]) -> None:
    say(_layers(compressed))
    say("")
    say(_steps(compressed))
    say("")
    if not (compressed.labelled or math.isnan(compressed.trail[0].accuracy)):
        say("Right are images that the network before would have answered so.")
    for note in notes:
        say(f"{note.rstrip('.')}.")
    say(f"The file takes {1 / compressed.ratio:.1%} of what the numbers took before.")


def _layers(compressed: Compressed) -> str:
    rows = [
        [
            layer.name,
            " x ".join(map(str, layer.shape)),
            f"{layer.parameters:,}",
            f"{layer.kept:,}",
            f"{layer.sparsity:.0%}",
            f"{layer.bits}",
            f"{layer.n_bytes:,}",
        ]
        for layer in compressed.layers
    ]
    titles = ["layer", "shape", "parameters", "kept", "zeros", "bits", "bytes"]
    return _columns(titles, rows, 2)


def _steps(compressed: Compressed) -> str:
    first = compressed.trail[0]
    rows = [
        [
            each.what,
            _size(each.n_bytes),
            f"{compressed.ratio_of(each):.1f}x",
            _share(each.accuracy),
            _lost(first.accuracy - each.accuracy),
            "result" if place == compressed.chosen else "",
        ]
        for place, each in enumerate(compressed.trail)
    ]
    return _columns(["step", "size", "smaller", "right", "points lost", ""], rows, 1)


def _columns(titles: list[str], rows: list[list[str]], n_texts: int) -> str:
    """Return a table whose first columns are texts, and the others numbers."""
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = []
    for row in [titles, *rows]:
        cells: list[Any] = [
            text.ljust(width) if place < n_texts else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _share(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.1%}"


def _lost(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def _size(n_bytes: int) -> str:
    if n_bytes < 10**6:
        return f"{n_bytes / 10**3:,.1f} KB"
    return f"{n_bytes / 10**6:,.2f} MB"
