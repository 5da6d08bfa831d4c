"""Formats of other tools: what is written is read back the same, and the other way round."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from annotation_examples import EXAMPLE, samples, words
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openaffect.annotation.formats import NAMES, convert, format_of
from openaffect.annotation.formats.conversations import answer_of
from openaffect.annotation.sample import Review, Sample, write_samples
from openaffect.errors import UsageError

fast = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
corpora = st.lists(samples(), max_size=4, unique_by=lambda sample: sample.id)
lines = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=20)
tokens = st.from_regex(r"[A-Za-z0-9_]{1,10}", fullmatch=True)


def written(name: str, corpus: list[Sample], path: Path) -> tuple[Sample, ...]:
    format_of(name).write(corpus, path)
    return format_of(name).read(path)


@given(corpora)
@fast
def test_formats_with_room_keep_the_whole_sample(tmp_path: Path, corpus: list[Sample]) -> None:
    told = [sample for sample in corpus if answer_of(sample) is not None]
    assert list(written("messages", corpus, tmp_path / "m.jsonl")) == told
    assert list(written("llava", corpus, tmp_path / "l.json")) == told
    assert list(written("label-studio", corpus, tmp_path / "tasks.json")) == corpus
    assert list(written("samples", corpus, tmp_path / "s.jsonl")) == corpus
    if corpus:
        read = written("datasets", corpus, tmp_path / "hub")
        assert sorted(read, key=lambda s: s.id) == sorted(corpus, key=lambda s: s.id)


entries = st.dictionaries(
    tokens,
    st.fixed_dictionaries(
        {},
        optional={
            "AU_list": st.lists(st.sampled_from(["AU06", "AU12"])),
            "visual_prior_list": st.lists(words),
            "audio_prior_list": st.lists(words),
            "peak_index": st.integers(0, 99).map(str),
            "peak_AU_list": st.lists(words) | words,
            "pseu_emotion": words,
            "caption": words,
            "smp_reason_caption": words,
            "reason_caption": words,
            "text": words,
            "extra": st.none() | st.integers(0, 9),
        },
    ),
    max_size=4,
)


@pytest.mark.parametrize("name", ["merr-coarse", "merr-fine"])
@given(entries)
@fast
def test_merr_files_come_back_as_they_were(
    tmp_path: Path, name: str, content: dict[str, object]
) -> None:
    path = tmp_path / "MERR.json"
    path.write_text(json.dumps(content), "utf-8")
    read = format_of(name).read(path)
    format_of(name).write(read, path)
    assert json.loads(path.read_text("utf-8")) == content


@given(st.lists(st.tuples(tokens, st.integers(0, 999), tokens, st.none() | st.floats(-1, 1))))
@fast
def test_lists_come_back_as_they_were(tmp_path: Path, rows: list[tuple[object, ...]]) -> None:
    text = "".join(" ".join(str(v) for v in row if v is not None) + "\n" for row in rows)
    path = tmp_path / "MERR_coarse_grained.txt"
    path.write_text(text, "utf-8")
    format_of("ncev").write(format_of("ncev").read(path), path)
    assert path.read_text("utf-8") == text


@given(st.lists(st.tuples(tokens, lines, lines), max_size=4))
@fast
def test_transcriptions_come_back_as_they_were(
    tmp_path: Path, rows: list[tuple[str, str, str]]
) -> None:
    import csv

    path = tmp_path / "transcription_en_all.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("name", "chinese", "sentence"), *rows])
    before = path.read_bytes()
    read = format_of("transcription").read(path)
    assert [sample.subtitle or "" for sample in read] == [row[2] for row in rows]
    format_of("transcription").write(read, path)
    if rows:
        assert path.read_bytes() == before


turns = st.lists(words, min_size=2, max_size=4)


@given(st.lists(st.tuples(tokens, turns), min_size=1, max_size=3, unique_by=lambda r: r[0]))
@fast
def test_foreign_conversations_come_back_as_they_were(
    tmp_path: Path, rows: list[tuple[str, list[str]]]
) -> None:
    llava = [
        {
            "id": name,
            "video": f"clips/{name}.mp4",
            "conversations": [
                {"from": ("human", "gpt")[k % 2], "value": text} for k, text in enumerate(said)
            ],
            "weight": 2,
        }
        for name, said in rows
    ]
    path = tmp_path / "llava.json"
    path.write_text(json.dumps(llava), "utf-8")
    read = format_of("llava").read(path)
    assert [s.clip for s in read] == [record["video"] for record in llava]
    messages = tmp_path / "messages.jsonl"
    format_of("messages").write(read, messages)
    assert json.loads(messages.read_text("utf-8").split("\n")[0])["videos"] == [llava[0]["video"]]
    format_of("llava").write(read, path)
    again = json.loads(path.read_text("utf-8"))
    assert [{k: v for k, v in r.items() if k != "sample"} for r in again] == [
        {k: v for k, v in r.items() if k != "sample"} for r in llava
    ]


def test_an_edited_conversation_is_not_lost_behind_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "messages.json"
    format_of("messages").write([EXAMPLE], path)
    records = json.loads(path.read_text("utf-8"))
    assert records[0]["messages"][0]["content"].startswith("<video>\nWords: ")
    records[0]["messages"][1]["content"] = "A shy smile."
    path.write_text(json.dumps(records), "utf-8")
    (read,) = format_of("messages").read(path)
    format_of("llava").write([read], path)
    assert json.loads(path.read_text("utf-8"))[0]["conversations"][1]["value"] == "A shy smile."


def test_mer_factory_folders_come_back_as_they_were(tmp_path: Path) -> None:
    content = {
        "source_path": "/data/videos/clip_7.mp4",
        "audio_path": "/data/out/clip_7.wav",
        "chronological_emotion_peaks": ["Peak at 2.88s: angry (slight), contempt (slight)"],
        "overall_peak_frame_info": {
            "frame_number": 72,
            "timestamp": 2.88,
            "top_aus_intensities": {"AU04_r": 2.5},
        },
        "coarse_descriptions_at_peak": {
            "visual_expression": "Brow lowerer",
            "visual_objective": "A man at a desk.",
            "audio_analysis": "The tone is firm.",
            "video_content": "N/A",
        },
        "final_summary": "He is perceived as angry.",
    }
    file = tmp_path / "in" / "clip_7" / "clip_7_merr_data.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content), "utf-8")
    (sample,) = format_of("mer-factory").read(tmp_path / "in")
    assert (sample.clip, sample.label) == ("clip_7.mp4", "angry")
    assert sample.text("tone") == "The tone is firm."
    format_of("mer-factory").write([sample], tmp_path / "out")
    back = tmp_path / "out" / "clip_7" / "clip_7_merr_data.json"
    assert json.loads(back.read_text("utf-8")) == content
    format_of("mer-factory").write([EXAMPLE], tmp_path / "own")
    (own,) = format_of("mer-factory").read(tmp_path / "own")
    assert own.text("reasoning") == EXAMPLE.text("reasoning")


def peaks(sample: Sample, folder: Path) -> tuple[object, object]:
    """The numbers of the peak's frame that MERR and MER-Factory files give."""
    format_of("merr-coarse").write([sample], folder / "m.json")
    format_of("mer-factory").write([sample], folder / "f")
    (entry,) = json.loads((folder / "m.json").read_text("utf-8")).values()
    made = json.loads((folder / "f" / "clip-1" / "clip-1_merr_data.json").read_text("utf-8"))
    return entry["peak_index"], made["overall_peak_frame_info"].get("frame_number")


def test_a_peak_is_told_by_its_frame_of_the_clip(tmp_path: Path) -> None:
    peak = {"time": 2.88, "index": 3, "action_units": {}}  # the third of few sampled faces
    sample = EXAMPLE.with_signal("peak", peak)
    assert peaks(sample, tmp_path) == ("", None)  # of a clip whose frames nobody counted
    sample = sample.with_signal("faces", {"clip_frames": 100})
    sample = sample.with_signal("fingerprint", {"seconds": 4.0})
    assert peaks(sample, tmp_path) == ("72", 72)
    last = sample.with_signal("peak", {**peak, "time": 4.0})
    assert peaks(last, tmp_path) == ("99", 99)


def test_a_peak_without_a_label_is_told_without_an_emotion(tmp_path: Path) -> None:
    peak = {"time": 2.88, "index": 3, "action_units": {}}
    unlabelled = dataclasses.replace(EXAMPLE, label=None).with_signal("peak", peak)
    (read,) = written("mer-factory", [unlabelled], tmp_path)
    assert read.label is None
    made = json.loads((tmp_path / "clip-1" / "clip-1_merr_data.json").read_text("utf-8"))
    assert "chronological_emotion_peaks" not in made
    assert made["overall_peak_frame_info"]["timestamp"] == 2.88


def test_a_list_names_only_clips_whose_frames_were_counted(tmp_path: Path) -> None:
    unseen = dataclasses.replace(EXAMPLE, label="sad", signals={})
    seen = dataclasses.replace(unseen, id="clip-2").with_signal("faces", {"clip_frames": 100})
    path = tmp_path / "list.txt"
    assert format_of("ncev").write([unseen, seen], path) == 1
    assert path.read_text("utf-8") == "clip-2 100 sad\n"


def test_what_reviewers_corrected_is_what_every_format_holds(tmp_path: Path) -> None:
    review = Review("ann", "edit", text="A shy smile.", labels=("shy",), label="sad")
    accepted = dataclasses.replace(EXAMPLE, reviews=(review,), status="accepted")
    bare = dataclasses.replace(accepted, annotations=())  # the reviewer wrote its only reasoning
    for name in ("merr-fine", "mer-factory"):
        (read,) = written(name, [bare], tmp_path / name)
        assert read.text("reasoning") == "A shy smile."
    with_peak = accepted.with_signal("peak", {"time": 1.0, "index": 3, "action_units": {}})
    with_peak = with_peak.with_signal("faces", {"clip_frames": 100})  # which a list must name
    for name in ("merr-coarse", "merr-fine", "ncev", "mer-factory"):
        (read,) = written(name, [with_peak], tmp_path / f"{name}.own")
        assert read.label == "sad", name
        again = dataclasses.replace(read, reviews=(review,), status="accepted", label="happy")
        (read,) = written(name, [again], tmp_path / f"{name}.again")  # of foreign origin
        assert read.label == "sad", name
        removed = dataclasses.replace(again, reviews=(dataclasses.replace(review, label=""),))
        if name != "ncev":  # which has no place for clips without a label
            (read,) = written(name, [removed], tmp_path / f"{name}.removed")
            assert read.label is None, name
    format_of("datasets").write([accepted], tmp_path / "hub")
    row = json.loads((tmp_path / "hub" / "data" / "train.jsonl").read_text("utf-8"))
    assert (row["label"], row["open_labels"], row["reasoning"]) == ("sad", ["shy"], "A shy smile.")
    (message,) = _records(tmp_path / "m.json", "messages", accepted)
    assert message["messages"][1]["content"] == "A shy smile."


def _records(path: Path, name: str, sample: Sample) -> list[dict[str, Any]]:
    format_of(name).write([sample], path)
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return found


def test_label_studio_annotations_become_reviews(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    format_of("label-studio").write([EXAMPLE], path)
    (task,) = json.loads(path.read_text("utf-8"))
    predicted = task["predictions"][0]["result"]
    changed = json.loads(json.dumps(predicted))
    changed[1]["value"]["text"] = ["A shy smile."]
    task["annotations"] = [
        {"completed_by": 3, "result": predicted, "created_at": "2026-01-01T10:00:00Z"},
        {"completed_by": {"id": 4, "email": "ann@lab"}, "result": changed},
        {"completed_by": 5, "was_cancelled": True, "result": []},
    ]
    path.write_text(json.dumps([task]), "utf-8")
    (sample,) = format_of("label-studio").read(path)
    assert [review.decision for review in sample.reviews] == ["accept", "edit", "reject"]
    assert [review.reviewer for review in sample.reviews] == ["3", "ann@lab", "5"]
    assert sample.reviews[1].text == "A shy smile."
    assert written("label-studio", [sample], path) == (sample,)
    assert (tmp_path / "tasks.xml").read_text("utf-8").startswith("<View>")


@pytest.mark.parametrize(
    ("cancelled", "status", "told"),
    [
        ((True,), "rejected", "rejected by 1: cancelled in Label Studio"),
        ((False, False), "accepted", "accepted by 1 and 2"),
        ((True, False), "built", None),
    ],
)
def test_what_was_said_in_label_studio_decides(
    tmp_path: Path, cancelled: tuple[bool, ...], status: str, told: str | None
) -> None:
    path = tmp_path / "tasks.json"
    format_of("label-studio").write([EXAMPLE], path)
    (task,) = json.loads(path.read_text("utf-8"))
    result = task["predictions"][0]["result"]
    task["annotations"] = [
        {"completed_by": number, "was_cancelled": was, "result": [] if was else result}
        for number, was in enumerate(cancelled, start=1)
    ]
    path.write_text(json.dumps([task]), "utf-8")
    (sample,) = format_of("label-studio").read(path)
    assert sample.status == status
    assert [reason.text for reason in sample.reasons] == ([told] if told else [])


def test_reviews_of_ours_survive_label_studio(tmp_path: Path) -> None:
    review = Review(reviewer="ann", decision="reject", reason="no speech", time="2026-01-01")
    sample = dataclasses.replace(EXAMPLE, reviews=(review,))
    assert written("label-studio", [sample], tmp_path / "t.json") == (sample,)


def test_the_datasets_library_loads_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="an optional dependency")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    other = dataclasses.replace(EXAMPLE, id="clip-2", split="test")
    format_of("datasets").write([EXAMPLE, other], tmp_path / "hub")
    loaded = datasets.load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 1, "test": 1}
    row = loaded["train"][0]
    assert row["open_labels"] == list(EXAMPLE.open_labels)
    assert Sample.from_json(row["sample"]) == EXAMPLE


def test_converting_moves_the_paths_and_leaves_the_rejected(tmp_path: Path) -> None:
    from openaffect.annotation.sample import Reason

    rejected = dataclasses.replace(
        EXAMPLE, id="other", status="rejected", reasons=(Reason("duplicate", "a copy"),)
    )
    write_samples([EXAMPLE, rejected], tmp_path / "corpus" / "samples.jsonl")
    out = tmp_path / "deep" / "er" / "m.json"
    assert convert(tmp_path / "corpus", "samples", out, "messages") == (2, 1)
    (record,) = json.loads(out.read_text("utf-8"))
    assert record["videos"] == ["../../clips/clip-1.mp4"]
    assert convert(tmp_path / "corpus", "samples", out, "messages", everything=True) == (2, 2)


@pytest.mark.parametrize(
    ("name", "out", "clip"),
    [
        ("samples", "corpus.v2", "../deep/clips/clip-1.mp4"),
        ("samples", "some/more.jsonl", "../deep/clips/clip-1.mp4"),
        ("datasets", "hub.v2", "../deep/clips/clip-1.mp4"),
        ("mer-factory", "mer.v2", "../deep/clips/clip-1.mp4"),
        ("messages", "noending", "deep/clips/clip-1.mp4"),
        ("llava", "some/l.json", "../deep/clips/clip-1.mp4"),
    ],
)
def test_clips_are_named_from_where_they_are_written_to(
    tmp_path: Path, name: str, out: str, clip: str
) -> None:
    write_samples([EXAMPLE], tmp_path / "deep" / "corpus" / "samples.jsonl")
    convert(tmp_path / "deep" / "corpus", "samples", tmp_path / out, name)
    files = [tmp_path / out] if (tmp_path / out).is_file() else (tmp_path / out).rglob("*.json*")
    assert f'"{clip}"' in "".join(file.read_text("utf-8") for file in files)
    wrong = "datasets" if (tmp_path / out).is_file() else "messages"
    with pytest.raises(UsageError, match="name another"):
        convert(tmp_path / "deep" / "corpus", "samples", tmp_path / out, wrong)


@pytest.mark.parametrize(("old", "new"), [("llava", "messages"), ("messages", "llava")])
def test_clips_of_foreign_conversations_are_rebased(tmp_path: Path, old: str, new: str) -> None:
    said = {"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}
    record = {"id": "a", "videos": ["clips/a.mp4"], "weight": 2, **said}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "first.json").write_text(json.dumps([record]), "utf-8")
    for source, was, out, name in (
        ("in/first.json", "messages", "x/m.json", old),
        ("x/m.json", old, "x/y/l.json", new),
        ("x/y/l.json", new, "x/y/again.json", new),
    ):
        convert(tmp_path / source, was, tmp_path / out, name)
    (last,) = json.loads((tmp_path / "x" / "y" / "again.json").read_text("utf-8"))
    named = {key: last.get(key) for key in ("video", "videos") if key in last}
    rebased = "../../in/clips/a.mp4"
    assert named == ({"videos": [rebased]} if new == "messages" else {"video": rebased})
    assert last["weight"] == 2
    record["audios"] = ["clips/a.wav"]
    (tmp_path / "in" / "first.json").write_text(json.dumps([record]), "utf-8")
    with pytest.raises(UsageError, match="record 1: names other than one clip"):
        format_of(old).read(tmp_path / "in" / "first.json")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"id": 1}]', "\x00\xff"])
def test_what_is_not_of_a_format_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content.encode("latin-1"))
    try:
        read = format_of(name).read(path)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert read == ()


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UsageError, match="no format is called 'word'"):
        format_of("word")
