"""Figures by group: every clip is in one group, and scikit-learn agrees about each."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from openaffect.corpora.manifest import Row
from openaffect.errors import UsageError
from openaffect.evaluation.groups import check_groups, group_scores, groups_table, row_groups
from openaffect.evaluation.items import Item

LABELS = ("happy", "sad", "neutral")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(LABELS),
            st.sampled_from((*LABELS, None)),
            st.sampled_from(("a", "b", None)),
        ),
        min_size=1,
    )
)
def test_every_group_is_scored_as_if_alone(clips):
    items = [
        Item(str(i), Path(), truth, {"speaker": who} if who else {})
        for i, (truth, _, who) in enumerate(clips)
    ]
    found = group_scores(["speaker"], items, [guess for _, guess, _ in clips], LABELS)["speaker"]
    assert sum(row.clips for row in found.values()) == len(clips)
    for who, row in found.items():
        mine = [(t, str(g)) for t, g, w in clips if (w or "unknown") == who]
        truth, guesses = zip(*mine, strict=True)
        assert row.answered == sum(guess != "None" for guess in guesses)
        assert row.figures["war"] == pytest.approx(accuracy_score(truth, guesses))
        weighted = f1_score(truth, guesses, average="weighted", zero_division=0)
        assert row.figures["weighted_f1"] == pytest.approx(weighted)
        assert f"| {who} | {row.clips} | {row.answered} |" in groups_table({"speaker": found})


def test_what_a_corpus_does_not_tell_is_refused():
    items = [Item("a", Path(), "sad", {"language": "zh"})]
    check_groups(["language"], items)
    with pytest.raises(UsageError, match="it tells language"):
        check_groups(["language", "sex"], items)
    with pytest.raises(UsageError, match="there are speaker, sex, language"):
        check_groups(["age"], items)


@pytest.mark.parametrize(
    ("source", "speaker", "sex"),
    [
        ("emodb", "emodb-03", "male"),
        ("emodb", "emodb-16", "female"),
        ("ravdess", "ravdess-11", "male"),
        ("ravdess", "ravdess-12", "female"),
        ("synthetic", "s1", None),
    ],
)
def test_groups_of_a_row(source, speaker, sex):
    row = Row("a", source, "test", None, speaker, "en", None, None, ())
    expected = {"speaker": speaker, "language": "en"} | ({"sex": sex} if sex else {})
    assert row_groups(row) == expected
