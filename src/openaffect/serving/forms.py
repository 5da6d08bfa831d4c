"""Requests as they come in: fields of a form to analysis options, and the OpenAI chat form."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from fastapi import Form, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from openaffect.errors import UsageError
from openaffect.inference.options import AnalyzeOptions, given_words
from openaffect.inference.schemas import MOST_CHOICES
from openaffect.media.limits import Limits
from openaffect.media.subtitles import parse_subtitles, within

LONGEST_TEXT = 20_000  # characters of a question, label set or JSON schema


class AnalyzeForm(BaseModel):
    """What may be asked of an analysis; lists are separated by commas."""

    model_config = ConfigDict(extra="forbid")
    file: UploadFile | None = Field(None, description="The clip.")
    upload: str = Field("", max_length=100, description="Id of an upload, in place of a file.")
    model: str = Field(
        "",
        max_length=500,
        description="One of /v1/models; empty: the first.",
        examples=["omni-emotion-small"],
    )
    labels: str = Field(
        "",
        max_length=LONGEST_TEXT,
        description=f"Choose among these only, at most {MOST_CHOICES}.",
        examples=["calm,tense,amused"],
    )
    question: str = Field(
        "",
        max_length=LONGEST_TEXT,
        description="A question about the clip.",
        examples=["Does the voice fit the words?"],
    )
    subtitle: str = Field(
        "",
        max_length=1_000_000,
        description="What is said, as text, SubRip or WebVTT; at most 20,000 characters a reading.",
        examples=["You came after all!"],
    )
    streams: str = Field(
        "",
        max_length=100,
        description="Only these of face,voice,scene,words.",
        examples=["voice,words"],
    )
    language: str = Field(
        "", max_length=20, description="Language spoken; empty: found.", examples=["de"]
    )
    transcribe: bool = Field(True, description="Recognise speech where no subtitle is given.")
    reasons: bool = Field(True, description="Write reasons with clues, or labels alone: faster.")
    segments: Literal["auto", "always", "never"] = Field("auto", description="Read in segments.")
    start: float | None = Field(None, ge=0, description="First second.")
    end: float | None = Field(None, ge=0, description="Last second.")
    frames: int | None = Field(None, ge=1, le=128, description="Frames that the model sees.")

    def options(self, limits: Limits) -> AnalyzeOptions:
        """The options; raises UsageError for what cannot be."""
        for value in (self.start, self.end):
            if value is not None and not math.isfinite(value):
                raise UsageError("start and end must be numbers of seconds")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise UsageError(f"end {self.end:g} must come after start {self.start or 0:g}")
        lines = parse_subtitles(self.subtitle) or None
        words: str | None
        if lines:
            # Without a line in this part it stays empty: None would let speech be recognised.
            words = " ".join(line.text for line in within(lines, self.start, self.end))
        else:
            words = given_words(self.subtitle) or None
        labels = _listed(self.labels)
        if labels and len(labels) > MOST_CHOICES:
            raise UsageError(f"at most {MOST_CHOICES} labels can be chosen among")
        given: dict[str, Any] = {
            "labels": labels,
            "question": self.question.strip() or None,
            "subtitle": words,
            "lines": lines,
            "language": self.language or None,
            "transcribe": self.transcribe,
            "reasons": self.reasons,
            "segments": self.segments,
            "start": self.start,
            "end": self.end,
            "frames": self.frames,
            "limits": limits,
        }
        if self.streams:
            given["streams"] = _listed(self.streams) or ()
        return AnalyzeOptions(**given)


class JobForm(AnalyzeForm):
    """The same of an analysis that nobody waits for."""

    keep: bool = Field(False, description="Keep the clip for follow-up questions.")


def _listed(text: str) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip())) or None


def prefix_name(sha256: str, model: str, options: AnalyzeOptions) -> str:
    """The name of a clip's kept prefix: the file, and all that shapes how it is read."""
    shaping = [
        model,
        options.start,
        options.end,
        options.subtitle,
        options.frames,
        options.language,
        options.transcribe,
        list(options.streams),
    ]
    return f"{sha256}:{hashlib.sha256(json.dumps(shaping).encode()).hexdigest()[:16]}"


MULTIPART = Form(media_type="multipart/form-data")
AnalyzeFields = Annotated[AnalyzeForm, MULTIPART]
JobFields = Annotated[JobForm, MULTIPART]


class ChatMessage(BaseModel):
    """One message; content is a text or a list of parts."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class ResponseFormat(BaseModel):
    """In which form the answer is wanted."""

    model_config = ConfigDict(extra="ignore")
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: dict[str, Any] | None = None


class ChatRequest(BaseModel):
    """The part of OpenAI's chat completion request that is used; the rest is taken and ignored."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "model": "omni-emotion-small",
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {
                                    "type": "video_url",
                                    "video_url": {"url": "data:video/mp4;base64,AAAA"},
                                },
                                {"type": "text", "text": "Does the voice fit the words?"},
                            ],
                        }
                    ],
                }
            ]
        },
    )
    model: str = Field("", max_length=500)
    messages: list[ChatMessage] = Field(min_length=1, max_length=200)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: ResponseFormat | None = None
    n: int | None = Field(None, ge=1, le=1)


def encodable(value: Any) -> Any:
    """A JSON value in which characters that UTF-8 cannot hold (lone surrogates) became `?`."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-8", "replace").decode("utf-8"))


class QuestionBody(BaseModel):
    """A follow-up question about a job's clip."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1, max_length=LONGEST_TEXT, examples=["Is it sincere?"])
    at: float | None = Field(
        None, ge=0, description="Second of a long clip; its segment is asked about."
    )
