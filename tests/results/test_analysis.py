import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from analysis_examples import analyses, bare_analysis, full_analysis
from hypothesis import HealthCheck, given, settings

from openaffect.results.analysis import (
    Analysis,
    AnalysisError,
    AudioUse,
    Emotion,
    TextUse,
)
from openaffect.results.schema import (
    TABLES_MARK,
    field_table,
    published_schema,
    schema_document,
    with_tables,
)

REPOSITORY = Path(__file__).parents[2]
relaxed = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@relaxed
@given(analyses())
def test_json_is_lossless(analysis: Analysis) -> None:
    assert Analysis.from_json(analysis.to_json()) == analysis
    assert Analysis.from_json(analysis.to_json(indent=None).encode()) == analysis
    assert Analysis.from_dict(analysis.to_dict()) == analysis


@relaxed
@given(analyses())
def test_every_analysis_fits_the_published_schema(analysis: Analysis) -> None:
    document = json.loads(analysis.to_json())
    jsonschema.Draft202012Validator(published_schema()).validate(document)


def test_published_schema_is_in_step_with_the_records() -> None:
    jsonschema.Draft202012Validator.check_schema(published_schema())
    renew = "run python -m openaffect.results.schema docs/analysis.md"
    assert published_schema() == schema_document(), renew
    described = (REPOSITORY / "docs" / "analysis.md").read_text("utf-8")
    assert TABLES_MARK in described
    assert with_tables(described) == described, renew


def test_json_holds_the_fields_of_the_contract() -> None:
    document = full_analysis().to_dict()
    assert document["schema"] == "openaffect.analysis/1"
    assert set(document["clip"]) == {"path", "sha256", "start", "end", "duration"}
    assert set(document["modalities"]) == {"video", "face", "audio", "text"}
    assert document["emotions"][0] == {"label": "joy", "probability": 0.625}
    assert document["clues"]["voice"] == ["pitch rises"]
    assert "perceived" in document["notice"]
    assert "AI Act" in document["notice"]


def test_every_field_is_described() -> None:
    for name, field in schema_document()["properties"].items():
        assert field.get("description"), name
    assert field_table().count("### ") == len(schema_document()["$defs"]) + 1


def _changed(**changes: object) -> dict:
    return {**full_analysis().to_dict(), **changes}


def _nested(*path: str, value: object) -> dict:
    document = full_analysis().to_dict()
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (_changed(schema="openaffect.analysis/2"), "openaffect.analysis/2"),
        (_changed(schema=None), "schema is None"),
        (["a list"], "schema is None"),
        (_changed(mood="fine"), "mood"),
        (_nested("clip", "colour", value=1), "clip.colour"),
        (_nested("clip", "start", value="0"), "clip.start"),
        (_nested("modalities", "video", "used", value="yes"), "modalities.video.used"),
        (_nested("modalities", "video", "frames", value=2.5), "modalities.video.frames"),
        (_nested("modalities", "audio", "reason", value="silent"), "audio"),
        (_nested("clues", "smell", value=[]), "clues.smell"),
        (_changed(emotions=[{"label": "joy", "probability": 0.4}]), "sum to 0.4"),
        (_changed(answer="yes", question=None), "question"),
        ({k: v for k, v in full_analysis().to_dict().items() if k != "clip"}, "clip"),
        (_nested("clip", "start", value=float("nan")), "not an Analysis"),
    ],
)
def test_anything_else_is_refused_in_one_line(document: object, told: str) -> None:
    with pytest.raises(AnalysisError, match=r"^not an Analysis: ") as caught:
        Analysis.from_dict(document)
    message = str(caught.value)
    assert told in message
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize("text", ["", "{", "nothing", b"\xff\xfe\x00", "[" * 100_000, "NaN"])
def test_text_that_is_no_document_is_refused(text: str | bytes) -> None:
    with pytest.raises(AnalysisError, match=r"^not an Analysis: .*$"):
        Analysis.from_json(text)


def test_clues_of_a_modality_that_was_not_used_cannot_exist() -> None:
    analysis = full_analysis()
    used = dataclasses.replace(analysis.modalities, audio=AudioUse(False, reason="silent"))
    with pytest.raises(ValueError, match="voice"):
        dataclasses.replace(analysis, modalities=used)


def test_what_is_not_used_has_a_reason() -> None:
    analysis = bare_analysis()
    with pytest.raises(ValueError, match="text: a reason"):
        used = dataclasses.replace(analysis.modalities, text=TextUse(False))
        dataclasses.replace(analysis, modalities=used)


def test_top_is_the_most_likely() -> None:
    analysis = full_analysis()
    assert analysis.top == Emotion("joy", 0.625)
    turned = dataclasses.replace(analysis, emotions=analysis.emotions[::-1])
    assert turned.top == analysis.top
    assert bare_analysis().top is None


def test_characters_that_utf8_cannot_hold_do_not_break_the_document() -> None:
    analysis = bare_analysis("bad\udcff.wav")
    again = Analysis.from_json(analysis.to_json())
    assert again.clip.path == "bad?.wav"
