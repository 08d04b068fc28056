"""The store of vectors: what is kept, found, thrown out, and survives."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from orangecontrib.imagemining.embedders import cache
from orangecontrib.imagemining.embedders.cache import (
    Row,
    VectorStore,
    content_of,
    content_of_file,
    database,
    keys,
    shared_store,
    stamp_of,
    store,
)
from orangecontrib.imagemining.exceptions import TaskCancelled

SPEC, OTHER = b"a network", b"another network"


@pytest.fixture
def vectors(tmp_path: Path) -> Iterator[VectorStore]:
    vectors = VectorStore(tmp_path / "cache" / "vectors.sqlite")
    yield vectors
    vectors.close()


@pytest.fixture
def files(tmp_path: Path) -> Callable[[int], list[str]]:
    def write(n: int) -> list[str]:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        for number in range(n):
            (folder / f"{number}.png").write_bytes(b"image %d" % number)
        return [str(folder / f"{number}.png") for number in range(n)]

    return write


def vector(number: int, size: int = 8) -> np.ndarray:
    return np.arange(size, dtype=np.float32) + 100 * number


def row(source: str, number: int, spec: bytes = SPEC, size: int = 8) -> Row:
    path = source.partition("#")[0]
    content = content_of(Path(path).read_bytes())
    return Row(source, stamp_of(source), content, {spec: vector(number, size)})


def fill(vectors: VectorStore, paths: list[str], size: int = 8) -> None:
    vectors.put_many(row(path, n, size=size) for n, path in enumerate(paths))


def numbers_of(vectors: VectorStore, sources: list[str], size: int = 8) -> list:
    """Return which vector each source has; None where nothing is found."""
    found, mask = vectors.lookup(sources, SPEC, size)
    assert found.dtype == np.float32 and found.shape == (len(sources), size)
    assert np.isnan(found[~mask]).all()
    numbers = [
        int(each[0]) // 100 if ok else None
        for each, ok in zip(found, mask, strict=True)
    ]
    for number, each in zip(numbers, found, strict=True):
        if number is not None:
            np.testing.assert_array_equal(each, vector(number, size))
    return numbers


# what is found ---------------------------------------------------------------


def test_what_is_put_comes_back_by_value(vectors: VectorStore, files) -> None:
    paths = files(1203)
    assert numbers_of(vectors, paths) == [None] * 1203
    vectors.put_many(row(paths[n], n) for n in range(1, 1203))
    asked = [*reversed(paths), paths[7]]
    assert numbers_of(vectors, asked) == [*reversed(range(1, 1203)), None, 7]
    assert vectors.lookup([None, "", paths[5], "/gone.png"], SPEC, 8)[1].tolist() == [
        False,
        False,
        True,
        False,
    ]
    assert vectors.n_vectors() == 1202
    assert not vectors.lookup(paths, OTHER, 8)[1].any()
    assert not vectors.lookup(paths, SPEC, 9)[1].any()  # not of that length
    assert vectors.message == ""


def test_odd_numbers_come_back_bit_by_bit(vectors: VectorStore, files) -> None:
    (path,) = files(1)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38], np.float32)
    content = content_of(b"x")
    vectors.put_many([Row(path, stamp_of(path), content, {SPEC: odd[::-1]})])
    found = vectors.lookup([path], SPEC, 6)[0][0]
    assert found.tobytes() == odd[::-1].tobytes()


def test_it_outlives_the_program(vectors: VectorStore, files) -> None:
    paths = files(3)
    fill(vectors, paths)
    vectors.close()
    again = VectorStore(vectors.path)
    assert numbers_of(again, paths) == [0, 1, 2]
    again.close()
    assert vectors.path is not None
    assert os.listdir(vectors.path.parent) == ["vectors.sqlite"]


def test_several_networks_of_an_image(vectors: VectorStore, files) -> None:
    (path,) = files(1)
    content = content_of(b"x")
    both = {SPEC: vector(1), OTHER: vector(2, 5)}
    vectors.put_many([Row(path, stamp_of(path), content, both)])
    found = vectors.find(path, content, [SPEC, OTHER, b"third"])
    assert found.keys() == both.keys()
    np.testing.assert_array_equal(found[OTHER], both[OTHER])
    assert vectors.lookup([path], OTHER, 5)[0][0].tolist() == both[OTHER].tolist()
    found[OTHER][:] = 0  # is the caller's own


def test_a_changed_file_is_another(vectors: VectorStore, files) -> None:
    paths = files(4)
    fill(vectors, paths)
    os.utime(paths[0], ns=(5, 5))
    Path(paths[1]).write_bytes(b"longer than it was")
    os.utime(paths[1], ns=(9, 9))
    Path(paths[2]).unlink()
    assert numbers_of(vectors, paths) == [None, None, None, 3]
    # only touched: its content is known
    content = content_of_file(paths[0])
    found = vectors.find(paths[0], content, [SPEC])
    np.testing.assert_array_equal(found[SPEC], vector(0))
    vectors.put_many([Row(paths[0], stamp_of(paths[0]), content)])
    assert numbers_of(vectors, paths) == [0, None, None, 3]
    assert vectors.find(paths[1], content_of_file(paths[1]), [SPEC]) == {}


def test_renamed_and_copied_images_are_found_by_content(
    vectors: VectorStore, files, tmp_path: Path
) -> None:
    paths = files(2)
    fill(vectors, paths)
    renamed, copied = str(tmp_path / "b.png"), str(tmp_path / "c.png")
    shutil.copyfile(paths[1], copied)
    os.rename(paths[0], renamed)
    assert numbers_of(vectors, [renamed, copied]) == [None, None]
    for path, number in ((renamed, 0), (copied, 1)):
        found = vectors.find(path, content_of_file(path), [SPEC])
        np.testing.assert_array_equal(found[SPEC], vector(number))
        vectors.put_many([Row(path, stamp_of(path), content_of_file(path))])
    assert numbers_of(vectors, [renamed, copied, paths[1]]) == [0, 1, 1]
    assert vectors.n_vectors() == 2


def test_parts_and_renderings_of_a_file_are_apart(vectors: VectorStore, files) -> None:
    (path,) = files(1)
    sources = [path, *(f"{path}#{w}" for w in ("t=1", "t=2&z=1", "contrast=full"))]
    vectors.put_many(row(source, n) for n, source in enumerate(sources))
    assert numbers_of(vectors, sources) == [0, 1, 2, 3]
    # the same in other words
    assert numbers_of(vectors, [f"{path}#z=1&t=2", f"{path}#t=01"]) == [2, 1]
    assert numbers_of(vectors, [f"{path}#contrast=auto", f"{path}#"]) == [0, 0]
    assert numbers_of(vectors, [f"{path}#z=1", f"{path}#s=1"]) == [None, None]


def test_a_file_that_changes_while_it_is_read(vectors: VectorStore, files) -> None:
    paths = files(2)
    rows = [row(path, n) for n, path in enumerate(paths)]
    time_ns = os.stat(paths[0]).st_mtime_ns
    os.utime(paths[0], ns=(7, 7))
    vectors.put_many(rows)
    assert numbers_of(vectors, paths) == [None, 1]
    # also if the old file comes back: who knows which of the two was read
    os.utime(paths[0], ns=(time_ns, time_ns))
    assert numbers_of(vectors, paths) == [None, 1]
    # what was computed of that content holds for it
    assert SPEC in vectors.find(paths[0], rows[0].content, [SPEC])
    Path(paths[1]).unlink()
    vectors.put_many([Row(paths[1], rows[1].stamp, b"c", {SPEC: vector(9)})])
    assert SPEC in vectors.find(paths[1], b"c", [SPEC])


def let_the_clock_tick(path: str) -> None:
    """Wait until the system notes another time for a file; some milliseconds."""
    Path(path).touch()
    before = os.stat(path).st_ctime_ns
    while os.name != "nt" and os.stat(path).st_ctime_ns == before:
        os.utime(path, ns=(7, 7))


def test_another_file_of_the_same_size_and_time(vectors: VectorStore, files) -> None:
    paths = files(3)
    for path in paths:
        os.utime(path, ns=(7, 7))  # as a camera or an archive may give them
    vectors.put_many(row(path, n) for n, path in enumerate(paths))
    assert numbers_of(vectors, paths) == [0, 1, 2]
    let_the_clock_tick(paths[2] + "~")
    # two change names: nothing is known of what lies there now
    os.replace(paths[0], f"{paths[0]}~")
    os.replace(paths[1], paths[0])
    os.replace(f"{paths[0]}~", paths[1])
    assert numbers_of(vectors, paths) == [None, None, 2]


@pytest.mark.skipif(os.name == "nt", reason="only some may make links there")
def test_a_link_that_leads_elsewhere_now(
    vectors: VectorStore, files, tmp_path: Path
) -> None:
    paths = files(2)
    for path in paths:
        os.utime(path, ns=(7, 7))
    link = tmp_path / "link.png"
    link.symlink_to(paths[0])
    vectors.put_many([row(str(link), 5)])
    assert numbers_of(vectors, [str(link)]) == [5]
    link.unlink()
    let_the_clock_tick(f"{link}~")
    os.utime(paths[1], ns=(8, 8))
    os.utime(paths[1], ns=(7, 7))
    link.symlink_to(paths[1])
    assert numbers_of(vectors, [str(link)]) == [None]


def test_without_a_stamp_it_is_found_by_content_alone(
    vectors: VectorStore, files
) -> None:
    (path,) = files(1)
    vectors.put_many([Row(path, None, b"c", {SPEC: vector(1)})])
    assert numbers_of(vectors, [path]) == [None]
    assert SPEC in vectors.find("elsewhere", b"c", [SPEC])


def test_addresses_are_asked_again_after_a_while(
    vectors: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 10**18
    monkeypatch.setattr(keys.time, "time_ns", lambda: now)
    address = "https://example.org/a.png"
    rows = [Row(address, stamp_of(address), b"content", {SPEC: vector(4)})]
    vectors.put_many(rows)
    sources = [address, "https://example.org/b.png"]
    assert numbers_of(vectors, sources) == [4, None]
    now += 599 * 10**9
    assert numbers_of(vectors, sources) == [4, None]
    now += 2 * 10**9
    assert numbers_of(vectors, sources) == [None, None]
    now -= 10**12  # the clock was set back
    assert numbers_of(vectors, sources) == [None, None]


def test_relative_paths_and_file_addresses(
    vectors: VectorStore, files, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = files(1)
    fill(vectors, [path])
    monkeypatch.chdir(Path(path).parent)
    assert numbers_of(vectors, ["0.png", Path(path).as_uri()]) == [0, 0]


def test_progress_may_end_a_lookup(vectors: VectorStore, files) -> None:
    paths = files(1200)
    shares: list[float] = []

    def stop(fraction: float, status: str = "") -> None:
        shares.append(fraction)
        if fraction > 0.5:
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        vectors.lookup(paths, SPEC, 8, stop)
    assert shares == [0, 500 / 1200, 1000 / 1200]


def test_names_and_pictures_are_not_in_the_file(vectors: VectorStore, files) -> None:
    (path,) = files(1)
    fill(vectors, [path])
    vectors.close()
    assert vectors.path is not None
    content = vectors.path.read_bytes()
    assert vector(0).tobytes() in content
    assert b"0.png" not in content and b"image 0" not in content


# content ---------------------------------------------------------------------


def test_large_files_are_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_LARGE", 10_000)
    monkeypatch.setattr(keys, "_SAMPLE", 100)
    rng = np.random.default_rng(0)
    data = rng.bytes(10_000)
    small = tmp_path / "small"
    small.write_bytes(data)
    assert content_of_file(str(small)) == content_of(data)
    large = tmp_path / "large"
    large.write_bytes(data * 2)
    os.utime(large, ns=(10, 10))
    content = content_of_file(str(large))
    assert content != content_of(data * 2) and len(content) == len(content_of(data))
    moved = shutil.copy2(large, tmp_path / "moved")
    assert content_of_file(moved) == content
    # from the first byte to the last; and size and time
    for place in (0, 9_950, 19_999):
        changed = bytearray(data * 2)
        changed[place] ^= 1
        large.write_bytes(changed)
        os.utime(large, ns=(10, 10))
        keys._sampled.cache_clear()
        assert (content_of_file(str(large)) == content) == (place == 9_950)
    os.utime(moved, ns=(11, 11))
    assert content_of_file(moved) != content


def test_slides_that_are_a_folder_count_with_their_path(tmp_path: Path) -> None:
    for name in ("a.mrxs", "b.mrxs", "c.MRXS", "a.svs", "b.svs"):
        (tmp_path / name).write_bytes(b"index")
        os.utime(tmp_path / name, ns=(1, 1))
    slides = [content_of_file(tmp_path / n) for n in ("a.mrxs", "b.mrxs", "c.MRXS")]
    assert len({*slides, content_of(b"index")}) == 4
    files = [content_of_file(tmp_path / name) for name in ("a.svs", "b.svs")]
    assert files == [content_of(b"index")] * 2


# several at once -------------------------------------------------------------

WORKER = """
import sys
import numpy as np
from orangecontrib.imagemining.embedders.cache import (
    Row, VectorStore, content_of_file, stamp_of
)
from pathlib import Path
store = VectorStore(Path(sys.argv[1]))
paths = sys.argv[2].split(";")
batch, size = int(sys.argv[3]), int(sys.argv[4])
vectors, found = store.lookup(paths, b"a network", size)
print("found", int(found.sum()), flush=True)
todo = [path for path, known in zip(paths, found) if not known]
for start in range(0, len(todo), batch):
    rows = []
    for path in todo[start : start + batch]:
        stamp, number = stamp_of(path), int(Path(path).stem)
        vector = np.arange(size, dtype=np.float32) + 100 * number
        print("computed", number, flush=True)
        rows.append(Row(path, stamp, content_of_file(path), {b"a network": vector}))
    store.put_many(rows)
    print("kept", *(Path(row.source).stem for row in rows), flush=True)
print("end", store.message, flush=True)
"""


def start_worker(
    path: Path | None, paths: list[str], batch: int, size: int = 8
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            WORKER,
            str(path),
            ";".join(paths),
            *map(str, (batch, size)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_programs_write_at_once(vectors: VectorStore, files) -> None:
    paths = files(300)
    workers = [
        start_worker(vectors.path, part, 3) for part in (paths[:200], paths[:99:-1])
    ]
    for worker in workers:
        lines = worker.communicate()[0].splitlines()
        assert worker.returncode == 0 and lines[-1] == "end "
    assert numbers_of(vectors, paths) == list(range(300))
    assert vectors.n_vectors() == 300
    assert vectors.path is not None
    assert not list(vectors.path.parent.glob("*damaged*"))


def test_killed_at_any_moment_nothing_is_lost(vectors: VectorStore, files) -> None:
    paths, batch, size = files(240), 12, 2048
    chance = random.Random(4)
    computed: list[int] = []
    kept: set[int] = set()
    n_kills = 0
    while True:
        moment = chance.randrange(2, 90) if n_kills < 4 else 10**6
        worker = start_worker(vectors.path, paths, batch, size)
        assert worker.stdout is not None
        for number, line in enumerate(worker.stdout):
            word, *values = line.split()
            if word == "found":
                # what was kept before the kill is there, and perhaps one batch more
                assert len(kept) <= int(values[0]) <= len(kept) + batch
            elif word == "computed":
                computed += map(int, values)
            elif word == "kept":
                kept.update(map(int, values))
            if number == moment:
                worker.kill()
        worker.stdout.close()
        worker.wait()
        if moment == 10**6:
            assert worker.returncode == 0
            break
        n_kills += 1
    assert numbers_of(vectors, paths, size) == list(range(240))
    assert len(computed) - 240 <= n_kills * batch  # no more than the last batch, twice
    assert set(computed) == set(range(240))
    assert vectors.message == ""


def test_threads_share_a_store(vectors: VectorStore, files) -> None:
    paths = files(400)

    def work(start: int) -> list:
        part = paths[start::4]
        for n, path in zip(range(start, 400, 4), part, strict=True):
            vectors.put_many([row(path, n)])
            assert numbers_of(vectors, [path]) == [n]
        return numbers_of(vectors, part)

    with ThreadPoolExecutor(4) as pool:
        for start, numbers in enumerate(pool.map(work, range(4))):
            assert numbers == list(range(start, 400, 4))


def test_a_forked_program_uses_it_too(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    path = tmp_path / "vectors.sqlite"
    code = f"""
import os
from pathlib import Path
import numpy as np
from orangecontrib.imagemining.embedders.cache import Row, VectorStore
store = VectorStore(Path({str(path)!r}))
def put(content):
    store.put_many([Row("x", None, content, {{b"s": np.ones(3, np.float32)}})])
put(b"before")
file = store._file
child = os.fork()
if not child:
    put(b"child")
    os._exit(0 if store._file._database is not None else 1)
status = os.waitpid(child, 0)[1]
put(b"parent")
print(status, store.n_vectors(), store.message)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.split() == ["0", "3"]


def test_a_file_deleted_or_replaced_meanwhile(vectors: VectorStore, files) -> None:
    paths = files(2)
    fill(vectors, paths)
    assert vectors.path is not None
    for file in vectors.path.parent.iterdir():
        file.rename(f"{file}.away")
    assert numbers_of(vectors, paths) == [None, None]
    fill(vectors, paths)
    other = VectorStore(vectors.path)
    assert numbers_of(other, paths) == [0, 1]
    other.close()


# damage ----------------------------------------------------------------------


def overwrite(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "garbage":
        path.write_bytes(b"no database" * 5000)
    elif how == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif how == "first pages":
        content[:9000] = random.Random(1).randbytes(9000)
        path.write_bytes(content)
    elif how == "inner pages":
        content[8192:] = random.Random(1).randbytes(len(content) - 8192)
        path.write_bytes(content)
    else:
        statement = {
            "newer": "pragma user_version = 2",
            "foreign": "pragma application_id = 77",
            "column": "alter table entry rename column hour to minute",
            "table": "drop table vector",
        }[how]
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.commit()
        connection.close()


@pytest.mark.parametrize(
    "how",
    ["garbage", "cut off", "first pages", "inner pages", "newer"]
    + ["foreign", "column", "table"],
)
def test_a_damaged_store_is_set_aside(vectors: VectorStore, files, how: str) -> None:
    paths = files(300)
    fill(vectors, paths)
    vectors.close()
    assert vectors.path is not None
    folder = vectors.path.parent
    overwrite(vectors.path, how)
    damaged = vectors.path.read_bytes()
    again = VectorStore(vectors.path)
    assert None in numbers_of(again, paths)
    (aside,) = folder.glob("vectors-damaged-????-??-??-*.sqlite")
    assert aside.read_bytes() == damaged
    assert aside.name in again.message and str(folder) in again.message
    fill(again, paths)
    assert numbers_of(again, paths) == list(range(300))
    assert len(list(folder.glob("*damaged*.sqlite"))) == 1
    # another window that has the damaged file open leaves the new one alone
    again.close()
    third = VectorStore(vectors.path)
    assert numbers_of(third, paths) == list(range(300)) and third.message == ""
    third.close()


def test_what_is_put_into_a_damaged_store_is_kept(vectors: VectorStore, files) -> None:
    paths = files(3)
    fill(vectors, paths)
    vectors.close()
    assert vectors.path is not None
    overwrite(vectors.path, "garbage")
    fill(vectors, paths)
    again = VectorStore(vectors.path)
    assert numbers_of(again, paths) == [0, 1, 2]
    again.close()


def test_a_store_that_was_replaced_meanwhile_is_not_set_aside(
    vectors: VectorStore, files
) -> None:
    paths = files(2)
    fill(vectors, paths)
    other = VectorStore(vectors.path)
    assert vectors.path is not None

    def work(file: database.Database) -> str:
        if not list(vectors.path.parent.glob("*.away")):
            vectors.close()
            for each in list(vectors.path.parent.iterdir()):
                each.rename(f"{each}.away")
            fill(other, paths)
            raise sqlite3.DatabaseError("database disk image is malformed")
        return "done"

    assert vectors._file.attempt(work) == "done"
    assert numbers_of(vectors, paths) == [0, 1] and vectors.message == ""
    other.close()


def test_damage_under_an_open_window(vectors: VectorStore, files) -> None:
    paths = files(50)
    fill(vectors, paths)
    other = VectorStore(vectors.path)
    assert numbers_of(other, paths) == list(range(50))
    vectors.close()
    other.close()
    assert vectors.path is not None
    overwrite(vectors.path, "inner pages")
    assert numbers_of(vectors, paths) == [None] * 50
    fill(vectors, paths)
    assert numbers_of(other, paths) == list(range(50))
    assert vectors.message and not other.message
    assert len(list(vectors.path.parent.glob("*damaged*.sqlite"))) == 1
    other.close()


def test_a_vector_whose_bytes_have_changed_is_not_taken(
    vectors: VectorStore, files
) -> None:
    paths = files(3)
    fill(vectors, paths)
    vectors.close()
    assert vectors.path is not None
    content = vectors.path.read_bytes()
    place = content.index(vector(1).tobytes())
    changed = bytearray(content)
    changed[place + 5] ^= 1
    vectors.path.write_bytes(changed)
    assert numbers_of(vectors, paths) == [0, None, 2]
    found = vectors.find(paths[1], content_of_file(paths[1]), [SPEC])
    assert found == {}
    vectors.put_many([row(paths[1], 1)])
    assert numbers_of(vectors, paths) == [0, 1, 2]


def test_without_a_place_to_write_memory_serves(tmp_path: Path, files) -> None:
    paths = files(3)
    (tmp_path / "file").write_text("in the way")
    vectors = VectorStore(tmp_path / "file" / "vectors.sqlite")
    assert numbers_of(vectors, paths) == [None] * 3
    assert "cannot be kept" in vectors.message
    assert str(tmp_path / "file") in vectors.message
    fill(vectors, paths)
    assert numbers_of(vectors, paths) == [0, 1, 2]
    assert vectors.n_vectors() == 3 and vectors.size() > 0
    vectors.clear()
    assert numbers_of(vectors, paths) == [None] * 3
    # once there is a place, it is taken at the next cleaning
    (tmp_path / "file").unlink()
    vectors.limit = 10**8
    assert vectors.message == ""
    fill(vectors, paths)
    again = VectorStore(vectors.path)
    assert numbers_of(again, paths) == [0, 1, 2]
    again.close()
    vectors.close()


def test_a_full_disk(vectors: VectorStore, files) -> None:
    paths = files(300)
    fill(vectors, paths[:100], size=512)
    connection = vectors._file._open()._connection
    (pages,) = connection.execute("pragma page_count").fetchone()
    connection.execute(f"pragma max_page_count = {pages + 2}")
    new = [row(path, n, size=512) for n, path in enumerate(paths)][100:]
    vectors.put_many(new)
    assert "full" in vectors.message
    # those on disk are still found, the new ones in memory
    assert numbers_of(vectors, paths, 512) == list(range(300))
    again = VectorStore(vectors.path)
    assert numbers_of(again, paths, 512) == [*range(100), *[None] * 200]
    again.close()
    vectors.clear()
    assert vectors.message == "" and vectors.n_vectors() == 0
    fill(vectors, paths[:50], size=512)
    assert numbers_of(vectors, paths[:50], 512) == list(range(50))
    assert not vectors.message


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_full_disk_is_made_room_on(vectors: VectorStore, files) -> None:
    import resource

    paths = files(100)
    fill(vectors, paths, size=512)
    vectors.limit = 2**20
    vectors.close()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, old[1]))
    try:
        vectors.put_many([row(paths[0], 7, OTHER, 512)])
        assert "cannot be kept" in vectors.message  # as it is when there is no room
        vectors.clear()
        assert vectors.n_vectors() == 0 and vectors.path is not None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not vectors.path.exists() or vectors.path.stat().st_size < 100_000
    vectors.clear()
    fill(vectors, paths[:5], size=512)
    assert numbers_of(vectors, paths[:6], 512) == [0, 1, 2, 3, 4, None]
    assert not vectors.message


def test_clearing_keeps_the_limit_also_where_the_file_is_deleted(
    vectors: VectorStore, files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: database.Database) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    fill(vectors, files(5))
    vectors.limit = 2**20
    monkeypatch.setattr(database.Database, "clear", full)
    vectors.clear()
    assert (vectors.n_vectors(), vectors.limit, vectors.message) == (0, 2**20, "")


def test_in_memory(files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "nothing yet"))
    vectors = VectorStore.in_memory()
    paths = files(5)
    fill(vectors, paths)
    assert numbers_of(vectors, paths) == list(range(5))
    assert vectors.path is None and vectors.message == ""
    assert numbers_of(VectorStore.in_memory(), paths) == [None] * 5
    assert not shared_store().path.exists()


def test_memory_is_bounded(files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_MEMORY_LIMIT", 500_000)
    vectors = VectorStore.in_memory()
    paths = files(400)
    for start in range(0, 400, 20):
        some = enumerate(paths[start : start + 20], start)
        vectors.put_many(row(path, n, size=512) for n, path in some)
        assert vectors.size() <= 500_000
    assert numbers_of(vectors, paths, 512)[380:] == list(range(380, 400))


# room ------------------------------------------------------------------------


def test_what_was_used_longest_ago_goes_first(
    tmp_path: Path, files, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = 1
    for module in (database, store):
        monkeypatch.setattr(module, "this_hour", lambda: hour)
    vectors = VectorStore(tmp_path / "vectors.sqlite", limit=2_000_000)
    paths = files(2400)
    fill(vectors, paths[:600], size=512)
    hour = 2
    numbers_of(vectors, paths[:100], 512)  # used again, unlike the 500 others
    for start in range(600, 2400, 50):
        some = paths[start : start + 50]
        vectors.put_many(row(p, start + n, size=512) for n, p in enumerate(some))
        assert vectors.size() <= 2_000_000
        if start == 900:
            numbers = numbers_of(vectors, paths, 512)
            assert numbers[:100] == list(range(100))
            assert None in numbers[100:600]
            assert numbers[600:950] == list(range(600, 950))
    numbers = numbers_of(vectors, paths, 512)
    assert numbers[2000:] == list(range(2000, 2400))  # the last are here
    assert vectors.size() > 1_500_000  # no more has gone than need be
    vectors.close()
    assert os.path.getsize(tmp_path / "vectors.sqlite") < 2_300_000


def test_use_is_written_once_an_hour(
    vectors: VectorStore, files, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = 1
    for module in (database, store):
        monkeypatch.setattr(module, "this_hour", lambda: hour)
    written: list[tuple[int, int]] = []
    note = database.Database.note_use

    def spy(self, places, keys) -> None:
        written.append((len(places), len(keys)))
        note(self, places, keys)

    monkeypatch.setattr(database.Database, "note_use", spy)
    paths = files(1100)
    fill(vectors, paths)
    numbers_of(vectors, paths)
    assert written == []
    hour = 2
    numbers_of(vectors, paths[:600])
    numbers_of(vectors, paths[:600])
    assert written == [(600, 600)]
    numbers_of(vectors, paths)
    assert written[1:] == [(500, 500)]


def test_the_limit_is_kept_for_all_programs(
    vectors: VectorStore, files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGEMINING_CACHE_BYTES", raising=False)
    assert vectors.limit == 2 * 2**30 and not vectors.limit_is_fixed
    paths = files(900)
    fill(vectors, paths, size=512)
    assert vectors.path is not None
    assert os.path.getsize(vectors.path) + vectors.size() > 2_000_000
    vectors.limit = 1_000_000
    # it holds at once, and the disk gets its room back
    assert vectors.size() <= 1_000_000
    vectors.close()
    assert os.path.getsize(vectors.path) <= 1_000_000
    other = VectorStore(vectors.path)
    assert other.limit == 1_000_000
    other.clear()
    assert other.limit == 1_000_000 and other.n_vectors() == vectors.n_vectors() == 0
    assert os.path.getsize(vectors.path) < 100_000
    other.close()
    monkeypatch.setenv("IMAGEMINING_CACHE_BYTES", "5000000")
    assert vectors.limit == 5_000_000 and vectors.limit_is_fixed
    for nonsense in ("", "much", "-1"):
        monkeypatch.setenv("IMAGEMINING_CACHE_BYTES", nonsense)
        assert vectors.limit == 1_000_000


def test_a_limit_of_zero_keeps_nothing_on_disk(
    vectors: VectorStore, files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEMINING_CACHE_BYTES", "0")
    paths = files(3)
    fill(vectors, paths)
    assert numbers_of(vectors, paths) == [0, 1, 2]
    again = VectorStore(vectors.path)
    assert numbers_of(again, paths) == [None] * 3
    again.close()


def test_the_shared_store_is_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "one"))
    one = shared_store()
    assert one is shared_store()
    assert one.path == tmp_path / "one" / "cache" / "vectors.sqlite"
    one.clear()
    assert not one.path.exists()  # nothing is made for nothing
    monkeypatch.setenv("IMAGEMINING_HOME", str(tmp_path / "two"))
    assert shared_store() is not one


def test_it_is_closed_when_the_program_ends(tmp_path: Path) -> None:
    code = """
import numpy as np
from orangecontrib.imagemining.embedders import cache
vector = np.ones(3, np.float32)
cache.shared_store().put_many([cache.Row("x", None, b"content", {b"s": vector})])
"""
    home = os.environ | {"IMAGEMINING_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=home, check=True)
    assert os.listdir(tmp_path / "cache") == ["vectors.sqlite"]


def test_what_the_package_offers() -> None:
    for name in ("Row", "Stamp", "spec_key", "stamp_of", "content_of_file"):
        assert hasattr(cache, name)
