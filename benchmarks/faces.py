"""How many faces are found, what that costs, and how well the expression network reads them.

    python benchmarks/faces.py [--faces FOLDER] [--clips FOLDER] [--threads 1]

``--faces``: a folder with one folder of pictures for each expression (angry, disgust, fear, happy,
neutral, sad, surprise; FER2013's layout). Prints the share of pictures in which a face is found,
and the unweighted average recall of the network, as published, over the found faces: of the plain
crop, and averaged with its mirror image. ``--clips``: a folder of video files; prints the tracks of
each. Times are processor time of all threads a picture or frame, which other work on the machine
changes less than the wall clock.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from openaffect.media.face_crops import align_crop
from openaffect.media.face_detection import FaceDetector
from openaffect.media.face_tracks import track_faces
from openaffect.media.reader import read_clip
from openaffect.models.encoders.expression_net import ExpressionNet
from openaffect.models.store import part_directory

PRESET = "omni-emotion-small"
FOLDERS = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")  # network's order
BATCH = 64


def recall(scores: np.ndarray, truth: np.ndarray) -> str:
    """Unweighted average recall, then each class's."""
    each = [float((scores.argmax(1)[truth == c] == c).mean()) for c in np.unique(truth)]
    names = ", ".join(
        f"{FOLDERS[c]} {value:.2f}" for c, value in zip(np.unique(truth), each, strict=True)
    )
    return f"{np.mean(each):.3f} ({names})"


def score(network: ExpressionNet, crops: list[np.ndarray]) -> np.ndarray:
    """Logits (N, 7) of crops."""
    rows = []
    for start in range(0, len(crops), BATCH):
        pixels = torch.from_numpy(np.stack(crops[start : start + BATCH])).permute(0, 3, 1, 2)
        with torch.no_grad():
            rows.append(network(pixels).logits.numpy())
    return np.concatenate(rows)


def measure_pictures(detector: FaceDetector, network: ExpressionNet, folder: Path) -> None:
    """Found share, cost and recall over a folder of labelled face pictures."""
    side = network.config.image_size
    crops, truth, pictures, spent = [], [], 0, 0.0
    for index, name in enumerate(FOLDERS):
        for path in sorted((folder / name).iterdir()):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            begun = time.process_time()
            faces = detector.detect(pixels)
            spent += time.process_time() - begun
            pictures += 1
            if faces:
                crops.append(align_crop(pixels, faces[0], side))
                truth.append(index)
    print(f"found {len(crops)} of {pictures} faces: {len(crops) / pictures:.1%}")
    print(f"detection {1000 * spent / pictures:.1f} ms a picture")
    labels = np.array(truth)
    begun = time.process_time()
    plain = score(network, crops)
    spent = time.process_time() - begun
    print(f"expression network {1000 * spent / len(crops):.1f} ms a face")
    print(f"UAR over found faces {recall(plain, labels)}")
    mirrored = score(network, [crop[:, ::-1] for crop in crops])
    print(f"UAR averaged with the mirror image {recall((plain + mirrored) / 2, labels)}")


def measure_clips(detector: FaceDetector, folder: Path) -> None:
    """Tracks and cost of every clip of a folder."""
    for path in sorted(folder.glob("*.mp4")):
        clip = read_clip(path)
        if clip.frames is None:
            print(f"{path.name}: {clip.frames_reason}")
            continue
        begun = time.process_time()
        tracks = track_faces(clip.frames, detector, clip.audio, clip.start)
        spent = time.process_time() - begun
        told = "; ".join(
            f"{len(track.faces)} faces of {np.mean([face.side for face in track.faces]):.0f} px, "
            f"speaking {track.speaking:.2f}"
            for track in tracks
        )
        cost = 1000 * spent / len(clip.frames)
        print(f"{path.name}: {len(clip.frames)} frames, {cost:.0f} ms each: {told or 'no face'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=Path, help="folder of labelled face pictures")
    parser.add_argument("--clips", type=Path, help="folder of video files")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments = parser.parse_args()
    if not arguments.faces and not arguments.clips:
        parser.error("give --faces, --clips or both")
    torch.set_num_threads(arguments.threads)
    network = ExpressionNet.from_pretrained(part_directory(PRESET, "expression")).eval()
    landmarks = part_directory(PRESET, "landmarks") / "face_landmarker.task"
    with FaceDetector(landmarks) as detector:
        if arguments.faces:
            measure_pictures(detector, network, arguments.faces)
        if arguments.clips:
            measure_clips(detector, arguments.clips)


if __name__ == "__main__":
    main()
