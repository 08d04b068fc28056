"""Requests that are refused, and how that is told."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orangecontrib.imagemining.embedders.protocol import DamagedError
from orangecontrib.imagemining.exceptions import (
    ImageMiningError,
    ProtocolError,
    ServerError,
    UnknownNameError,
)
from orangecontrib.imagemining.server.catalogue import NotHereError

__all__ = ["GONE", "Refusal", "content_of", "refused", "refused_by_router"]

#: Status in logs and figures of requests whose client went away; it is never sent.
GONE = 499


class Refusal(ServerError):
    """A request is not answered as asked.

    Parameters
    ----------
    status
        HTTP's number for it.
    code
        A word for programs.
    text
        For people.
    retry_after
        Seconds after which it may be tried again.
    """

    def __init__(
        self, status: int, code: str, text: str, retry_after: int | None = None
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.retry_after = retry_after


def as_refusal(ex: ImageMiningError) -> Refusal:
    """Return how an error is told to the client."""
    if isinstance(ex, Refusal):
        return ex
    if isinstance(ex, DamagedError):
        return Refusal(400, "damaged", str(ex))
    if isinstance(ex, ProtocolError):
        return Refusal(400, "bad-request", str(ex))
    if isinstance(ex, NotHereError):
        return Refusal(404, "network-not-here", str(ex))
    if isinstance(ex, UnknownNameError):
        return Refusal(404, "unknown-name", str(ex))
    return Refusal(500, "failed", str(ex))


def content_of(ex: Refusal) -> bytes:
    """Return the body that tells it: JSON, also for clients that do not ask why."""
    return json.dumps({"error": {"code": ex.code, "message": str(ex)}}).encode()


async def refused(request: Request, ex: Any) -> Response:
    """Answer a request that raised an error of ours."""
    refusal = as_refusal(ex)
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(content_of(refusal), refusal.status, headers, "application/json")


async def refused_by_router(request: Request, ex: Any) -> Response:
    """Answer a request that there is no route for, or none of that method."""
    texts = {404: "There is nothing at this address", 405: "Not by this method"}
    text = texts.get(ex.status_code, "Not possible")
    code = {404: "not-found", 405: "wrong-method"}.get(ex.status_code, "refused")
    content = {"error": {"code": code, "message": text}}
    return JSONResponse(content, ex.status_code, ex.headers)
