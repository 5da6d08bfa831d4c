"""`openaffect serve`: the HTTP service and its web page; `openaffect purge`: what it left."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from openaffect import DEFAULT_MODEL
from openaffect.errors import OpenAffectError, UsageError, install

Host = Annotated[str, typer.Option(help="Address; any but loopback needs an API key.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 lets the system choose one.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="PRESET|DIR", help="Model to serve; may be repeated."),
]
Device = Annotated[str, typer.Option(help="Where it runs: cpu, cuda, mps.")]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes, each with its own models.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads of each worker.")]
Queue = Annotated[int, typer.Option(min=1, help="Jobs that may wait; more get 429.")]
Domains = Annotated[
    list[str] | None,
    typer.Option("--allow-domain", help="Fetch media from this domain; may be repeated."),
]
MaxUpload = Annotated[int, typer.Option(min=1, help="Largest upload in MiB.")]
MaxKept = Annotated[int, typer.Option(min=1, help="All uploads together, in GiB; more get 429.")]
JobHours = Annotated[float, typer.Option(min=0.01, help="Hours of work for a job, at most.")]
MaxSeconds = Annotated[float, typer.Option(min=1, help="Longest clip read at once, in seconds.")]
KeepMinutes = Annotated[float, typer.Option(min=0.1, help="How long uploads and results stay.")]
KeepResults = Annotated[int, typer.Option(min=1, help="Jobs whose result stays, the newest.")]
Drain = Annotated[float, typer.Option(min=0, help="Seconds for running jobs after SIGTERM.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("serve")(serve)
    app.command("purge")(purge)


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    model: Models = None,
    device: Device = "cpu",
    workers: Workers = 1,
    threads: Threads = None,
    queue: Queue = 16,
    allow_domain: Domains = None,
    max_upload: MaxUpload = 1024,
    max_kept: MaxKept = 20,
    max_seconds: MaxSeconds = 600.0,
    job_hours: JobHours = 24.0,
    keep_minutes: KeepMinutes = 60.0,
    keep_results: KeepResults = 64,
    drain_seconds: Drain = 60.0,
) -> None:
    """Serve the web page, /v1/analyze, /v1/jobs and an OpenAI-compatible /v1/chat/completions.

    The API key is read from OPENAFFECT_API_KEY. Needs `pip install -e '.[serve]'` in
    the clone.
    """
    try:
        from openaffect.serving.run import run
    except ImportError as error:
        raise UsageError(install("the service", str(error.name), "serve")) from None
    from openaffect.media.limits import Limits
    from openaffect.serving.settings import KEY_VARIABLE, ServeSettings

    most = max_upload * 2**20
    settings = ServeSettings(
        host=host,
        port=port,
        api_key=os.environ.get(KEY_VARIABLE) or None,
        models=tuple(dict.fromkeys(model or [DEFAULT_MODEL])),
        device=device,
        workers=workers,
        threads=threads,
        queue=queue,
        keep_minutes=keep_minutes,
        kept_results=keep_results,
        max_upload_bytes=most,
        max_kept_bytes=max_kept * 2**30,
        max_json_bytes=min(most, 96 * 2**20),
        job_seconds=job_hours * 3600,
        drain_seconds=drain_seconds,
        allowed_domains=tuple(allow_domain or ()),
        limits=Limits(max_seconds=max_seconds, max_bytes=most),
    )
    run(settings, lambda url: typer.echo(f"openaffect is starting at {url}", err=True))


def purge() -> None:
    """Delete uploads that services hold or left, and cached features of training clips.

    Weights stay: `openaffect models purge --all` removes them.
    """
    from openaffect.models.home import home
    from openaffect.models.purging import purge_features
    from openaffect.serving.store import FOLDER_NAME, remove_left_over

    try:
        count = remove_left_over(home() / FOLDER_NAME, running=True)
    except OSError as error:
        raise OpenAffectError(f"cannot delete {error.filename}: {error.strerror}") from None
    purge_features()
    typer.echo(f"{count} uploads and all cached features were deleted")
