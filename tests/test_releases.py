"""What is released installs, alone, and runs; its version is that of the tag.

The distributions are built once, offline, from a copy of this checkout. They are then
installed beside nothing but what their own metadata ask for: by default beside links to
this environment's packages, of which only those can be seen; with the environment
variable IMAGEMINING_TEST_RELEASE=1 as a user does it, by pip from the package index.
"""

from __future__ import annotations

import configparser
import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
NAME = "Orange3-ImageMining"
IN_FULL = os.environ.get("IMAGEMINING_TEST_RELEASE")
SAMPLES = ROOT / "orangecontrib/imagemining/samples/synthetic-yeast"
# written by the build into what it packs
MADE = re.compile(r"PKG-INFO|setup\.cfg|Orange3_ImageMining\.egg-info/.*")

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None,
    reason="needs a checkout of git",
)


def git(folder: Path, *arguments: str) -> str:
    """Run git without anybody's settings."""
    env = os.environ | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{f"GIT_{who}_NAME": "Nobody" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "nobody@example.org" for who in ("AUTHOR", "COMMITTER")},
    }
    return subprocess.run(
        # also in a checkout that is somebody else's, as in a container
        ["git", "-c", "safe.directory=*", *arguments],
        cwd=folder,
        env=env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def sources() -> list[str]:
    """Return what git keeps of this checkout, or would keep."""
    listed = git(ROOT, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    return [name for name in listed if name and (ROOT / name).is_file()]


def told_version(folder: Path) -> str:
    """Return the version that a folder would be built as."""
    done = subprocess.run(
        [sys.executable, "-m", "setuptools_scm"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def build(folder: Path, kind: str, out: Path) -> Path:
    """Have the build backend make an "sdist" or a "wheel" of a folder."""
    code = (
        "import sys; from setuptools import build_meta;"
        f"print(build_meta.build_{kind}(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout as a repository of its own, with the tag v9.8.7."""
    folder = tmp_path_factory.mktemp("release") / "checkout"
    # the pages, where they are built, are not built again
    pages = ROOT / "doc" / "_build" / "html"
    if pages.is_dir():
        shutil.copytree(pages, folder / pages.relative_to(ROOT))
    for name in sources():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    git(folder, "tag", "v9.8.7")
    return folder


@pytest.fixture(scope="session")
def sdist(checkout: Path) -> Path:
    return build(checkout, "sdist", checkout.parent)


@pytest.fixture(scope="session")
def unpacked(sdist: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(sdist.parent / "unpacked")
    (folder,) = (sdist.parent / "unpacked").iterdir()
    return folder


@pytest.fixture(scope="session")
def wheel(unpacked: Path) -> Path:
    """The wheel, from the sdist: where there is no git."""
    return build(unpacked, "wheel", unpacked.parents[1])


def test_names_tell_the_tag(sdist: Path, wheel: Path) -> None:
    assert sdist.name == "orange3_imagemining-9.8.7.tar.gz"
    assert wheel.name == "orange3_imagemining-9.8.7-py3-none-any.whl"


def test_sdist_is_what_git_keeps(checkout: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {one.name.partition("/")[2] for one in archive if one.isfile()}
    assert "PKG-INFO" in names
    kept = set(git(checkout, "ls-files", "-z").split("\0")) - {""}
    assert {name for name in names if not MADE.fullmatch(name)} == kept


def test_wheel_is_the_package_and_its_help(checkout: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = "orange3_imagemining-9.8.7.data/data/share/help/en/orange3-imagemining/"
    pages = {name for name in names if name.startswith(data)}
    for page in (checkout / "doc" / "widgets").glob("*.md"):
        assert f"{data}widgets/{page.stem}.html" in pages
    info = {name for name in names if ".dist-info/" in name}
    assert "orange3_imagemining-9.8.7.dist-info/licenses/LICENSE" in info
    package = git(checkout, "ls-files", "-z", "orangecontrib").split("\0")
    assert names - pages - info == set(package) - {""}


def test_nothing_tells_of_this_machine(unpacked: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "wheel")
    ours = [os.fsencode(path) for path in (ROOT, unpacked.parents[1], Path.home())]
    ours = [path for path in ours if len(path) > len(b"/root")]
    told = [
        path
        for folder in (unpacked, wheel.parent / "wheel")
        for path in folder.rglob("*")
        # building has left what Python compiled of the build's own modules there
        if path.is_file()
        and "__pycache__" not in path.parts
        and any(path.read_bytes().count(part) for part in ours)
    ]
    assert not told


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = "orange3_imagemining-9.8.7.dist-info"
        told = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        entries = archive.read(f"{info}/entry_points.txt").decode()
    assert told["Name"] == NAME
    assert told["Version"] == "9.8.7"
    assert told["Requires-Python"] == PROJECT["project"]["requires-python"]
    assert told["License-Expression"] == "GPL-3.0-or-later"
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload(decode=True).decode() == (ROOT / "README.md").read_text(
        encoding="utf8"
    )
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(told.get_all("Provides-Extra")) == set(extras)
    asked = PROJECT["project"]["dependencies"]
    needed = [Requirement(line) for line in told.get_all("Requires-Dist")]
    assert sorted(str(one) for one in needed if "extra" not in str(one.marker)) == (
        sorted(str(Requirement(line)) for line in asked)
    )
    points = configparser.ConfigParser(delimiters="=")
    points.optionxform = str  # type: ignore[assignment,method-assign]
    points.read_string(entries)
    groups = {
        "console_scripts": PROJECT["project"]["scripts"],
        **PROJECT["project"]["entry-points"],
    }
    assert {name: dict(points[name]) for name in points.sections()} == groups


def test_version_between_tags(checkout: Path, tmp_path: Path) -> None:
    later, shallow, bare = (tmp_path / name for name in ("later", "shallow", "bare"))
    git(tmp_path, "clone", "-q", str(checkout), str(later))
    assert told_version(later) == "9.8.7"
    (later / "README.md").write_text("more")
    dirty = Version(told_version(later))
    assert dirty.is_devrelease and dirty.local
    git(later, "commit", "-q", "-a", "-m", "more")
    version = told_version(later)
    commit = git(later, "rev-parse", "HEAD")
    assert re.fullmatch(r"9\.8\.8\.dev1\+g[0-9a-f]{7,}", version)
    assert commit.startswith(version.partition("+g")[2])

    fallback = PROJECT["tool"]["setuptools_scm"]["fallback_version"]
    begin = fallback.removesuffix(".dev0")
    git(tmp_path, "clone", "-q", "--depth=1", later.as_uri(), str(shallow))
    assert re.fullmatch(rf"{re.escape(begin)}\.dev1\+g\w+", told_version(shallow))
    git(later, "tag", "-d", "v9.8.7")
    assert re.fullmatch(rf"{re.escape(begin)}\.dev2\+g\w+", told_version(later))
    git(later, "archive", "--prefix=bare/", f"--output={tmp_path}/bare.tar", "HEAD")
    with tarfile.open(tmp_path / "bare.tar") as archive:
        archive.extractall(tmp_path)
    (bare / ".git_archival.txt").unlink()
    assert told_version(bare) == fallback


def test_version_of_a_forges_archive(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "archive", "--prefix=out/", f"--output={tmp_path}/out.tar", "HEAD")
    with tarfile.open(tmp_path / "out.tar") as archive:
        archive.extractall(tmp_path)
    assert told_version(tmp_path / "out") == "9.8.7"


def test_version_of_a_folder_that_was_never_installed(unpacked: Path) -> None:
    package = unpacked / "orangecontrib"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import orangecontrib.imagemining as p; print(p.__version__)"
    )
    alone = unpacked.parents[1] / "alone"
    shutil.copytree(package / "imagemining", alone / "orangecontrib" / "imagemining")
    command = [sys.executable, "-I", "-S", "-c", code, str(alone)]
    assert subprocess.check_output(command, text=True).strip() == "0+unknown"


# Installed alone --------------------------------------------------------------------


def needed(
    distribution: metadata.Distribution, extra: str = ""
) -> dict[str, metadata.Distribution]:
    """Return what a distribution asks for, and what that asks for, as it is installed
    in this environment."""
    found: dict[str, metadata.Distribution] = {}
    done: set[tuple[str, str]] = set()
    todo = [(distribution, wanted) for wanted in {"", extra}]
    while todo:
        one, wanted = todo.pop()
        for requirement in map(Requirement, one.requires or []):
            if requirement.marker and not requirement.marker.evaluate(
                {"extra": wanted}
            ):
                continue
            name = canonicalize_name(requirement.name)
            for asked in {"", *requirement.extras}:
                if (name, asked) not in done:
                    done.add((name, asked))
                    found[name] = metadata.distribution(name)
                    todo.append((found[name], asked))
    return found


def link(distributions: Iterable[metadata.Distribution], target: Path) -> None:
    """Link distributions into a folder: theirs and nothing else can be seen there."""
    owners: Counter[tuple[str, str]] = Counter()
    for one in metadata.distributions():
        owners.update({(str(one.locate_file("")), part) for part in tops(one)})
    for one in distributions:
        base = Path(str(one.locate_file("")))
        for part in tops(one):
            if owners[str(base), part] == 1:
                (target / part).symlink_to(base / part)
                continue
            # several share this folder: link file by file
            for path in one.files or []:
                if path.parts[0] == part and (base / path).is_file():
                    place = target / path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if not place.exists():
                        place.symlink_to(base / path)


def tops(distribution: metadata.Distribution) -> set[str]:
    parts = {path.parts[0] for path in distribution.files or []}
    return {part for part in parts if part not in ("..", "__pycache__", "/")}


def install_alone(wheel: Path, folder: Path, extra: str = "") -> Path:
    """Install a wheel where there is nothing but what it asks for; return Python."""
    venv.create(folder, symlinks=os.name != "nt", with_pip=bool(IN_FULL))
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / Path(sys.executable).name
    if not python.exists():
        python = scripts / "python"
    pip = [sys.executable, "-m", "pip", f"--python={python}", "--no-input", "install"]
    if IN_FULL:
        pip += ["--constraint", str(ROOT / "constraints.txt")]
    else:
        with zipfile.ZipFile(wheel) as archive:
            (told,) = (n for n in archive.namelist() if n.endswith("info/METADATA"))
        own = metadata.PathDistribution(zipfile.Path(wheel, f"{told.split('/')[0]}/"))
        (site,) = {*folder.glob("lib/py*/site-packages"), *folder.glob("Lib/site-p*")}
        link(needed(own, extra).values(), site)
        # pip finds all it needs there, or says what is missing
        pip += ["--no-index", "--disable-pip-version-check"]
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    done = subprocess.run(
        [*pip, "--quiet", "--no-compile", what], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return python


def told(python: Path, *arguments: str, cwd: Path) -> str:
    """Run a Python that knows nothing of this checkout; return what it prints."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "COV_", "PYTEST"))
    }
    done = subprocess.run(
        [str(python), *arguments], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    # nothing is missing for which the slower torch would take over
    assert "computes instead" not in done.stderr
    return done.stdout


IMPORTS = """
import importlib, json, pkgutil, sys
import orangecontrib.imagemining as package
assert sys.prefix in package.__path__[0], package.__path__
missing = {}
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as ex:
        missing[module.name.removeprefix(package.__name__ + ".")] = str(ex)
print(json.dumps(missing))
"""


# What modules may ask for in vain: they are there for an extra alone
OF_EXTRAS = {
    "server.": "starlette|uvicorn",
    "embedders.engines.openvino": "openvino",
    "embedders.engines.timm": "timm",
}


def undeclared(python: Path, folder: Path, may_lack: dict[str, str]) -> dict[str, str]:
    """Import every module; return those that lack what they should have, and why."""
    missing = json.loads(told(python, "-c", IMPORTS, cwd=folder).splitlines()[-1])
    assert missing
    return {
        name: why
        for name, why in missing.items()
        if not any(
            name.startswith(module) and re.search(package, why)
            for module, package in may_lack.items()
        )
    }


@pytest.fixture(scope="session")
def alone(wheel: Path) -> Path:
    return install_alone(wheel, wheel.parent / "alone-in-it")


def test_installed_alone_it_has_all_that_it_imports(
    alone: Path, tmp_path: Path
) -> None:
    assert not undeclared(alone, tmp_path, OF_EXTRAS | {"widgets.": "Qt"})


def test_installed_alone_it_embeds_and_reports(alone: Path, tmp_path: Path) -> None:
    for kind in ("endosome", "cytoplasm"):
        shutil.copytree(SAMPLES / kind, tmp_path / "cells" / kind)
        for path in sorted((tmp_path / "cells" / kind).iterdir())[6:]:
            path.unlink()
    program = alone.with_name("orange-imagemining" + alone.suffix)
    assert told(program, "--version", cwd=tmp_path) == "9.8.7\n"
    told(program, "run", "cells", "--out", "report", cwd=tmp_path)
    assert (tmp_path / "report" / "map.png").stat().st_size > 1000
    told(program, "embed", "cells", "--out", "vectors.csv", cwd=tmp_path)
    assert len((tmp_path / "vectors.csv").read_text().splitlines()) > 12


WIDGETS = """
import json, sys
from pathlib import Path
from AnyQt.QtCore import QUrl
from AnyQt.QtWidgets import QApplication
app = QApplication([])
from Orange.canvas.config import Config
from orangecanvas.help.manager import HelpManager
from orangecanvas.registry import WidgetRegistry
discovery = Config.widget_discovery(WidgetRegistry())
discovery.run(Config.widgets_entry_points())
manager = HelpManager()
manager.set_registry(discovery.registry)
pages = {}
for widget in discovery.registry.widgets():
    if widget.project_name == "Orange3-ImageMining":
        page = manager.search(QUrl(f"help://search?id={widget.qualified_name}"))
        pages[widget.name] = page.toLocalFile()
    ours = "orangecontrib.imagemining."
    assert widget.qualified_name.startswith(("Orange.", ours)), widget
assert all(Path(page).is_relative_to(sys.prefix) for page in pages.values()), pages
print(json.dumps(sorted(pages)))
"""


def test_installed_with_qt_oranges_canvas_finds_widgets_and_help(
    wheel: Path, tmp_path: Path
) -> None:
    python = install_alone(wheel, tmp_path / "with-qt", "gui")
    assert not undeclared(python, tmp_path, OF_EXTRAS)
    found = json.loads(told(python, "-c", WIDGETS, cwd=tmp_path).splitlines()[-1])
    pages = (ROOT / "doc" / "widgets").glob("*.md")
    assert found == sorted(
        page.read_text("utf8").splitlines()[0].removeprefix("# ") for page in pages
    )


# Bounds -----------------------------------------------------------------------------


def pins(name: str) -> list[Requirement]:
    """Return the lines of a file of constraints."""
    lines = (ROOT / name).read_text(encoding="utf8").splitlines()
    return [Requirement(line) for line in lines if line and line[0] != "#"]


def asked() -> list[Requirement]:
    """Return all that pyproject.toml asks for when the add-on is installed."""
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    every = [Requirement(line) for group in groups for line in group]
    return [one for one in every if canonicalize_name(one.name) != NAME.lower()]


def test_oldest_versions_are_the_lower_bounds() -> None:
    oldest = {
        canonicalize_name(pin.name): pin for pin in pins("constraints-oldest.txt")
    }
    for requirement in asked():
        (bound,) = requirement.specifier
        assert bound.operator == ">="
        (pin,) = oldest[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert Version(pin.version) == Version(bound.version), requirement


def test_pinned_versions_are_within_the_bounds() -> None:
    left_out = {"timm"}  # too large for what everybody installs
    for requirement in asked():
        name = canonicalize_name(requirement.name)
        versions = [
            next(iter(pin.specifier)).version
            for pin in pins("constraints.txt")
            if canonicalize_name(pin.name) == name
        ]
        assert versions or name in left_out, requirement
        assert all(requirement.specifier.contains(one) for one in versions)


def test_pythons_are_told_alike() -> None:
    setup = (ROOT / "scripts" / "_setup.sh").read_text(encoding="utf8")
    first, after = re.findall(r"\(3, (\d+)\)", setup)[:2]
    assert PROJECT["project"]["requires-python"] == f">=3.{first}"
    named = [
        line.rpartition(" ")[2]
        for line in PROJECT["project"]["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    assert named == [f"3.{minor}" for minor in range(int(first), int(after))]
