"""The workflows of lessons 10 to 40: embedding, clustering, classifying, predicting."""

from __future__ import annotations

from workflow_files import Workflow  # type: ignore[import-not-found]

__all__ = ["LESSONS", "classify", "cluster", "embed"]

#: settings that differ from the widgets' own
SAMPLES = {"folder": "samples:synthetic-yeast", "__version__": 3}
COSINE = {"metric_id": 4, "autocommit": True, "__version__": 4}
TEN_FOLDS = {"resampling": 0, "n_folds": 3, "cv_stratified": True, "__version__": 4}
WARD = {"linkage": 4, "autocommit": True, "__version__": 2}


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
    tree_viewer = flow.add("Image Viewer", (790, y - 160), title="Images of a Branch")
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
    viewer = flow.add("Image Viewer", (790, y), title="Images of a Cell")
    flow.link(embedding, "Embeddings", test, "Data")
    flow.link(learner, "Learner", test, "Learner")
    flow.link(test, "Evaluation Results", matrix, "Evaluation Results")
    flow.link(matrix, "Selected Data", viewer, "Data")
    return matrix


def clustering() -> Workflow:
    """Return the article's first workflow (its Fig. 1)."""
    flow = Workflow(
        "Clustering Images",
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
        "Classifying Images",
        "Predict the categories of images, and look at the mistakes.\n\n"
        "The workflow starts with synthetic pictures of yeast cells; choose your own"
        " folder, with a sub-folder for each category, in Import Images. Click a cell"
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
    flow.note("Click a cell to see its images,\nand where they lie on the map.",
              600, 110, 260, 50)  # fmt: skip
    return flow


#: the name of each lesson's file, and what makes its workflow
LESSONS = {
    "10-clustering-images": clustering,
    "20-classifying-images": classifying,
}
