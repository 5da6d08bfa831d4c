"""Reading clips: which pictures, at which times, turned and shaped how, and for which part."""

import hashlib
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making_media import number_of, numbered_picture, tone, write_video

from openaffect.errors import MediaError, UsageError
from openaffect.media.limits import Limits
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling, pick

EVERY = Sampling("every", 1)
files = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25
)


def numbers(clip) -> list[int]:
    return [number_of(picture) for picture in clip.frames.pixels]


@pytest.mark.parametrize(
    ("codec", "ending", "options"),
    [
        ("libx264", "mp4", {"bf": "3", "g": "12"}),
        ("libx264", "mkv", {"x264-params": "open-gop=1:keyint=10:bframes=3:b-adapt=0"}),
        ("libx264", "mp4", {"x264-params": "intra-refresh=1:keyint=10"}),
        ("libx264", "avi", {"bf": "2"}),
        ("libx264", "ts", {"g": "12"}),
        ("libx265", "mp4", {"x265-params": "log-level=none:open-gop=1:keyint=10:min-keyint=10"}),
        ("libvpx", "webm", {"auto-alt-ref": "1", "lag-in-frames": "10", "g": "12"}),
        ("libvpx-vp9", "webm", {"auto-alt-ref": "1", "lag-in-frames": "10", "g": "12"}),
        ("mpeg4", "avi", {"bf": "2", "g": "12"}),
        ("mpeg2video", "mpg", {"bf": "2", "g": "12"}),
        ("mjpeg", "mov", {}),
        ("gif", "gif", {}),
        ("ffv1", "mkv", {}),
        ("wmv2", "wmv", {}),
        ("flv", "flv", {}),
    ],
)
@pytest.mark.parametrize("rule", [EVERY, Sampling("midpoints", 4), Sampling("uniform", 3)])
def test_codecs_give_the_right_frames_at_the_right_times(tmp_path, codec, ending, options, rule):
    count = 40
    path = write_video(
        tmp_path / f"clip.{ending}",
        [numbered_picture(n) for n in range(count)],
        codec=codec,
        options=options,
    )
    clip = read_clip(path, sampling=rule)
    expected = pick(np.arange(count) / 25, count / 25, 0.0, count / 25, rule)
    assert numbers(clip) == expected
    np.testing.assert_allclose(clip.frames.times, np.array(expected) / 25, atol=2e-3)
    assert clip.frame_rate == pytest.approx(25, rel=0.03)
    assert clip.duration == pytest.approx(count / 25, abs=0.05)
    assert clip.warnings == ()


@files
@given(
    gaps=st.lists(st.integers(20, 900), min_size=0, max_size=40),
    kind=st.sampled_from(["uniform", "midpoints", "every"]),
    n=st.integers(1, 12),
    codec=st.sampled_from(["libx264", "mpeg4", "libvpx"]),
    group=st.integers(1, 30),
    part=st.tuples(st.floats(0, 0.9), st.floats(0.05, 1.1)),
)
def test_variable_frame_rate_and_parts(tmp_path, gaps, kind, n, codec, group, part):
    """Any spacing, any rule and any part of the clip: the same choice as over known times."""
    times = np.concatenate([[0], np.cumsum(gaps)]) / 1000
    write_video(
        tmp_path / "vfr.mkv",
        [numbered_picture(number, 32, 32) for number in range(len(times))],
        codec=codec,
        times=times,
        options={"g": str(group)},
    )
    whole = read_clip(tmp_path / "vfr.mkv", sampling=EVERY)
    assert numbers(whole) == list(range(len(times)))
    np.testing.assert_allclose(whole.frames.times, times, atol=1e-6)
    start = round(part[0] * whole.duration, 3)
    end = round(start + part[1] * whole.duration + 0.002, 3)
    rule = Sampling(kind, n)
    clip = read_clip(tmp_path / "vfr.mkv", sampling=rule, start=start, end=end)
    expected = pick(times, whole.duration, start, min(end, whole.duration), rule)
    assert numbers(clip) == expected
    np.testing.assert_allclose(clip.frames.times, times[expected], atol=1e-6)
    assert (clip.start, clip.duration) == (start, whole.duration)
    assert clip.end == min(end, whole.duration)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_rotation_and_mirroring(tmp_path, turn, mirrored):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32, 0] = picture[:24, 32:, 1] = picture[24:, :32, 2] = 200
    path = write_video(
        tmp_path / "turned.mp4", [picture] * 3, rotation=(turn, mirrored), options={"crf": "5"}
    )
    clip = read_clip(path)
    upright = np.rot90(picture, turn // 90)
    upright = upright[:, ::-1] if mirrored else upright
    assert clip.frames.pixels.shape[1:] == upright.shape
    assert (clip.height, clip.width) == upright.shape[:2]
    apart = np.abs(clip.frames.pixels[0].astype(int) - upright)
    assert np.median(apart, axis=(0, 1)).max() <= 6


@pytest.mark.parametrize(
    ("aspect", "size"), [((2, 1), (128, 48)), ((1, 2), (64, 96)), ((359, 360), (64, 48))]
)
def test_sample_aspect_ratio(tmp_path, aspect, size):
    path = write_video(tmp_path / "sar.mp4", [numbered_picture(9)], sar=Fraction(*aspect))
    clip = read_clip(path)
    assert (clip.width, clip.height) == size
    assert clip.frames.pixels.shape == (1, size[1], size[0], 3)
    assert numbers(clip) == [9]


@files
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 64))
def test_odd_sizes(tmp_path, width, height, max_side):
    picture = np.full((height, width, 3), 120, np.uint8)
    path = write_video(tmp_path / "odd.mov", [picture] * 2, codec="png")
    clip = read_clip(path, sampling=Sampling("uniform", 2, max_side=max_side))
    _, down, across, _ = clip.frames.pixels.shape
    assert max(down, across) == min(max(width, height), max_side)
    assert (clip.width, clip.height) == (width, height)
    assert np.abs(clip.frames.pixels.astype(int) - 120).max() <= 2


def test_8k_is_scaled_while_decoding(tmp_path):
    picture = numbered_picture(27, 7680, 4320)
    path = write_video(tmp_path / "8k.avi", [picture], codec="mjpeg")
    clip = read_clip(path)
    assert clip.frames.pixels.shape == (1, 720, 1280, 3)
    assert (clip.width, clip.height) == (7680, 4320)
    assert numbers(clip) == [27]
    with pytest.raises(MediaError, match=r"7680x4320 .*--max-pixels 33177600"):
        read_clip(path, limits=Limits(max_pixels=1920 * 1080))


def test_kept_frames_hold_no_decoder_memory(tmp_path):
    """100 frames of 3 MB each are kept at 2 kB; the process must not grow by their full size."""
    path = write_video(
        tmp_path / "large.mkv",
        [numbered_picture(7, 1920, 1080)] * 100,
        options={"preset": "ultrafast", "threads": "1"},
    )
    code = (
        "import resource, sys, av, PIL.Image, numpy\n"
        "from openaffect.media.reader import read_clip\n"
        "from openaffect.media.sampling import Sampling\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "clip = read_clip(sys.argv[1], sampling=Sampling('every', 1, max_side=32))\n"
        "assert len(clip.frames) == 100\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) < 150  # MB


def test_pixels_equal_a_plain_decode(tmp_path):
    """Leaving out groups of pictures changes no pixel."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    pictures = [np.roll(scene, (n, 2 * n), (0, 1)) for n in range(120)]
    path = write_video(tmp_path / "moving.mp4", pictures, options={"g": "15", "bf": "3"})
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for rule in (Sampling("midpoints", 3), Sampling("uniform", 4), Sampling("every", 37)):
        clip = read_clip(path, sampling=rule)
        expected = pick(np.arange(120) / 25, 4.8, 0.0, 4.8, rule)
        for frame, index in zip(clip.frames.pixels, expected, strict=True):
            assert np.abs(frame.astype(int) - plain[index]).max() <= 3  # the two scaler settings


def test_facts_of_a_clip_with_sound(tmp_path):
    path = write_video(
        tmp_path / "clip.mp4", [numbered_picture(n) for n in range(20)], sound=tone(2.0)
    )
    clip = read_clip(path)
    assert clip.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (clip.has_video, clip.has_audio) == (True, True)
    assert clip.frames_reason is clip.audio_reason is None
    assert clip.audio.dtype == np.float32
    assert len(clip.audio) == 32_000
    assert clip.duration == 2.0  # the sound is longer than the pictures
    assert clip.frames.times[-1] < 0.8
    late = read_clip(path, start=1.0, end=1.5)
    assert late.frames is None
    assert late.frames_reason == "the video stream has no picture in this part of the file"
    assert len(late.audio) == 8000
    assert late.duration == clip.duration


def test_silent_video_is_sight_only(tmp_path):
    clip = read_clip(write_video(tmp_path / "clip.mp4", [numbered_picture(1)] * 3))
    assert clip.audio is None
    assert clip.audio_reason == "the file has no audio stream"
    assert (clip.has_video, clip.has_audio) == (True, False)


@pytest.mark.parametrize("count", [0, 1])
def test_zero_or_one_frame(tmp_path, count):
    path = write_video(tmp_path / "few.mkv", [numbered_picture(5)] * count, sound=tone(0.5))
    clip = read_clip(path)
    assert clip.audio is not None
    if count:
        assert numbers(clip) == [5]
        assert clip.frames.times.tolist() == [0.0]
    else:
        assert clip.frames is None
        assert clip.frames_reason == "the video stream holds no pictures"


def test_pictures_that_change_size_are_brought_to_the_first(tmp_path):
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for place, width in enumerate((64, 64, 32)):
            other = av.CodecContext.create("mjpeg", "w")
            other.width, other.height, other.pix_fmt = width, 48, "yuvj420p"
            other.time_base = Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(numbered_picture(60 + place, width), "rgb24")
            for packet in other.encode(frame) + other.encode(None):
                packet.stream, packet.pts, packet.dts = stream, place, place
                packet.time_base = Fraction(1, 25)
                container.mux(packet)
    clip = read_clip(tmp_path / "two.mkv", sampling=EVERY)
    assert clip.frames.pixels.shape == (3, 48, 64, 3)
    assert numbers(clip) == [60, 61, 62]


def test_part_beyond_the_end_or_turned_around(tmp_path):
    path = write_video(tmp_path / "clip.mp4", [numbered_picture(n) for n in range(20)])
    with pytest.raises(UsageError, match=r"begins at 9 s, but the file ends at 0\.8 s"):
        read_clip(path, start=9)
    for start, end in ((2, 1), (1, 1), (-1, None), (None, float("nan"))):
        with pytest.raises(UsageError, match=r"--start|--end"):
            read_clip(path, start=start, end=end)
    assert read_clip(path, end=99).end == pytest.approx(0.8)
