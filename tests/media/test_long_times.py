"""Times of a long recording whose pictures come slowly, irregularly, late, or not to the end."""

import dataclasses
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from making_media import number_of, numbered_picture, write_sound, write_video

from openaffect.errors import MediaError, UsageError
from openaffect.inference.options import AnalyzeOptions, is_long
from openaffect.media.limits import Limits
from openaffect.media.long_reader import MOST_SILENCE, PICTURES_PER_SECOND, read_segments
from openaffect.media.probe import length_of, probe
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surprise-and-joy.mp4"


def noise(seconds: float) -> np.ndarray:
    """(1, S) at 16 kHz: a hiss that nobody takes for speech."""
    size = round(seconds * 16_000)
    return (0.01 * np.random.default_rng(0).normal(size=(1, size))).astype(np.float32)


def clips_of(path: Path, **options):
    return [piece.clip for piece in read_segments(path, **options)]


def on_display(clips) -> list[tuple[float, float, list[int]]]:
    """(start, end, numbers of the pictures) of every segment."""
    return [
        (
            round(clip.start, 2),
            round(clip.end, 2),
            [] if clip.frames is None else [number_of(p) for p in clip.frames.pixels],
        )
        for clip in clips
    ]


def test_the_last_picture_is_not_shown_after_the_pictures_end(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        [numbered_picture(n) for n in range(30)],
        rate=10,
        sound=noise(40),
    )
    clips = clips_of(path)
    assert clips[0].frames is not None and clips[0].frames.times[-1] < 3.0
    assert len(clips) > 3
    for clip in clips[1:]:
        assert clip.frames is None and clip.audio is not None
        assert "no picture in this part" in str(clip.frames_reason)
    np.testing.assert_allclose(
        clips[0].frames.times, read_clip(path, end=10).frames.times, atol=0.6
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_slides_are_where_one_reading_finds_them(tmp_path: Path, name: str, b_frames: str) -> None:
    """One picture in five seconds: the decoder holds several back, far behind the sound."""
    times = [5.0 * n for n in range(12)]
    path = write_video(
        tmp_path / name,
        [numbered_picture(n) for n in range(12)],
        times=times,
        options={"bf": b_frames},
        sound=noise(60),
    )
    for start, end, numbers in on_display(clips_of(path, sampling=Sampling(n=4))):
        found = read_clip(path, start=start, end=end, sampling=Sampling(n=4)).frames
        assert numbers == ([] if found is None else [number_of(p) for p in found.pixels])


def test_the_picture_on_display_at_the_start_is_there(tmp_path: Path) -> None:
    times = [10.0 * n for n in range(4)]
    path = write_video(
        tmp_path / "a.mp4",
        [numbered_picture(n) for n in range(4)],
        times=times,
        options={"bf": "0"},
        sound=noise(40),
    )
    clips = clips_of(path, start=2.0, end=9.0)
    assert on_display(clips)[0][2] == [0]
    assert clips[0].frames.times[0] == 2.0
    assert on_display(clips_of(path, start=12.0, end=18.0)) == [(12.0, 18.0, [1])]


def test_reading_stops_at_the_end_of_the_part_and_not_before(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        [numbered_picture(n) for n in range(12)],
        times=[5.0 * n for n in range(12)],
        options={"bf": "3"},
        sound=noise(60),
    )
    clips = clips_of(path, end=30.0)
    assert clips[-1].end == pytest.approx(30.0, abs=0.2)
    assert clips[-1].audio is not None


def test_pictures_at_a_changing_rate_keep_their_times(tmp_path: Path) -> None:
    times = [n / 25 for n in range(50)] + [2.0 + n / 2 for n in range(80)]
    path = write_video(
        tmp_path / "a.mp4", [numbered_picture(n) for n in range(len(times))], times=times
    )
    clips = clips_of(path)
    seen = {
        number_of(picture): float(time)
        for clip in clips
        for picture, time in zip(clip.frames.pixels, clip.frames.times, strict=True)
    }
    for number, time in seen.items():
        assert time == pytest.approx(times[number], abs=0.01) or time == pytest.approx(
            clips_start(clips, time), abs=1e-6
        )
    assert clips[-1].end == pytest.approx(read_clip(path).end, abs=0.3)


def clips_start(clips, time: float) -> float:
    """The start of the segment that a time lies at: a picture on display then is told so."""
    return min((clip.start for clip in clips), key=lambda start: abs(start - time))


def test_more_pictures_are_kept_where_more_are_asked_for(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [numbered_picture(7)] * 500, rate=25, sound=noise(20))
    few, many = (clips_of(path, sampling=Sampling("uniform", n)) for n in (8, 100))
    assert len(few[0].frames.times) == 8
    assert len(many[0].frames.times) > 10 * PICTURES_PER_SECOND * 1.5
    assert few[0].frames.times[0] == 0.0


def test_damage_is_told(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        [numbered_picture(n % 250) for n in range(300)],
        rate=10,
        sound=noise(30),
        options={"g": "10"},
    )
    data = bytearray(path.read_bytes())
    chosen = np.random.default_rng(3)
    for at in chosen.integers(len(data) // 5, len(data), 400):
        data[at] ^= 0xFF
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)
    assert not clips_of(path)[-1].warnings
    told = clips_of(damaged)[-1].warnings
    once = read_clip(damaged).warnings
    assert any("damaged" in warning for warning in once)
    assert any("damaged" in warning for warning in told)


@pytest.mark.parametrize("share", [3, 2])
def test_a_file_that_ends_before_it_says_so_is_told(tmp_path: Path, share: int) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        [numbered_picture(n % 250) for n in range(600)],
        rate=10,
        sound=noise(60),
    )
    short = tmp_path / "short.mkv"
    short.write_bytes(path.read_bytes()[: path.stat().st_size // share])
    assert any("cut off" in warning for warning in read_clip(short).warnings)
    assert any("cut off" in warning for warning in clips_of(short)[-1].warnings)
    assert not any("cut off" in warning for warning in read_clip(path).warnings)
    assert not any("cut off" in warning for warning in clips_of(path)[-1].warnings)
    assert not any("cut off" in w for w in read_clip(short, end=5.0).warnings)


@pytest.mark.parametrize(
    ("start", "end"), [(-5.0, None), (10.0, 5.0), (math.nan, None), (None, math.nan)]
)
def test_impossible_parts_are_refused(
    tmp_path: Path, start: float | None, end: float | None
) -> None:
    path = write_sound(tmp_path / "a.wav", noise(20), codec="pcm_s16le")
    with pytest.raises(UsageError, match=r"--start|--end"):
        clips_of(path, start=start, end=end)


def test_a_silent_recording_says_that_it_is_silent(tmp_path: Path) -> None:
    silence = np.zeros((1, 16_000 * 30), np.float32)
    path = write_sound(tmp_path / "a.wav", silence, codec="pcm_s16le")
    with pytest.raises(MediaError, match="digitally silent"):
        clips_of(path)


def test_a_recording_that_declares_no_length_is_measured(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "live.webm",
        [numbered_picture(n % 250) for n in range(200)],
        rate=10,
        codec="libvpx",
        sound=np.repeat(noise(20), 3, axis=1)[:, : 20 * 48_000],
        sound_codec="libopus",
        sound_rate=48_000,
        container_options={"live": "1"},
    )
    assert probe(path).duration == 0.0
    assert length_of(path) == pytest.approx(20.0, abs=0.2)
    options = AnalyzeOptions(limits=Limits(max_seconds=10))
    assert not is_long(path, options)
    always = dataclasses.replace(options, segments="always")
    assert is_long(path, always)
    most = Limits(max_long_seconds=15)
    assert is_long(path, dataclasses.replace(always, limits=most, start=10.0))
    with pytest.raises(MediaError, match=r"(19|20)[.0-9]* s long, over the limit of 15 s"):
        is_long(path, dataclasses.replace(always, limits=most))
    long = write_sound(tmp_path / "a.mkv", noise(70), codec="aac")
    assert is_long(long, options) and not is_long(long, dataclasses.replace(options, end=20.0))
    with pytest.raises(MediaError, match="over the limit"):
        is_long(long, AnalyzeOptions(limits=Limits(max_long_seconds=65)))


@pytest.mark.parametrize("layout", ["stereo", "5.1"])
def test_channels_that_cancel_out_are_told(tmp_path: Path, layout: str) -> None:
    voice = noise(20)[0]
    channels = np.zeros((2 if layout == "stereo" else 6, len(voice)), np.float32)
    if layout == "stereo":
        channels[0], channels[1] = voice, -voice
    else:
        channels[3] = voice  # the low-frequency channel, which no mix has
    path = write_sound(tmp_path / "a.wav", channels, codec="pcm_s16le", layout=layout)
    for read in (read_clip, clips_of):
        with pytest.raises(MediaError, match="export the channel with the voice as mono"):
            read(path)


@pytest.mark.parametrize("case", ["sound ends early", "one long slide"])
def test_what_is_held_stays_small_when_one_stream_ends_or_waits(
    tmp_path: Path, monkeypatch, case: str
) -> None:
    from openaffect.media import long_reader

    if case == "sound ends early":
        pictures, times, sound = [numbered_picture(1)] * 600, None, noise(10)
    else:
        pictures, times, sound = [numbered_picture(n) for n in (1, 2)], [0.0, 150.0], noise(160)
    path = write_video(
        tmp_path / "a.mp4", pictures, rate=5, times=times, sound=sound, options={"bf": "0"}
    )
    most = {"pictures": 0, "seconds": 0.0}
    forget = long_reader._LongReader._forget

    def watched(reader, before):
        most["pictures"] = max(most["pictures"], len(reader.pictures))
        most["seconds"] = max(most["seconds"], len(reader.sound.samples) / 16_000)
        forget(reader, before)

    monkeypatch.setattr(long_reader._LongReader, "_forget", watched)
    clips = clips_of(path)
    assert len(clips) > 10
    assert most["pictures"] <= 20 * PICTURES_PER_SECOND and most["seconds"] <= 20


def write_runs(path: Path, *runs: tuple[float, np.ndarray]) -> Path:
    """Sound (1, S) of 16-bit samples at 16 kHz from each given second on, nothing in between."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for second, sound in runs:
            for at in range(0, sound.shape[1], 1600):
                block = np.ascontiguousarray(sound[:, at : at + 1600] * 32_767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(block, "s16", "mono")
                frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
                frame.pts = round(second * 16_000) + at
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def most_held(monkeypatch) -> dict[str, float]:
    """The most seconds of sound that were held and that were heard at once."""
    from openaffect.media import long_reader

    most = {"held": 0.0, "heard": 0.0}
    add, hear = long_reader._Sound.add, long_reader.SpeechListener.hear

    def watched_add(sound, at, samples):
        add(sound, at, samples)
        most["held"] = max(most["held"], len(sound.samples) / 16_000)

    def watched_hear(listener, samples):
        most["heard"] = max(most["heard"], len(samples) / 16_000)
        return hear(listener, samples)

    monkeypatch.setattr(long_reader._Sound, "add", watched_add)
    monkeypatch.setattr(long_reader.SpeechListener, "hear", watched_hear)
    return most


def test_a_gap_in_the_sound_is_read_like_silence_and_held_no_longer(
    tmp_path: Path, most_held: dict[str, float]
) -> None:
    spoken = read_clip(EXAMPLE).audio[None, : 16_000 * 4]
    silence = np.zeros((1, 16_000 * 300), np.float32)
    filled = write_runs(
        tmp_path / "filled.mkv", (0, np.concatenate([spoken, silence, spoken], axis=1))
    )
    gap = write_runs(tmp_path / "gap.mkv", (0, spoken), (304, spoken))
    expected = clips_of(filled)
    most_held.update(held=0.0, heard=0.0)
    found = clips_of(gap)
    assert most_held["held"] < MOST_SILENCE + 20 and most_held["heard"] < MOST_SILENCE + 1
    for clip, other in zip(found, expected, strict=True):
        assert (clip.start, clip.end) == pytest.approx((other.start, other.end), abs=1e-6)
        np.testing.assert_array_equal(clip.audio, other.audio)


def test_sound_that_begins_long_after_the_pictures_is_not_held(
    tmp_path: Path, most_held: dict[str, float]
) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        [numbered_picture(n % 250) for n in range(320)],
        rate=1,
        sound=noise(20),
        sound_start=300.0,
    )
    clips = clips_of(path)
    assert most_held["held"] < MOST_SILENCE + 20 and most_held["heard"] < MOST_SILENCE + 1
    assert all(clip.audio is None for clip in clips if clip.end < 300)
    assert all(clip.audio is not None for clip in clips if clip.start > 301)


def test_a_file_whose_times_begin_late_is_not_called_cut_off(tmp_path: Path) -> None:
    times = [70.0 + n / 10 for n in range(40)]
    path = write_video(tmp_path / "a.mkv", [numbered_picture(n) for n in range(40)], times=times)
    assert read_clip(path).duration == pytest.approx(4.0, abs=0.2)
    assert read_clip(path).warnings == ()


def test_dither_in_two_channels_is_silence(tmp_path: Path) -> None:
    steps = np.random.default_rng(0).integers(-1, 2, (2, 16_000 * 5)) / 32_768
    path = write_sound(
        tmp_path / "a.wav", steps.astype(np.float32), codec="pcm_s16le", layout="stereo"
    )
    with pytest.raises(MediaError, match="digitally silent"):
        read_clip(path)
