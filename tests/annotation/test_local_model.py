"""Describers from a local folder: tiny random models that transformers itself has written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from annotation_examples import EXAMPLE
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from openaffect.annotation.describers import Request
from openaffect.annotation.describers.local_model import REPLY_TOKENS, LocalModel
from openaffect.annotation.desk import Desk, DeskSettings
from openaffect.errors import ConfigError, WeightsError

WORDS = ["<pad>", "</s>", "<unk>", "<image>", "user", "system", "What", "is", "seen", "a", "man"]
TEXT = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 1,
}
TEMPLATE = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
PARTS = (
    "{% for m in messages %}{{ m.role }} {% for p in m.content %}"
    "{% if p.type == 'image' %}<image> {% else %}{{ p.text }} {% endif %}{% endfor %}{% endfor %}"
)


def tokenizer(template: str) -> PreTrainedTokenizerFast:
    model = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, "<unk>"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="<unk>", pad_token="<pad>", eos_token="</s>"
    )
    made.add_special_tokens({"additional_special_tokens": ["<image>"]})
    made.chat_template = template
    return made


def talkative(model):
    """The model with special tokens, its end among them, never the likeliest."""
    torch.nn.init.normal_(model.lm_head.weight, std=1.0)
    with torch.no_grad():
        model.lm_head.weight[:4] = 0
        model.lm_head.weight[-1] = -model.lm_head.weight[-2]
    return model


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny-text"
    torch.manual_seed(0)
    talkative(LlamaForCausalLM(LlamaConfig(**TEXT))).save_pretrained(folder)
    tokenizer(TEMPLATE).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def picture_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    folder = tmp_path_factory.mktemp("model") / "tiny-llava"
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        projection_dim=16,
    )
    config = LlavaConfig(vision_config=vision, text_config=LlamaConfig(**TEXT), image_token_index=3)
    torch.manual_seed(0)
    talkative(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    images = CLIPImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    LlavaProcessor(
        images,
        tokenizer(PARTS),
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=PARTS,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


DESK = Desk(DeskSettings(Path()))


def test_a_text_model_answers_in_words_and_takes_no_media(text_model: Path) -> None:
    who = LocalModel(text_model)
    request = Request("reasoning", EXAMPLE, "What is seen", system="a man")
    answer = who.describe(request, DESK)
    model = LlamaForCausalLM.from_pretrained(text_model)
    ids = [WORDS.index(word) for word in ["system", "a", "man", "user", "What", "is", "seen"]]
    with torch.inference_mode():
        for _ in range(REPLY_TOKENS):  # greedy, token by token, without a cache
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert answer == " ".join(WORDS[k] for k in ids[7:])
    assert who.name == "tiny-text" and who.identity.startswith("tiny-text ")
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ConfigError, match="cannot do scene"):
        who.describe(Request("scene", EXAMPLE, "What", picture=picture), DESK)


def test_a_picture_changes_what_a_multimodal_model_says(picture_model: Path) -> None:
    who = LocalModel(picture_model)
    assert who._loaded[2]
    rng = np.random.default_rng(0)
    answers = {
        who.describe(
            Request(
                "scene",
                EXAMPLE,
                "What is seen",
                system="a man",
                picture=rng.integers(0, 255, (40, 30, 3), dtype=np.uint8),
            ),
            DESK,
        )
        for _ in range(6)
    }
    assert len(answers) > 1 and all(set(answer.split()) <= set(WORDS) for answer in answers)


def test_a_folder_that_is_no_model_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no safetensors"):
        LocalModel(tmp_path).describe(Request("scene", EXAMPLE, "What"), DESK)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}', "utf-8")
    with pytest.raises(ConfigError, match="cannot load it") as caught:
        LocalModel(tmp_path).describe(Request("scene", EXAMPLE, "What"), DESK)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there_is_told_in_one_line(text_model: Path) -> None:
    with pytest.raises(ConfigError, match="device 'cuda:99'") as caught:
        LocalModel(text_model, "cuda:99").describe(Request("scene", EXAMPLE, "What"), DESK)
    assert "\n" not in str(caught.value)
