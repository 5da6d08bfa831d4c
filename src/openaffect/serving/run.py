"""Run the service until it is told to stop."""

from __future__ import annotations

import logging

import uvicorn

from openaffect.errors import OpenAffectError
from openaffect.serving.app import build_app
from openaffect.serving.settings import ServeSettings

MOST_CONNECTIONS = 256
BACKLOG = 128
KEEP_ALIVE = 15  # seconds that an idle connection stays open


def run(settings: ServeSettings) -> None:
    """Serve; returns after SIGTERM or SIGINT, when running jobs are done.

    Raises OpenAffectError where the address cannot be used or a model does not load.
    """
    # Other libraries may quote what they read; our own lines never do.
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s")
    logging.getLogger("openaffect").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="on",
        limit_concurrency=MOST_CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=int(settings.drain_seconds) + 1,
    )
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        raise OpenAffectError("the service did not start; the lines above say why")
