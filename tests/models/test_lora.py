"""The low-rank adapters against peft, in both directions."""

import json

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from openaffect.errors import WeightsError
from openaffect.models.lora import (
    LoraSettings,
    add_lora,
    load_lora,
    lora_state,
    merge_lora,
    save_lora,
)

SETTINGS = LoraSettings(r=4, lora_alpha=8, target_modules=("q_proj", "down_proj"))
INPUT = torch.arange(12)[None]


def language_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 20}
    return LlamaForCausalLM(LlamaConfig(num_attention_heads=2, **sizes)).eval()


def adapted() -> LlamaForCausalLM:
    model = language_model()
    assert add_lora(model, SETTINGS) == 4
    torch.manual_seed(1)
    for tensor in lora_state(model).values():
        torch.nn.init.normal_(tensor, std=0.3)
    return model


def test_a_fresh_adapter_changes_nothing():
    model, plain = language_model(), language_model()
    add_lora(model, SETTINGS)
    assert torch.equal(model(INPUT).logits, plain(INPUT).logits)


def test_peft_reads_what_we_write(tmp_path):
    peft = pytest.importorskip("peft")
    model = adapted()
    save_lora(model, SETTINGS, tmp_path)
    theirs = peft.PeftModel.from_pretrained(language_model(), tmp_path).eval()
    torch.testing.assert_close(theirs(INPUT).logits, model(INPUT).logits)


def test_we_read_what_peft_writes(tmp_path):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"])
    theirs = peft.get_peft_model(language_model(), config).eval()
    for name, tensor in theirs.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(tensor, std=0.3)
    theirs.save_pretrained(tmp_path)
    model = language_model()
    load_lora(model, tmp_path)
    torch.testing.assert_close(model(INPUT).logits, theirs(INPUT).logits)


def test_merged_equals_adapted():
    model = adapted()
    before = model(INPUT).logits
    merge_lora(model)
    assert not lora_state(model)
    torch.testing.assert_close(model(INPUT).logits, before, atol=1e-5, rtol=1e-5)


def test_an_adapter_of_another_model_is_refused(tmp_path):
    save_lora(adapted(), SETTINGS, tmp_path)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "vocab_size": 20}
    deeper = LlamaForCausalLM(LlamaConfig(num_attention_heads=2, **sizes))
    with pytest.raises(WeightsError, match="missing"):
        load_lora(deeper, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("alpha_pattern", {"down_proj": 64}, r'alpha_pattern is \{"down_proj": 64\}'),
        ("use_dora", True, "use_dora is true"),
        ("bias", "all", 'bias is "all"'),
        ("peft_type", "LOHA", 'peft_type is "LOHA"'),
        ("r", None, "says nothing of r;"),
        ("target_modules", None, "says nothing of target_modules;"),
    ],
)
def test_an_adapter_that_would_be_read_wrongly_is_refused(tmp_path, key, value, message):
    save_lora(adapted(), SETTINGS, tmp_path)
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text())
    config[key] = value
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    with pytest.raises(WeightsError, match=message):
        load_lora(language_model(), tmp_path)


def test_only_adapters_get_gradients():
    model = language_model().requires_grad_(False)
    add_lora(model, SETTINGS)
    model(INPUT, labels=INPUT).loss.backward()
    trained = {name for name, tensor in model.named_parameters() if tensor.grad is not None}
    assert trained and all("lora_" in name for name in trained)
