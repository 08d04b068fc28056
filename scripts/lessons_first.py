"""The workflows of lessons 10 to 40: embedding, clustering, classifying, predicting."""

from __future__ import annotations

from typing import Any

from workflow_files import Workflow  # type: ignore[import-not-found]

__all__ = ["LESSONS", "PICTURES", "classify", "cluster", "embed"]

#: settings that differ from the widgets' own
SAMPLES = {"folder": "samples:synthetic-yeast", "__version__": 3}
COSINE = {"metric_id": 4, "autocommit": True, "__version__": 4}
TEN_FOLDS = {"resampling": 0, "n_folds": 3, "cv_stratified": True, "__version__": 4}
WARD = {"linkage": 4, "autocommit": True, "__version__": 2}
NEW_SAMPLES = {"folder": "samples:synthetic-yeast-new", "__version__": 3}
BY_PREDICTION = {"group": "Logistic Regression", "image_size": 120, "__version__": 3}
FOR_SPREADSHEETS = {"add_type_annotations": False, "__version__": 3}
INTO_FOLDERS = {"category_column": "Logistic Regression", "__version__": 3}

#: what lesson 40 compares: titles, and settings of Image Embedding
WAYS: dict[str, dict[str, Any]] = {
    name: {
        "network": "squeezenet1_1",
        "layer": layer,
        "fit": "stretch",
        "views": views,
        "__version__": 3,
    }
    for name, layer, views in (
        ("Features", "features", 1),
        ("Stages", "stages", 1),
        ("Logits", "logits", 1),
        ("Features, 8 Views", "features", 8),
    )
}


def embed(flow: Workflow, y: int) -> str:
    """Begin with folder and embedding; return the latter."""
    folder = flow.add("Import Images", (100, y), SAMPLES)
    embedding: str = flow.add("Image Embedding", (260, y))
    flow.link(folder, "Data", embedding, "Images")
    return embedding


def cluster(flow: Workflow, embedding: str, y: int) -> None:
    """Add distances, dendrogram and map with their viewers."""
    distances = flow.add("Distances", (430, y), COSINE)
    tree = flow.add("Hierarchical Clustering", (600, y - 90), WARD)
    mds = flow.add("MDS", (790, y))
    tree_viewer = flow.add("Image Viewer", (860, y - 160), title="Images of a Branch")
    map_viewer = flow.add("Image Viewer", (960, y), title="Images on the Map")
    flow.link(embedding, "Embeddings", distances, "Data")
    flow.link(distances, "Distances", tree, "Distances")
    flow.link(distances, "Distances", mds, "Distances")
    flow.link(tree, "Selected Data", tree_viewer, "Data")
    flow.link(tree, "Selected Data", mds, "Data Subset")
    flow.link(mds, "Selected Data", map_viewer, "Data")


def classify(flow: Workflow, embedding: str, y: int) -> str:
    """Add cross-validation with its mistakes; return the confusion matrix."""
    learner = flow.add("Logistic Regression", (260, y - 120))
    test = flow.add("Test and Score", (430, y), TEN_FOLDS)
    matrix: str = flow.add("Confusion Matrix", (600, y))
    viewer = flow.add("Image Viewer", (790, y), title="Chosen Images")
    flow.link(embedding, "Embeddings", test, "Data")
    flow.link(learner, "Learner", test, "Learner")
    flow.link(test, "Evaluation Results", matrix, "Evaluation Results")
    flow.link(matrix, "Selected Data", viewer, "Data")
    return matrix


def clustering() -> Workflow:
    """Return the article's first workflow (its Fig. 1)."""
    flow = Workflow(
        "10 Clustering Images",
        "Describe images by a deep network, then cluster and map them.\n\n"
        "The workflow starts with synthetic pictures of yeast cells; choose your own"
        " folder in Import Images. Select a branch in Hierarchical Clustering: its"
        " images appear in the viewer, and stand out on the map. Select points on the"
        " map to see theirs.",
    )
    cluster(flow, embed(flow, 240), 240)
    flow.note("Choose a folder of images here.\nNow: synthetic sample images.", 20, 310,
              260, 60)  # fmt: skip
    flow.note("A deep network turns\neach image into numbers.", 180, 150, 200, 50)
    flow.note("Click a branch: its images are shown,\nand marked on the map.", 430, 50,
              290, 50)  # fmt: skip
    flow.note("Draw around points on the map\nto see their images.", 740, 310, 240, 50)
    return flow


def classifying() -> Workflow:
    """Return the article's second workflow (its Fig. 3)."""
    flow = Workflow(
        "20 Classifying Images",
        "Predict the categories of images, and look at the mistakes.\n\n"
        "The workflow starts with synthetic pictures of yeast cells; choose your own"
        " folder, with a sub-folder for each category, in Import Images. Click a field"
        " of the Confusion Matrix: its images appear in the viewer, and stand out on"
        " the map.",
    )
    embedding = embed(flow, 200)
    matrix = classify(flow, embedding, 200)
    distances = flow.add("Distances", (430, 380), COSINE)
    mds = flow.add("MDS", (790, 380))
    flow.link(embedding, "Embeddings", distances, "Data")
    flow.link(distances, "Distances", mds, "Distances")
    flow.link(matrix, "Selected Data", mds, "Data Subset")
    flow.note("Choose a folder with a\nsub-folder for each category.\n"
              "Now: synthetic sample images.", 20, 262, 250, 80)  # fmt: skip
    flow.note("How well can the categories\nbe told apart?", 440, 262, 220, 50)
    flow.note("Click a field to see its images,\nand where they lie on the map.",
              600, 110, 260, 50)  # fmt: skip
    return flow


def predicting() -> Workflow:
    """Return the workflow that predicts images nobody has labelled."""
    flow = Workflow(
        "30 Predicting New Images",
        "Learn from labelled images, then say what new ones show.\n\n"
        "The model brings its embedding along: new images need no Image Embedding of"
        " their own. Both folders are synthetic pictures of yeast cells. Choose yours"
        " instead, in Labelled Images one with a sub-folder for each category.",
    )
    labelled = flow.add("Import Images", (100, 120), SAMPLES, title="Labelled Images")
    embedding = flow.add("Image Embedding", (260, 120))
    learner = flow.add("Logistic Regression", (430, 120))
    new = flow.add("Import Images", (100, 300), NEW_SAMPLES, title="New Images")
    predictions = flow.add("Predictions", (600, 300))
    viewer = flow.add("Image Viewer", (870, 180), BY_PREDICTION, title="What Is It?")
    table = flow.add("Save Data", (870, 300), FOR_SPREADSHEETS, title="Save a Table")
    folders = flow.add(
        "Save Images", (870, 420), INTO_FOLDERS, title="Sort into Folders"
    )
    flow.link(labelled, "Data", embedding, "Images")
    flow.link(embedding, "Embeddings", learner, "Data")
    flow.link(learner, "Model", predictions, "Predictors")
    flow.link(new, "Data", predictions, "Data")
    for sink in (viewer, table, folders):
        flow.link(predictions, "Selected Predictions", sink, "Data")
    flow.note("Images whose categories are known.\nDouble-click to choose your folder.",
              30, 20, 270, 50)  # fmt: skip
    flow.note("New ones: a folder of files.\nDouble-click to choose yours.", 20, 372,
              250, 50)  # fmt: skip
    flow.note("Click rows to see their images;\nwith none chosen, all go on.", 430, 372,
              220, 50)  # fmt: skip
    flow.note("Nothing is written\nbefore you press Save.", 790, 492, 180, 50)
    return flow


def comparing() -> Workflow:
    """Return the workflow that compares layers and views."""
    flow = Workflow(
        "40 Network and Layer",
        "Embed the same images in several ways, and let the scores decide.\n\n"
        "Each Image Embedding has another layer, or looks more often; each Test and"
        " Score judges one of them, in the same way. Open them side by side. All use"
        " SqueezeNet 1.1, which comes along; other networks are a download away.",
    )
    folder = flow.add("Import Images", (100, 365), SAMPLES)
    learner = flow.add("Logistic Regression", (460, 365))
    for place, (name, settings) in enumerate(WAYS.items()):
        y = 170 + 130 * place
        way = flow.add("Image Embedding", (280, y), settings, title=name)
        score = flow.add("Test and Score", (660, y), TEN_FOLDS, title=f"Score {name}")
        flow.link(folder, "Data", way, "Images")
        flow.link(way, "Embeddings", score, "Data")
        flow.link(learner, "Learner", score, "Learner")
    grid = flow.add("Image Grid", (460, 60), title="Grid of Features")
    tsne = flow.add("t-SNE", (460, 670), title="Map of Features, 8 Views")
    flow.link("Features", "Embeddings", grid, "Images")
    flow.link("Features, 8 Views", "Embeddings", tsne, "Data")
    flow.note("Four ways to embed\nthe same images.", 40, 540, 190, 50)
    flow.note("Open all four,\nand compare CA.", 740, 340, 160, 50)
    flow.note("What the eye says:\nare like images close together?", 530, 40, 240, 50)
    return flow


#: the name of each lesson's file, and what makes its workflow
LESSONS = {
    "10-clustering-images": clustering,
    "20-classifying-images": classifying,
    "30-predicting-new-images": predicting,
    "40-network-and-layer": comparing,
}


def clustering_pictures(stage: Any) -> None:
    """Take the pictures of lesson 10."""
    stage.finish()
    stage.shoot("Import Images", "import")
    tree = stage.widget("Hierarchical Clustering")
    tree.dendrogram.set_selected_items([tree.dendrogram.item(tree.root.left)])
    stage.finish()
    stage.canvas("workflow")
    stage.shoot("Hierarchical Clustering", "tree", size=(860, 560))
    stage.shoot("Images of a Branch", "branch", size=(900, 560))
    stage.shoot("MDS", "map", size=(900, 560))
    # once more: how long it took is of one computer and one day
    stage.widget("Image Embedding").commit.now()
    stage.finish()
    stage.shoot("Image Embedding", "embedding")


def classifying_pictures(stage: Any) -> None:
    """Take the pictures of lesson 20."""
    stage.finish()
    select_field(stage.widget("Confusion Matrix"), 2, 1)
    stage.finish()
    stage.canvas("workflow")
    stage.shoot("Test and Score", "scores", size=(860, 460))
    stage.shoot("Confusion Matrix", "matrix", size=(700, 400))
    stage.shoot("Chosen Images", "cell", size=(900, 420))
    stage.shoot("MDS", "map", size=(900, 560))


def select_field(matrix: Any, row: int, column: int) -> None:
    """Click a field of a confusion matrix; categories are counted from 0."""
    # two rows and columns are headings
    index = matrix.tablemodel.index(row + 2, column + 2)
    matrix.tableview.setCurrentIndex(index)


def predicting_pictures(stage: Any) -> None:
    """Take the pictures of lesson 30."""
    stage.finish()
    show_probabilities(stage.widget("Predictions"))
    stage.finish()
    stage.canvas("workflow")
    stage.shoot("Predictions", "predictions", size=(900, 460))
    stage.shoot("What Is It?", "images", size=(900, 560))
    stage.shoot("Sort into Folders", "folders")


def show_probabilities(predictions: Any) -> None:
    """Choose "Classes known to the model", as a user does."""
    combo = predictions.controls.shown_probs
    combo.setCurrentIndex(2)
    combo.activated.emit(2)


def comparing_pictures(stage: Any) -> None:
    """Take the pictures of lesson 40."""
    stage.finish()
    stage.canvas("workflow")
    stage.shoot("Score Features, 8 Views", "scores", size=(860, 400))
    stage.shoot("Grid of Features", "grid", size=(900, 620))
    stage.shoot("Map of Features, 8 Views", "map", size=(900, 560))


#: the name of each lesson's file, and what takes its pictures (scripts/lesson_pictures)
PICTURES = {
    "10-clustering-images": clustering_pictures,
    "20-classifying-images": classifying_pictures,
    "30-predicting-new-images": predicting_pictures,
    "40-network-and-layer": comparing_pictures,
}
