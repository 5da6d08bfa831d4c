"""A video model behind an OpenAI-compatible endpoint, asked for one of the labels of a set.

The clip travels whole inside the request: a video as a `video_url` part with a data URL, sound as
`input_audio`, an image as `image_url`. Which of its streams the server looks at is its own affair,
and no result claims to know.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openaffect.errors import MediaError
from openaffect.inference.chat_endpoint import ReplyCache, question_tokens, request_key, send
from openaffect.media.digest import file_sha256
from openaffect.prompts.conversation import label_question

KEY_VARIABLE = "OPENAFFECT_ENDPOINT_KEY"
REPLY_TOKENS = 512  # most tokens of an answer
SHOWN = 5  # refused clips that a report names
MOST_BYTES = 64 * 2**20  # of a clip; base64 makes a third more of them
ONE_WORD = "Answer with that word alone."

VIDEO_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
    ".flv": "video/x-flv",
}
IMAGE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
SENT = {*VIDEO_TYPES, *IMAGE_TYPES, ".wav", ".mp3", ".flac"}


@dataclass
class EndpointModel:
    """Answers about clips, each kept under the sha256 of the clip and everything that is asked."""

    endpoint: str  # such as http://localhost:8000/v1
    model: str  # its name there
    cache: ReplyCache
    seed: int = 0
    calls: int = field(default=0, init=False)  # sent to the endpoint
    cached: int = field(default=0, init=False)  # answered by the cache

    def ask(self, clip: Path, labels: Sequence[str]) -> str:
        """What the model answers. Raises MediaError for a clip that cannot be sent,
        RequestRefusedError for one that the server refuses, EndpointError where there is no answer.
        """
        kept = self._kept(clip, labels)
        known = self.cache.get(request_key(kept))
        if known is not None:
            self.cached += 1
            return known
        request = self._request(_media_part(clip), asked(labels))
        reply = send(self.endpoint, request, KEY_VARIABLE)
        self.calls += 1
        self.cache.add(request_key(kept), kept, reply)
        return reply

    def cost(self, clips: Iterable[Path], labels: Sequence[str]) -> dict[str, int]:
        """What asking about clips would send beyond what is kept; those that cannot go are none."""
        calls = size = 0
        for clip in clips:
            try:
                known = self.cache.get(request_key(self._kept(clip, labels)))
            except MediaError:
                continue
            if known is None:
                calls, size = calls + 1, size + clip.stat().st_size
        return {
            "calls": calls,
            "bytes_sent": size,
            "tokens_sent": calls * question_tokens(asked(labels)),
            "reply_tokens_at_most": calls * REPLY_TOKENS,
        }

    def _kept(self, clip: Path, labels: Sequence[str]) -> dict[str, Any]:
        """What an answer is kept under: the request with the clip's hash in place of its bytes."""
        size, ending = clip.stat().st_size, clip.suffix.lower()
        if size > MOST_BYTES:
            raise MediaError(f"{clip}: {size} bytes are too many to send; at most {MOST_BYTES}")
        if ending not in SENT:
            told = ending or "nameless"
            raise MediaError(f"{clip}: no endpoint takes a {told} file; convert it to .mp4")
        return self._request({"sha256": file_sha256(clip), "type": ending}, asked(labels))

    def _request(self, media: dict[str, Any], question: str) -> dict[str, Any]:
        content = [media, {"type": "text", "text": question}]
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "seed": self.seed,
            "max_tokens": REPLY_TOKENS,
        }


def refusals_notice(refused: Mapping[str, str]) -> str:
    """One line for below a table about clips that the server refused, by id with the reason."""
    first = ", ".join(list(refused)[:SHOWN]) + (", ..." if len(refused) > SHOWN else "")
    reason = next(iter(refused.values()))
    return (
        "Refused by the server, counted as wrong here, asked about again by the next run with the "
        f"same --out: {len(refused)} ({first}). Of the first: {reason}"
    )


def _media_part(clip: Path) -> dict[str, Any]:
    ending = clip.suffix.lower()
    data = base64.b64encode(clip.read_bytes()).decode()
    if ending in VIDEO_TYPES:
        url = f"data:{VIDEO_TYPES[ending]};base64,{data}"
        return {"type": "video_url", "video_url": {"url": url}}
    if ending in IMAGE_TYPES:
        url = f"data:{IMAGE_TYPES[ending]};base64,{data}"
        return {"type": "image_url", "image_url": {"url": url}}
    sound = {"data": data, "format": ending.removeprefix(".")}
    return {"type": "input_audio", "input_audio": sound}


def asked(labels: Sequence[str]) -> str:
    """The question about each clip."""
    return f"{label_question(labels)} {ONE_WORD}"
