"""Kept analyses: taken where the very file was analysed before, made anew where it changed."""

from dataclasses import replace
from pathlib import Path

import pytest
from analysis_examples import bare_analysis

from openaffect.errors import UsageError
from openaffect.evaluation import analyses
from openaffect.evaluation.analyses import Analyses
from openaffect.inference.options import AnalyzeOptions
from openaffect.media.digest import file_sha256
from openaffect.results.analysis import Analysis


class Reader:
    """Tells nothing of a clip but which file it was; counts how often it is asked."""

    def __init__(self, configuration: str = "c") -> None:
        self.identity = {"parts": {"text": "1"}, "configuration": configuration}
        self.asked = 0

    def analyze(self, path: Path, options: AnalyzeOptions) -> Analysis:
        self.asked += 1
        told = bare_analysis(str(path))
        return replace(told, clip=replace(told.clip, sha256=file_sha256(path)))


def test_a_changed_file_is_analysed_anew(tmp_path):
    clip, reader = tmp_path / "a.mp4", Reader()
    clip.write_bytes(b"first")
    first = Analyses(reader, tmp_path).of(clip)
    assert Analyses(reader, tmp_path).of(clip) == first and reader.asked == 1
    clip.write_bytes(b"second")
    second = Analyses(reader, tmp_path).of(clip)
    assert second.clip.sha256 == file_sha256(clip) != first.clip.sha256 and reader.asked == 2
    assert Analyses(reader, tmp_path).of(clip) == second and reader.asked == 2


def test_analyses_of_another_configuration_or_version_are_not_taken(tmp_path, monkeypatch):
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"first")
    Analyses(Reader(), tmp_path).of(clip)
    with pytest.raises(UsageError, match=r"\(other configuration\)"):
        Analyses(Reader("d"), tmp_path)
    monkeypatch.setattr(analyses, "__version__", "0.0")
    with pytest.raises(UsageError, match=r"\(other openaffect\)"):
        Analyses(Reader(), tmp_path)
