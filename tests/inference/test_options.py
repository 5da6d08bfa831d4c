"""What is wrong with an option is told in its own words, before a model is loaded."""

import pytest

import openaffect
from openaffect.errors import UsageError


def test_what_is_no_fusion_is_told_with_those_that_there_are() -> None:
    told = "there is no fusion sum; there are video_concat, frame_concat, cross_attention"
    with pytest.raises(UsageError, match=told):
        openaffect.analyze("clip.mp4", model="nonesuch", fusion="sum")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"labels": "calm,tense"}, r'labels is a list, such as \["calm", "tense"\], not \'calm,te'),
        ({"streams": "voice"}, r'streams is a list, such as \["face", "voice"\], not \'voice\''),
        ({"lables": ["calm", "tense"]}, r"no option is called 'lables'; did you mean labels\?"),
        ({"colour": "red"}, r"no option is called 'colour'; there are start, end, subtitle,"),
    ],
)
def test_a_wrong_option_of_the_python_call(options: dict, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        openaffect.analyze("clip.mp4", model="nonesuch", **options)
