"""Fixtures that several tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]
EVALUATION_DATA = REPOSITORY.parent / "shared"

# A busy machine must not fail a property by its own slowness.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real evaluation media beside the project; skips where it is absent."""
    if not EVALUATION_DATA.is_dir():
        pytest.skip("the real evaluation media do not lie beside the project")
    return EVALUATION_DATA


@pytest.fixture(scope="session")
def small_parts() -> dict[str, Path]:
    """Folders of omni-emotion-small by part: text, speech, frame, landmarks, expression.

    Fetched and converted on first use; skips where no source can be reached. Weights that came but
    are not the right ones fail.
    """
    from openaffect.errors import WeightsError
    from openaffect.models.pull_progress import SilentProgress
    from openaffect.models.store import pull

    try:
        return pull("omni-emotion-small", progress=SilentProgress())
    except WeightsError as error:
        if any(told in str(error) for told in ("refused", "sha256", "cannot be read")):
            raise
        pytest.skip(str(error))
