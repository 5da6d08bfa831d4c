"""The small Emotion-LLaMA around tiny parts: the same class, other towers."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, WhisperConfig

sys.path.insert(0, str(Path(__file__).parent))
from tiny_small_parts import write_parts

from openaffect.corpora.manifest import LABELS
from openaffect.media.face_signals import FACE_SIGNAL_SIZE
from openaffect.models.clip_processing import FaceInput
from openaffect.models.emotion_llama import (
    EmotionLlamaConfig,
    EmotionLlamaForConditionalGeneration,
)
from openaffect.models.emotion_llama_small import (
    SMALL_CHOICES,
    assemble_emotion_llama_small,
    small_tokenizer,
)
from openaffect.models.encoders.efficientnet_lite import EfficientNetLiteConfig
from openaffect.models.encoders.face_signals_tower import FaceSignalsConfig
from openaffect.models.lora import LoraSettings, add_lora
from openaffect.models.trained_parts import new_part_tensors, save_trained_parts


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, Path]:
    return write_parts(tmp_path_factory.mktemp("parts"))


def sample(seed: int, faces: int, seconds: float):
    rng = np.random.default_rng(seed)
    crops = rng.integers(0, 256, (faces, 112, 112, 3), dtype=np.uint8)
    signals = rng.random((faces, FACE_SIGNAL_SIZE), dtype=np.float32)
    people = [
        [
            FaceInput(k, crop, told)
            for k, (crop, told) in enumerate(zip(crops, signals, strict=True))
        ]
    ]
    frames = rng.integers(0, 256, (6, 40, 50, 3), dtype=np.uint8)
    voice = rng.normal(0, 0.1, int(16000 * seconds)).astype(np.float32)
    return frames, people, voice


TEXT_OF_ALL = "[INST] <video><VideoHere></video> <feature><FeatureHere></feature> Which? [/INST]"


def inputs_of(processor, samples):
    frames, people, voices = (list(column) for column in zip(*samples, strict=True))
    return processor(text=[TEXT_OF_ALL] * len(samples), videos=frames, faces=people, audio=voices)


def test_the_same_class_with_other_parts_batches_exactly(parts):
    model, processor = assemble_emotion_llama_small(parts)
    assert isinstance(model, EmotionLlamaForConditionalGeneration)
    samples = [sample(0, 5, 0.6), sample(1, 2, 1.1)]
    with torch.inference_mode():
        together = model(**inputs_of(processor, samples)).logits
        for index, one in enumerate(samples):
            inputs = inputs_of(processor, [one])
            assert (inputs["input_ids"] == model.config.media_token_id).sum() == 1 + 3
            alone = model(**inputs).logits[0]
            torch.testing.assert_close(together[index, -len(alone) :], alone, atol=1e-4, rtol=1e-3)


def test_the_motion_token_is_how_the_face_features_change(parts):
    model, processor = assemble_emotion_llama_small(parts)
    face = sample(0, 1, 0.5)[1][0][0]
    still = [[FaceInput(k, face.crop, face.signals) for k in range(4)]]
    with torch.inference_mode():
        _, motion = model.model.encode_one(processor.face_inputs([still]))
        assert motion.abs().max() < 1e-5
        _, moving = model.model.encode_one(processor.face_inputs([sample(3, 4, 0.5)[1]]))
        assert moving.abs().max() > 0.1


def test_trained_parts_come_back(parts, tmp_path):
    model, processor = assemble_emotion_llama_small(parts, seed=1)
    lora = LoraSettings(r=2, lora_alpha=4, target_modules=("q_proj", "v_proj"))
    add_lora(model.model.language_model, lora)
    for _, parameter in model.named_parameters():
        if parameter.shape[0] == 2:  # an adapter's first matrix
            torch.nn.init.normal_(parameter)
    for layer in model.model.language_model.layers:
        torch.nn.init.normal_(layer.self_attn.q_proj.lora_B.weight, std=0.1)
    save_trained_parts(model, lora, tmp_path / "trained", {}, torch.float32)
    again, _ = assemble_emotion_llama_small(parts, tmp_path / "trained")
    inputs = inputs_of(processor, [sample(0, 3, 0.5)])
    with torch.inference_mode():
        expected = model.eval()(**inputs).logits
        torch.testing.assert_close(again(**inputs).logits, expected, atol=1e-4, rtol=1e-3)


def test_what_is_shipped_stays_under_20_megabytes():
    """Projectors and adapters of the recipes at the real sizes, in half precision."""
    config = EmotionLlamaConfig(
        text_config=LlamaConfig(
            vocab_size=49_152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            tie_word_embeddings=True,
        ),
        vision_config=EfficientNetLiteConfig(output_grid=1),
        face_config=FaceSignalsConfig(),
        audio_config=WhisperConfig(d_model=512, encoder_layers=6, encoder_attention_heads=8),
        media_token_id=49_152,
        **SMALL_CHOICES
        | {"lora_r": 16, "lora_targets": ["q_proj", "v_proj", "o_proj", "down_proj"]},
    )
    with torch.device("meta"):
        model = EmotionLlamaForConditionalGeneration(config)
    numbers = sum(tensor.numel() for _, tensor in new_part_tensors(model))
    numbers += sum(p.numel() for name, p in model.named_parameters() if ".lora_" in name)
    assert 2 * numbers < 20e6


def test_an_answer_begins_with_the_token_of_its_word_within_a_sentence(small_parts):
    """As LLaMA's tokenizer has it; the text part's own begins a text without a word mark."""
    tokenizer = small_tokenizer(small_parts["text"])
    plain = AutoTokenizer.from_pretrained(small_parts["text"])
    for label in LABELS:
        inside = plain(f" {label}", add_special_tokens=False)["input_ids"]
        assert tokenizer(label, add_special_tokens=False)["input_ids"] == inside
        assert plain(label, add_special_tokens=False)["input_ids"] != inside
        assert tokenizer.decode(inside).strip() == label
