"""``embed``: vectors of the images of a folder or table, in a file."""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orangecontrib.imagemining.commands.names import (
    card_named,
    check_name,
    network_named,
)
from orangecontrib.imagemining.commands.serveroptions import fill_server, server_of
from orangecontrib.imagemining.commands.skipped import skipped_file
from orangecontrib.imagemining.commands.talking import meter, rate, say, warn, working
from orangecontrib.imagemining.exceptions import (
    ImageMiningError,
    SaveError,
    ServerError,
    UnknownNameError,
    WeightsError,
)
from orangecontrib.imagemining.specs import FITS, PRECISIONS, EmbedderSpec

if TYPE_CHECKING:
    from Orange.data import Table, Variable

    from orangecontrib.imagemining.embedders.engines.choice import EngineChoice
    from orangecontrib.imagemining.specs import Weights
    from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["DESCRIPTION", "HELP", "fill", "run"]

HELP = "write the vectors of a folder's or table's images into a file"
DESCRIPTION = (
    "Embed images: describe each by numbers from a deep network, and write them into a"
    " file. What has been embedded once is not computed again, also after Ctrl-C."
)
_EXIT = """\
exit status: 0 if images were embedded, also if some could not be (a line tells how
many, --skipped which); 1 if none was, or the file could not be written, or with
--strict if any could not be; 2 for wrong usage; 130 after Ctrl-C."""

_GOES_ON = "What was computed is kept: the same command goes on from there."
_STACKS = ("first", "middle", "max", "mean", "planes", "channels")
_CONTRASTS = ("auto", "stored", "full", "percentiles")


def fill(parser: argparse.ArgumentParser) -> None:
    """Give the command's parser its arguments."""
    parser.epilog = _EXIT
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a folder (its sub-folders are categories), or a table that Orange reads"
        " (.tab, .csv, .xlsx, ...) with a column of paths or addresses",
    )
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="what to write; its ending says how: .tab, .csv, .xlsx or .pkl.gz for"
        " Orange, .npz for NumPy, .parquet for pandas, polars and others",
    )
    _fill_network(parser.add_argument_group("network"))
    fill_server(parser.add_argument_group("server"))
    _fill_images(parser.add_argument_group("images"))
    _fill_output(parser.add_argument_group("output"))


def _fill_network(group: Any) -> None:
    group.add_argument(
        "-n",
        "--network",
        default="squeezenet1_1",
        metavar="NAME",
        help="as `orange-imagemining networks` lists them, or a file that Save Network"
        " wrote, .safetensors or .imnet (default: %(default)s)",
    )
    group.add_argument(
        "-l",
        "--layer",
        metavar="NAME",
        help="where in the network the numbers are taken (default: its first)",
    )
    group.add_argument(
        "--views",
        default="1",
        metavar="N",
        help="how often each image is looked at: 2 mirrored too; 8 turned and mirrored;"
        " 10, 12 and 144 crops; for VGG also dense and dense-multiscale (default: 1)",
    )
    group.add_argument(
        "--fit",
        choices=FITS,
        default=FITS[0],
        help="how an image meets the network's square (default: %(default)s)",
    )
    group.add_argument(
        "--classes",
        action="store_true",
        help="add the five likeliest of ImageNet's classes, with probabilities",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="float32 is exact; fast gives nearly the same numbers sooner, where the"
        " processor can (default: %(default)s)",
    )
    group.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="onnxruntime, torch or openvino (default: the fastest here)",
    )
    group.add_argument(
        "--download",
        action="store_true",
        help="fetch the network's weights if they are not on this computer",
    )
    group.add_argument(
        "--no-cache",
        action="store_true",
        help="neither look for known vectors nor keep new ones",
    )


def _fill_images(group: Any) -> None:
    group.add_argument(
        "--column",
        metavar="NAME",
        help="of a table: the column of images (default: the one that is marked, or"
        " that looks like it)",
    )
    group.add_argument(
        "--base",
        type=Path,
        metavar="DIR",
        help="of a table: where its paths begin (default: the table's folder)",
    )
    group.add_argument(
        "--trust-pickle",
        action="store_true",
        help="of a table: read it though it is a pickle, which can run programs",
    )
    group.add_argument(
        "--include",
        default="",
        metavar="NAMES",
        help='of a folder: only files of these names, such as "*_blue.tif"',
    )
    group.add_argument(
        "--exclude",
        default="",
        metavar="NAMES",
        help="of a folder: no files and folders of these names",
    )
    group.add_argument(
        "--categories",
        default="folder",
        metavar="FROM",
        help="of a folder: folder (the first below SOURCE), path (all of them), none,"
        " or a pattern of names (default: %(default)s)",
    )
    group.add_argument(
        "--stack",
        choices=_STACKS,
        default=_STACKS[0],
        help="of files with several planes: one of them, a projection, or a row for"
        " each plane or channel (default: %(default)s)",
    )
    group.add_argument(
        "--all-series",
        action="store_true",
        help="of files with several series: a row for each",
    )
    group.add_argument(
        "--contrast",
        choices=_CONTRASTS,
        default=_CONTRASTS[0],
        help="of images with more than 8 bits (default: %(default)s)",
    )
    group.add_argument(
        "--tile",
        type=_side,
        default=0,
        metavar="PIXELS",
        help="of whole slides: a row for each tile of that side",
    )


def _side(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is no number of pixels")
    return int(text)


def _fill_output(group: Any) -> None:
    group.add_argument(
        "--skipped",
        type=Path,
        metavar="FILE",
        help="write path and reason of images that could not be embedded (.csv, or"
        " .tsv)",
    )
    group.add_argument("--force", action="store_true", help="overwrite files")
    group.add_argument(
        "--plain",
        action="store_true",
        help="of .tab, .csv and .xlsx: one line of names above the data, and not"
        " Orange's three",
    )
    group.add_argument(
        "--strict",
        action="store_true",
        help="exit status 1 if any image could not be embedded",
    )
    group.add_argument(
        "-q", "--quiet", action="store_true", help="print nothing but errors"
    )


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    # damaged images are told in words; what Pillow makes of them is no help beside it
    warnings.filterwarnings("ignore", module="PIL")
    try:
        return _Job(options).run()
    except KeyboardInterrupt:
        text = "Stopped."
        if not options.no_cache:
            text += f" {_GOES_ON}"
        warn(text)
        return 130


class _Job:
    """One call of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self.quiet: bool = options.quiet
        self.server = ""
        self.network: str = options.network
        self.held: ImageNetwork | None = None  # of a file: found while it is held

    def run(self) -> int:
        # all that can be wrong is looked at before what takes long
        self.network, self.held = network_named(self.options.network)
        card = card_named(self.network)
        spec = self._spec(card)
        self._check_places()
        self.server = server_of(self.options)
        if not self.server:
            self._bring_weights(card)
        table, column = self._open()
        if not len(table):
            raise ImageMiningError(f"{self.options.source} has no rows")
        return self._embed(table, column, spec, card)

    def _spec(self, card: Weights) -> EmbedderSpec:
        from orangecontrib.imagemining.embedders import check_spec, knows_imagenet
        from orangecontrib.imagemining.embedders.engines.choice import AUTO, ENGINES
        from orangecontrib.imagemining.specs import PROBABILITIES

        options = self.options
        names = [layer.name for layer in card.layers]
        layer = names[0] if options.layer is None else options.layer
        if "logits" in names:
            names.append(PROBABILITIES)
        check_name(f"layer of {card.title}", layer, names)
        check_name("engine", options.engine, [AUTO, *ENGINES])
        views = int(options.views) if options.views.isdecimal() else options.views
        spec = EmbedderSpec(self.network, layer, views, options.fit, options.precision)
        check_spec(spec)
        if options.classes and not knows_imagenet(self.network):
            raise UnknownNameError(f"{card.title} does not tell ImageNet's classes")
        return spec

    def _check_places(self) -> None:
        from orangecontrib.imagemining.tables.writing import check_kind, check_place

        check_kind(self.out)
        places = [self.out]
        if self.options.skipped is not None:
            places.append(self.options.skipped)
        source = self.options.source
        for place in places:
            check_place(place, self.options.force)
            if place.exists() and source.exists() and place.samefile(source):
                raise SaveError(f"{place} is where the images are read from")
        if len({os.path.abspath(place) for place in places}) < len(places):
            raise SaveError("--out and --skipped are the same file")

    def _bring_weights(self, card: Weights) -> None:
        from orangecontrib.imagemining.weights import WEIGHTS, fetch, is_here

        name = self.network
        if name not in WEIGHTS or is_here(card):
            return
        if not self.options.download:
            raise WeightsError(
                f"The weights of {card.title} are not on this computer; fetch them by"
                f" `orange-imagemining weights fetch {name}`, or say --download"
            )
        with working(f"Fetching {card.title}", self.quiet) as progress:
            fetch(card, progress)

    def _open(self) -> tuple[Table, Variable]:
        # Orange takes a second or two to load
        from orangecontrib.imagemining.images import FileFilter
        from orangecontrib.imagemining.tables.folder import (
            FolderOptions,
            table_from_folder,
        )
        from orangecontrib.imagemining.tables.opening import (
            open_table,
            with_image_column,
        )
        from orangecontrib.imagemining.tables.reading import Reading

        options = self.options
        source: Path = options.source
        reading = Reading(
            stack=options.stack,
            all_series=options.all_series,
            contrast=options.contrast,
            tile=options.tile,
        )
        if source.is_dir():
            from_ = options.categories
            plain = from_ in ("folder", "path", "none")
            wanted = FolderOptions(
                FileFilter(options.include, options.exclude),
                from_ if plain else "pattern",
                "" if plain else from_,
                reading=reading,
            )
            with working("Finding images", self.quiet) as progress:
                listed = table_from_folder(source, progress, wanted)
            for folder in listed.found.unreadable:
                self._warn(f"May not be read: {folder}")
            return listed.table, listed.table.domain["image"]
        table = open_table(source, options.trust_pickle)
        with working("Finding images", self.quiet) as progress:
            return with_image_column(
                table,
                source.parent,
                options.column,
                options.base,
                reading,
                progress,
            )

    def _embed(
        self, table: Table, column: Variable, spec: EmbedderSpec, card: Weights
    ) -> int:
        from orangecontrib.imagemining.embedders.cache import VectorStore, shared_store
        from orangecontrib.imagemining.embedders.engines.choice import (
            AUTO,
            choose_engine,
        )
        from orangecontrib.imagemining.tables.embedded import embed_in_parts
        from orangecontrib.imagemining.tables.embedding import N_CLASSES
        from orangecontrib.imagemining.tables.widening import ROWS
        from orangecontrib.imagemining.tables.writing import (
            Layout,
            check_size,
            writing,
        )

        options = self.options
        layout = Layout(
            column, spec, 2 * N_CLASSES * options.classes, plain=options.plain
        )
        check_size(self.out, table, layout)
        store = VectorStore.in_memory() if options.no_cache else shared_store()
        engine = foreseen = None
        if not self.server:
            engine = foreseen = choose_engine(
                spec.network, options.engine, spec.precision, spec.views
            )
        n = len(table)
        n_embedded = n_known = 0
        start = time.monotonic()
        with (
            skipped_file(options.skipped, options.force) as skipped,
            writing(self.out, layout, options.force) as writer,
        ):
            with meter(n, self.quiet) as progress, _to_be_continued():
                for part in embed_in_parts(
                    table,
                    column,
                    spec,
                    progress,
                    options.classes,
                    ROWS if writer.takes_parts else n,
                    server=self.server,
                    cache=store,
                    engine=options.engine,
                ):
                    if foreseen and _kind(part.engines[0]) != _kind(foreseen):
                        engine = part.engines[0]
                    if part.trouble:
                        raise ServerError(part.trouble)
                    n_known += part.n_known
                    if part.skipped is not None:
                        skipped.add(part.skipped, column)
                    if part.embedded is not None:
                        n_embedded += len(part.embedded)
                        writer.add(part.embedded)
            if not n_embedded:
                skipped.keep()
                raise ImageMiningError(
                    f"None of the images could be embedded. {skipped.describe()}"
                )
        seconds = time.monotonic() - start
        self._say(
            f"{n_embedded:,} of {n:,} images embedded: {layout.size:,} numbers each,"
            f" by {card.title} ({spec.layer})"
            + (f" at {self.server}" if self.server else "")
        )
        known = f"; {n_known:,} were known" if n_known else ""
        self._say(f"{seconds:.1f} s, {rate(n, seconds)} images/s{known}")
        self._say(f"Written: {self.out}")
        if engine is not None:
            other = options.engine not in (AUTO, engine.name) or engine is not foreseen
            if other or (spec.precision == "fast" and engine.precision == "float32"):
                self._warn(engine.reason)
        if store.message:
            self._warn(store.message)
        if skipped.n:
            self._warn(skipped.describe())
        return int(bool(skipped.n) and options.strict)

    def _say(self, text: str) -> None:
        if not self.quiet:
            say(text)

    def _warn(self, text: str) -> None:
        if not self.quiet:
            warn(text)


@contextmanager
def _to_be_continued() -> Iterator[None]:
    """Tell of a server that went what becomes of what it did."""
    try:
        yield
    except ServerError as ex:
        raise ServerError(f"{ex}. {_GOES_ON}") from ex


def _kind(engine: EngineChoice) -> tuple[str, str, str]:
    # what a graphics processor is called is known only once torch is loaded
    return engine.name, engine.device, engine.precision
