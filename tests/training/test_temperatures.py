"""The label temperatures: fitted on readings of all corpora alike, one of them for lone streams."""

from collections import Counter

import numpy as np
import pytest
import torch
from tiny_clips import agreeing_row, tiny_features

from openaffect.models.omni_emotion.tiny import tiny_model, tiny_processor
from openaffect.models.trained_parts import (
    TEMPERATURE,
    TEMPERATURE_ALONE,
    read_settings,
    save_trained_parts,
)
from openaffect.training import calibration
from openaffect.training.calibration import (
    LEAST_READINGS,
    drawn_evenly,
    fit_temperature,
    fit_temperatures,
    store_temperature,
)
from openaffect.training.entries import Entry
from openaffect.training.examples import ExampleBuilder
from openaffect.training.recipe import Dropout, Tasks

CHANGES = {"audio_crop": True, "audio_layers": [1, 2], "audio_summary": 1}


def test_readings_for_the_temperature_are_of_all_corpora_alike():
    def readings(source: str, count: int) -> list:
        rows = [agreeing_row(number, "validation", source) for number in range(count)]
        return [(Entry(one, (), 1.0), kept) for one in rows for kept in (False, True)]

    given = [*readings("heads", 50), *readings("voices", 10), *readings("few", 2)]
    drawn = drawn_evenly(given, 24, 0)
    counts = Counter(entry.row.source for entry, _ in drawn)
    assert counts == {"heads": 10, "voices": 10, "few": 4}
    assert len({(entry.row.id, kept) for entry, kept in drawn}) == 24
    assert drawn == drawn_evenly(given, 24, 0) != drawn_evenly(given, 24, 1)
    assert len(drawn_evenly(given, 1000, 0)) == len(given)


def labelled() -> tuple[np.ndarray, list[int]]:
    """Exact logits of 3,000 clips and labels drawn by them."""
    rng = np.random.default_rng(0)
    true_logits = rng.normal(0, 1.5, (3000, 5))
    chances = np.exp(true_logits) / np.exp(true_logits).sum(1, keepdims=True)
    return true_logits, [int(rng.choice(5, p=row)) for row in chances]


def test_the_fitted_temperature_is_the_one_that_made_the_labels():
    true_logits, truth = labelled()
    assert fit_temperature((3 * true_logits).tolist(), truth) == pytest.approx(3, rel=0.08)


def test_streams_alone_have_a_temperature_of_their_own():
    true_logits, truth = labelled()
    lone = [number % 2 == 0 for number in range(3000)]
    scores = [
        [(3.0 if one else 1.5) * x for x in row] for row, one in zip(true_logits, lone, strict=True)
    ]
    found = fit_temperatures(scores, truth, lone)
    assert found["temperature"] == pytest.approx(1.5, rel=0.1)
    assert found["temperature_alone"] == pytest.approx(3, rel=0.1)
    few = [number < LEAST_READINGS - 1 for number in range(3000)]
    assert list(fit_temperatures(scores, truth, few)) == ["temperature"]


def test_both_temperatures_are_kept_with_the_parts_while_both_can_be_fitted(tmp_path, monkeypatch):
    model = tiny_model(**CHANGES)
    processor = tiny_processor(model.config)
    features = tiny_features(processor, torch.Generator().manual_seed(0))
    rows = [agreeing_row(number, "validation") for number in range(12)]
    entries = [Entry(row, (features,), 1.0) for row in rows]
    builder = ExampleBuilder(processor, Tasks(), Dropout(alone=0.9), None)
    save_trained_parts(model, None, tmp_path / "parts", {"stage": "test"})
    told: list[str] = []
    for least, names in (
        (1, {TEMPERATURE, TEMPERATURE_ALONE}),
        (LEAST_READINGS, {TEMPERATURE}),
    ):
        monkeypatch.setattr(calibration, "LEAST_READINGS", least)
        store_temperature(model, builder, entries, tmp_path / "parts", 24, 0, told.append)
        settings = read_settings(tmp_path / "parts")
        assert settings.keys() & {TEMPERATURE, TEMPERATURE_ALONE} == names
        assert all(0.5 <= settings[name] <= 8.1 for name in names)
        assert settings["stage"] == "test"
    assert "without two of face" in told[0] and "without two of face" not in told[1]
