"""Open words of an Analysis tell of every likely label, and lose none of the model's own words."""

from hypothesis import given
from hypothesis import strategies as st

from openaffect.inference.open_words import LIKELY, PLAIN, likely_labels, tell_likely
from openaffect.prompts.labels import BASIC_LABELS
from openaffect.prompts.vocabulary import INTENSITY_WORDS, label_of_words

KNOWN = sorted({word for levels in INTENSITY_WORDS.values() for level in levels for word in level})
PROBABILITIES = st.lists(st.floats(0.01, 1.0), min_size=7, max_size=7).map(
    lambda found: {
        label: value / sum(found) for label, value in zip(BASIC_LABELS, found, strict=True)
    }
)
WORDS = st.lists(st.sampled_from([*KNOWN, "bittersweet", "gobsmacked"]), max_size=6, unique=True)


def test_words_that_tell_of_the_likeliest_label_stay_as_they_are() -> None:
    shares = {"happy": 0.9, "sad": 0.06, "surprised": 0.04}
    assert tell_likely(("elated", "delighted"), shares) == ("elated", "delighted")


def test_a_likely_label_that_no_word_tells_comes_after_the_first_word() -> None:
    shares = {"disgusted": 0.53, "angry": 0.27, "surprised": 0.16}
    told = tell_likely(("repelled", "scornful", "repulsed"), shares)
    assert told == ("repelled", "angry", "scornful", "repulsed")


def test_the_likeliest_label_comes_first_even_where_the_words_tell_another() -> None:
    shares = {"angry": 0.34, "happy": 0.22, "surprised": 0.19, "fearful": 0.05}
    told = tell_likely(("tense", "anxious", "uneasy"), shares)
    assert told == ("angry", "happy", "tense", "anxious", "uneasy")


def test_an_unknown_word_stays_with_the_word_before_it() -> None:
    shares = {"happy": 0.6, "sad": 0.3}
    told = tell_likely(("bittersweet", "sad", "gobsmacked", "glad"), shares)
    assert told == ("glad", "bittersweet", "sad", "gobsmacked")


def test_neutral_beside_a_feeling_is_not_told_but_alone_it_is() -> None:
    assert tell_likely(("elated",), {"happy": 0.6, "neutral": 0.4}) == ("elated",)
    assert tell_likely(("elated",), {"happy": 0.4, "neutral": 0.6}) == ("neutral", "elated")


def test_labels_of_ones_own_are_added_only_where_they_are_known_words() -> None:
    assert tell_likely(("elated",), {"positive": 0.7, "negative": 0.3}) == ("elated",)
    assert tell_likely(("elated",), {"annoyed": 0.7, "happy": 0.3}) == ("annoyed", "elated")
    assert tell_likely(("livid",), {"annoyed": 0.7, "happy": 0.3}) == ("livid", "happy")


def test_nothing_said_leaves_the_labels() -> None:
    assert tell_likely((), {"sad": 0.5, "angry": 0.3, "happy": 0.2}) == ("sad", "angry", "happy")


@given(WORDS, PROBABILITIES)
def test_no_word_is_lost_and_every_likely_label_is_told(
    words: list[str], shares: dict[str, float]
) -> None:
    told = tell_likely(words, shares)
    assert set(words) <= set(told) and len(told) == len(set(told))
    assert set(told) - set(words) <= set(shares)
    families = {label_of_words([word]) for word in told}
    likeliest = max(shares, key=lambda label: shares[label])
    assert likeliest in families
    assert {k for k, share in shares.items() if share >= LIKELY and k not in PLAIN} <= families


@given(WORDS, PROBABILITIES)
def test_telling_twice_changes_nothing(words: list[str], shares: dict[str, float]) -> None:
    told = tell_likely(words, shares)
    if all(label_of_words([word]) for word in told):
        assert tell_likely(told, shares) == told


def test_labels_alone_are_told_whether_or_not_a_word_list_knows_them() -> None:
    assert likely_labels({"engaged": 0.95, "disengaged": 0.05}) == ("engaged",)
    assert likely_labels({"confused": 0.7, "happy": 0.3}) == ("confused", "happy")
    assert likely_labels({"sad": 0.6, "neutral": 0.4}) == ("sad",)
    assert likely_labels({"neutral": 0.6, "sad": 0.1}) == ("neutral",)
