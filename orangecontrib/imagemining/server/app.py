"""The server's routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from orangecontrib.imagemining.embedders.classes import class_names
from orangecontrib.imagemining.embedders.protocol import (
    EMBED_PATH,
    MEDIA_TYPE,
    pack_answer,
    unpack_request,
)
from orangecontrib.imagemining.exceptions import ImageMiningError
from orangecontrib.imagemining.server.catalogue import spec_of
from orangecontrib.imagemining.server.guard import Guard, note_of
from orangecontrib.imagemining.server.page import page
from orangecontrib.imagemining.server.refusals import (
    Refusal,
    refused,
    refused_by_router,
)
from orangecontrib.imagemining.server.service import Service

__all__ = ["create_app"]

_Handler = Callable[[Service, Request], Awaitable[Response]]


async def embed_old(service: Service, request: Request) -> Response:
    """Embed one image, as Orange3-ImageAnalytics asks for it.

    It looks at no status: what has no "embedding" is an image skipped, after three
    attempts. So it is not turned away from a full queue, but waits before it. What its
    query says of the user's computer is not read.
    """
    client = service.client_of(request)
    served, layer = service.catalogue.old(request.path_params["network"])
    note_of(request).network = served.public
    way = spec_of(served, layer)
    async with service.body_of(request) as body:
        outcomes = await service.embed(
            request, client, way, [layer], [body], patient=True
        )
    (outcome,) = outcomes
    if isinstance(outcome, str):
        raise Refusal(422, "no-image", outcome)
    return JSONResponse({"embedding": outcome[layer].tolist()})


async def embed(service: Service, request: Request) -> Response:
    """Embed many images in one way."""
    client = service.client_of(request)
    async with service.body_of(request) as body:
        asked = unpack_request(body, service.settings.max_images)
        del body
        served = service.catalogue.find(asked.network)
        note_of(request).network = served.public
        ways = [
            spec_of(served, layer, asked.views, asked.fit, asked.precision)
            for layer in asked.layers
        ]
        way = ways[0]
        service.check_answer(ways, len(asked.images))
        outcomes = await service.embed(request, client, way, asked.layers, asked.images)
    answer = service.answer(served.public, way, asked.layers, outcomes)
    return Response(pack_answer(answer), media_type=MEDIA_TYPE)


async def networks(service: Service, request: Request) -> Response:
    """Tell what can be asked for."""
    service.client_of(request)
    return JSONResponse(service.about())


async def health(service: Service, request: Request) -> Response:
    """Tell that the process is alive."""
    return JSONResponse({"alive": True})


async def ready(service: Service, request: Request) -> Response:
    """Tell whether work is taken in."""
    obstacle = service.obstacle
    content = {"ready": not obstacle, "reason": obstacle}
    return JSONResponse(content, 503 if obstacle else 200)


async def metrics(service: Service, request: Request) -> Response:
    """Tell Prometheus what was done."""
    service.client_of(request)
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return PlainTextResponse(service.metrics.text(), headers={"Content-Type": kind})


async def status(service: Service, request: Request) -> Response:
    """Tell the page what was done."""
    service.client_of(request)
    return JSONResponse(service.status())


async def classes(service: Service, request: Request) -> Response:
    """Tell the names of ImageNet's classes, in the order of the logits."""
    return JSONResponse(
        list(class_names()), headers={"Cache-Control": "public, max-age=86400"}
    )


async def front(service: Service, request: Request) -> Response:
    """Give the page for people."""
    content, policy = page()
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return Response(content, headers=headers, media_type="text/html")


#: Path, method, what answers. Old clients cannot send a token in a header, but what
#: they are told as the server's address may have a path.
_ROUTES: tuple[tuple[str, str, _Handler], ...] = (
    ("/", "GET", front),
    (EMBED_PATH, "POST", embed),
    ("/image/{network}", "POST", embed_old),
    ("/t/{token}/image/{network}", "POST", embed_old),
    ("/networks", "GET", networks),
    ("/health", "GET", health),
    ("/ready", "GET", ready),
    ("/metrics", "GET", metrics),
    ("/status", "GET", status),
    ("/classes", "GET", classes),
)


def create_app(service: Service) -> Starlette:
    """Return the application that answers requests.

    Parameters
    ----------
    service
        Does the work; it is started and stopped with the application.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.stop()

    return Starlette(
        routes=[
            Route(path, _answering(handler, service, path), methods=[method])
            for path, method, handler in _ROUTES
        ],
        middleware=[
            Middleware(
                Guard,
                metrics=service.metrics,
                log=service.log,
                is_closing=lambda: service.closing,
            )
        ],
        exception_handlers={
            ImageMiningError: refused,
            HTTPException: refused_by_router,
        },
        lifespan=lifespan,
    )


def _answering(
    handler: _Handler, service: Service, path: str
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        note_of(request).route = path
        return await handler(service, request)

    return answer
