"""Emotion-LLaMA once more, from the facts of its release: tensors in the published layouts, and
the released model computed from them by plain formulas, LLaMA and HuBERT by transformers.

Nothing here comes from the code under test; key names are spelled out so that a slip shows.
"""

import math
from argparse import Namespace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    HubertConfig,
    HubertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
)

WIDTH, HEADS = 32, 4  # of the language model
EVA_WIDTH, EVA_HEADS, EVA_DEPTH = 24, 2, 2
VIT_WIDTH, VIT_HEADS, VIT_DEPTH = 16, 2, 2
MLP = 40
RANK, ALPHA = 4, 16
PATCH, FRAME_SIDE, PRETRAINED_SIDE = 14, 56, 28
FACE_PATCH, FACE_SIDE = 16, 32
ADAPTER = "llama_model.base_model.model.model.layers.{layer}.self_attn.{proj}.lora_{half}.weight"

LLAMA = LlamaConfig(
    vocab_size=300,
    hidden_size=WIDTH,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=HEADS,
    num_key_value_heads=HEADS,
    rms_norm_eps=1e-5,
)
HUBERT = HubertConfig(
    hidden_size=VIT_WIDTH,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    conv_dim=[8, 8, 8],
    conv_stride=[10, 8, 4],
    conv_kernel=[10, 8, 4],
    num_conv_pos_embeddings=4,
    num_conv_pos_embedding_groups=2,
    feat_extract_norm="layer",
    do_stable_layer_norm=True,
    conv_bias=True,
)


class Draw:
    """Random tensors large enough that a wrong one shows in the output."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, std: float = 0.2) -> Tensor:
        return torch.randn(*shape, generator=self.generator) * std

    def linear(self, name: str, out: int, into: int) -> dict[str, Tensor]:
        return {f"{name}.weight": self(out, into), f"{name}.bias": self(out)}

    def norm(self, name: str, width: int) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + self(width), f"{name}.bias": self(width)}

    def block(self, name: str, width: int, qv_bias: bool) -> dict[str, Tensor]:
        tensors = self.norm(f"{name}.norm1", width) | self.norm(f"{name}.norm2", width)
        tensors |= {f"{name}.attn.qkv.weight": self(3 * width, width)}
        if qv_bias:
            tensors |= {f"{name}.attn.{bias}": self(width) for bias in ("q_bias", "v_bias")}
        else:
            tensors |= {f"{name}.attn.qkv.bias": self(3 * width)}
        tensors |= self.linear(f"{name}.attn.proj", width, width)
        tensors |= self.linear(f"{name}.mlp.fc1", MLP, width)
        return tensors | self.linear(f"{name}.mlp.fc2", width, MLP)


def released_tensors(seed: int = 1) -> dict[str, Tensor]:
    """The entry `model` of a released checkpoint, dead attention module included."""
    draw = Draw(seed)
    tensors = {}
    for layer in range(LLAMA.num_hidden_layers):
        for proj in ("q_proj", "v_proj"):
            for half, shape in (("A", (RANK, WIDTH)), ("B", (WIDTH, RANK))):
                tensors[ADAPTER.format(layer=layer, proj=proj, half=half)] = draw(*shape)
        tensors[
            f"llama_model.base_model.model.model.layers.{layer}.self_attn.rotary_emb.inv_freq"
        ] = torch.ones(4)
    tensors |= draw.linear("llama_proj", WIDTH, 4 * EVA_WIDTH)
    for number in (1, 2, 3):
        tensors |= draw.linear(f"feats_llama_proj{number}", WIDTH, VIT_WIDTH)
    tensors |= draw.linear("cls_tk_llama_proj", WIDTH, EVA_WIDTH)
    for number in range(7):
        tensors |= draw.linear(f"attention.feats_prep.{number}.0", 8, 8)
        tensors |= draw.linear(f"attention.feats_prep.{number}.3", 4, 8)
    tensors |= draw.linear("attention.attention_mlp.0", 8, 28)
    tensors |= draw.linear("attention.attention_mlp.3", 4, 8)
    return tensors | draw.linear("attention.fc_att", 7, 4) | draw.linear("attention.fc_out", 6, 4)


def eva_tensors(seed: int = 2) -> dict[str, Tensor]:
    """`eva_vit_g.pth`: smaller pictures than Emotion-LLaMA's, one block and a norm too many."""
    draw = Draw(seed)
    tensors = {
        "cls_token": draw(1, 1, EVA_WIDTH),
        "pos_embed": draw(1, (PRETRAINED_SIDE // PATCH) ** 2 + 1, EVA_WIDTH),
        "patch_embed.proj.weight": draw(EVA_WIDTH, 3, PATCH, PATCH, std=0.05),
        "patch_embed.proj.bias": draw(EVA_WIDTH),
    }
    for number in range(EVA_DEPTH + 1):
        tensors |= draw.block(f"blocks.{number}", EVA_WIDTH, qv_bias=True)
    return tensors | draw.norm("norm", EVA_WIDTH) | draw.linear("head", 5, EVA_WIDTH)


def mae_tensors(seed: int = 3) -> dict[str, Tensor]:
    """The entry `model` of a masked autoencoder of faces, its decoder included."""
    draw = Draw(seed)
    places = (FACE_SIDE // FACE_PATCH) ** 2 + 1
    tensors = {
        "cls_token": draw(1, 1, VIT_WIDTH),
        "pos_embed": draw(1, places, VIT_WIDTH),
        "patch_embed.proj.weight": draw(VIT_WIDTH, 3, FACE_PATCH, FACE_PATCH, std=0.05),
        "patch_embed.proj.bias": draw(VIT_WIDTH),
        "mask_token": draw(1, 1, 8),
        "decoder_pos_embed": draw(1, places, 8),
    }
    for number in range(VIT_DEPTH):
        tensors |= draw.block(f"blocks.{number}", VIT_WIDTH, qv_bias=False)
    tensors |= draw.norm("norm", VIT_WIDTH) | draw.linear("decoder_embed", 8, VIT_WIDTH)
    tensors |= draw.block("decoder_blocks.0", 8, qv_bias=False)
    return tensors | draw.norm("decoder_norm", 8) | draw.linear("decoder_pred", 768, 8)


def videomae_tensors(seed: int = 4) -> dict[str, Tensor]:
    """The entry `model` of a masked autoencoder of face clips, its decoder included."""
    draw = Draw(seed)
    tensors = {
        "mask_token": draw(1, 1, 8),
        "encoder.patch_embed.proj.weight": draw(VIT_WIDTH, 3, 2, FACE_PATCH, FACE_PATCH, std=0.05),
        "encoder.patch_embed.proj.bias": draw(VIT_WIDTH),
        "encoder_to_decoder.weight": draw(8, VIT_WIDTH),
    }
    for number in range(VIT_DEPTH):
        tensors |= draw.block(f"encoder.blocks.{number}", VIT_WIDTH, qv_bias=True)
    tensors |= draw.norm("encoder.norm", VIT_WIDTH) | draw.norm("decoder.norm", 8)
    tensors |= draw.block("decoder.blocks.0", 8, qv_bias=True)
    return tensors | draw.linear("decoder.head", 1536, 8)


def randomised(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    draw = Draw(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(draw(*parameter.shape))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return model.eval()


def llama() -> LlamaForCausalLM:
    return randomised(LlamaForCausalLM(LLAMA), 5)  # type: ignore[return-value]


def hubert() -> HubertModel:
    return randomised(HubertModel(HUBERT), 6)  # type: ignore[return-value]


def write_parts(folder: Path, tokenizer: PreTrainedTokenizerFast) -> dict[str, Path]:
    """Every published part, as its training code saved it; folders and files by part."""
    scaler = {"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 7}
    run = {"optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}, "epoch": 29}
    save = {
        "checkpoint": {
            "model": released_tensors(),
            **run,
            "scaler": scaler,
            "config": {"model": {"arch": "minigpt_v2", "lora_r": RANK}},
        },
        "eva": eva_tensors(),
        "mae": {"model": mae_tensors(), **run, "args": Namespace(lr=1e-4, model="mae")},
        "videomae": {"model": videomae_tensors(), **run, "args": Namespace(opt_betas=[0.9, 0.95])},
    }
    paths = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in save.items():
        paths[name] = folder / f"{name}.pth"
        torch.save(content, paths[name])
    for name, model in (("llama", llama()), ("hubert", hubert())):
        paths[name] = folder / name
        model.save_pretrained(paths[name])
    tokenizer.save_pretrained(paths["llama"])
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(paths["hubert"])
    return paths


def attention(x: Tensor, weights: dict[str, Tensor], name: str, heads: int) -> Tensor:
    width = x.shape[-1]
    bias = weights.get(f"{name}.qkv.bias")
    if bias is None:
        query, value = weights[f"{name}.q_bias"], weights[f"{name}.v_bias"]
        bias = torch.cat([query, torch.zeros(width), value])
    qkv = (x @ weights[f"{name}.qkv.weight"].T + bias).unflatten(-1, (3, heads, width // heads))
    q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
    shares = (q @ k.transpose(-1, -2) / math.sqrt(width // heads)).softmax(-1)
    mixed = (shares @ v).transpose(1, 2).flatten(2)
    return mixed @ weights[f"{name}.proj.weight"].T + weights[f"{name}.proj.bias"]


def normed(x: Tensor, weights: dict[str, Tensor], name: str, eps: float = 1e-6) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def block(x: Tensor, weights: dict[str, Tensor], name: str, heads: int) -> Tensor:
    x = x + attention(normed(x, weights, f"{name}.norm1"), weights, f"{name}.attn", heads)
    inner = normed(x, weights, f"{name}.norm2")
    inner = inner @ weights[f"{name}.mlp.fc1.weight"].T + weights[f"{name}.mlp.fc1.bias"]
    inner = F.gelu(inner) @ weights[f"{name}.mlp.fc2.weight"].T
    return x + inner + weights[f"{name}.mlp.fc2.bias"]


def eva(pixels: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """(n, 3, 56, 56) -> (n, 17, width): no final norm, `ln_vision` of weight 1 and bias 0."""
    grid = F.conv2d(
        pixels, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=PATCH
    )
    x = torch.cat(
        [weights["cls_token"].expand(len(pixels), -1, -1), grid.flatten(2).transpose(1, 2)], 1
    )
    old, new = PRETRAINED_SIDE // PATCH, FRAME_SIDE // PATCH
    table = weights["pos_embed"]
    places = table[:, 1:].transpose(1, 2).reshape(1, EVA_WIDTH, old, old)
    places = F.interpolate(places, size=(new, new), mode="bicubic", align_corners=False)
    x = x + torch.cat([table[:, :1], places.flatten(2).transpose(1, 2)], 1)
    for number in range(EVA_DEPTH):
        x = block(x, weights, f"blocks.{number}", EVA_HEADS)
    return F.layer_norm(x, (EVA_WIDTH,))


def face_mae(pixels: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Faces (n, 3, 32, 32) -> their mean class token after the final norm (width,)."""
    grid = F.conv2d(
        pixels,
        weights["patch_embed.proj.weight"],
        weights["patch_embed.proj.bias"],
        stride=FACE_PATCH,
    )
    x = torch.cat(
        [weights["cls_token"].expand(len(pixels), -1, -1), grid.flatten(2).transpose(1, 2)], 1
    )
    x = x + weights["pos_embed"]
    for number in range(VIT_DEPTH):
        x = block(x, weights, f"blocks.{number}", VIT_HEADS)
    return normed(x, weights, "norm")[:, 0].mean(0)


def video_mae(pixels: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """16 faces (16, 3, 32, 32) -> the mean over all tokens, layer-normed without weights."""
    clip = pixels.transpose(0, 1)[None]
    tubes = F.conv3d(
        clip,
        weights["encoder.patch_embed.proj.weight"],
        weights["encoder.patch_embed.proj.bias"],
        stride=(2, FACE_PATCH, FACE_PATCH),
    )
    x = tubes.flatten(2).transpose(1, 2)
    place = torch.arange(x.shape[1], dtype=torch.float64)[:, None]
    channel = torch.arange(VIT_WIDTH)
    angle = place / 10000 ** (2 * (channel // 2) / VIT_WIDTH)
    table = torch.where(channel % 2 == 0, angle.sin(), angle.cos())
    x = x + table.float()
    for number in range(VIT_DEPTH):
        x = block(x, weights, f"encoder.blocks.{number}", VIT_HEADS)
    return F.layer_norm(x[0].mean(0), (VIT_WIDTH,), eps=1e-6)


def media_tokens(pixels: Tensor, faces: Tensor, clip: Tensor, voice: Tensor) -> Tensor:
    """What `encode_img` gives, (4 + 4, width): patches, FaceMAE, VideoMAE, HuBERT, class token."""
    weights = released_tensors()

    def projected(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    frame = eva(pixels[None], eva_tensors())[0]
    joined = frame[1:].reshape(len(frame[1:]) // 4, 4 * EVA_WIDTH)
    samples = (voice - voice.mean()) / (voice.var(correction=0) + 1e-7).sqrt()
    heard = hubert()(samples[None], output_hidden_states=True).hidden_states[-1][0].mean(0)
    return torch.cat(
        [
            projected(joined, "llama_proj"),
            projected(face_mae(faces, mae_tensors()), "feats_llama_proj1")[None],
            projected(video_mae(clip, videomae_tensors()), "feats_llama_proj2")[None],
            projected(heard, "feats_llama_proj3")[None],
            projected(frame[0], "cls_tk_llama_proj")[None],
        ]
    )


def adapted_llama() -> LlamaForCausalLM:
    """LLaMA with the adapters added to its weights: W + alpha / r B A."""
    model, weights = llama(), released_tensors()
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            for proj in ("q_proj", "v_proj"):
                low, high = (
                    weights[ADAPTER.format(layer=number, proj=proj, half=half)] for half in "AB"
                )
                getattr(layer.self_attn, proj).weight += ALPHA / RANK * high @ low
    return model


@torch.no_grad()
def logits(segments: list[list[int] | Tensor]) -> Tensor:
    """Logits of the released model over a prompt of token ids and media tokens (n, width)."""
    model = adapted_llama()
    table = model.model.embed_tokens.weight
    embeds = [part if isinstance(part, Tensor) else table[part] for part in segments]
    return model(inputs_embeds=torch.cat(embeds)[None]).logits[0]
