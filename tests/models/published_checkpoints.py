"""Tiny random checkpoints in the published layouts, written without the code under test.

The key names are spelled out here from the published files' descriptions, so that a slip in the
tables of `openaffect.models.checkpoints.layouts` shows.
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from openaffect.models.encoders.facexformer import FaceXFormerEncoderConfig
from openaffect.models.omni_emotion.tiny import byte_tokenizer

TEXT = Qwen2Config(
    vocab_size=300,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
    rms_norm_eps=1e-6,
    bos_token_id=None,
    eos_token_id=257,
    tie_word_embeddings=False,
)
VISION = SiglipVisionConfig(
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=3,
    num_attention_heads=3,
    image_size=70,  # 5x5 positions, pooled to 3x3
    patch_size=14,
    vision_use_head=False,
)
WHISPER = WhisperConfig(
    vocab_size=64,
    num_mel_bins=128,
    d_model=16,
    encoder_layers=3,
    encoder_attention_heads=2,
    encoder_ffn_dim=24,
    decoder_layers=2,
    decoder_attention_heads=2,
    decoder_ffn_dim=24,
    max_source_positions=1500,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=1,
)
FACE = FaceXFormerEncoderConfig(
    image_size=96, embed_dim=8, depths=(2, 2, 3, 2), num_heads=(1, 2, 4, 8), window_size=3
)
VIDEO_ID = 298  # placeholder in transformers' model
LLAVA_LAYOUTS = ("lmms-lab", "hf-disk", "hf-5-disk", "hf-4.52", "hf-5")


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Weights large enough that a wrong one shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.2, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)


def llava_oracle(seed: int = 1, text: Qwen2Config = TEXT) -> LlavaOnevisionForConditionalGeneration:
    """Transformers' own LLaVA-OneVision at a tiny size."""
    config = LlavaOnevisionConfig(
        text_config=TEXT,
        vision_config=VISION,
        video_token_index=VIDEO_ID,
        image_token_index=VIDEO_ID + 1,
        tie_word_embeddings=False,
    )
    config.video_token_id, config.image_token_id = VIDEO_ID, VIDEO_ID + 1
    model = LlavaOnevisionForConditionalGeneration(config).eval()
    randomise(model, seed)
    return model


def llava_tensors(oracle: LlavaOnevisionForConditionalGeneration, layout: str) -> dict[str, Tensor]:
    """The oracle's tensors under the names of one published layout."""
    inner = oracle.model
    prefixes = {
        "lmms-lab": (
            "model.vision_tower.vision_tower.vision_model.",
            ("model.mm_projector.0.", "model.mm_projector.2."),
            "model.image_newline",
            "model.",
            "lm_head.",
        ),
        "hf-disk": (
            "vision_tower.vision_model.",
            ("multi_modal_projector.linear_1.", "multi_modal_projector.linear_2."),
            "image_newline",
            "language_model.model.",
            "language_model.lm_head.",
        ),
        "hf-5-disk": (
            "vision_tower.",
            ("multi_modal_projector.linear_1.", "multi_modal_projector.linear_2."),
            "image_newline",
            "language_model.model.",
            "language_model.lm_head.",
        ),
        "hf-4.52": (
            "model.vision_tower.vision_model.",
            ("model.multi_modal_projector.linear_1.", "model.multi_modal_projector.linear_2."),
            "model.image_newline",
            "model.language_model.",
            "lm_head.",
        ),
        "hf-5": (
            "model.vision_tower.",
            ("model.multi_modal_projector.linear_1.", "model.multi_modal_projector.linear_2."),
            "model.image_newline",
            "model.language_model.",
            "lm_head.",
        ),
    }
    vision, projectors, newline, text, head = prefixes[layout]
    tower = getattr(inner.vision_tower, "vision_model", inner.vision_tower)
    modules = {
        vision: tower,
        projectors[0]: inner.multi_modal_projector.linear_1,
        projectors[1]: inner.multi_modal_projector.linear_2,
        text: inner.language_model,
        head: oracle.lm_head,
    }
    tensors = {newline: inner.image_newline.detach().clone()}
    for prefix, module in modules.items():
        for name, tensor in module.state_dict().items():
            tensors[prefix + name] = tensor.detach().clone()
    return tensors


def llava_config(layout: str) -> dict:
    """config.json as the two publishers write it."""
    text = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-06,
        "vocab_size": 300,
        "eos_token_id": 257,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "torch_dtype": "bfloat16",
    }
    if layout == "lmms-lab":
        return text | {
            "architectures": ["LlavaQwenForCausalLM"],
            "model_type": "llava",
            "mm_projector_type": "mlp2x_gelu",
            "mm_vision_tower": "google/siglip-so400m-patch14-384",
            "mm_vision_select_layer": -2,
            "mm_vision_select_feature": "patch",
            "mm_patch_merge_type": "spatial_unpad",
            "mm_spatial_pool_mode": "bilinear",
            "image_aspect_ratio": "anyres_max_9",
        }
    return {
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "model_type": "llava_onevision",
        "image_token_index": VIDEO_ID + 1,
        "video_token_index": VIDEO_ID,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "projector_hidden_act": "gelu",
        "image_aspect_ratio": "anyres_max_9",
        "tie_word_embeddings": False,
        "text_config": text | {"model_type": "qwen2"},
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 24,
            "intermediate_size": 40,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "image_size": 70,
            "patch_size": 14,
            "vision_use_head": False,
        },
    }


def save_in_shards(folder: Path, tensors: dict[str, Tensor], kind: str, shards: int) -> None:
    """A folder as the hub has it: `safetensors` or `torch`, one file or several with an index."""
    stem, ending = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        part = {name: tensors[name].contiguous() for name in names[shard::shards]}
        file = (
            f"{stem}-{shard + 1:05d}-of-{shards:05d}.{ending}" if shards > 1 else f"{stem}.{ending}"
        )
        if kind == "safetensors":
            save_file(part, folder / file, metadata={"format": "pt"})
        else:
            torch.save(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    if shards > 1:
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))


def write_llava(
    folder: Path,
    oracle: LlavaOnevisionForConditionalGeneration,
    layout: str,
    kind: str = "safetensors",
    shards: int = 2,
) -> Path:
    """A published LLaVA-OneVision folder."""
    return write_llava_tensors(folder, llava_tensors(oracle, layout), layout, kind, shards)


def write_llava_tensors(
    folder: Path, tensors: dict[str, Tensor], layout: str, kind: str, shards: int = 2
) -> Path:
    """A published LLaVA-OneVision folder with these tensors."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(llava_config(layout)))
    byte_tokenizer().save_pretrained(folder)
    save_in_shards(folder, tensors, kind, shards)
    return folder


def whisper_oracle(seed: int = 2) -> WhisperForConditionalGeneration:
    """Transformers' own Whisper at a tiny size."""
    model = WhisperForConditionalGeneration(WHISPER).eval()
    randomise(model, seed)
    return model


def write_whisper(
    folder: Path, oracle: WhisperForConditionalGeneration, bare: bool = False
) -> Path:
    """A published Whisper folder; `bare` as WhisperModel has it, without the `model.` prefix."""
    folder.mkdir(parents=True)
    WHISPER.save_pretrained(folder)
    tensors = {}
    for name, tensor in oracle.model.state_dict().items():
        tensors[name if bare else f"model.{name}"] = tensor.detach().clone()
    if not bare:
        tensors["proj_out.weight"] = oracle.proj_out.weight.detach().clone()
    save_in_shards(folder, tensors, "safetensors", 1)
    return folder


def face_tensors(config: FaceXFormerEncoderConfig, seed: int = 3) -> dict[str, Tensor]:
    """`state_dict_backbone` at the sizes of `config`: backbone, fusion head and task decoder."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}

    def add(name: str, *shape: int) -> None:
        fan_in = max(1, math.prod(shape[1:]))
        tensors[name] = torch.randn(shape, generator=generator) / fan_in**0.5
        if "norm" in name and name.endswith("weight"):
            tensors[name] = 1 + 0.3 * tensors[name]

    def add_layer(name: str, outputs: int, *inputs: int) -> None:
        add(f"{name}.weight", outputs, *inputs)
        add(f"{name}.bias", outputs)

    width, window, patch = config.embed_dim, config.window_size, config.patch_size
    add_layer("backbone.0.0.0", width, 3, patch, patch)
    add_layer("backbone.0.0.2", width)
    for stage, (depth, heads) in enumerate(zip(config.depths, config.num_heads, strict=True)):
        for block in range(depth):
            name = f"backbone.0.{2 * stage + 1}.{block}"
            add_layer(f"{name}.norm1", width)
            add(f"{name}.attn.relative_position_bias_table", (2 * window - 1) ** 2, heads)
            tensors[f"{name}.attn.relative_position_index"] = position_index(window)
            add_layer(f"{name}.attn.qkv", 3 * width, width)
            add_layer(f"{name}.attn.proj", width, width)
            add_layer(f"{name}.norm2", width)
            add_layer(f"{name}.mlp.0", 4 * width, width)
            add_layer(f"{name}.mlp.3", width, 4 * width)
        if stage < 3:
            add(f"backbone.0.{2 * stage + 2}.reduction.weight", 2 * width, 4 * width)
            add_layer(f"backbone.0.{2 * stage + 2}.norm", 4 * width)
            width *= 2
    add_layer("backbone.1", width)
    fused = config.hidden_size
    for stage in range(4):
        add_layer(f"linear_c.{stage}.proj", fused, config.embed_dim * 2**stage)
    add("linear_fuse.weight", fused, 4 * fused, 1, 1)
    add("pe_layer.positional_encoding_gaussian_matrix", 2, fused // 2)
    tasks = ("landmarks", "pose", "attribute", "visibility", "age", "gender", "race")
    for task in tasks:
        add(f"face_decoder.{task}_token.weight", 1, fused)
        for layer in range(3):
            add_layer(f"face_decoder.{task}_prediction_head.layers.{layer}", fused, fused)
    add("face_decoder.mask_tokens.weight", 11, fused)
    attentions = [
        f"face_decoder.transformer.layers.{layer}.{kind}"
        for layer in range(2)
        for kind in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token")
    ]
    for name in [*attentions, "face_decoder.transformer.final_attn_token_to_image"]:
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            add_layer(f"{name}.{part}", fused, fused)
    for layer in range(2):
        for norm in range(1, 5):
            add_layer(f"face_decoder.transformer.layers.{layer}.norm{norm}", fused)
        add_layer(f"face_decoder.transformer.layers.{layer}.mlp.lin1", 2 * fused, fused)
        add_layer(f"face_decoder.transformer.layers.{layer}.mlp.lin2", fused, 2 * fused)
    add_layer("face_decoder.transformer.norm_final_attn", fused)
    add_layer("face_decoder.output_upscaling.0", fused, fused // 4, 2, 2)
    add_layer("face_decoder.output_upscaling.1", fused // 4)
    add_layer("face_decoder.output_upscaling.3", fused // 4, fused // 8, 2, 2)
    for layer in range(3):
        add_layer(f"face_decoder.output_hypernetwork_mlps.layers.{layer}", fused, fused)
    return tensors


def position_index(window: int) -> Tensor:
    """Swin's index of relative positions, pair by pair (Swin, section 3.2)."""
    index = [
        (ay - by + window - 1) * (2 * window - 1) + (ax - bx + window - 1)
        for ay in range(window)
        for ax in range(window)
        for by in range(window)
        for bx in range(window)
    ]
    return torch.tensor(index)


def write_facexformer(path: Path, tensors: dict[str, Tensor]) -> Path:
    """FaceXFormer's training checkpoint, with what a training run leaves beside the model."""
    content = {
        "epoch": 11,
        "state_dict_backbone": tensors,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-4}]},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path
