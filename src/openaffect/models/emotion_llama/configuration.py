"""Configuration of the Emotion-LLaMA family (arXiv 2406.11161): parts, tokens, adapters.

The full-size values are the defaults, as the released code and checkpoints have them. Fields whose
comment ends in "(open)" are not settled by the paper or its code.
"""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

import openaffect.models.encoders  # noqa: F401  registers the encoders that transformers lacks

FrameChoice = Literal["first", "middle", "peak"]

VIT_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "layer_norm_eps": 1e-6,
}
HUBERT_LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}


@strict
class EmotionLlamaConfig(PreTrainedConfig):
    r"""A text model with adapters, and a token or more from frame, faces, motion and voice.

    Args:
        media_token_id: placeholder of every media token; never a token of the text itself.
        patch_group: consecutive patches of a frame, row by row, joined into one token.
        class_token: the frame's class token is a token of its own.
        frame: which frame is looked at: the first, the middle, or the one of most facial action.
        has_motion_tower: without one the motion is how the face tower's features change. (open)
        motion_frames: faces of a clip that the motion tower sees, two from each of equal segments.
        motion_norm: the motion tower's mean is normalised, as the released features are. (open)
        audio_layers: hidden states of the audio tower that a learned mix combines; None takes
            the last. (open)
        audio_signal_size: width of the measured voice signals beside the voice; 0 for none. (open)
        audio_crop: a mel is encoded at its own length instead of padded to 30 s. (open)
        normalise_features: standardise face, motion and audio features by figures taken before
            training. (open)
        lora_r: rank of the language model's adapters; 0 for none.
        lora_alpha: their update is scaled by lora_alpha / lora_r.
        label_temperature: log-likelihoods of labels are divided by it, as validation clips fit.
        label_temperature_alone: likewise where at most one of face, voice and words is there; None
            takes the other one.
        lora_dropout: on their input, in training.
        lora_targets: last names of the adapted layers.
    """

    model_type = "emotion_llama"
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="eva_vit"),
        "face_config": SubConfigSpec(
            config_class=AutoConfig,
            model_type="vit_mae",
            init_kwargs=VIT_LARGE | {"mask_ratio": 0.0},
        ),
        "motion_config": SubConfigSpec(
            config_class=AutoConfig,
            model_type="videomae",
            init_kwargs=VIT_LARGE | {"use_mean_pooling": True},
        ),
        "audio_config": SubConfigSpec(
            config_class=AutoConfig, model_type="hubert", init_kwargs=HUBERT_LARGE
        ),
    }

    text_config: Any = None  # a configuration, or its fields
    vision_config: Any = None  # a configuration, or its fields
    face_config: Any = None  # a configuration, or its fields
    motion_config: Any = None  # a configuration, or its fields
    audio_config: Any = None  # a configuration, or its fields
    has_motion_tower: bool = True
    media_token_id: int = 0
    patch_group: int = 4
    class_token: bool = True
    frame: FrameChoice = "first"
    motion_frames: int = 16
    motion_norm: bool = True
    audio_layers: list[int] | None = None
    audio_signal_size: int = 0
    audio_crop: bool = True
    normalise_features: bool = False
    lora_r: int = 64
    lora_alpha: int = 16
    label_temperature: float | int = 1.0
    label_temperature_alone: float | int | None = None
    lora_dropout: float | int = 0.05
    lora_targets: list[str] | None = None
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__post_init__(**kwargs)
        self.lora_targets = self.lora_targets or ["q_proj", "v_proj"]
        if not self.tie_word_embeddings and self.text_config.tie_word_embeddings:  # type: ignore[union-attr]
            self.tie_word_embeddings = True
        if self.motion_frames < 2 or self.motion_frames % 2:
            raise ValueError(
                f"motion_frames must be even, two of each segment, got {self.motion_frames}"
            )
        if self.patch_group < 1:
            raise ValueError(f"patch_group must be at least 1, got {self.patch_group}")
