"""What is let in, and the one line that is said about everything else."""

import os
import subprocess
import sys

import pytest
from making_media import numbered_picture, tone, write_sound, write_video

from openaffect.errors import MediaError, OpenAffectError, UsageError
from openaffect.media.folder import find_clips
from openaffect.media.limits import Limits
from openaffect.media.probe import probe
from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling


@pytest.fixture
def clip_file(tmp_path):
    return write_video(
        tmp_path / "clip.mp4", [numbered_picture(n) for n in range(20)], sound=tone(0.8)
    )


HLS = b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.mp4", b"", r"is empty \(0 bytes\)"),
        ("text.mp4", b"Dear diary,\n" * 30, "holds text"),
        ("noise.mp4", bytes(range(256)) * 20, "not accepted"),
        ("list.mp4", HLS, "is an HLS playlist"),
        ("list.m3u8", b"\xef\xbb\xbf\n" + HLS, "is an HLS playlist"),
        ("concat.mkv", b"ffconcat version 1.0\nfile '/etc/passwd'\n", "is a concat list"),
        ("dash.mpd", b'<?xml version="1.0"?>\n<MPD type="static"/>', "is a DASH manifest"),
        ("radio.pls", b"[playlist]\nFile1=http://127.0.0.1:9/\n", "is a playlist"),
        ("session.sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", "holds text"),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "holds text"),
        ("subtitle.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello\n", "holds text"),
    ],
)
def test_what_is_not_media_is_named(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_clip, probe):
        with pytest.raises(MediaError, match=said) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_missing_paths_folders_and_addresses(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_clip(tmp_path / "nowhere.mp4")
    with pytest.raises(UsageError, match="is a folder"):
        read_clip(tmp_path)
    for address in ("http://127.0.0.1:9/a.mp4", "rtsp://127.0.0.1:9/", "file:///etc/passwd"):
        with pytest.raises(UsageError, match="network addresses"):
            read_clip(address)
    for trick in ("concat:a.mp4|b.mp4", "pipe:0", "subfile,,start,0,end,9,,:a.mp4"):
        with pytest.raises(UsageError, match="no such file"):
            read_clip(trick)
    with pytest.raises(OpenAffectError):
        read_clip("a\0b.mp4")
    with pytest.raises(MediaError, match="not a regular file"):
        read_clip(os.devnull)


def test_file_names_are_never_protocols(tmp_path, clip_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concat:clip.mp4", "pipe:0", "-i", "async:clip.mp4", "ümläut 100% #1?.mp4"):
        clip_file.rename(name)
        assert read_clip(name).frames is not None
        (tmp_path / name).rename(clip_file)


def test_files_that_are_cut_off(tmp_path, clip_file):
    data = clip_file.read_bytes()
    place = data.index(b"moov")
    (tmp_path / "a.mp4").write_bytes(data[: place - 4])
    with pytest.raises(MediaError, match=r"cut off .*moov box, is missing"):
        read_clip(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(data[: place + 300])
    with pytest.raises(MediaError, match="it may be cut off"):
        read_clip(tmp_path / "b.mp4")


def test_a_cut_off_stream_gives_what_is_there(tmp_path):
    path = write_video(tmp_path / "clip.mkv", [numbered_picture(n) for n in range(100)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = read_clip(path)
    assert len(clip.frames) == 8
    assert 0.5 < clip.frames.times[-1] < 4


def test_unreadable_video_codec(tmp_path):
    pictures = [numbered_picture(n) for n in range(5)]
    silent = write_video(tmp_path / "a.avi", pictures, codec="cinepak", pixel_format="rgb24")
    with pytest.raises(MediaError, match="the video codec 'cinepak' is not supported"):
        read_clip(silent)
    heard = write_video(
        tmp_path / "b.avi",
        pictures,
        codec="cinepak",
        pixel_format="rgb24",
        sound=tone(0.5),
        sound_codec="pcm_s16le",
    )
    clip = read_clip(heard)
    assert clip.audio is not None
    assert clip.frames_reason == "the video codec 'cinepak' is not supported"


def test_container_outside_the_list(tmp_path):
    path = write_sound(tmp_path / "sound.au", tone(0.5), codec="pcm_s16be")
    with pytest.raises(MediaError, match="a format that is not accepted"):
        read_clip(path)


def test_limits_name_the_option_that_lifts_them(tmp_path, clip_file):
    size = clip_file.stat().st_size
    with pytest.raises(MediaError, match=f"--max-bytes {size}"):
        read_clip(clip_file, limits=Limits(max_bytes=size - 1))
    with pytest.raises(MediaError, match="--max-seconds 1"):
        read_clip(clip_file, limits=Limits(max_seconds=0.5))
    with pytest.raises(MediaError, match="--max-pixels 3072"):
        read_clip(clip_file, limits=Limits(max_pixels=3071))
    with pytest.raises(MediaError, match=r"more than 19 pictures.*--start and --end"):
        read_clip(clip_file, limits=Limits(max_frames=19))
    with pytest.raises(MediaError, match="--frames"):
        read_clip(clip_file, limits=Limits(max_picked_bytes=64 * 48 * 3 * 8 - 1))
    with pytest.raises(MediaError, match="2 streams in one file"):
        read_clip(clip_file, limits=Limits(max_streams=1))
    exact = Limits(max_bytes=size, max_pixels=3072, max_frames=20, max_picked_bytes=64 * 48 * 3 * 8)
    assert len(read_clip(clip_file, limits=exact).frames) == 8
    with pytest.raises(UsageError, match="max_seconds must be above zero"):
        Limits(max_seconds=0)


@pytest.mark.parametrize("declared", [True, False])
def test_two_hours_are_refused_unless_a_part_is_chosen(tmp_path, declared):
    """Two pictures two hours apart; once without a length in the header."""
    live = {} if declared else {"live": "1"}
    path = write_video(
        tmp_path / "film.mkv",
        [numbered_picture(1), numbered_picture(2)],
        codec="mpeg4",
        times=[0, 7200],
        container_options=live,
    )
    assert (probe(path).duration > 7000) == declared
    with pytest.raises(MediaError, match=r"2:00:00 h long.*--start and --end.*--max-seconds 7201"):
        read_clip(path)
    both = read_clip(path, limits=Limits(max_seconds=7300), sampling=Sampling("uniform", 2))
    assert both.frames.times.tolist() == [0.0, 7200.0]
    part = read_clip(path, start=0, end=60)
    assert len(part.frames) == 1
    assert part.duration == pytest.approx(7200, abs=1)


def test_find_clips(tmp_path, clip_file):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(UsageError, match="the folder holds no media files"):
        find_clips([folder])
    for name in ("b.MP4", "a.wav", "notes.txt", ".hidden.mp4", "c.png"):
        (folder / name).write_bytes(b"x")
    (folder / "d.mp4").mkdir()
    expected = [folder / "a.wav", folder / "b.MP4", folder / "c.png"]
    assert find_clips([folder]) == expected
    assert find_clips([folder / "c.png", folder]) == [folder / "c.png", *expected[:2]]
    assert find_clips([folder / "notes.txt"]) == [folder / "notes.txt"]  # by name: the door decides
    with pytest.raises(UsageError, match="no such file or folder"):
        find_clips([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="network addresses"):
        find_clips(["https://127.0.0.1:9/a.mp4"])


def test_probe_states_facts(clip_file):
    info = probe(clip_file)
    assert (info.width, info.height, info.frame_rate) == (64, 48, 25.0)
    assert (info.video_codec, info.audio_codec) == ("h264", "aac")
    assert (info.sample_rate, info.channels) == (16_000, 1)
    assert info.duration == pytest.approx(0.8, abs=0.1)
    assert info.size == clip_file.stat().st_size


def test_the_door_loads_neither_torch_nor_av_until_used():
    code = (
        "import sys, openaffect.media.reader, openaffect.media.folder\n"
        "print([name for name in ('torch', 'av', 'PIL', 'transformers') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
