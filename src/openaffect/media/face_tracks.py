"""Follow faces through the frames that were picked from a clip, and say whose face matters most.

The frames may lie half a second apart, so small movements alone cannot tell who is who: the
predicted place, the size, the shape of the head and the look of the face decide together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from openaffect.media.clip import Frames
from openaffect.media.face_crops import align_crop
from openaffect.media.face_detection import Box, Face, FaceDetector, box_overlap, same_face
from openaffect.media.face_geometry import RIGID_POINTS, align_landmarks, fit_head

SAMPLE_RATE = 16000  # of the audio, Hz
DEEP_SCANS = 3  # frames searched in tiles, spread evenly over each shot

# association: each term is about 1 where a pair becomes doubtful
MOVE_ALLOWED = 1.0  # face sides that a face may move between frames at any rate ...
MOVE_PER_SECOND = 2.0  # ... and per second between them
LOOK_WEIGHT = 1.5  # of 1 - correlation of two small crops
SHAPE_WEIGHT = 0.5  # of the mean distance of the heads' rigid points, centimetres
MAX_COST = 2.5  # a face and a track that cost more are different people
MAX_LOOK_DISTANCE = 0.5  # across a cut, where place says nothing, looks must agree this well
LOOK_SIDE = 12  # pixels; side of the small crop that stands for a face's look
LOOK_MARGIN = 0.25  # of that crop, so that hair and cap take part
LOOK_MEMORY = 0.7  # share of the old look kept when a track takes a new face

SHOT_CHANGE = 0.5  # histogram distance (0..1) between two frames that makes them two shots
MIN_TRACK_SHARE = 0.2  # share of the frames of its shots that a face must be seen in

MOUTH_MOTION = 0.25  # centimetres; lip gaps that vary by this much count as full motion
ENERGY_WINDOW = 0.12  # seconds of sound around a frame that its energy is taken from
MIN_SPEAKING_FRAMES = 4  # fewer frames give no correlation
SPEAKING = 0.35  # a track with at least this score, and
SPEAKING_LEAD = 0.15  # ... this much more than any other, is the speaker
SPEAKER_MIN_PROMINENCE = 0.3  # ... if not tiny beside the most prominent face


@dataclass(frozen=True)
class FaceTrack:
    """One person's face through the picked frames."""

    id: int  # 0, 1, ... in the order of the result
    faces: tuple[Face, ...]  # in order of time, at most one a frame
    main: bool  # whose face is analysed first: the speaker's, else the largest and longest seen
    speaking: float  # how well the mouth's opening follows the sound's energy, 0..1


def track_faces(
    frames: Frames,
    detector: FaceDetector,
    audio: np.ndarray | None = None,
    clip_start: float = 0.0,
) -> tuple[FaceTrack, ...]:
    """Find and follow the faces in ``frames``; the main track comes first.

    ``audio``: (S,) float32 at 16 kHz whose first sample lies at ``clip_start`` seconds on the
    clock of ``frames.times``; it serves to see who speaks. Exactly one track is main, unless
    there is none.
    """
    shots = split_shots(frames.pixels)
    found = _find_faces(frames, detector, shots)
    looks = [
        [face_look(frames.pixels[index], face) for face in faces]
        for index, faces in enumerate(found)
    ]
    chains = link_faces(found, looks, shots)
    kept = [chain for chain in chains if _seen_enough(chain, shots)]
    scores = [speaking_score(chain, audio, clip_start) for chain in kept]
    return order_tracks(kept, scores)


def split_shots(pixels: np.ndarray) -> np.ndarray:
    """Shot number (T,) of each frame: a new one starts where the colours change at once."""
    shots = np.zeros(len(pixels), dtype=np.int64)
    previous = None
    for index, frame in enumerate(pixels):
        histogram = colour_histogram(frame)
        if previous is not None:
            shots[index] = shots[index - 1] + is_cut(previous, histogram)
        previous = histogram
    return shots


def colour_histogram(frame: np.ndarray) -> np.ndarray:
    """Shares (512,) of the coarse colours of a picture (H, W, 3)."""
    step = max(1, min(frame.shape[:2]) // 64)
    coarse = (frame[::step, ::step] >> 5).astype(np.int64)
    code = (coarse[..., 0] << 6) + (coarse[..., 1] << 3) + coarse[..., 2]
    return np.bincount(code.ravel(), minlength=512) / code.size


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two colour histograms are so unlike that a cut lies between their pictures."""
    return bool(np.abs(before - after).sum() / 2 > SHOT_CHANGE)


def face_look(pixels: np.ndarray, face: Face) -> np.ndarray:
    """A small upright crop, (3 * LOOK_SIDE**2,) with mean 0 and length 1."""
    crop = align_crop(pixels, face, 4 * LOOK_SIDE, LOOK_MARGIN)
    small = np.asarray(Image.fromarray(crop).resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX))
    look = small.astype(np.float64).ravel()
    look -= look.mean()
    length = np.linalg.norm(look)
    return look / length if length > 0 else look


def _find_faces(frames: Frames, detector: FaceDetector, shots: np.ndarray) -> list[list[Face]]:
    """Faces of every frame: a quick look everywhere, tiles on some, then around known places."""
    found: list[list[Face]] = []
    deep = _deep_frames(shots)
    for index, (pixels, time) in enumerate(zip(frames.pixels, frames.times, strict=True)):
        faces = detector.detect(pixels, frame=index, time=float(time), thorough=index in deep)
        found.append(faces)
    count = len(found)
    for order in (range(1, count), range(count - 2, -1, -1)):
        step = 1 if order.step > 0 else -1
        for index in order:
            if shots[index] != shots[index - step]:
                continue
            for known in found[index - step]:
                if len(found[index]) >= detector.max_faces:
                    break
                if any(_may_be_same(known.box, face.box) for face in found[index]):
                    continue
                near = detector.detect_near(
                    frames.pixels[index],
                    known.box,
                    frame=index,
                    time=float(frames.times[index]),
                )
                if near and not any(same_face(near.box, face.box) for face in found[index]):
                    found[index].append(near)
    return found


def _deep_frames(shots: np.ndarray) -> set[int]:
    """The frames that are searched in tiles: DEEP_SCANS of every shot, evenly spread."""
    chosen: set[int] = set()
    for shot in np.unique(shots):
        members = np.flatnonzero(shots == shot)
        picks = (np.arange(min(DEEP_SCANS, len(members))) + 0.5) * len(members)
        chosen.update(int(members[int(p)]) for p in picks / min(DEEP_SCANS, len(members)))
    return chosen


def _may_be_same(a: Box, b: Box) -> bool:
    """Whether boxes of neighbouring frames overlap enough to be one person who moved a little."""
    union, inside = box_overlap(a, b)
    return union > 0.2 or inside > 0.5


@dataclass
class _Chain:
    """A track while it grows."""

    faces: list[Face]
    look: np.ndarray  # running mean of the faces' looks, length 1
    shot: int  # of the last face


def link_faces(
    found: Sequence[Sequence[Face]], looks: Sequence[Sequence[np.ndarray]], shots: np.ndarray
) -> list[tuple[Face, ...]]:
    """Join faces of one person: greedily, the surest pair of every frame first.

    ``found[t]`` are the faces of frame t, ``looks`` their :func:`face_look`, ``shots`` (T,) the
    frames' shots. Returns chains in order of appearance, each at most one face a frame.
    """
    chains: list[_Chain] = []
    for index, (faces, frame_looks) in enumerate(zip(found, looks, strict=True)):
        shot = int(shots[index])
        pairs = sorted(
            (association_cost(chain.faces, chain.look, face, look, chain.shot == shot), c, f)
            for c, chain in enumerate(chains)
            for f, (face, look) in enumerate(zip(faces, frame_looks, strict=True))
        )
        taken_chains: set[int] = set()
        taken_faces: set[int] = set()
        for cost, c, f in pairs:
            if cost > MAX_COST or c in taken_chains or f in taken_faces:
                continue
            taken_chains.add(c)
            taken_faces.add(f)
            chain = chains[c]
            chain.faces.append(faces[f])
            mixed = LOOK_MEMORY * chain.look + (1 - LOOK_MEMORY) * frame_looks[f]
            length = np.linalg.norm(mixed)
            chain.look = mixed / length if length > 0 else mixed
            chain.shot = shot
        for f, face in enumerate(faces):
            if f not in taken_faces:
                chains.append(_Chain([face], frame_looks[f], shot))
    return [tuple(chain.faces) for chain in chains]


def association_cost(
    chain: Sequence[Face], chain_look: np.ndarray, face: Face, look: np.ndarray, same_shot: bool
) -> float:
    """How unlike a chain and a face are; above MAX_COST they are different people.

    The face may come before the chain's last one, as in windows that overlap.
    """
    last = chain[-1]
    look_distance = 1.0 - float(chain_look @ look)
    shape = SHAPE_WEIGHT * head_distance(last, face)
    if not same_shot:
        return shape + LOOK_WEIGHT * look_distance if look_distance < MAX_LOOK_DISTANCE else np.inf
    gap = abs(face.time - last.time)
    side = max((last.side + face.side) / 2, 1.0)
    moved = float(np.linalg.norm(_centre(face) - _predict(chain, face.time))) / side
    place = moved / (MOVE_ALLOWED + MOVE_PER_SECOND * gap)
    size = abs(np.log2(max(face.side, 1.0) / max(last.side, 1.0)))
    return place + float(size) + shape + LOOK_WEIGHT * look_distance


def head_distance(a: Face, b: Face) -> float:
    """Mean distance in centimetres of two heads' rigid points, their place and turn removed."""
    chosen = list(RIGID_POINTS)
    shapes = [align_landmarks(f.landmarks, fit_head(f.landmarks))[chosen] for f in (a, b)]
    return float(np.linalg.norm(shapes[0][:, :2] - shapes[1][:, :2], axis=1).mean())


def _centre(face: Face) -> np.ndarray:
    x0, y0, x1, y1 = face.box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2])


def _predict(chain: Sequence[Face], time: float) -> np.ndarray:
    """Where the chain's face would be now had it gone on as before, but at most one gap more."""
    last = _centre(chain[-1])
    if len(chain) < 2:
        return last
    elapsed = chain[-1].time - chain[-2].time
    if elapsed <= 0:
        return last
    velocity = (last - _centre(chain[-2])) / elapsed
    return last + velocity * min(time - chain[-1].time, elapsed)


def _seen_enough(chain: Sequence[Face], shots: np.ndarray) -> bool:
    own = {int(shots[face.frame]) for face in chain}
    frames = int(np.isin(shots, list(own)).sum())
    return len(chain) >= MIN_TRACK_SHARE * frames


def mouth_opening(face: Face) -> float:
    """Gap between the inner lips, in centimetres of the canonical face."""
    aligned = align_landmarks(face.landmarks, fit_head(face.landmarks))
    return float(np.linalg.norm(aligned[14] - aligned[13]))


def speaking_score(faces: Sequence[Face], audio: np.ndarray | None, clip_start: float) -> float:
    """0..1: correlation of the mouth's opening with the sound's energy, times how much it moves.

    0 without sound, with fewer than MIN_SPEAKING_FRAMES faces inside it, or a still mouth.
    """
    if audio is None or len(faces) < MIN_SPEAKING_FRAMES:
        return 0.0
    half = round(ENERGY_WINDOW * SAMPLE_RATE / 2)
    gaps, energies = [], []
    for face in faces:
        middle = round((face.time - clip_start) * SAMPLE_RATE)
        window = audio[max(middle - half, 0) : max(middle + half, 0)]
        if len(window):
            gaps.append(mouth_opening(face))
            energies.append(np.log(np.mean(np.square(window, dtype=np.float64)) + 1e-8))
    if len(gaps) < MIN_SPEAKING_FRAMES or np.std(gaps) < 1e-6 or np.std(energies) < 1e-6:
        return 0.0
    correlation = float(np.corrcoef(gaps, energies)[0, 1])
    return max(correlation, 0.0) * min(float(np.std(gaps)) / MOUTH_MOTION, 1.0)


def order_tracks(
    chains: Sequence[tuple[Face, ...]], scores: Sequence[float]
) -> tuple[FaceTrack, ...]:
    """Tracks, the main one first, the others by how large and how long they are seen."""
    if not chains:
        return ()
    prominence = np.array([sum(face.side for face in chain) for chain in chains])
    main = int(np.argmax(prominence))
    speaker = int(np.argmax(scores))
    others = [score for index, score in enumerate(scores) if index != speaker]
    if (
        scores[speaker] >= SPEAKING
        and scores[speaker] >= max(others, default=0.0) + SPEAKING_LEAD
        and prominence[speaker] >= SPEAKER_MIN_PROMINENCE * prominence[main]
    ):
        main = speaker
    order = sorted(range(len(chains)), key=lambda index: (index != main, -prominence[index]))
    return tuple(
        FaceTrack(number, chains[index], index == main, float(scores[index]))
        for number, index in enumerate(order)
    )
