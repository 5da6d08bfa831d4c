"""From what was read and answered to the Analysis: modalities with reasons, people, signals."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from openaffect import __version__
from openaffect.errors import MediaError
from openaffect.inference.answers import Reason
from openaffect.inference.inputs import LEFT_OUT
from openaffect.inference.options import LONG_CLIP, AnalyzeOptions
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.face_tracks import FaceTrack
from openaffect.media.subtitles import within
from openaffect.media.voice import voice_contours
from openaffect.models.clip_processing import ClipProcessor
from openaffect.models.encoders.expression_net import EXPRESSION_LABELS
from openaffect.models.generation import MediaGeneration
from openaffect.models.preset import load_preset
from openaffect.models.tower_features import NO_SETTINGS, shown_to_towers
from openaffect.results.analysis import (
    UNCLEAR,
    Analysis,
    AudioUse,
    ClipReference,
    Emotion,
    FaceSample,
    FaceUse,
    Modalities,
    ModelReference,
    Person,
    Signals,
    TextLine,
    TextUse,
    VideoUse,
    VoiceSample,
)

if TYPE_CHECKING:
    from openaffect.inference.analyzer import Analyzer, Reading

POSE = ("yaw", "pitch", "roll")
CONTOUR_STEP = 5  # every fifth 10 ms frame of the voice's contours is kept: 50 ms


class NothingGiven(MediaError):
    """A clip gives the model nothing; `reasons` say why."""

    def __init__(self, path: Path, reasons: str) -> None:
        super().__init__(path, reasons)
        self.path, self.reasons = path, reasons or "no stream was asked for"

    def __str__(self) -> str:
        return f"{self.path}: nothing to analyse ({self.reasons})"


def part_identities(preset: str, trained: Path) -> dict[str, str]:
    """SHA-256 of every part of the small preset, the trained ones included."""
    parts = load_preset(preset).parts.items()
    known = {name: part.identity for name, part in parts if part.identity is not None}
    return known | folder_identity(trained)


def folder_identity(folder: Path) -> dict[str, str]:
    """One SHA-256 over the safetensors files of a folder, in name order."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return {"trained": digest.hexdigest()}


def configuration_identity(model: MediaGeneration, processor: ClipProcessor) -> str:
    """Hex SHA-256 over what equal tensors may still differ in: how they are used, what is shown.

    That is the model's configuration and the processor's settings, without what depends on where
    and by what they were loaded.
    """
    told = {
        "model": model.config.to_dict(),
        "processor": processor.to_dict(),
        "shown": shown_to_towers(processor),
    }
    settings = json.loads(
        json.dumps(told, default=str),
        object_hook=lambda held: {n: value for n, value in held.items() if n not in NO_SETTINGS},
    )
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def modalities(reading: Reading, options: AnalyzeOptions, processor: ClipProcessor) -> Modalities:
    """What was used and, for what was not, why."""
    inputs, given = reading.inputs, reading.given
    clip = inputs.clip
    frames = processor.frames_seen(0 if clip.frames is None else len(clip.frames))
    tracks = inputs.tracks[: processor.people_seen]
    video = (
        VideoUse(True, frames)
        if given.video
        else VideoUse(False, reason=clip.frames_reason or LEFT_OUT)
    )
    seen = {face.frame for track in tracks for face in track.faces}
    face = (
        FaceUse(True, len(tracks), len(seen))
        if given.face
        else FaceUse(False, reason=inputs.face_reason or LEFT_OUT)
    )
    seconds = 0.0 if inputs.voice is None else len(inputs.voice) / 16_000
    audio = AudioUse(True, seconds) if given.voice else AudioUse(False, reason=reading.voice_reason)
    return Modalities(video, face, audio, _text_use(reading, options))


def _text_use(reading: Reading, options: AnalyzeOptions) -> TextUse:
    if not reading.given.words:
        return TextUse(False, reason=reading.words_reason or LEFT_OUT)
    transcript, clip = reading.transcript, reading.inputs.clip
    start = clip.start
    if transcript is None:
        shown = within(tuple(options.lines or ()), start, clip.end)
        lines = tuple(TextLine(line.start, line.end, line.text) for line in shown)
        return TextUse(True, "subtitle", options.subtitle, lines=lines)
    return TextUse(
        True,
        "transcript",
        transcript.text,
        transcript.language,
        transcript.english if transcript.english != transcript.text else None,
        tuple(
            TextLine(start + part.start, start + part.end, part.text)
            for part in transcript.segments
        ),
    )


def _expressions(analyzer: Analyzer, reading: Reading) -> list[tuple[Emotion, ...]]:
    """Each person's mean facial expression by the face tower, where it names any."""
    config = analyzer.model.config.face_config
    people = reading.inputs.faces()
    if not hasattr(config, "group_slices"):
        return [() for _ in people]
    found = []
    for track in people:
        batch = analyzer.processor.face_inputs([[track]])
        mask = batch["face_mask"]
        with torch.inference_mode():
            pixels = batch["face_pixel_values"][mask].to(analyzer.model.device)
            signals = batch["face_signals"][mask].to(analyzer.model.device)
            features = analyzer.model.model.encode_faces(pixels, signals).flatten(1)
        scores = features[:, config.group_slices["scores"]].float().mean(0)
        scores = scores / scores.sum()
        ranked = sorted(zip(scores.tolist(), EXPRESSION_LABELS, strict=True), reverse=True)
        found.append(tuple(Emotion(label, score) for score, label in ranked))
    return found


def people(analyzer: Analyzer, reading: Reading) -> tuple[Person, ...]:
    """The people in sight, the main one first."""
    clip, tracks = reading.inputs.clip, reading.inputs.tracks
    if clip.frames is None or not reading.given.face:
        return ()
    share = (clip.end - clip.start) / len(clip.frames)
    expressions = _expressions(analyzer, reading)
    result = []
    for index, track in enumerate(tracks):
        clearest = max(track.faces, key=lambda face: face.side)
        result.append(
            Person(
                track.id,
                track.main,
                tuple(float(edge) for edge in clearest.box),  # type: ignore[arg-type]
                float(clearest.time),
                len(track.faces) * share,
                float(track.speaking) if reading.given.voice else None,
                expressions[index] if index < len(expressions) else (),
            )
        )
    return tuple(result)


def _face_samples(tracks: tuple[FaceTrack, ...], width: int, height: int) -> tuple[FaceSample, ...]:
    sides = (width, height, width, height)
    samples = [
        FaceSample(
            float(face.time),
            track.id,
            {
                name: round(float(value), 4)
                for name, value in (
                    *zip(BLENDSHAPE_NAMES, face.blendshapes, strict=True),
                    *zip(POSE, face.pose, strict=True),
                )
            },
            tuple(round(float(e) / s, 4) for e, s in zip(face.box, sides, strict=True)),  # type: ignore[arg-type]
        )
        for track in tracks
        for face in track.faces
    ]
    return tuple(sorted(samples, key=lambda sample: (sample.time, sample.track)))


def signals(reading: Reading) -> Signals:
    """Measured courses of the streams in use."""
    faces: tuple[FaceSample, ...] = ()
    if reading.given.face and reading.inputs.frames is not None:
        height, width = reading.inputs.frames.shape[1:3]
        faces = _face_samples(reading.inputs.tracks, width, height)
    voice: tuple[VoiceSample, ...] = ()
    if reading.given.voice and reading.inputs.voice is not None:
        contours = voice_contours(reading.inputs.voice)
        start = reading.inputs.clip.start
        voice = tuple(
            VoiceSample(
                round(start + float(contours.times[k]), 3),
                round(float(contours.pitch[k]), 1) if contours.voiced[k] else None,
                round(float(contours.energy[k]), 1),
            )
            for k in np.arange(0, len(contours.times), CONTOUR_STEP)
        )
    return Signals(faces, voice)


def seen(analyzer: Analyzer, reading: Reading, options: AnalyzeOptions, path: Path) -> Analysis:
    """What is told of a clip without asking the language model: an Analysis without findings."""
    clip = reading.inputs.clip
    warnings = list(clip.warnings)
    if clip.end - clip.start > LONG_CLIP:
        warnings.append(
            f"one reading for {clip.end - clip.start:.0f} seconds; without --segments never it "
            "is read in parts"
        )
    if reading.transcript is not None and reading.transcript.text:
        warnings += [
            f"speech without words from {clip.start + doubt.start:.1f} to "
            f"{clip.start + doubt.end:.1f} s: {doubt.reason}"
            for doubt in reading.transcript.doubts
        ]
        warnings += [
            f"words as spoken, not in English, from {clip.start + doubt.start:.1f} to "
            f"{clip.start + doubt.end:.1f} s: {doubt.reason}"
            for doubt in reading.transcript.untranslated
        ]
    return Analysis(
        clip=ClipReference(str(path), clip.sha256, clip.start, clip.end, clip.duration),
        modalities=modalities(reading, options, analyzer.processor),
        people=people(analyzer, reading),
        signals=signals(reading),
        model=ModelReference(analyzer.name, __version__, analyzer.parts),
        settings={"frames": 0 if clip.frames is None else len(clip.frames)},
        warnings=tuple(warnings),
    )


def analysis(
    analyzer: Analyzer,
    seen: Analysis,
    options: AnalyzeOptions,
    probabilities: dict[str, float],
    reason: Reason,
    answer: str | None,
    dropped: list[str],
    path: Path,
) -> Analysis:
    """Everything about one clip: what was `seen` of it, by whichever model, and the findings."""
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    warnings = list(seen.warnings)
    if ranked[0][1] < UNCLEAR:
        warnings.append(f"unclear: the likeliest label has a probability of {ranked[0][1]:.2f}")
    warnings += [f"left out of the reasoning, its stream was not used: {text}" for text in dropped]
    return replace(
        seen,
        clip=replace(seen.clip, path=str(path)),
        emotions=tuple(Emotion(label, share) for label, share in ranked),
        open_emotions=reason.emotions,
        reasoning=reason.text(),
        clues={stream: clues for stream, clues in reason.clues.items() if clues},  # type: ignore[misc]
        question=options.question,
        answer=answer,
        model=ModelReference(analyzer.name, __version__, analyzer.parts),
        settings={
            **seen.settings,
            "labels": tuple(probabilities),
            "language": options.language,
            "reasons": options.reasons,
            "seed": options.seed,
            "streams": tuple(options.streams),
            "temperature": analyzer.temperature,
            "temperature_alone": analyzer.temperature_alone,
            "transcribe": options.transcribe,
            **analyzer.processor.settings,
        },
        warnings=tuple(warnings),
    )
