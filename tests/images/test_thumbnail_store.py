from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image

from orangecontrib.imagemining.images import ThumbnailStore, thumbnail_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ThumbnailStore]:
    store = ThumbnailStore(tmp_path / "cache" / "thumbnails.sqlite")
    yield store
    store.close()


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "a.png"
    picture(1, (50, 40)).save(path)
    return str(path)


def test_what_is_put_comes_back(store: ThumbnailStore, source: str) -> None:
    assert store.get(source) is None
    image = picture(1, (50, 40))
    store.put(source, image)
    known = store.get(source)
    assert known is not None and known.size == (50, 40) and known.mode == "RGB"
    difference = np.asarray(known, int) - np.asarray(image, int)
    assert np.abs(difference).mean() < 2
    store.put(source, image.convert("L"))
    known = store.get(source)
    assert known is not None and known.mode == "L"


def test_it_outlives_the_program(store: ThumbnailStore, source: str) -> None:
    store.put(source, picture(1))
    store.close()
    again = ThumbnailStore(store.path)
    assert again.get(source) is not None
    again.close()


def test_two_programs_at_once(store: ThumbnailStore, source: str) -> None:
    other = ThumbnailStore(store.path)
    assert other.get(source) is None
    store.put(source, picture(1))
    assert other.get(source) is not None
    other.put(source, picture(2, (20, 20)))
    known = store.get(source)
    assert known is not None and known.size == (20, 20)
    other.close()


def test_a_changed_file_is_another(store: ThumbnailStore, source: str) -> None:
    store.put(source, picture(1))
    os.utime(source, (1, 1))
    assert store.get(source) is None
    assert store.get(source + "-gone") is None


def test_parts_and_ways_to_read_have_their_own(
    store: ThumbnailStore, source: str
) -> None:
    for side, words in enumerate(("", "#z=1", "#z=2", "#z=2&contrast=full"), 10):
        assert store.get(source + words) is None
        store.put(source + words, picture(1, (side, side)))
    for side, words in enumerate(("", "#z=1", "#z=2", "#z=2&contrast=full"), 10):
        known = store.get(source + words)
        assert known is not None and known.width == side
    os.utime(source, (1, 1))
    assert store.get(f"{source}#z=1") is None
    # a name that looks as if it had words is another file
    odd = f"{source}#z=1"
    picture(1).save(odd, "PNG")
    assert store.get(f"{odd}#") is None
    assert store.get("http://h/a.png#z=1") is None


def test_size_is_bounded_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ThumbnailStore(tmp_path / "thumbnails.sqlite", max_bytes=60_000)
    sources = []
    for index in range(40):
        path = tmp_path / f"{index}.png"
        picture(index).save(path)
        sources.append(str(path))
    monkeypatch.setattr(thumbnail_store, "_today", lambda: 1)
    for path in sources[:10]:
        store.put(path, Image.effect_noise((60, 60), 90))
    monkeypatch.setattr(thumbnail_store, "_today", lambda: 2)
    assert store.get(sources[0]) is not None  # used today, unlike the nine others
    for path in sources[10:]:
        store.put(path, Image.effect_noise((60, 60), 90))
    store.close()
    with sqlite3.connect(store.path) as connection:
        total, days = connection.execute(
            "select sum(length(picture)), min(day) from thumbnail"
        ).fetchone()
    connection.close()
    assert 30_000 < total <= 60_000 and days == 2
    again = ThumbnailStore(store.path)
    assert again.get(sources[-1]) is not None
    assert again.get(sources[5]) is None
    again.close()


@pytest.mark.parametrize("content", [b"no database" * 999, None])
def test_a_damaged_file_is_set_aside(
    store: ThumbnailStore,
    source: str,
    content: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.put(source, picture(1))
    store.close()
    if content is None:  # its first pages overwritten
        content = bytearray(store.path.read_bytes())
        content[:2000] = os.urandom(2000)
    store.path.write_bytes(content)
    again = ThumbnailStore(store.path)
    with caplog.at_level(logging.WARNING):
        assert again.get(source) is None
    assert "damaged" in caplog.text
    assert store.path.with_suffix(".damaged").read_bytes() == bytes(content)
    again.put(source, picture(1))
    assert again.get(source) is not None
    again.close()


def test_without_a_place_to_write_nothing_is_kept(tmp_path: Path, source: str) -> None:
    (tmp_path / "file").write_text("in the way")
    store = ThumbnailStore(tmp_path / "file" / "thumbnails.sqlite")
    store.put(source, picture(1))
    assert store.get(source) is None
    store.close()
