"""The full-size model on the meta device against tables written from the published checkpoints.

Nothing here reads the package's tables: names, shapes and counts are spelled out from the
descriptions of Qwen2-7B, SigLIP-so400m-patch14-384, Whisper-large-v3 and FaceXFormer.
"""

import json
import math
import shutil
import time
from pathlib import Path

import pytest
import torch
from memory import anonymous_memory
from published_checkpoints import position_index
from transformers import WhisperConfig

from openaffect.models.checkpoints.build import build_omni_emotion, value_checks
from openaffect.models.checkpoints.layouts import (
    FACEXFORMER_LAYOUTS,
    LLAVA_LAYOUTS,
    NEW_PARTS,
    WHISPER_LAYOUTS,
)
from openaffect.models.checkpoints.published_configs import read_llava
from openaffect.models.checkpoints.report import KeyReport, match_keys
from openaffect.models.checkpoints.sources import TensorSource
from openaffect.models.omni_emotion import OmniEmotionForConditionalGeneration
from openaffect.models.omni_emotion.full_size import WHISPER_LARGE_V3, omni_emotion_7b_config
from openaffect.models.omni_emotion.tiny import byte_tokenizer

Table = dict[str, tuple[int, ...]]
LLAVA_CONFIG = """{"architectures": ["LlavaQwenForCausalLM"], "model_type": "llava",
    "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
    "max_position_embeddings": 32768, "rope_theta": 1000000.0, "rms_norm_eps": 1e-06,
    "bos_token_id": 151643, "eos_token_id": 151645, "tie_word_embeddings": false,
    "mm_projector_type": "mlp2x_gelu", "mm_spatial_pool_mode": "bilinear",
    "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch",
    "mm_vision_tower": "google/siglip-so400m-patch14-384"}"""
FREE_BYTES = 22 * 10**9  # the built model, and FaceXFormer's file
PEAK_BYTES = 2 * 10**9  # memory that the build may use beyond what it started with


def with_bias(name: str, outputs: int, *inputs: int) -> Table:
    return {f"{name}.weight": (outputs, *inputs), f"{name}.bias": (outputs,)}


def qwen2_7b() -> Table:
    """Hidden 3584, 28 layers, 28 heads of 128 with 4 key-value heads, MLP 18,944."""
    table: Table = {"embed_tokens.weight": (152064, 3584), "norm.weight": (3584,)}
    for layer in range(28):
        name = f"layers.{layer}"
        table |= with_bias(f"{name}.self_attn.q_proj", 3584, 3584)
        table |= with_bias(f"{name}.self_attn.k_proj", 512, 3584)
        table |= with_bias(f"{name}.self_attn.v_proj", 512, 3584)
        table |= {
            f"{name}.self_attn.o_proj.weight": (3584, 3584),
            f"{name}.mlp.gate_proj.weight": (18944, 3584),
            f"{name}.mlp.up_proj.weight": (18944, 3584),
            f"{name}.mlp.down_proj.weight": (3584, 18944),
            f"{name}.input_layernorm.weight": (3584,),
            f"{name}.post_attention_layernorm.weight": (3584,),
        }
    return table


def siglip_so400m() -> Table:
    """Hidden 1152, 26 of 27 layers, MLP 4304, 27x27 patches of 14 pixels, no pooling head."""
    table = with_bias("embeddings.patch_embedding", 1152, 3, 14, 14)
    table["embeddings.position_embedding.weight"] = (729, 1152)
    for layer in range(26):
        name = f"encoder.layers.{layer}"
        table |= with_bias(f"{name}.layer_norm1", 1152) | with_bias(f"{name}.layer_norm2", 1152)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            table |= with_bias(f"{name}.self_attn.{part}", 1152, 1152)
        table |= with_bias(f"{name}.mlp.fc1", 4304, 1152) | with_bias(f"{name}.mlp.fc2", 1152, 4304)
    return table | with_bias("post_layernorm", 1152)


def whisper_layer(name: str, attentions: tuple[str, ...]) -> Table:
    table = with_bias(f"{name}.fc1", 5120, 1280) | with_bias(f"{name}.fc2", 1280, 5120)
    table |= with_bias(f"{name}.final_layer_norm", 1280)
    for attention in attentions:
        table |= with_bias(f"{name}.{attention}_layer_norm", 1280)
        table[f"{name}.{attention}.k_proj.weight"] = (1280, 1280)
        for part in ("q_proj", "v_proj", "out_proj"):
            table |= with_bias(f"{name}.{attention}.{part}", 1280, 1280)
    return table


def whisper_large_v3_encoder() -> Table:
    """Width 1280, 32 layers, MLP 5120, 128 mel bins, 1500 positions; keys have no bias."""
    table = with_bias("conv1", 1280, 128, 3) | with_bias("conv2", 1280, 1280, 3)
    table["embed_positions.weight"] = (1500, 1280)
    for layer in range(32):
        table |= whisper_layer(f"layers.{layer}", ("self_attn",))
    return table | with_bias("layer_norm", 1280)


def whisper_large_v3_decoder() -> Table:
    table: Table = {"embed_tokens.weight": (51866, 1280), "embed_positions.weight": (448, 1280)}
    for layer in range(32):
        table |= whisper_layer(f"layers.{layer}", ("self_attn", "encoder_attn"))
    return table | with_bias("layer_norm", 1280)


def swin_b() -> Table:
    """torchvision's swin_b without its classifier, as FaceXFormer's `backbone`."""
    table = with_bias("backbone.0.0.0", 128, 3, 4, 4) | with_bias("backbone.0.0.2", 128)
    for stage, (depth, heads) in enumerate([(2, 4), (2, 8), (18, 16), (2, 32)]):
        width = 128 * 2**stage
        for block in range(depth):
            name = f"backbone.0.{2 * stage + 1}.{block}"
            table |= with_bias(f"{name}.norm1", width) | with_bias(f"{name}.norm2", width)
            table[f"{name}.attn.relative_position_bias_table"] = (169, heads)
            table[f"{name}.attn.relative_position_index"] = (2401,)
            table |= with_bias(f"{name}.attn.qkv", 3 * width, width)
            table |= with_bias(f"{name}.attn.proj", width, width)
            table |= with_bias(f"{name}.mlp.0", 4 * width, width)
            table |= with_bias(f"{name}.mlp.3", width, 4 * width)
        if stage < 3:
            merge = f"backbone.0.{2 * stage + 2}"
            table[f"{merge}.reduction.weight"] = (2 * width, 4 * width)
            table |= with_bias(f"{merge}.norm", 4 * width)
    return table | with_bias("backbone.1", 1024)


def face_fusion() -> Table:
    table: Table = {"linear_fuse.weight": (256, 1024, 1, 1)}
    for scale in range(4):
        table |= with_bias(f"linear_c.{scale}.proj", 256, 128 * 2**scale)
    return table


def face_decoder() -> Table:
    """What FaceXFormer does with the encoder's output: tokens, a two-way transformer, heads."""
    name = "face_decoder"
    table: Table = {"pe_layer.positional_encoding_gaussian_matrix": (2, 128)}
    outputs = {"landmarks": 136, "pose": 3, "attribute": 40, "visibility": 29}
    outputs |= {"age": 8, "gender": 2, "race": 5}
    for task, size in outputs.items():
        table[f"{name}.{task}_token.weight"] = (1, 256)
        for layer, width in enumerate((256, 256, size)):
            table |= with_bias(f"{name}.{task}_prediction_head.layers.{layer}", width, 256)
    table[f"{name}.mask_tokens.weight"] = (11, 256)
    for layer in range(2):
        block = f"{name}.transformer.layers.{layer}"
        for kind, width in [
            ("self_attn", 256),
            ("cross_attn_token_to_image", 128),
            ("cross_attn_image_to_token", 128),
        ]:
            for part in ("q_proj", "k_proj", "v_proj"):
                table |= with_bias(f"{block}.{kind}.{part}", width, 256)
            table |= with_bias(f"{block}.{kind}.out_proj", 256, width)
        for norm in range(1, 5):
            table |= with_bias(f"{block}.norm{norm}", 256)
        table |= with_bias(f"{block}.mlp.lin1", 2048, 256)
        table |= with_bias(f"{block}.mlp.lin2", 256, 2048)
    final = f"{name}.transformer.final_attn_token_to_image"
    for part in ("q_proj", "k_proj", "v_proj"):
        table |= with_bias(f"{final}.{part}", 128, 256)
    table |= with_bias(f"{final}.out_proj", 256, 128)
    table |= with_bias(f"{name}.transformer.norm_final_attn", 256)
    up = f"{name}.output_upscaling"
    table |= {f"{up}.0.weight": (256, 64, 2, 2), f"{up}.0.bias": (64,)}
    table |= with_bias(f"{up}.1", 64)
    table |= {f"{up}.3.weight": (64, 32, 2, 2), f"{up}.3.bias": (32,)}
    for layer, width in enumerate((256, 256, 32)):
        table |= with_bias(f"{name}.output_hypernetwork_mlps.layers.{layer}", width, 256)
    return table


def under(prefix: str, table: Table) -> Table:
    return {prefix + name: shape for name, shape in table.items()}


def count(table: Table) -> int:
    return sum(math.prod(shape) for shape in table.values())


def llava(layout: str) -> Table:
    """The whole LLaVA-OneVision-Qwen2-7B under one layout's names."""
    first, second = (3584, 1152), (3584, 3584)
    if layout == "lmms-lab":
        return (
            under("model.vision_tower.vision_tower.vision_model.", siglip_so400m())
            | with_bias("model.mm_projector.0", *first)
            | with_bias("model.mm_projector.2", *second)
            | {"model.image_newline": (3584,), "lm_head.weight": (152064, 3584)}
            | under("model.", qwen2_7b())
        )
    if layout == "hf on disk":
        return (
            under("vision_tower.vision_model.", siglip_so400m())
            | with_bias("multi_modal_projector.linear_1", *first)
            | with_bias("multi_modal_projector.linear_2", *second)
            | {"image_newline": (3584,), "language_model.lm_head.weight": (152064, 3584)}
            | under("language_model.model.", qwen2_7b())
        )
    return (
        under("model.vision_tower.vision_model.", siglip_so400m())
        | with_bias("model.multi_modal_projector.linear_1", *first)
        | with_bias("model.multi_modal_projector.linear_2", *second)
        | {"model.image_newline": (3584,), "lm_head.weight": (152064, 3584)}
        | under("model.language_model.", qwen2_7b())
    )


class Described(TensorSource):
    """A checkpoint of which only names and shapes are known; buffers get given values."""

    def __init__(self, path: Path, table: Table, values: dict[str, torch.Tensor]) -> None:
        super().__init__(path)
        self.table, self.values = table, values

    def keys(self) -> list[str]:
        return list(self.table)

    def shape(self, key: str) -> tuple[int, ...]:
        return self.table[key]

    def dtype(self, key: str) -> torch.dtype:
        return torch.bfloat16

    def read(self, key: str) -> torch.Tensor:
        return self.values[key]

    def _rows(self, key: str, start: int, stop: int) -> torch.Tensor:
        raise NotImplementedError


@pytest.fixture(scope="module")
def config():
    return omni_emotion_7b_config()


@pytest.fixture(scope="module")
def ours(config) -> Table:
    with torch.device("meta"):
        model = OmniEmotionForConditionalGeneration(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def match(ours: Table, config, layout: str) -> KeyReport:
    coordinates = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    offsets = coordinates[:, None] - coordinates[None] + 6
    index = (offsets[..., 0] * 13 + offsets[..., 1]).flatten()
    face = swin_b() | face_fusion() | face_decoder()
    whisper = under("model.encoder.", whisper_large_v3_encoder())
    whisper |= under("model.decoder.", whisper_large_v3_decoder())
    buffers = {name: index for name in face if name.endswith("position_index")}
    parts = (
        (Described(Path("llava"), llava(layout), {}), LLAVA_LAYOUTS),
        (Described(Path("whisper"), whisper, {}), WHISPER_LAYOUTS),
        (Described(Path("face"), face, buffers), FACEXFORMER_LAYOUTS),
    )
    return match_keys(parts, ours, NEW_PARTS, value_checks(config))


def test_counts_of_the_tables_are_the_published_ones() -> None:
    """7,615,616,512 parameters of Qwen2-7B; 86,743,224 and 754,688 of FaceXFormer's encoder."""
    assert count(qwen2_7b()) + 152064 * 3584 == 7_615_616_512
    swin = {name: shape for name, shape in swin_b().items() if "position_index" not in name}
    assert (count(swin), len(swin_b()), len(swin)) == (86_743_224, 351, 327)
    assert count(face_fusion()) == 754_688
    assert count(whisper_large_v3_encoder()) + count(whisper_large_v3_decoder()) == 1_543_490_560
    layer = 4 * (1152**2 + 1152) + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152
    assert count(siglip_so400m()) == 26 * layer + (588 * 1152 + 1152) + 729 * 1152 + 2 * 1152


@pytest.mark.parametrize("layout", ["lmms-lab", "hf on disk", "hf in memory"])
def test_every_full_size_key_and_shape_has_its_place(layout, ours, config) -> None:
    report = match(ours, config, layout)
    assert report.problems == ()
    assert {key.name for key in report.taken} | {key.name for key in report.new} == set(ours)
    left = {key.key for key in report.left}
    face_left = set(face_decoder()) | {"backbone.1.weight", "backbone.1.bias"}
    face_left |= {name for name in swin_b() if name.endswith("position_index")}
    assert left == face_left | set(under("model.decoder.", whisper_large_v3_decoder()))
    counts = [report.parameters(part) for part in report.sources]
    assert counts == [
        count(llava(layout)),
        count(whisper_large_v3_encoder()),
        86_743_224 - 2 * 1024 + 754_688,
    ]


def test_our_names_and_shapes_at_full_size(ours) -> None:
    """The state dict, name by name, from the tables and the two projectors of 2 linear layers."""
    swin = {k: v for k, v in swin_b().items() if not k.startswith("backbone.1.")}
    face: Table = {}
    for name, shape in swin.items():
        stem = name.removeprefix("backbone.0.")
        feature, _, rest = stem.partition(".")
        if rest.endswith("relative_position_index"):
            continue
        if feature == "0":
            new = rest.replace("0.", "patch_embedding.").replace("2.", "patch_norm.")
        elif int(feature) % 2:
            new = f"stages.{int(feature) // 2}.{rest}".replace("attn.proj", "attention.output")
            new = new.replace("attn.", "attention.").replace("mlp.0", "fc1").replace("mlp.3", "fc2")
        else:
            new = f"merges.{int(feature) // 2 - 1}.{rest}"
        face[new] = shape
    for scale in range(4):
        face |= with_bias(f"scale_projections.{scale}", 256, 128 * 2**scale)
    face["fuse.weight"] = (256, 1024, 1, 1)
    expected = (
        under("model.vision_tower.", siglip_so400m())
        | with_bias("model.vision_projector.linear_1", 3584, 1152)
        | with_bias("model.vision_projector.linear_2", 3584, 3584)
        | with_bias("model.audio_projector.linear_1", 3584, 1280)
        | with_bias("model.audio_projector.linear_2", 3584, 3584)
        | with_bias("model.face_projector.linear_1", 3584, 256)
        | with_bias("model.face_projector.linear_2", 3584, 3584)
        | {"model.image_newline": (3584,), "model.face_newline": (3584,)}
        | under("model.audio_tower.", whisper_large_v3_encoder())
        | under("model.face_tower.", face)
        | under("model.language_model.", qwen2_7b())
        | {"lm_head.weight": (152064, 3584)}
    )
    assert ours == expected
    assert count(ours) == 8_786_026_712


def test_a_cross_attention_model_only_adds_new_parts(ours) -> None:
    with torch.device("meta"):
        model = OmniEmotionForConditionalGeneration(
            omni_emotion_7b_config(fusion="cross_attention")
        )
    added = set(model.state_dict()) - set(ours)
    assert added and all(name.startswith("model.cross_attention.layers.0.") for name in added)


def test_the_full_size_configuration_is_the_published_one(tmp_path, config) -> None:
    """config.json of lmms-lab/llava-onevision-qwen2-7b-ov, as far as it concerns shapes."""
    (tmp_path / "config.json").write_text(LLAVA_CONFIG)
    text, vision = read_llava(tmp_path)
    assert text.to_dict() == config.text_config.to_dict()
    assert vision.to_dict() == config.vision_config.to_dict()


def write_sparse(path: Path, table: Table) -> None:
    """A safetensors file of zeros in bfloat16 that takes no room on the disk."""
    header: dict = {}
    end = 0
    for name, shape in table.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


@pytest.mark.slow
def test_builds_at_full_size_in_little_memory(tmp_path, capsys) -> None:
    """19 GB of published tensors into 17.6 GB of ours; prints the seconds and the peak memory."""
    if shutil.disk_usage(tmp_path).free < FREE_BYTES:
        pytest.skip(f"needs {FREE_BYTES / 1e9:.0f} GB of free disk")
    for folder in ("llava", "whisper"):
        (tmp_path / folder).mkdir()
    (tmp_path / "llava" / "config.json").write_text(LLAVA_CONFIG)
    byte_tokenizer().save_pretrained(tmp_path / "llava")
    write_sparse(tmp_path / "llava" / "model.safetensors", llava("lmms-lab"))
    WhisperConfig(**WHISPER_LARGE_V3).save_pretrained(tmp_path / "whisper")
    whisper = under("model.encoder.", whisper_large_v3_encoder())
    whisper |= under("model.decoder.", whisper_large_v3_decoder())
    write_sparse(tmp_path / "whisper" / "model.safetensors", whisper)
    face = {name: torch.zeros(shape) for name, shape in (swin_b() | face_fusion()).items()}
    face |= {name: position_index(7) for name in face if name.endswith("position_index")}
    torch.save({"state_dict_backbone": face}, tmp_path / "model.pt")
    del face
    before, peak, start = anonymous_memory(), 0, time.perf_counter()

    def watch(written: int, total: int) -> None:
        nonlocal peak
        peak = max(peak, anonymous_memory() - before)

    out = tmp_path / "out"
    report = build_omni_emotion(
        tmp_path / "llava", tmp_path / "whisper", tmp_path / "model.pt", out, progress=watch
    )
    seconds = time.perf_counter() - start
    index = json.loads((out / "model.safetensors.index.json").read_text())
    shutil.rmtree(out)
    with capsys.disabled():
        print(f"\nbuilt in {seconds:.0f} s, {peak / 1e6:.0f} MB of memory\n{report.summary()}")
    assert index["metadata"]["total_size"] == 2 * 8_786_026_712
    assert len(set(index["weight_map"].values())) == 5
    assert peak < PEAK_BYTES
