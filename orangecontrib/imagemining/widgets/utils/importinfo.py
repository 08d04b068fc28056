"""What Import Images found, in words."""

from __future__ import annotations

from orangecontrib.imagemining.tables.folder import FolderOptions, FolderTable
from orangecontrib.imagemining.tables.listing import ListedTable
from orangecontrib.imagemining.tables.reading import Reading

__all__ = [
    "CHANNELS",
    "CONTRASTS",
    "STACKS",
    "describe",
    "number_text",
    "reading_items",
    "report_items",
    "shortened",
]

#: What becomes an image of a stack.
STACKS = {
    "first": "First plane",
    "middle": "Middle plane",
    "max": "Maximum projection",
    "mean": "Mean projection",
    "planes": "One row per plane",
    "channels": "One row per plane and channel",
}
#: What channels are shown in.
CHANNELS = {
    "auto": "Automatic",
    "grey": "Grey",
    "rgb": "Red, green, blue",
    "chosen": "Choose…",
}
#: How numbers become brightness.
CONTRASTS = {
    "auto": "Automatic",
    "stored": "As stored",
    "full": "Full range of the bit depth",
    "percentiles": "Percentiles of each image",
    "range": "One range for all images",
}

_LONGEST = 80  # letters of a name that is shown whole

_SOURCES = {
    "folder": "the first folder",
    "path": "the whole path of folders",
    "none": "none",
}


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def number_text(number: float, digits: int = 4) -> str:
    """Return a pixel's number with so many digits, and those before the point."""
    if 10 ** (digits - 1) <= abs(number) < 1e15:
        return f"{number:.0f}"  # 65535, not 6.554e+04
    return f"{number:.{digits}g}"


def describe(result: FolderTable | ListedTable) -> str:
    """Say in a few lines what was found."""
    if isinstance(result, ListedTable):
        return _describe_table(result)
    return _describe_folder(result)


def reading_items(reading: Reading) -> list[tuple[str, str]]:
    """Return names and values of what is not as it is by default."""
    plain, items = Reading(), []
    if reading.stack != plain.stack:
        items.append(("Stacks", STACKS[reading.stack]))
    if reading.all_series:
        items.append(("Series", "all"))
    if reading.tile:
        text = f"tiles of {reading.tile:,} pixels"
        if reading.tissue:
            text += f", with {100 * reading.tissue:g} % of tissue at least"
        items.append(("Whole slides", text))
    if isinstance(reading.channels, tuple):
        pairs = (f"{name} {colour}" for name, colour in reading.channels)
        items.append(("Channels", ", ".join(pairs)))
    elif reading.channels != plain.channels:
        items.append(("Channels", CHANNELS[reading.channels]))
    if reading.contrast != plain.contrast:
        text = CONTRASTS[reading.contrast]
        if reading.contrast == "percentiles":
            text += " {:g} and {:g}".format(*reading.percentiles)
        elif reading.contrast == "range":
            pairs = (
                f"{name} {number_text(low)} to {number_text(high)}".strip()
                for name, low, high in reading.ranges
            )
            text += f": {', '.join(pairs)}" if reading.ranges else ""
        items.append(("Contrast", text))
    return items


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
        items = _table_items(result, place)
    else:
        items = _folder_items(result, place, options)
    return items + reading_items(options.reading)


def _how_many(result: FolderTable) -> str:
    n, n_files, n_found = len(result.table), result.n_files, len(result.found.paths)
    what = "image"
    if n != n_files:
        what = "file"
    text = _count(n_files, what)
    if n_files != n_found:
        text = f"{n_files:,} of {_count(n_found, what)}"
    return text if n == n_files else f"{_count(n, 'image')} of {text}"


def _describe_folder(result: FolderTable) -> str:
    lines = [_how_many(result)]
    category = result.table.domain.class_var
    if category:
        k = len(category.values)
        lines[0] += f" in {_count(k, 'category', 'categories')}"
        if result.n_files < len(result.found.paths):
            lines[0] += ", drawn at random"
        names = ", ".join(category.values[:8])
        lines.append(names + (", …" if k > 8 else ""))
        if result.n_without_category:
            n = result.n_without_category
            lines.append(
                f"{_count(n, 'image')} without a category"
                f" ({'it is' if n == 1 else 'they are'} in the table, too)"
            )
    elif result.n_files < len(result.found.paths):
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
    n = result.n_files
    there = n - result.n_empty - result.n_addresses - len(result.not_there)
    lines = [f"{_count(there, 'image')} of {_count(n, 'row')}"]
    if len(result.table) != n:
        lines.append(f"{_count(len(result.table), 'row')} of planes and tiles now")
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
