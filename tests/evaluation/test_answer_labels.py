"""Which label a written answer names, and when it names none."""

import pytest

from openaffect.evaluation.answer_labels import INVALID, REFUSED, read_answer
from openaffect.prompts.labels import BASIC_LABELS, forms_of

FORMS = forms_of(("happy", "sad", "surprise"))


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ('She says "I can\'t believe it" with wide eyes; the emotion is surprise.', "surprise"),
        ("<think>He says I'm sorry.</think><answer>The person is sad</answer>", "sad"),
        ("<think>I cannot tell if it is joy.</think><answer>The person is sad</answer>", "sad"),
        ("He repeats I'm sorry, and looks sad.", "sad"),
        ("It is unclear whether he is happy, but the voice sounds sad.", "sad"),
        ("As if nothing had happened, she looks happy.", "happy"),
        ("Whether you look at the face or listen to the voice, the person is happy.", "happy"),
        ("Regardless of whether he knows it, she is sad.", "sad"),
        ('The emotion is "sad".', "sad"),
    ],
)
def test_quoted_speech_is_no_refusal(answer, label):
    assert read_answer(answer, FORMS).label == label


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Label: happy", "happy"),
        ("happy.", "happy"),
        ("HAPPINESS", "happy"),
        ("The emotion is *sad*", "sad"),
        ("The emotion is _sad_.", "sad"),
        ("__Sad__", "sad"),
        ("not happy but sad", "sad"),
        ("Happy/Surprised", None),
        ("unhappy", None),
    ],
)
def test_short_and_marked_answers(answer, label):
    assert read_answer(answer, forms_of(BASIC_LABELS)).label == label


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("I'm sorry, I cannot tell.", REFUSED),
        ("I cannot determine whether the person is happy.", REFUSED),
        ("As an AI, I am unable to tell if this is sadness.", REFUSED),
        ("I can't say: happy or sad.", REFUSED),
        ("<think>I'm sorry.</think><answer>happy or sad</answer>", INVALID),
        ("As an AI, I cannot determine emotions such as sadness.", REFUSED),
        ("I cannot identify the emotion as happy", REFUSED),
        ("The person looks thoughtful.", INVALID),
    ],
)
def test_an_answer_without_one_label(answer, problem):
    found = read_answer(answer, FORMS)
    assert (found.label, found.problem) == (None, problem)
