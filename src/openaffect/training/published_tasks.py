"""Examples for Emotion-LLaMA: its own tasks and targets, published or written from measured clues.

One task of the recipe's pool is drawn for each example, as the released code does. A row that
brings published texts gives them as targets; for any other the coarse caption is put together from
what the streams in use measured, one sentence a stream, and the reason is that caption with each
stream's own reading and the inferred label. A published text speaks of face and voice: where an
example has lost one of them, only the label is asked for.
"""

import dataclasses
from random import Random
from typing import Literal

from openaffect.corpora.manifest import Row
from openaffect.prompts.clues import reading
from openaffect.prompts.conversation import Given
from openaffect.prompts.emotion_llama import (
    INFERRED,
    EmotionLlamaDialogue,
    cleaned_answer,
    instruction,
    tagged,
)
from openaffect.prompts.labels import forms_of
from openaffect.training.batches import StreamExample
from openaffect.training.examples import ExampleBuilder, stream_labels
from openaffect.training.face_changes import FaceScale, change_faces
from openaffect.training.features import ClipFeatures, Features, StreamClip
from openaffect.training.recipe import Dropout, PublishedTask
from openaffect.training.shared_features import streams_of

SHOWS = {"face": "shows", "voice": "has", "scene": "shows"}
"""How a sentence about a stream goes on to its clues."""


class StreamExampleBuilder(ExampleBuilder):
    """Draws tasks and writes examples; the same for the same row, features and random state.

    Args:
        dialogue: of the model's processor.
        pool: tasks, each as likely.
        dropout: what it says of frames and face features is for `ClipFeatures`, before they
            become the model's streams.
        labels: the closed set that is asked; empty takes the model's own, `corpora` the row's.
        face_scale: to change faces of `ClipFeatures`; None leaves them.
    """

    dialogue: EmotionLlamaDialogue

    def __init__(
        self,
        dialogue: EmotionLlamaDialogue,
        pool: tuple[PublishedTask, ...],
        dropout: Dropout,
        streams: tuple[str, ...],
        labels: tuple[str, ...] | Literal["corpora"] = (),
        face_scale: FaceScale | None = None,
    ) -> None:
        self.dialogue = dialogue
        self.processor = dialogue.processor
        self.pool = pool
        self.dropout = dropout
        self.streams = streams
        self.labels = labels or tuple(dialogue.labels)
        self.forms = {} if labels == "corpora" else forms_of(self.labels)
        self.face_scale = face_scale

    def label_sets(self, label: str) -> list[tuple[str, ...]]:
        return super().label_sets(label) if self.labels == "corpora" else [tuple(self.labels)]

    def label_of(self, row: Row, given: Given) -> str:
        """One of the set that is asked: what the corpus tells, or its form there."""
        if self.labels == "corpora":
            return super().label_of(row, given)
        told = row.told.get("emotion") or super().label_of(row, given)
        return self.forms.get(told.lower(), told)

    def labelled(self, row: Row) -> bool:
        """Whether every label that an example of the row may ask for is in the set."""
        if self.labels == "corpora":
            return super().labelled(row)
        told = row.told.get("emotion")
        if told:
            return told.lower() in self.forms
        # Neutral is the answer where no stream that is left carries any label.
        carried = (row.label, row.face_label, row.voice_label, row.words_label, "neutral")
        return super().labelled(row) and all(
            label in self.forms for label in carried if label is not None
        )

    def build(  # type: ignore[override]
        self, row: Row, features: Features, rng: Random, training: bool
    ) -> StreamExample:
        given, left = self.given(row, features, rng, training)
        tasks = [task for task in self.pool if self._told(task, row, given, left, rng) is not None]
        task = rng.choice(tasks) if tasks else "emotion"
        answer = str(self._told(task, row, given, left, rng))
        reason = self._reason(row, given, left, rng) if task == "infer" else ""
        labels = rng.choice(self.label_sets(self.label_of(row, given)))
        question = instruction(task, rng, labels, reason or "")
        if training and isinstance(left, ClipFeatures):
            left = self._changed(left, row, rng, labels_only=task == "emotion")
        return self.example(given, left, tagged(task, question), answer)

    def _changed(
        self, features: ClipFeatures, row: Row, rng: Random, labels_only: bool
    ) -> StreamClip:
        """Streams whose mean face is a changed one; how it moves stays as it was measured."""
        streams = streams_of(features, self.processor.frame)
        if features.faces is None or self.face_scale is None:
            return streams
        faces = change_faces(
            features.faces, row.face_label, self.face_scale, self.dropout, rng, labels_only
        )
        changed = streams_of(dataclasses.replace(features, faces=faces), self.processor.frame)
        return dataclasses.replace(streams, faces=changed.faces)

    def _told(
        self, task: PublishedTask, row: Row, given: Given, features: Features, rng: Random
    ) -> str | None:
        """A task's target; None where the row has none for what is left of it."""
        emotion = self.label_of(row, given)
        if task in ("emotion", "infer"):
            has_reason = task == "emotion" or self._reason(row, given, features, rng)
            return emotion if has_reason else None
        if task == "reason_v2":
            reason = self._reason(row, given, features, rng)
            return None if reason is None else f"{reason}{INFERRED}{emotion}"
        return self._caption(row, given, features, rng)

    def _whole(self, given: Given) -> bool:
        return given.face and given.voice

    def _reason(self, row: Row, given: Given, features: Features, rng: Random) -> str | None:
        if row.told:
            return row.told.get("reason") if self._whole(given) else None
        return ", ".join(self._sentences(row, given, features, rng, read=True)) or None

    def _caption(self, row: Row, given: Given, features: Features, rng: Random) -> str | None:
        """The coarse caption: what is seen, the expression, the tone, what is said."""
        if row.told:
            return row.told.get("caption") if self._whole(given) else None
        return ", ".join(self._sentences(row, given, features, rng, read=False)) or None

    def _sentences(
        self, row: Row, given: Given, features: Features, rng: Random, read: bool
    ) -> list[str]:
        """One sentence for each stream in use that shows anything; `read`: its label as well.

        Commas part sentences alone, since cleaning leaves no other mark.
        """
        sentences = []
        for stream in given.streams:
            carried = stream_labels(row, given).get(stream)
            told = list(reading(stream, carried)) if read or stream == "words" else []
            clues = () if stream == "words" else self._clues(stream, row, features, rng)
            if clues:
                phrases = [clue.replace(",", "") for clue in clues]
                told.append(f"{SHOWS[stream]} {' and '.join(phrases)}")
            if told:
                sentences.append(f"the {stream} {' and '.join(told)}")
        return sentences

    def example(  # type: ignore[override]
        self, given: Given, features: Features, question: str, answer: str
    ) -> StreamExample:
        """Tokens and features of one prompt with its answer."""
        if isinstance(features, ClipFeatures):
            features = streams_of(features, self.processor.frame)
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
