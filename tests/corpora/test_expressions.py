"""Expression programs: events over time, and the face units they drive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.corpora.manifest import LABELS
from openaffect.corpora.synthetic.expressions import (
    ARKIT_OF_UNIT,
    HEAD_OF_LABEL,
    ONE_SIDED,
    PROTOTYPES,
    UNIT_LIMIT,
    Event,
    add_action_unit,
    draw_program,
)
from openaffect.media.face_detection import BLENDSHAPE_NAMES


def test_every_label_has_prototypes_of_known_action_units() -> None:
    assert set(PROTOTYPES) == set(HEAD_OF_LABEL) == set(LABELS)
    for variants in PROTOTYPES.values():
        for variant in variants:
            assert set(variant) <= set(ARKIT_OF_UNIT)


def test_action_units_drive_the_52_arkit_units_on_both_sides() -> None:
    known = set(BLENDSHAPE_NAMES) - {"_neutral"}
    for unit in ARKIT_OF_UNIT:
        units: dict[str, float] = {}
        add_action_unit(units, unit, 1.0)
        assert set(units) <= known | {"tongueOut"}, unit
        for name, value in units.items():
            if name.endswith("Left") and not name.startswith("eyeLook"):
                assert units[name.removesuffix("Left") + "Right"] == value
    assert {n for n in known if not n.endswith(("Left", "Right"))} <= ONE_SIDED | {
        "jawLeft",
        "jawRight",
        "mouthLeft",
        "mouthRight",
    }


def test_a_lean_weakens_one_side() -> None:
    units: dict[str, float] = {}
    add_action_unit(units, "AU12", 1.0, lean=0.3)
    assert units["mouthSmileLeft"] == 1.0 and units["mouthSmileRight"] == pytest.approx(0.7)


def test_an_event_rises_holds_and_falls() -> None:
    event = Event("AU12", onset=1.0, apex=1.4, release=2.0, offset=2.6, strength=0.8)
    assert event.at(0.9) == event.at(2.6) == 0.0
    assert event.at(1.2) == pytest.approx(0.4)
    assert event.at(1.4) == event.at(1.7) == event.at(2.0) == pytest.approx(0.8)
    rising = [event.at(t) for t in np.linspace(1.0, 1.4, 9)]
    assert rising == sorted(rising)


@given(st.sampled_from(LABELS), st.floats(0.2, 1.0), st.floats(1.5, 5.0), st.integers(0, 2**32 - 1))
def test_programs_stay_within_limits_and_repeat(
    label: str, intensity: float, duration: float, seed: int
) -> None:
    program = draw_program(label, intensity, duration, np.random.default_rng(seed))
    assert program == draw_program(label, intensity, duration, np.random.default_rng(seed))
    for time in np.linspace(0, duration, 12):
        units = program.face_units(float(time))
        assert all(0.0 < value <= UNIT_LIMIT for value in units.values())
    assert all(0.05 <= value <= 1.0 for value in program.action_units().values())
    assert "AU45" not in program.action_units()


def test_a_strong_smile_is_a_smile() -> None:
    peaks = [
        draw_program("happy", 1.0, 3.0, np.random.default_rng(s)).action_units() for s in range(40)
    ]
    assert np.mean([p.get("AU12", 0) > 0.5 for p in peaks]) > 0.85
    assert np.mean([p.get("AU15", 0) < 0.2 for p in peaks]) > 0.85


def test_a_blend_adds_the_other_feeling() -> None:
    plain = [
        draw_program("sad", 0.9, 3, np.random.default_rng(s)).action_units() for s in range(30)
    ]
    mixed = [
        draw_program("sad", 0.9, 3, np.random.default_rng(s), {"angry": 0.5}).action_units()
        for s in range(30)
    ]
    assert (
        np.mean([p.get("AU7", 0) for p in mixed]) > np.mean([p.get("AU7", 0) for p in plain]) + 0.1
    )
