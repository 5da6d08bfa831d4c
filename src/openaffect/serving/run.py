"""Run the service until it is told to stop."""

from __future__ import annotations

import dataclasses
import errno
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn

from openaffect.errors import OpenAffectError
from openaffect.models.preset import check_model
from openaffect.serving.app import build_app
from openaffect.serving.connections import PromptProtocol
from openaffect.serving.guard import Guard
from openaffect.serving.jobs import Scheduler
from openaffect.serving.settings import ServeSettings
from openaffect.serving.store import process_folder

MOST_CONNECTIONS = 256
BACKLOG = 128
KEEP_ALIVE = 15  # seconds that an idle connection stays open
LACKING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # an address that this machine does not have
SIGNALLED = 128  # the exit code of a process that a signal ended, less the signal's number


def run(settings: ServeSettings, tell: Callable[[str], None] | None = None) -> None:
    """Serve; returns after SIGTERM or SIGINT, when running jobs are done.

    `tell` is told every address once it is taken, before the model is loaded.
    The settings' folder is made here and removed in the end. A signal while the model is loaded
    ends that at once, with KeyboardInterrupt or SystemExit.

    Raises:
        UsageError: a model is unknown, or there can be no folder for uploads.
        OpenAffectError: the address cannot be used, or a model does not load.
    """
    # Other libraries may quote what they read; our own lines never do.
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(message)s")
    logging.getLogger("openaffect").setLevel(logging.INFO)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    for model in settings.models:
        check_model(model)
    sockets = bound(settings.host, settings.port)
    try:
        if tell is not None:
            for address in addresses(settings.host, sockets):
                tell(address)
        with process_folder() as folder:
            _serve(dataclasses.replace(settings, folder=folder), sockets)
    finally:
        for each in sockets:
            each.close()


def bound(host: str, port: int) -> list[socket.socket]:
    """Sockets at every address of a host, which do not listen yet; raises OpenAffectError."""
    sockets: list[socket.socket] = []
    lacking: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                sockets.append(_bound(family, address))
            except OSError as error:
                if error.errno not in LACKING:
                    raise
                lacking = error
        if not sockets and lacking is not None:
            raise lacking
    except (OSError, UnicodeError) as error:
        for each in sockets:
            each.close()
        raise _unusable(host, port, error) from None
    return sockets


def addresses(host: str, sockets: Sequence[socket.socket]) -> list[str]:
    """Where bound sockets are met; ports that the system chose are told as they are."""
    named = f"[{host}]" if ":" in host else host
    ports = dict.fromkeys(each.getsockname()[1] for each in sockets)
    return [f"http://{named}:{port}" for port in ports]


def _bound(family: int, address: object) -> socket.socket:
    made = socket.socket(family)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)  # type: ignore[arg-type]
    except OSError:
        made.close()
        raise
    return made


def _unusable(host: str, port: int, error: Exception) -> OpenAffectError:
    why = error.strerror if isinstance(error, OSError) else "it is no name"
    return OpenAffectError(f"cannot serve at {host} port {port}: {why}")


def _serve(settings: ServeSettings, sockets: list[socket.socket]) -> None:
    guard = build_app(settings)
    server = _Server(_config(guard, settings), guard.app.state.service.scheduler)
    try:
        server.run(sockets)
    except SystemExit:  # how uvicorn ends a start that failed
        server.raise_signal()
        failure = guard.app.state.failure
        raise failure or OpenAffectError("the service did not start") from None
    except OSError as error:  # another process was faster to listen
        if server.started:
            raise
        raise _unusable(settings.host, settings.port, error) from None


def _config(guard: Guard, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        guard,
        http=PromptProtocol,
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


class _Server(uvicorn.Server):
    """The server; a signal reaches the workers as soon as it comes, also while they load."""

    def __init__(self, config: uvicorn.Config, scheduler: Scheduler) -> None:
        super().__init__(config)
        self.scheduler = scheduler
        self.signal: int | None = None  # that ended the start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load and listen; what goes wrong is told by the error alone, without a traceback."""
        log = logging.getLogger("uvicorn.error")
        log.setLevel(logging.CRITICAL)
        try:
            await super().startup(sockets)
        finally:
            log.setLevel(logging.WARNING)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more work from now on."""
        self.scheduler.drain()
        if not self.started:
            self.signal = sig
            self.scheduler.give_up()
        super().handle_exit(sig, frame)

    def raise_signal(self) -> None:
        """End as the signal says that came while the model was loaded; else nothing happens."""
        if self.signal is not None:
            raise (
                KeyboardInterrupt
                if self.signal == signal.SIGINT
                else SystemExit(SIGNALLED + self.signal)
            )
