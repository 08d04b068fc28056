"""The tables of doc/article.md, from the results' file: no figure is typed by hand.

What the article itself tells is here too (`TOLD`), once, with where it tells it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["TABLES", "TOLD", "fill_page", "scores_as_tsv"]

Content = dict[str, Any]

#: What the article's text says of cross-validated logistic regression: set -> (images,
#: score, value). Bone: Fig. 1; oocytes: Fig. 3 and p. 4; the others: p. 5.
TOLD = {
    "bone healing (mouse)": ("37", "F1", "0.95"),
    "oocytes (mouse)": ("131", "CA", "0.96"),
    "protein localisation (yeast)": ("not in the text", "F1", "0.95"),
    "development of Dictyostelium": ("not in the text", "F1", "0.82"),
}
_ABSENT = "not at hand"


def scores_as_tsv(content: Content) -> str:
    """Return a line for each set, way and seed."""
    seeds = content.get("settings", {}).get("seeds", [])
    lines = ["set\timages\tway\tlayer\tnumbers\tseed\tAUC\tCA\tF1"]
    for entry in content.get("sets", []):
        for way in entry["ways"]:
            for number, seed in enumerate(seeds):
                scores = [
                    f"{way['scores'][s][number]:.5f}" for s in ("AUC", "CA", "F1")
                ]
                cells = [
                    entry["name"],
                    str(entry["images"]),
                    way["title"],
                    way["layer"],
                    str(way["numbers"]),
                    str(seed),
                    *scores,
                ]
                lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def fill_page(text: str, content: Content) -> str:
    """Return a page with its tables made anew.

    Raises
    ------
    ValueError
        If the page asks for a table that there is not, or a mark is not closed.
    """

    def table(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in TABLES:
            raise ValueError(f"There is no table '{name}'; there are {list(TABLES)}")
        body = TABLES[name](content)
        return f"<!-- article:{name} -->\n\n{body}\n\n<!-- /article:{name} -->"

    pattern = r"<!-- article:(\w+) -->.*?<!-- /article:\1 -->"
    filled, n = re.subn(pattern, table, text, flags=re.DOTALL)
    if n != len(re.findall(r"<!-- article:", text)):
        raise ValueError("A table of the page is begun and not ended")
    return filled


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """Return a table in Markdown; the first columns hold texts, the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    lines = [head, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sets(content: Content) -> list[Content]:
    return list(content["sets"])


def _ways(content: Content, kind: str) -> list[tuple[str, str]]:
    """Return (key, title with layer) of the ways of a kind, in order."""
    found: dict[str, str] = {}
    for entry in _sets(content):
        for way in entry["ways"]:
            if way["kind"] == kind:
                layer = f", {way['layer']}" if way["layer"] else ""
                found[way["way"]] = f"{way['title']}{layer} ({way['numbers']})"
    return list(found.items())


def _of(entry: Content, key: str) -> Content | None:
    return next((way for way in entry["ways"] if way["way"] == key), None)


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def sets_table(content: Content) -> str:
    """What the sets are."""
    rows = []
    for entry in _sets(content):
        left = [
            f"{n} exact {'copy' if n == 1 else 'copies'}"
            for n in [entry["repeated"]]
            if n
        ]
        left += [f"{name} ({n})" for name, n in entry["too_small"].items()]
        rest = (
            entry["found"]
            - entry["images"]
            - entry["repeated"]
            - entry["unreadable"]
            - sum(entry["too_small"].values())
        )
        unusable = f"{entry['unreadable']} unreadable or without category"
        left += [unusable] * bool(entry["unreadable"])
        left += [f"{rest:,} not drawn"] * bool(rest)
        kinds = ", ".join(f"{name} {n}" for name, n in entry["categories"].items())
        rows.append(
            [
                entry["name"],
                kinds,
                "; ".join(left) or "–",
                f"{entry['images']:,}",
            ]
        )
    return _table(["set", "categories", "left out", "images"], rows, 3)


def _scores(content: Content, score: str, kinds: Sequence[str]) -> str:
    head = ["", *(entry["name"] for entry in _sets(content))]
    rows = []
    for kind in kinds:
        for key, title in _ways(content, kind):
            cells = [title]
            for entry in _sets(content):
                way = _of(entry, key)
                cells.append(_mean(way["scores"][score]) if way else "–")
            rows.append(cells)
    return _table(head, rows)


def hand_made_table(content: Content) -> str:
    """F1 of features made by hand, and of the best network."""
    rows = _scores(content, "F1", ["hand-made"]).splitlines()
    best, gap = ["best of the networks here"], ["its lead over the better of the two"]
    for entry in _sets(content):
        of_kind = {
            kind: max(
                np.mean(way["scores"]["F1"])
                for way in entry["ways"]
                if way["kind"] == kind
            )
            for kind in ("network", "hand-made")
        }
        best.append(f"{of_kind['network']:.3f}")
        gap.append(f"{of_kind['network'] - of_kind['hand-made']:+.3f}")
    rows += [f"| {' | '.join(cells)} |" for cells in (best, gap)]
    return "\n".join(rows)


def told_table(content: Content) -> str:
    """What the article's text says, and what of its tables could not be had."""
    rows = []
    for name, (images, score, value) in TOLD.items():
        cells = [name, images, f"{score} {value}", _ABSENT, _ABSENT]
        rows.append(cells)
    head = [
        "the article's set",
        "images",
        "in its text",
        "Supplementary Table 1, a figure for each network",
        "Supplementary Table 3, features made by hand",
    ]
    return _table(head, rows)


def clusters_table(content: Content) -> str:
    """How well clusters fit the categories."""
    head = ["", *(entry["name"] for entry in _sets(content))]
    rows = []
    for key, title in [*_ways(content, "network"), *_ways(content, "hand-made")]:
        found = [_of(entry, key) for entry in _sets(content)]
        if not any(way and "clusters" in way for way in found):
            continue
        cells = [title]
        for way in found:
            told = way and way.get("clusters")
            cells.append(
                f"{told['adjusted_rand']:.3f} ({told['purity']:.0%})" if told else "–"
            )
        rows.append(cells)
    largest = [
        f"0 ({entry['ways'][0]['clusters']['largest']:.0%})" for entry in _sets(content)
    ]
    rows.append(["no better than nothing", *largest])
    return _table(head, rows)


def neighbours_table(content: Content) -> str:
    """Of which category what lies near is."""
    head = ["set", "", "by chance", "5 nearest", "5 nearest on the map", "on the grid"]
    rows = []
    for entry in _sets(content):
        for way in entry["ways"]:
            if told := way.get("neighbours"):
                layer = f", {way['layer']}" if way["layer"] else ""
                rows.append(
                    [
                        entry["name"],
                        f"{way['title']}{layer}",
                        *(
                            f"{told[name]:.1%}"
                            for name in ("chance", "vectors", "map", "grid")
                        ),
                    ]
                )
    return _table(head, rows, 2)


def worst_table(content: Content) -> str:
    """Which two categories are taken for each other most often, by SqueezeNet 1.1."""
    rows = []
    for entry in _sets(content):
        way = _of(entry, "squeezenet1_1/features")
        if way is None:
            continue
        confusion = np.array(way["confusion"])
        wrong = int(confusion.sum() - np.trace(confusion))
        worst = way["worst"]
        pair = f"{worst['first']} and {worst['second']}" if worst else "none"
        share = f"{worst['mistakes']} of {worst['images']}" if worst else "0"
        rows.append([entry["name"], pair, share, f"{wrong} of {confusion.sum()}"])
    head = ["set", "most confused", "mistakes between them", "mistakes in all"]
    return _table(head, rows, 2)


def prediction_table(content: Content) -> str:
    """New images by a model that carries its embedding."""
    rows = []
    for entry in _sets(content):
        for way in entry["ways"]:
            if told := way.get("prediction"):
                rows.append(
                    [
                        entry["name"],
                        f"{way['title']}, {way['layer']}",
                        str(told["trained_on"]),
                        str(told["predicted"]),
                        f"{told['CA']:.3f}",
                        f"{told['same']} of {told['predicted']}",
                    ]
                )
    head = [
        "set",
        "",
        "learned from",
        "new images",
        "CA",
        "predicted as by vectors in the table",
    ]
    return _table(head, rows, 2)


def own_table(content: Content) -> str:
    """What became of the article's own sets."""
    own = content.get("own")
    if own is None:
        return "Not asked for in this run (`--own`)."
    if own["trouble"]:
        return f"Asked: {own['asked']}. In this run {own['trouble']}."
    rows = [[name, title] for name, title in own["sets"].items()]
    told = f"Asked: {own['asked']}, {own['listed']} data sets."
    return f"{told}\n\n{_table(['the article’s set', 'in the list'], rows, 2)}"


def run_table(content: Content) -> str:
    """With what, and how long."""
    seconds = sum(way["seconds"] for entry in _sets(content) for way in entry["ways"])
    versions = ", ".join(f"{k} {v}" for k, v in content["versions"].items())
    settings = content["settings"]
    seeds = ", ".join(map(str, settings["seeds"]))
    return (
        f"{settings['folds']} folds, drawn three times (seeds {seeds}; the first is"
        f" Test and Score's); at most {settings['most']:,} images a set, at least"
        f" {settings['least']} a category. {versions}. In all {seconds / 60:.0f}"
        " minutes by the clock, on two cores that eight other people used too."
    )


#: The page's tables: name -> what makes its Markdown.
TABLES: dict[str, Callable[[Content], str]] = {
    "sets": sets_table,
    "told": told_table,
    "f1": lambda content: _scores(content, "F1", ["network", "hand-made"]),
    "ca": lambda content: _scores(content, "CA", ["network", "hand-made"]),
    "auc": lambda content: _scores(content, "AUC", ["network", "hand-made"]),
    "handmade": hand_made_table,
    "clusters": clusters_table,
    "neighbours": neighbours_table,
    "worst": worst_table,
    "prediction": prediction_table,
    "own": own_table,
    "run": run_table,
}
