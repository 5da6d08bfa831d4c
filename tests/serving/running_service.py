"""A service in a thread of the test's process, and small clips for it.

Nothing here waits without an end: the service stops every job after `JOB_SECONDS`, a client gives
up a silent connection after `SILENT_SECONDS`, a body that a test sends has a last byte.
"""

import threading
import time
from pathlib import Path

import av
import httpx2 as httpx
import numpy as np

JOB_SECONDS = 300.0  # of work for anything asked in these tests; a busy machine is slow
SILENT_SECONDS = 330.0  # without a byte from the service
START_SECONDS = 300.0  # until the model is loaded
STOP_SECONDS = 60.0
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surprise-and-joy.mp4"


def write_clip(path: Path, shade: int = 90, seconds: int = 1) -> Path:
    """Moving grey without sound, ten pictures a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10 * seconds):
            picture = np.full((48, 64, 3), shade + number % 50, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


class Running:
    """A service in a thread of this process, its worker in another process.

    Without `worker` nothing is loaded, for what is refused before there is work.
    """

    def __init__(self, *, worker: bool = True, **changes: object) -> None:
        import uvicorn

        from openaffect.serving.app import build_app
        from openaffect.serving.settings import ServeSettings

        limits = {"answer_seconds": JOB_SECONDS, "job_seconds": JOB_SECONDS, "drain_seconds": 5.0}
        settings = ServeSettings(port=0, threads=1, **{**limits, **changes})  # type: ignore[arg-type]
        self.settings = settings
        self.guard = build_app(settings)
        self.service = self.guard.app.state.service
        config = uvicorn.Config(
            self.guard,
            host="127.0.0.1",
            port=0,
            log_config=None,
            access_log=False,
            lifespan="on" if worker else "off",
            timeout_graceful_shutdown=5,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self.server.started:
            if not self.thread.is_alive() or time.monotonic() > deadline:
                self.end()
                raise AssertionError("the service does not start")
            time.sleep(0.05)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        headers = {}
        if settings.api_key:
            headers["authorization"] = f"Bearer {settings.api_key}"
        self.client = httpx.Client(base_url=self.url, timeout=SILENT_SECONDS, headers=headers)

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(STOP_SECONDS)
        stopped = not self.thread.is_alive()
        self.end()
        assert stopped, "the service does not stop"

    def end(self) -> None:
        """End what is still there of the service, so that nothing can wait for it."""
        self.server.should_exit = self.server.force_exit = True
        for seat in self.service.scheduler._seats:
            if seat.worker is not None:
                seat.worker.kill()
        self.thread.join(STOP_SECONDS)

    def files(self) -> list[str]:
        """Names of what lies in the private folder."""
        return sorted(path.name for path in self.settings.folder.iterdir())
