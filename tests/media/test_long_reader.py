"""Segments of a long recording against what one reading of the same part gives."""

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making_media import numbered_picture, write_sound, write_video

from openaffect.errors import MediaError, UsageError
from openaffect.media import long_reader
from openaffect.media.limits import Limits
from openaffect.media.long_reader import read_segments
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling
from openaffect.media.turns import LONGEST, WINDOW, next_cut
from openaffect.media.video import LeadIn
from openaffect.media.voice_activity import SpeechListener, speech_probabilities, voice_activity

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surprise-and-joy.mp4"

GREY = np.full((48, 64, 3), 120, np.uint8)


def noise(seconds: float) -> np.ndarray:
    """(1, S) at 16 kHz: a hiss that nobody takes for speech."""
    size = round(seconds * 16_000)
    return (0.01 * np.random.default_rng(0).normal(size=(1, size))).astype(np.float32)


@pytest.fixture(scope="module")
def spoken() -> np.ndarray:
    """(S,) at 16 kHz: the example's speech."""
    audio = read_clip(EXAMPLE).audio
    assert audio is not None
    return audio


@pytest.fixture(scope="module")
def interview(tmp_path_factory: pytest.TempPathFactory, spoken: np.ndarray) -> tuple[Path, list]:
    """Three turns of speech, half a second of quiet after the first, two seconds after the second,
    each with a picture of its own colour; and the seconds at which turns begin."""
    speech = voice_activity(spoken)
    said = spoken[round(speech[0][0] * 16000) : round(speech[-1][1] * 16000)]
    pieces, begins, at = [np.zeros(8000, np.float32)], [], 0.5
    for quiet in (1.2, 1.2, 0.5):
        begins.append(at)
        pieces += [said, np.zeros(round(quiet * 16000), np.float32)]
        at += len(said) / 16000 + quiet
    sound = np.concatenate(pieces)
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200)]
    pictures = []
    for k in range(round(len(sound) / 16000 * 10)):
        turn = max(sum(k / 10 >= b - 0.6 for b in begins) - 1, 0)
        pictures.append(np.full((48, 64, 3), colours[turn], np.uint8))
    path = tmp_path_factory.mktemp("long") / "interview.mp4"
    return write_video(path, pictures, rate=10, sound=sound[None]), begins


def test_listening_in_pieces_hears_what_listening_at_once_hears(spoken: np.ndarray) -> None:
    listener, at, heard = SpeechListener(), 0, []
    for size in (100, 7000, 511, 513, 20_000, len(spoken)):
        heard.append(listener.hear(spoken[at : at + size]))
        at += size
    together = speech_probabilities(spoken)
    assert np.concatenate(heard) == pytest.approx(together[: len(np.concatenate(heard))], abs=1e-5)
    assert len(together) - len(np.concatenate(heard)) <= 1


def test_every_turn_begins_a_segment_and_nothing_is_left_out(interview: tuple) -> None:
    path, begins = interview
    clips = [piece.clip for piece in read_segments(path, sampling=Sampling(n=8))]
    whole = read_clip(path)
    for begin in begins[1:]:
        assert min(abs(clip.start - begin) for clip in clips) < 0.8
    assert clips[0].start == 0 and clips[-1].end == pytest.approx(whole.end, abs=0.2)
    for before, after in itertools.pairwise(clips):
        assert after.start <= before.end + 1e-6
    assert {clip.sha256 for clip in clips} == {whole.sha256}


def test_a_segment_is_the_clip_that_one_reading_gives(interview: tuple) -> None:
    path, _ = interview
    for piece in read_segments(path, sampling=Sampling(n=4)):
        clip = piece.clip
        again = read_clip(path, start=clip.start, end=clip.end)
        assert clip.audio is not None and again.audio is not None
        size = min(len(clip.audio), len(again.audio))
        assert abs(len(clip.audio) - len(again.audio)) <= 0.2 * 16_000
        assert np.abs(clip.audio[:size] - again.audio[:size]).mean() < 2e-3
        assert clip.frames is not None and again.frames is not None
        assert clip.frames.pixels.shape[1:] == again.frames.pixels.shape[1:]
        assert np.all(clip.frames.times >= clip.start - 1e-6)
        assert np.all(clip.frames.times < clip.end)


def test_shots_are_counted(interview: tuple) -> None:
    path, _ = interview
    shots = [piece.shot for piece in read_segments(path, sampling=Sampling(n=4))]
    assert shots == sorted(shots) and shots[-1] == 2


def test_a_part_is_read_on_the_files_own_clock(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        [GREY] * 400,
        rate=10,
        sound=noise(40),
    )
    clips = [
        piece.clip for piece in read_segments(path, sampling=Sampling(n=4), start=5.0, end=31.0)
    ]
    assert clips[0].start == 5.0 and clips[-1].end == pytest.approx(31.0, abs=0.3)
    assert {round(clip.end - clip.start) for clip in clips[:-1]} == {round(WINDOW)}
    with pytest.raises(UsageError, match="begins at"):
        list(read_segments(path, sampling=Sampling(n=4), start=500.0))


def frames_of(path: Path, start: float) -> list[tuple | None]:
    """Times and pixels of every segment's pictures."""
    pieces = read_segments(path, sampling=Sampling(n=4), start=start)
    frames = [piece.clip.frames for piece in pieces]
    return [found and (found.times.tolist(), found.pixels.tolist()) for found in frames]


def with_and_without_lead_in(path: Path, start: float, monkeypatch) -> tuple[list, list, int, int]:
    """`frames_of` as it is and with every picture decoded, and how many packets either decoded."""
    fed, see = [], long_reader._LongReader._see
    monkeypatch.setattr(
        long_reader._LongReader, "_see", lambda reader, packet: fed.append(1) or see(reader, packet)
    )
    told, few = frames_of(path, start), len(fed)
    monkeypatch.setattr(LeadIn, "due", lambda lead_in, packet: [packet])
    return told, frames_of(path, start), few, len(fed) - few


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"g": "7", "bf": "2"}),
        ("b.mkv", "libx264", {"g": "7", "bf": "3", "x264-params": "open-gop=1"}),
        ("c.mp4", "libx264", {"g": "1000"}),
        ("d.avi", "mpeg4", {"g": "5"}),
        ("e.mkv", "mjpeg", {}),
        ("f.webm", "libvpx-vp9", {"g": "10"}),
        ("g.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=20:bframes=0"}),
    ],
)
@pytest.mark.parametrize("start", [0.0, 0.05, 3.0, 4.3, 6.95, 9.9])
def test_a_late_part_is_the_same_with_fewer_pictures_decoded(
    tmp_path: Path, monkeypatch, name: str, codec: str, options: dict, start: float
) -> None:
    pictures = [numbered_picture(number) for number in range(100)]
    path = write_video(tmp_path / name, pictures, codec=codec, rate=10, options=options)
    told, wanted, few, every = with_and_without_lead_in(path, start, monkeypatch)
    assert told and told == wanted and few <= every
    if name in ("a.mp4", "b.mkv", "e.mkv"):
        assert few <= 100 - 10 * start + 2 * 7 + 3  # two groups of pictures, and the end


@pytest.mark.parametrize("start", [15.0, 25.0])
def test_slides_stay_on_display_when_a_part_begins_between_them(
    tmp_path: Path, monkeypatch, start: float
) -> None:
    slides = [numbered_picture(number) for number in (3, 5, 9)]
    path = write_video(
        tmp_path / "slides.mp4",
        slides,
        times=[0.0, 20.0, 85.0],
        options={"tune": "zerolatency"},
        sound=noise(95),
    )
    told, wanted, _, _ = with_and_without_lead_in(path, start, monkeypatch)
    assert told == wanted and None not in told[:-1]  # the last slide is soon gone


def test_a_stream_whose_decoding_changes_is_read_from_a_late_start(
    tmp_path: Path, monkeypatch
) -> None:
    parts = []
    for size, numbers in ((64, range(30)), (96, range(30, 80))):
        pictures = [numbered_picture(number, width=size) for number in numbers]
        path = write_video(tmp_path / f"{size}.flv", pictures, rate=10, options={"g": "10"})
        parts.append(path.read_bytes())
    joined = tmp_path / "joined.flv"
    joined.write_bytes(parts[0] + later_tags(parts[1], 3000))
    told, wanted, few, every = with_and_without_lead_in(joined, 6.5, monkeypatch)
    assert told == wanted and told[0] is not None and few < every


def later_tags(flv: bytes, milliseconds: int) -> bytes:
    """The tags of an FLV file without its header, later in time."""
    tags, at = b"", 13  # behind the header and the first length
    while at + 11 <= len(flv):
        size = 11 + int.from_bytes(flv[at + 1 : at + 4], "big") + 4
        time = int.from_bytes(flv[at + 7 : at + 8] + flv[at + 4 : at + 7], "big") + milliseconds
        told = time.to_bytes(4, "big")
        tags += flv[at : at + 4] + told[1:] + told[:1] + flv[at + 8 : at + size]
        at += size
    return tags


def test_windows_hold_no_more_than_a_window(tmp_path: Path, monkeypatch) -> None:
    """What is held while reading does not grow with the recording."""
    most = {"pictures": 0, "samples": 0}
    forget = long_reader._LongReader._forget

    def watched(reader, before):
        most["pictures"] = max(most["pictures"], len(reader.pictures))
        most["samples"] = max(most["samples"], len(reader.sound.samples))
        forget(reader, before)

    monkeypatch.setattr(long_reader._LongReader, "_forget", watched)
    held = []
    for length in (30, 120):
        most.update(pictures=0, samples=0)
        path = write_video(
            tmp_path / f"{length}.mp4", [GREY] * (length * 5), rate=5, sound=noise(length)
        )
        assert len(list(read_segments(path, sampling=Sampling(n=4)))) >= length / WINDOW
        held.append(dict(most))
    assert held[1]["pictures"] <= held[0]["pictures"] + 2 <= (LONGEST + 6) * 4 + 2
    assert held[1]["samples"] <= held[0]["samples"] * 1.1


def test_sound_alone_and_pictures_alone(tmp_path: Path, spoken: np.ndarray) -> None:
    sound = write_sound(tmp_path / "a.wav", np.tile(spoken, 3)[None], codec="pcm_s16le")
    clips = [piece.clip for piece in read_segments(sound, sampling=Sampling(n=4))]
    assert len(clips) >= 2 and all(clip.frames is None and clip.frames_reason for clip in clips)
    mute = write_video(tmp_path / "b.mp4", [GREY] * 60, rate=4)
    clips = [piece.clip for piece in read_segments(mute, sampling=Sampling(n=4))]
    assert len(clips) == 2
    assert all(clip.audio is None and "no audio" in str(clip.audio_reason) for clip in clips)


def test_too_long_and_damaged_are_refused(tmp_path: Path, interview: tuple) -> None:
    path, _ = interview
    with pytest.raises(MediaError, match="--max-seconds"):
        list(read_segments(path, sampling=Sampling(n=4), limits=Limits(max_long_seconds=2)))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(MediaError):
        list(read_segments(broken, sampling=Sampling(n=4)))


def test_reading_needs_no_more_decoding_than_one_pass(interview: tuple, monkeypatch) -> None:
    path, _ = interview
    opened = []
    original = av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: opened.append(a) or original(*a, **k))
    pieces = list(read_segments(path, sampling=Sampling(n=8)))
    assert len(pieces) > 2 and len(opened) == 1


seconds = st.floats(0, 60)


@given(seconds, seconds, st.lists(st.tuples(seconds, seconds)), st.lists(seconds), st.booleans())
def test_a_cut_always_goes_forward(start, length, speech, shots, final) -> None:
    stretches, reached = [], 0.0
    for a, b in sorted((min(p), max(p)) for p in speech):
        if a > reached:
            stretches.append((a, b))
            reached = b
    known = start + length
    cut = next_cut(start, known, stretches, sorted(shots), final=final)
    if cut is not None:
        assert start < cut.next_start <= cut.end <= known
    elif final:
        assert known == start
    else:
        assert known - start < LONGEST
