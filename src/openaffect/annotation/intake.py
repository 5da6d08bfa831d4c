"""What a corpus is built from: a folder of clips with or without a table, or an older manifest.

A folder may hold `clips.csv` with the column `clip` and any of those of `COLUMNS`; without it every
clip in the folder is taken, with nothing known about it. `NAME.srt` or `NAME.vtt` beside a clip is
its subtitle. A folder with `samples.jsonl` or `manifest.jsonl`, or such a file, is taken as it is.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from openaffect.annotation.rows import MANIFEST_FILE
from openaffect.annotation.sample import SAMPLES_FILE, Reason, Sample, is_absolute, read_samples
from openaffect.annotation.signals import GIVEN_WORDS
from openaffect.corpora.manifest import SPLITS, Row, read_manifest
from openaffect.errors import MediaError, UsageError
from openaffect.media.folder import find_clips
from openaffect.media.subtitles import SUBTITLE_SUFFIXES, read_subtitles

TABLE = "clips.csv"
COLUMNS = (
    *("clip", "id", "source", "licence", "consent", "split", "speaker", "language"),
    *("subtitle", "subtitle_en", "label", "open_labels", "perceived"),
)
MEANT = {
    **dict.fromkeys(("emotion", "class", "discrete"), "label"),
    **dict.fromkeys(("words", "text", "transcript", "sentence", "utterance"), "subtitle"),
    **dict.fromkeys(("file", "filename", "file_name", "path", "video", "audio", "media"), "clip"),
    **dict.fromkeys(("actor", "person", "speaker_id"), "speaker"),
    **dict.fromkeys(("openset", "emotions", "open_words"), "open_labels"),
    **{"lang": "language", "license": "licence", "name": "id", "set": "split"},
}
"""Names that other tables give to columns of ours."""
CONSENTS = {
    "": "unknown",
    "unknown": "unknown",
    "yes": "given",
    "given": "given",
    "no": "refused",
    "refused": "refused",
    "not_needed": "not_needed",
    "not needed": "not_needed",
}
HELD_OUT = 10  # one speaker (or clip) in so many is for validation, where no split is given
RENDERED = "synthetic"  # source of rows in which nobody real is seen or heard


def read_intake(source: Path, out: Path) -> tuple[Sample, ...]:
    """Pending samples, by id, of what `source` names; their clips are relative to `out`.

    Hashes of clips are left empty: the runner fills them in. A sample whose subtitle file cannot be
    used has the reason. Raises UsageError for a source, table or manifest that cannot be read, a
    clip that is not there or whose path is not UTF-8, and two samples of one id.
    """
    source = Path(source)
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder; check the path")
    found = _found(source)
    if found.is_dir():
        samples = [_bare(clip, name, found) for clip, name in _named(find_clips([found]))]
    elif found.suffix == ".csv":
        samples = list(_from_table(found))
    else:
        samples = list(_from_manifest(found))
    folder = found if found.is_dir() else found.parent
    moved = [_moved(sample, folder, out) for sample in samples]
    twice = [name for name, count in Counter(s.id for s in moved).items() if count > 1]
    if twice:
        raise UsageError(f"{found}: two clips are called {twice[0]!r}; give them ids")
    return tuple(sorted(moved, key=lambda sample: sample.id))


def unread_columns(source: Path) -> str | None:
    """One line about columns of the source's table that nothing is read from; None without any.

    Whatever else is wrong with a source, `read_intake` tells.
    """
    table = _found(Path(source))
    if table.suffix != ".csv" or not table.is_file():
        return None
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            columns = next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    unread = [name for name in columns if name and name not in COLUMNS]
    if not unread:
        return None
    what = "column {} is" if len(unread) == 1 else "columns {} are"
    near = [_meant(name) for name in unread]
    meant = ", ".join(dict.fromkeys(name for name in near if name and name not in columns))
    return (
        f"{table.name}: {what.format(', '.join(map(repr, unread)))} not read "
        f"(read are {', '.join(COLUMNS)})" + (f"; did you mean {meant}?" if meant else "")
    )


def _meant(name: str) -> str | None:
    """The column that somebody who wrote another name may have meant."""
    plain = name.strip().casefold()
    close = get_close_matches(plain, COLUMNS, 1)
    return MEANT.get(plain) or (close[0] if close else None)


def _found(source: Path) -> Path:
    """The table, samples or manifest that a source stands for, or the folder or file itself."""
    named = (source / name for name in (TABLE, SAMPLES_FILE, MANIFEST_FILE))
    return next((path for path in named if path.is_file()), source)


def _moved(sample: Sample, folder: Path, out: Path) -> Sample:
    """The sample with its clip relative to `out` instead of `folder`."""
    from dataclasses import replace

    path = folder / sample.clip
    if not path.is_file():
        raise UsageError(f"{sample.id}: its clip {path} is not there")
    relative = os.path.relpath(path.resolve(), out.resolve())
    shown = os.fsencode(relative).decode("utf-8", "backslashreplace")
    if shown != relative:
        raise UsageError(f"{shown}: its path is not UTF-8, which no manifest can hold; rename it")
    if is_absolute(Path(relative).as_posix()):
        raise UsageError(f"{path} and {out} lie on different drives; choose a nearer OUT")
    return replace(sample, clip=Path(relative).as_posix())


def _named(clips: list[Path]) -> Iterator[tuple[Path, str]]:
    """Clips with their ids: the file's name without its ending where that is unique."""
    stems = Counter(clip.stem for clip in clips)
    for clip in clips:
        yield clip, clip.stem if stems[clip.stem] == 1 else clip.name


def _bare(clip: Path, name: str, folder: Path) -> Sample:
    subtitle, trouble = _subtitle_beside(clip)
    return Sample(
        id=name,
        clip=clip.relative_to(folder).as_posix(),
        sha256="",
        source=folder.resolve().name,
        split=held_split(name),
        subtitle=subtitle,
        reasons=trouble,
    )


def held_split(name: str) -> Any:
    """`validation` for one name in ten, by its hash; else `train`."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return "validation" if int.from_bytes(digest[:4]) % HELD_OUT == 0 else "train"


def _subtitle_beside(clip: Path) -> tuple[str | None, tuple[Reason, ...]]:
    """What the file beside a clip says, and why it cannot be used; nothing where there is none."""
    path = next((p for s in SUBTITLE_SUFFIXES if (p := clip.with_suffix(s)).is_file()), None)
    if path is None:
        return None, ()
    try:
        return " ".join(line.text for line in read_subtitles(path)), ()
    except MediaError as error:
        return None, (Reason("subtitle", str(error)),)


def _from_table(table: Path) -> Iterator[Sample]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns, records = reader.fieldnames or (), list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{table}: cannot be read as a table ({error})") from None
    if "clip" not in columns:
        raise UsageError(f"{table}: has no column clip; others may be {', '.join(COLUMNS[1:])}")
    for number, record in enumerate(records, start=2):
        row = {name: (record.get(name) or "").strip() for name in COLUMNS}
        try:
            yield _from_record(row, table.parent)
        except UsageError as error:
            raise UsageError(f"{table}, line {number}: {error}") from None


def _from_record(row: Mapping[str, str], folder: Path) -> Sample:
    if not row["clip"] or is_absolute(row["clip"]):
        raise UsageError(f"clip {row['clip']!r} must be a path relative to the table")
    consent = CONSENTS.get(row["consent"].casefold())
    if consent is None:
        raise UsageError(f"consent {row['consent']!r} is none of yes, no, unknown, not_needed")
    if row["split"] and row["split"] not in SPLITS:
        raise UsageError(f"split {row['split']!r} is none of {', '.join(SPLITS)}")
    name = row["id"] or Path(row["clip"]).stem
    told = row["subtitle_en"] or row["subtitle"]
    subtitle, trouble = (told, ()) if told else _subtitle_beside(folder / row["clip"])
    words = row["open_labels"] or row["perceived"]
    return Sample(
        id=name,
        clip=row["clip"],
        sha256="",
        source=row["source"] or folder.resolve().name,
        licence=row["licence"],
        consent=consent,  # type: ignore[arg-type]
        split=row["split"] or held_split(row["speaker"] or name),  # type: ignore[arg-type]
        speaker=row["speaker"] or None,
        language=row["language"] or None,
        subtitle=subtitle,
        given_label=row["label"] or None,
        open_labels=tuple(word.strip() for word in words.split("|") if word.strip()),
        reasons=trouble,
    )


def _from_manifest(path: Path) -> Iterator[Sample]:
    """Samples with nothing of an earlier build but its reviews, from samples or manifest rows."""
    with path.open(encoding="utf-8") as lines:
        first = next((line for line in lines if line.strip()), "")
    if '"openaffect.sample/' in first:
        for sample in read_samples(path):
            yield pristine(sample)
        return
    for row in read_manifest(path):
        if row.media is not None:
            yield _from_row(row)


def pristine(sample: Sample) -> Sample:
    """What a sample was before any step: what came with the clip, and what reviewers made of it.

    Label and words of an accepted sample came with it, for its next corpus; the reviews say that.
    """
    recognised = sample.annotation("transcript") is not None
    made = "open_labels" in sample.steps and not sample.signals.get(GIVEN_WORDS)
    accepted, corrected = sample.status == "accepted", sample.corrected()
    return Sample(
        id=sample.id,
        clip=sample.clip,
        sha256="",
        source=sample.source,
        licence=sample.licence,
        consent=sample.consent,
        split=sample.split,
        speaker=sample.speaker,
        language=None if recognised else sample.language,
        subtitle=None if recognised else sample.subtitle,
        given_label=corrected.label if accepted else sample.given_label,
        open_labels=() if made and not accepted else corrected.open_labels,
        reviews=sample.reviews,
    )


def _from_row(row: Row) -> Sample:
    return Sample(
        id=row.id,
        clip=str(row.media),
        sha256="",
        source=row.source,
        licence=row.licence,
        consent="not_needed" if row.source == RENDERED else "unknown",
        split=row.split,  # type: ignore[arg-type]
        speaker=row.speaker,
        language=row.language,
        subtitle=row.words,
        given_label=row.told.get("emotion") or row.label,
        open_labels=row.open_labels,
    )
