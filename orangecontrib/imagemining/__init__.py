"""Orange add-on for mining images: embed, cluster, map and classify them."""

from __future__ import annotations

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    # asked for seldom, and what looks it up loads slowly
    if name == "__version__":
        from orangecontrib.imagemining._version import __version__

        return __version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
