"""What Import Images found, in words."""

from __future__ import annotations

from orangecontrib.imagemining.tables.folder import FolderOptions, FolderTable
from orangecontrib.imagemining.tables.listing import ListedTable

__all__ = ["describe", "report_items", "shortened"]

_LONGEST = 80  # letters of a name that is shown whole

_SOURCES = {
    "folder": "the first folder",
    "path": "the whole path of folders",
    "none": "none",
}


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def describe(result: FolderTable | ListedTable) -> str:
    """Say in a few lines what was found."""
    if isinstance(result, ListedTable):
        return _describe_table(result)
    return _describe_folder(result)


def report_items(
    result: FolderTable | ListedTable, place: str, options: FolderOptions
) -> list[tuple[str, str]]:
    """Return names and values for a report.

    Parameters
    ----------
    result
        What was found.
    place
        The folder, or that at which the paths of a table begin.
    options
        What was wanted of a folder.
    """
    if isinstance(result, ListedTable):
        return _table_items(result, place)
    return _folder_items(result, place, options)


def _how_many(result: FolderTable) -> str:
    n, n_found = len(result.table), len(result.found.paths)
    if n == n_found:
        return _count(n, "image")
    return f"{n:,} of {_count(n_found, 'image')}"


def _describe_folder(result: FolderTable) -> str:
    lines = [_how_many(result)]
    category = result.table.domain.class_var
    if category:
        k = len(category.values)
        lines[0] += f" in {_count(k, 'category', 'categories')}"
        if len(result.table) < len(result.found.paths):
            lines[0] += ", drawn at random"
        names = ", ".join(category.values[:8])
        lines.append(names + (", …" if k > 8 else ""))
        if result.n_without_category:
            n = result.n_without_category
            lines.append(
                f"{_count(n, 'image')} without a category"
                f" ({'it is' if n == 1 else 'they are'} in the table, too)"
            )
    elif len(result.table) < len(result.found.paths):
        lines[0] += ", drawn at random"
    found = result.found
    left_out = [found.describe_left_out(), found.describe_others()]
    if any(left_out):
        lines.append(f"Left out: {'; '.join(text for text in left_out if text)}")
    return "\n".join(lines)


def shortened(name: str) -> str:
    """Return a name, of a very long one its beginning and end."""
    return name if len(name) <= _LONGEST else f"{name[:30]}…{name[-30:]}"


def _describe_table(result: ListedTable) -> str:
    n = len(result.table)
    there = n - result.n_empty - result.n_addresses - len(result.not_there)
    lines = [f"{_count(there, 'image')} of {_count(n, 'row')}"]
    if result.not_there:
        lines.append(f"{_count(len(result.not_there), 'image')} not there")
    if result.n_relative:
        lines.append(
            f"{_count(result.n_relative, 'path')} not whole: choose the base folder"
        )
    if result.n_unreadable:
        lines.append(f"{_count(result.n_unreadable, 'image')} of unknown size")
    if result.n_addresses:
        texts = _count(result.n_addresses, "address", "addresses")
        lines.append(f"{texts}, not looked at here")
    if result.n_empty:
        lines.append(f"{_count(result.n_empty, 'row')} without a path")
    return "\n".join(lines)


def _folder_items(
    result: FolderTable, folder: str, options: FolderOptions
) -> list[tuple[str, str]]:
    wanted = options.wanted
    source = _SOURCES.get(options.category_from) or options.category_pattern
    items = [
        ("Folder", folder),
        ("Images", _how_many(result)),
        ("Include", wanted.include),
        ("Exclude", wanted.exclude),
        ("Types", ", ".join(wanted.types)),
        ("Categories from", source),
    ]
    category = result.table.domain.class_var
    if category:
        more = len(category.values) - 100
        text = ", ".join(category.values[:100])
        items.append(("Categories", f"{text}, and {more:,} more" if more > 0 else text))
    if options.per_category:
        items.append(("At most, of each category", f"{options.per_category:,}"))
    return [(name, value) for name, value in items if value]


def _table_items(result: ListedTable, base: str) -> list[tuple[str, str]]:
    items = [
        ("Path column", result.column.name),
        ("Base folder", base),
        ("Images", _describe_table(result).replace("\n", "; ")),
    ]
    return [(name, value) for name, value in items if value]
