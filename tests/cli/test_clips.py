from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.cli.clips import collect_clips, result_names
from openaffect.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.wav", "notes.txt", ".hidden.mp4", "in/c.MKV", "in/.d/e.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(clips: list[Path]) -> list[str]:
    return [clip.name for clip in clips]


def test_a_folder_gives_its_media_files_by_name(folder: Path) -> None:
    assert names(collect_clips([str(folder)])) == ["a.wav", "b.mp4"]
    assert names(collect_clips([str(folder)], recursive=True)) == ["a.wav", "b.mp4", "c.MKV"]


def test_a_file_named_by_itself_may_have_any_ending_and_counts_once(folder: Path) -> None:
    given_twice = [str(folder / "notes.txt"), str(folder), str(folder / "in" / ".." / "b.mp4")]
    assert names(collect_clips(given_twice)) == ["notes.txt", "a.wav", "b.mp4"]


def test_a_folder_without_clips_is_refused(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with pytest.raises(UsageError, match="no media files"):
        collect_clips([str(tmp_path)])
    with pytest.raises(UsageError, match="neither this folder nor one below"):
        collect_clips([str(tmp_path)], recursive=True)


def test_names_lose_their_ending_where_that_is_clear() -> None:
    clips = [Path(p) for p in ("x/a.mp4", "x/b.mp4", "x/b.wav", "y/b.mp4", "y/C.mov", "z/c.mov")]
    expected = ["a", "b.mp4", "b.wav", "b.mp4-2", "C.mov", "c.mov-2"]
    assert result_names(clips) == expected


def test_a_clip_keeps_its_name_and_no_other_gets_it() -> None:
    clips = [Path(p) for p in ("x/a.mp4", "x/a.wav", "y/b.mp4", "y/c.mp4", "z/d.mp4", "y/d.mp4")]
    earlier = ["a", None, None, "c.mp4", "d", "d"]
    names = result_names(clips, earlier, ["a", "B", "c.mp4", "d"])
    assert names == ["a", "a.wav", "b.mp4", "c.mp4", "d", "d.mp4"]


stems = st.text("abAB.", min_size=1, max_size=3).filter(lambda stem: stem.strip("."))


@given(st.lists(st.tuples(st.sampled_from("xy"), stems, st.sampled_from([".mp4", ".wav", ""]))))
def test_no_two_clips_share_a_name(parts: list[tuple[str, str, str]]) -> None:
    clips = list(dict.fromkeys(Path(folder) / (stem + end) for folder, stem, end in parts))
    found = [name.casefold() for name in result_names(clips)]
    assert len(set(found)) == len(clips)
    for clip, name in zip(clips, result_names(clips), strict=True):
        if [other.stem.casefold() for other in clips].count(clip.stem.casefold()) == 1:
            assert name == clip.stem
