"""``run``: a report on the images of a folder."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from orangecontrib.imagemining.commands.talking import say
from orangecontrib.imagemining.exceptions import FolderError, ImageMiningError
from orangecontrib.imagemining.specs import VIEWS, EmbedderSpec

if TYPE_CHECKING:
    from orangecontrib.imagemining.report.files import ReportFolder

__all__ = ["DESCRIPTION", "HELP", "fill", "run"]

HELP = "report on the images of a folder"
DESCRIPTION = (
    "Embed the images of a folder by SqueezeNet, test how well the categories"
    " (its sub-folders) can be told apart, and write a report: embeddings, map,"
    " dendrogram, confusion matrix and a workflow for Orange."
)

_NETWORK = "squeezenet1_1"
_SAMPLES = Path(__file__).parents[1] / "samples" / "synthetic-yeast"


def fill(parser: argparse.ArgumentParser) -> None:
    """Give the command's parser its arguments."""
    from orangecontrib.imagemining.weights import WEIGHTS

    layers = [layer.name for layer in WEIGHTS[_NETWORK].layers]
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=_SAMPLES,
        metavar="FOLDER",
        help="the images; by default the samples that come with this add-on",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("report"),
        metavar="DIR",
        help="where the report goes: a new or empty folder, or an earlier report's,"
        " which is replaced (default: %(default)s)",
    )
    parser.add_argument(
        "--layer",
        choices=layers,
        default=layers[0],
        help="where in the network the numbers are taken (default: %(default)s)",
    )
    parser.add_argument(
        "--views",
        type=int,
        choices=VIEWS,
        default=1,
        help="how often each image is looked at: 2 mirrored too; 8 turned and mirrored,"
        " which suits images that have no up and down, such as cells; 10, 12 and 144"
        " are crops (default: %(default)s)",
    )
    parser.add_argument(
        "--gui",
        action="store_true",
        help="only make the workflow, and open it in Orange",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    # Orange and torch take seconds to load
    from orangecontrib.imagemining.report.console import Console
    from orangecontrib.imagemining.report.files import ReportFolder

    folder: Path = options.folder
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "does not exist"
        raise FolderError(f"{folder} {kind}")
    spec = EmbedderSpec(_NETWORK, options.layer, options.views)
    out = ReportFolder(options.out)
    if options.gui:
        return _open_canvas(folder, out, spec)

    # damaged images are told in words; what Pillow makes of them is no help beside it
    warnings.filterwarnings("ignore", module="PIL")
    console = Console()
    console.say_path("Folder", folder)
    if folder.resolve() == _SAMPLES.resolve():
        console.say_item("", "the sample images: synthetic, no microscope took them")

    from orangecontrib.imagemining.report.job import Job

    Job(folder, out, spec, console).run()
    return 0


def _open_canvas(folder: Path, out: ReportFolder, spec: EmbedderSpec) -> int:
    """Open a workflow in Orange; this process becomes Orange where that can be."""
    from orangecontrib.imagemining.report.workflow import write_workflow

    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(map(os.environ.get, screens)):
        raise ImageMiningError(
            "There is no screen to open Orange on (neither DISPLAY nor WAYLAND_DISPLAY"
            " is set); without --gui the report is made without one"
        )
    out.check(folder)
    out.prepare()
    workflow = out.path / "workflow.ows"
    write_workflow(workflow, folder, spec)
    # what Orange and scikit-learn warn each other of is nothing its user can mend
    python = [sys.executable, "-W", "ignore"]
    # without a network, Orange's look for updates fails at length; only what is fatal
    # is told here (level 1), and the rest stays in the log file that Orange keeps
    canvas = ["-m", "Orange.canvas", "--no-welcome", "--log-level", "1"]
    command = [*python, *canvas, str(workflow)]
    say(f"Opening Orange with {workflow} (half a minute the first time) …")
    if os.name == "nt":
        # exec on Windows breaks arguments with spaces, and returns to the prompt
        return subprocess.call(command)
    os.execv(command[0], command)
