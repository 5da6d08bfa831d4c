"""Clues find the moments at which their courses stand out."""

import dataclasses
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openaffect.results.analysis import (
    Analysis,
    AudioUse,
    ClipReference,
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
from openaffect.serving.moments import clue_moments, joined

MODALITIES = Modalities(
    VideoUse(True, 8),
    FaceUse(True, 1, 8),
    AudioUse(True, 8.0),
    TextUse(True, "transcript", "Oh no.", lines=(TextLine(3.0, 3.8, "Oh no."),)),
)


def found(clues: dict, smiles: list[float], energies: list[float]) -> Analysis:
    """Eight seconds with a smile and a level a second; another face smiles all the time."""
    faces = [
        FaceSample(n + 0.5, track, {"mouthSmileLeft": s, "mouthSmileRight": s})
        for n, smile in enumerate(smiles)
        for track, s in ((1, smile), (2, 0.9))
    ]
    voice = [
        VoiceSample(n + 0.5, 200.0 if energy > -60 else None, energy)
        for n, energy in enumerate(energies)
    ]
    box = (0.0, 0.0, 10.0, 10.0)
    people = tuple(Person(n, n == 1, box, 0.5, 8.0, None, ()) for n in (1, 2))
    return Analysis(
        clip=ClipReference("a.mp4", "0" * 64, 0.0, 8.0, 8.0),
        modalities=MODALITIES,
        clues=clues,
        people=people,
        signals=Signals(tuple(faces), tuple(voice)),
        model=ModelReference("m", "0", {}),
    )


def spans(analysis: Analysis) -> dict[str, list[list[float]]]:
    return {moment["clue"]: moment["spans"] for moment in clue_moments(analysis)}


def test_clues_lie_where_their_courses_stand_out() -> None:
    smiles = [0.0, 0.1, 0.7, 0.8, 0.1, 0.0, 0.4, 0.0]
    energies = [-30.0, -80.0, -80.0, -30.0, -10.0, -12.0, -31.0, -32.0]
    clues = {
        "face": ("a broad smile", "looks happy"),
        "voice": ("a loud voice", "long pauses", "fast speech"),
        "scene": ("one person",),
        "words": ("a reproach",),
    }
    assert spans(found(clues, smiles, energies)) == {
        "a broad smile": [[2.0, 4.0], [6.0, 7.0]],
        "a loud voice": [[4.0, 6.0]],
        "long pauses": [[1.0, 3.0]],
        "fast speech": [[0.0, 1.0], [3.0, 8.0]],
        "a reproach": [[3.0, 3.8]],
    }


def test_a_weak_action_lies_where_it_is_strongest() -> None:
    analysis = found({"face": ("a slight smile",)}, [0.0, 0.1, 0.2, 0.1], [])
    assert spans(analysis) == {"a slight smile": [[2.0, 3.0]]}


def test_of_a_long_clip_the_segments_tell() -> None:
    analysis = found({"voice": ("a loud voice", "rising pitch")}, [], [-30.0])

    def segment(start: float, *clues: str) -> Segment:
        return Segment(start, start + 2, MODALITIES, (), (), "", {"voice": clues})

    parts = (segment(0, "a loud voice"), segment(2, "a loud voice"), segment(4), segment(6, "x"))
    long = dataclasses.replace(analysis, segments=parts)
    assert spans(long) == {"a loud voice": [[0.0, 4.0]]}


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 5))))
def test_joined_spans_are_in_order_apart_and_cover_the_given(given_spans) -> None:
    given_spans = [(start, start + length) for start, length in given_spans]
    result = joined(given_spans)
    assert all(a[1] < b[0] for a, b in pairwise(result))
    for start, end in given_spans:
        assert any(a <= start + 0.001 and end - 0.001 <= b for a, b in result)
