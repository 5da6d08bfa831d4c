"""The identity of a configuration: equal wherever it lies, another for every setting."""

import pytest

from openaffect.inference.reporting import configuration_identity
from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor


def test_every_setting_counts_and_the_place_does_not():
    model = tiny_model()
    first = configuration_identity(model, tiny_processor(model.config))
    model.config.name_or_path = model.config.text_config.name_or_path = "elsewhere"
    assert configuration_identity(model, tiny_processor(model.config)) == first
    other = tiny_model(fusion="frame_concat")
    assert configuration_identity(other, tiny_processor(model.config)) != first


@pytest.mark.parametrize(
    ("setting", "value"),
    [("clip_frames", 4), ("frame_sampling", "uniform"), ("people_seen", 1), ("audio_crop", True)],
)
def test_what_the_processor_shows_counts(setting, value):
    model = tiny_model()
    processor = tiny_processor(model.config)
    first = configuration_identity(model, processor)
    setattr(processor, setting, value)
    assert configuration_identity(model, processor) != first
