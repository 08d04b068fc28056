"""Orange's own widgets use models of embeddings on images not embedded yet."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from Orange.classification import LogisticRegressionLearner
from Orange.data import Table
from Orange.widgets.evaluate.owpredictions import OWPredictions
from Orange.widgets.evaluate.owtestandscore import OWTestAndScore
from Orange.widgets.tests import base
from PIL import Image

from orangecontrib.imagemining.specs import EmbedderSpec
from orangecontrib.imagemining.tables import embed_table, table_from_folder

pytestmark = pytest.mark.filterwarnings("ignore")


class TestPredicting(base.WidgetTest):
    def setUp(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.train = self.embed(self.folder("train", 0, ("blue", "green", "red")))
        self.new = self.folder("new", 50, ("green", "red"))

    def folder(self, name: str, seed: int, categories: tuple[str, ...]) -> Table:
        """Return a table of pictures in shades of their categories' colours."""
        for category in categories:
            (self.home / name / category).mkdir(parents=True)
            for index in range(5):
                seed += 1
                pixels = np.array(picture(seed)) // 3
                pixels[:, :, ("red", "green", "blue").index(category)] += 160
                path = self.home / name / category / f"{index}.png"
                Image.fromarray(pixels).save(path)
        return table_from_folder(self.home / name).table

    def embed(self, table: Table) -> Table:
        spec = EmbedderSpec("squeezenet1_1", "features")
        return embed_table(table, table.domain["image"], spec).embedded

    def test_predictions(self) -> None:
        widget = self.create_widget(OWPredictions)
        model = LogisticRegressionLearner()(self.train)
        self.send_signal(widget.Inputs.predictors, model, 1, widget=widget)
        self.send_signal(widget.Inputs.data, self.new, widget=widget)
        output = self.get_output(widget.Outputs.annotated, widget=widget)
        predicted = [str(row["logistic regression"]) for row in output]
        self.assertEqual(predicted, ["green"] * 5 + ["red"] * 5)

    def test_test_and_score_on_test_data(self) -> None:
        settings = {"resampling": OWTestAndScore.TestOnTest, "__version__": 4}
        widget = self.create_widget(OWTestAndScore, stored_settings=settings)
        self.send_signal(widget.Inputs.train_data, self.train, widget=widget)
        self.send_signal(widget.Inputs.test_data, self.new, widget=widget)
        learner = LogisticRegressionLearner()
        self.send_signal(widget.Inputs.learner, learner, 0, widget=widget)
        results = self.get_output(
            widget.Outputs.evaluations_results, widget=widget, wait=20_000
        )
        values = results.domain.class_var.values
        predicted = [values[int(index)] for index in results.predicted[0]]
        self.assertEqual(predicted, ["green"] * 5 + ["red"] * 5)
