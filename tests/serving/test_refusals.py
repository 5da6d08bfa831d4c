"""What the service refuses: strangers, traversal, private addresses, huge and damaged bodies."""

import asyncio
import base64
import contextlib
import http.server
import ipaddress
import json
import os
import random
import socket
import socketserver
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import av
import httpx2 as httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from PIL import Image
from running_service import SILENT_SECONDS, Running, write_clip

from openaffect.errors import MediaError, UsageError
from openaffect.serving.fetch import Fetcher, is_public
from openaffect.serving.guard import Guard
from openaffect.serving.metrics import Metrics
from openaffect.serving.settings import ServeSettings
from openaffect.serving.store import UploadStore, safe_name

pytestmark = pytest.mark.timeout(1200)


def error_of(answer: httpx.Response) -> str:
    """The message of an error, which is one line of our own."""
    message = answer.json()["error"]["message"]
    assert isinstance(message, str) and "\n" not in message and "Traceback" not in message
    return message


def raw(service: Running, data: bytes, seconds: float = SILENT_SECONDS) -> bytes:
    """What the service answers to bytes as they are."""
    host, port = service.url.removeprefix("http://").split(":")
    deadline = time.monotonic() + seconds
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65536):
            connection.settimeout(max(deadline - time.monotonic(), 0.01))
            answer += piece
            if b"\r\n\r\n" in answer and b"connection: close" not in answer.lower():
                break
        return answer


# Who may ask


def test_other_addresses_need_a_key() -> None:
    with pytest.raises(UsageError, match="OPENAFFECT_API_KEY"):
        ServeSettings(host="0.0.0.0")
    with pytest.raises(UsageError, match="16"):
        ServeSettings(host="0.0.0.0", api_key="short")
    assert ServeSettings(host="0.0.0.0", api_key="k" * 16)
    assert (
        ServeSettings(host="::1").loopback
        and not ServeSettings(host="192.168.0.4", api_key="k" * 16).loopback
    )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    running = Running(
        worker=False,
        folder=tmp_path_factory.mktemp("guarded") / "private",
        api_key="a very secret key",
        idle_seconds=1.0,
        max_json_bytes=1 << 20,
        max_upload_bytes=1 << 20,
    )
    yield running
    running.stop()


@pytest.mark.parametrize(
    "path", ["/v1/models", "/metrics", "/v1/jobs", "/openapi.json", "/v1/nonesuch", "/v1/schema"]
)
def test_every_route_with_data_asks_for_the_key(guarded: Running, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "a very secret key"}):
        with httpx.Client(base_url=guarded.url, timeout=30) as stranger:
            answer = stranger.get(path, headers=headers)
        assert answer.status_code == 401
        assert error_of(answer)
    assert guarded.client.get(path).status_code in (200, 404)
    assert httpx.get(f"{guarded.url}/health", timeout=30).status_code == 503  # nothing is loaded


@pytest.mark.parametrize(
    "schema",
    [
        '{"type": "object", "required": 5}',
        '{"anyOf": {"a": 1}}',
        '{"type": "number", "minimum": 1' + 400 * "0" + "}",
        '{"type": "array", "minItems": "x"}',
        '{"type": "array", "minItems": 2000000000}',
    ],
)
def test_a_malformed_schema_is_one_line(guarded: Running, schema: str) -> None:
    form = '{"type": "json_schema", "json_schema": {"name": "x", "schema": ' + schema + "}}"
    body = '{"messages": [{"role": "user", "content": "?"}], "response_format": ' + form + "}"
    headers = {"content-type": "application/json"}
    answer = guarded.client.post("/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert error_of(answer).startswith("json_schema: ")


def test_other_sites_and_rebound_names_are_refused(service: Running) -> None:
    post = service.client.post("/v1/purge", headers={"origin": "https://evil.example"})
    assert post.status_code == 403 and "other sites" in error_of(post)
    got = service.client.get("/v1/jobs", headers={"host": "evil.example"})
    assert got.status_code == 403 and "own machine" in error_of(got)
    fine = service.client.post("/v1/purge", headers={"origin": service.url})
    assert fine.status_code == 200


# Paths and links


@pytest.mark.parametrize(
    "identity",
    ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a" * 22, "/etc/passwd", "clip.mp4"],
)
def test_no_path_leads_out_of_the_folder(service: Running, identity: str) -> None:
    assert service.client.delete(f"/v1/uploads/{identity}").status_code in (404, 405)
    answer = service.client.post("/v1/analyze", data={"upload": identity})
    assert answer.status_code == 404 and "/etc" not in error_of(answer)
    for url in (f"upload:{identity}", f"file://{identity}", identity):
        body = {
            "messages": [
                {"role": "user", "content": [{"type": "video_url", "video_url": {"url": url}}]}
            ]
        }
        answer = service.client.post("/v1/chat/completions", json=body)
        assert answer.status_code in (400, 404)
        assert error_of(answer)
    assert (
        raw(service, b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n")[9:12] == b"404"
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../a.mp4", "a.mp4"),
        ("C:\\x\\b.mp4", "b.mp4"),
        ("..", "clip"),
        ("", "clip"),
        (None, "clip"),
        ("a\x00\nb.mp4", "ab.mp4"),
        ("x" * 500 + ".mp4", "x" * 116 + ".mp4"),
    ],
)
def test_names_lose_their_folders(given: str | None, kept: str, tmp_path: Path) -> None:
    assert safe_name(given) == kept
    store = UploadStore(tmp_path / "s", 60)
    upload = store.add([b"x"], given)
    assert upload.path.parent == tmp_path / "s" and upload.path.name.startswith(upload.id)
    assert upload.path.stat().st_mode & 0o077 == 0


def test_a_link_in_the_folder_is_no_upload(tmp_path: Path) -> None:
    store = UploadStore(tmp_path / "s", 60)
    upload = store.add([b"x"], "a.mp4")
    upload.path.unlink()
    upload.path.symlink_to("/etc/passwd")
    with pytest.raises(Exception, match="no such upload"):
        store.get(upload.id)
    store.delete(upload.id)
    assert Path("/etc/passwd").exists() and not os.path.lexists(upload.path)


# Addresses


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
    ],
)
def test_private_addresses_are_told_from_public_ones(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) == public


def test_fetching_is_off_unless_domains_are_listed(service: Running) -> None:
    body = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "video_url", "video_url": {"url": "http://127.0.0.1:1/a.mp4"}}
                ],
            }
        ]
    }
    answer = service.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400 and "not fetched" in error_of(answer)


DRIPS, DRIP_SECONDS = 200, 0.1  # what a slow server sends, piece by piece
CLIPS: dict[str, bytes] = {}
"""What the little web server holds besides."""


@pytest.fixture(scope="module")
def web():
    """A little web server on loopback: a file, redirects, an endless body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            places = {
                "/away": "http://elsewhere.test/a",
                "/in": "http://inside.test/a",
                "/round": "/round",
                "/on": "/a",
            }
            if self.path in places:
                self.send_response(302)
                self.send_header("Location", places[self.path])
                self.end_headers()
                return
            self.send_response(200)
            if self.path == "/huge":
                self.send_header("Content-Length", str(10 << 30))
                self.end_headers()
                return
            if self.path == "/drip":
                self.drip(b"X-Slow: 1\r\n")
                return
            if self.path == "/short":
                self.send_header("Content-Length", "500")
            self.end_headers()
            if self.path == "/drip-body":
                self.drip(b"x")
                return
            plain = b"x" * (5000 if self.path == "/big" else 10)
            self.wfile.write(CLIPS.get(self.path, plain))

        def drip(self, piece: bytes) -> None:
            self.flush_headers()
            with contextlib.suppress(OSError):
                for _ in range(DRIPS):
                    self.wfile.write(piece)
                    time.sleep(DRIP_SECONDS)

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingTCPServer):  # without HTTPServer's look-up of its own name
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def fetcher(port: int, **names: str) -> Fetcher:
    """Names lead where the test says; only 127.0.0.1 counts as public here."""
    known = {"media.test": "127.0.0.1", "inside.test": "127.0.0.2", **names}
    return Fetcher(
        ("media.test", "inside.test"),
        1000,
        30.0,
        allowed=lambda address: str(address) == "127.0.0.1",
        resolver=lambda host, _: [ipaddress.ip_address(known[host])],
        ports={"http": port},
    )


def test_a_listed_domain_is_fetched_and_all_else_is_refused(web: int) -> None:
    fetch = fetcher(web).fetch
    assert b"".join(fetch("http://media.test/a")) == b"x" * 10
    assert b"".join(fetch("http://media.test/on")) == b"x" * 10
    refused = {
        "http://elsewhere.test/a": "domain",
        "http://media.test.evil.test/a": "domain",
        "http://inside.test/a": "private",
        "http://media.test/away": "domain",
        "http://media.test/in": "private",
        "http://media.test:1/a": "port",
        "http://user@media.test/a": "user name",
        "ftp://media.test/a": "http",
        "http://[::1/a": "valid",
    }
    for url, reason in refused.items():
        with pytest.raises(UsageError, match=reason):
            list(fetch(url))
    for url, reason in {
        "/round": "redirects",
        "/huge": "larger",
        "/big": "larger",
        "/short": "ended",
    }.items():
        with pytest.raises(MediaError, match=reason):
            list(fetch(f"http://media.test{url}"))


@pytest.mark.parametrize("path", ["/drip", "/drip-body"])
def test_a_server_that_drips_is_left_in_time(web: int, path: str) -> None:
    slow = fetcher(web)
    slow.seconds = 1.0
    began = time.monotonic()
    with pytest.raises(MediaError, match="longer than 1 s"):
        list(slow.fetch(f"http://media.test{path}"))
    assert time.monotonic() - began < DRIPS * DRIP_SECONDS  # when it would have had all of it


def test_a_listed_domain_s_clip_is_answered_through_the_service(
    service: Running, web: int, clip: Path, monkeypatch
) -> None:
    inner = service.service
    monkeypatch.setattr(inner, "settings", replace(inner.settings, allowed_domains=("media.test",)))
    open_door = fetcher(web)
    open_door.most_bytes = 1 << 20
    monkeypatch.setattr(inner, "fetcher", open_door)
    CLIPS["/clip"] = clip.read_bytes()
    statuses = {"/clip": 200, "/a": 400, "/in": 400, "/away": 400, "/huge": 400}
    for path, status in statuses.items():
        part = {"type": "video_url", "video_url": {"url": f"http://media.test{path}"}}
        content = [part, {"type": "text", "text": "Who?"}]
        body = {"messages": [{"role": "user", "content": content}]}
        answer = service.client.post("/v1/chat/completions", json=body)
        assert answer.status_code == status, answer.text
    assert service.files() == []


def test_the_checked_address_is_the_one_dialled(web: int) -> None:
    """A name that turns private after the check is dialled where it was checked."""
    answers = iter(["127.0.0.1", "127.0.0.2"])
    once = fetcher(web)
    once.resolver = lambda host, _: [ipaddress.ip_address(next(answers))]
    assert b"".join(once.fetch("http://media.test/a")) == b"x" * 10


# Bodies


def test_a_huge_declared_body_is_refused_before_it_comes(service: Running) -> None:
    head = (
        b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
        b"boundary=x\r\nContent-Length: 10737418240\r\n\r\n"
    )
    assert raw(service, head)[9:12] == b"413"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", "application/json"),
        ("/v1/uploads", "multipart/form-data; boundary=x"),
        ("/v1/nonesuch", "application/json"),
    ],
)
def test_a_body_that_grows_beyond_the_limit_is_cut_off(
    service: Running, path: str, kind: str
) -> None:
    """A refused body is not read to its end: whoever goes on sending finds the door closed."""
    most, piece = 64 << 20, b"10000\r\n" + b"y" * 65536 + b"\r\n"
    host, port = service.url.removeprefix("http://").split(":")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    sent, answer = 0, b""
    deadline = time.monotonic() + SILENT_SECONDS
    with socket.create_connection((host, int(port)), timeout=SILENT_SECONDS) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
            while sent < most and time.monotonic() < deadline:
                connection.sendall(piece)
                sent += len(piece)
        with contextlib.suppress(ConnectionError):  # the answer may be lost with the connection
            answer = connection.recv(65536)
    assert sent < most, "all of it was taken"
    assert answer[9:12] in (b"400", b"404", b"413", b"")
    assert service.files() == []
    assert service.client.get("/health").status_code == 200


def test_a_body_that_does_not_come_is_given_up(guarded: Running) -> None:
    head = (
        b"POST /v1/purge HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a very secret key\r\n"
    )
    chat = head.replace(b"/v1/purge", b"/v1/chat/completions")
    answer = raw(guarded, chat + b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{")
    assert answer[9:12] == b"408"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"messages": 3}',
        b'{"messages": []}',
        b"null",
        b'{"messages":[{"role":"user","content":[{"type":"video_url"}]}]}',
        b'{"messages":[{"role":"user","content":[{"type":["a"]}]}]}',
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"messages":[{"role":"user","content":"a"}],"max_tokens":1e400}',
    ],
)
def test_broken_json_is_one_line(service: Running, content: bytes) -> None:
    answer = service.client.post(
        "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (200, 400)
    if answer.status_code == 400:
        assert error_of(answer)


# Media


def test_media_bombs_are_refused(service: Running, tmp_path: Path) -> None:
    bombs = []
    picture = tmp_path / "bomb.png"
    header = b"\x89PNG\r\n\x1a\n"
    wide = (60000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    rows = zlib.compress(b"\0" * 10_000_000)
    for kind, data in ((b"IHDR", wide), (b"IDAT", rows), (b"IEND", b"")):
        crc = zlib.crc32(kind + data).to_bytes(4, "big")
        header += len(data).to_bytes(4, "big") + kind + data + crc
    picture.write_bytes(header)
    bombs.append(picture)
    large = tmp_path / "large.mp4"
    with av.open(str(large), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 4096, 2160, "yuv420p"
        for _ in range(2):
            frame = av.VideoFrame.from_ndarray(np.zeros((2160, 4096, 3), np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    bombs.append(large)
    bombs.append(write_clip(tmp_path / "endless.mp4", 90, 200))
    playlist = tmp_path / "list.mp4"
    playlist.write_bytes(b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n")
    bombs.append(playlist)
    archive = tmp_path / "zip.mp4"
    archive.write_bytes(b"PK\x03\x04" + zlib.compress(b"\0" * 1_000_000))
    bombs.append(archive)
    for bomb in bombs:
        with bomb.open("rb") as file:
            answer = service.client.post("/v1/analyze", files={"file": (bomb.name, file)})
        assert answer.status_code == 400, bomb.name
        message = error_of(answer)
        assert str(service.settings.folder) not in message and "passwd" not in message
    assert service.files() == []


def damaged(good: bytes, seed: int) -> bytes:
    """A clip with some bytes changed, cut or doubled."""
    chance = random.Random(seed)
    data = bytearray(good)
    for _ in range(chance.randint(1, 40)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    if seed % 3 == 0:
        del data[chance.randrange(len(data)) :]
    if seed % 5 == 0:
        data += data[: chance.randrange(len(data) + 1)]
    return bytes(data)


def check_damaged(service: Running, good: bytes, count: int) -> None:
    for seed in range(count):
        files = {"file": ("a.mp4", damaged(good, seed))}
        answer = service.client.post("/v1/analyze", files=files, data={"segments": "never"})
        assert answer.status_code in (200, 400), seed
        if answer.status_code == 400:
            error_of(answer)
    assert service.files() == []


def test_damaged_media_cost_only_themselves(service: Running, clip: Path) -> None:
    check_damaged(service, clip.read_bytes(), 25)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_damaged_media_cost_only_themselves(service: Running, clip: Path) -> None:
    check_damaged(service, clip.read_bytes(), 500)


def test_a_stranger_image_is_read_like_a_clip(service: Running, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 48), (90, 90, 90)).save(path)
    data = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    body = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": data}},
                    {"type": "text", "text": "Who?"},
                ],
            }
        ]
    }
    assert service.client.post("/v1/chat/completions", json=body).status_code == 200


# Everything at once


def left_of(service: Running, made: list[str]) -> list[str]:
    """What lies in the private folder once all that was answered for is deleted."""
    for path in made:
        service.client.delete(path)
    return service.files()


def fuzz(service: Running, examples: int) -> tuple[int, list[str]]:
    """Generated requests for every operation of the OpenAPI document.

    Returns how many, and the addresses of what was made of them.
    """
    document = service.client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    count, made = 0, list[str]()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/events"):
            continue
        count += _fuzz_operation(service, operation, examples, made)
    return count, made


def _fuzz_operation(service: Running, operation, examples: int, made: list[str]) -> int:
    from hypothesis import given

    sent = 0
    strategy = operation.as_strategy()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case) -> None:
        nonlocal sent
        sent += 1
        answer = case.call(base_url=service.url, timeout=60)
        assert answer.status_code < 500 or answer.status_code == 503, (
            operation.label,
            answer.status_code,
        )
        assert "Traceback" not in answer.text
        if answer.status_code >= 400:
            assert json.loads(answer.text)["error"]["message"]
        if answer.status_code in (201, 202):
            made.append(f"{operation.path}/{json.loads(answer.text)['id']}")

    ask()
    return sent


def test_generated_requests_break_nothing(service: Running) -> None:
    count, made = fuzz(service, 6)
    assert count > 60 and left_of(service, made) == []
    assert service.client.get("/health").status_code == 200


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_generated_requests_break_nothing(service: Running) -> None:
    count, made = fuzz(service, 100)
    assert count >= 1000 and left_of(service, made) == []
    assert service.client.get("/health").status_code == 200


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("path", "kind", "bodies"),
    [
        ("/v1/jobs", "multipart/form-data; boundary=x", 2),
        ("/v1/chat/completions", "application/json", 8),
        ("/v1/chat/completions", "multipart/form-data; boundary=x", 8),  # in memory all the same
    ],
)
def test_bodies_are_bounded_together(path: str, kind: str, bodies: int, tmp_path: Path) -> None:
    """Two forms of 30 bytes, eight in memory; one more waits until another one is answered."""
    held, ended = [], []

    async def holding(scope, receive, send) -> None:
        while (await receive()).get("more_body"):
            pass
        done = asyncio.Event()
        held.append(done)
        await done.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    limits = ServeSettings(
        folder=tmp_path, max_upload_bytes=50, max_kept_bytes=60, max_json_bytes=60
    )
    guard = Guard(holding, limits, Metrics())
    headers = [(b"host", b"localhost"), (b"content-type", kind.encode())]

    async def one() -> dict:
        pieces = [b"x" * 10, b"x" * 20]
        sent: list[dict] = []

        async def receive() -> dict:
            return {"type": "http.request", "body": pieces.pop(), "more_body": bool(pieces)}

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
        await guard(scope, receive, send)
        ended.append(sent[0]["status"])
        return sent[0]

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(one()) for _ in range(bodies)]
        while len(held) < bodies:
            await asyncio.sleep(0)
        refused = await one()
        assert refused["status"] == 429 and b"retry-after" in dict(refused["headers"])
        held[0].set()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        tasks.append(asyncio.create_task(one()))
        while len(held) < bodies + 1:
            await asyncio.sleep(0)
        for done in held:
            done.set()
        await asyncio.gather(*tasks)

    asyncio.run(all_of_them())
    assert ended == [429, *(bodies + 1) * [200]]


def test_a_form_with_two_files_is_refused(service: Running, clip: Path) -> None:
    files = [("file", ("a.mp4", clip.read_bytes())), ("other", ("b.mp4", b"x"))]
    before = service.files()
    answer = service.client.post("/v1/uploads", files=files)
    assert answer.status_code == 400 and service.files() == before
