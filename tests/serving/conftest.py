"""A running service with a tiny random model, and a small clip for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import Running, write_clip

from openaffect.media.limits import Limits

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory, small_parts) -> Path:
    """A checkpoint folder of a tiny random model."""
    from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor

    folder = tmp_path_factory.mktemp("tiny")
    network = tiny_model()
    network.save_pretrained(folder)
    tiny_processor(network.config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def other_model_folder(tiny_model_folder: Path) -> Path:
    """The same under another name, to compare."""
    folder = tiny_model_folder.with_name("other")
    folder.symlink_to(tiny_model_folder)
    return folder


@pytest.fixture(scope="session")
def service(
    tiny_model_folder: Path, other_model_folder: Path, tmp_path_factory
) -> Iterator[Running]:
    running = Running(
        models=(str(tiny_model_folder), str(other_model_folder)),
        folder=tmp_path_factory.mktemp("serve") / "private",
        queue=4,
        max_upload_bytes=3 << 20,
        max_json_bytes=3 << 20,
        limits=Limits(max_seconds=30, max_long_seconds=120, max_pixels=1920 * 1080),
    )
    yield running
    running.stop()


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")
