"""What a stage goes on with: the adapters that it starts from, and the run in its output folder."""

import pytest

from openaffect.errors import ConfigError
from openaffect.models.lora import LoraSettings
from openaffect.training.continuing import start_lora
from openaffect.training.recipe import load_recipe


def test_a_stage_keeps_the_adapters_that_it_starts_from(tmp_path):
    found = LoraSettings(16, 32, 0.1, ("q_proj", "v_proj"))
    assert start_lora(None, None, tmp_path) is None
    assert start_lora(None, found, tmp_path) == found
    assert start_lora(found, None, tmp_path) == found
    again = LoraSettings(16, 32, 0.0, ("v_proj", "q_proj"))
    assert start_lora(again, found, tmp_path) == found


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


def test_a_file_that_is_no_text_is_no_recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as a recipe"):
        load_recipe(path)
