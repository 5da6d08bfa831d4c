"""What every request passes first: host, origin, key, size and pace of the body; and the log.

Plain ASGI, so that bodies are counted as they arrive and refused before they are stored.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from openaffect.serving.metrics import Metrics
from openaffect.serving.settings import ServeSettings

OPEN_PATHS = ("/", "/page.css", "/page.js", "/health")
"""Paths without any data, which need no key."""
FORM_PATHS = ("/v1/uploads", "/v1/analyze", "/v1/jobs")
"""Paths that take a clip in a form."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
JSON_BODIES = 4  # of the largest size; so much is in memory at once, and more gets 429
BUSY_SECONDS = b"10"  # until a request whose body is held may be answered
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
log = logging.getLogger("openaffect.serving")


class Refused(Exception):
    """A request that goes no further; `headers` are added to its answer."""

    def __init__(
        self, status: int, message: str, code: str, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers


def error_body(message: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """An error as the OpenAI interface tells it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@dataclass
class _Body:
    """How far a request's body is."""

    expected: bool = False  # the head announces one
    form: bool = False  # it goes to the disk; any other one is in memory
    size: int = 0  # bytes that were read
    whole: bool = False  # all of it was read


def _has_body(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


class Guard:
    """The ASGI application around the application."""

    def __init__(self, app: Any, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._held = {True: 0, False: 0}  # bytes of all requests' bodies: forms, JSON

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, number = time.monotonic(), secrets.token_hex(8)
        status = 0
        refusals: list[Refused] = []  # of the body, which the application would tell in other words
        body = _Body()

        async def answer(message: Any) -> None:
            nonlocal status
            if refusals and (not status or status == refusals[0].status):
                if not status:
                    status = refusals[0].status
                    refused = refusals[0]
                    told = _told(refused)
                    await _send_json(send, status, told, [*HEADERS, *refused.headers])
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [*HEADERS, (b"x-request-id", number.encode())]
                if body.expected and not body.whole:  # nobody reads the rest
                    extra.append((b"connection", b"close"))
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            headers = {key.lower(): value for key, value in scope["headers"]}
            body.expected = _has_body(headers)
            multipart = headers.get(b"content-type", b"").lower().startswith(b"multipart/")
            body.form = multipart and scope["path"] in FORM_PATHS
            self._check(scope, headers, body)
            await self.app(scope, self._counted(receive, refusals, body), answer)
        except Refused as refused:
            if not status:
                refusals.clear()
                await _send_json(answer, refused.status, _told(refused), refused.headers)
        except RecursionError:
            if not status:
                told = error_body("the JSON is nested too deeply", "invalid_request_error")
                await _send_json(answer, 400, told)
        except Exception as error:
            log.error("%s unexpected %s", number, type(error).__name__)
            if not status:
                told = error_body("the service failed", "server_error")
                await _send_json(answer, 500, told)
        finally:
            self._held[body.form] -= body.size
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.metrics.requests.labels(method, route, str(status or 499)).inc()
            seconds = time.monotonic() - began
            log.info("%s %s %s %s %.3f s", number, method, route, status or 499, seconds)

    def _check(self, scope: Any, headers: dict[bytes, bytes], body: _Body) -> None:
        """Refuse by what the head of the request says; raises Refused."""
        settings = self.settings
        host = headers.get(b"host", b"").decode("latin-1")
        if settings.api_key is None and _name(host) not in (*LOOPBACK_NAMES, settings.host):
            raise Refused(403, "this service answers to its own machine only", "host")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and scope["method"] not in ("GET", "HEAD") and _netloc(origin) != host:
            raise Refused(403, "requests from other sites are refused", "origin")
        if settings.api_key is not None and scope["path"] not in OPEN_PATHS:
            given = headers.get(b"authorization", b"").decode("latin-1")
            given = given[7:] if given[:7].lower() == "bearer " else ""
            if not hmac.compare_digest(given.encode(), settings.api_key.encode()):
                raise Refused(401, "the API key is missing or wrong", "invalid_api_key")
        declared = headers.get(b"content-length")
        if declared is not None:
            if not declared.isdigit():
                raise Refused(400, "the content length is not a number", "content_length")
            self._check_size(int(declared[:20]), body)

    def _check_size(self, size: int, body: _Body) -> None:
        """Refuse a body of that size, alone or beside those that are held already."""
        settings = self.settings
        most = settings.max_upload_bytes if body.form else settings.max_json_bytes
        if size > most:
            raise Refused(413, f"the body is over {most} bytes", "too_large")
        together = max(settings.max_kept_bytes, most) if body.form else JSON_BODIES * most
        if self._held[body.form] - body.size + size > together:
            message = "the bodies of unanswered requests are too large together; try again later"
            raise Refused(429, message, "busy", [(b"retry-after", BUSY_SECONDS)])

    def _counted(self, receive: Any, refusals: list[Refused], body: _Body) -> Any:
        """`receive` that refuses a body which is too large or too slow."""
        deadline = time.monotonic() + self.settings.body_seconds

        async def counted() -> Any:
            if body.whole:
                return await receive()
            wait = min(self.settings.idle_seconds, max(deadline - time.monotonic(), 0.01))
            try:
                message = await asyncio.wait_for(receive(), wait)
            except TimeoutError:
                refusals.append(Refused(408, "the body arrived too slowly", "timeout"))
                raise refusals[0] from None
            if message["type"] == "http.request":
                more = len(message.get("body", b""))
                try:
                    self._check_size(body.size + more, body)
                except Refused as refused:
                    refusals.append(refused)
                    raise
                body.size += more
                self._held[body.form] += more
                body.whole = not message.get("more_body", False)
            return message

        return counted


METHODS = ("GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _told(refused: Refused) -> dict[str, Any]:
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    kind = kinds.get(refused.status, "invalid_request_error")
    return error_body(refused.message, kind, refused.code)


async def _send_json(
    send: Any, status: int, body: dict[str, Any], extra: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    data = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
        (b"connection", b"close"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
