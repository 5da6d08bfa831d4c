"""The routes of the service."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from openaffect import __version__
from openaffect.errors import UsageError
from openaffect.results.analysis import Analysis, plain
from openaffect.results.answer import Answer
from openaffect.results.schema import published_schema
from openaffect.results.writers import RenderOptions, writer_of
from openaffect.serving.chat import Growing, asked, chunks, completion
from openaffect.serving.forms import AnalyzeFields, ChatRequest, JobFields, QuestionBody, encodable
from openaffect.serving.guard import error_body
from openaffect.serving.jobs import FINISHED, Job
from openaffect.serving.moments import clue_moments
from openaffect.serving.service import ClientLeft, JobFailed, Service, named, result_of
from openaffect.serving.store import NoRoom, Upload
from openaffect.serving.views import (
    ANALYSIS_NAME,
    COMPLETION_EXAMPLE,
    AnswerView,
    ErrorView,
    HealthView,
    JobList,
    JobView,
    ModelList,
    ModelView,
    PurgeView,
    UploadView,
    example_analysis,
    json_answer,
)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
PIECE = 1 << 20  # bytes of an upload copied at once
MOST_FIELDS = 40  # of a form; each may take a megabyte of memory
BEAT_SECONDS = 15.0  # without an event until a comment says that the stream lives
ALIVE = b": \n\n"  # that comment: proxies close a stream that is silent for a minute
EVENTS = "text/event-stream"
AT_ONCE = {"X-Accel-Buffering": "no"}  # nginx then passes every event on as it comes
MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "vtt": "text/vtt",
    "srt": "application/x-subrip",
    "eaf": "application/xml",
    "textgrid": "text/plain",
    "html": "text/html",
}
TOLD = {
    400: "The request cannot be used, or the clip cannot; the message says why.",
    401: "The API key is missing or wrong.",
    403: "The request comes from elsewhere.",
    404: "There is no such thing, or it was deleted.",
    408: "The body arrived too slowly.",
    409: "It is not ready yet, or it was cancelled meanwhile.",
    410: "The clip is no longer kept; send it again.",
    413: "The body is too large.",
    422: "The clip cannot be processed, or not in the time that there is.",
    429: "Too much waits or is kept; try again after Retry-After seconds.",
    503: "The service cannot do it now.",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": told, "model": ErrorView} for status, told in TOLD.items()
}
ANALYSIS_ANSWER = json_answer("The Analysis.", ANALYSIS_NAME, example_analysis())
CHAT_ANSWER = json_answer("The answer; streamed: server-sent events.", None, COMPLETION_EXAMPLE)
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events.",
        "content": {EVENTS: {"schema": {"type": "string"}}},
    }
}


class ClipRequest(Request):
    """A request whose form holds one file at most."""

    def form(self, **limits: Any) -> Any:
        """The form; more files than one are no form that the service takes."""
        return super().form(**{**limits, "max_files": 1, "max_fields": MOST_FIELDS})


class ClipRoute(APIRoute):
    """A route that knows a body for which the disk has no room from one that is no form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler; it raises NoRoom."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(ClipRequest(request.scope, request.receive))
            except HTTPException as error:
                cause = error.__cause__  # a body goes to the disk while it comes in
                if not isinstance(cause, OSError) or cause.errno not in NO_ROOM:
                    raise
                raise NoRoom(f"the body could not be stored: {cause.strerror}") from error

        return told


router = APIRouter(responses=ERRORS, route_class=ClipRoute)


class NotFound(Exception):
    """There is no such job."""


class NotReady(Exception):
    """The job has no result yet."""


def service_of(request: Request) -> Service:
    """The service of the application."""
    found: Service = request.app.state.service
    return found


def _pieces(file: BinaryIO) -> Any:
    file.seek(0)
    return iter(lambda: file.read(PIECE), b"")


async def _stored(request: Request, file: UploadFile | None, identity: str) -> Upload:
    service = service_of(request)
    if (file is None) == (not identity):
        raise UsageError("give either a file or the id of an upload")
    if file is None:
        return service.uploads.get(identity)
    if not file.size:
        raise UsageError("the file is empty (0 bytes)")
    return await service.store(_pieces(file.file), file.filename)


def _job(request: Request, identity: str) -> Job:
    job = service_of(request).scheduler.jobs.get(identity)
    if job is None or job.request.kind != "analyze":
        raise NotFound("there is no such job, or it was deleted")
    return job


@router.get("/health", tags=["service"])
async def health(request: Request, response: Response) -> HealthView:
    """Whether the models are loaded and work is taken."""
    scheduler = service_of(request).scheduler
    ready = scheduler.ready and not scheduler.draining
    response.status_code = 200 if ready else 503
    return HealthView(status="ok" if ready else "unavailable", version=__version__)


@router.get("/metrics", tags=["service"], response_class=Response)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return Response(service_of(request).metrics.text(), media_type=kind)


@router.get("/v1/models", tags=["models"])
async def models(request: Request) -> ModelList:
    """The models that are served."""
    served = service_of(request).settings.models
    return ModelList(data=[ModelView(id=name) for name in served])


@router.get("/v1/models/{name:path}", tags=["models"])
async def model(request: Request, name: str) -> ModelView:
    """One model."""
    return ModelView(id=service_of(request).model(name))


@router.get("/v1/schema", tags=["analysis"])
async def schema() -> dict[str, Any]:
    """The JSON schema of an Analysis."""
    return published_schema()


@router.post("/v1/uploads", tags=["analysis"], status_code=201)
async def upload(request: Request, file: Annotated[UploadFile, File()]) -> UploadView:
    """Store a clip for later requests; it is deleted by age, by DELETE or by purge."""
    stored = await _stored(request, file, "")
    expires = stored.used + service_of(request).settings.keep_minutes * 60
    return UploadView(id=stored.id, bytes=stored.size, expires=int(expires))


@router.delete("/v1/uploads/{identity}", tags=["analysis"], status_code=204)
async def delete_upload(request: Request, identity: str) -> Response:
    """Delete an upload, and what workers keep of it."""
    await service_of(request).delete_upload(identity)
    return Response(status_code=204)


@router.post("/v1/analyze", tags=["analysis"], responses=ANALYSIS_ANSWER)
async def analyze(request: Request, fields: AnalyzeFields) -> Response:
    """Analyse a clip while the client waits; leaving cancels it."""
    service = service_of(request)
    options = await asyncio.to_thread(fields.options, service.settings.limits)
    service.model(fields.model)
    stored = await _stored(request, fields.file, fields.upload)
    job = await _submitted(request, stored, fields.model, options, sent=fields.file is not None)
    analysis = await service.finished(job, request.is_disconnected)
    return JSONResponse(named(analysis, stored.name).to_dict())


async def _submitted(
    request: Request,
    stored: Upload,
    model: str,
    options: Any,
    *,
    sent: bool,
    keep: bool = False,
    long: bool = False,
) -> Job:
    service = service_of(request)
    try:
        if await request.is_disconnected():  # nobody would know of the job
            raise ClientLeft
        return await service.submit(stored, model, options, sent=sent, keep=keep, long=long)
    except BaseException:
        if sent:
            service.uploads.delete(stored.id)
        raise


@router.post("/v1/jobs", tags=["jobs"], status_code=202)
async def submit(request: Request, fields: JobFields) -> JobView:
    """Queue the analysis of a clip."""
    service = service_of(request)
    options = await asyncio.to_thread(fields.options, service.settings.limits)
    service.model(fields.model)
    stored = await _stored(request, fields.file, fields.upload)
    sent, keep = fields.file is not None, fields.keep
    return _view(
        await _submitted(request, stored, fields.model, options, sent=sent, keep=keep, long=True)
    )


@router.get("/v1/jobs", tags=["jobs"])
async def jobs(request: Request) -> JobList:
    """All jobs that wait, run or can still be asked for."""
    found = service_of(request).scheduler.jobs.values()
    return JobList(data=[_view(j) for j in found if j.request.kind == "analyze"])


@router.get("/v1/jobs/{identity}", tags=["jobs"])
async def job(request: Request, identity: str) -> dict[str, Any]:
    """How a job stands; with its result when it is done."""
    found = _job(request, identity)
    view: dict[str, Any] = _view(found).model_dump()
    if found.state == "done":
        view |= await asyncio.to_thread(_told_result, found)
    return view


@router.delete("/v1/jobs/{identity}", tags=["jobs"])
async def cancel(request: Request, identity: str) -> JobView:
    """Cancel a job, or delete a finished one; the clip that came with it goes, too."""
    found = _job(request, identity)
    await service_of(request).delete_job(found)
    return _view(found)


@router.get(
    "/v1/jobs/{identity}/events", tags=["jobs"], responses=STREAMED, response_class=Response
)
async def events(request: Request, identity: str) -> StreamingResponse:
    """What happens to a job, as server-sent events: every segment as soon as it is read."""
    found = _job(request, identity)

    async def lines() -> AsyncIterator[bytes]:
        number = 0
        async for event in found.watch(BEAT_SECONDS):
            if event["type"] == "waiting":
                yield ALIVE
                continue
            number += 1
            told = {key: plain(value) for key, value in event.items()}
            if event["type"] == "done":
                told |= await asyncio.to_thread(_told_result, found)
            data = json.dumps(told, ensure_ascii=False)
            yield f"id: {number}\nevent: {event['type']}\ndata: {data}\n\n".encode()

    return StreamingResponse(lines(), media_type=EVENTS, headers=AT_ONCE)


@router.get("/v1/jobs/{identity}/result/{form}", tags=["jobs"], response_class=Response)
async def result(request: Request, identity: str, form: str) -> Response:
    """A finished job's result as json, csv, vtt, srt, eaf, textgrid or html."""
    found = _job(request, identity)
    writer = writer_of(form)
    if found.state not in FINISHED:
        raise NotReady("the job is not finished yet")
    analysis: Analysis = named(result_of(found), found.name)
    text = await asyncio.to_thread(writer.render, analysis, RenderOptions())
    name = f"result{writer.suffix}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=MEDIA_TYPES[writer.name], headers=headers)


@router.post("/v1/jobs/{identity}/questions", tags=["jobs"])
async def question(request: Request, identity: str, body: QuestionBody) -> AnswerView:
    """Ask a follow-up question about a finished job's clip."""
    service, found = service_of(request), _job(request, identity)
    if found.state not in FINISHED:
        raise NotReady("the job is not finished yet")
    result_of(found)
    asked_for = str(encodable(body.question))
    asking = await service.ask(found, asked_for, body.at)
    answer: Answer = await service.finished(asking, request.is_disconnected)
    return AnswerView(question=asked_for, answer=answer.text)


@router.post("/v1/purge", tags=["service"])
async def purge(request: Request) -> PurgeView:
    """Cancel all work; delete every upload, result and kept prefix."""
    return PurgeView(uploads=await service_of(request).purge())


@router.post("/v1/chat/completions", tags=["chat"], responses=CHAT_ANSWER)
async def chat(request: Request, body: ChatRequest) -> Response:
    """OpenAI's chat completions about a clip: `video_url` (data URL, upload:ID), `input_audio`."""
    service = service_of(request)
    name = service.model(body.model)
    job = await service.answer(asked(body), name)
    if body.stream:
        stream = _streamed(service, job, name)
        return StreamingResponse(stream, media_type=EVENTS, headers=AT_ONCE)
    found = await service.finished(job, request.is_disconnected)
    return JSONResponse(completion(_content(found), name, cut=_cut(found)))


def _content(found: Any) -> str:
    if isinstance(found, Analysis):
        return found.reasoning
    return found.text if isinstance(found, Answer) else json.dumps(found, ensure_ascii=False)


def _cut(found: Any) -> bool:
    return isinstance(found, Answer) and found.cut


async def _streamed(service: Service, job: Job, name: str) -> AsyncIterator[bytes]:
    first, piece, last = chunks(name)
    growing = Growing()
    yield first
    try:
        async for whole in service.texts(job, BEAT_SECONDS):
            if whole is None:
                yield ALIVE
                continue
            for new in growing.piece(whole):
                yield piece(new)
        for new in growing.piece(_content(job.result), last=True):
            yield piece(new)
    except JobFailed as failed:
        kind = "server_error" if failed.why == "model" else "invalid_request_error"
        body = error_body(str(failed), kind)
        yield f"data: {json.dumps(body)}\n\n".encode()
    yield last(_cut(job.result))


def _told_result(job: Job) -> dict[str, Any]:
    """A finished job's Analysis, and when its clues can be seen or heard."""
    analysis = named(result_of(job), job.name)
    return {"result": analysis.to_dict(), "moments": clue_moments(analysis)}


def _view(job: Job) -> JobView:
    """A job as clients see it."""
    return JobView(
        id=job.id,
        status=job.state,
        model=job.request.model,
        created=int(job.created),
        segments=sum(event["type"] == "segment" for event in job.events),
        progress=job.progress,
        error=job.error,
    )
