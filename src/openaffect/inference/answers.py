"""Questions about one clip, answered from one shared reading of it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from openaffect.inference.engine import Stream
from openaffect.prompts.claims import claimed_streams
from openaffect.prompts.clues import readings, weigh
from openaffect.prompts.conversation import (
    SLOT_NAMES,
    STREAM_QUESTIONS,
    Dialogue,
    Given,
    reason_opening,
    split_clues,
    split_list,
)
from openaffect.prompts.emotion_llama import EmotionLlamaDialogue
from openaffect.prompts.free_reasons import read_reason
from openaffect.results.answer import Answer

MAX_WORDS_TOKENS = 24  # of the open words
MAX_CLUE_TOKENS = 32  # of one stream's clues
MAX_ANSWER_TOKENS = 96  # of a free answer
MAX_REASON_TOKENS = 192  # of a reason in the model's own words
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


def without_absent(reason: Reason, given: Given) -> tuple[Reason, list[str]]:
    """The reason without anything said of a stream that was not given, and what was dropped."""
    dropped: list[str] = []

    def kept(phrase: str) -> bool:
        honest = claimed_streams(phrase) <= set(given.streams)
        if not honest:
            dropped.append(phrase)
        return honest

    clues = {
        stream: tuple(phrase for phrase in phrases if kept(phrase))
        for stream, phrases in reason.clues.items()
    }
    together = reason.together if reason.together and kept(reason.together) else None
    emotions = tuple(word for word in reason.emotions if kept(word))
    return Reason(emotions, clues, together), dropped


class Conversation:
    """One clip's shared prefix; each question forks from it.

    Args:
        stream: opened on the prompt up to where questions differ.
        alone: gives the conversation about one stream of the same clip; None where what is said
            of a stream is asked of the whole.
    """

    def __init__(
        self,
        stream: Stream,
        dialogue: Dialogue,
        given: Given,
        alone: "Callable[[str], Conversation] | None" = None,
    ) -> None:
        self.stream = stream
        self.dialogue = dialogue
        self.given = given
        self.alone = alone if len(given.streams) > 1 else None
        self._single: dict[str, Conversation] = {}

    def _text(self, ids: Sequence[int]) -> str:
        return self.dialogue.processor.tokenizer.decode(ids, skip_special_tokens=True)

    def asked(self, question: str) -> Stream:
        """A fork of the shared prefix that goes on with a question."""
        fork = self.stream.fork()
        prompt = self.dialogue.prompt(self.given, question)
        fork.feed(self.dialogue.continued_ids(prompt.question))
        return fork

    def about(self, stream: str) -> "Conversation":
        """The conversation about one stream of the clip, opened when it is first asked for."""
        if self.alone is None:
            return self
        if stream not in self._single:
            self._single[stream] = self.alone(stream)
        return self._single[stream]

    def label_probabilities(
        self, labels: Sequence[str], temperature: float = 1.0
    ) -> dict[str, float]:
        """Probability of every label: its likelihood as the answer, over the whole set.

        `temperature` was fitted on validation clips; it changes how sure, not which.
        """
        answers = [self.dialogue.answer_ids(label) for label in labels]
        asked = self.asked(self.dialogue.label_question(labels))
        scores = [score / temperature for score in asked.score(answers)]
        highest = max(scores)
        weights = [math.exp(score - highest) for score in scores]
        return {label: w / sum(weights) for label, w in zip(labels, weights, strict=True)}

    def reason(self, clues: dict[str, tuple[str, ...]] | None = None) -> Reason:
        """The clues of each given stream, each read by itself, then open words for the whole.

        What one stream shows cannot colour what is said of another. Whether they agree follows from
        what was said of each, and the open words from all of that and the whole clip. `clues` are
        those that `told` gives of each stream, where they are known already.
        """
        if clues is None:
            clues = {name: self.about(name).told(name) for name in self.given.streams}
        together = weigh(readings(clues))
        stream = self.asked(self.dialogue.reason_question)
        stream.feed(self.dialogue.continued_ids(reason_opening(clues, together)))
        made = self._written(stream, MAX_WORDS_TOKENS)
        words = split_list(self.sentence(made))
        return Reason(tuple(words[:MAX_OPEN_WORDS]), clues, together)

    def told(self, name: str) -> tuple[str, ...]:
        """What a given stream shows: its own reading first, then its clues."""
        stream = self.asked(STREAM_QUESTIONS[name])
        return self.clues(self._written(stream, MAX_CLUE_TOKENS))

    def _written(self, stream: Stream, limit: int) -> list[int]:
        dialogue = self.dialogue
        return stream.generate(limit, self.is_sentence, dialogue.end_ids, dialogue.drafts)

    def clues(self, made: Sequence[int]) -> tuple[str, ...]:
        """The reading and the clues that generated tokens list."""
        sentence = self.sentence(made)
        return tuple(split_clues(sentence[:1].lower() + sentence[1:]))

    def is_sentence(self, made: Sequence[int]) -> bool:
        """Whether the last of the generated tokens holds a full stop."""
        return "." in self._text(made[-1:])

    def sentence(self, made: Sequence[int]) -> str:
        """What generated tokens say up to the full stop."""
        return self._text(made).split(".")[0].strip()

    def answer(
        self,
        question: str,
        most_tokens: int | None = None,
        heard: Callable[[str], None] | None = None,
    ) -> Answer:
        """A free answer to a question of the user's own; `heard` is told it as it grows."""
        limit = min(most_tokens or MAX_ANSWER_TOKENS, MAX_ANSWER_TOKENS)
        return self._told(self.dialogue.free_question(question), limit, heard)

    def _told(
        self, question: str, limit: int, heard: Callable[[str], None] | None = None
    ) -> Answer:
        def goes_on(ids: list[int]) -> bool:
            if heard is not None:
                heard(self._text(ids).strip())
            return False

        stream, dialogue = self.asked(question), self.dialogue
        made = stream.generate(limit, goes_on, dialogue.end_ids, dialogue.drafts)
        cut = len(made) == limit and int(stream.logits.argmax()) not in dialogue.end_ids
        return Answer(self._text(made).strip(), cut)


class FreeConversation(Conversation):
    """The same with a model that gives its reason in its own words, not stream by stream."""

    def reason(self, clues: dict[str, tuple[str, ...]] | None = None) -> Reason:
        """What the told reason names, and its clauses by the streams that they speak of."""
        told = self._told(self.dialogue.reason_question, MAX_REASON_TOKENS).text
        emotions, clues = read_reason(told, self.dialogue.labels)
        return Reason(emotions, clues, None)


def conversation(
    stream: Stream,
    dialogue: Dialogue,
    given: Given,
    alone: Callable[[str], Conversation] | None = None,
) -> Conversation:
    """The conversation that a dialogue's model can have."""
    free = isinstance(dialogue, EmotionLlamaDialogue)
    return (FreeConversation if free else Conversation)(stream, dialogue, given, alone)
