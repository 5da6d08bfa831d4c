"""The service behind the routes: uploads, jobs and answers, independent of HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Literal

from openaffect.errors import OpenAffectError, UsageError
from openaffect.inference.options import AnalyzeOptions
from openaffect.inference.worker_process import CLIP_GONE, Request, WorkerSettings
from openaffect.results.analysis import Analysis, Segment
from openaffect.results.answer import Answer
from openaffect.serving.chat import Asked, Media
from openaffect.serving.fetch import Fetcher
from openaffect.serving.forms import prefix_name
from openaffect.serving.jobs import NOT_PROCESSED, Failure, Job, Scheduler
from openaffect.serving.metrics import Metrics
from openaffect.serving.settings import ServeSettings
from openaffect.serving.store import Upload, UploadStore

EXPIRY_SECONDS = 30.0  # between two looks for what is too old
FETCHES = 4  # from other servers at once; slow ones hold up nothing else
LOOK_SECONDS = 0.25  # between two looks whether a waiting client has left
log = logging.getLogger("openaffect.serving")

Left = Callable[[], Awaitable[bool]]
"""Whether the client has left."""


class UnknownModel(OpenAffectError):
    """A model that is not served."""


class ClientLeft(Exception):
    """The client went away before its answer was there."""


class JobFailed(OpenAffectError):
    """A job ended without a result."""

    def __init__(self, message: str, why: Failure | Literal["cancelled"]) -> None:
        super().__init__(message)
        self.why = why


class ClipGone(JobFailed):
    """A question came too late: neither the clip nor its prefix is kept."""

    def __init__(self) -> None:
        super().__init__(CLIP_GONE, "request")


class Service:
    """Uploads and jobs of one server process."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.uploads = UploadStore(
            settings.folder, settings.keep_minutes * 60, settings.max_kept_bytes
        )
        self._clips: dict[str, float] = {}  # checksum of a clip that was read -> when last sent
        self.fetcher = Fetcher(settings.allowed_domains, settings.max_upload_bytes)
        self._fetching = ThreadPoolExecutor(FETCHES, "fetch")
        worker = WorkerSettings(
            settings.models, settings.device, None, settings.threads, settings.kept_prefixes
        )
        self.scheduler = Scheduler(
            worker,
            settings.workers,
            settings.queue,
            settings.kept_results,
            self.metrics,
            self._ended,
        )
        self._expiry: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the models; raises OpenAffectError where that fails."""
        await self.scheduler.start()
        self._expiry = asyncio.create_task(self._expire())

    async def stop(self) -> None:
        """Finish what runs, then remove everything that was uploaded."""
        await self.scheduler.close(self.settings.drain_seconds)
        if self._expiry is not None:
            self._expiry.cancel()
        self.uploads.close()

    def _ended(self, job: Job) -> None:
        """What the end of a job means for the clips that it read."""
        if job.source is not None:
            self.uploads.used(job.source)
        if job.upload is not None:
            with _logged("a clip could not be deleted"):
                self.uploads.delete(job.upload)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_SECONDS)
            await self.expire()

    async def expire(self) -> None:
        """Remove uploads, results and prefixes that are too old; unfinished jobs keep theirs."""
        seconds = self.settings.keep_minutes * 60
        with _logged("what is too old could not be deleted"):
            self.uploads.expire(self.scheduler.in_use())
        self.scheduler.expire(seconds)
        oldest = time.time() - seconds
        for clip in [clip for clip, sent in self._clips.items() if sent < oldest]:
            await self._forget(clip, self.scheduler.jobs.values())

    async def _forget(self, clip: str, jobs: Iterable[Job]) -> None:
        """Let the workers forget a clip, unless an upload or one of these jobs still has it."""
        if clip not in self._clips or self.uploads.holds(clip):
            return
        if all(job.clip != clip for job in jobs):
            del self._clips[clip]
            await self.scheduler.forget(f"{clip}:")

    async def delete_upload(self, identity: str) -> None:
        """Delete an upload and what workers keep of it; raises UploadMissing."""
        upload = self.uploads.get(identity)
        self.uploads.delete(identity)
        await self._forget(upload.sha256, self.scheduler.unfinished())

    async def delete_job(self, job: Job) -> None:
        """Cancel a job or drop its result, with questions about it and the clip that came with it.

        A clip that was uploaded for several requests stays.
        """
        await self.scheduler.cancel(job)
        for question in [j for j in self.scheduler.unfinished() if j.about == job.id]:
            await self.scheduler.cancel(question)
        self.scheduler.jobs.pop(job.id, None)
        if job.sent and job.source is not None:
            self.uploads.delete(job.source)
        await self._forget(job.clip, self.scheduler.jobs.values())

    def model(self, name: str) -> str:
        """The served model of that name, the first for none; raises UnknownModel."""
        if not name:
            return self.settings.models[0]
        if name not in self.settings.models:
            served = ", ".join(self.settings.models)
            raise UnknownModel(f"no such model is served; there are {served}")
        return name

    async def store(self, pieces: Iterable[bytes], name: str | None) -> Upload:
        """Store an upload without holding up other requests; raises StoreFull and NoRoom."""
        return await asyncio.to_thread(self.uploads.add, pieces, name)

    async def submit(
        self,
        upload: Upload,
        model: str,
        options: AnalyzeOptions,
        *,
        sent: bool,
        keep: bool,
        long: bool,
    ) -> Job:
        """Queue the analysis of an upload; a `long` one's result stays for later requests.

        One that was sent with the request is deleted with the job, and when that is done unless
        it is to be kept.
        """
        name = self.model(model)
        request = Request(
            0,
            "analyze",
            str(upload.path),
            name,
            options,
            keep=prefix_name(upload.sha256, name, options),
        )
        released = upload.id if sent and not keep else None
        seconds = self.settings.job_seconds if long else self.settings.answer_seconds
        job = Job(request, seconds, upload.name, released, upload.id, sent, stays=long)
        self._clips[upload.sha256] = time.time()
        return await self.scheduler.submit(job)

    async def ask(self, job: Job, question: str, at: float | None) -> Job:
        """Queue a follow-up question about a finished job's clip.

        A short clip's prefix is kept, so that only the question is read; of a long one, the segment
        at second `at` is read. What hangs on a prefix waits for the worker that has it.
        """
        if not isinstance(job.result, Analysis):
            raise UsageError("the job has no result to ask about yet")
        options = job.request.options or AnalyzeOptions()
        options = dataclasses.replace(options, question=None, labels=None)
        if job.result.segments:
            options = _within(options, segment_at(job.result, at or 0.0))
        path = job.request.path
        if job.source is None or not self._there(job.source):
            path = ""
        keep = prefix_name(job.result.clip.sha256, job.request.model, options)
        request = Request(0, "ask", path, job.request.model, options, question, keep=keep)
        asking = Job(
            request,
            self.settings.answer_seconds,
            job.name,
            source=job.source,
            about=job.id,
            seat=None if path and job.result.segments else job.ran_on,
        )
        return await self.scheduler.submit(asking)

    def _there(self, identity: str) -> bool:
        try:
            self.uploads.get(identity)
        except OpenAffectError:
            return False
        return True

    async def answer(self, asked: Asked, model: str) -> Job:
        """Queue a chat question."""
        name = self.model(model)
        options = AnalyzeOptions(limits=self.settings.limits, segments="never")
        upload = await self._uploaded(asked.media) if asked.media is not None else None
        kept = asked.media is not None and asked.media.upload is not None
        kind = "fill" if asked.schema is not None else "ask"
        question = asked.question
        if upload is not None and not question and asked.schema is None:
            kind = "analyze"
        request = Request(
            0,
            kind,  # type: ignore[arg-type]
            str(upload.path) if upload is not None else "",
            name,
            options,
            question,
            asked.schema,
            asked.most_tokens,
            prefix_name(upload.sha256, name, options) if upload is not None else None,
        )
        identity = upload.id if upload is not None and not kept else None
        source = upload.id if upload is not None else None
        job = Job(request, self.settings.answer_seconds, "the clip", identity, source)
        if upload is not None:
            self._clips[upload.sha256] = time.time()
        try:
            return await self.scheduler.submit(job)
        except BaseException:
            if identity is not None:
                self.uploads.delete(identity)
            raise

    async def _uploaded(self, media: Media) -> Upload:
        if media.upload is not None:
            return self.uploads.get(media.upload)
        if media.data is not None:
            if len(media.data) > self.settings.limits.max_bytes:
                raise UsageError("the media is too large")
            return await self.store([media.data], media.name)
        if not self.settings.allowed_domains:
            raise UsageError(
                "media is not fetched from addresses by this service; upload it to /v1/uploads or "
                "give a data URL"
            )
        pieces = self.fetcher.fetch(media.address or "")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._fetching, self.uploads.add, pieces, "clip")

    async def purge(self) -> int:
        """Cancel all work and delete uploads, results and prefixes; the number of uploads.

        What comes in meanwhile stays.
        """
        uploads = self.uploads.ids()
        await self.scheduler.purge()
        self.uploads.delete_all(uploads)
        left = {job.clip for job in self.scheduler.jobs.values()}
        for clip in [*self._clips]:
            if clip not in left and not self.uploads.holds(clip):
                del self._clips[clip]
        return len(uploads)

    async def finished(self, job: Job, left: Left) -> Any:
        """The job's result; it is cancelled when the client leaves.

        Raises JobFailed and ClientLeft.
        """
        done = asyncio.create_task(job.ended())
        try:
            while not done.done():
                await asyncio.wait([done], timeout=LOOK_SECONDS)
                if not done.done() and await left():
                    raise ClientLeft
        finally:
            done.cancel()
            if job.state not in ("done", "failed", "cancelled"):
                await asyncio.shield(self.scheduler.cancel(job))
        return result_of(job)

    async def texts(self, job: Job, beat: float | None = None) -> AsyncIterator[str | None]:
        """The whole of a growing answer, again and again; the job is cancelled when left early.

        None where anything else happened, and after every `beat` seconds in which nothing did.
        """
        try:
            async for event in job.watch(beat):
                if event["type"] == "text":
                    yield event["value"]
                else:
                    yield None
            result = result_of(job)
            yield result.text if isinstance(result, Answer) else ""
        finally:
            if job.state not in ("done", "failed", "cancelled"):
                await asyncio.shield(self.scheduler.cancel(job))


@contextmanager
def _logged(failure: str) -> Iterator[None]:
    """Log what the disk refuses, by its type alone: work and later tries go on."""
    try:
        yield
    except OSError as error:
        log.error("%s: %s", failure, type(error).__name__)


def result_of(job: Job) -> Any:
    """What a finished job found; raises JobFailed or ClipGone where it found nothing."""
    if job.state == "cancelled":
        raise JobFailed("the work was cancelled", "cancelled")
    if job.error == CLIP_GONE:
        raise ClipGone
    if job.state != "done":
        raise JobFailed(job.error or NOT_PROCESSED, job.failure)
    return job.result


def named(analysis: Analysis, name: str) -> Analysis:
    """The analysis with the client's name of the clip in place of the server's path."""
    clip = dataclasses.replace(analysis.clip, path=name)
    return dataclasses.replace(analysis, clip=clip)


def segment_at(analysis: Analysis, second: float) -> Segment:
    """The segment of a long clip at a second, else the nearest one."""
    return min(analysis.segments, key=lambda s: max(s.start - second, second - s.end, 0.0))


def _within(options: AnalyzeOptions, segment: Segment) -> AnalyzeOptions:
    """The options for one segment alone."""
    subtitle = options.subtitle
    if options.lines is not None:
        subtitle = segment.modalities.text.text or ""  # None would let speech be recognised
    return dataclasses.replace(
        options,
        start=segment.start,
        end=segment.end,
        subtitle=subtitle,
        lines=None,
        segments="never",
    )
