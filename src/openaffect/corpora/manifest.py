"""The manifest: one row per clip or text, in a JSON Lines file beside the media that it names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

from openaffect.corpora.replacing import replacing
from openaffect.errors import UsageError

SPLITS = ("train", "validation", "test")

# The seven labels that every corpus here shares, and the two that only speech corpora have.
CORE_LABELS = ("angry", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
LABELS = (*CORE_LABELS, "bored", "calm")

LIGHTS = ("even", "bright", "dim", "side", "backlit")
BACKGROUNDS = ("plain", "gradient", "indoor", "outdoor")


@dataclass(frozen=True)
class Scene:
    """What the picture shows besides the expression; known for rendered clips only."""

    light: str  # one of LIGHTS
    background: str  # one of BACKGROUNDS
    people: int  # heads in the picture, the speaker included
    face_visible: bool  # whether the speaker's face can be seen


@dataclass(frozen=True)
class Row:
    """One clip (or one text without media) and what is known about it.

    A stream's label is None where that stream is absent or tells nothing. Raises UsageError for an
    unknown split or label, or for media named by an absolute path.
    """

    id: str  # unique within a manifest
    source: str  # corpus the row comes from: "synthetic", "emodb", "ravdess", ...
    split: str  # one of SPLITS
    media: str | None  # path relative to the manifest's folder, with "/"; None for a text-only row
    speaker: str | None  # identity that never crosses splits; None where unknown
    language: str | None  # ISO 639-1 code of the spoken words; None where there are none
    words: str | None  # the spoken text; None where nothing is said or it is not known
    label: str | None  # one of LABELS: what the whole shows; None where only open words are known
    open_labels: tuple[str, ...]  # several words of open vocabulary, most salient first
    face_label: str | None = None  # what the face alone shows
    voice_label: str | None = None  # what the voice alone shows
    words_label: str | None = None  # what the words alone tell
    action_units: Mapping[str, float] = field(default_factory=dict)  # FACS unit -> apex 0..1
    prosody: Mapping[str, float] = field(default_factory=dict)  # measured or commanded, by name
    scene: Scene | None = None  # picture facts; None where not known
    blend: Mapping[str, float] = field(default_factory=dict)  # further labels of the face, 0..1
    reasoning: str = ""  # why, from what each stream shows; empty where nobody wrote one
    licence: str = ""  # terms of the media and labels
    told: Mapping[str, str] = field(default_factory=dict)  # published emotion, caption and reason

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UsageError(f"row {self.id}: split {self.split!r} is none of {', '.join(SPLITS)}")
        for name in ("label", "face_label", "voice_label", "words_label"):
            value = getattr(self, name)
            if value is not None and value not in LABELS:
                raise UsageError(f"row {self.id}: {name} {value!r} is none of {', '.join(LABELS)}")
        if self.media is not None and _is_absolute(self.media):
            raise UsageError(
                f"row {self.id}: media {self.media!r} must be relative to the manifest's folder"
            )

    @property
    def shows_faces(self) -> bool:
        """Whether a face can be seen, as far as is known."""
        return self.scene is None or self.scene.face_visible


NEEDED = tuple(
    field.name
    for field in fields(Row)
    if field.default is MISSING and field.default_factory is MISSING
)
NULLABLE = ("media", "speaker", "language", "words", "label")  # of these, what may be null


def _is_absolute(media: str) -> bool:
    return PurePosixPath(media).is_absolute() or "\\" in media or media[1:2] == ":"


def media_path(row: Row, folder: Path) -> Path | None:
    """Where the row's media lies, given the folder of its manifest; None for a text-only row."""
    return None if row.media is None else Path(folder) / row.media


def row_to_json(row: Row) -> str:
    """The row as one line of JSON, keys in field order."""
    return json.dumps(asdict(row), ensure_ascii=False)


def row_from_json(line: str) -> Row:
    """The row of one line. Raises UsageError for anything but a row's own fields, all of them."""
    try:
        values: dict[str, Any] = json.loads(line)
        if not isinstance(values, dict):
            raise TypeError("it is no object in braces")
        known = [f.name for f in fields(Row)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UsageError(f"unknown field {unknown[0]!r}; a row has {', '.join(known)}")
        missing = [name for name in NEEDED if name not in values]
        if missing:
            raise UsageError(
                f"not a manifest row (it lacks {', '.join(missing)}; null may stand for "
                f"{', '.join(NULLABLE)}): {line[:80]!r}"
            )
        if not isinstance(values["open_labels"], list):
            raise TypeError(f"open_labels is a list of words, not {values['open_labels']!r}")
        values["open_labels"] = tuple(values["open_labels"])
        if values.get("scene") is not None:
            values["scene"] = Scene(**values["scene"])
        return Row(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"not a manifest row ({error}): {line[:80]!r}") from error


def write_manifest(rows: Iterable[Row], path: Path) -> int:
    """Write the rows to `path`, whole or not at all; returns how many.

    Raises UsageError when two rows share an id.
    """
    lines, seen = [], set()
    for row in rows:
        if row.id in seen:
            raise UsageError(f"two rows of one manifest are called {row.id!r}")
        seen.add(row.id)
        lines.append(row_to_json(row) + "\n")
    with replacing(Path(path)) as partial:
        partial.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def read_manifest(path: Path) -> tuple[Row, ...]:
    """All rows of a manifest, in order.

    Raises UsageError with the line number of a bad row, or of one whose id another row has.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(
            f"no manifest at {path}: make one of your clips with `openaffect data build`, or of "
            "synthetic ones with `openaffect data synth`"
        )
    rows: dict[str, Row] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = row_from_json(line)
            if row.id in rows:
                raise UsageError(f"an earlier row is called {row.id!r}, too; an id names one clip")
        except UsageError as error:
            raise UsageError(f"{path}, line {number}: {error}") from error
        rows[row.id] = row
    return tuple(rows.values())
