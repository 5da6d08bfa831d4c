"""Emotion-LLaMA's prompts as its released code writes them, for training, evaluation and analysis.

Training, the published evaluation and the demo differ in where media stand and in how often the
text begins; all three are here, and nothing else writes such a prompt. Strings and pools are those
of the released code at commit 4ee28d2; the suffix of a reason's target is from its history.
"""

import re
from collections.abc import Sequence
from random import Random
from typing import Any, Literal

from openaffect.prompts.conversation import Dialogue, Given, Prompt, defused, plain_text

VIDEO = "<video><VideoHere></video>"
FEATURE = "<feature><FeatureHere></feature>"
LABELS = ("happy", "sad", "neutral", "angry", "worried", "surprise", "fear", "contempt", "doubt")
"""The closed set of the released models, in the order in which they are asked."""

Task = Literal["emotion", "reason", "reason_v2", "infer", "caption"]

REASON_INSTRUCTIONS = (
    "Please analyze all the clues in the video and reason out the emotional label of the person "
    "in the video.",
    "What is the emotional state of the person in the video? Please tell me the reason.",
    "What are the facial expressions and vocal tone used in the video? What is the intended "
    "meaning behind his words? Which emotion does this reflect?",
    "Please integrate information from various modalities to infer the emotional category of the "
    "person in the video.",
    "Could you describe the emotion-related features of the individual in the video? What "
    "emotional category do they fall into?",
)
CAPTION_INSTRUCTIONS = (
    "Please describe the details of the expression and tone the video.",
    "Can you provide a description of the facial expression and tone shown by the person in the "
    "video?",
    "Could you outline the facial expressions and vocal tones displayed in the video?",
    "Detail the expressions and tone used in the video.",
    "Explain the visual and auditory expressions captured in the video.",
    "Provide an analysis of the expressions and tone featured in the video.",
)
INFERRED = " Therefore, it is inferred that his emotional state is: "
"""What a reason's target ends in, before the label, where `reason_v2` was trained with it."""

CUT_CHARACTERS = re.compile(r"""[.!"()*#:;~]""")
MAX_ANSWER_WORDS = 200
# What would be taken for the prompt's own marks if a subtitle or a question said it.
CONTROL_TEXTS = ("<s>", "</s>", "<unk>", "<VideoHere>", "<FeatureHere>", "[INST]", "[/INST]")


def emotion_instruction(labels: Sequence[str] = LABELS) -> str:
    """What the closed task asks."""
    return f"Please determine which emotion label in the video represents: {', '.join(labels)}."


def instruction(task: Task, rng: Random, labels: Sequence[str] = LABELS, reason: str = "") -> str:
    """One of a task's instructions; `reason` is the told reason that `infer` starts from."""
    if task == "emotion":
        return emotion_instruction(labels)
    if task == "infer":
        return f"{reason}{INFERRED}"
    return rng.choice(CAPTION_INSTRUCTIONS if task == "caption" else REASON_INSTRUCTIONS)


def tagged(task: str, text: str) -> str:
    """An instruction behind its task's tag."""
    return f"[{task}] {text}"


def cleaned_answer(text: str) -> str:
    """A training target as the released code trains on it: lower case, no sentence marks.

    LAVIS's caption processing: `. ! " ( ) * # : ; ~` become blanks, blanks are joined, and what
    is beyond 200 words is cut.
    """
    text = CUT_CHARACTERS.sub(" ", text.lower())
    return " ".join(text.split()[:MAX_ANSWER_WORDS])


def said(words: str | None, control_tokens: Sequence[str]) -> str:
    """The line that tells what is said, nothing where nothing is."""
    if not words:
        return ""
    return f"The person in video says: {plain_text(words, control_tokens)}. "


class EmotionLlamaDialogue(Dialogue):
    """Prompts in the layout that the processor is set to (see `EmotionLlamaProcessor`).

    A stream that is missing leaves no slot behind: without a frame, training's video tag is left
    out, without any other medium its feature tag; the published layouts have one slot for all.
    """

    def __init__(self, processor: Any) -> None:
        super().__init__(processor)
        self.reason_question = tagged(processor.reason_task, REASON_INSTRUCTIONS[0])
        self.labels = tuple(processor.labels or LABELS)

    @property
    def control(self) -> Sequence[str]:
        """What the processor takes for more than text."""
        return (*CONTROL_TEXTS, *self.processor.tokenizer.all_special_tokens)

    def label_question(self, labels: Sequence[str]) -> str:
        plain = [defused(label, self.control) for label in labels]
        return tagged("emotion", emotion_instruction(plain))

    def free_question(self, question: str) -> str:
        return tagged("reason", plain_text(question, self.control))

    def text(self, given: Given, question: str) -> str:
        """The whole prompt; `question` is an instruction behind its tag."""
        line = said(given.words, self.control)
        media = given.video or given.face or given.voice
        layout = self.processor.layout
        if layout == "demo":
            slots = f"{VIDEO} {FEATURE}" if media else FEATURE
            return f"<s>[INST] {slots}<s>[INST] {line}{question} [/INST]"
        tags = f"{VIDEO} {FEATURE} "
        if layout == "consistent":
            lengths = self.processor.slot_lengths(given.video, given.face, given.voice)
            there = dict(zip((VIDEO, FEATURE), lengths.values(), strict=True))
            tags = "".join(f"{tag} " for tag, length in there.items() if length)
        elif not media:
            tags = f"{FEATURE} "
        begin = "" if layout == "consistent" else "<s>"
        return f"{begin}[INST] {tags}{line} {question}  [/INST]"

    def prompt(self, given: Given, question: str) -> Prompt:
        """The conversation, shared up to the last medium: no token reaches across a slot."""
        text = self.text(given, question)
        ends = [text.find(slot) + len(slot) for slot in self.processor.slots if slot in text]
        cut = max(ends, default=0)
        return Prompt(text[:cut], text[cut:])

    def continued_ids(self, text: str) -> list[int]:
        return self.processor.piece_ids(text)

    def word_ids(self, text: str) -> list[int]:
        return self.processor.piece_ids(text)  # which begins with a word mark

    def answer_ids(self, answer: str) -> list[int]:
        plain = defused(answer, self.control)
        return [*self.processor.piece_ids(plain), self.processor.tokenizer.eos_token_id]

    @property
    def end_ids(self) -> list[int]:
        return [self.processor.tokenizer.eos_token_id]
