"""The Omni-Emotion family: transformers' conventions, exact batching, missing modalities."""

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForMultimodalLM,
    AutoProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from openaffect.errors import UsageError
from openaffect.models.omni_emotion import FaceInput, OmniEmotionForConditionalGeneration
from openaffect.models.omni_emotion.modeling import MEDIA_INPUTS
from openaffect.models.omni_emotion.tiny import tiny_config, tiny_model, tiny_processor

FUSIONS = ["video_concat", "frame_concat", "cross_attention"]
RANDOM = np.random.default_rng(0)


def frames(count: int = 3) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 30, 40, 3), dtype=np.uint8)


def face(frame: int) -> FaceInput:
    return FaceInput(frame, RANDOM.integers(0, 256, (50, 50, 3), dtype=np.uint8))


def voice(seconds: float) -> np.ndarray:
    return RANDOM.normal(0, 0.1, int(16000 * seconds)).astype(np.float32)


# Every mixture of modalities, one and several people, one and two chunks of voice.
SAMPLES = [
    ("<video>\n<audio>\nWhat is seen?", frames(), [[face(0), face(2)], [face(1)]], voice(1.0)),
    ("<video>\nWho?", frames(2), [], None),
    ("<audio>\nHow does it sound, in a few words?", None, [], voice(31.0)),
    ("<video>\nFaces only", None, [[face(0), face(1)]], None),
    ("No media at all.", None, [], None),
    ("<video>\n<audio>\nBoth", frames(1), [[face(0)]], voice(0.3)),
]


def batch_of(processor, samples):
    texts, videos, faces, audio = (list(column) for column in zip(*samples, strict=True))
    return processor(text=texts, videos=videos, faces=faces, audio=audio)


def setting(fusion: str = "video_concat", **changes):
    model = tiny_model(fusion=fusion, **changes)
    return model, tiny_processor(model.config)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("crop", [True, False])
@pytest.mark.parametrize("faces", [{}, {"face_grid": 1, "face_summary": 2}], ids=["", "summary"])
def test_batched_equals_one_by_one(fusion, crop, faces):
    model = tiny_model(
        fusion=fusion,
        audio_crop=crop,
        audio_layers=[1, 2],
        audio_summary=3,
        audio_signal_size=23,
        **faces,
    )
    tokens = {"tokens_per_face": model.config.face_grid**2}
    processor = tiny_processor(model.config, **tokens)
    batch = batch_of(processor, SAMPLES)
    together = model(**batch).logits
    for index, sample in enumerate(SAMPLES):
        alone_inputs = batch_of(processor, [sample])
        alone = model(**alone_inputs).logits[0]
        torch.testing.assert_close(together[index, -len(alone) :], alone, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("text", ["qwen2", "llama"])
def test_batched_generation_equals_one_by_one(text):
    model, processor = setting(text=text, audio_crop=True)
    options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    batch = batch_of(processor, SAMPLES)
    together = model.generate(**batch, **options)[:, batch["input_ids"].shape[1] :]
    for index, sample in enumerate(SAMPLES):
        inputs = batch_of(processor, [sample])
        alone = model.generate(**inputs, **options)[0, inputs["input_ids"].shape[1] :]
        assert together[index, : len(alone)].tolist() == alone.tolist()


def test_generation_with_a_cache_equals_without():
    model, processor = setting(audio_crop=True)
    inputs = batch_of(processor, SAMPLES[:2])
    options = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(
        model.generate(**inputs, **options), model.generate(**inputs, use_cache=False, **options)
    )


def test_beam_search_repeats_every_medium_with_its_text():
    model, processor = setting(audio_crop=True)
    inputs = batch_of(processor, SAMPLES[:1])
    generated = model.generate(
        **inputs, max_new_tokens=4, num_beams=3, do_sample=False, pad_token_id=0
    )
    assert generated.shape[0] == 1


@pytest.mark.parametrize("fusion", FUSIONS)
def test_saved_and_loaded_is_the_original(fusion, tmp_path):
    model, processor = setting(
        fusion, audio_layers=[0, 3], audio_summary=3, audio_signal_size=23, audio_crop=True
    )
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists() and (tmp_path / "chat_template.jinja").exists()
    loaded = AutoModelForMultimodalLM.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, OmniEmotionForConditionalGeneration)
    assert AutoConfig.from_pretrained(tmp_path).fusion == fusion
    again = AutoProcessor.from_pretrained(tmp_path)
    inputs, reloaded = batch_of(processor, SAMPLES), batch_of(again, SAMPLES)
    assert inputs.keys() == reloaded.keys()
    for name in inputs:
        assert torch.equal(inputs[name], reloaded[name]), name
    assert torch.equal(model(**inputs).logits, loaded(**reloaded).logits)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_towers_say_stands_in_for_pixels_and_mels(fusion):
    model, processor = setting(
        fusion, audio_layers=[1, 3], audio_summary=3, audio_signal_size=23, audio_crop=True
    )
    inputs = dict(batch_of(processor, SAMPLES))
    expected = model(**inputs).logits
    media = {name: inputs[name] for name in MEDIA_INPUTS if name in inputs}
    told = model.model.encode_media(media)
    assert not set(told) & {"pixel_values_videos", "face_pixel_values", "input_features"}
    texts = [text for text, *_ in SAMPLES]
    again = processor.lay_out(texts, told)
    assert torch.equal(again["input_ids"], inputs["input_ids"])
    assert torch.equal(model(**again).logits, expected)


def test_visual_path_equals_llava_onevision():
    """Random weights in transformers' own class; the same video must give the same logits."""
    model, processor = setting()
    config = model.config
    theirs = LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            vision_config=config.vision_config,
            text_config=config.text_config,
            video_token_index=config.text_config.vocab_size - 1,
        )
    ).eval()
    names = {"multi_modal_projector": "vision_projector"}
    state = model.state_dict()
    loaded = {}
    for name in theirs.state_dict():
        for old, new in names.items():
            name_here = name.replace(old, new)
        loaded[name] = state[name_here]
    theirs.load_state_dict(loaded)
    inputs = processor(text="<video>\nWhat?", videos=frames(4))
    ids = inputs["input_ids"]
    placeholder = config.text_config.vocab_size - 1
    their_ids = ids.masked_fill(ids == config.video_token_id, placeholder)
    expected = theirs(input_ids=their_ids, pixel_values_videos=inputs["pixel_values_videos"]).logits
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-4, rtol=1e-4)


def test_audio_path_is_whisper_and_an_average_of_three():
    model, processor = setting()
    inputs = processor(text="<audio>", audio=voice(2.0))
    encoder = WhisperEncoder(model.config.audio_config).eval()
    encoder.load_state_dict(model.model.audio_tower.state_dict())
    hidden = encoder(inputs["input_features"][0]).last_hidden_state
    rows = model.model.encode_audio(inputs["input_features"][0])[0, :, 0]
    expected = hidden[0].view(500, 3, -1).mean(1)
    assert int((inputs["input_ids"] == model.config.audio_token_id).sum()) == 500
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=1e-5)


def test_every_stage_trains_with_gradient_checkpointing():
    model, processor = setting(audio_crop=True)
    inputs = batch_of(processor, SAMPLES[:1])
    labels = inputs["input_ids"].clone()
    plain = model.train()(**inputs, labels=labels).loss
    model.gradient_checkpointing_enable()
    checkpointed = model(**inputs, labels=labels).loss
    checkpointed.backward()
    torch.testing.assert_close(plain, checkpointed)
    assert model.model.audio_projector.linear_1.weight.grad.abs().sum() > 0
    assert model.model.face_projector.linear_1.weight.grad.abs().sum() > 0


def test_assistant_mask_covers_the_answer_only():
    config = tiny_config()
    processor = tiny_processor(config)
    answer = "angry, hurt"
    conversation = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Which?"}, {"type": "video", "video": frames(2)}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
    ]
    batch = processor.apply_chat_template(
        [conversation],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
    )
    mask = torch.as_tensor(batch["assistant_masks"])[0].bool()
    answer_ids = torch.as_tensor(batch["input_ids"])[0][mask]
    assert processor.tokenizer.decode(answer_ids) == answer + "<|im_end|>"


@pytest.mark.parametrize(
    ("text", "media"),
    [
        ("no placeholder", {"videos": frames(1)}),
        ("<video>", {}),
        ("<audio>\nx", {"videos": frames(1)}),
        ("<video><video>", {"videos": frames(1)}),
    ],
)
def test_text_and_media_must_agree(text, media):
    processor = tiny_processor(tiny_config())
    with pytest.raises(UsageError, match="placeholder"):
        processor(text=text, **media)


def test_a_foreign_layout_is_refused_by_the_model():
    model, processor = setting()
    inputs = processor(text="<video>\nx", videos=frames(2))
    inputs["video_mask"][0, 1] = False
    with pytest.raises(ValueError, match="placeholders"):
        model(**inputs)
