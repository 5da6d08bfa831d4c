"""Building a corpus: every clip through the steps, by worker processes, resumable at any moment.

The finished manifest depends on the clips, the steps and the settings alone: not on how many
workers there were and where, nor on where a run was killed and taken up again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from openaffect import __version__
from openaffect.annotation.crew import Crew, Outcome
from openaffect.annotation.desk import DeskSettings
from openaffect.annotation.intake import read_intake
from openaffect.annotation.journal import Entry, History, Journal
from openaffect.annotation.openface import openface_table
from openaffect.annotation.pipelines import pipeline
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import SAMPLES_FILE, Sample
from openaffect.annotation.selection import SelectionSettings, left_out, select
from openaffect.annotation.steps.step import Step, ordered
from openaffect.annotation.worker import Job
from openaffect.corpora.replacing import replacing
from openaffect.errors import OpenAffectError, UsageError
from openaffect.media.digest import file_sha256

RECORD_FILE = "build.json"
FAILED_FILE = "failed.jsonl"
RECORD_SCHEMA = "openaffect.build/1"

Engine = Literal["local", "ray"]
"""Where worker processes run: on this machine, or on a Ray cluster."""


@dataclass(frozen=True)
class BuildSettings:
    """How a corpus is built."""

    pipeline: str  # one of PIPELINES
    limit: int | None = None  # most clips that this call may work on
    shard: tuple[int, int] = (1, 1)  # this part of so many
    jobs: int | None = None  # worker processes; None: 2, or what the cluster has room for
    engine: Engine = "local"
    threads: int = 1  # of each
    retry_failed: bool = False  # whether clips that failed before are tried again
    without_consent: bool = False  # whether clips without a consent on record are taken
    transcribe: bool = True  # whether words are recognised where no subtitle is given
    seconds: float = 900.0  # longest that a clip may take before its worker is ended
    selection: SelectionSettings = field(default_factory=SelectionSettings)

    def __post_init__(self) -> None:
        part, parts = self.shard
        if not 1 <= part <= parts:
            raise UsageError(f"--shard {part}/{parts}: the part must be 1 to {parts}")
        if (self.jobs is not None and self.jobs < 1) or (self.limit is not None and self.limit < 0):
            raise UsageError("a build needs at least one job, and a limit from 0")
        if self.engine not in ("local", "ray"):
            raise UsageError(f"--engine is local or ray, not {self.engine!r}")


@dataclass(frozen=True)
class Built:
    """What one call left behind."""

    wanted: int  # clips of this shard that may be built
    done: int  # of these, finished by this and former calls
    new: int  # finished by this call
    failed: dict[str, str]  # id -> why, of this shard
    refused: tuple[str, ...]  # ids without a consent on record
    reviewed: int  # samples that were reviewed in an earlier corpus; the reviews stay there
    stopped: str | None  # why the call ended early; None where it did not
    samples: int  # in the manifest, over all shards
    rejected: dict[str, int]  # rule -> samples that it left out
    path: Path  # samples.jsonl


def build(
    source: Path,
    out: Path,
    settings: BuildSettings,
    desk: DeskSettings,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
    stop: Callable[[], bool] = lambda: False,
    steps: Sequence[Step] | None = None,
) -> Built:
    """Build a corpus in `out` from `source`, or go on with one that was begun there.

    `stop` is asked often; once it is true the clips in hand are finished and no other is begun.
    `steps` take the place of the pipeline's; worker processes must be able to import them.

    Raises:
        UsageError: the source cannot be read, `out` holds a corpus of another pipeline or is being
            written by another run, or no clip may be used.
        OpenAffectError: weights or tables are missing or wrong, which no other clip would change;
            what was done stays.
    """
    out = Path(out)
    if steps is None:
        steps = pipeline(settings.pipeline, desk, settings.transcribe)
    steps = ordered(steps)
    taken = read_intake(source, out)
    planned = tuple(dataclasses.replace(sample, reviews=()) for sample in taken)
    if settings.without_consent:
        planned = tuple(
            s if s.permitted else dataclasses.replace(s, consent_waived=True) for s in planned
        )
    refused = tuple(sample.id for sample in planned if not sample.permitted)
    plan = [sample for sample in planned if sample.permitted]
    if not plan:
        raise UsageError(
            f"{source}: none of {len(planned)} clips has a consent on record; give a table with a "
            "column consent, or say --without-consent"
        )
    _claim(out, settings.pipeline)
    part, parts = settings.shard
    own = plan[part - 1 :: parts]
    given = {sample.id: given_hash(sample, desk.openface) for sample in plan}
    journal = Journal(out, settings.shard)
    try:
        run = _Run(out, settings, desk, steps, given, journal, progress, stop)
        stopped = run.work(own)
        with journal.assembling():  # of shards that end together, the last has all
            histories = journal.histories()
            samples = _Finished(plan, given, histories)
            failures = _failures(plan, given, run.tried, histories)
            reasons = select(samples, settings.selection, out)
            count = write_corpus(left_out(samples, reasons), out)
            rejected = _rejections(out)
            _write_failed(out, plan, failures)
            _write_record(out, settings, desk, steps, count, rejected, len(refused))
        failed = {s.id: str(failures[s.id].error) for s in own if s.id in failures}
        done = sum(samples.entry(s) is not None for s in own if s.id not in failed)
    finally:
        journal.close()
    return Built(
        wanted=len(own),
        done=done,
        new=run.new,
        failed=failed,
        refused=refused,
        reviewed=sum(bool(sample.reviews) for sample in taken),
        stopped=stopped,
        samples=count,
        rejected=rejected,
        path=out / SAMPLES_FILE,
    )


def _claim(out: Path, name: str) -> None:
    record = out / RECORD_FILE
    try:
        held = json.loads(record.read_text("utf-8"))["pipeline"] if record.is_file() else name
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{record}: cannot be read ({error}); choose another OUT") from None
    if held != name:
        raise UsageError(f"{out} holds a corpus of the pipeline {held}; choose another OUT")


def given_hash(sample: Sample, openface: Path | None) -> str:
    """Hash of what a sample was before any step, its media left out, and of its OpenFace table."""
    digest = hashlib.sha256(sample.to_json().encode())
    names = sample.id, Path(sample.clip).stem
    table = None if openface is None else openface_table(openface, *names)
    if table is not None:
        with suppress(OSError):  # told by the step that reads it
            digest.update(file_sha256(table).encode())
    return digest.hexdigest()


def _stat(path: Path) -> tuple[int, int]:
    """Size and time of a file; zeros where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


class _Run:
    """The work of one call: which clips, by which workers, with which outcome."""

    def __init__(
        self,
        out: Path,
        settings: BuildSettings,
        desk: DeskSettings,
        steps: tuple[Step, ...],
        given: Mapping[str, str],
        journal: Journal,
        progress: Callable[[int, int], None],
        stop: Callable[[], bool],
    ) -> None:
        self.out, self.settings, self.desk, self.steps = out, settings, desk, steps
        self.given, self.journal, self.progress, self.stop = given, journal, progress, stop
        self.stamps = {step.name: step.stamp for step in steps}
        self.tried = hashlib.sha256(json.dumps(self.stamps).encode()).hexdigest()
        self.new = self.finished = self.wanted = 0
        self.spent: str | None = None
        self._stats: dict[str, tuple[int, int]] = {}

    def work(self, own: Sequence[Sample]) -> str | None:
        """Annotate what is not up to date; returns why it ended early, if it did."""
        crew = Crew(
            self.desk,
            self.steps,
            self.settings.jobs,
            self.settings.threads,
            self.settings.seconds,
        )
        if self.settings.engine == "ray":
            from openaffect.annotation.ray_crew import annotated_on_ray as annotated
        else:
            from openaffect.annotation.crew import annotated
        self.wanted = len(own)
        with closing(annotated(self._begun(own), crew, self._ends)) as outcomes:
            for outcome in outcomes:
                self._settle(outcome)
        if self.spent:
            return self.spent
        return "it was asked to stop" if self.stop() else None

    def _ends(self) -> bool:
        return self.spent is not None or self.stop()

    def _begun(self, own: Sequence[Sample]) -> Iterator[Job]:
        """Jobs, as many as this call may begin; clips that need none count as finished."""
        begun = 0
        histories = self.journal.histories()
        for pending in own:
            job = self._job(pending, histories.get(pending.id, History()))
            if job is None:
                self._finish()
                continue
            if self._ends() or (self.settings.limit is not None and begun >= self.settings.limit):
                return
            begun += 1
            yield job

    def _finish(self) -> None:
        self.finished += 1
        self.progress(self.finished, self.wanted)

    def _job(self, pending: Sample, history: History) -> Job | None:
        """The job that a clip needs; None where it needs none, or cannot be begun.

        One that failed waits for other steps, another file, or a call to retry.
        """
        given, path = self.given[pending.id], pending.clip_path(self.out)
        stat = _stat(path)
        failure = history.failed(given, self.tried)
        if failure is not None and failure.stat == stat and not self.settings.retry_failed:
            return None
        done = history.done
        previous = done.sample() if done is not None and done.given == given else None
        same = done is not None and done.stat == stat
        known = previous is not None and previous.steps == self.stamps
        if same and known and history.standing(given) is not None:
            return None
        trouble = [reason.text for reason in pending.reasons]
        try:
            sha256 = previous.sha256 if same and previous is not None else file_sha256(path)
        except OSError as error:
            trouble.append(f"{path}: cannot be read ({error.strerror})")
        if trouble:
            self.journal.add_failed(pending.id, given, stat, trouble[0], 1, self.tried)
            return None
        if previous is not None and previous.sha256 != sha256:
            previous = None
        self._stats[pending.id] = stat
        return Job(dataclasses.replace(pending, sha256=sha256), previous)

    def _settle(self, outcome: Outcome) -> None:
        """Write down what became of a job.

        A budget that is spent leaves its clip for another call.
        """
        answer, name = outcome.answer, outcome.job.sample.id
        given, stat = self.given[name], self._stats[name]
        if answer.kind == "broken":
            raise OpenAffectError(answer.error)
        if answer.kind == "spent":
            self.spent = answer.error
            return
        if answer.sample is not None:
            sample = answer.sample
            if sample.status == "pending":
                sample = dataclasses.replace(sample, status="built")
            self.journal.add_done(given, stat, sample)
            self.new += 1
        else:
            self.journal.add_failed(name, given, stat, answer.error, outcome.tries, self.tried)
        self._finish()


class _Finished:
    """The finished samples of a plan, in its order, read from the journals each time anew."""

    def __init__(
        self, plan: Sequence[Sample], given: Mapping[str, str], histories: Mapping[str, History]
    ) -> None:
        self._plan, self._given, self._histories = plan, given, histories

    def entry(self, pending: Sample) -> Entry | None:
        """The finished entry of a clip, None where there is none."""
        history = self._histories.get(pending.id, History())
        return history.standing(self._given[pending.id])

    def __iter__(self) -> Iterator[Sample]:
        for pending in self._plan:
            entry = self.entry(pending)
            sample = None if entry is None else entry.sample()
            if sample is not None:
                yield sample


def _failures(
    plan: Sequence[Sample], given: Mapping[str, str], tried: str, histories: Mapping[str, History]
) -> dict[str, Entry]:
    """Id -> failure of each clip of a plan that failed by the steps of this call."""
    found = {s.id: histories.get(s.id, History()).failed(given[s.id], tried) for s in plan}
    return {name: failure for name, failure in found.items() if failure is not None}


def _rejections(out: Path) -> dict[str, int]:
    from openaffect.annotation.sample import read_samples

    counts: dict[str, int] = {}
    for sample in read_samples(out):
        if sample.status == "rejected":
            rule = sample.reasons[0].rule
            counts[rule] = counts.get(rule, 0) + 1
    return counts


def _write_failed(out: Path, plan: Sequence[Sample], failures: Mapping[str, Entry]) -> None:
    lines = []
    for sample in plan:
        failure = failures.get(sample.id)
        if failure is not None:
            told = {"id": sample.id, "clip": sample.clip, "error": failure.error}
            lines.append(json.dumps({**told, "tries": failure.tries}, ensure_ascii=False) + "\n")
    if lines:
        _replace(out / FAILED_FILE, "".join(lines))
    else:
        (out / FAILED_FILE).unlink(missing_ok=True)


def _write_record(
    out: Path,
    settings: BuildSettings,
    desk: DeskSettings,
    steps: Sequence[Step],
    samples: int,
    rejected: dict[str, int],
    refused: int,
) -> None:
    """Write `build.json`: what the corpus was made by."""
    record = {
        "schema": RECORD_SCHEMA,
        "pipeline": settings.pipeline,
        "openaffect": __version__,
        "without_consent": settings.without_consent,
        "steps": {step.name: step.stamp for step in steps},
        "describers": {task: who.identity for task, who in desk.describers.items()},
        "selection": {
            "duplicates": settings.selection.duplicates,
            "most": settings.selection.most,
            "against": [path.name for path in settings.selection.against],
            "least": dataclasses.asdict(settings.selection.thresholds),
        },
        "samples": samples,
        "rejected": rejected,
        "refused": refused,
    }
    _replace(out / RECORD_FILE, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _replace(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
