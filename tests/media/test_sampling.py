"""The choice of frames, against rules written out plainly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.errors import UsageError
from openaffect.media.sampling import KINDS, Sampling, pick

spacings = st.lists(st.integers(1, 500), min_size=0, max_size=60)


def on_display(times, moment):
    """Index of the last frame that has begun at a moment."""
    return max(i for i, time in enumerate(times) if time <= moment + 1e-4)


@given(spacings, st.integers(1, 500), st.sampled_from(KINDS), st.integers(1, 40), st.data())
def test_any_choice_is_ordered_inside_and_without_repeats(gaps, last, kind, n, data):
    times = np.concatenate([[0], np.cumsum(gaps)]) / 1000
    video_end = times[-1] + last / 1000
    start = data.draw(st.floats(0, video_end * 0.99))
    end = data.draw(st.floats(start + 1e-3, video_end + 1))
    chosen = pick(times, video_end, start, end, Sampling(kind, n))
    assert chosen == sorted(set(chosen))
    inside = [i for i, time in enumerate(times) if start - 1e-4 <= time < end - 1e-4]
    if inside:
        assert set(chosen) <= set(inside)
        assert chosen
        if kind == "every":
            assert chosen == inside[::n]
        else:
            assert len(chosen) <= n
        if kind == "uniform":
            assert chosen[0] == inside[0]
            assert n == 1 or chosen[-1] == inside[-1]
    else:
        assert chosen == [on_display(times, start)]


@given(st.integers(1, 300), st.integers(1, 40), st.sampled_from([12, 24000 / 1001, 25, 30, 60]))
def test_constant_rate(frames, n, rate):
    times, end = np.arange(frames) / rate, frames / rate
    uniform = pick(times, end, 0.0, end, Sampling("uniform", n))
    ideal = np.linspace(0, frames - 1, n) if n > 1 else np.zeros(1)
    assert len(uniform) == min(n, frames)
    if n <= frames:
        assert np.abs(np.array(uniform) - ideal).max() <= 0.5 + 1e-6
    midpoints = pick(times, end, 0.0, end, Sampling("midpoints", n))
    expected = {int((k + 0.5) / n * frames + 1e-4 * rate) for k in range(n)}
    assert set(midpoints) == {min(index, frames - 1) for index in expected}


@given(spacings.filter(len), st.integers(1, 40))
def test_midpoints_show_what_is_on_display(gaps, n):
    times = np.concatenate([[0], np.cumsum(gaps)]) / 1000
    end = times[-1] + 0.04
    chosen = pick(times, end, 0.0, end, Sampling("midpoints", n))
    assert set(chosen) == {on_display(times, (k + 0.5) / n * end) for k in range(n)}


def test_nothing_on_display():
    times = np.array([1.0, 2.0])
    assert pick(times, 3.0, 0.0, 0.5, Sampling()) == []  # before the first
    assert pick(times, 3.0, 3.5, 4.0, Sampling()) == []  # after the last has left
    assert pick(times, 3.0, 2.5, 4.0, Sampling()) == [1]


@pytest.mark.parametrize("wrong", [{"kind": "random"}, {"n": 0}, {"max_side": 0}])
def test_wrong_rules_are_refused(wrong):
    with pytest.raises(UsageError):
        Sampling(**wrong)
