"""Build the help pages: doc/widgets/*.md to HTML that Orange's help finds.

Usage: python doc/build.py [FOLDER]    (default: doc/_build/html)
"""

from __future__ import annotations

import html
import shutil
import sys
from pathlib import Path

import commonmark

DOC = Path(__file__).parent
STYLE = """
body { font-family: sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em;
       line-height: 1.5; color: #222; background: #fff; }
h1, h2 { line-height: 1.2; } img { max-width: 100%; }
code { background: #f3f3f3; padding: 0 .2em; } pre { overflow-x: auto; }
"""
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8" /><title>{title}</title>
<style>{style}</style></head><body>
{body}
</body></html>
"""


def title_of(markdown: str) -> str:
    """Return the text of the first heading."""
    for line in markdown.splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    raise ValueError("a help page begins with '# Name of the Widget'")


def build(out: Path) -> list[Path]:
    """Write one page a widget and an index of their names into `out`.

    Orange opens a widget's help by looking for a link in ``index.html`` whose text is
    the widget's name; it reads XML, so that all tags must be closed.
    """
    out.mkdir(parents=True, exist_ok=True)
    links, pages = [], []
    for source in sorted((DOC / "widgets").glob("*.md")):
        markdown = source.read_text(encoding="utf8")
        title = title_of(markdown)
        page = out / f"{source.stem}.html"
        body = commonmark.commonmark(markdown)
        page.write_text(
            PAGE.format(title=html.escape(title), style=STYLE, body=body),
            encoding="utf8",
        )
        links.append(f'<li><a href="{page.name}">{html.escape(title)}</a></li>')
        pages.append(page)
    images = DOC / "widgets" / "images"
    if images.is_dir():
        shutil.copytree(images, out / "images", dirs_exist_ok=True)
    body = "<h1>Image Mining</h1>\n<ul>\n" + "\n".join(links) + "\n</ul>"
    index = out / "index.html"
    index.write_text(
        PAGE.format(title="Image Mining", style=STYLE, body=body), encoding="utf8"
    )
    return [index, *pages]


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else DOC / "_build" / "html")
