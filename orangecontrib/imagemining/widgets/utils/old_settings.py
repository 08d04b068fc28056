"""Settings of Orange3-ImageAnalytics 0.5 to 0.13, made ours.

Workflows of that add-on open with our widgets (their `replaces`), which then find its
settings. Each function here takes one widget's, changes them in place to ours, and
leaves settings of our own alone. Nothing in them is asked to be as expected: if a
migration raises, Orange clears all of the widget's settings.

Old columns are often positions in lists made of the data, which are not there yet.
These go to the setting `old_choices`; `settle` turns them into names when data come;
until then they stay in the workflow as they are.

What is our own in a migrated widget is set too, to what the old one did: the rest would
come from the user's last use of the widget, and not from the workflow.

====================  ================================  ================================
widget                old setting                       becomes
====================  ================================  ================================
Import Images         recent_paths                      folder (the first; relative to
                                                        the workflow if it was so),
                                                        recent_folders
                      (categories)                      category_from: the whole path
Image Embedding       cb_embedder_current_id            network, with its only layer
                      cb_image_attr_current_id          column, by `settle`
                      _auto_apply                       auto_apply
Image Viewer          image_attr, title_attr (0.12 on)  column, title
                      imageAttr, titleAttr (to 0.11)    column, title, by `settle`
                      imageSize                         image_size
                      selected_items (0.12 on)          selected_images; of several rows
                                                        with the same image the first
                      autoCommit                        auto_commit
Image Grid            imageAttr                         column, by `settle`
                      label_attr                        label
                      label_selected                    label: none, if it is False
                      columns, rows                     n_columns, n_rows, auto_size; if
                                                        data have more images `settle`
                                                        makes the size automatic
                      cell_fit                          fit
                      imageSize, auto_update            nothing: nobody could set them
                      auto_commit                       auto_commit
                      (projection)                      projection: mds
Save Images           dirname                           folder
                      last_dir                          nothing: where a dialog opened
                      image_attr_current_index          column, by `settle`
                      (folders by class)                category_column, by `settle`
                      file_format_index                 file_format, quality
                      use_scale, scale_index            resizing, network, pixel_width,
                                                        pixel_height;
                                                        keep_aspect: no, it stretched
                      auto_save                         auto_save
all                   context_settings                  the first, as above; those of
                                                        data seen earlier: nothing
                      savedWidgetGeometry,              kept: they are Orange's own
                      controlAreaVisible
====================  ================================  ================================

The lists behind the positions were the same in all these versions, but for one: until
0.6 only columns marked as images were offered, or only texts, later texts and
categories with the marked ones first. Where they differ, the later list is meant.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from Orange.data import Domain, Table, Variable

from orangecontrib.imagemining.tables.columns import possible_image_columns
from orangecontrib.imagemining.weights import WEIGHTS

__all__ = [
    "image_embedding",
    "image_grid",
    "image_viewer",
    "import_images",
    "save_images",
    "settle",
    "title_of",
]

Settings = dict[str, Any]

#: The old embedders in their order, the same in all versions: our name, and width and
#: height of the images that Save Images made for them.
_EMBEDDERS = (
    ("inception_v3", (299, 299)),
    ("squeezenet_imageanalytics", (227, 227)),
    ("vgg16", (224, 224)),
    ("vgg19", (224, 224)),
    ("painters", (256, 256)),
    ("deeploc", (64, 64)),
    ("openface", (256, 256)),
)
#: What people call those of them that are not here.
_TITLES = {
    "inception_v3": "Inception v3",
    "vgg16": "VGG-16",
    "vgg19": "VGG-19",
    "painters": "Painters",
    "deeploc": "DeepLoc",
    "openface": "OpenFace",
}
#: Save Images' formats in their order; the second was called jpeg before 0.11. Those
#: that we do not write keep their names, so that nothing else is written instead.
_FORMATS = ("png", "jpeg", "gif", "tiff", "pdf", "bmp", "eps", "ico")
_NAMES_SINCE_0_12 = {"imageAttr": "image_attr", "titleAttr": "title_attr"}
_PILLOW_QUALITY = 75  # of its JPEGs, unless told otherwise; nobody did


def import_images(settings: Settings) -> None:
    """Make the settings of Import Images ours."""
    if "recent_paths" not in settings:
        return
    old = settings.pop("recent_paths")
    paths = [_folder_of(item) for item in old] if isinstance(old, list) else []
    stored = [path for path in paths if path != ("", "")]
    settings.update(
        folder=stored[0][0] if stored else "",
        recent_folders=[absolute for _, absolute in stored if absolute],
        include="",
        exclude="",
        file_types=[],
        category_from="path",
        category_pattern="",
        sample=False,
        exif=False,
        path_column="",
        base_folder="",
    )
    settings.pop("context_settings", None)


def image_embedding(settings: Settings) -> None:
    """Make the settings of Image Embedding ours."""
    names = ("cb_embedder_current_id", "cb_image_attr_current_id", "_auto_apply")
    if not any(name in settings for name in names):
        return
    network, _ = _embedder_at(settings.pop("cb_embedder_current_id", 0))
    settings.update(
        network=network,
        layer="logits" if network == "squeezenet_imageanalytics" else "features",
        fit="stretch",
        views=1,
        classes=False,
        engine="auto",
        auto_apply=bool(settings.pop("_auto_apply", True)),
        column="",
        old_choices={"column": _number(settings.pop("cb_image_attr_current_id", 0))},
    )
    settings.pop("context_settings", None)


def image_viewer(settings: Settings) -> None:
    """Make the settings of Image Viewer ours."""
    names = ("imageSize", "autoCommit", "context_settings")
    if not any(name in settings for name in names):
        return
    chosen = _last_context(settings, "image_attr", "imageAttr")
    unsettled: dict[str, int | str] = {}
    for ours, old in (("column", "imageAttr"), ("title", "titleAttr")):
        # a context that 0.12 took over from an earlier version has both
        if old in chosen and chosen.get(_NAMES_SINCE_0_12[old]) is None:
            unsettled[ours] = _number(chosen[old])
    items = chosen.get("selected_items")
    items = items if isinstance(items, (set, frozenset, list, tuple)) else ()
    settings.update(
        column=_column_name(chosen.get("image_attr")),
        title=_column_name(chosen.get("title_attr")),
        subtitle="",
        color="",
        group="",
        sort="",
        descending=False,
        words="",
        image_size=_number(settings.pop("imageSize", 100), 100),
        selected_images=sorted((item, 0) for item in items if isinstance(item, str)),
        auto_commit=bool(settings.pop("autoCommit", True)),
        old_choices=unsettled,
    )


def image_grid(settings: Settings) -> None:
    """Make the settings of Image Grid ours."""
    names = ("cell_fit", "columns", "rows", "imageSize", "context_settings")
    if not any(name in settings for name in names):
        return
    chosen = _last_context(settings, "imageAttr")
    unsettled: dict[str, int | str] = {}
    if "imageAttr" in chosen:
        # a grid was laid out, and these are its size
        unsettled = {
            "column": _number(chosen["imageAttr"]),
            "auto_size": "if too small",
        }
    label = _column_name(chosen.get("label_attr"))
    settings.update(
        column="",
        label=label if bool(settings.pop("label_selected", True)) else "",
        color="",
        projection="mds",
        auto_size=not unsettled,
        n_columns=_number(settings.pop("columns", 10), 10),
        n_rows=_number(settings.pop("rows", 10), 10),
        fit="crop" if settings.pop("cell_fit", 0) in (1, "Crop") else "fit",
        selection=[],
        auto_commit=bool(settings.get("auto_commit", True)),
        old_choices=unsettled,
    )
    for name in ("auto_update", "imageSize"):
        settings.pop(name, None)


def save_images(settings: Settings) -> None:
    """Make the settings of Save Images ours."""
    names = ("dirname", "use_scale", "scale_index", "file_format_index")
    if not any(name in settings for name in (*names, "image_attr_current_index")):
        return
    network, (width, height) = _embedder_at(settings.pop("scale_index", 0))
    if not bool(settings.pop("use_scale", False)):
        resizing = "none"
    else:  # the size is known also where the network is not there
        resizing = "network" if network in WEIGHTS else "size"
    place = _number(settings.pop("file_format_index", 0))
    folder = settings.pop("dirname", "")
    settings.update(
        folder=folder if isinstance(folder, str) else "",
        column="",
        name_column="",
        category_column="",
        file_format=_FORMATS[place] if place < len(_FORMATS) else _FORMATS[0],
        quality=_PILLOW_QUALITY,
        resizing=resizing,
        pixel_width=width,
        pixel_height=height,
        keep_aspect=False,
        network=network,
        auto_save=bool(settings.get("auto_save", False)),
        old_choices={
            "column": _number(settings.pop("image_attr_current_index", 0)),
            "category_column": "class",
        },
    )
    settings.pop("last_dir", None)
    settings.pop("context_settings", None)


def title_of(network: str) -> str:
    """Return what people call an embedder that is not here."""
    return _TITLES.get(network, network)


def settle(widget: Any, data: Table | None) -> None:
    """Turn what an old workflow left open into settings, now that there are data.

    Parameters
    ----------
    widget
        Has the setting `old_choices`, which is empty afterwards: from then on the
        settings are as if chosen in our own widget. Data without image columns settle
        nothing.
    data
        What has come to its input.
    """
    choices = widget.old_choices
    if not choices or data is None or not possible_image_columns(data.domain):
        return
    for setting, choice in choices.items():
        if settler := _SETTLERS.get(setting):
            settler(widget, data, choice)
    widget.old_choices = {}


def _settle_column(widget: Any, data: Table, position: int | str) -> None:
    columns = possible_image_columns(data.domain)
    place = _number(position)
    # the old widgets went to the first where there were fewer
    widget.column = columns[place if place < len(columns) else 0].name


def _settle_title(widget: Any, data: Table, position: int | str) -> None:
    columns = _titles(data.domain)
    widget.title = columns[min(_number(position), len(columns) - 1)].name


def _settle_categories(widget: Any, data: Table, _: int | str) -> None:
    variable = data.domain.class_var
    widget.category_column = variable.name if variable else ""


def _settle_grid(widget: Any, data: Table, _: int | str) -> None:
    if widget.n_columns * widget.n_rows < len(data):
        widget.auto_size = True


_SETTLERS: dict[str, Callable[[Any, Table, int | str], None]] = {
    "column": _settle_column,
    "title": _settle_title,
    "category_column": _settle_categories,
    "auto_size": _settle_grid,
}


def _titles(domain: Domain) -> list[Variable]:
    """Return the columns in the order in which Image Viewer offered titles."""
    return [*domain.class_vars, *domain.metas, *domain.attributes]


def _embedder_at(position: Any) -> tuple[str, tuple[int, int]]:
    """Return the embedder; like the old widget, the first for an impossible one."""
    place = _number(position)
    return _EMBEDDERS[place if place < len(_EMBEDDERS) else 0]


def _folder_of(item: Any) -> tuple[str, str]:
    """Return how our workflows store a folder, and its absolute path; "" for neither.

    Parameters
    ----------
    item
        Orange's `RecentPath`, or the list of its parts.
    """
    absolute: Any
    prefix: Any
    relative: Any
    if isinstance(item, str):
        absolute, prefix, relative = item, None, None
    elif isinstance(item, (list, tuple)):
        absolute, prefix, relative = (*item, None, None, None)[:3]
    else:
        absolute, prefix, relative = (
            getattr(item, name, None) for name in ("abspath", "prefix", "relpath")
        )
    absolute = absolute if isinstance(absolute, str) else ""
    if prefix == "basedir" and isinstance(relative, str):
        return "./" + relative.replace(os.sep, "/"), absolute
    return absolute, absolute


def _last_context(settings: Settings, *needed: str) -> dict[str, Any]:
    """Return what was chosen for the data seen last, and remove all contexts.

    Parameters
    ----------
    needed
        Names of which one at least must have a value: the old widgets kept contexts
        of data without images too.
    """
    contexts = settings.pop("context_settings", None)
    for context in contexts if isinstance(contexts, (list, tuple)) else ():
        if isinstance(context, Mapping):
            values = context.get("values", context)
        else:
            values = getattr(context, "values", None)
        if not isinstance(values, Mapping):
            continue
        plain = {name: _plain(value) for name, value in values.items()}
        if any(plain.get(name) is not None for name in needed):
            return plain
    return {}


def _plain(value: Any) -> Any:
    """Remove the mark -2, with which contexts store what is no column."""
    if isinstance(value, tuple) and len(value) == 2 and value[1] == -2:
        return value[0]
    return value


def _column_name(value: Any) -> str:
    """Return the name of a column as contexts store it: with a number for its kind."""
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    elif isinstance(value, Variable):
        value = value.name
    return value if isinstance(value, str) else ""


def _number(value: Any, default: int = 0) -> int:
    """Return a number of 0 or more."""
    try:
        return max(int(value), 0)
    except (TypeError, ValueError, OverflowError):
        return default
