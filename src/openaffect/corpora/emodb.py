"""Reader of EmoDB (Burkhardt et al. 2005, "A database of German emotional speech")."""

from __future__ import annotations

from pathlib import Path

from openaffect.corpora.manifest import Row
from openaffect.corpora.speaker_splits import SpeakerSplit
from openaffect.errors import UsageError
from openaffect.prompts.vocabulary import MEDIUM, open_words

LICENCE = "EmoDB, free for use with citation (Burkhardt et al. 2005)"
SPLIT = SpeakerSplit(train=("03", "08", "09", "10"), test=("11", "12"), validation="08")

EXAMPLE = "03a01Fa.wav"  # speaker, text, emotion, version

# The sixth character of a file name (from the German word for the emotion).
LABEL_OF_LETTER = {
    "W": "angry",
    "L": "bored",
    "E": "disgusted",
    "A": "fearful",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}

# The corpus's script: text code in the file name -> what the actor says.
SCRIPT = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def read_emodb(folder: Path, split: SpeakerSplit = SPLIT) -> tuple[Row, ...]:
    """Rows of the utterances in `folder` (or its `wav` folder), media relative to `folder`.

    A name is speaker (2 digits), text (3), emotion letter, version: `03a01Fa.wav`. The script says
    nothing about the emotion, so `words_label` is None. Raises UsageError for a folder without such
    files, and when a speaker of the split is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"EmoDB: no folder at {folder}")
    place = folder / "wav" if (folder / "wav").is_dir() else folder
    rows, speakers = [], set()
    for path in sorted((*place.glob("*.wav"), *place.glob("*.flac"))):
        name = path.stem
        label = LABEL_OF_LETTER.get(name[5:6])
        if not name[:2].isdigit() or label is None:
            raise UsageError(f"EmoDB: {path.name} is not named like {EXAMPLE}")
        speakers.add(name[:2])
        part = split.of(name[:2])
        if part is None:
            continue
        row_id = f"emodb-{name}"
        rows.append(
            Row(
                id=row_id,
                source="emodb",
                split=part,
                media=path.relative_to(folder).as_posix(),
                speaker=f"emodb-{name[:2]}",
                language="de",
                words=SCRIPT.get(name[2:5]),
                label=label,
                open_labels=open_words(label, MEDIUM, row_id),
                voice_label=label,
                licence=LICENCE,
            )
        )
    split.check_present(speakers, "EmoDB", place, EXAMPLE)
    return tuple(rows)
