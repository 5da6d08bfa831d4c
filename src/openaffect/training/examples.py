"""From a row and its cached features to one prompt with its answer.

What an example is given is decided first (streams, frames and faces may be dropped), and the answer
is then written from what is left: the label that the remaining streams carry, and clues from their
measured figures alone. Nothing is ever asked to be heard or seen that was taken away.
"""

import dataclasses
from collections.abc import Sequence
from random import Random
from typing import Any

from openaffect.corpora.manifest import LABELS, Row
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.omni_emotion import OmniEmotionProcessor
from openaffect.prompts.clues import (
    face_clues,
    reading,
    scene_clues,
    voice_clues,
    weigh,
    words_clues,
)
from openaffect.prompts.conversation import (
    ABSENT_ANSWERS,
    REASON_QUESTION,
    STREAM_QUESTIONS,
    STREAMS,
    TEXT_QUESTION,
    ChatDialogue,
    Dialogue,
    Given,
    label_question,
    reason_answer,
    render,
)
from openaffect.prompts.labels import BASIC_LABELS, EMODB_LABELS, RAVDESS_LABELS
from openaffect.prompts.vocabulary import MEDIUM, open_words
from openaffect.training.batches import Example
from openaffect.training.face_changes import FaceScale, change_faces
from openaffect.training.features import ClipFeatures, Features
from openaffect.training.recipe import Dropout, Tasks

LABEL_SETS = (BASIC_LABELS, EMODB_LABELS, RAVDESS_LABELS, LABELS)
TRANSCRIBE_QUESTION = "What is said?"


def stream_labels(row: Row, given: Given) -> dict[str, str | None]:
    """What each given stream carries by itself."""
    labels = {
        "face": row.face_label if given.face else None,
        "voice": row.voice_label if given.voice else None,
        "words": row.words_label if given.words else None,
    }
    return {stream: label for stream, label in labels.items() if stream in given.streams}


def label_of(row: Row, given: Given) -> str:
    """The label that the given streams support: the row's own if one of them carries it, or if no
    stream that carries any was left out.

    Otherwise the first of face, voice and words that carries any; neutral if none does.
    """
    carried = [label for label in stream_labels(row, given).values() if label]
    known = [label for label in (row.face_label, row.voice_label, row.words_label) if label]
    if row.label and (row.label in carried or len(carried) == len(known)):
        return row.label
    return carried[0] if carried else "neutral"


def streams_known(row: Row) -> bool:
    """Whether it is known what the streams show alone; a row without their labels tells nothing of
    them, unless the whole is neutral. Published texts tell of the face, whatever the label."""
    plain = row.label == "neutral" and not row.told
    return plain or any((row.face_label, row.voice_label, row.words_label))


class ExampleBuilder:
    """Draws tasks and writes examples; the same for the same row, features and random state."""

    def __init__(
        self,
        processor: OmniEmotionProcessor,
        tasks: Tasks,
        dropout: Dropout,
        face_scale: FaceScale | None,
        streams: Sequence[str] = STREAMS,
    ) -> None:
        self.processor = processor
        self.dialogue: Dialogue = ChatDialogue(processor)
        self.streams = streams
        self.tasks = tasks
        self.dropout = dropout
        self.face_scale = face_scale

    def usable(self, row: Row, features: Features) -> bool:
        """Whether a row gives any of the streams that this stage is about, and any label."""
        there = {
            "face": _faces(row, features),
            "voice": features.audio,
            "scene": features.video,
            "words": row.words,
        }
        return self.labelled(row) and any(there[stream] is not None for stream in self.streams)

    def labelled(self, row: Row) -> bool:
        """Whether anything is known of what a row shows, in labels that the corpora share."""
        if row.label is None and (row.told.get("emotion") or row.open_labels):
            return False  # what the whole shows has no counterpart among them
        return any((row.label, row.face_label, row.voice_label, row.words_label))

    def build(self, row: Row, features: ClipFeatures, rng: Random, training: bool) -> Example:
        """One example; dropout and redrawn scores apply in training only."""
        whole, _ = self.given(row, features, rng, training=False)
        given, features = self.given(row, features, rng, training)
        names = ("label", "reason", "stream", "text", "transcribe")
        task = rng.choices(names, [getattr(self.tasks, name) for name in names])[0]
        text = row.told.get("reason") or row.reasoning
        if task == "text" and not (text and given.streams == whole.streams):
            task = "reason"  # a text may speak of every stream
        if task == "transcribe" and not (row.words and given.voice):
            task = "label"
        stream = self._asked_stream(row, given, rng) if task == "stream" else None
        if stream in given.streams and rng.random() < self.tasks.stream_alone:
            given = given.only((stream,))
        elif task == "transcribe":
            given = given.only(("voice",))  # the words would be the answer
        features = _left(features, given)
        if training and features.faces is not None and self.face_scale is not None:
            faces = change_faces(
                features.faces, row.face_label, self.face_scale, self.dropout, rng, task == "label"
            )
            features = dataclasses.replace(features, faces=faces)
        if stream is not None:
            question, answer = self._stream_task(stream, row, given, features, rng)
        elif task == "text":
            question, answer = TEXT_QUESTION, text
        elif task == "transcribe":
            question, answer = TRANSCRIBE_QUESTION, str(row.words)
        else:
            question, answer = self._task(task, row, given, features, rng)
        return self.example(given, features, question, answer)

    def given(self, row: Row, features: Any, rng: Random, training: bool) -> tuple[Given, Any]:
        """What is left of a clip after dropout, and its features; at least one stream."""
        there = [
            stream
            for stream, value in (
                ("face", _faces(row, features)),
                ("voice", features.audio),
                ("scene", features.video),
                ("words", row.words),
            )
            if value is not None and stream in self.streams
        ]
        kept = list(there)
        if training:
            telling = [stream for stream in there if stream != "scene"]
            if telling and rng.random() < self.dropout.alone:
                kept = [rng.choice(telling)]
            for stream in rng.sample(there, len(there)):
                chance = self.dropout.words if stream == "words" else self.dropout.stream
                if stream in kept and len(kept) > 1 and rng.random() < chance:
                    kept.remove(stream)
            if isinstance(features, ClipFeatures) and rng.random() < self.dropout.frames:
                features = _one_frame(features, rng)
        given = Given(
            video="scene" in kept,
            face="face" in kept,
            voice="voice" in kept,
            words=row.words if "words" in kept else None,
        )
        return given, _left(features, given)

    def _asked_stream(self, row: Row, given: Given, rng: Random) -> str | None:
        """A stream to ask about; nobody can tell what an undescribed scene or words show."""
        untold = set() if row.scene else {"scene"}
        untold |= set() if streams_known(row) else {"words"}
        streams = [s for s in self.tasks.streams if s not in untold or s not in given.streams]
        return rng.choice(streams) if streams else None

    def _stream_task(
        self, stream: str, row: Row, given: Given, features: ClipFeatures, rng: Random
    ) -> tuple[str, str]:
        if stream not in given.streams:
            return STREAM_QUESTIONS[stream], ABSENT_ANSWERS[stream]
        told = ", ".join(self._stream_told(stream, row, given, features, rng))
        return STREAM_QUESTIONS[stream], f"{told[0].upper()}{told[1:]}."

    def _task(
        self, task: str, row: Row, given: Given, features: ClipFeatures, rng: Random
    ) -> tuple[str, str]:
        label = self.label_of(row, given)
        if task != "reason":
            return label_question(self._label_set(label, rng)), label
        words: Sequence[str] = row.open_labels if label == row.label else ()
        words = words or open_words(label, MEDIUM, str(rng.random()))
        clues = {
            stream: self._stream_told(stream, row, given, features, rng) for stream in given.streams
        }
        return REASON_QUESTION, reason_answer(words, clues, weigh(stream_labels(row, given)))

    def label_of(self, row: Row, given: Given) -> str:
        """The right answer to the closed question."""
        return label_of(row, given)

    def label_sets(self, label: str) -> list[tuple[str, ...]]:
        """Closed sets that a clip of this label is asked about."""
        return [labels for labels in LABEL_SETS if label in labels]

    def _label_set(self, label: str, rng: Random) -> list[str]:
        """A closed set that holds the label: a corpus's own, or any few, in any order."""
        fitting = self.label_sets(label)
        if rng.random() >= self.tasks.other_sets:
            labels = list(rng.choice(fitting))
        else:
            others = rng.sample([other for other in LABELS if other != label], rng.randint(1, 7))
            labels = [label, *others]
        if rng.random() < self.tasks.shuffled:
            rng.shuffle(labels)
            return labels
        return sorted(labels)

    def _stream_told(
        self, stream: str, row: Row, given: Given, features: Features, rng: Random
    ) -> tuple[str, ...]:
        """What a stream shows by itself, then its clues."""
        carried = stream_labels(row, given).get(stream)
        return (*reading(stream, carried), *self._clues(stream, row, features, rng))

    def _clues(self, stream: str, row: Row, features: Features, rng: Random) -> tuple[str, ...]:
        if stream == "face":
            assert features.blendshapes is not None
            return face_clues(features.blendshapes.numpy(), BLENDSHAPE_NAMES, rng)
        if stream == "voice":
            assert features.audio_signals is not None
            figures = features.audio_signals[0].tolist()
            return voice_clues(dict(zip(VOICE_STATISTICS, figures, strict=True)), rng)
        if stream == "scene":
            if row.scene is None:
                return ()
            return scene_clues(row.scene.light, row.scene.background, row.scene.people)
        return words_clues(row.words_label, rng) if streams_known(row) else ()

    def example(self, given: Given, features: ClipFeatures, question: str, answer: str) -> Example:
        """Tokens and features of one prompt with its answer."""
        frames = 0 if features.video is None else len(features.video)
        mask = features.face_mask
        faces = [] if mask is None else mask.sum(1).tolist()
        lengths = [] if features.audio_lengths is None else features.audio_lengths.tolist()
        prompt = self.processor.expand(
            render(self.processor, given, question).text,
            self.processor.video_length(frames, faces),
            self.processor.audio_length(lengths),
        )
        tokenizer = self.processor.tokenizer
        return Example(
            prompt_ids=tokenizer(prompt, add_special_tokens=False)["input_ids"],
            answer_ids=self.dialogue.answer_ids(answer),
            video=features.video,
            faces=features.faces,
            face_mask=mask,
            audio=features.audio,
            audio_lengths=features.audio_lengths,
            audio_signals=features.audio_signals if self.processor.voice_signals else None,
        )


def _faces(row: Row, features: Any) -> Any:
    """The faces of a clip; none where nobody's face can be seen, whatever a detector found."""
    return features.faces if row.shows_faces else None


def _left(features: Any, given: Given) -> Any:
    """The features of what is given alone."""
    gone: set[str] = set() if given.video else {"video"}
    gone |= set() if given.face else {"faces", "face_mask", "motion", "blendshapes"}
    gone |= set() if given.voice else {"audio", "audio_lengths", "audio_signals"}
    there_are = {field.name for field in dataclasses.fields(features)}
    return dataclasses.replace(features, **dict.fromkeys(gone & there_are))


def _one_frame(features: ClipFeatures, rng: Random) -> ClipFeatures:
    """The clip as a still image: one frame, with the faces found in it."""
    if features.video is None or len(features.video) == 1:
        return features
    candidates = list(range(len(features.video)))
    if features.face_mask is not None:
        main = features.face_mask[0].nonzero()[:, 0].tolist()
        candidates = main or candidates
    frame = rng.choice(candidates)
    changes: dict[str, Any] = {"video": features.video[frame : frame + 1]}
    if features.faces is not None and features.face_mask is not None:
        faces = features.faces[:, frame : frame + 1]
        mask = features.face_mask[:, frame : frame + 1]
        there = mask[:, 0]
        if there.any():
            found = features.face_mask[0].nonzero()[:, 0].tolist()
            changes |= {"faces": faces[there], "face_mask": mask[there]}
            assert features.blendshapes is not None
            if there[0]:
                place = found.index(frame)
                changes["blendshapes"] = features.blendshapes[place : place + 1]
        else:
            return features
    return dataclasses.replace(features, **changes)
