"""What may be asked of an analysis, and which part of a file that names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from openaffect.errors import UsageError
from openaffect.inference.languages import check_language
from openaffect.media.limits import Limits
from openaffect.media.probe import length_of
from openaffect.media.reader import check_clip
from openaffect.media.still import is_still
from openaffect.media.subtitles import Subtitle
from openaffect.prompts.conversation import STREAMS

SEGMENTING = ("auto", "always", "never")
LONGEST_WORDS = 20_000  # characters of the words given to one reading
LONG_CLIP = 60.0  # seconds from which a clip is read in segments, unless told otherwise


@dataclass(frozen=True)
class AnalyzeOptions:
    """What may be asked of one analysis."""

    start: float | None = None  # first second to analyse
    end: float | None = None  # last second to analyse
    subtitle: str | None = None  # the spoken words, in place of recognised ones
    labels: Sequence[str] | None = None  # closed label set; None takes the model's own
    question: str | None = None  # a question of the user's own, answered besides
    frames: int | None = None  # frames looked at; None takes the model's own number
    seed: int = 0  # recorded; answers are greedy and do not depend on it
    language: str | None = None  # spoken language; None detects it
    transcribe: bool = True  # recognise the words where no subtitle is given
    reasons: bool = True  # write reasons with clues; without, labels alone: faster
    streams: Sequence[str] = STREAMS  # streams that may be used, of face, voice, scene and words
    limits: Limits = field(default_factory=Limits)  # of the media file
    segments: Literal["auto", "always", "never"] = "auto"  # auto: of clips over LONG_CLIP seconds
    lines: Sequence[Subtitle] | None = None  # the spoken words with times, for segments

    def __post_init__(self) -> None:
        if isinstance(self.labels, str):
            raise UsageError(f'labels is a list, such as ["calm", "tense"], not {self.labels!r}')
        if isinstance(self.streams, str):
            raise UsageError(f'streams is a list, such as ["face", "voice"], not {self.streams!r}')
        if self.labels is not None and (len(self.labels) < 2 or not all(self.labels)):
            raise UsageError(f"a label set needs at least two labels, got {list(self.labels)}")
        if self.labels is not None and len(set(self.labels)) < len(self.labels):
            raise UsageError(f"a label set names each label once, got {', '.join(self.labels)}")
        unknown = set(self.streams) - set(STREAMS)
        if unknown or not self.streams:
            raise UsageError(
                f"streams are {', '.join(STREAMS)}, got {', '.join(sorted(unknown)) or 'none'}"
            )
        if self.frames is not None and not 1 <= self.frames <= 128:
            raise UsageError(f"frames must be 1 to 128, got {self.frames}")
        check_language(self.language)
        if self.segments not in SEGMENTING:
            raise UsageError(f"segments is one of {', '.join(SEGMENTING)}, got {self.segments!r}")


def check_names(options: Iterable[str]) -> None:
    """Raises UsageError for a name that is no field of AnalyzeOptions, with the nearest one."""
    known = [field.name for field in fields(AnalyzeOptions)]
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            told = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"analyze(): no option is called {name!r}; {told}")


def given_words(subtitle: str) -> str:
    """The words given to one reading, in one line; raises UsageError where they are too many."""
    words = " ".join(subtitle.split())
    if len(words) > LONGEST_WORDS:
        raise UsageError(
            f"the words given for one reading are longer than {LONGEST_WORDS} characters"
        )
    return words


def is_long(path: Path, options: AnalyzeOptions) -> bool:
    """Whether a clip is to be read in segments.

    Raises:
        MediaError: the file cannot be used, or is too long to be read so.
    """
    if options.segments == "never":
        return False
    start, end = span_of(path, options)
    if is_still(path) or (options.segments == "auto" and end - start <= LONG_CLIP):
        return False
    # What declares no length was measured here; found while reading, all segments would be lost.
    options.limits.check_seconds(str(path), end - start, long=True)
    return True


def check_first(path: Path, options: AnalyzeOptions) -> None:
    """Open a clip before a model is loaded for it, as weights may be fetched for minutes.

    Raises as reading the clip does.
    """
    long = is_long(path, options)
    check_clip(path, start=options.start, end=options.end, limits=options.limits, long=long)


def span_of(path: Path, options: AnalyzeOptions) -> tuple[float, float]:
    """The first and the last second to read.

    Raises:
        MediaError: the file cannot be used.
    """
    length = length_of(path, options.limits)
    return options.start or 0.0, length if options.end is None else min(options.end, length)
