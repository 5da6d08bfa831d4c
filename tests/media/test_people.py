"""People keep their numbers from segment to segment, whether windows overlap or not."""

import numpy as np
import pytest
from posed_faces import posed_face

from openaffect.media.clip import Frames
from openaffect.media.face_tracks import FaceTrack
from openaffect.media.people import PeopleThroughout

PLACES = ((300.0, 300.0), (700.0, 320.0))  # pixels, of two people who stay where they are


def window(
    times: list[float], order: tuple[int, ...] = (0, 1), seed: int = 0
) -> tuple[list[FaceTrack], Frames]:
    """A segment with both people, the tracks in the given order of people."""
    picture = np.full((600, 1000, 3), 128, np.uint8)
    for person, (x, y) in enumerate(PLACES):
        pattern = np.random.default_rng([seed, person]).integers(0, 255, (12, 12, 3), np.uint8)
        patch = pattern.repeat(20, axis=0).repeat(20, axis=1)
        picture[int(y) - 120 : int(y) + 120, int(x) - 120 : int(x) + 120] = patch
    tracks = [
        FaceTrack(
            number,
            tuple(
                posed_face(*PLACES[person], 100, frame=frame, time=time)
                for frame, time in enumerate(times)
            ),
            number == 0,
            0.0,
        )
        for number, person in enumerate(order)
    ]
    return tracks, Frames(np.stack([picture] * len(times)), np.array(times))


@pytest.mark.parametrize(
    "second",
    [
        [8.5, 9.75, 11.0, 12.25],  # a window that shares 2 s with the one before
        [8.75, 10.0, 11.25],  # half a second before the last face: no division by zero
        [10.5, 11.75, 13.0],
    ],
    ids=["overlap", "half", "apart"],
)
def test_people_who_stay_keep_their_numbers(second: list[float]) -> None:
    known = PeopleThroughout()
    first = [0.5, 1.75, 3.0, 4.25, 5.5, 6.75, 8.0, 9.25]
    assert known.number(*window(first), shot=0) == {0: 0, 1: 1}
    assert known.number(*window(second), shot=0) == {0: 0, 1: 1}
    assert known.number(*window([s + 9 for s in second], order=(1, 0)), shot=0) == {0: 1, 1: 0}


def test_a_place_far_away_is_not_the_nearer_for_an_overlap() -> None:
    known = PeopleThroughout()
    known.number(*window([7.5, 8.5, 9.25]), shot=0)
    tracks, frames = window([8.25, 9.0, 10.5])
    assert known.number([tracks[1]], frames, shot=0) == {1: 1}
