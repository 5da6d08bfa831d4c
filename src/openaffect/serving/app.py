"""The application: routes, errors as clients see them, and the web page."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from openaffect import __version__
from openaffect.errors import OpenAffectError
from openaffect.serving.guard import Guard, error_body
from openaffect.serving.jobs import Draining, QueueFull
from openaffect.serving.routes import NotFound, NotReady, router
from openaffect.serving.service import ClientLeft, ClipGone, JobFailed, Service, UnknownModel
from openaffect.serving.settings import ServeSettings
from openaffect.serving.store import NoRoom, StoreFull, UploadMissing
from openaffect.serving.views import describe

FULL_SECONDS = "60"  # until room for an upload may be there again
CLIENT_LEFT = 499  # nobody reads it; it stands in the log
ASSETS = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def build_app(settings: ServeSettings) -> Guard:
    """The ASGI application; models are loaded when it starts."""
    service = Service(settings)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        # Bodies that are still coming in are spooled to nameless files; they, too, stay private.
        before, tempfile.tempdir = tempfile.tempdir, str(settings.folder)
        try:
            await _started(app, service)
            yield
        finally:
            await service.stop()
            tempfile.tempdir = before

    app = FastAPI(
        title="openaffect",
        version=__version__,
        description="Emotions as perceived in video clips, with the clues that led there.",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.state.service = service
    app.state.failure = None  # why it did not start
    app.include_router(router)
    describe(app)
    for path in ASSETS:
        app.get(path, include_in_schema=False)(_page)
    app.exception_handler(OpenAffectError)(_failed)
    app.exception_handler(NotFound)(_not_found)
    app.exception_handler(NotReady)(_not_ready)
    app.exception_handler(ClientLeft)(_left)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_unexpected)
    return Guard(app, settings, service.metrics)


async def _started(app: FastAPI, service: Service) -> None:
    """Start the service; why it fails is kept for whoever runs the application."""
    try:
        await service.start()
    except Exception as error:
        app.state.failure = error
        raise


@cache
def _asset(name: str) -> str:
    return resources.files("openaffect.serving.page").joinpath(name).read_text("utf-8")


async def _page(request: Request) -> Response:
    name, kind = ASSETS[request.url.path]
    return Response(_asset(name), media_type=kind)


def _told(status: int, message: str, code: str | None = None, **headers: str) -> JSONResponse:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    if status == 429:
        kind = "rate_limit_error"
    return JSONResponse(error_body(message, kind, code), status, headers)


async def _failed(_: Request, error: Exception) -> Response:
    if isinstance(error, QueueFull):
        return _told(429, str(error), "queue_full", **{"Retry-After": str(error.retry_after)})
    if isinstance(error, Draining):
        return _told(503, str(error), "draining", **{"Retry-After": "5"})
    if isinstance(error, UnknownModel):
        return _told(404, str(error), "model_not_found")
    if isinstance(error, UploadMissing):
        return _told(404, str(error), "upload_not_found")
    if isinstance(error, ClipGone):
        return _told(410, str(error), "clip_gone")
    if isinstance(error, StoreFull):
        return _told(429, str(error), "store_full", **{"Retry-After": FULL_SECONDS})
    if isinstance(error, NoRoom):
        return _told(503, str(error), "no_room", **{"Retry-After": FULL_SECONDS})
    if isinstance(error, JobFailed) and error.why == "cancelled":
        return _told(409, str(error), "cancelled", **{"x-should-retry": "false"})  # OpenAI's client
    if isinstance(error, JobFailed) and error.why == "clip":
        # not 503: clients would send the same clip again, which may have ended its worker
        return _told(422, str(error), "not_processed")
    if isinstance(error, JobFailed) and error.why == "model":
        return _told(503, str(error), "not_loaded")
    return _told(400, str(error))


async def _not_found(_: Request, error: Exception) -> Response:
    return _told(404, str(error), "not_found")


async def _not_ready(_: Request, error: Exception) -> Response:
    return _told(409, str(error), "not_ready")


async def _left(_: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_LEFT)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"][1:]) or "body"
    return _told(400, f"{where[:200]}: {first['msg'][:300]}")


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {404: "there is nothing at this address", 405: "this method is not allowed here"}
    message = told.get(error.status_code, "the request cannot be read")
    headers = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
    return _told(error.status_code, message, None, **headers)


async def _unexpected(_: Request, error: Exception) -> Response:
    return _told(500, "the service failed")
