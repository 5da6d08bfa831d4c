"""Clips whose face cannot be seen, with several faces, and without a sound, as a detector sees."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="rendering needs numba")

from openaffect.corpora.synthetic.clip import Take, bystander_seed, play, rehearse
from openaffect.corpora.synthetic.plan import HIDDEN_WAYS, PEOPLE_PER_SPLIT, Plan, plan_clip
from openaffect.media.face_detection import FaceDetector

FACING = 50  # degrees of yaw up to which a face is surely seen


def first_plan(wanted: Callable[[Plan], bool]) -> Plan:
    return next(plan for number in count() if wanted(plan := plan_clip(1, "test", number)))


def all_facing(plan: Plan) -> bool:
    return all(abs(actor.pose.yaw) < FACING for actor in rehearse(plan).actors)


def faces(take: Take, detector: FaceDetector) -> list[int]:
    """How many faces there are in the first picture, one of the middle, and the last."""
    return [len(detector.detect(take.frames[place])) for place in (0, len(take.frames) // 2, -1)]


@pytest.fixture(scope="module")
def detector(small_parts: dict[str, Path]) -> Iterator[FaceDetector]:
    with FaceDetector(small_parts["landmarks"] / "face_landmarker.task") as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("way", HIDDEN_WAYS)
def test_a_hidden_face_is_not_found(way, anny_folder, say, detector) -> None:
    take = play(first_plan(lambda plan: plan.hidden == way))
    assert faces(take, detector) == [0, 0, 0]
    assert take.audio is not None and not take.action_units


@pytest.mark.slow
def test_a_group_shows_several_faces(anny_folder, say, detector) -> None:
    plan = first_plan(lambda plan: plan.condition == "group" and all_facing(plan))
    assert faces(play(plan), detector) == [plan.scene.people] * 3


@pytest.mark.slow
def test_a_silent_clip_shows_a_face_and_has_no_sound(anny_folder, detector) -> None:
    take = play(first_plan(lambda plan: plan.condition == "silent"))
    assert take.audio is None and not take.prosody
    assert faces(take, detector) == [1, 1, 1]


@pytest.mark.parametrize("split", range(3))
@pytest.mark.parametrize("place", [0, 15_838, 499_998, PEOPLE_PER_SPLIT - 1])
def test_bystanders_are_people_of_the_same_split(split: int, place: int) -> None:
    person = split * PEOPLE_PER_SPLIT + place
    for number in (1, 2):
        other = bystander_seed(person, number)
        assert other // PEOPLE_PER_SPLIT == split and other != person
        if place < 400_000:  # as in every corpus of seed 1 or 2
            assert other == person + 500_000 + number
