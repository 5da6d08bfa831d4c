"""What an operator may set of the service."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from openaffect import DEFAULT_MODEL
from openaffect.errors import UsageError
from openaffect.media.limits import Limits

KEY_VARIABLE = "OPENAFFECT_API_KEY"
SHORTEST_KEY = 16  # characters


@dataclass(frozen=True)
class ServeSettings:
    """Address, limits and habits of one service."""

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None  # needed for any address but loopback
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    device: str = "cpu"
    workers: int = 1  # processes, each with the models that it was asked for
    threads: int | None = None  # of each worker; None leaves PyTorch's choice
    queue: int = 16  # jobs that may wait; more are refused with 429
    kept_prefixes: int = 4  # clips of each worker whose prefix stays for follow-up questions
    kept_results: int = 64  # results of jobs that stay; those of the oldest jobs go first
    keep_minutes: float = 60.0  # how long uploads and results stay at most
    max_upload_bytes: int = 1 << 30
    max_kept_bytes: int = 20 << 30  # of all uploads together; more are refused with 429
    max_json_bytes: int = 96 << 20  # bodies of chat requests, media in base64 included
    body_seconds: float = 600.0  # for one request's body to arrive
    idle_seconds: float = 30.0  # between two pieces of it
    answer_seconds: float = 900.0  # of work for /v1/chat/completions and /v1/analyze
    job_seconds: float = 24 * 3600.0  # of work for a job
    drain_seconds: float = 60.0  # after SIGTERM, for what is running
    allowed_domains: tuple[str, ...] = ()  # from which media may be fetched; none: fetching is off
    folder: Path = field(default_factory=Path)  # private, for uploads
    limits: Limits = field(default_factory=lambda: Limits(max_seconds=600.0))

    def __post_init__(self) -> None:
        if not self.loopback and self.api_key is None:
            raise UsageError(
                f"--host {self.host} can be reached from elsewhere: set an API key in the "
                f"environment variable {KEY_VARIABLE}, or serve on 127.0.0.1"
            )
        if self.api_key is not None and len(self.api_key) < SHORTEST_KEY:
            raise UsageError(
                f"{KEY_VARIABLE} has {len(self.api_key)} characters; use at least {SHORTEST_KEY}"
            )
        for domain in self.allowed_domains:
            if not domain or "/" in domain or ":" in domain or "*" in domain:
                raise UsageError(f"--allow-domain takes a name such as example.org, not {domain!r}")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
