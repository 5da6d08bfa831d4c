"""Published checkpoint layouts as tables: every key that may occur, and where it goes.

A rule names a published key and ours. `{n}` stands for a number and `{a|b}` for one of several
words; the same placeholders, in the same order, fill in our key. A rule without a target leaves the
key behind and says why. A key that no rule names is an error, and so is a key of ours that nothing
fills: see `report.py`.

Sources: LLaVA-VL/LLaVA-NeXT (`lmms-lab` checkpoints), huggingface/transformers (LlavaOnevision and
Whisper), Kartik-3004/facexformer (`state_dict_backbone`), torchvision's `swin_b` inside the latter.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

PLACEHOLDER = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True)
class KeyRule:
    """What becomes of the published keys of one form."""

    source: str  # published key, with `{n}` for a number and `{a|b}` for one of several words
    target: str | None  # our key with the same placeholders; None where the key is left
    reason: str = ""  # why the key is left
    check: str = ""  # name of a check of the values, for buffers that ours computes

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = []
        end = 0
        for match in PLACEHOLDER.finditer(self.source):
            parts.append(re.escape(self.source[end : match.start()]))
            words = match[1]
            parts.append(
                r"(\d+)" if words == "n" else f"({'|'.join(map(re.escape, words.split('|')))})"
            )
            end = match.end()
        return re.compile("".join(parts) + re.escape(self.source[end:]))

    def matches(self, key: str) -> bool:
        """Whether the rule speaks of this published key."""
        return self._pattern.fullmatch(key) is not None

    def rename(self, key: str) -> str | None:
        """Our name of a published key that the rule matches; None where it is left."""
        match = self._pattern.fullmatch(key)
        if match is None or self.target is None:
            return None
        found = iter(match.groups())
        return PLACEHOLDER.sub(lambda _: next(found), self.target)

    def reversed(self) -> "KeyRule":
        """The rule from our key to the published one."""
        if self.target is None:
            raise ValueError(f"{self.source} is left behind; there is no way back")
        return KeyRule(self.target, self.source)


@dataclass(frozen=True)
class Layout:
    """One published form of one part's checkpoint."""

    name: str  # what a report calls it
    sign: str  # a key that this layout has and its siblings do not
    rules: tuple[KeyRule, ...]  # first match wins

    def rule(self, key: str) -> KeyRule | None:
        """The rule that speaks of a key, or None."""
        return next((rule for rule in self.rules if rule.matches(key)), None)


def moved(keys: Iterable[str], source: str, target: str | None, reason: str = "") -> list[KeyRule]:
    """Rules for keys that keep their names under another prefix, or are left altogether."""
    return [KeyRule(source + key, None if target is None else target + key, reason) for key in keys]


QWEN2_KEYS = (
    "embed_tokens.weight",
    "layers.{n}.{input_layernorm|post_attention_layernorm}.weight",
    "layers.{n}.self_attn.{q_proj|k_proj|v_proj}.{weight|bias}",
    "layers.{n}.self_attn.o_proj.weight",
    "layers.{n}.mlp.{gate_proj|up_proj|down_proj}.weight",
    "norm.weight",
)
SIGLIP_KEYS = (
    "embeddings.patch_embedding.{weight|bias}",
    "embeddings.position_embedding.weight",
    "encoder.layers.{n}.{layer_norm1|layer_norm2}.{weight|bias}",
    "encoder.layers.{n}.self_attn.{q_proj|k_proj|v_proj|out_proj}.{weight|bias}",
    "encoder.layers.{n}.mlp.{fc1|fc2}.{weight|bias}",
    "post_layernorm.{weight|bias}",
)
WHISPER_ENCODER_KEYS = (
    "{conv1|conv2}.{weight|bias}",
    "embed_positions.weight",
    "layers.{n}.self_attn.{q_proj|v_proj|out_proj}.{weight|bias}",
    "layers.{n}.self_attn.k_proj.weight",
    "layers.{n}.{self_attn_layer_norm|final_layer_norm}.{weight|bias}",
    "layers.{n}.{fc1|fc2}.{weight|bias}",
    "layer_norm.{weight|bias}",
)
WHISPER_DECODER_KEYS = (
    "{embed_tokens|embed_positions}.weight",
    "layers.{n}.{self_attn|encoder_attn}.{q_proj|v_proj|out_proj}.{weight|bias}",
    "layers.{n}.{self_attn|encoder_attn}.k_proj.weight",
    "layers.{n}.{self_attn_layer_norm|encoder_attn_layer_norm|final_layer_norm}.{weight|bias}",
    "layers.{n}.{fc1|fc2}.{weight|bias}",
    "layer_norm.{weight|bias}",
)
FACE_TASK_KEYS = (
    "pe_layer.positional_encoding_gaussian_matrix",
    "face_decoder.{landmarks|pose|attribute|visibility|age|gender|race}_token.weight",
    "face_decoder.mask_tokens.weight",
    "face_decoder.transformer.layers.{n}."
    "{self_attn|cross_attn_token_to_image|cross_attn_image_to_token}."
    "{q_proj|k_proj|v_proj|out_proj}.{weight|bias}",
    "face_decoder.transformer.layers.{n}.{norm1|norm2|norm3|norm4}.{weight|bias}",
    "face_decoder.transformer.layers.{n}.mlp.{lin1|lin2}.{weight|bias}",
    "face_decoder.transformer.final_attn_token_to_image."
    "{q_proj|k_proj|v_proj|out_proj}.{weight|bias}",
    "face_decoder.transformer.norm_final_attn.{weight|bias}",
    "face_decoder.output_upscaling.{0|1|3}.{weight|bias}",
    "face_decoder.output_hypernetwork_mlps.layers.{n}.{weight|bias}",
    "face_decoder.{landmarks|pose|attribute|visibility|age|gender|race}_prediction_head"
    ".layers.{n}.{weight|bias}",
)

OUR_VISION = "model.vision_tower."
OUR_TEXT = "model.language_model."
OUR_AUDIO = "model.audio_tower."
OUR_FACE = "model.face_tower."


def _llava(
    name: str, sign: str, *, vision: str, projector: str, newline: str, text: str, head: str
) -> Layout:
    """A LLaVA-OneVision layout, told by its prefixes."""
    first, second = ("0", "2") if projector.endswith("mm_projector.") else ("linear_1", "linear_2")
    rules = (
        *moved(SIGLIP_KEYS, vision, OUR_VISION),
        KeyRule(
            f"{projector}{first}.{{weight|bias}}", "model.vision_projector.linear_1.{weight|bias}"
        ),
        KeyRule(
            f"{projector}{second}.{{weight|bias}}", "model.vision_projector.linear_2.{weight|bias}"
        ),
        KeyRule(newline, "model.image_newline"),
        *moved(QWEN2_KEYS, text, OUR_TEXT),
        KeyRule(head, "lm_head.weight"),
    )
    return Layout(name, sign, rules)


LLAVA_LAYOUTS = (
    _llava(
        "LLaVA-OneVision, original (lmms-lab)",
        "model.mm_projector.0.weight",
        vision="model.vision_tower.vision_tower.vision_model.",
        projector="model.mm_projector.",
        newline="model.image_newline",
        text="model.",
        head="lm_head.weight",
    ),
    _llava(
        "LLaVA-OneVision, transformers on disk (llava-hf)",
        "vision_tower.vision_model.post_layernorm.weight",
        vision="vision_tower.vision_model.",
        projector="multi_modal_projector.",
        newline="image_newline",
        text="language_model.model.",
        head="language_model.lm_head.weight",
    ),
    _llava(
        "LLaVA-OneVision, transformers on disk from 5",
        "vision_tower.post_layernorm.weight",
        vision="vision_tower.",
        projector="multi_modal_projector.",
        newline="image_newline",
        text="language_model.model.",
        head="language_model.lm_head.weight",
    ),
    _llava(
        "LLaVA-OneVision, transformers in memory from 4.52",
        "model.vision_tower.vision_model.post_layernorm.weight",
        vision="model.vision_tower.vision_model.",
        projector="model.multi_modal_projector.",
        newline="model.image_newline",
        text="model.language_model.",
        head="lm_head.weight",
    ),
    _llava(
        "LLaVA-OneVision, transformers in memory from 5",
        "model.vision_tower.post_layernorm.weight",
        vision="model.vision_tower.",
        projector="model.multi_modal_projector.",
        newline="model.image_newline",
        text="model.language_model.",
        head="lm_head.weight",
    ),
)

_DECODER_REASON = "Whisper's decoder writes text; the audio path uses the encoder alone"


def _whisper(name: str, prefix: str) -> Layout:
    return Layout(
        name,
        f"{prefix}encoder.conv1.weight",
        (
            *moved(WHISPER_ENCODER_KEYS, f"{prefix}encoder.", OUR_AUDIO),
            *moved(WHISPER_DECODER_KEYS, f"{prefix}decoder.", None, _DECODER_REASON),
            KeyRule("proj_out.weight", None, _DECODER_REASON),
        ),
    )


WHISPER_LAYOUTS = (
    _whisper("Whisper, WhisperForConditionalGeneration", "model."),
    _whisper("Whisper, WhisperModel", ""),
)

SWIN_STAGES = 4  # torchvision's swin_b: features 1, 3, 5, 7 are stages, 2, 4, 6 halve the grid


def _swin_stage(stage: int) -> list[KeyRule]:
    """One stage of blocks and the halving after it, from torchvision's `features`."""
    theirs, ours = f"backbone.0.{2 * stage + 1}.{{n}}.", f"{OUR_FACE}stages.{stage}.{{n}}."
    leaves = ".{weight|bias}"
    rules = [
        *moved((f"{{norm1|norm2}}{leaves}",), theirs, ours),
        KeyRule(f"{theirs}attn.qkv{leaves}", f"{ours}attention.qkv{leaves}"),
        KeyRule(f"{theirs}attn.proj{leaves}", f"{ours}attention.output{leaves}"),
        KeyRule(
            f"{theirs}attn.relative_position_bias_table",
            f"{ours}attention.relative_position_bias_table",
        ),
        KeyRule(
            f"{theirs}attn.relative_position_index",
            None,
            "computed from the window size; its values were compared",
            check="relative_position_index",
        ),
        KeyRule(f"{theirs}mlp.0{leaves}", f"{ours}fc1{leaves}"),
        KeyRule(f"{theirs}mlp.3{leaves}", f"{ours}fc2{leaves}"),
        KeyRule(f"linear_c.{stage}.proj{leaves}", f"{OUR_FACE}scale_projections.{stage}{leaves}"),
    ]
    if stage + 1 < SWIN_STAGES:
        merge = f"backbone.0.{2 * stage + 2}."
        keys = ("reduction.weight", "norm.{weight|bias}")
        rules += moved(keys, merge, f"{OUR_FACE}merges.{stage}.")
    return rules


FACEXFORMER_LAYOUTS = (
    Layout(
        "FaceXFormer, state_dict_backbone",
        "linear_fuse.weight",
        (
            KeyRule("backbone.0.0.0.{weight|bias}", f"{OUR_FACE}patch_embedding.{{weight|bias}}"),
            KeyRule("backbone.0.0.2.{weight|bias}", f"{OUR_FACE}patch_norm.{{weight|bias}}"),
            *(rule for stage in range(SWIN_STAGES) for rule in _swin_stage(stage)),
            KeyRule(
                "backbone.1.{weight|bias}",
                None,
                "the backbone's final norm; the encoder reads the stages before it",
            ),
            KeyRule("linear_fuse.weight", f"{OUR_FACE}fuse.weight"),
            *moved(
                FACE_TASK_KEYS, "", None, "FaceXFormer's task decoder; only its encoder is used"
            ),
        ),
    ),
)

# Ours alone, by prefix: no published checkpoint holds them, and the training stages fill them.
NEW_PARTS = {
    "model.audio_projector.": "the audio projector",
    "model.face_projector.": "the face projector",
    "model.face_newline": "the marker that closes one person's faces",
    "model.cross_attention.": "the cross attention fusion",
}
