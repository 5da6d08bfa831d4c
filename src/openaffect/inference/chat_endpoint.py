"""An OpenAI-compatible chat endpoint whose every reply is kept by content.

A reply is looked up by the sha256 of the whole request (model, messages, seed, limits), so that a
run that was cut off asks nothing again that it has an answer to, and another run with the same
questions costs nothing. The cache is a JSON Lines file, one synchronized line a reply.
"""

import hashlib
import json
import os
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from openaffect.errors import OpenAffectError, UsageError

TRIES = 4
PAUSE = 2.0  # seconds before the second try, doubled for each further one
TIMEOUT = 120.0  # seconds for one reply
BYTES_PER_TOKEN = 3  # of UTF-8; a rough estimate that serves English and Chinese alike
RETRIED = (408, 409, 429, 500, 502, 503, 504)
OF_ALL_REQUESTS = (401, 402, 403, 404, 407, 429)
"""Refusals that tell of the key, the address, the model's name or the quota, not of a request."""
CLOSED = (401, 403, 404)  # of these: a wrong key, address or name of a model, however often asked
UNHEARD = (ConnectionRefusedError, socket.gaierror)  # nobody listens, or no such host


class EndpointError(OpenAffectError):
    """The model behind an endpoint cannot be asked, or gave no answer."""


class RequestRefusedError(EndpointError):
    """A server refuses one request (HTTP 4xx), for what is in it as far as one can tell."""


class EndpointClosedError(EndpointError):
    """An endpoint takes no request at all: nobody is there, or it knows no such key or model."""


class ReplyCache:
    """Replies by the sha256 of their request, in a JSON Lines file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._replies: dict[str, str] = {}
        try:
            text = path.read_text("utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--cache {path} cannot be read: {error}") from None
        for line in text.split("\n"):  # others that end lines may stand in a reply
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


def question_tokens(question: str) -> int:
    """About how many tokens a question has."""
    return len(question.encode()) // BYTES_PER_TOKEN + 1


def request_key(request: dict[str, Any]) -> str:
    """sha256 of a request's content."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def send(endpoint: str, request: dict[str, Any], key_variable: str) -> str:
    """The text that a chat request is answered with, after a few tries where a server is busy.

    `endpoint` ends in /v1; the environment variable `key_variable` may hold a bearer key. Raises
    EndpointError where there is no answer: RequestRefusedError where another request may get one,
    EndpointClosedError where none ever would.
    """
    url = f"{endpoint.rstrip('/')}/chat/completions"
    headers = {"Content-Type": "application/json"}
    if os.environ.get(key_variable):
        headers["Authorization"] = f"Bearer {os.environ[key_variable]}"
    for attempt in range(TRIES):
        failure: type[EndpointError] = EndpointError
        try:
            call = urllib.request.Request(url, json.dumps(request).encode(), headers)
            with urllib.request.urlopen(call, timeout=TIMEOUT) as answer:
                content = json.load(answer)["choices"][0]["message"]["content"]
            if not isinstance(content, str):
                raise TypeError("no text")
            return content
        except urllib.error.HTTPError as error:
            told = f"HTTP {error.code} {error.reason}"
            if error.code in CLOSED:
                failure = EndpointClosedError
            elif 400 <= error.code < 500 and error.code not in OF_ALL_REQUESTS:
                failure = RequestRefusedError
            if error.code not in RETRIED:
                break
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            told = str(reason) or type(error).__name__
            if isinstance(reason, UNHEARD):
                failure = EndpointClosedError
        except (KeyError, IndexError, TypeError):
            told = "the answer is not of the chat completions form"
            break
        if attempt + 1 < TRIES:
            time.sleep(PAUSE * 2**attempt)
    told = f"model {request['model']} at {url}: {told}"
    if failure is EndpointClosedError:
        told += f"; check address, model and {key_variable}, then run again"
    raise failure(told)
