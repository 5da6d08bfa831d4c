"""Questions about one clip, answered from one shared reading of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openaffect.inference.engine import Stream
from openaffect.models.omni_emotion import OmniEmotionProcessor
from openaffect.prompts.conversation import (
    PERCEIVED,
    REASON_QUESTION,
    SLOT_NAMES,
    TOGETHER,
    Given,
    label_question,
    render,
    split_list,
)

END_OF_TURN = "<|im_end|>"
MAX_WORDS_TOKENS = 24  # of the open words
MAX_CLUE_TOKENS = 32  # of one stream's clues
MAX_ANSWER_TOKENS = 96  # of a free answer
MAX_OPEN_WORDS = 6


@dataclass(frozen=True)
class Reason:
    """A perceived emotion in open words, with clues for each stream that was given."""

    emotions: tuple[str, ...]  # open words, most salient first
    clues: dict[str, tuple[str, ...]]  # stream -> clues; only streams that were given
    together: str | None  # how the streams agree or differ

    def text(self) -> str:
        """The reasoning as sentences."""
        sentences = [f"The expression is perceived as {_listed(self.emotions)}."]
        for stream, clues in self.clues.items():
            if clues:
                sentences.append(f"{SLOT_NAMES[stream]}: {', '.join(clues)}.")
        if self.together:
            sentences.append(f"{self.together[0].upper()}{self.together[1:]}.")
        return " ".join(sentences)


def _listed(words: Sequence[str]) -> str:
    if len(words) < 2:
        return words[0] if words else "unclear"
    return f"{', '.join(words[:-1])} and {words[-1]}"


class Conversation:
    """One clip's shared prefix; each question forks from it.

    Args:
        stream: opened on the prompt up to where questions differ.
    """

    def __init__(self, stream: Stream, processor: OmniEmotionProcessor, given: Given) -> None:
        self.stream = stream
        self.processor = processor
        self.given = given
        tokenizer = processor.tokenizer
        self.end_ids = [tokenizer.convert_tokens_to_ids(END_OF_TURN), tokenizer.eos_token_id]

    def _ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _text(self, ids: Sequence[int]) -> str:
        return self.processor.tokenizer.decode(ids, skip_special_tokens=True)

    def _asked(self, question: str) -> Stream:
        fork = self.stream.fork()
        fork.feed(self._ids(render(self.processor, self.given, question).question))
        return fork

    def label_probabilities(
        self, labels: Sequence[str], temperature: float = 1.0
    ) -> dict[str, float]:
        """Probability of every label: its likelihood as the answer, over the whole set.

        `temperature` was fitted on validation clips; it changes how sure, not which.
        """
        answers = [self._ids(label + END_OF_TURN) for label in labels]
        scores = [s / temperature for s in self._asked(label_question(labels)).score(answers)]
        highest = max(scores)
        weights = [math.exp(score - highest) for score in scores]
        return {label: w / sum(weights) for label, w in zip(labels, weights, strict=True)}

    def reason(self) -> Reason:
        """Open words, then the clues of each given stream, told stream by stream.

        The openings of the sentences are given to the model, one for each stream in use, so that
        no other stream is asked for.
        """
        stream = self._asked(REASON_QUESTION)
        words = self._sentence(stream, PERCEIVED, MAX_WORDS_TOKENS)
        clues = {
            name: tuple(
                split_list(self._sentence(stream, f" {SLOT_NAMES[name]}:", MAX_CLUE_TOKENS))
            )
            for name in self.given.streams
        }
        together = None
        if len([name for name in self.given.streams if name != "scene"]) > 1:
            together = self._sentence(stream, f" {TOGETHER}:", MAX_CLUE_TOKENS).strip() or None
        return Reason(tuple(split_list(words)[:MAX_OPEN_WORDS]), clues, together)

    def _sentence(self, stream: Stream, opening: str, limit: int) -> str:
        """What the model says after `opening`, up to the full stop, which stays in the stream."""
        stream.feed(self._ids(opening))
        made = stream.generate(limit, lambda ids: "." in self._text(ids[-1:]), self.end_ids)
        text = self._text(made)
        if "." not in text:
            stream.feed(self._ids("."))
        return text.split(".")[0].strip()

    def answer(
        self,
        question: str,
        most_tokens: int | None = None,
        heard: Callable[[str], None] | None = None,
    ) -> str:
        """A free answer to a question of the user's own; `heard` is told it as it grows."""
        stream = self._asked(question)

        def told(ids: list[int]) -> bool:
            if heard is not None:
                heard(self._text(ids).strip())
            return False

        limit = min(most_tokens or MAX_ANSWER_TOKENS, MAX_ANSWER_TOKENS)
        return self._text(stream.generate(limit, told, self.end_ids)).strip()
