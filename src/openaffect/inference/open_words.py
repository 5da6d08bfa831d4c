"""The open words of an Analysis: the model's own, and a word for every label that is likely.

What the model writes names one expression in several words, and often follows what was said more
than how it was said. Its label probabilities weigh the same clip as a whole. A reader of the first
words alone should learn of both, so that words and labels of one Analysis do not contradict each
other.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from openaffect.prompts.vocabulary import label_of_words

LIKELY = 0.2  # probability from which a label is told in the open words, as the likeliest always is
PLAIN = ("neutral", "calm")  # told only where likeliest: beside other labels they add nothing


def likely_labels(probabilities: Mapping[str, float], likely: float = LIKELY) -> tuple[str, ...]:
    """The labels to tell, most likely first: the likeliest, and all others from `likely`."""
    first, *others = sorted(probabilities, key=lambda label: -probabilities[label])
    told = (name for name in others if probabilities[name] >= likely and name not in PLAIN)
    return (first, *told)


def tell_likely(
    words: Sequence[str], probabilities: Mapping[str, float], likely: float = LIKELY
) -> tuple[str, ...]:
    """The model's words, most salient first, with the labels that are likely and that none tells.

    Words of one label (`prompts.vocabulary`) belong together; a word that the vocabulary does not
    know belongs to the word before it. The first word of every label comes before a second one of
    any, the likeliest label's first. A label that the vocabulary does not know is not added.
    """
    share: dict[str | None, float] = {}
    for label, probability in probabilities.items():
        family = label_of_words([label])
        share[family] = share.get(family, 0.0) + probability
    groups: dict[str | None, list[str]] = {}
    family = label_of_words(words)
    for word in words:
        family = label_of_words([word]) or family
        groups.setdefault(family, []).append(word)
    for label in likely_labels(probabilities, likely):
        family = label_of_words([label])
        if family is not None and family not in groups:
            groups[family] = [label]
    order = sorted(groups, key=lambda name: -share.get(name, 0.0))
    rounds = zip_longest(*(groups[name] for name in order))
    return tuple(word for each in rounds for word in each if word is not None)
