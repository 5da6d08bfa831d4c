"""A describer behind an OpenAI-compatible endpoint: every answer kept by content, calls counted."""

from __future__ import annotations

import base64
import hashlib
import io
import multiprocessing
import wave
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from openaffect.annotation.describers import BudgetSpent, Request
from openaffect.inference.chat_endpoint import ReplyCache, request_key, send
from openaffect.media.mel import SAMPLE_RATE

if TYPE_CHECKING:
    from openaffect.annotation.desk import Desk

KEY_VARIABLE = "OPENAFFECT_ENDPOINT_KEY"
REPLY_TOKENS = 512  # most tokens of an answer
PICTURE_SIDE = 768  # pixels of a sent picture's longer side
MOST_SECONDS = 60.0  # of sent sound


class Budget:
    """Calls that all processes of a run together may make."""

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self._left = multiprocessing.get_context("spawn").Value("q", calls)

    def take(self) -> None:
        """Count one call. Raises BudgetSpent where none is left."""
        with self._left.get_lock():
            if self._left.value < 1:
                raise BudgetSpent(
                    f"the budget of {self.calls} calls is spent; run again to go on, or raise "
                    "--budget"
                )
            self._left.value -= 1


@dataclass
class EndpointDescriber:
    """Asks a chat model, with the picture as PNG and the sound as WAV where a request has them."""

    endpoint: str  # such as http://localhost:8000/v1
    model: str  # its name there
    cache: Path  # JSON Lines file of its replies
    budget: Budget | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        return self.model

    @property
    def identity(self) -> str:
        return f"{self.endpoint}#{self.model}"

    @cached_property
    def _replies(self) -> ReplyCache:
        return ReplyCache(self.cache)

    def describe(self, request: Request, desk: Desk) -> str:
        """The reply. Raises EndpointError where there is none, BudgetSpent where none is left."""
        media = media_parts(request.picture, request.sound)
        # What is kept names the media by their hashes, so that the cache stays small.
        kept = self._body(request, [_named(part) for part in media])
        known = self._replies.get(request_key(kept))
        if known is not None:
            return known
        if self.budget is not None:
            self.budget.take()
        reply = send(self.endpoint, self._body(request, media), KEY_VARIABLE).strip()
        self._replies.add(request_key(kept), kept, reply)
        return reply

    def _body(self, request: Request, media: list[dict[str, Any]]) -> dict[str, Any]:
        content = [*media, {"type": "text", "text": request.prompt}] if media else request.prompt
        system = [{"role": "system", "content": request.system}] if request.system else []
        return {
            "model": self.model,
            "messages": [*system, {"role": "user", "content": content}],
            "temperature": 0,
            "seed": 0,
            "max_tokens": REPLY_TOKENS,
        }


def media_parts(
    picture: NDArray[np.uint8] | None, sound: NDArray[np.float32] | None
) -> list[dict[str, Any]]:
    """The media as parts of a chat message: `image_url` with a data URL, `input_audio`."""
    parts: list[dict[str, Any]] = []
    if picture is not None:
        data = base64.b64encode(png_bytes(picture)).decode()
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
    if sound is not None:
        data = base64.b64encode(wav_bytes(sound)).decode()
        parts.append({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    return parts


def png_bytes(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as PNG, at most PICTURE_SIDE pixels on its longer side."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def wav_bytes(sound: NDArray[np.float32]) -> bytes:
    """Sound (S,) at 16 kHz as a WAV file, its first minute."""
    samples = sound[: round(MOST_SECONDS * SAMPLE_RATE)]
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return written.getvalue()


def _named(part: dict[str, Any]) -> dict[str, Any]:
    """A media part with the hash of its content in the place of the content."""
    kind = part["type"]
    content = repr(part[kind])
    return {"type": kind, "sha256": hashlib.sha256(content.encode()).hexdigest()}
