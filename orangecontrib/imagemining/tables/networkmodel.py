"""Trained networks as Orange's models: tables of images in, classes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from Orange.base import Model
from Orange.data import (
    DiscreteVariable,
    Domain,
    Instance,
    StringVariable,
    Table,
    Variable,
)
from Orange.data.table import DomainTransformationError
from Orange.util import dummy_callback

from orangecontrib.imagemining.embedders import LocalEmbedder, check_spec
from orangecontrib.imagemining.embedders.cache import VectorStore
from orangecontrib.imagemining.embedders.trained import prediction_spec
from orangecontrib.imagemining.exceptions import TableError
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.columns import image_columns, image_sources
from orangecontrib.imagemining.weights.image_network import AnyNetwork, ImageNetwork

__all__ = ["EnsembleModel", "ImageNetworkModel", "network_probabilities"]


def network_probabilities(
    network: AnyNetwork,
    sources: Sequence[str | None],
    views: int | str = 1,
    progress: Progress = no_progress,
    store: VectorStore | None = None,
) -> tuple[NDArray[np.float32], list[str | None]]:
    """Return what a trained network takes images for.

    Parameters
    ----------
    network
        A trained network.
    sources
        The images, as `tables.columns.image_sources` gives them.
    views
        How often each image is looked at, as `embedders.views_of` tells for it.
    progress
        Called as the work goes on.
    store
        Where what is computed is kept; by default where embeddings are.

    Returns
    -------
    (n images, classes) float32 in the order of the network's classes, NaN for images
    without a prediction; and for each image None or the reason why it has none.

    Raises
    ------
    UnknownNameError
        If images cannot be looked at that often.
    WeightsError
        If it is a network of a file that is not there any more.
    """
    embedder = LocalEmbedder(prediction_spec(network, views), cache=store)
    result = embedder(sources, progress)
    return result.vectors, result.reasons


def rendering_for(network: AnyNetwork) -> str:
    """Return how a network's images are to be read, as `images.sources` says it."""
    if isinstance(network, ImageNetwork):
        return network.card.rendering
    return str(getattr(network, "rendering", ""))


class ImagesModel(Model):
    """What models of images have in common; see `ImageNetworkModel`.

    Attributes
    ----------
    networks : those that predict.
    column : the image column of the training.
    views : how often each image is looked at.
    shares : of classes in training, None where that is not known.
    fills_in : whether `shares` are the probabilities where no image can be looked at,
        instead of missing ones. The learner sets it: scores bear no missing ones.
    keeps_vectors : whether what is computed is kept for the next time, in the user's
        store.
    """

    def __init__(
        self,
        networks: Sequence[AnyNetwork],
        class_var: DiscreteVariable | None,
        column: Variable | None,
        views: int | str,
        shares: Sequence[float] | None,
    ) -> None:
        classes = _common_classes(networks)
        if class_var is None:
            class_var = DiscreteVariable("category", classes)
        unknown = [name for name in classes if name not in class_var.values]
        if unknown:
            raise TableError(
                f"{class_var.name} has no value {unknown[0]}, which"
                f" {networks[0].title} tells apart; choose the class that it was"
                " trained for"
            )
        if column is None:
            column = StringVariable("image")
            column.attributes["type"] = "image"
        self.networks = tuple(networks)
        self.column = column
        self.views = views
        self.shares = None if shares is None else tuple(float(s) for s in shares)
        self.fills_in = False
        self.keeps_vectors = True
        for network in networks:
            check_spec(prediction_spec(network, views))
        # no features: whatever else the training's table had, nothing of it is needed,
        # and new tables are not to be asked for it
        super().__init__(Domain([], class_var, [column]))
        self.name = networks[0].title

    def probabilities(
        self, data: Table, progress: Progress = no_progress
    ) -> tuple[NDArray[np.float64], list[str | None]]:
        """Predict, and say why there is no prediction where there is none.

        Parameters
        ----------
        data
            With an image column.
        progress
            Called as the work goes on.

        Returns
        -------
        (rows, values of the class) float64, NaN in rows without a prediction; and for
        each row None or the reason.

        Raises
        ------
        DomainTransformationError
            If it is not clear which column has the images.
        """
        column = self._column_of(data)
        store = None if self.keeps_vectors else VectorStore.in_memory()
        values = self.domain.class_var.values
        total = np.zeros((len(data), len(values)))
        reasons: list[str | None] = [None] * len(data)
        for number, network in enumerate(self.networks):

            def share(fraction: float, status: str = "", number: int = number) -> None:
                progress((number + fraction) / len(self.networks), status)

            sources = image_sources(data, column, rendering_for(network))
            found, why = network_probabilities(
                network, sources, self.views, share, store
            )
            places = [values.index(name) for name in network.classes]
            total[:, places] += found
            reasons = [old or new for old, new in zip(reasons, why, strict=True)]
        total /= len(self.networks)
        total[[reason is not None for reason in reasons]] = np.nan
        return total, reasons

    def predict_storage(
        self, data: Table | Instance
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return values and probabilities."""
        if isinstance(data, Instance):
            data = Table.from_list(data.domain, [data])
        probabilities, _ = self.probabilities(data)
        missing = np.asarray(np.isnan(probabilities).any(axis=1))
        values = np.empty(len(data))
        values[~missing] = probabilities[~missing].argmax(axis=1)
        # Orange's Predictions break on a value that is missing
        values[missing] = np.argmax(self._shares)
        if self.fills_in:
            probabilities[missing] = self._shares
        return values, probabilities

    @property
    def _shares(self) -> NDArray[np.float64]:
        if self.shares is not None:
            return np.array(self.shares)
        known = self.networks[0].classes
        return np.array([v in known for v in self.domain.class_var.values]) / len(known)

    def data_to_model_domain(
        self, data: Table, progress_callback: Callable[..., None] = dummy_callback
    ) -> Table:
        """Return the data as they are: the image column is looked for in them."""
        progress_callback(1)
        return data

    def get_backmappers(self, data: Table) -> tuple[Any, list[int]]:
        """Return how values become those of the data, None where they are the same."""
        backmappers, n_values = super().get_backmappers(data)
        if [v.values for v in data.domain.class_vars] == [self.domain.class_var.values]:
            # Orange would go by the variables' identity, and divide by rounded sums
            backmappers = None
        return backmappers, n_values

    def _column_of(self, data: Table) -> Variable:
        columns = image_columns(data.domain, self.column.name)
        for column in columns:
            if column.name == self.column.name:
                return column
        if len(columns) == 1:
            return columns[0]
        if not columns:
            raise DomainTransformationError(
                f"{self.name} predicts from images, and the data have no column of"
                " them; load them with Import Images"
            )
        names = ", ".join(column.name for column in columns)
        raise DomainTransformationError(
            f"The data have several columns of images ({names}); {self.name} looks for"
            f" one called {self.column.name}"
        )

    def _key(self) -> tuple[Any, ...]:
        variable = self.domain.class_var
        return (
            type(self),
            self.networks,
            tuple(map(rendering_for, self.networks)),
            (variable, variable.values),
            self.column,
            self.views,
            self.shares,
            self.fills_in,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImagesModel) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


class ImageNetworkModel(ImagesModel):
    """Predicts the classes of a table's images by a trained network.

    Predicts for any table with an image column: that of the same name as in training,
    or else the only one. Whatever the column says, its images are read as those that
    the network was trained on (`NetworkCard.rendering`). Other columns are not looked
    at. Where an image is missing or cannot be read, the probabilities are missing; the
    value, as Orange needs one, is the class that was most frequent in training.

    Pickles hold the network with its numbers as numpy arrays.

    Parameters
    ----------
    network
        A trained network that knows its classes.
    class_var
        What is predicted; its values are matched with the network's classes by name.
        None: a variable ``category`` with the network's classes.
    column
        The image column of the training, None for ``image``.
    views
        How often each image is looked at: 1, 2, 8, 10, 12, 144, "dense" …, see
        `embedders.views_of`.
    shares
        How frequent each value of `class_var` was in training; None: not known.

    Raises
    ------
    TableError
        If the network does not know its classes, or `class_var` has not all of them
        among its values.
    UnknownNameError
        If images cannot be looked at that often.
    """

    InheritEq = True  # tells Orange that __eq__ is not forgotten

    def __init__(
        self,
        network: AnyNetwork,
        class_var: DiscreteVariable | None = None,
        column: Variable | None = None,
        *,
        views: int | str = 1,
        shares: Sequence[float] | None = None,
    ) -> None:
        super().__init__([network], class_var, column, views, shares)

    @property
    def network(self) -> AnyNetwork:
        """The network."""
        return self.networks[0]


class EnsembleModel(ImagesModel):
    """Averages the probabilities of several networks with the same classes.

    Where one of them has no prediction for an image, all have none.

    Parameters
    ----------
    networks
        One or more; their classes are matched by name.
    class_var, column, views, shares
        As for `ImageNetworkModel`. Each network reads images in its own way.

    Raises
    ------
    TableError
        If the networks' classes differ; the message says in which.
    """

    InheritEq = True  # tells Orange that __eq__ is not forgotten

    def __init__(
        self,
        networks: Sequence[AnyNetwork],
        class_var: DiscreteVariable | None = None,
        column: Variable | None = None,
        *,
        views: int | str = 1,
        shares: Sequence[float] | None = None,
    ) -> None:
        if not networks:
            raise TableError("No network is given")
        super().__init__(networks, class_var, column, views, shares)
        self.name = f"ensemble of {len(networks)}"


def _common_classes(networks: Sequence[AnyNetwork]) -> tuple[str, ...]:
    first = networks[0]
    for network in networks:
        if not network.classes:
            raise TableError(
                f"It is not known which classes {network.title} tells apart, so it"
                " cannot predict; it can embed images"
            )
        different = sorted(set(first.classes) ^ set(network.classes))
        if different:
            own = different[0] in first.classes
            knows, lacks = (first, network) if own else (network, first)
            raise TableError(
                f"Only networks of the same classes can be put together: {knows.title}"
                f" knows {different[0]}, {lacks.title} does not"
            )
    return first.classes
