"""A language model as judge behind an OpenAI-compatible endpoint, every reply kept by content.

A reply is looked up by the sha256 of the whole request (model, message, seed, limits), so that a
run that was cut off asks nothing again that it has an answer to, and another run with the same
questions costs nothing. The cache is a JSON Lines file, one synchronized line a reply.
"""

import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from openaffect.errors import OpenAffectError, UsageError

KEY_VARIABLE = "OPENAFFECT_JUDGE_KEY"
REPLY_TOKENS = 512  # most tokens of a reply
TRIES = 4
PAUSE = 2.0  # seconds before the second try, doubled for each further one
TIMEOUT = 120.0  # seconds for one reply
RETRIED = (408, 409, 429, 500, 502, 503, 504)
BYTES_PER_TOKEN = 3  # of UTF-8; a rough estimate that serves English and Chinese alike


class JudgeError(OpenAffectError):
    """The judge cannot be asked, or gave no answer."""


class Judge(Protocol):
    """Answers one question."""

    def ask(self, question: str) -> str:
        """The reply. Raises JudgeError where there is none."""


class ReplyCache:
    """Replies by the sha256 of their request, in a JSON Lines file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._replies: dict[str, str] = {}
        try:
            text = path.read_text("utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--cache {path} cannot be read: {error}") from None
        for line in text.splitlines():
            try:
                row = json.loads(line)
                self._replies[row["key"]] = row["reply"]
            except (ValueError, KeyError, TypeError):
                continue  # a line cut off by a crash: asked again
        self._cut_off = bool(text) and not text.endswith("\n")

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, key: str) -> str | None:
        """The kept reply, None where there is none."""
        return self._replies.get(key)

    def add(self, key: str, request: dict[str, Any], reply: str) -> None:
        """Keep a reply, on disk before this returns."""
        self._replies[key] = reply
        self.path.parent.mkdir(parents=True, exist_ok=True)
        row = json.dumps({"key": key, "request": request, "reply": reply}, ensure_ascii=False)
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write("\n" * self._cut_off + row + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        self._cut_off = False


@dataclass
class CachedJudge:
    """Asks from the cache first, then the endpoint; without an endpoint, the cache alone."""

    model: str  # the judge's name, part of every request
    cache: ReplyCache
    endpoint: str | None = None  # such as http://localhost:8000/v1
    seed: int = 0
    calls: int = field(default=0, init=False)  # sent to the endpoint
    cached: int = field(default=0, init=False)  # answered by the cache

    def request(self, question: str) -> dict[str, Any]:
        """The body that is sent: everything that a reply depends on."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "seed": self.seed,
            "max_tokens": REPLY_TOKENS,
        }

    def known(self, question: str) -> str | None:
        """The kept reply to a question, None where there is none."""
        return self.cache.get(_key(self.request(question)))

    def ask(self, question: str) -> str:
        """The reply. Raises JudgeError where neither cache nor endpoint gives one."""
        known = self.known(question)
        if known is not None:
            self.cached += 1
            return known
        if self.endpoint is None:
            raise JudgeError(
                f"{self.cache.path} has no reply of {self.model} to {question[:60]!r}...; "
                "name an --endpoint, or the cache of that run"
            )
        request = self.request(question)
        reply = self._send(request)
        self.calls += 1
        self.cache.add(_key(request), request, reply)
        return reply

    def _send(self, request: dict[str, Any]) -> str:
        url = f"{str(self.endpoint).rstrip('/')}/chat/completions"
        headers = {"Content-Type": "application/json"}
        if os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {os.environ[KEY_VARIABLE]}"
        for attempt in range(TRIES):
            try:
                call = urllib.request.Request(url, json.dumps(request).encode(), headers)
                with urllib.request.urlopen(call, timeout=TIMEOUT) as answer:
                    content = json.load(answer)["choices"][0]["message"]["content"]
                if not isinstance(content, str):
                    raise TypeError("no text")
                return content
            except urllib.error.HTTPError as error:
                told = f"HTTP {error.code} {error.reason}"
                if error.code not in RETRIED:
                    break
            except (OSError, ValueError) as error:
                told = str(getattr(error, "reason", error)) or type(error).__name__
            except (KeyError, IndexError, TypeError):
                told = "the answer is not of the chat completions form"
                break
            if attempt + 1 < TRIES:
                time.sleep(PAUSE * 2**attempt)
        raise JudgeError(f"judge {self.model} at {url}: {told}")


@dataclass
class Estimate:
    """A judge that asks nothing: counts what a run would ask beyond what is kept."""

    judge: CachedJudge
    stand_in: str = "unknown"  # reply to a question that is not kept
    calls: int = field(default=0, init=False)
    tokens: int = field(default=0, init=False)  # sent, about
    _asked: set[str] = field(default_factory=set, init=False)

    def ask(self, question: str) -> str:
        """The kept reply, or a stand-in for it."""
        known = self.judge.known(question)
        if known is not None:
            return known
        if question not in self._asked:
            self._asked.add(question)
            self.calls += 1
            self.tokens += len(question.encode()) // BYTES_PER_TOKEN + 1
        return self.stand_in


def _key(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
