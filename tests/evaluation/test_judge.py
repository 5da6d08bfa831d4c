"""Judged scores against a local server: cached, costed, resumed after kill -9."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import openaffect
from openaffect.errors import UsageError
from openaffect.evaluation.judge import CachedJudge, Estimate
from openaffect.evaluation.judged_grouping import ByJudge, ByReplies, leaders, read_replies
from openaffect.evaluation.open_vocabulary import score_sets
from openaffect.evaluation.overlap import rating, score_overlap
from openaffect.evaluation.score_tables import overlap_table
from openaffect.inference import chat_endpoint
from openaffect.inference.chat_endpoint import EndpointError, ReplyCache


class Server:
    """Answers by the content of the question and counts what was fully answered."""

    def __init__(self, delay: float = 0.0) -> None:
        self.answered: Counter[str] = Counter()
        self.failures: list[int] = []
        self.requests: list[dict] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = json.loads(body)
                outer.requests.append(request)
                if outer.failures:
                    self.send_error(outer.failures.pop())
                    return
                time.sleep(delay)
                question = request["messages"][0]["content"]
                content = reply_to(question)
                answer = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
                outer.answered[question] += 1

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def reply_to(question: str) -> str:
    if question.startswith("Group"):
        return '[["glad", "happy"], ["sad"]]'
    if "separated by commas" in question:
        return "word" + hashlib.sha256(question.encode()).hexdigest()[:6]
    return f"{1 + int(hashlib.sha256(question.encode()).hexdigest(), 16) % 10}, because."


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(chat_endpoint, "PAUSE", 0.01)
    made = Server()
    yield made
    made.server.shutdown()


REFERENCE = {f"s{i}": f"reference {i}" for i in range(6)}
PREDICTED = {f"s{i}": f"prediction {i}" for i in range(5)} | {"s5": " "}


def test_overlap_asks_each_question_once(server, tmp_path):
    cache = tmp_path / "replies.jsonl"
    first = CachedJudge("m", ReplyCache(cache), server.url, seed=7)
    found = score_overlap(first, REFERENCE, PREDICTED)
    assert (found.samples, found.unanswered, found.unrated) == (6, 1, 0)
    assert first.calls == 20 and set(server.answered.values()) == {1}
    assert found.clue == pytest.approx(np.mean([clue for clue, _ in found.rows.values()]))
    assert found.label_interval[0] <= found.label <= found.label_interval[1]
    assert all(r["seed"] == 7 and r["temperature"] == 0 for r in server.requests)
    again = CachedJudge("m", ReplyCache(cache), None, seed=7)
    assert score_overlap(again, REFERENCE, PREDICTED) == found
    assert (again.calls, again.cached) == (0, 20)
    with pytest.raises(EndpointError, match="no reply of other"):
        score_overlap(CachedJudge("other", ReplyCache(cache)), REFERENCE, PREDICTED)


def test_samples_without_a_text_are_left_out_and_counted(server, tmp_path):
    judge = CachedJudge("m", ReplyCache(tmp_path / "r.jsonl"), server.url)
    reference = REFERENCE | {"s1": " ", "s5": "", "s6": ""}
    found = score_overlap(judge, reference, PREDICTED)
    assert (found.samples, found.untold, found.unanswered) == (7, 3, 0)
    assert set(found.rows) == {"s0", "s2", "s3", "s4"} and judge.calls == 16
    assert "3 without a text of the reference (left out)" in overlap_table(found)


def test_overlap_that_nothing_was_rated_of_is_no_zero(server, tmp_path):
    judge = CachedJudge("m", ReplyCache(tmp_path / "r.jsonl"), server.url)
    found = score_overlap(judge, REFERENCE, {})
    assert (found.clue, found.clue_interval, found.label, found.label_interval) == (None,) * 4
    assert "| clue | - | - |" in overlap_table(found)
    assert "| label | - | - |" in overlap_table(found)


def test_cost_is_told_before_anything_is_asked(server, tmp_path):
    judge = CachedJudge("m", ReplyCache(tmp_path / "r.jsonl"), server.url)
    estimate = Estimate(judge)
    words = {"a": ("happy", "sad")}, {"a": ("glad",)}
    score_sets(ByJudge(estimate), *words)
    assert estimate.calls == 1 and estimate.tokens > 20 and not server.requests
    found = score_sets(ByJudge(judge), *words)
    assert (judge.calls, found.precision, found.recall) == (1, 1.0, 0.5)
    after = Estimate(judge)
    assert score_sets(ByJudge(after), *words) == found and after.calls == 0


def test_passing_failures_are_tried_again_and_lasting_ones_told(server, tmp_path):
    judge = CachedJudge("m", ReplyCache(tmp_path / "r.jsonl"), server.url)
    server.failures = [503, 429]
    assert judge.ask("separated by commas") and judge.calls == 1
    server.failures = [401]
    with pytest.raises(EndpointError, match="HTTP 401"):
        judge.ask("other")
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(EndpointError, match="model m at"):
        judge.ask("third")


def test_a_reply_of_several_lines_is_kept(tmp_path):
    replies = {"a": "one\u2028two", "b": "one\u0085two\r\nthree", "c": "plain"}
    cache = ReplyCache(tmp_path / "r.jsonl")
    for key, reply in replies.items():
        cache.add(key, {"asked": "\u2029"}, reply)
    again = ReplyCache(tmp_path / "r.jsonl")
    assert {key: again.get(key) for key in replies} == replies


def test_a_cut_off_line_costs_one_reply(server, tmp_path):
    cache = tmp_path / "r.jsonl"
    judge = CachedJudge("m", ReplyCache(cache), server.url)
    for question in ("a", "b", "c"):
        judge.ask(question)
    cache.write_text(cache.read_text()[:-9])
    again = CachedJudge("m", ReplyCache(cache), server.url)
    assert [again.ask(question) for question in "abc"] == [reply_to(q) for q in "abc"]
    assert again.calls == 1 and len(ReplyCache(cache)) == 3


def test_kill_in_the_middle_then_resume(tmp_path):
    """The killed and resumed run prints what an uninterrupted one prints; nothing is paid twice."""
    server = Server(delay=0.05)
    for name, rows in (("r", REFERENCE), ("p", PREDICTED)):
        lines = [json.dumps({"name": key, "reason": text}) for key, text in rows.items()]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    cache = tmp_path / "replies.jsonl"

    def command(kept: Path) -> list[str]:
        call = [sys.executable, "-m", "openaffect", "eval", "overlap", "--judge", "m"]
        call += ["--endpoint", server.url, "--cache", str(kept)]
        files = ["--reference", str(tmp_path / "r.jsonl"), "--predictions"]
        return [*call, *files, str(tmp_path / "p.jsonl")]

    source = str(Path(openaffect.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    process = subprocess.Popen(command(cache), env=environment, stdout=subprocess.DEVNULL)
    while not cache.is_file() or cache.read_text().count("\n") < 5:
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.2)  # the request in flight ends
    kept = cache.read_text().count("\n")
    before = sum(server.answered.values())
    assert 5 <= kept < 20 and before - kept in (0, 1)  # one may have been in flight
    resumed = subprocess.run(command(cache), env=environment, capture_output=True, text=True)
    assert resumed.returncode == 0
    assert sum(server.answered.values()) == before + 20 - kept
    assert sorted(server.answered.values())[:-1] == [1] * 19
    whole = subprocess.run(
        command(tmp_path / "other.jsonl"), env=environment, capture_output=True, text=True
    )
    assert whole.stdout == resumed.stdout and "| clue |" in whole.stdout
    server.server.shutdown()


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("8", 8),
        ("Score: 7.5 of 10", 7.5),
        ("10, all", 10),
        ("0", None),
        ("good", None),
        ("11", None),
    ],
)
def test_ratings(reply, value):
    assert rating(reply) == value


def test_groups_of_a_reply():
    assert leaders("[['a', 'b'], [\"c\"]]") == {"a": "a", "b": "a", "c": "c"}
    assert leaders("Sure: [[Glad, happy], [sad]] done")["happy"] == "glad"
    assert leaders("") == {}


def test_published_replies_are_read_from_folder_and_zip(tmp_path):
    np.save(tmp_path / "a.npy", np.array("[['happy', 'glad'], ['sad']]"))
    found = score_sets(ByReplies(tmp_path), {"a": ("happy",)}, {"a": ("glad", "sad")})
    assert (found.precision, found.recall) == (0.5, 1.0)
    with pytest.raises(UsageError, match="no reply for"):
        ByReplies(tmp_path).groups("b", ["happy"])
    np.save(tmp_path / "b.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="no plain text"):
        read_replies(tmp_path)
