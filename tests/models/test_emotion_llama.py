"""The Emotion-LLaMA family: transformers' conventions, exact batching, missing streams."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForMultimodalLM,
    AutoProcessor,
    ViTConfig,
    ViTMAEModel,
    ViTModel,
)

from openaffect.errors import UsageError
from openaffect.media.face_detection import BLENDSHAPE_NAMES
from openaffect.media.peak_frame import peak_of
from openaffect.models.clip_processing import FaceInput
from openaffect.models.emotion_llama import EmotionLlamaForConditionalGeneration
from openaffect.models.emotion_llama.modeling import MEDIA_INPUTS
from openaffect.models.emotion_llama.processing import chosen_frame
from openaffect.models.emotion_llama.projectors import (
    face_dynamics,
    join_patches,
    segment_frames,
)
from openaffect.models.emotion_llama.tiny import VIT_SIZES, tiny_config, tiny_model, tiny_processor
from openaffect.models.lora import lora_state

RANDOM = np.random.default_rng(0)
SLOTS = "<video><VideoHere></video> <feature><FeatureHere></feature>"


def frames(count: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 30, 40, 3), dtype=np.uint8)


def faces(count: int) -> list[list[FaceInput]]:
    crops = RANDOM.integers(0, 256, (count, 40, 40, 3), dtype=np.uint8)
    return [[FaceInput(2 * index, crop) for index, crop in enumerate(crops)]]


def voice(seconds: float) -> np.ndarray:
    return RANDOM.normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


# Every mixture of streams.
SAMPLES = [
    (f"[INST] {SLOTS} Which? [/INST]", frames(), faces(12), voice(1.0)),
    (f"[INST] {SLOTS} A longer question about it? [/INST]", frames(1), faces(3), None),
    ("[INST] <feature><FeatureHere></feature> Voice [/INST]", None, [], voice(0.4)),
    (f"[INST] {SLOTS} No face [/INST]", frames(2), [], voice(0.7)),
    ("[INST] <feature><FeatureHere></feature> A face [/INST]", None, faces(1), None),
    ("[INST] Words alone [/INST]", None, [], None),
]


def batch_of(processor, samples):
    texts, videos, people, audio = (list(column) for column in zip(*samples, strict=True))
    return processor(text=texts, videos=videos, faces=people, audio=audio)


def setting(**changes):
    model = tiny_model(**changes)
    return model, tiny_processor(model.config)


@pytest.mark.parametrize("changes", [{}, {"has_motion_tower": False}, {"class_token": False}])
def test_batched_equals_one_by_one(changes):
    model, processor = setting(**changes)
    together = model(**batch_of(processor, SAMPLES)).logits
    for index, sample in enumerate(SAMPLES):
        alone = model(**batch_of(processor, [sample])).logits[0]
        torch.testing.assert_close(together[index, -len(alone) :], alone, atol=2e-5, rtol=1e-4)


def test_generation_reads_media_once_and_batches_exactly():
    model, processor = setting()
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 2}
    batch = batch_of(processor, SAMPLES)
    together = model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :]
    for index, sample in enumerate(SAMPLES):
        inputs = batch_of(processor, [sample])
        alone = model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :]
        assert together[index, : len(alone)].tolist() == alone.tolist()
        uncached = model.generate(**inputs, use_cache=False, **options)
        assert uncached[0, inputs["input_ids"].shape[1] :].tolist() == alone.tolist()


@pytest.mark.parametrize("changes", [{}, {"has_motion_tower": False}, {"class_token": False}])
def test_what_towers_say_stands_in_for_pixels_and_sound(changes):
    model, processor = setting(**changes)
    inputs = dict(batch_of(processor, SAMPLES))
    expected = model(**inputs).logits
    media = {name: inputs[name] for name in MEDIA_INPUTS if name in inputs}
    told = model.model.encode_media(media)
    assert set(told).isdisjoint({"pixel_values", "face_pixel_values", "input_values"})
    again = processor.lay_out([text for text, *_ in SAMPLES], told)
    assert torch.equal(again["input_ids"], inputs["input_ids"])
    assert torch.equal(model(**again).logits, expected)


def test_every_stream_changes_the_answer():
    model, processor = setting()
    inputs = batch_of(processor, SAMPLES[:1])
    plain = model(**inputs).logits[0, -1]
    for name in ("pixel_values", "face_pixel_values", "input_values"):
        noise = torch.randn(inputs[name].shape, generator=torch.Generator().manual_seed(1))
        changed = model(**{**inputs, name: inputs[name] + noise}).logits[0, -1]
        assert (changed - plain).abs().max() > 1e-5, name


def test_media_stand_in_the_published_order():
    """Patches, face, motion, voice, class token: by the embeddings at the placeholders."""
    model, processor = setting()
    inputs = batch_of(processor, SAMPLES[:1])
    inner = model.model
    embeds = inner.embed(**{k: v for k, v in inputs.items() if k != "attention_mask"})
    places = embeds[0][inputs["input_ids"][0] == 0]
    frame = inner.encode_frame(inputs["pixel_values"])
    face, motion = inner.encode_person(inputs["face_pixel_values"][0][inputs["face_mask"][0]])
    heard = inner.encode_voice([inputs["input_values"][0, 0]])
    patches = frame[0, 1:].reshape(4, 4 * 24)
    expected = [
        *inner.vision_projector.linear(patches),
        inner.face_projector.linear(face),
        inner.motion_projector.linear(motion),
        inner.audio_projector.linear(heard[0]),
        inner.class_projector.linear(frame[0, 0]),
    ]
    torch.testing.assert_close(places, torch.stack(expected))


def test_saved_and_loaded_is_the_original(tmp_path):
    model, processor = setting()
    for tensor in lora_state(model.model.language_model).values():
        torch.nn.init.normal_(tensor, std=0.1)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, info = AutoModelForMultimodalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert isinstance(loaded, EmotionLlamaForConditionalGeneration)
    assert AutoConfig.from_pretrained(tmp_path).frame == "first"
    again = AutoProcessor.from_pretrained(tmp_path)
    before, after = batch_of(processor, SAMPLES), batch_of(again, SAMPLES)
    assert before.keys() == after.keys()
    assert torch.equal(before["input_ids"], after["input_ids"])
    torch.testing.assert_close(loaded.eval()(**after).logits, model(**before).logits)


def test_what_is_trained_stays_in_single_precision(tmp_path):
    model, _ = setting()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForMultimodalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    kinds = {name: tensor.dtype for name, tensor in loaded.named_parameters()}
    assert kinds["model.vision_projector.linear.weight"] == torch.float32
    assert kinds["model.language_model.layers.0.self_attn.q_proj.lora_A.weight"] == torch.float32
    base = "model.language_model.layers.0.self_attn.q_proj.base_layer.weight"
    assert kinds[base] == torch.bfloat16
    processor = tiny_processor(loaded.config)
    assert loaded.eval()(**batch_of(processor, SAMPLES[:2])).logits.isfinite().all()


def test_new_adapters_change_nothing():
    adapted, plain = tiny_model(lora_r=4), tiny_model(lora_r=0)
    state = adapted.state_dict()
    plain.load_state_dict(
        {k.replace(".base_layer", ""): v for k, v in state.items() if ".lora_" not in k}
    )
    processor = tiny_processor(plain.config)
    batch = batch_of(processor, SAMPLES[:2])
    torch.testing.assert_close(adapted(**batch).logits, plain(**batch).logits)


def test_face_tower_keeps_every_patch_in_its_place():
    """ViTMAE without masking equals the plain ViT, and the same twice."""
    config = tiny_config().face_config
    torch.manual_seed(0)
    masked = ViTMAEModel(config).eval()
    shared = {name: getattr(config, name) for name in VIT_SIZES}
    plain = ViTModel(ViTConfig(**shared)).eval()
    result = plain.load_state_dict(masked.state_dict(), strict=False)
    assert all("pooler" in key for key in result.missing_keys) and not result.unexpected_keys
    model = tiny_model()
    model.model.face_tower = masked
    pixels = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        ours = model.model.encode_faces(pixels)
        expected = plain(pixels).last_hidden_state[:, 0]
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(ours, model.model.encode_faces(pixels))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [0, 0] * 8),
        (9, [0, 1] * 8),  # segments plus one: every segment begins at the first
        (16, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        (100, [6, 7, 18, 19, 30, 31, 43, 44, 55, 56, 68, 69, 80, 81, 92, 93]),
    ],
)
def test_motion_sees_two_faces_from_the_middle_of_eight_segments(count, expected):
    assert segment_frames(count, 16).tolist() == expected


def test_four_patches_of_one_row_make_a_token():
    grid = torch.arange(32 * 32.0).view(1, -1, 1)
    joined = join_patches(grid, 4)
    assert joined.shape == (1, 256, 4)
    assert joined[0, 9].tolist() == [36.0, 37.0, 38.0, 39.0]
    with pytest.raises(ValueError, match="patch_group"):
        join_patches(grid, 3)


def test_a_still_face_does_not_move():
    assert face_dynamics(torch.randn(1, 5)).abs().max() == 0
    moving = face_dynamics(torch.tensor([[0.0], [2.0], [0.0]]))
    assert moving.tolist() == pytest.approx([(8 / 9) ** 0.5, 2.0])


def test_frames_are_chosen_first_middle_or_at_the_peak():
    smile = BLENDSHAPE_NAMES.index("mouthSmileLeft")
    people = faces(6)[0]
    acting = []
    for index, face in enumerate(people):
        signals = np.zeros(60, np.float32)
        signals[smile] = 0.3 + 0.1 * (index == 4)
        signals[BLENDSHAPE_NAMES.index("eyeBlinkLeft")] = float(index == 1)
        acting.append(FaceInput(face.frame, face.crop, signals))
    assert chosen_frame("first", 12, acting) == 0
    assert chosen_frame("middle", 12, acting) == 6
    assert chosen_frame("peak", 12, acting) == acting[4].frame == 8
    assert chosen_frame("peak", 12) == chosen_frame("peak", 12, people) == 6


def test_the_peak_is_where_the_actions_seen_most_are_strongest():
    scores = np.zeros((4, 52))
    brow, jaw = BLENDSHAPE_NAMES.index("browInnerUp"), BLENDSHAPE_NAMES.index("jawOpen")
    scores[:, brow] = [0.3, 0.3, 0.5, 0.3]
    scores[:, jaw] = [0.1, 0.1, 0.1, 0.19]  # never counts as seen
    assert peak_of(scores) == 2
    assert peak_of(np.zeros((3, 52))) == 0


def test_slots_and_media_must_agree():
    _, processor = setting()
    with pytest.raises(UsageError, match="leave it out"):
        processor(text=f"{SLOTS} ?", videos=None)
    with pytest.raises(UsageError, match="write the slot"):
        processor(text="?", videos=[frames()])
    with pytest.raises(UsageError, match="videos of one frame"):
        processor(text="?", images=[frames()[0]])


def test_gradients_reach_adapters_and_projectors_alone_where_asked():
    model, processor = setting()
    model.requires_grad_(False)
    trained = [n for n, _ in model.named_parameters() if "lora_" in n or "projector" in n]
    for name in trained:
        model.get_parameter(name).requires_grad_(True)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    inputs = batch_of(processor, SAMPLES[:1])
    model.train()(**inputs, labels=inputs["input_ids"]).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (name in trained), name
