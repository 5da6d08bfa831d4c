"""Training clips in a test set: found by content under another name, and by name."""

import pytest

from openaffect.corpora.manifest import Row, write_manifest
from openaffect.errors import UsageError
from openaffect.evaluation.items import Item
from openaffect.evaluation.leaks import find_leaks, leaks_notice


def row(name: str, media: str | None, source: str = "mine", split: str = "train") -> Row:
    return Row(name, source, split, media, None, None, None, "sad", ("sad",))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "renamed.mp4").write_bytes(b"the same clip")
    (tmp_path / "other.mp4").write_bytes(b"not the same!")
    (tmp_path / "held.mp4").write_bytes(b"evaluation only")
    for name, content in (("one", b"the same clip"), ("two", b"something else")):
        (tmp_path / "test" / f"{name}.mp4").write_bytes(content)
    rows = [
        row("a", "renamed.mp4"),
        row("b", "other.mp4", split="validation"),
        row("c", "held.mp4", split="test"),
        row("two", None),
        row("d", "00025.mp4", source="mafw"),
    ]
    write_manifest(rows, tmp_path / "train.jsonl")
    return tmp_path


def items(folder, *names: str) -> list[Item]:
    return [Item(name, folder / "test" / f"{name}.mp4", "sad") for name in names]


def test_content_and_names(folder):
    found = find_leaks("dfew", items(folder, "one", "two", "00025"), [folder / "train.jsonl"])
    assert (found.rows, found.clips, found.hashed) == (4, 3, 2)
    assert found.same_content == ("one",)
    assert found.same_name == ("two",)  # 00025 of MAFW is another clip than 00025 of DFEW
    assert "Leak: 2 of 3 test clips" in leaks_notice(found)
    again = find_leaks("mafw", items(folder, "00025"), [folder / "train.jsonl"])
    assert again.same_name == ("00025",)


def test_a_clean_set_and_a_missing_manifest(folder):
    (folder / "test" / "c.mp4").write_bytes(b"evaluation only")
    found = find_leaks("dfew", items(folder, "c"), [folder / "train.jsonl"])
    assert not found.same_content and not found.same_name
    assert leaks_notice(found).startswith("No test clip is among 4 training rows of train.jsonl")
    with pytest.raises(UsageError, match=r"none\.jsonl"):
        find_leaks("dfew", items(folder, "c"), [folder / "none.jsonl"])


def put(path, content: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_name_that_two_splits_use_is_no_leak_where_the_files_differ(tmp_path):
    clips = [
        Item(name, put(tmp_path / "test" / f"{name}.mp4", content), "joy")
        for name, content in (("dia0_utt0", b"tested"), ("dia0_utt1", b"shared"))
    ]
    rows = [row(item.id, f"train/{item.id}.mp4", "meld") for item in clips]
    write_manifest(rows, tmp_path / "train.jsonl")
    manifests = [tmp_path / "train.jsonl"]
    # Without the training media the names are all there is.
    assert find_leaks("meld", clips, manifests).same_name == ("dia0_utt0", "dia0_utt1")
    put(tmp_path / "train" / "dia0_utt0.mp4", b"learnt")  # of the same size
    put(tmp_path / "train" / "dia0_utt1.mp4", b"shared")
    found = find_leaks("meld", clips, manifests)
    assert found.same_content == found.same_name == ("dia0_utt1",)


def test_a_file_of_digits_is_named_with_its_folder(tmp_path):
    rows = [
        row("a", "Raw/one/3.mp4", "cmu-mosi"),
        row("b", "Raw/two/4.mp4", "cmu-mosi"),
        row("two_7", None, "cmu-mosi"),
    ]
    write_manifest(rows, tmp_path / "train.jsonl")
    names = (("two", 3), ("two", 4), ("one", 4), ("two", 7), ("one", 7))
    clips = [Item(f"{v}_{n}", tmp_path / "data" / v / f"{n}.mp4", "positive") for v, n in names]
    found = find_leaks("cmu-mosi", clips, [tmp_path / "train.jsonl"])
    assert found.same_name == ("two_4", "two_7")
    assert not find_leaks("cmu-mosei", clips[:3], [tmp_path / "train.jsonl"]).same_name
