"""Without the packages that make synthetic clips, one line names them and nothing is written."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from openaffect.cli import build_app
from openaffect.corpora.synthetic.packages import check_packages
from openaffect.errors import UsageError

HOW = "pip install -e '.[data]' in the clone"


@pytest.mark.parametrize("command", ["synth", "example"])
def test_missing_packages_are_all_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for module in ("numba", "onnxruntime", "hibari"):
        monkeypatch.setitem(sys.modules, module, None)
    out = tmp_path / "out"
    done = CliRunner().invoke(build_app(), ["data", command, "--out", str(out)])
    assert isinstance(done.exception, UsageError)
    told = f"data {command} needs numba, onnxruntime, hibari-tts: {HOW}"
    assert str(done.exception) == told
    assert not out.exists()


def test_only_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "openaffect.corpora.synthetic.packages.PACKAGES", {"sys": "sys", "not_there": "there"}
    )
    with pytest.raises(UsageError, match=r"^speech needs there: pip"):
        check_packages("speech")
