"""Reader of RAVDESS speech (Livingstone & Russo 2018, the Ryerson audio-visual database)."""

from __future__ import annotations

import re
from pathlib import Path

from openaffect.corpora.manifest import Row
from openaffect.corpora.speaker_splits import SpeakerSplit
from openaffect.errors import UsageError
from openaffect.prompts.vocabulary import MEDIUM, STRONG, open_words

LICENCE = "RAVDESS, CC BY-NC-SA 4.0 (Livingstone & Russo 2018)"
SPLIT = SpeakerSplit(
    train=tuple(f"{actor:02d}" for actor in range(1, 11)), test=("11", "12"), validation="10"
)

LABEL_OF_CODE = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgusted",
    "08": "surprised",
}
STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}

EXAMPLE = "03-01-06-01-02-01-12.wav"  # the last is the actor
_NAME = re.compile(r"^03-01-(0[1-8])-(0[12])-(0[12])-0[12]-(\d\d)$")


def read_ravdess(folder: Path, split: SpeakerSplit = SPLIT) -> tuple[Row, ...]:
    """Rows of the speech files under `folder` (actor folders or flat), media relative to it.

    A name is modality-channel-emotion-intensity-statement-repetition-actor. Songs (channel 02) and
    videos (modalities 01 and 02: the same takes again, or silent) are left out; strong intensity
    gives stronger open words. Raises UsageError for a missing folder or when an actor of the split
    has no file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"RAVDESS: no folder at {folder}")
    rows, actors = [], set()
    for path in sorted(folder.rglob("*")):
        match = _NAME.match(path.stem)
        if match is None or path.suffix.lower() not in (".wav", ".flac"):
            continue
        emotion, intensity, statement, actor = match.groups()
        actors.add(actor)
        part = split.of(actor)
        if part is None:
            continue
        label = LABEL_OF_CODE[emotion]
        row_id = f"ravdess-{path.stem}"
        rows.append(
            Row(
                id=row_id,
                source="ravdess",
                split=part,
                media=path.relative_to(folder).as_posix(),
                speaker=f"ravdess-{actor}",
                language="en",
                words=STATEMENTS[statement],
                label=label,
                open_labels=open_words(label, STRONG if intensity == "02" else MEDIUM, row_id),
                voice_label=label,
                licence=LICENCE,
            )
        )
    split.check_present(actors, "RAVDESS", folder, EXAMPLE)
    return tuple(rows)
