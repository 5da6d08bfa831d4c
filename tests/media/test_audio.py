"""Sound: rate, channels, place in time, and what is said where there is none."""

import math
import wave

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from making_media import numbered_picture, tone, write_sound, write_video

from openaffect.errors import MediaError
from openaffect.media.audio import SAMPLE_RATE
from openaffect.media.reader import read_clip

files = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25
)


def write_wav(path, samples, rate=SAMPLE_RATE):
    """A 16-bit wav by the standard library; samples (S, channels) in [-1, 1]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).round().astype("<i2").tobytes())
    return path


@files
@given(
    st.integers(1, 30_000),
    st.floats(0, 1),
    st.floats(0.05, 1.2),
    st.integers(0, 2**31),
)
def test_16_khz_samples_come_through_untouched_in_any_part(tmp_path, count, start, length, seed):
    samples = np.random.default_rng(seed).uniform(-1, 1, (count, 1))
    path = write_wav(tmp_path / "noise.wav", samples)
    written = (samples[:, 0] * 32767).round() / 32768
    clip = read_clip(path)
    assert clip.frames is None
    assert clip.frames_reason == "the file has no video stream"
    np.testing.assert_allclose(clip.audio, written, atol=1e-6)
    assert clip.duration == pytest.approx(count / SAMPLE_RATE, abs=1e-6)
    start = math.floor(start * clip.duration * 0.9 * 1e4) / 1e4  # never past the end
    first = round(start * SAMPLE_RATE)
    assume(first < count)  # of a file of two samples, 0.1 ms is nearer to the end than to either
    part = read_clip(path, start=start, end=start + length)
    expected = written[first : first + round((part.end - start) * SAMPLE_RATE)]
    np.testing.assert_allclose(part.audio, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("rate", "channels"), [(8000, 1), (8000, 6), (11_025, 1), (22_050, 2), (44_100, 2), (48_000, 8)]
)
def test_other_rates_and_channels_become_the_same_sine(tmp_path, rate, channels):
    path = write_wav(tmp_path / "sine.wav", tone(1.0, rate, channels=channels).T, rate)
    audio = read_clip(path).audio
    assert len(audio) == pytest.approx(SAMPLE_RATE, abs=2)
    inner = slice(800, 15_000)
    np.testing.assert_allclose(audio[inner], tone(1.0)[0][: len(audio)][inner], atol=0.01)


@pytest.mark.parametrize(
    ("codec", "ending", "rate"),
    [
        ("libmp3lame", "mp3", 16_000),
        ("flac", "flac", 44_100),
        ("aac", "m4a", 44_100),
        ("aac", "aac", 44_100),
        ("libopus", "ogg", 48_000),
        ("libopus", "webm", 48_000),
        ("pcm_s16le", "wav", 8000),
    ],
)
def test_sound_files_are_voice_only(tmp_path, codec, ending, rate):
    path = write_sound(tmp_path / f"voice.{ending}", tone(2.0, rate), codec=codec, rate=rate)
    clip = read_clip(path)
    assert clip.frames is None
    assert (clip.has_video, clip.has_audio) == (False, True)
    assert len(clip.audio) / SAMPLE_RATE == pytest.approx(2.0, abs=0.1)
    power = np.abs(np.fft.rfft(clip.audio * np.hanning(len(clip.audio))))
    assert np.argmax(power) * SAMPLE_RATE / len(clip.audio) == pytest.approx(440, abs=3)
    assert np.abs(clip.audio[8000:24_000]).max() == pytest.approx(0.3, abs=0.02)


def test_sound_lies_where_its_timestamps_say(tmp_path):
    """A track that begins late is preceded by silence; a part is cut on the same clock."""
    path = write_video(
        tmp_path / "late.mkv",
        [numbered_picture(n) for n in range(50)],
        sound=np.full((1, 16_000), 0.5, np.float32),
        sound_codec="pcm_s16le",
        sound_start=0.7,
    )
    audio = read_clip(path).audio
    heard = np.flatnonzero(audio > 0.25)
    assert heard[0] / SAMPLE_RATE == pytest.approx(0.7, abs=0.002)
    assert heard[-1] / SAMPLE_RATE == pytest.approx(1.7, abs=0.002)
    part = read_clip(path, start=0.5, end=1.0).audio
    assert np.flatnonzero(part > 0.25)[0] / SAMPLE_RATE == pytest.approx(0.2, abs=0.002)
    nothing = read_clip(path, start=0.1, end=0.4)
    assert nothing.audio is None
    assert nothing.audio_reason == "the audio track has no sound in this part of the file"


def test_digital_silence_is_no_voice(tmp_path):
    path = write_video(tmp_path / "quiet.mp4", [numbered_picture(3)] * 10, sound=tone(1.0) * 0)
    clip = read_clip(path)
    assert clip.audio is None
    assert clip.audio_reason == "the audio track is digitally silent"
    assert clip.has_audio
    assert clip.frames is not None
    wav = write_wav(tmp_path / "quiet.wav", np.zeros((16_000, 1)))
    with pytest.raises(MediaError, match=r"nothing to analyse: .*digitally silent"):
        read_clip(wav)


def test_whisper_quiet_sound_is_kept(tmp_path):
    wav = write_wav(tmp_path / "soft.wav", tone(0.5).T * 0.001)
    assert read_clip(wav).audio is not None


def test_numbers_that_are_no_sound_are_tamed(tmp_path):
    """Float files can hold infinities and values far over full scale."""
    samples = tone(1.0)
    samples[0, 100:110] = np.inf
    samples[0, 200:210] = np.nan
    samples[0, 300:310] = 1e30
    path = write_sound(tmp_path / "wild.wav", samples, codec="pcm_f32le")
    audio = read_clip(path).audio
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1
    np.testing.assert_allclose(audio[1000:], samples[0, 1000:], atol=1e-6)


def spoil_sound(path, share):
    """Overwrites the first `share` of the audio packets of a file."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(audio=0) if p.size]
    data = bytearray(path.read_bytes())
    for place, size in places[: round(len(places) * share)]:
        data[place : place + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def test_damaged_sound_leaves_the_pictures(tmp_path):
    pictures = [numbered_picture(n) for n in range(20)]
    path = write_video(tmp_path / "clip.mp4", pictures, sound=tone(0.8))
    clip = read_clip(spoil_sound(path, 1.0))
    assert len(clip.frames) == 8
    assert clip.audio is None
    assert "the audio track is damaged" in clip.audio_reason
    path = write_video(tmp_path / "some.mp4", pictures, sound=tone(0.8))
    clip = read_clip(spoil_sound(path, 0.3))
    assert clip.audio is not None
    assert "audio packets are damaged" in clip.warnings[0]
    np.testing.assert_allclose(np.abs(clip.audio[6400:12_000]).max(), 0.3, atol=0.05)


def test_unreadable_sound_codec_leaves_the_pictures(tmp_path):
    path = write_video(
        tmp_path / "clip.mkv",
        [numbered_picture(n) for n in range(20)],
        sound=tone(0.8, 48_000),
        sound_codec="wavpack",
        sound_rate=48_000,
    )
    clip = read_clip(path)
    assert clip.frames is not None
    assert clip.audio_reason == "the audio codec 'wavpack' is not supported"
