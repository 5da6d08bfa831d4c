"""A service in a thread of the test's process, and small clips for it."""

import threading
import time
from pathlib import Path

import av
import httpx2 as httpx
import numpy as np

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
    """A service in a thread of this process, its worker in another process."""

    def __init__(self, **changes: object) -> None:
        import uvicorn

        from openaffect.serving.app import build_app
        from openaffect.serving.settings import ServeSettings

        settings = ServeSettings(port=0, threads=1, **changes)  # type: ignore[arg-type]
        self.settings = settings
        self.guard = build_app(settings)
        self.service = self.guard.app.state.service
        config = uvicorn.Config(
            self.guard, host="127.0.0.1", port=0, log_config=None, access_log=False
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 500  # a busy machine is slow to load the model
        while not self.server.started:
            assert self.thread.is_alive() and time.monotonic() < deadline, "it does not start"
            time.sleep(0.05)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        headers = {}
        if settings.api_key:
            headers["authorization"] = f"Bearer {settings.api_key}"
        self.client = httpx.Client(base_url=self.url, timeout=60, headers=headers)

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(60)

    def files(self) -> list[str]:
        """Names of what lies in the private folder."""
        return sorted(path.name for path in self.settings.folder.iterdir())
