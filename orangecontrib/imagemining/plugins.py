"""Parts that other packages add: networks, engines, readers, steps of compressions.

A package names a module of its own under one of the groups of `GROUPS` in its
``pyproject.toml``; it is imported when the room is, and registers what it has, as our
own modules do::

    [project.entry-points."imagemining.formats"]
    mrc = "orange_mrc.reader"

Standard library only.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

__all__ = ["GROUPS", "load_plugins"]

#: The groups of entry points, one for each room that can be added to.
GROUPS = {
    "networks": "imagemining.networks",
    "designs": "imagemining.designs",
    "engines": "imagemining.engines",
    "formats": "imagemining.formats",
    "compression": "imagemining.compression",
}

_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def _found() -> tuple[EntryPoint, ...]:
    # once for all rooms: it looks into every package that is installed
    return tuple(
        entry for group in GROUPS.values() for entry in entry_points(group=group)
    )


def load_plugins(room: str) -> None:
    """Import what other packages add to a room; to be a room's last line.

    One that cannot be imported is left out, and the log says why: the program is not to
    fail for it.

    Parameters
    ----------
    room
        One of the names in `GROUPS`.
    """
    for entry in _found():
        if entry.group == GROUPS[room]:
            try:
                entry.load()
            # somebody else's module may fail in any way
            except Exception as ex:
                _log.warning("%s (%s) was left out: %s", entry.value, entry.group, ex)
