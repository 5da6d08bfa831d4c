"""OpenAI's chat completions: from messages to a request for a worker, and back."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from openaffect.errors import UsageError
from openaffect.inference.schemas import check_schema
from openaffect.prompts.labels import BASIC_LABELS
from openaffect.serving.forms import LONGEST_TEXT, ChatRequest, encodable

DATA_URL = re.compile(r"^data:([a-z]+/[\w.+-]+)?(?:;\S*?)?;base64,", re.IGNORECASE)
ENDINGS = {
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "video/quicktime": ".mov",
    "video/x-matroska": ".mkv",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "image/png": ".png",
    "image/jpeg": ".jpg",
}
AUDIO_FORMATS = ("wav", "mp3", "flac", "ogg", "m4a", "aac", "webm")
MEDIA_PARTS = ("video_url", "audio_url", "image_url")
DEFAULT_SCHEMA = {
    "type": "object",
    "properties": {
        "emotion": {"enum": list(BASIC_LABELS), "description": "Which expression is perceived"},
        "reasoning": {"type": "string", "description": "Which clues led there"},
    },
}
"""What a JSON object without a schema holds."""


@dataclass(frozen=True)
class Media:
    """The clip of a conversation: given in the request, by upload id, or by address."""

    data: bytes | None = None
    upload: str | None = None
    address: str | None = None
    name: str = "clip"


@dataclass(frozen=True)
class Asked:
    """What a chat request asks."""

    media: Media | None
    question: str
    schema: dict[str, Any] | None
    most_tokens: int | None


def asked(request: ChatRequest) -> Asked:
    """The last clip and the last question of a conversation.

    Earlier turns are not read: every question is answered from the clip itself. Raises UsageError.
    """
    media: Media | None = None
    question = ""
    for message in request.messages:
        parts = message.content
        if isinstance(parts, str):
            parts = [{"type": "text", "text": parts}]
        if message.role != "user":
            continue
        texts = []
        for part in parts or []:
            if part.get("type") == "text":
                texts.append(_text(part))
            else:
                media = _media(part)
        question = str(encodable(" ".join(texts).strip()))
    if len(question) > LONGEST_TEXT:
        raise UsageError(f"the question is longer than {LONGEST_TEXT} characters")
    if media is None and not question:
        raise UsageError("the last message of the user holds neither text nor a clip")
    schema = None
    wanted = request.response_format
    if wanted is not None and wanted.type == "json_object":
        schema = DEFAULT_SCHEMA
    elif wanted is not None and wanted.type == "json_schema":
        schema = (wanted.json_schema or {}).get("schema")
        if not isinstance(schema, dict):
            raise UsageError("response_format: json_schema needs a schema")
        schema = encodable(schema)
        if len(json.dumps(schema, ensure_ascii=False)) > LONGEST_TEXT:
            raise UsageError(f"json_schema is longer than {LONGEST_TEXT} characters")
        check_schema(schema)
    return Asked(media, question, schema, request.max_completion_tokens or request.max_tokens)


def _text(part: dict[str, Any]) -> str:
    if not isinstance(part.get("text"), str):
        raise UsageError("a text part needs a text")
    return str(part["text"])


def _media(part: dict[str, Any]) -> Media:
    kind = part.get("type")
    inner = part.get(kind) if isinstance(kind, str) else None
    if kind == "input_audio":
        if not isinstance(inner, dict) or not isinstance(inner.get("data"), str):
            raise UsageError("input_audio needs data in base64 and a format")
        form = inner.get("format", "wav")
        if form not in AUDIO_FORMATS:
            raise UsageError(f"input_audio format must be one of {', '.join(AUDIO_FORMATS)}")
        return Media(_decoded(inner["data"]), name=f"voice.{form}")
    if kind not in MEDIA_PARTS:
        known = ", ".join(("text", "input_audio", *MEDIA_PARTS))
        raise UsageError(f"a content part's type must be one of {known}")
    url = inner.get("url") if isinstance(inner, dict) else inner
    if not isinstance(url, str):
        raise UsageError(f"{kind} needs a url")
    if url.startswith("upload:"):
        return Media(upload=url.removeprefix("upload:").strip("/"))
    found = DATA_URL.match(url[:200])
    if found:
        ending = ENDINGS.get((found.group(1) or "").lower(), "")
        return Media(_decoded(url[found.end() :]), name=f"clip{ending}")
    if url.startswith(("http://", "https://")):
        return Media(address=url)
    raise UsageError(f"{kind} takes a base64 data URL or upload:ID")


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError("the media is not valid base64") from None
    if not data:
        raise UsageError("the media is empty")
    return data


def completion(content: str, model: str, *, cut: bool) -> dict[str, Any]:
    """A whole answer, or one that was cut off at its most tokens."""
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": _ended(cut), "logprobs": None}
    return {**_head("chat.completion", model), "choices": [choice]}


def chunks(model: str) -> tuple[bytes, Callable[[str], bytes], Callable[[bool], bytes]]:
    """The first event of a streamed answer, the event of a piece of it, and the last ones.

    The last ones follow from whether the answer was cut off at its most tokens.
    """
    head = _head("chat.completion.chunk", model)

    def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode()

    def last(cut: bool) -> bytes:
        return event({}, _ended(cut)) + b"data: [DONE]\n\n"

    return event({"role": "assistant", "content": ""}), lambda t: event({"content": t}), last


def _ended(cut: bool) -> str:
    """OpenAI's word for why an answer ends."""
    return "length" if cut else "stop"


def _head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }


class Growing:
    """Turns the whole of a growing text into its new pieces."""

    def __init__(self) -> None:
        self.sent = ""

    def piece(self, whole: str, *, last: bool = False) -> Iterator[str]:
        """What is new; a character that is not complete yet waits."""
        if not last:
            whole = whole.rstrip("\ufffd")
        if len(whole) > len(self.sent) and whole.startswith(self.sent):
            new, self.sent = whole[len(self.sent) :], whole
            yield new
