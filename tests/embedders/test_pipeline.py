"""Reading, decoding and embedding at the same time, in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image

from orangecontrib.imagemining.embedders import LocalEmbedder, pipeline
from orangecontrib.imagemining.embedders.cache import (
    VectorStore,
    content_of,
    content_of_file,
    stamp_of,
)
from orangecontrib.imagemining.embedders.pipeline import (
    Contents,
    FileContent,
    in_batches,
)
from orangecontrib.imagemining.exceptions import TaskCancelled
from orangecontrib.imagemining.images import ImageReader
from orangecontrib.imagemining.specs import EmbedderSpec

FEATURES = EmbedderSpec("squeezenet1_1", "features")


def nothing() -> None:
    """Take part in nothing."""


def read(source: str) -> FileContent:
    return FileContent(source, digest=source.encode())


def run(  # type: ignore[no-untyped-def]
    sources: list[str], embed, size: int = 4, waiting=nothing, begin=nothing
) -> list[list[str]]:
    return list(in_batches(sources, read, embed, size, waiting, begin))


def names_of(files: list[FileContent], stop: threading.Event) -> list[str]:
    return [file.source for file in files]


@pytest.mark.parametrize("n, batches", [(0, []), (1, [1]), (8, [4, 4]), (9, [4, 4, 1])])
def test_batches_come_in_order(
    n: int, batches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "n_cores", lambda: 2)
    sources = [str(number) for number in range(n)]
    found = run(sources, names_of)
    assert [len(batch) for batch in found] == batches
    assert sum(found, []) == sources


def test_few_images_are_shared_by_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "n_cores", lambda: 4)
    assert [len(b) for b in run(list("abcdef"), names_of, size=8)] == [2, 2, 2]


def test_slow_first_batch_does_not_change_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "n_cores", lambda: 2)
    second_done = threading.Event()

    def embed(files: list[FileContent], stop: threading.Event) -> list[str]:
        if files[0].source == "0":
            assert second_done.wait(20)
        elif files[0].source == "2":
            second_done.set()
        return names_of(files, stop)

    sources = [str(number) for number in range(8)]
    assert sum(run(sources, embed, size=2), []) == sources


def test_only_a_few_batches_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "n_cores", lambda: 2)
    begun: list[str] = []

    def note(source: str) -> FileContent:
        begun.append(source)
        return read(source)

    sources = [str(number) for number in range(400)]
    batches = in_batches(sources, note, names_of, 4, nothing, nothing)
    seen = 0
    for batch in batches:
        seen += len(batch)
        assert len(begun) <= seen + 4 * 4  # two at work, two that are read ahead
    assert seen == 400


def test_threads_are_bounded_and_begin_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "n_cores", lambda: 3)
    begun: list[int] = []
    at_work: set[int] = set()

    def embed(files: list[FileContent], stop: threading.Event) -> list[str]:
        at_work.add(threading.get_ident())
        return names_of(files, stop)

    run(
        [str(n) for n in range(60)],
        embed,
        begin=lambda: begun.append(threading.get_ident()),
    )
    assert 1 <= len(begun) <= 3 and at_work <= set(begun)


def test_what_embedding_raises_is_passed_on_and_ends_the_work() -> None:
    stopped: list[threading.Event] = []

    def embed(files: list[FileContent], stop: threading.Event) -> list[str]:
        stopped.append(stop)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run([str(n) for n in range(100)], embed)
    assert stopped[0].is_set()


def test_cancelling_while_waiting_sets_the_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "_POLL", 0.01)
    ended = threading.Event()

    def embed(files: list[FileContent], stop: threading.Event) -> list[str]:
        assert stop.wait(20)
        ended.set()
        return []

    def cancel() -> None:
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        run(["a", "b"], embed, waiting=cancel)
    assert ended.wait(20)


# files --------------------------------------------------------------------------------


def test_small_files_are_read_once_and_known_by_content(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (5, 5), "red").save(path)
    with ImageReader() as reader:
        content = Contents(reader).read(str(path))
    assert content.data == path.read_bytes()
    assert content.digest == content_of(path.read_bytes())
    assert content.stamp == stamp_of(str(path))
    assert not content.reason and not content.is_late


def test_larger_files_wait_for_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (5, 5), "red").save(path)
    monkeypatch.setattr(pipeline, "_READ_AHEAD", 10)
    with ImageReader() as reader:
        contents = Contents(reader)
        late = contents.read(str(path))
        assert late.is_late and late.data is None
        whole = contents.complete(late)
        assert whole.data == path.read_bytes()
        # what is larger still is left to the reader of its format
        monkeypatch.setattr(pipeline, "_READ_AT_ONCE", 10)
        huge = contents.complete(contents.read(str(path)))
    assert huge.data is None and huge.digest == content_of_file(str(path))
    assert contents.complete(whole) is whole


def test_planes_of_a_file_share_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    pages = [Image.new("L", (4, 4), grey) for grey in (10, 20, 30)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    calls: list[str] = []

    def digest(path: str) -> bytes:
        calls.append(path)
        return content_of_file(path)

    monkeypatch.setattr(pipeline, "content_of_file", digest)
    with ImageReader() as reader:
        contents = Contents(reader)
        planes = [
            contents.complete(contents.read(f"{path}#z={number}"))
            for number in range(3)
        ]
    assert calls == [str(path)]
    assert {plane.digest for plane in planes} == {content_of(path.read_bytes())}
    assert all(plane.data is None for plane in planes)


def test_reasons_of_files_that_cannot_be_read(tmp_path: Path) -> None:
    with ImageReader() as reader:
        contents = Contents(reader)
        gone = contents.read(str(tmp_path / "gone.png"))
        folder = contents.complete(contents.read(str(tmp_path)))
    assert "no file" in gone.reason and gone.stamp is None
    assert "folder" in folder.reason


# the embedder on top ------------------------------------------------------------------


def images_of(folder: Path) -> list[str]:
    return sorted(map(str, folder.rglob("*.png")))


def test_vectors_are_the_same_to_the_last_bit(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = images_of(make_folder({"a": 13}))
    found = []
    for n_cores in (1, 2, 5):
        monkeypatch.setattr(pipeline, "n_cores", lambda n=n_cores: n)
        run = LocalEmbedder(FEATURES, cache=VectorStore.in_memory())
        found.append(run(paths).vectors)
        found.append(
            run.__class__(FEATURES, cache=VectorStore.in_memory())(paths[::-1]).vectors[
                ::-1
            ]
        )
    for vectors in found[1:]:
        np.testing.assert_array_equal(vectors, found[0])


def test_copies_are_computed_once(
    make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    (path,) = images_of(make_folder({"a": 1}))
    store = VectorStore.in_memory()
    first = LocalEmbedder(FEATURES, cache=store)([path])
    copy = tmp_path / "copy.png"
    copy.write_bytes(Path(path).read_bytes())
    second = LocalEmbedder(FEATURES, cache=store)([str(copy)])
    assert (first.n_known, second.n_known) == (0, 1)
    np.testing.assert_array_equal(first.vectors, second.vectors)
    # and its place is known from then on
    vectors, found = store.lookup(
        [str(copy)], LocalEmbedder(FEATURES, cache=store)._keys()["features"], 512
    )
    assert found.all()


def test_results_are_stored_batch_by_batch(
    make_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "n_cores", lambda: 2)
    paths = images_of(make_folder({"a": 40}))
    store = VectorStore.in_memory()
    counts: list[int] = []

    def progress(fraction: float, status: str = "") -> None:
        counts.append(store.n_vectors())
        if counts[-1] >= 16:
            raise TaskCancelled

    with pytest.raises(TaskCancelled):
        LocalEmbedder(FEATURES, cache=store)(paths, progress)
    assert {8, 16} <= set(counts)
    result = LocalEmbedder(FEATURES, cache=store)(paths)
    assert result.n_known == 16 and result.reasons == [None] * 40


def test_images_from_addresses(make_folder: Callable[..., Path]) -> None:
    paths = images_of(make_folder({"a": 3}))
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path == "/gone.png":
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Path(paths[int(self.path[1])]).read_bytes())

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        root = f"http://127.0.0.1:{server.server_port}"
        sources = [f"{root}/0.png", f"{root}/gone.png", paths[1], f"{root}/2.png"]
        store = VectorStore.in_memory()
        result = LocalEmbedder(FEATURES, cache=store)(sources)
        again = LocalEmbedder(FEATURES, cache=store)([sources[0], sources[3]])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert [bool(reason) for reason in result.reasons] == [False, True, False, False]
    assert "404" in str(result.reasons[1])
    assert again.n_known == 2
    assert sorted(asked) == ["/0.png", "/2.png", "/gone.png"]
    expected = LocalEmbedder(FEATURES, cache=VectorStore.in_memory())(
        [paths[0], paths[2]]
    )
    np.testing.assert_array_equal(result.vectors[[0, 3]], expected.vectors)


def test_a_file_replaced_between_its_digest_and_its_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(1).save(tmp_path / "1.png")
    picture(2).save(tmp_path / "2.png")
    path = tmp_path / "a.png"
    path.write_bytes((tmp_path / "1.png").read_bytes())
    source = f"{path}#contrast=full"  # what has words is not read as a whole before
    read = LocalEmbedder._open

    def replaced(*arguments: object) -> object:
        path.write_bytes((tmp_path / "2.png").read_bytes() + b"more")
        return read(*arguments)  # type: ignore[arg-type]

    embedder = LocalEmbedder(FEATURES, cache=VectorStore.in_memory())
    with monkeypatch.context() as patch:
        patch.setattr(LocalEmbedder, "_open", replaced)
        second = embedder([source]).vectors
    # what was there before is not known by the other's vector
    path.write_bytes((tmp_path / "1.png").read_bytes())
    first = embedder([source])
    expected = LocalEmbedder(FEATURES, cache=VectorStore.in_memory())(
        [str(tmp_path / "1.png"), str(tmp_path / "2.png")]
    )
    assert first.n_known == 0
    np.testing.assert_array_equal([first.vectors[0], second[0]], expected.vectors)


def test_no_thread_outlives_what_was_cancelled(
    make_folder: Callable[..., Path],
) -> None:
    paths = images_of(make_folder({"a": 30}))

    def progress(fraction: float, status: str = "") -> None:
        if fraction > 0.3:
            raise TaskCancelled

    before = set(threading.enumerate())
    with pytest.raises(TaskCancelled) as caught:
        LocalEmbedder(FEATURES, cache=VectorStore.in_memory())(paths, progress)
    # also as long as somebody holds the exception, and by it all that was at work
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive(), thread
    assert caught.value.__traceback__ is not None


def test_the_engine_that_ran_is_told(make_folder: Callable[..., Path]) -> None:
    paths = images_of(make_folder({"a": 2}))
    vectors = {}
    for engine in ("onnxruntime", "torch"):
        run = LocalEmbedder(FEATURES, cache=VectorStore.in_memory(), engine=engine)
        vectors[engine] = run(paths).vectors
        assert run.choice.name == engine
    difference = np.abs(vectors["torch"] - vectors["onnxruntime"]).max()
    assert difference <= 1e-4 * np.abs(vectors["torch"]).max()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells")
def test_cores_are_those_that_we_may_use() -> None:
    assert pipeline.n_cores() == min(16, len(os.sched_getaffinity(0)))
