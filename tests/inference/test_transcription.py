"""Transcription: windows, doubts, and real speech whose words are known."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.errors import UsageError
from openaffect.inference import transcription
from openaffect.inference.languages import LANGUAGES
from openaffect.inference.options import AnalyzeOptions
from openaffect.inference.speech_decoding import TIME_STEP, Decoded
from openaffect.inference.transcription import (
    WINDOW_SECONDS,
    Segment,
    Transcriber,
    doubted,
    joined,
    windows,
)
from openaffect.media.mel import SAMPLE_RATE
from openaffect.media.reader import read_clip


@pytest.fixture(scope="module")
def transcriber(small_parts):
    return Transcriber(small_parts["speech"])


stretch = st.tuples(st.floats(0.05, 3.0), st.floats(0.3, 70.0))  # silence before, speech


@settings(max_examples=30, deadline=None)
@given(st.lists(stretch, max_size=4), st.floats(0.0, 2.0), st.integers(0, 9))
def test_windows_hold_all_speech_once(parts, tail, seed):
    speech, now = [], 0.0
    for silence, length in parts:
        speech.append((now + silence, now + silence + length))
        now += silence + length
    samples = round((now + tail) * SAMPLE_RATE)
    audio = np.resize(np.random.default_rng(seed).normal(0, 0.1, 9973), samples)
    found = windows(speech, audio.astype(np.float32))
    duration = samples / SAMPLE_RATE
    assert bool(found) == bool(speech)
    for start, end in found:
        assert -1e-6 <= start < end <= duration + 1e-3
        assert end - start <= WINDOW_SECONDS + 1e-6
    for (_, end), (start, _) in itertools.pairwise(found):
        assert end <= start + 1e-6
    for moment in np.concatenate([np.linspace(a, b, 9)[1:-1] for a, b in speech] or [np.zeros(0)]):
        assert any(start - 1e-6 <= moment <= end + 1e-6 for start, end in found)


def test_long_speech_is_cut_where_it_is_quiet():
    audio = np.ones(40 * SAMPLE_RATE, np.float32)
    audio[24 * SAMPLE_RATE : round(24.3 * SAMPLE_RATE)] = 0.0
    (_, cut), _ = windows([(0.0, 40.0)], audio)
    assert cut == pytest.approx(24.15, abs=0.15)


@pytest.mark.parametrize(
    ("text", "log_probability", "silence", "believed"),
    [
        ("It was the best of times.", -0.2, 0.1, True),
        ("It was the best of times.", -1.2, 0.1, False),
        ("It was the best of times.", -0.8, 0.9, False),
        ("It was the best of times.", -0.5, 0.9, True),
        ("I always have that. " * 20, -0.1, 0.0, False),
        ("", -0.1, 0.0, True),
    ],
)
def test_doubts(text, log_probability, silence, believed):
    assert (doubted(text, log_probability, silence, -1.0) is None) is believed


def test_texts_are_joined_as_their_script_wants():
    assert joined([" How are you?", "", "Fine. "]) == "How are you? Fine."
    assert joined(["走了", "我手机"]) == "走了我手机"
    assert joined(["走了", "OK"]) == "走了 OK"


def test_silence_and_noise_are_not_heard(transcriber):
    noise = np.random.default_rng(0).normal(0, 0.02, 3 * SAMPLE_RATE).astype(np.float32)
    for sound in (np.zeros(3 * SAMPLE_RATE, np.float32), noise, np.zeros(0, np.float32)):
        transcript = transcriber.transcribe(sound)
        assert transcript.text == "" and transcript.language is None
        assert transcript.english is None and transcript.segments == ()
        assert transcript.reason == "no speech was found in the sound"


def test_our_languages_are_those_of_the_recogniser(transcriber):
    assert set(LANGUAGES) == set(transcriber.decoder.languages)


def test_unknown_language_is_refused(transcriber):
    with pytest.raises(UsageError, match="tlh"):
        AnalyzeOptions(language="tlh")
    with pytest.raises(UsageError, match="tlh"):
        transcriber.transcribe(np.zeros(SAMPLE_RATE, np.float32), language="tlh")


FIRST_TIME = 1000


class ScriptedTranscriber(Transcriber):
    """Its decoder writes `script[seconds]` for the window that starts there: tokens are numbers."""

    def __init__(self, script: dict[float, list[Decoded]]) -> None:
        self.script = script
        self.asked: list[tuple[float, tuple[str, ...], int]] = []
        self.languages = {"en": 1, "te": 2}
        self.first_time = FIRST_TIME
        self.decoder = self.tokenizer = self

    def _encode(self, audio, start, end):
        return torch.tensor(start)

    def language_log_probabilities(self, state):
        return torch.tensor([-9.0, -0.1]), 0.0

    def decode(self, tokens, *arguments, **_):
        if not arguments:
            return " ".join(map(str, tokens))
        _, tasks, room = arguments
        self.asked.append((float(tokens), tuple(tasks), room))
        return self.script[float(tokens)][: len(tasks)]


def written(*tokens: int, finished: bool = True) -> Decoded:
    return Decoded(tokens, -0.2, finished)


def stamp(seconds: float) -> int:
    return FIRST_TIME + round(seconds / TIME_STEP)


def test_a_window_too_full_for_the_decoder_is_decoded_on(monkeypatch):
    monkeypatch.setattr(transcription, "voice_activity", lambda audio: [(0.0, 20.0)])
    first = written(stamp(0), 1, 2, stamp(12), stamp(12), 3, 4, finished=False)
    rest = written(stamp(0), 3, 4, 5, stamp(8))
    writer = ScriptedTranscriber({0.0: [first, written(7, 8)], 12.0: [rest]})
    heard = writer.transcribe(np.ones(20 * SAMPLE_RATE, np.float32))
    assert heard.segments == (Segment(0.0, 12.0, "1 2"), Segment(12.0, 20.0, "3 4 5"))
    assert (heard.text, heard.english) == ("1 2 3 4 5", "7 8")
    assert heard.doubts == () and heard.reason is None
    asked = [(start, tasks) for start, tasks, _ in writer.asked]
    assert asked == [(0.0, ("transcribe", "translate")), (12.0, ("transcribe",))]
    telugu = 292 / 12.2  # tokens a second of 169 characters read aloud
    assert all(room > telugu * 20 for _, _, room in writer.asked[:1])


def test_a_window_without_end_is_doubted_and_the_others_are_kept(monkeypatch):
    monkeypatch.setattr(transcription, "voice_activity", lambda audio: [(0.0, 20.0), (30.0, 40.0)])
    first = written(stamp(0), 1, 2, stamp(2), stamp(2), *range(3, 50), finished=False)
    script = {0.0: [first, written(*range(60, 99), finished=False)]}
    other = windows([(0.0, 20.0), (30.0, 40.0)], np.ones(40 * SAMPLE_RATE, np.float32))[1]
    script[float(torch.tensor(other[0]))] = [written(5, 6), written(8, 9)]
    writer = ScriptedTranscriber(script)
    heard = writer.transcribe(np.ones(40 * SAMPLE_RATE, np.float32))
    assert (heard.text, heard.english, len(writer.asked)) == ("1 2 5 6", "1 2 8 9", 2)
    (doubt,) = heard.doubts
    assert doubt.start == 2.0 and 20.0 <= doubt.end < 21.0 and "no end" in doubt.reason
    writer.script = {at: [written(*range(3, 50), finished=False), written(1)] for at in script}
    nothing = writer.transcribe(np.ones(40 * SAMPLE_RATE, np.float32))
    assert nothing.text == "" and nothing.reason == doubt.reason


@pytest.mark.parametrize(
    ("translation", "reason"),
    [
        (Decoded((8, 9), -2.0, True), "too unclear"),
        (Decoded((8,) * 60, -0.2, True), "only repeated"),
        (Decoded((8, 9), -0.2, False), "no end"),
        (Decoded((), -0.2, True), "is empty"),
    ],
)
def test_a_window_whose_translation_is_not_believed_keeps_its_own_words(
    monkeypatch, translation, reason
):
    speech = [(0.0, 20.0), (30.0, 40.0)]
    monkeypatch.setattr(transcription, "voice_activity", lambda audio: speech)
    audio = np.ones(40 * SAMPLE_RATE, np.float32)
    (_, end), (other, _) = windows(speech, audio)
    first = written(stamp(0), 1, 2, stamp(12), stamp(12), 3, 4, finished=False)
    believed = {float(torch.tensor(other)): [written(5, 6), written(8, 9)]}
    script = {0.0: [first, translation], 12.0: [written(stamp(0), 3, 4, stamp(8))]}
    heard = ScriptedTranscriber(script | believed).transcribe(audio)
    assert (heard.text, heard.english) == ("1 2 3 4 5 6", "1 2 3 4 8 9")
    (doubt,) = heard.untranslated
    assert (doubt.start, doubt.end) == (0.0, end) and reason in doubt.reason
    assert heard.doubts == ()


def test_without_any_believed_translation_there_is_no_english(monkeypatch):
    monkeypatch.setattr(transcription, "voice_activity", lambda audio: [(0.0, 20.0)])
    script = {0.0: [written(1, 2), Decoded((8, 9), -2.0, True)]}
    heard = ScriptedTranscriber(script).transcribe(np.ones(20 * SAMPLE_RATE, np.float32))
    assert (heard.text, heard.english, len(heard.untranslated)) == ("1 2", None, 1)


def test_english_speech(transcriber, shared):
    path = shared / "speech" / "ravdess" / "03-01-01-01-01-01-01.flac"
    audio = read_clip(path).audio
    transcript = transcriber.transcribe(audio)
    assert transcript.language == "en" and transcript.reason is None
    assert transcript.text.lower().rstrip(".") == "kids are talking by the door"
    assert transcript.english == transcript.text
    assert 0.5 < transcript.segments[0].start < 1.5 and transcript.segments[-1].end < 3.0


def test_german_speech_is_also_translated(transcriber, shared):
    audio = read_clip(shared / "speech" / "emodb" / "08a01Na.wav").audio
    transcript = transcriber.transcribe(audio)
    assert transcript.language == "de"
    assert transcript.text == "Der Lappen liegt auf dem Eisschrank."
    assert transcript.english is not None and "ice" in transcript.english


@pytest.mark.slow
def test_long_sound_has_times(transcriber, shared):
    spoken = read_clip(shared / "speech" / "ravdess" / "03-01-01-01-01-01-01.flac").audio
    gap = np.zeros(17 * SAMPLE_RATE, np.float32)
    transcript = transcriber.transcribe(np.concatenate([spoken, gap, spoken, gap, spoken]))
    found = [s for s in transcript.segments if "door" in s.text.lower()]
    assert len(found) == 3
    for index, segment in enumerate(found):
        assert segment.start == pytest.approx(1.0 + index * (len(spoken) / SAMPLE_RATE + 17), abs=1)
