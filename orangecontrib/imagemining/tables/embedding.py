"""Embeddings as columns that any other table of images can be given too.

The columns have names that tell network and layer. Those of SqueezeNet as in
Orange3-ImageAnalytics are called n0, n1, … and equal the plain columns of these names
that the add-on wrote, so that models and other steps of old workflows take one for the
other (`PlainColumn`). The price: columns n0, n1, … are taken for them wherever they
come from, as in that add-on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
    Variable,
)
from Orange.data.util import SharedComputeValue, get_unique_names
from Orange.preprocess.transformation import Identity

from orangecontrib.imagemining.embedders import (
    LocalEmbedder,
    check_spec,
    class_names,
    knows_imagenet,
)
from orangecontrib.imagemining.embedders.catalog import card_of
from orangecontrib.imagemining.embedders.classes import likeliest
from orangecontrib.imagemining.exceptions import UnknownNameError
from orangecontrib.imagemining.specs import (
    PROBABILITIES,
    EmbedderSpec,
    Progress,
    no_progress,
)
from orangecontrib.imagemining.tables.columns import (
    image_columns,
    image_sources,
    rendering_of,
)

__all__ = [
    "N_CLASSES",
    "ComputeClasses",
    "ComputeEmbeddings",
    "EmbeddingColumn",
    "EmbeddingResult",
    "PlainColumn",
    "embed_table",
]

#: How many of the likeliest classes get columns.
N_CLASSES = 5


class ComputeEmbeddings:
    """Embeds the images of a table; shared by all columns of one embedding.

    Parameters
    ----------
    column
        The image column. A table without it may have one other image column instead.
        Whatever table the images are in, they are read as this column says: the
        network is to see new images as it saw those that a model learned from.
    spec
        The embedder.
    """

    # of columns stored before there was a choice
    rendering = ""

    def __init__(self, column: Variable, spec: EmbedderSpec) -> None:
        self.column = column
        self.spec = spec
        # variables are equal whatever their attributes are; embeddings are not
        self.rendering = rendering_of(column)

    def __call__(self, table: Table) -> NDArray[np.float32]:
        """Return (rows, size) float32; NaN for images that cannot be read.

        As everywhere in Orange, values that cannot be computed are missing: so are all
        if the table has no image column, or several and none of this name.
        """
        column = self._column_of(table)
        if column is None:
            return np.full((len(table), check_spec(self.spec).size), np.nan, np.float32)
        return self._embed(image_sources(table, column, self.rendering))

    def _embed(self, sources: list[str | None]) -> NDArray[np.float32]:
        return LocalEmbedder(self.spec)(sources).vectors

    def _column_of(self, table: Table) -> Variable | None:
        if self.column in table.domain:
            return self.column
        others = image_columns(table.domain)
        return others[0] if len(others) == 1 else None

    def __eq__(self, other: object) -> bool:
        return (
            type(self) is type(other)
            and self.column == other.column
            and self.spec == other.spec
            and self.rendering == other.rendering
        )

    def __hash__(self) -> int:
        return hash((type(self), self.column, self.spec, self.rendering))


class ComputeClasses(ComputeEmbeddings):
    """Names what is likeliest in the images; shared by the columns that say so.

    Parameters
    ----------
    column
        As for `ComputeEmbeddings`.
    spec
        The embedder; its layer is `specs.PROBABILITIES`.
    """

    InheritEq = True  # tells Orange that __eq__ is not forgotten

    def _embed(self, sources: list[str | None]) -> NDArray[np.float32]:
        return classes_and_probabilities(super()._embed(sources))


class EmbeddingColumn(SharedComputeValue):
    """One number of the embedding.

    Parameters
    ----------
    compute_shared
        The embedding of whole tables.
    index
        Position in the vector.
    """

    def __init__(self, compute_shared: ComputeEmbeddings, index: int) -> None:
        super().__init__(compute_shared)
        self.index = index

    def compute(
        self, data: Table, shared_data: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return shared_data[:, self.index]

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and self.index == getattr(other, "index", None)

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.index))


class PlainColumn(EmbeddingColumn, Identity):
    """One number of the embedding, in a column that equals a plain one of its name.

    Orange takes a column that `Identity` computes from another for the same column. A
    table that has the plain one keeps its values; for others they are computed.

    Parameters
    ----------
    compute_shared, index
        As for `EmbeddingColumn`.
    name
        Of the plain column.
    """

    InheritEq = True  # tells Orange that __eq__ is not forgotten

    def __init__(
        self, compute_shared: ComputeEmbeddings, index: int, name: str
    ) -> None:
        EmbeddingColumn.__init__(self, compute_shared, index)
        Identity.__init__(self, ContinuousVariable(name))


@dataclass
class EmbeddingResult:
    """What became of a table's images.

    Attributes
    ----------
    embedded : the rows whose images were embedded, with the new columns; None if
        there are none.
    skipped : the other rows, with a text column ``reason``; None if there are none.
    """

    embedded: Table | None
    skipped: Table | None


def embed_table(
    table: Table,
    column: Variable,
    spec: EmbedderSpec | Sequence[EmbedderSpec],
    progress: Progress = no_progress,
    classes: bool = False,
) -> EmbeddingResult:
    """Add the embedding of each row's image to the table's features.

    Classes, metas, row ids, name, attributes and the table's type are kept.

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

    Raises
    ------
    UnknownNameError
        If `spec` names what does not exist, or is an empty list.
    WeightsError
        If a network's weights are not to be had.
    """
    specs = [spec] if isinstance(spec, EmbedderSpec) else list(dict.fromkeys(spec))
    if not specs:
        raise UnknownNameError("No embedder is given")
    for each in specs:
        check_spec(each)  # all of them before the first takes its time
    wanted = {each: classes and knows_imagenet(each.network) for each in specs}
    sources = image_sources(table, column)
    results = []
    for number, each in enumerate(specs):
        embedder = LocalEmbedder(each, also=[PROBABILITIES] if wanted[each] else ())
        results.append(embedder(sources, _share(progress, number, len(specs))))
    reasons = [
        next((reason for reason in of_row if reason is not None), None)
        for of_row in zip(*(result.reasons for result in results), strict=True)
    ]
    good = np.array([reason is None for reason in reasons], bool)
    embedded = skipped = None
    if good.any():
        embedded = table[good]
        for each, result in zip(specs, results, strict=True):
            embedded = _with_vectors(embedded, column, each, result.vectors[good])
        kept = [
            source for source, is_good in zip(sources, good, strict=True) if is_good
        ]
        for each in dict.fromkeys(
            replace(each, layer=PROBABILITIES) for each in specs if wanted[each]
        ):
            embedded = _with_classes(embedded, column, each, kept)
    if not good.all():
        why = [reason for reason in reasons if reason is not None]
        skipped = with_reasons(table[~good], why)
    return EmbeddingResult(embedded, skipped)


def class_variables(
    domain: Domain, column: Variable, spec: EmbedderSpec
) -> list[Variable]:
    """Return columns of the five likeliest classes and their probabilities.

    Parameters
    ----------
    domain
        Has none of their names.
    column, spec
        As for `ComputeClasses`.
    """
    compute = ComputeClasses(column, spec)
    prefixes = {
        kind: replace(spec, layer=kind).column_prefix
        for kind in ("class", "probability")
    }
    names = [
        f"{p}_{rank}" for rank in range(1, N_CLASSES + 1) for p in prefixes.values()
    ]
    taken = {variable.name for variable in (*domain.variables, *domain.metas)}
    if not taken.isdisjoint(names):
        names = get_unique_names(domain, names, equal_numbers=True)
    return [
        ContinuousVariable(name, compute_value=EmbeddingColumn(compute, index))
        if index % 2
        else DiscreteVariable(
            name, class_names(), compute_value=EmbeddingColumn(compute, index)
        )
        for index, name in enumerate(names)
    ]


def classes_and_probabilities(
    probabilities: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return (rows, 10): likeliest class, its probability, next class, …"""
    pairs = np.stack(likeliest(probabilities, N_CLASSES), axis=2)
    return pairs.reshape(len(probabilities), -1).astype(np.float32)


def embedding_variables(
    domain: Domain, column: Variable, spec: EmbedderSpec
) -> list[ContinuousVariable]:
    """Return the new columns, under names that `domain` does not have yet."""
    compute = ComputeEmbeddings(column, spec)
    size = check_spec(spec).size
    plain = card_of(spec.network).plain_columns
    prefix = plain or f"{spec.column_prefix}_"
    names = [f"{prefix}{index}" for index in range(size)]
    taken = {variable.name for variable in (*domain.variables, *domain.metas)}
    if not taken.isdisjoint(names):
        # all of them get a number, so that they stay together
        names = get_unique_names(domain, names, equal_numbers=True)
    return [
        ContinuousVariable(
            name,
            compute_value=(
                PlainColumn(compute, index, name)
                if plain
                else EmbeddingColumn(compute, index)
            ),
        )
        for index, name in enumerate(names)
    ]


def _with_vectors(
    table: Table, column: Variable, spec: EmbedderSpec, vectors: NDArray[np.float32]
) -> Table:
    domain = table.domain
    new = embedding_variables(domain, column, spec)
    # Transforming into the final domain would compute the vectors a second time: first
    # into one with empty columns, which are then filled and given their names.
    empty = [ContinuousVariable(variable.name) for variable in new]
    wide = table.transform(
        Domain((*domain.attributes, *empty), domain.class_vars, domain.metas)
    )
    with wide.unlocked(wide.X):
        wide.X[:, len(domain.attributes) :] = vectors
    wide.domain = Domain((*domain.attributes, *new), domain.class_vars, domain.metas)
    return wide


def _with_classes(
    table: Table, column: Variable, spec: EmbedderSpec, sources: list[str | None]
) -> Table:
    # computed along with the vectors, so this finds them
    probabilities = LocalEmbedder(spec)(sources).vectors
    domain = table.domain
    new = class_variables(domain, column, spec)
    empty = [variable.copy(compute_value=None) for variable in new]
    wide = table.transform(
        Domain(domain.attributes, domain.class_vars, (*domain.metas, *empty))
    )
    with wide.unlocked(wide.metas):
        wide.metas[:, len(domain.metas) :] = classes_and_probabilities(probabilities)
    wide.domain = Domain(domain.attributes, domain.class_vars, (*domain.metas, *new))
    return wide


def _share(progress: Progress, number: int, of: int) -> Progress:
    """Return a progress that fills one of several equal parts."""

    def share(fraction: float, status: str = "") -> None:
        if status and of > 1:
            status = f"Embedder {number + 1} of {of}: {status}"
        progress((number + fraction) / of, status)

    return share


def with_reasons(table: Table, reasons: list[str]) -> Table:
    """Return the rows with a column that says why each was left out."""
    domain = table.domain
    reason = StringVariable(get_unique_names(domain, "reason"))
    extended = table.transform(
        Domain(domain.attributes, domain.class_vars, (*domain.metas, reason))
    )
    with extended.unlocked(extended.metas):
        extended.metas[:, -1] = reasons
    return extended
