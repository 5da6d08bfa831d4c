"""Intake tables, copies, class balance and leaks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from annotation_examples import EXAMPLE

from openaffect.annotation.intake import pristine, read_intake
from openaffect.annotation.rows import write_corpus
from openaffect.annotation.sample import Annotation, Reason, Sample
from openaffect.annotation.selection import SelectionSettings, is_copy, left_out, select
from openaffect.annotation.steps.fingerprint import hexadecimal, picture_bits, sound_bits
from openaffect.corpora.known_clips import clip_names, known_clips
from openaffect.corpora.manifest import CORE_LABELS, Row, write_manifest
from openaffect.errors import UsageError


def built(name: str, label: str = "happy", **changes: object) -> Sample:
    given = {"clip": f"{name}.mp4", "sha256": name.encode().hex(), "signals": {}}
    return dataclasses.replace(EXAMPLE, id=name, label=label, **{**given, **changes})


def test_rare_labels_stay_and_common_ones_are_thinned(tmp_path: Path) -> None:
    corpus = [built(f"h{k}") for k in range(9)] + [built("d", "doubt"), built("f", "fear")]
    settings = SelectionSettings(most=3)
    reasons = select(corpus, settings, tmp_path)
    assert len(reasons) == 6 and {reason.rule for (reason,) in reasons.values()} == {"balance"}
    kept = [s.id for s in left_out(corpus, reasons) if s.status != "rejected"]
    assert {"d", "f"} < set(kept) and len(kept) == 5
    grown = [*corpus, *(built(f"g{k}") for k in range(3))]
    after = select(grown, settings, tmp_path)
    assert set(reasons) <= set(after)  # what was left out of the smaller corpus stays out


def test_copies_are_found_by_content_and_by_looks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bits = rng.random(192) > 0.5
    near, far = bits.copy(), rng.random(192) > 0.5
    near[rng.choice(192, 8, replace=False)] ^= True

    def print_of(pictures: np.ndarray, seconds: float = 3.0, sound: str = "0f" * 8):
        return {
            "fingerprint": {
                "seconds": seconds,
                "pictures": hexadecimal(pictures),
                "sound": sound,
            }
        }

    corpus = [
        built("a", signals=print_of(bits)),
        built("a-again", sha256=built("a").sha256),
        built("a-smaller", signals=print_of(near)),
        built("b", signals=print_of(far)),
        built("same-room-later", signals=print_of(near, sound="f0" * 8)),
        built("longer", signals=print_of(near, seconds=4.0)),
        dataclasses.replace(
            built("gone", signals=print_of(bits)), status="rejected", reasons=(Reason("x", "y"),)
        ),
    ]
    reasons = select(corpus, SelectionSettings(), tmp_path)
    assert {name: reason.text for name, (reason,) in reasons.items()} == {
        "a-again": "the same file as a",
        "a-smaller": "looks and sounds like a",
    }
    assert not select(corpus, SelectionSettings(duplicates=False), tmp_path)
    assert not is_copy({}, {})


def test_fingerprints_survive_scaling_and_noise_and_tell_pictures_apart() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
    picture = np.kron(coarse, np.ones((40, 40, 1), np.uint8))
    noisy = np.clip(picture[::2, ::2] + rng.normal(0, 4, (120, 120, 3)), 0, 255).astype(np.uint8)
    assert (picture_bits(picture) ^ picture_bits(noisy)).sum() <= 6
    other = np.kron(coarse[::-1], np.ones((40, 40, 1), np.uint8))
    assert (picture_bits(picture) ^ picture_bits(other)).sum() > 12
    sound = rng.normal(0, 0.1, 48000).astype(np.float32) * np.repeat(rng.random(48), 1000)
    sound = sound.astype(np.float32)
    loud, soft = sound_bits(sound), sound_bits(sound * np.float32(0.5))
    assert loud is not None and soft is not None and (loud ^ soft).sum() <= 3
    assert sound_bits(sound[:10_000]) is None  # too short to be told from another


def test_copies_of_sounds_are_found_whatever_second_they_end_in(tmp_path: Path) -> None:
    def heard(name: str, seconds: float, sound: str = "0f" * 8) -> Sample:
        return built(name, signals={"fingerprint": {"seconds": seconds, "sound": sound}})

    short = [built(f"s{k}", signals={"fingerprint": {"seconds": 0.5}}) for k in range(2)]
    corpus = [heard("a", 1.49), heard("b", 1.51), heard("c", 1.9), heard("d", 1.5, "f0" * 8)]
    assert set(select([*corpus, *short], SelectionSettings(), tmp_path)) == {"b"}


def test_clips_of_a_benchmark_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "x.mp4").write_bytes(b"a test clip")
    row = Row("x", "dfew", "test", "x.mp4", None, None, None, "sad", ("sad",))
    write_manifest([row], tmp_path / "bench" / "test.jsonl")
    (tmp_path / "list_mer.txt").write_text("faces/sample_1 33 sad -10\n00025 9 fear\n", "utf-8")
    from openaffect.media.digest import file_sha256

    for name, content in (("renamed", b"a test clip"), ("mine", b"my own clip")):
        (tmp_path / f"{name}.mp4").write_bytes(content)
    (tmp_path / "sample_1.mp4").write_bytes(b"!")
    (tmp_path / "00025.mp4").write_bytes(b"?")
    names = ("renamed", "mine", "sample_1", "00025")
    corpus = [built(n, sha256=file_sha256(tmp_path / f"{n}.mp4"), source="own") for n in names]
    against = (tmp_path / "bench" / "test.jsonl", tmp_path / "list_mer.txt")
    reasons = select(corpus, SelectionSettings(against=against), tmp_path)
    assert {name: reason.text for name, (reason,) in reasons.items()} == {
        "renamed": "test.jsonl has a clip of the same content",
        "sample_1": "list_mer.txt names it",
    }
    with pytest.raises(UsageError, match="nowhere"):
        select(corpus, SelectionSettings(against=(tmp_path / "nowhere.txt",)), tmp_path)


def test_names_of_a_benchmark_that_others_use_too_leave_nothing_out(tmp_path: Path) -> None:
    from openaffect.media.digest import file_sha256

    contents = {"test/dia0_utt0": b"tested", "train/dia0_utt0": b"learnt", "train/copy": b"tested"}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.mp4").write_bytes(content)
    corpus = [
        built(
            name,
            clip=f"train/{name}.mp4",
            sha256=file_sha256(tmp_path / f"train/{name}.mp4"),
            source="meld",
        )
        for name in ("dia0_utt0", "copy")
    ]
    row = Row("dia0_utt0", "meld", "test", "test/dia0_utt0.mp4", *[None] * 3, "sad", ("sad",))
    write_manifest([row], tmp_path / "test.jsonl")
    (tmp_path / "paths.txt").write_text("test/dia0_utt0.mp4\n" + "x" * 999 + "/a.mp4\n")
    (tmp_path / "names.txt").write_text("dia0_utt0.mp4\n")

    def told(against: str) -> dict[str, str]:
        settings = SelectionSettings(against=(tmp_path / against,))
        found = select(corpus, settings, tmp_path)
        return {name: reason.text for name, (reason,) in found.items()}

    assert told("test.jsonl") == {"copy": "test.jsonl has a clip of the same content"}
    assert told("paths.txt") == {"copy": "paths.txt has a clip of the same content"}
    assert told("names.txt") == {"dia0_utt0": "names.txt names it"}  # nothing else is known


def test_clips_of_digits_are_looked_for_with_their_folder(tmp_path: Path) -> None:
    (tmp_path / "mosi.txt").write_text("one/3.mp4\n00025.mp4\n")
    known = known_clips(tmp_path / "mosi.txt")
    asked = (("one_3", "Raw/one/3.mp4"), ("two_3", "Raw/two/3.mp4"), ("00025", "x/00025.mp4"))
    found = [known.names_it(clip_names(id, Path(path)), "mosi") for id, path in asked]
    assert found == [True, False, True]
    assert not known.names_it(clip_names("one_3", Path("Raw/one/3.mp4")), "another")


def test_a_list_names_clips_of_any_ending_and_with_blanks(tmp_path: Path) -> None:
    lines = (
        *("clip1.avi", "faces/clip3.wav 33 sad", "clip4.MP4,sad", "D:\\x\\clip5.mkv"),
        *(
            "my clip.mov 12 fear",
            '"the other one.mp4",happy',
            "no ending,sad",
            "plain\t7",
            "take.2",
        ),
    )
    (tmp_path / "bench.txt").write_text("\n".join([*lines, "", "00031.mp4"]) + "\n", "utf-8")
    known = known_clips(tmp_path / "bench.txt")
    assert known.count == 10
    for name in ("clip1", "clip1.avi", "clip3", "clip4", "clip4.mp4", "clip5", "my clip"):
        assert known.names_it([name], "own"), name
    for name in ("the other one", "no ending", "plain", "plain.wav", "take.2"):
        assert known.names_it([name], "own"), name
    for name in ("clip2", "clip", "sad", "take", "00031", "00031.mp4"):
        assert not known.names_it([name], "own"), name


def test_a_table_says_what_is_known_of_clips(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b.wav", "c.mp4"):
        (folder / name).write_bytes(b"x")
    (folder / "b.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nGood morning.\n", "utf-8")
    bare = read_intake(folder, tmp_path / "out")
    assert [s.id for s in bare] == ["a", "b", "c"] and bare[1].subtitle == "Good morning."
    assert {s.consent for s in bare} == {"unknown"} and bare[0].clip == "../in/a.mp4"
    (folder / "clips.csv").write_text(
        "clip,consent,label,perceived,subtitle_en,speaker,split,licence\n"
        "a.mp4,yes,happiness,glad|warm,Hello.,s1,test,CC0\n"
        "b.wav,no,,,,s2,,\n",
        "utf-8",
    )
    a, b = read_intake(folder, tmp_path / "out")
    assert (a.consent, a.given_label, a.open_labels) == ("given", "happiness", ("glad", "warm"))
    assert (a.subtitle, a.split, a.licence) == ("Hello.", "test", "CC0")
    assert (b.consent, b.subtitle) == ("refused", "Good morning.")


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("name\nx\n", "no column clip"),
        ("clip,consent\na.mp4,perhaps\n", "line 2: consent 'perhaps'"),
        ("clip,split\na.mp4,dev\n", "split 'dev'"),
        ("clip\nmissing.mp4\n", "is not there"),
        ("clip\n/etc/passwd\n", "relative to the table"),
        ("clip,id\na.mp4,x\na.mp4,x\n", "two clips are called 'x'"),
    ],
)
def test_a_wrong_table_is_told_in_one_line(tmp_path: Path, table: str, told: str) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "clips.csv").write_text(table, "utf-8")
    with pytest.raises(UsageError, match=told):
        read_intake(tmp_path, tmp_path / "out")


def test_manifests_are_taken_in_again(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "clip-1.mp4").write_bytes(b"x")
    corpus = tmp_path / "corpus"
    recognised = EXAMPLE.annotated(Annotation(kind="transcript", text="x", made_by="whisper-base"))
    write_corpus([recognised], corpus)
    (again,) = read_intake(corpus, tmp_path / "out")
    assert again == dataclasses.replace(pristine(recognised), clip="../clips/clip-1.mp4")
    assert again.subtitle is None and again.status == "pending" and not again.annotations
    rows = tmp_path / "clips" / "rows.jsonl"
    row = Row("r", "synthetic", "train", "clip-1.mp4", "s", "en", "Hi.", CORE_LABELS[0], ("cross",))
    text = Row("t", "synthetic", "train", None, None, "en", "Hi.", None, ("cross",))
    write_manifest([row, text], rows)
    (one,) = read_intake(rows, tmp_path / "out")
    assert (one.consent, one.given_label, one.subtitle) == ("not_needed", "angry", "Hi.")
