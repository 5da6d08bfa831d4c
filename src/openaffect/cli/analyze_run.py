"""One run of `openaffect analyze`: the model loaded once, clip after clip, failures kept apart."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from openaffect.cli import one_line, unexpected
from openaffect.cli.analyze_jobs import Engine, Finished, Job, finished_jobs
from openaffect.cli.clips import result_names
from openaffect.cli.run_record import RunRecord, described
from openaffect.errors import OpenAffectError, UsageError
from openaffect.inference.worker_process import WorkerSettings
from openaffect.media.folder import check_folder
from openaffect.results.analysis import Analysis
from openaffect.results.writers import RenderOptions, ResultWriter, write_atomically, writer_of
from openaffect.results.writers.report import print_report

SHORT_WAIT = 10.0  # seconds that one clip waits for other runs to write theirs

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer
    from openaffect.inference.options import AnalyzeOptions


@dataclass(frozen=True)
class Output:
    """Where results go and in which forms."""

    folder: Path | None  # for result files; None writes none
    writers: tuple[ResultWriter, ...]  # forms of the result files
    embed: bool  # whether pages hold the clip itself
    json: bool  # whether stdout gets JSON instead of reports

    @classmethod
    def chosen(
        cls, out: Path | None, formats: str | None, *, html: bool, embed: bool, json: bool
    ) -> Output:
        """The output that the options ask for; raises UsageError where they contradict.

        With a folder, JSON is always among the forms. `--html` alone writes the page here.
        """
        names = [name for name in (formats or "").split(",") if name.strip()]
        if formats is not None and not names:
            raise UsageError("--format names no form; give for example --format json,csv")
        if formats is not None and out is None:
            raise UsageError("--format writes files: name their folder with --out DIR")
        if out is not None:
            names = ["json", *names]
            check_folder(out)
        if html:
            names.append("html")
            out = Path() if out is None else out
        writers = tuple({writer.name: writer for writer in map(writer_of, names)}.values())
        if embed and "html" not in {writer.name for writer in writers}:
            raise UsageError("--embed is about the page: add --html")
        return cls(folder=out, writers=writers, embed=embed, json=json)

    def files(self, name: str) -> list[Path]:
        """The files that a clip's results go to."""
        folder = self.folder
        return [] if folder is None else [folder / (name + w.suffix) for w in self.writers]

    def write(self, analysis: Analysis, name: str) -> None:
        """Write every form; raises OpenAffectError where that is not possible."""
        options = RenderOptions(folder=self.folder or Path(), embed=self.embed)
        for writer, path in zip(self.writers, self.files(name), strict=True):
            write_atomically(path, writer.render(analysis, options))


@dataclass
class AnalyzeRun:
    """What every clip of one run has in common."""

    model: str  # preset or folder
    device: str  # where the model runs
    fusion: str | None  # fusion to use, or the checkpoint's own
    options: dict[str, Any]  # fields of AnalyzeOptions that were given
    limits: dict[str, Any]  # fields of media.limits.Limits that were given
    output: Output  # where results go
    again: bool = False  # whether clips done by an earlier run are repeated
    jobs: int | None = None  # worker processes; None analyses in this process, one after another
    threads: int = 1  # of each worker
    retries: int = 1  # more tries for a clip whose worker crashed
    engine: Engine = "local"  # where the workers run
    batch: int = 1  # clips that go through the language model together
    _analyzer: Analyzer | None = field(default=None, init=False)

    def over(self, clips: list[Path]) -> int:
        """Analyse the clips; returns how many failed, after listing them on stderr.

        A single clip's error is raised as it is.
        """
        from openaffect.inference.options import check_first

        options = self._checked_options()
        try:
            if len(clips) == 1 and not self._by_workers:
                check_first(clips[0], options)
                analysis = self._loaded().analyze(clips[0], options=options)
                try:
                    self._show(analysis)  # first: writing may wait for other runs, and fail
                finally:
                    with self._record(patience=SHORT_WAIT) as record:
                        self._write(self._jobs(clips, record)[0], analysis, record)
                return 0
            with self._record() as record:
                return self._batch(self._jobs(clips, record), options, record)
        finally:
            if self._analyzer is not None:
                self._analyzer.close()

    def _record(self, patience: float = 0.0) -> AbstractContextManager[RunRecord | None]:
        """The record of the output folder, if there is one, once no other run holds it."""
        folder = self.output.folder
        return nullcontext() if folder is None else RunRecord(folder, patience)

    @property
    def _by_workers(self) -> bool:
        return self.jobs is not None or self.engine == "ray"

    def _jobs(self, clips: list[Path], record: RunRecord | None) -> list[Job]:
        if record is None:
            return [Job(*job) for job in zip(clips, result_names(clips), strict=True)]
        asked, keys = described(self._request()), []
        with _progress(len(clips), transient=True) as advance:
            for clip in clips:
                keys.append(record.key_of(clip, asked))
                advance(f"{clip.name}: looked at")
        names = result_names(clips, record.names_of(clips, keys), record.names)
        return [Job(*job) for job in zip(clips, names, keys, strict=True)]

    def _batch(self, jobs: list[Job], options: AnalyzeOptions, record: RunRecord | None) -> int:
        failures: dict[Path, str] = {}
        skipped = 0
        with _progress(len(jobs)) as advance:
            left = []
            for job in jobs:
                files = self.output.files(job.name)
                if record and not self.again and record.done(job.key, files):
                    record.renew(job.key, job.clip, files)
                    skipped += 1
                    advance(f"{job.clip.name}: done before")
                else:
                    left.append(job)
            for finished in self._finished(left, options):
                error = finished.error
                if finished.analysis is not None:
                    error = self._written(finished.job, finished.analysis, record)
                if error is not None:
                    failures[finished.job.clip] = error
                    if record:
                        record.fail(finished.job.key, finished.job.clip, error)
                advance(finished.job.clip.name)
        if skipped and sys.stderr.isatty():
            typer.echo(f"{skipped} clips were done before; --again repeats them", err=True)
        if failures:
            typer.echo(f"{len(failures)} of {len(jobs)} clips failed:", err=True)
            for job in jobs:
                if job.clip in failures:
                    typer.echo(f"  {one_line(str(job.clip))}: {failures[job.clip]}", err=True)
        return len(failures)

    def _finished(self, jobs: list[Job], options: AnalyzeOptions) -> Iterator[Finished]:
        """The clips as they are done; a model that does not load fails the whole run."""
        for unusable in _unusable_first(jobs, options):
            yield unusable
            jobs = jobs[1:]
        if not jobs:
            return
        if self._by_workers:
            settings = WorkerSettings((self.model,), self.device, self.fusion, self.threads, 0)
            yield from finished_jobs(
                jobs, options, settings, self.jobs, self.retries, self.engine, self.batch
            )
            return
        from openaffect.inference.batches import analyze_in_batches

        paths = [job.clip for job in jobs]
        for number, found in analyze_in_batches(self._loaded(), paths, options, self.batch):
            if isinstance(found, Analysis):
                yield Finished(jobs[number], found, None, 1)
            elif isinstance(found, OpenAffectError):
                yield Finished(jobs[number], None, one_line(str(found)), 1)
            else:  # one bad clip costs only itself, whatever it is
                yield Finished(jobs[number], None, unexpected(found), 1)

    def _written(self, job: Job, analysis: Analysis, record: RunRecord | None) -> str | None:
        """Write and show one clip's findings; returns why that was not possible."""
        try:
            self._write(job, analysis, record)
        except OpenAffectError as error:
            return one_line(str(error))
        if self.output.folder is None or self.output.json:
            self._show(analysis, line=True)
        return None

    def _write(self, job: Job, analysis: Analysis, record: RunRecord | None) -> None:
        """Write one clip's files and note it."""
        files = self.output.files(job.name)
        if record:
            record.begin(job.key, job.clip, files)
        self.output.write(analysis, job.name)
        if record:
            record.add(job.key, job.clip, files)
            if job.name != job.clip.stem:  # told, for nobody would look for it there
                told = f"{one_line(job.clip.name)}: its results are {files[0].name}"
                typer.echo(told, err=True)

    def _loaded(self) -> Analyzer:
        """The model, loaded with the first clip that needs it."""
        if self._analyzer is None:
            from openaffect.inference.analyzer import Analyzer

            self._analyzer = Analyzer.load(self.model, device=self.device, fusion=self.fusion)
        return self._analyzer

    def _checked_options(self) -> AnalyzeOptions:
        from openaffect.inference.options import AnalyzeOptions
        from openaffect.media.limits import Limits

        return AnalyzeOptions(**self.options, limits=Limits(**self.limits))

    def _request(self) -> dict[str, Any]:
        """Everything beside the clip that shapes its result files."""
        return {
            "model": self.model,
            "fusion": self.fusion,
            "options": self.options,
            "forms": [writer.name for writer in self.output.writers],
            "embed": self.output.embed,
        }

    def _show(self, analysis: Analysis, *, line: bool = False) -> None:
        """Print the report or the JSON (one document a line when there are several)."""
        if self.output.json:
            typer.echo(analysis.to_json(indent=None if line else 2))
            return
        console = Console()
        print_report(analysis, console)
        if line:
            console.rule(style="dim")


def _unusable_first(jobs: list[Job], options: AnalyzeOptions) -> Iterator[Finished]:
    """Those of the first clips that cannot be used: no model is loaded for them alone."""
    from openaffect.inference.options import check_first

    for job in jobs:
        try:
            check_first(job.clip, options)
        except OpenAffectError as error:
            yield Finished(job, None, one_line(str(error)), 1)
        else:
            return


@contextmanager
def _progress(total: int, *, transient: bool = False) -> Iterator[Any]:
    """A progress bar on a terminal, nothing in a pipe; yields the function to call per clip.

    A transient one goes away at its end.
    """
    if not sys.stderr.isatty():
        yield lambda _name: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[clip]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=transient) as progress:
        task = progress.add_task("clips", total=total, clip="")
        yield lambda name: progress.update(task, advance=1, clip=one_line(name))
