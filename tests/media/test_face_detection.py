"""Where faces are found: geometry by brute force, the detector on real pictures."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from openaffect.errors import WeightsError
from openaffect.media import face_detection
from openaffect.media.face_detection import (
    BLENDSHAPE_NAMES,
    FaceDetector,
    box_area,
    box_overlap,
    cut_square,
    tile_corners,
)
from openaffect.media.face_tracks import track_faces
from openaffect.media.reader import read_clip

FER_SAMPLE = 60  # seeded pictures of the 917
CLIPS_WITH_FACES = {  # people whose face can be seen, by clip
    "sample_00000167.mp4": 1,
    "sample_00004735.mp4": 1,
    "Ses05F_impro03_F000.mp4": 2,
}
CLIP_WITHOUT_FACES = "dia_622_utt_8_ch.mp4"

boxes = st.tuples(*[st.integers(0, 30)] * 4).map(
    lambda v: (min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]), max(v[1], v[3]))
)


@given(boxes, boxes)
def test_overlap_counts_pixels(a: tuple, b: tuple) -> None:
    grids = []
    for x0, y0, x1, y1 in (a, b):
        grid = np.zeros((30, 30), bool)
        grid[y0:y1, x0:x1] = True
        grids.append(grid)
    both, either = (grids[0] & grids[1]).sum(), (grids[0] | grids[1]).sum()
    smaller = min(grid.sum() for grid in grids)
    union, inside = box_overlap(a, b)
    assert union == pytest.approx(both / either if either else 0.0)
    assert inside == pytest.approx(both / smaller if smaller else 0.0)
    assert box_area(a) == grids[0].sum()


@given(st.integers(100, 1200), st.integers(100, 1200), st.sampled_from([1.0, 0.5]))
def test_tiles_cover_the_picture_and_overlap(height: int, width: int, share: float) -> None:
    tiles = tile_corners(height, width, share)
    seen = np.zeros((height, width), np.uint8)
    for left, top, side in tiles:
        assert 0 <= left <= width - side
        assert 0 <= top <= height - side
        seen[top : top + side, left : left + side] += 1
    assert seen.all()
    # a face of a third of a tile's side lies whole in some tile, wherever it is
    side = tiles[0][2]
    face = side // 3
    for x in range(0, width - face, max(face // 2, 1)):
        assert any(left <= x and x + face <= left + side for left, _, _ in tiles)
    for y in range(0, height - face, max(face // 2, 1)):
        assert any(top <= y and y + face <= top + side for _, top, _ in tiles)


@given(st.integers(-40, 60), st.integers(-40, 60), st.integers(1, 50))
def test_cut_square_is_a_slice_of_the_padded_picture(x: int, y: int, side: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    padded = np.pad(picture, ((100, 100), (100, 100), (0, 0)), mode="edge")
    cut, left, top = cut_square(picture, x, y, side)
    assert (left, top) == (x, y)
    np.testing.assert_array_equal(cut, padded[100 + y :, 100 + x :][:side, :side])


def test_a_missing_or_wrong_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="missing"):
        FaceDetector(tmp_path / "face_landmarker.task")
    wrong = tmp_path / "wrong.task"
    wrong.write_bytes(b"not a model at all" * 50)
    with pytest.raises(WeightsError, match=r"wrong\.task is not a MediaPipe"):
        FaceDetector(wrong)


@pytest.fixture(scope="module")
def detector(small_parts: dict[str, Path]) -> Iterator[FaceDetector]:
    with FaceDetector(small_parts["landmarks"] / "face_landmarker.task") as found:
        yield found


@pytest.fixture(scope="module")
def fer(shared: Path) -> list[np.ndarray]:
    paths = sorted((shared / "faces" / "fer").glob("*/*.jpg"))
    chosen = np.random.default_rng(20).choice(len(paths), FER_SAMPLE, replace=False)
    return [np.asarray(Image.open(paths[i]).convert("RGB")) for i in chosen]


@pytest.fixture(scope="module")
def frontal(fer: list[np.ndarray], detector: FaceDetector) -> np.ndarray:
    """A picture whose face a quick look shows, large and nearly frontal."""
    for picture in fer:
        for face in detector.detect(picture, thorough=False):
            if np.abs(face.pose).max() < 12 and face.side > 36:
                return picture
    raise AssertionError("no frontal face among the pictures")


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (7, 5), (101, 333), (64, 2000)])
def test_pictures_without_a_face_give_none(detector: FaceDetector, size: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    assert detector.detect(np.zeros((*size, 3), np.uint8)) == []
    assert detector.detect(random.integers(0, 256, (*size, 3), np.uint8)) == []


def test_wrong_arrays_are_refused(detector: FaceDetector) -> None:
    for wrong in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"must be \(H, W, 3\) uint8"):
            detector.detect(wrong)


def test_blendshapes_come_in_the_order_of_their_names(
    detector: FaceDetector, frontal: np.ndarray
) -> None:
    import mediapipe

    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frontal)
    result = detector._landmarker.detect(image)
    assert tuple(s.category_name for s in result.face_blendshapes[0]) == BLENDSHAPE_NAMES


def test_small_grey_pictures_are_found(detector: FaceDetector, fer: list[np.ndarray]) -> None:
    found = [detector.detect(picture) for picture in fer]
    assert np.mean([len(faces) > 0 for faces in found]) >= 0.85
    sides = []
    for faces in found:
        for face in faces[:1]:
            sides.append(face.side)
            assert face.landmarks.shape == (478, 3)
            assert face.blendshapes.shape == (52,)
            assert 0 <= face.blendshapes.min() <= face.blendshapes.max() <= 1
    # these pictures are cut round the face: one that is found much smaller is no face
    assert np.mean(np.array(sides) > fer[0].shape[0] / 3) > 0.97


def test_a_small_face_in_a_large_frame_needs_the_tiles(
    detector: FaceDetector, frontal: np.ndarray
) -> None:
    frame = np.full((720, 1280, 3), 110, np.uint8)
    side = 64
    frame[500 : 500 + side, 90 : 90 + side] = np.asarray(
        Image.fromarray(frontal).resize((side, side), Image.Resampling.BICUBIC)
    )
    assert detector.detect(frame, thorough=False) == []
    (face,) = detector.detect(frame, frame=3, time=1.5)
    assert (face.frame, face.time) == (3, 1.5)
    union, inside = box_overlap(face.box, (90, 500, 90 + side, 500 + side))
    assert union > 0.5
    assert inside > 0.8


def test_a_face_that_fills_a_large_frame_is_found_in_place(
    detector: FaceDetector, frontal: np.ndarray
) -> None:
    (small,) = detector.detect(frontal)[:1]
    x0, y0, x1, y1 = (round(v) for v in small.box)
    inner = frontal[max(y0, 0) : y1, max(x0, 0) : x1]
    for side in (300, 900):
        frame = np.asarray(Image.fromarray(inner).resize((side, side), Image.Resampling.BICUBIC))
        face = detector.detect(frame, thorough=False)[0]
        assert box_overlap(face.box, (0, 0, side, side))[0] > 0.7


def test_two_faces_are_told_apart_and_each_counted_once(
    detector: FaceDetector, frontal: np.ndarray
) -> None:
    frame = np.full((480, 854, 3), 110, np.uint8)
    for left, side in ((60, 240), (600, 90)):
        frame[150 : 150 + side, left : left + side] = np.asarray(
            Image.fromarray(frontal).resize((side, side), Image.Resampling.BICUBIC)
        )
    large, small = detector.detect(frame)
    assert box_overlap(large.box, (60, 150, 300, 390))[0] > 0.5
    assert box_overlap(small.box, (600, 150, 690, 240))[0] > 0.5


def test_a_face_is_found_again_near_where_it_was(
    detector: FaceDetector, frontal: np.ndarray
) -> None:
    frame = np.full((720, 1280, 3), 110, np.uint8)
    frame[300:364, 800:864] = np.asarray(Image.fromarray(frontal).resize((64, 64)))
    near = detector.detect_near(frame, (770, 320, 830, 380))
    assert near is not None
    assert box_overlap(near.box, (800, 300, 864, 364))[0] > 0.5
    assert detector.detect_near(frame, (100, 100, 160, 160)) is None
    assert detector.detect_near(frame, (100, 100, 100, 100)) is None


@pytest.mark.parametrize("name", [*CLIPS_WITH_FACES, CLIP_WITHOUT_FACES])
def test_people_of_real_clips(detector: FaceDetector, shared: Path, name: str) -> None:
    clip = read_clip(shared / "clips" / name)
    assert clip.frames is not None
    tracks = track_faces(clip.frames, detector, clip.audio, clip.start)
    assert len(tracks) == CLIPS_WITH_FACES.get(name, 0)
    assert [track.main for track in tracks] == [True, *[False] * (len(tracks) - 1)][: len(tracks)]
    for track in tracks:
        assert len(track.faces) >= 6


def test_an_unclosed_detector_ends_in_silence(small_parts: dict[str, Path]) -> None:
    program = (
        "from openaffect.media.face_detection import FaceDetector\n"
        f"detector = FaceDetector({str(small_parts['landmarks'] / 'face_landmarker.task')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_closed_detector_says_so(small_parts: dict[str, Path]) -> None:
    detector = FaceDetector(small_parts["landmarks"] / "face_landmarker.task")
    detector.close()
    detector.close()
    with pytest.raises(ValueError, match="closed"):
        detector.detect(np.zeros((10, 10, 3), np.uint8))


def test_nothing_is_printed(small_parts: dict[str, Path], capfd: pytest.CaptureFixture) -> None:
    with FaceDetector(small_parts["landmarks"] / "face_landmarker.task") as detector:
        detector.detect(np.zeros((64, 64, 3), np.uint8))
    assert capfd.readouterr() == ("", "")


def test_the_native_library_has_no_usage_logging() -> None:
    """MediaPipe from 0.10.35 on looks up play.googleapis.com once a landmarker is loaded."""
    import mediapipe

    libraries = list(Path(mediapipe.__file__).parent.rglob("*mediapipe*.so")) or list(
        Path(mediapipe.__file__).parent.rglob("*mediapipe*.d*")
    )
    assert libraries
    for library in libraries:
        content = library.read_bytes()
        assert b"play.googleapis.com" not in content
        assert b"clearcut" not in content.lower()


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="this system has no such signal")
def test_what_interrupts_the_caller_does_not_leave_a_native_call_halfway(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Left(BaseException):
        pass

    def leave(*_: object) -> None:
        raise Left

    plain, ended = face_detection._detected, []

    def slow(mediapipe: object, landmarker: object, data: np.ndarray) -> object:
        time.sleep(0.3)
        found = plain(mediapipe, landmarker, data)
        ended.append(data.sum())
        return found

    picture = np.full((64, 64, 3), 7, np.uint8)
    monkeypatch.setattr(face_detection, "_detected", slow)
    before = signal.signal(signal.SIGALRM, leave)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Left):
            detector.detect(picture, thorough=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    detector._look(picture)
    assert len(ended) == 2
