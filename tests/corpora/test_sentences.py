"""The sentence bank: enough, varied, and split so that no sentence is in two splits."""

import re
from collections import Counter

import pytest

from openaffect.corpora.manifest import LABELS, SPLITS
from openaffect.corpora.synthetic.sentence_bank import (
    Sentence,
    sentences,
    sentences_of,
    text_rows,
    written_rows,
    written_sentences,
)


def test_there_are_enough_of_every_feeling() -> None:
    counts = Counter(sentence.label for sentence in sentences())
    assert set(counts) == set(LABELS)
    assert counts["neutral"] >= 150
    assert min(counts.values()) >= 60


def test_every_line_is_whole() -> None:
    for sentence in (*sentences(), *written_sentences()):
        assert sentence.intensity in (0, 1, 2), sentence
        assert 2 <= len(sentence.open_labels) <= 4, sentence
        assert len(set(sentence.open_labels)) == len(sentence.open_labels), sentence
        assert sentence.words[0].isupper() and sentence.words[-1] in ".?!", sentence
        assert len(sentence.words.split()) <= (14 if sentence.spoken else 25), sentence


def test_no_sentence_is_there_twice() -> None:
    words = [sentence.words.lower() for sentence in (*sentences(), *written_sentences())]
    assert len(set(words)) == len(words)


def test_the_words_do_not_name_their_label() -> None:
    named = [s for s in (*sentences(), *written_sentences()) if s.label in s.words.lower()]
    assert named == []


@pytest.mark.parametrize("label", LABELS)
def test_splits_share_out_every_label(label: str) -> None:
    parts = {split: sentences_of(label, split) for split in SPLITS}
    assert sum(len(part) for part in parts.values()) == sum(s.label == label for s in sentences())
    assert len(parts["test"]) >= 10 and len(parts["validation"]) >= 5
    assert len(parts["train"]) > len(parts["test"]) + len(parts["validation"])


def test_text_rows_have_words_and_no_media() -> None:
    rows = text_rows()
    assert len(rows) == len(sentences()) and len(written_rows()) == len(written_sentences())
    assert len({row.id for row in (*rows, *written_rows())}) == len(rows) + len(written_rows())
    for row in (*rows, *written_rows()):
        assert row.media is None and row.words
        assert row.words_label == (None if row.label == "neutral" else row.label)


def test_written_sentences_are_for_training_and_not_like_those_that_clips_are_tested_with() -> None:
    counts = Counter(sentence.label for sentence in written_sentences())
    assert set(counts) == set(LABELS) and min(counts.values()) >= 100
    assert {sentence.split for sentence in written_sentences()} == {"train"}

    def parts(sentence: Sentence) -> set[str]:
        return set(re.findall("[a-z']+", sentence.words.lower()))

    kept = [parts(sentence) for sentence in sentences() if sentence.split != "train"]
    for sentence in written_sentences():
        own = parts(sentence)
        assert all(len(own & other) < len(own | other) / 2 for other in kept), sentence


def test_the_clips_of_the_evaluation_are_not_quoted(shared) -> None:
    import csv
    import difflib

    with (shared / "clips" / "clips.csv").open(newline="", encoding="utf-8") as table:
        subtitles = [row["subtitle_en"].lower() for row in csv.DictReader(table)]
    for subtitle in filter(None, subtitles):
        for sentence in (*sentences(), *written_sentences()):
            alike = difflib.SequenceMatcher(None, subtitle, sentence.words.lower()).ratio()
            assert alike < 0.7, (subtitle, sentence.words)
