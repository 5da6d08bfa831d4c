"""Face signals as a few named measures that facial actions move, left and right averaged.

Distances are centimetres against the canonical face at rest, the head's turn taken out; they are
positive for what their name says. Blendshapes keep their names, without the side.
"""

import numpy as np
from numpy.typing import NDArray

from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.face_signals import FACE_SIGNAL_NAMES

# Numbers of points within the parts of `media.face_geometry`.
INNER_BROW, MIDDLE_BROW, OUTER_BROW = (3, 4, 8, 9), (2, 7), (0, 1, 5, 6)
UPPER_LID, LOWER_LID = (11, 12, 13), (3, 4, 5)
LIP_CORNERS, UPPER_LIP, LOWER_LIP = (0, 10), (14, 15, 16), (4, 5, 6)
UPPER_SIDES, LOWER_SIDES = (12, 13, 17, 18), (2, 3, 7, 8)

_AT = {name: index for index, name in enumerate(FACE_SIGNAL_NAMES)}


def face_measures(signals: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """Measures by name, each (n,), of n faces' signals (n, FACE_SIGNAL_SIZE)."""
    signals = np.asarray(signals, np.float64)

    def of(*names: str) -> NDArray[np.float64]:
        return signals[:, [_AT[name] for name in names]].mean(1)

    def both(part: str, points: tuple[int, ...]) -> NDArray[np.float64]:
        """Height of points of a part that has a right and a left one; up is positive."""
        return -of(*(f"{side}{part}{point}.y" for side in ("right", "left") for point in points))

    def lip(part: str, points: tuple[int, ...]) -> NDArray[np.float64]:
        return -of(*(f"{part}{point}.y" for point in points))

    inner, outer = both("Brow", INNER_BROW), both("Brow", OUTER_BROW)
    upper_lid, lower_lid = both("Eye", UPPER_LID), both("Eye", LOWER_LID)
    corners = lip("outerLips", LIP_CORNERS)
    upper_inner, lower_inner = lip("innerLips", UPPER_LIP), lip("innerLips", LOWER_LIP)
    apart = of("leftBrow4.x", "leftBrow9.x") - of("rightBrow4.x", "rightBrow9.x")
    measures = {
        "innerBrowUp": inner,
        "outerBrowUp": outer,
        "browSlant": inner - outer,
        "browLidGap": both("Brow", MIDDLE_BROW) - upper_lid,
        "browsApart": apart / 2,
        "upperLidUp": upper_lid,
        "lowerLidUp": lower_lid,
        "eyeOpening": upper_lid - lower_lid,
        "cheekUp": -of("cheek0.y", "cheek1.y"),
        "noseWingUp": -of("noseWing0.y", "noseWing1.y"),
        "lipCornerUp": corners,
        "lipCornerApart": (of("outerLips10.x") - of("outerLips0.x")) / 2,
        "lipCornerLift": corners - (upper_inner + lower_inner) / 2,
        "upperLipUp": upper_inner,
        "upperLipSquare": lip("outerLips", UPPER_SIDES) - corners,
        "lowerLipDown": -lower_inner,
        "mouthOpening": upper_inner - lower_inner,
        "chinDown": of("chin0.y"),
        "pitch": of("pitch"),
        "turn": np.abs(of("yaw")),
    }
    for name in BLENDSHAPE_NAMES:
        if name.endswith("Left") and name.removesuffix("Left") + "Right" in _AT:
            stem = name.removesuffix("Left")
            measures[stem] = of(name, f"{stem}Right")
        elif not name.endswith("Right"):
            measures[name] = of(name)
    return measures
