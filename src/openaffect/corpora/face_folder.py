"""Reader of face images sorted into one folder per class, as FER2013 is often unpacked."""

from __future__ import annotations

from pathlib import Path

from openaffect.corpora.manifest import CORE_LABELS, Row
from openaffect.errors import UsageError
from openaffect.prompts.vocabulary import MEDIUM, open_words

LABEL_OF_FOLDER = {label: label for label in CORE_LABELS} | {
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def read_face_folder(
    folder: Path, *, source: str, licence: str, split: str = "test"
) -> tuple[Row, ...]:
    """Rows of the images under `folder/CLASS/`, each a one-frame clip without words.

    Raises UsageError for a missing folder, a folder that is no class, or no images at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"faces: no folder at {folder}")
    rows = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        label = LABEL_OF_FOLDER.get(place.name.lower())
        if label is None:
            raise UsageError(
                f"faces: folder {place.name!r} is no class; known are "
                f"{', '.join(sorted(LABEL_OF_FOLDER))}"
            )
        for path in sorted(place.iterdir()):
            if path.suffix.lower() not in IMAGE_ENDINGS:
                continue
            row_id = f"{source}-{place.name.lower()}-{path.stem}"
            rows.append(
                Row(
                    id=row_id,
                    source=source,
                    split=split,
                    media=path.relative_to(folder).as_posix(),
                    speaker=None,
                    language=None,
                    words=None,
                    label=label,
                    open_labels=open_words(label, MEDIUM, row_id),
                    face_label=label,
                    licence=licence,
                )
            )
    if not rows:
        raise UsageError(f"faces: no images in class folders under {folder}")
    return tuple(rows)
