"""Making the synthetic corpus: clips by worker processes, resumable, the same for the same seed."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from openaffect.corpora.manifest import (
    SPLITS,
    Row,
    row_from_json,
    row_to_json,
    write_manifest,
)
from openaffect.corpora.replacing import replacing
from openaffect.corpora.synthetic.packages import check_packages
from openaffect.corpora.synthetic.plan import Plan, plan_clip, shares
from openaffect.errors import UsageError

MANIFEST = "manifest.jsonl"
SENTENCES = "sentences.jsonl"
SETTINGS = "corpus.json"
EDITION = 4  # raised whenever the same seed would give other clips or rows


@dataclass(frozen=True)
class Made:
    """What one call of `make_corpus` left behind."""

    manifest: Path  # the manifest of all clips that are done
    done: int  # clips that are done, of this and former calls
    made: int  # clips that this call made
    wanted: int  # clips of the whole corpus


def make_corpus(
    out: Path,
    *,
    clips: int,
    seed: int,
    workers: int = 2,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Make a corpus of `clips` clips below `out`, or go on with one that was begun there.

    A clip that is done is kept; stopping at any moment loses at most the clips in the making.
    limit: make at most so many clips in this call. progress: called with (done, wanted).
    Raises UsageError when `out` holds a corpus of another seed, size or edition, and when packages
    are missing.
    """
    check_packages("data synth")
    if clips < 1 or workers < 1 or (limit is not None and limit < 0):
        raise UsageError("a corpus needs at least one clip and one worker, and a limit from 0")
    out = Path(out)
    _claim(out, {"edition": EDITION, "seed": seed, "clips": clips})
    plans = list(plans_of(clips, seed))
    missing = [plan for plan in plans if not is_done(out, plan)]
    done = len(plans) - len(missing)
    todo = missing if limit is None else missing[:limit]
    made = 0
    for _ in _make_all(out, todo, workers):
        made += 1
        if progress is not None:
            progress(done + made, clips)
    from openaffect.corpora.synthetic.sentence_bank import text_rows

    write_manifest(text_rows(), out / SENTENCES)
    rows = [read_done(out, plan) for plan in plans if is_done(out, plan)]
    write_manifest(rows, out / MANIFEST)
    return Made(out / MANIFEST, done + made, made, clips)


def plans_of(clips: int, seed: int) -> Iterator[Plan]:
    """All plans of a corpus, splits mixed evenly so that a part of it is a fair sample."""
    counts = shares(clips)
    order = sorted(
        ((number + 0.5) / counts[split], SPLITS.index(split), number)
        for split in SPLITS
        for number in range(counts[split])
    )
    for _, part, number in order:
        yield plan_clip(seed, SPLITS[part], number)


def media_of(plan: Plan) -> str:
    """Where a plan's clip lies, relative to the corpus folder."""
    return f"clips/{plan.id}.mp4"


def is_done(out: Path, plan: Plan) -> bool:
    """Whether the clip and its row are there, both written whole."""
    return (out / media_of(plan)).is_file() and _row_path(out, plan).is_file()


def read_done(out: Path, plan: Plan) -> Row:
    """The row of a clip that is done."""
    return row_from_json(_row_path(out, plan).read_text(encoding="utf-8"))


def make_clip(out: Path, plan: Plan) -> None:
    """Make one clip and then its row, each whole or not at all."""
    from openaffect.corpora.synthetic.clip import play, row_of
    from openaffect.corpora.synthetic.movie import write_clip
    from openaffect.corpora.synthetic.reasoning import reasoning_of
    from openaffect.corpora.synthetic.voice import SAMPLE_RATE
    from openaffect.media.reader import read_clip
    from openaffect.media.sampling import Sampling

    take = play(plan)
    media = media_of(plan)
    write_clip(out / media, take.frames, take.frame_rate, take.audio, SAMPLE_RATE)
    row = row_of(plan, take, media)
    sound = read_clip(out / media, sampling=Sampling("midpoints", 1)).audio
    row = replace(row, reasoning=reasoning_of(row, sound))
    with replacing(_row_path(out, plan)) as partial:
        partial.write_text(row_to_json(row), encoding="utf-8")


def _row_path(out: Path, plan: Plan) -> Path:
    return out / "rows" / f"{plan.id}.json"


def _claim(out: Path, settings: dict[str, int]) -> None:
    path = out / SETTINGS
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != settings:
            raise UsageError(
                f"{out} holds a corpus with {found}, not {settings}: "
                "give its own settings, or another folder"
            )
    for name in ("clips", "rows"):
        (out / name).mkdir(parents=True, exist_ok=True)
        for leftover in (out / name).glob(".*.part"):
            leftover.unlink()
    if not path.is_file():
        with replacing(path) as partial:
            partial.write_text(json.dumps(settings), encoding="utf-8")


def _make_all(out: Path, plans: list[Plan], workers: int) -> Iterator[str]:
    """Make the plans, person by person; yields the id of each clip as it is done."""
    groups = [
        (out, list(members)) for _, members in groupby(_by_person(plans), key=lambda p: p.person)
    ]
    if workers == 1 or len(groups) <= 1:
        for group in groups:
            yield from _make_group(group)
        return
    # A forked child would inherit the threads' locks of libraries that are already loaded.
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(workers, len(groups)), initializer=_prepare_worker) as pool:
        for ids in pool.imap_unordered(_make_group, groups):
            yield from ids


def _by_person(plans: list[Plan]) -> list[Plan]:
    """The plans with each person's together, people in the order of their first clip."""
    first: dict[int, int] = {}
    for place, plan in enumerate(plans):
        first.setdefault(plan.person, place)
    return sorted(plans, key=lambda plan: first[plan.person])


def _make_group(job: tuple[Path, list[Plan]]) -> list[str]:
    out, plans = job
    for plan in plans:
        make_clip(out, plan)
    return [plan.id for plan in plans]


def _prepare_worker() -> None:
    """One thread per worker, and the caller alone answers an interrupt."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
