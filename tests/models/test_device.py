"""Devices are checked before anything is loaded onto them."""

import pytest
import torch

from openaffect.errors import UsageError
from openaffect.inference.analyzer import Analyzer
from openaffect.models.device import checked_device
from openaffect.training.recipe import Recipe, Schedule
from openaffect.training.stage import run_stage

NO_SUCH = ("gpu", "cuda:99", "mps:7", "meta", "cpu:3", "")


@pytest.mark.parametrize("name", NO_SUCH)
def test_an_absent_device_is_refused_with_those_there(name):
    with pytest.raises(UsageError, match="no such device; there is cpu"):
        checked_device(name)


def test_what_is_there_is_taken(monkeypatch):
    assert checked_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=r"there is cpu$"):  # they cannot be used
        checked_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert checked_device("cuda") == torch.device("cuda")
    assert checked_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UsageError, match="there is cpu, cuda, cuda:1"):
        checked_device("cuda:2")


@pytest.mark.parametrize("name", NO_SUCH)
def test_it_is_refused_before_a_model_is_looked_for(name):
    with pytest.raises(UsageError, match="no such device"):
        Analyzer.load("nonesuch", device=name)


def test_a_recipe_for_an_absent_device_is_refused_first(tmp_path):
    recipe = Recipe(
        stage="align",
        model="nonesuch",
        output=str(tmp_path / "out"),
        trains=("fusion",),
        corpora={},
        schedule=Schedule(steps=1, learning_rate=1e-3),
        device="cuda:99",
    )
    with pytest.raises(UsageError, match="no such device"):
        run_stage(recipe)
    assert not (tmp_path / "out").exists()


def test_the_recogniser_runs_where_the_model_does(small_parts, monkeypatch):
    placed = []
    monkeypatch.setattr(
        "openaffect.inference.analyzer.Transcriber", lambda whisper, device: placed.append(device)
    )
    analyzer = Analyzer.load(device="cpu:0")
    analyzer._make_transcriber()
    analyzer.close()
    assert placed == [torch.device("cpu:0")]
