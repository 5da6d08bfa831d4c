"""Seconds of `openaffect data build` from signals alone against naive scripts, and its memory.

    python benchmarks/building.py --clips DIR [--count 48] [--memory 500]

A naive script is one process that goes through all clips once for each step: it loads what the
step needs, and opens every clip anew. It runs the very steps of the build, and the benchmark ends
with an error where what it finds differs from the build's. It is run in two forms: in the plain one
each step that needs the faces looks for them itself; in the other the steps on faces share one
opening of the clip, as in a script that kept its landmarks. Both forms and the build are measured
from the start of their process to its end, one after another; processor seconds tell what was
worked, also where other programs run besides. Clips are linked from DIR in turn, each under a name
of its own.

With --memory N a build of N clips follows, and the memory of its processes (the parts of shared
pages that are theirs) is told for each tenth of it. Linux only.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from openaffect.annotation.desk import Desk, DeskSettings
from openaffect.annotation.intake import read_intake
from openaffect.annotation.pipelines import pipeline
from openaffect.annotation.sample import Sample, read_samples, write_samples
from openaffect.annotation.steps.step import Step
from openaffect.media.digest import file_sha256

PLAIN, SHARED = "plain", "faces-shared"  # forms of the naive script
ON_FACES = ("faces", "action_units", "readings")
TENTHS = 10
TICK = 0.5  # seconds between two looks at the memory
OPTIONS = ("--describe", "all=none", "--no-transcribe", "--without-consent", "--keep-duplicates")


def link_clips(source: Path, folder: Path, count: int) -> None:
    """`count` links in a folder, to the clips of `source` in turn."""
    folder.mkdir()
    found = sorted(source.glob("*.mp4"))
    for number in range(count):
        (folder / f"{number:05d}.mp4").symlink_to(found[number % len(found)].resolve())


def passes(steps: tuple[Step, ...], form: str) -> list[list[Step]]:
    """The steps of each pass over all clips; those that share one wait for the last of them."""
    if form == PLAIN:
        return [[step] for step in steps]
    together = [step for step in steps if step.name in ON_FACES]
    first = [step for step in steps if step.name in ("fingerprint", "voice")]
    rest = [step for step in steps if step not in together and step not in first]
    return [*([step] for step in first), together, *([step] for step in rest)]


def run_naively(source: Path, out: Path, form: str) -> None:
    """Run each pass over all clips, every clip opened anew in each, and write the samples."""
    out.mkdir()
    settings = DeskSettings(out)
    samples = list(read_intake(source, out))
    samples = [replace(sample, sha256=file_sha256(sample.clip_path(out))) for sample in samples]
    for steps in passes(pipeline("merr", settings, transcribe=False), form):
        began = time.process_time()
        desk = Desk(settings)  # lets a clip go when the next one comes
        for place, sample in enumerate(samples):
            for step in steps:
                sample = step.run(sample, desk)
            samples[place] = sample
        desk.close()
        print(f"  {', '.join(s.name for s in steps)}: {time.process_time() - began:.1f} s")
    write_samples(samples, out / "samples.jsonl")


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and of processors, of a command and the processes that it started."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def build_command(source: Path, out: Path) -> list[str]:
    """A build from signals alone by two worker processes."""
    words = ["data", "build", "merr", str(source), str(out), *OPTIONS, "--jobs", "2"]
    return [sys.executable, "-m", "openaffect", *words]


def found_in(folder: Path) -> dict[str, tuple[object, ...]]:
    """What was found of each clip."""
    return {
        sample.id: (sample.sha256, sample.signals, sample.label, _texts(sample))
        for sample in read_samples(folder)
    }


def _texts(sample: Sample) -> dict[str, str]:
    return {annotation.kind: annotation.text for annotation in sample.annotations}


def compare(clips: Path, base: Path, count: int) -> None:
    """Print the seconds of both naive forms and of the build."""
    link_clips(clips, base / "in", count)
    figures = {}
    for form in (PLAIN, SHARED):
        print(f"naive, {form}, processor seconds by pass:")
        script = [sys.executable, __file__, "--naive", form]
        figures[form] = timed([*script, "--clips", str(base / "in"), "--out", str(base / form)])
    figures["build"] = timed(build_command(base / "in", base / "build"))
    built = found_in(base / "build")
    for form in (PLAIN, SHARED):
        if found_in(base / form) != built:
            raise SystemExit(f"what the naive script ({form}) found differs from the build's")
    print(f"\n| {count} clips | seconds | processor seconds | the build is so many times as fast |")
    print("|---|---|---|---|")
    for name, (wall, worked) in figures.items():
        print(f"| {name} | {wall:.1f} | {worked:.1f} | {wall / figures['build'][0]:.2f} |")


def memory(clips: Path, base: Path, count: int) -> None:
    """Print the memory of a build's processes for each tenth of its clips."""
    link_clips(clips, base / "many", count)
    out = base / "out"
    journal = out / ".build" / "journal.jsonl"
    highest = [0.0] * TENTHS
    began = time.perf_counter()
    with subprocess.Popen(build_command(base / "many", out)) as process:
        while process.poll() is None:
            done = journal.read_bytes().count(b"\n") if journal.is_file() else 0
            tenth = min(done * TENTHS // count, TENTHS - 1)
            highest[tenth] = max(highest[tenth], sum(map(own_memory, family(process.pid))))
            time.sleep(TICK)
    print(f"\n{count} clips in {time.perf_counter() - began:.0f} s; highest memory by tenths, MB:")
    print(", ".join(f"{value / 1e6:.0f}" for value in highest))


def family(parent: int) -> list[int]:
    """A process and all that it started."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                told = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            parents[int(entry.name)] = int(told[1])
    found = [parent]
    for process in found:
        found += [child for child, of in parents.items() if of == process]
    return found


def own_memory(process: int) -> int:
    """Bytes of a process, shared pages divided by those who share them; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("Pss:")), 0)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--naive", choices=(PLAIN, SHARED), help="be a naive script")
    parser.add_argument("--out", type=Path, help="where the naive script writes")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if chosen.naive:
        run_naively(chosen.clips, chosen.out, chosen.naive)
        return
    with tempfile.TemporaryDirectory() as folder:
        if chosen.count:
            compare(chosen.clips, Path(folder), chosen.count)
        if chosen.memory:
            memory(chosen.clips, Path(folder), chosen.memory)


if __name__ == "__main__":
    main()
