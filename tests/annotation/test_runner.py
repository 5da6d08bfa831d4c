"""Builds: resumed after real kills, poisoned clips put aside, shards, consent, partial reuse."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from annotation_examples import EXAMPLE
from crashing_steps import Second, Troubled

from openaffect.annotation import runner
from openaffect.annotation.desk import DeskSettings
from openaffect.annotation.journal import Journal
from openaffect.annotation.runner import FAILED_FILE, BuildSettings, Built, build
from openaffect.annotation.sample import SAMPLES_FILE, read_samples
from openaffect.annotation.steps.faces import ActionUnits, Faces
from openaffect.corpora.manifest import read_manifest
from openaffect.errors import OpenAffectError, UsageError
from openaffect.media.digest import file_sha256
from openaffect.media.mel import SAMPLE_RATE

CLIPS = 10
COMMAND = "import sys; from openaffect.cli import main; sys.argv[0] = 'openaffect'; main()"
SIGNALS_ONLY = ("--describe", "all=none", "--no-transcribe", "--without-consent")


def write_wav(path: Path, seconds: float, seed: int) -> None:
    import wave

    noise = np.random.default_rng(seed).normal(0, 3000, round(seconds * SAMPLE_RATE))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(noise.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(CLIPS):
        write_wav(folder / f"clip-{number}.wav", 0.4 + 0.1 * number, number)
    return folder


@pytest.fixture
def troubled(tmp_path: Path):
    """Builds clips of the given names by steps that note their runs."""
    runs, source, out = tmp_path / "runs", tmp_path / "in", tmp_path / "out"
    runs.mkdir()
    source.mkdir()

    def run(names: tuple[str, ...], second: str = "1", **settings: object) -> Built:
        for number, name in enumerate(names):
            if not (source / f"{name}.wav").exists():
                write_wav(source / f"{name}.wav", 0.2, number)
        given = {"jobs": 1, "without_consent": True, **settings}
        return build(
            source,
            out,
            BuildSettings("merr", **given),  # type: ignore[arg-type]
            DeskSettings(out),
            steps=(Troubled(runs), Second(second)),
        )

    def counted() -> Counter[str]:
        return Counter(path.name.split(".")[0] for path in runs.iterdir())

    run.counted = counted  # type: ignore[attr-defined]
    run.out = out  # type: ignore[attr-defined]
    run.source = source  # type: ignore[attr-defined]
    return run


def test_a_poisoned_clip_is_put_aside_after_two_tries(troubled) -> None:
    names = ("breaks", "damaged", "dies", "fine-1", "fine-2")
    made = troubled(names)
    assert (made.done, made.wanted, made.samples) == (2, 5, 2)
    assert set(made.failed) == {"breaks", "damaged", "dies"}
    assert "signal 9" in made.failed["dies"] and "ZeroDivisionError" in made.failed["breaks"]
    assert troubled.counted() == {"breaks": 2, "damaged": 1, "dies": 2, "fine-1": 1, "fine-2": 1}
    lines = (troubled.out / FAILED_FILE).read_text("utf-8").splitlines()
    assert {line["id"]: line["tries"] for line in map(json.loads, lines)} == {
        "breaks": 2,
        "damaged": 1,
        "dies": 2,
    }
    again = troubled(names)  # what failed stays aside
    assert again.new == 0 and set(again.failed) == set(made.failed)
    assert sum(troubled.counted().values()) == 7


def test_what_no_other_clip_would_change_ends_the_build(troubled) -> None:
    with pytest.raises(OpenAffectError, match="model is missing"):
        troubled(("a", "weightless", "z"))
    assert troubled.counted() == {"a": 1, "weightless": 1}
    (troubled.source / "weightless.wav").unlink()
    assert troubled(("a", "z")).new == 1


def test_failed_clips_are_tried_again_on_request(troubled) -> None:
    troubled(("damaged", "fine"))
    made = troubled(("damaged", "fine"), retry_failed=True)
    assert troubled.counted() == {"damaged": 2, "fine": 1} and set(made.failed) == {"damaged"}


def test_a_clip_that_takes_too_long_costs_only_itself(troubled) -> None:
    made = troubled(("a", "hangs"), seconds=15.0)  # in which a busy machine starts a worker
    assert "longer than 15 s" in made.failed["hangs"] and made.done == 1


def test_a_changed_step_is_run_anew_and_no_other(troubled) -> None:
    first = troubled(("a", "b"))
    assert [s.signals["second"] for s in read_samples(first.path)] == ["1 1", "1 1"]
    second = troubled(("a", "b", "c"), second="2")
    assert second.new == 3
    assert [s.signals["second"] for s in read_samples(second.path)] == ["1 2"] * 3
    assert troubled.counted() == {"a": 1, "b": 1, "c": 1}
    write_wav(troubled.source / "a.wav", 0.3, 99)  # other content: everything anew
    third = troubled(("a", "b", "c"), second="2")
    assert third.new == 1 and troubled.counted() == {"a": 2, "b": 1, "c": 1}


def test_limits_and_shards_give_the_same_corpus_in_the_end(troubled) -> None:
    names = ("a", "b", "c", "d")
    assert troubled(names, limit=1).done == 1
    part = troubled(names, shard=(2, 3))
    assert (part.wanted, part.done, part.samples) == (1, 1, 2)
    whole = troubled(names)
    assert whole.samples == 4 and whole.new == 2
    assert [sample.id for sample in read_samples(whole.path)] == list(names)
    rows = read_manifest(troubled.out / "manifest.jsonl")
    assert [row.media for row in rows] == [f"../in/{name}.wav" for name in names]


def test_a_stop_finishes_the_clip_in_hand_and_begins_no_other(troubled, tmp_path: Path) -> None:
    for number in range(4):
        write_wav(troubled.source / f"{number}.wav", 0.2, number)
    asked: list[int] = []
    made = build(
        troubled.source,
        troubled.out,
        BuildSettings("merr", jobs=1, without_consent=True),
        DeskSettings(troubled.out),
        progress=lambda done, wanted: asked.append(done),
        stop=lambda: bool(asked),
        steps=(Troubled(tmp_path / "runs"), Second()),
    )
    assert made.stopped and made.done == 1 and made.samples == 1


def test_clips_without_consent_are_refused_and_a_waiver_is_recorded(troubled) -> None:
    for name in ("asked", "refused", "nothing"):
        write_wav(troubled.source / f"{name}.wav", 0.2, 1)
    table = "clip,consent\nasked.wav,yes\nrefused.wav,no\nnothing.wav,\n"
    (troubled.source / "clips.csv").write_text(table, "utf-8")
    made = troubled((), without_consent=False)
    assert made.refused == ("nothing", "refused") and made.samples == 1
    assert troubled.counted() == {"asked": 1}
    waived = troubled((), without_consent=True, selection=_keeping())
    samples = {sample.id: sample for sample in read_samples(waived.path)}
    assert {name: s.consent_waived for name, s in samples.items()} == {
        "asked": False,
        "nothing": True,
        "refused": True,
    }
    assert samples["refused"].consent == "refused"
    assert json.loads((troubled.out / "build.json").read_text("utf-8"))["without_consent"] is True
    (troubled.source / "clips.csv").write_text("clip,consent\nrefused.wav,no\n", "utf-8")
    with pytest.raises(UsageError, match="consent on record"):
        troubled((), without_consent=False)


def _keeping():
    from openaffect.annotation.selection import SelectionSettings

    return SelectionSettings(duplicates=False)


def test_two_runs_do_not_write_one_corpus(troubled) -> None:
    journal = Journal(troubled.out)
    try:
        with pytest.raises(UsageError, match="another run"):
            troubled(("a",))
    finally:
        journal.close()


def test_another_pipeline_needs_another_folder(troubled) -> None:
    troubled(("a",))
    with pytest.raises(UsageError, match="pipeline merr"):
        build(
            troubled.source,
            troubled.out,
            BuildSettings("self-reviewed", without_consent=True),
            DeskSettings(troubled.out),
            steps=(),
        )


def test_a_line_cut_off_by_a_crash_is_done_again(troubled) -> None:
    troubled(("a", "b"))
    journal = troubled.out / ".build" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])
    again = troubled(("a", "b"))
    assert again.new == 1 and again.samples == 2


def test_what_is_wrong_with_one_clip_costs_only_that_clip(troubled, monkeypatch) -> None:
    def hashed(path: Path) -> str:
        if path.stem == "locked":
            raise PermissionError(13, "Permission denied")
        return file_sha256(path)

    monkeypatch.setattr(runner, "file_sha256", hashed)
    troubled.source.joinpath("mute.srt").touch()
    troubled.source.joinpath("latin.vtt").write_bytes("0:01 --> 0:02\ncaf\xe9".encode("latin-1"))
    names = ("fine", "latin", "locked", "mute", "nan")
    made = troubled(names)
    assert made.done == made.samples == 1 and set(made.failed) == set(names) - {"fine"}
    assert "Permission denied" in made.failed["locked"] and "UTF-8" in made.failed["latin"]
    assert "no subtitle found" in made.failed["mute"] and "JSON" in made.failed["nan"]
    monkeypatch.undo()
    troubled.source.joinpath("mute.srt").write_text("1\n0:00 --> 0:01\nHi.\n", "utf-8")
    again = troubled(names, retry_failed=True)
    assert set(again.failed) == {"latin", "nan"}


def test_a_name_that_no_manifest_can_hold_is_refused_with_its_path(troubled) -> None:
    name = os.fsdecode(b"caf\xe9.wav")
    write_wav(troubled.source / "fine.wav", 0.2, 1)
    try:
        write_wav(troubled.source / "x.wav", 0.2, 2)
        (troubled.source / "x.wav").rename(troubled.source / name)
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(UsageError, match=r"in/caf\\xe9\.wav: its path is not UTF-8"):
        troubled(("fine",))


def test_another_openface_table_makes_its_clip_anew(troubled, tmp_path: Path) -> None:
    source, out = troubled.source, troubled.out
    for name, seed in (("a", 1), ("b", 2)):
        write_wav(source / f"{name}.wav", 0.2, seed)
    for folder, value in (("first", 1), ("second", 5)):
        (tmp_path / folder).mkdir()
        for name in "ab":
            level = value if name == "a" else 2
            text = f"timestamp,AU12_r\n0.0,{level}\n"
            (tmp_path / folder / f"{name}.csv").write_text(text, "utf-8")

    def built(folder: str) -> dict[str, float]:
        desk, settings = (
            DeskSettings(out, openface=tmp_path / folder),
            BuildSettings("merr", jobs=1),
        )
        settings = dataclasses.replace(settings, without_consent=True, selection=_keeping())
        steps = (Troubled(tmp_path / "runs"), Faces(), ActionUnits(tmp_path / folder))
        made = build(source, out, settings, desk, steps=steps)
        return {s.id: s.signals["action_units"]["apex"]["AU12"] for s in read_samples(made.path)}

    assert built("first") == {"a": 0.2, "b": 0.4}
    assert built("second") == {"a": 1.0, "b": 0.4}
    assert troubled.counted() == {"a": 2, "b": 1}


def test_within_a_journal_the_last_line_counts_whatever_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    monkeypatch.setattr("time.time", lambda: 1000.0)
    journal.add_failed(EXAMPLE.id, "g", (1, 1), "it was damaged", 1, "s")
    monkeypatch.setattr("time.time", lambda: 900.0)
    journal.add_done("g", (1, 1), EXAMPLE)
    assert journal.histories()[EXAMPLE.id].failure is None
    journal.close()


def test_of_several_journals_the_newest_line_counts(tmp_path: Path) -> None:
    def noted(shard: tuple[int, int], error: str | None, second: str = "1") -> None:
        journal = Journal(tmp_path, shard)
        if error is None:
            journal.add_done("g", (1, 1), EXAMPLE.with_signal("second", second))
        else:
            journal.add_failed(EXAMPLE.id, "g", (1, 1), error, 1, "s")
        journal.close()

    def known() -> str | None:
        journal = Journal(tmp_path)
        history = journal.histories()[EXAMPLE.id]
        journal.close()
        if history.failure is not None:
            return history.failure.error
        sample = history.done and history.done.sample()
        return sample and sample.signals["second"]

    noted((1, 2), "it was damaged")
    path = tmp_path / ".build" / "journal-1-of-2.jsonl"
    line = json.loads(path.read_text("utf-8"))
    del line["at"]
    path.write_text(json.dumps(line) + "\n", "utf-8")  # of a version that wrote no times
    noted((1, 1), None, "old")
    assert known() == "old"
    noted((1, 2), None, "new")
    assert known() == "new"
    noted((1, 1), "it is gone")
    assert known() == "it is gone"
    noted((2, 3), None, "newest")
    assert known() == "newest"


def start(source: Path, out: Path) -> subprocess.Popen[bytes]:
    arguments = ["data", "build", "merr", str(source), str(out), *SIGNALS_ONLY]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def journal_lines(out: Path) -> int:
    path = out / ".build" / "journal.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def kill_often(source: Path, out: Path, kills: int, seed: int) -> int:
    """Builds, killed at random moments; returns how many kills hit a running build."""
    rng, hit = random.Random(seed), 0
    for number in range(kills):
        process = start(source, out)
        wanted = min(journal_lines(out) + rng.choice((0, 1, 1)), CLIPS - 1)
        deadline = time.monotonic() + 200
        while process.poll() is None and journal_lines(out) < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        # Some kills fall into the start, the others into the work on a clip.
        time.sleep(rng.uniform(0, 0.05 if number % 2 else 1.0))
        hit += process.poll() is None
        process.kill()
        process.communicate(timeout=60)
    return hit


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_manifest_is_the_same(
    clips: Path, tmp_path: Path, kills: int
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    process = start(clips, whole)
    told, _ = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert kill_often(clips, cut, kills, seed=kills) > 0
    last = start(clips, cut)
    told, _ = last.communicate(timeout=300)
    assert last.returncode == 0, told
    for name in (SAMPLES_FILE, "manifest.jsonl", "build.json"):
        assert (whole / name).read_bytes() == (cut / name).read_bytes()
    assert not list(cut.glob(".*.part"))


def test_sigterm_drains(clips: Path, tmp_path: Path) -> None:
    process = start(clips, tmp_path)
    deadline = time.monotonic() + 200
    while journal_lines(tmp_path) < 1 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 0, told
    done = [sample.id for sample in read_samples(tmp_path)]
    assert len(done) == journal_lines(tmp_path) >= 1
    assert b"asked to stop" in told or len(done) == CLIPS
