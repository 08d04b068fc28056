"""A button that chooses types of image files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from AnyQt.QtCore import Qt
from AnyQt.QtGui import QAction, QKeyEvent, QMouseEvent
from AnyQt.QtWidgets import QMenu, QPushButton, QSizePolicy, QWidget

__all__ = ["FILE_TYPES", "TypesButton"]

#: Endings that people take for the same.
FILE_TYPES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "APNG": (".apng",),
    "TIFF": (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WebP": (".webp",),
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif", ".avifs"),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpf", ".jpx"),
    "DICOM": (".dcm", ".dicom"),
    "CZI": (".czi",),
    "LIF": (".lif",),
    "ND2": (".nd2",),
    "Whole slides": (
        ".svs",
        ".ndpi",
        ".mrxs",
        ".scn",
        ".vms",
        ".vmu",
        ".bif",
    ),
    "PNM": (".pnm", ".pbm", ".pgm", ".ppm", ".pfm"),
    "ICO": (".ico",),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
    "TGA": (".tga",),
}


class TypesButton(QPushButton):
    """Shows the types chosen; its menu has those there are, and how many of each.

    Parameters
    ----------
    master
        The widget that has the setting.
    setting
        Name of the setting: a list of endings, empty for all.
    callback
        Called after the user chose.
    """

    def __init__(self, master: QWidget, setting: str, callback: Callable[[], None]):
        super().__init__(
            autoDefault=False,
            sizePolicy=QSizePolicy(
                QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed
            ),
        )
        self._master = master
        self._setting = setting
        self._callback = callback
        self._counts: Mapping[str, int] = {}
        self._menu = _StayingMenu(self)
        self._menu.triggered.connect(self._on_triggered)
        self.setMenu(self._menu)
        self.show_types({})

    def show_types(self, counts: Mapping[str, int]) -> None:
        """Offer these endings, of which there are so many, and those chosen before."""
        self._counts = counts
        chosen = set(getattr(self._master, self._setting))
        offered = self._offered()
        entries = {"": ("&All types", not chosen)}
        for name, endings in _grouped(offered).items():
            present = [ending for ending in endings if ending in offered]
            n = sum(counts.get(ending, 0) for ending in present)
            text = f"{name} ({', '.join(present)}): {n:,}"
            entries[name] = (text, bool(chosen.intersection(endings)))
        if [action.data() for action in self._actions()] != list(entries):
            self._menu.clear()
            for name in entries:
                self._menu.addAction("").setData(name)
            self._menu.insertSeparator(next(iter(self._actions()[1:]), None))
        for action in self._actions():
            text, checked = entries[action.data()]
            action.setText(text)
            action.setCheckable(True)
            action.setChecked(checked)
        self._show_choice()

    def _actions(self) -> list[QAction]:
        return [action for action in self._menu.actions() if not action.isSeparator()]

    def _on_triggered(self, action: QAction) -> None:
        every, *types = self._actions()
        if action is every:
            for other in types:
                other.setChecked(False)
        groups = _grouped(self._offered())
        chosen = [e for a in types if a.isChecked() for e in groups[a.data()]]
        every.setChecked(not chosen)
        setattr(self._master, self._setting, chosen)
        self._show_choice()
        self._callback()

    def _offered(self) -> set[str]:
        return {*self._counts, *getattr(self._master, self._setting)} - {""}

    def _show_choice(self) -> None:
        chosen = getattr(self._master, self._setting)
        names = list(_grouped(chosen)) or ["All types"]
        self.setText(", ".join(names[:3]) + ", …" * (len(names) > 3))


def _grouped(endings: set[str] | list[str]) -> dict[str, tuple[str, ...]]:
    """Return the groups that these endings are of, each with all of its endings."""
    groups = {
        name: group
        for name, group in FILE_TYPES.items()
        if not set(group).isdisjoint(endings)
    }
    known = {ending for group in FILE_TYPES.values() for ending in group}
    unknown = sorted(set(endings) - known)
    return groups | {ending: (ending,) for ending in unknown}


class _StayingMenu(QMenu):
    """Stays open while entries are ticked, so that several can be."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        action = self.actionAt(event.pos())
        if action is None or not action.isCheckable():
            super().mouseReleaseEvent(event)
        else:
            action.trigger()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        action = self.activeAction()
        if event.key() == Qt.Key.Key_Space and action is not None:
            action.trigger()
        else:
            super().keyPressEvent(event)
