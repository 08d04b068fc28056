"""The help buttons find their pages."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from AnyQt.QtCore import QUrl
from Orange.canvas.config import Config
from Orange.widgets.tests.base import GuiTest
from orangecanvas.help.manager import HelpManager
from orangecanvas.registry import WidgetRegistry

ROOT = Path(__file__).parents[1]


def load_build() -> object:
    spec = importlib.util.spec_from_file_location("build", ROOT / "doc" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_built_with_their_pictures(tmp_path: Path) -> None:
    index, *pages = load_build().build(tmp_path)  # type: ignore[attr-defined]
    sources = sorted((ROOT / "doc" / "widgets").glob("*.md"))
    assert [page.stem for page in pages] == [source.stem for source in sources]
    links = re.findall(r'href="([^"]+)">([^<]+)<', index.read_text("utf8"))
    assert len(links) == len(sources)
    for page in pages:
        text = page.read_text("utf8")
        for picture in re.findall(r'<img src="([^"]+)"', text):
            assert (tmp_path / picture).is_file(), f"{page.name}: {picture}"


class TestHelp(GuiTest):
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
            page = Path(url.toLocalFile())
            self.assertIn(f"<title>{widget.name}</title>", page.read_text("utf8"))
