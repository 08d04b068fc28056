from __future__ import annotations

import csv
import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image, ImageCms

from orangecontrib.imagemining.exceptions import (
    FilesExistError,
    SaveError,
    TaskCancelled,
    UnknownNameError,
)
from orangecontrib.imagemining.images import ImageReader, prepare
from orangecontrib.imagemining.images.formats import _pillow
from orangecontrib.imagemining.images.saving import write as save
from orangecontrib.imagemining.images.saving.encode import FORMATS, Resize
from orangecontrib.imagemining.images.saving.plan import (
    CONTENT_ENDINGS,
    ImageToSave,
    Plan,
    SaveOptions,
    likely_path,
    plan_saving,
)
from orangecontrib.imagemining.images.saving.write import SaveResult, save_images
from orangecontrib.imagemining.specs import Preprocess

Files = dict[str, bytes]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def files(folder: Path) -> Files:
    """Return all that lies below a folder, hidden files too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def images(folder: Path) -> list[str]:
    return sorted(name for name in files(folder) if not name.endswith(".csv"))


def rows(folder: Path, name: str = "manifest.csv") -> list[dict[str, str]]:
    with open(folder / name, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def make(folder: Path, *names: str) -> list[str]:
    """Make a different picture under each name; return the paths."""
    paths = []
    for seed, name in enumerate(names, 1):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
        paths.append(str(path))
    return paths


def run(
    listed: list[ImageToSave] | list[str],
    folder: Path,
    existing: save.Policy = "refuse",
    **options: object,
) -> SaveResult:
    todo = [i if isinstance(i, ImageToSave) else ImageToSave(i) for i in listed]
    plan = plan_saving(todo, folder, SaveOptions(**options))  # type: ignore[arg-type]
    return save_images(plan, existing)


# as they are -----------------------------------------------------------------


@pytest.mark.parametrize(
    "ending",
    "jpg png tif gif bmp webp avif jp2 dib ppm pcx qoi ico tga".split(),
)
def test_files_are_copied_byte_for_byte(sources: Path, out: Path, ending: str) -> None:
    [path] = make(sources, f"a.1.{ending}")
    # what only a copy keeps
    content = Path(path).read_bytes() + b"more than the format knows"
    if ending not in ("avif", "webp", "ico"):
        Path(path).write_bytes(content)
    os.utime(path, (10**9, 10**9))
    result = run([path], out)
    assert [image.status for image in result.images] == ["saved"]
    assert images(out) == [f"a.1.{ending}"]
    copy = out / f"a.1.{ending}"
    assert copy.read_bytes() == Path(path).read_bytes()
    assert copy.stat().st_mtime == 10**9
    with ImageReader() as reader:
        assert result.images[0].size == reader.size(path)


def test_each_format_that_can_be_read_has_an_ending(sources: Path) -> None:
    assert set(_pillow.FORMATS) < set(CONTENT_ENDINGS)
    for kind in _pillow.FORMATS:
        path = sources / f"{kind}{CONTENT_ENDINGS[kind]}"
        picture(1, (48, 48)).save(path)
        with ImageReader() as reader, reader.raw(str(path)) as (stream, name, size):
            assert (name, size) == (kind, (48, 48))
            assert stream.read() == path.read_bytes()


def test_endings_are_kept_and_added_where_there_is_none(
    sources: Path, out: Path
) -> None:
    picture(1).save(sources / "Photo.JPEG")
    picture(2).save(sources / "wrong.png", "JPEG")
    picture(3).save(sources / "none", "JPEG")
    picture(4).save(sources / "slice.001", "PNG")
    listed = [str(path) for path in sorted(sources.iterdir())]
    run(listed, out)
    assert images(out) == ["Photo.JPEG", "none.jpg", "slice.001.png", "wrong.png"]


def test_what_is_no_image_is_refused_and_the_rest_goes_on(
    sources: Path, out: Path
) -> None:
    good, text, empty = make(sources, "good.png", "text.png", "empty.png")
    Path(text).write_text("words")
    Path(empty).write_bytes(b"")
    listed = [text, empty, str(sources / "gone.png"), str(sources), good]
    result = run([*listed, ImageToSave(None)], out)
    assert images(out) == ["good.png"]
    reasons = [image.reason for image in result.images]
    for reason, word in zip(
        reasons, ("text", "empty", "no file", "folder", "", "No image"), strict=True
    ):
        assert word in reason
    assert result.count("saved") == 1
    assert result.count("failed") == 5
    written = rows(out)
    assert [row["status"] for row in written] == ["failed"] * 4 + ["saved", "failed"]
    assert [row["reason"] for row in written] == reasons


def test_more_pixels_than_may_be_decoded_can_be_copied(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path] = make(sources, "a.png")
    monkeypatch.setenv("IMAGEMINING_MAX_PIXELS", "100")
    assert run([path], out).count("saved") == 1
    result = run([path], out, "number", file_format="png")
    assert "more than the limit" in result.images[0].reason


def test_size_noted_is_that_of_the_upright_image(sources: Path, out: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, (40, 30)).save(sources / "turned.jpg", exif=exif)
    run([str(sources / "turned.jpg")], out)
    [row] = rows(out)
    assert (row["original_width"], row["original_height"]) == ("30", "40")
    assert (row["width"], row["height"]) == ("30", "40")


# from addresses --------------------------------------------------------------


@contextmanager
def server(answers: dict[str, bytes]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = answers.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def content(seed: int, kind: str) -> bytes:
    stream = io.BytesIO()
    picture(seed).save(stream, kind)
    return stream.getvalue()


def test_addresses_get_their_ending_by_content(out: Path) -> None:
    answers = {
        "/cells/a.php?id=1": content(1, "JPEG"),
        "/cells/a.php?id=2": content(2, "PNG"),
        "/b.png": content(3, "JPEG"),
    }
    with server(answers) as address:
        listed = [address + path for path in (*answers, "/none.png")]
        result = run(listed, out)
    assert [image.file for image in result.images] == [
        "a.php.jpg",
        "a.php (2).png",
        "b.jpg",
        "",
    ]
    assert "404" in result.images[3].reason
    saved = files(out)
    for image, answer in zip(result.images, answers.values(), strict=False):
        assert saved[image.file] == answer
    assert rows(out)[0]["source"] == listed[0]


def test_what_an_address_may_become_counts_as_existing(out: Path) -> None:
    (out / "a.jpg").write_bytes(b"mine")
    (out / "a.txt").write_bytes(b"mine too")
    with server({"/a": content(1, "JPEG")}) as address:
        plan = plan_saving([ImageToSave(f"{address}/a")], out)
        assert plan.existing == ["a.jpg"]
        result = save_images(plan, "skip")
        assert result.images[0].status == "skipped"
        result = run([f"{address}/a"], out, "number")
        assert result.images[0].file == "a (2).jpg"
    assert (out / "a.jpg").read_bytes() == b"mine"


def test_image_written_out_as_an_address(out: Path) -> None:
    import base64

    code = base64.b64encode(content(1, "PNG")).decode()
    run([f"data:image/png;base64,{code}"], out)
    assert files(out)["image.png"] == content(1, "PNG")
    assert len(rows(out)[0]["source"]) <= 2001


# converted -------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["png", "tiff", "bmp"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_converted_without_loss(
    sources: Path, out: Path, file_format: str, mode: str
) -> None:
    before = picture(1).convert(mode)
    before.save(sources / "a.b.png")
    result = run([str(sources / "a.b.png")], out, file_format=file_format)
    name = f"a.b{FORMATS[file_format].ending}"
    assert result.images[0].file == name
    with Image.open(out / name) as after:
        assert after.format == file_format.upper()
        assert after.mode == mode
        np.testing.assert_array_equal(np.asarray(after), np.asarray(before))


@pytest.mark.parametrize("file_format", ["jpeg", "webp"])
def test_quality(sources: Path, out: Path, file_format: str) -> None:
    [path] = make(sources, "a.png")
    sizes, errors = [], []
    for quality in (10, 95):
        folder = out / str(quality)
        folder.mkdir()
        run([path], folder, file_format=file_format, quality=quality)
        [name] = images(folder)
        sizes.append((folder / name).stat().st_size)
        with Image.open(folder / name) as after:
            assert after.format == file_format.upper()
            difference = np.asarray(after, float) - np.asarray(picture(1), float)
        errors.append(np.abs(difference).mean())
    assert sizes[0] < sizes[1]
    assert errors[1] < 3 < errors[0]


def test_fine_jpeg_keeps_colours_sharp(sources: Path, out: Path) -> None:
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[::2, :, 0] = stripes[1::2, :, 2] = 255
    Image.fromarray(stripes).save(sources / "a.png")
    run([str(sources / "a.png")], out, file_format="jpeg", quality=95)
    with Image.open(out / "a.jpg") as after:
        assert np.abs(np.asarray(after, int) - stripes).max() < 30


def test_pixels_are_those_that_the_reader_gives(sources: Path, out: Path) -> None:
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1).save(sources / "turned.png", exif=exif)
    clear = picture(2).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(sources / "clear.png")
    deep = rng.integers(0, 4000, (20, 30), dtype=np.uint16)
    Image.fromarray(deep).save(sources / "deep.tif")
    frames = [picture(seed).quantize(16) for seed in (3, 4)]
    frames[0].save(sources / "moving.gif", save_all=True, append_images=frames[1:])
    listed = [str(path) for path in sorted(sources.iterdir())]
    result = run(listed, out, file_format="png")
    with ImageReader() as reader:
        for path, image in zip(listed, result.images, strict=True):
            with Image.open(out / image.file) as after:
                expected = np.asarray(reader.read(path))
                np.testing.assert_array_equal(np.asarray(after), expected)


def test_camera_place_and_comments_stay_behind(sources: Path, out: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "Camera"
    exif.get_ifd(0x8825)[1] = "N"
    picture(1).save(sources / "a.jpg", exif=exif, comment=b"secret", dpi=(300, 300))
    picture(1).save(sources / "b.tif", description="secret", dpi=(300, 300))
    listed = [str(path) for path in sorted(sources.iterdir())]
    for file_format in ("png", "jpeg", "tiff", "webp"):
        folder = out / file_format
        folder.mkdir()
        run(listed, folder, file_format=file_format)
        for name in images(folder):
            assert b"secret" not in (folder / name).read_bytes()
            assert b"Camera" not in (folder / name).read_bytes()


@pytest.mark.parametrize("file_format", ["png", "jpeg", "tiff", "webp"])
def test_colour_profile_goes_along_if_it_is_for_these_colours(
    sources: Path, out: Path, file_format: str
) -> None:
    rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # what matters of a profile here is what it says to be for
    printing = rgb[:16] + b"CMYK" + rgb[20:]
    grey = rgb[:16] + b"GRAY" + rgb[20:]
    for name, mode, profile in [
        ("rgb", "RGB", rgb),
        ("cmyk", "CMYK", printing),
        ("grey", "L", grey),
        ("l", "L", rgb),
        ("not", "RGB", b"0" * 16 + b"RGB " + b"0" * 200),
    ]:
        picture(1).convert(mode).save(sources / f"{name}.tif", icc_profile=profile)
    listed = [str(path) for path in sorted(sources.iterdir())]
    resize = Resize(20, 20)
    run(listed, out, file_format=file_format, resize=resize)
    kept = {}
    for name in images(out):
        with Image.open(out / name) as after:
            kept[name.partition(".")[0]] = after.info.get("icc_profile")
    # a grey WebP is made of three colours, but a grey profile is still true of them
    assert kept == {"rgb": rgb, "grey": grey, "cmyk": None, "l": None, "not": None}


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((40, 30), (20, 20), (20, 15)),
        ((30, 40), (20, 20), (15, 20)),
        ((40, 30), (80, 1000), (80, 60)),
        ((1000, 1), (10, 10), (10, 1)),
        ((3, 2), (100, 100), (100, 67)),
    ],
)
def test_fitted_into_a_size(
    sources: Path,
    out: Path,
    size: tuple[int, int],
    box: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    picture(1, size).save(sources / "a.png")
    result = run([str(sources / "a.png")], out, file_format="png", resize=Resize(*box))
    with Image.open(out / "a.png") as after:
        assert after.size == expected
    assert result.images[0].original_size == size
    assert result.images[0].size == expected
    [row] = rows(out)
    numbers = "original_width original_height width height".split()
    assert [int(row[name]) for name in numbers] == [*size, *expected]


def test_stretched(sources: Path, out: Path) -> None:
    [path] = make(sources, "a.png")
    run([path], out, file_format="png", resize=Resize(10, 50, stretch=True))
    with Image.open(out / "a.png") as after:
        assert after.size == (10, 50)


@pytest.mark.parametrize("interpolation", ["lanczos", "bicubic", "bilinear"])
def test_saved_for_a_network_is_what_it_sees(
    sources: Path, out: Path, interpolation: str
) -> None:
    preprocess = Preprocess(size=(17, 23), interpolation=interpolation)
    [path] = make(sources, "a.png")
    run([path], out, file_format="png", resize=Resize.for_network(preprocess))
    with ImageReader() as reader:
        seen = prepare(reader.read(path), preprocess)
        # saved, it looks to the network just as before
        again = prepare(reader.read(str(out / "a.png")), preprocess)
    with Image.open(out / "a.png") as after:
        np.testing.assert_array_equal(np.asarray(after), seen)
    np.testing.assert_array_equal(again, seen)


def test_what_a_format_does_not_hold(sources: Path, out: Path) -> None:
    Image.new("L", (16_384, 1)).save(sources / "long.png")
    [good] = make(sources, "good.png")
    result = run([str(sources / "long.png"), good], out, file_format="webp")
    assert "choose another format" in result.images[0].reason
    assert images(out) == ["good.webp"]


def test_impossible_options() -> None:
    with pytest.raises(UnknownNameError, match="'gif'.*png"):
        SaveOptions("gif")
    with pytest.raises(ValueError, match="quality"):
        SaveOptions("jpeg", quality=0)
    with pytest.raises(ValueError, match="as it is"):
        SaveOptions(resize=Resize(1, 1))
    with pytest.raises(ValueError, match="0 × 5"):
        Resize(0, 5)


def test_big_images_are_converted_one_at_a_time(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(sources, *(f"{index}.png" for index in range(8)))
    at_work, most = [0], [0]
    read = ImageReader.read

    def counting(self: ImageReader, source: str) -> Image.Image:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        try:
            return read(self, source)
        finally:
            at_work[0] -= 1

    monkeypatch.setattr(ImageReader, "read", counting)
    monkeypatch.setattr(save, "_BIG", 10)
    assert run(paths, out, file_format="png").count("saved") == 8
    assert most == [1]


# names and folders -----------------------------------------------------------


def test_names_and_categories(sources: Path, out: Path) -> None:
    [path] = make(sources, "a.png")
    listed = [
        ImageToSave(path, "first", "cat"),
        ImageToSave(path, "FIRST.png", "cat"),
        ImageToSave(path, "first", "dog/wolf"),
        ImageToSave(path, "", "Cat"),
        ImageToSave(path, "x.1", ""),
        ImageToSave(path, "con", "no category"),
        ImageToSave(path, "y", "manifest.csv"),
        ImageToSave(path, "y", ".."),
    ]
    result = run(listed, out)
    assert [image.file for image in result.images] == [
        "cat/first.png",
        "cat/FIRST (2).png",
        "dog_wolf/first.png",
        "Cat (2)/a.png",
        "no category/x.1.png",
        "no category (2)/_con.png",
        "manifest.csv (2)/y.png",
        "no category (3)/y.png",
    ]
    assert images(out) == sorted(image.file for image in result.images)
    assert [row["category"] for row in rows(out)] == [i.category for i in listed]


@pytest.mark.parametrize(
    ("image", "file_format", "path"),
    [
        (ImageToSave("/x/a.1.JPG"), "original", "a.1.JPG"),
        (ImageToSave("/x/a.1.JPG"), "png", "a.1.png"),
        (ImageToSave("/x/a.JPG", "b.png", "c/d"), "original", "c_d/b.JPG"),
        (ImageToSave("/x/a", "", ""), "original", "no category/a"),
        (ImageToSave("http://x/a.png?b"), "original", "a.png"),
        (ImageToSave("http://x/a.png?b"), "jpeg", "a.jpg"),
        (ImageToSave(None, "b" * 300), "jpeg", "b" * 251 + ".jpg"),
    ],
)
def test_likely_path(image: ImageToSave, file_format: str, path: str) -> None:
    assert likely_path(image, SaveOptions(file_format)) == path


def test_same_name_from_two_folders_and_dots_in_names(sources: Path, out: Path) -> None:
    paths = make(sources, "x/a.1.png", "y/a.1.png", "x/a.2.png")
    run(paths, out)
    saved = files(out)
    for name, path in zip(("a.1.png", "a.1 (2).png", "a.2.png"), paths, strict=True):
        assert saved[name] == Path(path).read_bytes()


def test_manifest(sources: Path, out: Path) -> None:
    [path] = make(sources, "é,\"'.png")
    run([ImageToSave(path, "", "a;b")], out)
    assert (out / "manifest.csv").read_bytes().startswith(b"\xef\xbb\xbffile,source,")
    assert rows(out) == [
        {
            "file": "a;b/é,_'.png",
            "source": path,
            "category": "a;b",
            "original_width": "40",
            "original_height": "30",
            "width": "40",
            "height": "30",
            "status": "saved",
            "reason": "",
        }
    ]


def test_manifest_has_no_formulas(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(sources, "=1+1.png", "b.png")
    monkeypatch.chdir(sources)
    listed = [
        ImageToSave("=1+1.png", "", "@SUM(A1)"),
        ImageToSave("b.png", "-1", "-1"),
        ImageToSave("b.png", "b", " \t=1"),
        ImageToSave("b.png", "b", "+1.5e3"),
    ]
    result = run(listed, out)
    written = rows(out)
    for row, image in zip(written, result.images, strict=True):
        # such a path still leads there
        assert (out / row["file"]).is_file()
        assert (out / row["file"]).samefile(out / image.file)
        assert Path(row["source"]).is_file()
        for name in ("file", "source"):
            assert row[name][0] not in "=+-@"
    assert [row["category"] for row in written] == [
        "'@SUM(A1)",
        "-1",
        "' \t=1",
        "+1.5e3",
    ]


def test_nothing_saved_leaves_nothing(sources: Path, out: Path) -> None:
    result = run([ImageToSave(str(sources / "gone.png"), "", "x")], out)
    assert result.manifest == ""
    assert list(out.iterdir()) == []
    assert run([], out).images == []


# what exists already ---------------------------------------------------------


def prepared(sources: Path, out: Path) -> tuple[Plan, Files]:
    """Plan to save a, b, c where b, a note and a manifest exist."""
    paths = make(sources, "a.png", "b.png", "c.png")
    (out / "b.png").write_bytes(b"mine")
    (out / "manifest.csv").write_bytes(b"my list")
    (out / "notes.txt").write_bytes(b"notes")
    plan = plan_saving([ImageToSave(path) for path in paths], out)
    assert plan.existing == ["b.png"]
    assert plan.manifest_exists
    assert plan.originals == []
    return plan, files(out)


def test_planning_writes_nothing_and_refusing_neither(sources: Path, out: Path) -> None:
    plan, before = prepared(sources, out)
    assert files(out) == before
    with pytest.raises(FilesExistError, match="2 of the files.*exist already"):
        save_images(plan)
    assert files(out) == before


def test_replacing(sources: Path, out: Path) -> None:
    plan, before = prepared(sources, out)
    result = save_images(plan, "replace")
    after = files(out)
    assert result.count("saved") == 3
    assert after["b.png"] == (sources / "b.png").read_bytes()
    assert after["notes.txt"] == b"notes"
    assert set(after) == {*before, "a.png", "c.png"}
    assert [row["file"] for row in rows(out)] == ["a.png", "b.png", "c.png"]


def test_keeping_both(sources: Path, out: Path) -> None:
    plan, before = prepared(sources, out)
    result = save_images(plan, "number")
    after = files(out)
    assert [image.file for image in result.images] == ["a.png", "b (2).png", "c.png"]
    assert after["b (2).png"] == (sources / "b.png").read_bytes()
    assert {name: after[name] for name in before} == before
    assert result.manifest == "manifest (2).csv"
    assert rows(out, result.manifest)[1]["file"] == "b (2).png"
    # and once more
    result = run([str(sources / "b.png")] * 2, out, "number")
    assert [image.file for image in result.images] == ["b (3).png", "b (4).png"]
    assert result.manifest == "manifest (3).csv"


def test_skipping(sources: Path, out: Path) -> None:
    plan, before = prepared(sources, out)
    (sources / "b.png").unlink()  # it is not even read
    result = save_images(plan, "skip")
    after = files(out)
    assert [image.status for image in result.images] == ["saved", "skipped", "saved"]
    assert result.reasons() == [("A file of this name exists already", 1)]
    assert {name: after[name] for name in before} == before
    assert result.manifest == "manifest (2).csv"
    assert [row["file"] for row in rows(out, result.manifest)] == ["a.png", "", "c.png"]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("policy", ["refuse", "replace", "number", "skip"])
def test_what_appears_after_planning_is_never_replaced(
    sources: Path,
    out: Path,
    policy: save.Policy,
    links: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not links:
        without_links(monkeypatch)
    paths = make(sources, "a.png", "b.png")
    plan = plan_saving([ImageToSave(path) for path in paths], out)
    (out / "a.png").write_bytes(b"quicker")
    (out / "manifest.csv").write_bytes(b"quicker list")
    result = save_images(plan, policy)
    after = files(out)
    assert after["a.png"] == b"quicker"
    assert after["manifest.csv"] == b"quicker list"
    assert after["b.png"] == Path(paths[1]).read_bytes()
    first = result.images[0]
    if policy == "number":
        assert after.pop(first.file) == Path(paths[0]).read_bytes()
        assert first.file == "a (2).png"
    else:
        assert first.status == ("skipped" if policy == "skip" else "failed")
        assert "exist" in first.reason or "appeared" in first.reason
    assert sorted(after) == ["a.png", "b.png", "manifest (2).csv", "manifest.csv"]


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a file system like those of memory sticks."""

    def link(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


def test_file_systems_without_links(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_links(monkeypatch)
    paths = make(sources, "a.png", "b.png")
    assert run(paths, out).count("saved") == 2
    assert files(out)["a.png"] == Path(paths[0]).read_bytes()
    assert len(files(out)) == 3

    def replace(*args: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "replace", replace)
    result = run(paths, out, "number")
    assert result.count("saved") == 0
    assert len(files(out)) == 3  # the empty files that held the names are gone


def test_list_held_open_by_a_spreadsheet_gets_another_beside_it(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, before = prepared(sources, out)
    replace = os.replace

    def held(source: str, target: str) -> None:
        if target.endswith("manifest.csv"):
            raise PermissionError(errno.EACCES, "in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", held)
    result = save_images(plan, "replace")
    assert result.manifest == "manifest (2).csv"
    assert (out / "manifest.csv").read_bytes() == before["manifest.csv"]


def test_case_of_existing_names(sources: Path, out: Path) -> None:
    [path] = make(sources, "a.png")
    (out / "A.png").write_bytes(b"mine")
    alike = (out / "a.png").exists()  # as on macOS and Windows
    assert plan_saving([ImageToSave(path)], out).existing == ["a.png"] * alike
    # a number that is right on all systems
    result = run([ImageToSave(path, "A")], out, "number")
    assert result.images[0].file == "A (2).png"
    assert (out / "A.png").read_bytes() == b"mine"


@pytest.mark.parametrize("file_format", ["original", "png"])
def test_images_of_the_list_are_never_replaced(sources: Path, file_format: str) -> None:
    paths = make(sources, "a.png", "b.png", "c.png")
    before = files(sources)
    # a and b exchange their names: each would replace the other
    listed = [
        ImageToSave(paths[0], "b"),
        ImageToSave(paths[1], "a"),
        ImageToSave(paths[2]),
        ImageToSave(paths[2], "d"),
    ]
    plan = plan_saving(listed, sources, SaveOptions(file_format))
    assert plan.existing == plan.originals == ["b.png", "a.png", "c.png"]
    result = save_images(plan, "replace")
    assert [image.status for image in result.images] == ["skipped"] * 3 + ["saved"]
    assert "images themselves" in result.images[0].reason
    after = files(sources)
    assert {name: after[name] for name in before} == before

    result = save_images(plan_saving(listed, sources), "number")
    assert [image.file for image in result.images] == [
        "b (2).png",
        "a (2).png",
        "c (2).png",
        "d (2).png",
    ]
    after = files(sources)
    assert {name: after[name] for name in before} == before
    assert after["b (2).png"] == before["a.png"]


def test_originals_under_other_names(sources: Path, out: Path) -> None:
    a, b, c = make(sources, "a.png", "b.png", "c.png")
    os.link(a, out / "a.png")
    try:
        os.symlink(b, out / "b.png")
    except OSError:
        pytest.skip("no symbolic links here")
    other = sources / "other.txt"
    other.write_bytes(b"mine")
    os.symlink(other, out / "c.png")
    before = files(sources)
    result = run([a, b, c], out, "replace")
    assert [image.status for image in result.images] == ["skipped", "skipped", "saved"]
    # the link was replaced, and not what it leads to
    assert not (out / "c.png").is_symlink()
    assert files(sources) == before


def test_original_that_gets_another_name_meanwhile(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path] = make(sources, "a.png")
    (out / "a.png").write_bytes(b"mine")
    plan = plan_saving([ImageToSave(path)], out)
    read = ImageReader.raw

    def raw(self: ImageReader, source: str) -> object:
        (out / "a.png").unlink()
        os.link(path, out / "a.png")
        return read(self, source)

    monkeypatch.setattr(ImageReader, "raw", raw)
    assert save_images(plan, "replace").images[0].status == "skipped"
    assert (out / "a.png").samefile(path)


def test_numbers_follow_the_order(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(sources, "x/a.png", "y/a.png")
    (out / "a.png").write_bytes(b"mine")
    (out / "a (2).png").write_bytes(b"mine")
    read, second_is_done = ImageReader.raw, threading.Event()
    move = save._move

    def raw(self: ImageReader, source: str) -> object:
        if source == paths[0]:
            second_is_done.wait(60)
        return read(self, source)

    def moving(temporary: str, path: str) -> None:
        move(temporary, path)
        second_is_done.set()

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(ImageReader, "raw", raw)
    monkeypatch.setattr(save, "_move", moving)
    result = run(paths, out, "number")
    assert [image.file for image in result.images] == ["a (3).png", "a (4).png"]


def test_folders_in_the_way(sources: Path, out: Path) -> None:
    paths = make(sources, "a.png", "b.png")
    (out / "a.png").mkdir()
    (out / "dogs").write_bytes(b"a file")
    listed = [ImageToSave(paths[0]), ImageToSave(paths[1], "", "dogs")]
    result = run([*listed, ImageToSave(paths[1])], out, "replace")
    first, second, third = result.images
    assert first.reason == "A folder has this name"
    assert "a file where a folder 'dogs'" in second.reason
    assert third.status == "saved"
    assert (out / "dogs").read_bytes() == b"a file"
    assert (out / "a.png").is_dir()


# stopping and failing --------------------------------------------------------


def wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("save-images"):
            thread.join()


def test_progress(sources: Path, out: Path) -> None:
    paths = make(sources, "a.png", "b.png")
    Path(paths[0]).write_text("words")
    told: list[tuple[float, str]] = []
    plan = plan_saving(
        [ImageToSave(path) for path in paths],
        out,
        progress=lambda fraction, status: told.append((fraction, status)),
    )
    assert told == [(0, "Looking for the names of 2 images")]
    told.clear()
    save_images(plan, progress=lambda fraction, status: told.append((fraction, status)))
    assert told[0] == (0, "0 of 2 images saved")
    assert told[-1] == (1, "1 of 2 images saved")


def test_planning_can_be_cancelled(sources: Path, out: Path) -> None:
    def cancel(*args: object) -> None:
        raise TaskCancelled

    with pytest.raises(TaskCancelled):
        plan_saving(
            [ImageToSave(path) for path in make(sources, "a.png")], out, None, cancel
        )


def test_cancelling_leaves_whole_files_and_a_true_list(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(sources, *(f"{index}.png" for index in range(50)))
    go_on = threading.Event()
    begun: list[int] = []
    encode = save.encode

    def slow(*args: object) -> bytes:
        begun.append(1)
        place = len(begun)
        if place > 5:
            go_on.wait(60)
        if place == 6:
            raise SaveError("too late to matter")
        return encode(*args)  # type: ignore[arg-type]

    def progress(fraction: float, status: str = "") -> None:
        if len(begun) > 6:
            raise TaskCancelled

    monkeypatch.setattr(save, "encode", slow)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    plan = plan_saving([ImageToSave(path) for path in paths], out, SaveOptions("png"))
    result = save_images(plan, progress=progress)
    at_return = files(out), list(result.images)
    go_on.set()
    wait_for_threads()
    # what was at work then is not written later
    assert (files(out), result.images) == at_return
    assert result.cancelled
    saved = [image.file for image in result.images if image.status == "saved"]
    assert 0 < len(saved) <= 5
    assert images(out) == sorted(saved)
    for name in saved:
        with Image.open(out / name) as image:
            expected = picture(int(name[:-4]) + 1)
            np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
    assert result.reasons() == [("Cancelled before its turn", 50 - len(saved))]
    listed = [row["file"] for row in rows(out) if row["status"] == "saved"]
    assert sorted(listed) == sorted(saved)
    assert len(rows(out)) == 50


def test_cancelling_in_the_middle_of_a_file(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path] = make(sources, "a.png")
    writing = threading.Event()

    class Endless(io.BufferedIOBase):
        def read(self, size: int | None = -1) -> bytes:
            writing.set()
            return b"x"

    @contextmanager
    def raw(self: ImageReader, source: str) -> Iterator[object]:
        yield Endless(), "PNG", (1, 1)

    def progress(fraction: float, status: str = "") -> None:
        if writing.is_set():
            raise TaskCancelled

    monkeypatch.setattr(ImageReader, "raw", raw)
    result = save_images(plan_saving([ImageToSave(path)], out), progress=progress)
    assert result.images[0].status == "skipped"
    assert list(out.iterdir()) == []


def test_folder_that_is_not_there_is_not_made(sources: Path, tmp_path: Path) -> None:
    [path] = make(sources, "a.png")
    for folder in (tmp_path / "gone", Path(path)):
        with pytest.raises(SaveError, match="no folder"):
            plan_saving([ImageToSave(path)], folder)
    assert not (tmp_path / "gone").exists()


def test_folder_that_cannot_be_written(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path] = make(sources, "a.png")
    plan = plan_saving([ImageToSave(path)], out)
    failing(monkeypatch, PermissionError(errno.EACCES, "no"), after=0)
    with pytest.raises(SaveError, match="does not allow"):
        save_images(plan)


def test_folder_that_goes_away(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(sources, *(f"{index}.png" for index in range(30)))
    plan = plan_saving([ImageToSave(path, "", "x") for path in paths], out)
    away = out.with_name("away")
    read = ImageReader.raw
    monkeypatch.setattr(save, "_MAX_THREADS", 1)

    def raw(self: ImageReader, source: str) -> object:
        if source == paths[3]:
            out.rename(away)
        return read(self, source)

    monkeypatch.setattr(ImageReader, "raw", raw)
    result = save_images(plan)
    assert result.stopped == "The folder is not there any more"
    # with the room for the list, which went away too
    assert images(away)[-3:] == ["x/0.png", "x/1.png", "x/2.png"]
    assert len(images(away)) == 4
    assert not out.exists()
    assert result.reasons() == [("The folder is not there any more", 27)]
    assert result.manifest == ""
    assert result.manifest_failure


def failing(
    monkeypatch: pytest.MonkeyPatch, error: OSError, after: int
) -> Callable[[], int]:
    """Let writing fail after so many files, as far as `save` is concerned."""
    opened = [0]

    class Full(io.BytesIO):
        def write(self, content: object) -> int:
            raise error

        def __enter__(self) -> Full:
            return self

    def opener(path: str, mode: str) -> object:
        if mode == "r+b":  # the list has its room already
            return open(path, mode)
        opened[0] += 1
        if opened[0] <= after:
            return open(path, mode)
        if after == 0:
            raise error
        open(path, mode).close()
        return Full()

    monkeypatch.setattr(save, "open", opener, raising=False)
    return lambda: opened[0]


def test_full_disk_stops_it_all(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(sources, *(f"{index}.png" for index in range(100)))
    plan = plan_saving([ImageToSave(path) for path in paths], out)
    monkeypatch.setattr(save, "_MAX_THREADS", 1)
    # one to make room for the list
    n_opened = failing(monkeypatch, OSError(errno.ENOSPC, "No space"), after=1 + 3)
    result = save_images(plan)
    assert result.stopped == "The disk is full"
    assert result.count("saved") == 3
    assert result.reasons() == [("The disk is full", 97)]
    assert images(out) == ["0.png", "1.png", "2.png"]
    assert n_opened() < 100
    listed = rows(out)
    assert [row["status"] for row in listed] == ["saved"] * 3 + ["failed"] * 97
    assert listed[-1]["reason"] == "The disk is full"


def test_full_disk_has_room_for_the_list(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(sources, *(f"{index}.png" for index in range(10)))
    plan = plan_saving([ImageToSave(path, "n" * 100, "x") for path in paths], out)
    sizes = []
    make_room = save._Saving.make_room

    def measured(self: save._Saving) -> str:
        room = make_room(self)
        sizes.append(os.path.getsize(room))
        return room

    monkeypatch.setattr(save._Saving, "make_room", measured)
    save_images(plan)
    sizes.append((out / "manifest.csv").stat().st_size)
    assert sizes[1] < sizes[0] < 2 * sizes[1]


def test_list_that_cannot_be_written(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path] = make(sources, "a.png")

    def opener(path: str, mode: str) -> object:
        if mode == "r+b":
            raise OSError(errno.ENOSPC, "No space")
        return open(path, mode)

    monkeypatch.setattr(save, "open", opener, raising=False)
    result = run([path], out)
    assert result.count("saved") == 1
    assert (result.manifest, result.manifest_failure) == ("", "The disk is full")
    assert list(files(out)) == ["a.png"]


def test_one_image_that_cannot_be_written_does_not_stop_the_rest(
    sources: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make(sources, "a.png", "b.png", "c.png")
    move = save._move

    def refusing(temporary: str, path: str) -> None:
        if path.endswith("b.png"):
            raise OSError(errno.ENAMETOOLONG, "File name too long", path)
        move(temporary, path)

    monkeypatch.setattr(save, "_move", refusing)
    result = run(paths, out)
    assert images(out) == ["a.png", "c.png"]
    assert "path is too long" in result.images[1].reason
    assert result.stopped == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows limits no process's files")
def test_real_limit_of_the_system(sources: Path, out: Path) -> None:
    """Files of more than 20,000 bytes cannot be written by that process."""
    make(sources, "small.png")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(sources / "large.png")
    code = """
import resource, sys
from pathlib import Path
from orangecontrib.imagemining.images.saving.write import save_images
from orangecontrib.imagemining.images.saving.plan import *
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
listed = [ImageToSave(str(path)) for path in sorted(Path(sys.argv[1]).iterdir())]
for image in save_images(plan_saving(listed, sys.argv[2])).images:
    print(image.status, image.reason)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(sources), str(out)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "failed The file would be larger than the disk takes",
        "saved ",
    ]
    assert sorted(files(out)) == ["manifest.csv", "small.png"]


def test_new_files_may_be_read_by_those_who_read_others(
    sources: Path, out: Path
) -> None:
    [path] = make(sources, "a.png")
    (out / "other.txt").touch()
    run([path], out, file_format="png")
    mode = (out / "other.txt").stat().st_mode
    assert (out / "a.png").stat().st_mode == mode
    assert (out / "manifest.csv").stat().st_mode == mode
