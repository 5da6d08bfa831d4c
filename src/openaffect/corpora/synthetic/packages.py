"""What making synthetic clips needs beyond the installation, asked before anything is written."""

from importlib.util import find_spec

from openaffect.errors import UsageError, install

PACKAGES = {"numba": "numba", "onnxruntime": "onnxruntime", "hibari": "hibari-tts"}
"""Module to import -> package to install."""


def check_packages(what: str) -> None:
    """Raises UsageError, naming what is made, where one of the packages is missing."""
    missing = [package for module, package in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(install(what, ", ".join(missing), "data"))
