"""The check for claims of absent streams, on results written by hand."""

from dataclasses import replace

import pytest

from openaffect.evaluation.claims import absent_streams, false_claims
from openaffect.evaluation.tables import claims_table
from openaffect.results.analysis import (
    Analysis,
    AudioUse,
    ClipReference,
    FaceUse,
    Modalities,
    ModelReference,
    TextUse,
    VideoUse,
)

CLIP = ClipReference("clip.mp4", "0" * 64, 0.0, 2.0, 2.0)
MODEL = ModelReference("omni-emotion-small", "0.1.0")


def given(*streams: str) -> Modalities:
    return Modalities(
        VideoUse(True, 8) if "scene" in streams else VideoUse(False, reason="none"),
        FaceUse(True, 1, 8) if "face" in streams else FaceUse(False, reason="none"),
        AudioUse(True, 2.0) if "voice" in streams else AudioUse(False, reason="none"),
        TextUse(True, "subtitle", "Hello.")
        if "words" in streams
        else TextUse(False, reason="none"),
    )


def analysis(streams: tuple[str, ...], reasoning: str = "", **fields) -> Analysis:
    return Analysis(
        clip=CLIP, modalities=given(*streams), reasoning=reasoning, model=MODEL, **fields
    )


@pytest.mark.parametrize(
    ("streams", "reasoning", "claimed"),
    [
        (
            ("voice",),
            "The expression is perceived as angry. Voice: a loud voice, fast speech.",
            set(),
        ),
        (("voice",), "A broad smile and a loud voice.", {"face"}),
        (("voice",), "Brows drawn down in a dark room.", {"face", "scene"}),
        (("face", "scene"), "Raised brows against a bright background.", set()),
        (("face", "scene"), "Raised brows; she speaks softly.", {"voice"}),
        (("face", "scene"), "The sentence is a complaint.", {"words"}),
        (("voice", "words"), "The words complain, the pitch is high.", set()),
        (("words",), "Words: a complaint, told in a trembling voice.", {"voice"}),
        (("voice",), "There is no visible face, but a loud voice.", set()),
        (("voice",), "Perceived as facetious and surprised.", set()),
        (("face", "scene"), "", set()),
    ],
)
def test_claims_of_absent_streams(streams, reasoning, claimed):
    found = false_claims(analysis(streams, reasoning))
    assert {claim.stream for claim in found} == claimed
    assert all(claim.place == "reasoning" for claim in found)


def test_open_words_are_read_too():
    found = false_claims(analysis(("face",), open_emotions=("happy", "smiling", "loud")))
    assert [(claim.stream, claim.text) for claim in found] == [("voice", "loud")]


def test_absent_streams_follow_what_was_used():
    assert absent_streams(analysis(("voice",))) == ("face", "scene", "words")
    assert absent_streams(analysis(("face",))) == ("voice", "words")
    assert absent_streams(analysis(("face", "scene", "voice", "words"))) == ()


def test_a_whole_clip_may_speak_of_everything():
    every = ("face", "scene", "voice", "words")
    told = "A smile, a loud voice, a dark room, and words of thanks."
    assert false_claims(analysis(every, told)) == ()
    assert false_claims(replace(analysis(every, told), open_emotions=("happy",))) == ()


def test_table_counts_only_results_that_lack_something():
    rows = [
        {"clip": "a", "condition": "whole", "absent": [], "claims": []},
        {"clip": "a", "condition": "voice only", "absent": ["face"], "claims": []},
        {
            "clip": "b",
            "condition": "voice only",
            "absent": ["face"],
            "claims": [["face", "reasoning", "smile"]],
        },
    ]
    table = claims_table(rows, unreadable=0)
    assert "| whole | 1 | 0 | |" in table
    assert "| voice only | 2 | 2 | 50.0% |" in table
    assert "b (voice only): reasoning claims face: smile" in table
