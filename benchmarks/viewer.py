#!/usr/bin/env python3
"""How does Image Viewer bear a hundred thousand images, beside the old add-on's?

Usage: .venv/bin/python benchmarks/viewer.py FOLDER… [--old PYTHON] [--rows N]
           [--old-rows N]

Links the images below the folders into a temporary one again and again until there
are N (default 100,000), opens a table of them in Image Viewer, scrolls through it by
thirds of a page, 60 times a second, and jumps to 40 random places. Then the same with
--old-rows (default 20,000) images, and in the viewer of Orange3-ImageAnalytics if
PYTHON names an interpreter that has it. Each run is a process of its own, without a
screen, that draws into a window of 1200 × 800 pixels.

Prints seconds until the viewer answers after the table has come, and until all
thumbnails in view are drawn; the longest time that the GUI thread did not answer while
scrolling, with the 99th percentile; and how much the process's memory grew at most
since before the table came.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURE = r"""
import importlib, json, os, random, sys, time
import numpy as np
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from AnyQt.QtWidgets import QApplication
from Orange.data import Domain, StringVariable, Table
module, n, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ours = "imagemining" in module
app = QApplication([])

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def turn():
    # one turn of the event loop; all that the GUI thread does happens in here
    global peak
    start = time.perf_counter()
    app.processEvents()
    seconds = time.perf_counter() - start
    peak = max(peak, memory())
    return seconds

def complete():
    # whether all thumbnails in view are there
    if ours:
        view = widget.view
        rows = [view.row_at(p) for p in points(view.viewport())]
        return len(view.order) and all(view.loader._images.get(row)
            or view.loader.reason(row) for row in rows if row >= 0)
    view = widget.thumbnailView
    indexes = [view.indexAt(p) for p in points(view.viewport())]
    indexes = [index for index in indexes if index.isValid()]
    from AnyQt.QtCore import Qt
    return bool(indexes) and all(
        i.data(Qt.ItemDataRole.DecorationRole) is not None for i in indexes)

def points(viewport):
    from AnyQt.QtCore import QPoint
    return [QPoint(x, y) for x in range(60, viewport.width() - 20, 90)
            for y in range(60, viewport.height() - 20, 90)]

image = StringVariable("image")
image.attributes = {"type": "image", "origin": folder}
domain = Domain([], [], [image])
names = sorted(os.listdir(folder))[:n]
data = Table.from_numpy(domain, np.empty((n, 0)),
                        metas=np.array(names, object).reshape(-1, 1))
name = module.rsplit(".", 1)[1]
Widget = getattr(importlib.import_module(module),
                 "OWImageViewer")
widget = Widget()
widget.resize(1200, 800)
widget.show()
peak = 0.0
for _ in range(50):
    turn()
before = memory()
peak = before
start = time.perf_counter()
getattr(widget, Widget.Inputs.data.handler)(data)
answer = 0.0
while True:
    turn()
    if not widget.isInvalidated() and (not ours or len(widget.view.order) == n):
        break
answer = time.perf_counter() - start
limit = start + 180
while not complete() and time.perf_counter() < limit:
    turn()
    time.sleep(0.002)
shown = time.perf_counter() - start if complete() else float("nan")
view = widget.view if ours else widget.thumbnailView
bar = view.verticalScrollBar()
stalls = []
random.seed(0)
end = time.perf_counter() + 30
for _ in range(900):
    tick = time.perf_counter()
    if tick > end:
        break
    bar.setValue(bar.value() + bar.pageStep() // 3)
    stalls.append(time.perf_counter() - tick + turn())
    while time.perf_counter() - tick < 1 / 60:
        stalls.append(turn())
        time.sleep(0.001)
for _ in range(40):
    tick = time.perf_counter()
    bar.setValue(random.randrange(max(1, bar.maximum())))
    stalls.append(time.perf_counter() - tick + turn())
    while time.perf_counter() - tick < 0.25:
        stalls.append(turn())
        time.sleep(0.001)
print(json.dumps([answer, shown, 1000 * max(stalls),
                  1000 * float(np.percentile(stalls, 99)), peak - before]), flush=True)
os._exit(0)
"""

OURS = "orangecontrib.imagemining.widgets.owimageviewer"
OLD = "orangecontrib.imageanalytics.widgets.owimageviewer"


def link_images(folders: list[Path], n: int, target: Path) -> None:
    """Fill `target` with so many images, each a file of its own name."""
    images = sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix.lower() in (".jpg", ".jpeg", ".png") and path.is_file()
    )
    if not images:
        sys.exit("There are no images in the folders.")
    # real folders may lie on another disk, which links cannot reach
    copies = target / "originals"
    copies.mkdir()
    originals = []
    for number, path in enumerate(images[:n]):
        copy = copies / f"{number}{path.suffix.lower()}"
        shutil.copyfile(path, copy)
        originals.append(copy)
    links = target / "images"
    links.mkdir()
    for number, original in zip(range(n), itertools.cycle(originals), strict=False):
        os.link(original, links / f"{number:06}{original.suffix}")


def measure(python: str, module: str, rows: int, folder: Path) -> list[float]:
    """Return what MEASURE prints in a fresh process with a home of its own."""
    with tempfile.TemporaryDirectory() as home:
        places = ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "IMAGEMINING_HOME")
        done = subprocess.run(
            [python, "-W", "ignore", "-c", MEASURE, module, str(rows), str(folder)],
            capture_output=True,
            text=True,
            env=os.environ | dict.fromkeys(places, home),
        )
    if done.returncode:
        sys.exit(done.stderr)
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--old", metavar="PYTHON", help="has Orange3-ImageAnalytics")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--old-rows", type=int, default=20_000)
    arguments = parser.parse_args()
    runs = [("ours", sys.executable, OURS, arguments.rows)]
    runs.append(("ours", sys.executable, OURS, arguments.old_rows))
    if arguments.old:
        runs.append(("old add-on", arguments.old, OLD, arguments.old_rows))
    print(f"{'':10} {'images':>8} {'answers':>9} {'all drawn':>9}", end=" ")
    print(f"{'longest stall':>13} {'99 %':>7} {'memory':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary)
        link_images(arguments.folders, max(run[3] for run in runs), target)
        for name, python, module, rows in runs:
            answer, shown, stall, usual, memory = measure(
                python, module, rows, target / "images"
            )
            print(
                f"{name:10} {rows:8,} {answer:7.2f} s {shown:7.2f} s {stall:10.0f} ms"
                f" {usual:4.0f} ms {memory:+5.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
