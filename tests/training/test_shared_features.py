"""One cache for two families: Emotion-LLaMA's streams from Omni-Emotion's features."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from tiny_small_parts import write_parts

from openaffect.corpora.manifest import Row, write_manifest
from openaffect.errors import ConfigError
from openaffect.inference.inputs import read_inputs
from openaffect.media.face_detection import BLENDSHAPE_NAMES, FaceDetector
from openaffect.media.voice import VOICE_STATISTICS
from openaffect.models.assembly import assemble_small
from openaffect.models.emotion_llama_small import assemble_emotion_llama_small
from openaffect.models.tower_features import towers_identity
from openaffect.training.features import (
    MEDIA_KEY,
    ROWS_FILE,
    SHOWN_KEY,
    TOWERS_KEY,
    ClipFeatures,
    FeatureFolder,
    StreamClip,
    clip_features,
    shown_told,
    stream_clip,
)
from openaffect.training.recipe import Recipe
from openaffect.training.shared_features import fitting, streams_of
from openaffect.training.stage import run_stage

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "surprise-and-joy.mp4"


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Path]:
    return write_parts(tmp_path_factory.mktemp("parts"))


@pytest.fixture(scope="module")
def models(parts):
    """Emotion-LLaMA and Omni-Emotion with their processors."""
    return (*assemble_emotion_llama_small(parts), *assemble_small(parts))


def same(one: StreamClip, two: StreamClip) -> None:
    for field in dataclasses.fields(StreamClip):
        expected, found = getattr(one, field.name), getattr(two, field.name)
        assert (expected is None) == (found is None), field.name
        if expected is not None:
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_streams_from_the_other_family_are_the_models_own(small_parts, models):
    llama, llama_processor, omni, omni_processor = models
    fitting(*models)
    with FaceDetector(small_parts["landmarks"] / "face_landmarker.task") as detector:
        inputs = read_inputs(EXAMPLE, detector, omni_processor)
    assert inputs.tracks
    own = stream_clip(llama, llama_processor, inputs, inputs.voice)
    other = clip_features(omni, omni_processor, inputs, inputs.voice)
    same(own, streams_of(other, llama.config.frame))
    faceless = dataclasses.replace(inputs, tracks=(), crops=())
    own = stream_clip(llama, llama_processor, faceless, None)
    assert own.faces is None and own.audio is None
    same(own, streams_of(clip_features(omni, omni_processor, faceless, None), "peak"))


def test_chunks_of_a_long_voice_count_by_their_length(models):
    llama, llama_processor, omni, omni_processor = models
    voice = np.random.default_rng(0).normal(0, 0.1, 16000 * 34).astype(np.float32)
    inputs = read_inputs(EXAMPLE, None, omni_processor)
    own = stream_clip(llama, llama_processor, inputs, voice)
    other = clip_features(omni, omni_processor, inputs, voice)
    assert len(other.audio) == 2
    same(own, streams_of(other, "peak"))


def test_other_towers_or_another_reading_are_refused(tmp_path, models):
    llama_processor, *omni = models[1:]
    other = assemble_emotion_llama_small(write_parts(tmp_path, seed=1))
    with pytest.raises(ConfigError, match="vision_tower, face_tower, audio_tower"):
        fitting(*other, *omni)
    kept = llama_processor.clip_frames
    llama_processor.clip_frames = 16
    with pytest.raises(ConfigError, match="differs in clip_frames"):
        fitting(*models)
    llama_processor.clip_frames = kept
    with pytest.raises(ConfigError, match="only an Emotion-LLaMA"):
        fitting(*omni, *omni)


def features(model, seed: int) -> ClipFeatures:
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    faces = torch.rand(1, 4, 1, config.face_config.hidden_size, generator=generator)
    return ClipFeatures(
        video=torch.rand(4, 1, config.vision_config.hidden_size, generator=generator),
        faces=faces,
        face_mask=torch.tensor([[True, False, True, True]]),
        blendshapes=torch.rand(3, len(BLENDSHAPE_NAMES), generator=generator),
        audio=torch.rand(1, 5, 5, config.audio_config.d_model, generator=generator),
        audio_lengths=torch.tensor([90]),
        audio_signals=torch.rand(1, len(VOICE_STATISTICS), generator=generator),
    )


def row(number: int) -> Row:
    label = ("happy", "sad", "bored")[number % 3]
    return Row(
        id=f"clip-{number}",
        source="test",
        split="validation" if number % 4 == 3 else "train",
        media=f"{number}.mp4",
        speaker=None,
        language="en",
        words="It is here.",
        label=label,
        open_labels=(label,),
        face_label=label,
        voice_label=label,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory, models) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    omni = models[2]
    store = FeatureFolder(folder)
    origin = {MEDIA_KEY: "", TOWERS_KEY: towers_identity(omni), SHOWN_KEY: shown_told(models[3])}
    rows = [row(number) for number in range(12)]
    for number, item in enumerate(rows):
        store.save(item, 0, features(omni, number), origin)
    write_manifest(rows, folder / ROWS_FILE)
    return folder


def recipe(cache: Path, output: Path, **changes) -> Recipe:
    settings = {
        "stage": "test",
        "model": "emotion-llama-small",
        "features": "omni-emotion-small",
        "output": str(output),
        "trains": ["face_projector", "motion_projector", "audio_projector"],
        "task_pool": ["emotion"],
        "labels": "corpora",
        "corpora": {"test": {"kind": "features", "folder": str(cache)}},
        "dropout": {"face_noise": 0, "real_faces": 0.5},
        "schedule": {
            "steps": 3,
            "batch_size": 4,
            "learning_rate": 1e-2,
            "validation_examples": 3,
        },
    }
    return Recipe.model_validate(settings | changes)


def test_alignment_and_a_stage_train_from_the_other_familys_cache(cache, parts, tmp_path):
    align = recipe(
        cache,
        tmp_path / "align",
        objective="embedding",
        streams=["face", "voice"],
        dropout={"stream": 0, "alone": 1},
    )
    aligned = run_stage(align, say=lambda line: None, parts=parts)
    coarse = recipe(
        cache,
        tmp_path / "coarse",
        start=str(aligned),
        task_pool=["emotion", "reason_v2"],
        trains=[*align.trains, "vision_projector", "language_model"],
        lora={"r": 2, "targets": ["q_proj"]},
    )
    result = run_stage(coarse, say=lambda line: None, parts=parts)
    settings = json.loads((result / "trained_parts.json").read_text())
    assert settings["model"] == "emotion-llama-small" and settings["temperature"] > 0
    before, _ = assemble_emotion_llama_small(parts, aligned)
    after, _ = assemble_emotion_llama_small(parts, result)
    new, _ = assemble_emotion_llama_small(parts)
    for name, tensor in new.named_parameters():
        first, second = before.get_parameter(name), after.get_parameter(name)
        projector = "face_proj" in name or "motion_proj" in name or "audio_proj" in name
        assert torch.equal(first, tensor) != projector, name
        changed = (
            projector or "vision_proj" in name or ("language_model" in name and "q_proj" in name)
        )
        assert torch.equal(second, first) != changed, name


def test_alignment_asks_for_labels_alone(cache, parts, tmp_path):
    wrong = recipe(cache, tmp_path / "out", objective="embedding", task_pool=["reason"])
    with pytest.raises(ConfigError, match="set task_pool"):
        run_stage(wrong, say=lambda line: None, parts=parts)
