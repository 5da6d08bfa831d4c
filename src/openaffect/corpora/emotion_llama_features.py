"""Emotion-LLaMA's feature folders: one `.npy` file for each clip and stream, as released.

Below one folder lie `mae_340_UTT` (FaceMAE), `maeV_399_UTT` (VideoMAE) and `HL-UTT` (HuBERT), each
with `NAME.npy` of shape (1024,) or (1, 1024). A stream that a clip does not have has no file; the
released code knows no absence. Faces and voices can be recognised from such files: they are
biometric data.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openaffect.errors import UsageError

STREAM_FOLDERS = {
    "face": ("mae_340_UTT", "mae_340_23_UTT"),
    "motion": ("maeV_399_UTT", "maeVideo_399_23_UTT"),
    "voice": ("HL-UTT", "HL_23_UTT"),
}
"""Names of each stream's folder: MER2023's, which are written, and MER2024's."""

Vector = NDArray[np.float32]


def feature_path(folder: Path, stream: str, name: str) -> Path:
    """Where a stream's features of a clip are written."""
    return folder / STREAM_FOLDERS[stream][0] / f"{name}.npy"


def write_features(folder: Path, name: str, vectors: Mapping[str, Vector]) -> None:
    """Write a clip's features, each file whole or not at all; those of other streams are removed.

    `vectors` holds (D,) of each stream that the clip has.
    """
    for stream in STREAM_FOLDERS:
        path = feature_path(folder, stream, name)
        if stream not in vectors:
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{name}.{os.getpid()}.npy")
        np.save(temporary, np.asarray(vectors[stream], dtype=np.float32), allow_pickle=False)
        temporary.replace(path)


def read_features(folder: Path, name: str, sizes: Mapping[str, int]) -> dict[str, Vector]:
    """A clip's features (D,) by stream, from folders of either name; absent streams have none.

    `sizes` is what each stream's vector must measure.

    Raises:
        UsageError: a file is damaged, holds objects, or has another shape.
    """
    found = {}
    for stream, names in STREAM_FOLDERS.items():
        for path in (folder / place / f"{name}.npy" for place in names):
            if path.is_file():
                found[stream] = _read(path, sizes[stream])
                break
    return found


def _read(path: Path, size: int) -> Vector:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UsageError(f"{path}: no readable array of numbers ({error})") from error
    if array.shape not in ((size,), (1, size)) or array.dtype.kind != "f":
        raise UsageError(
            f"{path}: holds {array.dtype} of shape {array.shape}; the model takes ({size},)"
        )
    return array.reshape(size).astype(np.float32)
