"""What the widgets write into a report: all of it, readable, in one manner."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from conftest import picture
from Orange.widgets.tests import base
from Orange.widgets.widget import OWWidget
from test_all_widgets import NAMES, widget_class
from trained_networks import network_of

from orangecontrib.imagemining.tables import table_from_folder
from orangecontrib.imagemining.widgets.utils.report import as_html

_LONG = 60_000  # ms; a busy machine is no reason to fail
#: What a report must not say: raw values, keys, objects.
_RAW = re.compile(
    r"\bNone\b|\bTrue\b|\bFalse\b|\bnan\b|<built-in|object at 0x|\b\w+_\w+\b"
)
_PICTURE = re.compile(r'<img[^>]*src="data:image/png;base64,[\w+/=]{200,}"/>')


def test_values_are_escaped_and_empty_ones_told() -> None:
    items = [("A<b>", "<b> & c"), ("Lines", "1\n2"), ("Empty", ""), ("Not", None)]
    assert as_html([*items, ("Number", 0)]) == [
        ("A&lt;b&gt;", "&lt;b&gt; &amp; c"),
        ("Lines", "1<br/>2"),
        ("Empty", "none"),
        ("Number", "0"),
    ]


class TestReports(base.WidgetTest):
    def html_of(self, widget: OWWidget) -> str:
        widget.report_html = ""
        widget.send_report()
        return str(widget.report_html)

    def read(self, html: str) -> dict[str, str]:
        """Return the items of a report."""
        pairs = re.findall(r"<b>(.*?):</b> (.*?)</br>", html, re.DOTALL)
        return dict(pairs)

    def check(self, name: str, html: str) -> None:
        text = re.sub(r"<[^>]*>", " ", _PICTURE.sub("", html))
        found = _RAW.findall(text.replace(str(self.folder), ""))
        self.assertEqual(found, [], f"{name}: {text}")

    def setUp(self) -> None:
        # users call folders and classes as they like
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.folder = Path(home.name) / "a<b> & c"
        for category in ("x<i>y", "z"):
            (self.folder / category).mkdir(parents=True)
            for number in range(2):
                path = self.folder / category / f"{category[0]}{number}.png"
                picture(number).save(path)
        self.data = table_from_folder(str(self.folder)).table

    def test_empty(self) -> None:
        for name in NAMES:
            widget = self.create_widget(widget_class(name))
            html = self.html_of(widget)
            self.check(name, html)
            self.assertGreater(len(re.sub(r"<[^>]*>", "", html).strip()), 5, name)

    def filled(self, name: str, *sent: tuple[str, object]) -> tuple[OWWidget, str]:
        widget = self.create_widget(widget_class(name))
        for signal, value in sent:
            self.send_signal(signal, value, widget=widget)
        self.wait_until_finished(widget, timeout=_LONG)
        html = self.html_of(widget)
        self.check(name, html)
        self.assertNotIn("<b> & c", html)
        self.assertNotIn("x<i>", html)
        return widget, html

    def test_images(self) -> None:
        _, html = self.filled("owimageviewer", ("Data", self.data))
        self.assertEqual(len(_PICTURE.findall(html)), 1)
        items = self.read(html)
        self.assertEqual(items["Images"], "4")
        self.assertEqual(items["Image column"], "image")
        _, html = self.filled("owsaveimages", ("Data", self.data))
        items = self.read(html)
        self.assertEqual(items["Folder"], "none")
        self.assertEqual(items["Image column"], "image")

    def test_networks(self) -> None:
        network = network_of(classes=("x<i>y", "z"), title="My <b> & c")
        _, html = self.filled("owsavenetwork", ("Network", network))
        self.assertIn("x&lt;i&gt;y", html)
        self.assertEqual(self.read(html)["Name"], "none")
        _, html = self.filled("ownetworkinfo", ("Networks", network))
        self.assertEqual(len(_PICTURE.findall(html)), 1)
        self.assertEqual(html.count("<table"), 2)
