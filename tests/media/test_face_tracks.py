"""Who is who from frame to frame, and who is main."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from posed_faces import open_mouth, posed_face

from openaffect.media.face_detection import Face
from openaffect.media.face_tracks import (
    SAMPLE_RATE,
    face_look,
    link_faces,
    mouth_opening,
    order_tracks,
    speaking_score,
    split_shots,
)


def look(seed: int) -> np.ndarray:
    """A look of its own for every person."""
    values = np.random.default_rng(seed).normal(size=432)
    values -= values.mean()
    return values / np.linalg.norm(values)


def walk(paths: list[list[tuple[float, float, float] | None]], gap: float) -> list[list[Face]]:
    """Faces by frame from each person's (x, y, side), None where unseen."""
    count = len(paths[0])
    return [
        [
            posed_face(*path[index], frame=index, time=index * gap)
            for path in paths
            if path[index] is not None
        ]
        for index in range(count)
    ]


def same_looks(found: list[list[Face]]) -> list[list[np.ndarray]]:
    return [[look(0) for _ in faces] for faces in found]


def test_nothing_in_nothing_out() -> None:
    assert link_faces([], [], np.zeros(0, int)) == []
    assert link_faces([[], []], [[], []], np.zeros(2, int)) == []
    assert order_tracks([], []) == ()


@settings(max_examples=60)
@given(
    st.integers(1, 4),
    st.integers(2, 10),
    st.floats(0.03, 0.8),
    st.integers(0, 2**32 - 1),
)
def test_people_who_move_smoothly_keep_their_identity(
    people: int, count: int, gap: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    # 320 pixels apart, faces of 80 to 120, up to half a face of motion a frame
    starts = [np.array([200 + 320 * p, random.uniform(200, 500)]) for p in range(people)]
    steps = [random.uniform(-0.5, 0.5, 2) * 80 * min(gap, 0.3) for _ in range(people)]
    sides = random.uniform(80, 120, people)
    paths = [
        [(*(starts[p] + i * steps[p]), sides[p] * random.uniform(0.95, 1.05)) for i in range(count)]
        for p in range(people)
    ]
    found = walk(paths, gap)
    order = [random.permutation(people) for _ in range(count)]
    shuffled = [[faces[i] for i in o] for faces, o in zip(found, order, strict=True)]
    chains = link_faces(shuffled, same_looks(shuffled), np.zeros(count, int))
    assert len(chains) == people
    truth = {id(face): p for faces in found for p, face in enumerate(faces)}
    for chain in chains:
        assert len({truth[id(face)] for face in chain}) == 1
        assert [face.frame for face in chain] == list(range(count))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_every_face_is_in_exactly_one_track_and_no_track_twice_in_a_frame(seed: int) -> None:
    random = np.random.default_rng(seed)
    found = [
        [
            posed_face(*random.uniform(0, 900, 2), random.uniform(30, 200), frame=i, time=0.4 * i)
            for _ in range(random.integers(0, 4))
        ]
        for i in range(7)
    ]
    looks = [[look(int(random.integers(0, 3))) for _ in faces] for faces in found]
    shots = np.cumsum(random.random(7) < 0.3)
    chains = link_faces(found, looks, shots)
    placed = [id(face) for chain in chains for face in chain]
    assert sorted(placed) == sorted(id(face) for faces in found for face in faces)
    for chain in chains:
        frames = [face.frame for face in chain]
        assert frames == sorted(set(frames))


@pytest.mark.parametrize("gap", [0.1, 0.25, 0.5])
def test_people_who_cross_are_not_swapped(gap: float) -> None:
    steps = np.linspace(0, 1, 9)
    left = [(200 + 500 * s, 300.0, 100.0) for s in steps]
    right = [(700 - 500 * s, 310.0, 100.0) for s in steps]
    found = walk([left, right], gap)
    looks = [[look(1), look(2)] for _ in found]
    chains = link_faces(found, looks, np.zeros(9, int))
    assert len(chains) == 2
    for chain in chains:
        person = found[0].index(chain[0])
        assert all(face is found[i][person] for i, face in enumerate(chain))


def test_a_face_unseen_for_a_while_is_the_same_person() -> None:
    path = [(300.0 + 4 * i, 200.0, 90.0) if i not in (3, 4) else None for i in range(8)]
    found = walk([path], 0.5)
    (chain,) = link_faces(found, same_looks(found), np.zeros(8, int))
    assert [face.frame for face in chain] == [0, 1, 2, 5, 6, 7]


def test_after_a_cut_place_says_nothing_and_looks_decide() -> None:
    # shot and reverse shot: two people at the same place, then the first again
    found = walk([[(300.0, 200.0, 90.0)] * 6], 0.5)
    shots = np.array([0, 0, 1, 1, 2, 2])
    looks = [[look(1)], [look(1)], [look(2)], [look(2)], [look(1)], [look(1)]]
    chains = link_faces(found, looks, shots)
    assert [[face.frame for face in chain] for chain in chains] == [[0, 1, 4, 5], [2, 3]]


def test_looks_tell_pictures_apart_but_not_brightness() -> None:
    random = np.random.default_rng(0)
    face = posed_face(60, 60, 60)
    picture = random.integers(40, 120, (12, 12, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    other = random.integers(40, 120, (12, 12, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    assert face_look(picture, face) @ face_look(2 * picture, face) > 0.98
    assert face_look(picture, face) @ face_look(other, face) < 0.5
    assert not face_look(np.zeros((9, 9, 3), np.uint8), face).any()


def test_shots_change_where_the_picture_does() -> None:
    random = np.random.default_rng(1)
    base = random.integers(0, 100, (90, 160, 3))
    frames = [base + random.integers(0, 8, base.shape) for _ in range(3)]
    frames += [255 - base - random.integers(0, 8, base.shape) for _ in range(2)]
    pixels = np.stack(frames).clip(0, 255).astype(np.uint8)
    np.testing.assert_array_equal(split_shots(pixels), [0, 0, 0, 1, 1])
    assert split_shots(np.zeros((1, 1, 1, 3), np.uint8)).tolist() == [0]


def speech(loudness: np.ndarray, gap: float) -> np.ndarray:
    """Noise whose loudness follows one value a frame."""
    times = np.arange(round(len(loudness) * gap * SAMPLE_RATE)) / SAMPLE_RATE
    envelope = np.interp(times, np.arange(len(loudness)) * gap, loudness)
    noise = np.random.default_rng(2).normal(size=len(times))
    return (envelope * noise).astype(np.float32)


def talker(opening: np.ndarray, gap: float, x: float, start: float = 0.0) -> tuple[Face, ...]:
    return tuple(
        posed_face(x, 200, 100, frame=i, time=start + i * gap, moved=open_mouth(float(o)))
        for i, o in enumerate(opening)
    )


def test_mouth_opening_is_in_centimetres_whatever_the_size() -> None:
    rest, wide = (mouth_opening(posed_face(moved=open_mouth(gap))) for gap in (0.0, 2.0))
    # the resting lips lie at slightly different depths, so the gap grows by a little less
    assert wide - rest == pytest.approx(2.0, abs=0.05)
    assert mouth_opening(posed_face(side=20, moved=open_mouth(2.0))) == pytest.approx(
        wide, abs=0.01
    )


def test_the_mouth_that_follows_the_sound_speaks() -> None:
    opening = np.array([0, 1, 0.2, 1.2, 0, 0, 0.9, 0.1, 1.1, 0])
    audio = speech(0.01 + 0.2 * opening, 0.4)
    moving, still = talker(opening, 0.4, 200), talker(0 * opening, 0.4, 500)
    against = talker(1.2 - opening, 0.4, 800)
    assert speaking_score(moving, audio, 0.0) > 0.8
    assert speaking_score(still, audio, 0.0) == 0.0
    assert speaking_score(against, audio, 0.0) == 0.0
    assert speaking_score(moving, None, 0.0) == 0.0
    assert speaking_score(moving, np.zeros_like(audio), 0.0) == 0.0


def test_sound_is_looked_up_on_the_clips_own_clock() -> None:
    opening = np.array([0, 1, 0.2, 1.2, 0, 0, 0.9, 0.1, 1.1, 0])
    audio = speech(0.01 + 0.2 * opening, 0.4)
    late = talker(opening, 0.4, 200, start=7.0)
    assert speaking_score(late, audio, 7.0) > 0.8
    assert speaking_score(late, audio, 0.0) == 0.0


def test_the_speaker_is_main_else_the_largest_and_longest() -> None:
    small = tuple(posed_face(100, 100, 60, frame=i) for i in range(8))
    large = tuple(posed_face(400, 100, 100, frame=i) for i in range(8))
    brief = tuple(posed_face(700, 100, 120, frame=i) for i in range(2))
    tracks = order_tracks([small, large, brief], [0.0, 0.0, 0.0])
    assert [track.faces for track in tracks] == [large, small, brief]
    assert [track.main for track in tracks] == [True, False, False]
    assert [track.id for track in tracks] == [0, 1, 2]
    assert order_tracks([small, large], [0.8, 0.1])[0].faces == small
    # both seem to speak: nobody is surely the speaker
    assert order_tracks([small, large], [0.8, 0.7])[0].faces == large
