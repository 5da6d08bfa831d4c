"""Analyses to test with: a hypothesis strategy for any, and a plain one with every field filled."""

import dataclasses
import string

from hypothesis import strategies as st

from openaffect.results.analysis import (
    CLUE_MODALITY,
    Analysis,
    AudioUse,
    ClipReference,
    Emotion,
    FaceSample,
    FaceUse,
    Modalities,
    ModelReference,
    Person,
    Segment,
    Signals,
    TextLine,
    TextUse,
    VideoUse,
    VoiceSample,
)

seconds = st.floats(0, 7200)
numbers = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(max_size=30) | st.sampled_from(
    [
        "=1+1",
        "<script>alert(1)</script>",
        '"quoted"',
        "a --> b",
        "]]>",
        "\x1b[31mred",
        "&amp;",
        "\n\n",
    ]
)
words = st.lists(text, max_size=3).map(tuple)


@st.composite
def modalities(draw: st.DrawFn) -> Modalities:
    uses = []
    for kind in (VideoUse, FaceUse, AudioUse):
        if draw(st.booleans()):
            counts = {"frames": 3} if kind is not AudioUse else {"seconds": draw(seconds)}
            uses.append(kind(True, **counts))
        else:
            uses.append(kind(False, reason=draw(text)))
    if not draw(st.booleans()):
        return Modalities(*uses, TextUse(False, reason=draw(text)))
    lines = draw(st.lists(st.builds(TextLine, seconds, seconds, text), max_size=4).map(tuple))
    source = draw(st.sampled_from(["subtitle", "transcript"]))
    english = draw(st.none() | text)
    return Modalities(*uses, TextUse(True, source, draw(text), "de", english, lines))


@st.composite
def label_sets(draw: st.DrawFn) -> tuple[Emotion, ...]:
    weights = draw(st.lists(st.floats(0.01, 1), max_size=5))
    return tuple(Emotion(draw(text), weight / sum(weights)) for weight in weights)


@st.composite
def findings(draw: st.DrawFn) -> dict:
    used = draw(modalities())
    kinds = [kind for kind, name in CLUE_MODALITY.items() if getattr(used, name).used]
    return {
        "modalities": used,
        "emotions": draw(label_sets()),
        "open_emotions": draw(words),
        "reasoning": draw(text),
        "clues": {kind: draw(words) for kind in kinds if draw(st.booleans())},
    }


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    start = draw(seconds)
    return Segment(start, start + draw(seconds), **draw(findings()))


people = st.builds(
    Person,
    track=st.integers(0, 9),
    main=st.booleans(),
    box=st.tuples(numbers, numbers, numbers, numbers),
    box_time=seconds,
    visible_seconds=seconds,
    speaking=st.none() | st.floats(0, 1),
    expression=label_sets(),
)
names = st.text(string.ascii_letters + "_", min_size=1, max_size=12)
face_samples = st.builds(
    FaceSample, seconds, st.integers(0, 3), st.dictionaries(names, st.floats(-90, 90), max_size=4)
)
voice_samples = st.builds(VoiceSample, seconds, st.none() | st.floats(50, 600), st.floats(-90, 0))
signals = st.builds(
    Signals,
    st.lists(face_samples, max_size=6).map(tuple),
    st.lists(voice_samples, max_size=6).map(tuple),
)
settings = st.dictionaries(
    names, st.none() | st.booleans() | st.integers() | numbers | text | words, max_size=4
)


@st.composite
def analyses(draw: st.DrawFn) -> Analysis:
    start = draw(seconds)
    end = start + draw(seconds)
    question = draw(st.none() | text)
    return Analysis(
        clip=ClipReference(draw(text), "0" * 64, start, end, end + draw(seconds)),
        **draw(findings()),
        people=draw(st.lists(people, max_size=3).map(tuple)),
        segments=draw(st.lists(segments(), max_size=3).map(tuple)),
        signals=draw(signals),
        question=question,
        answer=None if question is None else draw(st.none() | text),
        model=ModelReference(
            draw(text), draw(text), draw(st.dictionaries(names, text, max_size=2))
        ),
        settings=draw(settings),
        warnings=draw(words),
    )


def full_analysis(path: str = "clips/smile.mp4") -> Analysis:
    """One Analysis in which every field holds something."""
    lines = (TextLine(0.5, 1.7, "Das ist ja"), TextLine(1.9, 3.0, "unglaublich!"))
    used = Modalities(
        VideoUse(True, 8),
        FaceUse(True, 1, 8),
        AudioUse(True, 4.0),
        TextUse(True, "transcript", "Das ist ja unglaublich!", "de", "That is incredible!", lines),
    )
    emotions = (Emotion("joy", 0.625), Emotion("surprise", 0.25), Emotion("neutral", 0.125))
    clues = {
        "face": ("mouth corners raised", "brows raised"),
        "voice": ("pitch rises",),
        "scene": ("a bright room",),
        "words": ("“incredible”",),
    }
    without_voice = dataclasses.replace(used, audio=AudioUse(False, reason="silent"))
    parts = (
        Segment(0.0, 2.0, used, emotions, ("delighted",), "A smile.", clues),
        Segment(2.0, 4.0, without_voice, emotions, ("calm",), "Still.", {"face": ("calm brow",)}),
    )
    face = tuple(
        FaceSample(i / 5, 0, {"mouthSmileLeft": i / 20, "mouthSmileRight": i / 20, "yaw": 1.0 * i})
        for i in range(20)
    )
    voice = tuple(
        VoiceSample(i / 10, None if i % 7 == 0 else 200.0 + i, -30.0 - i) for i in range(40)
    )
    return Analysis(
        clip=ClipReference(path, "ab" * 32, 0.0, 4.0, 4.0),
        modalities=used,
        emotions=emotions,
        open_emotions=("delighted", "amused"),
        reasoning="The mouth corners rise while the voice goes up.",
        clues=clues,
        people=(Person(0, True, (1.0, 2.0, 30.0, 40.0), 1.0, 3.9, 0.7, (Emotion("happy", 1.0),)),),
        segments=parts,
        signals=Signals(face, voice),
        question="Is it sincere?",
        answer="It is perceived as sincere.",
        model=ModelReference("omni-emotion-small", "0.1.0", {"text": "cd" * 32}),
        settings={"frames": 8, "labels": ("joy", "surprise", "neutral"), "seed": None},
        warnings=("The face is small.",),
    )


def bare_analysis(path: str = "voice.wav") -> Analysis:
    """One Analysis with the required fields only, nothing used."""
    used = Modalities(
        VideoUse(False, reason="the file holds no pictures"),
        FaceUse(False, reason="the file holds no pictures"),
        AudioUse(False, reason="digitally silent"),
        TextUse(False, reason="no voice to transcribe"),
    )
    return Analysis(
        clip=ClipReference(path, "0" * 64, 0.0, 0.0, 0.0),
        modalities=used,
        model=ModelReference("omni-emotion-small", "0.1.0"),
    )
