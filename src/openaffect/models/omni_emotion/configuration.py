"""Configuration of the Omni-Emotion family: every size and every choice that the paper leaves open.

The full-size values are the defaults (arXiv 2501.09502 on LLaVA-OneVision-Qwen2-7B). Fields whose
comment ends in "(open)" are not stated in the paper; the default is the nearest public relative's.
"""

from typing import Any, Literal, get_args

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

import openaffect.models.encoders  # noqa: F401  registers the encoders that transformers lacks
from openaffect.errors import UsageError

Fusion = Literal["video_concat", "frame_concat", "cross_attention"]


def check_fusion(fusion: str | None) -> None:
    """Raises UsageError for what is no fusion; None is the model's own."""
    if fusion not in (None, *get_args(Fusion)):
        raise UsageError(f"there is no fusion {fusion}; there are {', '.join(get_args(Fusion))}")


@strict
class OmniEmotionConfig(PreTrainedConfig):
    r"""A text model with a vision, an audio and a face tower, their projectors, and a fusion.

    Args:
        video_token_id: placeholder for the fused stream of frames and faces.
        audio_token_id: placeholder for the voice.
        fusion: how face tokens join frame tokens: `video_concat` (the paper's best), `frame_concat`
            or `cross_attention`.
        projector_hidden_act: activation between the two linear layers of every projector.
        projector_dropout: dropout before the second linear layer of every projector.
        vision_feature_layer: hidden state of the vision tower that is projected; None takes
            `last_hidden_state`.
        vision_feature_select_strategy: `default` drops the first (class) token, `full` keeps all.
        vision_pool_stride: the grid of a frame is shrunk by this factor, rounding up, bilinearly,
            after the projector (27x27 becomes 14x14).
        audio_pool_stride: encoder frames of 20 ms averaged into one token (3: 60 ms).
        audio_crop: encode only the clip's own length instead of padding to 30 s. (open)
        audio_layers: hidden states of the audio encoder that a learned mix combines; None takes
            the last. The last layer is not the one that carries most emotion.
        audio_summary: tokens before a chunk's own that tell of the whole: the first from mean,
            deviation and voice signals, any others from the signals alone; 0 for none. (open)
        audio_summary_dropout: share of the first summary token's inputs dropped in training. (open)
        stream_mixing: most that training draws a stream's tokens towards another sample's. (open)
        audio_signal_size: width of the measured voice signals beside a chunk; 0 for none. (open)
        face_grid: face positions are averaged to this grid per face before the projector; None
            keeps the tower's own positions. (open)
        face_summary: tokens before a person's faces that tell of them all, from mean and peak of
            their features; 0 for none. Needs one token a face. (open)
        normalise_features: standardise the inputs of the audio and face projectors by figures taken
            before training. (open)
        cross_attention_layers: depth of the cross attention fusion. (open)
        cross_attention_heads: its heads. (open)
        cross_attention_keep_video: frame tokens stay beside the attended face tokens. (open)
        label_temperature: log-likelihoods of labels are divided by it, as validation clips fit.
        label_temperature_alone: likewise where at most one of face, voice and words is there; None
            takes the other one.
    """

    model_type = "omni_emotion"
    sub_configs_defaults = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen2"),
        "vision_config": SubConfigSpec(
            config_class=AutoConfig,
            model_type="siglip_vision_model",
            init_kwargs={
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "patch_size": 14,
                "image_size": 384,
                "num_hidden_layers": 26,
                "num_attention_heads": 16,
                "vision_use_head": False,
            },
        ),
        "audio_config": SubConfigSpec(config_class=AutoConfig, model_type="whisper"),
        "face_config": SubConfigSpec(config_class=AutoConfig, model_type="facexformer_encoder"),
    }

    text_config: Any = None  # a configuration, or its fields
    vision_config: Any = None  # a configuration, or its fields
    audio_config: Any = None  # a configuration, or its fields
    face_config: Any = None  # a configuration, or its fields
    video_token_id: int = 151647
    audio_token_id: int = 151648
    fusion: Fusion = "video_concat"
    projector_hidden_act: str = "gelu"
    projector_dropout: float | int = 0.0
    vision_feature_layer: int | None = -1
    vision_feature_select_strategy: Literal["default", "full"] = "full"
    vision_pool_stride: int = 2
    audio_pool_stride: int = 3
    audio_crop: bool = False
    audio_layers: list[int] | None = None
    audio_summary: int = 0
    audio_summary_dropout: float | int = 0.0
    stream_mixing: float | int = 0.0
    audio_signal_size: int = 0
    face_grid: int | None = 14
    face_summary: int = 0
    normalise_features: bool = False
    cross_attention_layers: int = 1
    cross_attention_heads: int = 8
    cross_attention_keep_video: bool = True
    label_temperature: float | int = 1.0
    label_temperature_alone: float | int | None = None
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs) -> None:  # type: ignore[no-untyped-def]
        super().__post_init__(**kwargs)
        if not self.tie_word_embeddings and self.text_config.tie_word_embeddings:  # type: ignore[union-attr]
            self.tie_word_embeddings = True
        if self.audio_summary > 1 and not self.audio_signal_size:
            raise ValueError(
                f"audio_summary {self.audio_summary}: tokens beyond the first come from measured "
                "figures; set audio_signal_size"
            )
        if self.face_summary and self.face_grid not in (None, 1):
            raise ValueError(
                f"face_summary {self.face_summary} needs one token a face, got face_grid "
                f"{self.face_grid}; set it to 1"
            )
        if self.audio_pool_stride < 1 or self.vision_pool_stride < 1:
            raise ValueError(
                f"pool strides must be at least 1, got audio {self.audio_pool_stride}, "
                f"vision {self.vision_pool_stride}"
            )
