"""The conversation that every task has with the model: media, what is given, a question.

Media and given words come first and the question last, so that several questions about one clip
share everything before the question, and the language model reads it once.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from openaffect.prompts.clues import PHRASES, READS, WORDS_CLUES
from openaffect.prompts.labels import BASIC_LABELS

STREAMS = ("face", "voice", "scene", "words")
"""What a clip may give, in the order in which clues are told."""

SLOT_NAMES = {"face": "Face", "voice": "Voice", "scene": "Scene", "words": "Words"}
PERCEIVED = "Perceived as"
TOGETHER = "Together"


@dataclass(frozen=True)
class Given:
    """What the model is given of a clip."""

    video: bool = False  # frames of the scene
    face: bool = False  # at least one tracked face
    voice: bool = False  # a voice
    words: str | None = None  # what is said, in English

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams in use, in telling order."""
        there = {
            "face": self.face,
            "voice": self.voice,
            "scene": self.video,
            "words": bool(self.words),
        }
        return tuple(stream for stream in STREAMS if there[stream])

    @property
    def lone(self) -> bool:
        """Whether at most one of face, voice and words is there."""
        return self.face + self.voice + bool(self.words) <= 1

    def only(self, streams: Sequence[str]) -> "Given":
        """The same without the streams that are not named."""
        return Given(
            video=self.video and "scene" in streams,
            face=self.face and "face" in streams,
            voice=self.voice and "voice" in streams,
            words=self.words if "words" in streams else None,
        )

    @property
    def visual(self) -> bool:
        """Whether the fused stream of frames and faces has any token."""
        return self.video or self.face


def label_question(labels: Sequence[str]) -> str:
    """The closed task; its answer is one of `labels`."""
    return f"Which expression is perceived? Choose one: {', '.join(labels)}."


END_OF_TURN = "<|im_end|>"
REASON_QUESTION = "How is the expression perceived, and which clues led there?"

TEXT_QUESTION = "Which emotion is perceived, and why?"
"""Of which the answer is a text of its own, as a corpus words it."""

STREAM_QUESTIONS = {
    "face": "What does the face show?",
    "voice": "How does the voice sound?",
    "scene": "What does the scene show?",
    "words": "What do the words express?",
}

ABSENT_ANSWERS = {
    "face": "No face can be seen.",
    "voice": "There is no voice.",
    "scene": "There is no picture.",
    "words": "There are no words.",
}
"""What is true to say of a stream that is not given."""


def defused(text: str, control_tokens: Sequence[str]) -> str:
    """`text` with every control token broken, so that it cannot steer the conversation."""
    for token in control_tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def plain_text(text: str, control_tokens: Sequence[str]) -> str:
    """`text` on one line, with every control token broken."""
    return " ".join(defused(text, control_tokens).split())


def context(given: Given, control_tokens: Sequence[str] = ()) -> str:
    """What the model is told it was given, the spoken words last."""
    lines = [f"Given: {', '.join(given.streams) or 'nothing'}."]
    if given.words:
        lines.append(f'Words: "{plain_text(given.words, control_tokens)}"')
    return "\n".join(lines) + "\n"


def messages(
    given: Given, question: str, control_tokens: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One user turn in transformers' chat format, media parts before the text."""
    parts: list[dict[str, Any]] = []
    if given.visual:
        parts.append({"type": "video"})
    if given.voice:
        parts.append({"type": "audio"})
    parts.append({"type": "text", "text": context(given, control_tokens) + question})
    return [{"role": "user", "content": parts}]


@dataclass(frozen=True)
class Prompt:
    """A rendered conversation, cut where questions about the same clip begin to differ."""

    shared: str  # media placeholders and what is given
    question: str  # the question and the opening of the answer

    @property
    def text(self) -> str:
        return self.shared + self.question


def render(processor: Any, given: Given, question: str) -> Prompt:
    """Render by the processor's own chat template.

    `processor` is any processor with a tokenizer and a chat template.
    """
    control = tuple(processor.tokenizer.all_special_tokens)
    text = processor.apply_chat_template(
        messages(given, question, control), tokenize=False, add_generation_prompt=True
    )
    cut = text.rindex(question)
    return Prompt(text[:cut], text[cut:])


def reason_answer(
    emotions: Sequence[str], clues: Mapping[str, Sequence[str]], together: str | None = None
) -> str:
    """The answer to REASON_QUESTION: clues stream by stream, how they agree, then the emotions.

    Each stream is read before the whole is named, so that the emotions can follow from the clues.
    """
    return f"{reason_opening(clues, together)} {', '.join(emotions)}."


def reason_opening(clues: Mapping[str, Sequence[str]], together: str | None) -> str:
    """`reason_answer` up to where the emotions are named."""
    sentences = [
        f"{SLOT_NAMES[stream]}: {', '.join(clues[stream])}."
        for stream in STREAMS
        if clues.get(stream)
    ]
    if together:
        sentences.append(f"{TOGETHER}: {together}.")
    return " ".join([*sentences, PERCEIVED])


COMMA_PHRASES = tuple(phrase for phrase in PHRASES if "," in phrase)
JOINED = "\0"  # in the place of a comma that parts nothing


def split_list(text: str) -> list[str]:
    """Comma-separated words without their final stop, empty and repeated ones left out."""
    words = (word.strip(" .;:\n\"'") for word in text.split(","))
    return list(dict.fromkeys(word for word in words if word))


def split_clues(text: str) -> list[str]:
    """`split_list` of a sentence of clues; commas within one of our phrases do not part it."""
    for phrase in COMMA_PHRASES:
        text = text.replace(phrase, phrase.replace(",", JOINED))
    return [clue.replace(JOINED, ",") for clue in split_list(text)]


class Dialogue(ABC):
    """How one family of models is asked and answers: the one builder of its prompts.

    Args:
        processor: the model's processor.
    """

    reason_question: str  # asks for a perceived emotion and its clues
    labels: Sequence[str] = BASIC_LABELS  # closed set unless the user names another

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    @abstractmethod
    def label_question(self, labels: Sequence[str]) -> str:
        """The closed task; its answer is one of `labels`."""

    @abstractmethod
    def free_question(self, question: str) -> str:
        """A question of the user's own, which cannot steer the conversation."""

    def choice_question(self, question: str, asked: str, values: Sequence[str]) -> str:
        """Which of `values` holds for what is `asked`, under a question of the user's own."""
        return self.free_question(f"{question} {asked}: choose one: {', '.join(values)}.".strip())

    @abstractmethod
    def prompt(self, given: Given, question: str) -> Prompt:
        """The rendered conversation up to where the answer begins."""

    @abstractmethod
    def continued_ids(self, text: str) -> list[int]:
        """Tokens of a text that goes on after a prompt's shared part, such as its question."""

    @abstractmethod
    def word_ids(self, text: str) -> list[int]:
        """Tokens of a word or phrase as it stands within a sentence."""

    @abstractmethod
    def answer_ids(self, answer: str) -> list[int]:
        """Tokens of a whole answer, its end included; the answer's own text is never an end."""

    @property
    def drafts(self) -> Sequence[Sequence[int]]:
        """Tokens of phrases, with the comma after them, that answers are likely to hold."""
        return ()

    @property
    @abstractmethod
    def end_ids(self) -> list[int]:
        """Tokens that end an answer."""


class ChatDialogue(Dialogue):
    """The house's own: ChatML by the processor's template, reasons told stream by stream."""

    reason_question = REASON_QUESTION

    @property
    def control(self) -> Sequence[str]:
        """What the tokenizer takes for more than text."""
        return self.processor.tokenizer.all_special_tokens

    def label_question(self, labels: Sequence[str]) -> str:
        return label_question([defused(label, self.control) for label in labels])

    def free_question(self, question: str) -> str:
        return defused(question, self.control)

    def prompt(self, given: Given, question: str) -> Prompt:
        return render(self.processor, given, question)

    def continued_ids(self, text: str) -> list[int]:
        return self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]

    def word_ids(self, text: str) -> list[int]:
        return self.continued_ids(f" {text}")

    def answer_ids(self, answer: str) -> list[int]:
        return self.continued_ids(defused(answer, self.control) + END_OF_TURN)

    @cached_property
    def drafts(self) -> Sequence[Sequence[int]]:
        openings = [
            f"{verb.capitalize()} {label}," for verb in READS.values() for label in WORDS_CLUES
        ]
        return [
            *map(self.continued_ids, openings),
            *(self.word_ids(f"{phrase},") for phrase in dict.fromkeys(PHRASES)),
        ]

    @property
    def end_ids(self) -> list[int]:
        tokenizer = self.processor.tokenizer
        return [tokenizer.convert_tokens_to_ids(END_OF_TURN), tokenizer.eos_token_id]
