"""Examples for Emotion-LLaMA: its own tasks and targets, published or written from measured clues.

One task of the recipe's pool is drawn for each example, as the released code does. A row that
brings published texts gives them as targets; for any other the coarse caption is put together from
what the streams in use measured, by the corpus's own template, and the reason is that caption with
the inferred label. A published text speaks of face and voice: where an example has lost one of
them, only the label is asked for.
"""

from random import Random

from openaffect.corpora.manifest import Row
from openaffect.prompts.conversation import Given
from openaffect.prompts.emotion_llama import (
    INFERRED,
    EmotionLlamaDialogue,
    cleaned_answer,
    instruction,
    tagged,
)
from openaffect.training.batches import StreamExample
from openaffect.training.examples import ExampleBuilder, label_of
from openaffect.training.features import StreamClip
from openaffect.training.recipe import Dropout, PublishedTask


class StreamExampleBuilder(ExampleBuilder):
    """Draws tasks and writes examples; the same for the same row, features and random state.

    Args:
        dialogue: of the model's processor.
        pool: tasks, each as likely.
        dropout: of whole streams; what it says of frames and face features has no meaning here.
        labels: the closed set that is asked; empty takes the model's own.
    """

    def __init__(
        self,
        dialogue: EmotionLlamaDialogue,
        pool: tuple[PublishedTask, ...],
        dropout: Dropout,
        streams: tuple[str, ...],
        labels: tuple[str, ...] = (),
    ) -> None:
        self.dialogue = dialogue
        self.processor = dialogue.processor
        self.pool = pool
        self.dropout = dropout
        self.streams = streams
        self.labels = labels or tuple(dialogue.labels)

    def build(  # type: ignore[override]
        self, row: Row, features: StreamClip, rng: Random, training: bool
    ) -> StreamExample:
        given, left = self.given(row, features, rng, training)
        assert isinstance(left, StreamClip)
        tasks = [task for task in self.pool if self._told(task, row, given, left, rng) is not None]
        task = rng.choice(tasks) if tasks else "emotion"
        answer = self._told(task, row, given, left, rng)
        reason = self._reason(row, given, left, rng) if task == "infer" else ""
        question = instruction(task, rng, self.labels, reason or "")
        return self.stream_example(given, left, tagged(task, question), str(answer))

    def _told(
        self, task: PublishedTask, row: Row, given: Given, features: StreamClip, rng: Random
    ) -> str | None:
        """A task's target; None where the row has none for what is left of it."""
        emotion = row.told.get("emotion") or label_of(row, given)
        if task in ("emotion", "infer"):
            has_reason = task == "emotion" or self._reason(row, given, features, rng)
            return emotion if has_reason else None
        if task == "reason_v2":
            reason = self._reason(row, given, features, rng)
            return None if reason is None else f"{reason}{INFERRED}{emotion}"
        return self._caption(row, given, features, rng)

    def _whole(self, given: Given) -> bool:
        return given.face and given.voice

    def _reason(self, row: Row, given: Given, features: StreamClip, rng: Random) -> str | None:
        if row.told:
            return row.told.get("reason") if self._whole(given) else None
        return self._caption(row, given, features, rng)

    def _caption(self, row: Row, given: Given, features: StreamClip, rng: Random) -> str | None:
        """The coarse caption: what is seen, the expression, the tone, what is said."""
        if row.told:
            return row.told.get("caption") if self._whole(given) else None
        clues = {
            stream: self._clues(stream, row, features, rng)
            for stream in given.streams
            if stream != "words"
        }
        parts = []
        if clues.get("scene"):
            parts.append(f"This person in the video is in {_listed(clues['scene'])}.")
        told = []
        if clues.get("face"):
            told.append(f"the person's face shows {_listed(clues['face'])}")
        if clues.get("voice"):
            told.append(f"the person's voice has {_listed(clues['voice'])}")
        if told:
            sentence = ", and ".join(told)
            parts.append(f"{sentence[0].upper()}{sentence[1:]}.")
        if given.words:
            parts.append(f"Saying: {given.words}")
        return " ".join(parts) or None

    def stream_example(
        self, given: Given, features: StreamClip, question: str, answer: str
    ) -> StreamExample:
        """Tokens and features of one prompt with its answer."""
        lengths = self.processor.slot_lengths(given.video, given.face, given.voice)
        signals = features.audio_signals if self.processor.voice_signals else None
        return StreamExample(
            prompt_ids=self.processor.token_ids(self.dialogue.text(given, question), lengths),
            answer_ids=self.dialogue.answer_ids(cleaned_answer(answer)),
            frame=features.video,
            face=features.faces,
            motion=features.motion,
            voice=features.audio,
            voice_signals=None if signals is None else signals[0],
        )


def _listed(phrases: tuple[str, ...]) -> str:
    return ", ".join(phrases)
