"""The site: built without a warning, every page reachable, nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from conftest import picture

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
WIDGETS = ROOT / "orangecontrib" / "imagemining" / "widgets"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"of_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_build(root: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    # Sphinx keeps much for as long as its program runs: it has one of its own
    return subprocess.run(
        [sys.executable, str(root / "doc" / "build.py"), *options, str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


class Page(HTMLParser):
    """What a page links to, and what a browser loads for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.title = ""
        self._in_title = False
        self.feed(path.read_text(encoding="utf8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in ("next", "prev", "canonical"):
            self.loaded.append(values["href"])
        self.loaded += [values["src"]] if "src" in values else []
        self.loaded += [x.split()[0] for x in values.get("srcset", "").split(",") if x]
        self._in_title = tag == "title" and not self.title

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title, self._in_title = data.strip(), False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "html"
    done = run_build(ROOT, out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def is_remote(address: str) -> bool:
    return bool(urlsplit(address).netloc) or address.startswith("//")


def test_each_widget_has_a_page(site: Path, pages: dict[Path, Page]) -> None:
    # read, not imported: Qt need not be there
    names = {
        re.search(r'^    name = "(.+)"$', path.read_text("utf8"), re.MULTILINE)[1]
        for path in WIDGETS.glob("ow*.py")
    }
    index = site / "widgets-index.html"
    links = dict(re.findall(r'<li><a href="([^"]+)">([^<]+)<', index.read_text("utf8")))
    assert set(links.values()) == names
    for link, name in links.items():
        assert pages[site / link].title.startswith(name)


def test_each_page_is_reached_from_the_first(
    site: Path, pages: dict[Path, Page]
) -> None:
    seen, todo = set(), [site / "index.html"]
    while todo:
        path = todo.pop()
        if path in seen or path.suffix != ".html":
            continue
        seen.add(path)
        for link in pages[path].links:
            target = urldefrag(link)[0]
            if target and not is_remote(link) and ":" not in target:
                todo.append((path.parent / unquote(target)).resolve())
    made_by_sphinx = {"genindex.html", "search.html", "py-modindex.html"}
    left = {path.relative_to(site).as_posix() for path in set(pages) - seen}
    assert left - made_by_sphinx == {"widgets-index.html"}
    # every page that the repository has is there
    sources = [
        path
        for folder in ("doc", "tutorials")
        for path in (ROOT / folder).rglob("*.md")
        if "_build" not in path.parts
    ]
    assert len(seen) >= len(sources)


def test_links_of_the_built_pages_lead_somewhere(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            if is_remote(link) or re.match(r"[a-z]+:", link):
                continue
            name, anchor = urldefrag(link)
            target = (path.parent / unquote(name.partition("?")[0])).resolve()
            target = target if name else path
            if not target.is_file() or (
                anchor and target in pages and unquote(anchor) not in pages[target].ids
            ):
                broken.append(f"{path.name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert not [x for x in page.loaded if is_remote(x)], path.name
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf8")
        addresses = re.findall(r"url\(\s*[\"']?(.*?)[\"']?\)", text)
        addresses += re.findall(r"@import\s+[\"'](.*?)[\"']", text)
        assert not [x for x in addresses if is_remote(x)], path.name


# what does not pass -----------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of two pages and a lesson, which can be built."""
    root = tmp_path / "repository"
    (root / "doc" / "widgets").mkdir(parents=True)
    (root / "tutorials" / "10-first").mkdir(parents=True)
    (root / "scripts").mkdir()
    for name in ("build.py", "conf.py"):
        shutil.copy(ROOT / "doc" / name, root / "doc" / name)
    (root / "scripts" / "run").write_text("")
    (root / "doc" / "index.md").write_text(
        "# First\n\n```{toctree}\npage\nlessons/index\n```\n"
    )
    (root / "doc" / "page.md").write_text("# Page\n\n## A heading\n\nText.\n")
    (root / "tutorials" / "README.md").write_text("# Lessons\n\n[1](10-first)\n")
    picture(1).save(root / "tutorials" / "10-first" / "seen.png")
    (root / "tutorials" / "10-first" / "README.md").write_text(
        "# Lesson\n\n![Seen](seen.png)\n"
    )
    return root


def test_links_become_those_of_the_site(tree: Path, tmp_path: Path) -> None:
    (tree / "doc" / "page.md").write_text(
        "# Page\n\n"
        "[Lesson](../tutorials/10-first/README.md), [all](../tutorials/README.md#x),\n"
        "[`run`](../scripts/run), [a script](../scripts/run), [far](https://x.org/a.md)\n"
        "and [here](#page).\n\n"
        "`[code](../nothing.md)`\n\n```sh\n[code](../nothing.md)\n```\n"
        "![Seen](../tutorials/10-first/seen.png)\n"
    )
    load(tree / "doc" / "build.py").stage(tree, tmp_path / "staged")
    assert (tmp_path / "staged" / "page.md").read_text() == (
        "# Page\n\n"
        "[Lesson](lessons/10-first/index.md), [all](lessons/index.md#x),\n"
        "`run`, a script (`scripts/run`), [far](https://x.org/a.md)\n"
        "and [here](#page).\n\n"
        "`[code](../nothing.md)`\n\n```sh\n[code](../nothing.md)\n```\n"
        "![Seen](lessons/10-first/seen.png)\n"
    )
    assert (tmp_path / "staged" / "lessons" / "10-first" / "seen.png").is_file()


def test_links_to_nothing_fail(tree: Path, tmp_path: Path) -> None:
    (tree / "doc" / "page.md").write_text(
        "# Page\n\n[a](nothing.md)\n[b](../scripts/gone.py)\n![c](gone.png)\n\n"
        '<img src="gone.png">\n\n[d]: gone.md\n'
    )
    done = run_build(tree, tmp_path / "html")
    assert done.returncode == 1
    assert sorted(done.stderr.splitlines()) == [
        "doc/page.md:3: there is no doc/nothing.md",
        "doc/page.md:4: there is no scripts/gone.py",
        "doc/page.md:5: there is no doc/gone.png",
        "doc/page.md:7: write links and pictures as Markdown",
        "doc/page.md:9: write the address beside the text",
    ]
    assert not (tmp_path / "html").exists()


def test_missing_headings_and_forgotten_pages_fail(tree: Path, tmp_path: Path) -> None:
    (tree / "doc" / "page.md").write_text("# Page\n\n[a](#no-such-heading)\n")
    (tree / "doc" / "forgotten.md").write_text("# Forgotten\n\n[b](page.md#neither)\n")
    done = run_build(tree, tmp_path / "html")
    assert done.returncode == 1
    assert "page.md:3: WARNING: " in done.stderr
    assert "no-such-heading" in done.stderr
    assert "neither" in done.stderr
    assert "forgotten.md: WARNING: document isn't included in any toctree" in (
        done.stderr
    )
    assert not (tmp_path / "html").exists()


def test_folders_of_others_are_left_alone(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("mine")
    done = run_build(tree, tmp_path / "mine")
    assert done.returncode == 1
    assert "has other files" in done.stderr
    assert (tmp_path / "mine" / "index.html").read_text() == "mine"


def test_help_is_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["build.py", "--help"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "doc" / "build.py"), run_name="__main__")
    assert stopped.value.code == 0
    assert not list(tmp_path.iterdir())


# what pages say of the program ------------------------------------------------------


def test_the_command_line_is_told_as_it_is() -> None:
    made = load(ROOT / "scripts" / "make_command_line.py")
    told = made.PAGE.read_text(encoding="utf8")
    assert told == made.page(), "run scripts/make_command_line.py"
    assert set(made.EXAMPLES) == {name for name, *_ in made.commands()}
    # as many as are known of the largest: the page is not empty by mistake
    assert len(re.findall(r"^\| `--", told, re.MULTILINE)) > 40


#: Examples that are not run here: they take long, or need the internet, a file that is
#: not ours, or go on for ever. Their words are understood all the same.
ONLY_UNDERSTOOD = {"run", "serve", "weights fetch", "weights import", "weights remove"}


def test_examples_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from orangecontrib.imagemining.__main__ import _parser, main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        picture(number).save(tmp_path / "photos" / f"{number}.png")
    for name, example in load(
        ROOT / "scripts" / "make_command_line.py"
    ).EXAMPLES.items():
        words = shlex.split(example)
        assert words[0] == "orange-imagemining"
        assert " ".join(words[1:]).startswith(name)
        if name in ONLY_UNDERSTOOD:
            assert callable(_parser(words[1:]).parse_args(words[1:]).run)
        else:
            assert main(words[1:]) == 0, (example, capsys.readouterr().err)
    assert (tmp_path / "vectors.npz").is_file()
    assert (tmp_path / "small.imnet").is_file()


def test_each_dependency_has_its_reason() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        content = tomllib.load(file)
    extras = content["project"]["optional-dependencies"]
    wanted = content["project"]["dependencies"] + [
        x for y in extras.values() for x in y
    ]
    names = {re.match(r"[\w.-]+", each)[0] for each in wanted} - {"Orange3-ImageMining"}
    page = (ROOT / "doc" / "decisions.md").read_text(encoding="utf8")
    part = page.partition("## Why each")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \|(?: (`.+?`) \|)? .+ \|$", part, re.MULTILINE)
    told = {
        name
        for first, second in rows
        for name in re.findall(r"`([\w.-]+)`", second or first)
    }
    assert told == names
    built_with = content["build-system"]["requires"]
    names = {re.match(r"[\w.-]+", each)[0] for each in built_with}
    assert names <= set(re.findall(r"`([\w.-]+)`", part))


def test_the_help_that_is_packed_needs_what_builds_it() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        content = tomllib.load(file)
    requires = {x.replace(" ", "") for x in content["build-system"]["requires"]}
    extra = content["project"]["optional-dependencies"]["doc"]
    assert {x.replace(" ", "") for x in extra} <= requires
