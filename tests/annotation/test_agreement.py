"""Agreement figures against scikit-learn, a published example, and their own properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from openaffect.annotation.review.agreement import (
    agreement,
    cohen_kappa,
    fleiss_kappa,
    set_overlap,
)
from openaffect.annotation.sample import Verdict
from openaffect.errors import UsageError

answers = st.sampled_from(["happy", "sad", "angry", "calm"])


@given(st.lists(st.tuples(answers, answers), min_size=1, max_size=40))
def test_cohen_kappa_is_that_of_scikit_learn(pairs) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    ours = cohen_kappa(first, second)
    if len({*first, *second}) == 1:
        assert ours is None  # scikit-learn divides zero by zero here
    else:
        assert ours == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_fleiss_kappa_of_the_textbook_table() -> None:
    """Ten subjects, fourteen raters, five categories; the published value is 0.210."""
    counts = [
        (0, 0, 0, 0, 14),
        (0, 2, 6, 4, 2),
        (0, 0, 3, 5, 6),
        (0, 3, 9, 2, 0),
        (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0),
        (3, 2, 6, 3, 0),
        (2, 5, 3, 2, 2),
        (6, 5, 2, 1, 0),
        (0, 2, 2, 3, 7),
    ]
    ratings = [[str(k) for k, n in enumerate(row) for _ in range(n)] for row in counts]
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)


@given(st.lists(st.tuples(answers, answers), min_size=1, max_size=40))
def test_two_raters_have_scotts_pi(pairs) -> None:
    """With two raters Fleiss' kappa is Scott's pi: chance from the shares of both together."""
    both = [answer for pair in pairs for answer in pair]
    chance = sum((both.count(answer) / len(both)) ** 2 for answer in set(both))
    found = fleiss_kappa(pairs)
    if len(set(both)) == 1:
        assert found is None
    else:
        observed = sum(a == b for a, b in pairs) / len(pairs)
        assert found == pytest.approx((observed - chance) / (1 - chance), abs=1e-12)


@given(st.lists(st.lists(answers, min_size=3, max_size=3), min_size=1, max_size=20))
def test_order_of_raters_does_not_matter(ratings) -> None:
    turned = [row[::-1] for row in ratings]
    a, b = fleiss_kappa(ratings), fleiss_kappa(turned)
    assert a == b or (a is not None and b is not None and math.isclose(a, b))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="2 ratings"):
        cohen_kappa(["a", "b"], ["a"])
    with pytest.raises(UsageError, match="1 to 2 reviewers"):
        fleiss_kappa([["a"], ["a", "b"]])
    assert cohen_kappa([], []) is None
    assert fleiss_kappa([["a"], ["b"]]) is None


def test_overlap_of_open_labels() -> None:
    assert set_overlap(["Proud", "moved"], ["moved ", "proud"]) == 1
    assert set_overlap(["proud", "moved"], ["proud", "tired"]) == pytest.approx(1 / 3)
    assert set_overlap([], []) == 1
    assert set_overlap([], ["proud"]) == 0


def test_pairs_and_all_together() -> None:
    ratings = {
        "1": {"ada": Verdict("accept", "happy", ("glad",)), "ben": Verdict("accept", "happy")},
        "2": {"ada": Verdict("reject", "happy", ("glad",)), "ben": Verdict("edit", "sad")},
        "3": {"ada": Verdict("accept", "sad"), "ben": Verdict("accept", "happy")},
        "4": {"ada": Verdict("accept", "sad")},
    }
    found = agreement(ratings)
    (pair,) = found.pairs
    assert pair.reviewers == ("ada", "ben")
    assert (pair.samples, pair.labelled) == (3, 2)
    assert pair.same_decision == pytest.approx(2 / 3)
    assert pair.decision_kappa == pytest.approx(
        cohen_kappa_score(["accept", "reject", "accept"], ["accept", "edit", "accept"])
    )
    assert pair.open_overlap == 0
    assert (found.reviewers_each, found.samples) == (2, 3)
