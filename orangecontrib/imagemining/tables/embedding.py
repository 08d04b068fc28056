"""Embeddings as columns that any other table of images can be given too.

The columns have names that tell network and layer. Those of SqueezeNet as in
Orange3-ImageAnalytics are called n0, n1, … and equal the plain columns of these names
that the add-on wrote, so that models and other steps of old workflows take one for the
other (`PlainColumn`). The price: columns n0, n1, … are taken for them wherever they
come from, as in that add-on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from Orange.data import ContinuousVariable, Domain, StringVariable, Table, Variable
from Orange.data.util import SharedComputeValue, get_unique_names
from Orange.preprocess.transformation import Identity

from orangecontrib.imagemining.embedders import LocalEmbedder, check_spec
from orangecontrib.imagemining.specs import EmbedderSpec, Progress, no_progress
from orangecontrib.imagemining.tables.columns import image_columns, image_sources
from orangecontrib.imagemining.weights import weights_of

__all__ = [
    "ComputeEmbeddings",
    "EmbeddingColumn",
    "EmbeddingResult",
    "PlainColumn",
    "embed_table",
]


class ComputeEmbeddings:
    """Embeds the images of a table; shared by all columns of one embedding.

    Parameters
    ----------
    column
        The image column. A table without it may have one other image column instead.
    spec
        The embedder.
    """

    def __init__(self, column: Variable, spec: EmbedderSpec) -> None:
        self.column = column
        self.spec = spec

    def __call__(self, table: Table) -> NDArray[np.float32]:
        """Return (rows, size) float32; NaN for images that cannot be read.

        As everywhere in Orange, values that cannot be computed are missing: so are all
        if the table has no image column, or several and none of this name.
        """
        column = self._column_of(table)
        if column is None:
            return np.full((len(table), check_spec(self.spec).size), np.nan, np.float32)
        return LocalEmbedder(self.spec)(image_sources(table, column)).vectors

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
        )

    def __hash__(self) -> int:
        return hash((type(self), self.column, self.spec))


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
    spec: EmbedderSpec,
    progress: Progress = no_progress,
) -> EmbeddingResult:
    """Add the embedding of each row's image to the table's features.

    Classes, metas, row ids, name, attributes and the table's type are kept.

    Raises
    ------
    UnknownNameError
        If `spec` names what does not exist.
    WeightsError
        If the network's weights are not to be had.
    """
    result = LocalEmbedder(spec)(image_sources(table, column), progress)
    good = np.array([reason is None for reason in result.reasons], bool)
    embedded = skipped = None
    if good.any():
        embedded = _with_vectors(table[good], column, spec, result.vectors[good])
    if not good.all():
        reasons = [reason for reason in result.reasons if reason is not None]
        skipped = with_reasons(table[~good], reasons)
    return EmbeddingResult(embedded, skipped)


def embedding_variables(
    domain: Domain, column: Variable, spec: EmbedderSpec
) -> list[ContinuousVariable]:
    """Return the new columns, under names that `domain` does not have yet."""
    compute = ComputeEmbeddings(column, spec)
    size = check_spec(spec).size
    plain = weights_of(spec.network).plain_columns
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
