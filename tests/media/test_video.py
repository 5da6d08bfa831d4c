"""The packet index, its timeline and the decoding plan, on streams that are hard to make."""

from fractions import Fraction

import av
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from making_media import number_of, numbered_picture, write_video

from openaffect.media.reader import read_clip
from openaffect.media.sampling import Sampling
from openaffect.media.video import PacketIndex, plan, timeline

TICK = Fraction(1, 1000)
RATE = Fraction(25)


def index_of(pts, keys=(), hidden=()):
    return PacketIndex(
        pts=list(pts),
        keyframe=[i in keys for i in range(len(pts))],
        hidden=[i in hidden for i in range(len(pts))],
        last_duration=40,
    )


def test_second_fields_without_times_belong_to_their_frame():
    index = index_of([0, None, 80, None, 40, None], keys={0})
    line = timeline(index, TICK, RATE, 0.0, "mpegts")
    assert line.ticks.tolist() == [0, 40, 80]
    assert line.packets.tolist() == [0, 4, 2]
    assert not line.by_order
    assert line.end == 0.12
    which = plan([1], line, index, "h264")
    assert which.feed.tolist() == [True] * 6  # up to and with the second field of the wanted frame
    assert which.full.tolist() == [False] * 4 + [True] * 2


def test_streams_without_times_follow_the_declared_rate():
    line = timeline(index_of([None] * 4), TICK, RATE, 0.0, "mpeg")
    assert line.by_order
    np.testing.assert_allclose(line.times, [0, 0.04, 0.08, 0.12])


@given(st.integers(1, 12), st.integers(1, 6), st.sets(st.integers(0, 71), min_size=1, max_size=5))
def test_plan_feeds_each_wanted_frame_from_a_keyframe_on(groups, skip, picked):
    """Closed groups of 12 frames stored out of order, as with B-frames."""
    order = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 11, 10]
    pts = [40 * (12 * group + frame) for group in range(groups) for frame in order]
    index = index_of(pts, keys=range(0, len(pts), 12))
    line = timeline(index, TICK, RATE, 0.0, "matroska,webm")
    assert line.ticks.tolist() == sorted(pts)
    wanted = sorted({frame * skip % len(pts) for frame in picked})
    which = plan(wanted, line, index, "h264")
    for frame in wanted:
        place = pts.index(40 * frame)
        assert which.feed[place - place % 12 : place + 1].all()
        assert which.full[place]
    last = max(pts.index(40 * frame) for frame in wanted)
    assert not which.feed[last + 1 :].any()
    everything = plan(wanted, line, index, "mpeg4")
    assert everything.feed.tolist() == [place <= last for place in range(len(pts))]
    assert everything.full.all()


def test_pictures_shown_before_their_keyframe_need_the_group_before():
    """An open group: 80 and 120 are stored after the keyframe at 160 but lean on both sides."""
    pts = [0, 40] + [160, 80, 120] + [200] * 20
    index = index_of(pts, keys={0, 2})
    line = timeline(index, TICK, RATE, 0.0, "matroska,webm")
    wanted = line.ticks.tolist().index(80)
    assert plan([wanted], line, index, "h264").feed[:4].all()
    wanted = line.ticks.tolist().index(160)
    assert plan([wanted], line, index, "h264").feed.tolist()[:4] == [False, False, True, False]


def test_frames_cut_away_by_an_edit_list_are_not_shown(tmp_path):
    """Players start such a file at the sixth picture; the first five only feed the decoder."""
    whole = write_video(
        tmp_path / "whole.mp4", [numbered_picture(n) for n in range(30)], options={"bf": "0"}
    )
    with av.open(str(whole)) as source, av.open(str(tmp_path / "cut.mp4"), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        step = round(1 / (RATE * stream.time_base))
        for packet in source.demux(stream):
            if packet.size:
                packet.pts, packet.dts = packet.pts - 5 * step, packet.dts - 5 * step
                packet.stream = copy
                target.mux(packet)
    with av.open(str(tmp_path / "cut.mp4")) as container:  # PyAV's own decoding agrees
        plain = [number_of(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    assert plain == list(range(5, 30))
    for rule in (Sampling("every", 1), Sampling("uniform", 3)):
        clip = read_clip(tmp_path / "cut.mp4", sampling=rule)
        numbers = np.array([number_of(picture) for picture in clip.frames.pixels])
        assert numbers.tolist() == (plain if rule.kind == "every" else [5, 17, 29])
        np.testing.assert_allclose(clip.frames.times, (numbers - 5) / 25, atol=1e-3)
