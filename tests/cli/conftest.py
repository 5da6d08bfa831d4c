"""The command within the test's own process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_checkpoint import save_tiny

from openaffect.cli import main
from openaffect.models.home import HOME_VARIABLE, home

Run = Callable[[list[str]], tuple[int, str, str]]


@pytest.fixture(scope="session")
def model(tmp_path_factory, small_parts) -> Path:
    """A tiny random model; the face detector is the small preset's."""
    assert small_parts["landmarks"].is_dir()
    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture
def own_home(tmp_path, monkeypatch, small_parts) -> Path:
    """An OPENAFFECT_HOME of the test's own that has the base weights of the real one."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "parts").symlink_to(home() / "parts")
    monkeypatch.setenv(HOME_VARIABLE, str(folder))
    return folder


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process because that is quicker: exit code, stdout and stderr."""

    def run(arguments: list[str]) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["openaffect", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        written = capsys.readouterr()
        return int(left.value.code or 0), written.out, written.err

    return run
