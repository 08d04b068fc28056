"""What Sphinx is to do; doc/build.py starts it, on pages that it has laid out."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes

project = "Orange3-ImageMining"
html_title = "Image Mining"
language = "en"

extensions = ["myst_parser"]
if (Path(__file__).parent / "api").is_dir():
    # not where only the help is built: these pages import the package
    extensions += ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["Thumbs.db"]

# anchors of headings, as forges make them
myst_heading_anchors = 4
# rows of dots and dashes are what was typed, in shell commands too
smartquotes = False

html_theme = "furo"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_static_path: list[str] = []
html_theme_options = {
    "navigation_with_keys": True,
    # Orange's green, dark enough on white and light enough on black
    "light_css_variables": {
        "color-brand-primary": "#1c6b4f",
        "color-brand-content": "#1c6b4f",
        "color-brand-visited": "#4d6a5f",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7fd1ae",
        "color-brand-content": "#7fd1ae",
        "color-brand-visited": "#a9c9bc",
    },
}
pygments_style = "tango"
pygments_dark_style = "monokai"

# what code says in `backticks`
default_role = "code"


autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 79
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False
# as text below a heading; what `_prose` makes of that, see there
napoleon_custom_sections = ["Returns", "Yields", "Attributes"]


def setup(app):  # type: ignore[no-untyped-def]
    """Have docstrings prepared before napoleon gets them, and finished after it."""
    if "sphinx.ext.autodoc" in extensions:
        app.connect("autodoc-process-docstring", _define_attributes, priority=100)
        app.connect("autodoc-process-docstring", _prose, priority=900)
        app.connect("doctree-read", _dash)


_ENTRY = re.compile(r"^(\S.*?) : (.+)$")
_HEADING = re.compile(r"^\.\. rubric:: (Returns|Yields)$")


def _define_attributes(app, what, name, obj, options, lines) -> None:  # type: ignore
    """Make a list of an Attributes section.

    What stands behind the colon are words: types are beside the fields.
    """
    for start, end, title in reversed(_sections(lines)):
        if title == "Attributes":
            lines[start + 2 : end] = [*_entries(lines[start + 2 : end]), ""]


def _prose(app, what, name, obj, options, lines) -> None:  # type: ignore
    """Show what is returned as a sentence beside the parameters.

    Types are in the signatures: a line that is not indented is no type, for which
    napoleon would take it.
    """
    for start in reversed(range(len(lines))):
        if found := _HEADING.match(lines[start]):
            end = start + 1
            while end < len(lines) and not re.match(r":\w|\.\. rubric", lines[end]):
                end += 1
            said = [f"    {line}" if line else "" for line in lines[start + 1 : end]]
            lines[start:end] = [f":{found[1].lower()}:", *said]


def _sections(lines: list[str]) -> list[tuple[int, int, str]]:
    """Return where each section of a docstring begins and ends, and its title."""
    starts = [
        number
        for number in range(len(lines) - 1)
        if lines[number].strip() and re.fullmatch(r"-{3,}", lines[number + 1].strip())
    ]
    ends = [*starts[1:], len(lines)][: len(starts)]
    return [
        (start, end, lines[start].strip())
        for start, end in zip(starts, ends, strict=True)
    ]


def _entries(body: list[str]) -> list[str]:
    """Return lines of ``name : words`` as a list."""
    result: list[str] = []
    for line in body:
        if found := _ENTRY.match(line):
            names = ", ".join(f"**{name}**" for name in found[1].split(", "))
            result.append(f"- {names} – {found[2]}")
        else:
            result.append(f"  {line.strip()}" if line.strip() else "")
    return result


def _dash(app, doctree) -> None:  # type: ignore[no-untyped-def]
    """Have a dash, not two hyphens, between a parameter and what it is."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))
