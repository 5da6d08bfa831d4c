"""Connections that must say something: silent ones are closed, so that they hold no place."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 20.0  # for the whole head of a request, from the connection or the last answer on


class PromptProtocol(H11Protocol):
    """HTTP/1.1; a connection is closed on which no request begins within `head_seconds`."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there already."""
        self._wait_for_head()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self.loop.call_later(self.head_seconds, self._close_silent, self.cycle)

    def _close_silent(self, last: Any) -> None:
        """Close the connection where the request before is still the last one."""
        if self.cycle is last:
            self.transport.close()
