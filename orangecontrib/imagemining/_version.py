"""The version: what the installation says, which has it from the git tag."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("Orange3-ImageMining")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
