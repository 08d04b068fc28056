"""Build the documentation: a site of all pages, or the widgets' offline help.

    python doc/build.py [FOLDER]             all pages (default: doc/_build/html)
    python doc/build.py --help-pages FOLDER  those that come with the installation: all
                                             but doc/api, which would need Orange
    python doc/build.py --check-addresses    ask the internet whether the addresses
                                             that pages link to are there

The pages are Markdown that reads well in a forge, too: links are relative to the
repository. Here they are laid out as the site has them (doc/ at its root, tutorials/ as
lessons/), their links are rewritten, and Sphinx makes HTML of them. A link that leads
nowhere, and anything that Sphinx warns of, fails the build.
"""

from __future__ import annotations

import argparse
import hashlib
import html
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT / "doc" / "_build" / "html"
#: Of the built pages: names the widgets for Orange's help. Also how we know a folder of
#: ours, which may be replaced.
WIDGETS_INDEX = "widgets-index.html"
_STAMP = ".built-from"

#: Single pages of the repository, and where the site has them.
_PAGES = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
# files that a page may show or offer; what else it links to is only named
_PICTURES = {".png", ".svg", ".jpg", ".jpeg", ".gif"}
_DOWNLOADS = {".ows", ".csv", ".tsv", ".tab", ".txt", ".pdf", ".json"}
_LEFT_OUT_OF_HELP = "doc/api/"

# text with at most one pair of brackets in it, an address, perhaps a title
_LINK = re.compile(
    r"(!?)\[((?:[^\[\]]|!?\[[^\]]*\](?:\([^)]*\))?)*)\]"
    r"\(\s*<?([^()\s<>]+)>?(\s+\"[^\"]*\")?\s*\)"
)
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_CODE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^(?P=fence)[ \t]*$"
    r"|(?P<ticks>`+)[^`]+?(?P=ticks)",
    re.MULTILINE | re.DOTALL,
)
# lines to write on: docutils does not let two rules follow each other, or end a page
_RULE = re.compile(r"^([-_*])\1{2,} *\n+(?=([-_*])\2{2,} *$|\Z)", re.MULTILINE)
_HTML = re.compile(r"<(?:a|img|link|script|iframe)\s[^>]*(?:href|src)=", re.IGNORECASE)


class DocumentationError(Exception):
    """The pages cannot be built; the message has a line for each fault."""


def build(
    out: Path = DEFAULT, *, api: bool = True, root: Path = ROOT, strict: bool = True
) -> Path:
    """Build the pages into a folder, which is replaced.

    Parameters
    ----------
    out
        The folder: a new or empty one, or what was built before.
    api
        Whether with the pages of doc/api, for which the package is imported.
    root
        The repository.
    strict
        Whether what Sphinx warns of is an error. At installation it is not: a later
        Sphinx may warn of what is new to us, and the user's help would be lost.

    Returns
    -------
    The index of the widgets, by which Orange's help finds their pages.

    Raises
    ------
    DocumentationError
        If a link leads nowhere, Sphinx warns, or the folder has other files.
    """
    stamp = _stamp(root, api)
    if (out / WIDGETS_INDEX).is_file() and _read(out / _STAMP) == stamp:
        return out / WIDGETS_INDEX
    if out.is_dir() and any(out.iterdir()) and not _is_ours(out):
        raise DocumentationError(
            f"{out} has other files: name a new folder, or an empty one"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".building-") as made:
        source, pages = Path(made, "source"), Path(made, "html")
        stage(root, source, api=api)
        _sphinx("html", source, pages, strict=strict)
        for rest in (".buildinfo", "objects.inv", ".doctrees"):
            (pages / rest).unlink(missing_ok=True)
        _write_widgets_index(source, pages)
        (pages / _STAMP).write_text(stamp, encoding="utf8")
        if out.is_dir():
            shutil.rmtree(out)
        pages.replace(out)
    return out / WIDGETS_INDEX


def check_addresses(root: Path = ROOT) -> None:
    """Ask whether the addresses that pages link to are there.

    Raises
    ------
    DocumentationError
        If one is not; which, Sphinx has printed.
    """
    with tempfile.TemporaryDirectory() as made:
        stage(root, Path(made, "source"), api=False)
        _sphinx("linkcheck", Path(made, "source"), Path(made, "checked"))


def stage(root: Path, target: Path, *, api: bool = True) -> None:
    """Lay out the pages as the site has them, with links that lead there.

    Raises
    ------
    DocumentationError
        If a link leads nowhere.
    """
    places = dict(_sources(root, api))
    faults: list[str] = []
    assets: dict[str, str] = {}
    for name, place in places.items():
        text = (root / name).read_text(encoding="utf8")
        page = _Page(root, name, place, places, assets, faults, strict=api)
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.rewritten(text), encoding="utf8")
    if faults:
        raise DocumentationError("\n".join(faults))
    for name, place in assets.items():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target / place)
    index = target / "index.md"
    if not api:
        entries = index.read_text(encoding="utf8")
        index.write_text(re.sub(r"(?m)^api/.*\n", "", entries), encoding="utf8")
    # their page is plain Markdown, and has no contents that Sphinx knows of
    lessons = target / "lessons"
    below = [path.relative_to(lessons) for path in lessons.rglob("*.md")]
    names = sorted(path.with_suffix("").as_posix() for path in below)
    if names[1:]:
        names.remove("index")
        with (lessons / "index.md").open("a", encoding="utf8") as page:
            page.write("\n".join(["", "```{toctree}", ":hidden:", "", *names, "```\n"]))
    shutil.copyfile(root / "doc" / "conf.py", target / "conf.py")


def _sources(root: Path, api: bool) -> Iterator[tuple[str, str]]:
    """Yield each page's path in the repository and in the site."""
    for name, place in _PAGES.items():
        if (root / name).is_file():
            yield name, place
    for path in sorted((root / "doc").rglob("*.md")):
        name = path.relative_to(root).as_posix()
        if name.startswith("doc/_build/") or "/." in name:
            continue
        if api or not name.startswith(_LEFT_OUT_OF_HELP):
            yield name, name.removeprefix("doc/")
    for path in sorted((root / "tutorials").rglob("*.md")):
        place = path.relative_to(root / "tutorials").as_posix()
        if path.name == "README.md":
            place = place.removesuffix("README.md") + "index.md"
        yield (
            f"tutorials/{path.relative_to(root / 'tutorials').as_posix()}",
            (f"lessons/{place}"),
        )


def _place_of_asset(name: str) -> str:
    if name.startswith("doc/"):
        return name.removeprefix("doc/")
    if name.startswith("tutorials/"):
        return f"lessons/{name.removeprefix('tutorials/')}"
    return f"files/{name}"


class _Page:
    """A page whose links are rewritten."""

    def __init__(
        self,
        root: Path,
        name: str,
        place: str,
        places: dict[str, str],
        assets: dict[str, str],
        faults: list[str],
        strict: bool,
    ) -> None:
        self._root = root
        self._name = name
        self._place = place
        self._places = places
        self._assets = assets
        self._faults = faults
        # what was not packed cannot be looked for where a package is built
        self._strict = strict

    def rewritten(self, text: str) -> str:
        bare = _without_code(text)
        for pattern, fault in (
            (_HTML, "write links and pictures as Markdown"),
            (_REFERENCE, "write the address beside the text"),
        ):
            for found in pattern.finditer(bare):
                self._fault(text, found.start(), fault)
        parts, end = [], 0
        for link in _LINK.finditer(bare):
            words = text[slice(*link.span(2))]
            if "](" in words:  # a picture that is a link
                words = self.rewritten(words)
            parts += [text[end : link.start()], self._link(link, words, text)]
            end = link.end()
        return _RULE.sub(r"\g<0>&nbsp;\n\n", "".join([*parts, text[end:]]))

    def _link(self, link: re.Match[str], words: str, text: str) -> str:
        mark, _, address, title = link.groups()
        if re.match(r"[a-z][a-z0-9+.-]*:|#", address):
            return f"{mark}[{words}]({address}{title or ''})"
        path, _, anchor = address.partition("#")
        joined = os.path.normpath(os.path.join(os.path.dirname(self._name), path))
        name = Path(joined).as_posix()
        if f"{name}/README.md" in self._places:
            name = f"{name}/README.md"
        if name in self._places:
            place = self._places[name]
        elif not self._is_there(name) and (self._strict or mark):
            self._fault(text, link.start(), f"there is no {name}")
            return link.group()
        elif (suffix := Path(name).suffix.lower()) in _PICTURES or (
            suffix in _DOWNLOADS and self._is_there(name)
        ):
            place = self._assets[name] = _place_of_asset(name)
        elif name.split("/")[-1] in words:
            return words  # a file that is no page: it is named, and that is all
        else:
            return f"{words} (`{name}`)"
        relative = os.path.relpath(place, os.path.dirname(self._place) or ".")
        where = Path(relative).as_posix() + (f"#{anchor}" if anchor else "")
        return f"{mark}[{words}]({where}{title or ''})"

    def _is_there(self, name: str) -> bool:
        return not name.startswith(("..", "/")) and (self._root / name).exists()

    def _fault(self, text: str, position: int, fault: str) -> None:
        line = text.count("\n", 0, position) + 1
        self._faults.append(f"{self._name}:{line}: {fault}")


def _without_code(text: str) -> str:
    """Return a text as long as this, in whose code nothing looks like a link."""
    return _CODE.sub(lambda code: "\0" * len(code.group()), text)


def _sphinx(builder: str, source: Path, out: Path, *, strict: bool = True) -> None:
    from sphinx.cmd.build import main

    words = ["-q", "--keep-going", "-b", builder, "-d", str(out) + "-read"]
    if strict:
        words.append("-W")
    sys.path.insert(0, str(ROOT))
    try:
        status = main([*words, str(source), str(out)])
    finally:
        sys.path.remove(str(ROOT))
    if status:
        raise DocumentationError("Sphinx could not make the pages: see above")


def _write_widgets_index(source: Path, pages: Path) -> None:
    """Write links to the widgets' pages, each with the widget's name as its text.

    Orange reads it as XML: all tags are closed.
    """
    links = []
    for path in sorted((source / "widgets").glob("*.md")):
        title = html.escape(title_of(path.read_text(encoding="utf8")))
        links.append(f'<li><a href="widgets/{path.stem}.html">{title}</a></li>')
    (pages / WIDGETS_INDEX).write_text(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8" />'
        "<title>Image Mining</title></head><body>\n<h1>Image Mining</h1>\n"
        '<p><a href="index.html">All pages</a></p>\n'
        "<ul>\n" + "\n".join(links) + "\n</ul>\n</body></html>\n",
        encoding="utf8",
    )


def title_of(markdown: str) -> str:
    """Return the text of the first heading."""
    for line in markdown.splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    raise DocumentationError("a page begins with '# Its title'")


def _is_ours(folder: Path) -> bool:
    # also the folders of earlier versions, which had an index and nothing else to tell
    return (folder / WIDGETS_INDEX).is_file() or (
        folder.resolve() == DEFAULT and (folder / "index.html").is_file()
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf8")
    except OSError:
        return ""


def _stamp(root: Path, api: bool) -> str:
    """Return what tells one state of the pages' sources from others."""
    total = hashlib.sha256(f"api={api} {sys.version_info[:2]}".encode())
    paths = [root / name for name in _PAGES]
    paths += [path for path in (root / "doc").rglob("*") if "_build" not in path.parts]
    paths += (root / "tutorials").rglob("*")
    if api:
        paths += (root / "orangecontrib").rglob("*.py")
    for path in sorted(paths):
        if path.is_file() and path.suffix != ".pyc":
            total.update(f"{path.relative_to(root)} ".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="doc/build.py", description="Build the documentation."
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?")
    parser.add_argument(
        "--help-pages",
        action="store_true",
        help="only the pages that come with the installation: all but doc/api",
    )
    parser.add_argument(
        "--check-addresses",
        action="store_true",
        help="build nothing; ask whether the addresses that pages link to are there",
    )
    options = parser.parse_args(arguments)
    try:
        if options.check_addresses:
            check_addresses()
        else:
            index = build(options.folder or DEFAULT, api=not options.help_pages)
            print(index.with_name("index.html"))
    except DocumentationError as ex:
        print(ex, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
