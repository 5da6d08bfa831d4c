"""The Analysis: what openaffect says about one clip, as frozen records with a versioned JSON form.

Every record is plain data. The text under each field is its description; the published JSON schema
(`analysis.schema.json`) and docs/analysis.md are made from these texts by `schema.py`.

The JSON form is strict and lossless: `Analysis.from_json(a.to_json()) == a`, and a document with an
unknown key, a missing required key, a wrong type or another schema is refused with one line.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from openaffect.errors import OpenAffectError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SCHEMA: Literal["openaffect.analysis/1"] = "openaffect.analysis/1"
PROBABILITY_TOLERANCE = 1e-3
UNCLEAR = 0.5  # probability of the first label below which a reading is called unclear
"""How far the probabilities of one label set may be from summing to 1 (they may be rounded)."""

CLUE_MODALITY = {"face": "face", "voice": "audio", "scene": "video", "words": "text"}
"""Kind of clue -> the modality that must have been used for such a clue to exist."""

NOTICE = (
    "These are expressions as perceived from the outside by a statistical model, not what a person "
    "feels, thinks or intends, and they are often wrong across people, cultures, acting styles and "
    "recording conditions. Do not use them to decide about anyone. In the European Union the "
    "AI Act forbids inferring emotions of people at work and in education except for medical or "
    "safety reasons (Art. 5(1)(f)) and obliges those who deploy such a system elsewhere to tell "
    "the people it is used on (Art. 50(3))."
)
"""The limit statement that every Analysis carries."""

ClueKind = Literal["face", "voice", "scene", "words"]
Setting = str | int | float | bool | None | tuple[str, ...] | tuple[float, ...]


class AnalysisError(OpenAffectError):
    """A document is not an Analysis that this version can read."""


class Record:
    """Base of the records: pydantic reads them strictly, nothing unknown, nothing infinite."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "strict": True,
        "allow_inf_nan": False,
        "use_attribute_docstrings": True,
    }


@dataclass(frozen=True)
class ClipReference(Record):
    """Which piece of which file was analysed."""

    path: str
    """Path of the file as it was given."""
    sha256: str
    """SHA-256 of the file, 64 hexadecimal digits."""
    start: float
    """First second analysed, on the file's own clock."""
    end: float
    """Last second analysed, on the file's own clock."""
    duration: float
    """Length of the whole file in seconds; 0 for a still image."""


@dataclass(frozen=True)
class VideoUse(Record):
    """Whether whole pictures were looked at."""

    used: bool
    """Whether the model was given whole frames."""
    frames: int = 0
    """How many frames it was given."""
    reason: str | None = None
    """Why not; null when used."""


@dataclass(frozen=True)
class FaceUse(Record):
    """Whether faces were looked at."""

    used: bool
    """Whether the model was given face features."""
    tracks: int = 0
    """How many people were followed through the clip."""
    frames: int = 0
    """How many frames showed at least one of them."""
    reason: str | None = None
    """Why not; null when used."""


@dataclass(frozen=True)
class AudioUse(Record):
    """Whether sound was listened to."""

    used: bool
    """Whether the model was given the sound."""
    seconds: float = 0.0
    """Seconds of sound it was given."""
    reason: str | None = None
    """Why not; null when used."""


@dataclass(frozen=True)
class TextLine(Record):
    """One subtitle or transcribed line."""

    start: float
    """Second at which it begins, on the file's own clock."""
    end: float
    """Second at which it ends."""
    text: str
    """What is said."""


@dataclass(frozen=True)
class TextUse(Record):
    """Whether words were read, and where they came from."""

    used: bool
    """Whether the model was given words."""
    source: Literal["subtitle", "transcript"] | None = None
    """`subtitle` (given by the user), `transcript` (recognised from the sound), or null."""
    text: str | None = None
    """The words in the language in which they were said or given."""
    language: str | None = None
    """Language code of `text` where it is known, such as `en` or `de`."""
    english: str | None = None
    """English translation that the model was given, where `text` is in another language."""
    lines: tuple[TextLine, ...] = ()
    """The words with their times, where the source has times."""
    reason: str | None = None
    """Why not; null when used."""


@dataclass(frozen=True)
class Modalities(Record):
    """What was used and what was not, and why."""

    video: VideoUse
    """Whole pictures."""
    face: FaceUse
    """Faces."""
    audio: AudioUse
    """Sound."""
    text: TextUse
    """Words."""


@dataclass(frozen=True)
class Emotion(Record):
    """One label of a set and how likely it is."""

    label: str
    """The label."""
    probability: float
    """Probability within its label set, 0 to 1."""


@dataclass(frozen=True)
class Person(Record):
    """One person followed through the clip."""

    track: int
    """Number of the track; the same number marks this person in `signals.face`."""
    main: bool
    """Whether this is the person that the analysis is about."""
    box: tuple[float, float, float, float]
    """Face box x0, y0, x1, y1 at `box_time`, in pixels of the upright picture as it was read (at
    most 1280 on its longer side)."""
    box_time: float
    """Second at which `box` was seen."""
    visible_seconds: float
    """For how many seconds the face is in sight."""
    speaking: float | None = None
    """How well the mouth moves with the sound, 0 to 1; null where that cannot be told."""
    expression: tuple[Emotion, ...] = ()
    """Facial expression alone, averaged over the track, from the face encoder."""


@dataclass(frozen=True)
class Segment(Record):
    """One window of a long clip: the fields of the whole analysis for a part of it."""

    start: float
    """First second of the window, on the file's own clock."""
    end: float
    """Last second of the window."""
    modalities: Modalities
    """What was used in this window."""
    emotions: tuple[Emotion, ...] = ()
    """As in the analysis, for this window."""
    open_emotions: tuple[str, ...] = ()
    """As in the analysis, for this window."""
    reasoning: str = ""
    """As in the analysis, for this window."""
    clues: dict[ClueKind, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """As in the analysis, for this window."""
    people: tuple[int, ...] = ()
    """Tracks of the people in sight in this window, as in `people` of the analysis."""
    answer: str | None = None
    """The model's answer to the question, from this window."""

    def __post_init__(self) -> None:
        _check_findings(self)


@dataclass(frozen=True)
class TimelinePoint(Record):
    """The smoothed probabilities at one moment of a long clip."""

    time: float
    """Second, on the file's own clock: the middle of a window."""
    emotions: tuple[Emotion, ...]
    """The label set as smoothed over neighbouring windows, most likely first."""


@dataclass(frozen=True)
class Change(Record):
    """A moment of a long clip at which the perceived expression changes."""

    time: float
    """Second, on the file's own clock."""
    before: str
    """Label perceived in the stretch before it."""
    after: str
    """Label perceived in the stretch after it, another one."""


@dataclass(frozen=True)
class FaceSample(Record):
    """What one face shows in one frame."""

    time: float
    """Second of the frame, on the file's own clock."""
    track: int
    """Which person, as in `people`."""
    values: dict[str, float]
    """Name of a facial signal (blendshapes 0 to 1, yaw, pitch and roll in degrees) -> its value."""
    box: tuple[float, float, float, float] | None = None
    """Face box x0, y0, x1, y1 as shares of the upright picture's width and height."""


@dataclass(frozen=True)
class VoiceSample(Record):
    """What the voice does at one moment."""

    time: float
    """Second, on the file's own clock."""
    pitch: float | None
    """Fundamental frequency in hertz; null where there is no voiced sound."""
    energy: float
    """Level in decibels relative to full scale."""


@dataclass(frozen=True)
class Signals(Record):
    """Measured courses over time, for the timeline and for exports."""

    face: tuple[FaceSample, ...] = ()
    """Facial signals, in order of time."""
    voice: tuple[VoiceSample, ...] = ()
    """Vocal signals, in order of time."""


@dataclass(frozen=True)
class ModelReference(Record):
    """A model and the very weights it ran with."""

    preset: str
    """Name of the preset, or of the folder that it was loaded from."""
    version: str
    """Version of openaffect that ran it."""
    parts: dict[str, str] = dataclasses.field(default_factory=dict)
    """Name of each part -> SHA-256 of its tensors."""


@dataclass(frozen=True, kw_only=True)
class Analysis(Record):
    """What was perceived in one clip, why, and from what."""

    schema: Literal["openaffect.analysis/1"] = SCHEMA
    """Name and version of this form."""
    clip: ClipReference
    """What was analysed."""
    modalities: Modalities
    """What was used, what was not, and why."""
    emotions: tuple[Emotion, ...] = ()
    """The closed or given label set, most likely first; the probabilities sum to 1."""
    open_emotions: tuple[str, ...] = ()
    """Emotion words in free vocabulary, most salient first: the model's own words, the first word
    for each label before a second for any, and labels that are likely (from 0.2; neutral and calm
    only if likeliest) and that none of them tells; those labels alone where no reason was asked
    for (the setting `reasons`)."""
    reasoning: str = ""
    """Why, naming the clues; the perceived emotion alone where no reason was asked for."""
    clues: dict[ClueKind, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """What was noticed, by kind; only kinds whose modality was used, and none where no reason was
    asked for."""
    people: tuple[Person, ...] = ()
    """The people in sight, main person first."""
    segments: tuple[Segment, ...] = ()
    """Windows of a long clip; empty for a short one."""
    timeline: tuple[TimelinePoint, ...] = ()
    """Smoothed course of the emotions of a long clip, one point a window."""
    changes: tuple[Change, ...] = ()
    """Where the perceived expression of a long clip changes, in order of time."""
    signals: Signals = Signals()
    """Measured courses of face and voice."""
    question: str | None = None
    """The question that was asked, if any."""
    answer: str | None = None
    """The model's answer to it."""
    model: ModelReference
    """Which model answered."""
    settings: dict[str, Setting] = dataclasses.field(default_factory=dict)
    """The settings that shaped the result."""
    warnings: tuple[str, ...] = ()
    """What the reader should know about this very result."""
    notice: str = NOTICE
    """What such a result can and cannot say."""

    def __post_init__(self) -> None:
        _check_findings(self)
        if self.answer is not None and self.question is None:
            raise ValueError("an answer needs its question")

    @property
    def top(self) -> Emotion | None:
        """The most likely emotion of the label set; None where none was scored."""
        return max(self.emotions, key=lambda emotion: emotion.probability, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The analysis as dicts, lists, strings, numbers, booleans and None."""
        return plain(self)

    def to_json(self, indent: int | None = 2) -> str:
        """The analysis as a JSON document; characters that UTF-8 cannot hold become `?`."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, indent=indent, allow_nan=False)
        return text.encode("utf-8", "replace").decode("utf-8")

    @classmethod
    def from_dict(cls, document: object) -> Analysis:
        """The analysis that `to_dict` gave; raises AnalysisError for anything else."""
        try:
            text = json.dumps(document, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AnalysisError(f"not an Analysis: {error}") from None
        return cls.from_json(text)

    @classmethod
    def from_json(cls, text: str | bytes) -> Analysis:
        """The analysis that `to_json` gave; raises AnalysisError for anything else."""
        from pydantic import ValidationError

        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise AnalysisError(f"not an Analysis: no JSON document ({error})") from None
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema != SCHEMA:
            raise AnalysisError(
                f"not an Analysis: its schema is {_short(schema)}, this version reads {SCHEMA!r}"
            )
        try:
            return adapter().validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(step) for step in first["loc"]) or "the document"
            raise AnalysisError(
                f"not an Analysis: {where}: {first['msg']} (found {_short(first['input'])})"
            ) from None


@functools.cache
def adapter() -> TypeAdapter[Analysis]:
    """The pydantic reader of an Analysis; made on first use, because pydantic loads slowly."""
    from pydantic import TypeAdapter

    return TypeAdapter(Analysis)


def _check_findings(found: Analysis | Segment) -> None:
    """Refuse findings that contradict themselves; raises ValueError."""
    for kind, modality in CLUE_MODALITY.items():
        if kind in found.clues and not getattr(found.modalities, modality).used:
            raise ValueError(f"clues of kind {kind!r}, but {modality} was not used")
    for field in dataclasses.fields(found.modalities):
        use = getattr(found.modalities, field.name)
        if use.used != (use.reason is None):
            raise ValueError(f"{field.name}: a reason is given when, and only when, it is not used")
    if found.emotions:
        total = sum(emotion.probability for emotion in found.emotions)
        if abs(total - 1) > PROBABILITY_TOLERANCE:
            raise ValueError(f"the probabilities of the emotions sum to {total:.4f}, not to 1")


def plain(value: Any) -> Any:
    """Records as dicts and tuples as lists, all the way down."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def _short(value: object) -> str:
    """A value for an error message, cut to a line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
