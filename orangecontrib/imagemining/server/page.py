"""The page for people: one file, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

__all__ = ["page"]


@lru_cache(maxsize=1)
def page() -> tuple[bytes, str]:
    """Return the page and the policy that lets only its own parts run."""
    text = (
        files("orangecontrib.imagemining.server")
        .joinpath("page.html")
        .read_text(encoding="utf8")
    )
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(text, 'script')}",
            f"style-src {_hashes(text, 'style')}",
            "connect-src 'self'",
            "img-src 'self' blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
    return text.encode(), policy


def _hashes(text: str, tag: str) -> str:
    parts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = [hashlib.sha256(part.encode()).digest() for part in parts]
    return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)
