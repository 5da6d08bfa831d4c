"""What a stage goes on with: the adapters that it starts from, and the run in its output folder."""

import dataclasses
from pathlib import Path

import pytest

from openaffect.errors import ConfigError
from openaffect.models.lora import LoraSettings
from openaffect.models.omni_emotion.tiny import tiny_model
from openaffect.models.trained_parts import freeze_all_but, save_trained_parts
from openaffect.training.continuing import check_no_adapters, start_lora
from openaffect.training.recipe import Recipe, load_recipe
from openaffect.training.stage import load_model


def test_a_stage_keeps_the_adapters_that_it_starts_from(tmp_path):
    found = LoraSettings(16, 32, 0.1, ("q_proj", "v_proj"))
    assert start_lora(None, None, tmp_path) is None
    assert start_lora(None, found, tmp_path) == found
    assert start_lora(found, None, tmp_path) == found
    again = LoraSettings(16, 32, 0.0, ("v_proj", "q_proj"))
    assert start_lora(again, found, tmp_path) == dataclasses.replace(found, lora_dropout=0.0)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (LoraSettings(8, 32, 0.1, ("q_proj", "v_proj")), "lora.r is 8"),
        (LoraSettings(16, 64, 0.1, ("q_proj", "v_proj")), "lora.alpha is 64"),
        (LoraSettings(16, 32, 0.1, ("q_proj",)), "lora.targets"),
    ],
)
def test_adapters_of_other_settings_are_refused(wanted, told, tmp_path):
    with pytest.raises(ConfigError, match=told):
        start_lora(wanted, LoraSettings(16, 32, 0.1, ("q_proj", "v_proj")), tmp_path)


def test_no_adapters_are_asked_for_where_there_are_some(tmp_path):
    settings = LoraSettings(2, 4, 0.0, ("q_proj",))
    for name, lora in (("plain", None), ("adapted", settings)):
        model = tiny_model()
        freeze_all_but(model, ("language_model",), lora)
        save_trained_parts(model, lora, tmp_path / name, {})

    def recipe(start: str | None, **lora: None) -> Recipe:
        values = {"stage": "s", "model": "m", "output": "o", "trains": ["language_model"]}
        schedule = {"steps": 1, "learning_rate": 1.0}
        start = start and str(tmp_path / start)
        more = {"corpora": {}, "schedule": schedule, "start": start}
        return Recipe.model_validate({**values, **more, **lora})

    with pytest.raises(ConfigError, match=r"lora is null, but .*adapted has adapters"):
        check_no_adapters(recipe("adapted", lora=None), None)
    with pytest.raises(ConfigError, match="lora is null, but m has adapters"):
        check_no_adapters(recipe(None, lora=None), settings)
    check_no_adapters(recipe("adapted"), settings)
    check_no_adapters(recipe("plain", lora=None), None)


def test_a_tilde_is_the_home_in_every_path(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "{stage: s, model: m, start: ~/a, output: ~/b, trains: [fusion], corpora: {},"
        " schedule: {steps: 1, learning_rate: 1}}"
    )
    recipe = load_recipe(path)
    assert recipe.start == str(Path.home() / "a") and recipe.output == str(Path.home() / "b")
    assert load_recipe(path, ("output=runs/x",)).output == "runs/x"


@pytest.mark.parametrize(
    ("model", "fusion", "told"),
    [
        ("omni-emotion-7b", None, "openaffect models build"),
        ("runs/mistyped", None, "no checkpoint folder"),
        ("emotion-llama-small", "frame_concat", "no choice of it"),
    ],
)
def test_what_no_model_has_is_told(model, fusion, told):
    values = {"stage": "s", "model": model, "output": "o", "trains": ["fusion"], "corpora": {}}
    schedule = {"steps": 1, "learning_rate": 1.0}
    recipe = Recipe.model_validate({**values, "fusion": fusion, "schedule": schedule})
    with pytest.raises(ConfigError, match=told):
        load_model(recipe)


def test_a_file_that_is_no_text_is_no_recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    with pytest.raises(ConfigError, match=r"recipe.yaml: no such recipe; .* recipes of the clone"):
        load_recipe(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as a recipe"):
        load_recipe(path)
