"""Faces in pictures and clips: the one place to import from.

Detection lives in ``face_detection``, crops in ``face_crops``, tracks in ``face_tracks``.
"""

from openaffect.media.face_crops import CROP_MARGIN, align_crop
from openaffect.media.face_detection import BLENDSHAPE_NAMES, Face, FaceDetector
from openaffect.media.face_tracks import FaceTrack, track_faces

__all__ = [
    "BLENDSHAPE_NAMES",
    "CROP_MARGIN",
    "Face",
    "FaceDetector",
    "FaceTrack",
    "align_crop",
    "track_faces",
]
