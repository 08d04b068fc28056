#!/usr/bin/env python3
"""Run the analyses of the article on Orange's image analytics on images at hand.

Usage: .venv/bin/python benchmarks/article.py [FOLDER…] [--samples] [--own]
           [--download] [--most N] [--least N] [--out FILE] [--page FILE]
           [--pictures FOLDER]

The article: Godec et al., "Democratized image analytics by visual programming through
integration of deep models and small-scale machine learning", Nature Communications
10:4551 (2019). What it did with four sets of images is done here with those of each
FOLDER, whose sub-folders are the categories; with --samples, of the samples that come
with the add-on; with --own, of the article's own sets, by the list of data sets that
Orange's widget Datasets shows (where there is no network, it says so and goes on).

Networks are all whose weights are on this computer; with --download those of the
article's that can be had are fetched first (1.2 GB). Beside them stand features made
by hand (`article_features.py`). Of a set at most N images are taken (default 150),
evenly over the categories; categories of fewer than --least images (default 10) and
exact copies of images are left out.

What each network came to on each set is written to FILE (default
benchmarks/results/article.json, and beside it .tsv) at once; the same command goes on
after what is there. --page fills the tables of a Markdown page from FILE, between
<!-- article:NAME --> and <!-- /article:NAME -->; --pictures draws into a folder. With
--page or --pictures alone nothing is computed that FILE has. `embedding.py` is for
speed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from Orange.data import ContinuousVariable, Domain, Table
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import article_analyses as analyses
from benchmarks import article_features as features
from benchmarks.article_page import fill_page, scores_as_tsv
from benchmarks.article_pictures import draw_all
from benchmarks.article_sets import ImageSet, from_folder, from_orange, prepared
from orangecontrib.imagemining.exceptions import ImageMiningError, WeightsError
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.report.evaluate import widget_learner
from orangecontrib.imagemining.report.gallery import cosine_distances
from orangecontrib.imagemining.report.map import place
from orangecontrib.imagemining.report.sample import draw_rows
from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import embed_table, image_sources
from orangecontrib.imagemining.weights import WEIGHTS, fetch, is_here
from orangecontrib.imagemining.weights.folders import write_parts

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "orangecontrib" / "imagemining" / "samples" / "synthetic-yeast"
OUT = Path(__file__).parent / "results" / "article.json"
#: Networks that the article names and that can be had.
FETCHED = ("inception_v3", "vgg16", "vgg19")
ON_MAP = 300  # images: MDS compares all pairs


@dataclass(frozen=True)
class Way:
    """One way from images to numbers.

    Attributes
    ----------
    key : as the results name it.
    title : for people.
    spec : the embedder; None of features made by hand.
    """

    key: str
    title: str
    spec: EmbedderSpec | None = None


def ways() -> list[Way]:
    """Return the networks that are here, each with its default layer, and the others.

    Of SqueezeNet 1.1 the last layer too, which is what Orange3-ImageAnalytics takes.
    """
    result = []
    for network, card in WEIGHTS.items():
        if not is_here(card):
            continue
        layers = [card.layers[0].name]
        if network == "squeezenet1_1":
            layers.append("logits")
        for layer in layers:
            result.append(
                Way(f"{network}/{layer}", card.title, EmbedderSpec(network, layer))
            )
    result.append(Way("measurements", "measurements"))
    result.append(Way("words", "local gradients, visual words"))
    return result


def embedded_by(spec: EmbedderSpec, images: ImageSet) -> Table:
    """Return the images with their vectors."""
    result = embed_table(images.table, images.table.domain["image"], spec)
    if result.embedded is None or result.skipped is not None:
        sys.exit(f"{images.name}: images were skipped")
    return result.embedded


def measured(images: ImageSet) -> tuple[Table, NDArray[np.uint8]]:
    """Return the images with features made by hand, and their patches' descriptors."""
    sources = image_sources(images.table, images.table.domain["image"])
    values, patches = [], []
    with ImageReader() as reader:
        for source in sources:
            pixels = features.pixels_of(reader.read(source or ""))
            values.append(features.measurements(pixels))
            patches.append(features.local_gradients(pixels))
    columns = [ContinuousVariable(f"m{i}") for i in range(len(values[0]))]
    old = images.table.domain
    domain = Domain(columns, old.class_vars, old.metas)
    table = Table.from_numpy(
        domain, np.array(values), images.table.Y, images.table.metas
    )
    return table, np.array(patches)


def standardised(table: Table) -> Table:
    """Return the table with columns of mean 0 and spread 1; for distances alone."""
    spread = table.X.std(axis=0)
    values = (table.X - table.X.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return Table.from_numpy(table.domain, values, table.Y, table.metas)


def explore(table: Table) -> dict[str, Any]:
    """Do what needs no learning: clusters, neighbours, map, grid."""
    labels = table.Y.astype(int)
    distances = cosine_distances(table)
    shown = draw_rows(table, ON_MAP)
    points = place(distances[np.ix_(shown, shown)])
    flat = np.linalg.norm(points[:, None] - points[None], axis=2)
    return {
        "clusters": analyses.cluster(distances, labels),
        "neighbours": {
            "chance": analyses.chance_of_same(labels),
            "vectors": analyses.nearest_of_same(distances, labels),
            "map": analyses.nearest_of_same(flat, labels[shown]),
            "grid": analyses.grid_neighbours(table, labels),
        },
    }


def analyse(images: ImageSet, todo: list[Way]) -> Iterator[dict[str, Any]]:
    """Yield what each way came to."""
    by_hand: tuple[Table, NDArray[np.uint8]] | None = None
    for way in todo:
        begun = time.perf_counter()
        result: dict[str, Any] = {"way": way.key, "title": way.title}
        if way.spec is not None:
            result["kind"], result["layer"] = "network", way.spec.layer
            table = embedded_by(way.spec, images)
            result["numbers"] = table.X.shape[1]
            compact = analyses.compact(table)
            result |= analyses.classify(compact, widget_learner())
            result |= explore(table)
            result["prediction"] = analyses.predict_new(
                table, images.table, widget_learner()
            )
        else:
            result["kind"], result["layer"] = "hand-made", ""
            by_hand = by_hand or measured(images)
            table, patches = by_hand
            if way.key == "measurements":
                result["numbers"] = table.X.shape[1]
                method = features.standardising(widget_learner())
                result |= analyses.classify(table, method)
                result |= explore(standardised(table))
            else:
                numbers = Table.from_numpy(
                    Domain([ContinuousVariable("image")], table.domain.class_vars),
                    np.arange(len(table), dtype=float)[:, None],
                    table.Y,
                )
                words = features.WordsLearner(patches, widget_learner())
                result["numbers"] = words.n_words
                result |= analyses.classify(numbers, words)
        result["seconds"] = round(time.perf_counter() - begun, 1)
        yield result


def fingerprint(images: ImageSet) -> str:
    """Return what tells these images from others, by name and category."""
    text = "\n".join(f"{row['image']}\t{row['category']}" for row in images.table)
    return hashlib.sha256(text.encode("utf8", "surrogateescape")).hexdigest()[:16]


def describe(images: ImageSet) -> dict[str, Any]:
    """Return what the results say of a set."""
    sizes = np.bincount(images.table.Y.astype(int)).tolist()
    names = images.table.domain.class_var.values
    return {
        "name": images.name,
        "found": images.found,
        "images": len(images.table),
        "categories": dict(zip(names, sizes, strict=True)),
        "too_small": images.too_small,
        "repeated": images.repeated,
        "unreadable": images.unreadable,
        "fingerprint": fingerprint(images),
        "ways": [],
    }


def run_all(
    sets: list[ImageSet], settings: dict[str, Any], content: dict[str, Any], out: Path
) -> None:
    """Analyse each set in each way that the results do not have yet."""
    content["settings"] = settings
    content["versions"] = {
        name: importlib.metadata.version(name)
        for name in ("Orange3", "scikit-learn", "numpy")
    }
    of_name = {entry["name"]: entry for entry in content.setdefault("sets", [])}
    for images in sets:
        entry = of_name.get(images.name)
        fresh = describe(images)
        if entry is None or entry["fingerprint"] != fresh["fingerprint"]:
            if entry is not None:
                content["sets"].remove(entry)
            entry = fresh
            content["sets"].append(entry)
        done = {way["way"] for way in entry["ways"]}
        todo = [way for way in ways() if way.key not in done]
        for result in analyse(images, todo):
            entry["ways"].append(result)
            ca = np.mean(result["scores"]["CA"])
            print(
                f"{images.name}, {result['title']} {result['layer']}: CA {ca:.3f},"
                f" {result['seconds']:.0f} s",
                flush=True,
            )
            write(content, out)


def write(content: dict[str, Any], out: Path) -> None:
    """Write the results, and their scores as a table."""
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_parts(out, [text.encode("utf8")])
    write_parts(out.with_suffix(".tsv"), [scores_as_tsv(content).encode("utf8")])


def download() -> None:
    """Fetch the weights of the article's networks; say which could not be had."""
    for network in FETCHED:
        card = WEIGHTS[network]
        if is_here(card):
            continue
        print(f"Fetching {card.title} …", flush=True)
        try:
            fetch(card)
        except WeightsError as ex:
            print(f"{card.title}: {ex}")


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], epilog="See the head of the file."
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--samples", action="store_true")
    parser.add_argument("--own", action="store_true")
    parser.add_argument("--index", default="", help="another list of data sets")
    parser.add_argument("--keep", type=Path, help="where sets of a list are kept")
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--most", type=int, default=150)
    parser.add_argument("--least", type=int, default=analyses.FOLDS)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args(arguments)
    if given.least < analyses.FOLDS:
        parser.error(f"--least: each of {analyses.FOLDS} folds needs an image")
    content: dict[str, Any] = {}
    if given.out.exists():
        content = json.loads(given.out.read_text(encoding="utf8"))
    if given.download:
        download()
    tables: dict[str, Table] = {}
    try:
        folders = [SAMPLES] * given.samples + given.folders
        for folder in folders:
            name = folder.resolve().name
            if name in tables:
                parser.error(f"two folders are called {name}")
            tables[name] = from_folder(folder)
    except ImageMiningError as ex:
        parser.error(str(ex))
    if given.own:
        own, content["own"] = from_orange(given.index, given.keep)
        tables |= own
    sets = []
    for name, table in tables.items():
        try:
            sets.append(prepared(name, table, given.most, given.least))
        except ValueError as ex:
            print(f"{ex}; left out")
    if sets or given.own:
        settings = {
            "folds": analyses.FOLDS,
            "seeds": list(analyses.SEEDS),
            "most": given.most,
            "least": given.least,
        }
        if content.get("settings", settings) != settings:
            parser.error(f"{given.out} has other settings' results: name another --out")
        # a few hundred rows are solved several times faster on one thread
        with threadpool_limits(1):
            run_all(sets, settings, content, given.out)
        write(content, given.out)
    if not content:
        parser.error("nothing to do: name a folder, --samples or --own")
    if given.pictures:
        draw_all(SAMPLES, content, given.pictures)
    if given.page:
        text = fill_page(given.page.read_text(encoding="utf8"), content)
        write_parts(given.page, [text.encode("utf8")])


if __name__ == "__main__":
    main()
