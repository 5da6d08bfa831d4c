"""The same people from segment to segment: by place within a shot, by look across a cut.

Nobody is identified: a number says that a face in one segment looks like one in another segment of
the same recording, and nothing is kept beyond it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from openaffect.media.clip import Frames
from openaffect.media.face_detection import Face
from openaffect.media.face_tracks import (
    LOOK_MEMORY,
    MAX_COST,
    FaceTrack,
    association_cost,
    face_look,
)

NEAR = 1.5  # seconds between two segments over which a face's place still says who it is


@dataclass
class _Known:
    """A person as last seen."""

    number: int
    faces: tuple[Face, ...]  # of the latest segment that shows them
    look: np.ndarray  # running mean, length 1
    shot: int


class PeopleThroughout:
    """Numbers for the people of a recording, given segment by segment."""

    def __init__(self) -> None:
        self._known: list[_Known] = []

    def number(self, tracks: Sequence[FaceTrack], frames: Frames, shot: int) -> dict[int, int]:
        """Track of this segment -> number in the whole recording, each number at most once."""
        looks = [_mean_look(track, frames) for track in tracks]
        pairs = sorted(
            (self._cost(person, track, look, shot), p, t)
            for p, person in enumerate(self._known)
            for t, (track, look) in enumerate(zip(tracks, looks, strict=True))
        )
        numbers: dict[int, int] = {}
        taken: set[int] = set()
        for cost, p, t in pairs:
            if cost > MAX_COST or p in taken or t in numbers:
                continue
            taken.add(p)
            person = self._known[p]
            numbers[t] = person.number
            mixed = LOOK_MEMORY * person.look + (1 - LOOK_MEMORY) * looks[t]
            person.look = mixed / max(float(np.linalg.norm(mixed)), 1e-9)
            person.faces, person.shot = tracks[t].faces, shot
        for t, track in enumerate(tracks):
            if t not in numbers:
                numbers[t] = len(self._known)
                self._known.append(_Known(numbers[t], track.faces, looks[t], shot))
        return {track.id: numbers[t] for t, track in enumerate(tracks)}

    def _cost(self, person: _Known, track: FaceTrack, look: np.ndarray, shot: int) -> float:
        """As `association_cost` of the two faces next to each other in time: windows overlap."""
        first = track.faces[0]
        nearest = min(person.faces, key=lambda face: abs(face.time - first.time))
        near = person.shot == shot and abs(first.time - nearest.time) <= NEAR
        return association_cost([nearest], person.look, first, look, near)


def _mean_look(track: FaceTrack, frames: Frames) -> np.ndarray:
    mean = np.mean([face_look(frames.pixels[face.frame], face) for face in track.faces], axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-9)
