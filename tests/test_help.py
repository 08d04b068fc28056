"""The help buttons find their pages."""

from __future__ import annotations

import re
from pathlib import Path

import orangecanvas.help.manager as manager_module
import pytest
from AnyQt.QtCore import QUrl
from Orange.canvas.config import Config
from Orange.widgets.tests.base import GuiTest
from orangecanvas.help.manager import HelpManager
from orangecanvas.registry import WidgetRegistry
from test_site import Page, run_build

from orangecontrib.imagemining import widgets

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def help_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as an installation has them."""
    out = tmp_path_factory.mktemp("help") / "html"
    done = run_build(ROOT, out, "--help-pages")
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_pages_are_built_with_their_pictures(help_pages: Path) -> None:
    index = (help_pages / "widgets-index.html").read_text("utf8")
    links = re.findall(r'<li><a href="([^"]+)">', index)
    sources = sorted((ROOT / "doc" / "widgets").glob("*.md"))
    assert links == [f"widgets/{source.stem}.html" for source in sources]
    for link in links:
        pictures = [x for x in Page(help_pages / link).loaded if x.endswith(".png")]
        assert pictures
        for address in pictures:
            assert (help_pages / "widgets" / address).is_file(), f"{link}: {address}"


def test_help_needs_no_orange_to_be_built(help_pages: Path) -> None:
    # pages of the scripting interface import the package, and it Orange and torch
    assert not (help_pages / "api").exists()
    assert (help_pages / "scripting.html").is_file()
    assert not [
        path.name
        for path in help_pages.rglob("*.html")
        for link in Page(path).links
        if "/api/" in f"/{link}"
    ]


def test_where_orange_looks() -> None:
    places = [Path(place) for place, _ in widgets.WIDGET_HELP_PATH]
    # in a checkout what doc/build.py and setup.py build, then what was installed
    assert places[0] == ROOT / "doc" / "_build" / "html" / "widgets-index.html"
    installed = "share/help/en/orange3-imagemining/widgets-index.html"
    assert len(places) == 3
    assert all(place.as_posix().endswith(installed) for place in places[1:])


class TestHelp(GuiTest):
    @pytest.fixture(autouse=True)
    def _built(self, help_pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = str(help_pages / "widgets-index.html")
        query = widgets.WIDGET_HELP_PATH[0][1]
        monkeypatch.setattr(widgets, "WIDGET_HELP_PATH", ((path, query),))
        # an earlier test may have had Orange look
        monkeypatch.setattr(manager_module, "_providers_cache", {})

    def test_orange_finds_the_page_of_each_widget(self) -> None:
        discovery = Config.widget_discovery(WidgetRegistry())
        discovery.run(Config.widgets_entry_points())
        manager = HelpManager()
        manager.set_registry(discovery.registry)
        ours = [
            widget
            for widget in discovery.registry.widgets()
            if widget.project_name == "Orange3-ImageMining"
        ]
        self.assertEqual(len(ours), 11)
        for widget in ours:
            url = manager.search(QUrl(f"help://search?id={widget.qualified_name}"))
            self.assertTrue(url.isLocalFile(), url)
            title = Page(Path(url.toLocalFile())).title
            self.assertEqual(title.partition(" - ")[0], widget.name)
