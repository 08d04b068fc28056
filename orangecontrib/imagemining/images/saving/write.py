"""Save many images into a folder, and never a file of the user's away.

Saving takes two steps. `plan_saving` decides each image's name and looks which files
of these names exist; it writes nothing. `save_images` carries the plan out, told what
to do about these files. Files appear under their names whole or not at all: they are
written under a temporary name in the same folder, and moved. What was not there when
planning is never replaced; nor is an image of the list, even where replacing is
allowed.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import (
    AbstractContextManager,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO, Literal

from orangecontrib.imagemining.exceptions import (
    FilesExistError,
    ImageError,
    SaveError,
    TaskCancelled,
)
from orangecontrib.imagemining.images.limits import Limits
from orangecontrib.imagemining.images.locate import is_url, local_path
from orangecontrib.imagemining.images.open import ImageReader
from orangecontrib.imagemining.images.pace import paced
from orangecontrib.imagemining.images.saving.encode import FORMATS, encode
from orangecontrib.imagemining.images.saving.manifest import (
    MANIFEST,
    ManifestRow,
    manifest_bytes,
)
from orangecontrib.imagemining.images.saving.names import name_of
from orangecontrib.imagemining.images.saving.plan import (
    CONTENT_ENDINGS,
    ORIGINAL,
    Plan,
    Target,
    identity,
)
from orangecontrib.imagemining.specs import Progress, no_progress

__all__ = ["Policy", "SaveResult", "SavedImage", "save_images"]

#: What to do where files of the planned names exist: save nothing and raise
#: `FilesExistError`; replace them; give the new ones a number; leave these images out.
Policy = Literal["refuse", "replace", "number", "skip"]

_MAX_THREADS = 4  # each holds an image, and writes to the same disk
_URL_THREADS = 8  # these wait for servers
_BIG = 16_000_000  # pixels from which on images are converted one at a time
_CHUNK = 1024 * 1024
_WHY = "." * 80  # as long as a reason may be
_EXISTS = "A file of this name exists already"
_POLL = 0.1  # seconds between two reports of progress

# errors that the next image would meet too
_HOPELESS = {
    getattr(errno, name)
    for name in (
        "ENOSPC EDQUOT EROFS ENODEV ENXIO ESTALE ENOTCONN EHOSTDOWN ENETDOWN"
    ).split()
    if hasattr(errno, name)
}


@dataclass(frozen=True)
class SavedImage:
    """What became of an image.

    Attributes
    ----------
    status : skipped ones were left out on purpose, or by cancelling.
    file : path below the folder, parts joined with "/"; "" if it was not saved.
    reason : why it was not saved.
    original_size, size : (width, height) of the upright image and of the saved one, in
        pixels, as far as known.
    """

    status: Literal["saved", "skipped", "failed"]
    file: str = ""
    reason: str = ""
    original_size: tuple[int, int] | None = None
    size: tuple[int, int] | None = None


@dataclass
class SaveResult:
    """What became of all images.

    Attributes
    ----------
    folder : absolute path.
    images : in the order of the plan.
    manifest : name of the list that was written; "" if none was, as nothing was saved.
    manifest_failure : why the list could not be written; "" if it could.
    stopped : why the rest was given up; "" if it was not.
    cancelled : whether the user stopped it.
    """

    folder: str
    images: list[SavedImage]
    manifest: str = ""
    manifest_failure: str = ""
    stopped: str = ""
    cancelled: bool = False

    def count(self, status: str) -> int:
        """Return how many images have this status."""
        return sum(image.status == status for image in self.images)

    def reasons(self, *statuses: str) -> list[tuple[str, int]]:
        """Return why images were not saved and how many, the commonest first.

        By default of all that were not, otherwise of those with these statuses.
        """
        return Counter(
            image.reason
            for image in self.images
            if image.status in (statuses or ("skipped", "failed"))
        ).most_common()


class _LeftOut(Exception):
    """This image is not saved, on purpose; the message says why."""


class _Closed(Exception):
    """Nothing may be written any more."""


def save_images(
    plan: Plan,
    existing: Policy = "refuse",
    progress: Progress = no_progress,
    limits: Limits | None = None,
) -> SaveResult:
    """Save the images as planned, with a list ``manifest.csv`` of what came from where.

    Cancelling (`progress` raising `TaskCancelled`) ends the work, and is told in the
    result: what has been saved stays, and is listed.

    Converted images have the pixels that `ImageReader.read` gives, which are those that
    networks see: upright, grey or RGB, 8 bits a channel, the first frame of animations.
    Their colour profile goes along, nothing else does. Images saved as they are keep
    every byte and the date of the file; the beginning of each is looked at, and what is
    no image is refused. Planes, tiles and projections have no file of their own: they
    are written as PNG, as they are seen.

    Parameters
    ----------
    plan
        From `plan_saving`; carried out once.
    existing
        What to do about files that existed when planning. Without allowance to replace
        them, an existing list gets a new one with a number beside it.
    progress
        Called with the share of images that are done.
    limits
        What an image may cost; by default as the environment says.

    Raises
    ------
    FilesExistError
        If there are such files and `existing` is "refuse".
    SaveError
        If nothing can be written in the folder.
    """
    n_existing = len(plan.existing) + plan.manifest_exists
    if existing == "refuse" and n_existing:
        raise FilesExistError(
            f"{n_existing} of the files to be saved exist already in {plan.folder}"
        )
    with ImageReader(limits) as reader:
        saving = _Saving(plan, existing, reader)
        room = saving.make_room()
        try:
            try:
                cancelled = _save_all(saving, progress)
            finally:
                # no file is begun after this; those begun are whole, or gone
                saving.close()
            result = SaveResult(plan.folder, list(saving.images))
            result.stopped, result.cancelled = saving.hopeless, cancelled
            _explain_rest(result)
            if result.count("saved"):
                try:
                    result.manifest = saving.write_manifest(result.images, room)
                except OSError as ex:
                    result.manifest_failure = _why(ex)
        finally:
            _remove(room)
    return result


def _explain_rest(result: SaveResult) -> None:
    """Say why images were not saved whose turn did not come."""
    rest = SavedImage("failed", reason=result.stopped)
    if result.cancelled:
        rest = SavedImage("skipped", reason="Cancelled before its turn")
    for row, image in enumerate(result.images):
        if image.status == "failed" and not image.reason:
            result.images[row] = rest


def _save_all(saving: _Saving, progress: Progress) -> bool:
    """Save in threads until all is done or given up; tell whether it was cancelled."""
    n = len(saving.images)
    pace = paced(progress, _POLL)
    n_threads = _n_threads(saving.plan)
    pool = ThreadPoolExecutor(n_threads, "save-images")
    rows = iter(range(n))
    pending: set[Future[None]] = set()
    try:
        progress(0, f"0 of {n:,} images saved")
        while not saving.hopeless:
            # a few ahead, for a list of 100,000 need not be in the pool at once
            for row in islice(rows, 4 * n_threads - len(pending)):
                pending.add(pool.submit(saving.save, row))
            if not pending:
                progress(1, f"{saving.n_saved:,} of {n:,} images saved")
                break
            pace(saving.n_done / n, f"{saving.n_saved:,} of {n:,} images saved")
            done, pending = wait(pending, _POLL, FIRST_COMPLETED)
            for future in done:
                future.result()
    except TaskCancelled:
        return True
    finally:
        # what is being read or fetched ends by itself, and is not written
        pool.shutdown(wait=False, cancel_futures=True)
    return False


def _n_threads(plan: Plan) -> int:
    if any(image.source and is_url(image.source) for image in plan.images):
        return _URL_THREADS
    return min(_MAX_THREADS, os.cpu_count() or 2)


class _Saving:
    """The work on one plan; `save` is called from several threads."""

    def __init__(self, plan: Plan, policy: Policy, reader: ImageReader) -> None:
        self.plan = plan
        self.policy = policy
        self.images = [SavedImage("failed")] * len(plan.images)
        self.n_done = 0
        self.n_saved = 0
        self.hopeless = ""
        self._reader = reader
        self._big = threading.Lock()
        self._changed = threading.Condition()
        self._n_writing = 0
        self._closed = False
        self._stems = [target.stem if target else "" for target in plan.targets]
        if policy == "number":
            # here and not in the threads, so that the numbers follow the order
            for row, target in enumerate(plan.targets):
                if target is not None and target.existing:
                    self._stems[row] = self._another_stem(target, target.endings)

    def make_room(self) -> str:
        """Make a file as large as the list is going to be; return its path.

        Then the disk may get full, and what was saved until then can be listed all the
        same. It also shows whether anything can be written in the folder.
        """
        size = (10_000, 10_000)
        likely = [
            SavedImage(
                "skipped",
                target.path(stem) + ".jpeg" if target else "",
                _WHY,
                size,
                size,
            )
            for target, stem in zip(self.plan.targets, self._stems, strict=True)
        ]
        content = self._manifest(likely)
        try:
            return self._create("", lambda file: file.write(content))
        except OSError as ex:
            raise SaveError(
                f"Nothing can be saved in {self.plan.folder}: {_why(ex)}"
            ) from ex

    def save(self, row: int) -> None:
        """Save one image; put what became of it into `images`."""
        try:
            self._save(row)
        except _Closed:
            return
        except _LeftOut as ex:
            self._finish(row, SavedImage("skipped", reason=str(ex)))
        except (ImageError, SaveError) as ex:
            self._finish(row, SavedImage("failed", reason=str(ex)))
        except MemoryError:
            reason = "Too large for this computer's memory"
            self._finish(row, SavedImage("failed", reason=reason))
        except OSError as ex:
            # reading fails with an ImageError, so this is about writing
            self._finish(row, SavedImage("failed", reason=_why(ex)))
            if ex.errno in _HOPELESS:
                self.hopeless = _why(ex)
            elif not os.path.isdir(self.plan.folder):
                self.hopeless = "The folder is not there any more"

    def close(self) -> None:
        """Wait until no file is being written, and let none be written after."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._n_writing)

    def write_manifest(self, images: Sequence[SavedImage], room: str) -> str:
        """Write the list into the file `room`, and move it; return its name."""
        with open(room, "r+b") as file:
            file.write(self._manifest(images))
            file.truncate()
        name = MANIFEST
        if self.policy == "replace" and self.plan.manifest_exists:
            # not on Windows while a spreadsheet has it open: then it gets a number
            with suppress(PermissionError):
                os.replace(room, os.path.join(self.plan.folder, name))
                return name
        stem, ending = os.path.splitext(MANIFEST)
        while True:
            try:
                _move(room, os.path.join(self.plan.folder, name))
                return name
            except FileExistsError:
                # the name itself is reserved, so that a number comes out
                names, on_disk = self.plan.names[""], self.plan.on_disk[""]
                name = names.claim(stem, (ending,), on_disk) + ending

    def _manifest(self, images: Sequence[SavedImage]) -> bytes:
        return manifest_bytes(
            ManifestRow(
                saved.file,
                image.source or "",
                image.category or "",
                saved.original_size,
                saved.size,
                saved.status,
                saved.reason,
            )
            for image, saved in zip(self.plan.images, images, strict=True)
        )

    # one image ---------------------------------------------------------------

    def _save(self, row: int) -> None:
        if self._closed or self.hopeless:
            raise _Closed
        target, source = self.plan.targets[row], self.plan.images[row].source
        if target is None or source is None:
            raise SaveError("No image is given in this row")
        if target.ending is not None:
            self._check(target, self._stems[row] + target.ending)
        if target.file_format == ORIGINAL:
            self._copy(row, target, source)
        else:
            self._convert(row, target, source)

    def _check(self, target: Target, name: str) -> None:
        """Leave out what need not be read, as it is not going to be written."""
        if name not in target.existing:
            return
        if self.policy == "skip":
            raise _LeftOut(_EXISTS)
        path = os.path.join(self.plan.folder, target.folder, name)
        if self.policy == "replace" and identity(path) in self.plan.sources:
            raise _LeftOut("It would replace one of the images themselves")

    def _copy(self, row: int, target: Target, source: str) -> None:
        if name_of(source).lower().endswith(".mrxs"):
            raise SaveError(
                "A slide of this kind is a folder of files, too; save it in another"
                " format, or copy the slide and its folder yourself"
            )
        with self._reader.raw(source) as (stream, kind, size):
            ending = target.ending
            if ending is None:
                ending = CONTENT_ENDINGS.get(kind, "")
                self._check(target, self._stems[row] + ending)
            done = SavedImage("saved", original_size=size, size=size)
            date = None
            with suppress(OSError):  # what was fetched from an address has none
                date = os.fstat(stream.fileno()).st_mtime_ns

            def fill(file: BinaryIO) -> None:
                while chunk := stream.read(_CHUNK):
                    if self._closed:
                        raise _Closed
                    file.write(chunk)

            self._write(row, target, ending, fill, done, date)

    def _convert(self, row: int, target: Target, source: str) -> None:
        options = self.plan.options
        file_format = FORMATS[target.file_format]
        with self._alone_if_big(source):
            image = self._reader.read(source)
            original_size = image.size
            if options.resize is not None:
                image = options.resize(image)
            content = encode(image, file_format, options.quality)
        done = SavedImage("saved", original_size=original_size, size=image.size)
        self._write(
            row, target, file_format.ending, lambda file: file.write(content), done
        )

    def _alone_if_big(self, source: str) -> AbstractContextManager[object]:
        if local_path(source) is None:
            return nullcontext()
        width, height = self._reader.size(source)
        return self._big if width * height > _BIG else nullcontext()

    # writing -----------------------------------------------------------------

    def _write(
        self,
        row: int,
        target: Target,
        ending: str,
        fill: Callable[[BinaryIO], object],
        done: SavedImage,
        date: int | None = None,
    ) -> None:
        with self._writing():
            if target.folder:
                self._make_folder(target.folder)
            temporary = self._create(target.folder, fill)
            try:
                if date is not None:
                    with suppress(OSError):
                        os.utime(temporary, ns=(date, date))
                name = self._publish(temporary, target, self._stems[row], ending)
            finally:
                _remove(temporary)
            # before `close` returns, so that no saved image is missing in the list
            self._finish(row, replace(done, file=target.path(name)))

    def _make_folder(self, name: str) -> None:
        path = os.path.join(self.plan.folder, name)
        try:
            os.mkdir(path)  # not those above: a folder that is gone stays away
        except FileExistsError as ex:
            if not os.path.isdir(path):
                raise SaveError(
                    f"There is a file where a folder '{name}' is due"
                ) from ex

    def _create(self, folder: str, fill: Callable[[BinaryIO], object]) -> str:
        """Write a new file under a temporary name; return its path."""
        path = self._temporary(folder)
        try:
            with open(path, "xb") as file:
                fill(file)
        except BaseException:
            _remove(path)
            raise
        return path

    def _temporary(self, folder: str) -> str:
        # short: the name may be the one that makes the path too long
        name = f".{secrets.token_hex(6)}.tmp"
        return os.path.join(self.plan.folder, folder, name)

    def _publish(self, temporary: str, target: Target, stem: str, ending: str) -> str:
        """Move what was written to where it belongs; return its name there."""
        while True:
            name = stem + ending
            path = os.path.join(self.plan.folder, target.folder, name)
            if self.policy == "replace" and name in target.existing:
                self._check(target, name)
                os.replace(temporary, path)
                return name
            try:
                _move(temporary, path)
                return name
            except FileExistsError as ex:
                if self.policy == "skip":
                    raise _LeftOut(_EXISTS) from ex
                if self.policy != "number":
                    raise SaveError(
                        "A file of this name has appeared meanwhile; it was left alone"
                    ) from ex
                stem = self._another_stem(target, (ending,))

    def _another_stem(self, target: Target, endings: tuple[str, ...]) -> str:
        names, on_disk = self.plan.names, self.plan.on_disk
        with self._changed:
            return names[target.folder].claim(
                target.wanted, endings, on_disk[target.folder]
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._changed:
            if self._closed:
                raise _Closed
            self._n_writing += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_writing -= 1
                self._changed.notify_all()

    def _finish(self, row: int, image: SavedImage) -> None:
        with self._changed:
            self.images[row] = image
            self.n_done += 1
            self.n_saved += image.status == "saved"


def _move(temporary: str, path: str) -> None:
    """Give a file another name; FileExistsError if something has it."""
    if os.name == "nt":
        os.rename(temporary, path)  # there it refuses by itself
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # no links on this file system, as on memory sticks: the name is taken by an
        # empty file, which is ours to replace
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(temporary, path)
        except BaseException:
            os.unlink(path)
            raise


def _remove(path: str) -> None:
    with suppress(OSError):  # it has been moved
        os.unlink(path)


def _why(ex: OSError) -> str:
    """Say in words why something could not be written."""
    if ex.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return "The disk is full"
    if ex.errno == errno.EROFS:
        return "The disk can be read only"
    if ex.errno in (errno.EACCES, errno.EPERM):
        return "The system does not allow writing there"
    if ex.errno == errno.EFBIG:
        return "The file would be larger than the disk takes"
    if ex.errno == errno.EISDIR:
        return "A folder has this name"
    # Windows does not find what has more than 259 letters
    if ex.errno == errno.ENAMETOOLONG or (
        os.name == "nt" and len(os.fspath(ex.filename or "")) > 259
    ):
        return (
            "The path is too long for this system; choose a folder with a shorter one"
        )
    if ex.errno in (errno.ENOENT, errno.ENOTDIR):
        return "The folder is not there any more"
    return f"It cannot be written ({ex.strerror or ex})"
