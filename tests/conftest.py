"""Fixtures that several tests share."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
EVALUATION_DATA = REPOSITORY.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real evaluation media beside the project; skips where it is absent."""
    if not EVALUATION_DATA.is_dir():
        pytest.skip("the real evaluation media do not lie beside the project")
    return EVALUATION_DATA
