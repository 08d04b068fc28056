"""Settings of Orange3-ImageAnalytics, version by version, from literal dictionaries."""

from __future__ import annotations

import copy
import importlib
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from Orange.data import (
    ContinuousVariable,
    DiscreteVariable,
    Domain,
    StringVariable,
    Table,
)
from Orange.widgets.utils.filedialogs import RecentPath
from orangewidget.settings import Context

from orangecontrib.imagemining.widgets.utils import old_settings

ORANGES_OWN = {
    "controlAreaVisible": True,
    "savedWidgetGeometry": b"\x01\xd9\xd0\xcb",
}
WIDGETS = {
    "import_images": "owimportimages.OWImportImages",
    "image_embedding": "owimageembedding.OWImageEmbedding",
    "image_viewer": "owimageviewer.OWImageViewer",
    "image_grid": "owimagegrid.OWImageGrid",
    "save_images": "owsaveimages.OWSaveImages",
}
OLD_CLASSES = {
    "import_images": "owimageimport.OWImportImages",
    "image_embedding": "owimageembedding.OWImageEmbedding",
    "image_viewer": "owimageviewer.OWImageViewer",
    "image_grid": "owimagegrid.OWImageGrid",
    "save_images": "owsaveimages.OWSaveImages",
}

# As they were saved; the same from 0.5 to 0.13 unless the name says otherwise
IMPORT = {
    **ORANGES_OWN,
    "recent_paths": [
        RecentPath("/data/lesson/images", "basedir", "images"),
        RecentPath("/home/ana/cells", None, None),
    ],
}
EMBEDDING = {
    **ORANGES_OWN,
    "_auto_apply": False,
    "cb_embedder_current_id": 4,
    "cb_image_attr_current_id": 1,
}
VIEWER_0_5 = {
    **ORANGES_OWN,
    "autoCommit": False,
    "imageSize": 208,
    "context_settings": [
        Context(
            attributes={"category": 1},
            metas={"image name": 3, "image": 3},
            values={"imageAttr": (1, -2), "titleAttr": (2, -2)},
        )
    ],
}
VIEWER_0_12 = {
    **ORANGES_OWN,
    "autoCommit": False,
    "imageSize": 208,
    "context_settings": [
        # data without texts left such contexts, in 0.12
        Context(values={"image_attr": None, "title_attr": None}),
        Context(
            attributes={"category": 1},
            metas={"image name": 3, "image": 3},
            values={
                "image_attr": ("image", 103),
                "title_attr": ("image name", 103),
                "selected_items": ({"b/2.png", "a/1.png"}, -2),
                "__version__": 2,
            },
        ),
        Context(values={"image_attr": ("other", 103), "title_attr": ("x", 101)}),
    ],
}
GRID = {
    **ORANGES_OWN,
    "auto_commit": False,
    "auto_update": True,
    "cell_fit": 1,
    "columns": 5,
    "imageSize": 100,
    "label_selected": True,
    "rows": np.int32(4),
    "context_settings": [
        Context(
            attributes={"n0": 2, "category": 1},
            metas={"image name": 3, "image": 3},
            values={"imageAttr": (1, -2), "label_attr": ("category", 101)},
        )
    ],
}
SAVE = {
    **ORANGES_OWN,
    "auto_save": True,
    "dirname": "/data/lesson/saved",
    "file_format_index": 1,
    "image_attr_current_index": 1,
    "last_dir": "/data/lesson",
    "scale_index": 5,
    "use_scale": True,
}
OLD: list[tuple[str, dict[str, Any]]] = [
    ("import_images", IMPORT),
    ("image_embedding", EMBEDDING),
    ("image_viewer", VIEWER_0_5),
    ("image_viewer", VIEWER_0_12),
    ("image_grid", GRID),
    ("save_images", SAVE),
]


def migrated(widget: str, settings: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return migrated settings, as they come out of a workflow: pickled."""
    settings = pickle.loads(pickle.dumps({**settings, **changes}))
    getattr(old_settings, widget)(settings)
    return settings


def class_of(widget: str) -> Any:
    module, name = WIDGETS[widget].split(".")
    package = "orangecontrib.imagemining.widgets"
    return getattr(importlib.import_module(f"{package}.{module}"), name)


def some(settings: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: settings[name] for name in names.split()}


def data(n: int = 3) -> Table:
    """Return a table with a text before its two image columns."""
    image, mask = StringVariable("image"), StringVariable("mask")
    image.attributes = mask.attributes = {"type": "image"}
    domain = Domain(
        [ContinuousVariable("x")],
        DiscreteVariable("category", ("a", "b")),
        [StringVariable("image name"), image, ContinuousVariable("size"), mask],
    )
    return Table.from_list(domain, [[0, "a", "one", "1.png", 3, "2.png"]] * n)


# what holds for all -------------------------------------------------------------------


@pytest.mark.parametrize("widget", WIDGETS)
def test_widgets_replace_the_old_ones(widget: str) -> None:
    name = f"orangecontrib.imageanalytics.widgets.{OLD_CLASSES[widget]}"
    assert name in class_of(widget).replaces
    assert class_of(widget).settings_version == 3


@pytest.mark.parametrize(("widget", "old"), OLD)
@pytest.mark.parametrize("version", [0, None, 1, 2])
def test_widgets_ask_for_the_migration(
    widget: str,
    old: dict[str, Any],
    version: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = copy.deepcopy(old)
    handler = class_of(widget).settingsHandler
    # the user's own, which an earlier test may have left
    monkeypatch.setitem(handler.defaults, "recent_folders", ["/own"])
    class_of(widget).migrate_settings(settings, version)
    expected = migrated(widget, old)
    if widget == "import_images":
        expected["recent_folders"].append("/own")
    assert settings == expected


@pytest.mark.parametrize(("widget", "old"), OLD)
def test_all_settings_of_the_widget_are_set(widget: str, old: dict[str, Any]) -> None:
    """What is not set comes from the user's last use, not from the workflow."""
    new = migrated(widget, old)
    handler = class_of(widget).settingsHandler
    names = {
        name
        for name, setting in handler.known_settings.items()
        if not setting.schema_only
    }
    # how many of a category, and whether a part of the window is unfolded, is one's own
    own = {"per_category", "show_reading"}
    assert names - set(new) <= own, "settings that are forgotten"
    assert set(new) <= set(handler.known_settings), "no such settings"
    for name, value in new.items():
        default = handler.known_settings[name].default
        if default is not None:
            assert type(value) is type(default), name
    assert some(new, "controlAreaVisible savedWidgetGeometry") == ORANGES_OWN


@pytest.mark.parametrize(("widget", "old"), OLD)
def test_settings_of_our_own_are_left_alone(widget: str, old: dict[str, Any]) -> None:
    new = migrated(widget, old)
    assert migrated(widget, new) == new
    ours = {
        name: setting.default
        for name, setting in class_of(widget).settingsHandler.known_settings.items()
    }
    assert migrated(widget, ours) == ours
    assert migrated(widget, {}) == {}


ODD = [None, "x", -3, 10**9, 1.5, float("nan"), [], {}, (), b"", [None, 3], ["x"], {1}]


@pytest.mark.parametrize(("widget", "old"), OLD)
def test_odd_values_do_not_raise(widget: str, old: dict[str, Any]) -> None:
    handler = class_of(widget).settingsHandler
    for name in set(old) - set(ORANGES_OWN):
        fewer = {key: value for key, value in old.items() if key != name}
        for settings in (fewer, *({**old, name: odd} for odd in ODD)):
            new = migrated(widget, settings)
            for key, value in new.items():
                default = handler.known_settings[key].default
                if default is not None and key not in old:
                    assert type(value) is type(default), (name, key)


@pytest.mark.parametrize(
    ("widget", "old", "names"),
    [
        ("image_viewer", VIEWER_0_12, ("image_attr", "title_attr", "selected_items")),
        ("image_viewer", VIEWER_0_5, ("imageAttr", "titleAttr")),
        ("image_grid", GRID, ("imageAttr", "label_attr")),
    ],
)
def test_odd_contexts_do_not_raise(
    widget: str, old: dict[str, Any], names: tuple[str, ...]
) -> None:
    values = old["context_settings"][-1].values
    for name in names:
        for odd in (*ODD, (None, -2), ("x",)):
            context = Context(values={**values, name: odd})
            new = migrated(widget, old, context_settings=[context])
            # the rest is taken over all the same
            assert new["auto_commit"] is bool(
                old.get("autoCommit", old.get("auto_commit"))
            )
            assert "context_settings" not in new
    for context in (Context(values=None), {"values": values}, dict(values)):
        new = migrated(widget, old, context_settings=[context])
        assert "context_settings" not in new


# widget by widget ---------------------------------------------------------------------


def test_folder_beside_the_workflow_is_relative_to_it() -> None:
    new = migrated("import_images", IMPORT)
    assert new["folder"] == "./images"
    assert new["recent_folders"] == ["/data/lesson/images", "/home/ana/cells"]
    # the old widget's categories are whole paths, and it took all images
    assert some(new, "category_from include exclude file_types sample exif") == {
        "category_from": "path",
        "include": "",
        "exclude": "",
        "file_types": [],
        "sample": False,
        "exif": False,
    }


@pytest.mark.parametrize(
    ("item", "folder"),
    [
        (RecentPath("/home/ana/cells", None, None), "/home/ana/cells"),
        (RecentPath("C:/Users/ana/cells", None, None), "C:/Users/ana/cells"),
        (RecentPath("/data/lesson", "basedir", "."), "./."),
        (RecentPath("/x/cells", "sample-datasets", "cells"), "/x/cells"),
        (("/data/lesson/a/b", "basedir", "a/b"), "./a/b"),
        (["/data/lesson/a", "basedir", "a", "", "", None], "./a"),
        ("/home/ana/cells", "/home/ana/cells"),
        (None, ""),
        ((), ""),
    ],
)
def test_folders_in_all_their_forms(item: Any, folder: str) -> None:
    new = migrated("import_images", IMPORT, recent_paths=[item])
    assert new["folder"] == folder


def test_no_folder() -> None:
    new = migrated("import_images", IMPORT, recent_paths=[])
    assert (new["folder"], new["recent_folders"]) == ("", [])


@pytest.mark.parametrize(
    ("position", "network", "layer"),
    [
        (0, "inception_v3", "features"),
        (1, "squeezenet_imageanalytics", "logits"),
        (2, "vgg16", "features"),
        (3, "vgg19", "features"),
        (4, "painters", "features"),
        (5, "deeploc", "features"),
        (6, "openface", "features"),
        (7, "inception_v3", "features"),  # so did the old widget
    ],
)
def test_embedders(position: int, network: str, layer: str) -> None:
    new = migrated("image_embedding", EMBEDDING, cb_embedder_current_id=position)
    assert some(new, "network layer views") == {
        "network": network,
        "layer": layer,
        "views": 1,
    }


def test_embedding() -> None:
    new = migrated("image_embedding", EMBEDDING)
    assert some(new, "auto_apply column old_choices") == {
        "auto_apply": False,
        "column": "",
        "old_choices": {"column": 1},
    }
    # the default of the old widget, not of ours
    few = migrated("image_embedding", {"_auto_apply": True})
    assert few["network"] == "inception_v3"
    assert few["auto_apply"] is True


@pytest.mark.parametrize("plain", [False, True])
def test_viewer_until_0_11(plain: bool) -> None:
    old = VIEWER_0_5
    if plain:  # as contexts were before they marked what is no column
        context = Context(values={"imageAttr": 1, "titleAttr": 2})
        old = {**old, "context_settings": [context]}
    new = migrated("image_viewer", old)
    assert some(new, "image_size auto_commit column title old_choices") == {
        "image_size": 208,
        "auto_commit": False,
        "column": "",
        "title": "",
        "old_choices": {"column": 1, "title": 2},
    }
    assert "context_settings" not in new


def test_viewer_since_0_12() -> None:
    new = migrated("image_viewer", VIEWER_0_12)
    assert some(new, "column title selected_images old_choices") == {
        "column": "image",
        "title": "image name",
        "selected_images": [("a/1.png", 0), ("b/2.png", 0)],
        "old_choices": {},
    }
    assert "context_settings" not in new


def test_viewer_file_of_0_11_saved_again_by_0_12() -> None:
    both = {"imageAttr": (1, -2), "titleAttr": (2, -2), "image_attr": ("image", 103)}
    new = migrated("image_viewer", VIEWER_0_12, context_settings=[Context(values=both)])
    assert new["column"] == "image"
    assert new["old_choices"] == {"title": 2}


def test_viewer_without_data() -> None:
    new = migrated("image_viewer", VIEWER_0_12, context_settings=[])
    assert some(new, "column title selected_images old_choices") == {
        "column": "",
        "title": "",
        "selected_images": [],
        "old_choices": {},
    }


def test_grid() -> None:
    new = migrated("image_grid", GRID)
    names = "label fit auto_size n_columns n_rows auto_commit projection"
    assert some(new, names) == {
        "label": "category",
        "fit": "crop",
        "auto_size": False,
        "n_columns": 5,
        "n_rows": 4,
        "auto_commit": False,
        "projection": "mds",
    }
    assert new["old_choices"] == {"column": 1, "auto_size": "if too small"}
    assert type(new["n_rows"]) is int  # numpy's could not be saved as a literal


def test_grid_without_data() -> None:
    old = {**GRID, "cell_fit": "Resize", "columns": 10, "rows": 10}
    new = migrated("image_grid", {**old, "context_settings": []})
    assert some(new, "label fit auto_size old_choices") == {
        "label": "",
        "fit": "fit",
        "auto_size": True,
        "old_choices": {},
    }


def test_grid_without_label() -> None:
    context = Context(values={"imageAttr": (0, -2), "label_attr": (None, -2)})
    assert migrated("image_grid", GRID, context_settings=[context])["label"] == ""
    assert migrated("image_grid", GRID, label_selected=False)["label"] == ""


@pytest.mark.parametrize(
    ("position", "name"),
    [*enumerate(["png", "jpeg", "gif", "tiff", "pdf", "bmp", "eps", "ico", "png"])],
)
def test_formats(position: int, name: str) -> None:
    new = migrated("save_images", SAVE, file_format_index=position)
    assert new["file_format"] == name


@pytest.mark.parametrize(
    ("use_scale", "position", "expected"),
    [
        (False, 0, ("none", "inception_v3", 299, 299)),
        (True, 0, ("size", "inception_v3", 299, 299)),
        (True, 1, ("network", "squeezenet_imageanalytics", 227, 227)),
        (True, 2, ("size", "vgg16", 224, 224)),
        (True, 3, ("size", "vgg19", 224, 224)),
        (True, 4, ("size", "painters", 256, 256)),
        (True, 5, ("size", "deeploc", 64, 64)),
        (True, 6, ("size", "openface", 256, 256)),
    ],
)
def test_scales(
    use_scale: bool,
    position: int,
    expected: tuple[str, str, int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(old_settings, "WEIGHTS", {"squeezenet_imageanalytics": None})
    new = migrated("save_images", SAVE, use_scale=use_scale, scale_index=position)
    found = some(new, "resizing network pixel_width pixel_height")
    assert tuple(found.values()) == expected


def test_saving() -> None:
    new = migrated("save_images", SAVE)
    assert some(new, "folder auto_save quality old_choices") == {
        "folder": "/data/lesson/saved",
        "auto_save": True,
        "quality": 75,
        "old_choices": {"column": 1, "category_column": "class"},
    }


# once data come -----------------------------------------------------------------------


def widget(**settings: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"column": "", "title": "", "n_columns": 2, "n_rows": 2, "auto_size": False}
        | settings
    )


@pytest.mark.parametrize(
    ("position", "name"), [(0, "image"), (1, "mask"), (2, "image name"), (9, "image")]
)
def test_position_of_the_column_becomes_its_name(position: int, name: str) -> None:
    master = widget(old_choices={"column": position})
    old_settings.settle(master, data())
    assert master.column == name
    assert master.old_choices == {}


@pytest.mark.parametrize(
    ("position", "name"),
    [*enumerate(["category", "image name", "image", "size", "mask", "x", "x"])],
)
def test_position_of_the_title_becomes_its_name(position: int, name: str) -> None:
    master = widget(old_choices={"title": position})
    old_settings.settle(master, data())
    assert master.title == name


def test_categories_are_those_of_the_class() -> None:
    master = widget(old_choices={"category_column": "class"})
    old_settings.settle(master, data())
    assert master.category_column == "category"
    table = data()
    master = widget(old_choices={"category_column": "class"})
    old_settings.settle(master, table.transform(Domain([], None, table.domain.metas)))
    assert master.category_column == ""


@pytest.mark.parametrize(("n", "automatic"), [(4, False), (5, True)])
def test_grid_that_is_too_small_becomes_automatic(n: int, automatic: bool) -> None:
    master = widget(old_choices={"auto_size": "if too small"})
    old_settings.settle(master, data(n))
    assert master.auto_size is automatic


def test_data_without_columns_for_images_settle_nothing() -> None:
    master = widget(old_choices={"column": 1})
    old_settings.settle(master, None)
    old_settings.settle(master, Table("iris"))
    assert master.old_choices == {"column": 1}
    old_settings.settle(master, data())
    assert master.column == "mask"


def test_settled_settings_are_the_user_s_own() -> None:
    master = widget(old_choices={"column": 1})
    old_settings.settle(master, data())
    master.column = "image"
    old_settings.settle(master, data())
    assert master.column == "image"


def test_unknown_choices_are_passed_over() -> None:
    master = widget(old_choices={"something": 1, "column": "x"})
    old_settings.settle(master, data())
    assert master.column == "image"
