#!/usr/bin/env python3
"""Write doc/command-line.md from the parsers of the commands.

Usage: .venv/bin/python scripts/make_command_line.py

tests/test_site.py fails where the page says something else than the parsers, and tries
the examples.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from orangecontrib.imagemining.__main__ import _COMMANDS, _parser

PAGE = Path(__file__).parents[1] / "doc" / "command-line.md"

HEAD = """# The command line

Every command and every option of `orange-imagemining`, which comes with the add-on.
This page is written by `scripts/make_command_line.py` from the program itself; how the
commands go together is told in [From scripts](scripting.md), about the server in
[An embedding server](server.md).

`orange-imagemining --help` lists the commands, `orange-imagemining COMMAND --help` says
what is here about one, and `orange-imagemining --version` says which version it is.
Exit status: 0, done; 1, it cannot be done, and a line says why; 2, wrong usage, or a
name that there is not; 130, stopped by Ctrl-C or by the system. In the examples
`photos` is a folder of images.
"""

#: For each command, as it is typed, an example of it.
EXAMPLES = {
    "run": "orange-imagemining run photos --out report",
    "embed": "orange-imagemining embed photos -o vectors.npz --skipped bad.tsv",
    "networks": "orange-imagemining networks squeezenet1_1",
    "compress": "orange-imagemining compress squeezenet1_1 -o small.imnet",
    "weights": "orange-imagemining weights",
    "weights list": "orange-imagemining weights list",
    "weights fetch": "orange-imagemining weights fetch vgg16 resnet50",
    "weights import": "orange-imagemining weights import vgg16 vgg16-397923af.pth",
    "weights remove": "orange-imagemining weights remove vgg16 --yes",
    "weights where": "orange-imagemining weights where",
    "cache": "orange-imagemining cache",
    "cache info": "orange-imagemining cache info --json",
    "cache clear": "orange-imagemining cache clear --yes",
    "cache limit": "orange-imagemining cache limit 500MB",
    "cache where": "orange-imagemining cache where",
    "serve": "orange-imagemining serve --port 8742",
}

#: Defaults that are another number on another computer, in words.
_OF_THE_COMPUTER = {"--threads": "as many as there are cores"}


def page() -> str:
    """Return the page as it is to be."""
    parts = [HEAD]
    for name, parser, told in commands():
        parts.append(_section(name, parser, told))
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Yield each command as it is typed, its parser, and what it does in a line."""
    for name, module in _COMMANDS.items():
        parser = _actions_of(_parser([name])).choices[name]
        yield name, parser, module.HELP
        inner = _actions_of(parser)
        if inner is not None:
            helps = {choice.dest: choice.help for choice in inner._choices_actions}
            for action, own in inner.choices.items():
                yield f"{name} {action}", own, helps[action] or ""


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return what a command takes, without ``--help``."""
    return [
        action
        for action in parser._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]


def name_of(action: argparse.Action) -> str:
    """Return an argument as it is typed."""
    value = action.metavar or action.dest.upper()
    if isinstance(value, tuple) or action.metavar is None and action.choices:
        value = "NAME" if action.type is None else "N"
    if not action.option_strings:
        return str(value)
    if action.nargs == 0:
        return ", ".join(action.option_strings)
    return ", ".join(f"{option} {value}" for option in action.option_strings)


def _section(name: str, parser: argparse.ArgumentParser, told: str) -> str:
    level = "##" if " " not in name else "###"
    lines = [f"{level} {name}", ""]
    lines += [_sentence(parser.description or told), ""]
    lines += ["```sh", EXAMPLES[name], "```", ""]
    others = _excluded(parser)
    table = [_row(action, others) for action in arguments(parser)]
    if table:
        lines += ["| argument | what |", "|---|---|", *table, ""]
    if parser.epilog:
        lines += [_sentence(parser.epilog), ""]
    return "\n".join(lines)


def _row(action: argparse.Action, others: Mapping[str, str]) -> str:
    names = name_of(action)
    told = (action.help or "").replace("%(default)s", str(action.default))
    for option, words in _OF_THE_COMPUTER.items():
        if option in action.option_strings:
            told = told.replace(f"({os.cpu_count() or 2})", f"({words})")
    if action.choices and action.metavar is None:
        told += "; one of " + ", ".join(f"`{value}`" for value in action.choices)
    if action.required and action.option_strings:
        told += "; always needed"
    if action.dest in others:
        told += f"; not together with {others[action.dest]}"
    typed = ", ".join(f"`{part}`" for part in names.split(", "))
    return f"| {typed} | {told.replace('|', '/').strip()} |"


def _excluded(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return, by argument, which others cannot be given beside it."""
    result = {}
    for group in parser._mutually_exclusive_groups:
        for action in group._group_actions:
            others = [x for x in group._group_actions if x is not action]
            result[action.dest] = ", ".join(f"`{x.option_strings[-1]}`" for x in others)
    return result


def _sentence(text: str) -> str:
    text = text[0].upper() + text[1:]
    text = text.replace("doc/server.md", "[An embedding server](server.md)")
    return text if text.endswith(".") else f"{text}."


def _actions_of(parser: argparse.ArgumentParser) -> Any:
    """Return the commands that a parser chooses between; None if there are none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return cast("Any", action)
    return None


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf8")
