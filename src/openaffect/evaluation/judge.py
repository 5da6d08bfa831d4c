"""A language model as judge behind an OpenAI-compatible endpoint, every reply kept by content."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from openaffect.inference.chat_endpoint import (
    EndpointError,
    ReplyCache,
    question_tokens,
    request_key,
    send,
)

KEY_VARIABLE = "OPENAFFECT_JUDGE_KEY"
REPLY_TOKENS = 512  # most tokens of a reply


class Judge(Protocol):
    """Answers one question."""

    def ask(self, question: str) -> str:
        """The reply. Raises EndpointError where there is none."""


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
        return self.cache.get(request_key(self.request(question)))

    def ask(self, question: str) -> str:
        """The reply. Raises EndpointError where neither cache nor endpoint gives one."""
        known = self.known(question)
        if known is not None:
            self.cached += 1
            return known
        if self.endpoint is None:
            raise EndpointError(
                f"{self.cache.path} has no reply of {self.model} to {question[:60]!r}...; "
                "name an --endpoint, or the cache of that run"
            )
        request = self.request(question)
        reply = send(self.endpoint, request, KEY_VARIABLE)
        self.calls += 1
        self.cache.add(request_key(request), request, reply)
        return reply


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
            self.tokens += question_tokens(question)
        return self.stand_in
