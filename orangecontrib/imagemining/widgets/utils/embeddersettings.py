"""Image Embedding's settings, as files may have them; no Qt."""

from __future__ import annotations

from typing import Any

__all__ = ["repair"]


def repair(settings: dict[str, Any]) -> None:
    """Have settings that were damaged begin anew, one by one."""
    for name in ("network", "layer", "fit", "engine", "server"):
        if not isinstance(settings.get(name, ""), str):
            del settings[name]
    if not isinstance(settings.get("fast", False), bool):
        del settings["fast"]
    if not isinstance(settings.get("place", 0), int):
        del settings["place"]
    if not _is_given(settings.get("given", {})):
        del settings["given"]
    others = settings.get("others", [])
    if not isinstance(others, list):
        others = settings["others"] = []
    if any(not _is_embedder(other) for other in others):
        settings["others"] = [other for other in others if _is_embedder(other)]


def _is_given(given: Any) -> bool:
    if not isinstance(given, dict) or not isinstance(given.get("name", ""), str):
        return False
    choices = [given[key] for key in ("before", "chosen") if key in given]
    return all(_is_embedder(choice) for choice in choices)


def _is_embedder(other: Any) -> bool:
    return (
        isinstance(other, (tuple, list))
        and len(other) == 4
        and all(isinstance(other[place], str) for place in (0, 1, 3))
        and isinstance(other[2], (int, str))
        and not isinstance(other[2], bool)
    )
