"""Published layouts of Emotion-LLaMA's parts (see `layouts.py` for what a layout is).

Sources: ZebangCheng/Emotion-LLaMA at 4ee28d2 and peft 0.2 and later (adapters and projections),
Llama-2 in transformers' layout, LAVIS (`eva_vit_g.pth`), facebookresearch/mae, MCG-NJU/VideoMAE,
and HuBERT in transformers' layout. Keys in brackets are made by `derived.py`.
"""

from openaffect.models.checkpoints.layouts import KeyRule, Layout, moved

OUR_VISION = "model.vision_tower."
OUR_FACE = "model.face_tower."
OUR_MOTION = "model.motion_tower."
OUR_AUDIO = "model.audio_tower."
OUR_TEXT = "model.language_model."

ADAPTER = "layers.{n}.self_attn.{q_proj|v_proj}."
RELEASED_TEXT = "llama_model.base_model.model.model."
PROJECTIONS = {
    "llama_proj": "model.vision_projector.linear",
    "feats_llama_proj1": "model.face_projector.linear",
    "feats_llama_proj2": "model.motion_projector.linear",
    "feats_llama_proj3": "model.audio_projector.linear",
    "cls_tk_llama_proj": "model.class_projector.linear",
}
"""The released projections and ours; MiniGPT-v2 has the first alone."""

LORA_RULES = (
    KeyRule(
        f"{RELEASED_TEXT}{ADAPTER}{{lora_A|lora_B}}.weight",
        f"{OUR_TEXT}{ADAPTER}{{lora_A|lora_B}}.weight",
    ),
    KeyRule(  # as peft 0.3 and later name them
        f"{RELEASED_TEXT}{ADAPTER}{{lora_A|lora_B}}.default.weight",
        f"{OUR_TEXT}{ADAPTER}{{lora_A|lora_B}}.weight",
    ),
)
PROJECTION_RULES = tuple(
    KeyRule(f"{theirs}.{{weight|bias}}", f"{ours}.{{weight|bias}}")
    for theirs, ours in PROJECTIONS.items()
)
RELEASED_RULES = (
    *LORA_RULES,
    *PROJECTION_RULES,
    KeyRule("ln_vision.{weight|bias}", f"{OUR_VISION}post_layernorm.{{weight|bias}}"),
    KeyRule(
        f"{RELEASED_TEXT}layers.{{n}}.self_attn.rotary_emb.inv_freq", None, "computed from the size"
    ),
    *moved(
        (
            "feats_prep.{n}.{n}.{weight|bias}",
            "attention_mlp.{n}.{weight|bias}",
            "{fc_att|fc_out}.{weight|bias}",
        ),
        "attention.",
        None,
        "a classifier that the released code makes and never uses",
    ),
)
RELEASED_LAYOUTS = (Layout("Emotion-LLaMA checkpoint", "llama_proj.weight", RELEASED_RULES),)

LLAMA_LAYOUTS = (
    Layout(
        "Llama-2",
        "model.embed_tokens.weight",
        (
            *moved(
                (
                    "embed_tokens.weight",
                    "layers.{n}.{input_layernorm|post_attention_layernorm}.weight",
                    "layers.{n}.self_attn.{k_proj|o_proj}.weight",
                    "layers.{n}.mlp.{gate_proj|up_proj|down_proj}.weight",
                    "norm.weight",
                ),
                "model.",
                OUR_TEXT,
            ),
            KeyRule(f"model.{ADAPTER}weight", f"{OUR_TEXT}{ADAPTER}base_layer.weight"),
            KeyRule("lm_head.weight", "lm_head.weight"),
            KeyRule(
                "model.layers.{n}.self_attn.rotary_emb.inv_freq", None, "computed from the size"
            ),
        ),
    ),
)

BLOCK_KEYS = (
    "{norm1|norm2}.{weight|bias}",
    "attn.{q_bias|v_bias}",
    "attn.qkv.{weight|bias}",
    "attn.proj.{weight|bias}",
    "mlp.{fc1|fc2}.{weight|bias}",
)
"""Of a block in timm's way, with either kind of bias."""


def eva_layouts(blocks: int) -> tuple[Layout, ...]:
    """BLIP-2's EVA file, of which so many blocks are used."""
    theirs, ours = "blocks.{n}.", f"{OUR_VISION}encoder.layers.{{n}}."
    leaves = ".{weight|bias}"
    rules = (
        *moved(
            (*BLOCK_KEYS, "attn.qkv.bias[q_bias, 0, v_bias]"),
            f"blocks.{blocks}.",
            None,
            "the last block; MiniGPT takes the tokens before it",
        ),
        KeyRule("cls_token", f"{OUR_VISION}embeddings.class_embedding"),
        KeyRule("pos_embed", f"{OUR_VISION}embeddings.position_embedding"),
        KeyRule("pos_embed[{n}x{n} to {n}x{n}]", f"{OUR_VISION}embeddings.position_embedding"),
        KeyRule(f"patch_embed.proj{leaves}", f"{OUR_VISION}embeddings.patch_embedding{leaves}"),
        KeyRule(f"{theirs}norm1{leaves}", f"{ours}layer_norm1{leaves}"),
        KeyRule(f"{theirs}norm2{leaves}", f"{ours}layer_norm2{leaves}"),
        KeyRule(f"{theirs}attn.qkv.weight", f"{ours}self_attn.qkv.weight"),
        KeyRule(f"{theirs}attn.qkv.bias[q_bias, 0, v_bias]", f"{ours}self_attn.qkv.bias"),
        KeyRule(f"{theirs}attn.proj{leaves}", f"{ours}self_attn.projection{leaves}"),
        KeyRule(f"{theirs}mlp.{{fc1|fc2}}{leaves}", f"{ours}mlp.{{fc1|fc2}}{leaves}"),
        KeyRule(
            f"{{norm|fc_norm|head}}{leaves}",
            None,
            "EVA's final norm and head; MiniGPT takes the tokens before them",
        ),
    )
    return (Layout("EVA ViT-g", "blocks.0.attn.qkv.bias[q_bias, 0, v_bias]", rules),)


def _attention(theirs: str, ours: str, names: dict[str, str], output: str) -> list[KeyRule]:
    """Rules for a block's split attention; `names` are ours of q, k and v."""
    rules = [
        KeyRule(f"{theirs}attn.qkv.{{weight|bias}}[{part}]", f"{ours}{name}.{{weight|bias}}")
        for part, name in names.items()
    ]
    return [
        *rules,
        KeyRule(f"{theirs}attn.proj.{{weight|bias}}", f"{ours}{output}.{{weight|bias}}"),
    ]


DECODER_REASON = "the decoder of masked pre-training; features come from the encoder"

MAE_LAYOUTS = (
    Layout(
        "MAE ViT",
        "blocks.0.attn.qkv.weight[q]",
        (
            KeyRule("cls_token", f"{OUR_FACE}embeddings.cls_token"),
            KeyRule("pos_embed", f"{OUR_FACE}embeddings.position_embeddings"),
            KeyRule(
                "patch_embed.proj.{weight|bias}",
                f"{OUR_FACE}embeddings.patch_embeddings.projection.{{weight|bias}}",
            ),
            KeyRule(
                "blocks.{n}.norm1.{weight|bias}",
                f"{OUR_FACE}layers.{{n}}.layernorm_before.{{weight|bias}}",
            ),
            KeyRule(
                "blocks.{n}.norm2.{weight|bias}",
                f"{OUR_FACE}layers.{{n}}.layernorm_after.{{weight|bias}}",
            ),
            *_attention(
                "blocks.{n}.",
                f"{OUR_FACE}layers.{{n}}.attention.",
                {"q": "q_proj", "k": "k_proj", "v": "v_proj"},
                "o_proj",
            ),
            KeyRule(
                "blocks.{n}.mlp.{fc1|fc2}.{weight|bias}",
                f"{OUR_FACE}layers.{{n}}.mlp.{{fc1|fc2}}.{{weight|bias}}",
            ),
            KeyRule("norm.{weight|bias}", f"{OUR_FACE}layernorm.{{weight|bias}}"),
            KeyRule("{mask_token|decoder_pos_embed}", None, DECODER_REASON),
            KeyRule(
                "{decoder_embed|decoder_norm|decoder_pred}.{weight|bias}", None, DECODER_REASON
            ),
            *moved(
                (*BLOCK_KEYS, "attn.qkv.{weight|bias}[{q|k|v}]"),
                "decoder_blocks.{n}.",
                None,
                DECODER_REASON,
            ),
            KeyRule("{head|fc_norm}.{weight|bias}", None, "a head that features do not go through"),
        ),
    ),
)


def _videomae(prefix: str) -> Layout:
    theirs, ours = f"{prefix}blocks.{{n}}.", f"{OUR_MOTION}encoder.layer.{{n}}."
    leaves = ".{weight|bias}"
    inner = f"{ours}attention.attention."
    return Layout(
        f"VideoMAE ViT, keys behind {prefix!r}" if prefix else "VideoMAE ViT",
        f"{prefix}blocks.0.attn.qkv.weight[q]",
        (
            KeyRule(
                f"{prefix}patch_embed.proj{leaves}",
                f"{OUR_MOTION}embeddings.patch_embeddings.projection{leaves}",
            ),
            KeyRule(f"{theirs}norm1{leaves}", f"{ours}layernorm_before{leaves}"),
            KeyRule(f"{theirs}norm2{leaves}", f"{ours}layernorm_after{leaves}"),
            *(
                KeyRule(f"{theirs}attn.qkv.weight[{part}]", f"{inner}{name}.weight")
                for part, name in (("q", "query"), ("k", "key"), ("v", "value"))
            ),
            KeyRule(f"{theirs}attn.q_bias", f"{inner}query.bias"),
            KeyRule(f"{theirs}attn.v_bias", f"{inner}value.bias"),
            KeyRule(f"{theirs}attn.proj{leaves}", f"{ours}attention.output.dense{leaves}"),
            KeyRule(f"{theirs}mlp.fc1{leaves}", f"{ours}intermediate.dense{leaves}"),
            KeyRule(f"{theirs}mlp.fc2{leaves}", f"{ours}output.dense{leaves}"),
            KeyRule(f"{prefix}norm{leaves}", None, "mean pooling takes the tokens before it"),
            KeyRule(f"{prefix}fc_norm{leaves}", None, "features do not go through it"),
            KeyRule(f"{prefix}head{leaves}", None, "a head that features do not go through"),
            KeyRule("mask_token", None, DECODER_REASON),
            KeyRule("encoder_to_decoder.weight", None, DECODER_REASON),
            *moved(
                (*BLOCK_KEYS, "attn.qkv.{weight|bias}[{q|k|v}]"),
                "decoder.blocks.{n}.",
                None,
                DECODER_REASON,
            ),
            *moved((f"{{norm|head}}{leaves}",), "decoder.", None, DECODER_REASON),
        ),
    )


VIDEOMAE_LAYOUTS = tuple(_videomae(prefix) for prefix in ("encoder.", "backbone.", ""))


def _hubert(prefix: str) -> Layout:
    leaves = ".{weight|bias}"
    position = "encoder.pos_conv_embed.conv."
    ours = f"{OUR_AUDIO}{position}"
    return Layout(
        f"HuBERT, keys behind {prefix!r}" if prefix else "HuBERT",
        f"{prefix}feature_extractor.conv_layers.0.conv.weight",
        (
            *moved(
                (
                    "masked_spec_embed",
                    f"feature_extractor.conv_layers.{{n}}.{{conv|layer_norm}}{leaves}",
                    f"feature_projection.{{layer_norm|projection}}{leaves}",
                    f"{position}bias",
                    f"{position}parametrizations.weight.{{original0|original1}}",
                    f"encoder.layer_norm{leaves}",
                    f"encoder.layers.{{n}}.attention.{{k_proj|v_proj|q_proj|out_proj}}{leaves}",
                    f"encoder.layers.{{n}}.{{layer_norm|final_layer_norm}}{leaves}",
                    "encoder.layers.{n}.feed_forward."
                    f"{{intermediate_dense|output_dense}}{leaves}",
                ),
                prefix,
                OUR_AUDIO,
            ),
            KeyRule(f"{prefix}{position}weight_g", f"{ours}parametrizations.weight.original0"),
            KeyRule(f"{prefix}{position}weight_v", f"{ours}parametrizations.weight.original1"),
        ),
    )


HUBERT_LAYOUTS = (_hubert(""), _hubert("hubert."))

LN_VISION = {
    f"{OUR_VISION}post_layernorm.": "ln_vision, which no released file holds: weight 1 and bias 0"
}
"""Ours that a released checkpoint need not hold, because they were never trained."""

MINIGPT_NEW = LN_VISION | {
    f"{ours.removesuffix('linear')}": f"the projection {theirs}"
    for theirs, ours in PROJECTIONS.items()
    if theirs != "llama_proj"
}
"""The same where training starts from MiniGPT-v2, whose checkpoint has no feature tokens."""
