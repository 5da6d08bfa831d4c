"""Readers of published corpora, on small folders made here and on the real ones where at hand."""

from pathlib import Path

import pytest
from PIL import Image

from openaffect.corpora.clips_table import read_clips_table
from openaffect.corpora.emodb import read_emodb
from openaffect.corpora.face_folder import read_face_folder
from openaffect.corpora.manifest import media_path
from openaffect.corpora.ravdess import read_ravdess
from openaffect.corpora.speaker_splits import SpeakerSplit
from openaffect.errors import UsageError
from openaffect.prompts.vocabulary import INTENSITY_WORDS, label_of_words, open_words

SPLIT = SpeakerSplit(train=("03", "08"), test=("11",), validation="08")


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_emodb_names_give_rows(tmp_path: Path) -> None:
    _touch(tmp_path, "wav/03a01Fa.wav", "wav/08b10Lc.wav", "wav/11a05Wb.wav", "wav/16a05Wb.wav")
    rows = {row.id: row for row in read_emodb(tmp_path, SPLIT)}
    assert {r.split for r in rows.values()} == {"train", "validation", "test"}
    assert "emodb-16a05Wb" not in rows
    assert rows["emodb-03a01Fa"].label == "happy"
    assert rows["emodb-08b10Lc"].label == "bored"
    angry = rows["emodb-11a05Wb"]
    assert (angry.label, angry.voice_label, angry.face_label, angry.language) == (
        "angry",
        "angry",
        None,
        "de",
    )
    place = media_path(angry, tmp_path)
    assert place is not None and place.is_file()


def test_ravdess_names_give_rows(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "Actor_03/03-01-06-02-01-01-03.wav",
        "03-01-02-01-02-01-08.flac",
        "03-01-08-01-01-02-11.flac",
        "03-02-06-01-01-01-03.flac",
        "Actor_03/01-01-06-02-01-01-03.mp4",
        "Actor_03/02-01-06-02-01-01-03.mp4",
        "readme.txt",
    )
    found = read_ravdess(tmp_path, SPLIT)
    rows = {row.speaker: row for row in found}
    assert len(found) == len(rows)  # a video is the same take again, or silent
    assert {s: (r.label, r.split) for s, r in rows.items()} == {
        "ravdess-03": ("fearful", "train"),
        "ravdess-08": ("calm", "validation"),
        "ravdess-11": ("surprised", "test"),
    }
    assert set(rows["ravdess-03"].open_labels) <= set(INTENSITY_WORDS["fearful"][2])
    assert rows["ravdess-08"].words == "Dogs are sitting by the door."


@pytest.mark.parametrize("read", [read_emodb, read_ravdess])
def test_a_missing_folder_or_speaker_is_named(read, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        read(tmp_path / "nowhere", SPLIT)
    named = {read_emodb: "03a01Fa.wav", read_ravdess: "03-01-06-01-02-01-12.wav"}[read]
    told = f"no file of speaker '03' in {tmp_path}, where such files are named like {named}; found"
    with pytest.raises(UsageError, match=f"{told} none"):
        read(tmp_path, SPLIT)
    (tmp_path / named.replace("03a", "08a")).write_bytes(b"")
    with pytest.raises(UsageError, match=f"{told} (08|12)$"):
        read(tmp_path, SPLIT)


def test_speakers_never_cross_splits() -> None:
    with pytest.raises(UsageError, match="for training and for test"):
        SpeakerSplit(train=("03",), test=("03",))
    with pytest.raises(UsageError, match="none of the training speakers"):
        SpeakerSplit(train=("03",), test=("11",), validation="11")


def test_face_folders_give_rows(tmp_path: Path) -> None:
    for name in ("anger/a.jpg", "happy/b.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (48, 48)).save(tmp_path / name)
    rows = read_face_folder(tmp_path, source="faces", licence="test")
    assert [(r.face_label, r.media, r.split) for r in rows] == [
        ("angry", "anger/a.jpg", "test"),
        ("happy", "happy/b.png", "test"),
    ]
    (tmp_path / "bananas").mkdir()
    with pytest.raises(UsageError, match="bananas"):
        read_face_folder(tmp_path, source="faces", licence="test")


def test_a_clips_table_gives_rows(tmp_path: Path) -> None:
    _touch(tmp_path, "one.mp4", "two.mp4")
    table = tmp_path / "clips.csv"
    table.write_text("clip,perceived,subtitle_en\none.mp4,odd|worried,Oh no.\ntwo.mp4,happy,\n")
    one, two = read_clips_table(tmp_path, source="clips", licence="test")
    assert (one.label, one.open_labels, one.words, one.language) == (
        "fearful",
        ("odd", "worried"),
        "Oh no.",
        "en",
    )
    assert (two.label, two.words, two.language) == ("happy", None, None)
    table.write_text("clip,perceived\nthree.mp4,happy\n")
    with pytest.raises(UsageError, match=r"three\.mp4"):
        read_clips_table(tmp_path, source="clips", licence="test")
    table.write_text("clip\none.mp4\n")
    with pytest.raises(UsageError, match="no column 'perceived'"):
        read_clips_table(tmp_path, source="clips", licence="test")


def test_equal_names_in_two_folders_are_two_clips(tmp_path: Path) -> None:
    _touch(tmp_path, "s1/001.mp4", "s2/001.mp4", "s2/v1.2.wav")
    table = tmp_path / "clips.csv"
    named = "clip,perceived\ns1/001.mp4,sad\ns2/001.mp4,happy\ns2/v1.2.wav,happy\n"
    table.write_text(named, encoding="utf-8-sig")
    rows = read_clips_table(tmp_path, source="clips", licence="test")
    assert [row.id for row in rows] == ["clips-s1/001", "clips-s2/001", "clips-s2/v1.2"]
    for wrong, expected in (
        (f"{named}s1/001.mp4,sad\n", "'s1/001' twice"),
        ("clip,perceived\ns1/001.mp4\n", r"row of 's1/001\.mp4' has no 'perceived'"),
    ):
        table.write_text(wrong)
        with pytest.raises(UsageError, match=expected):
            read_clips_table(tmp_path, source="clips", licence="test")
    table.write_bytes("clip,perceived\ns1/001.mp4,gêné\n".encode("latin-1"))
    with pytest.raises(UsageError, match="cannot be read as CSV in UTF-8"):
        read_clips_table(tmp_path, source="clips", licence="test")


def test_open_words_are_fixed_by_the_key_and_fit_the_label() -> None:
    for label, levels in INTENSITY_WORDS.items():
        every = {word for level in levels for word in level}
        for intensity in range(3):
            words = open_words(label, intensity, "some-id")
            assert words == open_words(label, intensity, "some-id")
            assert len(set(words)) == 3 and set(words) <= every
            assert words[0] in levels[intensity]
    assert len({open_words("angry", 1, f"id-{i}") for i in range(40)}) > 10
    assert label_of_words(("nothing known", "livid")) == "angry"
    assert label_of_words(("nothing known",)) is None


def test_the_real_corpora_are_read_whole(shared: Path) -> None:
    emodb = read_emodb(shared / "speech" / "emodb")
    assert len(emodb) == len(list((shared / "speech" / "emodb").glob("*.wav")))
    ravdess = read_ravdess(shared / "speech" / "ravdess")
    assert len(ravdess) == len(list((shared / "speech" / "ravdess").glob("*.flac")))
    for rows in (emodb, ravdess):
        by_split = {
            split: {r.speaker for r in rows if r.split == split}
            for split in ("train", "validation", "test")
        }
        assert all(by_split.values())
        assert not by_split["train"] & (by_split["validation"] | by_split["test"])
