"""Orange's own widgets use trained networks as any learner and model."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from Orange.base import Model
from Orange.data import Domain, Table
from Orange.evaluation import CrossValidation
from Orange.widgets.evaluate.owpredictions import OWPredictions
from Orange.widgets.evaluate.owtestandscore import OWTestAndScore
from Orange.widgets.tests import base

from orangecontrib.imagemining.tables.learner import TrainNetworkLearner
from orangecontrib.imagemining.tables.training import train_on_table

sys.path.append(str(Path(__file__).parents[1] / "tables"))

from coloured import TOY, coloured_table  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class TestTrainingInOrange(base.WidgetTest):
    def setUp(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)

    def with_feature(self, table: Table) -> Table:
        """Test & Score takes no table without features."""
        domain = table.domain
        return table.transform(
            Domain([domain["width"]], domain.class_var, [domain["image"]])
        )

    def test_test_and_score(self) -> None:
        table = self.with_feature(coloured_table(self.home))
        settings = {
            "resampling": OWTestAndScore.KFold,
            "n_folds": 1,  # three
            "__version__": 4,
        }
        widget = self.create_widget(OWTestAndScore, stored_settings=settings)
        self.send_signal(widget.Inputs.train_data, table, widget=widget)
        learner = TrainNetworkLearner(TOY)
        self.send_signal(widget.Inputs.learner, learner, 0, widget=widget)
        results = self.get_output(
            widget.Outputs.evaluations_results, widget=widget, wait=60_000
        )
        sampler = CrossValidation(k=3, random_state=42)
        expected = sampler(table, [TrainNetworkLearner(TOY)])
        self.assertEqual(len(results.folds), 3)
        self.assertTrue(np.array_equal(results.row_indices, expected.row_indices))
        self.assertTrue(np.array_equal(results.probabilities, expected.probabilities))
        self.assertFalse(widget.Error.active)

    def test_test_and_score_wants_a_feature(self) -> None:
        # doc/training.md says so; when it does no more, that can go
        widget = self.create_widget(OWTestAndScore)
        table = coloured_table(self.home)
        self.send_signal(widget.Inputs.train_data, table, widget=widget)
        self.assertIn("no features", str(widget.Error.train_data_error))

    def test_predictions_of_new_images(self) -> None:
        plan = replace(TOY, epochs=12)
        model = train_on_table(coloured_table(self.home / "train"), plan).model
        model.name = "cells"
        new = coloured_table(self.home / "new", n=2, seed=3)
        new = new.transform(Domain([], None, new.domain.metas))
        (self.home / "new" / "green" / "0.png").write_bytes(b"no image")
        widget = self.create_widget(OWPredictions)
        self.send_signal(widget.Inputs.predictors, model, 1, widget=widget)
        self.send_signal(widget.Inputs.data, new, widget=widget)
        self.assertFalse(widget.Error.active)
        output = self.get_output(widget.Outputs.annotated, widget=widget)
        predicted = [str(row["cells"]) for row in output]
        self.assertEqual(predicted, ["blue", "blue", "blue", "green", "red", "red"])
        shares = widget.predictors[0].results.unmapped_probabilities
        expected = model(new, Model.Probs)
        self.assertTrue(np.array_equal(shares, expected, equal_nan=True))
        self.assertTrue(np.isnan(shares[2]).all())
        widget.grab()  # paints what is missing

    def test_predictions_without_images(self) -> None:
        model = train_on_table(coloured_table(self.home), TOY).model
        widget = self.create_widget(OWPredictions)
        self.send_signal(widget.Inputs.predictors, model, 1, widget=widget)
        self.send_signal(widget.Inputs.data, Table("iris"), widget=widget)
        self.assertIn("no column of them", str(widget.Error.predictor_failed))
