"""Clips that fail when they are made anew: what was finished before stays, and others are tried."""

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from annotation_examples import EXAMPLE
from crashing_steps import Second, Troubled
from test_runner import write_wav
from test_steps import Server

from openaffect.annotation.describers.endpoint import EndpointDescriber
from openaffect.annotation.desk import Desk, DeskSettings
from openaffect.annotation.runner import FAILED_FILE, BuildSettings, Built, build
from openaffect.annotation.sample import read_samples
from openaffect.annotation.steps.described import Reasoning
from openaffect.annotation.worker import Answer, Job, annotate
from openaffect.corpora.manifest import read_manifest
from openaffect.inference import chat_endpoint

Build = Callable[..., Built]


@pytest.fixture
def built(tmp_path: Path) -> Build:
    """Builds the clips a and b by the first step and one of the given stamp."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("a", "b")):
        write_wav(tmp_path / "in" / f"{name}.wav", 0.2 + number, number)

    def run(stamp: str) -> Built:
        out = tmp_path / "out"
        settings = BuildSettings("merr", jobs=1, without_consent=True)
        steps = (Troubled(tmp_path / "runs"), Second(stamp))
        return build(tmp_path / "in", out, settings, DeskSettings(out), steps=steps)

    return run


def test_what_was_finished_stays_until_it_is_made_anew(built: Build, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = built("1")
    before = whole.path.read_bytes()
    failed = built("silent")
    assert set(failed.failed) == {"a", "b"} and (failed.done, failed.samples) == (0, 2)
    assert whole.path.read_bytes() == before
    assert [row.id for row in read_manifest(out / "manifest.jsonl")] == ["a", "b"]
    assert (out / FAILED_FILE).is_file()
    assert built("silent").failed == failed.failed  # not tried again
    other = built("2")  # others are: what failed with the one may do with the other
    assert (other.new, other.done, other.failed) == (2, 2, {})
    assert [s.signals["second"] for s in read_samples(other.path)] == ["1 2", "1 2"]
    assert not (out / FAILED_FILE).exists()
    assert len(list((tmp_path / "runs").iterdir())) == 2  # and steps that did well are not run


def test_the_first_steps_again_need_no_work_after_others_failed(built: Build) -> None:
    before = built("1").path.read_bytes()
    built("silent")
    again = built("1")
    assert (again.new, again.done, again.failed) == (0, 2, {})
    assert again.path.read_bytes() == before


def test_a_finished_sample_does_not_stand_for_other_media(built: Build, tmp_path: Path) -> None:
    built("1")
    clip, kept = tmp_path / "in" / "a.wav", tmp_path / "kept.wav"
    shutil.copy2(clip, kept)
    write_wav(clip, 0.5, 9)
    assert [sample.id for sample in read_samples(built("silent").path)] == ["b"]
    shutil.copy2(kept, clip)  # of the same time: only what was said of other media has to go
    again = built("1")
    assert again.new == 1 and [sample.id for sample in read_samples(again.path)] == ["a", "b"]


def answer_of(url: str, cache: Path) -> Answer:
    """What becomes of a clip whose reasoning is asked for at an endpoint."""
    steps = (Reasoning(EndpointDescriber(url, "m", cache), ()),)
    return annotate(Job(EXAMPLE), steps, Desk(DeskSettings(cache.parent)))


@pytest.mark.parametrize("code", [401, 403, 404])
def test_an_endpoint_that_refuses_ends_the_build(tmp_path: Path, code: int) -> None:
    server = Server("never", (code,))
    answer = answer_of(server.url, tmp_path / "replies.jsonl")
    server.server.shutdown()
    server.server.server_close()
    assert (answer.kind, len(server.requests)) == ("broken", 1)  # no clip is to blame
    assert f"HTTP {code}" in answer.error and "\n" not in answer.error


def test_an_endpoint_that_is_not_there_ends_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_endpoint, "PAUSE", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    answer = answer_of(url, tmp_path / "replies.jsonl")
    assert answer.kind == "broken"
    assert "refused; check address, model and OPENAFFECT_ENDPOINT_KEY" in answer.error


def test_an_endpoint_that_fails_at_one_request_costs_one_clip(tmp_path: Path) -> None:
    server = Server("never", (400,))
    answer = answer_of(server.url, tmp_path / "replies.jsonl")
    server.server.shutdown()
    server.server.server_close()
    assert (answer.kind, answer.expected) == ("failed", True)
