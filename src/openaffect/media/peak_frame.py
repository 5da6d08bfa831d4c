"""The moment of most facial action in a clip, found from blendshape scores.

Emotion-LLaMA's corpus takes the peak frame from OpenFace's action units: the units seen most often
are summed, and the frame of the highest sum is the peak (arXiv 2406.11161, section 3.1). Here
MediaPipe's blendshapes stand in for them.
"""

import numpy as np
from numpy.typing import NDArray

from openaffect.media.face_detection import BLENDSHAPE_NAMES

ACTIVE = 0.2  # score from which an action counts as seen
MOST_SEEN = 5  # actions that are summed
NO_ACTION = ("_neutral", "eyeLook", "eyeBlink")  # not actions of an expression: rest, gaze, blinks


def peak_of(blendshapes: NDArray[np.floating]) -> int:
    """Index of the face, of blendshapes (n, 52) in order of time, in which most happens.

    Of equal ones the first. n must be at least 1.
    """
    kept = [not name.startswith(NO_ACTION) for name in BLENDSHAPE_NAMES]
    actions = blendshapes[:, kept]
    seen = (actions >= ACTIVE).sum(0)
    often = np.argsort(-seen, kind="stable")[:MOST_SEEN]
    often = often[seen[often] > 0]
    total = actions[:, often].sum(1) if len(often) else actions.sum(1)
    return int(total.argmax())
