"""The folder that a report is written into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orangecontrib.imagemining.exceptions import ReportError as ReportError

__all__ = ["MARKER", "NAMES", "ReportError", "ReportFolder", "replacing"]

#: A hidden file by which we know our own folders again.
MARKER = ".orange-imagemining-report"

#: All files that a report may consist of.
NAMES = (
    "report.txt",
    "embeddings.tab",
    "map.png",
    "dendrogram.png",
    "confusion-matrix.png",
    "confusion-matrix.csv",
    "workflow.ows",
)

_MARKER_TEXT = """\
This folder was written by orange-imagemining. The next report that goes into it
replaces these files, and touches no others:
"""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, then put what was written in `path`'s place.

    Raises
    ------
    ReportError
        If writing fails; what was at `path` is still there then.
    """
    # The ending stays, as writers go by it. Not tempfile's names: those files may be
    # read by nobody else, and a report is there to be shown.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as ex:
        raise ReportError(f"{path} cannot be written: {ex.strerror or ex}") from ex
    finally:
        temporary.unlink(missing_ok=True)


class ReportFolder:
    """A folder of which only our own files are ever replaced.

    Parameters
    ----------
    path
        May exist, if it is empty or holds an earlier report.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._written: set[str] = set()

    def check(self, images: Path) -> None:
        """See whether a report about the folder `images` may be written here.

        Raises
        ------
        ReportError
            If there are others' files, or if the report's pictures would be among the
            images the next time.
        """
        if self.path.resolve().is_relative_to(images.resolve()):
            raise ReportError(
                f"The report's pictures would lie among the images, in {self.path};"
                " choose another folder for it with --out"
            )
        try:
            foreign = any(self.path.iterdir()) and not (self.path / MARKER).is_file()
        except FileNotFoundError:
            return
        except NotADirectoryError:
            # it is a file, or else something above it is, which `prepare` tells
            foreign = self.path.exists()
        except OSError as ex:
            raise self._not_writable(ex) from ex
        if foreign:
            raise ReportError(
                f"{self.path} is not a report folder, and nothing in it is replaced;"
                " choose another one with --out"
            )

    def prepare(self) -> None:
        """Make the folder, and mark it as ours.

        Raises
        ------
        ReportError
            If the system does not allow it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / MARKER).write_text(
                _MARKER_TEXT + "".join(f"{name}\n" for name in NAMES), encoding="utf-8"
            )
        except OSError as ex:
            raise self._not_writable(ex) from ex

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Give a temporary path for the file `name`, which is put in place after."""
        with replacing(self.path / name) as temporary:
            yield temporary
        self._written.add(name)

    def write(self, name: str, content: bytes) -> None:
        """Write the file `name`."""
        with self.writing(name) as temporary:
            temporary.write_bytes(content)

    def finish(self) -> list[str]:
        """Remove what an earlier report left; return the names of this one's files."""
        for name in set(NAMES) - self._written:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as ex:
                raise self._not_writable(ex) from ex
        return [name for name in NAMES if name in self._written]

    def _not_writable(self, ex: OSError) -> ReportError:
        return ReportError(
            f"The report cannot be written into {self.path} ({ex.strerror or ex});"
            " choose another folder with --out"
        )
