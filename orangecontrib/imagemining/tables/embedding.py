"""Embeddings as columns that any other table of images can be given too.

The columns have names that tell network and layer. Those of SqueezeNet as in
Orange3-ImageAnalytics are called n0, n1, … and equal the plain columns of these names
that the add-on wrote, so that models and other steps of old workflows take one for the
other (`PlainColumn`). The price: columns n0, n1, … are taken for them wherever they
come from, as in that add-on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    Table,
    Variable,
)
from Orange.data.util import SharedComputeValue, get_unique_names
from Orange.preprocess.transformation import Identity

from orangecontrib.imagemining.embedders import LocalEmbedder, check_spec, class_names
from orangecontrib.imagemining.embedders.catalog import card_of
from orangecontrib.imagemining.embedders.classes import likeliest
from orangecontrib.imagemining.embedders.servers import (
    ServerEmbedder,
    Visit,
    can_run_here,
)
from orangecontrib.imagemining.exceptions import ServerError, WeightsError
from orangecontrib.imagemining.specs import PROBABILITIES, EmbedderSpec
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
    "PlainColumn",
    "class_variables",
    "classes_and_probabilities",
    "embedding_variables",
]

#: How many of the likeliest classes get columns.
N_CLASSES = 5


# Orange's widgets tell the user of a ValueError when they compute columns for new
# images; any other would be taken for a failure of the program.
class _NoServerError(ServerError, ValueError):
    """New images have no vectors for want of a server."""


class _NoWeightsError(WeightsError, ValueError):
    """New images have no vectors for want of the network's weights."""


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
    server
        Address of the server that embedded the images that a model learned from; "" for
        this computer. New images are sent there only where the network's weights are
        not on this computer, and only if the user has agreed to it. The vectors are the
        same, so columns are equal wherever they were computed.
    """

    # of columns stored before there was a choice
    rendering = ""
    server = ""

    def __init__(self, column: Variable, spec: EmbedderSpec, server: str = "") -> None:
        self.column = column
        self.spec = spec
        self.server = server
        # variables are equal whatever their attributes are; embeddings are not
        self.rendering = rendering_of(column)

    def __call__(self, table: Table) -> NDArray[np.float32]:
        """Return (rows, size) float32; NaN for images that cannot be read.

        As everywhere in Orange, values that cannot be computed are missing: so are all
        if the table has no image column, or several and none of this name.

        Raises
        ------
        WeightsError
            If the network's weights are not to be had.
        ServerError
            If a server is needed and may not be used, or did not do all: rows that are
            missing for that would be predicted as if nothing were wrong.
        """
        column = self._column_of(table)
        if column is None:
            return np.full((len(table), check_spec(self.spec).size), np.nan, np.float32)
        return self._embed(image_sources(table, column, self.rendering))

    def _embed(self, sources: list[str | None]) -> NDArray[np.float32]:
        try:
            if not self.server or can_run_here(self.spec.network):
                return LocalEmbedder(self.spec)(sources).vectors
            visit = Visit(self.server, agreed_only=True)
            result = ServerEmbedder(visit, self.spec)(sources)
        except ServerError as ex:
            raise _NoServerError(str(ex)) from ex
        except WeightsError as ex:
            raise _NoWeightsError(str(ex)) from ex
        if visit.trouble:
            raise _NoServerError(visit.trouble)
        return result.vectors

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
    column, server
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


def class_variables(
    domain: Domain, column: Variable, spec: EmbedderSpec, server: str = ""
) -> list[Variable]:
    """Return columns of the five likeliest classes and their probabilities.

    Parameters
    ----------
    domain
        Has none of their names.
    column, spec, server
        As for `ComputeClasses`.
    """
    compute = ComputeClasses(column, spec, server)
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
    domain: Domain, column: Variable, spec: EmbedderSpec, server: str = ""
) -> list[ContinuousVariable]:
    """Return the new columns, under names that `domain` does not have yet.

    Where a number is of one of a trained network's classes, its name tells which.
    """
    compute = ComputeEmbeddings(column, spec, server)
    size = check_spec(spec).size
    card = card_of(spec.network)
    plain = card.plain_columns
    prefix = plain or f"{spec.column_prefix}_"
    kinds: Sequence[object] = range(size)
    if spec.layer in ("logits", PROBABILITIES) and len(set(card.classes)) == size:
        kinds = card.classes
    names = [f"{prefix}{kind}" for kind in kinds]
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
