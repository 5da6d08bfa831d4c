"""Conversations to train on: LLaVA's `conversations`, and `messages` of LLaMA-Factory and ms-swift.

A record of either holds the turns and the media; ours also hold the whole sample under `sample`,
which those trainers pass over. Turns that say something else than the sample would are kept under
the signal `messages`; where reviewers correct such a sample later, their answer is the last turn.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openaffect.annotation.formats import Format
from openaffect.annotation.formats.files import read_records, write_json
from openaffect.annotation.rows import row_of
from openaffect.annotation.sample import Sample, is_absolute
from openaffect.errors import UsageError
from openaffect.prompts.conversation import REASON_QUESTION

MESSAGES = "messages"  # name of the signal
ANSWER = "messages_answer"  # of another: the reviewed answer that the turns were preferred to
SOUND_ENDINGS = (".wav", ".mp3", ".flac", ".ogg", ".m4a", ".aac", ".opus")
MEDIA = ("video", "audio", "videos", "audios")  # fields of a record that name its clip
ROLES = {"human": "user", "gpt": "assistant", "system": "system"}
SPEAKERS = {role: speaker for speaker, role in ROLES.items()}
SOURCE = "conversations"

Turn = dict[str, str]


def tag(sample: Sample) -> str:
    """The placeholder of the sample's clip."""
    return "<audio>" if sample.clip.lower().endswith(SOUND_ENDINGS) else "<video>"


def answer_of(sample: Sample) -> str | None:
    """What is to be learnt: the reasoning as reviewed, else the caption, else the labels."""
    row = row_of(sample)
    reason = row.told.get("reason") or row.told.get("caption")
    words = ", ".join(row.open_labels)
    if reason and words and words.casefold() not in reason.casefold():
        return f"{reason.rstrip()} Perceived as {words}."
    return reason or words or None


def turns_of(sample: Sample) -> list[Turn] | None:
    """The turns about a sample; None where there is nothing to answer."""
    answer, held = answer_of(sample), sample.signals.get(MESSAGES)
    if held is not None and answer == _answer_before(sample):
        return [dict(turn) for turn in held]
    if answer is None:
        return None
    if held is not None:
        return _answered(held, answer)
    words = f'Words: "{sample.subtitle}"\n' if sample.subtitle else ""
    return [
        {"role": "user", "content": f"{tag(sample)}\n{words}{REASON_QUESTION}"},
        {"role": "assistant", "content": answer},
    ]


def _answer_before(sample: Sample) -> str | None:
    """What the sample would have answered when its turns were read; reviews may have come since."""
    before: str | None = sample.signals.get(ANSWER)
    return before or answer_of(dataclasses.replace(sample, reviews=()))


def _answered(turns: list[Turn], answer: str) -> list[Turn]:
    """The turns with the answer as the last one of the assistant."""
    said = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
    last = said[-1] if said else len(turns)
    return [*turns[:last], {"role": "assistant", "content": answer}, *turns[last + 1 :]]


def _sample_of(record: dict[str, Any], turns: list[Turn], name: str, clip: str) -> Sample:
    """The sample that a record holds, or a new one, saying what the record's turns say."""
    held = record.get("sample")
    if held is None:
        sample = Sample(id=name, clip=clip, sha256="", source=SOURCE, status="built")
        said = ("id", "conversations", MESSAGES, *MEDIA)
        rest = {field: value for field, value in record.items() if field not in said}
        if rest:
            sample = sample.with_signal("record", rest)
    else:
        sample = Sample.from_json(json.dumps(held))
    if turns == turns_of(sample):
        return sample
    answer = answer_of(sample) if sample.reviews else None
    sample = sample.with_signal(MESSAGES, turns)
    return sample if answer is None else sample.with_signal(ANSWER, answer)


def _turns(record: dict[str, Any], path: Path, number: int) -> list[Turn]:
    try:
        if MESSAGES in record:
            return [{"role": t["role"], "content": t["content"]} for t in record[MESSAGES]]
        return [{"role": ROLES[t["from"]], "content": t["value"]} for t in record["conversations"]]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path}, record {number}: not a conversation ({error})") from None


def _clip(record: dict[str, Any], path: Path, number: int) -> str:
    values = [record.get(field) or [] for field in MEDIA]
    named = [clip for value in values for clip in (value if isinstance(value, list) else [value])]
    if len(named) != 1 or not isinstance(named[0], str):
        told = "no video and no audio" if not named else "other than one clip"
        raise UsageError(f"{path}, record {number}: names {told}")
    if is_absolute(named[0]):
        raise UsageError(f"{path}, record {number}: {named[0]!r} is an absolute path")
    return named[0]


def read_conversations(path: Path) -> tuple[Sample, ...]:
    """Samples of either form; a record without an id is called by its clip and its number."""
    found = []
    for number, record in enumerate(read_records(path), start=1):
        clip = _clip(record, path, number)
        name = str(record.get("id") or f"{Path(clip).stem}-{number}")
        found.append(_sample_of(record, _turns(record, path, number), name, clip))
    return tuple(found)


def _expressed(samples: Iterable[Sample]) -> list[tuple[Sample, list[Turn]]]:
    return [(sample, turns) for sample in samples if (turns := turns_of(sample)) is not None]


def _rest(sample: Sample) -> dict[str, Any]:
    """The record's other fields: its own where it was read, and the sample that says more."""
    foreign = sample.source == SOURCE and MESSAGES in sample.signals
    held = sample.signals.get("record") if foreign else None
    own = {key: value for key, value in (held or {}).items() if key not in MEDIA}
    if foreign and not sample.reviews:
        return own
    return {**own, "sample": dataclasses.asdict(sample)}


def write_llava(samples: Iterable[Sample], path: Path) -> int:
    """LLaVA's form; samples without any text or label are left out."""
    records = []
    for sample, turns in _expressed(samples):
        media = "audio" if tag(sample) == "<audio>" else "video"
        said = [{"from": SPEAKERS[turn["role"]], "value": turn["content"]} for turn in turns]
        record = {"id": sample.id, media: sample.clip, "conversations": said}
        records.append({**record, **_rest(sample)})
    write_json(path, records)
    return len(records)


def write_messages(samples: Iterable[Sample], path: Path) -> int:
    """LLaMA-Factory's and ms-swift's form; samples without any text or label are left out."""
    records = []
    for sample, turns in _expressed(samples):
        media = "audios" if tag(sample) == "<audio>" else "videos"
        record = {"id": sample.id, MESSAGES: turns, media: [sample.clip]}
        records.append({**record, **_rest(sample)})
    write_json(path, records)
    return len(records)


FORMATS = {
    "llava": Format(read_conversations, write_llava),
    "messages": Format(read_conversations, write_messages),
}
