"""Spoken words of a clip by Whisper: heard only where somebody speaks, in its language and English.

Windows are padded to 30 s, unlike the emotion encoder's: the decoder was trained on full windows,
and on cropped ones it repeats itself (docs/evaluation.md has the figures).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from openaffect.inference.languages import check_language
from openaffect.media.clip import NO_SPEECH
from openaffect.media.mel import SAMPLE_RATE, log_mel
from openaffect.media.voice_activity import voice_activity

if TYPE_CHECKING:
    from openaffect.inference.speech_decoding import Decoded

WINDOW_SECONDS = 28.0  # most that one window holds of the sound, under the encoder's 30 s
LONGEST_PAUSE = (
    3.0  # seconds of quiet inside a window; over longer ones the decoder loses sentences
)
WINDOW_MARGIN = 0.4  # seconds kept around speech, so that no first or last sound is cut
CUT_SEARCH = 6.0  # last seconds of a full window in which its quietest moment is looked for
TOKENS_PER_SECOND = 40  # more than anyone says in any script; bounds what a loop can write
SPARE_TOKENS = 16  # for time stamps and the end of very short speech
LEAST_ADVANCE = 5.0  # seconds that a decoder writes down before its room ends, if it hears words
# The decoder's own doubts (openai/whisper, transcribe.py: -1.0, 2.4, 0.6).
LEAST_LOG_PROBABILITY = -1.0  # mean per token; below it the words are guesses
LEAST_TRANSLATION_LOG_PROBABILITY = -1.6  # translations are less certain and still of use
MOST_COMPRESSION = 2.4  # text that zlib shrinks more than this repeats itself
LIKELY_SILENCE = 0.6  # probability of no speech from which doubtful words are not believed
DOUBTFUL_LOG_PROBABILITY = -0.7  # what counts as doubtful then
ENGLISH = "en"


@dataclass(frozen=True)
class Segment:
    """Words said without a long pause."""

    start: float  # seconds from the start of the audio
    end: float  # seconds
    text: str  # in the spoken language


@dataclass(frozen=True)
class Doubt:
    """A stretch with speech whose words, or whose translation, are not believed."""

    start: float  # seconds from the start of the audio
    end: float  # seconds
    reason: str


@dataclass(frozen=True)
class Transcript:
    """What was said. Where it is empty, `reason` says why."""

    text: str  # in the spoken language; "" where nothing was recognised
    language: str | None  # ISO 639-1 code such as "de"; None where nothing was recognised
    english: str | None  # the same in English (equal to `text` for English speech), where believed;
    # stretches of `untranslated` stand in it as they were spoken
    segments: tuple[Segment, ...]  # in order of time
    reason: str | None  # why there is no text
    doubts: tuple[Doubt, ...] = ()  # stretches that the text leaves out, in order of time
    untranslated: tuple[Doubt, ...] = ()  # stretches without a believed translation


@dataclass
class _Heard:
    """What was decoded of one window."""

    segments: list[Segment] = field(default_factory=list)
    english: str | None = None  # None where no translation was asked for or is believed
    doubts: list[Doubt] = field(default_factory=list)
    untranslated: list[Doubt] = field(default_factory=list)
    left: tuple[float, float] | None = None  # seconds that the decoder had no room for


class Transcriber:
    """A Whisper model that writes down what is said.

    Args:
        whisper: folder of a multilingual Whisper with its tokenizer, in transformers' layout.
        device: where it runs.
    """

    def __init__(self, whisper: Path, device: torch.device | str = "cpu") -> None:
        from transformers import AutoTokenizer, WhisperForConditionalGeneration

        from openaffect.inference.speech_decoding import SpeechDecoder

        model = WhisperForConditionalGeneration.from_pretrained(whisper, dtype=torch.float32)
        self.model: Any = model.eval().to(device)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(whisper)
        self.decoder = SpeechDecoder(self.model)
        self.device = device

    def transcribe(self, audio: np.ndarray, *, language: str | None = None) -> Transcript:
        """The words in audio (S,), mono at 16 kHz, of any length.

        `language` is one of LANGUAGES; None detects it. Speech in other languages than
        English is also translated. Raises UsageError for an unknown language.
        """
        check_language(language)
        parts = windows(voice_activity(audio), audio)
        if not parts:
            return Transcript("", None, None, (), NO_SPEECH)
        states = [self._encode(audio, start, end) for start, end in parts]
        detected, silences = self._detect(states)
        spoken = language or detected
        tasks = ["transcribe"] if spoken == ENGLISH else ["transcribe", "translate"]
        heard: list[_Heard] = []
        translations: list[str | None] = []
        originals: list[str] = []
        for part, state, silence in zip(parts, states, silences, strict=True):
            pieces = [self._window(state, spoken, tasks, part, silence)]
            while (left := pieces[-1].left) is not None:  # its translation is there already
                rest = self._encode(audio, *left)
                pieces.append(self._window(rest, spoken, ["transcribe"], left, silence))
            heard += pieces
            translations.append(pieces[0].english)
            originals.append(joined([s.text for piece in pieces for s in piece.segments]))
        segments = [segment for window in heard for segment in window.segments]
        doubts = [doubt for window in heard for doubt in window.doubts]
        text = joined([segment.text for segment in segments])
        if not text:
            reason = "; ".join(dict.fromkeys(doubt.reason for doubt in doubts))
            return Transcript("", None, None, (), reason or "no words were recognised")
        untranslated = [doubt for window in heard for doubt in window.untranslated]
        return Transcript(
            text,
            spoken,
            text if spoken == ENGLISH else in_english(translations, originals),
            tuple(segments),
            None,
            tuple(doubts),
            tuple(untranslated),
        )

    def _encode(self, audio: np.ndarray, start: float, end: float) -> Tensor:
        """Encoder states (1, 1500, width) of one window, padded to 30 s."""
        piece = audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
        mel = log_mel(piece, self.model.config.num_mel_bins)
        with torch.inference_mode():
            encoder = self.model.get_encoder()
            return encoder(mel[None].to(self.device)).last_hidden_state

    def _detect(self, states: Sequence[Tensor]) -> tuple[str, list[float]]:
        """The language that all windows together make likeliest; each one's no-speech share."""
        heard = [self.decoder.language_log_probabilities(state) for state in states]
        best = int(torch.stack([likelihoods for likelihoods, _ in heard]).sum(0).argmax())
        return list(self.decoder.languages)[best], [silence for _, silence in heard]

    def _window(
        self,
        state: Tensor,
        language: str,
        tasks: Sequence[str],
        window: tuple[float, float],
        silence: float,
    ) -> _Heard:
        """What one window says, and what of it is still to be decoded."""
        start, end = window
        room = SPARE_TOKENS + round((end - start) * TOKENS_PER_SECOND)
        written, *translated = self.decoder.decode(state, language, tasks, room)
        tokens = written.tokens if written.finished else self._stamped(written.tokens)
        segments = self._segments(tokens, start, end)
        text = joined([segment.text for segment in segments])
        doubt = doubted(text, written.log_probability, silence, LEAST_LOG_PROBABILITY)
        if doubt:
            return _Heard(doubts=[Doubt(start, end, doubt)])
        heard = _Heard(segments)
        if not written.finished:
            until = segments[-1].end if segments else start
            if until - start >= LEAST_ADVANCE:
                heard.left = (until, end) if until < end else None
            else:
                heard.doubts = [Doubt(until, end, "the recognised words came to no end")]
        for translation in translated:
            english = joined([part.text for part in self._segments(translation.tokens, start, end)])
            doubt = translation_doubted(english, translation, silence)
            if doubt is None:
                heard.english = english
            elif text:
                heard.untranslated = [Doubt(start, end, doubt)]
        return heard

    def _stamped(self, tokens: Sequence[int]) -> Sequence[int]:
        """Tokens up to the last time stamp."""
        count = len(tokens)
        while count and tokens[count - 1] < self.decoder.first_time:
            count -= 1
        return tokens[:count]

    def _segments(self, tokens: Sequence[int], start: float, end: float) -> list[Segment]:
        """Text between time stamps, on the clip's clock; a missing stamp is the window's edge."""
        from openaffect.inference.speech_decoding import TIME_STEP

        segments: list[Segment] = []
        begin, words = start, list[int]()

        def close(until: float) -> None:
            text = self.tokenizer.decode(words, skip_special_tokens=True).strip()
            if text:
                segments.append(Segment(begin, max(until, begin), text))

        for token in tokens:
            if token < self.decoder.first_time:
                words.append(token)
                continue
            now = min(start + (token - self.decoder.first_time) * TIME_STEP, end)
            close(now)
            begin, words = now, []
        close(end)
        return segments


def doubted(text: str, log_probability: float, silence: float, least: float) -> str | None:
    """Why a decoded text is not believed, or None where it is."""
    raw = text.encode()
    if raw and len(raw) / len(zlib.compress(raw)) > MOST_COMPRESSION:
        return "the recognised words only repeated themselves"
    if log_probability < least:
        return f"the words were too unclear (mean log-probability {log_probability:.2f})"
    if silence > LIKELY_SILENCE and log_probability < DOUBTFUL_LOG_PROBABILITY:
        return "the sound was probably no speech"
    return None


def translation_doubted(english: str, decoded: "Decoded", silence: float) -> str | None:
    """Why the translation of a window is not believed, or None where it is."""
    if not decoded.finished:
        return "the translation came to no end"
    if not english:
        return "the translation is empty"
    doubt = doubted(english, decoded.log_probability, silence, LEAST_TRANSLATION_LOG_PROBABILITY)
    return doubt and f"of the translation, {doubt}"


def in_english(translations: Sequence[str | None], originals: Sequence[str]) -> str | None:
    """The windows' translations joined, each one that is None replaced by what was recognised.

    So words of a window whose translation is not believed are not lost. None where no window has
    a translation.
    """
    if not any(translations):
        return None
    pairs = zip(translations, originals, strict=True)
    return joined([original if english is None else english for english, original in pairs])


def joined(texts: Sequence[str]) -> str:
    """Texts with one space between them, and none between those of scripts without spaces."""
    whole = ""
    for text in (text.strip() for text in texts):
        spaced = whole and text and not (_unspaced(whole[-1]) and _unspaced(text[0]))
        whole += (" " if spaced else "") + text
    return whole


def _unspaced(character: str) -> bool:
    """Whether it is Chinese, Japanese, Thai or one of their full-width signs."""
    return any(
        low <= character <= high
        for low, high in (
            ("\u0e00", "\u0e7f"),
            ("\u3000", "\u30ff"),
            ("\u3400", "\u9fff"),
            ("\uff00", "\uffef"),
        )
    )


def windows(speech: Sequence[tuple[float, float]], audio: np.ndarray) -> list[tuple[float, float]]:
    """Windows (start, end) in seconds, of at most 28 s, that hold all stretches of speech.

    Neighbouring stretches share a window while they fit and no pause over 3 s lies between; one
    longer than a window is cut where the sound is quietest. Windows keep a margin of sound around
    the speech and never overlap.
    """
    duration = len(audio) / SAMPLE_RATE
    pieces: list[tuple[float, float]] = []
    for start, end in speech:
        while end - start > WINDOW_SECONDS - 2 * WINDOW_MARGIN:
            cut = _quietest(audio, start + WINDOW_SECONDS - 2 * WINDOW_MARGIN)
            pieces.append((start, cut))
            start = cut
        pieces.append((start, end))
    packed: list[tuple[float, float]] = []
    for start, end in pieces:
        pause = start - packed[-1][1] if packed else 0.0
        fits = packed and end - packed[-1][0] <= WINDOW_SECONDS - 2 * WINDOW_MARGIN
        if fits and pause <= LONGEST_PAUSE:
            packed[-1] = (packed[-1][0], end)
        else:
            packed.append((start, end))
    widened = []
    for index, (start, end) in enumerate(packed):
        before = (start - packed[index - 1][1]) / 2 if index else start
        after = (packed[index + 1][0] - end) / 2 if index + 1 < len(packed) else duration - end
        widened.append(
            (start - min(WINDOW_MARGIN, before), end + max(min(WINDOW_MARGIN, after), 0.0))
        )
    return widened


def _quietest(audio: np.ndarray, latest: float) -> float:
    """The quietest tenth of a second in the CUT_SEARCH seconds before `latest`."""
    width = SAMPLE_RATE // 10
    first = round((latest - CUT_SEARCH) * SAMPLE_RATE)
    piece = audio[first : round(latest * SAMPLE_RATE)]
    blocks = piece[: len(piece) // width * width].reshape(-1, width)
    quiet = int(np.square(blocks, dtype=np.float64).sum(axis=1).argmin())
    return (first + (quiet + 0.5) * width) / SAMPLE_RATE
