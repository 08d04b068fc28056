"""Embedding the images of a table: the rows with vectors, and those without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from Orange.data import ContinuousVariable, Domain, Table, Variable

from orangecontrib.imagemining.embedders import (
    AnyEmbedder,
    Embeddings,
    LocalEmbedder,
    check_spec,
    knows_imagenet,
)
from orangecontrib.imagemining.embedders.engines.choice import EngineChoice
from orangecontrib.imagemining.embedders.servers import ServerEmbedder, Visit
from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.specs import (
    PROBABILITIES,
    EmbedderSpec,
    Progress,
    no_progress,
)
from orangecontrib.imagemining.tables.columns import image_sources
from orangecontrib.imagemining.tables.embedding import (
    N_CLASSES,
    class_variables,
    classes_and_probabilities,
    embedding_variables,
)
from orangecontrib.imagemining.tables.widening import (
    ROWS,
    with_features,
    with_metas,
    with_reasons,
)

__all__ = ["EmbeddingResult", "embed_in_parts", "embed_table"]


@dataclass
class EmbeddingResult:
    """What became of a table's images.

    Attributes
    ----------
    embedded : the rows whose images were embedded, with the new columns; None if
        there are none.
    skipped : the other rows, with a text column ``reason``; None if there are none.
    n_known : how many images' vectors were known already, and not computed anew; of
        several embedders, those of the one that knew fewest.
    engines : what ran each embedder's network, and why; where all was known, what
        would have. Of a server's it is not known.
    trouble : why a server did not do all; "" if it did, or none was asked.
    """

    embedded: Table | None
    skipped: Table | None
    n_known: int = 0
    engines: list[EngineChoice] = field(default_factory=list)
    trouble: str = ""


def embed_table(
    table: Table,
    column: Variable,
    spec: EmbedderSpec | Sequence[EmbedderSpec],
    progress: Progress = no_progress,
    classes: bool = False,
    server: str = "",
    **options: Any,
) -> EmbeddingResult:
    """Add the embedding of each row's image to the table's features.

    Classes, metas, row ids, name, attributes and the table's type are kept. Besides the
    vectors, of 4 bytes a number, and the new table, of 8 as Orange needs them, no copy
    of the numbers is made.

    Parameters
    ----------
    table, column
        The images.
    spec
        The embedder, or several: their columns stand side by side, and rows whose
        images any of them could not embed are skipped.
    progress
        Called as the work goes on.
    classes
        Whether to add as metas what each network trained on ImageNet takes an image
        for: its five likeliest classes, with their probabilities.
    server
        Address of the server that embeds the images, which are sent there; "" for this
        computer.
    options
        Passed on to `LocalEmbedder`: what it runs on, and where it keeps vectors. Of no
        use with a server.

    Raises
    ------
    UnknownNameError
        If `spec` names what does not exist, or is an empty list.
    WeightsError
        If a network's weights are not to be had.
    ServerError
        If the server could do nothing, and no vector is known. Where it did some, the
        other rows are skipped, and `trouble` tells why.

    Examples
    --------
    >>> from pathlib import Path
    >>> import orangecontrib.imagemining
    >>> samples = Path(orangecontrib.imagemining.__file__).parent / "samples"
    >>> from orangecontrib.imagemining.specs import EmbedderSpec
    >>> from orangecontrib.imagemining.tables import embed_table, table_from_folder
    >>> table = table_from_folder(samples / "synthetic-yeast").table[::40]
    >>> spec = EmbedderSpec("squeezenet1_1", "features")
    >>> result = embed_table(table, table.domain["image"], spec)
    >>> len(result.embedded), len(result.embedded.domain.attributes)
    (3, 512)
    """
    specs = [spec] if isinstance(spec, EmbedderSpec) else list(dict.fromkeys(spec))
    if not specs:
        raise UnknownNameError("No embedder is given")
    for each in specs:
        check_spec(each)  # all of them before the first takes its time
    sources = image_sources(table, column)
    visit = Visit(server) if server else None
    results: list[Embeddings] = []
    engines: list[EngineChoice] = []
    shares: dict[EmbedderSpec, NDArray[np.float32]] = {}
    for number, each in enumerate(specs):
        share = _share(progress, number, len(specs))
        likely = replace(each, layer=PROBABILITIES)
        with_classes = classes and knows_imagenet(each.network) and likely not in shares
        also = [PROBABILITIES] if with_classes else []
        embedder = _embedder(each, visit, options, also)
        if with_classes:
            likely_embedder = _embedder(likely, visit, options)
            result, shares[likely] = _with_classes(
                embedder, likely_embedder, sources, share
            )
        else:
            result = embedder(sources, share)
        results.append(result)
        if isinstance(embedder, LocalEmbedder):
            engines.append(embedder.choice)
    reasons = [
        next((reason for reason in of_row if reason is not None), None)
        for of_row in zip(*(result.reasons for result in results), strict=True)
    ]
    n_known = min(result.n_known for result in results)
    good = np.array([reason is None for reason in reasons], bool)
    embedded = skipped = None
    if good.any():
        vectors = [result.vectors for result in results]
        del result
        results.clear()  # so that they go one by one
        new = _variables(table.domain, column, specs, server)
        embedded = with_features(table, good, new, vectors)
        for each, values in shares.items():
            new_metas = class_variables(embedded.domain, column, each, server)
            embedded = with_metas(embedded, new_metas, values[good])
    if not good.all():
        why = [reason for reason in reasons if reason is not None]
        skipped = with_reasons(table[~good], why)
    trouble = visit.trouble if visit is not None else ""
    return EmbeddingResult(embedded, skipped, n_known, engines, trouble)


def embed_in_parts(
    table: Table,
    column: Variable,
    spec: EmbedderSpec,
    progress: Progress = no_progress,
    classes: bool = False,
    rows: int = ROWS,
    **options: Any,
) -> Iterator[EmbeddingResult]:
    """Embed a table a number of rows at a time, so that vectors need not all be held.

    Parameters
    ----------
    table, column, spec, progress, classes, options
        As for `embed_table`.
    rows
        How many at a time.

    Yields
    ------
    What became of these rows, in order; all have the same columns.

    Raises
    ------
    UnknownNameError, WeightsError
        As `embed_table`.
    """
    n = len(table)
    for start in range(0, n, rows):
        part = table[start : start + rows]

        def share(
            fraction: float, status: str = "", start: int = start, size: int = len(part)
        ) -> None:
            progress((start + fraction * size) / n, status)

        yield embed_table(part, column, spec, share, classes, **options)


def _variables(
    domain: Domain, column: Variable, specs: Sequence[EmbedderSpec], server: str
) -> list[ContinuousVariable]:
    new: list[ContinuousVariable] = []
    for spec in specs:
        wide = Domain((*domain.attributes, *new), domain.class_vars, domain.metas)
        new += embedding_variables(wide, column, spec, server)
    return new


def _embedder(
    spec: EmbedderSpec,
    visit: Visit | None,
    options: dict[str, Any],
    also: Sequence[str] = (),
) -> AnyEmbedder:
    if visit is not None:
        return ServerEmbedder(visit, spec, also)
    return LocalEmbedder(spec, also=also, **options)


def _with_classes(
    embedder: AnyEmbedder,
    likely: AnyEmbedder,
    sources: list[str | None],
    progress: Progress,
) -> tuple[Embeddings, NDArray[np.float32]]:
    """Return the embeddings, and `classes_and_probabilities`."""
    n = len(sources)
    result = Embeddings(np.empty((n, embedder.size), np.float32), [])
    values = np.empty((n, 2 * N_CLASSES), np.float32)
    # a thousand probabilities an image are not to be held for all of them
    for start in range(0, n, ROWS):
        block = slice(start, start + ROWS)

        def share(fraction: float, status: str = "", start: int = start) -> None:
            progress((start + fraction * min(ROWS, n - start)) / n, status)

        some = embedder(sources[block], _share(share, 0, 2, name=""))
        result.vectors[block] = some.vectors
        result.n_known += some.n_known
        # computed along with the vectors, unless these were known
        others = likely(sources[block], _share(share, 1, 2, name=""))
        values[block] = classes_and_probabilities(others.vectors)
        # a server may go between the two
        pairs = zip(some.reasons, others.reasons, strict=True)
        result.reasons += [first or second for first, second in pairs]
    return result, values


def _share(
    progress: Progress, number: int, of: int, name: str = "Embedder"
) -> Progress:
    """Return a progress that fills one of several equal parts."""

    def share(fraction: float, status: str = "") -> None:
        if status and name and of > 1:
            status = f"{name} {number + 1} of {of}: {status}"
        progress((number + fraction) / of, status)

    return share
