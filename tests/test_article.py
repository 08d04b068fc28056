"""The reproduction of the article: its features by value, its analyses, its page."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture
from numpy.testing import assert_allclose
from Orange.data import ContinuousVariable, DiscreteVariable, Domain, Table
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks import article, article_page, article_sets  # noqa: E402
from benchmarks import article_analyses as analyses  # noqa: E402
from benchmarks import article_features as features  # noqa: E402
from orangecontrib.imagemining.report.evaluate import widget_learner  # noqa: E402

SIDE = features.SIDE


# features made by hand ----------------------------------------------------------------


def ramp() -> np.ndarray:
    """Return a square image that gets lighter from left to right."""
    return np.tile(np.linspace(0, 1, SIDE), (SIDE, 1))


def test_colours() -> None:
    pixels = np.zeros((4, 8, 3))
    pixels[:, :4, 0] = 1  # the left half is red
    found = features.colours(pixels, bins=2)
    assert_allclose(found[:6], [0.5, 0.5, 1, 0, 1, 0])
    assert_allclose(found[6:9], [0.5, 0, 0])  # means
    assert_allclose(found[9:12], [0.5, 0, 0])  # spreads
    assert_allclose(found[12:], 0, atol=1e-9)  # as many lighter as darker
    pixels[:, 2:4, 0] = 0  # a quarter: mean of cubes 1/4 * (3/4)^3 - 3/4 * (1/4)^3
    assert features.colours(pixels, bins=2)[12] == pytest.approx((3 / 32) ** (1 / 3))


def test_cooccurrence() -> None:
    # beside each other are equals, above each other never
    stripes = np.array([[0.0, 0.0], [1.0, 1.0]])
    found = features.cooccurrence(stripes, (1,), 2)
    across = np.array([0.5, 0, 1, 1, 1])
    down = np.array([0.5, 1, -1, 0.5, 1])
    assert_allclose(found[:5], (across + 3 * down) / 4)
    assert_allclose(found[5:], np.abs(across - down))
    assert_allclose(features.cooccurrence(np.zeros((4, 4)), (1,))[:5], [1, 0, 1, 1, 0])


def test_patterns() -> None:
    assert_allclose(features.patterns(np.zeros((8, 8)), (1,))[8], 1)
    dot = np.zeros((3, 3))
    dot[1, 1] = 1
    assert_allclose(features.patterns(dot, (1,))[0], 1)
    edge = np.array([[1, 1, 1], [0.5, 0.5, 0], [0, 0, 0]])  # four in a row not darker
    assert_allclose(features.patterns(edge, (1,))[4], 1)
    corners = np.array([[1.0, 0, 1], [0, 0.5, 0], [1, 0, 1]])  # changes eight times
    assert_allclose(features.patterns(corners, (1,))[9], 1)
    grey = np.random.default_rng(0).random((20, 20))
    assert_allclose(features.patterns(np.rot90(grey)), features.patterns(grey))


def test_gradients() -> None:
    across = features.gradients(ramp(), 2, 4).reshape(4, 4)
    assert_allclose(across, [[1, 0, 0, 0]] * 4)
    down = features.gradients(ramp().T, 2, 4).reshape(4, 4)
    assert_allclose(down, [[0, 0, 1, 0]] * 4, atol=1e-12)


def test_otsu_splits_dark_from_light() -> None:
    grey = np.array([0.1, 0.15, 0.2, 0.8, 0.9])
    assert 0.2 < features.otsu(grey) <= 0.8


def test_hu_moments_of_known_shapes() -> None:
    y, x = np.indices((401, 401)) - 200
    disc = (np.hypot(x, y) <= 150).astype(float)
    found = features.hu_moments(disc)
    assert found[0] == pytest.approx(1 / (2 * np.pi), rel=1e-3)
    assert_allclose(found[1:], 0, atol=1e-6)
    square = np.ones((100, 100))
    assert features.hu_moments(square)[0] == pytest.approx(1 / 6, rel=1e-3)
    shape = np.zeros((60, 60))
    shape[5:30, 5:12] = shape[23:30, 5:20] = 1  # an L
    moved = np.roll(np.rot90(shape), (-8, 3), (0, 1))
    assert_allclose(features.hu_moments(moved), features.hu_moments(shape), atol=1e-9)
    # mirrored, the last one changes its sign
    mirrored = features.hu_moments(shape[:, ::-1])
    assert abs(mirrored[6]) > 1e-3
    assert_allclose(mirrored[6], -features.hu_moments(shape)[6])
    assert_allclose(features.hu_moments(np.zeros((5, 5))), 0)


def test_grain() -> None:
    grey = np.zeros((30, 30))
    grey[10:15, 10:15] = 1  # fits a square of 5 pixels, not one of 7
    assert_allclose(features.grain(grey, 4), [0, 0, 1, 0])


def test_rings() -> None:
    y, x = np.indices((64, 64)) - 31.5
    grey = (np.hypot(x, y) < 16).astype(float)
    assert_allclose(features.rings(grey, 2), [1, 0, 0, 0])
    assert features.rings(grey, 4)[:4] == pytest.approx([1, 1, 0, 0])


def test_zernike() -> None:
    level = features.zernike(np.full((64, 64), 0.5))
    assert level[0] == pytest.approx(0.5)
    assert_allclose(level[1:], 0, atol=0.02)
    grey = np.random.default_rng(0).random((64, 64))
    assert_allclose(features.zernike(np.rot90(grey)), features.zernike(grey))
    # Z(1, 1) of brightness x: mean of x * r * cos, times 2, is 2 * 1/4
    assert features.zernike(ramp() * 2 - 1)[1] == pytest.approx(0.5, abs=0.01)


def test_measurements_are_as_many_as_told() -> None:
    pixels = features.pixels_of(picture(0))
    found = features.measurements(pixels)
    assert found.shape == (308,) and np.isfinite(found).all()
    assert "308 numbers" in (features.__doc__ or "")


def test_standardising_takes_units_away() -> None:
    rng = np.random.default_rng(0)
    table = numbered(30, [0, 1] * 15)
    columns = [ContinuousVariable(name) for name in "xy"]
    values = np.column_stack([table.Y + rng.normal(0, 1, 30), rng.normal(0, 1, 30)])
    shares = []
    for unit in (1, 1e6):
        domain = Domain(columns, table.domain.class_vars)
        scaled = Table.from_numpy(domain, values * [unit, 1], table.Y)
        model = features.standardising(widget_learner())(scaled)
        shares.append(model(scaled, model.Probs))
    assert_allclose(shares[0], shares[1], atol=1e-6)


def test_local_gradients() -> None:
    pixels = np.repeat(ramp()[:, :, None], 3, axis=2)
    found = features.local_gradients(pixels)
    assert found.shape == (15**2 + 13**2, 128)
    parts = found.reshape(-1, 16, 8)
    # all of one direction: 16 equal parts of a vector of length 1 are 1/4 each
    assert_allclose(parts[:, :, 0], 255 / 2, atol=1)
    assert not parts[:, :, 1:].any()
    turned = features.local_gradients(pixels.transpose(1, 0, 2)).reshape(-1, 16, 8)
    assert_allclose(turned[:, :, 2], 255 / 2, atol=1)


def numbered(n: int, labels: list[int]) -> Table:
    domain = Domain([ContinuousVariable("n")], DiscreteVariable("kind", ["a", "b"]))
    return Table.from_numpy(domain, np.arange(n)[:, None], np.array(labels))


def test_words_are_found_among_the_training_images_alone() -> None:
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 40, (24, 30, 128), np.uint8)
    patches[::2, :10, :64] += 150  # a third of the patches of every other image
    table = numbered(24, [0, 1] * 12)
    model = features.WordsLearner(patches, widget_learner(), 8)(table[:12])
    assert (model(table[12:]) == table.Y[12:]).all()
    words = model.words.cluster_centers_.copy()
    patches[12:] = 255
    again = features.WordsLearner(patches, widget_learner(), 8)(table[:12])
    assert_allclose(again.words.cluster_centers_, words)
    shares = model.learner.histograms(table[:12], model.words).X ** 2
    assert_allclose(shares.sum(axis=1), 1)


# analyses -----------------------------------------------------------------------------


def test_clusters_and_neighbours() -> None:
    labels = np.repeat([0, 1], [6, 8])
    apart = (labels[:, None] != labels[None]).astype(float)
    found = analyses.cluster(apart, labels)
    assert found == {"adjusted_rand": 1, "purity": 1, "largest": round(8 / 14, 5)}
    assert analyses.nearest_of_same(apart, labels) == 1
    assert analyses.nearest_of_same(1 - apart, labels) == 0
    mixed = np.array([0, 1] * 7)
    assert analyses.cluster(apart, mixed)["adjusted_rand"] < 0.1
    assert analyses.chance_of_same(labels) == round((6 * 5 + 8 * 7) / (14 * 13), 5)


def test_fewer_coordinates_change_nothing() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (24, 60))
    values[::2, :2] += 1
    domain = Domain(
        [ContinuousVariable(f"x{i}") for i in range(60)],
        DiscreteVariable("kind", ["a", "b"]),
    )
    table = Table.from_numpy(domain, values, np.arange(24) % 2)
    few = analyses.compact(table)
    assert few.X.shape == (24, 24)
    assert_allclose(few.X @ few.X.T, values @ values.T)
    of_few = analyses.classify(few, widget_learner(), (0,))
    assert of_few == analyses.classify(table, widget_learner(), (0,))
    assert analyses.compact(few) is few


def test_classification_is_that_of_test_and_score() -> None:
    from orangecontrib.imagemining.report.evaluate import cross_validate

    table = Table("iris")[::2]
    ours = analyses.classify(table, widget_learner(), (analyses.SEEDS[0],))
    report = cross_validate(table)
    for name, values in ours["scores"].items():
        assert values == [pytest.approx(report.scores[name], abs=1e-5)]
    assert ours["confusion"] == report.confusion.tolist()
    assert ours["worst"]["first"] == "Iris-versicolor"


# the script ---------------------------------------------------------------------------


def sample_folder(tmp_path: Path, n: int = 10) -> Path:
    folder = tmp_path / "some yeast"
    for category in sorted(article.SAMPLES.iterdir()):
        (folder / category.name).mkdir(parents=True)
        for path in sorted(category.iterdir())[:n]:
            shutil.copy(path, folder / category.name)
    first = next((folder / "ER").iterdir())
    shutil.copy(first, folder / "ER" / "zz copy.jpg")
    (folder / "few").mkdir()
    picture(1).save(folder / "few" / "one.png")
    return folder


def test_the_script_from_folder_to_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = sample_folder(tmp_path), tmp_path / "results" / "article.json"
    everything = article.ways()
    assert [way.key for way in everything][:2] == [
        "squeezenet1_1/features",
        "squeezenet1_1/logits",
    ]
    few = [everything[0], *everything[-2:]]
    monkeypatch.setattr(article, "ways", lambda: few)
    # less of what takes long
    monkeypatch.setattr(analyses, "SEEDS", (42, 0))
    monkeypatch.setattr(
        features, "WordsLearner", partial(features.WordsLearner, n_words=16)
    )
    page = tmp_path / "page.md"
    marks = [f"<!-- article:{n} --><!-- /article:{n} -->" for n in article_page.TABLES]
    page.write_text("# Page\n\n" + "\n\n".join(marks) + "\n", encoding="utf8")
    article.main([str(folder), "--out", str(out), "--page", str(page)])

    content = json.loads(out.read_text(encoding="utf8"))
    (entry,) = content["sets"]
    assert entry["found"] == 32 and entry["images"] == 30
    assert entry["repeated"] == 1 and entry["too_small"] == {"few": 1}
    assert [way["kind"] for way in entry["ways"]] == ["network"] + ["hand-made"] * 2
    network = entry["ways"][0]
    assert network["numbers"] == 512
    assert len(network["scores"]["CA"]) == 2
    # guessing is right in a third of the cases
    assert min(network["scores"]["CA"]) > 0.5
    assert np.sum(network["confusion"]) == 30
    assert network["clusters"]["largest"] == pytest.approx(1 / 3, abs=1e-4)
    assert network["neighbours"]["vectors"] > network["neighbours"]["chance"]
    told = network["prediction"]
    assert told["trained_on"] == told["predicted"] == told["same"] == 15
    lines = out.with_suffix(".tsv").read_text(encoding="utf8").splitlines()
    assert len(lines) == 1 + 3 * 2
    text = page.read_text(encoding="utf8")
    assert "some yeast" in text and f"{np.mean(network['scores']['F1']):.3f} ±" in text
    assert "few (1)" in text and "1 exact copy" in text

    # the second time nothing is left to do
    capsys.readouterr()
    article.main([str(folder), "--out", str(out), "--page", str(page)])
    assert capsys.readouterr().out == ""
    assert json.loads(out.read_text(encoding="utf8")) == content
    assert page.read_text(encoding="utf8") == text


def test_nothing_to_do_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        article.main(["--out", str(tmp_path / "none.json")])
    assert "name a folder" in capsys.readouterr().err


# the article's own sets ---------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def data_sets(tmp_path: Path) -> Iterator[str]:
    """Serve a list of three data sets, one of images; return its address."""
    root = tmp_path / "served"
    rows = ["image\tkind\nstring\ta b\nmeta type=image origin={}/pictures\tclass"]
    for number, kind in enumerate("ab" * 12):
        name = f"{number}.png"
        (root / "pictures").mkdir(parents=True, exist_ok=True)
        picture(number).save(root / "pictures" / name)
        rows.append(f"{name}\t{kind}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    address = f"http://127.0.0.1:{server.server_address[1]}"
    (root / "core").mkdir()
    (root / "core" / "eggs.tab").write_text("\n".join(rows).format(address) + "\n")
    listed = [
        [["core", "eggs.tab"], {"title": "Mouse oocytes", "tags": ["image analytics"]}],
        [["core", "gone.tab"], {"title": "Bone healing", "tags": ["images"]}],
        [["core", "genes.tab"], {"title": "Dictyostelium genes", "tags": ["genes"]}],
    ]
    (root / "__INFO__").write_text(json.dumps(listed))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield address
    server.shutdown()
    server.server_close()
    thread.join()


def test_own_sets_by_the_list_of_datasets(data_sets: str, tmp_path: Path) -> None:
    said: list[str] = []
    tables, about = article_sets.from_orange(data_sets, tmp_path / "kept", said.append)
    assert list(tables) == ["oocytes (mouse)"]
    assert about["listed"] == 3 and about["trouble"] == ""
    assert about["sets"] == {
        "bone healing (mouse)": "Bone healing: could not be fetched",
        "oocytes (mouse)": "Mouse oocytes",
        "protein localisation (yeast)": "not in the list",
        "development of Dictyostelium": "not in the list",
    }
    assert "Mouse oocytes: 24 images" in said
    images = article_sets.prepared("eggs", tables["oocytes (mouse)"], 4, 10)
    assert len(images.table) == 4 and images.unreadable == 0
    # their pixels come from the server
    table, patches = article.measured(images)
    assert table.X.shape == (4, 308) and len(patches) == 4


def test_without_a_network_it_says_so_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as reserved:  # bound, and nobody listens
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        tables, about = article_sets.from_orange(address, tmp_path)
    assert tables == {}
    assert "going on without" in capsys.readouterr().out
    text = article_page.own_table({"own": about})
    assert "no list of data sets could be had (ConnectionError)" in text


# the page -----------------------------------------------------------------------------


def test_the_page_has_the_figures_of_the_results() -> None:
    text = (ROOT / "doc" / "article.md").read_text(encoding="utf8")
    content = json.loads(article.OUT.read_text(encoding="utf8"))
    # if it fails: python benchmarks/article.py --page doc/article.md
    assert article_page.fill_page(text, content) == text
    for name in article_page.TABLES:
        assert f"<!-- article:{name} -->" in text
    tsv = article.OUT.with_suffix(".tsv").read_text(encoding="utf8")
    assert article_page.scores_as_tsv(content) == tsv


def test_the_page_refuses_marks_that_lead_nowhere() -> None:
    with pytest.raises(ValueError, match="no table 'nonsense'"):
        article_page.fill_page(
            "<!-- article:nonsense --><!-- /article:nonsense -->", {}
        )
    with pytest.raises(ValueError, match="not ended"):
        article_page.fill_page("<!-- article:f1 --> text", {"sets": []})


def test_the_pictures_are_small() -> None:
    pictures = list((ROOT / "doc" / "images" / "article").glob("*.png"))
    assert len(pictures) == 5
    assert sum(path.stat().st_size for path in pictures) < 600_000
    for path in pictures:
        with Image.open(path) as opened:
            assert opened.width <= 1000
