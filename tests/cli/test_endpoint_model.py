"""`openaffect eval BENCHMARK --endpoint` against a local server that looks at what it is sent."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from published_sets import MADE, put

from openaffect.cli import evaluate_closed
from openaffect.evaluation import endpoint_model
from openaffect.inference import chat_endpoint


class VideoModel:
    """Answers with the words that the clip's bytes hold; fails where `failing` or told to."""

    def __init__(self) -> None:
        self.requests: list[dict] = []
        self.headers: list[str | None] = []
        self.failing = False
        self.refused: dict[str, int] = {}  # what a clip's bytes hold -> HTTP status
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(request)
                outer.headers.append(self.headers["Authorization"])
                status = 400 if outer.failing else outer.refused.get(outer.seen(request))
                if status:
                    self.send_error(status)
                    return
                answer = {"choices": [{"message": {"content": outer.seen(request)}}]}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def seen(request: dict) -> str:
        media, _ = request["messages"][0]["content"]
        if media["type"] == "input_audio":
            return base64.b64decode(media["input_audio"]["data"]).decode()
        head, data = media["video_url"]["url"].split(",")
        assert head == "data:video/mp4;base64"
        return base64.b64decode(data).decode()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(chat_endpoint, "PAUSE", 0.01)
    made = VideoModel()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def dfew_clips(tmp_path):
    MADE["dfew"][0](tmp_path / "data")
    clips = tmp_path / "data" / "Clip" / "original" / "part_1"
    put(clips / "1.mp4", "The person looks happy.")
    put(clips / "11.mp4", "I cannot determine that.")
    return tmp_path


def test_a_clip_is_sent_once_and_scored(run_here, server, dfew_clips, monkeypatch):
    monkeypatch.setenv("OPENAFFECT_ENDPOINT_KEY", "secret")
    out = dfew_clips / "out"
    arguments = ["eval", "dfew", "--data", str(dfew_clips / "data"), "--endpoint", server.url]
    arguments += ["--model", "some-video-model", "--out", str(out), "--json"]
    code, printed, told = run_here(arguments)
    assert code == 0, told
    found = json.loads(printed)
    assert found["folds"]["1"]["problems"] == {"invalid": 0, "refused": 1, "unanswered": 0}
    assert found["mean"]["war"] == 0.5 and found["endpoint"]["calls"] == 2
    assert "streams" not in found  # nobody knows what the server looked at
    assert set(server.headers) == {"Bearer secret"}
    request = server.requests[0]
    assert request["model"] == "some-video-model" and request["temperature"] == 0
    assert "happiness, sadness, neutral" in request["messages"][0]["content"][1]["text"]
    # The clip's bytes are not kept, only their hash; the second run sends nothing.
    kept = (out / "answers.jsonl").read_text()
    assert "base64" not in kept and "sha256" in kept and "secret" not in kept
    code, printed, _ = run_here(arguments)
    again = json.loads(printed)
    assert again["endpoint"] == {"seed": 0, "calls": 0, "cached": 2, "refused_by_server": {}}
    assert again["mean"] == found["mean"] and len(server.requests) == 2
    # Another content is another question.
    put(dfew_clips / "data" / "Clip" / "original" / "part_1" / "11.mp4", "anger")
    code, printed, _ = run_here(arguments)
    assert json.loads(printed)["mean"]["war"] == 1 and len(server.requests) == 3


def test_a_dry_run_tells_the_cost_and_sends_nothing(run_here, server, dfew_clips):
    out = dfew_clips / "out"
    arguments = ["eval", "dfew", "--data", str(dfew_clips / "data"), "--endpoint", server.url]
    arguments += ["--model", "m", "--out", str(out)]
    code, printed, told = run_here([*arguments, "--dry-run", "--json"])
    assert code == 0, told
    cost = json.loads(printed)
    clips = (dfew_clips / "data" / "Clip").rglob("*.mp4")
    size = sum(clip.stat().st_size for clip in clips if clip.stem in ("1", "11"))
    assert (cost["calls"], cost["bytes_sent"]) == (2, size)
    assert cost["tokens_sent"] > 60 and cost["reply_tokens_at_most"] == 1024
    assert server.requests == [] and not out.exists()
    run_here(arguments)
    code, printed, _ = run_here([*arguments, "--dry-run"])
    assert code == 0 and printed.startswith("at most 0 calls") and len(server.requests) == 2
    code, _, told = run_here([*arguments[:4], "--dry-run"])
    assert code == 2 and "--dry-run is for --endpoint" in told


def test_sound_and_clips_that_cannot_be_sent(run_here, server, tmp_path, monkeypatch):
    MADE["iemocap"][0](tmp_path)
    wav = next((tmp_path / "Session1").rglob("*.wav"))
    wav.write_text("happy")
    arguments = ["eval", "iemocap", "--data", str(tmp_path), "--endpoint", server.url]
    arguments += ["--model", "m", "--out", str(tmp_path / "out"), "--json"]
    code, printed, _ = run_here(arguments)
    found = json.loads(printed)["folds"]["1"]
    assert code == 0 and found["problems"]["unanswered"] == 1 and found["figures"]["war"] == 0.5
    monkeypatch.setattr(endpoint_model, "MOST_BYTES", 3)
    code, _, told = run_here(arguments)
    assert code == 2 and "5 bytes are too many" in told and "no clip" in told


def test_a_server_that_refuses_ends_the_run_in_one_line(run_here, server, dfew_clips):
    server.failing = True
    arguments = ["eval", "dfew", "--data", str(dfew_clips / "data"), "--endpoint", server.url]
    code, _, told = run_here([*arguments, "--model", "m", "--out", str(dfew_clips / "out")])
    assert code == 1 and told.count("\n") == 1 and "HTTP 400" in told
    code, _, told = run_here(arguments)
    assert code == 2 and "--out" in told
    code, _, told = run_here([*arguments, "--modalities", "V"])
    assert code == 2 and "exclude" in told


@pytest.mark.parametrize("refused", ["The person looks happy.", "I cannot determine that."])
def test_a_clip_that_the_server_refuses_costs_itself_alone(run_here, server, dfew_clips, refused):
    server.refused[refused] = 413  # the first clip or the last
    out = dfew_clips / "out"
    arguments = ["eval", "dfew", "--data", str(dfew_clips / "data"), "--endpoint", server.url]
    arguments += ["--model", "m", "--out", str(out)]
    code, printed, told = run_here([*arguments, "--json"])
    assert code == 0, told
    found = json.loads(printed)
    assert found["folds"]["1"]["problems"]["unanswered"] == 1
    (reason,) = found["endpoint"]["refused_by_server"].values()
    assert "HTTP 413" in reason
    report = (out / "dfew.md").read_text()
    assert "Refused by the server" in report and "HTTP 413" in report
    # It is asked about again, and no other.
    server.refused.clear()
    code, printed, _ = run_here([*arguments, "--json"])
    again = json.loads(printed)
    assert again["endpoint"] == {"seed": 0, "calls": 1, "cached": 1, "refused_by_server": {}}
    assert again["folds"]["1"]["problems"]["unanswered"] == 0


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_model_ends_the_run_at_once(run_here, server, dfew_clips, status):
    server.refused["I cannot determine that."] = status
    arguments = ["eval", "dfew", "--data", str(dfew_clips / "data"), "--endpoint", server.url]
    code, _, told = run_here([*arguments, "--model", "m", "--out", str(dfew_clips / "out")])
    assert code == 1 and told.count("\n") == 1 and f"HTTP {status}" in told


def test_a_server_that_refuses_the_first_clips_is_asked_no_more(
    run_here, server, dfew_clips, monkeypatch
):
    monkeypatch.setattr(evaluate_closed, "MOST_REFUSALS", 1)
    server.failing = True
    arguments = ["eval", "dfew", "--data", str(dfew_clips / "data"), "--endpoint", server.url]
    arguments += ["--model", "m", "--out", str(dfew_clips / "out")]
    code, _, told = run_here(arguments)
    assert code == 1 and "HTTP 400" in told and len(server.requests) == 1
    # One that has answered before is asked on.
    server.failing = False
    assert run_here(arguments)[0] == 0
    put(dfew_clips / "data" / "Clip" / "original" / "part_1" / "1.mp4", "changed")
    server.refused["changed"] = 400
    assert run_here(arguments)[0] == 0
