"""Plans: fixed by seed, balanced, and consistent with their condition."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openaffect.corpora.manifest import CORE_LABELS, SPLITS
from openaffect.corpora.synthetic.corpus import plans_of
from openaffect.corpora.synthetic.plan import CONDITIONS, LABEL_CYCLE, plan_clip, shares

splits = st.sampled_from(SPLITS)


@given(st.integers(0, 10_000), splits, st.integers(0, 20_000))
def test_a_plan_is_fixed_and_consistent(seed: int, split: str, number: int) -> None:
    plan = plan_clip(seed, split, number)
    assert plan == plan_clip(seed, split, number)
    assert plan.id == f"synthetic-{split}-{plan.condition}-{number:05d}"
    assert len(set(plan.open_labels)) == len(plan.open_labels) >= 2
    assert (plan.face is None) == (plan.hidden is not None) == (not plan.scene.face_visible)
    assert (plan.voice is None) == (plan.sentence is None) == (plan.condition == "silent")
    if plan.sentence is not None:
        assert plan.sentence.split == split
    if plan.condition == "quiet" and plan.sentence is not None:
        assert plan.sentence.label == "neutral"
    if plan.condition == "conflict" and plan.sentence is not None:
        shown = {plan.face, plan.voice, plan.sentence.label} - {"neutral"}
        assert len(shown) == 2 and plan.label in shown
    if plan.condition == "words":
        assert plan.face == plan.voice == "neutral"
    assert (plan.scene.people > 1) == (plan.condition == "group")


@given(st.integers(0, 10_000), st.integers(0, 999_999), st.integers(0, 999_999))
def test_no_person_is_in_two_splits(seed: int, first: int, second: int) -> None:
    numbers = dict(zip(SPLITS, (first, second, first), strict=True))
    people = {plan_clip(seed, split, number).person for split, number in numbers.items()}
    assert len(people) == len(SPLITS)
    assert len({person // 1_000_000 for person in people}) == len(SPLITS)


def test_labels_and_conditions_are_balanced() -> None:
    period = len(LABEL_CYCLE) * len(CONDITIONS)
    plans = [plan_clip(1, "train", n) for n in range(period)]
    conditions = Counter(plan.condition for plan in plans)
    for condition, count in Counter(CONDITIONS).items():
        assert conditions[condition] == count * len(LABEL_CYCLE)
    kept = Counter(plan.label for plan in plans if plan.condition != "conflict")
    assert max(kept[label] for label in CORE_LABELS) == min(kept[label] for label in CORE_LABELS)


@pytest.mark.parametrize("clips", [1, 16, 100, 1600])
def test_a_corpus_has_its_clips_in_all_splits(clips: int) -> None:
    counts = shares(clips)
    assert sum(counts.values()) == clips
    plans = list(plans_of(clips, 3))
    assert Counter(plan.split for plan in plans) == Counter(counts)
    assert len({plan.id for plan in plans}) == clips
