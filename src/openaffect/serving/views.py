"""What the service answers with, as records: they make the OpenAPI document and its examples."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from openaffect.results.analysis import (
    Analysis,
    AudioUse,
    ClipReference,
    Emotion,
    FaceUse,
    Modalities,
    ModelReference,
    Signals,
    TextUse,
    VideoUse,
)
from openaffect.results.schema import published_schema

ANALYSIS_NAME = "Analysis"
EXAMPLE_ID = "Zq3v0c5nT1mJx8yQw2eR7A"
EXAMPLE_MODEL = "omni-emotion-small"


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class ErrorTold(BaseModel):
    """What was wrong, in the words of OpenAI's interface."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorView(BaseModel):
    """An error: one line that says what was wrong and what to do."""

    model_config = _example(
        {
            "error": {
                "message": "the file is empty (0 bytes)",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        }
    )
    error: ErrorTold


class HealthView(BaseModel):
    """Whether work is taken."""

    model_config = _example({"status": "ok", "version": "0.1.0"})
    status: Literal["ok", "unavailable"]
    version: str


class ModelView(BaseModel):
    """A model that is served."""

    model_config = _example(
        {"id": EXAMPLE_MODEL, "object": "model", "created": 0, "owned_by": "openaffect"}
    )
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "openaffect"


class ModelList(BaseModel):
    """The models that are served; the first is used where none is named."""

    object: Literal["list"] = "list"
    data: list[ModelView]


class UploadView(BaseModel):
    """A stored clip."""

    model_config = _example(
        {"id": EXAMPLE_ID, "object": "upload", "bytes": 265000, "expires": 1796000000}
    )
    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    expires: int = Field(description="When it is deleted, in seconds since 1970.")


class JobView(BaseModel):
    """How a job stands."""

    model_config = _example(
        {
            "id": EXAMPLE_ID,
            "object": "job",
            "status": "running",
            "model": EXAMPLE_MODEL,
            "created": 1796000000,
            "segments": 12,
            "progress": 0.31,
            "error": None,
        }
    )
    id: str
    object: Literal["job"] = "job"
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    model: str
    created: int
    segments: int = Field(description="How many segments of a long clip are read.")
    progress: float = Field(ge=0, le=1, description="How much of the clip is read.")
    error: str | None = None


class JobList(BaseModel):
    """The jobs whose result is still there."""

    object: Literal["list"] = "list"
    data: list[JobView]


class AnswerView(BaseModel):
    """The answer to a follow-up question."""

    model_config = _example({"question": "Is it sincere?", "answer": "The smile looks broad."})
    question: str
    answer: str


class PurgeView(BaseModel):
    """How much was deleted."""

    model_config = _example({"uploads": 3})
    uploads: int


COMPLETION_EXAMPLE = {
    "id": "chatcmpl-0123456789abcdef01234567",
    "object": "chat.completion",
    "created": 1796000000,
    "model": EXAMPLE_MODEL,
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "The voice sounds calm, the words accuse.",
                "refusal": None,
            },
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
}


def example_analysis() -> dict[str, Any]:
    """A small Analysis that fits the schema."""
    return Analysis(
        clip=ClipReference("clip.mp4", "0" * 64, 0.0, 4.2, 4.2),
        modalities=Modalities(
            VideoUse(True, 8),
            FaceUse(True, 1, 8),
            AudioUse(True, 4.2),
            TextUse(False, reason="no speech was recognised"),
        ),
        emotions=(Emotion("happy", 0.7), Emotion("surprised", 0.3)),
        open_emotions=("joyful", "surprised"),
        reasoning="The expression is perceived as joyful and surprised. Face: a broad smile.",
        clues={"face": ("a broad smile",)},
        people=(),
        signals=Signals((), ()),
        model=ModelReference(EXAMPLE_MODEL, "0.1.0", {}),
        settings={},
        warnings=(),
    ).to_dict()


def json_answer(description: str, schema: str | None, example: Any) -> dict[int | str, Any]:
    """What a route with an answer of its own says of it."""
    told = {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}
    content = {"application/json": {"schema": told, "example": example}}
    return {200: {"description": description, "content": content}}


def describe(app: FastAPI) -> None:
    """Give the application's OpenAPI document the schema of an Analysis."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document["components"]["schemas"]
        if ANALYSIS_NAME not in schemas:
            record = _moved(published_schema())
            inner = record.pop("$defs")
            for name in ("$schema", "$id"):
                record.pop(name)
            schemas.update({**inner, ANALYSIS_NAME: record})
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _moved(node: Any) -> Any:
    """A schema whose references lead to the components of an OpenAPI document."""
    if isinstance(node, list):
        return [_moved(item) for item in node]
    if not isinstance(node, dict):
        return node
    moved = {key: _moved(value) for key, value in node.items()}
    if isinstance(moved.get("$ref"), str):
        moved["$ref"] = moved["$ref"].replace("#/$defs/", "#/components/schemas/")
    return moved
