"""The network of Image Embedding's Network input; no Qt.

It is chosen when it comes, with the layer, views and fit that were chosen for the one
before it, and what was chosen without it comes back when it goes.
"""

from __future__ import annotations

from typing import Any

__all__ = ["GivenNetwork"]

#: Network, layer, views and fit.
_Choice = tuple[str, str, "int | str", str]


class GivenNetwork:
    """Changes a widget's choice when a network comes or goes.

    Parameters
    ----------
    master
        The widget, with the settings `network`, `layer`, `views`, `fit`, `others`, and
        `given`: ``name``, the last network that came; ``before``, the choice that was
        made without it; ``chosen``, the choice for it when it went.
    """

    def __init__(self, master: Any) -> None:
        self._master = master

    def come(self, name: str, fit: str) -> None:
        """Choose a network, unless the user has chosen another beside the one before.

        Parameters
        ----------
        name
            Of the network.
        fit
            How images met it when it was trained.
        """
        master, given = self._master, dict(self._master.given)
        last = given.get("name", "")
        if last:
            master.others = [
                (name if other[0] == last else other[0], *other[1:])
                for other in master.others
            ]
        if "before" not in given:
            given["before"] = self._choice()
            chosen = given.pop("chosen", None)
            if chosen is not None:
                self._choose((name, *chosen[1:]))
            else:
                self._choose((name, master.layer, master.views, fit))
        elif master.network == last:
            master.network = name
        given["name"] = name
        master.given = given

    def go(self) -> None:
        """Choose again what was chosen before a network came."""
        master, given = self._master, dict(self._master.given)
        if "before" not in given:
            return
        before = given.pop("before")
        if master.network == given.get("name"):
            given["chosen"] = self._choice()
            self._choose(before)
        master.given = given

    def _choice(self) -> _Choice:
        master = self._master
        return master.network, master.layer, master.views, master.fit

    def _choose(self, choice: _Choice) -> None:
        master = self._master
        master.network, master.layer, master.views, master.fit = choice
