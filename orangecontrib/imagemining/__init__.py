"""Orange add-on for mining images: embed, cluster, map and classify them."""

from orangecontrib.imagemining._version import __version__

__all__ = ["__version__"]
