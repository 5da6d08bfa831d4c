"""The manifest keeps rows exactly and refuses what is none."""

import json
import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openaffect.corpora.manifest import (
    BACKGROUNDS,
    LABELS,
    LIGHTS,
    NEEDED,
    NULLABLE,
    SPLITS,
    Row,
    Scene,
    read_manifest,
    row_from_json,
    row_to_json,
    write_manifest,
)
from openaffect.errors import UsageError

text = st.text(max_size=40)
label = st.sampled_from(LABELS) | st.none()
numbers = st.dictionaries(text, st.floats(allow_nan=False, allow_infinity=False), max_size=4)
names = st.text(string.ascii_letters + string.digits + "-_. ", min_size=1, max_size=12)
rows = st.builds(
    Row,
    id=st.uuids().map(str),
    source=names,
    split=st.sampled_from(SPLITS),
    media=st.none() | st.lists(names, min_size=1, max_size=3).map("/".join),
    speaker=st.none() | text,
    language=st.none() | st.sampled_from(("en", "de")),
    words=st.none() | text,
    label=label,
    open_labels=st.lists(text, max_size=4).map(tuple),
    face_label=label,
    voice_label=label,
    words_label=label,
    action_units=numbers,
    prosody=numbers,
    scene=st.none()
    | st.builds(
        Scene,
        light=st.sampled_from(LIGHTS),
        background=st.sampled_from(BACKGROUNDS),
        people=st.integers(0, 5),
        face_visible=st.booleans(),
    ),
    licence=text,
)


@given(rows)
def test_a_row_survives_its_line(row: Row) -> None:
    line = row_to_json(row)
    assert "\n" not in line
    assert row_from_json(line) == row


@settings(max_examples=30)
@given(st.lists(rows, max_size=6, unique_by=lambda r: r.id))
def test_a_manifest_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, many: list[Row]
) -> None:
    path = tmp_path_factory.mktemp("manifest") / "deep" / "manifest.jsonl"
    assert write_manifest(many, path) == len(many)
    assert read_manifest(path) == tuple(many)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def _row(**changes: object) -> Row:
    plain = Row("a", "synthetic", "train", "clips/a.mp4", None, None, None, "happy", ("glad",))
    return replace(plain, **changes)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest([_row()], path)
    with pytest.raises(UsageError, match="two rows"):
        write_manifest([_row(id="b"), _row(id="b")], path)
    assert read_manifest(path) == (_row(),)


@pytest.mark.parametrize("media", ["/home/a.mp4", "C:/a.mp4", "clips\\a.mp4"])
def test_absolute_media_is_refused(media: str) -> None:
    with pytest.raises(UsageError, match="relative"):
        _row(media=media)


@pytest.mark.parametrize(
    ("field", "value"), [("split", "dev"), ("label", "joyous"), ("voice_label", "x")]
)
def test_unknown_values_are_refused(field: str, value: str) -> None:
    with pytest.raises(UsageError, match=value):
        _row(**{field: value})


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(row_to_json(_row()) + "\n\n{}\n")
    with pytest.raises(UsageError, match="line 3"):
        read_manifest(path)
    with pytest.raises(UsageError, match=r"unknown field 'colour'; a row has id, .*, told$"):
        row_from_json('{"colour": 1}')
    with pytest.raises(UsageError, match="no object in braces"):
        row_from_json('["colour"]')
    with pytest.raises(UsageError, match="a list of words, not 'happy'"):
        row_from_json(json.dumps(json.loads(row_to_json(_row())) | {"open_labels": "happy"}))
    with pytest.raises(UsageError, match=r"no manifest .*`openaffect data build`.*data synth`"):
        read_manifest(tmp_path / "other.jsonl")


@pytest.mark.parametrize("name", list(json.loads(row_to_json(_row()))))
def test_a_missing_field_is_named_unless_it_may_be_left_out(name: str) -> None:
    values = json.loads(row_to_json(_row()))
    del values[name]
    if name in NEEDED:
        with pytest.raises(UsageError, match=rf"it lacks {name}; null may stand for media, spe"):
            row_from_json(json.dumps(values))
    else:
        assert row_from_json(json.dumps(values)) == _row()
    assert row_from_json(row_to_json(_row(**dict.fromkeys(NULLABLE)))).label is None


def test_two_rows_of_one_id_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(f"{row_to_json(_row())}\n\n{row_to_json(_row(media='clips/b.mp4'))}\n")
    with pytest.raises(UsageError, match=r"line 3: an earlier row is called 'a', too"):
        read_manifest(path)
