"""The review page on this machine: a server on the loopback address, of the standard library.

Answers only to its own name (no other site can reach it through a changed name record) and takes
writes only from its own page. Serves the page, its style and script, the clips of samples, and
what `ReviewDesk` says.
"""

from __future__ import annotations

import json
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openaffect.annotation.review.desk import ReviewDesk
from openaffect.annotation.review.media import TYPES, Span, asked_span
from openaffect.annotation.review.store import ClosedError, ConflictError
from openaffect.errors import OpenAffectError, UsageError

ADDRESS = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")
LARGEST_BODY = 256 * 1024  # bytes of a request
BLOCK = 64 * 1024  # bytes read of a clip at once
IDLE = 60.0  # seconds after which a silent connection is closed
PAGE = {
    "/": ("review.html", "text/html; charset=utf-8"),
    "/review.css": ("review.css", "text/css; charset=utf-8"),
    "/review.js": ("review.js", "text/javascript; charset=utf-8"),
    "/timeline.js": ("timeline.js", "text/javascript; charset=utf-8"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; media-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class ReviewServer(ThreadingHTTPServer):
    """Serves one corpus's reviews until it is shut down. Port 0 takes a free one.

    Raises UsageError where the port is taken.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(self, desk: ReviewDesk, port: int = 0) -> None:
        self.desk = desk
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UsageError(f"--port {port}: {error.strerror}; choose another") from error

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{ADDRESS}:{self.server_address[1]}/"


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@cache
def _page_file(name: str) -> bytes:
    return resources.files("openaffect.annotation.review.page").joinpath(name).read_bytes()


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    server_version = "openaffect"
    sys_version = ""
    timeout = IDLE

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing: what is reviewed is nobody else's business."""

    def do_GET(self) -> None:
        self._answer(self._get)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, work: Any) -> None:
        try:
            self._check_host()
            work()
        except _Refused as refused:
            self._send_json({"error": str(refused)}, refused.status)
        except ConflictError as error:
            self._send_json({"error": str(error), "kind": "conflict"}, 409)
        except ClosedError as error:
            self._send_json({"error": str(error), "kind": "closed"}, 409)
        except UsageError as error:
            self._send_json({"error": str(error)}, 400)
        except OpenAffectError as error:
            self._send_json({"error": str(error)}, 500)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True  # the browser has gone on
        except Exception as error:  # the last door: told in one line
            self._send_json({"error": f"unexpected {type(error).__name__}: {error}"}, 500)

    def _check_host(self) -> None:
        name, _, port = self.headers.get("Host", "").rpartition(":")
        if name not in NAMES or port != str(self.server.server_address[1]):
            self.close_connection = True
            raise _Refused(403, "this server answers to its own address only")

    def _get(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        desk = self.server.desk
        if url.path in PAGE:
            name, kind = PAGE[url.path]
            self._send(_page_file(name), kind)
        elif url.path == "/media":
            self._send_file(desk.media(query.get("sample", "")))
        elif url.path == "/api/corpus":
            self._send_json(desk.corpus())
        elif url.path == "/api/next":
            after = query.get("after")
            self._send_json(desk.next(query.get("reviewer", ""), query.get("queue", ""), after))
        elif url.path == "/api/agreement":
            self._send_json(desk.agreement())
        else:
            raise _Refused(404, "nothing here")

    def _post(self) -> None:
        given = self._body()
        desk = self.server.desk
        actions = {
            "/api/open": (desk.open, ("id", "reviewer", "queue")),
            "/api/save": (
                desk.save,
                ("id", "sample", "reviewer", "queue", "base", "judgement"),
            ),
            "/api/undo": (desk.undo, ("id", "reviewer")),
            "/api/draft": (desk.save_draft, ("sample", "reviewer", "queue", "draft")),
            "/api/export": (desk.export, ()),
        }
        if self.path not in actions:
            raise _Refused(404, "nothing here")
        action, names = actions[self.path]
        if set(given) != set(names):
            raise _Refused(400, f"the body must name {', '.join(names) or 'nothing'}")
        for name in {"id", "sample", "reviewer", "queue"} & set(names):
            if not isinstance(given[name], str):
                raise _Refused(400, f"{name} must be a text")
        self._send_json(action(**given))  # type: ignore[operator]

    def _body(self) -> dict[str, Any]:
        """The JSON object of a request from the own page. Raises _Refused."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length[:12]) > LARGEST_BODY:
            self.close_connection = True
            raise _Refused(413, f"a body has a length of at most {LARGEST_BODY} bytes")
        data = self.rfile.read(int(length))
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers['Host']}":
            raise _Refused(403, "writes from other sites are refused")
        if self.headers.get_content_type() != "application/json":
            raise _Refused(415, "the body must be application/json")
        try:
            given = json.loads(data)
        except (ValueError, RecursionError):
            raise _Refused(400, "the body is not JSON") from None
        if not isinstance(given, dict):
            raise _Refused(400, "the body must be an object")
        return given

    def _send_json(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self._send(data, "application/json", status)

    def _send(self, data: bytes, kind: str, status: int = 200) -> None:
        self._head(status, kind, len(data))
        if self.command != "HEAD":
            self.wfile.write(data)

    def _head(self, status: int, kind: str, length: int, **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _send_file(self, path: Path) -> None:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            try:
                asked = asked_span(self.headers.get("Range"), size)
            except ValueError:
                self._head(416, "text/plain", 0, Content_Range=f"bytes */{size}")
                return
            span = asked or Span(0, size)
            more = {"Accept_Ranges": "bytes"}
            if asked is not None:
                more["Content_Range"] = f"bytes {span.first}-{span.end - 1}/{size}"
            kind = TYPES[path.suffix.lower()]
            self._head(200 if asked is None else 206, kind, span.end - span.first, **more)
            if self.command == "HEAD":
                return
            file.seek(span.first)
            left = span.end - span.first
            while left:
                block = file.read(min(BLOCK, left))
                if not block:  # cut off while it was being sent
                    self.close_connection = True
                    return
                self.wfile.write(block)
                left -= len(block)
