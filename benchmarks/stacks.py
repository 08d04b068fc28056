#!/usr/bin/env python3
"""How long does it take to list the planes of a stack of 4 GB, and to read one?

Usage: .venv/bin/python benchmarks/stacks.py [FOLDER]

Without a folder, writes stacks of 4 GB into a temporary one, of the kinds that Fiji,
cameras and microscopes write: sparse files, which take next to no room on most disks.
With one, takes the TIFF files that are in it. Opens each in a fresh process, lists its
planes, and reads the one in the middle.

Prints seconds for opening and listing (of the file's metadata, the reader's import and
start not included, and included), how much memory the process had at most until then,
seconds for the plane, how much memory then, and how much of the file was read for it.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MEASURE = r"""
import time
begin = time.perf_counter()
import json, resource, sys
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.images.sources import Part, join_source

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

path = sys.argv[1]
with ImageReader() as reader:
    start = time.perf_counter()
    planes = [
        join_source(path, str(Part(number, t, z, c)))
        for number, series in enumerate(reader.contents(path))
        for t in range(series.n_times)
        for z in range(series.n_depths)
        for c in range(len(series.channels))
    ]
    opened = time.perf_counter()
    memory = peak()
    with open("/proc/self/io") as file:
        before = int(file.read().split()[1])
    image = reader.read(planes[len(planes) // 2])
    done = time.perf_counter()
    with open("/proc/self/io") as file:
        after = int(file.read().split()[1])
print(json.dumps([len(planes), opened - start, opened - begin, memory, done - opened,
                  peak(), (after - before) / 2**20, image.size]))
"""

_SIZE = 4 * 2**30


def write_pages(
    file: BinaryIO, n: int, side: int, description: bytes = b"", big: bool = True
) -> None:
    """Write a stack of n pages of 16-bit grey, each with its directory."""
    head, link = (16, 8) if big else (8, 4)
    entry, count, long = ("<HHQQ", "<Q", 16) if big else ("<HHII", "<H", 4)
    size = 2 * side * side
    if big:
        file.write(b"II+\0" + struct.pack("<HHQ", 8, 0, head))
    else:
        file.write(b"II*\0" + struct.pack("<I", head))
    place = head
    for number in range(n):
        own = description if number == 0 else b""
        values = {256: (4, 1, side), 257: (4, 1, side), 258: (3, 1, 16)}
        values |= {259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1), 278: (4, 1, side)}
        n_tags = len(values) + 2 + bool(own)
        length = struct.calcsize(count) + struct.calcsize(entry) * n_tags + link
        data = place + length + len(own)
        values |= {273: (long, 1, data), 279: (long, 1, size)}
        if own:
            values[270] = (2, len(own), place + length)
        following = data + size if number < n - 1 else 0
        file.seek(place)
        file.write(struct.pack(count, n_tags))
        for tag, parts in sorted(values.items()):
            file.write(struct.pack(entry, tag, *parts))
        file.write(struct.pack("<Q" if big else "<I", following) + own)
        file.seek(data + size // 2)
        file.write(struct.pack("<H", number))
        place = data + size
    file.truncate(place)


def write_imagej(file: BinaryIO) -> None:
    """Write a hyperstack as ImageJ does beyond 4 GB: of one directory."""
    n = _SIZE // 2**21 + 2
    text = f"ImageJ=1.54f\nimages={n}\nchannels=2\nslices={n // 2}\nhyperstack=true\n"
    write_pages(file, 1, 1024, text.encode() + b"\0", big=False)
    start = file.tell() - 2**21
    file.truncate(start + n * 2**21)


def write_ome(file: BinaryIO) -> None:
    """Write an OME-TIFF of two channels whose every plane is told of."""
    n = _SIZE // 2**21
    order = [(c, z, t) for t in range(n // 64) for z in range(32) for c in range(2)]
    told = "".join(
        f'<TiffData FirstC="{c}" FirstZ="{z}" FirstT="{t}" IFD="{page}"'
        f' PlaneCount="1"/><Plane TheC="{c}" TheZ="{z}" TheT="{t}" DeltaT="{page}.5"/>'
        for page, (c, z, t) in enumerate(order)
    )
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns='
        '"http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="1024"'
        f' SizeY="1024" SizeC="2" SizeZ="32" SizeT="{n // 64}">'
        f'<Channel ID="a" Name="DAPI"/><Channel ID="b" Name="GFP"/>{told}'
        "</Pixels></Image></OME>"
    )
    write_pages(file, n, 1024, text.encode() + b"\0")


KINDS: dict[str, Callable[[BinaryIO], None]] = {
    "imagej.tif": write_imagej,
    "pages.tif": lambda file: write_pages(file, _SIZE // 2**21, 1024),
    "small-pages.tif": lambda file: write_pages(file, 20_000, 328),
    "planes.ome.tif": write_ome,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    folder = parser.parse_args().folder
    print(
        "| file | GB | planes | listed, s | with start, s | peak, MB"
        " | a plane, s | peak, MB | read, MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    if folder is not None:
        paths = (p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff"))
        for path in sorted(paths):
            measure(path)
        return
    with tempfile.TemporaryDirectory() as temporary:
        for name, write in KINDS.items():
            path = Path(temporary, name)
            with open(path, "wb") as file:
                write(file)
            measure(path)
            path.unlink()


def measure(path: Path) -> None:
    """Print the figures of one file."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, path], capture_output=True, text=True
    )
    if done.returncode:
        print(f"| {path.name} | {done.stderr.splitlines()[-1]} |")
        return
    n, listed, started, memory, read, most, bytes_read, _ = json.loads(done.stdout)
    print(
        f"| {path.name} | {path.stat().st_size / 2**30:.2f} | {n} | {listed:.2f}"
        f" | {started:.2f} | {memory:.0f} | {read:.3f} | {most:.0f}"
        f" | {bytes_read:.1f} |"
    )


if __name__ == "__main__":
    main()
