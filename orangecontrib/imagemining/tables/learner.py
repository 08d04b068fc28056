"""Training as one of Orange's learners, for Test & Score."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

from Orange.base import Learner
from Orange.data import Domain, Instance, Table
from Orange.data.filter import HasClass

from orangecontrib.imagemining.exceptions import TableError, TaskCancelled
from orangecontrib.imagemining.specs import Progress, no_progress
from orangecontrib.imagemining.tables.decoded import DecodedImages
from orangecontrib.imagemining.tables.labelled import class_of, image_column_of
from orangecontrib.imagemining.tables.networkmodel import ImageNetworkModel
from orangecontrib.imagemining.tables.training import EVERYDAY, train_on_table
from orangecontrib.imagemining.training.plan import Plan
from orangecontrib.imagemining.weights.image_network import ImageNetwork

__all__ = ["TrainNetworkLearner"]


class TrainNetworkLearner(Learner):
    """Trains a network on whatever table of images it is given.

    Test & Score calls it with a part of the table after another: images that several
    parts share are decoded once. Equal data give equal networks. Nothing is kept in the
    user's folders.

    Where an image is missing or cannot be read, its models give the shares of classes
    that they learned from: Orange's scores bear no missing probabilities.

    Parameters
    ----------
    plan, start, column
        As for `train_on_table`.
    preprocessors
        Orange's, instead of the default: leaving rows without a class out.

    Attributes
    ----------
    decoded : images that were read; copies of the learner share them.
    """

    name = "train network"
    __returns__ = ImageNetworkModel
    # whatever changed features or filled in missing ones would do so in vain
    preprocessors = (HasClass(),)

    def __init__(
        self,
        plan: Plan = EVERYDAY,
        start: ImageNetwork | None = None,
        column: str = "",
        preprocessors: Any = None,
    ) -> None:
        super().__init__(preprocessors=preprocessors)
        self.plan = plan
        self.start = start
        self.column = column
        self.decoded = DecodedImages()
        self._progress: Progress = no_progress
        self._given_up = threading.Event()  # copies share it

    def give_up(self) -> None:
        """End what this learner and its copies are training, at the next step.

        For whoever puts another learner in its place: Test & Score can end a fold by
        no other way, and would have the old and the new one compute at once. Calls of
        the learner raise `TaskCancelled` from then on.
        """
        self._given_up.set()

    @property
    def params(self) -> dict[str, Any]:
        """What it was made with."""
        return {"plan": self.plan, "start": self.start, "column": self.column}

    def __call__(
        self,
        data: Table | Instance,
        progress_callback: Callable[..., None] | None = None,
    ) -> ImageNetworkModel:
        """Train, and return the model.

        Parameters
        ----------
        data
            A table with an image column and a categorical class.
        progress_callback
            Called with the fraction done, and a text; what it raises ends it.

        Raises
        ------
        ValueError
            If the table's columns do not do; the message says why.
        ImageMiningError
            As `train_on_table`; `TaskCancelled` after `give_up`.
        """
        # one of its own, as several threads may call this one
        learner = copy.copy(self)
        report = progress_callback or no_progress

        def progress(fraction: float, status: str = "") -> None:
            if self._given_up.is_set():
                raise TaskCancelled("Another learner has taken its place")
            report(fraction, status)

        learner._progress = progress
        return super(TrainNetworkLearner, learner).__call__(data, progress_callback)

    def fit_storage(self, data: Table) -> ImageNetworkModel:
        """Train on a table whose rows have a class."""
        result = train_on_table(
            data,
            self.plan,
            start=self.start,
            column=self.column,
            decoded=self.decoded,
            progress=self._progress,
        )
        result.model.fills_in = True
        result.model.keeps_vectors = False
        return result.model

    def incompatibility_reason(self, domain: Domain) -> str | None:
        """Say why a table with these columns cannot be learned from; None if it can."""
        try:
            image_column_of(domain, self.column)
            class_of(domain)
        except TableError as ex:
            return str(ex)
        return None

    def __copy__(self) -> TrainNetworkLearner:
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def __getstate__(self) -> dict[str, Any]:
        # what happens in this process is of no interest to another
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_progress", "_given_up")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _progress=no_progress)
        self._given_up = threading.Event()

    def __deepcopy__(self, memo: dict[int, Any]) -> TrainNetworkLearner:
        # what it holds is not changed by anybody, or is to be shared
        return copy.copy(self)
