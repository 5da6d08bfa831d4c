"""Find faces in one picture: boxes, 478 landmarks, 52 blendshapes and the pose of the head.

MediaPipe's FaceLandmarker does the work. Its detector looks at the whole picture shrunk to 128
pixels, so it misses faces that are small in the picture or that fill it. The detector here goes
from cheap to dear: the picture as it is; with a border around it; then overlapping tiles. What a
tile shows counts only if a closer look at the place shows it again, which removes nearly all
chance patterns.
"""

import os
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from openaffect.errors import WeightsError
from openaffect.media.face_geometry import fit_head, head_angles

BLENDSHAPE_NAMES = (
    "_neutral",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
)

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels

BORDERS = (0.3, 0.75)  # widths of the replicated border, as a share of the shorter side
BORDERED_SIDE = 300  # pixels the shorter side keeps at least when it is shrunk before that
TILE_SHARES = (1.0, 0.5)  # sides of the square tiles, as a share of the shorter side
TILE_OVERLAP = 0.5  # of neighbouring tiles
MIN_FACE = 16  # pixels; what seems a face below this is mostly an eye or a pattern
SURE_FACE = 28  # pixels; a quick look's smaller face counts only if a closer look confirms it
MIN_TILE = 100  # pixels; smaller tiles hold no face worth reading
MAX_TILES = 64  # of one size; a picture so long that it needs more is searched without them
CLOSER_LOOKS = (2.0, 3.2)  # sides of the crops that must show a tile's face again, per face side
SAME_FACE = 0.4  # two boxes that share more than this (intersection over union) are one face
INSIDE = 0.7  # ... or when this share of the smaller box lies in the larger one
MAX_SIDE = 1600  # the whole picture is shrunk to this before the first pass; tiles are not


@dataclass(frozen=True)
class Face:
    """One face in one frame."""

    frame: int  # index of the frame among the frames that were looked at
    time: float  # of that frame, seconds on the clip's own clock
    box: Box  # x0, y0, x1, y1 around all landmarks, pixels; may reach outside the picture
    landmarks: np.ndarray  # (478, 3) float32: x, y in pixels, z in pixels, smaller is closer
    blendshapes: np.ndarray  # (52,) float32, 0..1, in the order of BLENDSHAPE_NAMES
    pose: np.ndarray  # (3,) float32: yaw, pitch, roll in degrees (see head_angles)

    @property
    def side(self) -> float:
        """Side of a square with the box's area, pixels."""
        return box_side(self.box)


def box_area(box: Box) -> float:
    """Area of a box in square pixels."""
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def box_side(box: Box) -> float:
    """Side of a square with the box's area, pixels."""
    return float(np.sqrt(box_area(box)))


def box_overlap(a: Box, b: Box) -> tuple[float, float]:
    """Intersection over union of two boxes, and intersection over the smaller one's area."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = box_area(a) + box_area(b) - shared
    smaller = min(box_area(a), box_area(b))
    return (shared / union if union > 0 else 0.0, shared / smaller if smaller > 0 else 0.0)


def same_face(a: Box, b: Box) -> bool:
    """Whether two boxes found in one picture are the same face."""
    union, inside = box_overlap(a, b)
    return union > SAME_FACE or inside > INSIDE


def cut_square(pixels: np.ndarray, x: float, y: float, side: float) -> tuple[np.ndarray, int, int]:
    """A square of ``pixels`` (H, W, 3), the edge replicated where it reaches outside.

    Returns the (S, S, 3) pixels and the whole-pixel position of their top left corner.
    """
    left, top, size = round(x), round(y), max(round(side), 1)
    rows = np.clip(np.arange(top, top + size), 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(left, left + size), 0, pixels.shape[1] - 1)
    return pixels[rows[:, None], columns[None]], left, top


def tile_corners(height: int, width: int, share: float) -> list[tuple[int, int, int]]:
    """Left, top and side of overlapping square tiles that cover a picture."""
    side = max(round(min(height, width) * share), 1)
    step = side * (1.0 - TILE_OVERLAP)
    starts = []
    for extent in (height, width):
        count = int(np.ceil((extent - side) / step)) + 1
        starts.append([round(v) for v in np.linspace(0, extent - side, count)])
    return [(left, top, side) for top in starts[0] for left in starts[1]]


class FaceDetector:
    """Finds faces; a context manager, to be closed after use.

    ``model_path``: the ``face_landmarker.task`` file. ``max_faces``: how many faces one picture
    may give (the largest stay). ``min_confidence``: of MediaPipe's detector and landmark model.
    Raises WeightsError when the file is missing or is no face landmarker.
    """

    def __init__(
        self, model_path: str | Path, max_faces: int = 4, min_confidence: float = 0.3
    ) -> None:
        self.max_faces = max_faces
        # MediaPipe waits for a native call that uses the caller's memory. What interrupts the
        # caller, such as a cancelled request, must not end that wait: a thread of its own does it.
        self._thread = ThreadPoolExecutor(1, "face-landmarks")
        self._landmarker: Any = None
        path = Path(model_path)
        if not path.is_file():
            raise WeightsError(
                f"the face landmark model is missing: {path}; "
                "run `openaffect models pull omni-emotion-small`"
            )
        with _native_messages_dropped():
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            self._mediapipe = mediapipe
            try:
                self._landmarker = vision.FaceLandmarker.create_from_options(
                    vision.FaceLandmarkerOptions(
                        base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
                        running_mode=vision.RunningMode.IMAGE,
                        num_faces=max_faces,
                        min_face_detection_confidence=min_confidence,
                        min_face_presence_confidence=min_confidence,
                        output_face_blendshapes=True,
                    )
                )
            except (RuntimeError, ValueError) as error:
                raise WeightsError(
                    f"{path} is not a MediaPipe face landmark model; "
                    "run `openaffect models verify omni-emotion-small`"
                ) from error
            self._finalizer = weakref.finalize(
                self, _close_landmarker, self._landmarker, self._thread
            )
            # the first call is the one that prints
            self._look(np.zeros((64, 64, 3), np.uint8))

    def __enter__(self) -> "FaceDetector":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the native model; closing twice is allowed."""
        if self._landmarker is not None:
            self._finalizer()
            self._landmarker = None

    def detect(
        self, pixels: np.ndarray, *, frame: int = 0, time: float = 0.0, thorough: bool = True
    ) -> list[Face]:
        """The faces in a picture ((H, W, 3) uint8 RGB), largest first.

        ``thorough=False`` leaves out the search in tiles. ``frame`` and ``time`` are written
        into the faces.
        """
        _check_picture(pixels)
        faces = self.detect_quick(pixels, frame=frame, time=time)
        if thorough:
            faces = self.detect_in_tiles(pixels, faces, frame=frame, time=time)
        return faces

    def detect_quick(self, pixels: np.ndarray, *, frame: int = 0, time: float = 0.0) -> list[Face]:
        """The faces that a look at the whole picture shows, else one with a border around it."""
        faces: list[Face] = []
        for border in (0.0, *BORDERS):
            shorter = min(pixels.shape[:2])
            # a face that needs a border fills the picture, and is still large when that is shrunk
            step = max(1, shorter // BORDERED_SIDE) if border else 1
            margin = round(shorter * border) // step
            padded = np.pad(
                pixels[::step, ::step], ((margin, margin), (margin, margin), (0, 0)), mode="edge"
            )
            corner = (-margin * step, -margin * step)
            for face in self._place(self._look(padded), frame, time, corner, step):
                sure = face if face.side >= SURE_FACE else self._look_closer(pixels, face)
                if sure is not None:
                    faces.append(sure)
            if faces:
                break
        return self._merge(faces)

    def detect_in_tiles(
        self, pixels: np.ndarray, known: Sequence[Face], *, frame: int = 0, time: float = 0.0
    ) -> list[Face]:
        """``known`` faces and those that overlapping tiles show and a closer look confirms."""
        height, width = pixels.shape[:2]
        faces = list(known)
        # places that are settled are painted over: looking at them again is the dearest part
        canvas = pixels.copy()
        for face in faces:
            _paint_over(canvas, face.box)
        for share in TILE_SHARES:
            corners = tile_corners(height, width, share)
            if len(corners) > MAX_TILES or not MIN_TILE <= corners[0][2] < max(height, width):
                continue
            for left, top, side in corners:
                tile = canvas[top : top + side, left : left + side]
                for candidate in self._place(self._look(tile), frame, time, (left, top)):
                    _paint_over(canvas, candidate.box)
                    if any(same_face(candidate.box, face.box) for face in faces):
                        continue
                    confirmed = self._look_closer(pixels, candidate)
                    if confirmed is not None:
                        faces.append(confirmed)
                        _paint_over(canvas, confirmed.box)
        return self._merge(faces)

    def detect_near(
        self, pixels: np.ndarray, box: Box, *, frame: int = 0, time: float = 0.0
    ) -> Face | None:
        """The face at or next to ``box``, where a face was seen a moment ago, if there is one."""
        side = box_side(box)
        if side < 1:
            return None
        found = self._look_around(pixels, box, CLOSER_LOOKS[-1], frame, time)
        alike = [face for face in found if 0.5 < face.side / side < 2.0]
        return max(alike, key=lambda face: box_overlap(face.box, box)[0], default=None)

    def _look_closer(self, pixels: np.ndarray, candidate: Face) -> Face | None:
        """The candidate as the tightest crop shows it, or None unless every crop shows it."""
        seen: list[Face] = []
        for factor in CLOSER_LOOKS:
            found = self._look_around(
                pixels, candidate.box, factor, candidate.frame, candidate.time
            )
            best = max(
                found, key=lambda face: box_overlap(face.box, candidate.box)[0], default=None
            )
            if best is None or box_overlap(best.box, candidate.box)[0] < SAME_FACE:
                return None
            seen.append(best)
        return seen[0]

    def _look_around(
        self, pixels: np.ndarray, box: Box, factor: float, frame: int, time: float
    ) -> list[Face]:
        """Faces in a square crop around ``box``, ``factor`` times its longer side wide."""
        x0, y0, x1, y1 = box
        side = max(x1 - x0, y1 - y0) * factor
        crop, left, top = cut_square(pixels, (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side)
        return self._place(self._look(crop), frame, time, (left, top))

    def _look(self, pixels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """One call of the landmarker: (landmarks in pixels, blendshapes) of each face."""
        if self._landmarker is None:
            raise ValueError("this face detector has been closed")
        height, width = pixels.shape[:2]
        step = -(-max(height, width) // MAX_SIDE)
        data = np.ascontiguousarray(pixels[::step, ::step])
        # Nothing in the thread holds the detector, or it could be the last to do so.
        call = self._thread.submit(_detected, self._mediapipe, self._landmarker, data)
        result = call.result()
        scale = np.array([width, height, width], dtype=np.float32)
        found = []
        for points, shapes in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            landmarks = np.array([(p.x, p.y, p.z) for p in points], dtype=np.float32) * scale
            found.append((landmarks, np.array([s.score for s in shapes], dtype=np.float32)))
        return found

    def _place(
        self,
        found: list[tuple[np.ndarray, np.ndarray]],
        frame: int,
        time: float,
        corner: tuple[int, int] = (0, 0),
        scale: int = 1,
    ) -> list[Face]:
        """Faces in the coordinates of the whole picture, from those of a part shrunk by scale."""
        faces = []
        for landmarks, blendshapes in found:
            placed = landmarks * scale + np.array([*corner, 0], dtype=np.float32)
            low, high = placed[:, :2].min(0), placed[:, :2].max(0)
            box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
            if box_side(box) < MIN_FACE:
                continue
            pose = head_angles(fit_head(placed).rotation).astype(np.float32)
            faces.append(Face(frame, time, box, placed, blendshapes, pose))
        return faces

    def _merge(self, faces: Sequence[Face]) -> list[Face]:
        """Each face once, largest first, at most ``max_faces``."""
        kept: list[Face] = []
        for face in sorted(faces, key=lambda face: -face.side):
            if not any(same_face(face.box, other.box) for other in kept):
                kept.append(face)
        return kept[: self.max_faces]


def _detected(mediapipe: Any, landmarker: Any, data: np.ndarray) -> Any:
    """MediaPipe's own result of a picture (H, W, 3)."""
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
    return landmarker.detect(image)


def _close_landmarker(landmarker: Any, thread: ThreadPoolExecutor) -> None:
    """Free the native model once its last call has ended, also while the interpreter ends.

    MediaPipe's worker thread is gone by then. The memory goes with the process; the handle is taken
    away, or the landmarker's own finaliser would print a traceback.
    """
    thread.shutdown()
    try:
        landmarker.close()
    except RuntimeError:
        landmarker._handle = None


def _paint_over(canvas: np.ndarray, box: Box) -> None:
    """Fill a box with the mean of the pixels it holds."""
    x0, y0, x1, y1 = (max(round(v), 0) for v in box)
    part = canvas[y0:y1, x0:x1]
    if part.size:
        part[:] = part.mean(axis=(0, 1)).astype(np.uint8)


def _check_picture(pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"a picture must be (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}")


@contextmanager
def _native_messages_dropped() -> Iterator[None]:
    """Drop what native code writes to stderr: MediaPipe announces its start there, unasked.

    No switch of the library's own turns these lines off.
    """
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink:  # noqa: PTH123
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
